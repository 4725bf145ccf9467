"""The statements of a SQL text, and the tables that they name."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from sqlinfer.sql.notation import DUCKDB, SPARK, Notation
from sqlinfer.sql.tokens import matching, names_model, remembering, tokens_of, words

__all__ = ["is_stored", "makes_index", "ordinary_trees", "relation_names", "split_statements", "unheard"]

_ORDINARY = "predict__"
_WORTH_READING = re.compile("index", re.IGNORECASE)


def split_statements(sql: str, notation: Notation = DUCKDB) -> list[tuple[int, int]]:
    """Where the statements of ``sql`` start and end, without their semicolons and the comments around them."""
    return [(tokens[0].start, tokens[-1].end + 1) for tokens in _statements(tokens_of(sql, notation)) if tokens]


@remembering
def relation_names(sql: str, notation: Notation) -> frozenset[str]:
    """The tables and aliases that the statements in ``sql`` name, lower case; none of one that sqlglot cannot parse."""
    relations = (sqlglot.exp.Table, sqlglot.exp.Subquery, sqlglot.exp.TableAlias)
    names = frozenset(
        node.alias_or_name.lower() if not isinstance(node, sqlglot.exp.TableAlias) else node.name.lower()
        for statement in _statements(tokens_of(sql, notation))
        for tree in _trees(_body(statement), sql, notation)
        if tree
        for node in tree.find_all(*relations)
    )
    return frozenset("predict" if name == _ORDINARY else name for name in names - {""})


@remembering
def is_stored(sql: str, notation: Notation) -> bool:
    """Whether what a statement in ``sql`` says is kept, to be run later: a view, a macro, an index, a generated column,
    a prepared statement."""
    return any(_is_stored(words(statement)) for statement in _statements(tokens_of(sql, notation)))


def ordinary_trees(sql: str, notation: Notation) -> list[Any]:
    """The statements in ``sql`` as sqlglot's trees, with ``predict__`` for predict; none where it cannot parse them."""
    return _trees(tokens_of(sql, notation), sql, notation)


def _is_stored(said: Sequence[str]) -> bool:
    if said[:1] != ["CREATE"]:
        return said[:1] in (["ALTER"], ["PREPARE"])
    is_table = "TABLE" in said[1:4]
    return not is_table or "AS" not in said or ("(" in said and said.index("(") < said.index("AS"))


def makes_index(sql: str, position: int) -> bool:
    """Whether the statement in which the position is makes an index."""
    if not _WORTH_READING.search(sql):
        return False
    for statement in _statements(tokens_of(sql)):
        if statement and statement[-1].end >= position:
            said = [word for word in words(statement[:5]) if word not in ("EXPLAIN", "ANALYZE", "UNIQUE")]
            return said[:2] == ["CREATE", "INDEX"]
    return False


def _statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    start = 0
    for i, token in enumerate(tokens):
        if token.token_type == TokenType.SEMICOLON:
            yield tokens[start:i]
            start = i + 1
    yield tokens[start:]


def _trees(tokens: Sequence[Token], sql: str, notation: Notation) -> list[Any]:
    try:
        # of what it cannot parse: DuckDB runs the statement all the same
        with unheard(logging.getLogger("sqlglot")):
            trees: list[Any] = notation.dialect().parser().parse(list(_ordinary(_filled(tokens, notation))), sql)
    except (SqlglotError, RecursionError):
        return []
    return trees


def _filled(tokens: Sequence[Token], notation: Notation) -> Sequence[Token]:
    """Where ``{t}`` stands for a DataFrame that is called so, the name."""
    braces = (TokenType.L_BRACE, TokenType.R_BRACE)
    return [token for token in tokens if token.token_type not in braces] if notation is SPARK else tokens


def _ordinary(tokens: Sequence[Token]) -> Iterator[Token]:
    """predict(…) as a function like others, and not as BigQuery's PREDICT(MODEL …), as which sqlglot parses it."""
    for i, token in enumerate(tokens):
        if names_model(tokens, i):
            continue
        if token.text.lower() == "predict" and token.token_type in (TokenType.VAR, TokenType.IDENTIFIER):
            yield Token(token.token_type, _ORDINARY, token.line, token.col, token.start, token.end, token.comments)
        else:
            yield token


@contextmanager
def unheard(log: logging.Logger) -> Iterator[None]:
    """What a log says on this thread is dropped; other threads are heard."""
    thread = threading.get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    log.addFilter(is_of_others)
    try:
        yield
    finally:
        log.removeFilter(is_of_others)


def _body(statement: Sequence[Token]) -> Sequence[Token]:
    """What EXPLAIN explains, PREPARE prepares or a macro stands for, which sqlglot does not parse where it is."""
    said = words(statement)
    if said[:1] == ["EXPLAIN"]:
        start = 2 if said[1:2] == ["ANALYZE"] else 1
        options = said[start : start + 2] in (["(", "ANALYZE"], ["(", "FORMAT"])
        return statement[said.index(")") + 1 if options and ")" in said else start :]
    if said[:1] == ["PREPARE"] or not {"MACRO", "FUNCTION"}.isdisjoint(said[:5]):
        opening = said.index("(") if "(" in said else len(said)
        if "AS" not in said[:opening]:  # types or parameters come first, and in them perhaps another AS
            opening = matching(statement, range(opening, len(statement))) or 0
            said[:opening] = [""] * opening
        start = said.index("AS") + 1 if "AS" in said else 0
        return statement[start + (said[start : start + 1] == ["TABLE"]) :]
    return statement
