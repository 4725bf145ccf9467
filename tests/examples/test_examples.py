"""Every example runs, and what it prints is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb
import nbclient
import nbformat
import pyarrow.parquet as pq
import pytest

from tests.processes import HANG

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def examples(tmp_path):
    """A copy, so that what the examples write stays in the test's own folder."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("output"))
    return copy


def run(*command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def table(out, title):
    """The rows below a title, as DuckDB and the command line draw them; the first is the header."""
    lines = out.split(title, 1)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    return rows[:1] + rows[2:]  # between them the types


def test_flights(examples):
    """Every flight is scored, and what is predicted for an airline is what happened on the days of no training."""
    out = run(sys.executable, examples / "flights.py")
    rows = table(out.split("rows a second")[0], "ORDER BY flights DESC")[1:]
    flights = [int(row[1]) for row in rows]
    assert sum(flights) == 336_776
    large = [(float(row[3]), float(row[4])) for row, count in zip(rows, flights, strict=True) if count > 10_000]
    assert len(large) == 9
    assert all(abs(predicted - actual) < 4 for predicted, actual in large)
    assert float(re.search(r"AUC is (0\.\d+)", out)[1]) > 0.7
    assert (examples / "output" / "flights.png").read_bytes().startswith(b"\x89PNG")


def test_cancellations(examples):
    """The money that is expected to be lost is, over all months, within a tenth of what was lost."""
    out = run(sys.executable, examples / "cancellations.py")
    months = table(out.split("Whom to call")[0], "Money at stake in 2017")[1:]
    assert [row[0] for row in months][::7] == ["January", "August"]
    expected, actual = (sum(int(row[i]) for row in months) for i in (3, 4))
    assert abs(expected / actual - 1) < 0.1
    assert float(re.search(r"AUC .*: (0\.\d+)", out)[1]) > 0.75


def test_demand(examples):
    """The forecast for a month is right within a tenth, for each airport."""
    out = run(sys.executable, examples / "demand.py")
    header, *rows = table(out, "December, forecast and flown")
    assert header[:3] == ["origin", "expected", "actual"]
    assert [row[0] for row in rows] == ["EWR", "JFK", "LGA"]
    assert all(abs(int(row[1]) / int(row[2]) - 1) < 0.1 for row in rows)


def test_segments(examples):
    """Every booking is in one of five segments, which differ in what they were not made from."""
    out = run(sys.executable, examples / "segments.py")
    header, *rows = table(out.split("What each segment")[0], "Who comes")
    assert {row[0] for row in rows} == set("01234")
    assert sum(int(row[header.index("bookings")]) for row in rows) == 119_390
    canceled = [int(row[header.index("canceled %")]) for row in rows]
    assert max(canceled) > 2 * min(canceled)


def test_reviews(examples):
    """Of the reviews that were kept aside most are read as they were meant."""
    out = run(sys.executable, examples / "reviews.py")
    rows = {row[0]: (int(row[1]), float(row[2])) for row in table(out.split("Of the words")[0], "How often")[1:]}
    assert sum(count for count, _ in rows.values()) == 33_530 // 4
    assert rows["imdb"][1] > 85
    good = {row[0]: float(row[1]) for row in table(out, "Of the words of a sentence")[1:]}
    assert good["boring"] < 0.1 < 0.9 < good["wonderful"]


def test_loans(examples):
    """A threshold far below a half saves money, and what is predicted for a region is about what happened."""
    out = run(sys.executable, examples / "loans.py")
    regions = table(out.split("The threshold")[0], "over 50 %")[1:]
    assert [row[0] for row in regions] == ["Midwest", "Northeast", "South", "West"]
    assert sum(int(row[1]) for row in regions) == 4929
    assert all(abs(float(row[4]) - float(row[5])) < 1.5 and float(row[6]) > 0.6 for row in regions)
    ((threshold, _, _, cost, before),) = table(out, "The threshold that costs least")[1:]
    assert 0.05 < float(threshold) < 0.3 and int(cost) < int(before)
    assert (examples / "output" / "loans.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(find_spec("river") is None, reason="river needs a newer NumPy than the oldest that sqlinfer takes")
def test_shuttle(examples):
    """The forest finds nearly all that it was not told of, and more alarms find more."""
    out = run(sys.executable, examples / "shuttle.py")
    ((readings, odd, _, recall, precision, auc),) = table(out.split("What it takes")[0], "How many of the odd")[1:]
    assert (int(readings), int(odd)) == (39_097, 2_799)
    assert float(recall) > 0.95 and float(precision) > 0.5 and float(auc) > 0.98
    alarms = [int(row[1]) for row in table(out, "What it takes")[1:]]
    assert alarms == sorted(alarms) and alarms[0] >= 2_799 / 2 and alarms[-1] >= 2_799
    assert (examples / "output" / "shuttle.png").read_bytes().startswith(b"\x89PNG")


def test_films(examples):
    """Everybody gets three films, and what is put first is liked more than what is put last."""
    out = run(sys.executable, examples / "films.py")
    best = table(out.split("Of what they rated last")[0], "The three best")[1:]
    assert [(row[0], row[1]) for row in best] == [(person, place) for person in "1234" for place in "123"]
    liked = [int(row[3]) for row in table(out, "Of what they rated last")[1:]]
    assert len(liked) == 10 and liked[0] > liked[-1] + 20
    assert (examples / "output" / "films.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_score_parquet(examples):
    """Each row of the one file is in the other, with a price that goes with the real one."""
    out = run("sh", examples / "score_parquet.sh")
    assert re.search(r"City Hotel +27227 ", out) and re.search(r"Resort Hotel +13004 ", out)
    given, scored = examples / "output" / "bookings_2017.parquet", examples / "output" / "priced_2017.parquet"
    assert pq.read_metadata(scored).num_rows == pq.read_metadata(given).num_rows == 40_231
    answers = pq.read_table(scored, columns=["price", "usual_price"])
    assert answers["usual_price"].null_count == 0
    assert duckdb.sql("SELECT corr(price, usual_price) FROM answers").fetchall()[0][0] > 0.5


def test_notebook(examples):
    """Run from its own folder, it answers what is stored in it, and scores a file of 2017 it has not learnt from."""
    notebook = nbformat.read(examples / "notebook.ipynb", as_version=4)
    stored = [cell.get("outputs") for cell in notebook.cells]
    nbclient.NotebookClient(
        notebook,
        timeout=int(HANG),
        startup_timeout=int(HANG),
        kernel_name="python3",
        resources={"metadata": {"path": str(examples)}},
    ).execute()
    answers = [
        (before[0].data["text/plain"], cell.outputs[0].data["text/plain"])
        for before, cell in zip(stored, notebook.cells, strict=True)
        if cell.source.startswith("%%sqlinfer\n")
    ]
    assert len(answers) == 3
    for before, after in answers:
        assert len(before.splitlines()) == len(after.splitlines())
    hotels = [line.split()[-3:] for line in answers[0][1].splitlines()[1:]]
    assert sum(int(bookings) for bookings, _, _ in hotels) == 40_687
    assert all(abs(float(expected) - float(actual)) < 8 for _, expected, actual in hotels)
    scored = pq.read_table(examples / "output" / "scored_2017.parquet", columns=["risk"])["risk"]
    assert len(scored) == 40_687 and scored.null_count == 0


def test_all_are_listed():
    listed = set(re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text()))
    runnable = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh", ".ipynb")} - {"picture.py"}
    assert listed == runnable
