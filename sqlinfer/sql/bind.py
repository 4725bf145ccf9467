"""A call and the signature of its model → a typed call: which function DuckDB is to run, with which arguments."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlinfer.errors import CallError, FeatureCount, MissingFeature, UnknownFeature
from sqlinfer.models.reference import Reference
from sqlinfer.models.signature import Signature, quoted
from sqlinfer.sql.calls import Argument, SqlCall

__all__ = ["Function", "TypedCall", "bind"]


@dataclass(frozen=True, slots=True)
class Function:
    """One typed SQL function: a call (predict, predict_proba, infer) of what a reference means. ``names``: those of the
    features that it is given, in their order, whichever order a version has."""

    call: str
    reference: Reference
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``predict_churn``, ``predict_churn/3``, ``predict_churn@champion``; ``predict_proba(churn)`` …;
        ``predict_churn#0f9c12ab`` of named features."""
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


@lru_cache(maxsize=512)
def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TypedCall:
    """``sql`` is the user's own text, and ``arguments`` spans of it, each with what to put around it; ``names``: what
    the features are called that they are for, if the user named them or their row. ``by_name``: the arguments were
    spread from a row or from the columns in scope, so that DuckDB says which of them it cannot find."""

    function: Function
    call: SqlCall
    sql: str
    arguments: list[tuple[str, Argument | None]]
    by_name: bool = False
    names: tuple[str, ...] = ()


def bind(call: SqlCall, function: Function, signature: Signature, sql: str, is_row: Callable[[str], bool]) -> TypedCall:
    """Raises CallError or FeatureError where the arguments cannot be those of the model.

    ``is_row(identifier)`` tells whether a lone identifier is a table of the statement, so that only the columns that
    the model needs are read from it: of ``(t)``, which is whatever DuckDB takes ``t`` for, a STRUCT column before a
    table. A model of one feature is given ``t`` itself, which may be a column that is that feature.
    """
    names = signature.feature_names
    arguments = call.arguments
    if any(argument.name for argument in arguments):
        ordered = list(_in_order(call, function, signature))
        if ordered != list(arguments) and any("?" in sql[a.start : a.end] for a in arguments):
            return TypedCall(function, call, sql, _as_struct(arguments))
        return TypedCall(function, call, sql, [("{}", argument) for argument in ordered], names=tuple(names))
    if len(arguments) == 1:
        (only,) = arguments
        text = sql[only.start : only.end]
        if only.kind == "star":
            return TypedCall(function, call, sql, [(quoted(name), None) for name in names], True, tuple(names))
        row = None
        if only.kind == "row":
            row = text.removesuffix("*").rstrip().removesuffix(".").rstrip()
        elif only.kind == "name" and len(names) > 1 and is_row(text.strip('"')):
            row = f"({text})"
        if row is not None:
            return TypedCall(
                function, call, sql, [(f"{row}.{quoted(name)}", None) for name in names], True, tuple(names)
            )
    counted = not any(argument.kind in ("unpack", "star", "row") for argument in arguments)
    if counted and len(arguments) != 1 and len(arguments) != len(names):
        raise FeatureCount.of(str(function.reference), len(arguments), names)
    return TypedCall(function, call, sql, [("{}", argument) for argument in arguments])


def _as_struct(arguments: Sequence[Argument]) -> list[tuple[str, Argument | None]]:
    """In the user's order: DuckDB numbers each ``?`` by its place."""
    fields: list[tuple[str, Argument | None]] = [(f"{quoted(str(a.name))}: {{}}", a) for a in arguments]
    (first, argument), (last, end) = fields[0], fields[-1]
    return [("{" + first, argument), *fields[1:-1], (last + "}", end)]


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
