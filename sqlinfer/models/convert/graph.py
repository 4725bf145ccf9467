"""Build an ONNX graph node by node: the form in which our own converters write."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["GraphBuilder"]

_IR_VERSION = 10  # the newest that ONNX Runtime 1.20 reads
_OPSET = 18


class GraphBuilder:
    """Nodes and constants under construction; every value has a name of its own that starts with ``prefix``."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._count = 0

    def add(self, op: str, *inputs: str, name: str | None = None, ml: bool = False, **attributes: Any) -> str:
        """Append a node of one output; the name of the output. ``ml``: of the domain ai.onnx.ml."""
        name = name or self._name(op)
        domain = "ai.onnx.ml" if ml else ""
        self.nodes.append(helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        array = np.asarray(values)
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], *, ml_opset: int
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "model", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", ml_opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="sqlinfer")

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{self._prefix}{stem}_{self._count}"
