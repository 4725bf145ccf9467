"""register(): convert, inspect, prove through SQL, store. Everything that a query needs to know is worked out here.

A model is stored only when SQL answers what the original answers on the sample rows.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa

from sqlinfer.connection import RegistryLike, connect
from sqlinfer.errors import BadReference, ConversionFailed, FeatureError, InvalidModel, ProofFailed, SqlinferError
from sqlinfer.model import Model
from sqlinfer.models.convert import Candidate, Original, open_original
from sqlinfer.models.convert.pickled import load_pickle
from sqlinfer.models.describe import describe, null_policies, task_of
from sqlinfer.models.inspect import Graph, inspect_graph, with_rows_first
from sqlinfer.models.manifest import Manifest, Proof, Source
from sqlinfer.models.prepare import Labels, Options, open_file
from sqlinfer.models.reference import RESERVED, Reference, check_name
from sqlinfer.models.registry import MODEL_FILE, Registry, StoredModel
from sqlinfer.models.rows import Layout
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Batch, Feature, NullPolicy, Signature
from sqlinfer.proof import Difference, compare, json_values
from sqlinfer.runtime.probe import Probe, observe, synthetic_rows
from sqlinfer.runtime.session import Session
from sqlinfer.runtime.trial import prepared_rules, require_same
from sqlinfer.version import __version__

__all__ = ["register", "verify"]

_PROVEN_ROWS = 1000
_STORED_ROWS = 16
_STORED_VALUES = 20_000
_NULL_ROWS = 32
_FEW_ROWS = 8
_MOST_DIFFERENT = 1e6
_FLOATS = ("FLOAT", "DOUBLE")
_TEXTS_FOR_NULL = ("", "nan", "None", "missing")


def register(
    name: str,
    model: Any,
    *,
    sample: Any = None,
    features: Sequence[str] | None = None,
    labels: Labels = None,
    null: str | Mapping[str, Any] | None = None,
    registry: RegistryLike = None,
    batch_axis: Mapping[str, int | None] | None = None,
    constants: Mapping[str, Any] | None = None,
    row_by_row: bool = False,
    together: bool = False,
    promote: bool = False,
    trust: bool = False,
    **options: Unpack[Options],
) -> Model:
    """Store ``model`` as a new version of ``name`` and return it.

    ``model``: a fitted scikit-learn estimator or pipeline, an XGBoost, LightGBM or CatBoost model, a torch module, or
    the path of an .onnx file, of a folder as Hugging Face lays it out, or (with ``trust=True``, since loading runs its
    code) of a pickled estimator.
    ``sample``: rows as the model takes them, without the target: they name and type the features and prove the model.
    ``features``: names for the features of a model that has none. ``labels``: classes in the order of the scores, or a
    file of them: one a line, or a config.json with id2label.
    ``null``: what a NULL does, for all features or by name: 'null', 'nan', 'error' or a value.
    For .onnx files that leave it open: ``batch_axis``, by input, the axis that counts the rows, or None where all rows
    of a run share the value; ``constants``, by input, a value that never changes (the input is no feature then);
    ``row_by_row``, each row is a run of its own and all outputs are its answer; ``together``, rows are scored together
    though their answers then depend on their neighbours.
    ``promote``: let the bare name mean this version; the first version always does.
    ``options``: how text and images become tensors, see `Options`: tokenizer="tokenizer.json", pool="mean" …

    Raises InvalidModel, ConversionFailed, ProofFailed, UntrustedModel, FeatureError, RegistryError.
    """
    name = check_name(name)
    if name in RESERVED:
        raise BadReference(f"a model cannot be called {name!r}: predict_{name}() means something else in SQL")
    store = registry if isinstance(registry, Registry) else Registry(registry)
    wishes = _Wishes(
        tuple(features or ()),
        labels,
        null,
        Layout(batch_axis or {}, constants or {}, row_by_row),
        together,
        options,
    )
    is_path = isinstance(model, (str, os.PathLike))
    if is_path and Path(model).suffix in (".pkl", ".pickle", ".joblib"):
        model, is_path = load_pickle(Path(model), trust=trust), False
    rows = None if sample is None else Sample.of(sample, list(features) if features else None)
    prepared = _from_file(name, Path(model), rows, wishes) if is_path else _from_object(name, model, rows, wishes)
    stored = store.add(name, prepared.manifest, prepared.files, promote=promote)
    return Model(stored, store)


def verify(reference: str, *, registry: RegistryLike = None, engine: str = "auto") -> Difference:
    """Score the proof rows of a stored model through SQL again. Raises ProofFailed when the answers have changed."""
    store = registry if isinstance(registry, Registry) else Registry(registry)
    model = store.get(reference)
    manifest = model.manifest
    for file, sha256 in model.files.items():
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"
        if digest != sha256:
            raise ProofFailed(f"{file} is not the file that was registered (sha256 {digest[:12]}…); register it again")
    where = Reference(manifest.name, manifest.version)
    table = _proof_table(manifest.signature.features, manifest.proof.rows)
    return _prove(where, table, manifest.proof.answers, manifest.proof.tolerance, store, engine)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the caller of register() says of the model."""

    features: tuple[str, ...]
    labels: Labels
    null: str | Mapping[str, Any] | None
    layout: Layout
    together: bool
    options: Options


