"""The real duckdb program, without Python in its process."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import onnx
import onnx.parser
import pytest

import sqlinfer
from sqlinfer.engines.catalogue import features, functions, versions
from sqlinfer.engines.native import extension_path
from sqlinfer.errors import EngineError
from sqlinfer.installation import packaged_operators
from tests.processes import HANG, computes, spent

pytestmark = pytest.mark.slow

try:
    extension_path()
except EngineError as missing:
    pytest.skip(f"no native engine: {missing}", allow_module_level=True)

SQLINFER = [sys.executable, "-c", "from sqlinfer.cli import main; main(prog_name='sqlinfer')"]


@pytest.fixture
def environment(registry):
    return {**os.environ, "SQLINFER_HOME": str(registry.home)}


@pytest.fixture
def shell(environment):
    def run(*arguments, text="", code=0):
        command = [*SQLINFER, "shell", *map(str, arguments)]
        ran = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, timeout=HANG)
        assert ran.returncode == code, ran.stderr
        return ran

    return run


def ask(shell, sql):
    ran = shell(":memory:", "-json", "-c", sql)
    return [list(row.values()) for row in json.loads(ran.stdout)]


def test_a_command(shell):
    assert ask(shell, "SELECT predict_iris(5.1, 3.5, 1.4, 0.2) AS p, typeof(p)") == [["setosa", "VARCHAR"]]


def test_options_may_stand_before_the_database(shell, tmp_path):
    file = tmp_path / "my own.duckdb"
    shell(file, "-c", "CREATE TABLE t AS SELECT predict_iris(5.1, 3.5, 1.4, 0.2) AS p")
    ran = shell("-csv", "-separator", "|", "-nullvalue", "-", file, "-c", "SELECT p, NULL FROM t")
    assert ran.stdout.split()[1:] == ["setosa|-"]
    assert shell("-noheader", "-list", file, "-c", "SELECT p, 1 FROM t").stdout == "setosa|1\n"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("-noheader", "│ true"),
        ("-header", "p"),
        ("-batch", "true"),
        ("-html", "<td>true</td>"),
        ("-json", '[{"p":true}]'),
        ("-csv", "p\ntrue"),
        ("-line", "p = true"),
        ("-readonly", "true"),
        ("-help", "[OPTIONS] FILENAME"),
        ("-version", "v1."),
    ],
)
def test_every_option_is_duckdbs_own(shell, tmp_path, option, says):
    file = tmp_path / "x.duckdb"
    shell(file, "-c", "SELECT 1")
    ran = shell(option, file, "-c", "SELECT predict_width(1) > 0 AS p")
    assert says in ran.stdout and "sqlinfer shell" not in ran.stdout


def test_help_is_ours(shell):
    assert shell("-h").stdout == shell("x.duckdb", "--help").stdout
    assert "Start the duckdb program on DATABASE" in shell("-h").stdout


def test_the_setup_can_be_pasted(shell, tmp_path):
    lines = shell("--print-setup", "my own.duckdb").stdout.splitlines()
    (alias,) = (shlex.split(line)[-1] for line in lines if "alias sqlduck=" in line)
    command = shlex.split(alias.partition("=")[2])
    assert command[:2] == ["duckdb", "-unsigned"] and command[-1] == "my own.duckdb"


def test_a_pipe(shell):
    ran = shell(
        "-csv", text="SELECT predict_label('iris', 5.1, 3.5, 1.4, 0.2) AS p;\nSELECT predict('width', 1) > 0 AS q;"
    )
    assert ran.stdout.split() == ["p", "setosa", "q", "true"]


def test_the_generic_functions(shell):
    row = "{'sl': 5.1, 'sw': 3.5, 'pl': 1.4, 'pw': 0.2}"
    assert ask(
        shell, f"SELECT predict_label('iris/2', {row}) AS a, predict_proba('iris', {row})['setosa'] > 0.9 AS b"
    ) == [["setosa", True]]
    assert ask(shell, "SELECT predict('same_int', 7) AS a, predict_label('same_int', 7) AS b") == [[7, "7"]]


def test_rows_of_a_table(shell):
    sql = """WITH t(sl, sw, pl, pw) AS (VALUES (5.1, 3.5, 1.4, 0.2), (6.0, 3.0, 6.0, 2.0), (NULL, 1, 1, 1))
             SELECT predict_iris(t) AS p, count(*) FROM t GROUP BY p ORDER BY p"""
    assert ask(shell, sql) == [["setosa", 1], ["virginica", 1], [None, 1]]


def test_metrics_of_groups(shell):
    rows = "('n', true, 0.9), ('n', false, 0.5), ('s', true, 0.25), ('s', false, 0.75), ('s', false, 0)"
    sql = f"""SELECT region, roc_auc_score(y, p) AS auc, mean_absolute_error(y, p) AS mae
             FROM (VALUES {rows}) t(region, y, p) GROUP BY ALL ORDER BY ALL"""
    assert ask(shell, sql) == [["n", 1.0, 0.3], ["s", 0.5, 0.5]]


def test_models_are_listed(shell):
    assert ask(shell, "SELECT version, aliases FROM sqlinfer_models() WHERE name = 'iris' ORDER BY version") == [
        [1, ["default"]],
        [2, ["careful"]],
    ]


def test_what_is_told_of_models_is_what_python_tells(shell, registry):
    for function, told in (("versions", versions), ("features", features), ("functions", functions)):
        for name in ("churn", "iris/2", "mixed", "bytesum"):
            listed = ask(shell, f"FROM sqlinfer_{function}('{name}')")
            assert listed == [list(record.values()) for record in told(registry, name)]
    assert ask(shell, "SELECT count(*) FROM sqlinfer_versions(NULL)") == [[len(versions(registry))]]


def test_each_row_names_its_model(shell):
    rows = "(VALUES ('digit', 5.1), ('segment', 5.1), (NULL, 5.1), ('digit/1', 6.5)) t(m, sl)"
    asked = (("digit", 5.1), ("segment", 5.1), ("digit", 6.5))
    alone = ", ".join(f"predict('{m}', {sl}, 3.5, 1.4, 0.2)" for m, sl in asked)
    first, second, last = ask(shell, f"SELECT {alone}")[0]
    found = ask(shell, f"SELECT predict(m, sl, 3.5, 1.4, 0.2) AS p FROM {rows}")
    assert found == [[first], [second], [None], [last]]
    labels = f"SELECT predict_label(m, {{'sw': 3.5, 'sl': sl, 'pl': 1.4, 'pw': 0.2}}) AS p, typeof(p) FROM {rows}"
    assert ask(shell, labels)[0] == ["-1", "VARCHAR"]
    assert ask(shell, f"SELECT predict_proba(m, sl, 3.5, 1.4, 0.2)['-1'] AS p FROM {rows} WHERE m = 'digit'") == [[1.0]]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT predict('irs', 1)", "did you mean 'iris'"),
        ("SELECT predict('iris', 1, 2, 3)", "takes 4 features, 3 given"),
        ("SELECT predict_iris(1, 2)", "takes 4 features, 2 given"),
        ("SELECT predict_iris('a', 1, 2, 3)", "CAST"),
        ("SELECT predict(x, 1) FROM (SELECT 'iris' AS x)", "constant"),
    ],
)
def test_errors(shell, sql, says):
    assert says in shell(":memory:", "-c", sql, code=1).stderr


def test_operators_of_a_library(shell, environment, tmp_path):
    """Without one, with one that needs Python, and with one that is not there: errors, and the shell goes on."""
    graph = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.contrib": 1]>
        low (string[N] text) => (string[N] y) { y = ai.onnx.contrib.StringLower(text) }"""
    onnx.save(onnx.parser.parse_model(graph), tmp_path / "low.onnx")
    environment["SQLINFER_HOME"] = str(tmp_path / "registry")
    sqlinfer.register("low", tmp_path / "low.onnx", registry=tmp_path / "registry")
    for setting, says in [
        ("", "SET sqlinfer_operators = '/path/to/library.so'"),
        (f"SET sqlinfer_operators = '{packaged_operators()}';", "undefined symbol"),
        ("SET sqlinfer_operators = '/nowhere.so';", "/nowhere.so: cannot open shared object file"),
    ]:
        ran = shell("-csv", text=f"{setting}\nSELECT predict_low('A');\nSELECT 6 * 7 AS answer;", code=1)
        assert says in ran.stderr
        assert ran.stdout.split() == ["answer", "42"]


