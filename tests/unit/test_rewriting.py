"""SQL in, SQL out: the pairs in rewriting.sql; and outside the calls not a byte changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqlinfer.errors import ModelNotFound
from sqlinfer.models.signature import Call, Feature, Signature, Tensor
from sqlinfer.sql.rewrite import rewrite

ANSWER = Call("DOUBLE", "tensor", ("y",))


def signature(*names: str) -> Signature:
    features = tuple(Feature(name, "DOUBLE", "x", i) for i, name in enumerate(names))
    inputs = (Tensor("x", "float64", (None, len(names))),)
    return Signature(features, inputs, (), dict.fromkeys(("predict", "predict_proba", "infer"), ANSWER))


class Models:
    """Three models that are nothing but their features."""

    known = {"iris": signature("sl", "sw", "pl", "pw"), "width": signature("pl"), "pixels": signature("image")}  # noqa: RUF012

    def has(self, name):
        return name in self.known

    def manifest(self, reference):
        raise ModelNotFound.name(reference.name, self.known, "here")

    profile = versions = aliases = manifest  # which other warehouses' words alone ask for

    def spelled(self, function, names):
        return function

    def signature(self, function):
        if function.reference.name not in self.known:
            raise ModelNotFound.name(function.reference.name, self.known, "here")
        return self.known[function.reference.name]


def pairs():
    text = Path(__file__).with_name("rewriting.sql").read_text(encoding="utf-8")
    for case in re.split(r"^-----\n", "".join(text.splitlines(keepends=True)[2:]), flags=re.MULTILINE):
        given, expected = case.split("\n-->\n")
        yield given, expected.rstrip("\n")


@pytest.mark.parametrize(("given", "expected"), list(pairs()), ids=[given for given, _ in pairs()])
def test_pairs(given, expected):
    assert rewrite(given, Models()).text == expected


def test_there_are_pairs():
    assert len(list(pairs())) > 30


# Pieces of SQL around calls: what is hard about SQL is where strings, comments and names begin and end.
PIECES = [
    "SELECT ", " FROM t", "a::FLOAT", "'text'", "'it''s'",
    "'predict(''iris'', 1)'", '"predict(1)"', '"a""b"', "$$ ( $$",
    "$x$ predict('nope') $x$", "/* predict('nope') */", "-- predict('nope', ')\n", "\n", "\t", "  ", ",",
    "(1 + 2)", "[1, 2]",
    "{'a': 1}", "ünïcode", "'🦆'", "x -> x + 1", ";", "USING SAMPLE 10%", "e'\\''", "1e10", "0xFF", "?", "$1",
    ":name", "#1", "@a",
    "predict +", "infer,", "predict_weather(1, ')')", "my_predict('x')", "s.predict('x')", "\r\n", "\u00a0",
    "é", "a.b.c", "*", "<=>",
]  # fmt: skip
CALLS = [
    ("predict('width', a)", "system.main.predict_width(a)"),
    ("predict_proba('iris', *)", 'system.main."predict_proba(iris)"("sl", "sw", "pl", "pw")'),
    ("Predict_Width( 1+1 )", "predict_width(1+1)"),
    ("infer('width/3', pl := '🦆)')", "system.main.\"infer(width/3)\"('🦆)')"),
]
text = st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(text, st.sampled_from(CALLS)), max_size=4), text)
def test_text_outside_the_calls_never_changes(parts, tail):
    sql = "".join(f"{before} = {call} " for before, (call, _) in parts) + tail
    expected = "".join(f"{before} = {spelled} " for before, (_, spelled) in parts) + tail
    assert re.sub(r' AS "(""|[^"])*"', "", rewrite(sql, Models()).text) == expected


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="predict_infer()'\"$-*/\\ \n,;=:é🦆\0", max_size=60))
@example("predict")
@example("predict(")
@example("predict('")
@example("predict(''')")
@example("predict_($$")
def test_any_text_is_rewritten_or_refused(sql):
    """Text without a known model is given back as it is, or the call in it is refused in words."""
    from sqlinfer.errors import SqlinferError

    try:
        assert rewrite(sql, Models()).text == sql
    except SqlinferError as error:
        assert "LINE " in str(error)


def test_what_is_not_ours_is_not_even_read():
    sql = "SELECT '" + "x" * 1_000_000 + "' FROM prédict"
    assert rewrite(sql, Models()).text is sql
