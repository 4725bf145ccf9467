"""What a file says of its classes is believed where one node says all of it, or when running it shows the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sqlinfer.models.inspect import Graph
from sqlinfer.models.signature import Signature
from sqlinfer.proof import compare
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import Session

__all__ = ["labels_hold"]


def labels_hold(name: str, signature: Signature, graph: Graph, session: Session, tables: Sequence[pa.Table]) -> bool:
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
    infer = Predictor(name, signature, signature.calls["infer"], session)
    for table in tables:
        rows = infer(*(table.column(feature.name) for feature in signature.features)).drop_null()
        marks = np.array(rows.field(scores).to_pylist(), np.float64).reshape(len(rows), -1)
        sure = np.isfinite(marks).all(axis=1)
        if sure.any():
            answered = rows.field(label).filter(pa.array(sure)).to_pylist()
            best = [signature.labels[i] for i in marks[sure].argmax(axis=1)]
            expected = {"predict": answered, "predict_proba": list(marks[sure])}
            return compare({"predict": best}, expected, graph.tolerance).passed
    return True
