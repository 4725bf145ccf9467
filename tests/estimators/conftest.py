"""A few rows that no sample shows, for the models of some modules."""

from __future__ import annotations

import pytest

import sqlinfer

FEW_TRIALS = 40


@pytest.fixture
def few_trials(monkeypatch):
    monkeypatch.setitem(sqlinfer.register.__kwdefaults__, "trials", FEW_TRIALS)
