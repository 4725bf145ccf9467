"""The picture of an evaluation, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from sqlinfer.errors import MissingExtra, RegistryError, SqlinferError

__all__ = ["draw", "require_matplotlib"]

INK, GREY, FAINT = "#22303c", "#9aa7b2", "#e9edf1"
# Okabe and Ito's colours, which are told apart with any kind of eyes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C7A00")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
Evaluation = Any  # that of result.py, which imports this module
_MOST_GROUPS = len(COLOURS)
_MOST_CELLS = 12
_LONGEST = 14


def require_matplotlib() -> None:
    """Raises MissingExtra."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra.of("matplotlib", "plot", "a picture") from error


def draw(evaluation: Evaluation, path: str | os.PathLike[str] | None) -> Any:
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        classifier = evaluation.task == "classification"
        curves = classifier and evaluation._drawn is not None
        figure = Figure(figsize=(11, 9) if curves else (6, 5.4) if classifier else (14, 4.8), layout="constrained")
        figure.suptitle(evaluation.title(), x=0.01, ha="left", fontsize=14, weight="bold")
        if curves:
            _classifier(evaluation, figure.subplots(2, 2))
        elif classifier:
            _confusion(evaluation, figure.subplots())
        else:
            _regression(evaluation, figure.subplots(1, 3))
        if path is not None:
            _save(figure, path)
    return figure


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        kind = RegistryError if isinstance(error, OSError) else SqlinferError
        raise kind(f"the picture cannot be written to {os.fspath(path)}: {error}") from error


def _classifier(evaluation: Evaluation, axes: Any) -> None:
    (roc, precision), (calibration, confusion) = axes
    series = _series(evaluation)
    for index, (name, curves, area, average) in enumerate(series):
        look = {"color": COLOURS[index], "ls": LINES[index], "lw": 2}
        _curve(roc, curves["roc"], "false_positive_rate", "true_positive_rate", f"{name}{_value(area)}", look)
        _curve(precision, curves["precision_recall"], "recall", "precision", f"{name}{_value(average)}", look)
        _calibrated(calibration, curves["calibration"], name, look)
    roc.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=(0, (4, 3)))
    calibration.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=(0, (4, 3)))
    about = f" of {series[0][1]['class']}" if len({curves["class"] for _, curves, _, _ in series}) == 1 else ""
    if len(series) < len(evaluation.classes) and not evaluation.groups and len(series) > 1:
        about = f", {len(series)} of {len(evaluation.classes)} classes"
    roc.set(title=f"ROC{about}", xlabel="false positive rate", ylabel="true positive rate")
    precision.set(title=f"Precision and recall{about}", xlabel="recall", ylabel="precision")
    calibration.set(title=f"Calibration{about}", xlabel="predicted probability", ylabel="how often it was so")
    for one, end in ((roc, 1.0), (precision, 1.0), (calibration, _end(series))):
        one.set(xlim=(-0.02 * end, 1.02 * end), ylim=(-0.02 * end, 1.02 * end), aspect="equal")
    roc.legend(loc="lower right", title="area" if series[0][2] is not None else None, alignment="right")
    precision.legend(loc="best", title="average precision" if series[0][3] is not None else None)
    if len(series) > 1:
        calibration.legend(loc="best")
    _confusion(evaluation, confusion)


def _series(evaluation: Evaluation) -> list[tuple[str, Any, float | None, float | None]]:
    """The lines of a curve: the largest groups, or the classes; the areas below, where they are known."""
    if evaluation.groups and len(evaluation._drawn) == 1:
        keyed = sorted(evaluation._keyed(), key=lambda pair: -pair[1].row_count)[:_MOST_GROUPS]
        return [(_short(", ".join(map(_name, key))), one._drawn[0], *_areas(one)) for key, one in keyed if one._drawn]
    if len(evaluation._drawn) == 1:
        (curves,) = evaluation._drawn
        return [(_short(evaluation.model), curves, *_areas(evaluation))]
    return [(_short(curves["class"]), curves, None, None) for curves in evaluation._drawn]


