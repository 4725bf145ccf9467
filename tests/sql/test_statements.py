"""CREATE, DROP, ALTER, SHOW, DESCRIBE and EXPORT MODEL on a connection: what they do, answer and refuse."""

from __future__ import annotations

import pickle
import subprocess
import sys

import duckdb
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import sqlinfer
from sqlinfer.errors import (
    EngineError,
    FeatureError,
    InvalidModel,
    ModelNotFound,
    RegistryError,
    SqlinferError,
    StatementError,
    UntrustedModel,
)

TWICE = "(float[n, 2] x) => (float[n, 1] y) <int64[1] axis = {1}> { y = ReduceSum(x, axis) }"


@pytest.fixture
def folder(tmp_path, onnx_file, monkeypatch):
    """A working directory with the file sum.onnx, which adds two numbers, and m.pkl, which has labels."""
    monkeypatch.chdir(tmp_path)
    onnx_file(TWICE, "sum.onnx")
    rows = pd.DataFrame({"age": [20.0, 30, 40, 50], "income": [1.0, 0, 1, 0]})
    rows.to_csv("rows.csv", index=False)
    model = LogisticRegression().fit(rows, ["no", "no", "yes", "yes"])
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    return tmp_path


@pytest.fixture
def con(folder, engine):
    with sqlinfer.connect(registry=folder / "registry", engine=engine) as con:
        yield con


def answer(con, sql, *parameters):
    return con.execute(sql, *parameters).fetchall()


def test_a_model_is_there_in_the_next_statement(con):
    answers = answer(con, "CREATE MODEL m FROM 'sum.onnx'; SELECT predict('m', 1, 2), predict_m(3, 4)")
    assert answers == [(3, 7)]
    assert answer(con, "SELECT name, version FROM sqlinfer_models()") == [("m", 1)]


def test_bigquerys_form_and_the_options_of_register(con):
    con.execute("CREATE TABLE given AS SELECT 1.5 AS a, 2 AS b")
    con.execute(
        "CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'ONNX', MODEL_PATH = 'sum.onnx', sample = given, "
        "null = {'a': 10}, target = 'c')"
    )
    assert answer(con, "SELECT predict('m', b := 1, a := NULL)") == [(11,)]
    model = sqlinfer.load("m", registry=con.registry)
    assert (model.target, model.profile.rows) == ("c", 1)


@pytest.mark.parametrize("sample", ["'rows.csv'", "(SELECT * FROM 'rows.csv')", "(FROM 'rows.csv' WHERE age > 10)"])
def test_a_sample_is_a_file_or_a_query(con, sample):
    con.execute(f"CREATE MODEL m FROM 'sum.onnx' (sample = {sample})")
    assert sqlinfer.load("m", registry=con.registry).features == {"age": "FLOAT", "income": "FLOAT"}


def test_a_sample_is_what_this_connection_sees(con):
    con.execute("BEGIN; CREATE TEMP TABLE mine AS SELECT 1.0 AS u, 2.0 AS v")
    con.execute("CREATE MODEL m FROM 'sum.onnx' (sample = mine)")
    con.execute("COMMIT; CREATE MODEL n FROM 'sum.onnx' (sample = (SELECT predict('m', u, v) AS p, u AS q FROM mine))")
    assert list(sqlinfer.load("n", registry=con.registry).features) == ["p", "q"]
    frame = pd.DataFrame({"f": [1.0], "g": [2.0]})
    con.execute("CREATE MODEL o FROM 'sum.onnx' (sample = frame)")
    assert list(sqlinfer.load("o", registry=con.registry).features) == list(frame)


def test_a_name_that_exists_gets_a_new_version(con):
    rows = [
        con.execute(f"{create} m FROM 'sum.onnx'").fetchall()
        for create in ("CREATE MODEL", "CREATE MODEL", "CREATE OR REPLACE MODEL", "CREATE MODEL IF NOT EXISTS")
    ]
    assert [[row[:3] for row in one] for one in rows] == [
        [("m", 1, ["default"])],
        [("m", 2, [])],
        [("m", 3, ["default"])],
        [],
    ]
    assert answer(con, "SELECT version FROM sqlinfer_models()") == [(1,), (2,), (3,)]


