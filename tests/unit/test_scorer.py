"""Rows in any of Arrow's forms get the answers of SQL, with the core and without it."""

from __future__ import annotations

import pyarrow as pa
import pytest

import sqlinfer
from sqlinfer.errors import FeatureCount, MissingFeature, ModelNotFound, UnknownFeature
from sqlinfer.runtime.core import core
from sqlinfer.runtime.scorer import Scorer


@pytest.fixture(params=["core", "reference"])
def scorer(request, registry, monkeypatch):
    """``scorer(name, call)`` of the core, or of the reference in Python."""
    if request.param == "reference":
        monkeypatch.setattr("sqlinfer.runtime.scorer.core", lambda: None)
    elif core() is None:
        pytest.skip("there is no core")
    return lambda name, call="predict": Scorer(registry, registry.get(name), call)


@pytest.mark.parametrize("call", ["predict", "predict_proba", "infer"])
def test_batches_tables_and_columns(scorer, registry, customers, call):
    table = pa.Table.from_pandas(customers, preserve_index=False)
    with sqlinfer.connect(registry=registry) as con:
        expected = con.sql(f"SELECT {call}('churn', t) AS answer FROM \"table\" t").to_arrow_table()["answer"]
    churn = scorer("churn", call)
    chunks = pa.concat_tables([table.slice(0, 7), table.slice(7, 0), table.slice(7)])
    names = table.column_names[::-1]
    shuffled = table.select(names).rename_columns([name.upper() for name in names]).append_column("other", table[0])
    for rows in (table, chunks, shuffled, table.combine_chunks().to_batches()[0]):
        answers = churn(rows)
        assert answers.type == churn.gives
        assert answers.to_pylist() == expected.to_pylist()
    assert churn.columns([table[name] for name in churn.features]).to_pylist() == expected.to_pylist()
    assert len(churn(table.slice(0, 0))) == 0


def test_what_a_scorer_takes_and_refuses(scorer):
    churn = scorer("churn")
    assert churn.takes.names == churn.features == ["age", "income", "visits", "city"]
    assert churn.takes.field("city").type == pa.string()
    with pytest.raises(MissingFeature, match="income"):
        churn(pa.table({"age": [1.0], "visits": [1], "city": ["Bern"]}))
    with pytest.raises(UnknownFeature, match="AGE"):
        churn(pa.RecordBatch.from_arrays([pa.array([1.0])] * 4, names=["age", "AGE", "income", "visits"]))
    with pytest.raises(ModelNotFound):
        scorer("progress", "predict_proba")


def test_one_list_for_all_features(scorer, iris):
    flowers = pa.Table.from_pandas(iris, preserve_index=False)
    rows = pa.array(iris.to_numpy().tolist())
    for column in (rows, pa.chunked_array([rows.slice(0, 9), rows.slice(9)])):
        assert scorer("iris").columns([column]).to_pylist() == scorer("iris")(flowers).to_pylist()
    with pytest.raises(FeatureCount, match="takes 4 features, 2 given"):
        scorer("iris").columns([flowers["sl"], flowers["sw"]])
