"""sqlinfer query: to the terminal, a pipe or a file."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import pty
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from sklearn.linear_model import LinearRegression

from tests.processes import HANG, Gate, computes


@pytest.fixture(autouse=True)
def registered(run, negate):
    run("register", "negate", negate)


ROWS = "SELECT i, predict('negate', i) AS p, NULL AS nothing FROM range(3) t(i)"


@pytest.mark.parametrize("engine", ["auto", "arrow"])
def test_json_is_what_a_pipe_gets(run, engine):
    result = run("query", ROWS, "--engine", engine)
    assert json.loads(result.stdout) == [{"i": i, "p": -i, "nothing": None} for i in range(3)]
    assert result.stderr == ""


def test_formats(run):
    lines = run("query", ROWS, "-f", "jsonl").stdout.splitlines()
    assert [json.loads(line)["p"] for line in lines] == [0, -1, -2]
    rows = list(csv.reader(io.StringIO(run("query", ROWS, "-f", "csv").stdout)))
    assert rows[0] == ["i", "p", "nothing"] and len(rows) == 4 and rows[1][2] == ""
    assert run("query", ROWS, "-f", "table").stdout.splitlines()[0].split() == ["i", "p", "nothing"]
    assert run("query", ROWS, "-f", "markdown").stdout.startswith("| i ")


def test_text_is_printed_as_it_is(run):
    sql = "SELECT 'Genève | \"x\"\n🦆' AS t, [1.5::DOUBLE, NULL] AS l, {'a': 1} AS s, DATE '2024-01-02' AS d"
    (row,) = json.loads(run("query", sql).stdout)
    assert (
        row["t"] == 'Genève | "x"\n🦆' and row["l"] == [1.5, None] and row["s"] == {"a": 1} and row["d"] == "2024-01-02"
    )
    ((text, *_),) = list(csv.reader(io.StringIO(run("query", sql, "-f", "csv").stdout)))[1:]
    assert text == 'Genève | "x"\n🦆'
    assert "Genève" in run("query", sql, "-f", "markdown").stdout


def test_decimals_are_numbers(run):
    assert json.loads(run("query", "SELECT 1.5 AS x, [2.25, 3] AS y").stdout) == [{"x": 1.5, "y": [2.25, 3]}]
    digits = "12345678901234567890.12345678901234567"
    assert f'"x": {digits}' in run("query", f"SELECT {digits} AS x").stdout


def test_columns_of_one_name_are_named_as_in_files(run, tmp_path):
    sql = "SELECT 1 AS a, 2 AS A, 3 AS a_1, 4 AS a"
    # DuckDB 1 writes no JSON of such columns
    for form in ("csv",) if duckdb.__version__.startswith("1.") else ("json", "jsonl", "csv"):
        printed = run("query", sql, "-f", form).stdout
        run("query", sql, "-f", form, "-o", tmp_path / "file")
        written = duckdb.sql(f"FROM read_{'csv' if form == 'csv' else 'json'}('{tmp_path}/file')")
        names = printed.splitlines()[0].split(",") if form == "csv" else json.loads(printed.strip("[]\n")).keys()
        assert list(names) == written.columns == ["a", "A_1", "a_1_1", "a_2"]


def test_csv_is_printed_as_duckdb_writes_it(run, tmp_path):
    sql = """SELECT true AS b, 0.1::FLOAT AS f, x'00ff' AS x, [true, NULL] AS l, {'a': 'x'} AS s, '' AS empty,
             NULL AS n, '#' AS sign, 'a "b"' AS q, 'c' || chr(10) || 'd' AS lines, INTERVAL 1 DAY AS i, MAP {'k': 1.50}
             FROM range(2) -- twice"""
    printed = run("query", f"SET threads = 1; {sql}", "-f", "csv").stdout
    run("query", sql, "-o", tmp_path / "x.csv")
    assert printed == (tmp_path / "x.csv").read_text()
    assert run("query", "CREATE TABLE t AS SELECT true AS x; UPDATE t SET x = true RETURNING x", "-f", "csv").stdout
    run("query", "CREATE TABLE t (x INT)", "-f", "csv")


def test_a_row_of_a_table_is_a_line(run):
    sql = "SELECT 'a' || chr(10) || 'b|c' AS s, 1 AS \"n|m\""
    assert run("query", sql, "-f", "markdown").stdout.splitlines()[::2] == [
        "| s         | n\\|m |",
        "| a<br>b\\|c | 1    |",
    ]
    assert run("query", sql, "-f", "table").stdout.splitlines()[2] == "a\\nb|c  1"


def test_sql_may_begin_with_a_comment(run):
    assert json.loads(run("query", "-- which?\nSELECT 1 AS x").stdout) == [{"x": 1}]


@pytest.mark.parametrize(
    "value", ["'nan'::DOUBLE", "[1, 'nan'::DOUBLE]", "{'a': 'inf'::DOUBLE}", "'inf'::DOUBLE", "'-inf'::FLOAT"]
)
def test_json_has_no_nan(run, value):
    """Another program's parser must be able to read what is printed."""
    for form in ("json", "jsonl"):
        text = run("query", f"SELECT {value} AS x", "-f", form).stdout
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_numbers_keep_their_digits_in_csv(run):
    text = run("query", "SELECT 0.1::DOUBLE + 0.2::DOUBLE AS x, 123456789.125::DOUBLE AS y", "-f", "csv").stdout
    assert text.splitlines()[1] == "0.30000000000000004,123456789.125"


