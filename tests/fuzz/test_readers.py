"""A sample of the reading that README.md reports on, the same each time."""

from __future__ import annotations

import pytest

from tests.engines import ENGINES
from tests.fuzz.both import KINDS, tried

pytestmark = [pytest.mark.slow, pytest.mark.skipif("native" not in ENGINES, reason="one reader is the extension's")]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_alike(kind):
    outcomes = tried(kind, 40, seed=f"sample/{kind}")
    assert [outcome.text for outcome in outcomes if outcome.verdict == "WRONG"] == []
    assert {"answers", "refused"} <= {outcome.verdict for outcome in outcomes}
