"""sqlinfer score over 16 Parquet files, beside the same COPY with a sum for the model: peak memory, and time.

    python benchmarks/score.py [--rows 100000000] [--folder /tmp] [--quick]

The model is LightGBM's, 100 trees of 31 leaves over four FLOAT columns. Each contestant is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import pandas as pd

import sqlinfer

FILES = 16
SUM = """
import duckdb, sqlinfer
from pathlib import Path
Path("sums").mkdir(exist_ok=True)
with {} as con:
    for path in sorted(Path("rows").iterdir()):
        query = f"SELECT id, a + b + c + d AS score FROM '{{path}}'"
        con.execute(f"COPY ({{query}}) TO 'sums/{{path.name}}' (FORMAT parquet)")
"""
TELLING = """
import atexit, shutil
atexit.register(shutil.copyfile, "/proc/self/status", "status")
"""
SCORE = "from sqlinfer.cli import main; main(prog_name='sqlinfer')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--folder", help="where there is space for the files")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few rows")
    options = parser.parse_args()
    rows = 32_000 if options.quick else options.rows
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        os.chdir(name)
        os.environ["SQLINFER_HOME"] = "models"
        register()
        write(rows)
        own = measured(SCORE, "score", "risk", "rows/*.parquet", "-o", "scores", "--columns", "id,score", "--quiet")
        compare()
        contestants = {
            "the same COPY with a sum, DuckDB alone": measured(SUM.format("duckdb.connect()")),
            "the same COPY with a sum, over sqlinfer.connect()": measured(SUM.format("sqlinfer.connect()")),
            "sqlinfer score": own,
        }
        size = sum(path.stat().st_size for path in Path("rows").iterdir())
    print(f"{rows:,} rows in {FILES} files, {size / 1e9:.2f} GB\n")
    print("| | peak memory | | seconds | |\n|---|---:|---:|---:|---:|")
    first = next(iter(contestants.values()))
    for title, (memory, seconds) in contestants.items():
        print(f"| {title} | {memory:,.0f} MB | {memory / first[0]:.2f}x | {seconds:.1f} | {seconds / first[1]:.2f}x |")


def register() -> None:
    random = np.random.default_rng(0)
    sample = pd.DataFrame(random.random((5_000, 4)).astype(np.float32), columns=list("abcd"))
    target = sample.a * sample.b + np.sin(5 * sample.c) + random.normal(0, 0.1, len(sample))
    model = lightgbm.LGBMRegressor(n_estimators=100, num_leaves=31, verbose=-1).fit(sample, target)
    sqlinfer.register("risk", model, sample=sample, trials=0)


def write(rows: int) -> None:
    Path("rows").mkdir()
    columns = ", ".join(f"(hash(i, {n}) % 1000)::FLOAT / 1000 AS {name}" for n, name in enumerate("abcd"))
    with duckdb.connect() as con:
        for n in range(FILES):
            part = f"range({rows * n // FILES}, {rows * (n + 1) // FILES}) r(i)"
            con.execute(f"COPY (SELECT i AS id, {columns} FROM {part}) TO 'rows/{n:02}.parquet' (FORMAT parquet)")


def measured(code: str, *words: str) -> tuple[float, float]:
    """The megabytes that the process held at most, and its seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", f"{TELLING}\n{code}", *words], check=True)
    seconds = time.monotonic() - started
    (line,) = (line for line in Path("status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024, seconds


def compare() -> None:
    """The first file's answers, and the number and order of all."""
    with sqlinfer.connect() as con:
        query = "SELECT id, predict('risk', r) AS score FROM 'rows/00.parquet' r"
        wrong = con.execute(f"SELECT count(*) FROM (({query}) EXCEPT FROM 'scores/00.parquet')").fetchall()
        count = con.execute(
            "SELECT (SELECT count(*) FROM 'rows/*.parquet'), count(*) FROM 'scores/*.parquet'"
        ).fetchall()
        order = con.execute("SELECT bool_and(id = file_row_number) FROM read_parquet('scores/00.parquet')").fetchall()
    if wrong != [(0,)] or count[0][0] != count[0][1] or order != [(True,)]:
        raise SystemExit("the answers are not those of SQL")


if __name__ == "__main__":
    main()
