"""How good a model is on rows whose answers are known: sqlinfer.evaluate().

The numbers are those of the extension's aggregates, evaluate_classification() and its sisters, in one query.
"""

from __future__ import annotations

from sqlinfer.evaluation.judging import evaluate
from sqlinfer.evaluation.result import Evaluation

__all__ = ["Evaluation", "evaluate"]
