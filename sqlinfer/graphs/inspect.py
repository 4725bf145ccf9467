"""ONNX bytes → what can be known of the graph without running it.

Reads with the `onnx` package, which checks the file and keeps external data inside the model's own folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.axes import Layout, RowAxes
from sqlinfer.graphs.batch_axis import (
    Parts,
    inputs_rows_first,
    outputs_rows_first,
    shape_of,
    tell_outputs_apart,
    tensors_of_sequences,
    widen_outputs,
)
from sqlinfer.graphs.build import element_types
from sqlinfer.graphs.classes import Classes, classes_of
from sqlinfer.graphs.dynamic_shapes import data_dependent_outputs
from sqlinfer.graphs.linear import formula_of
from sqlinfer.graphs.refused_nodes import guard_divisions, random_node
from sqlinfer.graphs.row_multiple import row_multiple
from sqlinfer.graphs.sums import sum_in_one_order
from sqlinfer.graphs.tree_classifiers import Replaced, classify_by_sums
from sqlinfer.graphs.tree_limits import refusal
from sqlinfer.models.formula import Formula
from sqlinfer.models.signature import Tensor

__all__ = [
    "Graph",
    "external_files",
    "external_tensors",
    "inspect_file",
    "inspect_graph",
    "parse_model",
    "with_output_type",
    "with_rows_first",
    "with_tensors",
]

# A protobuf message cannot be larger; a model with more weights keeps them in external files.
_LARGEST = 2**31 - 1
# Sums of single precision in another order differ in the last digits; those of double precision far less.
_SINGLE = 1e-4
_DOUBLE = 1e-7
_PLAIN = Layout()
# What a repository holds in place of a large file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX graph that is ready to be stored: self-contained, without ZipMap, the rows first in every input.

    ``declared``: by output, the shape that the file declares (a name or "" for a free axis), None where it has none.
    ``row_axes``: where the inputs had their rows, and, where lengths are equal by chance, where else they may have had
    them. ``told``: what the user says of it, of inputs and outputs.
    ``data_dependent``: the outputs whose shapes may depend on the values of the rows. ``random``: the operator of a
    node that draws random numbers. ``sequences``: the outputs that are a sequence of tensors.
    ``classes``: by output, the classes that its values or columns are, where the graph says so.
    ``tolerance``: how far apart, relative to the answer, two faithful ways to compute it may be.
    ``neighbour_tolerance``: the same for a row alone and beside others; a graph that quantizes each batch by its own
    range changes answers by less than ``tolerance`` at times, and by more at others.
    ``formula``: the weighted sums that are all of it, if it is such a graph.
    ``replaced``: the classifiers that are written as sums of trees.
    ``apart``: the outputs that end in a sigmoid: shares that do not exclude one another.
    ``row_multiple``: of how many rows a run must be a multiple.
    ``takes_nan``: some node handles missing values (an Imputer, or trees that track them).
    """

    content: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    declared: dict[str, tuple[int | str, ...] | None]
    row_axes: tuple[RowAxes, ...]
    told: RowAxes
    data_dependent: frozenset[str]
    random: str | None
    sequences: tuple[str, ...]
    classes: dict[str, Classes]
    formula: Formula | None
    replaced: tuple[Replaced, ...]
    apart: frozenset[str]
    row_multiple: int
    takes_nan: bool
    tolerance: float
    neighbour_tolerance: float
    metadata: dict[str, str]
    producer: str


