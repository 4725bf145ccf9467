"""docs/tools.md as programs: what stands in its fences is written to files, run, and compared with what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import HANG

__all__ = ["ROOT", "Page", "pages", "readme_model", "readme_sql"]

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"(?:^`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a notebook does with its cells.
_CELLS = """
import sys
from IPython.core.interactiveshell import InteractiveShell
for cell in sys.argv[1:]:
    InteractiveShell.instance().run_cell(cell).raise_error()
"""


@dataclass
class Page:
    """``files``: what the page says to write. ``steps``: what is run, one after the other, and what it prints."""

    files: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[list[str], str]] = field(default_factory=list)

    def run(self, folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What each step printed, and what the page shows."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        for command, shown in self.steps:
            ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            yield ran.stdout, shown


def pages(text: str) -> dict[str, Page]:
    """By the heading; what stands before the first one is for all."""
    _, *sections = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {name: _page(section) for name, section in zip(sections[::2], sections[1::2], strict=True)}


def _page(section: str) -> Page:
    page, cells = Page(), list[str]()
    for name, language, text in _FENCE.findall(section):
        if name:
            page.files[name] = text
        elif language == "python":
            cells.append(text)
        elif language == "sh":
            page.steps.append((["bash", "-euc", text], ""))
        else:
            assert language == "text", f"what is a block of {language}, without a file's name?"
            if cells:
                page.steps.append((_program(cells), text))
                cells = []
            else:
                page.steps[-1] = (page.steps[-1][0], text)
    assert not cells, "code without what it prints"
    return page


def _program(cells: list[str]) -> list[str]:
    if any(cell.startswith("%") for cell in cells):
        return [sys.executable, "-c", _CELLS, *cells]
    return [sys.executable, "-c", "\n".join(cells)]


def readme_model() -> str:
    """The part of the README's ten lines that registers."""
    code = re.search(r"```python\n(.*?)^print\(", _readme(), re.MULTILINE | re.DOTALL)
    assert code is not None
    return code[1]


def readme_sql() -> str:
    """The SQL in the README's ten lines."""
    sql = re.search(r'\.sql\("""\n(.*?)"""', _readme(), re.DOTALL)
    assert sql is not None
    return sql[1]


def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")
