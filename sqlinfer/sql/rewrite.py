"""Splice typed calls into the user's own text. Outside the calls not a byte changes.

A column that has a call in it and no name is given one: DuckDB would head it with the text of the typed call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Protocol

from sqlinfer.errors import BadReference, CallError, SqlinferError
from sqlinfer.models.calls import CALLS, SKEW
from sqlinfer.models.reference import Reference
from sqlinfer.models.signature import Signature
from sqlinfer.sql.bind import Function, TypedCall, arguments_of_rows, bind, names_no_model
from sqlinfer.sql.calls import AllVersions, Argument, SqlCall, SqlText, find_calls
from sqlinfer.sql.columns import nameless_columns
from sqlinfer.sql.literals import text_literal
from sqlinfer.sql.notation import DUCKDB, Notation
from sqlinfer.sql.statements import makes_index, relation_names
from sqlinfer.sql.table_calls import Catalogue, Translation, translate

__all__ = ["Models", "Rewritten", "rewrite"]


class Models(Catalogue, Protocol):
    """What rewriting asks of the registry."""

    def signature(self, function: Function) -> Signature:
        """Raises ModelNotFound."""
        ...

    def spelled(self, function: Function, names: tuple[str, ...]) -> Function:
        """What a call of ``function`` is written as, which the database must then have; ``names``: those of the
        features that it is given."""
        ...


@dataclass(frozen=True, slots=True)
class Rewritten:
    """``text`` for DuckDB, and the typed calls in it (inner ones too). ``of_rows``: it has calls whose model each row
    names."""

    text: str
    calls: list[TypedCall]
    of_rows: bool = False


def rewrite(
    sql: str,
    models: Models,
    *,
    rows: frozenset[str] = frozenset(),
    spread_rows: bool = True,
    by_name: bool = False,
    notation: Notation = DUCKDB,
) -> Rewritten:
    """Raises SqlinferError with the place underlined.

    ``rows``: tables that the text may name besides its own, lower case. ``spread_rows``: read a table's columns one by
    one where a row is given (``predict('m', t)``), not the whole row. ``by_name``: features that the user gave by name
    go to DuckDB by name, for a model that may be another version, with other features, when the text is bound.
    """
    translation = translate(sql, models) if notation is DUCKDB else None
    if translation is not None:
        return _translated(translation, models, rows, spread_rows, by_name)
    calls = find_calls(sql, notation)
    if not calls:
        return Rewritten(sql, [])
    return _Rewriting(sql, models, rows, spread_rows, by_name, notation=notation).run(calls)


def _translated(
    translation: Translation, models: Models, rows: frozenset[str], spread_rows: bool, by_name: bool
) -> Rewritten:
    """The calls of predict() in what another warehouse's words became; places, and headings, are in the user's text."""
    rewriting = _Rewriting(translation.text, models, rows, spread_rows, by_name, translation)
    try:
        rewritten = rewriting.run(find_calls(translation.text))
    except SqlinferError as error:
        if error.place is None:
            raise
        span = translation.place(*error.place)
        raise error.moved(translation.sql, span.start, span.end) from error.__cause__
    return Rewritten(rewritten.text, [_by_user(typed, translation) for typed in rewritten.calls])


def _by_user(typed: TypedCall, translation: Translation) -> TypedCall:
    if typed.sql != translation.text:  # in a text of its own, which query() is given
        return typed
    span = translation.place(typed.call.start, typed.call.end)
    call = replace(typed.call, start=span.start, end=span.end)
    return replace(typed, sql=translation.sql, call=call, target=translation.target(typed.call.start))


class _Rewriting:
    def __init__(
        self,
        sql: str,
        models: Models,
        rows: frozenset[str],
        spread_rows: bool,
        by_name: bool,
        translation: Translation | None = None,
        notation: Notation = DUCKDB,
    ) -> None:
        self.sql = sql
        self.models = models
        self.rows = rows
        self.spread_rows = spread_rows
        self.by_name = by_name
        self.translation = translation
        self.notation = notation
        self.typed: list[TypedCall] = []
        self.of_rows = False
        self.nameless = nameless_columns(sql, notation)
        self.changed = 0  # where the last call ends whose text has become another

    def run(self, calls: Sequence[SqlCall | SqlText | AllVersions]) -> Rewritten:
        text = self._splice(0, len(self.sql) + 1, calls)  # what ends with the text ends in it
        return Rewritten(text, self.typed, self.of_rows)

    @cached_property
    def _relations(self) -> frozenset[str]:
        return self.rows | relation_names(self.sql, self.notation)

    def _splice(self, start: int, end: int, calls: Sequence[SqlCall | SqlText | AllVersions]) -> str:
        pieces, position = [], start
        for call in calls:
            if start <= call.start and call.end <= end:
                pieces.append(self._copied(position, call.start))
                pieces.append(self._replaced(call))
                position = call.end
        return "".join([*pieces, self._copied(position, end)])

    def _replaced(self, call: SqlCall | SqlText | AllVersions) -> str:
        if isinstance(call, AllVersions):
            return "NULL"
        return self._render(call) if isinstance(call, SqlCall) else self._constant(call)

    def _copied(self, start: int, end: int) -> str:
        """The user's text from ``start`` to before ``end``, and in it the names of the columns that end there."""
        pieces = []
        for first, last in self.nameless[bisect_left(self.nameless, start, key=itemgetter(1)) :]:
            if last >= end:
                break
            if first < self.changed:
                name = " ".join(self._written(first, last).split())
                pieces.append(f"{self.sql[start:last]} AS {self.notation.quoted(name)}")
                start = last
        return "".join([*pieces, self.sql[start:end]])

    def _written(self, start: int, end: int) -> str:
        """What the user wrote there."""
        if self.translation is None:
            return self.sql[start:end]
        span = self.translation.place(start, end)
        return self.translation.sql[span.start : span.end]

    def _constant(self, constant: SqlText) -> str:
        rewritten = rewrite(
            constant.text, self.models, rows=self.rows, spread_rows=self.spread_rows, by_name=self.by_name
        )
        self.typed += rewritten.calls
        self.of_rows |= rewritten.of_rows
        if rewritten.text == constant.text:
            return self.sql[constant.start : constant.end]
        self.changed = constant.end
        return text_literal(rewritten.text)

    def _render(self, call: SqlCall) -> str:
        if names_no_model(call):
            if not self.notation.names_in_rows:
                start, end = call.text_span or (call.start, call.end)
                raise CallError.one_model(call.function).at(self.sql, start, end)
            return self._render_of_rows(call)
        function = self._function(call)
        if function is not None and call.before not in ("", "main"):
            self._require_no_chain(call, function)
            function = None
        if function is None:  # not ours: a function of the user's that is called predict_something
            return self._splice(call.start, call.end, call.inner)
        start, end = call.text_span or (call.start, call.open)
        try:
            signature = self.models.signature(function)
        except SqlinferError as error:
            raise error.at(self.sql, start, end) from error
        try:
            typed = bind(call, function, signature, self.sql, self._is_row, self.notation)
        except SqlinferError as error:
            raise error.at(self.sql, call.start, call.end) from error
        if makes_index(self.sql, call.start):
            raise CallError.index(call.function).at(self.sql, call.start, call.end)
        self.typed.append(typed)
        rendered = [self._filled(around, argument, call) for around, argument in typed.arguments]
        if call.function == SKEW:
            return self._aggregated(call, typed, signature, rendered)
        # what the user calls predict_churn() may be a macro of that name
        spelled = self.models.spelled(function, typed.names if call.function in CALLS else ())
        if self.by_name and typed.names and not spelled.names:
            rendered = [self._row(typed.names, rendered)]
        text = f"{self._spelled(call, spelled)}({', '.join(rendered)}){typed.key}"
        if text != self.sql[call.start : call.end]:
            self.changed = call.end
        return text

    def _render_of_rows(self, call: SqlCall) -> str:
        """Of the user's text only features that have names become a row."""
        start, end = call.text_span or (call.start, call.end)
        if call.before not in ("", "main"):
            return self._splice(call.start, call.end, call.inner)
        if start == call.end - 1 or CALLS[call.function].fixed is None:
            raise CallError.reference_not_constant(call.function).at(self.sql, start, end)
        try:
            arguments = arguments_of_rows(call, self.sql)
        except SqlinferError as error:
            raise error.at(self.sql, call.start, call.end) from error
        if makes_index(self.sql, call.start):
            raise CallError.index(call.function).at(self.sql, call.start, call.end)
        self.of_rows = True
        if arguments is None:
            return self._splice(call.start, call.end, call.inner)
        self.changed = call.end
        rendered = [self._filled(around, a, call) for around, a in arguments]
        return f"{self._splice(call.start, end, call.inner)}, {', '.join(rendered)})"

    def _filled(self, around: str, argument: Argument | None, call: SqlCall) -> str:
        if argument is None:
            return around
        return self._splice(argument.start, argument.end, call.inner).join(around.rsplit("{}", 1))

    def _aggregated(self, call: SqlCall, typed: TypedCall, signature: Signature, rendered: Sequence[str]) -> str:
        """An aggregate does not see what its arguments are called: it is given the features in a row."""
        names = typed.names
        if not names and len(call.arguments) > 1 and not any(argument.name for argument in call.arguments):
            names = tuple(signature.feature_names)
        start, end = call.text_span or (call.open, call.open)
        row = self._row(names, rendered) if names else ", ".join(rendered)
        text = f"{self.sql[call.start : call.open]}({self.sql[start:end]}, {row})"
        if text != self.sql[call.start : call.end]:
            self.changed = call.end
        return text

    def _function(self, call: SqlCall) -> Function | None:
        if call.function not in CALLS and call.function != SKEW:
            found = Function.called(call.function, self.notation)
            return next((function for function in found if self.models.has(function.reference.name)), None)
        start, end = call.text_span or (call.start, call.end)
        try:
            return Function(call.function, Reference.parse(str(call.text)))
        except BadReference as error:
            raise error.at(self.sql, start, end) from error

    def _require_no_chain(self, call: SqlCall, function: Function) -> None:
        """What stands before a dot is the first argument; DuckDB may give the named ones by position behind it."""
        known = [name.lower() for name in self.models.signature(function).feature_names]
        given = [argument.name.lower() for argument in call.arguments if argument.name]
        if len(given) == len(known) - 1 and set(given) <= set(known):
            raise CallError(
                f"{call.before}.{call.function}(…) gives features by name and another by its place; name all of them: "
                f"{call.function}({', '.join(f'{name} := …' for name in known)})"
            ).at(self.sql, call.start, call.end)

    def _is_row(self, identifier: str) -> bool:
        return self.spread_rows and identifier.lower() in self._relations

    def _row(self, names: Sequence[str], values: Sequence[str]) -> str:
        pieces = zip(self.notation.fields(names), values, strict=True)
        return ", ".join(value.join(piece.rsplit("{}", 1)) for piece, value in pieces)

    def _spelled(self, call: SqlCall, function: Function) -> str:
        """The function's name for the database. What stands for ``predict('price', …)`` is looked for where functions
        are that no user makes: a macro called predict_price, which may well be made of that very call, must not answer
        for it."""
        name = f"try_{function.name}" if call.tries else function.name
        is_plain = name.isidentifier() and name.isascii()
        name = name if is_plain else self.notation.quoted(name)
        return f"{self.notation.place}{name}" if call.function in CALLS and not call.before else name
