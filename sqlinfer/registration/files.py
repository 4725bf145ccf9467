"""An .onnx file, from its bytes alone: what ONNX Runtime answers for the file as it came is what SQL must answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from sqlinfer.convert import Candidate, Original
from sqlinfer.errors import MissingExtra, ProofFailed, SqlinferError
from sqlinfer.graphs.describe import describe, null_policies, task_of
from sqlinfer.graphs.inspect import parse_model
from sqlinfer.graphs.preprocess import Opened, open_file
from sqlinfer.models.compare import compare
from sqlinfer.models.manifest import Refusals, Source
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Feature, ImagePreparation, Signature
from sqlinfer.progress import step
from sqlinfer.registration.proving import PROVEN_ROWS, Observed, RegistrationRequest, batch_rule, loaded, store_proven
from sqlinfer.runtime.session import Session
from sqlinfer.trials.batch_invariance import UNMEASURED
from sqlinfer.trials.guards import Guarded, Trials
from sqlinfer.trials.guards.asking import reason
from sqlinfer.trials.labels import (
    are_probabilities,
    labels_agree,
    require_answers,
    require_labels,
    require_order,
    require_probabilities,
)
from sqlinfer.trials.odd_images import odd_images
from sqlinfer.trials.original import Changes, PlainRun
from sqlinfer.trials.probe import Probe, settled_axes
from sqlinfer.trials.synthetic_rows import synthetic_rows
from sqlinfer.trials.texts_and_images import classes_agree, prepared_rules
from sqlinfer.version import __version__

__all__ = ["prove_file"]

# A graph of more bytes is not loaded another time.
_LARGEST = 512 << 20
# So many rows of the sample are asked of the file, one by one.
_ALONE = 50
# So many values of rows and of their answers are held at once.
_MOST_VALUES = 2_000_000
# So long is the file asked for rows that nobody gave; the graph, and each engine, take about as long.
_SECONDS = 5.0
_FEWEST = 8
# Of a number as Python writes it, at least.
_DIGITS = 5


def prove_file(name: str, path: Path, sample: Sample | None, request: RegistrationRequest, home: str) -> None:
    """Leave the model, proven, as the first version of ``name`` in the registry ``home``."""
    opened, request = _settled(name, path, sample, request)
    graph = opened.graph
    features = null_policies(opened.features, request.null, "nan" if graph.takes_nan else "null")
    given = sample.columns([f.name for f in features]).spread(PROVEN_ROWS).table if sample else None
    seen = Observed(name, graph, features, given, opened.files)
    signature = describe(seen.graph, features, seen.outputs, labels=opened.labels or None)
    require_labels(signature, opened.labels)
    require_order(seen.graph, opened.labels)
    made_up = synthetic_rows(signature, seen.lengths)
    table = given if given is not None and len(given) else made_up
    signature = _with_checked_labels(name, signature, opened, seen, [table, made_up])
    step("scoring rows alone and together")
    signature = _with_batch_rule(name, signature, seen, [table, made_up], request.together)
    probe = Probe(name, signature, seen.session)
    answers = probe.answers(table)
    if opened.labels:
        tried = [answers, probe.answers(made_up)]
        require_answers(signature, tried)
        if opened.unproven:
            require_probabilities(tried)
    _store_tried(probe, path, opened, seen, table, answers, request, home)


def _settled(
    name: str, path: Path, sample: Sample | None, request: RegistrationRequest
) -> tuple[Opened, RegistrationRequest]:
    """The file, opened anew with what running it told: where its rows are, and whether its trees can be sums."""
    step("reading it")
    opened = _open(name, path, sample, request)
    if len(opened.graph.row_axes) > 1:
        step("looking for its rows")
        axes = settled_axes(*loaded(name, opened.graph, opened.files))
        request = replace(request, layout=replace(request.layout, axes={**request.layout.axes, **axes}))
        opened = _open(name, path, sample, request)
    if not all(classes_agree(one.before, one.after, one.rows) for one in opened.graph.replaced):
        opened = _open(name, path, sample, request, sums=False)
    return opened, request


def _with_checked_labels(
    name: str, signature: Signature, opened: Opened, seen: Observed, tables: Sequence[pa.Table]
) -> Signature:
    """Without the labels of the file where the model answers others, and without predict_proba() where its scores are
    no probabilities: they stay outputs of infer()."""
    if not opened.labels and not labels_agree(name, signature, opened.graph, seen.session, tables):
        signature = describe(seen.graph, signature.features, seen.outputs, labels=())
    if not opened.unproven and not are_probabilities(name, signature, seen.graph, seen.session, tables[0]):
        signature = replace(signature, calls={c: how for c, how in signature.calls.items() if c != "predict_proba"})
    return signature


def _with_batch_rule(
    name: str, signature: Signature, seen: Observed, tables: Sequence[pa.Table], together: bool
) -> Signature:
    if not signature.is_prepared:
        return replace(signature, batch=batch_rule(name, signature, seen, tables[0], together))
    tolerance = seen.graph.neighbour_tolerance
    return prepared_rules(name, signature, seen.session, seen.graph.content, tables, tolerance, together=together)


def _store_tried(
    probe: Probe,
    path: Path,
    opened: Opened,
    seen: Observed,
    table: pa.Table,
    answers: Mapping[str, Any],
    request: RegistrationRequest,
    home: str,
) -> None:
    """Store the model with guards against what SQL answers otherwise than the file in ONNX Runtime alone; where that
    cannot be asked, with the reason. Raises ProofFailed."""
    name, signature, tolerance = probe.name, probe.signature, opened.graph.tolerance
    source = Source(opened.graph.producer, path.name, None, __version__)
    refusals: tuple[Refusals, ...] = ()
    untried = ""

    def store(told: Signature) -> None:
        store_proven(
            home, name, seen.graph, told, source, task_of(told), table, answers, opened.files, refusals, untried
        )

    most = int(_SECONDS / max(seen.session.seconds_per_row, 1e-9))
    sample = Sample(table.select(signature.feature_names))
    rows = sample.spread(min(_ALONE, max(most, 1)))
    try:
        original = _as_it_came(probe, path.name, opened, seen, request)
        images = {f.name: odd_images(signature, f) for f in _pictures(signature)}
        expected = _own_answers(original, rows)
    except (_Untried, MissingExtra) as why:
        untried = str(why)
        store(signature)
        return
    difference = compare(probe.answers(rows.table), expected, tolerance)
    if not difference.passed:
        raise ProofFailed.of(name, difference.text)
    trials = _trials(original, sample, answers, min(request.trials, most), images)
    if trials.are_none and request.trials:
        untried = f"a row takes {seen.session.seconds_per_row:.2g} s, or is too long"
    candidate = Candidate(parse_model(seen.graph.content, path), (), "as it came")
    guarded = _guarded(trials, probe, candidate, answers, tolerance)
    refusals = guarded.refusals
    trials.settle(Reference(name), guarded.signature, tolerance, Registry(home), store)


class _Untried(Exception):
    """Why the file itself cannot be asked."""


def _pictures(signature: Signature) -> list[Feature]:
    return [feature for feature in signature.features if isinstance(feature.prepare, ImagePreparation)]


def _as_it_came(probe: Probe, file: str, opened: Opened, seen: Observed, request: RegistrationRequest) -> Original:
    """The file in ONNX Runtime alone. Raises _Untried."""
    signature, graph = probe.signature, opened.graph
    if signature.batch.neighbours > 0 and signature.batch.most is None:
        raise _Untried("its rows are scored together, so that no row has an answer of its own")
    if opened.own is None or len(graph.content) > _LARGEST:
        raise _Untried(f"the file has more than {_LARGEST >> 20} MB, and would be loaded once more")
    step("loading the file as it came into ONNX Runtime")
    changes = Changes(graph, seen.parts, seen.outputs, request.layout.constants)
    try:
        run = PlainRun(probe.name, opened.own, changes, signature, seen.session)
    except LookupError as error:
        raise _Untried(f"the file takes or gives {error.args[0]}, which NumPy does not have") from error
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        raise _Untried(f"ONNX Runtime does not load the file as it is ({reason(error)})") from error
    return Original(
        graph.producer,
        file,
        "",
        task_of(signature),
        lambda rows: run.answers(rows.table),
        signature.labels,
        conversion="the graph that SQL asks",
    )


def _own_answers(original: Original, rows: Sample) -> dict[str, Any]:
    """Raises _Untried where the file does not run on the rows as it is: lengths that it declares may not be what it
    means."""
    step("running the file as it came")
    try:
        return original.answers(rows)
    except (SqlinferError, TimeoutError, LookupError) as error:
        raise _Untried(f"the file as it is does not run on the rows of the sample ({reason(error)})") from error


def _guarded(
    trials: Trials, probe: Probe, candidate: Candidate, answers: Mapping[str, Any], tolerance: float
) -> Guarded:
    """Row by row, where the rows beside them make rows differ, and no value of theirs. Raises ProofFailed."""
    found: Guarded | ProofFailed
    try:
        found = trials.guards(probe, candidate, answers, tolerance)
    except ProofFailed as error:
        found = error
    batch = probe.signature.batch
    if (isinstance(found, ProofFailed) or _has_guards(found)) and 1 not in (batch.most, batch.fixed):
        alone = replace(probe.signature, batch=replace(batch, most=1, neighbours=UNMEASURED))
        with suppress(ProofFailed):
            other = trials.guards(Probe(probe.name, alone, probe.session), candidate, answers, tolerance)
            if not _has_guards(other):
                return other
    if isinstance(found, ProofFailed):
        raise found
    return found


def _has_guards(guarded: Guarded) -> bool:
    return any(feature.guards or feature.null.kind == "error" for feature in guarded.signature.features)


def _trials(
    original: Original,
    sample: Sample,
    answers: Mapping[str, Sequence[Any]],
    most: int,
    images: Mapping[str, Sequence[bytes]],
) -> Trials:
    """At most so many rows, and as many as there is room for; none where these are too few to tell anything."""
    row = [*sample.table.slice(0, 1).to_pylist(), *(given[:1] for given in answers.values())]
    width = max(1, len(str(row)) // _DIGITS)
    count = min(most, _MOST_VALUES // width)
    nulls, most = sample.table.column_names, count if count >= _FEWEST else 0
    return Trials(original, sample, most, nulls=nulls, typed=True, seconds=_SECONDS, images=images)


def _open(name: str, path: Path, sample: Sample | None, request: RegistrationRequest, *, sums: bool = True) -> Opened:
    try:
        return open_file(
            path,
            request.options,
            labels=request.labels,
            names=request.features,
            sample=sample.table.schema if sample else None,
            renamed=sample.renamed if sample else (),
            layout=request.layout,
            sums=sums,
        )
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        if not isinstance(error, SqlinferError) and path.is_file():
            step("loading it into ONNX Runtime")
            Session(path.read_bytes(), name)  # a node that lacks what its operator has: this says which
        raise
