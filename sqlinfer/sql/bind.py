"""A call and the signature of its model → a typed call: which function DuckDB is to run, with which arguments."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlinfer.errors import BadReference, CallError, FeatureCount, MissingFeature, UnknownFeature, named
from sqlinfer.models.calls import CALLS
from sqlinfer.models.reference import Reference
from sqlinfer.models.signature import Signature, label_texts
from sqlinfer.sql.calls import Argument, SqlCall
from sqlinfer.sql.notation import DUCKDB, Notation
from sqlinfer.sql.scope import may_mean_another, only_table
from sqlinfer.sql.table_calls.pieces import Target

__all__ = ["Function", "TypedCall", "arguments_of_rows", "bind", "names_no_model"]

_STARS = ("star", "stars", "row", "unpack")
_CONSTANT = re.compile(r"'(?:[^']|'')*'|-?\d+|true|false", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Function:
    """One typed SQL function: a call, one of `CALLS` or `SKEW`, of what a reference means. ``names``: those of the
    features that it is given, in their order, whichever order a version has. ``plain``: it is called as every function
    may be."""

    call: str
    reference: Reference
    names: tuple[str, ...] = ()
    plain: bool = False

    @property
    def name(self) -> str:
        """``predict_churn``, ``predict_churn/3``, ``predict_churn@champion``; ``predict_proba(churn)`` …;
        ``predict_churn#0f9c12ab`` of named features; a plain one is ``predict_proba_churn``."""
        if self.plain:
            return f"{self.call}_{self.reference}"
        name = f"predict_{self.reference}" if self.call == "predict" else f"{self.call}({self.reference})"
        return f"{name}#{_digest(self.names)}" if self.names else name

    @property
    def moves(self) -> bool:
        """Whether it may mean another version later."""
        return self.reference.version is None

    @classmethod
    def parse(cls, name: str) -> Function:
        """The inverse of ``name``. Raises BadReference."""
        if name.endswith(")") and "(" in name:
            call, _, reference = name[:-1].partition("(")
            return cls(call, Reference.parse(reference))
        return cls("predict", Reference.parse(name.removeprefix("predict_")))

    @classmethod
    def called(cls, name: str, notation: Notation) -> Iterator[Function]:
        """What a name may mean, the likeliest first. Spark has no macros, and there every call has a plain name:
        ``predict_proba_churn``, of a model proba_churn or of a model churn."""
        with suppress(BadReference):
            if name.startswith(("predict_", *(f"{call}(" for call in CALLS))):
                yield cls.parse(name)
        for call in notation.plain_calls:
            with suppress(BadReference):
                if name.startswith(f"{call}_"):
                    yield cls(call, Reference.parse(name.removeprefix(f"{call}_")))


@lru_cache(maxsize=512)
def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TypedCall:
    """``sql`` is the user's own text, and ``arguments`` spans of it, each with what to put around it; ``names``: what
    the features are called that they are for, if the user named them or their row. ``by_name``: the arguments come
    from a row or from the columns in scope, and DuckDB says which of them it cannot find. ``packed``: they come as one
    struct of columns, which has their names, and which DuckDB cannot make everywhere. ``key``: the class whose
    probability is asked for, as SQL. ``target``: the column that the call's answers are compared with, if they are."""

    function: Function
    call: SqlCall
    sql: str
    arguments: list[tuple[str, Argument | None]]
    by_name: bool = False
    names: tuple[str, ...] = ()
    packed: bool = False
    key: str = ""
    target: Target | None = None


def bind(
    call: SqlCall,
    function: Function,
    signature: Signature,
    sql: str,
    is_row: Callable[[str], bool],
    notation: Notation = DUCKDB,
) -> TypedCall:
    """Raises CallError or FeatureError where the arguments cannot be those of the model.

    ``is_row(identifier)``: whether a lone identifier is a table of the statement. With the features a and b:

    - ``predict('m', t)`` → ``predict_m((t)."a", (t)."b")``: only these columns of the table are read. In ``(t)`` DuckDB
      prefers a STRUCT column t to a table t, as it does for the user.
    - ``predict('m', t)`` of a model of one feature → ``predict_m(t)``: t may be a column that is that feature.
    - ``predict('m', *)`` → the columns a and b by name, or a struct of the columns where a name is ambiguous.
    - ``predict_proba('m', a, b, 'yes')`` → ``"predict_proba(m)"(a, b)['yes']``.
    """
    names = signature.feature_names
    takes_class = function.call in CALLS and CALLS[function.call].takes_class
    if takes_class and _class_follows(call.arguments, sql, names, is_row, notation):
        *features, last = call.arguments
        key = _class(sql[last.start : last.end], str(function.reference), signature.labels, notation)
        call = replace(call, arguments=tuple(features))
        return replace(bind(call, function, signature, sql, is_row, notation), key=key)
    arguments = call.arguments
    starred = [argument for argument in arguments if argument.kind in _STARS]
    if starred and (len(arguments) > 1 or starred[0].name):
        text = sql[starred[0].start : starred[0].end]
        raise CallError(
            f"model {str(function.reference)!r}: {text} stands for columns by name, and what is beside it has none; "
            f"give {text} alone, or every feature: {named(names)}"
        )
    if any(argument.name for argument in arguments):
        ordered = list(_in_order(call, function, signature))
        if ordered != list(arguments) and any("?" in sql[a.start : a.end] for a in arguments):
            return TypedCall(function, call, sql, _as_struct(arguments, notation))
        return TypedCall(function, call, sql, [("{}", argument) for argument in ordered], names=tuple(names))
    if len(arguments) == 1:
        (only,) = arguments
        text = sql[only.start : only.end]
        is_table = only.kind == "name" and is_row(notation.bare(text))
        if is_table and len(names) == 1:
            return TypedCall(function, call, sql, [(notation.whole, only)])
        row = notation.of_table(text) if is_table else None
        if only.kind in ("star", "row"):
            row = _row(text.removesuffix("*").rstrip(), call, sql, names, notation)
        if row is not None:
            columns: list[tuple[str, Argument | None]] = [(f"{row}{notation.quoted(name)}", None) for name in names]
            return TypedCall(function, call, sql, columns, by_name=True, names=tuple(names))
        if only.kind in _STARS:
            return TypedCall(function, call, sql, [_packed(only, names, notation)], by_name=True, packed=True)
    if len(arguments) != 1 and len(arguments) != len(names):
        raise FeatureCount.of(str(function.reference), len(arguments), names)
    return TypedCall(function, call, sql, [("{}", argument) for argument in arguments])


