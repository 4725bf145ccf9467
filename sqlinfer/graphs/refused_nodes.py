"""Nodes that no stored model may have as they are: those that answer at random, and divisions that end the process."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sqlinfer.graphs.build import GraphBuilder, constants_of, element_types, opset_of, rewrite_nodes, with_bodies

__all__ = ["guard_divisions", "random_node"]

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
# The quotient of the least integer and -1 is none of these types: the processor ends the process for it.
_WHOLE: dict[int, Any] = {TensorProto.INT32: np.int32, TensorProto.INT64: np.int64}
_DIVISIONS = {"Div", "Mod"}
_OPSET = 9  # of Where
_PREFIX = "sqlinfer_divisor_"


def random_node(model: onnx.ModelProto) -> str | None:
    """The operator of a node that gives one row another answer each time it is asked; None where there is none."""
    constants = constants_of(model)
    for node in _nodes(model):
        if node.op_type in _RANDOM or (node.op_type == "Dropout" and _trains(node, constants)):
            return str(node.op_type)
    return None


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in (model.graph, *model.functions):
        for part in with_bodies(graph):
            yield from part.node


def _trains(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether it drops anything. A missing ratio is a half, a missing mode is inference."""
    ratio, mode = (constants.get(name) for name in (*node.input[1:3], "", "")[:2])
    drops = ratio is None or bool(numpy_helper.to_array(ratio).any())
    return drops and mode is not None and bool(numpy_helper.to_array(mode).any())


def guard_divisions(model: onnx.ModelProto) -> None:
    """Let ONNX Runtime refuse the least integer divided by -1, which ends the process, as it refuses a division by
    zero: the divisor becomes 0 for it. Divisors that are constants, and those inside of If, Loop and Scan, stay."""
    constants = constants_of(model)
    divisions = {node.output[0] for node in model.graph.node if _divides(node, constants)}
    if (opset_of(model) or _OPSET) < _OPSET or not divisions:
        return
    kinds = element_types(model) | {name: tensor.data_type for name, tensor in constants.items()}

    def guarded(builder: GraphBuilder, node: onnx.NodeProto) -> onnx.NodeProto:
        whole = _WHOLE.get(next((kinds[name] for name in node.input if name in kinds), 0))
        if whole is not None and not divisions.isdisjoint(node.output):
            node.input[1] = _divisor(builder, node, whole)
        return node

    rewrite_nodes(model, _PREFIX, guarded)


def _divides(node: onnx.NodeProto, constants: Collection[str]) -> bool:
    return node.op_type in _DIVISIONS and len(node.input) == 2 and node.input[1] not in constants


def _divisor(builder: GraphBuilder, node: onnx.NodeProto, whole: Any) -> str:
    is_least = builder.add("Equal", node.input[0], builder.constant(whole(np.iinfo(whole).min)))
    is_minus_one = builder.add("Equal", node.input[1], builder.constant(whole(-1)))
    overflows = builder.add("And", is_least, is_minus_one)
    return builder.add("Where", overflows, builder.constant(whole(0)), node.input[1])
