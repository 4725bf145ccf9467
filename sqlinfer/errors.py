"""Every exception that sqlinfer raises, with the messages that several modules share.

    SqlinferError
    ├── BadReference        (ValueError)       the text does not name a model
    ├── ModelNotFound       (LookupError)      no such model, version or alias
    ├── CallError           (ValueError)       a predict() call that cannot be understood
    ├── StatementError      (ValueError)       a statement on models, such as CREATE MODEL, that cannot be understood
    ├── FeatureError        (ValueError)       the features given are not the features of the model
    │   ├── MissingFeature  (LookupError)
    │   ├── UnknownFeature  (LookupError)
    │   ├── FeatureCount    (TypeError)
    │   ├── FeatureType     (TypeError)
    │   └── NullFeature
    ├── OptionError         (TypeError)        an option of register() that is for other models
    ├── InvalidModel        (ValueError)       the file is not a model that can be run
    ├── UntrustedModel      (PermissionError)  loading it would run code, and nobody allowed that
    ├── ConversionFailed    (ValueError)       the estimator has no faithful ONNX form
    ├── ProofFailed         (ValueError)       SQL does not answer what the model answered
    ├── RegistryError       (OSError)          the folder of models cannot be read or written
    ├── ModelFailed         (RuntimeError)     ONNX Runtime refused the rows
    ├── ScoringFailed       (RuntimeError)     a job of many files cannot be begun, or one of its files not be scored
    ├── EngineError         (RuntimeError)     the engine that was asked for is not available
    │   └── OtherRegistry                      the database already answers from another folder of models
    └── MissingExtra        (ImportError)      an optional package is not installed

Each message says what happened, where, and what to do. An option is named as the command has it, and in parentheses as
Python has it, ``--labels no,yes (labels=['no', 'yes'])``: the command leaves those out.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

__all__ = [
    "BadReference",
    "CallError",
    "ConversionFailed",
    "EngineError",
    "FeatureCount",
    "FeatureError",
    "FeatureType",
    "InvalidModel",
    "MissingExtra",
    "MissingFeature",
    "ModelFailed",
    "ModelNotFound",
    "NullFeature",
    "OptionError",
    "OtherRegistry",
    "ProofFailed",
    "RegistryError",
    "ScoringFailed",
    "SqlinferError",
    "StatementError",
    "UnknownFeature",
    "UntrustedModel",
]


_LONGEST = 1800
_MOST_WRONG = 8
_MOST_SHOWN = 40
# Of a row of many features, and of a list, those that are shown.
_MOST_IN_ROW = 8


class SqlinferError(Exception):
    """Base of all errors of sqlinfer. ``excerpt`` is the place in the SQL, underlined, and ``place`` where that
    begins and ends, once it is known."""

    excerpt: str | None = None
    place: tuple[int, int] | None = None

    def at(self, sql: str, start: int, end: int) -> SqlinferError:
        """Point at ``sql[start:end]``; the first place that is named stays."""
        if self.excerpt is None:
            self.excerpt = underline(sql, start, end)
            self.place = start, end
        return self

    def moved(self, sql: str, start: int, end: int) -> SqlinferError:
        """Point at another text: the one that the place so far was made of."""
        self.excerpt = None
        return self.at(sql, start, end)

    def __str__(self) -> str:
        message = super().__str__()
        if len(message) > _LONGEST:  # a name in a file may have any length
            message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
        return f"{message}\n\n{self.excerpt}" if self.excerpt else message


class BadReference(SqlinferError, ValueError):
    @classmethod
    def of(cls, text: str) -> BadReference:
        return cls(
            f"{text!r} does not name a model: write 'name', 'name/3' (a version) or 'name@champion' (an alias); "
            "names match [A-Za-z_][A-Za-z0-9_]* and have at most 63 characters"
        )

    @classmethod
    def reserved(cls, name: str) -> BadReference:
        return cls(f"a model cannot be called {name!r}: predict_{name}() means something else in SQL")


class ModelNotFound(SqlinferError, LookupError):
    @classmethod
    def name(cls, name: str, existing: Iterable[str], home: object) -> ModelNotFound:
        existing = sorted(existing)
        if not existing:
            return cls(
                f"no model named {name!r}: the registry {home} is empty; add one with 'sqlinfer register NAME FILE'"
            )
        return cls(f"no model named {name!r} in {home}; {suggest(name, existing, 'models')}")

    @classmethod
    def version(cls, name: str, version: int, existing: Iterable[int]) -> ModelNotFound:
        listed = ", ".join(str(v) for v in sorted(existing)) or "none"
        return cls(f"model {name!r} has no version {version}; versions: {listed}")

    @classmethod
    def alias(cls, name: str, alias: str, existing: Iterable[str]) -> ModelNotFound:
        return cls(f"model {name!r} has no alias {alias!r}; {suggest(alias, sorted(existing), 'aliases')}")

    @classmethod
    def answer(cls, reference: str, call: str, offers: Iterable[str]) -> ModelNotFound:
        return cls(f"model {reference!r} has no {call}(): it answers {', '.join(f'{o}()' for o in offers)}")


class CallError(SqlinferError, ValueError):
    @classmethod
    def no_model_named(cls, function: str) -> CallError:
        return cls(f"{function}() needs the name of a model, such as {function}('churn')")

    @classmethod
    def no_class(cls, model: str, name: str, classes: list[str]) -> CallError:
        return cls(f"model {model!r} has no class {name!r}; {suggest(name, classes, 'classes')}")

    @classmethod
    def no_constant_class(cls, model: str, classes: list[str]) -> CallError:
        return cls(f"model {model!r}: the class must be a constant, the last argument; classes: {named(classes)}")

    @classmethod
    def no_target(cls, model: str, column: str, *, known: bool) -> CallError:
        if known:
            return cls(
                f"model {model!r}: the rows have no column {column!r}, which the answers are compared with; give rows "
                f"that have it, or alias it: SELECT *, outcome AS {column} FROM …"
            )
        return cls(
            f"model {model!r} was registered without its target, so no column is known to hold the actual values: "
            "register it with --target outcome (target='outcome'), or alias that column: SELECT *, outcome AS label "
            "FROM …"
        )

    @classmethod
    def no_table(cls, function: str, reference: str) -> CallError:
        return cls(
            f"{function}() answers a value for each row, and is no table: write SELECT *, {function}('{reference}', t) "
            "FROM a_table t; a_table may be a file, such as 'rows.parquet', or a query in parentheses"
        )

    @classmethod
    def reference_not_constant(cls, call: str) -> CallError:
        return cls(
            f"{call}: the model name must be a constant text, such as {call}('churn', …); it says which function to "
            "prepare"
        )

    @classmethod
    def one_model(cls, call: str) -> CallError:
        """Where no row can name its own model."""
        if call == "predict_label":
            return cls("predict_label() is of DuckDB: write CAST(predict('model', …) AS STRING)")
        return cls(f"Spark needs a model that is a constant, as in {call}('churn', …): each has a type of its own")

    @classmethod
    def no_text_for_model(cls, call: str, given: str) -> CallError:
        return cls(f"{call}: the model's name is a text, such as 'churn' or 'churn/3', and the argument is {given}")

    @classmethod
    def name_every_argument(cls, call: str) -> CallError:
        return cls(f"{call}: name every feature behind the model or none, or give a row")

    @classmethod
    def other_answer(cls, call: str, model: str, answers: str, own: str, is_plain: bool) -> CallError:
        other = "predict_label(…), or " if is_plain else ""
        constant = "predict" if call == "predict_label" else call
        return cls(
            f"{call}() answers {answers} where each row names its model, and the model {model!r} answers {own}: call "
            f"{other}{constant}({model!r}, …) with the name as a constant"
        )

    @classmethod
    def index(cls, function: str) -> CallError:
        return cls(
            f"{function}() cannot be indexed: what a model answers is another when another version is promoted, and "
            "DuckDB gives up a database whose index it cannot compute; write the answers into a column and index that"
        )


class StatementError(SqlinferError, ValueError):
    pass


class FeatureError(SqlinferError, ValueError):
    @classmethod
    def refused(cls, model: str, feature: str, value: str, says: str) -> FeatureError:
        return cls(f"model {model!r}: feature {feature!r} is {value}, which is refused: {says}")

    @classmethod
    def image(cls, model: str, feature: str, reason: str) -> FeatureError:
        return cls(
            f"model {model!r}: feature {feature!r}: an image cannot be read ({reason}); "
            "give PNG or JPEG files, or write TRY(predict(…)) for NULL in its place"
        )

    @classmethod
    def text(cls, model: str, feature: str, reason: str) -> FeatureError:
        return cls(
            f"model {model!r}: feature {feature!r}: a text cannot be made into tokens ({reason}); "
            "give another text, or write TRY(predict(…)) for NULL in its place"
        )


class MissingFeature(FeatureError, LookupError):
    @classmethod
    def of(cls, model: str, missing: list[str], expected: list[str]) -> MissingFeature:
        word = "feature" if len(missing) == 1 else "features"
        return cls(f"model {model!r} needs the {word} {named(missing)}, not given; it takes: {named(expected)}")

    @classmethod
    def column(cls, name: str) -> MissingFeature:
        return cls(f"the rows have no column {name!r}, which the model takes; give rows that have every feature")


class UnknownFeature(FeatureError, LookupError):
    @classmethod
    def of(cls, model: str, name: str, expected: list[str]) -> UnknownFeature:
        return cls(f"model {model!r} has no feature {name!r}; {suggest(name, expected, 'it takes')}")

    @classmethod
    def twice(cls, model: str, name: str) -> UnknownFeature:
        return cls(f"model {model!r}: the feature {name!r} is given twice; give each feature once")

    @classmethod
    def several(cls, name: str, columns: Iterable[str]) -> UnknownFeature:
        return cls(
            f"several columns may be the feature {name!r}, as SQL ignores case: {named(map(repr, columns))}; leave out "
            "or rename all but one"
        )


class FeatureCount(FeatureError, TypeError):
    @classmethod
    def of(cls, model: str, given: int, expected: list[str]) -> FeatureCount:
        return cls(
            f"model {model!r} takes {len(expected)} features, {given} given; it takes, in this order: {named(expected)}"
        )

    @classmethod
    def width(cls, model: str, given: int, expected: int) -> FeatureCount:
        return cls(f"model {model!r} takes a list of {expected} values; a row has {given}")


class FeatureType(FeatureError, TypeError):
    @classmethod
    def of(cls, model: str, feature: str, given: str, expected: str, fix: str) -> FeatureType:
        return cls(f"model {model!r}: feature {feature!r} is {expected}, but the argument is {given}; {fix}")

    @classmethod
    def several(cls, model: str, wrong: Sequence[FeatureType]) -> FeatureType:
        """All that are wrong at once; of very many the first ones."""
        first, *others = (str(error) for error in wrong[:_MOST_WRONG])
        more = [f"and {len(wrong) - _MOST_WRONG} more"] if len(wrong) > _MOST_WRONG else []
        return cls("; ".join([first, *(text.removeprefix(f"model {model!r}: ") for text in others), *more]))


class NullFeature(FeatureError):
    @classmethod
    def of(cls, model: str, feature: str) -> NullFeature:
        return cls(
            f"model {model!r}: feature {feature!r} is NULL and its null policy is 'error'; "
            f"filter with WHERE {feature} IS NOT NULL, or register with another policy"
        )


class OptionError(SqlinferError, TypeError):
    @classmethod
    def elsewhere(cls, option: str, model: str) -> OptionError:
        return cls(f"{option} is for .onnx files, not for {model}")


class InvalidModel(SqlinferError, ValueError):
    @classmethod
    def rows_anywhere(cls, kind: str, name: str, axes: Iterable[int | None]) -> InvalidModel:
        places = ["none" if axis is None else str(axis) for axis in axes]
        return cls(
            f"{kind} {name!r} may have its rows on axis {' or '.join(places)}, and the answers to trial rows do not "
            f"tell which: say it with --batch-axis {name}={places[0]} (batch_axis={{{name!r}: {places[0].title()}}})"
        )

    @classmethod
    def ragged(cls, name: str, counts: Iterable[int], rows: Iterable[int]) -> InvalidModel:
        found = " and ".join(f"{count} of {n} rows" for count, n in zip(counts, rows, strict=True))
        return cls(
            f"output {name!r} is a sequence of tensors of several shapes, {found}: no type of SQL holds it; export the "
            "model with a fixed number of tensors, or with an output for each"
        )

    @classmethod
    def rows(cls, rows: int, error: object, possible: int | None, axis: str) -> InvalidModel:
        """``possible``: a number of rows that the model does run on; ``axis``: an input, and its shape with it."""
        fix = "give rows that it knows: --sample FILE (sample=rows)"
        if possible == 1:
            fix = "it runs on one row at a time: register it row by row (--row-by-row, row_by_row=True)"
        elif possible is not None:
            fix = (
                f"it runs on {possible} rows at a time though the file declares any number: declare what it takes, "
                f"'python -m onnxruntime.tools.make_dynamic_shape_fixed {axis} OLD.onnx NEW.onnx', and register that"
            )
        return cls(f"the model does not run on {rows} rows: {error}; {fix}")

    @classmethod
    def random(cls, name: str, seen: str) -> InvalidModel:
        """``seen``: what shows it."""
        return cls(
            f"model {name!r} answers at random: {seen}, so that there is no answer to prove; export it for inference "
            "(without dropout), or with its random numbers as an input"
        )

    @classmethod
    def no_probability(cls, score: float) -> InvalidModel:
        return cls(f"a score is {score:.6g}, which is no probability: of a logit, say --sigmoid (sigmoid=True)")

    @classmethod
    def one_label(cls, label: object) -> InvalidModel:
        return cls(
            f"one label is given, {label!r}, and every row would have it; of one score, give the label of a low one "
            "and that of a high one: --labels no,yes (labels=['no', 'yes'])"
        )

    @classmethod
    def no_weights(cls, path: object, file: str) -> InvalidModel:
        return cls(
            f"{path} keeps its weights in external files, of which {file!r} is not there; put it beside the model"
        )

    @classmethod
    def linked_weights(cls, path: object, file: str) -> InvalidModel:
        return cls(
            f"{path} keeps its weights in {file!r}, which is a link, and links may lead anywhere; "
            "copy the model with its weights (cp -L) into a folder of their own, and register it from there"
        )

    @classmethod
    def foreign(cls, path: object, what: str, how: str) -> InvalidModel:
        return cls(f"{path} is not an ONNX file, but {what}; what registers comes of: {how}")

    @classmethod
    def lacks_module(cls, path: object, module: str | None) -> InvalidModel:
        return cls(
            f"{path} needs the Python module {module or 'of its author'}, which is not here: install it, or work in "
            "the folder that has it"
        )


class UntrustedModel(SqlinferError, PermissionError):
    @classmethod
    def types(cls, path: object, types: Iterable[str]) -> UntrustedModel:
        return cls(
            f"{path} holds types that skops does not trust, whose code runs when it is loaded: {named(types)}. If you "
            "trust who wrote it, say so with --trust (trust=True)"
        )

    @classmethod
    def pickle(cls, path: object) -> UntrustedModel:
        return cls(
            f"{path} is a pickle: loading it runs the code that it holds. If you trust who wrote it, "
            "say so with --trust (trust=True)"
        )


class ConversionFailed(SqlinferError, ValueError):
    pass


class ProofFailed(SqlinferError, ValueError):
    @classmethod
    def of(cls, reference: object, difference: str) -> ProofFailed:
        return cls(f"SQL does not answer what the model {str(reference)!r} answers: {difference}")


class RegistryError(SqlinferError, OSError):
    @classmethod
    def address(cls, home: object) -> RegistryError:
        return cls(
            f"{home} is an address, and a registry is a folder: mount it, or copy it here, and give that folder's path"
        )

    @classmethod
    def nowhere(cls, home: object) -> RegistryError:
        return cls(
            f"there is no registry {home}: give --registry (or SQLINFER_HOME) the folder that models were registered "
            f"in; 'sqlinfer register NAME FILE --registry {shlex.quote(str(home))}' makes one"
        )


class ModelFailed(SqlinferError, RuntimeError):
    @classmethod
    def shape(cls, output: str, given: Iterable[int], expected: Iterable[int | None]) -> ModelFailed:
        wanted = ["any" if axis is None else str(axis) for axis in expected]
        return cls(
            f"output {output!r} is {list(given)} a row, not [{', '.join(wanted)}]: the answers have another shape than "
            "when the model was registered; register it again, with such rows as sample"
        )

    @classmethod
    def inexact(cls, model: str, value: int) -> ModelFailed:
        return cls(
            f"model {model!r} failed: it answers an integer that DOUBLE does not hold, {value}; integers are exact up "
            "to 9007199254740992: call predict_label(…), or give the model's name as a constant"
        )

    @classmethod
    def too_many(cls, values: int, most: int) -> ModelFailed:
        return cls(
            f"the answers of a batch hold {values:,} values in lists, and a column of Arrow {most:,} at most; ask "
            "fewer rows at once, or the native engine"
        )


class ScoringFailed(SqlinferError, RuntimeError):
    @classmethod
    def taken(cls, name: str, columns: Iterable[str]) -> ScoringFailed:
        taken = {column.lower(): column for column in columns}
        free = next(f"{name}_{i}" for i in range(2, len(taken) + 3) if f"{name}_{i}".lower() not in taken)
        own = taken.get(name.lower(), name)
        return cls(f"the rows have a column {own!r} already; call the answers otherwise: --as {free}")

    @classmethod
    def other_job(cls, place: object, model: str, other: str, differences: Iterable[str]) -> ScoringFailed:
        return cls(
            f"{place} has answers of another job, by {other} ({'; '.join(differences)}): name another folder with -o, "
            f"go on as that job did, or replace them by those of {model} with --overwrite"
        )

    @classmethod
    def outputs(cls, count: int, first: object) -> ScoringFailed:
        what = "an output is there already" if count == 1 else f"{count} outputs are there already"
        return cls(f"{what}, as {first}; leave out what is done with --resume, or write all anew with --overwrite")

    @classmethod
    def foreign(cls, count: int, first: object) -> ScoringFailed:
        what = "a file is" if count == 1 else f"{count} files are"
        return cls(
            f"{what} in the place of outputs, as {first}, that no job has written: move them away, name another "
            "folder with -o, or replace them with --overwrite"
        )


class ScoringAskedWrongly(ScoringFailed):
    """The fault is in what is asked, and not in a file."""


class EngineError(SqlinferError, RuntimeError):
    @classmethod
    def no_connection(cls, given: object) -> EngineError:
        kind = type(given)
        return cls(
            f"attach() takes a connection of DuckDB's own, not a {kind.__module__}.{kind.__qualname__}; give it what "
            "duckdb.connect() opens, or the connection of DuckDB that this one wraps, or use sqlinfer.connect()"
        )

    @classmethod
    def no_aggregate(cls, name: str, engine: str) -> EngineError:
        return cls(
            f"{name}() is an aggregate of the native extension, which this connection does not have (its engine is "
            f"{engine}): connect with engine='native', which says why if it cannot be loaded, as 'sqlinfer doctor' does"
        )


class OtherRegistry(EngineError):
    @classmethod
    def of(cls, current: object, asked: object) -> OtherRegistry:
        return cls(
            f"this database already answers from the registry {current}; to use {asked}, open the database in another "
            "process"
        )

    @classmethod
    def of_spark(cls, current: object, asked: object) -> OtherRegistry:
        return cls(
            f"this session of Spark's already answers from the registry {current}; for {asked} attach another one, as "
            "spark.newSession() gives"
        )


class MissingExtra(SqlinferError, ImportError):
    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtra:
        return cls(f"{purpose} needs the package {package!r}: pip install 'sqlinfer[{extra}]'")


def shown(value: float | str) -> str:
    """A value in a message."""
    if isinstance(value, str):
        return f"'{value[:_MOST_SHOWN]}…'" if len(value) > _MOST_SHOWN else f"'{value}'"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        return repr(float(value)).removesuffix(".0")
    digits, exponent = f"{Decimal(repr(float(value))).normalize():E}".split("E")
    return f"{digits}e{int(exponent)}"


# What the native extension calls each kind of error (udfs/src/sys/error.rs).
_BY_CODE: dict[str, type[SqlinferError]] = {
    "bad_reference": BadReference,
    "model_not_found": ModelNotFound,
    "call": CallError,
    "feature": FeatureError,
    "missing_feature": MissingFeature,
    "unknown_feature": UnknownFeature,
    "feature_count": FeatureCount,
    "feature_type": FeatureType,
    "null_feature": NullFeature,
    "invalid_model": InvalidModel,
    "registry": RegistryError,
    "model_failed": ModelFailed,
    "engine": EngineError,
}


def of_code(code: str | None, text: str) -> SqlinferError | None:
    """The error of this kind; None of none that sqlinfer has."""
    kind = _BY_CODE.get(code or "")
    return None if kind is None else kind(text)


def shown_value(value: Any) -> str:
    """A value of a row in a message."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, float)):
        return shown(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return f"[{named([*map(shown_value, value[:_MOST_IN_ROW]), *value[_MOST_IN_ROW:]], _MOST_IN_ROW)}]"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def shown_row(names: Sequence[str], values: Iterable[Any], show: Callable[[Any], str] = shown_value) -> str:
    """A row in a message, as ``age = 20, city = 'a'``: of many features the first."""
    pairs = zip(names[:_MOST_IN_ROW], values, strict=False)
    texts = [f"{name} = {show(value)}" for name, value in pairs]
    return named([*texts, *names[_MOST_IN_ROW:]], _MOST_IN_ROW)


def named(names: Iterable[object], most: int = 40) -> str:
    """A list for a message: all names, or the first ``most`` and how many more there are."""
    names = list(names)
    more = f", … ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def suggest(word: str, existing: Iterable[str], what: str) -> str:
    existing = list(existing)
    close = get_close_matches(word.lower(), existing, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}{what}: {named(existing) or 'none'}"


def underline(sql: str, start: int, end: int) -> str:
    """The line of ``sql`` that holds ``start``, with carets below ``[start, end)``; long lines are cut around it."""
    first = sql.rfind("\n", 0, start) + 1
    stop = sql.find("\n", start)
    stop = len(sql) if stop < 0 else stop
    left = max(first, start - 60)
    right = min(stop, max(end, start + 1) + 40)
    lead = f"LINE {sql.count(chr(10), 0, start) + 1}: " + ("…" if left > first else "")
    tail = "…" if right < stop else ""
    carets = "^" * max(1, min(end, stop) - start)
    return f"{lead}{sql[left:right]}{tail}\n{' ' * (len(lead) + start - left)}{carets}"
