"""What the extension reads of DuckDB's memory: where a DuckDB holds things elsewhere, nothing of it is believed."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys

import pytest

from sqlinfer.engines.native import extension_path
from sqlinfer.errors import EngineError
from sqlinfer.installation import onnxruntime_library
from tests.processes import HANG

pytestmark = pytest.mark.slow

try:
    extension_path()
except EngineError as missing:
    pytest.skip(f"no native engine: {missing}", allow_module_level=True)

# `Places` in udfs/src/host/duckdb_v1/layout.rs, as it lies in the built file.
PLACES = (0, 8, 8, 208, 9, 16)
SCORED = "SELECT predict_iris(5.1, 3.5, 1.4, 0.2) AS p, typeof(p)"
FIXED = "gives the functions of an extension one type each"


@pytest.fixture
def ask(registry, tmp_path):
    def ask(places, sql):
        content, true = extension_path().read_bytes(), struct.pack("<6Q", *PLACES)
        assert content.count(true) == 1
        extension = tmp_path / "sqlinfer.duckdb_extension"
        extension.write_bytes(content.replace(true, struct.pack("<6Q", *places)))
        setup = f"LOAD '{extension}'; SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'; "
        command = [sys.executable, "-m", "duckdb_cli", "-unsigned", "-csv", "-noheader", "-c", setup + sql]
        environment = {**os.environ, "SQLINFER_HOME": str(registry.home)}
        return subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment)

    return ask


def wrong_places():
    numbers = random.Random(7)
    wrong = [(i, places[i]) for i in range(6) for places in ([p + 8 for p in PLACES], [numbers.randrange(1 << 40)] * 6)]
    return [pytest.param((*PLACES[:i], place, *PLACES[i + 1 :]), id=f"{i}-{place}") for i, place in wrong]


def test_the_places_are_those_of_this_program(ask):
    assert ask(PLACES, f"{SCORED}; SELECT predict('iris', 5.1, 3.5, 1.4, 0.2)").stdout.split() == [
        "setosa,VARCHAR",
        "setosa",
    ]


@pytest.mark.parametrize("places", wrong_places())
def test_another_layout_is_noticed(ask, places):
    """Functions have one type each then, and say so; nothing crashes."""
    sql = f"{SCORED}; SELECT predict('width', 1.4) > 0, typeof(predict('width', 1.4)); SELECT predict('iris')"
    ran = ask(places, sql)
    assert ran.stdout.split() == ["setosa,VARCHAR", "true,DOUBLE"]
    assert ran.returncode == 1 and "predict() answers DOUBLE" in ran.stderr and FIXED in ran.stderr


def test_the_probe_is_asked_once(ask):
    assert "by sqlinfer alone" in ask(PLACES, "SELECT sqlinfer_probe(1)").stderr
