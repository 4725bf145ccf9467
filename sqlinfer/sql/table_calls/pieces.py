"""A text that is made of another one: which of its places is which place of what the user wrote."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Call", "Span", "Target", "Translation"]

_SPAN = re.compile("\0(\\d+),(\\d+)\0")


@dataclass(frozen=True, slots=True)
class Span:
    """``[start, end)`` of the user's text. In an f-string it stands for that text, with the calls in it translated."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"\0{self.start},{self.end}\0"


@dataclass(frozen=True, slots=True)
class Target:
    """The column that must hold the actual values; ``known``: the model was registered with its name."""

    column: str
    known: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call in another warehouse's words, ``[start, end)`` of the user's text, and the SQL that answers it."""

    start: int
    end: int
    sql: str
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """``call``: what the text was made for; None for text that is the user's own, letter by letter."""

    start: int
    user: Span
    call: Call | None


@dataclass(slots=True)
class Translation:
    """``text``, and how its places are found in ``sql``, which the user wrote."""

    sql: str
    text: str = ""
    _pieces: list[_Piece] = field(default_factory=list)

    def build(self, calls: Sequence[Call], names: Callable[[Span], list[tuple[Span, str]]]) -> Translation:
        """``names``: those in a call that DuckDB writes otherwise, and how."""
        self._copy(Span(0, len(self.sql)), calls, None, names)
        return self

    def place(self, start: int, end: int) -> Span:
        """Which part of the user's text ``text[start:end]`` was made of."""
        first, last = self._piece(start), self._piece(max(start, end - 1))
        begin = first.user.start if first.call else first.user.start + start - first.start
        stop = last.user.end if last.call else last.user.start + end - last.start
        return Span(begin, max(begin, stop))

    def target(self, start: int) -> Target | None:
        call = self._piece(start).call
        return call.target if call else None

    def _piece(self, position: int) -> _Piece:
        return self._pieces[max(0, bisect_right(self._pieces, position, key=lambda piece: piece.start) - 1)]

    def _copy(
        self, span: Span, calls: Sequence[Call], inside: Call | None, names: Callable[[Span], list[tuple[Span, str]]]
    ) -> None:
        position = span.start
        inner = [call for call in calls if span.start <= call.start and call.end <= span.end and call is not inside]
        for call in _outermost(inner):
            self._plain(Span(position, call.start), inside, names)
            self._made(call, calls, names)
            position = call.end
        self._plain(Span(position, span.end), inside, names)

    def _made(self, call: Call, calls: Sequence[Call], names: Callable[[Span], list[tuple[Span, str]]]) -> None:
        whole = Span(call.start, call.end)
        parts = _SPAN.split(call.sql)
        self._add(parts[0], whole, call)
        for start, end, after in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            self._copy(Span(int(start), int(end)), calls, call, names)
            self._add(after, whole, call)

    def _plain(self, span: Span, inside: Call | None, names: Callable[[Span], list[tuple[Span, str]]]) -> None:
        position = span.start
        for place, text in names(span) if inside else []:
            self._add(self.sql[position : place.start], Span(position, place.start), None)
            self._add(text, place, inside)
            position = place.end
        self._add(self.sql[position : span.end], Span(position, span.end), None)

    def _add(self, text: str, user: Span, call: Call | None) -> None:
        if text:
            self._pieces.append(_Piece(len(self.text), user, call))
            self.text += text


def _outermost(calls: Sequence[Call]) -> list[Call]:
    found: list[Call] = []
    for call in sorted(calls, key=lambda call: (call.start, -call.end)):
        if not found or call.start >= found[-1].end:
            found.append(call)
    return found
