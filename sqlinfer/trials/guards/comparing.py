"""Rows that were tried: what the original says of them, and what the graph says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlinfer.errors import shown_row, shown_value
from sqlinfer.models.compare import answer_differs
from sqlinfer.models.signature import Feature, Guard
from sqlinfer.runtime.guards import refuses
from sqlinfer.trials.guards.asking import Refusal, Reply
from sqlinfer.trials.guards.rows import SyntheticRow

__all__ = ["Comparison", "brief", "differing_call", "refused", "row_text", "value_refused"]

_SHOWN = 12  # bytes of a file


@dataclass(frozen=True, slots=True)
class Comparison:
    row: SyntheticRow
    original: Reply
    graph: Reply
    wrong: str | None
    """In which call the graph answers otherwise, None where it does not."""

    @property
    def is_answered(self) -> bool:
        return not isinstance(self.original, Refusal)


def differing_call(
    features: Sequence[Feature],
    row: SyntheticRow,
    original: Reply,
    given: Reply,
    tolerance: float,
    typical: dict[str, float],
) -> str | None:
    """The call whose answer is not the original's; None where all are, or the row is refused, or it has a NULL whose
    policy makes the answer NULL."""
    nulls = (value is None and feature.null.kind == "null" for value, feature in zip(row.values, features, strict=True))
    if isinstance(given, Refusal) or any(nulls):
        return None
    if isinstance(original, Refusal):
        return next(iter(given))
    for call, answer in given.items():
        if call in original:
            proba = original.get("predict_proba")
            if answer_differs(answer, original[call], tolerance, typical.get(call, 0.0), proba):
                return call
    return None


def refused(features: Sequence[Feature], rows: Sequence[SyntheticRow]) -> list[bool]:
    """Which rows a guard, or the policy of a NULL, refuses."""
    found = np.zeros(len(rows), bool)
    for i, feature in enumerate(features):
        for row, made in enumerate(rows):
            value = made.values[i]
            if value is None:
                found[row] |= feature.null.kind == "error"
            elif isinstance(value, (list, np.ndarray)):
                found[row] |= any(value_refused(guard, value) for guard in feature.guards)
        whole = [row for row, made in enumerate(rows) if isinstance(made.values[i], (str, int, float))]
        texts = any(isinstance(rows[row].values[i], str) for row in whole)
        values = np.array([rows[row].values[i] for row in whole], object if texts else np.float64)
        for guard in feature.guards:
            found[whole] |= refuses(guard, values)
    return found.tolist()


def value_refused(guard: Guard, value: Any) -> bool:
    if isinstance(value, str):
        return bool(refuses(guard, np.array([value], object)).any())
    leaves = [x for x in np.ravel(np.array(value, object)) if x is not None]
    return bool(refuses(guard, np.array(leaves, np.float64)).any())


def row_text(features: Sequence[Feature], row: SyntheticRow) -> str:
    """A row, those features first that are made up."""
    order = [*row.changed, *(i for i in range(len(features)) if i not in row.changed)]
    return shown_row([features[i].name for i in order], [row.values[i] for i in order], _value)


def brief(said: Reply, call: str) -> str:
    if isinstance(said, Refusal):
        return f"refuses it ({said.reason})"
    value: Any = said.get(call)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    text = repr(value)
    return f"answers {text if len(text) <= 80 else text[:79] + '…'}"


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return f"a file of {len(value)} bytes, {value[:_SHOWN].hex()}…"
    return shown_value(value)
