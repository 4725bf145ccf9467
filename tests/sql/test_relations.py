"""Relations: predict() in the SQL that their methods are given, and DuckDB's own relations in everything else."""

from __future__ import annotations

import copy
import pickle
import sys
import textwrap

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import sqlinfer
from sqlinfer.errors import FeatureCount, FeatureType, MissingFeature, ModelNotFound

MODERN = not duckdb.__version__.startswith("1.")


@pytest.fixture
def flowers(con):
    return con.table("iris")


def test_methods_know_predict(flowers):
    setosa = flowers.filter("predict('iris', sl, sw, pl, pw) = 'setosa'")
    assert len(setosa) == 50
    assert setosa.project("predict('iris', *) AS p").distinct().fetchall() == [("setosa",)]
    assert setosa.select("predict('width', pl) > 0 AS p").columns == ["p"]
    assert flowers.order("predict('width', pl) DESC").limit(1).fetchall()[0][2] == 6.9
    assert flowers.aggregate("predict('iris', *) AS p, count(*) AS n", "p").order("p").fetchall()[0] == ("setosa", 50)
    assert flowers.max("predict('width', pl)").fetchall()[0][0] > 2
    assert flowers.query("v", "SELECT DISTINCT predict('iris', v) AS p FROM v ORDER BY p").fetchall()[0] == ("setosa",)


@pytest.mark.skipif(not MODERN, reason="DuckDB 2 has it")
def test_chosen_groups_know_predict(flowers):
    assert flowers.group_by("pw").agg("max(predict('width', pl)) > 0 AS p").distinct("p").fetchall()[0][-1] is True


def test_a_relations_alias_is_its_row(flowers):
    named = flowers.set_alias("i")
    assert len(named.filter("predict('iris', i) = 'setosa'")) == 50
    assert len(named.filter("predict('iris', i.*) = 'setosa'")) == 50
    whole = named.project("sl, sw, pl, pw, 'no number' AS more").set_alias("w")
    assert whole.project("predict('iris', w) AS p").limit(1).fetchall() == [("setosa",)]
    other = flowers.project("predict('iris', *) AS kind").distinct().set_alias("k")
    assert len(named.join(other, "predict('iris', i) = k.kind")) == 150


def test_a_column_comes_before_the_alias(con):
    named = con.sql("SELECT {'sl': 5, 'sw': 3, 'pl': 1, 'pw': 0.2} AS i").set_alias("i")
    assert named.project("predict('iris', i)").fetchall() == [("setosa",)]
    two = con.sql("SELECT 1 AS pl, 2 AS sl").set_alias("pl")
    assert two.project("predict('width', pl) < 1").fetchall() == [(True,)]


def test_results_are_relations(con, iris, tmp_path):
    con.table("iris").to_parquet(f"{tmp_path}/iris.parquet")
    con.execute("CREATE VIEW v AS FROM iris")
    for relation in (
        con.sql("FROM iris"),
        con.query("FROM iris"),
        con.view("v"),
        con.from_df(iris),
        con.from_arrow(pa.table(con.table("iris").pl().to_arrow())),
        con.read_parquet(f"{tmp_path}/iris.parquet"),
        con.cursor().table("iris"),
    ):
        assert relation.filter("predict('iris', *) = 'setosa'").count("*").fetchall() == [(50,)]
    assert con.values([5, 3, 1, 0.2]).project("predict('iris', #1, #2, #3, #4)").fetchall() == [("setosa",)]


def test_they_are_duckdbs_relations(con, flowers):
    assert isinstance(flowers, duckdb.DuckDBPyRelation)
    assert flowers.columns == ["sl", "sw", "pl", "pw"] and flowers.shape == (150, 4) and "sl" in flowers
    assert "pw" not in flowers.project("sl")
    assert flowers.sl.limit(1).fetchall() == flowers["sl"].limit(1).fetchall() == [(5.1,)]
    scored = flowers.project("predict('iris', *) AS kind")
    assert "setosa" in repr(scored) and "setosa" in str(scored) and len(scored) == 150
    assert scored.df()["kind"].iloc[0] == scored.pl()["kind"][0] == scored.to_arrow_table()["kind"][0].as_py()
    assert pl.DataFrame(scored).shape == (150, 1)
    assert scored.arrow().read_all().num_rows == 150
    assert "filter" in dir(scored) and scored.filter.__doc__
    with pytest.raises(AttributeError, match="nothing"):
        scored.nothing  # noqa: B018
    with pytest.raises(duckdb.Error):
        scored.filter("nothing > 1").fetchall()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_they_are_copied_as_duckdbs_are(con, flowers, copied):
    try:
        expected = type(copied(con.raw.table("iris")))
    except Exception as error:
        with pytest.raises(type(error)):
            copied(flowers)
    else:
        assert type(copied(flowers)) is expected


def test_they_are_shown(flowers, capsys):
    flowers.project("predict('iris', *) AS kind").show()
    assert "setosa" in capsys.readouterr().out


@pytest.mark.skipif(not MODERN, reason="DuckDB 2 has it")
def test_they_are_shown_in_a_notebook(flowers):
    assert "setosa" in flowers.project("predict('iris', *) AS kind")._repr_mimebundle_()["text/html"]


