"""Vectorizers of text: the text is cut before the graph, as `runtime.words` describes; the graph counts."""

from __future__ import annotations

import re
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import transform, transformer
from sqlinfer.convert.sklearn.exact.table import Column, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["section_of"]

# As in runtime.words
_PART = "\ufffe"
_OURS = {"\ufffe", "\ufdd1", "\ufdd0"}
_BLOCK = 256
Ranges = list[list[int]]


@transformer("CountVectorizer", "TfidfVectorizer")
def _vectorizer(w: Writer, step: Any, x: Table) -> Table:
    if x.width != 1 or not x.columns[0].is_text:
        raise Unsupported(f"{name_of(step)} of anything but one column of texts")
    for option in ("preprocessor", "tokenizer"):
        if getattr(step, option) is not None:
            raise Unsupported(f"{name_of(step)}({option}=…), a function of its own: its code cannot be stored as data")
    if callable(step.analyzer) or callable(step.strip_accents):
        raise Unsupported(f"{name_of(step)} with a function of its own, whose code cannot be stored as data")
    vocabulary = {str(term): int(place) for term, place in step.vocabulary_.items()}
    if any(mark in term for term in vocabulary for mark in _OURS):
        raise Unsupported(f"{name_of(step)} of words with noncharacters of Unicode")
    section, split = section_of(step)
    tokens = _tokens(w, x.columns[0], section)
    counts = _counted(w, tokens, vocabulary, split, step)
    if step.binary:
        counts = w.add("Sign", counts)
    w.need(len(vocabulary))
    made = w.table(counts, len(vocabulary), np.float64, sparse=True, safe="nan inf single")
    if name_of(step) == "CountVectorizer":
        return made
    return transform(w, step._tfidf, made)


def _tokens(w: Writer, column: Column, section: dict[str, Any]) -> str:
    """The parts of each text, [rows, most parts], '' for none."""
    parts = w.add_several("StringSplit", w.section(column, section), outputs=2, delimiter=_PART)[0]
    return w.add("Squeeze", parts, w.whole([1]))


def _counted(
    w: Writer, tokens: str, vocabulary: dict[str, int], split: Callable[[str], tuple[str, ...]], step: Any
) -> str:
    """How often each term is in the text, [rows, terms]."""
    low, high = step.ngram_range
    grams: dict[int, list[tuple[tuple[str, ...], int]]] = {}
    for term, place in vocabulary.items():
        parts = split(term)
        if low <= len(parts) <= high or (step.analyzer == "char_wb" and len(parts) < low and _is_whole(parts)):
            grams.setdefault(len(parts), []).append((parts, place))
    width = len(vocabulary)
    used = {place for terms in grams.values() for _, place in terms}
    if width - 1 not in used:  # the last column says how many there are
        grams.setdefault(1, []).append((("\ufdd0",), width - 1))
    longest = max(grams)
    pool: list[str] = []
    starts, places = [], []
    for length in range(1, longest + 1):
        starts.append(len(pool))
        for parts, place in grams.get(length, ()):
            pool += parts
            places.append(place)
    counts = w.add(
        "TfIdfVectorizer",
        tokens,
        mode="TF",
        min_gram_length=min(grams),
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=places,
        pool_strings=pool,
    )
    return w.add("Cast", counts, to=TensorProto.DOUBLE)


def _is_whole(parts: tuple[str, ...]) -> bool:
    return len(parts) > 1 and parts[0] == parts[-1] == " " and " " not in parts[1:-1]


def section_of(step: Any) -> tuple[dict[str, Any], Callable[[str], tuple[str, ...]]]:
    """How a text is cut, and how a term of the vocabulary is."""
    section: dict[str, Any] = {
        "chars": _replaced(bool(step.lowercase), step.strip_accents or None),
        "sigma": _sigma() if step.lowercase else None,
        "words": None,
        "inside": step.analyzer == "char_wb",
        "space": _matched(re.compile(r"\s+")),
    }
    if step.analyzer != "word":
        return section, tuple
    pattern = re.compile(step.token_pattern)
    items, starts, ends = _parsed(pattern)
    section["words"] = {
        "pattern": items,
        "starts": starts,
        "ends": ends,
        "letters": _matched(re.compile(r"\w+", pattern.flags & re.ASCII)),
        "stop": sorted(step.get_stop_words() or ()),
    }
    if not any(first <= 32 <= last for ranges, _, _ in items for first, last in ranges):
        return section, lambda term: tuple(term.split(" "))
    if step.ngram_range != (1, 1):
        raise Unsupported(f"{name_of(step)} of several words beside one another, which may have spaces themselves")
    return section, lambda term: (term,)


