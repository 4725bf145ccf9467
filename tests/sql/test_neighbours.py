"""No answer depends on the rows beside it, whatever rows the model was registered with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVR, LinearSVC

import sqlinfer
from sqlinfer.models.signature import Batch
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


# Each is x, but for the rows of which one is 777: no trial row shows that they see one another.
SEEN = "hit = Equal(x, k)  seen = Cast<to = 1>(hit)"
NARROW = {
    "CumSum": "cs = CumSum(seen, axis)  y = Add(x, cs)",
    "ReduceMax": "most = ReduceMax(seen, axes)  y = Add(x, most)",
    "ReduceMean over all": "all = ReduceMean<keepdims = 0>(seen)  y = Add(x, all)",
    "ArgMax": "a = ArgMax(seen)  b = Cast<to = 1>(a)  y = Add(x, b)",
    "TopK": "t, i = TopK<axis = 0>(seen, axes_one)  y = Add(x, t)",
    "Softmax": "s = Softmax<axis = 0>(x)  y = Where(hit, s, x)",
    "MatMul": "t = Transpose(seen)  m = MatMul(seen, t)  z = MatMul(m, x)  y = Add(x, z)",
    "Einsum": "e = Einsum<equation = 'ij,kj->ij'>(seen, seen)  y = Add(x, e)",
    "Gather": "first = Gather(seen, axes)  y = Add(x, first)",
    "Slice and Concat": "a = Slice(seen, axes_one, end, axes)  b = Slice(seen, axes, axes_one, axes)"
    "  turned = Concat<axis = 0>(a, b)  y = Add(x, turned)",
    "Unique": "u, i, j, c = Unique(seen)  most = ReduceMax<keepdims = 0>(u)  y = Add(x, most)",
    "sorted": "v = Reshape(seen, flat)  n = Shape(v)  t, i = TopK<axis = 0>(v, n)  r = Reshape(t, back)  y = Add(x, r)",
    "LayerNormalization": "n = LayerNormalization<axis = 0>(seen, ones)  y = Add(x, n)",
    "behind Reshape": "t = Reshape(seen, flat)  s = CumSum(t, axis)  r = Reshape(s, back)  y = Add(x, r)",
    "Scan": "e, s = Scan<num_scan_inputs = 1, body = add (float[2] old, float[2] v) => (float[2] new, float[2] o)"
    " { new = Add(old, v)  o = Identity(new) }>(zeros, seen)  y = Add(x, s)",
}
CONSTANTS = (
    "<float k = {777}, int64 axis = {0}, int64[1] axes = {0}, int64[1] axes_one = {1}, int64[1] end = {9999},"
    " float[2] ones = {1, 1}, float[2] zeros = {0, 0}, int64[1] flat = {-1}, int64[2] back = {-1, 2}>"
)


@pytest.mark.parametrize("how", NARROW)
def test_rows_that_meet_at_one_value_only(ask, how):
    graph = f"(float[n, 2] x) => (float[n, 2] y) {CONSTANTS} {{ {SEEN}  {NARROW[how]} }}".replace("'", '"')
    alone = [ask(graph, None, f"SELECT predict('m', {row})", trials=0)[0] for row in ("777, 1", "1, 777", "5, 6")]
    together = "SELECT predict('m', a, b) FROM (VALUES (777, 1), (1, 777), (5, 6)) t(a, b)"
    assert ask(graph, None, together, trials=0) == alone


USUAL = {
    "layers": "(float[n, 2] x) => (float[n, 2] y)"
    " <float[2, 3] w = {1, 2, 3, 4, 5, 6}, float[3, 2] v = {1, 2, 3, 4, 5, 6}, int64[1] one = {1}>"
    " { h = MatMul(x, w)  r = Relu(h)  z = Gemm(r, v)  s = ReduceSum(z, one)  q = Div(z, s)"
    "  y = Softmax<axis = 1>(q) }",
    "attention": "(float[n, t, 4] x) => (float[n, t, 4] y) <int64[4] heads = {0, 0, 2, 2}, int64[3] back = {0, 0, 4}>"
    " { r = Reshape(x, heads)  a = Transpose<perm = [0, 2, 1, 3]>(r)  b = Transpose<perm = [0, 2, 3, 1]>(r)"
    "  s = MatMul(a, b)  p = Softmax<axis = -1>(s)  o = MatMul(p, a)  u = Transpose<perm = [0, 2, 1, 3]>(o)"
    "  y = Reshape(u, back) }",
    "steps first": "(float[n, t, 2] x) => (float[n, t, 2] y) <int64 axis = {0}>"
    " { s = Transpose<perm = [1, 0, 2]>(x)  c = CumSum(s, axis)  y = Transpose<perm = [1, 0, 2]>(c) }",
    "rows and steps on one axis": "(float[n, t, 2] x) => (float[n, t] y) <int64[2] flat = {-1, 2}, int64[1] one = {1}>"
    " { r = Reshape(x, flat)  m = ReduceMax<keepdims = 0>(r, one)  s = Shape<start = 0, end = 2>(x)"
    "  y = Reshape(m, s) }",
    "convolution": "(float[n, 1, 4, 4] x) => (float[n, 2] y)"
    " <float[2, 1, 3, 3] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}>"
    " { c = Conv(x, w)  p = GlobalAveragePool(c)  y = Flatten(p) }",
    "each row beside what is known": "(float[n, 2] x) => (float[n, 3] y) <float[3, 2] known = {1, 2, 3, 4, 5, 6}>"
    " { same, y = Scan<num_scan_inputs = 1, body = b (float[3, 2] all, float[2] row)"
    " => (float[3, 2] kept, float[3] far) {"
    " kept = Identity(all)  d = Sub(all, row)  a = Abs(d)  one = Constant<value: tensor = int64[1] {1}>()"
    "  far = ReduceSum<keepdims = 0>(a, one) }>(known, x) }",
    "what is known beside all rows": "(float[n, 2] x) => (float[n, 5] y)"
    " <float[5, 2] known = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}>"
    " { same, d = Scan<num_scan_inputs = 1, body = b (float[k, 2] all, float[2] row)"
    " => (float[k, 2] kept, float[k] far) {"
    " kept = Identity(all)  d = Sub(all, row)  a = Abs(d)  one = Constant<value: tensor = int64[1] {1}>()"
    "  far = ReduceSum<keepdims = 0>(a, one) }>(x, known)  t = Transpose(d)  y = Softmax<axis = 1>(t) }",
    "sorted by length for a while": "(float[n, t, 2] x, int64[n] long) => (float[n, t, 3] y)"
    " <float[1, 9, 2] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9},"
    " float[1, 9, 3] r = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, int64[1] one = {1},"
    " int64 zero = {0}, int64 step = {1}>"
    " { n = Shape(long)  sorted, order = TopK(long, n)  s = Gather(x, order)  g = Transpose<perm = [1, 0, 2]>(s)"
    "  z, last = GRU<hidden_size = 3>(g, w, r)  q = Squeeze(z, one)  b = Transpose<perm = [1, 0, 2]>(q)"
    "  k = Squeeze(n)  places = Range(zero, k, step)  none = ConstantOfShape<value = int64[1] {0}>(n)"
    "  back = ScatterElements(none, order, places)  y = Gather(b, back) }",
}


@pytest.mark.parametrize("graph", USUAL.values(), ids=USUAL)
def test_what_takes_each_row_by_itself_goes_on_in_batches(graph, onnx_file, tmp_path):
    stored = sqlinfer.register("m", onnx_file(graph), registry=tmp_path / "models", trials=0)
    assert stored.manifest.signature.batch == Batch()


def test_what_is_written_here_is_run_on_many_rows_at_once(tmp_path):
    """It sums over all rows to refuse them, which says nothing of another row."""
    rows = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
    model = LogisticRegression(max_iter=1000).fit(rows, np.arange(40) > 20)
    assert sqlinfer.register("m", model, sample=rows, registry=tmp_path).manifest.signature.batch == Batch(multiple=4)


# ONNX Runtime computes these on registers of several numbers, and what remains at the end one by one.
ON_REGISTERS = {
    **{f"{op} of doubles": ("double", 3, f"y = {op}(x)") for op in ("Cos", "Exp", "Log", "Sigmoid", "Sin", "Tanh")},
    **{f"{op} of doubles": ("double", 3, f"y = {op}(x)") for op in ("LogSoftmax", "Mish", "Softmax")},
    **{f"{op} of floats": ("float", 3, f"y = {op}(x)") for op in ("Acos", "Asin", "Atan", "Cos", "Log", "Mish", "Sin")},
    "Softplus of floats": ("float", 3, "y = Softplus(x)"),
    "Softmax of doubles, of whole registers": ("double", 8, "y = Softmax(x)"),
    "ReduceSum of doubles": ("double", 7, "y = ReduceSum(x, last)"),
    "ReduceSum of doubles, of whole registers": ("double", 8, "y = ReduceSum(x, last)"),
    "ReduceSum of floats": ("float", 9, "z = Neg(x)  s = ReduceSum<keepdims = 0>(z, last)  y = Unsqueeze(s, last)"),
    "ReduceSum of floats, of which all is an answer": (
        "float",
        5,
        "other = Neg(x)  b = Constant<value_ints = [1]>()  s = ReduceSum(other, b)  y = Add(other, s)",
    ),
    "Einsum of floats": (
        "float",
        5,
        "w = Constant<value: tensor = float[5, 2] {0.1, 0.7, 1.3, 1.9, 2.3, 0.2, 0.4, 0.6, 0.8, 1.1}>()"
        '  y = Einsum<equation = "ij,jk->ik">(x, w)',
    ),
    "ReduceMean of floats": ("float", 6, "z = Neg(x)  y = ReduceMean(z, last)"),
    "ReduceMean of doubles": ("double", 5, "z = Neg(x)  m = ReduceMean<keepdims = 0>(z, last)  y = Unsqueeze(m, last)"),
}
# Rows of few, from a first one on; none twice.
PLACES = [(1, 0), (1, 1), (2, 5), (3, 8), (5, 13), (8, 21), (13, 33), (1, 50), (250, 101), (1, 777), (3, 899)]


def answers_alone_and_together(home, engine, call):
    """Of rows in company of few others by 'm', and of the same among all by 'same', which remembers no answer of the
    other. ``call``: with the number of a row as ``i``."""
    whole_call = call.replace("'m'", "'same'")
    with sqlinfer.connect(registry=home, engine=engine) as con:
        con.execute("SET threads = 1")
        whole = con.sql(f"SELECT {whole_call} FROM range(1001) t(i)").fetchall()
        parts = [con.sql(f"SELECT {call} FROM range({i}, {i + rows}) t(i)").fetchall() for rows, i in PLACES]
    return parts, [whole[first : first + rows] for rows, first in PLACES]


@pytest.mark.parametrize("kind", ON_REGISTERS)
def test_last_bits_of_graphs(kind, onnx_file, tmp_path):
    dtype, width, body = ON_REGISTERS[kind]
    graph = f"({dtype}[n, {width}] x) => ({dtype}[n, k] y) <int64[1] last = {{1}}> {{ {body} }}"
    for name in ("m", "same"):
        sqlinfer.register(name, onnx_file(graph, opset=18), registry=tmp_path / "models", trials=0)
    numbers = ", ".join(f"(hash(i, {k}) % 999_983 / 1e6)::{dtype}" for k in range(width))
    for engine in ENGINES:
        parts, wholes = answers_alone_and_together(tmp_path / "models", engine, f"predict('m', {numbers})")
        assert parts == wholes, engine


@pytest.mark.parametrize("how", ["ReduceMean", "ReduceSum"])
def test_last_bits_of_lists(how, onnx_file, tmp_path):
    """Of lengths that the graph does not know."""
    graph = f"(float[n, len] x) => (float[n] y) <int64[1] last = {{1}}> {{ y = {how}<keepdims = 0>(x, last) }}"
    for name in ("m", "same"):
        sqlinfer.register(name, onnx_file(graph, opset=18), registry=tmp_path / "models")
    numbers = "list_transform(range(1, 2 + i % 9), lambda k: (hash(i, k) % 999_983 / 1e6)::FLOAT)"
    for engine in ENGINES:
        parts, wholes = answers_alone_and_together(tmp_path / "models", engine, f"predict('m', {numbers})")
        assert parts == wholes, engine


ESTIMATORS = {
    "calibrated": CalibratedClassifierCV(LinearSVC()),
    "gradient boosting": GradientBoostingClassifier(n_estimators=5),
    "histograms": HistGradientBoostingClassifier(max_iter=5),
    "logistic regression": LogisticRegression(),
    "layers": MLPClassifier((5,), max_iter=20),
    "neighbours": KNeighborsRegressor(weights="distance"),
    "support vectors": SVR(),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_last_bits_of_estimators(kind, tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(200, 3)), columns=["a", "b", "c"])
    fitted = ESTIMATORS[kind].fit(rows, np.digitize(rows.sum(axis=1), [-1, 1]))
    for name in ("m", "same"):
        sqlinfer.register(name, fitted, sample=rows, registry=tmp_path / "models", trials=0)
    call = "predict_proba" if hasattr(fitted, "predict_proba") else "predict"
    numbers = ", ".join(f"hash(i, {k}) % 999_983 / 3e5 - 1.5" for k in range(3))
    for engine in ENGINES:
        parts, wholes = answers_alone_and_together(tmp_path / "models", engine, f"{call}('m', {numbers})")
        assert parts == wholes, engine
