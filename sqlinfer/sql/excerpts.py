"""DuckDB underlines a place in the text that it was given; here it is that place in the text that the user wrote."""

from __future__ import annotations

import re

from sqlinfer.errors import underline

__all__ = ["in_the_users_text"]

_EXCERPT = re.compile(r"\s*\n\nLINE \d+: (?P<line>[^\n]*)\n(?P<before> *)(?P<carets>\^+)\s*\Z")


def in_the_users_text(message: str, sql: str) -> str:
    """The message with its excerpt of ``sql``, or with none where the place cannot be told for certain."""
    found = _EXCERPT.search(message)
    if found is None or found["line"].removeprefix("...").removesuffix("...") in sql:
        return message
    said = message[: found.start()]
    start = len(found["before"]) - (found.start("line") - message.rfind("\n", 0, found.start("line")) - 1)
    length = len(found["carets"])  # DuckDB 1.5 marks where a word begins
    marked = found["line"][start : start + length if length > 1 else None]
    word = re.match(r'"[^"]+"|[\w.]+|[^\w\s]+', marked)
    places = [] if word is None else [m.span() for m in re.finditer(_whole(word[0]), sql)]
    return f"{said}\n\n{underline(sql, *places[0])}" if len(places) == 1 else said


def _whole(word: str) -> str:
    return rf"(?<![\w.]){re.escape(word)}(?!\w)" if re.match(r"\w", word) else re.escape(word)
