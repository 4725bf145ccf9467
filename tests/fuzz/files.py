"""Register mutated .onnx files and ask each that is accepted one question on every engine.

``python -m tests.fuzz.files FOLDER --count 5000 --seed 1`` mutates the .onnx files in the folder, and some that it
makes itself, and prints the table of README.md, of what there is when Ctrl-C ends it. ``--seconds`` is what each file
may take; ``--keep DIR`` keeps the files that did what no file may do.

A file may be accepted and answer, or be refused in words. It may not take down, hold up or swell the process that
registers it; raise what is no error of sqlinfer; read or write outside of its folder; or, once it is accepted, fail
at its proof rows.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sqlinfer.registration.sandbox import Worker
from tests.fuzz.mutations import SECRET, mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.trying import Outcome, try_file

_LARGEST = 5_000_000


def fuzz(
    files: Sequence[Path], count: int, seed: int, keep: Path | None = None, seconds: float = 20
) -> Iterator[Outcome]:
    """``count`` mutated files, evenly from all of the ``files``; ``seconds`` is what each may take."""
    source, asking = random.Random(seed), Worker()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "secret.bin").write_bytes(SECRET * 100)
        place = Path(folder) / "models"
        for i in range(count):
            base = files[i % len(files)]
            place.mkdir()
            name, content = mutated(base.read_bytes(), source)
            path = place / base.name
            path.write_bytes(content)
            outcome = try_file(path, base.name, name, asking, seconds)
            if [p for p in Path(folder).rglob("*") if p not in (place, path, Path(folder) / "secret.bin")]:
                outcome = Outcome(base.name, name, "WRONG", "files appeared", outcome.seconds)
            if outcome.verdict == "WRONG" and keep is not None:
                shutil.copy(path, keep / f"{seed}_{i}_{name}_{base.name}")
            shutil.rmtree(place)
            yield outcome
    asking.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = seeds(Path(folder))
        if asked.folder:
            files += sorted(p for p in asked.folder.rglob("*.onnx") if p.stat().st_size <= _LARGEST)
        found: Counter[tuple[str, str]] = Counter()
        with suppress(KeyboardInterrupt):
            for outcome in fuzz(files, asked.count, asked.seed, asked.keep, asked.seconds):
                found[outcome.mutation, outcome.verdict] += 1
                if outcome.verdict in ("WRONG", "guarded"):
                    print(outcome, file=sys.stderr, flush=True)
    _print_table(found)
    raise SystemExit(any(verdict == "WRONG" for _, verdict in found))


def _print_table(found: Counter[tuple[str, str]]) -> None:
    verdicts = ("answers", "refused", "guarded", "WRONG")
    print(f"| mutation | {' | '.join(verdicts)} |\n|---|{'---:|' * len(verdicts)}")
    for mutation in sorted({mutation for mutation, _ in found}):
        print(f"| {mutation} | {' | '.join(str(found[mutation, verdict]) for verdict in verdicts)} |")


if __name__ == "__main__":
    main()
