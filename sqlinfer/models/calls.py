"""The calls that a model may answer, in one table; the extension has the same one in udfs/src/core/calls.rs.

A new call is an entry here and there, its computation in both cores, and its cases in tests/sql.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALLS", "CallKind"]


@dataclass(frozen=True, slots=True)
class CallKind:
    """``help``: what it does. ``answers``: what of the manifest's calls it answers with. ``fixed``: the type of what it
    answers of any model where each row names its own; None where there is no such call. ``is_typed``: it answers what
    the model does, in a type of its own. ``takes_class``: behind the features it may be given a class, and answers for
    that class alone."""

    name: str
    help: str
    answers: str
    fixed: str | None
    is_typed: bool = True
    takes_class: bool = False


CALLS = {
    kind.name: kind
    for kind in (
        CallKind("predict", "the label or the number that the model predicts", "predict", "DOUBLE"),
        CallKind("predict_label", "the label that the model predicts, as a text", "predict", "VARCHAR", is_typed=False),
        CallKind(
            "predict_proba",
            "the probability of each class, or of one",
            "predict_proba",
            "MAP(VARCHAR, DOUBLE)",
            takes_class=True,
        ),
        CallKind("infer", "every output of the model, by name", "infer", None),
    )
}