def test_the_shell_goes_on_after_an_error(shell):
    ran = shell("-csv", text="SELECT predict('irs', 1);\nSELECT predict('width', 1) > 0 AS q;", code=1)
    assert "irs" in ran.stderr and ran.stdout.split()[-1] == "true"


@pytest.fixture
def terminal(environment):
    """``terminal(home)``: the shell on a terminal, and ``says(text)``, which waits for a text on it."""
    leader, follower = pty.openpty()
    started = []

    def start(home):
        running = subprocess.Popen(
            [*SQLINFER, "shell", ":memory:", "-dark-mode"],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**environment, "SQLINFER_HOME": str(home), "TERM": "dumb"},
            start_new_session=True,
        )
        started.append(running)
        seen = b""

        def says(text):
            nonlocal seen
            until = time.monotonic() + HANG
            while text.encode() not in seen and running.poll() is None and time.monotonic() < until:
                if select.select([leader], [], [], 0.5)[0]:
                    seen += os.read(leader, 4096)
            return text in seen.decode(errors="replace")

        return running, says, lambda sql: os.write(leader, sql.encode() + b"\n")

    yield start
    for running in started:
        running.kill()
        running.wait()
    os.close(leader)
    os.close(follower)


def test_a_terminal(terminal, registry):
    """A greeting of two lines, then the real program's prompt."""
    _, says, ask = terminal(registry.home)
    assert says(f"models in {registry.home}") and says("sqlinfer_models()")
    ask("SELECT 'p=' || predict_label('iris', 5.1, 3.5, 1.4, 0.2);")
    assert says("p=setosa")


