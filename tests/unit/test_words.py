"""Texts are cut as scikit-learn cuts them, whatever they hold."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from sqlinfer.convert.sklearn.exact.table import Unsupported
from sqlinfer.convert.sklearn.exact.texts import section_of
from sqlinfer.errors import RegistryError
from sqlinfer.runtime.words import PART, Words
from tests.characters import EVERYTHING

OPTIONS: dict[str, dict[str, Any]] = {
    "words": {},
    "as they are": {"lowercase": False},
    "without accents": {"strip_accents": "unicode"},
    "in ascii": {"strip_accents": "ascii"},
    "single letters": {"token_pattern": r"\w+"},
    "of ascii": {"token_pattern": r"(?a)\b\w+\b"},
    "short": {"token_pattern": r"\b[a-zé]{2,4}"},
    "in a group": {"token_pattern": r"([^\W\d_]+)"},
    "a letter and digits": {"token_pattern": r"[a-z]\d*"},
    "without the": {"stop_words": ["the", "und"]},
    "characters": {"analyzer": "char"},
    "characters of words": {"analyzer": "char_wb"},
}
# The marks that stand between the parts.
OURS = {"\ufffe", "\ufdd0", "\ufdd1"}
TEXTS = [
    "Señor ÉCOLE naïve Straße, the co-op don't x_y 42 a1b22",
    "ΣΟΦΟΣ Σ ΑΣ. ΑΣ'Α ΑΣ' aΣ\u0301 Σa \u02b0Σ A\u02b0Σ",
    "  two\n\nlines\t and\u00a0more \u2003 ",
    "İstanbul ı ŉ ǅ ﬁ Ω K ẞ e\u0301cole 東京 १२ 🙂",
    "",
]


@cache
def cut_by(name):
    vectorizer = CountVectorizer(**OPTIONS[name])
    section, _ = section_of(vectorizer)
    words = Words(json.dumps({"sections": [section]}).encode(), "words.json")
    return vectorizer, lambda text: [part for part in words.cut(text).split(PART)[1:] if part]


def own(vectorizer, text):
    """The parts that scikit-learn's n-grams are made of."""
    return vectorizer.build_analyzer()(text)


@pytest.mark.parametrize("name", OPTIONS)
def test_texts_are_cut_alike(name):
    vectorizer, cut = cut_by(name)
    for text in TEXTS:
        expected = own(vectorizer, text)
        given = cut(text)
        if name == "characters of words":  # an empty part comes between words
            expected = [char for word in vectorizer.build_preprocessor()(text).split() for char in f" {word} "]
        assert given == expected, text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["words", "without accents", "in ascii", "of ascii", "characters"])
def test_every_character_is_cut_alike(name):
    vectorizer, cut = cut_by(name)
    analyze = vectorizer.build_analyzer()
    for start in range(0, len(EVERYTHING), 400):
        text = "".join(f"{char}xΣ{char} " for char in EVERYTHING[start : start + 400] if char not in OURS)
        assert cut(text) == analyze(text), hex(start)


@given(st.text(alphabet=st.characters(exclude_characters=OURS, exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_cut_alike(text):
    for name in ("words", "without accents", "single letters", "characters"):
        vectorizer, cut = cut_by(name)
        assert cut(text) == own(vectorizer, text)


@pytest.mark.parametrize("pattern", [r"a|b+", r"(\w)(\w+)", r"\w*", r"(?<=x)\w+", r"\w+?", r"\w+(?:-\w+)*", r"^\w+"])
def test_patterns_that_tables_cannot_say_are_refused(pattern):
    with pytest.raises(Unsupported, match="token_pattern"):
        section_of(CountVectorizer(token_pattern=pattern))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"sections": [{"chars": 1}]}', b'{"sections": 3}'])
def test_a_damaged_file_is_an_error(content):
    with pytest.raises(RegistryError, match="register the model again"):
        Words(content, "words.json")


LETTERS = [[65, 90], [97, 122]]
SOUND: dict[str, Any] = {
    "chars": {"65": "a"}, "sigma": {"cased": LETTERS, "ignorable": []}, "inside": False, "space": [[9, 13]],
    "words": {"pattern": [[LETTERS, 1, None]], "starts": True, "ends": False, "letters": LETTERS, "stop": []},
}  # fmt: skip
CHARS: list[Any] = [{"065": "a"}, {"+65": "a"}, {"55296": "a"}, {"65": 1}, []]
SIGMAS: list[Any] = [[[], []], {"cased": []}, 0]
SPACES: list[Any] = [[[9, 8]], [[9, 9], [9, 10]], [[9, 0x110000]], [[9]], [[9, 1.0]], None]
PATTERNS: list[Any] = [
    [], [[LETTERS, 0, None]], [[LETTERS, 3, 2]], [[LETTERS, 1 << 17, None]], [[LETTERS, 1]], [[LETTERS, 1, 1]] * 9,
]  # fmt: skip
DAMAGED: list[Any] = [
    *({**SOUND, "chars": chars} for chars in CHARS),
    *({**SOUND, "sigma": sigma} for sigma in SIGMAS),
    *({**SOUND, "space": space} for space in SPACES),
    *({**SOUND, "words": {**SOUND["words"], "pattern": pattern}} for pattern in PATTERNS),
    {**SOUND, "words": {**SOUND["words"], "stop": [1]}},
    {**SOUND, "words": {**SOUND["words"], "starts": None}},
    {**SOUND, "inside": 1},
    {name: value for name, value in SOUND.items() if name != "sigma"},
    [{}, None, None, False, []],
]


def test_what_says_anything_else_is_refused():
    """As the extension does: its tests have the same."""
    Words(json.dumps({"sections": [SOUND, None]}).encode(), "words.json")
    for section in DAMAGED:
        with pytest.raises(RegistryError, match="does not say how texts are cut"):
            Words(json.dumps({"sections": [section]}).encode(), "words.json")


def test_a_set_of_nothing_is_no_white_space():
    section = {**SOUND, "words": None, "space": [], "inside": True}
    assert Words(json.dumps({"sections": [section]}).encode(), "words.json").cut("b \n") == (
        f"{PART} {PART}b{PART} {PART}\n{PART} {PART}"
    )
