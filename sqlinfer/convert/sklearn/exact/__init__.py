"""Estimators of scikit-learn written by nodes of our own: in double precision, with NaN, with what they refuse refused.

A step that is not known here is skl2onnx's, where that has it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.convert.missing import MISSING
from sqlinfer.convert.original import Candidate
from sqlinfer.convert.sklearn.exact import (  # noqa: F401  (each registers what it writes)
    bayes,
    boosters,
    columns,
    distances,
    encoders,
    ensembles,
    features,
    imputers,
    linear,
    networks,
    scalers,
    texts,
    wrappers,
)
from sqlinfer.convert.sklearn.exact.dispatch import classify, label, predict, transform
from sqlinfer.convert.sklearn.exact.inputs import Inputs
from sqlinfer.convert.sklearn.exact.several import each_label, tags
from sqlinfer.convert.sklearn.exact.table import NeedsIntegers, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import WordsPreparation

__all__ = ["Unsupported", "candidates"]

_WORDS_FILE = "words.json"


def candidates(model: Any, sample: Sample, answers: Callable[[Sample], dict[str, Any]]) -> Iterator[Candidate]:
    """One graph; two where a step is skl2onnx's, which may have it in doubles, or only in singles.

    Raises Unsupported, with the step that neither has.
    """
    few = answers(sample.head(2))
    refusals: list[Unsupported] = []
    for single in (False, True):
        try:
            candidate, is_own = _candidate(model, sample, few, foreign_single=single)
        except Unsupported as error:
            refusals.append(error)
            continue
        yield candidate
        if is_own:
            return
    if len(refusals) == 2:
        raise refusals[0]


def _candidate(model: Any, sample: Sample, few: dict[str, Any], *, foreign_single: bool) -> tuple[Candidate, bool]:
    """And whether all of it is our own."""
    integers: set[int] = set()
    while True:
        w = Writer(Inputs.of(sample, integers), foreign_single=foreign_single)
        try:
            return _written(w, model, few), not w.foreign
        except NeedsIntegers as needed:
            if needed.feature in integers:
                raise Unsupported("categories of whole numbers above 2^53") from needed
            integers.add(needed.feature)


def _written(w: Writer, model: Any, few: dict[str, Any]) -> Candidate:
    inputs = w.inputs
    x = w.first(inputs)
    outputs, scores = _outputs(w, model, x, few)
    graph = w.finished(outputs)
    files, prepared = {}, {}
    for feature, sections in inputs.cut.items():
        content = json.dumps({"sections": sections}).encode()
        file = f"{feature}_{_WORDS_FILE}"
        files[file] = content
        prepared[inputs.names[feature]] = WordsPreparation(file, hashlib.sha256(content).hexdigest())
    tensors = {info.name for info in inputs.infos}
    placed = [
        (name, kind, tensor if tensor in tensors else f"{tensor}_given", column)
        for name, kind, tensor, column in inputs.features
    ]
    gone = {inputs.names[feature]: MISSING for feature in inputs.texts if feature not in inputs.cut}
    note = "nodes of our own"
    if w.foreign:
        precision = " in single precision" if w.foreign_single else ""
        steps = ", ".join(dict.fromkeys(w.foreign))
        note = f"skl2onnx's nodes of {steps}{precision}: use another in its place, or do that step in SQL"
    return Candidate(
        graph,
        placed,
        note,
        files=files,
        prepared=prepared,
        scores=scores,
        missing=gone,
        widest=w.widest,
    )


def _outputs(w: Writer, model: Any, x: Table, few: dict[str, Any]) -> tuple[list[onnx.ValueInfoProto], str | None]:
    """The outputs of the graph, and which of them has the scores whose highest is the label."""
    if not hasattr(model, "predict"):
        return _transformed(w, model, x, few), None
    answer = np.asarray(few["predict"])
    classes = getattr(model, "classes_", None)
    classes = None if classes is not None and not len(classes) else classes  # CatBoost's regressors have none
    if isinstance(classes, list):
        return each_label(w, model, x), None
    if classes is not None or (hasattr(model, "weights_") and hasattr(model, "n_components")):
        if answer.ndim > 1 and answer.shape[1] > 1:
            return tags(w, model, x, probabilities="predict_proba" in few), None
        return _classified(w, model, x, few)
    if answer.dtype.kind in "iu":
        labels, marks = label(w, model, x)
        w.answer(labels, np.int64, name="label")
        w.answer(marks, name="scores")
        axes: list[int | None] = [None] if answer.ndim == 1 and _is_vector(model) else [None, None]
        return [_info("label", TensorProto.INT64, [None]), _info("scores", TensorProto.DOUBLE, axes)], None
    made = predict(w, model, x)
    dtype = _dtype(answer)
    w.answer(w.matrix(made), dtype, name="prediction")
    return [_info("prediction", helper.np_dtype_to_tensor_dtype(dtype), [None, made.width])], None


def _is_vector(model: Any) -> bool:
    return hasattr(model, "decision_function") or hasattr(model, "score_samples")


def _dtype(answer: np.ndarray) -> np.dtype:
    return np.dtype(np.float32 if answer.dtype == np.float32 else np.float64)


def _info(name: str, element: int, axes: list[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, axes)


def _transformed(w: Writer, model: Any, x: Table, few: dict[str, Any]) -> list[onnx.ValueInfoProto]:
    if not hasattr(model, "transform"):
        raise Unsupported(f"{type(model).__name__}, which neither predicts nor transforms")
    made = transform(w, model, x)
    if made.columns and all(column.is_text for column in made.columns):
        w.add("Concat", *(column.value for column in made.columns), axis=1, name="transformed")
        return [_info("transformed", TensorProto.STRING, [None, made.width])]
    dtype = _dtype(np.asarray(few["predict"]))
    w.answer(w.matrix(made), dtype, name="transformed")
    return [_info("transformed", helper.np_dtype_to_tensor_dtype(dtype), [None, made.width])]


def _classified(w: Writer, model: Any, x: Table, few: dict[str, Any]) -> tuple[list[onnx.ValueInfoProto], str]:
    if len(getattr(model, "classes_", (0, 0))) == 1:
        return _always(w)
    said = classify(w, model, x)
    count = len(model.classes_) if hasattr(model, "classes_") else int(model.n_components)
    found = []
    proba = few.get("predict_proba")
    if proba is not None:
        if said.proba is None:
            raise Unsupported(f"the probabilities of a {type(model).__name__}")
        dtype = _dtype(np.asarray(proba))
        w.answer(said.proba, dtype, name="probabilities")
        found.append(_info("probabilities", helper.np_dtype_to_tensor_dtype(dtype), [None, count]))
        if said.scores == said.proba or said.alike:
            return found, "probabilities"
    w.answer(said.scores, name="scores")
    return [*found, _info("scores", TensorProto.DOUBLE, [None, count])], "scores"


def _always(w: Writer) -> tuple[list[onnx.ValueInfoProto], str]:
    """Of a classifier that knows one class."""
    w.answer(w.zeros(), name="scores")
    return [_info("scores", TensorProto.DOUBLE, [None, 1])], "scores"