def test_ctrl_c_ends_a_query_amid_its_rows(terminal, tmp_path):
    """DuckDB looks at it between vectors, of which one takes a minute here; the shell goes on."""
    steps = "".join(f" h{i + 1} = Sin(h{i})" for i in range(40))
    graph = f"""<ir_version: 8, opset_import: ["": 17]> heavy (float[n, 1] x) => (float[n, 1] y)
        <int64[2] wide = {{1, 250000}}> {{ h0 = Expand(x, wide) {steps} y = ReduceMax<axes = [1]>(h40) }}"""
    onnx.save(onnx.parser.parse_model(graph), tmp_path / "heavy.onnx")
    sqlinfer.register("heavy", tmp_path / "heavy.onnx", registry=tmp_path / "registry")
    running, says, ask = terminal(tmp_path / "registry")
    ask("SELECT 'be' || 'gun';")
    assert says("begun")
    ask("SELECT sum(predict('heavy', i)) FROM range(1000000) t(i);")
    computes(running)
    before = spent(running)
    running.send_signal(signal.SIGINT)
    ask("SELECT 'goes' || ' on';")
    assert says("goes on") and spent(running) < before + 20


def test_by_hand(environment):
    """What --print-setup says is enough."""
    ran = subprocess.run(
        [*SQLINFER, "shell", "--print-setup"], capture_output=True, text=True, env=environment, check=True
    )
    setup = [line for line in ran.stdout.splitlines() if not line.startswith("--")]
    command = [sys.executable, "-m", "duckdb_cli", "-unsigned", "-csv", "-noheader"]
    bare = {name: value for name, value in environment.items() if name != "SQLINFER_HOME"}
    query = "SELECT predict_label('iris', 5.1, 3.5, 1.4, 0.2);"
    by_hand = subprocess.run(
        command, input="\n".join([*setup, query]), capture_output=True, text=True, env=bare, check=True
    )
    assert by_hand.stdout.split()[-1] == "setosa", by_hand.stderr


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="needs a file that is newer than the shell")
def test_a_file_of_a_newer_duckdb(shell, tmp_path):
    duckdb.connect(str(tmp_path / "new.duckdb")).close()
    ran = shell(tmp_path / "new.duckdb", "-c", "SELECT 1", code=1)
    assert "written by a newer DuckDB" in ran.stderr and "STORAGE_VERSION" in ran.stderr


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="needs a file that is newer than the shell")
def test_a_file_of_a_newer_duckdb_is_copied(shell, tmp_path):
    """By the command that the refusal names."""
    with duckdb.connect(str(tmp_path / "new one.duckdb")) as con:
        con.execute("CREATE TABLE t AS SELECT 7 AS x; CREATE VIEW v AS SELECT x + 1 AS y FROM t")
    said = shell(tmp_path / "new one.duckdb", "-c", "SELECT 1", code=1).stderr
    words = shlex.split(said.strip().partition("sqlinfer shell ")[2])
    assert words[1] == "--copy-to"
    assert shell(*words, "-csv", "-noheader", "-c", "SELECT y FROM v").stdout == "8\n"
    assert "is there already" in shell(*words, code=1).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["new one.duckdb", Path(words[2]).name])


