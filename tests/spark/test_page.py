"""Every block of docs/spark.md does what the page says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.conftest import DOCS, page, shop  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


@pytest.mark.usefixtures("plain")
def test_the_page(page):  # noqa: F811
    blocks = blocks_of("spark.md", (DOCS / "spark.md").read_text(encoding="utf-8"))
    assert len(blocks) == 5
    for block in blocks:
        code = block.code.replace('"customers.parquet"', repr(f"{page.folder}/customers.parquet"))  # Java stays at home
        page.check(replace(block, code=code))
