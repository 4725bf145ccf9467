"""Rows a second on Spark: sqlinfer, mlflow's spark_udf, and a pandas UDF as people write it, on the same rows.

    python benchmarks/spark.py [--rows 500000] [--repeat 3]        needs Java, pyspark, mlflow-skinny and lightgbm

A LightGBM model of 100 trees with 31 leaves over 20 DOUBLE columns, rows in Parquet, local[2]. Each contestant's
predictions are summed up by Spark; they take turns, after a round that starts the Python workers and opens the models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from lightgbm import LGBMRegressor

import sqlinfer
import sqlinfer.spark

NAMES = [f"x{i}" for i in range(20)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = prepared(folder, options.rows)
        sqlinfer.register("trees", model, sample=pd.DataFrame(numbers(1000), columns=NAMES), registry=folder / "models")
        spark = session(folder)
        rows = spark.read.parquet(str(folder / "rows")).cache()
        assert rows.count() == options.rows  # and the rows are in memory
        contestants: dict[str, Callable[[], Any]] = {
            "sqlinfer": lambda: sqlinfers(spark),
            "a pandas UDF": lambda: pandas_udfs(model),
            "mlflow.pyfunc.spark_udf": lambda: mlflows(folder, model, spark.session),
        }
        columns = {name: make() for name, make in contestants.items()}
        report(rows, columns, options.rows, options.repeat)
        spark.stop()


def numbers(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, len(NAMES)))


def prepared(folder: Path, rows: int) -> Any:
    values = numbers(rows, seed=1)
    (folder / "rows").mkdir()
    for part, some in enumerate(np.array_split(values, 4)):
        pq.write_table(pa.table(dict(zip(NAMES, some.T, strict=True))), folder / "rows" / f"{part}.parquet")
    train: Any = pd.DataFrame(numbers(5000), columns=NAMES)
    target = train["x0"] * train["x1"] + np.sin(train["x2"])
    regressor: Any = LGBMRegressor(n_estimators=100, num_leaves=31, verbose=-1, n_jobs=1)
    return regressor.fit(train, target)


def session(folder: Path) -> Any:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {"spark.driver.memory": "2g", "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return sqlinfer.spark.attach(builder.getOrCreate(), registry=folder / "models")


def sqlinfers(spark: Any) -> Any:
    return spark.predict("trees", *NAMES)


def pandas_udfs(model: Any) -> Any:
    """The estimator in the function's closure, and the rows as a DataFrame."""
    from pyspark.sql.functions import pandas_udf

    @pandas_udf("double")  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def predict(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        for batch in batches:
            yield pd.Series(model.predict(pd.concat(batch, axis=1, keys=NAMES)))

    return predict(*NAMES)


def mlflows(folder: Path, model: Any, session: Any) -> Any:
    import mlflow

    sample = pd.DataFrame(numbers(5), columns=NAMES)
    mlflow.lightgbm.save_model(
        model, folder / "mlflow", signature=mlflow.models.infer_signature(sample, model.predict(sample))
    )
    return mlflow.pyfunc.spark_udf(session, str(folder / "mlflow"), result_type="double", env_manager="local")(*NAMES)


def report(rows: Any, columns: dict[str, Any], count: int, repeat: int) -> None:
    from pyspark.sql.functions import sum as total

    runs: dict[str, Callable[[], float]] = {
        name: (lambda column=column: rows.select(total(column)).first()[0])  # type: ignore[misc]
        for name, column in columns.items()
    }
    sums = {name: run() for name, run in runs.items()}
    assert np.ptp(list(sums.values())) < 1e-3, sums
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print("| | rows/s | |\n|---|---:|---:|")
    for name, median in medians.items():
        print(f"| {name} | {count / median:,.0f} | {medians['mlflow.pyfunc.spark_udf'] / median:.1f}x |")


if __name__ == "__main__":
    main()
