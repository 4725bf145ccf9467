"""How much a tokenizer makes of a text: a file may ask for any amount of work, and the library that does it ends the
process where there is no memory for it.

The parts are those of https://huggingface.co/docs/tokenizers/components
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["require_moderate"]

# Tokenizers that are in use replace a character by three bytes, or mark the beginning.
_MOST_TIMES, _MOST_BYTES = 256, 1 << 16
# Each part of a word is tried with its prefix.
_LONGEST_AFFIX, _LONGEST_WORD = 256, 10_000
_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")


def require_moderate(fields: Mapping[str, Any]) -> None:
    """Raises ValueError for a tokenizer that makes a short text a very long one, or tries very long words."""
    times, more = _growth(fields.get("normalizer"))
    if times > _MOST_TIMES or more > _MOST_BYTES:
        raise ValueError(
            f"its normalizer may make a text {times:,} times as long and {more:,} bytes longer; "
            f"at most {_MOST_TIMES} times and {_MOST_BYTES:,} bytes are accepted"
        )
    model = fields["model"]
    affix = max(len(str(model.get(name) or "")) for name in _AFFIXES)
    word = model.get("max_input_chars_per_word") or 0
    if affix > _LONGEST_AFFIX or word > _LONGEST_WORD:
        raise ValueError(f"its words have up to {word:,} characters, and what is put to them {affix:,}")


def _growth(normalizer: Any) -> tuple[int, int]:
    """Of n bytes become at most times * n + more, but for the few characters that Unicode itself writes longer."""
    if normalizer is None:
        return 1, 0
    kind = normalizer.get("type")
    if kind == "Sequence":
        times, more = 1, 0
        for part in normalizer["normalizers"]:
            of_part, by_part = _growth(part)
            times, more = min(times * of_part, 1 << 62), min(more * of_part + by_part, 1 << 62)
        return times, more
    if kind == "Prepend":
        return 1, _length(normalizer["prepend"])
    if kind == "Replace":
        return _replaced(normalizer["pattern"], _length(normalizer["content"]))
    if kind == "Precompiled":
        return _longest(normalizer.get("precompiled_charsmap")), 0
    return 1, 0


def _replaced(pattern: Mapping[str, Any], content: int) -> tuple[int, int]:
    """A regular expression may match between any two characters."""
    text = _length(pattern["String"]) if "String" in pattern else 0
    return (max(1, -(-content // text)), 0) if text else (1 + content, content)


def _longest(charsmap: str | None) -> int:
    """What a character becomes at most, by the table of SentencePiece: a trie behind its size, and then the texts."""
    if not charsmap:
        return 1
    table = base64.b64decode(charsmap)
    (size,) = struct.unpack_from("<I", table) if len(table) >= 4 else (0,)
    return max(map(len, table[4 + size :].split(b"\0")), default=1) or 1


def _length(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