def test_a_file_that_connect_made(shell, tmp_path, registry):
    with sqlinfer.connect(tmp_path / "made.duckdb", registry=registry) as con:
        con.execute("CREATE TABLE t AS SELECT {'a': 1} AS s, 'x' AS v")
        with sqlinfer.connect(tmp_path / "made.duckdb", registry=registry) as other:
            assert other.execute("SELECT v FROM t").fetchall() == [("x",)]
    assert shell(tmp_path / "made.duckdb", "-csv", "-noheader", "-c", "SELECT v FROM t").stdout == "x\n"
    newest = f"v{duckdb.__version__}"
    sqlinfer.connect(tmp_path / "n.duckdb", registry=registry, storage_compatibility_version=newest).close()
    if not duckdb.__version__.startswith("1."):
        assert "newer DuckDB" in shell(tmp_path / "n.duckdb", "-c", "SELECT 1", code=1).stderr


def test_setup_as_printed(environment, tmp_path):
    """Both lines, typed into a shell; and duckdb alone goes on as ever."""
    program = Path(str(importlib.util.find_spec("duckdb_cli").origin)).parent
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sqlinfer").write_text(f'#!/bin/sh\nexec {shlex.join(SQLINFER)} "$@"\n')
    (tmp_path / "bin/sqlinfer").chmod(0o755)
    home = tmp_path / "the models"
    shutil.copytree(environment["SQLINFER_HOME"], home)
    (tmp_path / ".duckdbrc").write_text(".mode csv\n")
    user = {**environment, "HOME": str(tmp_path), "SQLINFER_HOME": str(home)}
    user["PATH"] = f"{tmp_path / 'bin'}:{program}:{user['PATH']}"
    printed = subprocess.run(
        [*SQLINFER, "shell", "--print-setup"], capture_output=True, text=True, env=user, check=True
    )
    lines = [line.removeprefix("--   ") for line in printed.stdout.splitlines() if line.startswith("--   ")]
    query = "SELECT predict_label('iris', 5.1, 3.5, 1.4, 0.2) AS p;"
    script = "\n".join(["shopt -s expand_aliases", *lines, f'sqlduck -c "{query}"', "duckdb -c 'SELECT 42 AS x'"])
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=user)
    assert ran.stdout.replace("\r", "").split() == ["p", "setosa", "x", "42"], ran.stderr
