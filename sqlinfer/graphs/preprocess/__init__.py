"""What stands between a text or an image and the tensors of a graph, settled when a model is registered.

Tokenizing and decoding are the work of libraries at query time; everything else becomes nodes of the graph, so that
every engine computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import onnx
import pyarrow as pa

from sqlinfer.graphs.axes import Layout
from sqlinfer.graphs.features import choose, forms_of
from sqlinfer.graphs.inspect import Graph, inspect_file
from sqlinfer.graphs.preprocess.head import attach_head
from sqlinfer.graphs.preprocess.image import Pixels, attach_pixels, takes_image, wants_image
from sqlinfer.graphs.preprocess.options import ABOUT_TEXTS, Labels, Offered, Options, completed, labels_of
from sqlinfer.graphs.preprocess.text import TOKENIZER_FILE, Tokenizer, Tokens, find_tokens, read_tokenizer, takes_tokens
from sqlinfer.models.signature import Feature, Label, TextPreparation

__all__ = ["Labels", "Offered", "Opened", "Options", "attach_head", "labels_of", "open_file"]


_PLAIN = Layout()
_MOST_COPIED = 512 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """A graph that is ready to be stored, its features, and the files that belong beside it.

    ``own``: the file, or its graph with what the options ask for, before anything else was changed; None where
    that is large. ``unproven``: the one score is a probability because its user says so.
    """

    graph: Graph
    features: list[Feature]
    labels: tuple[Label, ...]
    files: dict[str, bytes]
    own: Path | bytes | None
    unproven: bool = False


def open_file(
    path: Path,
    wanted: Options,
    *,
    labels: Labels = None,
    names: Sequence[str] = (),
    sample: pa.Schema | None = None,
    renamed: Sequence[str] = (),
    layout: Layout = _PLAIN,
    sums: bool = True,
) -> Opened:
    """Read an .onnx file, or a folder as Hugging Face lays it out, and prepare what the ``wanted`` ask for.

    ``names`` of the features, else the ``sample`` has them: see `choose`. ``sums``: trees that classify are written
    as sums of trees. Raises InvalidModel, FeatureError.
    """
    path, classes, given, offered = completed(path, labels, wanted)
    tokens: Tokens | None = None
    pixels: Pixels | None = None
    unproven = False
    options: Offered = {}
    own = onnx.ModelProto()

    def change(model: onnx.ModelProto) -> None:
        nonlocal tokens, pixels, unproven, options
        options = {**_fitting(offered, model.graph), **given}
        if "tokenizer" in options:
            tokens = find_tokens(model.graph, path)
        if wants_image(options):
            pixels = attach_pixels(model, options, path)
        unproven = attach_head(model, options, tokens, classes, path)
        if (options or classes) and _is_small(model):
            own.CopyFrom(model)

    graph = inspect_file(path, layout, change, sums=sums)
    prepared, files = [], {}
    if tokens is not None:
        tokenizer = read_tokenizer(Path(options["tokenizer"]), tokens, options)
        files[TOKENIZER_FILE] = tokenizer.content
        prepared.append(_text(tokens, tokenizer))
    if pixels is not None:
        prepared.append(Feature("image", "BLOB", pixels.name, prepare=pixels.prepare))
    taken = {name for feature in prepared for name in feature.tensors}
    others = replace(graph, inputs=tuple(tensor for tensor in graph.inputs if tensor.name not in taken))
    forms = forms_of(others, len(names or sample or ()))
    features = choose([form.behind(prepared) for form in forms], names, sample, renamed)
    asked = path if not (options or classes) else own.SerializeToString() or None
    return Opened(graph, features, classes, files, asked, unproven)


def _is_small(model: onnx.ModelProto) -> bool:
    """Whether there is room for another copy of it."""
    try:
        return bool(model.ByteSize() <= _MOST_COPIED)
    except ValueError:  # it has no size that can be told
        return False


def _fitting(offered: Offered, graph: onnx.GraphProto) -> Offered:
    """What a folder says of texts and images, where the graph takes any: it may be of one part of a model."""
    left = dict(offered)
    if "tokenizer" in offered and not takes_tokens(graph):
        left = {name: value for name, value in left.items() if name not in ABOUT_TEXTS}
    if "preprocessor" in offered and not takes_image(graph):
        del left["preprocessor"]
    return cast("Offered", left)


def _text(tokens: Tokens, tokenizer: Tokenizer) -> Feature:
    prepare = TextPreparation(
        TOKENIZER_FILE, tokenizer.sha256, tokenizer.max_length, tokens.mask, tokens.types, tokenizer.pad
    )
    return Feature("text", "VARCHAR", tokens.ids, prepare=prepare)
