"""What a model says of each of some rows: an answer to each call, or that it refuses the row."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Refusal", "Reply", "ask", "one_thread"]

_REFUSED = 8
_LONGEST = 240


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str


Reply = Mapping[str, Any] | Refusal
"""Answers by call, or the refusal of the row."""


def ask(
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], table: pa.Table, parts: Sequence[int], until: float
) -> list[Reply | None]:
    """What is said of each row; None where it was not asked, or took too long. ``parts``: so many rows each are alike.
    ``until``: on the monotonic clock, when to stop.

    A part that is refused is asked again: row by row, and, where these are answered, ever more at a time. Where so many
    rows of a part were refused that each feature had its turn, its other rows are not asked.
    """
    said: list[Reply | None] = []
    patience = _REFUSED + 2 * table.num_columns
    for end in np.cumsum(parts).tolist():
        size, refused = end - len(said), 0
        while len(said) < end and refused < patience and time.monotonic() < until:
            part = table.slice(len(said), min(size, end - len(said)))
            try:
                given = _quietly(answers, part)
            except Exception as error:  # frameworks refuse in ways of their own
                if len(part) == 1:
                    said.append(None if isinstance(error, TimeoutError) else Refusal(reason(error)))
                    refused += 1
                size = 1
                continue
            said += [{call: values[i] for call, values in given.items()} for i in range(len(part))]
            size, refused = 2 * size, 0
        said += [None] * (end - len(said))
    return said


@contextmanager
def one_thread() -> Iterator[None]:
    """For many small questions: threads that wait for one another cost more than what they do."""
    try:
        limits = import_module("threadpoolctl").threadpool_limits  # is there with scikit-learn
    except ImportError:
        yield
        return
    with limits(1):
        yield


def reason(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _quietly(
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], table: pa.Table
) -> Mapping[str, Sequence[Any]]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return answers(table)
