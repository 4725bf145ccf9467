"""Texts into vectors, side by side: sqlinfer's engines, and ONNX Runtime fed as people feed it.

    python benchmarks/texts.py [--rows 1000] [--repeat 5] [--quick]

The model is a transformer of 6 layers x 384 with random weights; the texts have 5 to 256 tokens. Everybody pays for
tokenizing and for fetching and writing back. Times are medians, the contestants take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import onnx
import onnxruntime
import transformer
from tokenizers import Tokenizer

import sqlinfer
from sqlinfer.errors import EngineError

Run = Callable[[], np.ndarray]
AnyConnection = TypeVar("AnyConnection", duckdb.DuckDBPyConnection, sqlinfer.Connection)
REFERENCE = "onnxruntime, padded batches of 32"
SORTED = "the same, sorted by length first"
ALONE = "onnxruntime, one by one"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few rows, a small model, once")
    options = parser.parse_args()
    size = {"layers": 6, "width": 384, "heads": 12}
    if options.quick:
        options.rows, options.repeat, size = 60, 1, {"layers": 1, "width": 48, "heads": 4}
    with tempfile.TemporaryDirectory() as folder:
        texts = make(Path(folder), options.rows, **size)
        print(f"### texts: transformer {size['layers']} x {size['width']}, 5 to 256 tokens, {len(texts):,} rows\n")
        report(contestants(Path(folder), texts), len(texts), options.repeat)


def make(folder: Path, rows: int, **size: int) -> list[str]:
    """The model, registered as m, and the texts."""
    onnx.save(transformer.encoder(**size), folder / "model.onnx")
    transformer.tokenizer().save(str(folder / "tokenizer.json"))
    tokenizer = folder / "tokenizer.json"
    sqlinfer.register(
        "m", folder / "model.onnx", tokenizer=tokenizer, pool="mean", normalize=True, registry=folder / "models"
    )
    random = np.random.default_rng(1)
    lengths = random.integers(3, 255, rows)
    return [" ".join(f"w{i}" for i in random.integers(0, transformer.WORDS, length)) for length in lengths]


def contestants(folder: Path, texts: list[str]) -> dict[str, Run | str]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    con = filled(duckdb.connect(), texts)
    return {
        "sqlinfer, native engine": sqlinfer_with(folder, texts, "native"),
        "sqlinfer, Arrow engine": sqlinfer_with(folder, texts, "arrow"),
        REFERENCE: lambda: by_hand(con, session, tokenizer, 32),
        SORTED: lambda: by_hand(con, session, tokenizer, 32, in_order=True),
        ALONE: lambda: by_hand(con, session, tokenizer, 1),
    }


def sqlinfer_with(folder: Path, texts: list[str], engine: str) -> Run | str:
    try:
        sqlinfer.connect(registry=folder / "models", engine=engine).close()
    except EngineError as error:
        return str(error).split(":")[0]

    def run() -> np.ndarray:
        # a new one each time: the Arrow engine may remember the texts that it has just seen
        con = filled(sqlinfer.connect(registry=folder / "models", engine=engine), texts)
        con.execute("CREATE OR REPLACE TABLE scores AS SELECT id, predict('m', text) AS v FROM t")
        return written(con)

    return run


def by_hand(
    con: duckdb.DuckDBPyConnection,
    session: onnxruntime.InferenceSession,
    tokenizer: Tokenizer,
    size: int,
    *,
    in_order: bool = False,
) -> np.ndarray:
    rows = con.execute("SELECT id, text FROM t ORDER BY id").fetchall()
    if in_order:
        rows.sort(key=lambda row: len(row[1]))
    vectors = [
        vector
        for start in range(0, len(rows), size)
        for vector in pooled(session, tokenizer, rows[start : start + size])
    ]
    scores = {"id": [row[0] for row in rows], "v": vectors}
    con.execute("CREATE OR REPLACE TABLE scores AS SELECT unnest($id) AS id, unnest($v) AS v", scores)
    return written(con)


def pooled(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer, rows: list[tuple[int, str]]
) -> Iterator[list[float]]:
    encoded = tokenizer.encode_batch([text for _, text in rows])
    mask = np.array([one.attention_mask for one in encoded])
    (hidden,) = session.run(None, {"input_ids": np.array([one.ids for one in encoded]), "attention_mask": mask})
    means = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    yield from (means / np.linalg.norm(means, axis=1, keepdims=True)).tolist()


def filled(con: AnyConnection, texts: list[str]) -> AnyConnection:
    con.execute("CREATE TABLE t AS SELECT unnest($1) AS id, unnest($2) AS text", [list(range(len(texts))), texts])
    return con


def written(con: duckdb.DuckDBPyConnection | sqlinfer.Connection) -> np.ndarray:
    return np.array([vector for (vector,) in con.execute("SELECT v FROM scores ORDER BY id").fetchall()])


def report(runners: dict[str, Run | str], rows: int, repeat: int) -> None:
    present = {name: run for name, run in runners.items() if not isinstance(run, str)}
    seconds: dict[str, list[float]] = {name: [] for name in present}
    answers = {}
    for _ in range(repeat):
        for name, run in present.items():
            started = time.perf_counter()
            answers[name] = run()
            seconds[name].append(time.perf_counter() - started)
    for name, answer in answers.items():
        if not np.allclose(answer, answers[REFERENCE], atol=1e-4):
            raise SystemExit(f"{name} answers something else than {REFERENCE}")
    print("| | texts/s | |")
    print("|---|---:|---:|")
    reference = statistics.median(seconds[REFERENCE])
    for name, runner in runners.items():
        if isinstance(runner, str):
            print(f"| {name} | {runner} | |")
        else:
            median = statistics.median(seconds[name])
            print(f"| {name} | {rows / median:,.0f} | {reference / median:.2f}x as fast |", flush=True)


if __name__ == "__main__":
    main()
