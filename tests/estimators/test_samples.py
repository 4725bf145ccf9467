"""The sample names and types the features; what the model says of its features itself goes before it."""

from __future__ import annotations

import datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder

import sqlinfer
from sqlinfer.engines.files import rows_of
from sqlinfer.errors import ConversionFailed, FeatureError
from sqlinfer.types import sql_name

RANDOM = np.random.default_rng(3)
X = pd.DataFrame({"a": RANDOM.normal(size=400), "b": RANDOM.normal(size=400)})
Y = (X["a"] > 0).astype(int)
BOOSTED: list[Any] = [xgboost.XGBClassifier(n_estimators=5), LGBMClassifier(n_estimators=5, verbose=-1)]
MODELS = {
    "logistic": lambda: LogisticRegression().fit(X, Y),
    "xgboost": lambda: BOOSTED[0].fit(X, Y),
    "booster": lambda: BOOSTED[0].fit(X, Y).get_booster(),
    "lightgbm": lambda: BOOSTED[1].fit(X, Y),
    "lightgbm booster": lambda: BOOSTED[1].fit(X, Y).booster_,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_models_own_order_and_nothing_beside_it(name, engine, tmp_path):
    sample = X[["b", "a"]].assign(target=Y, note="x")
    stored = sqlinfer.register("m", MODELS[name](), sample=sample, registry=tmp_path)
    assert stored.manifest.signature.feature_names == ["a", "b"]
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = [answer for (answer,) in con.execute("SELECT predict('m', s) FROM sample s").fetchall()]
        assert np.mean(np.array(answers) == Y) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("model", [*BOOSTED, HistGradientBoostingClassifier(max_iter=5)])
def test_no_row_without_a_gap(model, engine, tmp_path):
    sample = X.copy()
    sample.loc[::2, "a"], sample.loc[1::2, "b"] = np.nan, np.nan
    sqlinfer.register("m", model.fit(sample, Y), sample=sample, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = con.execute("SELECT predict('m', s) FROM sample s").fetchall()
        assert [answer for (answer,) in answers] == model.predict(sample).tolist()


@pytest.mark.parametrize("sample", [X[["a"]], X.rename(columns=str.upper), X.head(0)])
@pytest.mark.parametrize("name", ["logistic", "xgboost"])
def test_a_sample_that_does_not_fit_is_one_clear_error(name, sample, tmp_path):
    with pytest.raises(ConversionFailed, match=r"does not take the sample rows|has no rows"):
        sqlinfer.register("m", MODELS[name](), sample=sample, registry=tmp_path)


def test_labels_of_its_own(tmp_path):
    model = LogisticRegression().fit(X, np.where(Y, "yes", "no"))
    with pytest.raises(ConversionFailed, match="labels of its own: no, yes"):
        sqlinfer.register("m", model, sample=X, labels=["a", "b"], registry=tmp_path)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.parquet", "x.json", "x.jsonl", "x.csv.gz", "x.dat"])
def test_a_file_is_read_as_duckdb_reads_it(tmp_path, name):
    """A zero before a number, a semicolon and a byte of truth are to a sample what they are to FROM."""
    rows = "SELECT i::BIGINT AS n, i / 3 AS x, '0' || i AS code, i % 2 = 0 AS even FROM range(1, 40) t(i)"
    how = {"x.csv": "csv, DELIM ';'", "x.tsv": "csv, DELIM '\t'", "x.json": "json, ARRAY true", "x.jsonl": "json"}
    form = how.get(name, "parquet" if name == "x.parquet" else "csv, HEADER")
    path = tmp_path / name
    duckdb.execute(f"COPY ({rows}) TO '{path}' (FORMAT {form})")
    described = duckdb.sql(f"DESCRIBE FROM {reader(path)}").fetchall()
    types = {column: kind for column, kind, *_ in described}
    sample = rows_of(path)
    assert {field.name: sql_name(field.type) for field in sample.schema} == types


def reader(path):
    return f"read_csv('{path}')" if path.suffix == ".dat" else f"'{path}'"


def test_all_columns_that_no_feature_can_be_are_named(tmp_path):
    rows = pa.table({"a": [1.0], "day": [datetime.date(2024, 1, 2)], "at": [datetime.time(3)]})
    with pytest.raises(FeatureError, match=r"'day' is DATE, 'at' is TIME.*leave them out"):
        sqlinfer.register("m", LinearRegression().fit([[1.0]], [1]), sample=rows, registry=tmp_path)


def test_a_sample_in_which_a_text_is_always_missing(tmp_path, engine):
    """What the model makes of it is none of the encoder's unseen categories."""
    frame = pd.DataFrame({"code": ["A", "B", "A", np.nan] * 30, "z": RANDOM.normal(size=120)})
    steps = make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder())
    model = make_pipeline(make_column_transformer((steps, ["code"]), remainder="passthrough"), LinearRegression())
    model.fit(frame, frame["z"] + (frame["code"] == "B"))
    sample = pa.table({"code": pa.nulls(5, pa.string()), "z": frame["z"][:5]})
    sqlinfer.register("m", model, sample=sample, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = con.execute("SELECT predict('m', f) FROM frame f").fetchall()
    np.testing.assert_allclose(np.ravel(given), model.predict(frame))


@pytest.mark.parametrize("booster", [xgboost.XGBRegressor(n_estimators=5), LGBMRegressor(n_estimators=5, verbose=-1)])
def test_booleans_of_pandas_that_may_be_missing(tmp_path, engine, booster):
    frame = pd.DataFrame({"is_new": pd.array([True, False, None, False] * 50, "boolean"), "z": X["a"][:200]})
    target = frame["z"] + frame["is_new"].astype(float).fillna(4)
    model = booster.fit(frame, target)
    sqlinfer.register("m", model, sample=frame.head(8), registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register("given", pa.table(frame))
        answers = con.execute("SELECT predict('m', g) FROM given g").fetchall()
    np.testing.assert_allclose(np.ravel(answers), model.predict(frame), atol=1e-5)


def test_what_the_model_has_against_the_sample_is_told_in_its_own_words(tmp_path):
    frame = pd.DataFrame({"town": ["Bern", "Chur"] * 20, "z": RANDOM.normal(size=40)})
    model = make_pipeline(make_column_transformer((OrdinalEncoder(), ["town"]), remainder="passthrough"), Ridge())
    model.fit(frame, frame["z"])
    with pytest.raises(ConversionFailed, match=r"does not take the sample rows: Found unknown categories \['Rom'\]"):
        sqlinfer.register("m", model, sample=frame.replace("Chur", "Rom"), registry=tmp_path)


def test_bins_of_singles_are_found_in_singles(tmp_path, engine):
    edges = np.linspace(0, 1, 6)
    rows = np.sort(np.concatenate([edges, np.nextafter(edges, 2), np.nextafter(edges, -1)]))[:, None]
    model = make_pipeline(KBinsDiscretizer(5, encode="ordinal", strategy="uniform", dtype=np.float32), Ridge())
    model.fit(edges[:, None], edges)
    sqlinfer.register("m", model, sample=rows, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = con.execute("SELECT predict('m', unnest) FROM unnest($1::DOUBLE[])", [rows.ravel().tolist()]).fetchall()
    np.testing.assert_allclose(np.ravel(given), model.predict(rows))
