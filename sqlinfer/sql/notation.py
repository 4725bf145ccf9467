"""How a database writes what typed calls are made of, and sqlglot's dialect that reads its texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.spark import Spark
from sqlglot.tokens import TokenType

from sqlinfer.sql.literals import text_literal

__all__ = ["DUCKDB", "SPARK", "Notation"]


class _DuckDB(DuckDB):
    """Where what follows EXPLAIN or EXECUTE is read like everything else. Its parser is DuckDB's own: where the package
    sqlglotc is installed, that is compiled, and no class of ours can be made of it."""

    class Tokenizer(DuckDB.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()


class _Spark(Spark):
    class Tokenizer(Spark.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()


@dataclass(frozen=True, slots=True)
class Notation:
    """``functions``: how the functions of single models begin. ``plain_calls``: those beside predict that are such
    functions' names. ``place``: where those are that no user makes. ``star``, ``unpacked``: a row of the columns of a
    star, and of ``*COLUMNS(…)``. ``table``: what stands before a column of a table; ``whole``: a table as a row.
    ``named_struct``: whether a row is made by that function, or in braces. ``escapes``: whether a backslash in a text
    is more than itself. ``names_in_rows``: whether each row may name its model. ``has_try``: whether there is TRY().
    ``makes_row``: what begins an expression that is a row."""

    dialect: type[Any] = field(repr=False)
    quote: str
    functions: tuple[str, ...]
    plain_calls: tuple[str, ...]
    place: str
    star: str
    unpacked: str
    table: str
    whole: str
    named_struct: bool
    escapes: bool
    names_in_rows: bool
    has_try: bool
    makes_row: re.Pattern[str]

    def quoted(self, identifier: str) -> str:
        """As SQL takes it in any case."""
        return self.quote + identifier.replace(self.quote, self.quote * 2) + self.quote

    def bare(self, identifier: str) -> str:
        return identifier.strip(self.quote)

    def text(self, value: object) -> str:
        literal = text_literal(value)
        return literal.replace("\\", "\\\\") if self.escapes else literal

    def of_table(self, name: str) -> str:
        """What to write before a column of what is called so."""
        return self.table.format(name)

    def fields(self, names: Sequence[str]) -> list[str]:
        """The pieces of a row of named values, each with ``{}`` for its value; they are joined by commas."""
        if self.named_struct:
            opening, pieces, closing = "named_struct(", [f"{self.text(name)}, {{}}" for name in names], ")"
        else:
            opening, pieces, closing = "{", [f"{self.quoted(name)}: {{}}" for name in names], "}"
        pieces[0] = opening + pieces[0]
        pieces[-1] += closing
        return pieces


DUCKDB = Notation(
    dialect=_DuckDB,
    quote='"',
    functions=("predict_", "predict(", "predict_label(", "predict_proba(", "infer("),
    plain_calls=(),
    place="system.main.",
    star="struct_pack(*COLUMNS({}))",
    unpacked="struct_pack({})",
    table="({}).",
    whole="{}",
    named_struct=False,
    escapes=False,
    names_in_rows=True,
    has_try=True,
    makes_row=re.compile(r"\{"),
)
SPARK = Notation(
    dialect=_Spark,
    quote="`",
    functions=("predict_", "infer_"),
    plain_calls=("predict_proba", "infer"),
    place="",
    star="struct({})",
    unpacked="struct({})",
    table="{}.",
    whole="struct({}.*)",
    named_struct=True,
    escapes=True,
    names_in_rows=False,
    has_try=False,
    makes_row=re.compile(r"(named_)?struct\s*\(", re.IGNORECASE),
)
