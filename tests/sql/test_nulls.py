"""What a NULL does is a policy of each feature."""

from __future__ import annotations

from typing import Any

import pytest

import sqlinfer
from sqlinfer.errors import FeatureError, ModelFailed, NullFeature


@pytest.fixture
def policies(tmp_path, iris):
    """The same regression four times, with four policies for its two features."""
    from sklearn.linear_model import LinearRegression

    registry = sqlinfer.Registry(tmp_path)
    model = LinearRegression().fit(iris[["sl", "sw"]], iris["pl"])
    policies: dict[str, str | dict[str, Any]] = {
        "nulls": "null",
        "nans": "nan",
        "errors": "error",
        "values": {"sl": 5, "sw": 3.5},
        "mixed": {"sl": 5, "sw": "error"},
    }
    for name, policy in policies.items():
        sqlinfer.register(name, model, sample=iris[["sl", "sw"]], null=policy, registry=registry)
    return registry


@pytest.fixture
def ask(policies, engine):
    with sqlinfer.connect(registry=policies, engine=engine) as con:
        yield lambda call: con.execute(f"SELECT {call}").fetchall()[0][0]


@pytest.mark.slow
def test_null_answers_null(ask):
    assert ask("predict('nulls', NULL, 3)") is None
    assert ask("predict('nulls', 5, 3)") is not None


@pytest.mark.slow
def test_nan_is_given_to_the_model(ask):
    with pytest.raises(ModelFailed, match="NaN or infinite, which LinearRegression does not take"):
        ask("predict('nans', NULL, 3)")


@pytest.mark.slow
def test_error_names_the_feature(ask):
    with pytest.raises(NullFeature, match="'sw' is NULL"):
        ask("predict('errors', 5, NULL::DOUBLE)")
    assert ask("predict('errors', 5, 3)") is not None


@pytest.mark.slow
def test_a_value_stands_in(ask):
    assert ask("predict('values', NULL, NULL::INTEGER)") == ask("predict('values', 5, 3.5)")
    assert ask("predict('mixed', NULL::DECIMAL(5,1), 3)") == ask("predict('mixed', 5, 3)")
    with pytest.raises(NullFeature):
        ask("predict('mixed', 5, NULL)")


def test_the_estimators_own_way_is_learnt(registry):
    """Imputed numbers take NaN, and imputed texts a stand-in that no text is."""
    features = sqlinfer.load("churn", registry=registry).manifest.signature.features
    assert {feature.name: str(feature.null) for feature in features} == {
        "age": "nan",
        "income": "nan",
        "visits": "nan",
        "city": r"'\uffff'",
    }


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


ECHOES: dict[str, tuple[str, Any]] = {
    "text": ("(string[n, 1] x) => (string[n, 1] y) { y = Identity(x) }", "?"),
    "whole": ("(int64[n] x) => (int64[n] y) { y = Identity(x) }", 2**62 + 1),
    "single": ("(float[n, 1] x) => (float[n, 1] y) { y = Identity(x) }", 0.5),
    "double": ("(double[n, 1] x) => (double[n, 1] y) { y = Identity(x) }", -0.10717358791714027),
    "cell": ("(int64[n, len] x) => (int64[n, len] y) { y = Identity(x) }", -1),
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", "'a'::mood", "a"),
        ("text", "'a'", "a"),
        ("whole", "9007199254740993::HUGEINT", 9007199254740993),
        ("whole", "9007199254740993::DECIMAL(18, 0)", 9007199254740993),
        ("whole", "3::UTINYINT", 3),
        ("whole", "true", 1),
        ("single", "9007199254740993", 9007199254740992),
        ("single", "7::UTINYINT", 7),
        ("double", "1.7", 1.7),
    ],
)
def test_a_value_beside_any_type(name, value, expected, onnx_file, tmp_path, engine):
    graph, stand_in = ECHOES[name]
    sqlinfer.register("m", onnx_file(graph), null=stand_in, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.execute("CREATE TYPE mood AS ENUM ('a', 'b')")
        con.execute(f"CREATE TABLE t AS FROM (VALUES ({value}), (NULL)) t(x)")
        assert con.execute("SELECT predict('m', x) FROM t").fetchall() == [(expected,), (stand_in,)]
        assert con.execute("SELECT predict('m', NULL)").fetchall() == [(stand_in,)]


def test_a_value_in_a_list(onnx_file, tmp_path, engine):
    graph, stand_in = ECHOES["cell"]
    sqlinfer.register("m", onnx_file(graph), null=stand_in, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = con.execute("SELECT predict('m', [3::UTINYINT, NULL, 9])").fetchall()
        assert answers == [([3, stand_in, 9],)]


@pytest.mark.parametrize(
    ("element", "value"), [("int64", 1.5), ("int64", 2**63), ("uint8", 256), ("uint8", -1), ("bool", 2)]
)
def test_a_value_that_would_be_another_is_refused(onnx_file, tmp_path, element, value):
    file = onnx_file(f"({element}[n] x) => ({element}[n] y) {{ y = Identity(x) }}")
    with pytest.raises(FeatureError, match=rf"which does not hold {value} as it is"):
        sqlinfer.register("m", file, null=value, registry=tmp_path)
