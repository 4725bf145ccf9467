"""Two requests at one time, as FastAPI runs them: with a cursor for each, and with one connection for both."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.processes import HANG

pytestmark = pytest.mark.slow

# The first has asked when the second asks, and fetches when the second has its rows.
PROGRAM = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import sqlinfer
from fastapi import FastAPI
from fastapi.testclient import TestClient

con = sqlinfer.connect("garden.duckdb")
asked, answered = threading.Event(), threading.Event()
app = FastAPI()
ask = "SELECT predict('species', f) AS p, count(*) FROM flowers f WHERE petal_length < ? GROUP BY p"

@app.get("/first")
def first():
    cursor = {own}
    cursor.execute(ask, [3])
    asked.set()
    answered.wait()
    return cursor.fetchall()

@app.get("/second")
def second():
    cursor = {own}
    asked.wait()
    rows = cursor.execute(ask, [1.5]).fetchmany(1)
    answered.set()
    return rows

client = TestClient(app)
with ThreadPoolExecutor(2) as threads:
    print(json.dumps([answer.json() for answer in threads.map(client.get, ["/first", "/second"])]))
"""


def answers(home, environment, own):
    command = [sys.executable, "-c", PROGRAM.replace("{own}", own)]
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=HANG, check=True)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("name", ["FastAPI"])
def test_a_cursor_for_each_has_its_own_rows(name, tool, home, environment):
    assert answers(home, environment, "con.cursor()") == [[["setosa", 50]], [["setosa", 24]]]


@pytest.mark.parametrize("name", ["FastAPI"])
def test_one_connection_for_both_loses_rows(name, tool, home, environment):
    first, second = answers(home, environment, "con")
    assert second == [["setosa", 24]]
    assert first == []
