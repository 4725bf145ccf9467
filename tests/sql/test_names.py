"""What has a name is found by it: the columns of a sample, of a frame and of a table, in whatever order they stand."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet
import pytest
import xgboost
from lightgbm import LGBMRegressor
from sklearn.linear_model import LinearRegression
from tokenizers import Tokenizer, models, pre_tokenizers

import sqlinfer
from sqlinfer.errors import ConversionFailed, FeatureError, UnknownFeature

TWO_INPUTS = "(float[n, 1] age, float[n, 1] income) => (float[n, 1] y) <float[1] ten = {10}>"
TWO_INPUTS += " { t = Mul(age, ten)  y = Add(t, income) }"
MATRIX = "(float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {10, 1}> { y = MatMul(x, w) }"
BESIDE = "(float[n, 2] x, float[n, 1] age) => (float[n, 1] y) <float[2, 1] w = {10, 1}, float[1] c = {100}>"
BESIDE += " { t = MatMul(x, w)  u = Mul(age, c)  y = Add(t, u) }"
LISTS = "(float[n, 2] a, float[n, 2] b) => (float[n, 2] y) <float[1] ten = {10}> { t = Mul(a, ten)  y = Add(t, b) }"
ROWS = pd.DataFrame({"age": [1, 2, 3], "income": [5.0, 6.0, 7.0]}, dtype=np.float32)
TURNED = ROWS[["income", "age"]]
RIGHT = [15, 26, 37]


@pytest.fixture
def asked(onnx_file, tmp_path, engine):
    """``asked(graph, sample, …)``: what predict('m', r) answers for the rows of ROWS; the feature names."""

    def ask(graph, sample, *, rows=ROWS, call="predict('m', r)", metadata=None, **options):
        file = onnx_file(graph)
        if metadata:
            model = onnx.load(file)
            model.metadata_props.add(key="feature_names", value=json.dumps(metadata))
            onnx.save(model, file)
        stored = sqlinfer.register("m", file, sample=sample, registry=tmp_path / "models", promote=True, **options)
        with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
            con.register("r", rows)
            answers = [answer for (answer,) in con.execute(f"SELECT {call} FROM r").fetchall()]
        return answers, stored.manifest.signature.feature_names

    return ask


def samples(tmp_path):
    TURNED.to_csv(tmp_path / "s.csv", index=False)
    pa.parquet.write_table(pa.Table.from_pandas(TURNED.set_index("income").reset_index()), tmp_path / "s.parquet")
    yield from (ROWS, TURNED, TURNED.assign(target=1.0), TURNED.rename(columns=str.upper))
    yield from (polars.from_pandas(TURNED), pa.Table.from_pandas(TURNED), TURNED.to_dict("records"))
    yield from (dict(TURNED), tmp_path / "s.csv", tmp_path / "s.parquet")


@pytest.mark.slow
def test_a_sample_is_read_by_the_names_of_the_file(asked, tmp_path):
    for sample in samples(tmp_path):
        for graph, metadata in ((TWO_INPUTS, None), (MATRIX, ["age", "income"])):
            assert asked(graph, sample, metadata=metadata) == (RIGHT, ["age", "income"])


def test_names_that_a_file_lacks_are_those_of_the_sample_in_its_order(asked):
    assert asked(MATRIX, ROWS) == (RIGHT, ["age", "income"])
    assert asked(MATRIX, TURNED) == ([51, 62, 73], ["income", "age"])
    assert asked(MATRIX, ROWS.to_numpy(), call="predict('m', age, income)") == (RIGHT, ["f0", "f1"])
    assert asked(MATRIX, TURNED.rename(columns={"income": "f1", "age": "f0"}), call="predict('m', age, income)") == (
        RIGHT,
        ["f0", "f1"],
    )
    one = "(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"
    assert asked(one, ROWS[["income"]]) == ([-5, -6, -7], ["income"])
    assert asked(one, TURNED.rename(columns={"age": "X"}), call="predict('m', r.income)") == ([-5, -6, -7], ["x"])


def test_a_matrix_beside_an_input_of_its_own_name(asked):
    rows = ROWS.assign(a=[1.0, 0, 0], b=[0.0, 1, 0])
    for columns in (["a", "b", "age"], ["age", "a", "b"], ["a", "age", "b"]):
        answers, names = asked(BESIDE, rows[columns], rows=rows)
        assert (answers, names) == ([110, 201, 300], ["a", "b", "age"])


def test_lists_are_found_by_the_names_of_their_inputs(asked):
    rows = pa.table({"b": [[1.0, 2.0]], "a": [[3.0, 4.0]], "more": [1]})
    for sample in (rows, rows.select(["a", "b"])):
        assert asked(LISTS, sample, rows=rows) == ([(31, 42)], ["a", "b"])


def test_names_by_their_user(asked):
    """They choose the columns of a sample that has them, and name those of one that has others."""
    assert asked(MATRIX, TURNED.assign(more=1), features=["age", "income"]) == (RIGHT, ["age", "income"])
    assert asked(MATRIX, TURNED, features=["AGE", "Income"]) == (RIGHT, ["AGE", "Income"])
    renamed = asked(MATRIX, ROWS, features=["p", "q"], call="predict('m', q := income, p := age)")
    assert renamed == (RIGHT, ["p", "q"])


@pytest.mark.parametrize(
    ("sample", "features", "message"),
    [
        (TURNED, ["income", "age"], r"call feature 1 'income', which the file calls 'age'"),
        (None, ["income", "age"], r"'income' is feature 2 there: name them in the file's order, age, income"),
        (TURNED, ["p", "q"], r"call feature 1 'income'"),
        (None, ["income", "q"], r"call feature 1 'income'"),
        (
            ROWS.rename(columns={"age": "years"}),
            None,
            r"the sample has no column 'age': years, income; name",
        ),
        (ROWS.rename(columns={"age": "years", "income": "pay"}), None, r"the sample has no column 'age'"),
        (ROWS[["age"]], None, r"the sample has no column 'income'"),
        (ROWS, ["age", "pay"], r"the sample has no column 'pay' for the feature of that name; it has age, income"),
        (ROWS.assign(AGE=1.0), None, r"several columns may be the feature 'age', as SQL ignores case: 'age', 'AGE'"),
    ],
)
def test_names_that_do_not_fit_are_refused(asked, sample, features, message):
    with pytest.raises(FeatureError, match=message):
        asked(TWO_INPUTS, sample, features=features)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (ROWS.assign(more=1.0), r"takes 2 features, f0, f1, and the sample has 3 columns: age, income, more; name the"),
        (ROWS[["age"]], r"the sample has 1 columns"),
        (pa.table({"a": [[1.0]], "b": [[2.0]]}), r"the sample has 2 columns: a, b"),
    ],
)
def test_columns_that_do_not_come_out_even_are_refused(asked, sample, message):
    with pytest.raises(FeatureError, match=message):
        asked(MATRIX, sample)


def test_a_text_is_the_column_of_texts(asked, tmp_path):
    words = Tokenizer(models.WordLevel({"?": 0, "one": 1, "two": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    graph = "(int64[n, t] input_ids, float[n, 1] price, float[n, 1] tax) => (float[n, 1] y) <int64[1] axis = {1}>"
    graph += " { s = ReduceSum<keepdims=1>(input_ids, axis)  f = Cast<to=1>(s)  p = Mul(f, price)  y = Sub(p, tax) }"
    rows = pd.DataFrame({"tax": [1.0, 2.0], "id": [8, 9], "review": ["one two", "two"], "price": [10.0, 20.0]})
    options = {"tokenizer": tmp_path / "words.json", "pool": "none"}
    for sample in (rows, rows[["price", "review", "tax"]], rows.drop(columns="id")):
        assert asked(graph, sample, rows=rows, **options) == ([29, 38], ["review", "price", "tax"])
    two = rows.assign(title="one")
    with pytest.raises(FeatureError, match="name the columns that it takes"):
        asked(graph, two, **options)
    chosen = asked(graph, two, rows=rows, features=["review", "price", "tax"], **options)
    assert chosen == ([29, 38], ["review", "price", "tax"])


X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
BOOSTED = {
    "lightgbm": LGBMRegressor(n_estimators=5, verbose=-1).fit(X, X.a * 2 - X.b),
    "booster": LGBMRegressor(n_estimators=5, verbose=-1).fit(X, X.a * 2 - X.b).booster_,
    "xgboost": xgboost.XGBRegressor(n_estimators=5).fit(X, X.a * 2 - X.b).get_booster(),
}


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize(
    ("sample", "features"),
    [
        (X.rename(columns=str.upper), None),
        (X.rename(columns={"b": "c"}), None),
        (X, ["b", "a"]),
        (X[["b", "a"]], ["p", "q"]),
        (X.to_numpy(), ["b", "a"]),
    ],
)
def test_a_booster_is_not_given_other_columns_than_it_was_trained_on(name, sample, features, tmp_path):
    with pytest.raises(ConversionFailed, match=r"does not take the sample rows: .*it was trained on a, b"):
        sqlinfer.register("m", BOOSTED[name], sample=sample, features=features, registry=tmp_path)


def test_lightgbm_has_underscores_for_spaces(tmp_path, engine):
    rows = X.rename(columns={"a": "my a"})
    model = LGBMRegressor(n_estimators=5, verbose=-1).fit(rows, X.a)
    stored = sqlinfer.register("m", model, sample=rows[["b", "my a"]], registry=tmp_path)
    assert stored.manifest.signature.feature_names == ["my a", "b"]
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = [answer for (answer,) in con.execute("SELECT predict('m', rows) FROM rows").fetchall()]
    np.testing.assert_allclose(answers, model.predict(rows), rtol=1e-6)


def test_an_estimator_without_names_takes_those_of_its_user_in_order(tmp_path, engine):
    model = LinearRegression().fit(X.to_numpy(), X.a * 2 - X.b)
    sqlinfer.register("m", model, sample=X[["b", "a"]], features=["a", "b"], registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = [answer for (answer,) in con.execute("SELECT predict('m', b := b, a := a) FROM X").fetchall()]
    np.testing.assert_allclose(answers, X.a * 2 - X.b, atol=1e-9)


def test_a_frame_is_read_by_name(onnx_file, tmp_path):
    model = sqlinfer.register("m", onnx_file(TWO_INPUTS), registry=tmp_path / "models")
    assert model.predict(TURNED.rename(columns=str.upper)).tolist() == RIGHT
    with pytest.raises(UnknownFeature, match="several columns may be the feature 'age'"):
        model.predict(TURNED.assign(Age=1.0))