def test_names_are_quoted_or_not_in_any_case(con):
    con.execute("create model \"Churn\" from 'sum.onnx'; CREATE MODEL CHURN FROM 'sum.onnx'")
    for name in ("churn/2", '"churn/2"', "'Churn/2'", "CHURN / 2"):
        assert len(answer(con, f"DESCRIBE MODEL {name}")) == 4
    assert answer(con, 'DROP MODEL "CHURN/2"') == [("churn", 2)]


def test_aliases_move_and_go(con):
    con.execute("CREATE MODEL m FROM 'sum.onnx'; CREATE MODEL m FROM 'sum.onnx' (null = 7)")
    con.execute("ALTER MODEL m SET ALIAS champion = 2")
    assert answer(con, "SELECT predict('m@champion', NULL, 1), predict('m', NULL, 1)") == [(8, None)]
    con.execute("ALTER MODEL m SET DEFAULT = 2")
    assert answer(con, "SELECT predict('m', NULL, 1)") == [(8,)]
    aliases = answer(con, "ALTER MODEL m DROP ALIAS champion")
    assert [row[1:3] for row in aliases] == [(1, []), (2, ["default"])]


def test_a_model_is_renamed(con):
    con.execute("CREATE MODEL churn FROM 'sum.onnx'; SELECT predict('churn', 1, 1), predict_churn(1, 1)")
    assert answer(con, "ALTER MODEL churn RENAME TO Retained")[0][:2] == ("retained", 1)
    assert answer(con, "SELECT predict('retained', 1, 1), predict_retained(1, 2)") == [(2, 3)]
    for call in ("predict('churn', 1, 1)", "predict_churn(1, 1)"):
        with pytest.raises((ModelNotFound, duckdb.Error)):
            con.execute(f"SELECT {call}")


def test_a_model_is_dropped(con):
    con.execute("CREATE MODEL m FROM 'sum.onnx'; CREATE MODEL m FROM 'sum.onnx'")
    assert answer(con, "DROP MODEL m/2") == [("m", 2)]
    assert answer(con, "DROP MODEL IF EXISTS m/2") == []
    assert answer(con, "DROP MODEL m") == [("m", 1)]
    assert answer(con, "DROP MODEL IF EXISTS m; SHOW MODELS") == []
    assert answer(con, "ALTER MODEL IF EXISTS m SET DEFAULT = 1") == []
    with pytest.raises(ModelNotFound, match=r"LINE 1: DROP MODEL m\n +\^$"):
        con.execute("DROP MODEL m")


def test_an_exported_model_comes_back_with_the_same_answers(con, folder):
    con.execute("CREATE MODEL m FROM 'sum.onnx' (sample = 'rows.csv', null = {'age': 5})")
    files = answer(con, "EXPORT MODEL m TO 'out'")
    assert {row[:2] for row in files} == {("m", 1)}
    assert {row[2] for row in files} == {f"out/{path.name}" for path in (folder / "out").iterdir()}
    con.execute("CREATE MODEL back FROM 'out'")
    assert answer(con, "SELECT predict('back', income := 1, age := NULL)") == [(6,)]
    with pytest.raises(RegistryError, match=r"is there already(?s:.*)TO 'out'\n +\^{5}$"):
        con.execute("EXPORT MODEL m TO 'out'")


def test_models_are_shown(con):
    con.execute("CREATE MODEL churn FROM 'sum.onnx'; CREATE MODEL risk FROM 'sum.onnx'")
    assert [row[0] for row in answer(con, "show models")] == ["churn", "risk"]
    assert [row[0] for row in answer(con, "SHOW MODELS LIKE 'CH%'")] == ["churn"]
    assert con.description[0][0] == "name"
    assert answer(con, "DESCRIBE MODEL risk") == [
        ("f0", "FLOAT", "null", "feature"),
        ("f1", "FLOAT", "null", "feature"),
        ("predict", "FLOAT", None, "call"),
        ("infer", 'STRUCT("y" FLOAT)', None, "call"),
    ]