@cache
def _everything() -> tuple[str, str]:
    """The code points that a text of SQL may have, below and above the halves of others."""
    return "".join(map(chr, range(0xD800))), "".join(map(chr, range(0xE000, sys.maxunicode + 1)))


def _matched(some: re.Pattern[str]) -> Ranges:
    """The code points that a pattern matches one or more of."""
    runs = (found[0] for part in _everything() for found in some.finditer(part))
    return [[ord(run[0]), ord(run[-1])] for run in runs]


def _ranges(codes: Iterable[int]) -> Ranges:
    ranges: Ranges = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


@cache
def _replaced(lower: bool, accents: str | None) -> dict[str, str]:
    """Code point → what becomes of it, where that is something else."""

    def stripped(text: str) -> str:
        if accents is None:
            return text
        parts = unicodedata.normalize("NFKD", text)
        if accents == "ascii":
            return parts.encode("ascii", "ignore").decode()
        return "".join(c for c in parts if not unicodedata.combining(c))

    def after(char: str) -> str:
        return stripped(char.lower() if lower else char)

    blocks = (part[i : i + _BLOCK] for part in _everything() for i in range(0, len(part), _BLOCK))
    changed = (char for block in blocks if after(block) != block for char in block)  # most scripts have nothing
    return {str(ord(char)): text for char in changed if (text := after(char)) != char}


@cache
def _sigma() -> dict[str, Ranges]:
    """What decides the lower case of Σ, as this Python has it: the letters, and what stands between without a say."""
    everything = "".join(_everything())
    cased = {ord(char) for char in everything if (char + "Σ").lower()[-1] == "ς"}
    either = {ord(char) for char in everything if ("A" + char + "Σ").lower()[-1] == "ς"}
    return {"cased": _ranges(sorted(cased)), "ignorable": _ranges(sorted(either - cased))}


def _parsed(pattern: re.Pattern[str]) -> tuple[list[Any], bool, bool]:
    """A regular expression that is sets of characters, each so many times, perhaps between edges of words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import re._compiler as compiler  # type: ignore[import-not-found]
        import re._constants as constants  # type: ignore[import-not-found]
        import re._parser as parser  # type: ignore[import-not-found]

    refused = Unsupported(
        f"the token_pattern {pattern.pattern!r}: use one of characters and sets of them, each with +, * or {{…}}"
    )
    parsed = list(parser.parse(pattern.pattern, pattern.flags))
    if len(parsed) == 1 and parsed[0][0] is constants.SUBPATTERN and not parsed[0][1][1] and not parsed[0][1][2]:
        parsed = list(parsed[0][1][3])
    edge = (constants.AT, constants.AT_BOUNDARY)
    starts, ends = parsed[:1] == [edge], len(parsed) > 1 and parsed[-1:] == [edge]
    items: list[Any] = []
    for operator, argument in parsed[int(starts) : len(parsed) - int(ends)]:
        least, most, inner = 1, 1, [(operator, argument)]
        if operator is constants.MAX_REPEAT:
            least, most, inner = argument[0], argument[1], list(argument[2])
        if len(inner) != 1 or inner[0][0] not in (
            constants.LITERAL,
            constants.NOT_LITERAL,
            constants.IN,
            constants.ANY,
        ):
            raise refused
        state = parser.parse("", pattern.flags).state
        repeat = (constants.MAX_REPEAT, (1, constants.MAXREPEAT, parser.SubPattern(state, inner)))
        some = compiler.compile(parser.SubPattern(state, [repeat]), pattern.flags)
        items.append([_matched(some), int(least), None if most is constants.MAXREPEAT else int(most)])
    if pattern.groups > 1 or not items or not sum(least for _, least, _ in items) or len(items) > 8:
        raise refused
    return items, starts, ends
