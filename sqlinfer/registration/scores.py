"""The scores of a module that knows no classes, as probabilities and labels: what its user says that they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from sqlinfer.convert import Candidate, Original
from sqlinfer.errors import FeatureError, InvalidModel
from sqlinfer.graphs.preprocess import Offered, Options, attach_head
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Label

__all__ = ["classified"]


def classified(
    original: Original, candidates: Iterator[Candidate], options: Options, labels: tuple[Label, ...]
) -> tuple[Original, Iterator[Candidate]]:
    """The module, and its candidates, answering with probabilities, and with ``labels`` if there are any."""

    def answers(rows: Sample) -> dict[str, Any]:
        return _answers(np.asarray(original.answers(rows)["predict"]), options, labels)

    def changed() -> Iterator[Candidate]:
        for candidate in candidates:
            attach_head(candidate.model, cast("Offered", options), None, labels, original.model)
            yield candidate

    task = "classification" if labels else original.task
    return replace(original, answers=answers, labels=labels, task=task), changed()


def _answers(scores: np.ndarray, options: Options, labels: Sequence[Label]) -> dict[str, Any]:
    scores = scores.reshape(len(scores), -1)
    if labels and scores.dtype.kind in "iub":
        return {"predict": [labels[int(number)] for number in scores[:, 0]]}
    if options.get("softmax"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    if options.get("sigmoid"):
        scores = 1 / (1 + np.exp(-scores))
    if not labels:
        return {"predict": scores[:, 0] if scores.shape[1] == 1 else scores}
    if len(labels) == 2 and scores.shape[1] == 1:
        scores = np.hstack([1 - scores, scores])
        if (scores < 0).any():
            raise InvalidModel.no_probability(scores.max())
    if len(labels) != scores.shape[1]:
        raise FeatureError(f"{len(labels)} labels are given for {scores.shape[1]} scores a row")
    found: dict[str, Any] = {"predict": [labels[i] for i in scores.argmax(axis=1)]}
    if ((scores >= 0) & (scores <= 1)).all():
        found["predict_proba"] = scores
    return found
