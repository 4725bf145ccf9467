"""Any split of the rows into batches gives the same answers."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sqlinfer
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import sessions

CUTS = st.lists(st.integers(0, 150), max_size=8)


def predictor(registry, name, call="predict"):
    model = registry.get(name)
    session = sessions.get(model)
    return Predictor(name, model.manifest.signature, model.call(call), session)


def split(columns, cuts):
    edges = sorted({0, len(columns[0]), *(cut for cut in cuts if cut < len(columns[0]))})
    return [[column.slice(a, b - a) for column in columns] for a, b in itertools.pairwise(edges)]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS)
def test_numbers_in_any_batches(registry, iris, cuts):
    columns = [pa.array(iris[name]) for name in iris.columns]
    labels = predictor(registry, "iris")
    assert pa.concat_arrays([labels(*batch) for batch in split(columns, cuts)]).equals(labels(*columns))
    # matrix products of other sizes take other ways to the last bit
    numbers = predictor(registry, "plane")
    parts = pa.concat_arrays([numbers(*batch) for batch in split(columns, cuts)])
    np.testing.assert_allclose(parts.flatten(), numbers(*columns).flatten(), rtol=1e-12)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS, seed=st.integers(0, 5))
def test_gaps_text_and_lists_in_any_batches(registry, customers, cuts, seed):
    random = np.random.default_rng(seed)
    rows = pa.Table.from_pandas(customers.sample(150, random_state=seed), preserve_index=False)
    columns = [rows.column(name).combine_chunks() for name in ("age", "income", "visits", "city")]
    churn = predictor(registry, "churn", "predict_proba")
    assert pa.concat_arrays([churn(*batch) for batch in split(columns, cuts)]).equals(churn(*columns))
    lists = pa.array([None if i % 11 == 3 else random.normal(size=1 + i % 4).tolist() for i in range(150)])
    mean = predictor(registry, "mean")
    assert pa.concat_arrays([mean(*batch) for batch in split([lists], cuts)]).equals(mean(lists))
    four = predictor(registry, "four")
    pairs = [pa.array(range(150)), pa.array(range(150))]
    assert pa.concat_arrays([four(*batch) for batch in split(pairs, cuts)]).equals(four(*pairs))


def test_chunked_columns_are_read_whole(registry, iris):
    model = sqlinfer.load("iris", registry=registry)
    chunked = pa.concat_tables([pa.Table.from_pandas(iris[:70]), pa.Table.from_pandas(iris[70:])])
    assert model.predict(chunked).to_pylist() == model.predict(iris).to_list()
