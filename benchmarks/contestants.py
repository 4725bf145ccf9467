"""Who competes. Each is made once, with its rows in memory, and then run: it answers with its mean prediction."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
from workloads import Workload

import sqlinfer
from sqlinfer.errors import EngineError

Run = Callable[[], float]
REFERENCE = "fetch to numpy, onnxruntime, write back"


def with_engine(engine: str) -> Callable[[Workload], Run | str]:
    def make(workload: Workload) -> Run | str:
        try:
            con = sqlinfer.connect(registry=workload.registry, engine=engine)
        except EngineError as error:
            return str(error).split(":")[0]
        _load(con, workload)

        def run() -> float:
            con.execute("CREATE OR REPLACE TABLE scores AS SELECT id, predict('m', t) AS p FROM t")
            return _mean(con)

        return run

    return make


def numpy_and_onnxruntime(workload: Workload) -> Run:
    con = _plain(workload)
    session = onnxruntime.InferenceSession(str(workload.onnx))
    (feed,) = session.get_inputs()

    def run() -> float:
        rows = con.execute("FROM t").fetchnumpy()
        matrix = np.column_stack([rows[column] for column in workload.columns]).astype(_dtype(feed), copy=False)
        (p, *_) = session.run(None, {feed.name: matrix})
        scores = pd.DataFrame({"id": rows["id"], "p": p.ravel()})
        con.register("scored", scores)
        con.execute("CREATE OR REPLACE TABLE scores AS FROM scored")
        con.unregister("scored")
        return _mean(con)

    return run


def pandas_and_estimator(workload: Workload) -> Run:
    con = _plain(workload)
    estimator = workload.estimator

    def run() -> float:
        rows = con.execute("FROM t").df()
        rows["p"] = estimator.predict(rows[workload.columns])
        con.register("scored", rows[["id", "p"]])
        con.execute("CREATE OR REPLACE TABLE scores AS FROM scored")
        con.unregister("scored")
        return _mean(con)

    return run


def arrow_udf(workload: Workload) -> Run:
    """DuckDB's vectorized Python function, written as its documentation shows."""
    con = _plain(workload)
    session = onnxruntime.InferenceSession(str(workload.onnx))
    (feed,) = session.get_inputs()

    def score(*columns: pa.ChunkedArray) -> pa.Array:
        matrix = np.column_stack([column.to_numpy() for column in columns]).astype(_dtype(feed), copy=False)
        return pa.array(session.run(None, {feed.name: matrix})[0].ravel())

    create: Any = con.create_function  # its types know no function of any number of columns
    create("score", score, None, _sql_type(session.get_outputs()[0]), type="arrow")
    return _udf_run(con, workload, "t")


def row_udf(workload: Workload) -> Run:
    """DuckDB's plain Python function: one call a row. On a fiftieth of the rows, or it takes all day."""
    con = _plain(workload)
    session = onnxruntime.InferenceSession(str(workload.onnx))
    (feed,) = session.get_inputs()

    def score(*values):  # type: ignore[no-untyped-def]  # an annotation would fix one argument
        return float(session.run(None, {feed.name: np.array([values], _dtype(feed))})[0].item())

    con.create_function("score", score, None, _sql_type(session.get_outputs()[0]))
    return _udf_run(con, workload, f"t LIMIT {_few(workload)}")


def _dtype(tensor: onnxruntime.NodeArg) -> type[np.floating]:
    return np.float64 if tensor.type == "tensor(double)" else np.float32


def _sql_type(tensor: onnxruntime.NodeArg) -> str:
    return "DOUBLE" if tensor.type == "tensor(double)" else "FLOAT"


CONTESTANTS: dict[str, Callable[[Workload], Run | str]] = {
    "sqlinfer, native engine": with_engine("native"),
    "sqlinfer, Arrow engine": with_engine("arrow"),
    REFERENCE: numpy_and_onnxruntime,
    "fetch to pandas, the estimator, write back": pandas_and_estimator,
    "a DuckDB Python function, type arrow": arrow_udf,
    "a DuckDB Python function, row by row": row_udf,
}
FEWER_ROWS = {"a DuckDB Python function, row by row"}


def rows_of(name: str, workload: Workload) -> int:
    return _few(workload) if name in FEWER_ROWS else workload.rows


