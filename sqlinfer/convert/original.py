"""The model as its framework runs it, and one attempt to say the same in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Label, WordsPreparation

__all__ = ["Candidate", "Original"]


@dataclass(frozen=True, slots=True)
class Original:
    """``answers(sample)`` gives the framework's own answers by call: *predict* one value (or vector) a row, and
    *predict_proba* a matrix [rows, classes] in the order of ``labels``. ``numbered``: the labels are only the numbers
    of the classes, which its user may call otherwise. ``conversion``: what its graph is called beside it."""

    framework: str
    model: str
    converter: str
    task: str
    answers: Callable[[Sample], dict[str, Any]]
    labels: tuple[Label, ...] = ()
    label_type: str | None = None
    numbered: bool = False
    conversion: str = "its conversion to ONNX"


@dataclass(frozen=True, slots=True)
class Candidate:
    """``features``: name, SQL type, tensor, column — as in `signature.Feature`. ``files``: what lies beside the graph;
    ``prepared``: what makes the text of a feature of the text that is given. ``scores``: the output whose highest
    column is the label. ``missing``: by feature, what stands in the graph for a missing text. ``widest``: how many
    numbers a row takes at a wide place of the graph.
    """

    model: onnx.ModelProto
    features: Sequence[tuple[str, str, str, int | None]]
    note: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    prepared: Mapping[str, WordsPreparation] = field(default_factory=dict)
    scores: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    widest: int = 0
