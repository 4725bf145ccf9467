"""Do the rows of a run see one another? Where they lie is followed through a graph, from node to node, up to one that
computes across them.

Runs on trial rows show what is usual; a sum over the rows that is 0 but for one value is only seen in the graph. Shapes
are those of a run. Where it cannot be told how a value has its rows, nothing is said of what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper

from sqlinfer.graphs.build import constants_of
from sqlinfer.graphs.row_places import Lost, Mixed, Node, Order, Rows, Shape, seen_inside
from sqlinfer.graphs.row_rules import ACROSS_ALL, MEASURES, QUIET, RULES

__all__ = ["Asking", "may_mix", "mixing_node"]

_OPSET = 13  # for graphs that name none
_SHAPES = "sqlinfer shape of "
# What they make is no tensor, or may be none.
_NO_TENSORS = {"If", "Loop", "Optional", "OptionalGetElement", "SplitToSequence", "ZipMap"}


class Asking:
    """A graph whose outputs are the shapes of its values."""

    def __init__(self, content: bytes) -> None:
        model = onnx.load_model_from_string(content)
        self.model = onnx.inliner.inline_local_functions(model) if model.functions else model
        made = [node for node in self.model.graph.node if not _makes_others(node)]
        self._made = [name for node in made for name in node.output if name]

    @property
    def outputs(self) -> list[str]:
        return [_SHAPES + name for name in self._made]

    def content(self) -> bytes:
        asking = onnx.ModelProto()
        asking.CopyFrom(self.model)
        del asking.graph.output[:]
        for name, asked in zip(self._made, self.outputs, strict=True):
            asking.graph.node.append(helper.make_node("Shape", [name], [asked]))
            asking.graph.output.append(helper.make_tensor_value_info(asked, TensorProto.INT64, [None]))
        if not any(opset.domain in ("", "ai.onnx") for opset in asking.opset_import):
            asking.opset_import.append(helper.make_opsetid("", _OPSET))
        content: bytes = asking.SerializeToString()
        return content

    def shapes(self, given: Sequence[np.ndarray]) -> dict[str, Shape]:
        """By value. ``given``: the outputs."""
        shapes = {name: tuple(shape.tolist()) for name, shape in zip(self._made, given, strict=True)}
        return shapes | {tensor.name: tuple(tensor.dims) for tensor in self.model.graph.initializer}


def _makes_others(node: onnx.NodeProto) -> bool:
    return node.op_type in _NO_TENSORS or node.op_type.startswith("Sequence")


def may_mix(model: onnx.ModelProto) -> bool:
    """Whether the graph has any node but those that take a row by itself wherever it is."""
    return any(node.op_type not in QUIET for node in model.graph.node)


def mixing_node(model: onnx.ModelProto, rows: int, starts: Iterable[str], shapes: Mapping[str, Shape]) -> str | None:
    """The operator of the first node that computes across the rows of a run; None where none is known to.

    ``starts``: the inputs that have their rows on the first axis, ``rows`` of them. ``shapes``: by value, those of a
    run of so many rows.
    """
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    constants = constants_of(model)
    ranges = {name for node in model.graph.node if node.op_type == "Range" for name in node.output}
    known: dict[str, Rows | Order | None] = {name: Rows(0) for name in starts}
    for node in model.graph.node:
        used = [name for name in (*node.input, *seen_inside(node)) if name in known]
        if not used or node.op_type in MEASURES:
            continue
        try:
            found = _followed(Node(node, rows, opset, known, shapes, constants, ranges), used)
        except Mixed:
            return str(node.op_type)
        except (Lost, LookupError, ValueError, ArithmeticError):  # ONNX Runtime may take more than the operator says
            found = [None for _ in node.output]
        known.update({name: place for name, place in zip(node.output, found, strict=True) if name})
    made = (known.get(output.name) for output in model.graph.output)
    return "TopK" if any(isinstance(place, Rows) and place.order for place in made) else None


def _followed(node: Node, used: Sequence[str]) -> list[Rows | Order | None]:
    rule = RULES.get(node.op)
    if node.op in ACROSS_ALL:
        raise Mixed
    if rule is None or any(node.known[name] is None for name in used):
        raise Lost
    found = rule(node)
    each: list[Rows | Order | None] = [found] * len(node.names) if isinstance(found, Rows) else list(found)
    pairs = zip_longest(each[: len(node.names)], node.names)
    return [place if node.holds(place, name) else None for place, name in pairs]
