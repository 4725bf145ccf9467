"""The characters that a text may hold."""

from __future__ import annotations

import sys
from unicodedata import category

__all__ = ["EVERYTHING"]

# Those that mean something, and a few of the hundreds of thousands that mean nothing yet.
EVERYTHING = [
    char
    for code, char in enumerate(map(chr, range(sys.maxunicode + 1)))
    if (kind := category(char)) not in ("Cs", "Cn", "Co") or (kind != "Cs" and code % 32 in (0, 31))
]
