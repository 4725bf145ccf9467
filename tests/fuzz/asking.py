"""Ask a stored model on one engine: what a worker does for the fuzzer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

import sqlinfer
from sqlinfer.errors import SqlinferError

__all__ = ["Answer", "ask"]


@dataclass(frozen=True, slots=True)
class Answer:
    """``kind``: 'answers' or 'refused'; 'WRONG' for what neither is."""

    kind: str
    text: str


def ask(home: Path, name: str, questions: Sequence[str], engine: str) -> list[Answer]:
    """An answer to each question; a question is the arguments of a call."""
    try:
        con = sqlinfer.connect(registry=home, engine=engine)
    except (SqlinferError, duckdb.Error) as error:
        return [_refused(str(error), name)] * len(questions)
    with con:
        answers = [_answer(con, name, question) for question in questions]
        if con.execute("SELECT 42").fetchall() != [(42,)]:
            return [Answer("WRONG", "the connection is no longer of use")]
        return answers


def _answer(con: sqlinfer.Connection, name: str, question: str) -> Answer:
    try:
        return Answer("answers", str(con.execute(f"SELECT predict('{name}', {question})").fetchall()))
    except (SqlinferError, duckdb.Error) as error:
        return _refused(str(error), name)


def _refused(text: str, name: str) -> Answer:
    clear = name in text and "Traceback" not in text and "panicked" not in text and len(text) < 3000
    return Answer("refused" if clear else "WRONG", text)
