"""The calls that a model may answer, in one table, and the aggregates of the extension; it has the same ones in
udfs/src/core/calls.rs and udfs/src/core/metrics/mod.rs.

A new call is an entry here and there, its computation in both cores, and its cases in tests/sql.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AGGREGATES", "CALLS", "LABEL_METRICS", "SKEW", "CallKind"]


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

# The aggregate that is given a model, and its features.
SKEW = "skew"
# Of labels alone; the others of a classifier want probabilities.
LABEL_METRICS = (
    "accuracy_score",
    "balanced_accuracy_score",
    "precision_score",
    "recall_score",
    "f1_score",
    "matthews_corrcoef",
    "cohen_kappa_score",
)
AGGREGATES = (
    *LABEL_METRICS,
    "confusion_matrix",
    "roc_auc_score",
    "average_precision_score",
    "roc_curve",
    "precision_recall_curve",
    "log_loss",
    "brier_score_loss",
    "calibration_error",
    "calibration_curve",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_squared_log_error",
    "mean_absolute_percentage_error",
    "median_absolute_error",
    "r2_score",
    "explained_variance_score",
    "evaluate_classification",
    "evaluate_regression",
    "population_stability_index",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "wasserstein",
    SKEW,
)
