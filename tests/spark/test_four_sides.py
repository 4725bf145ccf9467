"""A year of flights gets the same answers from DuckDB, Spark, a job of sixteen shards, and over HTTP from curl."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

import sqlinfer
import sqlinfer.spark
from tests.processes import HANG
from tests.serve.serving import serving

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARDS = 16


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    """The demo's model, and its flights in sixteen files of Parquet: the registry and the folder."""
    folder = tmp_path_factory.mktemp("flights")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        demo = importlib.import_module("flights")
        patch.setattr(demo, "REGISTRY", folder / "registry")
        with sqlinfer.connect(registry=folder / "registry") as con:
            demo.load(con)
            demo.train(con)
            con.execute(f"CREATE TABLE year AS SELECT {', '.join(demo.FEATURES)} FROM {demo.JOINED} ORDER BY ALL")
            (folder / "in").mkdir()
            for shard in range(SHARDS):
                con.execute(
                    f"COPY (SELECT rowid AS flight, * FROM year WHERE rowid % {SHARDS} = {shard}) "
                    f"TO '{folder}/in/{shard:02}.parquet'"
                )
    return folder


def test_the_four_side_by_side(flights, plain):
    registry, files = flights / "registry", sorted((flights / "in").iterdir())
    with sqlinfer.connect(registry=registry) as con, serving(registry, "late") as server:
        answers = {
            "DuckDB": by_duckdb(con, flights),
            "Spark": by_spark(plain, flights),
            f"{SHARDS} shards": by_shards(con, flights),
            "curl": by_curl(con, f"http://{server.host}:{server.port}/invocations", files),
        }
    table = "\n".join(f"{where:<10} {summary(rows)}" for where, rows in answers.items())
    print(table)
    expected = answers["DuckDB"]
    assert len(expected) == 336_776
    assert all(columns(rows) == columns(expected) for rows in answers.values()), table


def by_duckdb(con, flights) -> pa.Table:
    return con.sql(f"""
        SELECT flight, predict_proba('late', f)[true] AS risk
        FROM '{flights}/in/*.parquet' f ORDER BY flight
    """).to_arrow_table()


def by_spark(plain, flights) -> pa.Table:
    spark = sqlinfer.spark.attach(plain.newSession(), registry=flights / "registry")
    spark.read.parquet(f"{flights}/in").createOrReplaceTempView("flights")
    return spark.sql("SELECT flight, predict_proba('late', f)[true] AS risk FROM flights f ORDER BY flight").toArrow()


def by_shards(con, flights) -> pa.Table:
    """Each shard by a process of its own."""

    def run(shard: int) -> None:
        command = [sys.executable, "-m", "sqlinfer.cli", "score", "late", f"{flights}/in/*.parquet"]
        command += [
            "-o",
            f"{flights}/out",
            "--registry",
            f"{flights}/registry",
            "--shard",
            f"{shard}/{SHARDS}",
            "--columns",
            "flight,risk",
        ]
        command += ["--call", "predict_proba", "--class", "true", "--as", "risk", "--quiet"]
        subprocess.run(command, check=True, timeout=HANG)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(1, SHARDS + 1)))
    return con.sql(f"FROM '{flights}/out/*.parquet' ORDER BY flight").to_arrow_table()


def by_curl(con, address, files) -> pa.Table:
    """A request for each file, its rows in JSON."""
    parts = []
    for file in files:
        rows = con.sql(f"FROM '{file}'")
        split = {"columns": rows.columns, "data": rows.fetchall()}
        body = file.with_suffix(".json")
        body.write_text(json.dumps({"dataframe_split": split, "params": {"call": "predict_proba"}}))
        risks = [classes["true"] for classes in asked(address, body)]
        parts.append(pa.table({"flight": [row[0] for row in split["data"]], "risk": risks}))
    return pa.concat_tables(parts).combine_chunks().sort_by("flight")


def asked(address: str, body: Path) -> list:
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--data-binary", f"@{body}"]
    command += ["--header", "Content-Type: application/json", address]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)["predictions"]


def columns(rows: pa.Table) -> tuple[bytes, bytes]:
    return rows["flight"].to_numpy().tobytes(), rows["risk"].to_numpy().tobytes()


def summary(rows: pa.Table) -> str:
    risks = rows["risk"].to_numpy()
    bits = hashlib.sha256(risks.tobytes()).hexdigest()[:16]
    return f"{len(rows):,} flights, {risks.sum():,.1f} late ones expected, the bits of all risks: {bits}"
