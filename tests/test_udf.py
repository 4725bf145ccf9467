"""sqlinfer.udf(): a version of a model as a function, here and where its pickle arrives."""

from __future__ import annotations

import base64
import functools
import pickle
import shutil
import subprocess
import sys

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import sqlinfer
from sqlinfer.errors import CallError, FeatureCount, FeatureError, MissingFeature, ModelNotFound

CALLS = [("predict", None), ("predict_proba", None), ("predict_proba", True), ("infer", None)]


@pytest.fixture
def rows(customers) -> pa.Table:
    return pa.Table.from_pandas(customers, preserve_index=False)


@pytest.fixture
def mine(registry, tmp_path):
    """A copy of the registry, with two versions of iris."""
    home = tmp_path / "mine"
    shutil.copytree(registry.home / "models" / "iris", home / "models" / "iris")
    return sqlinfer.Registry(home)


@pytest.mark.parametrize(("call", "class_"), CALLS)
def test_any_form_of_rows_gets_the_answers_of_sql(registry, rows, customers, call, class_):
    with sqlinfer.connect(registry=registry) as con:
        answer = f"{call}('churn', r)" if class_ is None else f"predict_proba('churn', r)[{class_}]"
        expected = con.sql(f"SELECT {answer} AS a FROM rows r").to_arrow_table()["a"].to_pylist()
    churn = sqlinfer.udf("churn", call=call, class_=class_, registry=registry)
    frame = pl.from_arrow(rows)
    odd = rows.select(["city", "visits", "income", "age"]).rename_columns(["CITY", "Visits", "income", "age"])
    columns = [rows[name] for name in churn.takes.names]
    given = {
        "table": [rows],
        "other order": [odd.append_column("more", rows[0])],
        "batch": [rows.combine_chunks().to_batches()[0]],
        "structs": [rows.to_struct_array()],
        "one array of structs": [rows.to_struct_array().combine_chunks()],
        "columns": columns,
        "arrays": [column.combine_chunks() for column in columns],
        "dict": [{name: rows[name] for name in rows.column_names}],
        "chunks": [pa.concat_tables([rows.slice(0, 5), rows.slice(5)])],
    }
    for form, arguments in given.items():
        answers = churn(*arguments)
        assert answers.type == churn.gives and answers.to_pylist() == expected, form
    told = pl.Series(pa.array([], churn.gives)).dtype
    as_series = frame.select(pl.struct(pl.all()).map_batches(churn, return_dtype=told)).to_series().to_arrow()
    of_frame, of_columns = churn(frame), churn(*(frame[name] for name in churn.takes.names))
    assert isinstance(of_frame, pl.Series) and of_frame.name == f"{call}_churn"
    for series in (as_series, of_frame.to_arrow(), of_columns.to_arrow()):
        assert str(series.to_pylist()) == str(pl.Series(pa.array(expected, churn.gives)).to_arrow().to_pylist())
    of_pandas = churn(customers.set_index(customers.index + 7))
    assert list(of_pandas.index[:2]) == [7, 8] and of_pandas.name == f"{call}_churn"
    assert str(of_pandas[9]) == str(pa.array(expected, churn.gives).to_pandas()[2])
    assert len(churn(rows.slice(0, 0))) == 0


def test_what_it_says_of_itself(registry, rows):
    churn = sqlinfer.udf("CHURN", registry=registry)
    assert churn.takes.names == ["age", "income", "visits", "city"] and churn.takes.field("city").type == pa.string()
    assert churn.gives == pa.bool_() and (churn.model, churn.__name__) == ("churn/1", "predict_churn")
    assert churn.sha256 == registry.get("churn").manifest.sha256
    assert sqlinfer.udf("churn", call="predict_proba", class_="true", registry=registry).gives == pa.float64()

    @functools.wraps(churn)  # as engines do, which then pickle what they have wrapped
    def wrapped(*columns):
        return churn(*columns)

    assert cloudpickle.loads(cloudpickle.dumps(wrapped))(rows).equals(churn(rows))


def test_what_is_given_wrongly(registry, rows):
    churn = sqlinfer.udf("churn", registry=registry)
    age = rows["age"]
    for arguments, kind, message in [
        ([], FeatureCount, "takes 4 features, 0 given"),
        ([age, age], FeatureCount, "takes 4 features, 2 given"),
        ([age, age, age, rows["city"].slice(3)], FeatureCount, "the columns have 2997 and 3000 rows"),
        ([rows.drop_columns(["city"])], MissingFeature, "city"),
        ([rows.set_column(0, "age", rows["city"])], FeatureError, "'age' is DOUBLE, but the argument is VARCHAR"),
        ([1.0, age, age, age], FeatureError, "a float is neither rows nor a column"),
        ([[2**70], age, age, age], FeatureError, "a list is neither rows nor a column"),
        ([np.zeros((3, 4))], FeatureError, "a ndarray is neither rows nor a column"),
        ([rows.to_pandas()] * 4, FeatureError, "a DataFrame is neither rows nor a column"),
        ([{"age": [1.0], "income": [1.0, 2.0]}], FeatureError, "a dict is neither rows nor a column"),
    ]:
        with pytest.raises(kind, match=message):
            churn(*arguments)
    with pytest.raises(ModelNotFound, match="no predict_proba"):
        sqlinfer.udf("progress", call="predict_proba", registry=registry)
    with pytest.raises(CallError, match="no class 'maybe'; classes: false, true"):
        sqlinfer.udf("churn", call="predict_proba", class_="maybe", registry=registry)
    with pytest.raises(CallError, match=r"a class is for predict_proba\(\)"):
        sqlinfer.udf("churn", class_=True, registry=registry)


