"""The README's SQL, pasted wherever SQL is typed: the same rows, of the same types; and wrong names are errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from tests.engines import ENGINES
from tests.processes import HANG
from tests.tools.conftest import PACKAGES
from tests.tools.pages import readme_sql

pytestmark = pytest.mark.slow

README = readme_sql()
TYPES = f"SELECT typeof(COLUMNS(*)) FROM ({README}) LIMIT 1"
NAMES = """SELECT predict('species', petal_width := 0.2, petal_length := 1.4, sepal_width := 3.5, sepal_length := 5.1)
AS species"""
RIGHT = {
    README: [["setosa", 50, 0.0], ["versicolor", 48, 0.107], ["virginica", 52, 0.863]],
    TYPES: [["VARCHAR", "BIGINT", "DOUBLE"]],
    NAMES: [["setosa"]],
}
WRONG = {
    "SELECT predict('spices', f) AS p FROM flowers f": "no model named 'spices'",
    "SELECT predict_spices(f) AS p FROM flowers f": "predict_spices",
    NAMES.replace("petal_width", "petal_wide"): "'petal_wide'",
    "SELECT predict('species', {'sepal_length': 1, 'sepal_width': 2, 'petal_length': 3}) AS p": "feature petal_width",
    "SELECT predict_proba('species', f, 'virginca') AS p FROM flowers f": "has no class 'virginca'",
}
QUESTIONS = [*RIGHT, *WRONG]

# Programs that make ``ask(sql)``.
CONNECT = """
import sqlinfer
con = sqlinfer.connect("garden.duckdb")
def ask(sql):
    return con.execute(sql).fetchall()
"""
JUPYSQL = """
import sqlinfer
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.push({"con": sqlinfer.connect("garden.duckdb")})
shell.run_cell("%load_ext sql\\n%sql con --alias duckdb").raise_error()
def ask(sql):
    ran = shell.run_cell("%%sql\\n" + sql)
    ran.raise_error()
    return [tuple(row) for row in ran.result]
"""
FASTAPI = """
import sqlinfer
from fastapi import FastAPI
from fastapi.testclient import TestClient
con = sqlinfer.connect("garden.duckdb")
app = FastAPI()
def ask(sql):
    @app.get(f"/{len(app.routes)}", name=sql)
    def handler():
        with con.cursor() as cursor:
            return cursor.execute(sql).fetchall()
    return TestClient(app).get(app.url_path_for(sql)).json()
"""
PROGRAM = """
import subprocess
def ask(sql):
    duckdb = [sys.executable, "-m", "duckdb_cli", "-unsigned", "-json", "garden.duckdb"]
    ran = subprocess.run([*duckdb, "-c", "LOAD sqlinfer", "-c", sql], capture_output=True, text=True)
    if ran.returncode:
        raise ValueError(ran.stderr)
    return [list(row.values()) for row in json.loads(ran.stdout)]
subprocess.run(["sqlinfer", "install-extension"], check=True)
"""
DBT = """
import duckdb
import subprocess
from pathlib import Path
Path("models").mkdir()
Path("dbt_project.yml").write_text("{name: garden, profile: garden, models: {+materialized: table}}")
Path("profiles.yml").write_text('''{garden: {target: dev, outputs: {dev: {type: duckdb, path: garden.duckdb,
    config_options: {allow_unsigned_extensions: true}, extensions: [sqlinfer]}}}}''')
for n, sql in enumerate(questions):
    Path(f"models/m{n}.sql").write_text(sql)
subprocess.run(["sqlinfer", "install-extension"], check=True)
subprocess.run(["dbt", "run"])
results = json.loads(Path("target/run_results.json").read_text())["results"]
told = {result["unique_id"].split(".")[-1]: result for result in results}
def ask(sql):
    model = f"m{questions.index(sql)}"
    if told[model]["status"] != "success":
        raise ValueError(told[model]["message"])
    with duckdb.connect("garden.duckdb") as con:
        return con.execute(f"FROM {model}").fetchall()
"""
ASK = """
def answer(sql):
    try:
        return "rows", ask(sql)
    except Exception as error:
        return "error", str(error)
answers = [answer(sql) for sql in questions]
with open("answers.json", "w") as file:
    json.dump(answers, file)
"""
PROGRAMS = {"connect": CONNECT, "program": PROGRAM, "JupySQL": JUPYSQL, "FastAPI": FASTAPI, "dbt": DBT}
NATIVE = {"program", "dbt"}


@pytest.fixture
def answers(name, request, home, environment) -> dict[str, list]:
    """What a client answers to all of them, asked once."""
    if name in NATIVE and "native" not in ENGINES:
        pytest.skip("there is no extension to load")
    if name in PACKAGES:
        request.getfixturevalue("tool")
    folder = home / name
    with FileLock(home / f"{name}.lock"):
        if not (folder / "answers.json").exists():
            folder.mkdir()
            shutil.copy(home / "garden.duckdb", folder)
            code = f"import json, sys\nquestions = json.load(sys.stdin)\n{PROGRAMS[name]}\n{ASK}"
            asked = json.dumps(QUESTIONS)
            command = [sys.executable, "-c", code]
            subprocess.run(command, cwd=folder, env=environment, input=asked, text=True, timeout=HANG, check=True)
    return dict(zip(QUESTIONS, json.loads((folder / "answers.json").read_text()), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_rows_of_the_same_types(name, answers):
    assert {sql: answers[sql] for sql in RIGHT} == {sql: ["rows", rows] for sql, rows in RIGHT.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_wrong_name_is_an_error(name, answers):
    for sql, words in WRONG.items():
        kind, told = answers[sql]
        assert kind == "error", sql
        assert words in told