def test_results_are_tables(con):
    con.execute("CREATE MODEL m FROM 'sum.onnx'")
    assert con.sql("SHOW MODELS").columns == ["name", "version", "aliases", "task", "result", "created"]
    assert con.query("SHOW MODELS").df()["name"].tolist() == ["m"]
    assert con.execute("DESCRIBE MODEL m").df()["role"].tolist() == ["feature", "feature", "call", "call"]
    assert con.sql("SHOW MODELS").filter("version = 1").to_arrow_table().num_rows == 1
    created = con.sql("CREATE MODEL m FROM 'sum.onnx'")
    con.execute("DROP MODEL m/2")
    assert [row[:3] for row in created.fetchall()] == [("m", 2, [])]


def test_a_change_leaves_no_result_in_the_way(con):
    con.execute("CREATE MODEL m FROM 'sum.onnx'")
    assert con.sql("SELECT predict('m', 1, 1)").fetchall() == [(2,)]
    con.execute("ALTER MODEL m SET ALIAS a = 1")
    assert con.sql("SELECT predict('m@a', 1, 1)").fetchall() == [(2,)]


def test_queries_may_stand_before_statements_in_a_script(con):
    script = "SELECT range FROM range(10_000); CREATE MODEL m FROM 'sum.onnx'; SELECT predict('m', 1, 2); SHOW MODELS"
    assert [row[0] for row in answer(con, script)] == ["m"]
    with pytest.raises(duckdb.Error, match=r"Could not convert string 'x'(.|\n)*LINE 2"):
        con.execute("SHOW MODELS;\nSELECT CAST(x AS INT) FROM (VALUES ('x')) t(x); DESCRIBE MODEL m")
    assert answer(con, "SHOW MODELS LIKE 'n%'") == []


def test_a_table_may_be_called_as_a_statement_is(con):
    con.execute("CREATE TABLE models (i INT); CREATE TABLE model (j INT)")
    assert [row[0] for row in answer(con, "SHOW models")] == ["i"]
    assert [row[0] for row in answer(con, "DESCRIBE model")] == ["j"]
    assert answer(con, "SHOW MODELS LIKE '%'") == []
    con.execute("DROP TABLE model; DROP TABLE models")
    assert answer(con, "SHOW models") == []
    con.execute("CREATE SCHEMA s; CREATE VIEW s.models AS SELECT 1 AS k")
    assert answer(con, "SHOW models") == []
    assert answer(con, "USE s; SHOW models")[0][0] == "k"


def test_parameters(con):
    assert answer(con, "CREATE MODEL m FROM $file (sample = $rows)", {"file": "sum.onnx", "rows": "rows.csv"})
    con.execute("ALTER MODEL m SET ALIAS best = ?", [1])
    assert answer(con, "SHOW MODELS LIKE $1", ["m%"])[0][2] == ["best", "default"]
    assert con.sql("SHOW MODELS LIKE $p", params={"p": "x%"}).fetchall() == []
    with pytest.raises(StatementError, match=r"no value for the parameter \?(?s:.*)\^$"):
        con.execute("ALTER MODEL m SET ALIAS best = ?")
    with pytest.raises(StatementError, match="write execute"):
        con.executemany("ALTER MODEL m SET ALIAS best = ?", [[1], [1]])


def test_a_pickle_runs_on_a_connection_that_trusts(con, folder, engine):
    statement = "CREATE MODEL m FROM 'm.pkl' (sample = 'rows.csv', target = churned)"
    with pytest.raises(UntrustedModel, match=r"sqlinfer.connect\(trust=True\)(?s:.*)FROM 'm.pkl'(?s:.*)\^{7}$"):
        con.execute(statement)
    assert answer(con, "SHOW MODELS") == []
    with sqlinfer.connect(registry=con.registry, engine=engine, trust=True) as trusting:
        trusting.cursor().execute(statement)
        assert answer(trusting, "SELECT predict('m', 50, 0)") == [("yes",)]


