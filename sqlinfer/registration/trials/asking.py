"""What a model says of each of some rows: an answer to each call, or that it refuses the row."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Refusal", "Said", "ask"]

# The last resort for a model that takes minutes: rows that come later are not tried.
_SECONDS = 20.0
_MOST_CALLS = 3000


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str


Said = Mapping[str, Any] | Refusal
"""Answers by call, or the refusal of the row."""


def ask(
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], table: pa.Table, parts: Sequence[int]
) -> list[Said]:
    """What is said of each row; fewer rows where that takes too long. ``parts``: so many rows each are alike.

    A part that is refused is asked again: row by row, and, where these are answered, ever more at a time.
    """
    said: list[Said] = []
    calls, started = 0, time.monotonic()
    ends = np.cumsum(parts).tolist()
    size = parts[0] if parts else 0
    while len(said) < len(table):
        if calls >= _MOST_CALLS or time.monotonic() - started > _SECONDS:
            break
        end = next(end for end in ends if end > len(said))
        part = table.slice(len(said), min(size, end - len(said)))
        calls += 1
        try:
            given = _quietly(answers, part)
        except Exception as error:  # frameworks refuse in ways of their own
            if len(part) > 1:
                size = 1
                continue
            said.append(Refusal(reason(error)))
        else:
            said += [{call: values[i] for call, values in given.items()} for i in range(len(part))]
            size *= 2
        if len(said) == end:
            size = len(table)
    return said


def reason(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
    return line if len(line) <= 160 else f"{line[:159]}…"


def _quietly(
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], table: pa.Table
) -> Mapping[str, Sequence[Any]]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return answers(table)
