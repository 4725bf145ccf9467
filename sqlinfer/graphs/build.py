"""Write ONNX graphs node by node, whole ones and what is added to others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = [
    "PRODUCER",
    "GraphBuilder",
    "constants_of",
    "default_opset",
    "element_types",
    "fresh_name",
    "node_with_numbers",
    "opset_of",
    "rewrite_nodes",
    "tensor_types",
    "with_bodies",
]

# Says of a graph that all of it was written here.
PRODUCER = "sqlinfer"
_IR_VERSION = 10  # the newest that ONNX Runtime 1.20 reads
_OPSET = 18
# For graphs that name no opset: one in which Unsqueeze, Gather and Transpose are what is added to them.
_UNNAMED_OPSET = 13


class GraphBuilder:
    """Nodes and constants under construction; every value has a name of its own that starts with ``prefix`` and is none
    of those that are ``taken``."""

    def __init__(self, prefix: str = "", taken: Iterable[str] = ()) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._taken = set(taken)
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

    def nodes_alone(self) -> list[onnx.NodeProto]:
        """The nodes with the constants as nodes among them, for a graph of any IR version: before version 4 a tensor
        beside the nodes is an input."""
        constants = (helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in self.constants)
        return [*constants, *self.nodes]

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
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name=PRODUCER)

    def _name(self, stem: str) -> str:
        while True:
            self._count += 1
            name = f"{self._prefix}{stem}_{self._count}"
            if name not in self._taken:
                return name


def opset_of(model: onnx.ModelProto) -> int | None:
    """The version of ONNX's own operators that the model uses, None where it names none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)


def default_opset(model: onnx.ModelProto) -> int:
    """The same; one is named if there was none."""
    opset = opset_of(model)
    if opset is None:
        opset = _UNNAMED_OPSET
        model.opset_import.append(helper.make_opsetid("", opset))
    return opset


def constants_of(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """By name, the tensors of the graph that no input changes: those beside its nodes, and those of Constant nodes."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found.update((name, tensor) for tensor in map(_constant, node.attribute) if tensor for name in node.output)
    return found


def _constant(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """What a Constant node with this attribute is; None for texts and sparse tensors."""
    if attribute.name == "value":
        return attribute.t
    types = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if attribute.name not in types:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), types[attribute.name]))


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """By value, its element type, as far as ONNX can tell."""
    return {name: tensor.elem_type for name, tensor in tensor_types(model).items()}


def tensor_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """By value, its element type and shape, as far as ONNX can tell."""
    values = [*model.graph.input, *model.graph.output]
    try:
        values += onnx.shape_inference.infer_shapes(model).graph.value_info
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        values += model.graph.value_info
    return {value.name: value.type.tensor_type for value in values}


def fresh_name(graph: onnx.GraphProto, name: str) -> str:
    """The name, or one like it that no value of the graph has."""
    taken = {value.name for value in (*graph.input, *graph.output)}
    for part in with_bodies(graph):
        taken |= {tensor.name for tensor in part.initializer} if isinstance(part, onnx.GraphProto) else set()
        taken |= {value for node in part.node for value in (*node.input, *node.output)}
    return next(one for one in chain([name], (f"{name}_{i}" for i in count(2))) if one not in taken)


def node_with_numbers(
    model: onnx.ModelProto, operator: str, source: str, target: str, since: int, **numbers: Sequence[int]
) -> onnx.NodeProto:
    """A node whose numbers are inputs from the opset ``since`` on, and attributes before."""
    if default_opset(model) < since:
        node = helper.make_node(operator, [source], [target])
        node.attribute.extend(helper.make_attribute(name, n) for name, n in numbers.items())
        return node
    names = [fresh_name(model.graph, f"{target}/{name}") for name in numbers]
    tensors = [
        numpy_helper.from_array(np.array(n, np.int64), name) for name, n in zip(names, numbers.values(), strict=True)
    ]
    model.graph.initializer.extend(tensors)
    return helper.make_node(operator, [source, *names], [target])


def rewrite_nodes(
    model: onnx.ModelProto, prefix: str, rewritten: Callable[[GraphBuilder, onnx.NodeProto], onnx.NodeProto]
) -> None:
    """Change ``model``: each node of its graph is what ``rewritten`` gives back for it, behind the nodes that it adds
    to the builder. Nodes inside of If, Loop and Scan stay."""
    builder = GraphBuilder(prefix, {name for node in model.graph.node for name in node.output})
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        builder.nodes, builder.constants = [], []
        last = rewritten(builder, node)
        nodes += [*builder.nodes_alone(), onnx.NodeProto.FromString(last.SerializeToString())]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def with_bodies(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, or a function of the file, and the bodies of its If, Loop and Scan, which see its values by name."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                if body.node or body.output:
                    yield from with_bodies(body)
