"""Find the prediction calls in a SQL text, and where each of their parts stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlglot.tokens import Token, TokenType

from sqlinfer.models.calls import CALLS, SKEW
from sqlinfer.sql.notation import DUCKDB, Notation
from sqlinfer.sql.tokens import matching, names_model, parts_of, remembering, tokens_of, words

__all__ = ["AllVersions", "Argument", "SqlCall", "SqlText", "find_calls"]

_WORTH_READING = re.compile(r"predict|infer|skew", re.IGNORECASE)
_ASSIGNS = {TokenType.COLON_EQ, TokenType.FARROW}
_NAMES = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING}
_CONSTANTS = {TokenType.STRING, TokenType.HEREDOC_STRING}
_BEFORE_A_TABLE = {TokenType.FROM, TokenType.JOIN, TokenType.USING, TokenType.COMMA}
# After these words a name is given, and then columns or parameters in parentheses.
_NAMING = {"TABLE", "VIEW", "INTO", "EXISTS", "MACRO", "FUNCTION", "WITH", "RECURSIVE"}
_NAMING |= {"REFERENCES", "COPY", "PREPARE", "EXECUTE", "ANALYZE", "VACUUM"}
Kind = Literal["value", "name", "row", "star", "stars", "unpack"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: ``[start, end)`` is its value in the text, ``name`` its name if it was given one.

    ``kind``: *name* a plain identifier (a column or a row), *row* ``c.*``, *star* ``*``, *stars* any other star, such
    as ``* EXCLUDE (…)`` or ``s.c.*``, *unpack* ``*COLUMNS(…)``; in all of these but the first, columns have names.
    """

    start: int
    end: int
    kind: Kind
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SqlCall:
    """A call and its spans. ``text`` is the constant that names the model; None for ``predict_<model>(…)``.
    ``before``: what stands before the function and a dot, lower case, or nothing. ``tries``: a row that fails is NULL;
    where the database has no TRY(), one around the call belongs to it."""

    function: str
    start: int
    end: int
    open: int
    text: str | None
    text_span: tuple[int, int] | None
    arguments: tuple[Argument, ...]
    inner: tuple[SqlCall | SqlText | AllVersions, ...] = ()
    before: str = ""
    tries: bool = False


@dataclass(frozen=True, slots=True)
class SqlText:
    """A statement that stands in another as a constant: ``FROM query('SELECT …')``. ``text`` is what it says."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class AllVersions:
    """What is between the parentheses of ``sqlinfer_versions()``: DuckDB has the function of one argument alone, NULL
    for all models."""

    start: int
    end: int


@remembering
def find_calls(sql: str, notation: Notation) -> tuple[SqlCall | SqlText | AllVersions, ...]:
    """The calls in ``sql`` in order; calls inside a call's arguments are in its ``inner``."""
    if not _WORTH_READING.search(sql):
        return ()
    tokens = tokens_of(sql, notation)
    return tuple(_calls(tokens, 0, len(tokens), notation))


def _calls(
    tokens: Sequence[Token], first: int, last: int, notation: Notation
) -> Iterator[SqlCall | SqlText | AllVersions]:
    position = first
    while position < last:
        if words(tokens[position : position + 3]) == ["SQLINFER_VERSIONS", "(", ")"]:
            yield AllVersions(tokens[position + 1].end + 1, tokens[position + 2].start)
        if notation is DUCKDB and _is_query(tokens, position):
            constant = tokens[position + 2]
            yield SqlText(constant.start, constant.end + 1, constant.text)
        if _may_be_call(tokens, position, notation):
            close = matching(tokens, range(position + 1, last))
            if close is not None and not _is_named(tokens, position, close):
                call = _call(tokens, position, close, notation)
                yield call if notation.has_try else _with_try(tokens, position, close, call)
                position = close + 1
                continue
        position += 1


def _is_query(tokens: Sequence[Token], i: int) -> bool:
    """Whether the table function query() begins there, with a constant."""
    said = words(tokens[i - 1 : i + 2]) if i else []
    is_table = said[1:] == ["QUERY", "("] and said[0] in ("FROM", "JOIN", ",")
    return is_table and tokens[i + 2].token_type in _CONSTANTS


def _may_be_call(tokens: Sequence[Token], i: int, notation: Notation) -> bool:
    token = tokens[i]
    if i + 1 >= len(tokens) or tokens[i + 1].token_type != TokenType.L_PAREN:
        return False
    if token.token_type in (TokenType.STRING, TokenType.NUMBER):
        return False
    name = _untried(token.text.lower(), notation)
    if name == SKEW:  # anybody may have a function of that name: ours is given a model
        return i + 2 < len(tokens) and tokens[i + 2].token_type == TokenType.STRING
    return name in CALLS or name.startswith(notation.functions)


