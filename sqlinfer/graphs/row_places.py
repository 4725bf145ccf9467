"""One node of a graph, and where the values that it takes have the rows of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from sqlinfer.graphs.build import with_bodies

__all__ = ["Lost", "Mixed", "Node", "Order", "Rows", "Shape", "seen_inside"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows are in a value: on this axis, whose places count ``left`` blocks, in each of them every row, and
    within a row what is more: of [tokens x rows, …] the left is how many tokens there are. ``order``: what has sorted
    them, as models of sequences sort them by length for a while."""

    axis: int
    left: int = 1
    order: str | None = None

    def at(self, axis: int, left: int | None = None) -> Rows:
        return Rows(axis, self.left if left is None else left, self.order)


@dataclass(frozen=True, slots=True)
class Order:
    """Numbers of rows, in the order that a node of that name has put them into, or by which that is undone."""

    of: str
    undone: bool = False


class Lost(Exception):
    """It has to do with the rows, and is not known where it has them."""


class Mixed(Exception):
    """A node computes across rows."""


class Node:
    """One node, and what is known of the values that it takes."""

    def __init__(
        self,
        node: onnx.NodeProto,
        rows: int,
        opset: int,
        known: Mapping[str, Rows | Order | None],
        shapes: Mapping[str, Shape],
        constants: Mapping[str, onnx.TensorProto],
        ranges: Collection[str],
    ) -> None:
        self.op = str(node.op_type)
        self.rows = rows
        self.opset = opset
        self.inputs = list(node.input)
        self.names = list(node.output)
        self.known = known
        self.node = node
        self._attributes: dict[str, onnx.AttributeProto] = {attribute.name: attribute for attribute in node.attribute}
        self._shapes = shapes
        self._constants = constants
        self._ranges = ranges

    def place(self, i: int = 0) -> Rows | None:
        """Of an input; None where it has none of the rows."""
        place = self.known.get(self.inputs[i]) if i < len(self.inputs) else None
        if isinstance(place, Order):
            raise Lost
        return place

    def order(self, i: int) -> Order | None:
        """Of an input that is one; None for any other."""
        order = self.known.get(self.inputs[i]) if i < len(self.inputs) else None
        return order if isinstance(order, Order) else None

    def is_range(self, i: int) -> bool:
        return self.inputs[i] in self._ranges

    def only(self, *inputs: int) -> Rows:
        """Of the first input, where no other but these has rows."""
        others = (i for i in range(len(self.inputs)) if i not in (0, *inputs))
        place = self.place()
        if place is None or any(self.place(i) is not None for i in others):
            raise Lost
        return place

    def shape(self, name: str) -> Shape:
        try:
            return self._shapes[name]
        except KeyError:
            raise Lost from None

    def shape_in(self, i: int = 0) -> Shape:
        return self.shape(self.inputs[i])

    @property
    def shape_out(self) -> Shape:
        return self.shape(self.names[0])

    def integer(self, name: str, default: int) -> int:
        return int(self._attributes[name].i) if name in self._attributes else default

    def integers(self, name: str) -> list[int] | None:
        return list(self._attributes[name].ints) if name in self._attributes else None

    def body(self, name: str) -> onnx.GraphProto:
        return self._attributes[name].g

    def text(self, name: str) -> str:
        return self._attributes[name].s.decode() if name in self._attributes else ""

    def constant(self, i: int) -> list[int] | None:
        """The numbers of an input; None where there is no such input. Of numbers that are computed nothing is known."""
        if i >= len(self.inputs) or not self.inputs[i]:
            return None
        if self.inputs[i] not in self._constants:
            raise Lost
        try:
            return [int(x) for x in np.ravel(numpy_helper.to_array(self._constants[self.inputs[i]]))]
        except (ValueError, TypeError, OverflowError):
            raise Lost from None

    def axis(self, default: int) -> int:
        return self.integer("axis", default) % max(len(self.shape_in()), 1)

    def holds(self, place: Rows | Order | None, name: str) -> bool:
        """Whether a value has room for the rows there."""
        if isinstance(place, Order):
            return True
        if place is None or name not in self._shapes:
            return False
        shape = self._shapes[name]
        block = place.left * self.rows
        return place.axis < len(shape) and shape[place.axis] > 0 and shape[place.axis] % block == 0


def seen_inside(node: onnx.NodeProto) -> list[str]:
    bodies = [body for a in node.attribute for body in (a.g, *a.graphs) if body.node or body.output]
    return [name for body in bodies for part in with_bodies(body) for inner in part.node for name in inner.input]