def _end(series: Sequence[Any]) -> float:
    """How far the points of calibration reach: those of what is rare stand close to 0."""
    points = [one for _, curves, _, _ in series for one in curves["calibration"] or () if one["count"]]
    most = max((max(one["mean_predicted"], one["fraction_of_positives"]) for one in points), default=1.0)
    return 1.0 if most > 0.5 else 1.2 * float(most) or 1.0


def _areas(evaluation: Evaluation) -> tuple[float | None, float | None]:
    return evaluation.metrics.get("roc_auc_score"), evaluation.metrics.get("average_precision_score")


def _curve(axes: Any, points: Any, x: str, y: str, label: str, look: dict[str, Any]) -> None:
    if points:
        axes.plot([point[x] for point in points], [point[y] for point in points], label=label, **look)


def _calibrated(axes: Any, bins: Any, label: str, look: dict[str, Any]) -> None:
    found = [one for one in bins or () if one["count"]]
    if found:
        most = max(one["count"] for one in found)
        axes.plot(
            [b["mean_predicted"] for b in found], [b["fraction_of_positives"] for b in found], label=label, **look
        )
        axes.scatter(
            [b["mean_predicted"] for b in found],
            [b["fraction_of_positives"] for b in found],
            s=[20 + 90 * b["count"] / most for b in found],  # larger where there are more rows
            color=look["color"],
            edgecolor="white",
            zorder=3,
        )


def _confusion(evaluation: Evaluation, axes: Any) -> None:
    """Coloured by the share of each actual class; the numbers are of rows."""
    counts, names = evaluation.confusion_matrix, [_short(name) for name in evaluation.classes]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    if len(names) <= _MOST_CELLS:
        for (i, j), count in np.ndenumerate(counts):
            share = f"\n{shares[i, j]:.0%}" if len(names) <= 5 else ""
            colour = "white" if shares[i, j] > 0.55 else INK
            axes.text(j, i, f"{count:,}{share}", ha="center", va="center", color=colour)
    places = range(len(names)) if len(names) <= 40 else range(0, len(names), len(names) // 20)
    turned = sum(map(len, names)) > 30
    axes.set_xticks(
        places, [names[i] for i in places], rotation=45 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_yticks(places, [names[i] for i in places])
    axes.set(title="Confusion: rows, and share of the actual class", xlabel="predicted", ylabel="actual")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _regression(evaluation: Evaluation, axes: Any) -> None:
    across, residual, spread = axes
    actual, predicted = _pairs(evaluation._drawn)
    look = {"s": 9, "alpha": 0.35, "color": COLOURS[0], "linewidths": 0}
    ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())] if len(actual) else [0, 1]
    across.scatter(predicted, actual, **look)
    across.plot(ends, ends, color=COLOURS[1], lw=1.5)
    across.set(title=f"Predicted and actual{_value(evaluation.metrics['r2_score'], ', R² =')}")
    across.set(xlabel=f"predicted {evaluation.target}", ylabel=f"actual {evaluation.target}")
    residual.scatter(predicted, actual - predicted, **look)
    residual.axhline(0, color=COLOURS[1], lw=1.5)
    residual.set(title="Residuals", xlabel=f"predicted {evaluation.target}", ylabel="actual − predicted")
    spread.hist(actual - predicted, bins=40, color=COLOURS[0], edgecolor="white", lw=0.4)
    spread.axvline(0, color=COLOURS[1], lw=1.5)
    error = _value(evaluation.metrics["mean_absolute_error"], ", mean absolute")
    spread.set(title=f"How far off{error}", xlabel="actual − predicted", ylabel="rows")
    if len(actual) < evaluation.row_count:
        across.figure.supxlabel(f"{len(actual):,} of the rows are drawn", fontsize=9, color=GREY, x=0.99, ha="right")


def _pairs(sample: Sequence[Any] | None) -> tuple[Any, Any]:
    pairs = np.array([[one["actual"], one["predicted"]] for one in sample or ()], np.float64).reshape(-1, 2)
    return tuple(pairs[np.isfinite(pairs).all(axis=1)].T)


def _value(value: float | None, before: str = "") -> str:
    return "" if value is None or np.isnan(value) else f"{before} {value:.3g}"


def _name(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 7]}…{name[-6:]}"