def inspect_file(
    path: Path,
    layout: Layout = _PLAIN,
    change: Callable[[onnx.ModelProto], None] = lambda model: None,
    *,
    sums: bool = True,
) -> Graph:
    """Read an .onnx file; ``change`` may add nodes to it. ``sums``: as in `inspect_graph`. Raises InvalidModel."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise InvalidModel(f"{path} is empty; export the model again")
    model = parse_model(content, path)
    if gone := next((name for name in external_files(model) if _is_gone(path.parent, name)), None):
        raise InvalidModel.no_weights(path, gone)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        if link := next((name for name in external_files(model) if _is_link(path.parent, name)), None):
            raise InvalidModel.linked_weights(path, link) from error
        raise InvalidModel(
            f"{path} keeps its weights in external files that cannot be loaded ({error}); "
            "they must lie in the folder of the model"
        ) from error
    if left := next(external_tensors(model), None):
        # ONNX Runtime would look for it in the folder that the process happens to be in
        raise InvalidModel(
            f"{path} keeps {left.name or 'a tensor'!r} in another file though no weights belong there: such a graph "
            "cannot be stored whole; export the model again, without external data"
        )
    change(model)
    return inspect_graph(model, path, layout, sums=sums)


def inspect_graph(model: onnx.ModelProto, origin: object, layout: Layout = _PLAIN, *, sums: bool = True) -> Graph:
    """Check a graph, strip what stands between its classes and SQL, and read what it says of itself. ``sums``: trees
    that classify are written as sums of trees, where that can be."""
    try:
        if model.ByteSize() > _LARGEST:
            raise InvalidModel(f"{origin} has more than 2 GB of weights, which one ONNX file cannot hold")
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        if isinstance(error, InvalidModel):
            raise
        # Operators of other domains and newer opsets are ONNX Runtime's to judge; a broken structure is not.
        if not model.graph.node or not model.graph.output:
            raise InvalidModel(f"{origin} is not a usable ONNX model: {_first_line(error)}") from error
    if (why := refusal(model)) is not None:
        raise InvalidModel(f"{origin}: {why}; register a model of other trees")
    guard_divisions(model)
    tell_outputs_apart(model)
    classes = classes_of(model.graph)
    _strip_zipmap(model)
    replaced = classify_by_sums(model) if sums else []
    widen_outputs(model)
    declared = {output.name: _declared(output) for output in model.graph.output}
    inputs, row_axes = inputs_rows_first(model, layout, origin)
    sum_in_one_order(model)
    return Graph(
        content=model.SerializeToString(),
        inputs=inputs,
        outputs=tuple(declared),
        declared=declared,
        row_axes=row_axes,
        told=layout.axes,
        data_dependent=data_dependent_outputs(model),
        random=random_node(model),
        sequences=tuple(output.name for output in model.graph.output if _is_sequence_of_tensors(output)),
        classes=classes,
        formula=formula_of(model.graph),
        replaced=tuple(replaced),
        apart=frozenset(output.name for output in model.graph.output if _is_sigmoid(model.graph, output.name)),
        row_multiple=row_multiple(model),
        takes_nan=any(_handles_missing(node) for node in model.graph.node),
        tolerance=_tolerance(model.graph),
        neighbour_tolerance=_DOUBLE if _quantizes_by_batch(model.graph) else _tolerance(model.graph),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        producer=f"{model.producer_name} {model.producer_version}".strip() or "ONNX",
    )


def with_rows_first(graph: Graph, axes: Mapping[str, Sequence[int] | None]) -> Graph:
    """The graph with the axes of some outputs permuted, so that their rows come first; None: a run is one row."""
    model = onnx.load_model_from_string(graph.content)
    outputs_rows_first(model, axes)
    return replace(graph, content=model.SerializeToString())


def with_tensors(graph: Graph, parts: Mapping[str, Parts]) -> Graph:
    """The graph with its sequences as tensors."""
    model = onnx.load_model_from_string(graph.content)
    names = tensors_of_sequences(model, parts)
    return replace(
        graph,
        content=model.SerializeToString(),
        outputs=tuple(output.name for output in model.graph.output),
        declared={output.name: _declared(output) for output in model.graph.output},
        # of several classifiers, none has the classes of the model
        classes=graph.classes if all(found.count is None for found in parts.values()) else {},
        data_dependent=graph.data_dependent | {part for name in graph.data_dependent for part in names.get(name, ())},
        sequences=(),
    )


def with_output_type(graph: Graph, name: str, element: str) -> Graph:
    """The graph with another element type declared of one output: ``FLOAT``, ``INT64`` …"""
    model = onnx.load_model_from_string(graph.content)
    output = next(output for output in model.graph.output if output.name == name)
    output.type.tensor_type.elem_type = TensorProto.DataType.Value(element)
    widen_outputs(model)
    return replace(graph, content=model.SerializeToString())


def parse_model(content: bytes, origin: object) -> onnx.ModelProto:
    """A graph without the weights that lie in other files. Raises InvalidModel."""
    if content.startswith(_POINTER):
        raise InvalidModel(f"{origin} is a pointer of Git LFS, not the model; fetch that with: git lfs pull")
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise InvalidModel(
            f"{origin} is not an ONNX file, or it is cut short or damaged: fetch it again, or export the model again"
        ) from error
    if not model.graph.node:
        raise InvalidModel(f"{origin} is not an ONNX model: it holds no graph")
    _require_text(model, origin)
    return model


def external_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """The tensors, wherever in a model they stand, whose values lie in other files."""
    for part in _parts(model):
        if isinstance(part, TensorProto) and part.data_location == TensorProto.EXTERNAL:
            yield part


def external_files(model: onnx.ModelProto) -> Iterator[str]:
    """The names of the files that hold weights of the model."""
    for tensor in external_tensors(model):
        yield next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _is_gone(folder: Path, name: str) -> bool:
    """Nothing outside of the folder is looked for."""
    try:
        file = (folder / name).resolve()
        return file.is_relative_to(folder.resolve()) and not file.exists()
    except (OSError, ValueError):  # a name that is none
        return False


def _is_link(folder: Path, name: str) -> bool:
    """Symbolic, or one of several hard ones, as some installers lay out what they have in store."""
    try:
        file = folder / name
        return ".." not in file.relative_to(folder).parts and (file.is_symlink() or file.stat().st_nlink > 1)
    except (OSError, ValueError):  # absolute, or a name that is none
        return False


def _parts(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _parts(part)


def _require_text(model: onnx.ModelProto, origin: object) -> None:
    """Protocol Buffers lets text that is none pass as bytes; what reads it later expects text."""
    for part in _parts(model):
        for field, value in part.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                for text in [value] if isinstance(value, (str, bytes)) else value:
                    if isinstance(text, bytes):
                        raise InvalidModel(f"{origin} is damaged: its {field.name} {text[:40]!r} is not UTF-8")


def _is_sequence_of_tensors(output: onnx.ValueInfoProto) -> bool:
    kind = output.type.sequence_type.elem_type if output.type.WhichOneof("value") == "sequence_type" else None
    return kind is not None and kind.WhichOneof("value") == "tensor_type"


def _declared(output: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    tensor = output.type.tensor_type
    return tuple(shape_of(output)) if tensor.HasField("shape") else None


def _strip_zipmap(model: onnx.ModelProto) -> None:
    """Let each ZipMap's scores leave the graph as the tensor they were: maps are slow, and SQL has its own."""
    graph = model.graph
    zipmaps = [node for node in graph.node if node.op_type == "ZipMap"]
    kinds = element_types(model) if zipmaps else {}
    for node in zipmaps:
        scores, zipped = node.input[0], node.output[0]
        graph.node.remove(node)
        for output in graph.output:
            if output.name == zipped:
                classes = max((len(a.strings) or len(a.ints) for a in node.attribute), default=0)
                # ONNX Runtime's ZipMap takes no doubles, but exporters write it behind them
                kind = TensorProto.DOUBLE if kinds.get(scores) == TensorProto.DOUBLE else TensorProto.FLOAT
                output.CopyFrom(onnx.helper.make_tensor_value_info(zipped, kind, [None, classes or None]))
        graph.node.append(onnx.helper.make_node("Identity", [scores], [zipped], name=f"scores_{zipped}"))


