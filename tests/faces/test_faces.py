"""The same SQL wherever it can be typed: sqlinfer.connect(), a connection after attach(con), plain LOAD, and the real
duckdb program. What is left of differences stands in docs/differences.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pytest

import sqlinfer
from sqlinfer.engines.native import extension_path
from sqlinfer.installation import onnxruntime_library
from tests.engines import ENGINES
from tests.processes import HANG

OPEN: dict[str, Any] = {"allow_unsigned_extensions": "true"}
NATIVE = ["attach", "plain", "program"] if "native" in ENGINES else []
FACES = [*(f"connect-{engine}" for engine in ENGINES), *NATIVE]
# DuckDB 1.5 shows a column's name, whether it was given one or not; 2 shows what was given, and has it behind all else.
IS_1 = duckdb.__version__.startswith("1.")
FLOWER = "5.1, 3.5, 1.4, 0.2"
CUSTOMER = "{'age': 40.0, 'income': 10.0, 'visits': 3, 'city': 'Bern'}"


class Face:
    """``ask(sql)``: the rows; ``refusal(sql)``: the words of the error."""

    def __init__(self, con):
        self.con = con

    def ask(self, sql):
        return self.con.execute(sql).fetchall()

    def refusal(self, sql):
        with pytest.raises(Exception) as raised:
            self.ask(sql)
        return str(raised.value)


class Program:
    def __init__(self, setup, environment):
        self.setup = setup
        self.environment = environment

    def run(self, sql):
        command = [sys.executable, "-m", "duckdb_cli", "-unsigned", "-json", "-c", self.setup, "-c", sql]
        return subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=self.environment)

    def ask(self, sql):
        ran = self.run(sql)
        assert ran.returncode == 0, ran.stderr
        return [tuple(row.values()) for row in json.loads(ran.stdout[ran.stdout.rfind("[{") :])]

    def refusal(self, sql):
        ran = self.run(sql)
        assert ran.returncode == 1, ran.stdout
        return ran.stderr


@pytest.fixture(scope="module", params=FACES)
def face(request, registry, iris, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    iris.to_csv(folder / "iris.csv", index=False)
    table = f"CREATE TABLE iris AS FROM '{folder}/iris.csv'"
    kind, _, engine = request.param.partition("-")
    if kind == "program":
        setup = f"LOAD '{extension_path()}'; SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'; {table}"
        yield Program(setup, {**os.environ, "SQLINFER_HOME": str(registry.home)})
        return
    if kind == "connect":
        with sqlinfer.connect(registry=registry, engine=engine) as connected:
            connected.execute(table)
            yield Face(connected)
        return
    with duckdb.connect(config=OPEN) as con:
        if kind == "attach":
            sqlinfer.attach(con, registry=registry, engine="native")
        else:
            loaded(con, registry)
        con.execute(table)
        yield Face(con)


def loaded(con, registry):
    con.execute(f"LOAD '{extension_path()}'")
    con.execute(f"SET GLOBAL sqlinfer_home = '{registry.home}'")
    con.execute(f"SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'")
    con.execute("CALL sqlinfer_refresh()")


@pytest.fixture
def shows_names(request):
    """Whether the face tells a name that an argument is given from that of a column."""
    kind = request.node.callspec.params["face"].partition("-")[0]
    return kind == "connect" or not (IS_1 or kind == "program")


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (f"SELECT predict('iris', {FLOWER}) AS p, typeof(p)", [("setosa", "VARCHAR")]),
        ("SELECT predict('iris', i) AS p, count(*) FROM iris i GROUP BY p ORDER BY p LIMIT 1", [("setosa", 50)]),
        ("SELECT count(*) FROM iris i WHERE predict('iris', i) = 'setosa'", [(50,)]),
        ("SELECT predict('digit', 5.1, 3.5, 1.4, 0.2) AS p, typeof(p)", [(-1, "BIGINT")]),
        (f"SELECT typeof(predict('churn', {CUSTOMER}))", [("BOOLEAN",)]),
        (f"SELECT typeof(predict('plane', {FLOWER}))", [("DOUBLE[2]",)]),
        ("SELECT predict('arithmetic', 2, 3).product AS p", [(6.0,)]),
        ("SELECT infer('arithmetic', 2, 3).sum AS p", [(5.0,)]),
        ("SELECT predict('iris/2', {'pw': 0.2, 'pl': 1.4, 'sw': 3.5, 'sl': 5.1}) AS p", [("setosa",)]),
        (f"SELECT predict_proba('iris', {FLOWER})['setosa'] = predict_proba('iris', {FLOWER}, 'setosa')", [(True,)]),
        (f"SELECT typeof(predict_proba('iris', {FLOWER}, 'setosa')) = 'MAP'", [(False,)]),
        ("SELECT sum(predict_proba('iris', i, 'setosa'))::INTEGER FROM iris i", [(50,)]),
        (f"SELECT predict_proba('churn', {CUSTOMER})[true] = predict_proba('churn', {CUSTOMER})['true']", [(True,)]),
        (
            f"SELECT predict_proba('churn', {CUSTOMER}, true) = predict_proba('churn', {CUSTOMER}, 'true'), "
            f"predict_proba('churn', {CUSTOMER}, true) + predict_proba('churn', {CUSTOMER}, false)",
            [(True, 1.0)],
        ),
        (f"SELECT predict_proba('digit', {FLOWER}, -1) = predict_proba('digit', {FLOWER})['-1']", [(True,)]),
        ("SELECT predict('iris', NULL, 1, 1, 1), predict_proba('iris', NULL, 1, 1, 1, 'setosa')", [(None, None)]),
        ("SELECT predict('iris', pw := 0.2, sl := 5.1, pl := 1.4, sw := 3.5)", [("setosa",)]),
        ("SELECT predict('iris', PW := pw + 0, sl := sl, pl := pl, sw := sw) FROM iris LIMIT 1", [("setosa",)]),
        ("SELECT list_transform([1.4, 5.0], lambda x: predict('iris', 5.1, 3.5, x, 0.2))[1]", [("setosa",)]),
        (
            "SELECT p FROM (SELECT predict('iris', i) AS p, row_number() OVER (PARTITION BY predict('iris', i)) AS n "
            "FROM iris i) WHERE n = 1 ORDER BY p LIMIT 1",
            [("setosa",)],
        ),
    ],
)
def test_typed_answers(face, sql, rows):
    assert face.ask(sql) == rows


def test_a_class_and_names(face, shows_names):
    """The class stands behind the names, and before them where DuckDB itself says that they come last."""
    named = "pw := 0.2, sl := 5.1, pl := 1.4, sw := 3.5"
    behind, before = (
        f"SELECT predict_proba('iris', {both}) > 0.9" for both in (f"{named}, 'setosa'", f"'setosa', {named}")
    )
    is_connection = isinstance(face, Face) and isinstance(face.con, sqlinfer.Connection)
    if is_connection or not shows_names:
        assert face.ask(behind) == [(True,)]
    else:
        assert "cannot follow named arguments" in face.refusal(behind)
        assert face.ask(before) == [(True,)]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (f"SELECT predict_iris({FLOWER}) AS p, typeof(p)", [("setosa", "VARCHAR")]),
        ("SELECT predict_iris(i) AS p, count(*) FROM iris i GROUP BY p ORDER BY p LIMIT 1", [("setosa", 50)]),
        ("SELECT predict_iris(sl, sw, pl, pw) AS p FROM iris LIMIT 1", [("setosa",)]),
        ("SELECT predict_iris(pw := 0.2, sl := 5.1, pl := 1.4, sw := 3.5)", [("setosa",)]),
        ("SELECT predict_iris(a, b, c, d) FROM (VALUES (5.1, 3.5, 1.4, 0.2)) v(a, b, c, d)", [("setosa",)]),
        ("SELECT predict_iris({'pw': pw, 'pl': pl, 'sw': sw, 'sl': sl}) FROM iris LIMIT 1", [("setosa",)]),
        (f"WITH f AS (SELECT predict_iris({FLOWER}) AS p) SELECT p FROM f UNION ALL SELECT 'x'", [("setosa",), ("x",)]),
    ],
)
def test_answers_of_one_model(face, sql, rows):
    assert face.ask(sql) == rows


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT predict('irs', 1)", "did you mean 'iris'"),
        ("SELECT infer(x, 1) FROM (SELECT 'iris' AS x)", "constant"),
        ("SELECT infer(NULL, 1)", "constant"),
        ("SELECT predict('iris', 1, 2, 3)", "takes 4 features, 3 given"),
        ("SELECT predict('iris', 'a', 2, 3, 4)", "CAST"),
        ("SELECT predict('iris', {'sl': 1, 'sw': 1, 'pl': 1})", "needs the feature pw"),
        ("SELECT predict('iris', slx := 1, sw := 1, pl := 1, pw := 1)", "has no feature 'slx'; did you mean 'sl'"),
        ("SELECT predict('iris', pw := 1, sw := 1, pl := 1)", "needs the feature sl"),
        ("SELECT predict_iris(slx := 1, sw := 1, pl := 1, pw := 1)", "has no feature 'slx'; did you mean 'sl'"),
        ("SELECT predict_iris(sl := 1, sw := 1, pl := 1)", "needs the feature pw"),
        ("SELECT predict_iris(1, sw := 1, pl := 1, pw := 1)", "name every feature or none"),
        (f"SELECT predict_proba('iris', {FLOWER}, 'setossa')", "has no class 'setossa'; did you mean 'setosa'"),
        ("SELECT predict_proba('iris', sl, sw, pl, pw, sl::VARCHAR) FROM iris", "the class must be a constant"),
        (f"SELECT predict_proba('churn', {CUSTOMER}, 'maybe')", "has no class 'maybe'"),
        ("SELECT predict_proba('width', 1)", "has no predict_proba()"),
        ("FROM predict('iris', 'rows.parquet')", "is no table: write SELECT *, predict('iris', t) FROM"),
        ("FROM infer('iris', 'rows.parquet')", "is no table: write SELECT *, infer('iris', t) FROM"),
    ],
)
def test_errors(face, sql, says):
    assert says in face.refusal(sql)


def test_names_are_never_taken_for_positions(face, shows_names):
    sql = "SELECT count(*) FILTER (predict_iris(pw := pw, sl := sl, pl := pl, sw := sw) <> predict_iris(i)) FROM iris i"
    if shows_names:
        assert face.ask(sql) == [(0,)]
    else:
        assert "'pw' stands where 'sl' is expected" in face.refusal(sql)


def test_a_value_under_another_name_is_another_call(face, shows_names):
    """DuckDB computes equal calls once; the same values under other names are no equal call."""
    one, other = ("sl := sl + 0, sw := sw, pl := pl, pw := pw", "sl := sl + 0, sw := sw, pw := pl, pl := pw")
    row = "{'sl': sl, 'sw': sw, 'pl': pw, 'pw': pl}"
    by_one, by_other, by_row = (f"predict('plane', {given})" for given in (one, other, row))
    sql = f"SELECT {by_one} = {by_other}, {by_other} = {by_row} FROM iris LIMIT 1"
    if shows_names:
        assert face.ask(sql) == [(False, True)]
    else:  # DuckDB 1.5 does not ask whether they are equal
        assert "features in different orders" in face.refusal(sql)
        assert face.ask(f"SELECT {by_other} = {by_row} FROM iris LIMIT 1") == [(True,)]
        assert face.ask(f"SELECT {by_other} FROM iris LIMIT 1") == face.ask(f"SELECT {by_row} FROM iris LIMIT 1")


@pytest.fixture
def plain(registry):
    with duckdb.connect(config=OPEN) as con:
        loaded(con, registry)
        yield con


native = pytest.mark.skipif("native" not in ENGINES, reason="there is no native engine")


@native
def test_statements_that_keep_a_call(plain, iris):
    plain.execute("CREATE TABLE iris AS FROM iris")
    plain.execute("CREATE VIEW scored AS SELECT predict('iris', i) AS p, predict_proba('iris', i) AS q FROM iris i")
    plain.execute("CREATE TABLE kept AS FROM scored")
    plain.execute("CREATE MACRO species(t) AS predict('iris', t)")
    types = [("p", "VARCHAR"), ("q", "MAP(VARCHAR, DOUBLE)")]
    for relation in ("scored", "kept"):
        assert [row[:2] for row in plain.execute(f"DESCRIBE {relation}").fetchall()] == types
    ask = "SELECT count(*) FROM kept k JOIN scored USING (p) WHERE p = 'setosa'"
    assert plain.execute(ask).fetchall() == [(2500,)]
    assert plain.execute("SELECT species(i) FROM iris i LIMIT 1").fetchall() == [("setosa",)]
    assert "predict" in plain.execute("EXPLAIN SELECT predict('iris', i) FROM iris i").fetchall()[0][1]


@native
def test_parameters(plain):
    ask = "SELECT predict(?, 5.1, 3.5, ?, 0.2) AS p, typeof(p)"
    assert plain.execute(ask, ["iris", 1.4]).fetchall() == [("setosa", "VARCHAR")]
    assert plain.execute(ask, ["digit", 1.4]).fetchall() == [(-1, "BIGINT")]
    plain.execute("PREPARE s AS SELECT upper(predict($m, 5.1, 3.5, $x, 0.2)::VARCHAR)")
    assert plain.execute("EXECUTE s(m := 'iris', x := 1.4)").fetchall() == [("SETOSA",)]
    assert plain.execute("EXECUTE s(m := 'digit', x := 1.4)").fetchall() == [("-1",)]


@native
@pytest.mark.parametrize("name", ["iris\0", "iris\0x", "\0iris", "iris/1\0", "ir'is\0"])
def test_a_name_does_not_end_at_a_nul(plain, name):
    shown = name.split("\0")[0] + "␀…"
    with pytest.raises(duckdb.Error, match=f"'{shown}' does not name a model"):
        plain.execute("SELECT predict_label(?, 5.1, 3.5, 1.4, 0.2)", [name])
    with pytest.raises(duckdb.Error, match="'ir'is' does not name a model"):
        plain.execute("SELECT predict_label(?, 5.1, 3.5, 1.4, 0.2)", ["ir'is"])


@native
def test_a_class_does_not_end_at_a_nul(plain):
    ask = "SELECT predict_proba('iris', 5.1, 3.5, 1.4, 0.2, ?) > 0.5"
    assert plain.execute(ask, ["setosa"]).fetchall() == [(True,)]
    with pytest.raises(duckdb.Error, match="setosa␀…"):
        plain.execute(ask, ["setosa\0x"])


@native
def test_a_setting_does_not_end_at_a_nul(registry, plain):
    plain.execute("SELECT predict_label('iris', 5.1, 3.5, 1.4, 0.2)")
    plain.execute(f"SET SESSION sqlinfer_home = '{registry.home}' || chr(0)")
    with pytest.raises(duckdb.Error, match="sqlinfer_home cannot be changed"):
        plain.execute("SELECT predict_label('iris', 5.1, 3.5, 1.4, 0.2)")


NO_FILES = """
import os, resource, duckdb
con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
con.execute(os.environ["SETUP"])
con.execute("SELECT predict('digit', 5.1, 3.5, 1.4, 0.2)")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
def full():
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
for free, sql in (
    (0, "SELECT predict('digit/1', 5.1, 3.5, 1.4, 0.2)"),
    (0, "SELECT \\"predict_digit/1\\"({'sl': 5.1, 'sw': 3.5, 'pl': 1.4, 'pw': 0.2})"),
    (0, "SELECT predict('digit', 5.1, 3.5, 1.4, 0.2)"),
    (1, "SELECT predict('digit', 5.1, 3.5, 1.4, 0.2)"),
):
    full()
    for _ in range(free):
        os.close(held.pop())
    try:
        print(con.execute(sql).fetchall())
    except duckdb.Error as error:
        print(str(error).splitlines()[0])
