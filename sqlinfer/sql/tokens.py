"""DuckDB's SQL as tokens, each of which knows its place in the text.

Only tokens are read, so every statement that DuckDB knows can be, and strings, comments and quoted identifiers are
what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial, wraps
from typing import ClassVar, TypeVar

import sqlglot
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

__all__ = ["CLOSING", "OPENING", "Dialect", "matching", "names_model", "parts_of", "remembering", "tokens_of", "words"]

OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_PARAMETER = re.compile(r"(?<![\w$])\$(?=(\d+|[^\W\d]\w*)(?![\w$]))")
_REMEMBERED = 256
_LONG = 10_000
T = TypeVar("T")


class Dialect(DuckDB):
    """DuckDB's dialect, where what follows EXPLAIN or EXECUTE is read like everything else. Its parser is DuckDB's own:
    where the package sqlglotc is installed, that is compiled, and no class of ours can be made of it."""

    class Tokenizer(DuckDB.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()


def remembering(function: Callable[[str], T], most: int = _REMEMBERED) -> Callable[[str], T]:
    """One text is asked again and again, with other parameters; a long one holds values, and once is often enough."""
    remembered = lru_cache(most)(function)

    @wraps(function)
    def read(sql: str) -> T:
        return remembered(sql) if len(sql) <= _LONG else function(sql)

    return read


@partial(remembering, most=1)  # calls, columns and tables are read one after the other from the same text
def tokens_of(sql: str) -> Sequence[Token]:
    """None of a text that cannot be tokenized: DuckDB says better what is wrong with it."""
    try:
        # sqlglot takes $1,$2 for the opening of a $tag$ quotation; a parameter by another sign is as long.
        tokens: list[Token] = sqlglot.tokenize(_PARAMETER.sub("@", sql), read=Dialect)
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
