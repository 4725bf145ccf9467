"""The fenced blocks of a page, and what each of them prints when it is run.

``python`` blocks of a page share a namespace, ``sql`` blocks a sqlinfer connection to shop.duckdb, ``sh`` blocks a
folder. A word behind the language names a package that the block needs, as in ``python torch``. A ``text`` block right
behind a block is what that prints; any other is not run: it is somebody else's SQL, or a drawing.

What is shown holds where it says the same but for white space and times of day. A figure with a fraction may differ by
one in its last place, and ``…`` stands for anything.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.cli.options import print_rows
from sqlinfer.sql.statements import split_statements
from tests.processes import HANG

__all__ = ["Block", "Page", "blocks_of", "differs"]

LANGUAGES = ("python", "sql", "sh", "text")
_FENCE = re.compile(r"```(.*)")
_FRACTION = re.compile(r"(?<![\w.])-?\d+\.\d+(?![\w.])")
_SEEN_FRACTION = r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"


@dataclass(frozen=True, slots=True)
class Block:
    """``shown``: what the page says that it prints, or None where the page does not say."""

    place: str
    language: str
    needs: str
    code: str
    shown: str | None = None


def blocks_of(name: str, markdown: str) -> list[Block]:
    """Those that are run, in order. Raises ValueError for a block that nothing can run, or that is not closed."""
    found: list[Block] = []
    behind = False  # nothing but white space since the last block
    for line, info, text in _parts(name, markdown):
        language, _, needs = (info or "").partition(" ")
        if info is None:
            if any(part.startswith("    ") for part in text.splitlines()):
                raise ValueError(f"{name}:{line}: an indented block is not run: write ```text")
            behind = behind and not text.strip()
        elif language not in LANGUAGES:
            raise ValueError(f"{name}:{line}: nothing runs a block of {language!r}; there are {', '.join(LANGUAGES)}")
        elif language != "text":
            found.append(Block(f"{name}:{line}", language, needs, text))
            behind = True
        elif behind:
            last = found.pop()
            found.append(Block(last.place, last.language, last.needs, last.code, text))
            behind = False
    return found


def _parts(name: str, markdown: str) -> Iterator[tuple[int, str | None, str]]:
    """The blocks with their info strings, and what is between them; each with the number of its first line."""
    start, info, lines = 1, None, list[str]()
    for number, line in enumerate(markdown.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            lines.append(line)
            continue
        yield start, info, "\n".join(lines)
        start, lines = number + 1, []
        info = fence[1].strip() if info is None else None
    if info is not None:
        raise ValueError(f"{name}:{start}: the block is not closed")
    yield start, None, "\n".join(lines)


def differs(shown: str, printed: str) -> str | None:
    """How what was printed is not what is shown; None where it is."""
    shown, printed = _plain(shown), _plain(printed)
    figures = _FRACTION.findall(shown)
    pieces = (re.escape(piece).replace("…", ".*?") for piece in _FRACTION.split(shown))
    seen = re.fullmatch(_SEEN_FRACTION.join(pieces), printed)
    if seen is None:
        return f"shown:\n{shown}\nprinted:\n{printed}"
    for figure, other in zip(figures, seen.groups(), strict=True):
        if abs(float(figure) - float(other)) > 1.001 * 10.0 ** -len(figure.partition(".")[2]):
            return f"{figure} is shown, and it is {other}, in:\n{printed}"
    return None


def _plain(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    return " ".join(re.sub("[─-]{2,}", "─", text).split())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Messages(io.TextIOBase):
    """What goes to stderr, on the same screen; it is no terminal, so that no bar shows how far a slow query is."""

    def __init__(self, screen: _Terminal) -> None:
        self._screen = screen

    def write(self, text: str) -> int:
        return self._screen.write(text)


@dataclass
class Page:
    """What the blocks of one page share. ``folder``: where they run, and the user's home."""

    folder: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def check(self, block: Block) -> None:
        """Run a block. Raises AssertionError where it fails, or does not print what is shown."""
        with redirect_stdout(_Terminal()) as printed, redirect_stderr(_Messages(printed)):
            failure = getattr(self, f"_{block.language}")(block)
        text = printed.getvalue().replace(str(self.folder), "/home/you")
        assert failure is None or block.shown is not None, f"{block.place}: {failure}\n{text}"
        difference = None if block.shown is None else differs(block.shown, text)
        assert difference is None, f"{block.place}: {difference}"

    @cached_property
    def con(self) -> sqlinfer.Connection:
        return sqlinfer.connect("shop.duckdb")

    def close(self) -> None:
        if "con" in self.__dict__:
            self.con.close()

    def _python(self, block: Block) -> None:
        exec(compile(block.code, block.place, "exec"), self.namespace)

    def _sql(self, block: Block) -> str | None:
        for statement in (block.code[start:end] for start, end in split_statements(block.code)):
            try:
                rows = self.con.execute(statement).fetchall()
            except (sqlinfer.SqlinferError, duckdb.Error) as error:
                print(error)
                return "it is an error"
        if rows:
            print_rows([column[0] for column in self.con.description], rows, "table")
        return None

    def _sh(self, block: Block) -> str | None:
        self.close()  # the file is open in one process at a time
        self.__dict__.pop("con", None)
        failure = None
        for command in block.code.splitlines():
            if code := self._command(command):
                failure = f"exit code {code} of: {command}"
        return failure

    def _command(self, command: str) -> int:
        """Our own command without a new process, which would take a second to import things."""
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        words = list(lexer)
        if words[0] == "sqlinfer" and words[1] != "shell" and "$" not in command and not set(words) & set("|><&;"):
            try:
                main.main(words[1:], prog_name="sqlinfer")
            except SystemExit as exit:
                return int(exit.code or 0)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["sh", "-ec", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
            env={**os.environ, "PATH": path},
        )
        print(ran.stdout, end="")
        return ran.returncode
