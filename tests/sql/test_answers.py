"""Answers are typed by the model, and are what the framework that trained it answers, on every row."""

from __future__ import annotations

import numpy as np
import pytest

import sqlinfer

TYPES = {
    "predict('iris', t)": "VARCHAR",
    "predict_proba('iris', t)": "MAP(VARCHAR, DOUBLE)",
    "predict('segment', t)": "BIGINT",
    "predict('digit', t)": "BIGINT",
    "predict_proba('digit', t)": "MAP(BIGINT, DOUBLE)",
    "predict('churn', 1, 2, 3, 'x')": "BOOLEAN",
    "predict('same_tiny', 1)": "TINYINT",
    "predict('table', [[1, 2]])": "DOUBLE[2]",
    "predict_width(pl)": "DOUBLE",
    "infer('half', 1, 2)": "STRUCT(y FLOAT[2])",
    "predict('width', pl)": "DOUBLE",
    "predict('plane', t)": "DOUBLE[2]",
    "predict('mean', [1, 2])": "FLOAT",
    "predict('echo', [1, 2])": "BIGINT[]",
    "predict('negate', true)": "BOOLEAN",
    "predict('half', 1, 2)": "FLOAT[2]",
    "predict('arithmetic', 1, 2)": "STRUCT(sum FLOAT, product FLOAT)",
    "infer('iris', t)": 'STRUCT("label" VARCHAR, probabilities DOUBLE[3])',
}


@pytest.mark.parametrize("call", TYPES)
def test_types(one, call):
    answer = one(f"SELECT typeof({call}) FROM iris t LIMIT 1")
    assert answer.replace('"', "") == TYPES[call].replace('"', "")


def test_labels_and_probabilities_are_the_estimators(con, customers, estimators):
    churn, _ = estimators["churn"]
    rows = con.execute("SELECT predict('churn', c), predict_proba('churn', c)[true] FROM customers c").fetchall()
    assert [label for label, _ in rows] == churn.predict(customers).tolist()
    np.testing.assert_allclose([p for _, p in rows], churn.predict_proba(customers)[:, 1], atol=1e-5)


@pytest.mark.parametrize("name", ["iris", "churn", "digit", "progress", "width", "segment", "plane", "risk", "offer"])
def test_every_row_gets_the_estimators_own_answer(con, estimators, name):
    model, rows = estimators[name]
    given = [value for (value,) in con.execute(f"SELECT predict('{name}', r) FROM rows r").fetchall()]
    expected = model.predict(rows) if hasattr(model, "predict") else model.transform(rows)
    if isinstance(given[0], (float, tuple)):
        np.testing.assert_allclose(np.array(given), expected, rtol=1e-5, atol=1e-5)
    else:
        assert given == expected.tolist()


@pytest.mark.parametrize("name", ["iris", "churn", "digit", "offer"])
def test_every_class_gets_the_estimators_own_probability(con, estimators, name):
    model, rows = estimators[name]
    given = [value for (value,) in con.execute(f"SELECT predict_proba('{name}', r) FROM rows r").fetchall()]
    assert all(list(proba) == model.classes_.tolist() for proba in given)
    np.testing.assert_allclose([list(p.values()) for p in given], model.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("name", ["iris", "churn", "digit", "offer"])
def test_infer_of_a_classifier_has_its_label(con, estimators, name):
    model, rows = estimators[name]
    given = [label for (label,) in con.execute(f"SELECT infer('{name}', r).label FROM rows r").fetchall()]
    assert given == model.predict(rows).tolist()


def test_a_double_model_is_computed_in_double(con, estimators):
    model, rows = estimators["progress"]
    given = [value for (value,) in con.execute("SELECT predict('progress', r) FROM rows r").fetchall()]
    np.testing.assert_allclose(given, model.predict(rows), rtol=1e-12)


def test_several_outputs(con):
    assert con.execute("SELECT infer('arithmetic', a := 2, b := 5)").fetchall() == [({"sum": 7, "product": 10},)]
    assert con.execute("SELECT (predict('arithmetic', 3, 4)).product").fetchall() == [(12,)]


def test_versions_and_aliases(one):
    ask = "SELECT predict_proba('{}', 5.1, 3.5, 1.4, 0.2)['setosa']".format
    plain, first, second, careful = (one(ask(r)) for r in ("iris", "iris/1", "iris/2", "iris@careful"))
    assert plain == first
    assert second == careful != first


def test_many_rows_on_many_threads(con, registry, iris):
    """A table of several row groups is scored by several threads; each row gets the answer that it gets alone."""
    con.execute("CREATE TABLE many AS SELECT i.*, n FROM range(3000) t(n), iris i")
    different = con.execute("""
        SELECT count(*) FROM (SELECT predict('iris', m) AS p, sl, sw, pl, pw FROM many m) a
        JOIN (SELECT DISTINCT sl, sw, pl, pw, predict('iris', i) AS p FROM iris i) b USING (sl, sw, pl, pw)
        WHERE a.p IS DISTINCT FROM b.p
    """).fetchall()
    assert different == [(0,)]


def test_a_fixed_batch_is_padded_and_cut(column):
    assert column("SELECT predict('four', i, i + 1) FROM range(6) t(i)") == [(2 * i, 2 * i + 2) for i in range(6)]


def test_no_answer_depends_on_its_neighbours(column):
    assert column("SELECT predict('centred', i, i + 2) FROM range(5) t(i)") == [(-1, 1)] * 5


def test_models_and_versions_are_listed(con):
    rows = con.execute(
        "SELECT version, aliases, task, result, features FROM sqlinfer_models() WHERE name = 'iris' ORDER BY version"
    ).fetchall()
    assert rows == [
        (1, ["default"], "classification", "VARCHAR", "sl DOUBLE, sw DOUBLE, pl DOUBLE, pw DOUBLE"),
        (2, ["careful"], "classification", "VARCHAR", "sl DOUBLE, sw DOUBLE, pl DOUBLE, pw DOUBLE"),
    ]
    ((version,),) = con.execute("SELECT sqlinfer_version()").fetchall()
    assert f"sqlinfer {sqlinfer.__version__}" in version and "(CPU kernels: " in version
