"""The one query that evaluate() asks: the rows are scored, and the extension's aggregates judge them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlinfer.models.signature import Label, quoted
from sqlinfer.sql.literals import literal, text_literal

__all__ = ["Question"]

_MOST_CURVES = 8
_POINTS = 400
_SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """``rows``: SQL, and ``alias`` a name for one of them; ``classes``: the labels of a classifier, and ``words`` those
    for false and true where the target is a BOOLEAN; ``curves``: whether it asks for what a picture needs."""

    model: str
    task: str
    rows: str
    alias: str
    target: str
    words: tuple[str, str] | None
    by: tuple[str, ...]
    classes: tuple[Label, ...]
    positive: Label | None
    probabilities: bool
    curves: bool

    def sql(self) -> str:
        """A row for all rows, then one for each group, in order."""
        groups = [f"group_{i}" for i in range(len(self.by))]
        sets = f"\nGROUP BY GROUPING SETS ((), ({', '.join(groups)}))" if groups else ""
        whole = f"GROUPING({groups[0]})" if groups else "1"
        order = f"\nORDER BY {', '.join(['whole DESC', *groups])}" if groups else ""
        asked = [
            f"{whole} AS whole",
            *groups,
            "count(*) AS row_count",
            "count(*) FILTER (actual IS NULL) AS without_actual",
            "count(*) FILTER (predicted IS NULL) AS without_answer",
            *(self._of_labels() if self.task == "classification" else self._of_numbers()),
        ]
        return f"SELECT {f',{chr(10)}       '.join(asked)}\nFROM ({self._scored()}){sets}{order}"

    def _scored(self) -> str:
        model = text_literal(self.model)
        columns = [
            f"{self._actual()} AS actual",
            f"predict({model}, {self.alias}) AS predicted",
            *([f"predict_proba({model}, {self.alias}) AS probabilities"] if self.probabilities else []),
            *(f"{self.alias}.{quoted(column)} AS group_{i}" for i, column in enumerate(self.by)),
        ]
        return f"SELECT {', '.join(columns)} FROM (\n{self.rows}\n) {self.alias}"

    def _actual(self) -> str:
        column = f"{self.alias}.{quoted(self.target)}"
        if self.words is None:
            return column
        no, yes = map(text_literal, self.words)
        return f"CASE {column} WHEN true THEN {yes} WHEN false THEN {no} END"

    def _of_labels(self) -> list[str]:
        positive = "" if self.positive is None else f", {literal(self.positive)}"
        asked = [
            f"evaluate_classification(actual, predicted{positive}) AS score",
            "confusion_matrix(actual, predicted) AS confusion",
        ]
        if not self.probabilities:
            return asked
        asked.append(f"evaluate_classification(actual, probabilities{positive}) AS probability_score")
        if self.curves:
            asked.append(f"[{', '.join(map(_curves, self._drawn()))}] AS curves")
        return asked

    def _of_numbers(self) -> list[str]:
        asked = ["evaluate_regression(actual, predicted) AS score"]
        if self.curves:
            pair = "{actual: actual::DOUBLE, predicted: predicted::DOUBLE}"
            known = "actual IS NOT NULL AND predicted IS NOT NULL"
            # the same rows on any number of threads
            asked.append(f"min_by({pair}, hash(actual, predicted), {_SAMPLE}) FILTER ({known}) AS sample")
        return asked

    def _drawn(self) -> tuple[Label, ...]:
        """The classes that have curves: of two the positive one, which tells of the other."""
        if self.positive is not None:
            return (self.positive,)
        return self.classes[-1:] if len(self.classes) == 2 else self.classes[:_MOST_CURVES]


def _curves(label: Label) -> str:
    given = f"actual = {literal(label)}, probabilities[{literal(label)}]"
    return (
        f"{{class: {text_literal(label)}, roc: {_thinned(f'roc_curve({given})')}, "
        f"precision_recall: {_thinned(f'precision_recall_curve({given})')}, calibration: calibration_curve({given})}}"
    )


def _thinned(curve: str) -> str:
    """At most so many points as can be seen, the first and the last among them."""
    step = f"greatest(1, len({curve}) // {_POINTS})"
    return f"list_filter({curve}, lambda x, i: i % {step} = 0 OR i = 1 OR i = len({curve}))"
