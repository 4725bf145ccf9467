"""The characters that a text may hold."""

from __future__ import annotations

import sys
from unicodedata import category

__all__ = ["EVERYTHING"]

_CODES = [code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
_MEANING = [category(chr(code)) not in ("Cn", "Co") for code in range(sys.maxunicode + 1)]

# All that mean something, those beside them, and a few of the hundreds of thousands that mean nothing yet.
EVERYTHING = [chr(code) for code in _CODES if any(_MEANING[max(code - 1, 0) : code + 2]) or code % 64 == 0]
