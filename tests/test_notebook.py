"""The magics in a real IPython shell."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest
from IPython.testing.globalipapp import start_ipython

import sqlinfer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ipython():
    return start_ipython()


@pytest.fixture
def shell(ipython, registry, monkeypatch):
    """A shell with an empty namespace, and the models of the tests."""
    monkeypatch.setenv("SQLINFER_HOME", str(registry.home))
    ipython.reset(new_session=False)
    ipython.run_line_magic("load_ext", "sqlinfer")
    ipython.run_line_magic("reload_ext", "sqlinfer")
    return ipython


def run(shell, cell):
    """What the cell's last expression shows; what it raises is raised."""
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


def test_a_cell_of_sql_shows_a_table(shell):
    shown = run(shell, "%%sqlinfer\nSELECT i, predict('same_int', i) AS p\nFROM range(3) t(i)")
    assert isinstance(shown, pd.DataFrame)
    assert shown["p"].tolist() == [0, 1, 2]
    assert "<table" in shown._repr_html_()


def test_the_line_names_a_variable(shell):
    assert run(shell, "%%sqlinfer scores\nSELECT predict('same_int', 7) AS p") is None
    assert run(shell, "scores['p'].tolist()") == [7]
    assert run(shell, "%sqlinfer SELECT sum(predict('same_int', p)) AS s FROM scores")["s"].tolist() == [7]


@pytest.mark.parametrize("name", ["two words", "1st", "a-b", "x;y"])
def test_what_cannot_be_a_variable_is_refused(shell, name):
    with pytest.raises(Exception, match="name of one variable"):
        run(shell, f"%%sqlinfer {name}\nSELECT 1")


def test_dataframes_are_tables(shell, iris):
    shell.user_ns["flowers"] = iris
    shell.user_ns["Blumen"] = pl.DataFrame(iris.head(4))
    counted = run(
        shell, "%%sqlinfer\nSELECT predict('iris', f) AS p, count(*) AS n FROM flowers f GROUP BY p ORDER BY n"
    )
    assert counted["n"].sum() == 150
    assert len(run(shell, "%sqlinfer SELECT predict('iris', b) FROM Blumen b")) == 4


@pytest.mark.parametrize("name", ["sql", "cell", "line", "call", "query", "local_ns", "names", "self", "result"])
def test_any_name_can_be_a_dataframes(shell, name):
    run(shell, f"import pandas as pd\n{name} = pd.DataFrame({{'x': [7]}})")
    assert run(shell, f"%sqlinfer SELECT x FROM {name}")["x"].tolist() == [7]
    assert run(shell, f"%%sqlinfer\nSELECT predict('same_int', x) AS p FROM {name}")["p"].tolist() == [7]


def test_a_line_inside_a_function_finds_its_dataframes(shell):
    run(
        shell,
        "def f():\n    inside = pd.DataFrame({'x': [8]})\n    found = %sqlinfer SELECT x FROM inside\n    return found",
    )
    run(shell, "import pandas as pd")
    assert run(shell, "f()['x'].tolist()") == [8]


def test_a_changed_dataframe_is_read_anew(shell):
    run(shell, "import pandas as pd\nd = pd.DataFrame({'x': [1.0]})")
    assert run(shell, "%sqlinfer SELECT predict('same_double', x) AS p FROM d")["p"].tolist() == [1]
    run(shell, "d = pd.DataFrame({'x': [2.0, 3.0]})")
    assert run(shell, "%sqlinfer SELECT predict('same_double', x) AS p FROM d")["p"].tolist() == [2, 3]


def test_a_table_of_the_database_is_not_lost_to_a_variable_of_its_name(shell):
    run(shell, "%sqlinfer CREATE TABLE kept AS SELECT 1 AS x")
    run(shell, "import pandas as pd\nkept = pd.DataFrame({'x': [2]})")
    shell.run_cell("%sqlinfer SELECT x FROM kept")
    run(shell, "del kept")
    assert run(shell, "%sqlinfer SELECT x FROM kept")["x"].tolist() == [1]


def test_cells_share_a_connection(shell):
    run(shell, "%%sqlinfer\nCREATE TABLE notes AS SELECT 5 AS x")
    assert run(shell, "%sqlinfer SELECT x FROM notes")["x"].tolist() == [5]
    con = run(shell, "%sqlinfer")
    assert isinstance(con, sqlinfer.Connection)
    assert con.execute("SELECT x FROM notes").fetchall() == [(5,)]


def test_a_database_file(shell, tmp_path):
    path = tmp_path / "x.duckdb"
    con = run(shell, f"%sqlinfer {path}")
    assert isinstance(con, sqlinfer.Connection)
    run(shell, "%sqlinfer CREATE TABLE t AS SELECT predict('same_int', 9) AS x")
    run(shell, "%sqlinfer :memory:")
    with sqlinfer.connect(path) as con:
        assert con.execute("FROM t").fetchall() == [(9,)]


