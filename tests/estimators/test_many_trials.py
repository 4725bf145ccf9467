"""A part of what `tried` and `drawn` do for longer: many made-up rows, and models drawn at random."""

from __future__ import annotations

import pytest

from tests.estimators.cases import WALK
from tests.estimators.drawn import Found, try_model
from tests.estimators.test_saved import SAVED
from tests.estimators.tried import tried

pytestmark = pytest.mark.slow

ROWS = 10_000
SEED = 2026
# Of each kind of kernel one: sums, logarithms, trees of two libraries, categories.
SOME = ["BernoulliNB", "HistGradientBoostingRegressor", "LogisticRegression", "OrdinalEncoder"]


@pytest.mark.parametrize("name", [*SOME, next(iter(SAVED))])
def test_ten_thousand_rows_that_nobody_gave(name):
    assert name in WALK or name in SAVED
    outcome, text = tried(name, ROWS)
    assert outcome in ("equal", "guarded"), text


@pytest.mark.parametrize("first", [0, 3])
def test_models_drawn_at_random(first):
    found = Found()
    for number in range(first, first + 3):  # not each of them can be trained
        try_model(SEED, number, found)
    assert not found.wrong
    assert found.rows["answer"] > 0
