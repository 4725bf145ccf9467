"""What evaluate() gives: numbers by their names, as text, as a table of a notebook, and as a picture."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sqlinfer.evaluation.query import Question
from sqlinfer.models.calls import LABEL_METRICS
from sqlinfer.tables import table_lines

__all__ = ["Evaluation"]

_MOST_ACROSS = 6
# Of more classes, the commonest mistakes are shown.
_MOST_CLASSES = 12
_MOST_MISTAKES = 20


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``metrics`` are attributes, too: ``evaluation.roc_auc_score``. One that these rows have not is None.

    ``row_count`` are the rows that were judged; ``without_actual`` and ``without_answer`` those that were left out, as
    they have no target or no answer. ``confusion_matrix[i, j]`` counts the rows of ``classes[i]`` that were answered
    ``classes[j]``. ``groups``: an evaluation for each value of ``by``, or tuple of values.
    """

    model: str
    task: str
    target: str
    by: tuple[str, ...]
    positive: str | None
    row_count: int
    without_actual: int
    without_answer: int
    metrics: Mapping[str, float | None]
    classes: tuple[str, ...] = ()
    confusion_matrix: Any = None
    groups: Mapping[Any, Evaluation] = field(default_factory=dict)
    _drawn: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, question: Question, answer: Sequence[Mapping[str, Any]]) -> Evaluation:
        """``answer``: a row for all, and one for each group."""
        names = [f"group_{i}" for i in range(len(question.by))]
        keys = [tuple(row[name] for name in names) for row in answer[1:]]
        each = [_one(question, row) for row in answer[1:]]
        of_group = {key[0] if len(key) == 1 else key: one for key, one in zip(map(_hashable, keys), each, strict=True)}
        return _one(question, answer[0], of_group)

    def __getattr__(self, name: str) -> float | None:
        if name.startswith("_") or name not in self.metrics:
            raise AttributeError(f"{self.model} has no {name!r} here; it has {', '.join(self.metrics)}")
        return self.metrics[name]

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain values, as JSON takes them; what is no number is None."""
        whole = {
            "model": self.model,
            "task": self.task,
            "target": self.target,
            **({} if self.positive is None else {"positive": self.positive}),
            **self._numbers(),
        }
        if self.groups:
            whole["groups"] = [
                {**dict(zip(self.by, key, strict=True)), **group._numbers()} for key, group in self._keyed()
            ]
        return whole

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Names of columns, and a row for each group, or one for all."""
        rows = [[*key, group.row_count, *group.metrics.values()] for key, group in self._keyed()]
        return [*self.by, "row_count", *self.metrics], rows or [[self.row_count, *self.metrics.values()]]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A matplotlib figure: ROC, precision-recall, calibration and confusion; or predicted against actual, and
        residuals. Written to ``path``, where one is given. Raises MissingExtra."""
        from sqlinfer.evaluation.picture import draw

        return draw(self, path)

    def lines(self, rule: str = "─", bar: str = "  ", edge: tuple[str, str] = ("", "")) -> list[str]:
        """As text: the numbers, then how often which class was taken for which."""
        style: dict[str, Any] = {"rule": rule, "bar": bar, "edge": edge}
        lines = table_lines(*self._shown(), **style)
        if self.classes:
            lines += ["", *table_lines(*self._crossed(), **style)]
        return lines

    def title(self) -> str:
        rows = f"{self.row_count:,} row{'' if self.row_count == 1 else 's'}"
        return f"{self.model} on {rows}, target {self.target}"

    def notes(self) -> list[str]:
        """What to know when reading the numbers."""
        left = [
            f"{count:,} row{'' if count == 1 else 's'} without {what}"
            for count, what in ((self.without_actual, self.target), (self.without_answer, "an answer"))
            if count
        ]
        notes = [f"left out: {' and '.join(left)}"] if left else []
        if self.positive is not None:
            notes.append(f"precision, recall and F1 are of the class {self.positive}")
        elif self.classes and not _says_yes(self.classes):
            notes.append(
                "precision, recall and F1 are means over the classes; of one class, say --positive (positive=…)"
            )
        if len(self.classes) > _MOST_CLASSES:
            notes.append(f"of {len(self.classes)} classes, the commonest mistakes are shown")
        return notes

    def __str__(self) -> str:
        return "\n".join([self.title(), *self.notes(), "", *self.lines()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        said = "<br>".join(f"<small>{html.escape(note)}</small>" for note in self.notes())
        tables = _html(*self._shown()) + (_html(*self._crossed()) if self.classes else "")
        return f"<div><b>{html.escape(self.title())}</b><br>{said}{tables}</div>"

    def _keyed(self) -> Iterable[tuple[tuple[Any, ...], Evaluation]]:
        return [(key if len(self.by) > 1 else (key,), group) for key, group in self.groups.items()]

    def _numbers(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "row_count": self.row_count,
            "without_actual": self.without_actual,
            "without_answer": self.without_answer,
            **{name: None if value is None or value != value else value for name, value in self.metrics.items()},
        }
        if self.classes:
            found["confusion_matrix"] = [
                {"actual": actual, "predicted": predicted, "count": int(self.confusion_matrix[i, j])}
                for i, actual in enumerate(self.classes)
                for j, predicted in enumerate(self.classes)
            ]
        return found

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        """Few groups stand side by side, many one below the other."""
        every = [((), self), *self._keyed()]
        if len(every) > 1 + _MOST_ACROSS:
            shown = [name for name in self.metrics if any(one.metrics[name] is not None for _, one in every)]
            head = [*self.by, "row_count", *shown]
            rows = [[*_names(key, self.by), *map(_text, _row(one, shown))] for key, one in every]
            return head, rows
        head = ["metric", *(", ".join(_names(key, self.by[:1])) if key or self.by else "value" for key, _ in every)]
        return head, [
            [name, *(_text(_row(one, [name])[1]) for _, one in every)] for name in ("row_count", *self.metrics)
        ]

    def _crossed(self) -> tuple[list[str], list[list[str]]]:
        if len(self.classes) > _MOST_CLASSES:
            return ["actual", "predicted", "count"], self._mistakes()
        counts = [[f"{count:,}" for count in row] for row in self.confusion_matrix.tolist()]
        return ["actual", *(f"predicted {name}" for name in self.classes)], [
            [name, *row] for name, row in zip(self.classes, counts, strict=True)
        ]

    def _mistakes(self) -> list[list[str]]:
        """The commonest, of many classes."""
        wrong = self.confusion_matrix * (1 - np.eye(len(self.classes), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_MISTAKES]
        places = [divmod(int(place), len(self.classes)) for place in order]
        return [[self.classes[i], self.classes[j], f"{wrong[i, j]:,}"] for i, j in places if wrong[i, j]]


def _one(question: Question, row: Mapping[str, Any], groups: Mapping[Any, Evaluation] | None = None) -> Evaluation:
    score = row["score"] or {}
    metrics = {name: value for name, value in score.items() if name != "row_count"}
    if question.probabilities:
        of_probabilities = row["probability_score"] or {}
        metrics |= {
            name: value for name, value in of_probabilities.items() if name not in (*LABEL_METRICS, "row_count")
        }
    confusion = row.get("confusion") or []
    classes = tuple(dict.fromkeys(cell["actual"] for cell in confusion))
    counts = np.array([cell["count"] for cell in confusion], np.int64).reshape(len(classes), -1) if classes else None
    return Evaluation(
        question.model,
        question.task,
        question.target,
        question.by,
        None if question.positive is None else _label(question.positive),
        score.get("row_count", 0),
        row["without_actual"],
        row["without_answer"],
        metrics,
        classes,
        counts,
        groups or {},
        row.get("curves") or row.get("sample"),
    )


def _says_yes(classes: Sequence[str]) -> bool:
    """Whether the positive class goes without saying, as in SQL."""
    return set(classes) <= {"0", "1"} or set(classes) <= {"false", "true"}


def _label(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hashable(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(str(value) if isinstance(value, (list, dict)) else value for value in key)


def _row(one: Evaluation, names: Iterable[str]) -> list[Any]:
    return [one.row_count, *(one.row_count if name == "row_count" else one.metrics.get(name) for name in names)]


def _names(key: Sequence[Any], by: Sequence[str]) -> list[str]:
    return ["NULL" if value is None else _label(value) for value in key] or ["all", *[""] * (len(by) - 1)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
