"""Every block of docs/ does what the page says."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.models.calls import AGGREGATES
from tests.docs.blocks import Block, Page, blocks_of, differs
from tests.docs.conftest import DOCS
from tests.engines import native_problem

PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
# about other programs, and run by tests/tools
ELSEWHERE = {"tools.md", "engines.md", "spark.md"}
BLOCKS = {name: blocks_of(name, markdown) for name, markdown in PAGES.items() if name not in ELSEWHERE}
ALONE = [block for blocks in BLOCKS.values() for block in blocks if block.needs]
WITHOUT_CODE = {"differences.md"}


@pytest.mark.skipif(native_problem() is not None, reason="the pages tell of the native engine")
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.slow
def test_a_page(name, page):
    blocks = [block for block in BLOCKS[name] if not block.needs]
    assert bool(blocks) == (name not in WITHOUT_CODE)
    for block in blocks:
        page.check(block)


@pytest.mark.parametrize("block", ALONE, ids=lambda block: f"{block.place}:{block.needs}")
@pytest.mark.slow
def test_a_block_that_needs_a_package(block, page):
    if find_spec(block.needs) is None:
        pytest.skip(f"{block.needs} is not installed")
    page.check(block)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name])
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_every_command_is_told():
    assert re.findall(r"^## sqlinfer (.+)$", PAGES["cli.md"], re.MULTILINE) == list(main.commands)


def test_every_name_is_told():
    assert [name for name in sqlinfer.__all__ if not re.search(rf"\b{name}\b", PAGES["python.md"])] == []


@pytest.mark.skipif(native_problem() is not None, reason="what the extension has beside")
def test_every_function_is_told(page):
    with sqlinfer.connect(engine="native") as con:
        added = con.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE regexp_matches(function_name, "
            "'^(predict|infer|sqlinfer)') AND NOT regexp_matches(function_name, 'churn|_loads_|_probe')"
        ).fetchall()
    names = [*(name for (name,) in added), *AGGREGATES]
    assert [name for name in names if f"`{name}(" not in PAGES["sql.md"]] == []


def test_a_block_that_nothing_runs_is_an_error():
    with pytest.raises(ValueError, match=r"p.md:4: nothing runs a block of 'yaml'"):
        blocks_of("p.md", "one\n\n```yaml\na: 1\n```\n")
    with pytest.raises(ValueError, match="an indented block"):
        blocks_of("p.md", "one\n\n    SELECT 1\n")
    with pytest.raises(ValueError, match="not closed"):
        blocks_of("p.md", "```sql\nSELECT 1\n")


def test_output_stands_right_behind_its_block():
    blocks = ("sql\nSELECT 1", "text\n1", "text\n2", "python torch\nx", "and", "text\n3")
    markdown = "\n".join(block if block == "and" else f"```{block}\n```\n" for block in blocks)
    first, second = blocks_of("p.md", markdown)
    assert (first.language, first.code, first.shown) == ("sql", "SELECT 1", "1")
    assert (second.language, second.needs, second.shown) == ("python", "torch", None)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a  b\n─── ─", "a b\n─────── ─", True),
        ("a b", "a c", False),
        ("p 0.82", "p  0.8234", True),
        ("p 0.82", "p  0.84", False),
        ("3 rows", "4 rows", False),
        ("made by … 1", "made by scikit-learn 1.9.1: Pipeline 1", True),
        ("DuckDB 1.5.6", "DuckDB 1.5.7", False),
        ("1.0", "1", True),
    ],
)
def test_what_is_shown_is_compared(shown, printed, same):
    assert (differs(shown, printed) is None) == same


def test_a_block_that_fails_or_prints_something_else_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Page(tmp_path)
    page.check(Block("p.md:1", "python", "", "x = 3\nprint(x)", "3"))
    page.check(Block("p.md:2", "sh", "", "echo 4 > file\ncat file", "4"))
    page.check(Block("p.md:3", "sql", "", "SELECT 1 AS a; SELECT 2 AS b", "b\n─\n2"))
    for language, code, shown in [
        ("python", "print(x)", "4"),
        ("sh", "false", None),
        ("sh", "sqlinfer show churn", None),
        ("sql", "SELECT nothing", None),
        ("sql", "SELECT 2 AS b", "b\n─\n3"),
    ]:
        with pytest.raises(AssertionError, match=r"p.md:4"):
            page.check(Block("p.md:4", language, "", code, shown))
    page.close()
