"""Sums that are taken in one order wherever in memory a row begins.

ONNX Runtime adds the values of a row on registers of 16 bytes, and those before the first and behind the last whole
register one by one: which these are depends on the row's place in memory, so on its place in a run, unless a row is
whole registers long. A product with ones adds in one order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.graphs.build import GraphBuilder, constants_of, node_with_numbers, rewrite_nodes, tensor_types

__all__ = ["sum_in_one_order"]

_SUMS = {"ReduceMean", "ReduceSum"}
_KINDS: dict[int, type[np.floating]] = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}
_REGISTER = 4  # floats
_PREFIX = "sqlinfer sum "
# From it on Squeeze has its axes as an input.
_SQUEEZES_BY_INPUT = 13


def sum_in_one_order(model: onnx.ModelProto) -> None:
    """Let sums and means along the last axis be products with ones, where it is not known to be whole registers long.
    Those inside of If, Loop and Scan stay."""
    if not any(map(_is_sum, model.graph.node)):
        return
    constants, tensors = constants_of(model), tensor_types(model)
    # these begin wherever their first row does
    given = {value.name for value in model.graph.input}

    def ordered(builder: GraphBuilder, node: onnx.NodeProto) -> onnx.NodeProto:
        length = _summed(node, tensors, constants) if _is_sum(node) else 1
        if length == 0 or (length > 2 and (length % _REGISTER or node.input[0] in given)):
            return _product(model, builder, node, tensors[node.input[0]], length)
        return node

    rewrite_nodes(model, _PREFIX, ordered)


def _is_sum(node: onnx.NodeProto) -> bool:
    """ONNX's own: what another domain calls so may be anything."""
    return node.op_type in _SUMS and node.domain in ("", "ai.onnx") and len(node.input) > 0


def _summed(
    node: onnx.NodeProto, tensors: Mapping[str, onnx.TypeProto.Tensor], constants: Mapping[str, onnx.TensorProto]
) -> int:
    """How many values make one; 0 where each run has its own number, 1 where they are not those of the last axis."""
    tensor = tensors.get(node.input[0])
    if tensor is None or tensor.elem_type not in _KINDS or len(tensor.shape.dim) < 2:
        return 1
    axes = _numbers(node, "axes")
    if len(node.input) > 1 and node.input[1]:
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist() if node.input[1] in constants else None
    if axes not in ([-1], [len(tensor.shape.dim) - 1]):
        return 1
    return int(tensor.shape.dim[-1].dim_value)


def _product(
    model: onnx.ModelProto, builder: GraphBuilder, node: onnx.NodeProto, tensor: onnx.TypeProto.Tensor, length: int
) -> onnx.NodeProto:
    """The last node of it; the others are the builder's."""
    kind, last = _KINDS[tensor.elem_type], len(tensor.shape.dim) - 1
    if length:
        ones, count = builder.constant(np.ones((length, 1), kind)), builder.constant(kind(length))
    else:
        axis = builder.add("Gather", builder.add("Shape", node.input[0]), builder.constant(np.array([last])))
        shape = builder.add("Concat", axis, builder.constant(np.array([1])), axis=0)
        ones = builder.add("ConstantOfShape", shape, value=numpy_helper.from_array(np.ones(1, kind)))
        # the mean of no values is 0 in ONNX Runtime
        count = builder.add("Max", builder.add("Cast", axis, to=tensor.elem_type), builder.constant(kind(1)))
    value = builder.add("MatMul", node.input[0], ones)
    if node.op_type == "ReduceMean":
        value = builder.add("Div", value, count)
    if _numbers(node, "keepdims") == 0:
        return node_with_numbers(model, "Squeeze", value, node.output[0], _SQUEEZES_BY_INPUT, axes=[last])
    return helper.make_node("Identity", [value], [node.output[0]])


def _numbers(node: onnx.NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
