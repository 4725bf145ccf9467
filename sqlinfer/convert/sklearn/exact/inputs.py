"""The features as inputs of the graph: numbers in a matrix of doubles, singles in one of their own, each text apart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from sqlinfer.convert.sklearn.exact.table import OBJECT, Column, Table
from sqlinfer.models.sample import Sample

__all__ = ["Inputs"]

_DOUBLES, _SINGLES = "X", "S"


@dataclass(slots=True)
class Inputs:
    """``features``: name, SQL type, tensor, column, in the order of the sample. ``casts``: what is to be cast to
    doubles first, by the value that it becomes. ``cut``: by feature, the sections of `runtime.words` that it has."""

    names: list[str]
    infos: list[onnx.ValueInfoProto] = field(default_factory=list)
    features: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    casts: dict[str, str] = field(default_factory=dict)
    singles: dict[str, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    cut: dict[int, list[dict[str, Any] | None]] = field(default_factory=dict)
    table: Table = field(default_factory=lambda: Table(()))

    @classmethod
    def of(cls, sample: Sample, integers: Collection[int] = ()) -> Inputs:
        """``integers``: the numbers of features that are to be whole numbers, which doubles do not all hold."""
        made = cls(sample.names)
        types = {name: sample.sql_type(name) for name in sample.names}
        alone = all(kind == "FLOAT" for kind in types.values())
        counts = {_DOUBLES: 0, _SINGLES: 0}
        columns = []
        for i, (name, kind) in enumerate(types.items()):
            if kind == "VARCHAR":
                columns.append(made._text(i, name, sample))
            elif i in integers:
                columns.append(made._integer(i, name))
            else:
                single = kind == "FLOAT"
                tensor = _DOUBLES if not single or alone else _SINGLES
                value = f"{tensor}_wide" if single else tensor
                columns.append(Column(value, counts[tensor], _dtype(sample, name), i))
                made.features.append((name, kind if single else "DOUBLE", tensor, counts[tensor]))
                counts[tensor] += 1
        for tensor, count in counts.items():
            if count:
                element = TensorProto.FLOAT if tensor == _SINGLES or alone else TensorProto.DOUBLE
                made.infos.append(helper.make_tensor_value_info(tensor, element, [None, count]))
                value = f"{tensor}_wide" if element == TensorProto.FLOAT else tensor
                made.widths[value] = count
                if value != tensor:
                    made.casts[value] = made.singles[value] = tensor
        made.table = Table(tuple(columns), sparse=sample.sparse, frame=not sample.as_array)
        return made

    def _text(self, i: int, name: str, sample: Sample) -> Column:
        tensor = f"text_{i}"
        self.infos.append(helper.make_tensor_value_info(tensor, TensorProto.STRING, [None, 1]))
        self.features.append((name, "VARCHAR", tensor, 0))
        self.widths[tensor], self.texts[i] = 1, tensor
        return Column(tensor, 0, OBJECT, i, absent=None if name in sample.nones else np.nan)

    def _integer(self, i: int, name: str) -> Column:
        tensor = f"whole_{i}"
        self.infos.append(helper.make_tensor_value_info(tensor, TensorProto.INT64, [None, 1]))
        self.features.append((name, "BIGINT", tensor, 0))
        self.casts[f"{tensor}_wide"], self.widths[f"{tensor}_wide"] = tensor, 1
        return Column(f"{tensor}_wide", 0, np.dtype(np.int64), i, whole=tensor)


def _dtype(sample: Sample, name: str) -> np.dtype:
    arrow = sample.table.schema.field(name).type
    if pa.types.is_decimal(arrow) or pa.types.is_null(arrow):
        return np.dtype(np.float64)
    if sample.table.column(name).null_count and not pa.types.is_floating(arrow):
        return np.dtype(np.float64)
    found: np.dtype = np.dtype(arrow.to_pandas_dtype())
    return found
