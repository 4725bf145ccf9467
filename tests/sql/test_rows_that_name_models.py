"""The model is a column: each row is answered by the model that it names, as if it were asked alone."""

from __future__ import annotations

import threading

import duckdb
import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

import sqlinfer
from sqlinfer.errors import (
    BadReference,
    CallError,
    FeatureCount,
    FeatureType,
    MissingFeature,
    ModelFailed,
    ModelNotFound,
    NullFeature,
)
from tests.conftest import parse

FLOWER = "5.1, 3.5, 1.4, 0.2"
TYPES = {"predict": "DOUBLE", "predict_label": "VARCHAR", "predict_proba": "MAP(VARCHAR, DOUBLE)"}
NUMBERS = ("digit", "digit/1", "Segment", "segment@default", None)
CLASSES = ("iris", "iris/2", "iris@careful", "digit", None)


@pytest.mark.parametrize(
    ("call", "models"), [("predict", NUMBERS), ("predict_label", CLASSES), ("predict_proba", CLASSES)]
)
def test_each_row_by_its_own(con, call, models):
    con.execute("CREATE TABLE asked AS SELECT i AS row, unnest(?::VARCHAR[]) AS m, i.* FROM iris i", [list(models)])
    answers = dict.fromkeys(models)
    for model in filter(None, models):
        cast = f"{call}('{model}', a)::{TYPES[call]}"
        answers[model] = con.execute(
            f"SELECT {cast} FROM asked a WHERE m = '{model}' ORDER BY sl, sw, pl, pw"
        ).fetchall()
        mine = f"FROM (SELECT {call}(m, sl, sw, pl, pw) AS p, * FROM asked) WHERE m = '{model}' ORDER BY sl, sw, pl, pw"
        assert con.execute(f"SELECT p {mine}").fetchall() == answers[model]
    assert con.execute(f"SELECT DISTINCT typeof({call}(m, a)) FROM asked a").fetchall() == [(TYPES[call],)]
    assert con.execute(f"SELECT count({call}(m, a.row)) FROM asked a WHERE m IS NULL").fetchall() == [(0,)]


ROWS = """(
    SELECT 'digit' AS m, 5.1 AS sl, 3.5 AS sw, 1.4 AS pl, 0.2 AS pw, DATE '2024-05-01' AS day
    UNION ALL BY NAME SELECT 'width' AS m, 1.0 AS pl
    UNION ALL BY NAME SELECT 'risk' AS m, 3.0 AS age, 3 AS income, 2 AS visits
)"""
NAMES = ("visits", "pl", "income", "pw", "age", "sw", "sl")
GIVEN = ["t", "*", "t.*", "* EXCLUDE (day)", ", ".join(f"{name} := {name}" for name in NAMES)]
GIVEN += ["{" + ", ".join(f"'{name}': {name}" for name in NAMES) + "}"]


@pytest.mark.parametrize("given", GIVEN)
def test_features_by_name_are_those_of_each_model(one, column, given):
    alone = [one(f"SELECT predict('{m}', t)::DOUBLE FROM {ROWS} t WHERE m = '{m}'") for m in ("digit", "width", "risk")]
    assert column(f"SELECT predict(m, {given}) FROM {ROWS} t") == alone


def test_lists_bytes_and_texts(column):
    lists = "(VALUES ('mean', [1.0, 2.0]), ('mean', [1.0, NULL]), ('bytesum', [1, 2, 3]), ('mean', [4.0]), (NULL, [1]))"
    assert column(f"SELECT predict(m, x) FROM {lists} t(m, x)") == [1.5, None, 6.0, 4.0, None]
    arrays = (
        "(VALUES ('mean', [1.0, 2.0]::FLOAT[2]), ('bytesum', [3.0, 4.0]::FLOAT[2]), ('mean', [5.0, 7.0]::FLOAT[2]))"
    )
    assert column(f"SELECT predict(m, x) FROM {arrays} t(m, x)") == [1.5, 7.0, 6.0]
    texts = "(VALUES ('same_text', 'a'), ('same_text', NULL), (NULL, 'b'), ('same_text', 'Zürich, Genève'))"
    assert column(f"SELECT predict_label(m, x) FROM {texts} t(m, x)") == ["a", None, None, "Zürich, Genève"]


@pytest.mark.parametrize(("model", "kind"), [("same_float", "FLOAT"), ("same_double", "DOUBLE")])
def test_labels_are_what_duckdb_casts_to_text(column, model, kind):
    numbers = "0.1, 16777216, 1e-5, 1.5e-4, 1e15, 1e16, 1.25e30, 'nan', '-inf', 0, -3, NULL"
    rows = f"(SELECT '{model}' AS m, unnest([{numbers}]::{kind}[]) AS x UNION ALL SELECT 'same_tiny', 7)"
    cast = column(f"SELECT unnest([{numbers}]::{kind}[])::VARCHAR")
    assert column(f"SELECT predict_label(m, x) FROM {rows}") == [*cast, "7"]
    truths = "(VALUES ('negate', true), ('negate', false)) t(m, x)"
    assert column(f"SELECT predict_label(m, x) FROM {truths}") == ["false", "true"]


