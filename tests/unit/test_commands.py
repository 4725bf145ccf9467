"""Statements on models as text: what is read of them, and where they are not understood."""

from __future__ import annotations

import inspect

import pytest

import sqlinfer
from sqlinfer.errors import BadReference, StatementError
from sqlinfer.graphs.preprocess import Options
from sqlinfer.sql.commands import (
    CreateModel,
    DescribeModel,
    DropAlias,
    DropModel,
    ExportModel,
    RenameModel,
    SetAlias,
    ShowModels,
    commands_in,
)
from sqlinfer.sql.options import MODEL_OPTIONS, option_value


def read(sql):
    ((_, _, command),) = commands_in(sql)
    return command


def options(sql, parameters=None):
    return {option.name: option.value.bound(sql, parameters) for option in read(sql).options}


def refused(sql):
    """What is said of it, and what is underlined."""
    with pytest.raises((StatementError, BadReference)) as caught:
        commands_in(sql)
    message, _, excerpt = str(caught.value).partition("\n\n")
    line, carets = excerpt.splitlines()
    return message, line[carets.index("^") :][: carets.count("^")]


def test_the_options_are_those_of_register():
    known = set(inspect.signature(sqlinfer.register).parameters) - {"name", "model", "registry", "trust", "options"}
    assert set(MODEL_OPTIONS) == {*known, *Options.__annotations__, "model_path", "model_type"}


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE MODEL churn FROM 'f.onnx'",
        "create model Churn from 'f.onnx' ;",
        'CREATE/* a */MODEL -- b\n "churn" FROM\n\t$$f.onnx$$',
        "CREATE MODEL churn OPTIONS (model_path = 'f.onnx')",
        "CREATE MODEL churn OPTIONS(MODEL_PATH='f.onnx', Model_Type='ONNX')",
        "CREATE MODEL churn FROM 'f.onnx' ()",
        'CREATE MODEL churn OPTIONS (MODEL_TYPE = "ONNX", MODEL_PATH = "f.onnx")',
        'CREATE MODEL churn FROM "f.onnx"',
        "CREATE MODEL churn FROM 'f.onnx' WITH (target = 'y')",
        "CREATE MODEL `churn` OPTIONS (model_path = 'f.onnx', target = 'a`b')",
        "CREATE MODEL `a-project.shop.churn` OPTIONS (model_path = 'f.onnx')",
    ],
)
def test_a_model_is_created_in_many_ways(sql):
    command = read(sql)
    assert isinstance(command, CreateModel)
    assert (str(command.model.reference), command.path.content) == ("churn", "f.onnx")
    assert not command.or_replace and not command.if_not_exists


def test_what_is_done_with_a_model_that_is_there():
    assert read("CREATE OR REPLACE MODEL m FROM 'f'").or_replace
    assert read("CREATE MODEL IF NOT EXISTS m FROM 'f'").if_not_exists


def test_values():
    assert options(
        "CREATE MODEL m FROM 'f' (target 'it''s', together, row_by_row = FALSE, trials = 1_000, scale = -1.5e-3, "
        "features = ['a', \"b\", c], null = {'age': NULL, income: 0.5, \"x y\": 'nan'}, batch_axis = MAP {'t': 0}, "
        "pool = mean, sample = (SELECT ')' FROM t), mean = [+1, .5])"
    ) == {
        "target": "it's",
        "together": True,
        "row_by_row": False,
        "trials": 1000,
        "scale": -0.0015,
        "features": ["a", "b", "c"],
        "null": {"age": None, "income": 0.5, "x y": "nan"},
        "batch_axis": {"t": 0},
        "pool": "mean",
        "sample": "SELECT ')' FROM t",
        "mean": [1, 0.5],
    }


def test_parameters():
    sql = "CREATE MODEL m FROM ? (trials = ?, target=$name, null = {'a': $3}, features = [$Name])"
    assert read(sql).parameters == {"1", "2", "3", "name"}
    assert options("CREATE MODEL m FROM ? (trials = ?, features = [$3])", ["f", 7, "a"]) == {
        "trials": 7,
        "features": ["a"],
    }
    assert options("CREATE MODEL m FROM $p (trials = $T)", {"p": "f", "t": 8}) == {"trials": 8}
    for parameters in (None, ["f"], {"p": 1}, "text"):
        with pytest.raises(StatementError, match="no value for the parameter"):
            options("CREATE MODEL m FROM ? (trials = ?)", parameters)


