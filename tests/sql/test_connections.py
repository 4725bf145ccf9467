"""Connections: our own, somebody else's, cursors, and models that change meanwhile."""

from __future__ import annotations

import gc
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

import duckdb
import onnx
import onnx.parser
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from sqlinfer.errors import CallError, EngineError, ModelNotFound, OtherRegistry


def attach(con, registry, engine):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sqlinfer.attach(con, registry=registry, engine=engine)


def unsigned():
    return duckdb.connect(config={"allow_unsigned_extensions": "true"})


def test_results_are_duckdbs(con):
    relation = con.sql("SELECT predict('width', pl) AS p FROM iris LIMIT 3")
    assert relation.df()["p"].dtype == float
    assert relation.pl().columns == ["p"]
    assert relation.to_arrow_table().num_rows == 3
    assert con.execute("SELECT predict('width', 1) AS p").df().shape == (1, 1)
    assert con.table("iris").limit(1).fetchall() == con.execute("FROM iris LIMIT 1").fetchall()
    assert con.query("SELECT 1").fetchall() == [(1,)]


def test_dataframes_of_the_caller_are_tables(con, iris):
    pandas_rows = iris.head(2)
    polars_rows = pl.DataFrame(pandas_rows)
    arrow_rows = pa.table(polars_rows.to_arrow())
    for name in ("pandas_rows", "polars_rows", "arrow_rows"):
        assert con.sql(f"SELECT predict('iris', r) FROM {name} r").fetchall() == [("setosa",)] * 2
    assert isinstance(pandas_rows, pd.DataFrame) and arrow_rows.num_rows == 2


@pytest.mark.parametrize(
    "name", ["self", "query", "call", "args", "options", "method", "rewritten", "error", "frame", "function", "sql"]
)
def test_any_name_can_be_a_dataframes(con, iris, name):
    namespace = {"con": con, name: iris.head(2)}
    sql = f"SELECT predict('iris', d) FROM {name} d"
    for method in ("sql", "execute", "query"):
        assert eval(f"con.{method}({sql!r}).fetchall()", namespace) == [("setosa",)] * 2
    assert len(eval(f"con.table({name!r}).fetchall()", namespace)) == 2


def test_only_the_caller_is_looked_at(registry, engine, iris):
    """As in DuckDB: a table that is missing is not found in a caller's caller."""
    plain = unsigned()
    con = attach(plain, registry, engine)
    missing_here = iris  # noqa: F841

    def inner(connection):
        return connection.execute("FROM missing_here").fetchall()

    for connection in (con, plain):
        with pytest.raises(duckdb.CatalogException):
            inner(connection)


