"""A sample of the damage to stored models that README.md reports on, the same each time."""

from __future__ import annotations

import pytest

from tests.fuzz.stored import fuzz, stored_models

pytestmark = pytest.mark.slow


def test_damaged_models_are_refused_or_answer(tmp_path):
    outcomes = list(fuzz(stored_models(tmp_path), 80, seed=5))
    assert [outcome for outcome in outcomes if outcome.verdict == "WRONG"] == []
    assert {"answers", "refused"} <= {outcome.verdict for outcome in outcomes}