def _is_named(tokens: Sequence[Token], i: int, close: int) -> bool:
    """Whether the user gives the name, or uses it, for something else: ``INSERT INTO predict_two(a, b) …``."""
    following = words(tokens[close + 1 : close + 5])
    if following[:2] == ["AS", "("] or (following[:1] == ["AS"] and "MATERIALIZED" in following[1:3]):
        return True  # WITH other AS (…), predict_two(a, b) AS (…)
    if i == 0:
        return False
    (before,) = words(tokens[i - 1 : i])
    if before in ("AS", "ON"):  # a table's alias or a macro's body, an index or a join
        start = max((k + 1 for k in range(i) if tokens[k].token_type == TokenType.SEMICOLON), default=0)
        opening = words(tokens[start : start + 5])
        return "MACRO" not in opening and "FUNCTION" not in opening if before == "AS" else "INDEX" in opening
    if before == ".":  # as t.f(x), which is f(t, x), or a function of another schema, if DuckDB takes no names there
        return not _is_main(tokens, i) and not _has_names(tokens, i, close)
    return before in _NAMING or _follows_a_table(tokens, i)


def _is_main(tokens: Sequence[Token], i: int) -> bool:
    return i > 1 and tokens[i - 2].text.lower() == "main"


def _has_names(tokens: Sequence[Token], i: int, close: int) -> bool:
    return any(tokens[first + 1].token_type in _ASSIGNS for first, _ in parts_of(tokens, i + 2, close))


def _follows_a_table(tokens: Sequence[Token], i: int) -> bool:
    """Whether a name is the alias, without AS, of what stands before it: ``FROM t predict(a)``. No call follows a
    parenthesis but that of DISTINCT ON, nor a name; but not every word that one does follow is a keyword to sqlglot."""
    if tokens[i - 1].token_type == TokenType.R_PAREN:
        opening = matching(tokens, range(i - 1, -1, -1)) or 0
        return words(tokens[max(0, opening - 2) : opening]) != ["DISTINCT", "ON"]
    first = i - 1
    while first > 1 and tokens[first - 1].token_type == TokenType.DOT:
        first -= 2
    return tokens[i - 1].token_type in _NAMES and first > 0 and tokens[first - 1].token_type in _BEFORE_A_TABLE


def _call(tokens: Sequence[Token], name: int, close: int, notation: Notation) -> SqlCall:
    parts = list(parts_of(tokens, name + 2, close))
    written = tokens[name].text.lower()
    function = _untried(written, notation)
    text = span = None
    if function in CALLS or function == SKEW:
        first, last = parts[0] if parts else (close, close)
        first += names_model(tokens, first)
        if last - first == 1 and tokens[first].token_type == TokenType.STRING:
            text = tokens[first].text
        start = tokens[first].start
        span = start, tokens[max(first, last - 1)].end + 1
        parts = parts[1:]
    return SqlCall(
        function=function,
        start=tokens[name].start,
        end=tokens[close].end + 1,
        open=tokens[name + 1].start,
        text=text,
        text_span=span,
        arguments=tuple(_argument(tokens, first, last) for first, last in parts),
        inner=tuple(_calls(tokens, name + 2, close, notation)),
        tries=function != written,
        before=tokens[name - 2].text.lower() if name > 1 and tokens[name - 1].token_type == TokenType.DOT else "",
    )


def _untried(name: str, notation: Notation) -> str:
    """``predict`` for ``try_predict``, which is that of a database without TRY()."""
    return name if notation.has_try else name.removeprefix("try_")


def _with_try(tokens: Sequence[Token], name: int, close: int, call: SqlCall) -> SqlCall:
    around = [*words(tokens[max(0, name - 2) : name]), *words(tokens[close + 1 : close + 2])]
    if around != ["TRY", "(", ")"]:
        return call
    return replace(call, start=tokens[name - 2].start, end=tokens[close + 1].end + 1, tries=True)


def _argument(tokens: Sequence[Token], first: int, last: int) -> Argument:
    name = None
    if last - first > 2 and tokens[first + 1].token_type in _ASSIGNS:
        name = tokens[first].text
        first += 2
    if first >= last:  # nothing between two commas: DuckDB's parser says so
        return Argument(tokens[last].start, tokens[last].start, "value", name)
    span = tokens[first].start, tokens[last - 1].end + 1
    return Argument(*span, _kind(tokens[first:last]), name)


def _kind(tokens: Sequence[Token]) -> Kind:
    shape, text = [token.token_type for token in tokens], tokens[0].text
    if shape == [TokenType.STAR]:
        return "star"
    if words(tokens[:2]) in (["*", "COLUMNS"], ["UNPACK", "("]):
        return "unpack"
    if shape[1:] == [TokenType.DOT, TokenType.STAR]:
        return "row"
    if _is_star(shape):
        return "stars"
    if len(shape) == 1 and shape[0] not in (TokenType.STRING, TokenType.NUMBER, TokenType.PLACEHOLDER, TokenType.NULL):
        return "name" if text.isidentifier() or shape[0] == TokenType.IDENTIFIER else "value"
    return "value"


def _is_star(shape: Sequence[TokenType]) -> bool:
    """``*``, ``t.*``, ``s.t.*``, whatever follows; ``a * b`` is none."""
    at = next((i for i in range(0, len(shape), 2) if shape[i] == TokenType.STAR), None)
    return at is not None and all(kind == TokenType.DOT for kind in shape[1:at:2])
