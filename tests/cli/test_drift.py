"""sqlinfer drift: how other new rows are than the sample, for people and for jobs."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer
from tests.engines import native_problem

pytestmark = pytest.mark.skipif(native_problem() is not None, reason="the aggregates are the native extension's")


@pytest.fixture
def rows(tmp_path, home, monkeypatch):
    frame = pd.DataFrame({"age": range(100), "city": ["Bern", "Basel"] * 50})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, frame.age > 40)
    sqlinfer.register("churn", model, sample=frame, registry=home)
    sqlinfer.register("bare", model, sample=frame, registry=home, profile=False)
    monkeypatch.chdir(tmp_path)
    frame.to_parquet("same.parquet")
    frame.assign(city="Chur").to_parquet("moved.parquet")
    return frame


def test_rows_as_in_the_sample(run, rows):
    result = run("drift", "churn", "same.parquet")
    found = json.loads(result.stdout)
    assert [(one["feature"], one["is_anomaly"], one["value"]) for one in found] == [
        ("age", False, 0.0),
        ("city", False, 0.0),
    ]
    assert result.stderr == ""


def test_other_rows_are_an_exit_code(run, rows):
    result = run("drift", "churn", "moved.parquet", code=3)
    age, city = json.loads(result.stdout)
    assert not age["is_anomaly"] and city["is_anomaly"] and city["value"] > city["threshold"]
    assert city["new_categories"] == ["Chur"]
    assert result.stderr == "anomalous: city\n"


def test_formats(run, rows):
    head, age, city = csv.reader(io.StringIO(run("drift", "churn", "moved.parquet", "-f", "csv", code=3).stdout))
    assert head[:2] == ["feature", "metric"] and (age[4], city[4], city[6]) == ("false", "true", "Chur")
    assert run("drift", "churn", "same.parquet", "-f", "table").stdout.splitlines()[0].split()[0] == "feature"


WRONG = [
    (["churm", "same.parquet"], "did you mean 'churn'"),
    (["bare", "same.parquet"], "without statistics of its sample"),
    (["churn", "gone.parquet"], "gone.parquet"),
    (["churn", "FROM 'same.parquet' WHERE age > 1000"], "no rows to compare"),
    (["churn", "SELECT age FROM 'same.parquet'"], "needs the feature city"),
    (["churn", "FROM 'same.parquet' WHERE agee > 3"], '"agee" not found'),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_what_is_asked_wrongly(run, rows, words, message):
    result = run("drift", *words, code=1)
    assert message in result.stderr and result.stdout == "" and "sqlinfer_rows" not in result.stderr
