"""Of how many rows a run must be a multiple, so that a row's last bits do not depend on where it lies in it.

ONNX Runtime computes some functions on registers of 16 bytes, and what remains at the end of a tensor one by one, by
another formula: the last bit of tanh(x) may then depend on how many values there are. Some products go another way for
a single row. Where a run has a multiple of four rows nothing remains; tests/sql/test_neighbours.py tries it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto

from sqlinfer.graphs.build import constants_of, tensor_types, with_bodies

__all__ = ["row_multiple"]

# Registers of four floats, or of two doubles.
_MULTIPLE = 4
_SINGLE = {"Acos", "Asin", "Atan", "Cos", "Log", "Mish", "Sin", "Softplus"}
_DOUBLE = {"Cos", "Exp", "Gelu", "Log", "Mish", "Sigmoid", "Sin", "Swish", "Tanh"}
# Those that keep a number for each row while they compute.
_DOUBLE_BY_ROW = {"LogSoftmax", "ReduceLogSum", "ReduceLogSumExp", "Softmax"}
# Those that go another way for a single row.
_ALONE = {"LinearClassifier", "LinearRegressor", "RNN", "SVMClassifier", "SVMRegressor"}
# Of two matrices, unless the second one is known and packed beforehand; of more there is a product for each row.
_PRODUCTS = {"Einsum", "Gemm", "MatMul"}
_SUSPECTS = _SINGLE | _DOUBLE | _DOUBLE_BY_ROW | _ALONE | _PRODUCTS


def row_multiple(model: onnx.ModelProto) -> int:
    """1 where it makes no difference. Of a value whose type ONNX cannot tell it is taken to make one."""
    constants = _without_rows(model)
    nodes = [node for node in _nodes(model.graph) if _may_leave_a_rest(node, constants)]
    # a function has names of its own
    others = [node for function in model.functions for node in _nodes(function) if _may_leave_a_rest(node, set())]
    tensors = tensor_types(model) if nodes else {}
    found = any(_leaves_a_rest(node, tensors) for node in nodes) or any(_leaves_a_rest(node, {}) for node in others)
    return _MULTIPLE if found else 1


def _nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    return (node for part in with_bodies(graph) for node in part.node)


def _without_rows(model: onnx.ModelProto) -> set[str]:
    """The values that no input changes: constants, and what is computed from them alone."""
    found = set(constants_of(model))
    for node in model.graph.node:
        if node.input and found.issuperset(name for name in node.input if name):
            found.update(node.output)
    return found


def _may_leave_a_rest(node: onnx.NodeProto, constants: set[str]) -> bool:
    """As far as it can be told without the types of its values, which take a look at the whole graph."""
    is_packed = node.op_type in ("Gemm", "MatMul") and constants.issuperset(node.input[1:2])
    return node.op_type in _SUSPECTS and not is_packed


def _leaves_a_rest(node: onnx.NodeProto, tensors: Mapping[str, onnx.TypeProto.Tensor]) -> bool:
    """Where a row has a multiple of four values, so has a run; a free axis has whole ones."""
    if node.op_type in _ALONE:
        return True
    tensor = tensors.get(node.input[0]) if node.input else None
    kind = tensor.elem_type if tensor is not None else TensorProto.UNDEFINED
    if node.op_type in _PRODUCTS:
        return tensor is not None and kind == TensorProto.FLOAT and len(tensor.shape.dim) < 3
    if node.op_type in _DOUBLE_BY_ROW:
        return kind in (TensorProto.DOUBLE, TensorProto.UNDEFINED)
    singles = node.op_type in _SINGLE and kind in (TensorProto.FLOAT, TensorProto.UNDEFINED)
    doubles = node.op_type in _DOUBLE and kind in (TensorProto.DOUBLE, TensorProto.UNDEFINED)
    if not singles and not doubles:
        return False
    axes = [axis.dim_value or 1 for axis in tensor.shape.dim[1:]] if tensor is not None else []
    return math.prod(axes) % _MULTIPLE > 0