"""


@native
@pytest.mark.skipif(sys.platform != "linux", reason="limits and memory as Linux has them")
def test_a_call_opens_no_file_to_be_bound(registry):
    setup = f"LOAD '{extension_path()}'; SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'"
    environment = {**os.environ, "SQLINFER_HOME": str(registry.home), "SETUP": setup}
    command = [sys.executable, "-c", NO_FILES]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment)
    answers = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stderr
    assert [answers[i] for i in (0, 1, 3)] == ["[(-1,)]"] * 3, answers
    assert "Too many open files" in answers[2] and "damaged" not in answers[2]


@native
def test_many_threads_and_connections(plain, iris):
    plain.execute("CREATE TABLE iris AS FROM iris")
    plain.execute("SET threads = 4")

    def ask(i):
        model, type = [("iris", "VARCHAR"), ("digit", "BIGINT"), ("plane", "DOUBLE[2]")][i % 3]
        rows = plain.cursor().execute(f"SELECT DISTINCT typeof(predict('{model}', i)) FROM iris i").fetchall()
        return rows == [(type,)]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(60)))


@native
@pytest.mark.parametrize("refresh", ["SELECT sqlinfer_refresh()", "CALL sqlinfer_refresh()"])
def test_models_that_come_later(tmp_path, onnx_file, refresh):
    graph = "(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"
    first, second = onnx_file(graph, "one.onnx"), onnx_file(graph, "two.onnx")
    registry = sqlinfer.Registry(tmp_path / "registry")
    sqlinfer.register("one", first, registry=registry)
    with duckdb.connect(tmp_path / "x.duckdb", config=OPEN) as con:
        loaded(con, registry)
        sqlinfer.register("two", second, registry=registry)
        assert con.execute("SELECT predict('two', 3)").fetchall() == [(-3,)]
        with pytest.raises(duckdb.CatalogException):
            con.execute("SELECT predict_two(3)")
        assert con.execute(refresh).fetchall()[0][0] > 0
        assert con.execute("SELECT predict_two(3)").fetchall() == [(-3,)]
        assert con.execute(refresh).fetchall() == [(0,)]
    # nothing holds the database
    command = [sys.executable, "-c", f"import duckdb; duckdb.connect({str(tmp_path / 'x.duckdb')!r})"]
    subprocess.run(command, check=True, timeout=HANG)


@native
@pytest.mark.skipif(IS_1, reason="API v1 has no place for them")
def test_functions_describe_themselves(plain):
    ask = "SELECT parameters, description FROM duckdb_functions() WHERE function_name = ? AND function_type = 'scalar'"
    ((parameters, description),) = plain.execute(ask, ["predict_iris"]).fetchall()
    assert parameters == [] and "sl DOUBLE, sw DOUBLE, pl DOUBLE, pw DOUBLE" in description
    ((parameters, description),) = plain.execute(ask, ["predict"]).fetchall()
    assert parameters == ["model"] and "by position or by name" in description