def test_an_attached_connection_has_them(folder, engine):
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as plain:
        con = sqlinfer.attach(plain, registry=folder / "registry", engine=engine, trust=True)
        con.execute("CREATE MODEL m FROM 'm.pkl' (sample = 'rows.csv')")
        assert answer(con, "SELECT predict('m', 20, 0)") == [("no",)]


@pytest.mark.parametrize(
    ("statement", "error", "says", "place"),
    [
        ("CREATE MODEL m FROM 'none.onnx'", InvalidModel, "none.onnx", "'none.onnx'"),
        ("CREATE MODEL m FROM 'gs://a/m.onnx'", StatementError, "is an address", "'gs://a/m.onnx'"),
        ("CREATE MODEL m FROM ''", StatementError, "in quotes", "''"),
        ("CREATE MODEL m FROM 'sum.onnx' (sample = 'no.csv')", FeatureError, "no.csv", "sample = 'no.csv'"),
        ("CREATE MODEL m FROM 'sum.onnx' (features = 'a,b,c')", FeatureError, "3 feature names", "features = 'a,b,c'"),
        ("CREATE MODEL m FROM 'sum.onnx' (trials = many)", StatementError, "a number of rows", "trials = many"),
        ("CREATE MODEL m FROM 'sum.onnx' (memory_limit '1X')", StatementError, "is no size", "memory_limit '1X'"),
        ("CREATE MODEL m FROM 'sum.onnx' (labels = ['a'])", SqlinferError, "label", "labels = ['a']"),
        ("CREATE MODEL m FROM 'sum.onnx' (target = (SELECT 1))", StatementError, "only sample", "target = (SELECT 1)"),
        ("CREATE MODEL label FROM 'sum.onnx'", SqlinferError, "cannot be called 'label'", "label"),
        ("CREATE MODEL m OPTIONS (model_type 'DNN', model_path 'f')", StatementError, "imported", "model_type 'DNN'"),
        (
            "CREATE MODEL m OPTIONS (model_type XGBOOST, model_path 'sum.onnx')",
            StatementError,
            "is no file of XGBOOST",
            "model_type XGBOOST",
        ),
        (
            "CREATE MODEL m FROM 'sum.onnx' (sample = (SELECT 1 WHERE 1 = 2))",
            FeatureError,
            "no rows",
            "(SELECT 1 WHERE 1 = 2)",
        ),
        ("ALTER MODEL known SET DEFAULT = 9", ModelNotFound, "has no version 9", "9"),
        ("ALTER MODEL known SET DEFAULT = 'x'", StatementError, "number of a version", "'x'"),
        ("ALTER MODEL known DROP ALIAS best", ModelNotFound, "no alias 'best'", "best"),
        ("ALTER MODEL known DROP ALIAS default", StatementError, "SET DEFAULT", "default"),
        ("ALTER MODEL unknown SET DEFAULT = 1", ModelNotFound, "did you mean 'known'", "unknown"),
        ("ALTER MODEL known RENAME TO other", RegistryError, "already", "other"),
        ("DROP MODEL known/1", RegistryError, "ALTER MODEL known SET DEFAULT = VERSION", "known/1"),
        ("DROP MODEL known@best", SqlinferError, "is an alias", "known@best"),
        ("DROP MODEL known@default", SqlinferError, "is an alias: DROP MODEL known/2 drops", "known@default"),
        ("DESCRIBE MODEL knwon", ModelNotFound, "did you mean 'known'", "knwon"),
        ("EXPORT MODEL known/9 TO 'x'", ModelNotFound, "no version 9", "known/9"),
        ("EXPORT MODEL known TO 'no/where'", RegistryError, "cannot be exported", "'no/where'"),
        ("SHOW MODELS LIKE 3", StatementError, "a pattern", "3"),
    ],
)
def test_errors_are_underlined_and_nothing_is_lost(con, statement, error, says, place):
    con.execute(
        "CREATE MODEL known FROM 'sum.onnx'; CREATE MODEL known FROM 'sum.onnx'; CREATE MODEL other FROM 'sum.onnx'"
    )
    before = answer(con, "SHOW MODELS")
    with pytest.raises(error) as caught:
        con.execute(f"-- so\n{statement}")
    said = str(caught.value)
    assert says in said and "--" not in said and "sqlinfer " not in said
    line, carets = said.splitlines()[-2:]
    assert line.startswith("LINE 2: ") and line[carets.index("^") :][: carets.count("^")] == place
    assert answer(con, "SHOW MODELS") == before


