"""Samples with columns that few have, and graphs that must not be stored as they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import LinearRegression

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel, ModelFailed
from tests.conftest import ENGINES

LEAST = -(2**63)


@pytest.mark.parametrize("as_pandas", [False, True])
def test_a_decimal_column_is_tried_as_others_are(tmp_path, as_pandas):
    rows = duckdb.sql("SELECT (i / 4)::DECIMAL(9, 2) AS p, i::DOUBLE AS q FROM range(40) t(i)")
    model = LinearRegression().fit(rows.df(), np.arange(40.0))
    sample = pd.DataFrame({"p": [Decimal(i) / 4 for i in range(40)], "q": np.arange(40.0)}) if as_pandas else rows
    sqlinfer.register("m", model, sample=sample, registry=tmp_path, trials=200)
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            ((answer,),) = con.execute("SELECT predict('m', 2.5::DECIMAL(9, 2), 10)").fetchall()
        assert answer == pytest.approx(10)


@pytest.mark.parametrize("values", [[True, 1, None], [2**70, 1, 2], [Fraction(1, 3)] * 3, [1j, 2j, 3j]])
def test_a_column_of_no_one_type_is_named(tmp_path, values):
    sample = pd.DataFrame({"p": pd.Series(values, dtype=object), "q": [1.0, 2, 3]})
    model = LinearRegression().fit(np.ones((3, 2)), np.arange(3))
    with pytest.raises(FeatureError, match=r"column '?p'?"):
        sqlinfer.register("m", model, sample=sample, registry=tmp_path)


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_a_quotient_that_no_integer_is_is_an_error(tmp_path, onnx_file, operator, kind):
    """The processor ends the process for it."""
    graph = f"({kind}[n, 1] a, {kind}[n, 1] b) => ({kind}[n, 1] y) {{ y = {operator}(a, b) }}"
    sample = pa.table({"a": [7, 8], "b": [2, 3]})
    sqlinfer.register("m", onnx_file(graph), sample=sample, registry=tmp_path, trials=0)
    least = LEAST if kind == "int64" else -(2**31)
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            rows = f"(VALUES ({least}, -1), ({least}, 2), (7, -1), (7, 0)) t(x, y)"
            sql = f"SELECT TRY(predict('m', x::BIGINT, y)) FROM {rows}"
            quotients, remainders = [None, least // 2, -7, None], [None, 0, 0, None]
            assert con.execute(sql).fetchall() == [(y,) for y in (quotients if operator == "Div" else remainders)]
            with pytest.raises(ModelFailed, match=f"the row: a = {least}, b = -1"):
                con.execute(f"SELECT predict('m', ({least})::BIGINT, -1)").fetchall()


def test_a_node_that_answers_at_random_is_refused(tmp_path, onnx_file):
    """Also where it hardly ever shows."""
    graph = (
        "(float[n, 1] x) => (float[n, 1] y) <float[1] most = {0.998}, float[1] less = {-1}>"
        " { u = RandomUniform<shape = [1]>()  c = Greater(u, most)  y = Where(c, less, x) }"
    )
    with pytest.raises(InvalidModel, match="answers at random: it has a node RandomUniform"):
        sqlinfer.register("m", onnx_file(graph), registry=tmp_path)


@pytest.mark.parametrize(
    ("graph", "sample"),
    [
        ("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }", {"x": [1.0, np.inf, -np.inf, np.nan, 2.0]}),
        ("(float[n, 1] x) => (float[n, 1] y) { y = Exp(x) }", {"x": [1.0, 100.0]}),
        ("(float[n, 1] x) => (float[n, 1] y) { y = Log(x) }", {"x": [1.0, 0.0, -1.0]}),
        ("(float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }", {"a": [1.0, np.nan], "b": [2.0, 3.0]}),
        ("(float[n, k] x) => (float[n, k] y) { y = Neg(x) }", {"x": [[1.0, np.nan], [2.0, 3.0]]}),
        ("(uint64[n] x) => (uint64[n] y) { y = Identity(x) }", {"x": pa.array([2**64 - 1, 0], pa.uint64())}),
    ],
)
def test_what_registers_verifies(tmp_path, onnx_file, graph, sample):
    """Values that JSON does not hold are in no row that is kept."""
    model = sqlinfer.register("m", onnx_file(graph), sample=pa.table(sample), registry=tmp_path, trials=0)
    for engine in ENGINES:
        sqlinfer.verify("m", registry=tmp_path, engine=engine)
    assert "inf" not in str(model.background) and "1.79" not in str(model.background)


VIEWS = {
    "list_view": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_view(pa.float64())),
    "sliced": pa.ListViewArray.from_arrays(
        pa.array([4, 0, 2], pa.int32()), pa.array([2, 2, 2], pa.int32()), pa.array([1.0, 2, 3, 4, 5, 6])
    ),
    "large": pa.array([[1.0, 2.0], None, [5.0, 6.0]], pa.large_list_view(pa.float64())),
}


@pytest.mark.parametrize("form", VIEWS)
def test_list_views_are_lists(tmp_path, onnx_file, form):
    """A cast of theirs leads out of its buffers."""
    values = VIEWS[form]
    graph = "(double[n, k] x) => (double[n, k] y) { y = Neg(x) }"
    model = sqlinfer.register("m", onnx_file(graph), sample=pa.table({"x": values}), registry=tmp_path, trials=0)
    expected = [None if row is None else [-x for x in row] for row in values.to_pylist()]
    for first in range(3):
        assert model.predict(pa.table({"x": values}).slice(first)).to_pylist() == expected[first:]


def test_runs_and_views_of_texts_are_columns(tmp_path, onnx_file):
    runs = pc.run_end_encode(pa.array([1.0, 1.0, 2.0]))
    model = sqlinfer.register(
        "m", onnx_file("(double[n] x) => (double[n] y) { y = Neg(x) }"), sample=pa.table({"x": runs}), registry=tmp_path
    )
    assert model.predict(pa.table({"x": runs})).to_pylist() == [-1, -1, -2]
    words = pa.array(["a", None, "b"], pa.string_view())
    graph = "(string[n, 1] s) => (string[n, 1] y) { y = Identity(s) }"
    model = sqlinfer.register("t", onnx_file(graph), sample=pa.table({"s": words}), registry=tmp_path)
    assert model.predict(pa.table({"s": words})).to_pylist() == ["a", None, "b"]


def test_dropout_that_trains_is_refused_wherever_its_mode_stands(tmp_path, onnx_file):
    graph = (
        "(float[n, 1] x) => (float[n, 1] y) { ratio = Constant<value = float {0.001}>()"
        "  mode = Constant<value = bool {1}>()  y = Dropout(x, ratio, mode) }"
    )
    with pytest.raises(InvalidModel, match="answers at random"):
        sqlinfer.register("m", onnx_file(graph), registry=tmp_path)