@pytest.mark.parametrize("name", ["churn/3", '"churn/3"', "'churn/3'", "CHURN/3", '"Churn"/3'])
def test_versions(name):
    for sql in (f"DROP MODEL {name}", f"DESCRIBE MODEL {name};", f"EXPORT MODEL {name} TO 'x'"):
        assert str(read(sql).model.reference) == "churn/3"


def test_the_others():
    assert read("DROP MODEL IF EXISTS m").if_exists and isinstance(read("drop model m"), DropModel)
    alias = read("ALTER MODEL m SET ALIAS Champion = 3")
    assert isinstance(alias, SetAlias) and (alias.alias.reference.name, alias.version.content) == ("champion", 3)
    assert read("ALTER MODEL IF EXISTS m SET DEFAULT TO 2").alias.reference.name == "default"
    assert isinstance(read("ALTER MODEL m DROP ALIAS champion"), DropAlias)
    assert read("ALTER MODEL m RENAME TO kept").new.reference.name == "kept"
    assert isinstance(read("ALTER MODEL m RENAME TO kept"), RenameModel)
    assert read("SHOW MODELS") == ShowModels() and read("SHOW MODELS LIKE 'a%'").pattern.content == "a%"
    assert isinstance(read("desc model m@champion"), DescribeModel)
    assert read("EXPORT MODEL m TO 'x'").folder.content == "x" and isinstance(read("EXPORT MODEL m TO ?"), ExportModel)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE model (i INT)",
        "CREATE TABLE models AS SELECT 1",
        "CREATE TEMP TABLE t AS SELECT 1 AS create_model",
        "SELECT model FROM t",
        "SELECT create, model FROM t",
        "DROP TABLE model",
        "DROP VIEW IF EXISTS model",
        "ALTER TABLE model RENAME TO models",
        "DESCRIBE model",
        "DESCRIBE model;",
        "DESC model",
        "DESCRIBE model.churn",
        "SHOW TABLES",
        'SHOW "models"',
        "SHOW models.t",
        "SHOW model",
        "SELECT 'CREATE MODEL m FROM x'",
        "SELECT $$ ; DROP MODEL m; $$",
        "SELECT $a$ DROP MODEL m $a$",
        "SELECT 1 -- ; DROP MODEL m\n",
        "/* DROP MODEL m; */ SELECT 1",
        'SELECT 1 AS "DROP MODEL m"',
        "EXPORT DATABASE 'model'",
        "EXPLAIN SELECT 1 AS model",
        "",
        ";",
        "CREATE",
        "'CREATE MODEL",
    ],
)
def test_other_statements_are_duckdbs(sql):
    assert commands_in(sql) == []


def test_statements_stand_among_others():
    sql = "SELECT ';'; -- CREATE MODEL x\nDROP MODEL m ;; SHOW TABLES"
    assert [(sql[start:end], type(command).__name__) for start, end, command in commands_in(sql)] == [
        ("SELECT ';'", "NoneType"),
        ("DROP MODEL m", "DropModel"),
        ("SHOW TABLES", "NoneType"),
    ]


