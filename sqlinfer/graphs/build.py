"""Build an ONNX graph node by node: the form in which our own converters write."""

from __future__ import annotations

from collections.abc import Iterable
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
        self._guards: list[str] = []
        self._count = 0

    def add(
        self,
        op: str,
        *inputs: str,
        name: str | None = None,
        ml: bool = False,
        label: str | None = None,
        **attributes: Any,
    ) -> str:
        """Append a node of one output; the name of the output. ``ml``: of the domain ai.onnx.ml. ``label``: the node's
        own name, which ONNX Runtime says when it fails."""
        name = name or self._name(op)
        domain = "ai.onnx.ml" if ml else ""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=label, domain=domain, **attributes))
        return name

    def add_several(self, op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Append a node of several outputs; their names."""
        names = [self._name(op) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def refuse(self, bad: str, message: str) -> None:
        """Let the run fail with the message where the scalar ``bad`` (int64) is 1: there is no such index. ONNX Runtime
        says the name of the node that fails, and that is the message."""
        self._guards.append(self.add("Gather", self.constant(np.zeros(1)), bad, label=self.refusal(message)))

    def refusal(self, message: str) -> str:
        """The name of a node that fails where a row is refused; no two nodes have the same name."""
        return f"refuses {len(self.nodes)}: {message}"

    def guarded(self, value: str, dtype: Any, *, name: str) -> str:
        """The value, of that type, of a run in which nothing is refused."""
        if not self._guards:
            return self.add("Identity", value, name=name)
        zero = self._guards[0]
        for guard in self._guards[1:]:
            zero = self.add("Add", zero, guard)
        if np.dtype(dtype) != np.float64:
            zero = self.add("Cast", zero, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        return self.add("Add", value, zero, name=name)

    def keep_only(self, outputs: Iterable[str]) -> None:
        """Drop the nodes and constants that these values do not need."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        self.nodes = nodes[::-1]
        self.constants = [tensor for tensor in self.constants if tensor.name in needed]

    def constant(self, values: Any) -> str:
        array = np.asarray(values)
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def model(
        self,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        *,
        ml_opset: int,
        opset: int = _OPSET,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "model", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="sqlinfer")

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{self._prefix}{stem}_{self._count}"