def test_no_rows(run):
    assert run("query", "SELECT 1 AS x WHERE false").stdout == "[]\n"
    assert run("query", "SELECT 1 AS x WHERE false", "-f", "csv").stdout == "x\n"
    assert run("query", "SELECT 1 AS x WHERE false", "-f", "jsonl").stdout == ""


def test_sql_from_standard_input(run):
    assert json.loads(run("query", "-", text="SELECT predict('negate', 3) AS p").stdout) == [{"p": -3}]


def test_a_database_file(run, tmp_path):
    path = tmp_path / "shop.duckdb"
    run("query", "CREATE TABLE t AS SELECT 7 AS x", "--db", path)
    assert json.loads(run("query", "SELECT predict('negate', t) AS p FROM t", "--db", path).stdout) == [{"p": -7}]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT predict('nega', 1)", "did you mean 'negate'"),
        ("SELECT predict('negate', 'x')", "CAST"),
        ("SELECT nope FROM nowhere", "nowhere"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_errors(run, sql, says):
    result = run("query", sql, code=1)
    assert says in result.stderr
    assert not result.stdout or not sql


def test_the_place_is_underlined(run):
    text = run("query", "SELECT 1,\n  predict('nega', 1)", code=1).stderr
    assert "LINE 2:   predict('nega', 1)" in text and "^^^^^^" in text


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_the_place_is_named_as_the_user_counts_lines(run, tmp_path, form):
    for sql, line in (("SELECT predict('negated', 1)", 1), ("SELECT 1,\n  nope", 2)):
        assert f"LINE {line}: " in run("query", sql, "-f", form, "-o", tmp_path / "x", code=1).stderr
    assert "LINE 1: " in run("query", "SELECT nope", "-f", "csv", code=1).stderr


def test_nothing_to_run_is_asked_wrongly(run):
    assert "no SQL" in run("query", " \n", code=2).stderr
    assert "no SQL" in run("query", "-", text="", code=2).stderr


def test_a_database_that_is_none(run, tmp_path):
    (tmp_path / "x.duckdb").write_bytes(b"x" * 5000)
    assert "x.duckdb" in run("query", "SELECT 1", "--db", tmp_path / "x.duckdb", code=1).stderr


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "p.json", "p.jsonl", "it's.parquet"])
def test_files(run, tmp_path, name):
    path = tmp_path / name
    sql = "SELECT i, predict('negate', i) AS p -- which?\nFROM range(100) t(i); -- done"
    result = run("query", sql, "-o", path)
    assert result.stdout == "" and "100 rows" in result.stderr
    quoted = str(path).replace("'", "''")
    assert duckdb.sql(f"SELECT sum(i + p), count(*) FROM '{quoted}'").fetchall() == [(0, 100)]


def test_the_format_of_a_file_can_be_said(run, tmp_path):
    run("query", "SELECT 1 AS x", "-o", tmp_path / "p.data", "-f", "parquet")
    assert duckdb.sql(f"FROM read_parquet('{tmp_path}/p.data')").fetchall() == [(1,)]
    assert "-f" in run("query", "SELECT 1 AS x", "-o", tmp_path / "p.dat", code=2).stderr
    assert "-o FILE" in run("query", "SELECT 1 AS x", "-f", "parquet", code=2).stderr


