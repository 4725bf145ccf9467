"""Side by side, in one run, on the same rows: sqlinfer's engines and what a user would do instead.

    python benchmarks/run.py [--rows 1000000] [--repeat 5] [--quick]

Every contestant reads the table, predicts, and writes (id, prediction) back as a table. Times are medians, and the
contestants take turns, so that a machine's moods hit all of them. Peak memory is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import contestants
import workloads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few rows, once, and the memory of one model")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeat = 20_000, 1
    warnings.filterwarnings("ignore")
    if options.memory_of:
        print(peak_of(*options.memory_of))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in workloads.WORKLOADS:
            workload = workloads.make(name, options.rows, Path(folder) / name)
            print(f"\n### {name}: {workload.title}, {workload.rows:,} rows\n", flush=True)
            report(workload, options.repeat, memory=not options.quick or name == "linear")
        print("\n### Beside a matrix that lies ready\n", flush=True)
        for name in ("trees", "mlp"):
            for line in contestants.ready_ratios(workloads.open_existing(name, Path(folder) / name), options.repeat):
                print(line, flush=True)
        long = 10 * options.rows  # shorter queries show what it costs to start threads
        print(f"\n### A linear model of {long:,} rows beside the same statement without it\n", flush=True)
        for line in contestants.ratios(workloads.make("linear", long, Path(folder) / "ratios"), options.repeat):
            print(line, flush=True)


def report(workload: workloads.Workload, repeat: int, *, memory: bool) -> None:
    runners = {name: make(workload) for name, make in contestants.CONTESTANTS.items()}
    present = {name: run for name, run in runners.items() if not isinstance(run, str)}
    seconds: dict[str, list[float]] = {name: [] for name in present}
    answers = {}
    for _ in range(repeat):
        for name, run in present.items():
            started = time.perf_counter()
            answers[name] = run()
            seconds[name].append(time.perf_counter() - started)
    check(answers)
    reference = workload.rows / statistics.median(seconds[contestants.REFERENCE])
    print("| | rows/s | | peak memory above the table |")
    print("|---|---:|---:|---:|")
    for name, reason in runners.items():
        if name not in present:
            print(f"| {name} | {reason} | | |")
            continue
        speed = contestants.rows_of(name, workload) / statistics.median(seconds[name])
        peak = json.loads(child("--memory-of", workload.name, str(workload.folder), name)) if memory else math.nan
        print(f"| {name} | {speed:,.0f} | {speed / reference:.2f}x as fast | {peak:,.0f} MB |", flush=True)


def check(answers: dict[str, float]) -> None:
    """Whoever is fast must also be right: the mean prediction of all is the same."""
    for name, answer in answers.items():
        expected = answers[contestants.REFERENCE]
        if name not in contestants.FEWER_ROWS and abs(answer - expected) > 1e-3 * max(1.0, abs(expected)):
            raise SystemExit(f"{name} answers {answer}, {contestants.REFERENCE} answers {expected}")


def peak_of(name: str, folder: str, contestant: str) -> float:
    """Megabytes that one run needs above what the process has with the table loaded."""
    run = contestants.CONTESTANTS[contestant](workloads.open_existing(name, Path(folder)))
    if isinstance(run, str):
        raise SystemExit(f"{contestant}: {run}")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = _memory("VmRSS")
    run()
    return (_memory("VmHWM") - before) / 1024


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def child(*arguments: str) -> str:
    command = [sys.executable, str(Path(__file__)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}).stdout


if __name__ == "__main__":
    main()
