"""Nodes of our own among those that skl2onnx writes."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

from sqlinfer.models.convert.graph import GraphBuilder

__all__ = ["write"]

_ML_OPSET = 3


def write(graph: GraphBuilder, scope: Any, container: Any) -> None:
    """Put the nodes and constants of ``graph`` into the ``container`` that a converter of skl2onnx fills."""
    for tensor in graph.constants:
        if tensor.data_type == TensorProto.STRING:  # skl2onnx copies only the bytes of numbers
            container.add_initializer(tensor.name, TensorProto.STRING, list(tensor.dims), list(tensor.string_data))
        else:
            container.add_initializer(tensor.name, None, None, tensor)
    for node in graph.nodes:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            op_domain=node.domain,
            op_version=_ML_OPSET if node.domain else None,
            name=scope.get_unique_operator_name(node.op_type),
            **attributes,
        )