def test_a_failed_query_leaves_the_old_file(run, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("precious")
    run("query", "SELECT predict('nega', 1)", "-o", path, code=1)
    run("query", "SELECT error('late') FROM range(10)", "-o", path, code=1)
    assert path.read_text() == "precious"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_pipe_that_is_closed_early_is_no_error(process, form):
    running = process(
        "query",
        "SELECT i, repeat('x', 100) FROM range(300000) t(i)",
        "-f",
        form,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout.read(20)
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(HANG) == 0


@pytest.mark.slow
def test_a_long_query_prints_nothing_but_its_data(process):
    """DuckDB's own progress bar, which comes after two seconds, would stand between the rows."""
    pairs = "range(3000) a(i), range(3000) b(i) WHERE (a.i + b.i) % 3 = 1"
    sql = f"SELECT count(predict('negate', a.i + b.i)) AS n FROM {pairs}"
    running = process("query", sql, "--engine", "arrow", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = running.communicate(timeout=HANG)
    assert (json.loads(out), err) == ([{"n": 3_000_000}], "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interrupting(process, tmp_path):
    gate = Gate(tmp_path / "gate")
    sql = f"SELECT sum(predict('negate', a.i + b.i)) FROM {gate.sql}, range(1000000) a(i), range(1000000) b(i)"
    running = process("query", sql, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    gate.open(running)
    computes(running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=HANG)
    assert (running.returncode, out) == (130, ""), err
    assert "interrupted" in err and "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_a_terminal_gets_a_table(process):
    ours, theirs = pty.openpty()
    running = process("query", "SELECT predict('negate', 3) AS answer", stdout=theirs, stderr=subprocess.PIPE)
    assert running.wait(HANG) == 0
    os.close(theirs)
    lines = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert lines[0] == "answer" and lines[2].strip() == "-3"
    assert running.stderr.read() == ""


def test_a_pivot_goes_into_a_file(run, tmp_path):
    sql = "PIVOT (SELECT 'a' AS k, 1 AS v UNION ALL SELECT 'b', 2) ON k USING sum(v)"
    run("query", sql, "-o", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text().splitlines() == ["a,b", "1,2"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("command", [["list"], ["query", "FROM range(100000)"]])
def test_an_output_that_is_full_is_an_error_and_one_that_is_closed_is_none(process, command):
    with Path("/dev/full").open("w") as full:
        running = process(*command, stdout=full, stderr=subprocess.PIPE)
        assert running.communicate() == (None, "Error: there is no space left for the output\n")
        assert running.returncode == 1
    running = process(*command, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert running.communicate() == (None, "")
    assert running.returncode == 0


def test_parameters(run):
    sql = "SELECT predict('negate', $Amount) AS p, $city AS city, $none AS n, $zip AS zip, $text AS text, $l AS l"
    given = ("-p", "amount=2", "-p", "city=São = Paulo", "-p", "$none=null", "-p", "zip=01234", "-p", 'text="7"')
    (row,) = json.loads(run("query", sql, *given, "-p", "l=[1, 2.5]").stdout)
    assert row == {"p": -2, "city": "São = Paulo", "n": None, "zip": "01234", "text": "7", "l": [1, 2.5]}


@pytest.mark.parametrize("form", ["table", "json", "csv", "jsonl"])
def test_parameters_in_several_statements(run, tmp_path, form):
    sql = "CREATE TABLE t AS SELECT $a AS a; INSERT INTO t VALUES ($b); SELECT sum(a) + $a AS total FROM t"
    assert "8" in run("query", sql, "-p", "a=3", "--param", "b=2", "-f", form).stdout
    if form != "table":
        run("query", sql, "-p", "a=3", "-p", "b=2", "-f", form, "-o", tmp_path / "x")
        assert "8" in (tmp_path / "x").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [(["a=1"], "-p b=VALUE"), (["a=1", "b=2", "c=3"], "no $c"), (["a"], "NAME=VALUE"), (["=1"], "NAME=VALUE")],
)
def test_parameters_that_are_asked_wrongly(run, given, says):
    words = [word for one in given for word in ("-p", one)]
    assert says in run("query", "SELECT $a, $b", *words, code=2).stderr


ENDLESS = "SELECT sum(predict('negate', a.i + b.i)) AS s FROM range(1000000) a(i), range(1000000) b(i)"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "arrow"])
@pytest.mark.parametrize("file", ["p.parquet", "p.csv", None])
def test_a_time_that_is_up(run, tmp_path, engine, file):
    output = ["-o", tmp_path / file] if file else []
    before = set(tmp_path.iterdir())
    ended = run("query", ENDLESS, "--timeout", 0.5, "--engine", engine, *output, code=1)
    assert ended.stdout == "" and "within 0.5 seconds" in ended.stderr and "--timeout" in ended.stderr
    assert set(tmp_path.iterdir()) == before
    assert run("query", "SELECT 1 AS x", "--timeout", 600).stdout == '[{"x": 1}]\n'
    run("query", "SELECT 1", "--timeout", 0, code=2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("engine", ["native", "arrow"])
@pytest.mark.parametrize("old", [None, "precious"])
def test_being_terminated(process, tmp_path, engine, old):
    """Nothing stands at the final name but what was there, and nothing is left beside it."""
    path = tmp_path / "p.csv"
    if old:
        path.write_text(old)
    gate = Gate(tmp_path / "gate")
    before = set(tmp_path.iterdir())
    sql = f"SELECT i, predict('negate', i) FROM {gate.sql}, range(1000000000) t(i)"
    running = process("query", sql, "-o", path, "--engine", engine, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    gate.open(running)
    computes(running)
    running.terminate()
    out, err = running.communicate(timeout=HANG)
    assert (running.returncode, out, err) == (143, "", "terminated\n")
    assert set(tmp_path.iterdir()) == before and (path.read_text() if path.exists() else None) == old


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_being_terminated_while_nobody_reads(process):
    sql = "SELECT i, repeat('x', 100) FROM range(10000000) t(i)"
    running = process("query", sql, "-f", "jsonl", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline()
    running.terminate()
    assert running.wait(HANG) == 143


def test_a_file_keeps_its_mode_and_a_link_its_file(run, tmp_path):
    (tmp_path / "real.csv").touch(0o600)
    (tmp_path / "p.csv").symlink_to("real.csv")
    run("query", "SELECT 1 AS x", "-o", tmp_path / "p.csv")
    assert (tmp_path / "real.csv").read_text() == "x\n1\n" and (tmp_path / "p.csv").is_symlink()
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o600
    assert "no folder" in run("query", "SELECT 1", "-o", tmp_path / "no" / "p.csv", code=1).stderr
    run("query", "SELECT 1 AS x", "-f", "csv", "-o", tmp_path / "p.csv.gz")
    assert (tmp_path / "p.csv.gz").read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="the system has no such device")
@pytest.mark.slow
def test_standard_output_is_a_file(process):
    running = process("query", "SELECT 1 AS x", "-f", "csv", "-o", "/dev/stdout", stdout=subprocess.PIPE)
    assert running.communicate(timeout=HANG)[0] == "x\n1\n"


def test_statements_on_models(run, process, negate, home, tmp_path):
    script = f"CREATE MODEL m FROM '{negate}'; SELECT predict('m', 3) AS p"
    assert json.loads(run("query", script).stdout) == [{"p": -3}]
    for form in ("json", "jsonl", "csv", "table", "markdown"):
        assert "negate" in run("query", "SHOW MODELS", "-f", form).stdout
    assert run("query", "SHOW MODELS", "-o", tmp_path / "models.csv").stderr.startswith("2 rows")
    assert (tmp_path / "models.csv").read_text().splitlines()[1].startswith("m,1,")
    created = run("query", f"SELECT 1; CREATE MODEL m FROM '{negate}'", "-f", "csv").stdout
    assert created.splitlines()[1].startswith("m,2,[],")
    assert json.loads(run("query", "SHOW MODELS LIKE 'm'").stdout)[1]["version"] == 2


def test_statements_on_models_with_parameters(run, negate):
    run("query", "CREATE MODEL m FROM $file (null = $null)", "-p", f"file={negate}", "-p", "null=7")
    assert json.loads(run("query", "DESCRIBE MODEL m; SELECT predict('m', NULL) + $x AS p", "-p", "x=1").stdout) == [
        {"p": -6}
    ]
    assert "-p y: the SQL has no $y" in run("query", "SHOW MODELS LIKE $x", "-p", "x=m", "-p", "y=1", code=2).stderr
    assert "the SQL has $x" in run("query", "SELECT 1; SHOW MODELS LIKE $x", "-p", "y=1", code=2).stderr


def test_a_statement_makes_the_registry(run, negate, tmp_path):
    new = tmp_path / "new"
    assert "there is no registry" in run("query", "SHOW MODELS", "--registry", new, code=1).stderr
    run("query", f"CREATE MODEL m FROM '{negate}'", "--registry", new)
    assert json.loads(run("list", "--registry", new).stdout)[0]["name"] == "m"


def test_a_pickle_is_loaded_when_it_is_trusted(run, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])))
    statement = f"CREATE MODEL m FROM '{tmp_path / 'm.pkl'}' (sample = (SELECT 1.0 AS x)); SELECT predict('m', 3) AS p"
    refused = run("query", statement, code=1).stderr
    assert "sqlinfer query --trust" in refused and "LINE 1: CREATE MODEL m" in refused
    assert json.loads(run("query", statement, "--trust").stdout) == [{"p": pytest.approx(6)}]


def test_a_statement_that_is_wrong_is_underlined(run):
    refused = run("query", "SELECT 1;\nDROP MODEL nagate", code=1).stderr
    assert "did you mean 'negate'" in refused and "LINE 2: DROP MODEL nagate\n                   ^^^^^^" in refused