@pytest.mark.parametrize(
    ("sql", "says", "place"),
    [
        ("CREATE MODEL", "end of the statement", "MODEL"),
        ("CREATE MODEL FROM 'f'", "a name stands here", "FROM"),
        ("CREATE MODEL m", "goes on with FROM", "m"),
        ("CREATE MODEL m FORM 'f'", "goes on with FROM", "FORM"),
        ("CREATE MODEL m FROM f.onnx", "in quotes", "f"),
        ("CREATE MODEL m FROM (SELECT 1)", "in quotes", "("),
        ("CREATE MODEL m FROM 'f' 'g'", "the statement ends before it", "'g'"),
        ("CREATE MODEL m FROM 'f' (smaple = 'x')", "did you mean 'sample'", "smaple"),
        ("CREATE MODEL m FROM 'f' (trust = true)", "sqlinfer.connect(trust=True)", "trust"),
        ("CREATE MODEL m FROM 'f' (trials 1 trials 2)", "commas", "trials"),
        ("CREATE MODEL m FROM 'f' (trials 1, Trials = 2)", "given twice", "Trials"),
        ("CREATE MODEL m FROM 'f' (trials = )", "the value of trials", ")"),
        ("CREATE MODEL m FROM 'f' (trials = 1", "commas between them", "1"),
        ("CREATE MODEL m FROM 'f' (features = ('a', 'b'))", "lists have brackets", "'a'"),
        ("CREATE MODEL m FROM 'f' (features = ['a' 'b'])", "commas between", "'b'"),
        ("CREATE MODEL m FROM 'f' (null = {'a' 1})", "a colon", "1"),
        ("CREATE MODEL m FROM 'f' (trials = 0x1F)", "commas", "x1F"),
        ("CREATE MODEL m FROM 'f' (model_path = 'g')", "stands behind FROM", "model_path = 'g'"),
        ("CREATE MODEL m OPTIONS (target = 'y')", "no model_path", "OPTIONS"),
        ("CREATE MODEL m OPTIONS (model_type = 'DNN') AS SELECT 1", "not trained in SQL", "AS"),
        ("CREATE MODEL m TRANSFORM (x) OPTIONS (a = 1)", "not trained in SQL", "TRANSFORM"),
        ("CREATE OR REPLACE MODEL IF NOT EXISTS m FROM 'f'", "either OR REPLACE or IF NOT EXISTS", "IF"),
        ("CREATE MODEL m/3 FROM 'f'", "is a version", "m/3"),
        ("CREATE MODEL a.b FROM 'f'", "no schema", "."),
        ("CREATE MODEL café FROM 'f'", "does not name a model", "café"),
        ("DROP MODEL", "end of the statement", "MODEL"),
        ("DROP MODEL a, b", "one statement drops one model", ","),
        ("DROP MODEL m CASCADE", "one statement drops one model", "CASCADE"),
        ("DROP MODEL m/x", "does not name a model", "m/x"),
        ("DROP MODEL `m", "other names are quoted", "`"),
        ("DROP MODEL IF m", "EXISTS stands here", "m"),
        ("ALTER MODEL m", "goes on with SET ALIAS", "m"),
        ("ALTER MODEL m SET champion = 3", "what is set is SET ALIAS", "champion"),
        ("ALTER MODEL m SET ALIAS champion 3", "the number of a version", "3"),
        ("ALTER MODEL m RENAME kept", "TO stands here", "kept"),
        ("ALTER MODEL m/3 RENAME TO kept", "is a version", "m/3"),
        ("SHOW MODELS LIKE", "a pattern in quotes", "LIKE"),
        ("DESCRIBE MODEL m n", "the statement ends before it", "n"),
        ("EXPORT MODEL m 'x'", "TO stands here", "'x'"),
        ("EXPORT MODEL m TO x", "in quotes", "x"),
        ("SELECT 1;\nDROP MODEL m n", "the statement ends before it", "n"),
    ],
)
def test_what_is_not_understood_is_underlined(sql, says, place):
    message, underlined = refused(sql)
    assert says in message and underlined == place


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("null", None, "null"),
        ("null", 0, "0"),
        ("null", {"a": None, "b": 1}, {"a": "null", "b": 1}),
        ("features", "a, b", ["a", "b"]),
        ("batch_axis", {"x": 0, "y": None, "z": "none"}, {"x": 0, "y": None, "z": None}),
        ("mean", 1, (1.0,)),
        ("mean", [0.5, 1], (0.5, 1)),
        ("together", False, False),
        ("together", "TRUE", True),
        ("trials", 0, 0),
        ("resize", 224, 224),
        ("labels", [0, 1], [0, 1]),
    ],
)
def test_values_are_what_register_takes(name, value, read):
    assert option_value(name, value) == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", "many"),
        ("trials", -1),
        ("trials", True),
        ("together", "perhaps"),
        ("together", 2),
        ("target", 3),
        ("target", " "),
        ("features", [1, 2]),
        ("features", []),
        ("null", ["nan"]),
        ("batch_axis", 0),
        ("batch_axis", {"x": "first"}),
        ("mean", ["a"]),
        ("labels", {}),
        ("time_limit", None),
    ],
)
def test_other_values_are_refused(name, value):
    with pytest.raises(StatementError, match=f"^{name} is "):
        option_value(name, value)
