"""Everything that docs/tools.md and docs/engines.md show is true: written, run with the real tool, and printed as it
stands there."""

from __future__ import annotations

import shutil

import pytest

from tests.tools.conftest import PACKAGES
from tests.tools.pages import ROOT, pages

pytestmark = pytest.mark.slow

TEXTS = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("tools.md", "engines.md")]
PAGES = {name: page for text in TEXTS for name, page in pages(text).items()}


@pytest.mark.parametrize("name", PAGES)
def test_what_is_written_prints_what_is_shown(name, tool, home, environment, tmp_path):
    shutil.copy(home / "flowers.csv", tmp_path)
    for printed, shown in PAGES[tool].run(tmp_path, environment):
        assert " ".join(shown.split()) in " ".join(printed.split()), printed


def test_each_page_shows_an_answer_and_is_run_in_ci():
    ci = (ROOT / ".ci" / "tools").read_text()
    assert list(PAGES) == list(PACKAGES)
    assert [name for name, page in PAGES.items() if not page.steps[-1][1]] == []
    # Ray's start waits for minutes where other tests compute
    assert [package for package in PACKAGES.values() if package not in ci] == ["ray"]
