"""An estimator: the first conversion that answers what the estimator itself answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.convert import Candidate, Original, made_up_rows, open_original
from sqlinfer.convert.saved import load_saved
from sqlinfer.errors import ConversionFailed, InvalidModel, ModelFailed, OptionError, ProofFailed, SqlinferError, named
from sqlinfer.graphs.describe import describe, null_policies, with_label
from sqlinfer.graphs.features import require_distinct
from sqlinfer.graphs.inspect import Graph, inspect_graph
from sqlinfer.graphs.preprocess import labels_of
from sqlinfer.models.compare import compare
from sqlinfer.models.labels import label_type_of
from sqlinfer.models.manifest import Refusals, Source
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Call, Feature, Label, NullPolicy, Signature
from sqlinfer.progress import step
from sqlinfer.registration.proof_rows import telling_sample
from sqlinfer.registration.proving import PROVEN_ROWS, Observed, RegistrationRequest, batch_rule, store_proven
from sqlinfer.registration.scores import classified
from sqlinfer.runtime.session import Session
from sqlinfer.trials.guards import Trials
from sqlinfer.trials.guards.asking import Refusal, ask
from sqlinfer.trials.labels import require_labels
from sqlinfer.trials.probe import Probe, run_on
from sqlinfer.version import __version__

__all__ = ["prove_estimator", "prove_saved"]

_NULL_ROWS = 32
_FLOATS = ("FLOAT", "DOUBLE")
_TEXTS_FOR_NULL = ("", "nan", "None", "missing")
_NO_CATEGORY = -(2**63)
_LARGE = 1e7
_LONGEST_REASON = 300
# A conversion that refuses a larger share of the sample is none.
_MOST_REFUSED = 0.5
# What a run may need at a wide place of the graph, 8 bytes each and several times over; a text may be long itself.
_MOST_NUMBERS = 3 << 20
_MOST_ROWS = 1 << 20
_MOST_TEXTS = 256


def prove_saved(name: str, path: Path, sample: Sample | None, request: RegistrationRequest, home: str) -> None:
    """As `prove_estimator`, of the model in a file."""
    step("loading it")
    prove_estimator(name, load_saved(path, trust=request.trust), sample, request, home)


def prove_estimator(name: str, model: Any, sample: Sample | None, request: RegistrationRequest, home: str) -> None:
    """Leave the model, proven, as the default version of ``name`` in the registry ``home``."""
    sample = sample or made_up_rows(model)
    if sample is None:
        _require_fitted(model)
        raise ConversionFailed(
            "sample rows are needed to name and type the features: give some with --sample FILE (sample=X_train)"
        )
    is_module = "torch" in _families(model)
    if others := sorted(set(request.options) - ({"softmax", "sigmoid"} if is_module else set())):
        raise OptionError.elsewhere(others[0], "a torch module" if is_module else "an estimator")
    if not len(sample.table):
        raise ConversionFailed("the sample has no rows: they name and type the features, and prove the model")
    sample = _as_trained(model, sample, are_given=bool(request.features))
    with _refusals(type(model).__name__):
        original, candidates = open_original(model, sample)
        if nones := _known_as_none(original, sample):
            sample = replace(sample, nones=sample.nones | nones)
            original, candidates = open_original(model, sample)
        original.answers(sample.head(2))
    labels = labels_of(request.labels)
    if is_module and (labels or request.options):
        original, candidates = classified(original, candidates, request.options, labels)
    elif labels:
        original = _with_labels(original, labels)
    failure: SqlinferError | None = None
    trials = Trials(original, sample, request.trials, nulls=_undecided(sample.table.column_names, request.null))
    guarded: list[tuple[int, Callable[[], None]]] = []
    for candidate in _converted(candidates, original.model):
        try:
            lost, store = _prove_candidate(name, original, candidate, sample, request, home, trials)
            if not lost:
                return store()
            guarded.append((lost, store))
        except (InvalidModel, ProofFailed) as error:
            failure = failure or type(error)(f"{error} (as {candidate.note}){_advice(sample)}")
    for _, store in sorted(guarded, key=itemgetter(0)):
        try:
            return store()
        except ProofFailed as error:
            failure = failure or error
    raise failure or ConversionFailed(f"no candidate for {original.model}")


def _converted(candidates: Iterator[Candidate], model: str) -> Iterator[Candidate]:
    """The candidates. Raises ConversionFailed for whatever a converter stumbles over."""
    while True:
        try:
            candidate = next(candidates, None)
        except (SqlinferError, ImportError, MemoryError):
            raise
        except Exception as error:
            if _says_unfitted(error):
                raise _unfitted(model) from error
            raise ConversionFailed(
                f"{model} cannot be converted: {type(error).__name__}: {_own_words(error)}; an option "
                "of it may be unknown here: try it with others, or without the step that has it"
            ) from error
        if candidate is None:
            return
        yield candidate


def _advice(sample: Sample) -> str:
    """Where sums of large numbers keep few digits, no two ways to add them up agree."""
    for column in sample.table.column_names:
        values = sample.table.column(column)
        if types.is_numeric(values.type) and (largest := _largest(values)) >= _LARGE:
            return (
                f"; {column!r} has numbers as large as {largest:.3g}, whose sums and products are rounded in the model "
                "itself: train it on the column less a constant, or put a StandardScaler before all else; of numbers "
                "that are categories, train it on texts: .astype(str)"
            )
    return ""


def _largest(values: pa.ChunkedArray) -> float:
    numbers = np.abs(values.drop_null().cast(pa.float64(), safe=False).to_numpy())
    return float(np.max(numbers[np.isfinite(numbers)], initial=0.0))


def _with_labels(original: Original, labels: tuple[Label, ...]) -> Original:
    """What its user calls the classes of a model that has none, or only numbers for them. Raises ConversionFailed."""
    own = original.labels
    if own and labels != own and not (original.numbered and len(labels) == len(own)):
        raise ConversionFailed(
            f"{original.model} has labels of its own: {', '.join(map(str, own))}; others are for models without"
        )
    if not own or labels == own:
        return replace(original, labels=labels)

    def answers(rows: Sample) -> dict[str, Any]:
        given = original.answers(rows)
        return {**given, "predict": np.array([labels[own.index(int(label))] for label in given["predict"]], object)}

    return replace(original, labels=labels, label_type=label_type_of(labels), answers=answers)


def _known_as_none(original: Original, sample: Sample) -> frozenset[str]:
    """The texts whose missing value the model knows as None, and not as the NaN that pandas reads it as; of those that
    the sample shows no missing value of."""
    rows = sample.spread(1)

    def is_answered(name: str, *, as_none: bool) -> bool:
        nones = rows.nones | {name} if as_none else rows.nones
        try:
            original.answers(replace(rows, table=_without(rows.table, name), nones=nones))
        except Exception:  # estimators refuse in ways of their own
            return False
        return True

    texts = () if rows.as_array else [c.name for c in rows.table.schema if types.is_text(c.type)]
    asked = [name for name in texts if name not in rows.nones and name not in rows.categories]
    return frozenset(n for n in asked if not is_answered(n, as_none=False) and is_answered(n, as_none=True))


def _as_trained(model: Any, sample: Sample, *, are_given: bool) -> Sample:
    """The columns that the model was trained on, in its order, where it names them and the sample has them all: others,
    such as the target, are no features. ``are_given``: its user has named the columns, in the model's order.

    Raises ConversionFailed where a name is that of another column of the model's.
    """
    trained = _trained_on(model)
    if are_given or sample.as_array:
        places = {name: i for i, name in enumerate(trained)}
        given = (*enumerate(sample.names), *enumerate(sample.renamed))
        moved = next((name for i, name in given if places.get(name, i) != i), None)
        if moved is not None:
            raise _refused(model, f"{moved!r} is not where the model has it: it was trained on {named(trained)}")
        return sample
    # LightGBM has underscores for spaces
    known = {name.replace(" ", "_"): name for name in sample.names} | {name: name for name in sample.names}
    lost = next((name for name in trained if sample.names.count(known.get(name, "")) != 1), None)
    if lost is None and trained:
        return replace(sample, table=sample.table.select([known[name] for name in trained]))
    if lost is not None and not _families(model).isdisjoint({"lightgbm", "xgboost"}):  # others look at names
        raise _refused(
            model,
            f"it was trained on {named(trained)}, and the sample has no column {lost!r}; name the columns, in the "
            "model's order, with --features A,B,C (features=[…])",
        )
    return sample


def _trained_on(model: Any) -> list[str]:
    """The names of the columns, where the model has them; not those that LightGBM and CatBoost make up."""
    for attribute in ("feature_names_in_", "feature_names_", "feature_name_", "feature_names", "feature_name"):
        names = getattr(model, attribute, None)
        names = names() if callable(names) else names
        if names is not None and len(names):
            names = [str(name) for name in names]
            made_up = any(names == [f"{stem}{i}" for i in range(len(names))] for stem in ("Column_", ""))
            return [] if made_up else names
    return []


def _families(model: Any) -> set[str]:
    return {base.__module__.split(".")[0] for base in type(model).__mro__}


def _require_fitted(model: Any) -> None:
    """Raises ConversionFailed for an estimator of scikit-learn without anything that fit() leaves."""
    fitted = getattr(model, "__sklearn_is_fitted__", None)
    if "sklearn" in _families(model) and not (
        fitted() if fitted else any(name.endswith("_") and not name.startswith("__") for name in vars(model))
    ):
        raise _unfitted(type(model).__name__)


def _says_unfitted(error: Exception) -> bool:
    return any(base.__name__.endswith("NotFittedError") for base in type(error).__mro__)


def _unfitted(model: str) -> ConversionFailed:
    return ConversionFailed(f"{model} is not fitted: call fit() before it is saved or registered")


def _refused(model: Any, reason: str) -> ConversionFailed:
    return ConversionFailed(f"{type(model).__name__} does not take the sample rows: {reason}")


@contextmanager
def _refusals(model: str) -> Iterator[None]:
    """What a framework has against the sample, in one line."""
    try:
        yield
    except (SqlinferError, ImportError, MemoryError):
        raise
    except Exception as error:
        if _says_unfitted(error):
            raise _unfitted(model) from error
        raise ConversionFailed(f"{model} does not take the sample rows: {_own_words(error)}") from error


def _own_words(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__


def _prove_candidate(
    name: str,
    original: Original,
    candidate: Candidate,
    sample: Sample,
    request: RegistrationRequest,
    home: str,
    trials: Trials,
) -> tuple[int, Callable[[], None]]:
    """How many of the rows that were tried it refuses though the original answers them, and what stores it."""
    graph = inspect_graph(candidate.model, original.model, request.layout)
    features = [
        Feature(n, type, tensor, column, prepare=candidate.prepared.get(n))
        for n, type, tensor, column in candidate.features
    ]
    require_distinct(features)
    rows = telling_sample(sample, PROVEN_ROWS)
    try:
        return _prove_rows(name, original, candidate, graph, features, rows, request, home, trials)
    except (InvalidModel, ModelFailed) as error:
        with _refusals(original.model):
            original.answers(rows)
        some, refusals = _taken(name, candidate, graph, features, rows)
        if refusals.share > _MOST_REFUSED or not refusals.refused:
            raise InvalidModel(f"{original.model} answers rows of the sample that SQL refuses: {error}") from error
    return _prove_rows(name, original, candidate, graph, features, some, request, home, trials, refusals)


def _taken(
    name: str, candidate: Candidate, graph: Graph, features: Sequence[Feature], rows: Sample
) -> tuple[Sample, Refusals]:
    """The rows that the graph does not refuse, and how many are others: a neighbour that is as far as the next one …"""
    session = Session(graph.content, name, candidate.files)
    taking = _taking_nulls(features, candidate)
    said = ask(lambda table: run_on(session, graph, taking, table), rows.table, [len(rows.table)], math.inf)
    reasons = Counter(one.reason for one in said if isinstance(one, Refusal))
    kept = [i for i, one in enumerate(said) if one is not None and not isinstance(one, Refusal)]
    says = reasons.most_common(1)[0][0].removeprefix(f"model {name!r} failed: ") if reasons else ""
    some = replace(rows, table=rows.table.take(pa.array(kept, pa.int64())))
    return some, Refusals("sample", len(said), len(said) - len(kept), says)


def _prove_rows(
    name: str,
    original: Original,
    candidate: Candidate,
    graph: Graph,
    features: Sequence[Feature],
    rows: Sample,
    request: RegistrationRequest,
    home: str,
    trials: Trials,
    refused: Refusals | None = None,
) -> tuple[int, Callable[[], None]]:
    """As `_prove_candidate`, with rows that the graph takes."""
    seen = Observed(name, graph, _taking_nulls(features, candidate), rows.table, candidate.files)
    signature = describe(seen.graph, features, seen.outputs, labels=original.labels, label_type=original.label_type)
    if candidate.scores is not None and original.labels:
        best = Call(str(signature.label_type), "argmax", (candidate.scores,))
        signature = replace(signature, calls={**signature.calls, "predict": best})
    require_labels(signature, original.labels if request.labels else ())
    with _refusals(original.model):
        expected = original.answers(rows)
    # the scores of a classifier that gives no probabilities are none: they stay an output of infer()
    calls = {call: how for call, how in signature.calls.items() if call in expected or call == "infer"}
    signature = with_label(replace(signature, calls=calls))
    signature = replace(signature, features=tuple(null_policies(features, request.null, "null")))
    learning = _Learning(name, original, candidate, seen.session, graph.tolerance)
    signature, unlike = learning.null_policies(signature, rows, _undecided(signature.feature_names, request.null))
    if given := next((name for name in unlike if rows.table.column(name).null_count), None):
        raise ProofFailed.of(name, f"{given!r} is NULL in the sample, and {unlike[given]}")
    signature = replace(signature, batch=batch_rule(name, signature, seen, rows.table, request.together))
    if candidate.widest:
        most = max(1, min(_MOST_TEXTS if candidate.prepared else _MOST_ROWS, _MOST_NUMBERS // candidate.widest))
        signature = replace(signature, batch=replace(signature.batch, most=signature.batch.most or most))
    probe = Probe(name, signature, seen.session)
    difference = compare(probe.answers(rows.table), expected, graph.tolerance)
    if not difference.passed:
        raise ProofFailed.of(name, difference.text)
    guarded = trials.guards(probe, candidate, expected, graph.tolerance)
    refusals = [*([refused] if refused else ()), *guarded.refusals]
    source = Source(original.framework, original.model, original.converter, __version__)

    def store(told: Signature) -> None:
        store_proven(
            home, name, seen.graph, told, source, original.task, rows.table, expected, candidate.files, refusals
        )

    def settle() -> None:
        trials.settle(Reference(name), guarded.signature, graph.tolerance, Registry(home), store)

    return guarded.lost + (refused.refused if refused else 0), settle


@dataclass(frozen=True, slots=True)
class _Learning:
    """What NULL is to the estimator: it is given to it, one feature at a time."""

    name: str
    original: Original
    candidate: Candidate
    session: Session
    tolerance: float

    def null_policies(
        self, signature: Signature, sample: Sample, undecided: Collection[str]
    ) -> tuple[Signature, dict[str, str]]:
        """Of the ``undecided`` features. Where the estimator answers, and the graph answers the same for some stand-in,
        that is the policy. An estimator that refuses leaves the default: the answer is NULL. Where it answers and the
        graph does not answer the same, a NULL is an error; of these features, also how the answers differ."""
        whole = replace(sample, table=sample.table.drop_null())  # a NULL beside the one on trial would decide for it
        rows = (whole if len(whole.table) else sample).spread(_NULL_ROWS)
        others = list(signature.features)
        if not len(whole.table):  # then there is one in every row
            others = _taking_nulls(others, self.candidate)
        learnt: dict[str, NullPolicy] = {}
        unlike: dict[str, str] = {}
        for i, feature in enumerate(signature.features):
            if feature.name not in undecided:
                continue
            table = _without(rows.table, feature.name)
            try:
                expected = self.original.answers(replace(sample, table=table))
            except Exception:  # an estimator that does not take missing values says so in its own way
                continue
            learnt[feature.name] = NullPolicy("error")
            unlike[feature.name] = "no value of its type stands for it"
            for policy in _stand_ins(feature, self.candidate):
                features = (*others[:i], replace(feature, null=policy), *others[i + 1 :])
                difference = self._difference(replace(signature, features=features), table, expected)
                if difference is None:
                    learnt[feature.name] = policy
                    del unlike[feature.name]
                    break
                unlike[feature.name] = difference
        return _with_policies(signature, learnt), unlike

    def _difference(self, trial: Signature, table: pa.Table, expected: Mapping[str, Any]) -> str | None:
        """From what is expected, in words; None where there is none."""
        try:
            difference = compare(Probe(self.name, trial, self.session).answers(table), expected, self.tolerance)
        except SqlinferError as error:
            return str(error)
        return None if difference.passed else difference.text


def _stand_ins(feature: Feature, candidate: Candidate) -> list[NullPolicy]:
    """What NULL may be to the graph, the likeliest first."""
    if feature.type in _FLOATS:
        return [NullPolicy("nan")]
    if feature.type == "VARCHAR":
        own = candidate.missing.get(feature.name)
        return [NullPolicy("value", text) for text in (_TEXTS_FOR_NULL if own is None else (own,))]
    return [NullPolicy("value", _NO_CATEGORY)] if feature.type == "BIGINT" else []


def _taking_nulls(features: Sequence[Feature], candidate: Candidate) -> list[Feature]:
    """With a NULL given to the graph: of a sample that has one in every row, which the original answers."""
    return [replace(f, null=policies[0]) if (policies := _stand_ins(f, candidate)) else f for f in features]


def _undecided(names: Sequence[str], given: str | Mapping[str, Any] | None) -> list[str]:
    """The features of which the user has not said what NULL does."""
    if isinstance(given, str):
        return []
    decided = {name.lower() for name in given or ()}
    return [name for name in names if name.lower() not in decided]


def _with_policies(signature: Signature, policies: Mapping[str, NullPolicy]) -> Signature:
    features = (replace(f, null=policies.get(f.name, f.null)) for f in signature.features)
    return replace(signature, features=tuple(features))


def _without(table: pa.Table, name: str) -> pa.Table:
    i = table.column_names.index(name)
    field = table.schema.field(i)
    return table.set_column(i, field, pa.nulls(len(table), field.type))
