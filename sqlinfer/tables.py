"""Tables of text, for people."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table_lines"]


def table_lines(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    rule: str = "─",
    bar: str = "  ",
    edge: tuple[str, str] = ("", ""),
) -> list[str]:
    """The headings, a line of ``rule`` below them, and the rows, in columns with a ``bar`` between them."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(values: Sequence[str]) -> str:
        text = bar.join(value.ljust(width) for value, width in zip(values, widths, strict=True))
        return f"{edge[0]}{text}{edge[1]}".rstrip()

    return [line(head), line([rule * width for width in widths]), *map(line, rows)]
