"""What estimators and files have in common on the way into a registry: a first run, the rule for batches, the proof."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.engines.database import Database
from sqlinfer.errors import InvalidModel, ProofFailed
from sqlinfer.graphs.axes import Layout
from sqlinfer.graphs.batch_axis import Parts
from sqlinfer.graphs.inspect import Graph, with_output_type, with_rows_first, with_tensors
from sqlinfer.graphs.preprocess import Labels, Options
from sqlinfer.models.compare import Difference, compare, json_holds, json_values
from sqlinfer.models.manifest import Manifest, Proof, Refusals, Source
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import MODEL_FILE, Registry, StoredModel
from sqlinfer.models.signature import Batch, Feature, Signature
from sqlinfer.progress import step
from sqlinfer.registration.proof_rows import choose_proof_rows
from sqlinfer.runtime.session import Session, mistaken_output
from sqlinfer.trials.batch_invariance import BatchInvariance
from sqlinfer.trials.probe import observe, parts_of_sequences
from sqlinfer.trials.synthetic_rows import synthetic_rows

__all__ = ["PROVEN_ROWS", "Observed", "RegistrationRequest", "batch_rule", "loaded", "prove", "store_proven"]

PROVEN_ROWS = 1000
_STORED_ROWS = 32
# As they are written; a single row may be longer, if it is not so long that model.json could not be read.
_STORED_LENGTH = 320_000
_LONGEST_ROW = 32_000_000


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What the caller of register() says of the model."""

    features: tuple[str, ...]
    labels: Labels
    null: str | Mapping[str, Any] | None
    layout: Layout
    together: bool
    options: Options
    trials: int = 0
    trust: bool = False


class Observed:
    """A graph that has been run: with the rows first in every output, and the session that runs it."""

    def __init__(
        self,
        name: str,
        graph: Graph,
        features: Sequence[Feature],
        sample: pa.Table | None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        step("loading it into ONNX Runtime")
        self.session, graph = loaded(name, graph, files)
        step("running it on a few rows")
        self.parts: dict[str, Parts] = {}
        if graph.sequences:
            self.parts = parts_of_sequences(self.session, graph, features, sample)
            graph = with_tensors(graph, self.parts)
            self.session = Session(graph.content, name, files)
        observation = observe(self.session, graph, features, sample)
        if graph.random is not None:
            raise InvalidModel.random(name, f"it has a node {graph.random}")
        self.outputs = observation.outputs
        self.lengths = observation.lengths
        moved = {output: seen.order for output, seen in self.outputs.items() if not seen.rows_first}
        self.graph = with_rows_first(graph, moved) if moved else graph
        if moved:
            self.session = Session(self.graph.content, name, files)


def loaded(name: str, graph: Graph, files: Mapping[str, bytes] | None = None) -> tuple[Session, Graph]:
    """The graph in ONNX Runtime, with the types of its outputs that come out where it declares others."""
    wrong = set(graph.outputs) - set(graph.sequences)
    while True:
        try:
            return Session(graph.content, name, files), graph
        except InvalidModel as error:
            found = mistaken_output(error)
            if found is None or found[0] not in wrong:
                raise
            wrong.remove(found[0])
            graph = with_output_type(graph, *found)


def batch_rule(name: str, signature: Signature, seen: Observed, table: pa.Table, together: bool) -> Batch:
    """A model that gives a row another answer beside other rows is run row by row, unless its user wants the rows
    scored ``together`` all the same."""
    trial = BatchInvariance(name, signature, seen.session, seen.graph.content)
    rows = trial.rows(table) or list(filter(trial.takes, trial.rows(synthetic_rows(signature, seen.lengths))))
    return trial.batch(rows, seen.graph.neighbour_tolerance, together=together)


def store_proven(
    home: str,
    name: str,
    graph: Graph,
    signature: Signature,
    source: Source,
    task: str,
    table: pa.Table,
    answers: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    refusals: Sequence[Refusals] = (),
    untried: str = "",
) -> None:
    """Make the model the default of its name in the registry ``home`` and ask it through SQL.

    Raises ProofFailed where SQL does not give the ``answers`` for the rows of the ``table``.
    """
    manifest = Manifest(
        name=name,
        version=1,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        sha256=hashlib.sha256(graph.content).hexdigest(),
        source=source,
        task=task,
        signature=signature,
        formula=graph.formula if graph.formula and graph.formula.fits(signature) else None,
        proof=replace(_proof(signature, table, answers, graph.tolerance), untried=untried),
        refusals=tuple(refusals),
    )
    step("asking it through SQL")
    trial = Registry(home)
    stored = {MODEL_FILE: graph.content, **(files or {})}
    trial.add(name, lambda version: replace(manifest, version=version), stored, promote=True)
    prove(Reference(name), table, answers, graph.tolerance, trial, "auto")


def prove(
    reference: Reference, table: pa.Table, answers: Mapping[str, Any], tolerance: float, registry: Registry, engine: str
) -> Difference:
    model: StoredModel = registry.get(reference)
    asked = {call: answers[call] for call in model.manifest.signature.calls if call in answers}
    if not len(table) or not asked:
        return Difference(0, 0.0, True, "nothing to compare")
    rows = table.select(model.manifest.signature.feature_names)
    with Database(registry, engine) as database:
        given = {
            call: [row[0] for row in database.ask(f"SELECT {call}('{reference}', given) FROM given", rows)]
            for call in asked
        }
    difference = compare(given, asked, tolerance)
    if not difference.passed:
        raise ProofFailed.of(reference, difference.text)
    return difference


def _held_numbers(signature: Signature, table: pa.Table) -> np.ndarray:
    """The rows whose numbers model.json holds: `verify` asks them again. Lists are looked at when they are chosen."""
    held = np.ones(len(table), bool)
    for feature in signature.features:
        column = table.column(feature.name)
        if pa.types.is_floating(column.type):
            values = column.to_numpy()
            held &= ~np.isinf(values)
            if feature.null.kind != "nan":
                held &= ~(np.isnan(values) & np.asarray(column.is_valid()))
    return held


def _is_held(signature: Signature, table: pa.Table, answers: Mapping[str, Any], place: int) -> bool:
    lists = (table.column(f.name) for f in signature.features if types.is_list(table.column(f.name).type))
    kept = (how[place] for call, how in answers.items() if call in signature.calls)
    return all(json_holds(column[place].as_py()) for column in lists) and all(
        json_holds(answer, missing=True) for answer in kept
    )


def _proof(signature: Signature, table: pa.Table, answers: Mapping[str, Any], tolerance: float) -> Proof:
    first = [table.column(feature.name).slice(0, 1).to_pylist() for feature in signature.features]
    first += [list(values[:1]) for call, values in answers.items() if call in signature.calls]
    length = max(1, sum(len(str(json_values(values))) for values in first))
    count = max(length <= _LONGEST_ROW, min(_STORED_ROWS, _STORED_LENGTH // length))
    numbers = np.flatnonzero(_held_numbers(signature, table))
    predictions = answers.get("predict", ())
    chosen = choose_proof_rows(
        table.select(signature.feature_names).take(pa.array(numbers)),
        [predictions[i] for i in numbers] if len(predictions) else (),
        count,
    )
    places = [int(numbers[i]) for i in chosen if _is_held(signature, table, answers, int(numbers[i]))]
    some = table.take(pa.array(places, pa.int64()))
    columns = [json_values(some.column(f.name).to_pylist()) for f in signature.features]
    kept = {call: json_values([how[i] for i in places]) for call, how in answers.items() if call in signature.calls}
    return Proof(tuple(zip(*columns, strict=True)), kept, tolerance)