ERRORS = [
    ("('digit'), ('nope')", f"predict(m, {FLOWER})", ModelNotFound, "no model named 'nope'"),
    ("('digit'), ('iris/9')", f"predict(m, {FLOWER})", ModelNotFound, "'iris' has no version 9"),
    ("('digit'), ('no name')", f"predict(m, {FLOWER})", BadReference, "'no name' does not name a model"),
    ("('digit'), ('iris')", f"predict(m, {FLOWER})", CallError, "the model 'iris' answers VARCHAR: call predict_label"),
    ("('plane')", f"predict_label(m, {FLOWER})", CallError, r"DOUBLE\[2\]: call predict\('plane', …\) with"),
    ("('segment')", f"predict_proba(m, {FLOWER})", ModelNotFound, r"'segment/1' has no predict_proba\(\)"),
    ("('digit'), ('width')", f"predict(m, {FLOWER})", FeatureCount, "model 'width' takes 1 features, 4 given"),
    ("('width'), ('digit')", "predict(m, 1.0)", FeatureCount, "model 'digit' takes 4 features, 1 given"),
    ("('width')", "predict(m, 'a')", FeatureType, "model 'width': feature 'pl' is DOUBLE, but the argument is VARCHAR"),
    ("('width')", "predict(m, {'x': 1})", MissingFeature, "model 'width' needs the feature pl"),
    ("('width')", "infer(m, 1.0)", CallError, "infer: the model name must be a constant text"),
    ("('width')", "predict(m, pl := 1.0, 2.0)", CallError, "name every feature behind the model or none"),
    ("('width')", "predict(length(m), 1.0)", CallError, "the model's name is a text, .* and the argument is BIGINT"),
    (
        "('same_int')",
        "predict(m, 9007199254740993)",
        ModelFailed,
        "'same_int' failed: .* predict_label(?s:.*)x = 9007199254740993",
    ),
    ("('same_int')", "predict(m, -9007199254740994)", ModelFailed, "-9007199254740994; "),
]


@pytest.mark.parametrize(("models", "call", "error", "text"), ERRORS)
def test_errors_name_the_model(con, models, call, error, text):
    with pytest.raises(error, match=text):
        con.execute(f"SELECT {call} FROM (VALUES {models}) t(m)").fetchall()
    assert con.execute("SELECT predict('same_int', 1)").fetchall() == [(1,)]


def test_whole_numbers_are_exact(column):
    assert column("SELECT predict(m, -9007199254740992) FROM (VALUES ('same_int')) t(m)") == [-(2.0**53)]
    assert column("SELECT predict_label(m, 9223372036854775807) FROM (VALUES ('same_int')) t(m)") == [str(2**63 - 1)]


def test_a_row_that_fails_can_be_tried(column):
    rows = "(VALUES ('digit'), ('nope'), ('iris'), ('segment'), (NULL)) t(m)"
    assert column(f"SELECT TRY(predict(m, {FLOWER})) FROM {rows}") == [-1.0, None, None, 1.0, None]


def test_wherever_an_expression_stands(con, column):
    con.execute("CREATE TABLE asked AS SELECT ['digit', 'segment'][1 + (rowid % 2)] AS m, * FROM iris")
    con.execute("CREATE VIEW scored AS SELECT m, predict(m, sl, sw, pl, pw) AS p FROM asked")
    digit = "(SELECT predict('digit', a)::DOUBLE AS p FROM asked a WHERE m = 'digit')"
    counted = con.execute(f"SELECT p, count(*) FROM {digit} GROUP BY p ORDER BY p").fetchall()
    assert con.execute("SELECT p, count(*) FROM scored WHERE m = 'digit' GROUP BY p ORDER BY p").fetchall() == counted
    asked = "SELECT predict(m, a) AS p FROM asked a"
    assert column(f"SELECT p FROM ({asked}) ORDER BY p") == sorted(column(asked))
    many = column("SELECT predict(m, a) FROM asked a WHERE predict(m, a) > 0")
    assert many == [p for p in column(asked) if p > 0] and many
    kept = "CASE WHEN m = 'digit' THEN predict(m, a) ELSE -7 END"
    assert column(f"SELECT DISTINCT {kept} FROM asked a WHERE m = 'segment'") == [-7]
    con.execute("CREATE TABLE kinds AS SELECT m::ENUM('digit', 'segment') AS m, * EXCLUDE m FROM asked")
    assert column("SELECT predict(m, a) FROM kinds a") == column(asked)