def test_a_query_that_has_an_error_is_said_where_it_stands(con):
    with pytest.raises(duckdb.BinderException, match=r"(?s)nope.*LINE 2: \(sample = \(SELECT nope FROM range\(3\)\)\)"):
        con.execute("CREATE MODEL m FROM 'sum.onnx'\n(sample = (SELECT nope FROM range(3)))")
    with pytest.raises(duckdb.Error, match=r"LINE 1: CREATE MODEL m .*\n +\^+$"):
        con.execute("CREATE MODEL m FROM 'sum.onnx' (sample = nowhere)")
    assert answer(con, "SHOW MODELS") == []


def test_a_script_says_which_statement_failed(con):
    con.execute("CREATE TABLE log (i INT)")
    script = "CREATE MODEL m FROM 'sum.onnx';\nINSERT INTO log VALUES (1); {};\nINSERT INTO log VALUES (2)"
    with pytest.raises(duckdb.Error, match=r"(?s)no\n\nLINE 2: .*SELECT error\('no'\);?\n +\^{18}$"):
        con.execute(script.format("SELECT error('no')"))
    with pytest.raises(duckdb.Error, match="LINE 2: "):
        con.execute(script.format("SELECT nope FROM log"))
    with pytest.raises(ModelNotFound, match="LINE 2: "):
        con.execute(script.format("DROP MODEL m/9"))
    assert answer(con, "FROM log") == [(1,), (1,), (1,)]
    with pytest.raises(duckdb.ConversionException, match=r"LINE 1: SELECT 'x'::INT"):
        con.execute("SELECT 1; SELECT 'x'::INT; SELECT 2")


@pytest.mark.parametrize("wrong", ["CREATE MODEL n FORM 'sum.onnx'", "SELECT FROM WHERE"])
def test_nothing_has_run_where_a_statement_cannot_be_parsed(con, wrong):
    with pytest.raises((StatementError, duckdb.ParserException), match="LINE 3: "):
        con.execute(f"CREATE TABLE log (i INT);\nCREATE MODEL m FROM 'sum.onnx';\n{wrong}")
    assert answer(con, "SHOW MODELS") == answer(con, "SHOW TABLES") == []


def test_statements_are_no_part_of_a_transaction(con, engine):
    con.execute("BEGIN; CREATE TABLE t (i INT); CREATE MODEL m FROM 'sum.onnx'")
    if engine == "native":  # what DuckDB's catalog has later is not in this transaction
        with pytest.raises(EngineError, match="commit it or roll it back"):
            con.execute("SELECT predict('m', 1, 1)")
    else:
        assert answer(con, "SELECT predict('m', 1, 1)") == [(2,)]
    con.execute("ROLLBACK; CREATE MODEL n FROM 'sum.onnx'")
    assert answer(con, "SELECT predict('m', 1, 1), predict('n', 1, 2)") == [(2, 3)]
    assert answer(con, "SHOW TABLES") == []


def test_other_connections_see_what_is_created(con, engine):
    with sqlinfer.connect(registry=con.registry, engine=engine) as other:
        con.execute("CREATE MODEL m FROM 'sum.onnx'")
        assert answer(other, "SELECT predict('m', 1, 1), predict_m(1, 2)") == [(2, 3)]
        con.execute("DROP MODEL m")
        with pytest.raises(ModelNotFound):
            other.execute("SELECT predict('m', 1, 1)")


def test_only_what_is_created_needs_registration(folder):
    code = (
        "import sqlinfer, sys; con = sqlinfer.connect(registry='r');"
        "con.execute('SHOW MODELS; DROP MODEL IF EXISTS m');"
        "print({'onnx', 'sqlinfer.registration'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
