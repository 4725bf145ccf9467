"""The shop of docs/shop.py, which each page has a copy of."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import Page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def shop(once) -> Path:
    return Path(once("shop", _made))


def _made(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        _live_in(folder, patch)
        runpy.run_path(str(DOCS / "shop.py"), run_name="__main__")
    return str(folder)


def _live_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.setenv("HOME", str(folder))
    patch.setenv("COLUMNS", "80")
    for name in ("SQLINFER_HOME", "SQLINFER_OPERATORS", "SQLINFER_ONNXRUNTIME"):
        patch.delenv(name, raising=False)


@pytest.fixture
def page(shop, tmp_path, monkeypatch):
    """The shop, as nobody has changed it yet."""
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    _live_in(folder, monkeypatch)
    page = Page(folder)
    yield page
    page.close()
