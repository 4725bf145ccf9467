"""Graph surgery: whatever axis a model counts its rows on, the engines see tensors with the rows first.

What is done here is done once, in the graph itself, so that every engine runs the same plain model: [rows, …] in,
[rows, …] out. Element types that SQL does not have are cast at the border, sequences become tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.axes import Layout, RowAxes, fixed_rows, row_axes
from sqlinfer.graphs.build import default_opset, fresh_name, node_with_numbers, with_bodies
from sqlinfer.models.signature import Tensor
from sqlinfer.types import DTYPES

__all__ = [
    "Parts",
    "distinct_names",
    "inputs_rows_first",
    "outputs_rows_first",
    "shape_of",
    "tell_outputs_apart",
    "tensors_of_sequences",
    "widen_outputs",
]

# Element types that SQL does not have → the one that holds their values exactly.
_HOLDS: dict[int, int] = {
    TensorProto.BFLOAT16: TensorProto.FLOAT,
    TensorProto.FLOAT8E4M3FN: TensorProto.FLOAT,
    TensorProto.FLOAT8E4M3FNUZ: TensorProto.FLOAT,
    TensorProto.FLOAT8E5M2: TensorProto.FLOAT,
    TensorProto.FLOAT8E5M2FNUZ: TensorProto.FLOAT,
    TensorProto.INT4: TensorProto.INT8,
    TensorProto.UINT4: TensorProto.UINT8,
}


def inputs_rows_first(
    model: onnx.ModelProto, layout: Layout, origin: object
) -> tuple[tuple[Tensor, ...], tuple[RowAxes, ...]]:
    """Change the graph so that every input has its rows on the first axis: the inputs, and where their rows may have
    been, of which the first is what was taken.

    Raises InvalidModel for an input that is no tensor, or when it cannot be seen where the rows are.
    """
    graph = model.graph
    _set_constants(graph, layout, origin)
    _forget_defaults(graph, set(layout.axes))
    defaults = {tensor.name for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer))}
    values = [value for value in graph.input if value.name not in defaults]
    _check_names(layout, values, graph.output, origin)
    _check_types(values, origin)
    if not values:
        raise InvalidModel(f"{origin} takes no input, so there is nothing to predict from")
    for value in values:
        _free_lengths(value)
    shapes = {value.name: shape_of(value) for value in values}
    choices = row_axes(shapes, layout, origin)
    axes = choices[0]
    fixed = 1 if layout.row_by_row else fixed_rows(shapes, axes)
    inputs = (_row_first(model, value, axes[value.name], fixed, layout.row_by_row) for value in values)
    return tuple(inputs), choices


def outputs_rows_first(model: onnx.ModelProto, axes: Mapping[str, Sequence[int] | None]) -> None:
    """Permute the axes of each output as given, so that its rows come first; None: the run was one row's own."""
    for name, axes_in_order in axes.items():
        inner = _set_aside(model.graph, name)
        if axes_in_order is None:
            model.graph.node.append(node_with_numbers(model, "Unsqueeze", inner, name, 13, axes=[0]))
        else:
            model.graph.node.append(helper.make_node("Transpose", [inner], [name], perm=list(axes_in_order)))
            default_opset(model)
        output = next(output for output in model.graph.output if output.name == name)
        output.CopyFrom(helper.make_tensor_value_info(name, output.type.tensor_type.elem_type, None))


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that SQL, which ignores case, takes for one before."""
    distinct: dict[str, str] = {}
    for name in names:
        numbered = chain([name], (f"{name}_{i}" for i in count(2)))
        new = next(one for one in numbered if one.lower() not in distinct)
        distinct[new.lower()] = new
    return list(distinct.values())


def tell_outputs_apart(model: onnx.ModelProto) -> None:
    """Other names for outputs whose own differ only in case. One that is listed twice is one output."""
    passed = {value.name for value in model.graph.input}
    outputs = list({output.name: output for output in model.graph.output}.values())
    outputs.sort(key=lambda output: output.name not in passed)  # an input keeps its name
    for output, name in zip(outputs, distinct_names([output.name for output in outputs]), strict=True):
        if name != output.name and output.name in passed:
            model.graph.node.append(helper.make_node("Identity", [output.name], [fresh_name(model.graph, name)]))
            output.name = model.graph.node[-1].output[0]
            default_opset(model)
        elif name != output.name:
            output.name = _set_aside(model.graph, output.name, name)


def widen_outputs(model: onnx.ModelProto) -> None:
    """Cast what leaves the graph in an element type that SQL does not have."""
    passed = {value.name for value in model.graph.input}
    for output in model.graph.output:
        elem = output.type.tensor_type.elem_type
        held = _held(elem)
        if held != elem and output.name not in passed:  # an input that is passed on comes in a form that SQL has
            inner = _set_aside(model.graph, output.name)
            model.graph.node.append(helper.make_node("Cast", [inner], [output.name], to=held))
            output.type.tensor_type.elem_type = held


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sequence of tensors is in SQL. ``count``: of tensors of several shapes, each an output of its own; None:
    of equal ones, a list, ``axis`` being where they stand beside one another: after the rows where each of them has its
    rows first, else before all that they have. ``empty``: the shape of the list when it is empty, -1 for the rows;
    None where that cannot be."""

    count: int | None = None
    axis: int = 1
    empty: tuple[int, ...] | None = None


