"""What a bare name may mean at a place of a statement, besides a column of the tables that FROM names there.

DuckDB looks a name up among those columns first; where it is not there, an alias of the SELECT list, a parameter of a
macro or a lambda, or a column of an outer query answers to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import accumulate

from sqlglot.tokens import Token, TokenType

from sqlinfer.sql.notation import DUCKDB, Notation
from sqlinfer.sql.tokens import CLOSING, OPENING, matching, tokens_of, words

__all__ = ["may_mean_another", "only_table"]

_QUERIES = {"SELECT", "FROM", "WITH", "VALUES"}
# What stands before the parenthesis of a query that sees no rows but its own; another parenthesis decides for it.
_ALONE = {"(", "FROM", "AS", "MATERIALIZED", "UNION", "ALL", "INTERSECT", "EXCEPT", "NAME"}
_ALONE |= {"COPY", "EXPLAIN", "ANALYZE"}
# What a value, and so no alias, may follow.
_BEFORE_A_VALUE = {"SELECT", "DISTINCT", "ALL", "WHERE", "AND", "OR", "NOT", "ON", "BY", "HAVING", "QUALIFY", "USING"}
_BEFORE_A_VALUE |= {"CASE", "WHEN", "THEN", "ELSE", "IN", "LIKE", "ILIKE", "BETWEEN", "SET", "FROM", "LIMIT", "EXCLUDE"}


_NAMES = {TokenType.VAR, TokenType.IDENTIFIER}
_SET_OPERATIONS = {"UNION", "INTERSECT", "EXCEPT"}
_AFTER_TABLES = {"SELECT", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "USING", ")"}
_AFTER_TABLES |= _SET_OPERATIONS


def may_mean_another(sql: str, start: int, end: int, names: Collection[str], notation: Notation = DUCKDB) -> bool:
    """Whether one of the ``names`` (lower case) may mean something else in ``sql[start:end]``. It may where it cannot
    be told."""
    tokens, place = _statement(sql, start, notation)
    first, last = _level(tokens, place)
    said = words(tokens)
    given = (i for i in range(first, last) if tokens[i].text.lower() in names and not start <= tokens[i].start < end)
    return _sees_outer_rows(tokens, place) or any(_names_something(tokens, said, i, place) for i in given)


def only_table(sql: str, start: int, notation: Notation = DUCKDB) -> str | None:
    """What the one table of the query around a place is called, as it stands there; None for several, or no name."""
    tokens, place = _statement(sql, start, notation)
    first, last = _level(tokens, place)
    said = [*words(tokens), ")"]
    depths = _depths(tokens)
    ends = [i for i in range(first, last) if said[i] in _SET_OPERATIONS and depths[i] == depths[first]]
    first = max((i + 1 for i in ends if i < place), default=first)
    last = min((i for i in ends if i > place), default=last)
    froms = [i for i in range(first, last) if said[i] == "FROM" and depths[i] == depths[first]]
    if len(froms) != 1 or froms[0] + 1 >= last:
        return None
    at = froms[0] + 1
    while at + 2 < last and said[at + 1] == ".":
        at += 2
    name = at if tokens[at].token_type in _NAMES and said[at + 1] != "(" else None
    at = _behind(tokens, at + (said[at + 1] == "(" != said[at]))
    if said[at] == "AS":
        at += 1
    if at < last and tokens[at].token_type in _NAMES:
        name, at = at, at + 1
    if said[at] == "(":  # names for its columns
        at = _behind(tokens, at)
    return None if name is None or said[at] not in _AFTER_TABLES else sql[tokens[name].start : tokens[name].end + 1]


def _behind(tokens: Sequence[Token], at: int) -> int:
    """Behind a token, or behind the parenthesis that it opens."""
    return (matching(tokens, range(at, len(tokens))) or at) + 1


def _depths(tokens: Sequence[Token]) -> list[int]:
    """How many parentheses are open before each."""
    steps = ((token.token_type in OPENING) - (token.token_type in CLOSING) for token in tokens)
    return list(accumulate(steps, initial=0))


def _sees_outer_rows(tokens: Sequence[Token], place: int) -> bool:
    """Whether a place lies in a query that may see the rows of another: one that is part of an expression, stands
    behind another table, or is what a macro stands for."""
    said = words(tokens)
    if _is_macro(said):
        body = said.index("AS", 0, place) if "AS" in said[:place] else place
        if said[body + 1 : body + 2] != ["TABLE"]:
            return True
    open_ones = _open_parentheses(tokens, place)
    for depth, i in enumerate(open_ones):
        if i and _begins_a_query(said, i):
            is_part_of_one = depth == 0 or _begins_a_query(said, open_ones[depth - 1])
            if said[i - 1] not in _ALONE or not is_part_of_one or said[i - 2 : i] == ["DISTINCT", "FROM"]:
                return True
    return False


def _statement(sql: str, start: int, notation: Notation) -> tuple[Sequence[Token], int]:
    """The tokens of the statement around a place, and the number of the one that begins there."""
    tokens = tokens_of(sql, notation)
    place = next(i for i, token in enumerate(tokens) if token.start >= start)
    ends = [i for i, token in enumerate(tokens) if token.token_type == TokenType.SEMICOLON]
    first = max((i + 1 for i in ends if i < place), default=0)
    last = min((i for i in ends if i >= place), default=len(tokens))
    return tokens[first:last], place - first


def _level(tokens: Sequence[Token], place: int) -> tuple[int, int]:
    """The tokens [first, last) of the innermost query around a place."""
    said = words(tokens)
    for i in reversed(_open_parentheses(tokens, place)):
        if _begins_a_query(said, i):
            close = matching(tokens, range(i, len(tokens)))
            return i + 1, len(tokens) if close is None else close + 1
    return 0, len(tokens)


def _open_parentheses(tokens: Sequence[Token], place: int) -> list[int]:
    """Those around a place, the outermost first."""
    found: list[int] = []
    for i, token in enumerate(tokens[:place]):
        if token.token_type in OPENING:
            found.append(i)
        elif token.token_type in CLOSING and found:
            found.pop()
    return [i for i in found if tokens[i].token_type == TokenType.L_PAREN]


def _begins_a_query(said: Sequence[str], i: int) -> bool:
    """Whether the parenthesis at a place does."""
    return next((word for word in said[i:] if word != "("), "") in _QUERIES


def _names_something(tokens: Sequence[Token], said: Sequence[str], i: int, place: int) -> bool:
    """Whether a name is given to something: ``1 AS x``, ``x: 1``, ``f(b) x``, ``lambda x: …``, a macro's parameter."""
    before = said[i - 1] if i else ""
    if _is_macro(said) and i < place and "AS" not in said[:i]:
        return True
    if i + 1 < len(tokens) and tokens[i + 1].token_type in (TokenType.COLON, TokenType.ARROW):
        return True
    if i == 0 or before in _BEFORE_A_VALUE or tokens[i - 1].token_type in OPENING:
        return False
    return re.fullmatch(r"\W+", before) is None or tokens[i - 1].token_type in CLOSING


def _is_macro(said: Sequence[str]) -> bool:
    return not {"MACRO", "FUNCTION"}.isdisjoint(said[:5])
