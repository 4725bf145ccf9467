"""One clear error, at its place in the SQL, and a connection that goes on working."""

from __future__ import annotations

import duckdb
import pytest

from sqlinfer import errors

REFUSED = [
    ("SELECT predict('irs', t) FROM iris t", errors.ModelNotFound, "no model named 'irs'.*did you mean 'iris'"),
    ("SELECT predict('iris/9', t) FROM iris t", errors.ModelNotFound, "no version 9; versions: 1, 2"),
    ("SELECT predict('iris@champ', t) FROM iris t", errors.ModelNotFound, "no alias 'champ'"),
    ("SELECT predict('a b', t) FROM iris t", errors.BadReference, "does not name a model"),
    ("SELECT predict_proba('width', 1)", errors.ModelNotFound, r"has no predict_proba\(\)"),
    ("SELECT infer(sl, 1) FROM iris", errors.CallError, "constant"),
    ("SELECT predict()", errors.CallError, "constant"),
    ("SELECT predict('iris', sl, sw) FROM iris", errors.FeatureCount, "takes 4 features, 2 given"),
    ("SELECT predict('iris') FROM iris", errors.FeatureCount, "takes 4 features, 0 given"),
    ("SELECT predict('iris', r) FROM (SELECT 1 AS sl) r", errors.MissingFeature, "sw"),
    ("SELECT predict('iris', *) FROM (SELECT 1 AS sl)", errors.MissingFeature, "sw"),
    ("SELECT predict('iris', {'sl': 1, 'sw': 2})", errors.MissingFeature, "pl, pw"),
    ("SELECT predict('iris', sl := 1, sw := 2, pl := 3)", errors.MissingFeature, "the feature pw"),
    ("SELECT predict('iris', sl := 1, sw := 2, pl := 3, px := 4)", errors.UnknownFeature, "did you mean 'pl'|'px'"),
    ("SELECT predict('iris', sl := 1, sl := 2, sw := 3, pl := 4, pw := 5)", errors.UnknownFeature, "twice"),
    ("SELECT predict('iris', sl := 1, 2, 3, 4)", errors.CallError, "name every feature or none"),
    ("SELECT predict('iris', '5', 3, 1, 2)", errors.FeatureType, r"'sl' is DOUBLE.*VARCHAR.*CAST\(sl AS DOUBLE\)"),
    ("SELECT predict('iris', DATE '2020-01-01', 3, 1, 2)", errors.FeatureType, r"DATE.*epoch\(sl\)"),
    ("SELECT predict('iris', now(), 3, 1, 2)", errors.FeatureType, "TIMESTAMP"),
    ("SELECT predict('same_text', 5)", errors.FeatureType, "VARCHAR"),
    ("SELECT predict('iris', [1, 2, 3])", errors.FeatureCount, "list of 4 values.* 3"),
    ("SELECT predict('pixels', range(23))", errors.FeatureCount, "23 values"),
    ("SELECT predict('pixels', 5)", errors.FeatureType, "list"),
    ("SELECT predict('same_int', 1.5)", errors.FeatureType, "BIGINT"),
]


@pytest.mark.parametrize(("sql", "error", "says"), REFUSED, ids=[sql for sql, _, _ in REFUSED])
def test_what_is_wrong_where_and_what_to_do(con, sql, error, says):
    with pytest.raises(error, match=f"(?s){says}") as caught:
        con.execute(sql).fetchall()
    assert isinstance(caught.value, errors.SqlinferError)
    assert "\nLINE 1: " in str(caught.value) and "^" in str(caught.value)
    assert con.execute("SELECT predict('width', 1) IS NULL").fetchall() == [(False,)]


def test_the_place_is_underlined(con):
    with pytest.raises(errors.ModelNotFound) as caught:
        con.execute("SELECT 1;\nSELECT sl, predict('irs', sl)\nFROM iris")
    assert caught.value.excerpt == "LINE 2: SELECT sl, predict('irs', sl)\n                           ^^^^^"


def test_an_empty_registry_says_how_to_fill_it(tmp_path, engine):
    import sqlinfer

    with (
        sqlinfer.connect(registry=tmp_path, engine=engine) as con,
        pytest.raises(errors.ModelNotFound, match="sqlinfer register"),
    ):
        con.execute("SELECT predict('churn', 1)")


def test_duckdbs_own_errors_are_duckdbs(con):
    import duckdb

    with pytest.raises(duckdb.ParserException):
        con.execute("SELEC predict('iris', 1, 2, 3, 4)")
    with pytest.raises(duckdb.BinderException, match="Ambiguous"):
        con.execute("SELECT predict('iris', *) FROM iris a JOIN iris b ON a.sl = b.sl")


def test_a_wrong_list_names_its_row(con):
    with pytest.raises(errors.FeatureCount, match=r"a row has 1\nthe row: \[1\]\n"):
        con.execute("SELECT predict('iris', x) FROM (VALUES ([1,2,3,4]), ([1,2,3,4]), ([1])) t(x)").fetchall()


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT * FROM 'model.json'", duckdb.IOException),
        ("SELECT error('x has no feature y')", duckdb.InvalidInputException),
        ("SELECT predict('width', 1), error('that is given twice')", duckdb.InvalidInputException),
    ],
)
def test_errors_of_duckdb_stay_as_they_are(con, query, kind):
    with pytest.raises(kind):
        con.execute(query).fetchall()


@pytest.mark.parametrize(
    ("sql", "marked"),
    [
        ("SELECT predict('iris', iris), nope FROM iris", "nope"),
        ("SELECT predict('iris', iris), nope.x FROM iris", "nope.x"),
        ("SELECT 1,\n  predict('iris', iris) AS p FROM nowhere", "nowhere"),
        ("SELECT upper(predict('iris', iris), 3) FROM iris", "upper"),
        ("SELECT predict('iris', iris), CAST(predict('iris', iris) AS INT) FROM iris", ""),
    ],
)
def test_an_error_shows_what_the_user_wrote(con, sql, marked):
    with pytest.raises(duckdb.Error) as caught:
        con.execute(sql).fetchall()
    text = str(caught.value)
    assert "predict_iris" not in text and "system.main" not in text
    if marked:
        *_, line, carets = text.splitlines()
        start = carets.index("^")
        assert line[start : start + carets.count("^")] == marked and line.partition(": ")[2] in sql
