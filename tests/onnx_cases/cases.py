"""The ONNX project's own node cases: a one-operator model, its inputs, and the outputs that are right.

A case is *row-wise* when its outputs share the first axis with some of its inputs and swapping rows swaps answers: it
is scored as a table of that many rows. Any other is one row that holds all of its tensors (``row_by_row``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
from onnx import numpy_helper

from sqlinfer.types import DTYPES, arrow_type, nested

RTOL, ATOL = 1e-3, 1e-6
_WIDER = {"bfloat16": np.float32, "float16": np.float32, "int4": np.int8, "uint4": np.uint8}


class LeftOut(Exception):
    """Why a case cannot be asked in SQL."""


@dataclass(frozen=True)
class Case:
    name: str
    path: Path
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    rows: int | None
    shared: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "row by row" if self.rows is None else "a table of rows"

    @property
    def options(self) -> dict[str, Any]:
        """What register() is told: where the rows are."""
        if self.rows is None:
            return {"row_by_row": True, "batch_axis": dict.fromkeys(self.inputs)}
        return {"batch_axis": {name: None if name in self.shared else 0 for name in self.inputs}}

    def table(self) -> pa.Table:
        return pa.table({f"i{i}": self._column(name) for i, name in enumerate(self.inputs)})

    def _column(self, name: str) -> pa.Array:
        array = self.inputs[name]
        rows = self.rows or 1
        whole = array if self.rows and name not in self.shared else np.stack([array] * rows)
        # a column of one value a row is a scalar in SQL
        whole = whole.reshape(rows) if whole.shape == (rows, 1) else whole
        values = [_plain(row) for row in whole]
        element = DTYPES["string" if array.dtype == object else str(array.dtype)]
        return pa.array(values, arrow_type(nested(element.sql, (None,) * (whole.ndim - 1))))

    def differences(self, answers: list[dict[str, Any]]) -> Iterator[str]:
        for name, expected in self.outputs.items():
            given = [row[name] for row in answers]
            wanted = _plain(expected) if self.rows else [_plain(expected)]
            if not _same(given, wanted):
                yield f"{name}: {str(given)[:200]} instead of {str(wanted)[:200]}"


def load(folder: Path) -> Case:
    """Raises LeftOut."""
    model = onnx.load(folder / "model.onnx")
    constants = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in constants]
    inputs = {v.name: _tensor(folder / f"test_data_set_0/input_{i}.pb", v) for i, v in enumerate(values)}
    outputs = {
        v.name: _tensor(folder / f"test_data_set_0/output_{i}.pb", v)
        for i, v in enumerate(model.graph.output)
        if v.name
    }
    if not inputs:
        raise LeftOut("no input: nothing to predict from")
    if any(node.op_type.startswith(("Random", "Bernoulli", "Multinomial")) for node in model.graph.node):
        raise LeftOut("random")
    try:
        session = ort.InferenceSession(model.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"])
        found = _run(session, inputs)
    except Exception as error:
        raise LeftOut("this ONNX Runtime does not run it") from error
    for name, array in found.items():
        if not _same(_plain(array), _plain(outputs[name])):
            raise LeftOut("ONNX Runtime itself answers something else")
    rows, shared = _rows(session, inputs, outputs)
    return Case(folder.name, folder / "model.onnx", inputs, outputs, rows, shared)


def _rows(
    session: ort.InferenceSession, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]
) -> tuple[int | None, tuple[str, ...]]:
    first = {array.shape[0] if array.ndim else None for array in outputs.values()}
    rows = first.pop() if len(first) == 1 else None
    counted = [name for name, array in inputs.items() if rows and array.ndim and array.shape[0] == rows]
    if not rows or not counted:
        return None, ()
    for moving in dict.fromkeys((tuple(counted), tuple(counted[:1]))):
        if _row_wise(session, inputs, outputs, moving, rows):
            return rows, tuple(name for name in inputs if name not in moving)
    return None, ()


def _row_wise(
    session: ort.InferenceSession,
    inputs: dict[str, np.ndarray],
    outputs: dict[str, np.ndarray],
    moving: tuple[str, ...],
    rows: int,
) -> bool:
    """Whether rows in another order, and copies of one row, get the same answers."""
    for order in (np.arange(rows)[::-1], *(np.full(rows, i) for i in range(min(rows, 4)))):
        try:
            found = _run(session, {n: a[order] if n in moving else a for n, a in inputs.items()})
        except Exception:
            return False
        if any(not _same(_plain(found[name]), _plain(array[order])) for name, array in outputs.items()):
            return False
    return True


def _run(session: ort.InferenceSession, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    declared = {value.name: value.type for value in session.get_inputs()}
    if any("bfloat16" in t or "int4" in t or "float8" in t for t in declared.values()):
        raise LeftOut("no NumPy type")
    feeds = {name: a.astype(np.float16) if declared[name] == "tensor(float16)" else a for name, a in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _tensor(path: Path, value: onnx.ValueInfoProto) -> np.ndarray:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise LeftOut(f"{kind.removesuffix('_type')} as input or output")
    array = numpy_helper.to_array(onnx.load_tensor(path))
    array = array.astype(_WIDER.get(str(array.dtype), array.dtype))
    if array.dtype != object and str(array.dtype) not in DTYPES:
        raise LeftOut(f"element type {array.dtype}")
    if array.dtype == object and array.size:
        return np.vectorize(lambda x: x.decode() if isinstance(x, bytes) else x, otypes=[object])(array)
    return array


def _plain(array: np.ndarray) -> Any:
    return np.asarray(array).tolist()


def _same(given: Any, wanted: Any) -> bool:
    a, b = _flat(given), _flat(wanted)
    if len(a) != len(b):
        return False
    if any(isinstance(x, float) for x in b):
        return np.allclose(np.array(a, float), np.array(b, float), rtol=RTOL, atol=ATOL, equal_nan=True)
    return bool(a == b)


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        return [value]
    if value and not isinstance(value[0], (list, tuple)):
        return list(value)
    return [leaf for item in value for leaf in _flat(item)]


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return options
