"""SQL as tokens, each of which knows its place in the text.

Only tokens are read, so every statement that a database knows can be, and strings, comments and quoted identifiers are
what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial, wraps
from typing import Protocol, TypeVar

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from sqlinfer.sql.notation import DUCKDB, Notation

__all__ = ["CLOSING", "OPENING", "matching", "names_model", "parts_of", "remembering", "tokens_of", "words"]

OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_PARAMETER = re.compile(r"(?<![\w$])\$(?=(\d+|[^\W\d]\w*)(?![\w$]))")
_REMEMBERED = 256
_LONG = 10_000
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reading(Protocol[T_co]):
    def __call__(self, sql: str, notation: Notation = DUCKDB) -> T_co: ...


def remembering(function: Callable[[str, Notation], T], most: int = _REMEMBERED) -> Reading[T]:
    """One text is asked again and again, with other parameters; a long one holds values, and once is often enough."""
    remembered = lru_cache(most)(function)

    @wraps(function)
    def read(sql: str, notation: Notation = DUCKDB) -> T:
        return remembered(sql, notation) if len(sql) <= _LONG else function(sql, notation)

    return read


@partial(remembering, most=1)  # calls, columns and tables are read one after the other from the same text
def tokens_of(sql: str, notation: Notation) -> Sequence[Token]:
    """None of a text that cannot be tokenized: the database says better what is wrong with it."""
    try:
        # sqlglot takes $1,$2 for the opening of a $tag$ quotation; a parameter by another sign is as long.
        tokens: list[Token] = sqlglot.tokenize(_PARAMETER.sub("@", sql), read=notation.dialect)
    except SqlglotError:
        return []
    return tokens


def words(tokens: Sequence[Token]) -> list[str]:
    """Their text, upper case; what is quoted is no word of SQL's."""
    quoted = (TokenType.IDENTIFIER, TokenType.STRING)
    return ["" if token.token_type in quoted else token.text.upper() for token in tokens]


def names_model(tokens: Sequence[Token], i: int) -> bool:
    """Whether the token is the word MODEL in ``PREDICT(MODEL 'churn', …)``, which is how sqlglot, and so the tools that
    pass SQL through it, write ``predict('churn', …)``."""
    if words(tokens[i : i + 1]) != ["MODEL"] or i < 2 or i + 1 >= len(tokens):
        return False
    return words(tokens[i - 2 : i]) == ["PREDICT", "("] and tokens[i + 1].token_type == TokenType.STRING


def matching(tokens: Sequence[Token], places: range) -> int | None:
    """Where the parenthesis at the first of the places has its other half, in either direction."""
    depth = 0
    for i in places:
        depth += (tokens[i].token_type in OPENING) - (tokens[i].token_type in CLOSING)
        if depth == 0:
            return i
    return None


def parts_of(tokens: Sequence[Token], first: int, last: int) -> Iterator[tuple[int, int]]:
    """The token ranges between the commas of a call."""
    depth, start = 0, first
    for i in range(first, last):
        if tokens[i].token_type in OPENING:
            depth += 1
        elif tokens[i].token_type in CLOSING:
            depth -= 1
        elif tokens[i].token_type == TokenType.COMMA and depth == 0:
            yield start, i
            start = i + 1
    if start < last:
        yield start, last