def names_no_model(call: SqlCall) -> bool:
    """Whether the text does not say which model it is, or the call is the same for all."""
    return call.function in CALLS and (call.text is None or not CALLS[call.function].is_typed)


def arguments_of_rows(call: SqlCall, sql: str) -> list[tuple[str, Argument | None]] | None:
    """As `TypedCall.arguments`, where each row names its model: what has names becomes a row, and the model takes of it
    what it needs. None where the arguments can stay as they are. Raises CallError."""
    arguments = call.arguments
    starred = [argument for argument in arguments if argument.kind in _STARS]
    if starred and (len(arguments) > 1 or starred[0].name):
        raise CallError.name_every_argument(call.function)
    if starred:
        (star,) = starred
        return [(DUCKDB.unpacked if star.kind == "unpack" else DUCKDB.star, star)]
    if not any(argument.name for argument in arguments):
        return None
    if not all(argument.name for argument in arguments):
        raise CallError.name_every_argument(call.function)
    return _as_struct(arguments, DUCKDB)


def _class_follows(
    arguments: Sequence[Argument],
    sql: str,
    names: Sequence[str],
    is_row: Callable[[str], bool],
    notation: Notation,
) -> bool:
    """Whether there is one argument more than the features are."""
    if len(arguments) < 2 or arguments[-1].name:
        return False
    if len(arguments) == len(names) + 1 or all(argument.name for argument in arguments[:-1]):
        return True
    first, last = (sql[argument.start : argument.end] for argument in arguments[:: len(arguments) - 1])
    is_made = notation.makes_row.match(first) is not None
    is_row_first = arguments[0].kind in _STARS or is_made or is_row(notation.bare(first))
    may_be_row = arguments[0].kind == "name" and len(names) != 2 and _CONSTANT.fullmatch(last) is not None
    return len(arguments) == 2 and (is_row_first or may_be_row)


def _class(text: str, model: str, classes: Sequence[str | int | bool], notation: Notation) -> str:
    """The class that a constant names, as SQL has it among the keys."""
    texts = label_texts(classes)
    if not _CONSTANT.fullmatch(text):
        raise CallError.no_constant_class(model, texts)
    asked = text[1:-1].replace("''", "'") if text.startswith("'") else text.lower()
    if asked not in texts:
        raise CallError.no_class(model, asked, texts)
    return f"[{notation.text(asked)}]" if isinstance(classes[texts.index(asked)], str) else f"[{asked}]"


def _packed(star: Argument, names: Sequence[str], notation: Notation) -> tuple[str, Argument | None]:
    """A star as a struct of its columns; a plain one of those that are needed."""
    if star.kind == "unpack":
        return notation.unpacked, star
    if star.kind != "star" or notation is not DUCKDB:
        return notation.star, star
    listed = ", ".join(notation.text(name.lower()) for name in names)
    return f"struct_pack(*COLUMNS(lambda name: lower(name) IN ({listed})))", None


def _row(star: str, call: SqlCall, sql: str, names: Sequence[str], notation: Notation) -> str | None:
    """What to write before a name, so that it is a column of ``*`` or ``t.*`` and nothing else; None if there is no
    such thing. ``star``: what stands before the ``*``."""
    table = star.removesuffix(".").rstrip()
    meant = {notation.bare(table).lower()} if table else {name.lower() for name in names}
    if not may_mean_another(sql, call.start, call.end, meant, notation):
        return star
    only = only_table(sql, call.start, notation)
    return notation.of_table(only) if only and table in ("", only) else None


def _as_struct(arguments: Sequence[Argument], notation: Notation) -> list[tuple[str, Argument | None]]:
    """In the user's order: a database numbers each ``?`` by its place."""
    return list(zip(notation.fields([str(a.name) for a in arguments]), arguments, strict=True))


def _in_order(call: SqlCall, function: Function, signature: Signature) -> Iterator[Argument]:
    """Named arguments in the order of the signature."""
    model = str(function.reference)
    if not all(argument.name for argument in call.arguments):
        raise CallError(f"model {model!r}: name every feature or none; it takes: {', '.join(signature.feature_names)}")
    given = {str(argument.name).lower(): argument for argument in call.arguments}
    counts = Counter(str(argument.name).lower() for argument in call.arguments)
    names = {name.lower(): name for name in signature.feature_names}
    for name, count in counts.items():
        if name not in names:
            raise UnknownFeature.of(model, name, signature.feature_names)
        if count > 1:
            raise UnknownFeature.twice(model, names[name])
    missing = [name for lower, name in names.items() if lower not in given]
    if missing:
        raise MissingFeature.of(model, missing, signature.feature_names)
    return (given[name] for name in names)
