"""A session of Spark's whose SQL has the models of a registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlinfer.engines.resolver import Resolver
from sqlinfer.engines.spark.analyzed import require_plan
from sqlinfer.engines.spark.functions import TRY, Functions, plain
from sqlinfer.errors import CallError, FeatureCount, MissingFeature, OtherRegistry, UnknownFeature
from sqlinfer.models.calls import SKEW
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.signature import Signature
from sqlinfer.sql.bind import Function
from sqlinfer.sql.notation import SPARK
from sqlinfer.sql.rewrite import rewrite
from sqlinfer.sql.statements import is_stored, unheard
from sqlinfer.sql.to_spark import to_spark
from sqlinfer.sql.tokens import tokens_of, words

__all__ = ["Session", "translate"]

# Of the session's settings, the registry that its functions are of.
_HOME = "spark.sqlinfer.registry"


class Session:
    """A SparkSession for whoever has it, with `sql` that knows models, and their calls as columns.

    It shares everything with the session that it was made of, which `session` is.
    """

    def __init__(self, session: Any, registry: Registry, models: Iterable[str] | None = None) -> None:
        _require_own(session, registry)
        self.session = session
        self.registry = registry
        self._models = None if models is None else tuple(models)
        self._functions = Functions(session, registry)
        self._seen: object = registry.state
        self._functions.offer(self._models)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "session":  # of one that is being copied
            raise AttributeError(name)
        return getattr(self.session, name)

    def __repr__(self) -> str:
        return f"<sqlinfer.spark.Session of {self.registry!r} on {self.session!r}>"

    def __enter__(self) -> Session:
        self.session.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self.session.__exit__(*failure)

    def refresh(self) -> None:
        """Let ``predict_churn()`` and its like mean what is promoted by now, also where Spark is asked without
        `sql`, which sees to it itself."""
        self._seen = self.registry.state
        self._functions.offer(self._models)

    def sql(self, sqlQuery: str, args: Any = None, **options: Any) -> Any:
        """As Spark's, with ``predict('churn', …)`` and its like in the text. A name alone is a column, as everywhere in
        Spark, and else the rows of the table that is called so. Raises SqlinferError before any row is scored."""
        from pyspark.errors import AnalysisException
        from pyspark.logger import PySparkLogger

        if self.registry.state != self._seen:
            self.refresh()
        run = partial(self.session.sql, args=args, **options)
        by_rows, resolver = self._rewritten(sqlQuery, spread_rows=True)
        by_columns, _ = self._rewritten(sqlQuery, spread_rows=False)
        if by_columns == by_rows or _is_script(sqlQuery):
            result = run(by_rows)
        else:
            try:
                # it says of a text that is about to be written otherwise what is wrong with it
                with unheard(PySparkLogger.getLogger("SQLQueryContextLogger")):
                    result = run(by_columns)
            except AnalysisException as error:  # nothing has run
                if not str(error.getCondition()).startswith("UNRESOLVED_COLUMN"):
                    raise
                result = run(by_rows)
        require_plan(result, resolver.given)
        return result

    def _rewritten(self, sql: str, *, spread_rows: bool) -> tuple[str, _Pinned]:
        """``spread_rows``: a name that is a table's is that table's rows."""
        resolver = _Pinned(self.registry, moves=is_stored(sql, SPARK))
        try:
            text = rewrite(sql, resolver, spread_rows=spread_rows, by_name=resolver.moves, notation=SPARK).text
        except RecursionError:
            raise CallError("the calls stand too deep inside one another: compute the inner ones in a CTE") from None
        for function, model in resolver.needed.items():
            self._functions.ensure(function.name, function, model)
            if TRY in text:
                self._functions.ensure(f"{TRY}{function.name}", function, model, tries=True)
        return text, resolver

    def predict(self, model: str, /, *columns: Any, **named: Any) -> Any:
        """A column of the model's answers, as of ``predict('churn', …)``: for features by position, by name
        (``age="years"``), or for one row (``struct("*")``). Columns are pyspark's, or their names.

        Raises ModelNotFound, FeatureCount, MissingFeature, UnknownFeature.
        """
        return self._column("predict", model, columns, named)

    def predict_proba(self, model: str, /, *columns: Any, **named: Any) -> Any:
        """As `predict`, with a map from each class to its probability. Raises ModelNotFound without classes."""
        return self._column("predict_proba", model, columns, named)

    def infer(self, model: str, /, *columns: Any, **named: Any) -> Any:
        """As `predict`, with every output of the graph by name."""
        return self._column("infer", model, columns, named)

    def try_predict(self, model: str, /, *columns: Any, **named: Any) -> Any:
        """As `predict`, and a row that fails is NULL, as in DuckDB's ``TRY(predict(…))``."""
        return self._column("predict", model, columns, named, tries=True)

    def _column(
        self, call: str, model: str, columns: Sequence[Any], named: Mapping[str, Any], *, tries: bool = False
    ) -> Any:
        function = Function(call, Reference.parse(model))
        stored = self.registry.get(function.reference)
        stored.call(call)
        given = _in_order(str(function.reference), stored.manifest.signature, columns, named)
        return self._functions.udf(function, stored, tries=tries)(*given)


def translate(sql: str, registry: Registry) -> str:
    """A query of DuckDB's as Spark has it, with the functions that a session has for its calls of models."""
    return rewrite(to_spark(sql), _Pinned(registry, moves=True), by_name=True, notation=SPARK).text


class _Pinned(Resolver):
    """``given``: the models by the names of their functions in the text. ``moves``: what the text says is kept, to be
    run later, and then is to mean what is promoted by then."""

    def __init__(self, registry: Registry, *, moves: bool) -> None:
        super().__init__(registry)
        self.moves = moves
        self.given: dict[str, StoredModel] = {}

    def signature(self, function: Function) -> Signature:
        if function.call == SKEW:
            raise CallError(f"{SKEW}() is an aggregate of the extension for DuckDB, and Spark has none of it")
        return super().signature(function)

    def spelled(self, function: Function, names: tuple[str, ...]) -> Function:
        model = self._stored(function.reference)
        if self.moves:
            function = plain(function, self.has)
        else:
            manifest = model.manifest
            function = Function(function.call, Reference(manifest.name, manifest.version))
        self.needed[function] = model
        self.given[function.name] = self.given[f"{TRY}{function.name}"] = model
        return function


def _require_own(session: Any, registry: Registry) -> None:
    """The names of functions are the session's. Raises OtherRegistry where they are another registry's already."""
    home = registry.place
    found = session.conf.get(_HOME, home)
    if found != home:
        raise OtherRegistry.of_spark(found, home)
    session.conf.set(_HOME, home)


def _in_order(model: str, signature: Signature, columns: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    names = signature.feature_names
    if not named:
        if len(columns) not in (1, len(names)):
            raise FeatureCount.of(model, len(columns), names)
        return list(columns)
    if columns:
        raise CallError(f"model {model!r}: name every feature or none; it takes: {', '.join(names)}")
    given = {name.lower(): column for name, column in named.items()}
    known = {name.lower() for name in names}
    for name in given:
        if name not in known:
            raise UnknownFeature.of(model, name, names)
    missing = [name for name in names if name.lower() not in given]
    if missing:
        raise MissingFeature.of(model, missing, names)
    return [given[name.lower()] for name in names]


def _is_script(sql: str) -> bool:
    """Whether it is run statement by statement, so that none of it may be run twice."""
    return words(tokens_of(sql, SPARK)[:1]) == ["BEGIN"]
