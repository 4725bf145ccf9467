"""Models that are weighted sums answer what the model does, whether or not ONNX Runtime adds them up."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from sqlinfer.graphs.linear import formula_of
from tests.conftest import ENGINES, parse

RANDOM = np.random.default_rng(5)
W, B = RANDOM.normal(size=(6, 2)), RANDOM.normal(size=2)


def constants(name, values, dtype="float"):
    text = ", ".join(f"{float(np.float32(x))!r}" for x in np.ravel(values))
    return f"{dtype}[{', '.join(map(str, np.shape(values)))}] {name} = {{{text}}}"


SUMS = {
    "product": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}> {{ y = MatMul(x, w) }}",
    "sum": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}, {constants('b', B)}>"
    " { p = MatMul(x, w)  y = Add(p, b) }",
    "gemm": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}, {constants('b', B)}> {{ y = Gemm(x, w, b) }}",
    "turned": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W.T)}, {constants('b', B[:1])}>"
    " { y = Gemm<transB = 1>(x, w, b) }",
    "of doubles": f"(double[n, 6] x) => (double[n, 2] y) <{constants('w', W, 'double')}> {{ y = MatMul(x, w) }}",
}
# near to a sum, and none
OTHERS = {
    "scaled": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}, {constants('b', B)}>"
    " { y = Gemm<alpha = 2.0>(x, w, b) }",
    "added twice": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}, {constants('b', B)}>"
    " { p = MatMul(x, w)  q = Add(p, b)  y = Add(q, b) }",
    "cut off": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}> {{ p = MatMul(x, w)  y = Relu(p) }}",
    "of another": f"(float[n, 6] x) => (float[n, 2] y) <{constants('w', W)}> {{ p = Neg(x)  y = MatMul(p, w) }}",
    "by itself": "(float[n, 6] x) => (float[n, n] y) { t = Transpose(x)  y = MatMul(x, t) }",
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_known(name):
    formula = formula_of(parse(SUMS[name]).graph)
    np.testing.assert_allclose(formula.weights, W.T, rtol=1e-6)
    ends = {"sum": B, "gemm": B, "turned": B[[0, 0]]}.get(name, [0, 0])
    np.testing.assert_allclose(formula.intercepts, ends, rtol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_more_than_a_sum_is_left_to_onnx_runtime(name):
    assert formula_of(parse(OTHERS[name]).graph) is None


@pytest.mark.parametrize("name", SUMS)
def test_answers_are_those_of_onnx_runtime(name, engine, tmp_path):
    model = parse(SUMS[name])
    onnx.save(model, tmp_path / "sum.onnx")
    sqlinfer.register("sum", tmp_path / "sum.onnx", registry=tmp_path)
    rows = pd.DataFrame(RANDOM.normal(size=(5000, 6)).astype(np.float32), columns=[f"f{i}" for i in range(6)])
    rows.iloc[3, 2], rows.iloc[4, 1] = np.nan, np.inf
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": rows.to_numpy(np.float64 if "double" in name else np.float32)})
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register(
            "arrow", pa.table({name: column.to_numpy() for name, column in rows.items()})
        )  # in which NaN is no NULL
        con.execute("CREATE TABLE t AS SELECT row_number() OVER () AS id, * FROM arrow")
        answers = con.execute("SELECT predict('sum', t) FROM t ORDER BY id").fetchall()
        np.testing.assert_allclose([answer for (answer,) in answers], expected, rtol=1e-4, atol=1e-5)
        few = con.execute("SELECT infer('sum', t).y FROM t WHERE id % 7 = 1 ORDER BY id").fetchall()
        np.testing.assert_allclose([answer for (answer,) in few], expected[::7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("targets", [1, 2])
def test_columns_of_any_type(targets, dtype, engine, tmp_path):
    sample = pd.DataFrame(RANDOM.integers(-50, 50, size=(300, 4)).astype(dtype), columns=list("abcd"))
    target = sample.to_numpy() @ RANDOM.normal(size=(4, targets)) + 3
    model = LinearRegression().fit(sample, target if targets > 1 else target.ravel())
    sqlinfer.register("m", model, sample=sample, registry=tmp_path)
    expected = model.predict(sample)
    typed = "a::TINYINT AS a, b::DECIMAL(9, 3) AS b, c::HUGEINT AS c, d::DOUBLE AS d"
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        for columns in ("a, b, c, d", typed):
            con.execute(f"CREATE OR REPLACE TABLE t AS SELECT row_number() OVER () AS id, {columns} FROM sample")
            answers = con.execute("SELECT predict('m', t) FROM t ORDER BY id").fetchall()
            np.testing.assert_allclose([answer for (answer,) in answers], expected, rtol=1e-4, atol=1e-5)
        con.execute("UPDATE t SET b = NULL WHERE id % 3 = 0")
        answers = con.execute("SELECT predict('m', a, b, c, d) FROM t ORDER BY id").fetchall()
        assert [answer is None for (answer,) in answers] == [i % 3 == 2 for i in range(300)]
        kept = [i for i in range(300) if i % 3 != 2]
        np.testing.assert_allclose([answers[i][0] for i in kept], expected[kept], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_only_sums_are_written_as_sums(tmp_path, iris, species):
    sqlinfer.register("sums", LinearRegression().fit(iris, iris["pl"] * 2), sample=iris, registry=tmp_path)
    sqlinfer.register("classes", LogisticRegression(max_iter=500).fit(iris, species), sample=iris, registry=tmp_path)
    registry = sqlinfer.Registry(tmp_path)
    assert registry.get("classes").manifest.formula is None
    formula = registry.get("sums").manifest.formula
    np.testing.assert_allclose(formula.weights, [[0, 0, 2, 0]], atol=1e-9)


def test_both_engines_answer_bit_by_bit_the_same(tmp_path):
    if len(ENGINES) < 2:
        pytest.skip("the native extension is not built")
    sample = pd.DataFrame(RANDOM.normal(size=(4000, 11)).astype(np.float32)).rename(columns="f{}".format)
    model = LinearRegression().fit(sample, RANDOM.normal(size=4000))
    sqlinfer.register("m", model, sample=sample, registry=tmp_path)
    answers = []
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            answers.append(con.execute("SELECT predict('m', s) FROM sample s").fetchall())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", SUMS)
def test_no_answer_depends_on_the_way_its_row_goes(name, engine, tmp_path):
    onnx.save(parse(SUMS[name]), tmp_path / "sum.onnx")
    sqlinfer.register("sum", tmp_path / "sum.onnx", registry=tmp_path)
    names = [f"f{i}" for i in range(6)]
    rows = pa.table({name: RANDOM.normal(size=3000).astype(np.float32) for name in names})
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register("arrow", rows)
        con.execute("CREATE TABLE t AS SELECT row_number() OVER () AS id, * FROM arrow")
        answers = con.execute("SELECT predict('sum', t) FROM t ORDER BY id").fetchall()
        lists = con.execute(f"SELECT predict('sum', [{', '.join(names)}]) FROM t ORDER BY id").fetchall()
        assert lists == answers
        con.execute("UPDATE t SET f2 = NULL WHERE id % 5 = 0")
        beside = con.execute("SELECT predict('sum', t) FROM t ORDER BY id").fetchall()
        assert beside == [answer if i % 5 != 4 else (None,) for i, answer in enumerate(answers)]
        alone = [con.execute("SELECT predict('sum', t) FROM t WHERE id = ?", [i + 1]).fetchone() for i in range(4)]
        assert alone == answers[:4]