class _Prepared:
    """A proven model, before it has a version number."""

    def __init__(
        self,
        name: str,
        graph: Graph,
        signature: Signature,
        source: Source,
        task: str,
        proof: Proof,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.files = {MODEL_FILE: graph.content, **(files or {})}
        self.name = name
        self.graph = graph
        self.signature = signature
        self.source = source
        self.task = task
        self.proof = proof
        self._sha256 = hashlib.sha256(graph.content).hexdigest()

    def manifest(self, version: int) -> Manifest:
        return Manifest(
            name=self.name,
            version=version,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sha256=self._sha256,
            source=self.source,
            task=self.task,
            signature=self.signature,
            proof=self.proof,
        )


def _from_file(name: str, path: Path, sample: Sample | None, wishes: _Wishes) -> _Prepared:
    """An .onnx file: what ONNX Runtime answers for the file as it came is what SQL must answer."""
    opened = open_file(
        path,
        wishes.options,
        labels=wishes.labels,
        names=wishes.features,
        sample_names=sample.names if sample else (),
        layout=wishes.layout,
    )
    graph = opened.graph
    if opened.conversion is not None:
        require_same(name, *opened.conversion, graph.tolerance)
    features = null_policies(opened.features, wishes.null, "nan" if graph.takes_nan else "null")
    given = sample.spread(_PROVEN_ROWS).table if sample else None
    seen = _Observed(name, graph, features, given, opened.files)
    signature = describe(seen.graph, features, seen.outputs, labels=opened.labels or None)
    _require_scores(signature, opened.labels)
    table = given if given is not None else synthetic_rows(signature, seen.lengths)
    if signature.is_prepared:
        signature = prepared_rules(
            name, signature, seen.session, table, graph.neighbour_tolerance, together=wishes.together
        )
    else:
        signature = replace(signature, batch=_batch_rule(name, signature, seen, table, wishes.together))
    answers = Probe(name, signature, seen.session).answers(table)
    source = Source(graph.producer, path.name, None, __version__)
    proof = _proof(signature, table, answers, graph.tolerance)
    prepared = _Prepared(name, seen.graph, signature, source, task_of(signature), proof, opened.files)
    _prove_prepared(prepared, table, answers)
    return prepared


def _from_object(name: str, model: Any, sample: Sample | None, wishes: _Wishes) -> _Prepared:
    """An estimator: the first candidate that answers what the estimator answers."""
    if sample is None:
        raise ConversionFailed(
            "sample rows are needed to name and type the features: register(name, model, sample=X_train)"
        )
    if wishes.options or isinstance(wishes.labels, (str, os.PathLike)):
        raise TypeError(f"{next(iter(wishes.options), 'a file of labels')} is for .onnx files, not for an estimator")
    original, candidates = open_original(model, sample)
    if wishes.labels:
        original = replace(original, labels=tuple(wishes.labels))
    failure: SqlinferError | None = None
    for candidate in candidates:
        try:
            return _candidate(name, original, candidate, sample, wishes)
        except (InvalidModel, ProofFailed) as error:
            failure = failure or type(error)(f"{error} (as {candidate.note})")
    raise failure or ConversionFailed(f"no candidate for {original.model}")


def _candidate(name: str, original: Original, candidate: Candidate, sample: Sample, wishes: _Wishes) -> _Prepared:
    graph = inspect_graph(candidate.model, original.model, wishes.layout)
    features = [Feature(n, type, tensor, column) for n, type, tensor, column in candidate.features]
    rows = sample.spread(_PROVEN_ROWS)
    seen = _Observed(name, graph, features, rows.table)
    signature = describe(seen.graph, features, seen.outputs, labels=original.labels, label_type=original.label_type)
    expected = original.answers(rows)
    # the scores of a classifier that gives no probabilities are none: they stay an output of infer()
    calls = {call: how for call, how in signature.calls.items() if call in expected or call == "infer"}
    signature = replace(signature, calls=calls)
    signature = replace(signature, features=tuple(null_policies(features, wishes.null, "null")))
    if wishes.null is None:
        signature = _learn_null_policies(name, original, signature, seen.session, sample, graph.tolerance)
    signature = replace(signature, batch=_batch_rule(name, signature, seen, rows.table, wishes.together))
    source = Source(original.framework, original.model, original.converter, __version__)
    proof = _proof(signature, rows.table, expected, graph.tolerance)
    prepared = _Prepared(name, seen.graph, signature, source, original.task, proof)
    _prove_prepared(prepared, rows.table, expected)
    return prepared


class _Observed:
    """A graph that has been run: with the rows first in every output, and the session that runs it."""

    def __init__(
        self,
        name: str,
        graph: Graph,
        features: Sequence[Feature],
        sample: pa.Table | None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.session = Session(graph.content, name, files)
        observation = observe(self.session, graph, features, sample)
        self.outputs = observation.outputs
        self.lengths = observation.lengths
        moved = {output: seen.order for output, seen in self.outputs.items() if not seen.rows_first}
        self.graph = with_rows_first(graph, moved) if moved else graph
        if moved:
            self.session = Session(self.graph.content, name, files)


def _learn_null_policies(
    name: str, original: Original, signature: Signature, session: Session, sample: Sample, tolerance: float
) -> Signature:
    """Give NULL to the estimator, one feature at a time: where it answers, and the graph answers the same for some
    stand-in, that is the policy. An estimator that refuses leaves the default: the answer is NULL. So does one whose
    way with missing numbers the graph does not have, in any of the features."""
    whole = replace(sample, table=sample.table.drop_null())  # a NULL beside the one on trial would decide for it
    rows = (whole if len(whole.table) else sample).spread(_NULL_ROWS)
    learnt: dict[str, NullPolicy] = {}
    for i, feature in enumerate(signature.features):
        table = _without(rows.table, feature.name)
        try:
            expected = original.answers(replace(sample, table=table))
        except Exception:  # an estimator that does not take missing values says so in its own way
            continue
        for policy in _stand_ins(feature):
            features = list(signature.features)
            features[i] = replace(feature, null=policy)
            trial = replace(signature, features=tuple(features))
            with suppress(SqlinferError):
                if compare(Probe(name, trial, session).answers(table), expected, tolerance).passed:
                    learnt[feature.name] = policy
                    break
        else:
            if feature.type in _FLOATS:
                learnt = {name: policy for name, policy in learnt.items() if policy.kind != "nan"}
                return _with_policies(signature, learnt)
    return _with_policies(signature, learnt)


def _with_policies(signature: Signature, policies: Mapping[str, NullPolicy]) -> Signature:
    features = (replace(f, null=policies.get(f.name, f.null)) for f in signature.features)
    return replace(signature, features=tuple(features))


def _stand_ins(feature: Feature) -> list[NullPolicy]:
    if feature.type in _FLOATS:
        return [NullPolicy("nan")]
    if feature.type == "VARCHAR":
        return [NullPolicy("value", text) for text in _TEXTS_FOR_NULL]
    return []


def _without(table: pa.Table, name: str) -> pa.Table:
    i = table.column_names.index(name)
    field = table.schema.field(i)
    return table.set_column(i, field, pa.nulls(len(table), field.type))


def _require_scores(signature: Signature, labels: Sequence[Any]) -> None:
    """Labels that were asked for must show."""
    if labels and "predict_proba" not in signature.calls and signature.calls["predict"].decode != "label":
        shown = ", ".join(f"{output.name} {output.type}" for output in signature.outputs)
        raise FeatureError(f"{len(labels)} labels are given, and no output has so many scores a row: {shown}")


def _batch_rule(name: str, signature: Signature, seen: _Observed, table: pa.Table, together: bool) -> Batch:
    """Rows alone and in a batch must get the same answers; a model for which they differ is run row by row, unless
    its user wants the rows scored ``together`` all the same."""
    batch = signature.batch
    few = _sharing(signature, table.slice(0, _FEW_ROWS))
    if batch.fixed == 1 or batch.most == 1 or len(few) < 2:
        return batch
    apart = replace(signature, batch=replace(batch, most=1))
    alone, seconds_apart = _timed(Probe(name, apart, seen.session), few)
    beside, seconds_together = _timed(Probe(name, signature, seen.session), few)
    difference = compare(beside, alone, seen.graph.neighbour_tolerance)
    if difference.passed:
        return batch
    found = float(f"{min(difference.largest, _MOST_DIFFERENT):.2g}")
    if together:
        return replace(batch, neighbours=found)
    cost = max(1.0, round(seconds_apart / max(seconds_together, 1e-9), 1))
    return replace(batch, most=1, neighbours=found, cost=cost)


def _sharing(signature: Signature, table: pa.Table) -> pa.Table:
    """The rows with one value of what the rows of a run share: otherwise they would not be in one run."""
    for feature in signature.features:
        if signature.input(feature.tensor).shared and len(table):
            i = table.column_names.index(feature.name)
            same = table.column(i).take(pa.array([0] * len(table)))
            table = table.set_column(i, table.schema.field(i), same)
    return table


def _timed(probe: Probe, table: pa.Table) -> tuple[dict[str, list[Any]], float]:
    started = time.perf_counter()
    answers = probe.answers(table)
    return answers, time.perf_counter() - started


def _prove_prepared(prepared: _Prepared, table: pa.Table, answers: Mapping[str, Any]) -> None:
    """Through SQL, in a registry of its own that is thrown away: a model that fails its proof was never there."""
    with tempfile.TemporaryDirectory(prefix="sqlinfer-") as folder:
        trial = Registry(folder)
        trial.add(prepared.name, prepared.manifest, prepared.files)
        _prove(Reference(prepared.name), table, answers, prepared.graph.tolerance, trial, "auto")


def _prove(
    reference: Reference, table: pa.Table, answers: Mapping[str, Any], tolerance: float, registry: Registry, engine: str
) -> Difference:
    model: StoredModel = registry.get(reference)
    asked = {call: answers[call] for call in model.manifest.signature.calls if call in answers}
    if not len(table) or not asked:
        return Difference(0, 0.0, True, "nothing to compare")
    with connect(registry=registry, engine=engine) as con:
        con.register("proof", table.select(model.manifest.signature.feature_names))
        given = {
            call: [row[0] for row in con.execute(f"SELECT {call}('{reference}', proof) FROM proof").fetchall()]
            for call in asked
        }
    difference = compare(given, asked, tolerance)
    if not difference.passed:
        raise ProofFailed(f"SQL does not answer what the model {str(reference)!r} answers: {difference.text}")
    return difference


def _proof(signature: Signature, table: pa.Table, answers: Mapping[str, Any], tolerance: float) -> Proof:
    width = sum(_values_in(table.column(feature.name)) for feature in signature.features)
    count = max(1, min(_STORED_ROWS, _STORED_VALUES // max(width, 1)))
    columns = [json_values(table.column(f.name).slice(0, count).to_pylist()) for f in signature.features]
    kept = {call: json_values(list(values[:count])) for call, values in answers.items() if call in signature.calls}
    return Proof(tuple(zip(*columns, strict=True)), kept, tolerance)


def _values_in(column: pa.ChunkedArray) -> int:
    first = column[0].as_py() if len(column) else None
    return len(str(first)) // 8 + 1 if isinstance(first, (list, bytes)) else 1


def _proof_table(features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in features]
    return pa.table({f.name: _proof_column(f, column) for f, column in zip(features, columns, strict=True)})


def _proof_column(feature: Feature, values: Sequence[Any]) -> pa.Array:
    if feature.type == "BLOB":
        return pa.array([None if value is None else bytes(value) for value in values], pa.binary())
    return pa.array(list(values))
