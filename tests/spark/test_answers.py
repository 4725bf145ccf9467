"""Every model, and every type that Spark has for its features: the answers are DuckDB's, bit by bit, on each engine."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import sqlinfer
from sqlinfer.engines.spark.types import spark_type
from tests.engines import ENGINES

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

NAN, INF = float("nan"), float("inf")
FLOATS = [0.5, -0.0, 0.0, NAN, INF, -INF, 1e38, 5e-324, None, 1 / 3]


def floats(type: pa.DataType) -> pa.Array:
    missing = np.array([value is None for value in FLOATS])
    values = np.array([0 if value is None else value for value in FLOATS], type.to_pandas_dtype())
    return pa.array(values, type, mask=missing)


def array(values, type=None) -> pa.Array:
    return pa.array(values, type)


def decimals(text: str, precision: int, scale: int) -> pa.Array:
    return pa.array([None if x == "NULL" else Decimal(x) for x in text.split()], pa.decimal128(precision, scale))


NUMBERS = {
    "boolean": array([True, False, None]),
    "tinyint": array([-128, 127, None], pa.int8()),
    "smallint": array([-32768, 3, None], pa.int16()),
    "int": array([2**31 - 1, -3, None], pa.int32()),
    "bigint": array([2**53, -(2**53), None], pa.int64()),
    "float": floats(pa.float32()),
    "double": floats(pa.float64()),
    "decimal(5,2)": decimals("1.25 -999.99 0.00 NULL", 5, 2),
    "decimal(38,0)": decimals(f"{10**37} -{10**37} 1 NULL", 38, 0),
    "decimal(38,10)": decimals("0.1234567891 -1.3333333333 NULL", 38, 10),
    "void": pa.nulls(2),
}
NESTED = pa.list_(pa.float32())
# A model, the columns that it is given, and the call.
CASES = {
    **{f"same_double of {name}": ("same_double", {"x": values}, "x") for name, values in NUMBERS.items()},
    **{f"same_float of {name}": ("same_float", {"x": NUMBERS[name]}, "x") for name in ("bigint", "double", "void")},
    "same_int": ("same_int", {"x": array([2**63 - 1, -(2**63), 0, None])}, "x"),
    "same_int of decimals": ("same_int", {"x": decimals("12 -7 NULL", 38, 0)}, "x"),
    "same_int of doubles": ("same_int", {"x": array([3.0, -4.0, None])}, "x"),
    "same_tiny": ("same_tiny", {"x": array([-128, 127, None], pa.int64())}, "x"),
    "same_text": ("same_text", {"x": array(["", "é𝄞", "a'b\\n", None, " "])}, "x"),
    "negate": ("negate", {"x": array([True, False, None])}, "x"),
    "half": ("half", {"a": array([1.5, None, NAN]), "b": array([1, 2, 3])}, "a, b"),
    "half as a list": ("half", {"x": array([[1.5, 2.0], None, [0.1, -0.0]])}, "x"),
    "mean": ("mean", {"x": array([[1.0, 2.0], [3.0], None, [0.1, 0.2, 0.3]], NESTED)}, "x"),
    "echo": ("echo", {"x": array([[1, 2], [], None, [-3]], pa.list_(pa.int64()))}, "x"),
    "pixels": ("pixels", {"x": array([[[[0.5, 1, 2, 3], [1, 2, 3, 4]]] * 3, None], pa.list_(pa.list_(NESTED)))}, "x"),
    "table": ("table", {"x": array([[[1.0, 2.0], [3.0, 4.0]], [[0.5, 0.25]], None])}, "x"),
    "bytesum of binary": ("bytesum", {"x": array([b"\x00\xff", b"\x01", None])}, "x"),
    "bytesum of ints": ("bytesum", {"x": array([[1, 2], [255], None])}, "x"),
    "four": ("four", {"a": array([0.5] * 9 + [None]), "b": array(list(range(10)))}, "a, b"),
    "centred": ("centred", {"a": array([1.0, 2.0, 9.0]), "b": array([5.0, 6.0, 7.0])}, "a, b"),
    "arithmetic": ("arithmetic", {"a": floats(pa.float32()), "b": floats(pa.float64())}, "a, b"),
    "mixed": (
        "mixed",
        {"x": array([1.5, NAN]), "k": array([3, None]), "s": array(["a", "b"]), "b": array([True, False])},
        "t",
    ),
    "one row of a struct": (
        "mixed",
        {"r": array([{"B": True, "s": "x", "k": 1, "x": 0.5, "more": 1}])},
        "r",
    ),
    "structs, and NULL for one": ("arithmetic", {"r": array([{"a": 1.0, "b": 2}, None, {"a": None, "b": 1}])}, "r"),
    "nothing": ("same_double", {"x": array([], pa.float64())}, "x"),
}
CALLS = ("predict", "predict_proba", "infer")


@pytest.fixture(scope="module")
def duckdbs(registry):
    opened = {engine: sqlinfer.connect(registry=registry, engine=engine) for engine in ENGINES}
    yield opened
    for con in opened.values():
        con.close()


@pytest.fixture
def same(spark, duckdbs):
    """``same(model, columns, arguments)``: all calls of the model, on Spark as on DuckDB's engines."""

    def check(model: str, columns: pa.Table, arguments: str, parts: int = 2) -> int:
        answered = [call for call in CALLS if call in spark.registry.get(model).manifest.signature.calls]
        table = columns.append_column("i", pa.array(range(len(columns)), pa.int64()))
        spark.createDataFrame(table).repartition(parts).createOrReplaceTempView("t")
        calls = ", ".join(f"{call}('{model}', {arguments}) AS {call}" for call in answered)
        sql = f"SELECT i, {calls} FROM t ORDER BY i"
        found = spark.sql(sql).toArrow()
        for engine, con in duckdbs.items():
            con.register("t", table)
            expected = con.sql(sql).to_arrow_table()
            for call in answered:
                assert texts(found[call]) == texts(expected[call]), engine
                assert bare(found[call].type) == bare(spark_type(expected[call].type))
        return len(found)

    return check


def texts(values: pa.ChunkedArray) -> list[str]:
    """Every bit of a number shows in its text, but NaN's own."""
    return [repr(number(value)) for value in values.to_pylist()]


def number(value):
    return int(value) if isinstance(value, Decimal) else value


def bare(type: pa.DataType) -> str:
    """Without what Arrow and Spark call the items of lists, and without what may be NULL."""
    return re.sub(r" not null|(?<=<)\w+: (?=[^<>]*>)", "", str(type))


@pytest.mark.parametrize("case", CASES)
def test_graphs_of_every_type(same, case):
    model, columns, arguments = CASES[case]
    assert same(model, pa.table(columns), arguments) == len(next(iter(columns.values())))


# In how many partitions: in some of them is hardly a row. ONNX Runtime's softmax, of iris, answers a row otherwise in
# the last bit when other rows are beside it, on every engine.
ESTIMATORS = {"iris/2": 1, "churn": 7, "digit": 7, "progress": 7, "width": 7, "segment": 7, "plane": 7, "risk": 7}
ESTIMATORS |= {"offer": 20}


@pytest.mark.parametrize("model", ESTIMATORS)
def test_estimators(same, estimators, model):
    """Numbers and texts with gaps."""
    sample = pa.Table.from_pandas(estimators[model.partition("/")[0]][1].head(90), preserve_index=False)
    assert same(model, sample, "t", parts=ESTIMATORS[model]) == 90
