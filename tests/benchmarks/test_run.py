"""The benchmark runs, and its contestants agree (it stops when they do not); nobody looks at the clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_smoke_run():
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    tables = ran.stdout.split("### ")[1:]
    assert [table.split(":")[0] for table in tables[:3]] == ["linear", "trees", "mlp"]
    for table in tables[:3]:
        assert "| sqlinfer, Arrow engine |" in table and "as fast" in table
    assert "nan MB" not in tables[0]
    assert tables[3].count("x as fast") >= 2
    assert tables[4].count("x its time") >= 4


def test_a_smoke_run_of_texts():
    command = [sys.executable, str(BENCHMARKS / "texts.py"), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| sqlinfer, Arrow engine |" in ran.stdout
    assert ran.stdout.count("x as fast") >= 4


def test_a_smoke_run_of_metrics():
    command = [sys.executable, str(BENCHMARKS / "metrics.py"), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.count("x as long |") >= 8
    assert "| roc_auc_score(is_bad, score) | median(score) |" in ran.stdout


def test_a_smoke_run_of_many_files():
    command = [sys.executable, str(BENCHMARKS / "score.py"), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("32,000 rows in 16 files") and "| sqlinfer score |" in ran.stdout
