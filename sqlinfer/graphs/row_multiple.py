"""Of how many rows a run must be a multiple, so that a row's last bits do not depend on where it lies in it.

ONNX Runtime computes some functions on registers of 16 bytes, and what remains at the end of a tensor one by one, by
another formula: the last bit of tanh(x) may then depend on how many values there are. Linear models go another way for
a single row. Where a run has a multiple of four rows nothing remains. tests/unit/test_row_multiple.py shows both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import TensorProto

from sqlinfer.graphs.build import tensor_types, with_bodies

__all__ = ["row_multiple"]

# Registers of four floats, or of two doubles.
_MULTIPLE = 4
_SINGLE = {"Acos", "Asin", "Atan", "Cos", "Log", "Mish", "Sin", "Softplus"}
_DOUBLE = {"Cos", "Exp", "Log", "Mish", "Sigmoid", "Sin", "Tanh"}
# Those that keep a number for each row while they compute.
_DOUBLE_BY_ROW = {"LogSoftmax", "ReduceLogSum", "ReduceLogSumExp", "Softmax"}
_LINEAR = {"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"}


def row_multiple(model: onnx.ModelProto) -> int:
    """1 where it makes no difference. Of a value whose type ONNX cannot tell it is taken to make one."""
    parts = [part for whole in (model.graph, *model.functions) for part in with_bodies(whole)]
    nodes = [node for part in parts for node in part.node]
    if not any(node.op_type in _SINGLE | _DOUBLE | _DOUBLE_BY_ROW | _LINEAR for node in nodes):
        return 1
    tensors = tensor_types(model)
    return _MULTIPLE if any(_leaves_a_rest(node, tensors) for node in nodes) else 1


def _leaves_a_rest(node: onnx.NodeProto, tensors: Mapping[str, onnx.TypeProto.Tensor]) -> bool:
    """Where a row has a multiple of four values, so has a run; a free axis has whole ones."""
    if node.op_type in _LINEAR:
        return True
    tensor = tensors.get(node.input[0]) if node.input else None
    kind = tensor.elem_type if tensor is not None else TensorProto.UNDEFINED
    if node.op_type in _DOUBLE_BY_ROW:
        return kind in (TensorProto.DOUBLE, TensorProto.UNDEFINED)
    singles = node.op_type in _SINGLE and kind in (TensorProto.FLOAT, TensorProto.UNDEFINED)
    doubles = node.op_type in _DOUBLE and kind in (TensorProto.DOUBLE, TensorProto.UNDEFINED)
    if not singles and not doubles:
        return False
    axes = [axis.dim_value or 1 for axis in tensor.shape.dim[1:]] if tensor is not None else []
    return math.prod(axes) % _MULTIPLE > 0