def test_cursors_know_the_models(con):
    with con.cursor() as cursor:
        assert cursor.execute("SELECT predict('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]


def test_a_transaction_rolls_back(con):
    con.begin()
    con.execute("CREATE TABLE scored AS SELECT predict('iris', i) AS p FROM iris i")
    con.rollback()
    with pytest.raises(duckdb.CatalogException):
        con.execute("FROM scored")


def test_attach_to_somebody_elses_connection(registry, engine):
    plain = unsigned()
    con = attach(plain, registry, engine)
    assert con.sql("SELECT predict('width', 1) > 0").fetchall() == [(True,)]
    assert plain.execute("SELECT predict_width(1) > 0").fetchall() == [(True,)]


def test_who_asks_takes_it_for_duckdbs_own(con):
    for connected in (con, con.cursor()):
        assert isinstance(connected, duckdb.DuckDBPyConnection)
        assert isinstance(connected, sqlinfer.Connection)
    with pytest.raises(EngineError, match=r"of DuckDB's own, not a sqlinfer\.connection\.Connection"):
        sqlinfer.attach(con)


def test_functions_outlive_the_cursor_that_brought_them(registry, engine):
    plain = unsigned()
    con = attach(plain.cursor(), registry, engine)
    expected = con.execute("SELECT predict('width', 1)").fetchall()
    con.close()
    del con
    gc.collect()
    assert plain.execute("SELECT predict_width(1)").fetchall() == expected
    assert attach(plain.cursor(), registry, engine).execute("SELECT predict('width', 1)").fetchall() == expected


def test_two_connections_to_one_database(registry, engine, tmp_path):
    first = sqlinfer.connect(tmp_path / "x.duckdb", registry=registry, engine=engine)
    second = sqlinfer.connect(tmp_path / "x.duckdb", registry=registry, engine=engine)
    first.execute("CREATE VIEW v AS SELECT predict('width', 1) AS p")
    first.close()
    del first
    gc.collect()
    assert second.execute("SELECT p > 0 FROM v").fetchall() == [(True,)]
    with pytest.raises(EngineError, match="another process"):
        sqlinfer.connect(tmp_path / "x.duckdb", registry=tmp_path, engine=engine)
    second.close()


@pytest.mark.parametrize("second", ["the same", "auto"])
def test_one_database_has_one_registry(registry, engine, second, tmp_path):
    plain = unsigned()
    con = attach(plain, registry, engine)
    con.sql("SELECT predict('width', 1)").fetchall()
    with pytest.raises(
        OtherRegistry, match=r"already answers from the registry .*open the database in another process"
    ):
        attach(plain.cursor(), tmp_path / "other", engine if second == "the same" else "auto")
    assert con.sql("SELECT predict('width', 1) > 0").fetchall() == [(True,)]


@pytest.mark.parametrize("second", ["arrow", "native"])
def test_one_database_has_one_engine(registry, engine, second):
    plain = unsigned()
    attach(plain, registry, engine)
    if second != engine:
        with pytest.raises(EngineError, match=f"already answers with the {engine} engine"):
            attach(plain, registry, second)
    assert attach(plain, registry, "auto").engine == engine


def test_attaching_leaves_a_transaction_alone(registry, engine):
    plain = unsigned()
    plain.execute("BEGIN; CREATE TABLE t AS SELECT 1 AS x")
    con = attach(plain, registry, engine)
    con.execute("COMMIT")
    assert con.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_views_find_their_models_another_day(registry, engine, tmp_path):
    with sqlinfer.connect(tmp_path / "x.duckdb", registry=registry, engine=engine) as con:
        con.execute("CREATE VIEW v AS SELECT predict('iris', 5, 3, 1, 0.2) AS p, predict('iris/2', 5, 3, 1, 0.2) AS q")
    with sqlinfer.connect(tmp_path / "x.duckdb", registry=registry, engine=engine, read_only=True) as con:
        assert con.execute("FROM v").fetchall() == [("setosa", "setosa")]
        assert con.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


@pytest.fixture
def own(tmp_path, iris, engine):
    registry = sqlinfer.Registry(tmp_path / "models")
    sqlinfer.register(
        "m", LinearRegression().fit(iris[["pl"]], iris["pl"] * 0 + 1), sample=iris[["pl"]], registry=registry
    )
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        yield registry, con


def constant(registry, iris, value, **options):
    model = LinearRegression().fit(iris[["pl"]], iris["pl"] * 0 + value)
    return sqlinfer.register("m", model, sample=iris[["pl"]], registry=registry, **options)


def ask(con, reference="m"):
    ((value,),) = con.execute(f"SELECT round(predict('{reference}', 5), 6)").fetchall()
    return value


def test_a_new_version_changes_nothing_until_it_is_promoted(own, iris):
    registry, con = own
    assert ask(con) == 1
    model = constant(registry, iris, 2)
    assert (ask(con), ask(con, "m/2")) == (1, 2)
    model.alias("champion")
    assert ask(con, "m@champion") == 2
    model.alias("default")
    assert ask(con) == 2
    registry.alias("m", "default", 1)
    assert ask(con) == 1


@pytest.mark.slow
def test_a_model_registered_while_a_connection_is_open(own, iris, species):
    registry, con = own
    sqlinfer.register("late", LogisticRegression(max_iter=500).fit(iris, species), sample=iris, registry=registry)
    assert con.execute("SELECT predict('late', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]
    con.execute("CREATE VIEW v AS SELECT predict_late(5, 3, 1, 0.2) AS p")
    assert con.execute("FROM v").fetchall() == [("setosa",)]


def test_a_model_removed_while_it_is_used(own, iris):
    registry, con = own
    constant(registry, iris, 2)
    assert ask(con, "m/2") == 2
    registry.remove("m/2")
    with pytest.raises(ModelNotFound, match="no version 2; versions: 1"):
        ask(con, "m/2")
    assert ask(con) == 1


def test_views_and_macros_follow_a_promotion(own, iris):
    registry, con = own
    con.execute("CREATE VIEW v AS SELECT round(predict('m', 5)); CREATE MACRO ask_m(x) AS round(predict('m', x))")
    asked = ("FROM v", "SELECT ask_m(5)", "SELECT round(predict_m(5))")
    assert [con.execute(sql).fetchall() for sql in asked] == [[(1,)]] * 3
    constant(registry, iris, 2, promote=True)
    assert [con.execute(sql).fetchall() for sql in asked] == [[(2,)]] * 3
    registry.alias("m", "default", 1)
    assert [con.execute(sql).fetchall() for sql in asked] == [[(1,)]] * 3


def test_a_view_of_a_model_that_was_removed(own):
    registry, con = own
    con.execute("CREATE VIEW v AS SELECT predict('m', 5) AS p")
    assert len(con.execute("FROM v").fetchall()) == 1
    registry.remove("m")
    with pytest.raises(ModelNotFound, match="no model named 'm'"):
        con.execute("FROM v").fetchall()


def test_functions_survive_a_rollback(own):
    _, con = own
    con.begin()
    con.execute("CREATE TABLE t AS SELECT 1 + 1 AS x")
    assert con.execute("SELECT infer('m', 5) IS NULL").fetchall() == [(False,)]
    assert con.execute("SELECT infer('m', x) IS NULL FROM t").fetchall() == [(False,)]
    con.rollback()
    assert con.execute("SELECT infer('m', 5) IS NULL").fetchall() == [(False,)]
    assert con.cursor().execute("SELECT infer('m', 5) IS NULL").fetchall() == [(False,)]


def test_a_model_registered_inside_a_transaction(own, iris):
    registry, con = own
    con.begin()
    constant(registry, iris, 2).alias("late")
    assert ask(con, "m@late") == 2
    con.rollback()
    assert ask(con, "m@late") == 2


def test_attaching_survives_a_rollback(registry, engine):
    plain = unsigned()
    plain.execute("BEGIN; CREATE TABLE t AS SELECT 1 AS x")
    attach(plain, registry, engine)
    plain.execute("ROLLBACK")
    con = attach(plain, registry, engine)
    assert con.execute("SELECT predict('width', 1) > 0").fetchall() == [(True,)]
    assert con.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


def test_attaching_leaves_a_result_alone(registry, engine):
    plain = unsigned()
    plain.execute("SELECT i FROM range(500000) r(i)")
    assert plain.fetchmany(2) == [(0,), (1,)]
    con = attach(plain, registry, engine)
    assert plain.fetchmany(2) == [(2,), (3,)]
    assert con.execute("SELECT infer('width', 1) IS NULL").fetchall() == [(False,)]
    assert con.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


@pytest.mark.slow
def test_threads_open_one_file(registry, engine, tmp_path):
    def work(number):
        with sqlinfer.connect(tmp_path / f"{number // 8}.duckdb", registry=registry, engine=engine) as con:
            return con.execute("SELECT infer('width', 1) IS NULL").fetchall()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [[(False,)]] * 40


@pytest.mark.slow
def test_calls_too_deep_inside_one_another(con):
    with pytest.raises(CallError, match="too deep"):
        con.execute("SELECT " + "predict('same_int', " * 2000 + "1" + ")" * 2000)
    assert con.execute("SELECT predict('same_int', 1)").fetchall() == [(1,)]


def test_an_unknown_engine(registry):
    with pytest.raises(EngineError, match="'auto', 'native' or 'arrow'"):
        sqlinfer.connect(registry=registry, engine="quantum")


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A registry with a model that counts to its feature, one by one."""
    folder = tmp_path_factory.mktemp("endless")
    body = "b (int64 i, bool go, float v) => (bool still, float next) { still = Identity(go) next = Add(v, one) }"
    graph = f"""<ir_version: 9, opset_import: ["": 17]>
        count (int64[1] n) => (float[1] y) <float one = {{1.0}}, float zero = {{0.0}}> {{
            most = Squeeze(n)
            last = Loop <body = {body}> (most, "", zero)
            one_row = Constant <value_ints = [1]> ()
            y = Reshape(last, one_row)
        }}"""
    onnx.save(onnx.parser.parse_model(graph), folder / "count.onnx")
    sqlinfer.register("count", folder / "count.onnx", registry=folder / "models")
    return sqlinfer.Registry(folder / "models")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("home", "long", "short"),
    [
        (
            "registry",
            "SELECT max(predict('churn', 40 + a.i % 9, b.i, 3, 'Bern')) FROM range(100000) a(i), range(100000) b(i)",
            "SELECT predict('width', 1) > 0",
        ),
        ("endless", "SELECT predict('count', 1000000000000)", "SELECT predict('count', 3) = 3"),
    ],
    ids=["many runs", "one run"],
)
def test_interrupting_a_long_query(request, engine, interrupted, home, long, short):
    """Ctrl-C ends the query, as KeyboardInterrupt, and the connection goes on."""
    home = request.getfixturevalue(home)
    script = textwrap.dedent(f"""
        import sqlinfer
        con = sqlinfer.connect(registry={str(home.home)!r}, engine={engine!r})
        con.execute("SET enable_progress_bar = false")
        print("ready", flush=True)
        try:
            con.execute({long!r})
        except BaseException as error:
            print(type(error).__name__, flush=True)
        print(con.execute({short!r}).fetchall(), flush=True)
    """)
    assert interrupted(script) == ["KeyboardInterrupt", "[(True,)]"]


def test_a_view_may_need_several_functions(registry, engine, tmp_path, iris):
    with sqlinfer.connect(tmp_path / "x.db", registry=registry, engine=engine) as con:
        con.execute("CREATE TABLE t AS FROM iris LIMIT 3")
        con.execute("CREATE VIEW views AS SELECT predict('iris/1', t) AS a, predict('iris@careful', t) AS b FROM t")
        answers = con.execute("FROM views").fetchall()
    with sqlinfer.connect(tmp_path / "x.db", registry=registry, engine=engine) as con:
        assert con.execute("FROM views").fetchall() == answers
