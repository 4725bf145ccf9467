"""Clients ask while versions are promoted and registered, and the server is killed: a short run of the benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve_load.py"


@pytest.fixture
def load():
    spec = importlib.util.spec_from_file_location("serve_load", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_no_answer_is_wrong_while_versions_come_and_are_promoted(load, tmp_path):
    outcome = load.run(tmp_path, clients=8, promotions=12, every=0.05)
    assert outcome.faults == []
    assert outcome.promotions == 12 and sum(outcome.answers.values()) > 0


def test_the_run_notices_a_wrong_answer(load, tmp_path):
    truth = load.Truth(tmp_path)
    truth.register()
    outcome = load.Outcome()
    with load.serving(truth) as (_, port):
        client = load.Client(port, truth, outcome)
        label, chances = truth.known[1][0]
        assert client.ask([0], by_tensors=True) == client.ask([0], by_tensors=False) == 1
        assert outcome.faults == []
        truth.known[1][0] = (label, [chances[0] - 2**-50, *chances[1:]])
        client.ask([0], by_tensors=True)
        client.ask([0], by_tensors=False)
    assert len(outcome.faults) == 2