def tensors_of_sequences(model: onnx.ModelProto, parts: Mapping[str, Parts]) -> dict[str, list[str]]:
    """Let each sequence of tensors leave the graph as tensors, and return the names of these."""
    names = {}
    elements = {output.name: output.type.sequence_type.elem_type.tensor_type.elem_type for output in model.graph.output}
    for sequence, found in parts.items():
        inner = _set_aside(model.graph, sequence)
        if found.count is None:
            names[sequence] = [sequence]
            _stack(model, inner, sequence, found, elements[sequence])
        else:
            names[sequence] = [_part(model, inner, f"{sequence}_{i}", i) for i in range(found.count)]
    outputs = list(model.graph.output)
    del model.graph.output[:]
    for output in outputs:
        shown = names.get(output.name)
        tensors = [helper.make_tensor_value_info(name, elements[output.name], None) for name in shown or ()]
        model.graph.output.extend([output] if shown is None else tensors)
    default_opset(model)
    widen_outputs(model)
    return names


def _stack(model: onnx.ModelProto, sequence: str, name: str, parts: Parts, elem: int) -> None:
    """The tensors of a sequence beside one another, which ONNX Runtime only does with one or more."""
    joined = helper.make_node("ConcatFromSequence", [sequence], [name], axis=parts.axis, new_axis=1)
    if parts.empty is None:
        model.graph.node.append(joined)
        return
    graph = model.graph
    length, none, is_empty, some = (
        fresh_name(graph, f"{name}/{what}") for what in ("length", "none", "is_empty", "some")
    )
    joined.output[0] = some
    nodes = _nothing(model, f"{name}/nothing", parts.empty, elem)
    bodies = {
        "then_branch": helper.make_graph(nodes, none, [], [_untold(nodes[-1].output[0], elem)]),
        "else_branch": helper.make_graph([joined], some, [], [_untold(some, elem)]),
    }
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), none))
    graph.node.extend(
        [
            helper.make_node("SequenceLength", [sequence], [length]),
            helper.make_node("Equal", [length, none], [is_empty]),
            helper.make_node("If", [is_empty], [name], **bodies),
        ]
    )


def _nothing(model: onnx.ModelProto, name: str, shape: Sequence[int], elem: int) -> list[onnx.NodeProto]:
    """Nodes that make a tensor without values of a shape, in which -1 stands for as many rows as the inputs have."""
    values, rows, axes = (fresh_name(model.graph, f"{name}/{what}") for what in ("values", "rows", "axes"))
    one = helper.make_tensor(values, elem, [abs(length) for length in shape], [])
    constant = helper.make_node("Constant", [], [values], value=one)
    if -1 not in shape:
        return [constant]
    inner = helper.make_node("Constant", [], [axes], value=numpy_helper.from_array(np.array(shape[1:], np.int64)))
    lengths, whole = (fresh_name(model.graph, f"{name}/{what}") for what in ("lengths", "shape"))
    return [
        constant,
        inner,
        helper.make_node("Shape", [model.graph.input[0].name], [lengths]),
        node_with_numbers(model, "Slice", lengths, rows, 10, starts=[0], ends=[1], axes=[0]),
        helper.make_node("Concat", [rows, axes], [whole], axis=0),
        helper.make_node("Expand", [values, whole], [fresh_name(model.graph, name)]),
    ]


def _untold(name: str, elem: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, elem, None)


def _part(model: onnx.ModelProto, sequence: str, name: str, place: int) -> str:
    name = fresh_name(model.graph, name)
    index = fresh_name(model.graph, f"{name}/place")
    model.graph.initializer.append(numpy_helper.from_array(np.array(place, np.int64), index))
    model.graph.node.append(helper.make_node("SequenceAt", [sequence, index], [name]))
    return name


