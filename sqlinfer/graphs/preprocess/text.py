"""The inputs of a graph that take tokens, and the tokenizer that fills them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.preprocess.growth import require_moderate
from sqlinfer.graphs.preprocess.options import Offered

__all__ = ["TOKENIZER_FILE", "Tokenizer", "Tokens", "find_tokens", "read_tokenizer", "takes_tokens"]

TOKENIZER_FILE = "tokenizer.json"
_IDS = ("input_ids", "ids", "tokens", "token_ids", "input_tokens")
_MASKS = ("attention_mask", "mask", "input_mask")
_TYPES = ("token_type_ids", "segment_ids", "type_ids")
_PADS = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>")
# Where neither the tokenizer nor the graph has a limit: attention costs the square of the length.
_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Tokens:
    """The inputs [batch, tokens] of a graph. ``length``: all texts must have so many tokens, or None.
    ``positions``: how many the graph has embeddings for, where that can be seen."""

    ids: str
    mask: str | None
    types: str | None
    length: int | None
    positions: int | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.ids, self.mask, self.types) if name is not None)


@dataclass(frozen=True, slots=True)
class Tokenizer:
    content: bytes
    sha256: str
    max_length: int
    pad: int


def takes_tokens(graph: onnx.GraphProto) -> bool:
    """Whether one input may be of token ids."""
    return _ids(_integers(graph)) is not None


def find_tokens(graph: onnx.GraphProto, origin: object) -> Tokens:
    """Raises InvalidModel when no input takes token ids."""
    integers = _integers(graph)
    ids = _ids(integers)
    if ids is None:
        constants = {tensor.name for tensor in graph.initializer}
        inputs = ", ".join(value.name for value in graph.input if value.name not in constants)
        raise InvalidModel(
            f"{origin} has no input for token ids (integers of shape [batch, tokens], such as input_ids); "
            f"it takes {inputs}: register it without a tokenizer"
        )
    length = integers[ids][1].dim_value or None
    return Tokens(ids, _named(integers, _MASKS), _named(integers, _TYPES), length, _positions(graph))


def read_tokenizer(path: Path, tokens: Tokens, options: Offered) -> Tokenizer:
    """A tokenizer.json that cuts texts to what the graph takes, and leaves padding to us. Raises InvalidModel."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if "model" not in fields:
            raise ValueError("it has no 'model'")
        require_moderate(fields)
        own = fields.get("truncation") or {}
        limit = options.get("max_length") or own.get("max_length") or tokens.positions or _MAX_LENGTH
        limit = min(int(most) for most in (limit, tokens.positions, tokens.length) if most)
        direction, strategy = own.get("direction", "Right"), own.get("strategy", "LongestFirst")
        if "cut_left" in options:
            direction = "Left" if options["cut_left"] else "Right"
        if options.get("lowercase"):
            fields["normalizer"] = _lowercased(fields.get("normalizer"))
        pad = _pad(fields)
        if tokens.length is not None:
            _require_usual_padding(path, tokens, fields.get("padding") or {}, options)
    except InvalidModel:
        raise
    except RecursionError:
        raise InvalidModel(f"{path} is not a tokenizer in Hugging Face's format: it is nested too deep") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{path} is not a tokenizer in Hugging Face's format: {error}") from error
    fields["truncation"] = {"direction": direction, "max_length": limit, "strategy": strategy, "stride": 0}
    fields["padding"] = None
    content = json.dumps(fields, ensure_ascii=False).encode(errors="surrogatepass")
    return Tokenizer(content, hashlib.sha256(content).hexdigest(), limit, pad)


def _require_usual_padding(path: Path, tokens: Tokens, padding: dict[str, Any], options: Offered) -> None:
    """Raises InvalidModel for what a graph of so many tokens a text is not given: zeros on the right."""
    odd = []
    if options.get("pad_left", padding.get("direction") == "Left"):
        odd.append("on the left (padding_side)")
    if tokens.types is not None and padding.get("pad_type_id"):
        odd.append(f"with the token type {padding['pad_type_id']} (pad_type_id)")
    if odd:
        raise InvalidModel(
            f"{path}: texts are padded {' and '.join(odd)} to the {tokens.length} tokens that the graph takes, which "
            "is not known here; export the model with a free axis for the tokens, so that nothing is padded"
        )


def _lowercased(normalizer: dict[str, Any] | None) -> dict[str, Any]:
    """As sentence-transformers has it: before everything else."""
    parts = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *parts]}


def _integers(graph: onnx.GraphProto) -> dict[str, Any]:
    """The shapes of the inputs [batch, tokens] of integers."""
    constants = {tensor.name for tensor in graph.initializer}
    return {
        value.name: value.type.tensor_type.shape.dim
        for value in graph.input
        if value.name not in constants
        and value.type.tensor_type.elem_type in (TensorProto.INT64, TensorProto.INT32)
        and len(value.type.tensor_type.shape.dim) == 2
    }


def _ids(integers: dict[str, Any]) -> str | None:
    return _named(integers, _IDS) or (next(iter(integers)) if len(integers) == 1 else None)


def _named(integers: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in integers if name.lower() in names), None)


def _pad(fields: dict[str, Any]) -> int:
    if fields.get("padding"):
        return int(fields["padding"]["pad_id"])
    added = {token["content"]: int(token["id"]) for token in fields.get("added_tokens", ())}
    return next((added[name] for name in _PADS if name in added), 0)


def _positions(graph: onnx.GraphProto) -> int | None:
    """Rows of the table of position embeddings. RoBERTa's has two more than there are positions."""
    for tensor in graph.initializer:
        if "position_embed" in tensor.name.lower() and len(tensor.dims) == 2:
            rows = int(tensor.dims[0])
            return rows - 2 if rows > 2 and (rows - 2).bit_count() == 1 else rows
    return None
