"""name, name/3, name@alias."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlinfer.errors import BadReference
from sqlinfer.models.reference import Reference, check_name

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,62}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("churn", Reference("churn")),
        ("churn/3", Reference("churn", 3)),
        ("churn@champion", Reference("churn", None, "champion")),
        ("Churn@CHAMPION", Reference("churn", None, "champion")),
        ("CHURN/12", Reference("churn", 12)),
        ("_", Reference("_")),
        ("churn@default", Reference("churn")),
        ("a" * 63, Reference("a" * 63)),
    ],
)
def test_reading(text, expected):
    assert Reference.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "a-b", "1a", "a/", "a/0", "a/01", "a/-1", "a/x", "a/1/2", "a@", "a@1", "a@b@c", "a/1@b", "é",
     "a" * 64, "a\n", "../a", "a/..", ".a", "a.b", "a\0", "١", "a/١", "a@b/1", "a;b", "'a'"],
)  # fmt: skip
def test_refusing(text):
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert repr(text) in str(caught.value) and "name@champion" in str(caught.value)


@given(name=NAMES, version=st.none() | st.integers(1, 10**8), alias=NAMES)
def test_a_reference_reads_what_it_writes(name, version, alias):
    reference = Reference(name.lower(), version, "default" if version else alias.lower())
    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_refused(text):
    try:
        reference = Reference.parse(text)
    except BadReference:
        return
    assert Reference.parse(str(reference)) == reference
    assert reference.name == check_name(reference.name)
