"""Rows that no sample shows are tried here, a few of each model."""

from __future__ import annotations

import pytest

import sqlinfer

FEW_TRIALS = 40


@pytest.fixture(autouse=True)
def few_trials(monkeypatch):
    monkeypatch.setitem(sqlinfer.register.__kwdefaults__, "trials", FEW_TRIALS)
