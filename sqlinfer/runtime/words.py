"""Texts → their words or characters, cut as scikit-learn's vectorizers cut them in Python, by tables that were made
when the model was registered: what is a letter, and its lower case, is not asked anew of another version of Unicode.

The file (JSON) has ``sections``: for each, null for the text as it is, or

    chars     code point → text: lower case, and letters without their accents
    sigma     null, or the code points (as ranges) that are ``cased``, and those that are ``ignorable`` beside them: a
              capital sigma at the end of a word has a lower case of its own
    words     null, or {"pattern": [[ranges, least, most or null], …]: so many code points of each set in turn, as many
              as there are; "starts", "ends": whether it must start and end where a word does; "letters": the ranges of
              what words are made of; "stop": words that are left out}
    inside    for characters (``words`` is null): only those of one word beside one another
    space     ranges of white space, for characters

The answer has the sections in order, SECTION between them, and of each the parts, each after a PART.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from sqlinfer.errors import RegistryError

__all__ = ["Words", "readable"]

# Noncharacters of Unicode: no text has a meaning for them, and none of ours leaves the graph.
PART, SECTION, STRANGE = "\ufffe", "\ufdd1", "\ufdd0"
_OURS = str.maketrans({PART: STRANGE, SECTION: STRANGE})
_SIGMA = "Σ"


class Words:
    """Cuts texts. May be called from any thread."""

    def __init__(self, content: bytes, file: str) -> None:
        """Raises RegistryError."""
        try:
            self._sections = [_section(fields) for fields in json.loads(content)["sections"]]
        except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
            raise RegistryError(f"{file} does not say how texts are cut ({error}); register the model again") from error

    def __call__(self, texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else self.cut(text) for text in texts.to_pylist()], pa.string())

    def cut(self, text: str) -> str:
        plain = text.translate(_OURS)
        return SECTION.join(section(plain) for section in self._sections)


def _section(fields: Any) -> Callable[[str], str]:
    if fields is None:
        return lambda text: text
    table = {int(code): str(text) for code, text in fields["chars"].items()}
    sigma = _Sigma(fields["sigma"]) if fields["sigma"] is not None else None
    cut = _cut_words(fields["words"]) if fields["words"] is not None else _cut_chars(fields)

    def section(text: str) -> str:
        if sigma is not None and _SIGMA in text:
            text = sigma(text)
        return "".join(PART + part for part in cut(text.translate(table)))

    return section


class _Sigma:
    """Σ → ς where a letter stands before and none behind, and σ elsewhere, over what is ignorable."""

    def __init__(self, fields: Any) -> None:
        cased, ignorable = readable(fields["cased"]), readable(fields["ignorable"])
        self._cased = re.compile(f"{cased}")
        self._ignorable = re.compile(f"{ignorable}")

    def __call__(self, text: str) -> str:
        return "".join(self._lower(text, i) if char == _SIGMA else char for i, char in enumerate(text))

    def _lower(self, text: str, place: int) -> str:
        before = next((c for c in reversed(text[:place]) if not self._ignorable.match(c)), "")
        behind = next((c for c in text[place + 1 :] if not self._ignorable.match(c)), "")
        return "ς" if self._cased.match(before) and not self._cased.match(behind) else "σ"


def _cut_words(fields: Any) -> Callable[[str], list[str]]:
    every, ascii_alone = _pattern(fields, sys.maxunicode), _pattern(fields, 127)
    stop = frozenset(fields["stop"])

    def cut(text: str) -> list[str]:
        found = (ascii_alone if text.isascii() else every).findall(text)
        return [word for word in found if word not in stop]

    return cut


def _pattern(fields: Any, last: int) -> re.Pattern[str]:
    """What words are, of texts up to that code point: large sets take long to look through."""
    letters = readable(fields["letters"], last)
    edge = f"(?:(?<={letters})(?!{letters})|(?<!{letters})(?={letters}))"
    items = [
        f"{readable(ranges, last)}{{{least},{'' if most is None else most}}}"
        for ranges, least, most in fields["pattern"]
    ]
    return re.compile(edge * fields["starts"] + "".join(items) + edge * fields["ends"])


def _cut_chars(fields: Any) -> Callable[[str], Sequence[str]]:
    space = readable(fields["space"])
    several = re.compile(f"{space}{space}+")
    if not fields["inside"]:
        return lambda text: several.sub(" ", text)
    word = re.compile(f"[^{space[1:]}+")
    # an empty part between words, so that no run of characters goes from one to the next
    return lambda text: [char for found in word.findall(text) for char in (" ", *found, " ", "")]


def readable(ranges: Sequence[Sequence[int]], last: int = sys.maxunicode) -> str:
    """A set of code points, up to the ``last``, as a regular expression."""
    parts = [f"\\U{a:08x}-\\U{min(b, last):08x}" for a, b in ranges if a <= last]
    return f"[{''.join(parts)}]" if parts else "(?!)"
