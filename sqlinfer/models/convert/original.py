"""The model as its framework runs it, and one attempt to say the same in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx

from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Label

__all__ = ["Candidate", "Original"]


@dataclass(frozen=True, slots=True)
class Original:
    """``answers(sample)`` gives the framework's own answers by call: *predict* one value (or vector) a row, and
    *predict_proba* a matrix [rows, classes] in the order of ``labels``."""

    framework: str
    model: str
    converter: str
    task: str
    answers: Callable[[Sample], dict[str, Any]]
    labels: tuple[Label, ...] = ()
    label_type: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """``features``: name, SQL type, tensor, column — as in `signature.Feature`."""

    model: onnx.ModelProto
    features: list[tuple[str, str, str, int | None]]
    note: str