@pytest.fixture
def shops(tmp_path):
    """A registry of its own, which tests change; the models line/1 and line/2, wood and none."""
    registry = sqlinfer.Registry(tmp_path / "models")
    for name, factor in (("line", 2), ("line", 3), ("other", 5)):
        path = tmp_path / "graph.onnx"
        graph = f"(double[n, 1] x) => (double[n, 1] y) <double[1] k = {{{factor}}}> {{ y = Mul(x, k) }}"
        onnx.save(parse(graph), path)
        sqlinfer.register(name, path, registry=registry)
    return registry


def test_a_statement_sees_one_version(shops, engine):
    with sqlinfer.connect(registry=shops, engine=engine) as con:
        ask = "SELECT predict(m, 1.0) FROM (VALUES ('line'), ('line/2'), ('other')) t(m)"
        assert con.execute(ask).fetchall() == [(2.0,), (3.0,), (5.0,)]
        many = "SELECT predict('li' || repeat('ne', 1 + (i % 1)::INT), 1.0) FROM range(2_000_000) t(i)"
        cursor = con.execute(many)
        seen = set(cursor.fetchmany(5000))
        shops.alias("line", "default", 2)
        seen |= set(cursor.fetchmany(1_000_000))
        assert seen == {(2.0,)}
    with sqlinfer.connect(registry=shops, engine=engine) as con:
        assert con.execute(ask).fetchall() == [(3.0,), (3.0,), (5.0,)]
        shops.alias("line", "default", 1)
        assert con.execute(ask).fetchall() == [(2.0,), (3.0,), (5.0,)]
        shops.remove("other")
        with pytest.raises(ModelNotFound, match="no model named 'other'"):
            con.execute(ask).fetchall()


def test_a_damaged_model_fails_alone(shops, engine):
    with sqlinfer.connect(registry=shops, engine=engine) as con:
        path = shops.home / "models" / "other" / "1" / "model.onnx"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-4])
        rows = "(VALUES ('line', 1.0), ('other', 1.0), ('line', 2.0)) t(m, x)"
        with pytest.raises(sqlinfer.SqlinferError, match="other"):
            con.execute(f"SELECT predict(m, x) FROM {rows}").fetchall()
        assert con.execute(f"SELECT predict(m, x) FROM {rows} WHERE m = 'line'").fetchall() == [(2.0,), (4.0,)]


def test_policies_of_null_are_the_models_own(tmp_path, engine):
    registry = sqlinfer.Registry(tmp_path)
    sample = pd.DataFrame({"x": np.arange(20.0)})
    model = LinearRegression().fit(sample, 2 * sample["x"])
    for name, policy in {"skips": "null", "refuses": "error", "fills": 4.0}.items():
        sqlinfer.register(name, model, sample=sample, null={"x": policy}, registry=registry)
    rows = "(VALUES ('skips', 1), ('fills', NULL), ('skips', NULL), ('fills', 3), ('refuses', {})) t(m, x)"
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        ask = f"SELECT round(predict(m, x), 6) FROM {rows}"
        assert con.execute(ask.format(2)).fetchall() == [(2,), (8,), (None,), (6,), (4,)]
        with pytest.raises(NullFeature, match=r"model 'refuses': feature 'x' is NULL(?s:.*)the row: x = NULL"):
            con.execute(ask.format("NULL")).fetchall()


@pytest.mark.slow
def test_hundreds_of_models_on_many_threads(tmp_path, engine):
    registry = sqlinfer.Registry(tmp_path)
    random = np.random.default_rng(0)
    sample = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    for number in range(120):
        kind = DecisionTreeRegressor(max_depth=3, random_state=number) if number % 2 else LinearRegression()
        fitted = kind.fit(sample, random.normal(size=60))
        sqlinfer.register(f"m{number}", fitted, sample=sample, registry=registry, trials=0)
    with sqlinfer.connect(registry=registry, engine=engine, threads=4) as con:
        rows = "SELECT 'm' || (hash(i) % 120) AS m, sin(i) AS a, cos(i) AS b FROM range(260_000) r(i)"
        con.execute(f"CREATE TABLE t AS {rows}")
        con.execute("CREATE TABLE p AS SELECT m, a, b, predict(m, a, b) AS p FROM t")
        for number in range(0, 120, 7):
            ask = f"SELECT count(*) FROM p WHERE m = 'm{number}' AND p IS DISTINCT FROM predict('m{number}', a, b)"
            assert con.execute(ask).fetchall() == [(0,)]


def test_a_query_of_many_models_is_interrupted(registry, engine):
    row = "{'age': i, 'income': i, 'visits': i, 'city': 'Bern'}"
    ask = f"SELECT sum(predict(['risk', 'churn'][1 + i % 2], {row})) FROM range(1_000_000_000) t(i)"
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        threading.Timer(0.3, con.interrupt).start()
        with pytest.raises(duckdb.InterruptException):
            con.execute(ask).fetchall()
        assert con.execute("SELECT predict('same_int', 1)").fetchall() == [(1,)]
