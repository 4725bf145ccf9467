"""No answer depends on the rows beside it, whatever rows the model was registered with."""

from __future__ import annotations

import pyarrow as pa
import pytest

import sqlinfer
from tests.conftest import ENGINES

CENTRED = "(float[n, 1] x) => (float[n, 1] y) <int64[1] rows = {0}> { m = ReduceMean(x, rows)  y = Sub(x, m) }"
SEVERAL = "(float[n, len] x) => (float[n, len] y) <int64[1] rows = {0}> { m = ReduceMean(x, rows)  y = Sub(x, m) }"
LOOKED_UP = (
    "(int64[n] k) => (float[n] y) <float[8] table = {0,0,0,0,0,0,1,2}, int64[1] rows = {0}>"
    " { w = Gather(table, k)  m = ReduceMax(w, rows)  y = Sub(w, m) }"
)


@pytest.fixture(params=ENGINES)
def ask(request, tmp_path, onnx_file):
    def register(graph, sample, sql, **options):
        sqlinfer.register("m", onnx_file(graph), sample=sample, registry=tmp_path / "models", **options)
        with sqlinfer.connect(registry=tmp_path / "models", engine=request.param) as con:
            return [value for (value,) in con.execute(sql).fetchall()]

    return register


@pytest.mark.parametrize(
    "numbers",
    [[1], [1] * 8 + [5], [None] * 8 + [1, 5], [None] * 3, []],
    ids=["one", "equal at first", "missing at first", "missing", "none"],
)
def test_samples_that_show_little(ask, numbers):
    sample = pa.table({"x": pa.array(numbers, pa.float32())})
    assert ask(CENTRED, sample, "SELECT predict('m', x) FROM (VALUES (1), (5), (9)) t(x)") == [0, 0, 0]


def test_a_sample_of_which_every_row_has_another_length(ask):
    sample = pa.table({"x": pa.array([[1.0] * n for n in range(1, 10)], pa.list_(pa.float32()))})
    answers = ask(SEVERAL, sample, "SELECT predict('m', x) FROM (VALUES ([1, 2]), ([3, 5])) t(x)")
    assert answers == [[0, 0], [0, 0]]


def test_one_row_of_numbers_that_name_something(ask):
    """The model does not take every whole number; 0 and 1 it does."""
    sql = "SELECT predict('m', k) FROM (VALUES (6), (7)) t(k)"
    assert ask(LOOKED_UP, pa.table({"k": pa.array([7])}), sql) == [0, 0]


def test_together_when_it_is_asked_for(ask):
    sql = "SELECT predict('m', x) FROM (VALUES (1), (5), (9)) t(x)"
    sample = pa.table({"x": pa.array([1], pa.float32())})
    assert ask(CENTRED, sample, sql, together=True) == [-4, 0, 4]
