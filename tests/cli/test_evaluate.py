"""sqlinfer evaluate: the numbers, the confusion matrix, and the picture."""

from __future__ import annotations

import json
import sys

import duckdb
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from tests.engines import native_problem

pytestmark = pytest.mark.skipif(native_problem() is not None, reason="the aggregates are the native extension's")


@pytest.fixture
def rows(tmp_path, home, monkeypatch):
    frame = pd.DataFrame({"age": range(20), "region": ["east", "west"] * 10})
    frame["churned"] = ["no", "yes", "no", "no"] * 2 + ["yes", "no", "yes", "yes"] * 3
    frame["spent"] = frame.age * 2.0 + frame.age % 3
    sample = frame[["age", "churned"]]
    sqlinfer.register(
        "churn", LogisticRegression().fit(frame[["age"]], frame.churned), sample=sample, target="churned", registry=home
    )
    sqlinfer.register(
        "spent", LinearRegression().fit(frame[["age"]], frame.spent), sample=frame[["age"]], registry=home
    )
    monkeypatch.chdir(tmp_path)
    frame.to_parquet("rows.parquet")
    frame.to_csv("rows.csv", index=False)
    return frame


def test_a_table(run, rows):
    result = run("evaluate", "churn", "rows.parquet", "-f", "table")
    assert result.stderr.startswith("churn/1 on 20 rows, target churned\n")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["metric", "value"] and lines[2].split() == ["row_count", "20"]
    assert "actual  predicted no  predicted yes" in result.stdout


def test_json_is_what_python_gives(run, rows, home):
    printed = json.loads(run("evaluate", "churn", "rows.csv", "--by", "region", "--positive", "yes").stdout)
    assert printed == sqlinfer.evaluate("churn", rows, by="region", positive="yes", registry=home).to_dict()
    assert [group["region"] for group in printed["groups"]] == ["east", "west"]
    assert sum(cell["count"] for cell in printed["confusion_matrix"]) == 20


def test_what_is_no_number_is_null(run, rows):
    one_class = "SELECT * FROM 'rows.parquet' WHERE churned = 'no'"
    assert json.loads(run("evaluate", "churn", one_class).stdout)["roc_auc_score"] is None


def test_rows_for_spreadsheets(run, rows):
    lines = run("evaluate", "spent", "rows.parquet", "--target", "spent", "--by", "region", "-f", "csv").stdout
    head, east = lines.splitlines()[:2]
    assert head.startswith("region,row_count,mean_absolute_error") and east.startswith("east,10,")
    assert run("evaluate", "churn", "rows.parquet", "-f", "markdown").stdout.startswith("| metric ")
    assert json.loads(run("evaluate", "churn", "rows.parquet", "-f", "jsonl").stdout)["row_count"] == 20


def test_files_tables_and_queries(run, rows):
    with duckdb.connect("shop.duckdb") as con:
        con.execute("CREATE TABLE customers AS FROM 'rows.parquet'")

    def count(*words):
        return json.loads(run("evaluate", "churn", *words).stdout)["row_count"]

    assert count("rows.parquet", "*.parquet") == 40
    assert count("*.parquet") == 20
    assert count("customers", "--db", "shop.duckdb") == 20
    assert count("FROM customers WHERE age < 7", "--db", "shop.duckdb") == 7


def test_a_picture(run, rows):
    result = run("evaluate", "churn", "rows.parquet", "--plot", "churn.png")
    assert "→ churn.png" in result.stderr
    assert open("churn.png", "rb").read(4) == b"\x89PNG"  # noqa: PTH123, SIM115


WRONG = [
    (["chrun", "rows.parquet"], 1, "did you mean 'churn'"),
    (["churn", "gone.parquet"], 1, "gone.parquet"),
    (["churn", "damaged.parquet"], 1, "damaged.parquet"),
    (["churn", "rows.parquet", "--target", "left"], 1, "columns: age, region, churned, spent"),
    (
        ["churn", "rows.parquet", "--target", "age"],
        1,
        "'age' is BIGINT, and model 'churn' answers the classes 'no', 'yes'",
    ),
    (["churn", "rows.parquet", "--positive", "ja"], 1, "classes: no, yes"),
    (["churn", "FROM 'rows.parquet' WHERE age > 100"], 1, "no rows"),
    (["spent", "rows.parquet"], 1, "--target COLUMN\n"),
    (["churn", "rows.parquet", "--db", "gone.duckdb"], 1, "there is no database gone.duckdb"),
    (["churn", "rows.parquet", "--plot", "churn.bmp"], 2, "ends in .png, .svg or .pdf"),
    (["churn", "rows.parquet", "--plot", "gone/churn.png"], 1, "there is no folder"),
    (["churn"], 2, "Missing argument 'DATA"),
]


@pytest.mark.parametrize(("words", "code", "message"), WRONG)
def test_what_is_asked_wrongly(run, rows, tmp_path, words, code, message):
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and nothing else")
    result = run("evaluate", *words, code=code)
    assert message in result.stderr and result.stdout == ""
    assert not (tmp_path / "gone.duckdb").exists()


def test_no_table_is_a_variable_of_the_program(run, rows):
    assert "no table or file 'data'" in run("evaluate", "churn", "data", code=1).stderr


def test_without_matplotlib(run, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "sqlinfer[plot]" in run("evaluate", "churn", "rows.parquet", "--plot", "x.png", code=1).stderr
