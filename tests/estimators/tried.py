"""Every estimator, booster and saved file of these tests, registered with many made-up rows.

    python -m tests.estimators.tried --rows 10000

prints, for each, how many of its features refuse something, and what; or why it is not registered. *differs*: a row was
answered otherwise, and no guard tells it from the others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import sqlinfer
from tests.estimators.cases import WALK
from tests.estimators.test_saved import SAVED, X

_DIFFERS = "a row that the sample does not show"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--only", help="the name of one of them")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found: Counter[str] = Counter()
    for name in [given.only] if given.only else [*WALK, *SAVED]:
        started = time.process_time()
        outcome, text = tried(name, given.rows)
        found[outcome] += 1
        print(f"{name}: {outcome}, {time.process_time() - started:.0f} s; {text}", flush=True)
    print(dict(found))
    return 1 if found["differs"] else 0


def tried(name: str, rows: int) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        np.random.seed(0)  # of the estimators that have no random_state
        if name in WALK:
            model, sample = WALK[name].fit(), WALK[name].rows
        else:
            train, save = SAVED[name]
            model, sample = Path(folder) / name, X
            save(train(), model)
        try:
            stored = sqlinfer.register("m", model, sample=sample, registry=folder, trials=rows, time_limit=900)
        except sqlinfer.SqlinferError as error:
            text = " ".join(str(error).split())
            return ("differs" if _DIFFERS in text else "not registered"), text[:400]
    guards = Counter(str(guard) for f in stored.manifest.signature.features for guard in f.guards)
    return ("guarded" if guards else "equal"), ", ".join(f"{guard} ({n})" for guard, n in guards.items())


if __name__ == "__main__":
    raise SystemExit(main())
