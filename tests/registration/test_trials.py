"""Rows that no sample shows: what SQL would answer otherwise than the model is refused, in the same words."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import onnx
import onnx.parser
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from lightgbm import LGBMRegressor
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.convert import Candidate, Original
from sqlinfer.graphs.splits import Splits
from sqlinfer.models.sample import Sample
from sqlinfer.registration import estimators
from sqlinfer.trials.guards import TRIALS
from sqlinfer.trials.guards.rows import made_rows
from tests.engines import ENGINES

SAME_NUMBER = "(double[n, 1] x) => (double[n, 1] y) { y = Identity(x) }"
SAME_TEXT = "(string[n, 1] x) => (string[n, 1] y) { y = Identity(x) }"
SUMS = (
    "(double[n, 2] x) => (double[n, 1] y) <double[2, 1] w = {2, 3}, double[1] c = {1}> "
    "{ p = MatMul(x, w)  y = Add(p, c) }"
)
SUM = "(double[n, 1] x, double[n, 1] z) => (double[n, 1] y) { y = Add(x, z) }"
TOWNS = ["Bern", "Chur", "Thun"]

# What the original does where its conversion answers the value itself: guard, sample, original, a value that differs.
NUMBERS = {
    "nan": ([1.5, 2.5, 4.0], lambda x: np.where(np.isnan(x), 7.0, x), math.nan),
    "infinite": ([1.5, 2.5, 4.0], lambda x: np.where(np.isinf(x), 7.0, x), -math.inf),
    "above": ([1.5, 2.5, 4.0], lambda x: np.where((x > 1e5) & np.isfinite(x), 7.0, x), 1e6),
    "below": ([1.5, 2.5, 4.0], lambda x: np.where((x < -1e5) & np.isfinite(x), 7.0, x), -1e6),
    "fraction": ([1, 2, 40], np.trunc, 3.5),
    "other": ([1, 2, 40], lambda x: np.where(np.isin(x, [1, 2, 40]), x, 7.0), 3),
}
TEXTS = {
    "empty": lambda text: text or "?",
    "blank": lambda text: "?" if text.isspace() else text,
    "not_ascii": lambda text: text if text.isascii() else "?",
    "longer": lambda text: text[:5000],
    "other": lambda text: text if text in TOWNS else "?",
}
ODD_TEXTS = {"empty": "", "blank": " \t", "not_ascii": "Genève", "longer": "a" * 9000, "other": "bern"}


class Stub:
    """A model that is what its conversion is not."""


@pytest.fixture
def register(tmp_path, monkeypatch):
    """``register(graph, sample, answers)``: of a model that answers so, and is converted to the graph."""

    def run(graph: str, sample: dict, answers, **how):
        model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> test {graph}')
        kinds = {1: "FLOAT", 8: "VARCHAR", 11: "DOUBLE"}
        features = [
            (name, kinds[i.type.tensor_type.elem_type], i.name, column)
            for i in model.graph.input
            for column, name in enumerate(sample if len(sample) > len(model.graph.input) else [i.name])
        ]
        original = Original("test 1", "Stub", "by hand", "other", lambda rows: {"predict": answers(rows.table)})
        candidate = Candidate(model, features, "as it is")
        monkeypatch.setattr(estimators, "open_original", lambda *_: (original, iter([candidate])))
        return sqlinfer.register("m", Stub(), sample=pa.table(sample), registry=tmp_path, **{"trials": TRIALS, **how})

    return run


def numbers(answer):
    return lambda table: answer(
        np.asarray(table.column("x").cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    )


def texts(answer):
    def answers(table):
        values = table.column("x").to_pylist()
        if None in values:
            raise ValueError("it takes no None")
        return np.array([answer(text) for text in values], object)

    return answers


def refusal(tmp_path, engine, sql, *parameters) -> str:
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        with pytest.raises(Exception, match="which is refused") as raised:
            con.execute(sql, *parameters).fetchall()
        return "model" + re.split("model", str(raised.value), maxsplit=1)[1].split("\n")[0]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_that_are_answered_otherwise(register, tmp_path, kind):
    sample, answer, odd = NUMBERS[kind]
    (feature,) = register(SAME_NUMBER, {"x": sample}, numbers(answer)).manifest.signature.features
    assert [guard.refuse for guard in feature.guards] == [kind]
    said = {refusal(tmp_path, engine, "SELECT predict('m', $1::DOUBLE)", [odd]) for engine in ENGINES}
    assert len(said) == 1
    assert "feature 'x' is " in said.pop()
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            rows = con.execute(
                "SELECT TRY(predict('m', x)) FROM (SELECT unnest([2, $1, 2]::DOUBLE[]) AS x)", [odd]
            ).fetchall()
            assert rows == [(2.0,), (None,), (2.0,)]
        assert sqlinfer.verify("m", registry=tmp_path, engine=engine).passed


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_that_are_answered_otherwise(register, tmp_path, kind):
    features = register(SAME_TEXT, {"x": TOWNS}, texts(TEXTS[kind])).manifest.signature.features
    assert [guard.refuse for guard in features[0].guards] == [kind]
    said = {refusal(tmp_path, engine, "SELECT predict('m', $1::VARCHAR)", [ODD_TEXTS[kind]]) for engine in ENGINES}
    assert len(said) == 1
    assert "Stub answers '" in said.pop()
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            con.execute(f"CREATE TYPE town AS ENUM ('Bern', '{ODD_TEXTS[kind]}')")
            assert con.execute("SELECT predict('m', 'Bern'::town)").fetchall() == [("Bern",)]
        assert sqlinfer.verify("m", registry=tmp_path, engine=engine).passed


@pytest.mark.slow
def test_a_refusal_is_one_in_sql(register, tmp_path, engine):
    """Also where weighted sums need no graph, for features by position, in a list and by name."""

    def answers(table):
        if np.isnan(matrix := np.column_stack([column.to_numpy() for column in table.columns])).any():
            raise ValueError("it takes no NaN")
        return matrix @ [2.0, 3.0] + 1

    stored = register(SUMS, {"a": [1.5, 2.5, 7.0], "b": [1.0, 3.5, 9.0]}, answers)
    assert stored.manifest.formula is not None
    for given in ("1.0, 'nan'::FLOAT", "[1.0, 'nan'::DOUBLE]", "{'b': 'nan'::DOUBLE, 'A': 2}"):
        said = refusal(tmp_path, engine, f"SELECT predict('m', {given})")
        assert said.startswith("model 'm': feature 'b' is NaN, which is refused: Stub refuses it (it takes no NaN); ")
        assert said.endswith("WHERE NOT isnan(b), or write a number")


def test_show_lists_what_is_refused(register, tmp_path):
    register(SAME_NUMBER, {"x": [1.5, 2.5]}, numbers(lambda x: np.where((x > 1e5) & np.isfinite(x), 7.0, x)))
    run = CliRunner().invoke(main, ["show", "m", "--registry", str(tmp_path), "-f", "markdown"])
    assert re.search(r"\| x +\| numbers above \S+ +\| Stub answers 7.0 for \S+, its conversion to ONNX", run.output)
    (feature,) = json.loads(CliRunner().invoke(main, ["show", "m", "--registry", str(tmp_path)]).output)["features"]
    assert feature["guards"][0]["refuse"] == "above"
    assert "numbers above" in sqlinfer.load("m", registry=tmp_path)._repr_html_()


def test_what_only_several_features_show_is_no_model(register):
    def answers(table):
        x, z = (table.column(name).to_numpy(zero_copy_only=False).astype(float) for name in "xz")
        return np.where((x == 0) & (z == 0), 7.0, x + z)

    with pytest.raises(sqlinfer.errors.ProofFailed, match=r"x = 0, z = 0, Stub answers 7.0 and .* answers 0.0"):
        register(SUM, {"x": [1.5, 2.5], "z": [1.0, 3.5]}, answers)
    assert register(SUM, {"x": [1.5, 2.5], "z": [1.0, 3.5]}, answers, trials=0).version == 1


def test_what_a_graph_compares_numbers_with_is_tried(register):
    graph = (
        "(double[n, 2] m) => (double[n, 1] y) <double[1] least = {2.25}, int64[1] second = {1}> "
        "{ z = Gather<axis = 1>(m, second)  above = Greater(z, least)  y = Cast<to = 11>(above) }"
    )

    def answers(table):
        return (table.column("z").to_numpy() >= 2.25).astype(float)

    with pytest.raises(sqlinfer.errors.ProofFailed, match=r"z = 2\.25, .*Stub answers 1\.0 and .* answers 0\.0"):
        register(graph, {"x": [1.5, 2.5], "z": [1.0, 3.5]}, answers)


@pytest.mark.parametrize("rows", [5, 600])
def test_a_small_sample_is_as_safe_as_a_large_one(tmp_path, rows):
    random = np.random.default_rng(2)
    matrix = random.normal(size=(600, 2))
    exact = HistGradientBoostingRegressor(max_iter=5).fit(matrix, matrix[:, 0])
    clean = sqlinfer.register("clean", exact, sample=matrix[:rows], registry=tmp_path)
    assert [feature.guards for feature in clean.manifest.signature.features] == [(), ()]
    sums = sqlinfer.register(
        "sums", LinearRegression().fit(matrix, matrix[:, 0]), sample=matrix[:rows], registry=tmp_path
    )
    assert [feature.guards for feature in sums.manifest.signature.features] == [(), ()]


@pytest.mark.parametrize("rows", [5, 600])
def test_a_small_sample_has_the_same_guards(register, rows):
    x = np.random.default_rng(2).normal(size=rows)
    (feature,) = register(
        SAME_NUMBER, {"x": x}, numbers(lambda x: np.where(np.isfinite(x), x, 7.0))
    ).manifest.signature.features
    assert [guard.refuse for guard in feature.guards] == ["nan", "infinite"]


def test_the_same_rows_each_time(iris):
    sample = Sample.of(iris.assign(town=["Bern", "Chur", None] * 50, visits=range(150)))
    known = Splits({"pl": [2.45, 4.75]}, ("Thun",), (3,))
    made = [made_rows(sample, known, 400, sample.table.column_names) for _ in range(2)]
    assert [repr(batch.rows) for batch in made[0]] == [repr(batch.rows) for batch in made[1]]
    assert sum(len(batch.rows) for batch in made[0]) == 400
    values = {repr(value) for batch in made[0] for row in batch.rows for value in row.values}
    assert {"None", "nan", "inf", "0.0", "-0.0", "''", "'Thun'", "'BERN'", "2.45", "150", "16777217"} <= values
    assert repr(math.nextafter(4.75, math.inf)) in values


def test_proof_rows_show_classes_extremes_and_gaps(tmp_path, iris, species):
    from sklearn.tree import DecisionTreeClassifier

    frame = iris.copy()
    frame.loc[77, "sw"] = np.nan
    model = DecisionTreeClassifier(random_state=0).fit(frame, species)
    proof = sqlinfer.register("m", model, sample=frame, registry=tmp_path).manifest.proof
    assert set(proof.answers["predict"]) == set(species)
    widths = [row[1] for row in proof.rows]
    assert None in widths
    assert {frame["sw"].min(), frame["sw"].max()} <= set(widths)


def test_what_is_next_to_nothing_for_lightgbm(tmp_path, engine):
    """It takes numbers up to 1e-35 for zero."""
    x = np.repeat([[-1.0], [0.0], [1.0]], 40, axis=0)
    model = LGBMRegressor(n_estimators=2, min_child_samples=5, verbose=-1).fit(x, x[:, 0])
    sqlinfer.register("m", model, sample=x, registry=tmp_path)
    odd = np.array([-1.0, -2e-35, -1e-35, -1e-36, 0.0, 1e-36, 1e-35, 2e-35, 1.0])
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = con.execute("SELECT predict('m', unnest) FROM unnest($1::DOUBLE[])", [odd.tolist()]).fetchall()
    assert [answer for (answer,) in given] == pytest.approx(model.predict(odd[:, None]), rel=1e-9)


def test_a_type_that_the_model_refuses_says_nothing_of_its_rows(tmp_path, engine):
    """KMeans of singles takes no doubles, and categories that are Booleans are no numbers to a OneHotEncoder."""
    random = np.random.default_rng(3)
    singles = random.normal(size=(60, 2)).astype(np.float32)
    sqlinfer.register("near", KMeans(2, n_init=1).fit(singles), sample=singles, registry=tmp_path)
    frame = pd.DataFrame({"a": singles[:, 0], "is_new": np.array([True, False] * 30, object)})
    encoded = make_column_transformer(("passthrough", ["a"]), (OneHotEncoder(handle_unknown="ignore"), ["is_new"]))
    model = make_pipeline(encoded, LogisticRegression()).fit(frame, frame["a"] > 0)
    sqlinfer.register("new", model, sample=frame, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register("frame", frame)
        given = con.execute("SELECT predict('new', frame), predict('near', a, a) FROM frame").fetchall()
    assert [answer for answer, _ in given] == model.predict(frame).tolist()


def test_a_number_of_trials_that_cannot_be(register):
    with pytest.raises(sqlinfer.SqlinferError, match="trials=-1"):
        register(SAME_NUMBER, {"x": [1.5, 2.5]}, numbers(lambda x: x), trials=-1)


@pytest.mark.slow
def test_a_policy_for_one_feature_leaves_the_others_to_the_original(tmp_path):
    sample = pd.DataFrame({"a": [None, 1.5, 2.0, 3.0], "n": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(sample, [True, False, True, False])
    registered = sqlinfer.register("m", model, sample=sample, registry=tmp_path, null={"N": 7}, trials=TRIALS)
    assert [str(f.null) for f in registered.manifest.signature.features] == ["nan", "7"]
