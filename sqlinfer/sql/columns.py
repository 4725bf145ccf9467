"""The columns of SELECT lists that have no name, which DuckDB heads with their text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlglot.tokens import Token, TokenType

from sqlinfer.sql.notation import Notation
from sqlinfer.sql.tokens import CLOSING, OPENING, matching, remembering, tokens_of, words

__all__ = ["nameless_columns"]

_AFTER_A_LIST = {"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "USING", "ORDER", "LIMIT", "OFFSET", "FETCH"}
_AFTER_A_LIST |= {"UNION", "INTERSECT", "EXCEPT", "ON", "RETURNING", "INTO", ";", "|>"}
_VALUES = {TokenType.NUMBER, TokenType.STRING, TokenType.PLACEHOLDER} | CLOSING
_VALUE_WORDS = {"END", "NULL", "TRUE", "FALSE"}


@remembering
def nameless_columns(sql: str, notation: Notation) -> tuple[tuple[int, int], ...]:
    """The places [start, end) in ``sql`` of the columns that certainly have no name, by where they end."""
    tokens = tokens_of(sql, notation)
    columns = (tokens[first:last] for first, last in _columns(tokens))
    nameless = [column for column in map(_without_distinct, columns) if column and not _may_have_a_name(column)]
    return tuple(sorted(((c[0].start, c[-1].end + 1) for c in nameless), key=lambda place: place[1]))


def _columns(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The tokens [first, last) of each column of a SELECT list."""
    begun: list[int | None] = [None]  # for each of the parentheses that are open, where its column begins
    before = ""
    for i, (token, word) in enumerate(zip(tokens, words(tokens), strict=True)):
        first, closes = begun[-1], token.token_type in CLOSING
        clause = word in _AFTER_A_LIST and before != "DISTINCT"  # DISTINCT ON (…), IS DISTINCT FROM
        if first is not None and (closes or clause or word == ","):
            yield first, i
        if closes:
            begun = begun[:-1] or [None]
        elif token.token_type in OPENING:
            begun.append(None)
        elif clause:
            begun[-1] = None
        elif word == "SELECT" or (word == "," and first is not None):
            begun[-1] = i + 1
        before = word
    if begun[-1] is not None:
        yield begun[-1], len(tokens)


def _without_distinct(column: Sequence[Token]) -> Sequence[Token]:
    start = words(column[:2])
    if start[:1] == ["ALL"]:
        return column[1:]
    if start == ["DISTINCT", "ON"]:
        return column[(matching(column, range(2, len(column))) or 2) + 1 :]
    return column[start[:1] == ["DISTINCT"] :]


def _may_have_a_name(column: Sequence[Token]) -> bool:
    """Whether it is named, may be, or becomes several columns."""
    said = words(column)
    depth = 0
    for i, (token, word) in enumerate(zip(column, said, strict=True)):
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        star = word == "*" and (i == 0 or said[i - 1] == ".")
        unpacked = said[i - 1 : i] == ["*"] or said[max(0, i - 2) : i] == ["UNPACK", "("]
        several = word == "UNNEST" or (word == "COLUMNS" and not unpacked)
        if several or (depth == 0 and (star or word in ("AS", ":"))):
            return True
    return not _is_value(column[-1], said[-1]) and not (len(said) > 1 and _is_operator(column[-2], said[-2]))


def _is_value(last: Token, word: str) -> bool:
    """Whether no alias without AS looks like that."""
    return last.token_type in _VALUES or word in _VALUE_WORDS


def _is_operator(token: Token, word: str) -> bool:
    """Whether a value must follow."""
    return token.token_type not in _VALUES and re.fullmatch(r"\W+", word) is not None