def test_a_database_file_with_a_space(shell, tmp_path):
    run(shell, f"%sqlinfer '{tmp_path}/my own.duckdb'")
    run(shell, "%sqlinfer CREATE TABLE t AS SELECT 7 AS x")
    run(shell, "%sqlinfer :memory:")
    run(shell, f"%sqlinfer {tmp_path}/my own.duckdb")
    assert run(shell, "%sqlinfer FROM t")["x"].tolist() == [7]
    assert run(shell, f"%sqlinfer SELECT 1.5 AS x -- {'long' * 9000}")["x"].tolist() == [1.5]


def test_errors_are_errors_and_the_next_cell_works(shell):
    with pytest.raises(sqlinfer.SqlinferError, match="did you mean 'iris'"):
        run(shell, "%sqlinfer SELECT predict('irs', 1)")
    assert run(shell, "%sqlinfer SELECT 1 AS x")["x"].tolist() == [1]


def test_an_error_of_a_row_names_its_place(shell):
    with pytest.raises(sqlinfer.SqlinferError, match="LINE 1: SELECT predict"):
        run(shell, "%sqlinfer SELECT predict('same_int', 1.5)")


def test_a_model_shows_itself(shell, registry):
    model = sqlinfer.load("churn", registry=registry)
    shell.display_formatter.active_types = ["text/html", "text/plain"]  # as a notebook's are
    html = shell.display_formatter.format(model)[0]["text/html"]
    assert "churn" in html and "income" in html and "BOOLEAN" in html and "<script" not in html
    assert repr(model).startswith("<sqlinfer.Model churn/1 predict(age DOUBLE, income DOUBLE")


def test_a_table_wins_over_a_dataframe_of_its_name(shell):
    """As in DuckDB; and a DataFrame that is only mentioned stands in nobody's way."""
    shell.run_cell("import pandas as pd\nbookings = pd.DataFrame({'a': [1, 2]})")
    shell.run_cell("%sqlinfer CREATE TABLE bookings AS SELECT 42 AS a")
    shell.run_cell("%%sqlinfer kept\nSELECT a FROM bookings").raise_error()
    assert shell.user_ns["kept"]["a"].tolist() == [42]
    shell.run_cell("%sqlinfer DROP TABLE bookings").raise_error()
    shell.run_cell("%%sqlinfer kept\nSELECT a FROM bookings").raise_error()
    assert shell.user_ns["kept"]["a"].tolist() == [1, 2]


def test_a_definition_shows_nothing(shell):
    assert shell.run_cell("%sqlinfer CREATE VIEW nothing AS SELECT 1 AS x").result is None


def test_nothing_is_lost_when_a_line_is_refused(shell, tmp_path):
    run(shell, "%%sqlinfer\nCREATE TABLE kept AS SELECT 1 AS a")
    for cell in ("%%sqlinfer class\nINSERT INTO kept VALUES (99)", f"%sqlinfer {tmp_path}/nowhere/x.duckdb"):
        with pytest.raises(Exception, match=r"class|nowhere"):
            run(shell, cell)
    assert run(shell, "%%sqlinfer\nFROM kept")["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT predict('iriss', 1)", "did you mean 'iris'?"),
        ("SELECT nothing FROM range(3)", 'Referenced column "nothing" not found'),
    ],
)
def test_an_error_shows_what_is_wrong_with_the_sql(shell, capsys, sql, shown):
    result = shell.run_cell(f"%%sqlinfer\n{sql}")
    assert not result.success
    printed = capsys.readouterr().out
    assert shown in printed
    assert "LINE 1" in printed
    assert "connection.py" not in printed


def test_statements_on_models(shell, tmp_path, onnx_file, monkeypatch):
    monkeypatch.setenv("SQLINFER_HOME", str(tmp_path / "own"))
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    run(shell, "%sqlinfer :memory:")
    run(shell, "import pandas as pd\nrows = pd.DataFrame({'kept': [1.0, 2.0]})")
    created = run(shell, f"%%sqlinfer\nCREATE MODEL m\nFROM '{file}' (sample = rows)")
    assert created[["name", "version"]].values.tolist() == [["m", 1]]
    assert run(shell, "%sqlinfer SELECT predict('m', r) AS p FROM rows r")["p"].tolist() == [-1, -2]
    assert run(shell, "%sqlinfer DESCRIBE MODEL m")["name"].tolist() == ["kept", "predict", "infer"]
    assert run(shell, "%sqlinfer SHOW MODELS")["name"].tolist() == ["m"]
    with pytest.raises(sqlinfer.SqlinferError, match="LINE 1: DROP MODEL n"):
        run(shell, "%sqlinfer DROP MODEL n")
    run(shell, "%sqlinfer DROP MODEL m")
    monkeypatch.undo()
    run(shell, "%sqlinfer :memory:")
