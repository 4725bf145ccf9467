"""What a NULL does is a policy of each feature."""

from __future__ import annotations

import numpy as np
import pytest

import sqlinfer
from sqlinfer.errors import FeatureError, NullFeature


@pytest.fixture
def policies(tmp_path, iris):
    """The same regression four times, with four policies for its two features."""
    from sklearn.linear_model import LinearRegression

    registry = sqlinfer.Registry(tmp_path)
    model = LinearRegression().fit(iris[["sl", "sw"]], iris["pl"])
    for name, policy in {
        "nulls": "null",
        "nans": "nan",
        "errors": "error",
        "values": {"sl": 5, "sw": 3.5},
        "mixed": {"sl": 5, "sw": "error"},
    }.items():
        sqlinfer.register(name, model, sample=iris[["sl", "sw"]], null=policy, registry=registry)
    return registry


@pytest.fixture
def ask(policies, engine):
    with sqlinfer.connect(registry=policies, engine=engine) as con:
        yield lambda call: con.execute(f"SELECT {call}").fetchall()[0][0]


def test_null_answers_null(ask):
    assert ask("predict('nulls', NULL, 3)") is None
    assert ask("predict('nulls', 5, 3)") is not None


def test_nan_is_given_to_the_model(ask):
    assert np.isnan(ask("predict('nans', NULL, 3)"))


def test_error_names_the_feature(ask):
    with pytest.raises(NullFeature, match="'sw' is NULL"):
        ask("predict('errors', 5, NULL::DOUBLE)")
    assert ask("predict('errors', 5, 3)") is not None


def test_a_value_stands_in(ask):
    assert ask("predict('values', NULL, NULL::INTEGER)") == ask("predict('values', 5, 3.5)")
    assert ask("predict('mixed', NULL::DECIMAL(5,1), 3)") == ask("predict('mixed', 5, 3)")
    with pytest.raises(NullFeature):
        ask("predict('mixed', 5, NULL)")


def test_the_estimators_own_way_is_learnt(registry):
    """Imputed columns take NaN, imputed text takes a stand-in, and a whole number knows no missing value."""
    features = sqlinfer.load("churn", registry=registry).manifest.signature.features
    assert {f.name: str(f.null) for f in features} == {"age": "nan", "income": "nan", "visits": "null", "city": "''"}


def test_a_null_row_is_a_row_of_nulls(con):
    rows = con.execute("SELECT predict('iris', r) FROM (VALUES (NULL), ({'sl': 1, 'sw': 1, 'pl': 1, 'pw': NULL})) t(r)")
    assert rows.fetchall() == [(None,), (None,)]


def test_all_rows_null(column):
    assert column("SELECT predict('width', NULL::DOUBLE) FROM range(3)") == [None] * 3


@pytest.mark.parametrize("policy", ["zero", {"sl": "x"}, {"nope": "nan"}])
def test_policies_that_make_no_sense_are_refused(tmp_path, iris, policy):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(iris[["sl"]], iris["pl"])
    with pytest.raises(FeatureError):
        sqlinfer.register("m", model, sample=iris[["sl"]], null=policy, registry=tmp_path)
