"""A sample of the fuzzing that README.md reports on, the same each time."""

from __future__ import annotations

import pytest

from sqlinfer.registration.sandbox import Worker
from tests.fuzz.files import fuzz
from tests.fuzz.seeds import seeds
from tests.fuzz.trying import try_file
from tests.processes import HANG

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def asking():
    worker = Worker()
    yield worker
    worker.close()


def test_sound_files_answer(sound, asking):
    assert {try_file(path, path.name, "none", asking, seconds=HANG).verdict for path in sound} == {"answers"}


def test_damaged_files_are_refused_or_answer(sound):
    outcomes = list(fuzz(sound, 100, seed=11, seconds=3))
    assert [outcome for outcome in outcomes if outcome.verdict == "WRONG"] == []
    assert {"answers", "refused"} <= {outcome.verdict for outcome in outcomes}