def _set_constants(graph: onnx.GraphProto, layout: Layout, origin: object) -> None:
    for name, given in layout.constants.items():
        value = next((value for value in graph.input if value.name == name), None)
        if value is None:
            raise InvalidModel(f"{origin} has no input {name!r} that could be constant; {_listed(graph.input)}")
        tensor = value.type.tensor_type
        shape = [dim.dim_value or -1 for dim in tensor.shape.dim]
        try:
            array = np.asarray(given, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
            array = np.broadcast_to(array, [max(n, 1) for n in shape]) if not array.ndim else array.reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidModel(f"{origin}: {given!r} is no constant for input {name!r} ({error})") from error
        old = next((tensor for tensor in graph.initializer if tensor.name == name), None)
        if old is not None:
            graph.initializer.remove(old)
        graph.input.remove(value)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _forget_defaults(graph: onnx.GraphProto, named: set[str]) -> None:
    """Inputs that have a value already are features all the same where the user says which axis counts their rows."""
    named &= {value.name for value in graph.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in named]:
        graph.initializer.remove(tensor)
    for sparse in [sparse for sparse in graph.sparse_initializer if sparse.values.name in named]:
        graph.sparse_initializer.remove(sparse)


def _free_lengths(value: onnx.ValueInfoProto) -> None:
    """A length of 0 is how some exporters (MXNet) write any; ONNX Runtime takes it at its word."""
    for dim in value.type.tensor_type.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value <= 0:
            dim.ClearField("dim_value")


def _check_names(
    layout: Layout,
    values: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    origin: object,
) -> None:
    unknown = sorted(set(layout.axes) - {value.name for value in (*values, *outputs)})
    if unknown:
        raise InvalidModel(f"{origin} has no input {unknown[0]!r} to take the batch axis of; {_listed(values)}")


def _check_types(values: Sequence[onnx.ValueInfoProto], origin: object) -> None:
    for value in values:
        if value.type.WhichOneof("value") != "tensor_type":
            kind = str(value.type.WhichOneof("value")).removesuffix("_type")
            raise InvalidModel(
                f"{origin}: input {value.name!r} is a {kind}; only tensors can be made from columns. "
                "Export the model with tensor inputs"
            )
        elem = value.type.tensor_type.elem_type
        if not value.type.tensor_type.HasField("shape"):
            raise InvalidModel(
                f"{origin}: input {value.name!r} does not say how many axes it has; export the model with its shapes"
            )
        if dtype_name(_held(elem)) not in DTYPES:
            raise InvalidModel(
                f"{origin}: input {value.name!r} has the element type {dtype_name(elem)}, which SQL does not have"
            )


def _row_first(
    model: onnx.ModelProto, value: onnx.ValueInfoProto, axis: int | None, fixed: int | None, row_by_row: bool
) -> Tensor:
    """One input as the engines see it; the nodes that turn it into what the graph was made for."""
    tensor = value.type.tensor_type
    elem = tensor.elem_type
    dims = shape_of(value)
    inner = dims if axis is None else [*dims[:axis], *dims[axis + 1 :]]
    shape = (fixed, *(dim if isinstance(dim, int) else None for dim in inner))
    held = _held(elem)
    if axis != 0 or held != elem:
        name, graph = value.name, model.graph
        wanted = _set_aside(graph, name)
        # first the axes: ONNX does not move those of every element type
        moved = fresh_name(graph, f"{name}/moved") if held != elem and axis != 0 else wanted
        nodes = []
        if axis is None:
            nodes += _first_row(model, name, moved)
        elif axis:
            back = [*range(1, axis + 1), 0, *range(axis + 1, len(dims))]
            nodes.append(helper.make_node("Transpose", [name], [moved], perm=back))
        if held != elem:
            nodes.append(helper.make_node("Cast", [moved if axis != 0 else name], [wanted], to=elem))
        for node in reversed(nodes):
            graph.node.insert(0, node)
        default_opset(model)
        value.CopyFrom(helper.make_tensor_value_info(name, held, list(shape)))
        for output in [output for output in graph.output if output.name == name]:
            output.CopyFrom(value)
    return Tensor(value.name, dtype_name(held), shape, shared=axis is None and not row_by_row)


def _set_aside(graph: onnx.GraphProto, name: str, other: str = "") -> str:
    """Give the value ``name`` another name wherever it is made and used, so that the old one can mean its new form."""
    inner = fresh_name(graph, other or f"{name}/original")
    for part in with_bodies(graph):
        for node in part.node:
            node.input[:] = [inner if used == name else used for used in node.input]
            node.output[:] = [inner if made == name else made for made in node.output]
        for stale in [value for value in part.value_info if value.name == name]:
            part.value_info.remove(stale)
        for tensor in part.initializer:
            if tensor.name == name:
                tensor.name = inner
    return inner


def _first_row(model: onnx.ModelProto, source: str, target: str) -> list[onnx.NodeProto]:
    """Slice and squeeze: ONNX Runtime 1.32's Gather copies only the first text of a row of texts."""
    row = fresh_name(model.graph, f"{target}/row")
    nodes = [node_with_numbers(model, "Slice", source, row, 10, starts=[0], ends=[1], axes=[0])]
    return [*nodes, node_with_numbers(model, "Squeeze", row, target, 13, axes=[0])]


def _held(elem_type: int) -> int:
    return _HOLDS.get(elem_type, elem_type)


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """The declared axes: a length, or the name of a free one; it may be empty."""
    return [_dim(dim) for dim in value.type.tensor_type.shape.dim]


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else str(dim.dim_param)


def _listed(values: Sequence[onnx.ValueInfoProto]) -> str:
    return "its inputs are: " + ", ".join(value.name for value in values)


def dtype_name(elem_type: int) -> str:
    """ONNX's name of an element type, as `types.DTYPES` has it: float32, int64, string …"""
    if elem_type == TensorProto.STRING:
        return "string"
    if elem_type not in TensorProto.DataType.values():
        return f"number {elem_type}"
    name = str(TensorProto.DataType.Name(elem_type)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)
