"""Metrics as aggregates, beside an aggregate of DuckDB over the same rows, and beside scikit-learn on fetched arrays.

    python benchmarks/metrics.py [--rows 10000000] [--repeat 3] [--quick]

The contestants take turns; times are medians. Each pair of answers is compared first.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn import metrics

import sqlinfer

# What DuckDB does at least: read a column and add it up, or put it in order.
CASES: dict[str, tuple[str, Callable[..., float], tuple[str, str]]] = {
    "mean_absolute_error(y, p)": ("avg(p)", metrics.mean_absolute_error, ("y", "p")),
    "root_mean_squared_error(y, p)": ("avg(p)", metrics.root_mean_squared_error, ("y", "p")),
    "r2_score(y, p)": ("regr_r2(y, p)", metrics.r2_score, ("y", "p")),
    "median_absolute_error(y, p)": ("median(abs(y - p))", metrics.median_absolute_error, ("y", "p")),
    "roc_auc_score(is_bad, score)": ("median(score)", metrics.roc_auc_score, ("is_bad", "score")),
    "roc_auc_score(is_bad, rounded)": ("median(rounded)", metrics.roc_auc_score, ("is_bad", "rounded")),
    "log_loss(is_bad, score)": ("avg(ln(score))", lambda y, p: metrics.log_loss(y, y_proba=p), ("is_bad", "score")),
    "accuracy_score(is_bad, score > 0.5)": (
        "avg((is_bad = (score > 0.5))::INT)",
        metrics.accuracy_score,
        ("is_bad", "guess"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few rows, once")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeat = 20_000, 1
    with sqlinfer.connect(engine="native") as con:
        con.execute(
            "CREATE TABLE t AS SELECT random() < 0.3 AS is_bad, 1 - random() AS score, round(random(), 3) AS rounded, "
            f"random() * 10 AS y, random() * 10 AS p, i % 1000 AS g FROM range({options.rows}) r(i)"
        )
        print(f"{options.rows:,} rows\n\n| | beside | its time | scikit-learn, fetch included |\n|---|---|---:|---:|")
        for ours, (theirs, metric, columns) in CASES.items():
            report(con, ours, theirs, metric, columns, options.repeat)
        print("\n| in 1,000 groups | beside | its time |\n|---|---|---:|")
        for ours in ("mean_absolute_error(y, p)", "roc_auc_score(is_bad, score)"):
            theirs = CASES[ours][0]
            own, built_in = medians([partial(grouped, con, ours), partial(grouped, con, theirs)], options.repeat)
            print(f"| {ours} | {theirs} | {own / built_in:.2f}x |", flush=True)


def report(
    con: sqlinfer.Connection,
    ours: str,
    theirs: str,
    metric: Callable[..., float],
    columns: tuple[str, str],
    repeat: int,
) -> None:
    answers: list[Any] = []

    def with_sklearn() -> None:
        guess = "score > 0.5 AS guess, " if "guess" in columns else ""
        names = ", ".join(column for column in columns if column != "guess")
        fetched = con.execute(f"SELECT {guess}{names} FROM t").fetchnumpy()
        answers.append(metric(*(fetched[column] for column in columns)))

    ((answer,),) = con.execute(f"SELECT {ours} FROM t").fetchall()
    own, built_in, sklearn = medians([partial(asked, con, ours), partial(asked, con, theirs), with_sklearn], repeat)
    if not math.isclose(answer, answers[0], rel_tol=1e-9):
        raise SystemExit(f"{ours} answers {answer}, and scikit-learn {answers[0]}")
    print(f"| {ours} | {theirs} | {own / built_in:.2f}x | {sklearn / own:.1f}x as long |", flush=True)


def asked(con: sqlinfer.Connection, expression: str) -> None:
    con.execute(f"SELECT {expression} FROM t").fetchall()


def grouped(con: sqlinfer.Connection, expression: str) -> None:
    con.execute(f"SELECT g, {expression} FROM t GROUP BY g").fetchall()


def medians(works: list[Callable[[], None]], repeat: int) -> list[float]:
    """Seconds of each."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repeat):
        for work, times in zip(works, seconds, strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


if __name__ == "__main__":
    main()
