"""The rows that prove a model, and those that are kept: what is rare is among them, wherever the sample has it."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier

import sqlinfer
from sqlinfer.models.sample import Sample
from sqlinfer.registration.proof_rows import telling_sample
from tests.conftest import parse

ROWS = 6000


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    """Sorted, with what is rare in rows that an even choice of a thousand passes by."""
    random = np.random.default_rng(0)
    city = np.sort(random.choice(["Bern", "Zug"], ROWS))
    frame = pd.DataFrame({"age": np.sort(random.normal(45, 12, ROWS)), "city": city})
    frame.loc[[100, 101, 5555], "age"] = [np.nan, -1e4, 1e4]
    frame.loc[[102, 5556], "city"] = [None, "Uri"]
    return frame


@pytest.fixture(scope="module")
def classes() -> np.ndarray:
    return np.repeat(["a", "b", "c"], ROWS // 3)


def model_of(kind, customers, classes, tmp_path):
    if kind == "estimator":
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]), remainder="passthrough"
        )
        return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5)).fit(customers, classes), customers
    if kind == "booster":
        numbers = customers[["age"]]
        return XGBClassifier(n_estimators=5, max_depth=3).fit(numbers, pd.factorize(classes)[0]), numbers
    graph = "(float[n, 1] age, string[n, 1] city) => (bool[n, 1] old, string[n, 1] c) <float limit = {45}>"
    onnx.save(parse(graph + " { old = Greater(age, limit)  c = Identity(city) }"), tmp_path / "m.onnx")
    return tmp_path / "m.onnx", customers


@pytest.mark.parametrize("kind", ["estimator", "booster", "file"])
def test_kept_rows_show_what_is_rare(customers, classes, tmp_path, kind):
    model, sample = model_of(kind, customers, classes, tmp_path)
    stored = sqlinfer.register("m", model, sample=sample, registry=tmp_path / "models")
    proof = stored.manifest.proof
    ages = [row[0] for row in proof.rows]
    assert len(ages) == 32 and None in ages
    assert (min(age for age in ages if age is not None), max(age for age in ages if age is not None)) == (-1e4, 1e4)
    if "city" in stored.features:
        assert {row[1] for row in proof.rows} == {"Bern", "Zug", "Uri", None}
    if stored.classes:
        assert set(proof.answers["predict"]) == set(stored.classes)


def test_many_categories_leave_room_for_others():
    words = pa.table({"word": [f"w{i // 2}" for i in range(4000)], "x": np.arange(4000)})
    some = telling_sample(Sample(words), 200).table
    assert len(some) == 200 and some["x"].to_pylist() == sorted(some["x"].to_pylist())
    assert np.histogram(some["x"].to_numpy(), bins=4)[0].min() >= 30
    assert telling_sample(Sample(words), 4000).table == words
