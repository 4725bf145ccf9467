"""The calls that a model may answer, in one table; the extension has the same one in udfs/src/core/calls.rs.

A new call is an entry here and there, its computation in both cores, and its cases in tests/sql.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALLS", "CallKind"]


@dataclass(frozen=True, slots=True)
class CallKind:
    """``help``: what it answers. ``takes_class``: behind the features it may be given a class, and answers for that
    class alone."""

    name: str
    help: str
    takes_class: bool = False


CALLS = {
    kind.name: kind
    for kind in (
        CallKind("predict", "the label or the number that the model predicts"),
        CallKind("predict_proba", "the probability of each class, or of one", takes_class=True),
        CallKind("infer", "every output of the model, by name"),
    )
}
