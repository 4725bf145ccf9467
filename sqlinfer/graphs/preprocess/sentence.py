"""What a folder of sentence-transformers does with texts and vectors: as the library does it, or refused by its name.

The files are modules.json, the config.json of each module, sentence_bert_config.json, config_sentence_transformers.json
and tokenizer_config.json (sentence-transformers 6.2, transformers 4.57).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sqlinfer.errors import InvalidModel, MissingExtra

__all__ = ["Dense", "Sentences", "read_sentences"]

_POOLS: dict[str, Literal["mean", "cls"]] = {"mean": "mean", "cls": "cls"}
_OLD_POOLS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = {"Identity": None, "Tanh": "Tanh", "ReLU": "Relu", "Sigmoid": "Sigmoid"}
# What else a file may say without the vectors being others.
_USUAL: dict[str, tuple[Any, ...]] = {
    "include_prompt": (True, False),
    "module_input_name": ("sentence_embedding",),
    "module_output_name": ("sentence_embedding", "token_embeddings"),
    "transformer_task": ("feature-extraction",),
}
_DENSE = {"in_features", "out_features", "bias", "activation_function"}
_BERT = {"max_seq_length", "do_lower_case", "model_args", "config_args", "tokenizer_args", "modality_config"}
_BERT |= {"model_kwargs", "config_kwargs", "processor_kwargs", "unpad_inputs"}
# The first that is there counts.
_FILES = [
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
# Where a tokenizer is loaded from, and not what it does.
_LOADING = {"trust_remote_code", "use_fast", "revision", "local_files_only"}


@dataclass(frozen=True, slots=True)
class Dense:
    """``weight`` [results, values]; ``activation`` is an ONNX operator."""

    weight: np.ndarray
    bias: np.ndarray | None
    activation: str | None


@dataclass(frozen=True, slots=True)
class Sentences:
    """``steps``: what is done with the vector of a text, "normalize" or a layer. ``positions``: where no ``max_length``
    is said, the model has so many, and a text is cut to them where its tokenizer takes more."""

    pool: Literal["mean", "cls"] | None
    steps: tuple[Dense | str, ...]
    max_length: int | None
    positions: int | None
    lowercase: bool


def read_sentences(folder: Path) -> Sentences:
    """Raises InvalidModel, with the name of what is not known."""
    modules = _modules(folder / "modules.json")
    own = next(
        (folder / str(m.get("path", "")) for m in modules if str(m.get("type")).endswith(".Transformer")), folder
    )
    path = next((own / name for name in _FILES if (own / name).is_file()), own / _FILES[0])
    bert = _object(path)
    _require_known(path, bert, _BERT)
    for name in ("tokenizer_args", "processor_kwargs"):
        if changing := sorted(set(bert.get(name) or {}) - _LOADING):
            raise _refused(path, f"{name} with {', '.join(changing)}")
    _require_no_prompt(folder / "config_sentence_transformers.json")
    pooling, steps = folder / "1_Pooling" / "config.json", list[Dense | str]()
    for module in modules:
        kind = str(module.get("type", ""))
        place = folder / str(module.get("path", ""))
        name = kind.rpartition(".")[2]
        if not kind.startswith("sentence_transformers.") or name not in _MODULES:
            raise _refused(folder / "modules.json", f"the module {kind}")
        if name in ("Transformer", "Pooling") and steps:
            raise _refused(folder / "modules.json", f"{name} behind other modules")
        if name == "Pooling" and module.get("path"):
            pooling = place / "config.json"
        if name == "Normalize":
            _require_known(place / "config.json", _object(place / "config.json") if module.get("path") else {})
            steps.append("normalize")
        if name == "Dense":
            steps.append(_dense(place))
    limit = bert.get("max_seq_length")
    positions = _object(folder / "config.json").get("max_position_embeddings") if modules and limit is None else None

    return Sentences(_pool(pooling), tuple(steps), limit, positions, bool(bert.get("do_lower_case")))


_MODULES = {"Transformer", "Pooling", "Normalize", "Dense", "Dropout"}


def _pool(path: Path) -> Literal["mean", "cls"] | None:
    if not path.is_file():
        return None
    config = _object(path)
    modes = config.get("pooling_mode", [mode for key, mode in _OLD_POOLS.items() if config.get(key)] or ["mean"])
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _POOLS:
        raise _refused(path, f"pooling_mode {' and '.join(map(str, modes))}")
    _require_known(path, config, {*_OLD_POOLS, "pooling_mode", "embedding_dimension", "word_embedding_dimension"})
    return _POOLS[modes[0]]


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = _object(path)
    _require_known(path, config, _DENSE)
    said = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if not said.startswith("torch.nn.") or said.rpartition(".")[2] not in _ACTIVATIONS:
        raise _refused(path, f"activation_function {said}")
    weights = _tensors(folder / "model.safetensors")
    bias = config.get("bias", True)
    wanted = {"linear.weight", "linear.bias"} if bias else {"linear.weight"}
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    if set(weights) != wanted or shapes["linear.weight"] != (config.get("out_features"), config.get("in_features")):
        raise InvalidModel(f"{folder / 'model.safetensors'} has {shapes}, which are not the weights of {path}")
    return Dense(weights["linear.weight"], weights.get("linear.bias"), _ACTIVATIONS[said.rpartition(".")[2]])


def _tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtra.of("safetensors", "text", "a folder with a Dense module") from error
    try:
        tensors: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError) as error:
        raise InvalidModel(
            f"{path}, the weights of a Dense module, cannot be read ({type(error).__name__}: {error}); save the model "
            "again with sentence-transformers, which writes them as safetensors"
        ) from error
    return tensors


def _require_known(path: Path, config: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """``known`` are those that are honoured, or mean nothing; what says nothing or no is so, too."""
    others = (key for key, value in config.items() if value and value not in _USUAL.get(key, ()))
    other = next((key for key in others if key not in known), None)
    if other is not None:
        raise _refused(path, f"{other} is {config[other]!r}")


def _require_no_prompt(path: Path) -> None:
    config = _object(path)
    name = config.get("default_prompt_name")
    prompt = (config.get("prompts") or {}).get(name) if name else None
    if prompt:
        raise _refused(path, f"default_prompt_name {name!r}, which puts {prompt!r} before each text")
    if config.get("truncate_dim"):
        raise _refused(path, f"truncate_dim is {config['truncate_dim']}")


def _modules(path: Path) -> list[dict[str, Any]]:
    content = _content(path) or []
    if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
        raise InvalidModel(f"{path} cannot be used: a list of modules was expected")
    return content


def _object(path: Path) -> dict[str, Any]:
    content = _content(path) or {}
    if not isinstance(content, dict):
        raise InvalidModel(f"{path} cannot be used: an object was expected")
    return content


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidModel(f"{path} cannot be read: {error}") from error


def _refused(path: Path, what: str) -> InvalidModel:
    return InvalidModel(
        f"{path}: {what}, which is not known here; give the path of the .onnx file, with --tokenizer and --pool, if "
        "the model does all that is said there itself"
    )