def test_a_variable_is_a_table(con):
    scored = con.sql("SELECT predict('iris', i) AS kind FROM iris i")  # noqa: F841
    assert con.sql("SELECT count(*) FROM scored WHERE kind = 'setosa'").fetchall() == [(50,)]
    assert con.execute("SELECT count(*) FROM scored").fetchall() == [(150,)]
    assert con.table("iris").query("i", "SELECT count(*) FROM i, scored").fetchall() == [(150 * 150,)]
    assert con.raw.sql("SELECT count(*) FROM scored").fetchall() == [(150,)]


def test_they_are_arguments(con, flowers):
    setosa = flowers.filter("predict('iris', *) = 'setosa'")
    for one, two in ((setosa, flowers), (con.raw.table("iris"), setosa), (setosa, con.raw.table("iris"))):
        assert len(one.union(two)) == 200
    assert len(flowers.except_(setosa)) == 100 and len(flowers.intersect(setosa)) == 50
    assert len(setosa.cross(setosa.set_alias("again"))) == 2500
    con.register("kept", setosa)
    con.execute("CREATE TABLE later AS SELECT 1")
    assert con.execute("SELECT count(*) FROM kept").fetchall() == [(50,)]
    assert len(con.raw.table("iris").set_alias("x").join(setosa.set_alias("y"), "x.sl = y.sl AND x.pw = y.pw")) >= 50


def test_texts_that_are_no_sql(con, flowers, tmp_path):
    scored = flowers.project("pl AS \"predict('width')\"")
    scored.create("predict('width')")
    scored.create_view("infer('width')")
    scored.write_csv(f"{tmp_path}/predict('nope').csv")
    assert con.table("\"predict('width')\"").columns == scored["predict('width')"].columns == ["predict('width')"]
    assert len(pd.read_csv(f"{tmp_path}/predict('nope').csv")) == 150


@pytest.mark.parametrize(
    ("method", "sql", "error", "says"),
    [
        ("filter", "predict('irs', *) = 'a'", ModelNotFound, "did you mean 'iris'.*\n.*LINE 1: predict\\('irs', "),
        ("project", "predict('iris', 1, 2)", FeatureCount, "\\^{21}$"),
        ("order", "predict('iris', i)", MissingFeature, "needs the feature pw, .*\n.*LINE 1: predict\\('iris', i\\)"),
    ],
)
def test_errors_in_their_place(con, method, sql, error, says):
    relation = con.sql("SELECT sl, sw, pl FROM iris").set_alias("i")
    with pytest.raises(error, match=rf"(?s){says}"):
        getattr(relation, method)(sql).fetchall()
    assert len(relation) == 150


def test_errors_of_rows_in_their_place(con):
    """What comes up when a relation is read is underlined where the call stands."""
    texts = con.sql("SELECT range AS x, predict('same_tiny', range * 100) AS y FROM range(5)")
    for read in (texts.fetchall, texts.df, lambda: len(texts.filter("y > 0")), lambda: repr(texts.limit(9))):
        with pytest.raises(sqlinfer.SqlinferError, match=r"LINE 1: SELECT range AS x, predict\('same_tiny', range"):
            read()


def test_wrong_types_in_their_place(con):
    with pytest.raises(FeatureType, match=r"LINE 1: predict\('width', 'a'\)"):
        con.table("iris").project("predict('width', 'a')").fetchall()


def test_a_promotion_is_seen_when_it_is_read_again(tmp_path, iris, engine):
    registry = sqlinfer.Registry(tmp_path)
    models = [LinearRegression().fit(iris[["pl"]], iris["pl"] * 0 + value) for value in (1, 2)]
    sqlinfer.register("m", models[0], sample=iris[["pl"]], registry=registry)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        answer = con.sql("SELECT round(predict('m', 5)) AS p, random() AS r").project("p")
        assert answer.fetchall() == [(1,)]
        sqlinfer.register("m", models[1], sample=iris[["pl"]], registry=registry, promote=True)
        if MODERN:  # before, a relation keeps its rows
            assert answer.fetchall() == [(2,)]
        assert answer.limit(5).fetchall() == [(2,)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("read", ["fetchall()", "df()", "show()", "create('t')"])
def test_interrupting_a_relation(registry, engine, interrupted, read):
    script = textwrap.dedent(f"""
        import sqlinfer
        con = sqlinfer.connect(registry={str(registry.home)!r}, engine={engine!r})
        con.execute("SET enable_progress_bar = false")
        long = con.sql(\"\"\"SELECT max(predict('churn', 40 + a.i % 9, b.i, 3, 'Bern')) AS p
            FROM range(100000) a(i), range(100000) b(i)\"\"\")
        print("ready", flush=True)
        try:
            long.{read}
        except BaseException as error:
            print(type(error).__name__, flush=True)
        print(con.sql("SELECT predict('width', 1) > 0 AS p").fetchall(), flush=True)
    """)
    assert interrupted(script) == ["KeyboardInterrupt", "[(True,)]"]
