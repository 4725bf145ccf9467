"""evaluate(): what is asked, checked before any row is scored, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlinfer.connection import Connection, attach, connect
from sqlinfer.errors import CallError, EngineError, FeatureType, OptionError, SqlinferError, named
from sqlinfer.evaluation.query import Question
from sqlinfer.evaluation.result import Evaluation
from sqlinfer.evaluation.source import Source, described, rows_as_sql
from sqlinfer.model import Model
from sqlinfer.models.registry import Registry, RegistryLike, StoredModel
from sqlinfer.models.signature import Label

__all__ = ["evaluate", "judge"]

_LABELS = ("VARCHAR", "BIGINT", "BOOLEAN")
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+, *\d+\)")
_BOOLEANS = (("no", "yes"), ("false", "true"), ("n", "y"), ("f", "t"))
_NUMBERS = ("FLOAT", "DOUBLE", "BIGINT", "INTEGER", "SMALLINT", "TINYINT")


def evaluate(
    model: str | Model,
    data: Any,
    *,
    target: str | None = None,
    by: str | Sequence[str] | None = None,
    positive: Label | None = None,
    registry: RegistryLike = None,
    con: Any = None,
) -> Evaluation:
    """How good ``model`` is on rows whose answers are known; the result shows itself in a notebook.

    ``data``: the name of a table, a query, a file or several, a DataFrame or an Arrow table. ``target``: the column
    with the right answers, else the one that the model was registered with. ``by``: columns whose values are groups to
    be judged one by one, too. ``positive``: the class that precision, recall and F1 are about; else, as in SQL, it is
    TRUE or 1, and of other classes their mean counts. ``con``: whose tables are meant, and whose registry.

    Raises SqlinferError: CallError for columns and classes that are not there, EngineError without the extension.
    """
    columns = [by] if isinstance(by, str) else list(by or ())
    with _connected(con, registry) as open_:
        stored = _stored(model, open_.registry)
        return judge(open_, stored, data, target=target, by=columns, positive=positive, curves=True)


def judge(
    con: Connection,
    stored: StoredModel,
    data: Any,
    *,
    target: str | None,
    by: Sequence[str],
    positive: Label | None,
    curves: bool,
) -> Evaluation:
    """`evaluate` over a connection of the native engine; ``curves``: with what a picture needs."""
    manifest = stored.manifest
    task = _task(stored)
    target = target or manifest.target
    if target is None:
        raise CallError(
            f"model {manifest.name!r} was registered without its target: name the column with the right answers, "
            "--target COLUMN (target='column')"
        )
    with rows_as_sql(con, data) as rows:
        source = described(con, rows)
        actual = source.column(target, "the target")
        words = _words_of_booleans(stored, source.types[actual])
        if words is None:
            _require_kind(stored, task, actual, source)
        groups = tuple(source.column(one, "the group") for one in by)
        if task == "regression" and positive is not None:
            raise OptionError(f"a positive class is for classifiers, and {manifest.name!r} answers numbers")
        question = Question(
            model=f"{manifest.name}/{manifest.version}",
            task=task,
            rows=source.sql,
            alias=source.alias,
            target=actual,
            words=words,
            by=groups,
            classes=tuple(manifest.signature.labels or ()),
            positive=None if positive is None else _class(stored, positive),
            probabilities="predict_proba" in manifest.signature.calls,
            curves=curves,
        )
        answer = _answer(con, question)
    return Evaluation.of(question, answer)


@contextmanager
def _connected(con: Any, registry: RegistryLike) -> Iterator[Connection]:
    if con is None:
        with connect(registry=registry, engine="native") as own:
            yield own
    elif type(con) is not Connection:
        yield attach(con, registry=registry, engine="native")
    else:
        if registry is not None and Registry.of(registry).home != con.registry.home:
            raise OptionError(f"the connection has the registry {con.registry.home}: leave out registry=")
        if con.engine != "native":
            raise EngineError.no_aggregate("evaluate", con.engine)
        yield con


def _stored(model: str | Model, registry: Registry) -> StoredModel:
    return registry.get(f"{model.name}/{model.version}" if isinstance(model, Model) else model)


def _task(stored: StoredModel) -> str:
    """Raises FeatureType for answers that are neither labels nor numbers."""
    manifest, signature = stored.manifest, stored.manifest.signature
    answer = signature.calls["predict"].type
    if answer in _LABELS and (signature.labels or manifest.task == "classification"):
        return "classification"
    if answer in _NUMBERS and manifest.task in ("regression", "other"):
        return "regression"
    what = "the number of a cluster" if manifest.task == "clustering" else answer
    raise FeatureType(
        f"model {manifest.name!r} answers {what}: what is evaluated is the label of a classifier or the number of a "
        "regression; of others compare the answers in SQL"
    )


def _words_of_booleans(stored: StoredModel, given: str) -> tuple[str, str] | None:
    """The classes for false and true, where DuckDB reads the two of the model so: ``no`` and ``yes`` in a CSV file."""
    words = {str(label).lower(): label for label in stored.manifest.signature.labels or () if isinstance(label, str)}
    if given != "BOOLEAN" or len(words) != 2:
        return None
    return next(((words[no], words[yes]) for no, yes in _BOOLEANS if {no, yes} == set(words)), None)


def _require_kind(stored: StoredModel, task: str, target: str, source: Source) -> None:
    """The extension says more of values; here is what can be known without a row."""
    given = source.types[target]
    name, signature = stored.manifest.name, stored.manifest.signature
    answer = signature.calls["predict"].type
    if given.strip('"') == "NULL":
        return
    if task == "regression":
        fits, what = bool(_NUMBER.fullmatch(given)), "numbers"
    elif answer == "VARCHAR":
        fits, what = given == "VARCHAR" or given.startswith("ENUM("), "the classes "
    else:
        fits, what = given == "BOOLEAN" or bool(_NUMBER.fullmatch(given)), "the classes "
    if not fits:
        classes = named(map(repr, signature.labels or ()), 8) if task == "classification" else ""
        raise FeatureType(
            f"the target {target!r} is {given}, and model {name!r} answers {what}{classes}; give another column, or a "
            f"query in place of the rows, such as SELECT * REPLACE ({target}::… AS {target}) FROM …"
        )


def _class(stored: StoredModel, positive: Label) -> Label:
    """The class that is meant; a command has its text. Raises CallError."""
    classes = list(stored.manifest.signature.labels or ())
    for one in classes:
        if type(one) is type(positive) and one == positive:
            return one
    for one in classes:
        if isinstance(positive, str) and not isinstance(one, str) and str(one).lower() == positive.lower():
            return one
    raise CallError.no_class(stored.manifest.name, str(positive), list(map(str, classes)))


def _answer(con: Connection, question: Question) -> list[dict[str, Any]]:
    """A row for all, and one for each group. Raises CallError where there is nothing to judge."""
    try:
        result = con.execute(question.sql())
        names = [column[0] for column in result.description]
        answer = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    except SqlinferError as error:
        raise _plain(error, question) from None
    ((total),) = (answer[0],)
    if not total["row_count"]:
        raise CallError("there are no rows to evaluate")
    if total["score"] is None:
        raise CallError(
            f"none of the {total['row_count']:,} rows has both an answer and the {question.target!r} that is right: "
            f"{total['without_actual']:,} have no {question.target!r}, {total['without_answer']:,} no answer"
        )
    return answer


def _plain(error: SqlinferError, question: Question) -> SqlinferError:
    """Without the place in SQL that nobody has written, and with the column that an aggregate was given."""
    said = error.args[0] if error.args else ""
    function, of, rest = str(said).partition("(): ")
    told = f"the target {question.target!r}: {rest}" if of and function.isidentifier() else str(said)
    return type(error)(told)
