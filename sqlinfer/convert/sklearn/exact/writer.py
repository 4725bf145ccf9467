"""The graph under construction: its inputs, columns as matrices, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sqlinfer.convert.missing import MISSING
from sqlinfer.convert.sklearn.exact.inputs import Inputs
from sqlinfer.convert.sklearn.exact.table import Column, NeedsIntegers, Table, Unsupported
from sqlinfer.convert.trees import Tree, add_trees
from sqlinfer.graphs.build import GraphBuilder

__all__ = ["Writer", "is_missing", "name_of"]

_OPSET = 20  # the first that splits texts
# As in runtime.words
_SECTION = "\ufdd1"
DOUBLE = np.dtype(np.float64)
SINGLE = np.dtype(np.float32)
# A file of more takes longer to read than it saves.
_MOST_NODES = 4_000_000
# From here on a double is not the only whole number that it stands for.
WHOLE = 2.0**53


def name_of(step: Any) -> str:
    return type(step).__name__


class Writer(GraphBuilder):
    """Nodes in double precision; ``round`` is where scikit-learn computes in single."""

    def __init__(self, inputs: Inputs, *, foreign_single: bool = False) -> None:
        """``foreign_single``: steps of skl2onnx are written in single precision."""
        super().__init__()
        self.inputs = inputs
        self.foreign_single = foreign_single
        self.foreign: list[str] = []
        self.widths: dict[str, int] = dict(inputs.widths)
        self.sections: dict[int, list[dict[str, Any]]] = {}
        self.widest = 0
        self._in_single = dict(inputs.singles)
        self._safe: dict[str, set[str]] = {}
        self._known: dict[tuple[Any, ...], str] = {}

    # Inputs

    def first(self, inputs: Inputs) -> Table:
        """The features, as the sample has them."""
        for value, source in inputs.casts.items():
            self.add("Cast", source, name=value, to=TensorProto.DOUBLE)
        return inputs.table

    def section(self, column: Column, fields: dict[str, Any]) -> str:
        """A text feature, cut as the fields say before it is given to the graph."""
        if column.feature is None:
            raise Unsupported("texts that another step has changed")
        known = self.sections.setdefault(column.feature, [])
        if fields not in known:
            known.append(fields)
        return f"{column.value}_cut_{known.index(fields)}"

    def zeros(self) -> str:
        """[rows, 1]."""
        source = self.inputs.infos[0].name
        rows = self.add("Slice", self.add("Shape", source), self.whole([0]), self.whole([1]))
        shape = self.add("Concat", rows, self.whole([1]), axis=0)
        return self.add("Expand", self.number([[0.0]]), shape)

    def singles(self, table: Table) -> str | None:
        """The features as they are given, where they are all of a matrix of singles, in its order."""
        source = table.columns[0].value
        whole = [(source, i) for i in range(self.widths[source])]
        same = [(column.value, column.place) for column in table.columns] == whole
        return self._in_single.get(source) if same else None

    def also_single(self, value: str, single: str) -> None:
        """The same numbers were computed in single precision before they were cast to doubles."""
        self._in_single[value] = single

    # Columns and matrices

    def table(self, value: str, width: int, dtype: Any = DOUBLE, *, sparse: bool = False, safe: str = "") -> Table:
        """The columns of a matrix that a step has made. ``safe``: as `mark`."""
        self.widths[value] = width
        self.mark(value, safe)
        return Table(tuple(Column(value, i, np.dtype(dtype)) for i in range(width)), sparse)

    def mark(self, value: str, safe: str) -> None:
        """Note what is known of a matrix: that it holds no 'nan', no 'inf', nothing too large for a 'single'."""
        self._safe.setdefault(value, set()).update(safe.split())

    def safety(self, value: str) -> str:
        return " ".join(sorted(self._safe.get(value, ())))

    def matrix(self, table: Table) -> str:
        """The columns as one matrix of doubles, whatever they were."""
        if any(column.is_text for column in table.columns):
            raise Unsupported("texts where it takes numbers")
        if not table.columns:
            raise Unsupported("a step without columns")
        key = ("matrix", tuple((column.value, column.place) for column in table.columns))
        if key not in self._known:
            parts = [
                self._part(value, [c.place for c in run])
                for value, run in groupby(table.columns, key=lambda c: c.value)
            ]
            self._known[key] = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)
            self.widths[self._known[key]] = table.width
            shared = set.intersection(*(self._safe.get(part, set()) for part in parts))
            self.mark(self._known[key], " ".join(shared))
        return self._known[key]

    def _part(self, value: str, places: list[int]) -> str:
        if places == list(range(self.widths[value])):
            return value
        if places == list(range(places[0], places[-1] + 1)):
            ends = (self.constant(np.array([n], np.int64)) for n in (places[0], places[-1] + 1, 1))
            part = self.add("Slice", value, *ends)
        else:
            part = self.add("Gather", value, self.constant(np.array(places, np.int64)), axis=1)
        self.widths[part] = len(places)
        self.mark(part, self.safety(value))
        return part

    def column(self, column: Column) -> str:
        """One column as a matrix [rows, 1], of doubles or of texts."""
        return column.value if column.is_text else self.matrix(Table((column,)))

    def numbers(self, table: Table, step: Any, *, nan: bool = False, inf: bool = False, single: bool = False) -> str:
        """The matrix that a step takes, once it is known to hold no NaN and nothing infinite, but what is allowed;
        ``single``: nor what is infinite in single precision."""
        value = self.matrix(table)
        said = {"nan": not nan, "inf": not inf, "single": single}
        unwanted = {what for what, is_unwanted in said.items() if is_unwanted}
        for source, run in groupby(table.columns, key=lambda c: c.value):
            self.check(self._part(source, [c.place for c in run]), step, unwanted)
        self.mark(value, " ".join(unwanted))
        return value

    def check(self, value: str, step: Any, unwanted: set[str]) -> None:
        """Refuse rows whose values are NaN ('nan'), infinite ('inf') or so in single precision ('single')."""
        unwanted = unwanted - self._safe.get(value, set())
        if not unwanted:
            return
        single = "single" in unwanted
        numbers = self.add("Cast", value, to=TensorProto.FLOAT) if single else value
        what = "NaN or infinite" if "nan" in unwanted else "infinite"
        large = ", or too large for single precision" if "single" in unwanted else ""
        message = (
            f"a number is {what}{large}, which {name_of(step)} does not take; leave such rows out, "
            "or write TRY(predict(…)) for NULL in their place"
        )
        if "nan" in unwanted:
            zero = self.constant(np.array(0, SINGLE if single else DOUBLE))
            total = self.add("ReduceSum", self.add("Mul", numbers, zero), keepdims=0)
            self.refuse(self.add("Cast", self.add("IsNaN", total), to=TensorProto.INT64), message)
        else:
            self.refuse_any(self.add("IsInf", numbers), message)
        self.mark(value, " ".join(unwanted | ({"inf"} if unwanted & {"nan", "single"} else set())))

    def refuse_any(self, bad: str, message: str) -> None:
        """Let the run fail where any of the values (bool) is true."""
        count = self.add("ReduceSum", self.add("Cast", bad, to=TensorProto.INT64), keepdims=0)
        self.refuse(self.add("Sign", count), message)

    def refuse_above(self, value: str, most: float, step: Any, why: str) -> None:
        """Let the run fail where a number is farther from zero than ``most``."""
        self.refuse_any(
            self.add("Greater", self.add("Abs", value), self.number(most)),
            f"a number is farther from zero than {most:.10g}, {why} in {name_of(step)}; leave such rows out, "
            "or write TRY(predict(…)) for NULL in their place",
        )

    def refuse_overflow(self, value: str, table: Table, step: Any) -> None:
        """Refuse what scikit-learn squares to infinity."""
        if "single" in self._safe.get(value, ()) and not table.single:
            return
        precision = "single" if table.single else "double"
        self.refuse_above(value, 1e15 if table.single else 1e150, step, f"where {precision} precision has no squares")

    def answer(self, value: str, dtype: Any = DOUBLE, *, name: str) -> str:
        """An output of the graph, of a run in which nothing is refused."""
        if np.dtype(dtype) == SINGLE:
            value = self._in_single.get(value) or self.add("Cast", value, to=TensorProto.FLOAT)
        return self.guarded(value, dtype, name=name)

    # Arithmetic

    def number(self, values: Any) -> str:
        return self.constant(np.asarray(values, np.float64))

    def bound(self, number: Any, table: Table) -> str:
        """What a step compares its columns with, as NumPy does: a plain number is as precise as they are."""
        return self.number(np.asarray(number, np.result_type(table.dtype, number)))

    def whole(self, values: Any) -> str:
        return self.constant(np.asarray(values, np.int64))

    def round(self, value: str, table: Table | bool) -> str:
        """As scikit-learn keeps it: of singles, the nearest single."""
        single = table.single if isinstance(table, Table) else table
        if not single:
            return value
        return self.add("Cast", self.add("Cast", value, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)

    def weighted(self, value: str, weights: Any, intercepts: Any = None) -> str:
        """Sums of the columns: ``weights`` is [outputs, columns], ``intercepts`` [outputs] or one number."""
        sums = self.add("MatMul", value, self.number(np.atleast_2d(np.asarray(weights, np.float64)).T))
        ends = np.zeros(1) if intercepts is None else np.atleast_1d(np.asarray(intercepts, np.float64))
        return self.add("Add", sums, self.number(ends)) if np.any(ends) else sums

    def total(self, value: str) -> str:
        """The sum of each row, [rows, 1]."""
        return self.add("ReduceSum", value, self.whole([1]), keepdims=1)

    def one_hot(self, index: str, count: int) -> str:
        """[rows] or [rows, 1] of int64 → [rows, count]."""
        found = self.add("Gather", self.number(np.eye(count)), index)
        return self.add("Reshape", found, self.whole([-1, count]))

    def best(self, scores: str) -> str:
        """The column with the highest score, the first of equals: [rows]."""
        return self.add("ArgMax", scores, axis=1, keepdims=0)

    def pair(self, second: str, first: str | None = None) -> str:
        """[rows, 1] of the second of two classes → both; the first is 1 minus it where nothing else is said."""
        first = first or self.add("Sub", self.number(1), second)
        return self.add("Concat", first, second, axis=1)

    def trees(self, trees: Sequence[Tree], value: str, targets: int) -> str:
        """The sums of all trees, [rows, targets]."""
        copies = sum(len(tree.feature) * len(next(iter(tree.leaf.values()))) for tree in trees)
        if copies > _MOST_NODES and all(len(next(iter(tree.leaf.values()))) == targets for tree in trees):
            return self._trees_of_leaves(trees, value, targets)
        return add_trees(self, trees, value, targets=targets, base=[0.0] * targets, double=True)

    def _trees_of_leaves(self, trees: Sequence[Tree], value: str, targets: int) -> str:
        """Where a tree for each target would be too many: a tree tells the leaf, and a table what it holds."""
        rows: list[Sequence[float]] = []
        finders = []
        for number, tree in enumerate(trees):
            places: dict[int, Sequence[float]] = {leaf: [float(len(rows) + i)] for i, leaf in enumerate(tree.leaf)}
            rows += tree.leaf.values()
            finders.append(replace(tree, leaf=places, target=number))
        found = add_trees(self, finders, value, targets=len(trees), base=[0.0], double=True)
        index = self.add("Cast", found, to=TensorProto.INT64)
        self.need(len(trees) * targets)
        return self.add("ReduceSum", self.add("Gather", self.number(rows), index), self.whole([1]), keepdims=0)

    def need(self, numbers: int) -> None:
        """Note how many numbers a row takes at a wide place of the graph: it limits how many rows are run at once."""
        self.widest = max(self.widest, numbers)

    # Categories

    def codes(self, column: Column, categories: Sequence[Any], values: Any, default: Any) -> str:
        """The value of each category: [rows, 1], of doubles or of int64; ``default`` for what is none of them."""
        values = np.asarray(values)
        if column.is_text:
            keys: Any = np.array([MISSING if is_missing(c) else str(c) for c in categories], object)
            source = column.value
            if any(not isinstance(c, str) and not is_missing(c) for c in categories):
                raise Unsupported("categories that are numbers in a column of texts")
            if MISSING in [c for c in categories if isinstance(c, str)]:
                raise Unsupported(f"a category {MISSING!r}")
        else:
            keys, source = self._numeric_keys(column, categories)
        if not len(keys):
            keys = np.array(["\ufffe"], object) if column.is_text else np.array([np.nan])
            values = np.full(1, default, values.dtype)
        return self.add(
            "LabelEncoder",
            source,
            ml=True,
            keys_tensor=numpy_helper.from_array(keys),
            values_tensor=numpy_helper.from_array(values),
            default_tensor=numpy_helper.from_array(np.array([default], values.dtype)),
        )

    def _numeric_keys(self, column: Column, categories: Sequence[Any]) -> tuple[np.ndarray, str]:
        if any(isinstance(c, (str, bytes)) for c in categories):
            raise Unsupported("categories that are texts in a column of numbers")
        known = [np.nan if is_missing(c) else c for c in categories]
        large = any(abs(c) >= WHOLE for c in known if c == c)
        if large and column.whole is not None and all(c == c and c == int(c) for c in known):
            return np.array([int(c) for c in known], np.int64), column.whole
        if large and column.feature is not None and column.dtype.kind in "iu":
            raise NeedsIntegers(column.feature)
        return np.array([float(c) for c in known]), self.column(column)

    def looked_up(self, column: Column, categories: Sequence[Any], rows: np.ndarray, unknown: Any, message: str) -> str:
        """The row of each category, [rows, width]; ``unknown``: that of what is no category, None where it is refused
        with the message."""
        count, width = rows.shape
        index = self.codes(column, categories, np.arange(count, dtype=np.int64), count)
        if unknown is None:
            self.refuse_any(self.add("Equal", index, self.whole(count)), message)
        strange = np.zeros((1, width)) if unknown is None else np.reshape(unknown, (1, width))
        found = self.add("Gather", self.number(np.vstack([rows, strange])), index)
        return self.add("Reshape", found, self.whole([-1, width]))

    # The whole

    def finished(self, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        self.keep_only(output.name for output in outputs)
        self.nodes = [*self._cut_sections(), *self.nodes]
        return self.model(self.inputs.infos, outputs, opset=_OPSET, ml_opset=5)

    def _cut_sections(self) -> list[onnx.NodeProto]:
        """What the graph is given of a text that is cut, in its sections: first as it is, where that is used, too."""
        cut = GraphBuilder("cut_")
        used = {name for node in self.nodes for name in node.input}
        for feature, sections in self.sections.items():
            text, source = self.inputs.texts[feature], f"{self.inputs.texts[feature]}_given"
            wanted = [text] if text in used else []
            self.inputs.cut[feature] = [None] * len(wanted) + sections
            wanted += [f"{text}_cut_{i}" for i in range(len(sections))]
            for info in self.inputs.infos:
                info.name = source if info.name == text else info.name
            if len(wanted) == 1:
                cut.add("Identity", source, name=wanted[0])
                continue
            parts = cut.add_several("StringSplit", source, outputs=2, delimiter=_SECTION)[0]
            for i, name in enumerate(wanted):
                cut.add("Gather", parts, cut.constant(np.array(i)), axis=2, name=name)
        self.constants += cut.constants
        return cut.nodes


def is_missing(value: Any) -> bool:
    return value is None or value != value
