"""An .onnx file, from its bytes alone: what ONNX Runtime answers for the file as it came is what SQL must answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlinfer.errors import SqlinferError
from sqlinfer.models.describe import describe, null_policies, task_of
from sqlinfer.models.manifest import Source
from sqlinfer.models.prepare import Opened, open_file
from sqlinfer.models.sample import Sample
from sqlinfer.registration.proving import PROVEN_ROWS, Observed, Wishes, batch_rule, loaded, store_proven
from sqlinfer.runtime.claims import (
    are_probabilities,
    labels_hold,
    require_answers,
    require_labels,
    require_probabilities,
)
from sqlinfer.runtime.probe import Probe, settled_axes
from sqlinfer.runtime.session import Session
from sqlinfer.runtime.stand_ins import synthetic_rows
from sqlinfer.runtime.trial import classes_agree, prepared_rules
from sqlinfer.version import __version__
from sqlinfer.worker import step

__all__ = ["prove_file"]


def prove_file(name: str, path: Path, sample: Sample | None, wishes: Wishes, home: str) -> None:
    """Leave the model, proven, as the first version of ``name`` in the registry ``home``."""
    step("reading it")
    opened = _open(name, path, sample, wishes)
    if len(opened.graph.row_axes) > 1:
        step("looking for its rows")
        axes = settled_axes(*loaded(name, opened.graph, opened.files))
        wishes = replace(wishes, layout=replace(wishes.layout, axes={**wishes.layout.axes, **axes}))
        opened = _open(name, path, sample, wishes)
    if not all(classes_agree(one.before, one.after, one.rows) for one in opened.graph.replaced):
        opened = _open(name, path, sample, wishes, sums=False)
    graph = opened.graph
    features = null_policies(opened.features, wishes.null, "nan" if graph.takes_nan else "null")
    given = sample.columns([f.name for f in features]).spread(PROVEN_ROWS).table if sample else None
    seen = Observed(name, graph, features, given, opened.files)
    signature = describe(seen.graph, features, seen.outputs, labels=opened.labels or None)
    require_labels(signature, opened.labels)
    made_up = synthetic_rows(signature, seen.lengths)
    table = given if given is not None and len(given) else made_up
    if not opened.labels and not labels_hold(name, signature, graph, seen.session, [table, made_up]):
        signature = describe(seen.graph, features, seen.outputs, labels=())
    # margins stay an output of infer()
    if not opened.unproven and not are_probabilities(name, signature, seen.graph, seen.session, table):
        signature = replace(signature, calls={c: how for c, how in signature.calls.items() if c != "predict_proba"})
    step("scoring rows alone and together")
    if signature.is_prepared:
        tables = [table, made_up]
        signature = prepared_rules(
            name, signature, seen.session, tables, graph.neighbour_tolerance, together=wishes.together
        )
    else:
        signature = replace(signature, batch=batch_rule(name, signature, seen, table, wishes.together))
    answers = Probe(name, signature, seen.session).answers(table)
    if opened.labels:
        tried = [answers, Probe(name, signature, seen.session).answers(made_up)]
        require_answers(signature, tried)
        if opened.unproven:
            require_probabilities(tried)
    source = Source(graph.producer, path.name, None, __version__)
    store_proven(home, name, seen.graph, signature, source, task_of(signature), table, answers, opened.files)


def _open(name: str, path: Path, sample: Sample | None, wishes: Wishes, *, sums: bool = True) -> Opened:
    try:
        return open_file(
            path,
            wishes.options,
            labels=wishes.labels,
            names=wishes.features,
            sample=sample.table.schema if sample else None,
            renamed=sample.renamed if sample else (),
            layout=wishes.layout,
            sums=sums,
        )
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        if not isinstance(error, SqlinferError) and path.is_file():
            step("loading it into ONNX Runtime")
            Session(path.read_bytes(), name)  # a node that lacks what its operator has: this says which
        raise
