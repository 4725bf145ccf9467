"""A model in Python: it predicts without SQL, and says what it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import sqlinfer
from sqlinfer.errors import MissingFeature, ModelNotFound


@pytest.fixture
def model(registry):
    return sqlinfer.load("iris", registry=registry)


def test_a_dataframe_gets_a_series_with_its_index(model, iris, estimators):
    rows = iris.sample(20, random_state=1)
    answers = model.predict(rows)
    assert isinstance(answers, pd.Series) and answers.index.equals(rows.index)
    assert answers.tolist() == estimators["iris"][0].predict(rows).tolist()


@pytest.mark.parametrize(
    "form", [pa.Table.from_pandas, pl.DataFrame, lambda f: f.to_numpy(), lambda f: f.to_dict("list")]
)
def test_other_forms_get_an_arrow_array(model, iris, form):
    answers = model.predict(form(iris))
    assert isinstance(answers, pa.Array)
    assert answers.to_pylist() == model.predict(iris).tolist()


def test_features_are_found_by_name(model, iris):
    shuffled = iris.rename(columns=str.upper)[["PW", "SL", "PL", "SW"]].assign(more=1)
    assert model.predict(shuffled).tolist() == model.predict(iris).tolist()
    with pytest.raises(MissingFeature, match="sw"):
        model.predict(iris.drop(columns="sw"))


def test_probabilities_and_outputs(model, iris, estimators, registry):
    proba = model.predict_proba(pa.Table.from_pandas(iris)).to_pylist(maps_as_pydicts="strict")
    np.testing.assert_allclose([list(p.values()) for p in proba], estimators["iris"][0].predict_proba(iris), atol=1e-6)
    assert set(model.infer(pa.Table.from_pandas(iris)).to_pylist()[0]) == {"label", "probabilities"}
    with pytest.raises(ModelNotFound, match="has no predict_proba"):
        sqlinfer.load("width", registry=registry).predict_proba(iris)


def test_no_rows(model, iris):
    assert model.predict(iris.head(0)).tolist() == []


def test_python_and_sql_say_the_same(registry, customers):
    model = sqlinfer.load("churn", registry=registry)
    with sqlinfer.connect(registry=registry) as con:
        rows = con.sql("SELECT predict('churn', c) FROM customers c").fetchall()
    assert model.predict(customers).tolist() == [value for (value,) in rows]


def test_what_it_is(registry):
    second = sqlinfer.load("iris/2", registry=registry)
    assert (second.name, second.version, second.aliases) == ("iris", 2, ["careful"])
    assert repr(second) == "<sqlinfer.Model iris/2 predict(sl DOUBLE, sw DOUBLE, pl DOUBLE, pw DOUBLE) → VARCHAR>"
    assert sqlinfer.load("IRIS@careful", registry=registry).version == 2


def test_what_is_shown_is_escaped(tmp_path, onnx_file):
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    shown = sqlinfer.register("m", file, features=["<b>x</b>"], registry=tmp_path / "models")._repr_html_()
    assert "<b>x</b>" not in shown and "&lt;b&gt;x&lt;/b&gt;" in shown


def test_classes_are_shown(model):
    assert "of &#x27;setosa&#x27;, &#x27;versicolor&#x27;, &#x27;virginica&#x27;" in model._repr_html_()


def test_promoting(tmp_path, onnx_file):
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    first, second = (sqlinfer.register("m", file, registry=tmp_path / "models") for _ in range(2))
    assert (first.aliases, second.aliases) == (["default"], [])
    assert second.alias("default") is second
    assert (first.aliases, second.aliases) == ([], ["default"])


@pytest.mark.parametrize(
    ("name", "call"), [("progress", "predict"), ("plane", "predict"), ("risk", "predict"), ("offer", "predict_proba")]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_python_answers_the_bits_of_sql(registry, estimators, engine, name, call, dtype):
    """More rows than DuckDB hands over at a time, of columns that are not the model's own type."""
    model, known = sqlinfer.load(name, registry=registry), estimators[name][1]
    random = np.random.default_rng(5)
    rows = pd.DataFrame({column: random.normal(1, 30, 5000).astype(dtype) for column in known.columns})
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        told = con.sql(f"SELECT {call}('{name}', rows) FROM rows").to_arrow_table().column(0).combine_chunks()
    own = getattr(model, call)(pa.Table.from_pandas(rows))
    assert own.cast(told.type).equals(told)


def test_so_it_does_where_onnx_runtime_adds_in_its_own_order(tmp_path, monkeypatch):
    monkeypatch.setattr("sqlinfer.runtime.session.EXTENSION_FILE", tmp_path / "nothing")
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(3000, 13)).astype(np.float32), columns=[f"x{i}" for i in range(13)])
    fitted = LinearRegression().fit(rows, rows @ random.normal(size=13).astype(np.float32))
    model = sqlinfer.register("m", fitted, sample=rows, registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models", engine="arrow") as con:
        told = con.sql("SELECT predict('m', rows) FROM rows").to_arrow_table().column(0).combine_chunks()
    assert model.predict(pa.Table.from_pandas(rows)).equals(told)


def test_one_row(registry, estimators, customers):
    model = sqlinfer.load("churn", registry=registry)
    for i in range(20):
        row = {name: None if value != value else value for name, value in customers.iloc[i].to_dict().items()}
        assert model.predict(row) == estimators["churn"][0].predict(customers.iloc[i : i + 1]).item()
    iris = sqlinfer.load("iris", registry=registry)
    row = {"PW": 0.2, "pl": 1.4, "sw": 3.5, "sl": np.float32(5.1), "more": "x"}
    assert iris.predict(row) == "setosa"
    assert list(iris.predict_proba(row)) == iris.classes and iris.predict_proba(row)["setosa"] > 0.9
    with pytest.raises(MissingFeature, match="pw"):
        iris.predict({"pl": 1.4, "sw": 3.5, "sl": 5.1})
    assert iris.predict({"sl": [5.1], "sw": [3.5], "pl": [1.4], "pw": [0.2]}).to_pylist() == ["setosa"]


def test_what_a_model_takes_and_chooses_from(registry):
    iris = sqlinfer.load("iris", registry=registry)
    assert list(iris.features) == ["sl", "sw", "pl", "pw"] and set(iris.features.values()) <= {"DOUBLE", "FLOAT"}
    assert iris.classes == ["setosa", "versicolor", "virginica"]
    assert sqlinfer.load("width", registry=registry).classes == []


def test_models(registry):
    found = sqlinfer.models(registry=registry)
    assert [(m.name, m.version) for m in found if m.name == "iris"] == [("iris", 1), ("iris", 2)]
    assert {m.name for m in found} == set(registry.names())
