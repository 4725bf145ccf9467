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

A file that says anything else is refused, by the extension as here. Ranges ascend, and do not meet; there are one to
eight sets, and at least one code point in a word.

The answer has the sections in order, SECTION between them, and of each the parts, each after a PART.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from sqlinfer.errors import RegistryError
from sqlinfer.models.strict_json import read_json

__all__ = ["Words", "readable"]

# Noncharacters of Unicode: no text has a meaning for them, and none of ours leaves the graph.
PART, SECTION, STRANGE = "\ufffe", "\ufdd1", "\ufdd0"
_OURS = str.maketrans({PART: STRANGE, SECTION: STRANGE})
_SIGMA = "Σ"
_MOST_SETS = 8
_MOST_TIMES = 1 << 16

T = TypeVar("T")


class Words:
    """Cuts texts. May be called from any thread."""

    def __init__(self, content: bytes, file: str) -> None:
        """Raises RegistryError."""
        try:
            self._sections = [_section(fields) for fields in _field(read_json(content), "sections", list)]
        except ValueError as error:
            raise RegistryError(f"{file} does not say how texts are cut ({error}); register the model again") from error

    def __call__(self, texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else self.cut(text) for text in texts.to_pylist()], pa.string())

    def cut(self, text: str) -> str:
        plain = text.translate(_OURS)
        return SECTION.join(section(plain) for section in self._sections)


def _section(fields: Any) -> Callable[[str], str]:
    if fields is None:
        return lambda text: text
    table = {_code(code): _of(text, str) for code, text in _field(fields, "chars", dict).items()}
    sigma, words = _field(fields, "sigma", dict, None), _field(fields, "words", dict, None)
    lower = None if sigma is None else _Sigma(sigma)
    inside, space = _field(fields, "inside", bool), _field(fields, "space", list)
    _require_ranges(space)
    cut = _cut_chars(inside, space) if words is None else _cut_words(words)

    def section(text: str) -> str:
        if lower is not None and _SIGMA in text:
            text = lower(text)
        return "".join(PART + part for part in cut(text.translate(table)))

    return section


class _Sigma:
    """Σ → ς where a letter stands before and none behind, and σ elsewhere, over what is ignorable."""

    def __init__(self, fields: Any) -> None:
        cased, ignorable = (readable(_field(fields, name, list)) for name in ("cased", "ignorable"))
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
    stop = frozenset(_of(word, str) for word in _field(fields, "stop", list))

    def cut(text: str) -> list[str]:
        found = (ascii_alone if text.isascii() else every).findall(text)
        return [word for word in found if word not in stop]

    return cut


def _pattern(fields: Any, last: int) -> re.Pattern[str]:
    """What words are, of texts up to that code point: large sets take long to look through."""
    letters = readable(_field(fields, "letters", list), last)
    edge = f"(?:(?<={letters})(?!{letters})|(?<!{letters})(?={letters}))"
    items = [_item(item) for item in _field(fields, "pattern", list)]
    if not 1 <= len(items) <= _MOST_SETS or not any(least for _, least, _ in items):
        raise ValueError("a pattern of no words")
    sets = [f"{readable(ranges, last)}{{{least},{'' if most is None else most}}}" for ranges, least, most in items]
    starts, ends = _field(fields, "starts", bool), _field(fields, "ends", bool)
    return re.compile(edge * starts + "".join(sets) + edge * ends)


def _item(item: Any) -> tuple[Any, int, int | None]:
    if len(_of(item, list)) != 3:
        raise ValueError(f"a set as {str(item)[:40]}")
    ranges, least, most = item
    _require_ranges(ranges)
    if not 0 <= _of(least, int) <= (_MOST_TIMES if most is None else _of(most, int)) <= _MOST_TIMES or most == 0:
        raise ValueError(f"a set {least} to {most} times")
    return ranges, least, most


def _cut_chars(inside: bool, ranges: Any) -> Callable[[str], Sequence[str]]:
    space = readable(ranges)
    several = re.compile(f"{space}{space}+")
    if not inside:
        return lambda text: several.sub(" ", text)
    word = re.compile(f"[^{space[1:]}+" if ranges else r"[\s\S]+")
    # an empty part between words, so that no run of characters goes from one to the next
    return lambda text: [char for found in word.findall(text) for char in (" ", *found, " ", "")]


def readable(ranges: Sequence[Sequence[int]], last: int = sys.maxunicode) -> str:
    """A set of code points, up to the ``last``, as a regular expression. Raises ValueError for what is none."""
    _require_ranges(ranges)
    parts = [f"\\U{a:08x}-\\U{min(b, last):08x}" for a, b in ranges if a <= last]
    return f"[{''.join(parts)}]" if parts else r"[^\s\S]"


def _require_ranges(ranges: Any) -> None:
    """Pairs of code points, ascending."""
    before = -1
    for pair in _of(ranges, list):
        if len(_of(pair, list)) != 2 or not before < _of(pair[0], int) <= _of(pair[1], int) <= sys.maxunicode:
            raise ValueError(f"code points as {str(pair)[:40]}")
        before = pair[1]


def _code(text: str) -> int:
    code = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else -1
    if str(code) != text or code > sys.maxunicode or 0xD800 <= code < 0xE000:
        raise ValueError(f"the code point {text[:40]!r}")
    return code


def _field(fields: Any, name: str, kind: type[T], *others: Any) -> T:
    """Of an object; ``others`` are the values of another type that it may have."""
    if name not in _of(fields, dict):
        raise ValueError(f"no {name}")
    value = fields[name]
    return value if any(value is other for other in others) else _of(value, kind)


def _of(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise ValueError(f"{str(value)[:40]}, which is no {kind.__name__}")
    return value
