"""Damage what is read beside a graph, and read it by both readers: Python's, and the extension's.

``python -m tests.fuzz.readers --count 100000 --seed 1`` prints the table of README.md. A round is read at once, in a
process of its own: many versions of one model, or many rows of one table.

Both readers may take a file and answer alike, or both may refuse it; neither may take what the other refuses, or take
the process down.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from sqlinfer.registration.sandbox import Limits, Worker
from tests.fuzz.both import KINDS, Outcome, tried

_LIMITS = Limits.of(600, "4GB")


def fuzz(count: int, seed: int) -> Iterator[Outcome]:
    worker, done, number = Worker(), 0, 0
    while done < count:
        for kind, most in KINDS.items():
            name = f"{seed}/{number}/{kind}"
            size = min(most, count - done)
            try:
                yield from worker.call(tried, kind, size, name, about=name, limits=_LIMITS)
            except Exception as error:  # whatever else is raised is what is looked for
                yield Outcome(kind, "WRONG", f"{name}: {type(error).__name__}: {error}"[:2000])
            done += size
        number += 1
    worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: Counter[tuple[str, str]] = Counter()
    for outcome in fuzz(asked.count, asked.seed):
        found[outcome.kind, outcome.verdict] += 1
        if outcome.verdict == "WRONG":
            print(outcome.kind, outcome.text, file=sys.stderr, flush=True)
    verdicts = ("answers", "refused", "WRONG")
    print(f"| file | {' | '.join(verdicts)} |\n|---|{'---:|' * len(verdicts)}")
    for kind in KINDS:
        print(f"| {kind} | {' | '.join(str(found[kind, verdict]) for verdict in verdicts)} |")
    raise SystemExit(any(verdict == "WRONG" for _, verdict in found))


if __name__ == "__main__":
    main()