def test_whole_labels_stay_whole_beside_a_null(tmp_path):
    frame = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0], "income": [1.0, 2.0, 1.0, 2.0]})
    labels = np.array([2**60 + 1, -3] * 2)
    model = LogisticRegression(max_iter=500).fit(frame, labels)
    sqlinfer.register("large", model, sample=frame, registry=tmp_path)
    frame.loc[1, "age"] = None
    for ask in (sqlinfer.udf("large", registry=tmp_path), sqlinfer.load("large", registry=tmp_path).predict):
        answers = ask(frame.set_index(pd.Index(list("abcd"))))
        assert answers.index.tolist() == list("abcd")
        assert answers["a"] == answers["c"] == 2**60 + 1 and answers["b"] is pd.NA


def test_a_version_stays_whatever_is_promoted_or_removed(mine, iris):
    udf = sqlinfer.udf("iris", call="predict_proba", class_="setosa", registry=mine)
    before = udf(iris)
    mine.alias("iris", "default", 2)
    assert udf(iris).equals(before) and pickle.loads(pickle.dumps(udf))(iris).equals(before)
    other = sqlinfer.udf("iris", call="predict_proba", class_="setosa", registry=mine)
    assert other.model == "iris/2" and not other(iris).equals(before)


ELSEWHERE = """
import base64, pickle, sys
import pyarrow as pa
from concurrent.futures import ThreadPoolExecutor
from sqlinfer.runtime.scorer import Scorer

opened, begin = [], Scorer.__init__
Scorer.__init__ = lambda self, *given, **more: (opened.append(1), begin(self, *given, **more))[1]
rows, *functions = (pickle.loads(base64.b64decode(line)) for line in sys.stdin)
try:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda f: f(rows).to_pylist(), functions * 8))
    assert all(answer == answers[0] for answer in answers)
    print(len(opened), answers[0][:3])
except Exception as error:
    print(type(error).__name__, error)
"""


def elsewhere(tmp_path, rows, *pickles):
    """What another process says, which has other temporary files: how often it opened a model, and answers."""
    (tmp_path / "temporary").mkdir(exist_ok=True)
    rows = pa.Table.from_pandas(rows, preserve_index=False)
    lines = "\n".join(base64.b64encode(one).decode() for one in (pickle.dumps(rows), *pickles))
    environment = {"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(tmp_path / "temporary"), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", ELSEWHERE]
    return subprocess.run(command, input=lines, capture_output=True, text=True, env=environment, check=True).stdout


def test_a_pickle_opens_its_model_once_in_another_process(mine, iris, tmp_path):
    udf = sqlinfer.udf("iris", registry=mine)
    pickles = [pickle.dumps(udf), cloudpickle.dumps(udf), pickle.dumps(pickle.loads(pickle.dumps(udf)))]
    assert max(map(len, pickles)) < 1000
    assert elsewhere(tmp_path, iris, *pickles) == "1 ['setosa', 'setosa', 'setosa']\n"
    (mine.home / "models" / "iris" / "2" / "model.json").replace(mine.home / "models" / "iris" / "1" / "model.json")
    said = elsewhere(tmp_path, iris, pickles[0])
    assert said.startswith("RegistryError the model iris/1 of a udf") and "is another version than the one" in said
    shutil.rmtree(mine.home)
    said = elsewhere(tmp_path, iris, pickles[0])
    assert said.startswith("RegistryError the model iris/1 of a udf is not to be had here")
    assert f"see the folder {mine.home}" in said and "sqlinfer.udf('iris/1', embed=True)" in said


def test_files_that_are_not_those_that_were_registered_are_refused(mine, iris, tmp_path):
    given = pickle.dumps(sqlinfer.udf("iris", registry=mine))
    onnx = mine.home / "models" / "iris" / "1" / "model.onnx"
    onnx.write_bytes((mine.home / "models" / "iris" / "2" / "model.onnx").read_bytes())
    assert "is not the file that was registered" in elsewhere(tmp_path, iris, given)


def test_a_pickle_may_hold_the_files(mine, iris, tmp_path):
    given = pickle.dumps(sqlinfer.udf("iris", registry=mine, embed=True))
    shutil.rmtree(mine.home)
    for _ in range(2):
        assert elsewhere(tmp_path, iris, given, given) == "1 ['setosa', 'setosa', 'setosa']\n"
    (own,) = (tmp_path / "temporary").iterdir()
    assert len(list(own.iterdir())) == 1
