"""Check the class labels of a graph, or of its user, against the model's own predictions.

Labels from the graph are taken where one node has all of them, or where running the model gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import FeatureError, InvalidModel, named
from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.compare import compare
from sqlinfer.models.signature import Label, Signature
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import Session

__all__ = [
    "are_probabilities",
    "labels_agree",
    "require_answers",
    "require_labels",
    "require_order",
    "require_probabilities",
]

# Shares of half precision add up to 1 so nearly.
_NEARLY = 1e-2


def are_probabilities(name: str, signature: Signature, graph: Graph, session: Session, table: pa.Table) -> bool:
    """Whether the scores that predict_proba() is to answer with were seen to be shares of 1, or each between 0 and 1
    where a sigmoid makes them; margins are none."""
    proba = signature.calls.get("predict_proba")
    if proba is None or proba.decode != "map":
        return True
    rows = _inferred(name, signature, session, table)
    marks = _numbers(rows.field(proba.outputs[0]), len(rows))
    marks = marks[np.isfinite(marks).all(axis=1)]
    within = (marks >= -_NEARLY).all() and (marks <= 1 + _NEARLY).all()
    whole = proba.outputs[0] in graph.apart or (np.abs(marks.sum(axis=1) - 1) <= _NEARLY).all()
    return bool(within and whole)


def _inferred(name: str, signature: Signature, session: Session, table: pa.Table) -> pa.StructArray:
    infer = Predictor(name, signature, signature.calls["infer"], session)
    return infer(*(table.column(feature.name) for feature in signature.features)).drop_null()


def _numbers(column: pa.Array, rows: int) -> np.ndarray:
    return np.array(column.to_pylist(), np.float64).reshape(rows, -1)


def labels_agree(name: str, signature: Signature, graph: Graph, session: Session, tables: Sequence[pa.Table]) -> bool:
    """Whether the label of the best score is what the output of labels answers, on the first table with answers.

    A map of scores by label is no claim: it is the answer.
    """
    predict, proba = signature.calls["predict"], signature.calls.get("predict_proba")
    if proba is None or proba.decode != "map" or predict.decode != "label":
        return True
    label, scores = predict.outputs[0], proba.outputs[0]
    said, own = graph.classes.get(scores), graph.classes.get(label)
    if said is not None and (said.of == "map" or (own is not None and own.source == said.source)):
        return True
    for table in tables:
        rows = _inferred(name, signature, session, table)
        marks = _numbers(rows.field(scores), len(rows))
        sure = np.isfinite(marks).all(axis=1)
        if sure.any():
            answered = rows.field(label).filter(pa.array(sure)).to_pylist()
            best = [signature.labels[i] for i in marks[sure].argmax(axis=1)]
            expected = {"predict": answered, "predict_proba": list(marks[sure])}
            return compare({"predict": best}, expected, graph.tolerance).passed
    return True


def require_labels(signature: Signature, labels: Sequence[Label]) -> None:
    """Raises FeatureError where no output can have the labels that were given."""
    if labels and signature.calls["predict"].decode not in ("label", "argmax"):
        shown = ", ".join(f"{output.name} {output.type}" for output in signature.outputs)
        raise FeatureError(f"{len(labels)} labels are given, and no output has so many scores a row: {shown}")


def require_order(graph: Graph, labels: Sequence[Label]) -> None:
    """Raises FeatureError for labels that are given in another order than that which the graph has its classes in, or
    for classes that are numbered in another order than they have: either may be meant."""
    for own in (classes.labels for classes in graph.classes.values()):
        if len(own) != len(labels) or own == tuple(labels):
            continue
        if set(own) == set(labels):
            raise FeatureError(
                f"the labels {named(map(repr, labels))} are given, and the classes of the file are "
                f"{named(map(repr, own))}, in this order: give them in that order, or none"
            )
        if list(own) != sorted(own, key=str) and set(own) == set(range(len(own))):
            raise FeatureError(
                f"{len(labels)} labels are given for classes that the file numbers {named(own)}, in this order: it may "
                "be the numbers or the order that they go by; register it without labels, and name the classes in SQL"
            )


def require_answers(signature: Signature, answers: Sequence[Mapping[str, Any]]) -> None:
    """Raises InvalidModel where a model answers what is none of its labels, or what is no probability."""
    labels = ", ".join(map(repr, signature.labels))
    for given in answers:
        other = next((label for label in given["predict"] if label not in (None, *signature.labels)), None)
        if other is not None and signature.calls["predict"].decode == "label":
            raise InvalidModel(
                f"the model answers {other!r}, which is none of the labels given, {labels}; give those that it answers"
            )


def require_probabilities(answers: Sequence[Mapping[str, Any]]) -> None:
    """Raises InvalidModel where scores of two classes are none."""
    rows = [row for given in answers for row in given["predict_proba"] if row is not None]
    other = next((score for row in rows for score in row.values() if score < 0 or score > 1), None)
    if other is not None:
        raise InvalidModel.no_probability(other)
