"""Do two sets of answers say the same? The measure that registration and `verify` hold a model to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Difference", "answer_differs", "compare", "json_holds", "json_values", "typical_size"]


_FEW_TIES = 2


@dataclass(frozen=True, slots=True)
class Difference:
    """``largest`` is relative to the size of the answer; ``text`` says in words what was found."""

    rows: int
    largest: float
    passed: bool
    text: str


def compare(given: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> Difference:
    """Answers by call: labels must be equal, numbers nearly. A label may differ only where its two best
    classes tie, and in few rows."""
    calls = [call for call in expected if call in given]
    ties = _ties(expected.get("predict_proba"), tolerance)
    largest, rows = 0.0, 0
    for call in calls:
        ours, theirs = list(given[call]), list(expected[call])
        rows = max(rows, len(theirs))
        if len(ours) != len(theirs):
            return Difference(rows, math.inf, False, f"{call}: {len(ours)} answers for {len(theirs)} rows")
        if theirs and _is_label(theirs[0]):
            differ = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not _same(a, b)]
            wrong = [i for i in differ if i not in ties]
            if len(differ) > max(_FEW_TIES, rows // 50):  # that many are not rounding but another rule
                wrong = differ
            if wrong:
                i = wrong[0]
                return Difference(
                    rows,
                    math.inf,
                    False,
                    f"{call} differs in {len(wrong)} of {rows} rows; row {i + 1}: {ours[i]!r}, the original says "
                    f"{_plain(theirs[i])!r}",
                )
            continue
        size, row = _largest(ours, theirs)
        largest = max(largest, size)
        if not size <= tolerance:
            text = (
                f"{call} differs by {size:.2g} of the answer (accepted: {tolerance:.0e}); "
                f"row {row + 1}: {_brief(ours[row])}, the original says {_brief(theirs[row])}"
            )
            return Difference(rows, size, False, text)
    return Difference(rows, largest, True, f"{rows} rows, largest difference {largest:.1e} (accepted: {tolerance:.0e})")


def typical_size(answers: Sequence[Any]) -> float:
    """The median size of answers; 0 for what are no numbers."""
    finite = [n[np.isfinite(n)] for n in map(_numbers, answers) if n.size]
    return float(np.median([float(np.max(np.abs(n), initial=0.0)) for n in finite])) if finite else 0.0


def answer_differs(ours: Any, theirs: Any, tolerance: float, typical: float, proba: Any = None) -> bool:
    """Whether two answers to one row say something else; ``theirs`` are the original's, as is ``proba``, whose tie
    lets a label differ. ``typical``: the size of answers, where the answer itself is smaller."""
    if _is_label(theirs):
        return not _same(ours, theirs) and not _ties(None if proba is None else [proba], tolerance)
    x, y = _numbers(ours), _numbers(theirs)
    if x.shape != y.shape or _texts(ours) != _texts(theirs):
        return True
    equal = (np.isnan(x) & np.isnan(y)) | (x == y)
    size = max(float(np.max(np.abs(y[np.isfinite(y)]), initial=0.0)), typical) or 1.0
    with np.errstate(invalid="ignore", over="ignore"):  # of infinities
        return bool(np.any(~equal & ~(np.abs(x - y) <= tolerance * size)))


def json_values(values: Sequence[Any]) -> list[Any]:
    """Values as JSON has them: NaN is null, as NULL stands for it in SQL; bytes are lists of numbers."""
    return [_json(value) for value in values]


def _json(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(1.7976931348623157e308, value)
    if isinstance(value, (list, tuple, bytes)):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else float(value)


def json_holds(value: Any, *, missing: bool = False) -> bool:
    """Whether the value is the same when it is read again: no infinity is, and NaN only where it is ``missing`` and
    stands for itself."""
    value = _plain(value)
    if isinstance(value, float):
        return math.isfinite(value) or (missing and math.isnan(value))
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, (list, tuple)) or all(map(json_holds, value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _is_label(value: Any) -> bool:
    return isinstance(_plain(value), (str, bool, int))


def _same(ours: Any, theirs: Any) -> bool:
    ours, theirs = _plain(ours), _plain(theirs)
    return bool(ours == theirs) or (ours is None and _is_nan(theirs))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _ties(proba: Any, tolerance: float) -> set[int]:
    if proba is None:
        return set()
    rows = [_numbers(row) for row in proba]
    best = [np.sort(row)[-2:] for row in rows]
    return {i for i, top in enumerate(best) if len(top) == 2 and top[1] - top[0] <= tolerance}


def _largest(ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[float, int]:
    """The largest difference and its row, relative to the answer, or to the median size where that is larger."""
    finite = [n[np.isfinite(n)] for n in map(_numbers, theirs)]
    sizes = [float(np.max(np.abs(n), initial=0.0)) for n in finite]
    median = float(np.median(sizes)) if sizes else 1.0
    worst, row = 0.0, 0
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        x, y = _numbers(a), _numbers(b)
        if x.shape != y.shape or _texts(a) != _texts(b):
            return math.inf, i
        both_nan = np.isnan(x) & np.isnan(y)
        equal = both_nan | (x == y)
        with np.errstate(invalid="ignore"):  # of infinities
            apart = np.abs(x - y)
        gap = float(np.max(np.where(equal, 0.0, apart), initial=0.0)) / (max(sizes[i], median) or 1.0)
        if not gap <= worst:
            worst, row = (math.inf if math.isnan(gap) else gap), i
    return worst, row


def _numbers(value: Any) -> np.ndarray:
    """The numbers in an answer, laid flat; NULL is NaN."""
    if (array := _as_array(value)) is not None:
        return array.astype(np.float64).ravel()
    leaves = [leaf for leaf in _flatten(_plain(value)) if not isinstance(leaf, str)]
    return np.array([np.nan if leaf is None else float(leaf) for leaf in leaves], dtype=np.float64)


def _as_array(value: Any) -> np.ndarray | None:
    """Numbers of one shape: an answer may have millions."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        return None
    return array if array.dtype.kind in "fiub" else None


def _texts(value: Any) -> list[str]:
    if _as_array(value) is not None:
        return []
    return [leaf for leaf in _flatten(_plain(value)) if isinstance(leaf, str)]


def _flatten(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flatten(_plain(item))]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flatten(_plain(item))]
    return [value]


def _brief(value: Any) -> str:
    text = repr(_plain(value))
    return text if len(text) <= 60 else text[:57] + "…"
