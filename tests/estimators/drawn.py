"""Models drawn at random, asked for rows that no sample shows: is SQL's answer the model's own, or an error?

    python -m tests.estimators.drawn --seed 1 --seconds 600

draws a model after the other: steps over columns of every kind, boosters, wrappers, vectorizers. Each is registered
with a sample of 5, 20 or all rows, and both engines and the model itself are asked for made-up rows: missing values,
infinite and huge ones, zeros, both sides of what trees split at, categories never seen, fractions of whole numbers, odd
texts.

*wrong*: SQL answers something else than the model, or answers where the model refuses, or NULL where it answers; or
what is raised is no error of sqlinfer. Everything else is an *answer*, or an error in words, which is as good.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

import sqlinfer
from tests.conftest import ENGINES
from tests.estimators.drawing import Drawn, draw

_ROWS = 40
# Relative to the size of the answer: of doubles, and of singles.
_DOUBLE, _SINGLE = 1e-6, 3e-5
# What is said of a model whose own answers are noise.
_ROUNDED = "has numbers as large as"


@dataclass
class Found:
    """What became of the models and of their rows, and what was wrong."""

    models: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--only", type=int, help="the number of one model of the seed")
    parser.add_argument("--show", action="store_true", help="print each model, and why one is refused")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    found, started = Found(), time.monotonic()
    numbers = range(given.models) if given.only is None else [given.only]
    for number in numbers:
        if time.monotonic() - started > given.seconds:
            break
        before = len(found.wrong), sum(found.refused.values())
        drawn = try_model(given.seed, number, found)
        if given.show and drawn is not None:
            print(f"  {number}: {drawn}", flush=True)
            if sum(found.refused.values()) > before[1]:
                print(f"      refused: {list(found.refused)[-1]}", flush=True)
        for line in found.wrong[before[0] :]:
            print(f"WRONG {given.seed} {number}: {line}", flush=True)
    for reason, count in found.refused.most_common():
        print(f"refused {count} times: {reason}")
    print(f"seed {given.seed}: models {dict(found.models)}, rows {dict(found.rows)}, {len(found.wrong)} wrong")
    return 1 if found.wrong else 0


def try_model(seed: int, number: int, found: Found) -> Drawn | None:
    """Draw the model of that number, and try it. None where it cannot be trained."""
    random = np.random.default_rng([seed, number])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            drawn = draw(random)
            drawn.fit()
        except Exception:  # some options do not go together, or not with these rows
            found.models["not trained"] += 1
            return None
        with tempfile.TemporaryDirectory() as home:
            try:
                sqlinfer.register("m", drawn.model, sample=drawn.sample(random), registry=home)
            except sqlinfer.SqlinferError as error:
                found.models["refused"] += 1
                found.refused[" ".join(str(error).split())[:160]] += 1
                unlike = "does not answer what the model" in str(error) and _ROUNDED not in str(error)
                if unlike or "damaged" in str(error):
                    found.wrong.append(f"{drawn}: {' '.join(str(error).split())[:300]}")
                return drawn
            except Exception as error:
                found.models["error"] += 1
                found.wrong.append(f"{drawn}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
                return drawn
            found.models["registered"] += 1
            for table in (drawn.strange_rows(random, _ROWS, whole=whole) for whole in (True, False)):
                _compare(drawn, table, home, found)
    return drawn


def _compare(drawn: Drawn, table: pa.Table, home: str, found: Found) -> None:
    own = [_own(drawn, table.slice(i, 1)) for i in range(len(table))]
    typical = drawn.typical_size()
    for engine in ENGINES:
        with sqlinfer.connect(registry=home, engine=engine) as con:
            con.register("strange", table)
            calls = [
                c
                for c in ("predict", "predict_proba")
                if c in sqlinfer.Registry(home).get("m").manifest.signature.calls
            ]
            for call in calls:
                given = con.execute(f"SELECT TRY({call}('m', s)) FROM strange s").fetchall()
                for i, (answer,) in enumerate(given):
                    verdict = _verdict(con, table, i, call, answer, own[i], typical)
                    found.rows[verdict.partition(":")[0]] += 1
                    if verdict.startswith("wrong"):
                        row = table.slice(i, 1).to_pylist()[0]
                        found.wrong.append(f"{drawn}, {engine}, {call}, row {row!r:.400}: {verdict}")
                        return


def _own(drawn: Drawn, row: pa.Table) -> dict[str, Any] | Exception:
    try:
        return drawn.own_answers(row)
    except Exception as error:
        return error


def _verdict(con: Any, table: pa.Table, i: int, call: str, answer: Any, own: Any, typical: float) -> str:
    refuses = isinstance(own, Exception) or call not in own
    if answer is None:
        row = table.slice(i, 1)
        con.register("strange_row", row)
        try:
            con.execute(f"SELECT {call}('m', s) FROM strange_row s").fetchall()
        except sqlinfer.SqlinferError as error:
            said = " ".join(str(error).split())
            return f"wrong: {said[:200]}" if "Internal" in said else "refused"
        has_null = any(row.column(name).null_count for name in row.column_names)
        if refuses and has_null:
            return "null"
        return f"wrong: NULL, the model says {own!r:.200}"
    if refuses:
        return f"wrong: {answer!r:.100}, the model refuses: {str(own).strip()[:150]!r}"
    expected = own[call]
    if call == "predict" and not _is_number(expected):
        same = answer == expected or _tie(own)
    else:
        same = _near(answer, expected, typical)
    return "answer" if same else f"wrong: {answer!r:.150}, the model says {expected!r:.150}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (float, np.floating, np.ndarray, list))


def _tie(own: dict[str, Any]) -> bool:
    best = np.sort(np.ravel(own.get("predict_proba", [1.0, 0.0])))[-2:]
    return len(best) == 2 and best[1] - best[0] <= _DOUBLE


def _near(answer: Any, expected: Any, typical: float) -> bool:
    if isinstance(answer, dict):
        answer = list(answer.values())
    theirs = np.asarray(expected)
    tolerance = _SINGLE if theirs.dtype == np.float32 else _DOUBLE
    try:
        ours, theirs = np.ravel(np.asarray(answer, np.float64)), np.ravel(theirs.astype(np.float64))
    except (TypeError, ValueError):
        return bool(list(np.ravel(np.asarray(answer, object))) == list(np.ravel(np.asarray(expected, object))))
    if ours.shape != theirs.shape:
        return False
    size = max(float(np.max(np.abs(theirs[np.isfinite(theirs)]), initial=0.0)), typical)
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance * size
        for a, b in zip(ours, theirs, strict=True)
    )


if __name__ == "__main__":
    raise SystemExit(main())