def ratios(workload: Workload, repeat: int) -> Iterator[str]:
    """sqlinfer against the same statement without a model, on both engines."""
    for engine, con in _engines(workload):
        weights = workload.estimator
        terms = zip(weights.coef_, workload.columns, strict=True)
        formula = " + ".join(f"{w:.9g}::FLOAT * {c}" for w, c in terms) + f" + {weights.intercept_:.9g}::FLOAT"
        by_hand = f"SELECT sum({formula}) FROM t"
        pairs = {
            "sum(predict()) : the formula by hand in SQL": (_SUM, by_hand),
            "predict() in SELECT and WHERE : once": (
                "SELECT sum(p) FROM (SELECT predict('m', t) AS p FROM t WHERE predict('m', t) > 3)",
                _SUM,
            ),
            "WHERE keeps 1 row in 10 : those rows alone": (
                f"{_SUM} WHERE id % 10 = 3",
                f"SELECT sum(predict('m', t)) FROM (FROM t LIMIT {workload.rows // 10}) t",
            ),
        }
        for what, (ours, theirs) in pairs.items():
            yield f"- {engine}: {what} = {_ratio(con, ours, theirs, repeat):.2f}x its time"
        gain, gain_by_hand = _gain(con, _SUM, repeat), _gain(con, by_hand, repeat)
        yield f"- {engine}: 1 → 2 threads = {gain:.2f}x as fast (the formula: {gain_by_hand:.2f}x)"
        row, total = _one_row(con, "predict('m', {})", ", "), _one_row(con, "{}", " + ")
        what = "one row of ten parameters, prepared : their sum"
        yield f"- {engine}: {what} = {row / total:.2f}x its time, {row * 1000:.2f} ms"


def ready_ratios(workload: Workload, repeat: int) -> Iterator[str]:
    """sqlinfer, the scan included, against ONNX Runtime and the estimator on a matrix that lies ready."""
    session = onnxruntime.InferenceSession(str(workload.onnx))
    (feed,) = session.get_inputs()
    rows = _plain(workload).execute("FROM t").fetchnumpy()
    matrix = np.column_stack([rows[column] for column in workload.columns]).astype(_dtype(feed), copy=False)
    frame = pd.DataFrame(matrix, columns=workload.columns)
    theirs = {
        "onnxruntime on a ready matrix, all cores": lambda: session.run(None, {feed.name: matrix}),
        "the estimator on a ready DataFrame": lambda: workload.estimator.predict(frame),
    }
    for engine, con in _engines(workload):
        for what, run in theirs.items():
            pairs = [(_timed(con, _SUM), _clocked(run)) for _ in range(repeat)]
            ours, other = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
            yield f"- {workload.name}, {engine}: sum(predict()) : {what} = {other / ours:.2f}x as fast"


_SUM = "SELECT sum(predict('m', t)) FROM t"


def _engines(workload: Workload) -> Iterator[tuple[str, sqlinfer.Connection]]:
    for engine in ("native", "arrow"):
        try:
            con = sqlinfer.connect(registry=workload.registry, engine=engine)
        except EngineError:
            continue
        _load(con, workload)
        yield engine, con


def _ratio(con: sqlinfer.Connection, ours: str, theirs: str, repeat: int) -> float:
    pairs = [(_timed(con, ours), _timed(con, theirs)) for _ in range(repeat)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _gain(con: sqlinfer.Connection, sql: str, repeat: int) -> float:
    """How much sooner two threads are done than one; taking turns."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeat):
        for threads, times in seconds.items():
            con.execute(f"SET threads = {threads}")
            times.append(_timed(con, sql))
    return statistics.median(seconds[1]) / statistics.median(seconds[2])


def _one_row(con: sqlinfer.Connection, form: str, between: str) -> float:
    parameters = between.join(f"${i + 1}" for i in range(10))
    con.execute(f"PREPARE asked AS SELECT {form.format(parameters)}")
    sql = f"EXECUTE asked({', '.join(['0.5'] * 10)})"
    seconds = statistics.median(_timed(con, sql) for _ in range(300))
    con.execute("DEALLOCATE asked")
    return seconds


def _timed(con: sqlinfer.Connection, sql: str) -> float:
    return _clocked(lambda: con.execute(sql).fetchall())


def _clocked(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _few(workload: Workload) -> int:
    return max(100, workload.rows // 50)


def _udf_run(con: duckdb.DuckDBPyConnection, workload: Workload, rows: str) -> Run:
    call = f"score({', '.join(workload.columns)})"

    def run() -> float:
        con.execute(f"CREATE OR REPLACE TABLE scores AS SELECT id, {call} AS p FROM (FROM {rows})")
        return _mean(con)

    return run


def _plain(workload: Workload) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    _load(con, workload)
    return con


def _load(con: duckdb.DuckDBPyConnection | sqlinfer.Connection, workload: Workload) -> None:
    con.execute(f"ATTACH '{workload.database}' AS source (READ_ONLY)")
    con.execute("CREATE TABLE t AS FROM source.t")


def _mean(con: duckdb.DuckDBPyConnection | sqlinfer.Connection) -> float:
    ((mean,),) = con.execute("SELECT avg(p) FROM scores").fetchall()
    return float(mean)