def _computes_in_single(graph: onnx.GraphProto) -> bool:
    """ONNX Runtime's classifiers and trees answer in single precision whatever they are given."""
    singles = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return (
        any(tensor.data_type in singles for tensor in graph.initializer)
        or any(value.type.tensor_type.elem_type in singles for value in (*graph.input, *graph.output))
        or any(node.domain == "ai.onnx.ml" and not _keeps_doubles(node) for node in graph.node)
    )


def _keeps_doubles(node: onnx.NodeProto) -> bool:
    """Trees compute in the precision of their splits."""
    if node.op_type == "TreeEnsemble":
        return any(a.name == "nodes_splits" and a.t.data_type == TensorProto.DOUBLE for a in node.attribute)
    return node.op_type == "LabelEncoder"


def _tolerance(graph: onnx.GraphProto) -> float:
    return _SINGLE if _computes_in_single(graph) else _DOUBLE


def _quantizes_by_batch(graph: onnx.GraphProto) -> bool:
    return any(node.op_type.startswith("DynamicQuantize") for node in graph.node)


def _is_sigmoid(graph: onnx.GraphProto, name: str) -> bool:
    made_by = {made: node for node in graph.node for made in node.output}
    for _ in range(len(made_by)):  # a damaged graph may go round in circles
        node = made_by.get(name)
        if node is None or node.op_type not in ("Identity", "Cast", "Reshape"):
            return node is not None and node.op_type == "Sigmoid"
        name = node.input[0]
    return False


def _handles_missing(node: onnx.NodeProto) -> bool:
    if node.op_type == "Imputer":
        return True
    return any(a.name == "nodes_missing_value_tracks_true" and any(a.ints) for a in node.attribute)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
