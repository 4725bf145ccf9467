"""Texts and tokenizers that ask for more than there is: the same answer or the same error on every engine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel, SqlinferError
from tests.conftest import ENGINES

pytestmark = pytest.mark.slow

GRAPH = "(int64[N, L] input_ids) => (float[N] y) { f = Cast<to = 1>(input_ids) y = ReduceMean<keepdims = 0>(f, one) }"
WORDS = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2}, "unk_token": "[UNK]"}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replacing(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.fixture
def register(tmp_path, onnx_file):
    def store(**parts):
        fields = {"version": "1.0", "added_tokens": [], "model": WORDS, **parts}
        (tmp_path / "tokenizer.json").write_text(json.dumps(fields))
        graph = GRAPH.replace("=> (float[N] y)", "=> (float[N] y) <int64[1] one = {1}>")
        registry = sqlinfer.Registry(tmp_path / "models")
        sqlinfer.register("m", onnx_file(graph), tokenizer=tmp_path / "tokenizer.json", registry=registry)
        return registry

    return store


EXPLODES = [
    {"pre_tokenizer": split("(a+)+$")},
    {"pre_tokenizer": split("(a|a)*$")},
    {"pre_tokenizer": split("(?=(a+)+$)a")},
    {"normalizer": replacing({"Regex": "(a+)+$"}, "b")},
]


@pytest.mark.parametrize("parts", EXPLODES)
def test_an_expression_that_explodes(register, engine, parts):
    registry = register(**parts)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        con.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'b'), (2, NULL), (3, repeat('a', 40) || 'b')) t(i, x)")
        says = r"a text cannot be made into tokens \(Onig: Regex search error: retry-limit-in-match over\)"
        with pytest.raises(FeatureError, match=says):
            con.execute("SELECT predict('m', x) FROM t").fetchall()
        answers = con.execute("SELECT TRY(predict('m', x)) FROM t ORDER BY i").fetchall()
        assert answers[:2] == [(2,), (None,)]


@pytest.mark.parametrize(
    "pattern", [r"\h+", "[[:alpha:]]+", r"(?i)B", r"a++", r"(?<=a)b", r"(?<p>a\g<p>?b)", r"(?~b)", r"(a)?b(?(1)a|b)"]
)
def test_expressions_mean_the_same(register, pattern):
    """They are those of Oniguruma, which is what the library has for Python."""
    registry = register(pre_tokenizer=split(pattern))
    answers = {}
    for engine in ENGINES:
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            rows = con.execute("SELECT predict('m', x) FROM (VALUES ('ab ab'), ('aB b\t7'), ('bab'), ('aaab')) t(x)")
            answers[engine] = rows.fetchall()
    assert len(set(map(tuple, answers.values()))) == 1


def test_a_text_that_is_too_long(register, engine):
    registry = register(pre_tokenizer={"type": "Whitespace"}, normalizer=replacing({"String": "b"}, "bbbb"))
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        for text, says in [
            ("repeat('a', 8388609)", "it has 8388609 bytes, of 8388608 at most"),
            ("repeat('b', 8000000)", "normalised, it has more than 16777216 bytes"),
        ]:
            with pytest.raises(FeatureError, match=rf"a text cannot be made into tokens \({says}\)"):
                con.execute(f"SELECT predict('m', {text})")
        assert con.execute("SELECT predict('m', repeat('a ', 500000)), predict('m', 'a')").fetchall() == [(1, 1)]


def test_a_text_that_there_is_no_memory_for(register, engine):
    """The library would end the process."""
    registry = register(pre_tokenizer={"type": "Whitespace"})
    script = f"""
import resource, sqlinfer
con = sqlinfer.connect(registry={str(registry.home)!r}, engine={engine!r}, threads=1)
con.execute("SELECT predict('m', 'a')")
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 1_000_000_000,) * 2)
try:
    con.execute("SELECT predict('m', repeat('a,', 3000000))")
except sqlinfer.errors.FeatureError as error:
    print(error)
print(con.execute("SELECT predict('m', 'a b')").fetchall())
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "there is no memory for the tokens of 6000000 bytes" in told.stdout
    assert told.stdout.endswith("[(1.5,)]\n")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"normalizer": replacing({"String": "a"}, "b" * 300)}, "300 times as long"),
        ({"normalizer": replacing({"Regex": "x*"}, "b" * 300)}, "301 times as long"),
        ({"normalizer": {"type": "Prepend", "prepend": "b" * 70_000}}, "70,000 bytes longer"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [replacing({"String": "a"}, "aa")] * 40}},
            "1,099,511,627,776 times as long",
        ),
        ({"model": {**WORDS, "continuing_subword_prefix": "#" * 1000}}, "what is put to them 1,000"),
        ({"model": {**WORDS, "max_input_chars_per_word": 10**9}}, "words have up to 1,000,000,000 characters"),
        ({"model": 5}, "not a tokenizer"),
        ({"truncation": {"max_length": "many"}}, "not a tokenizer"),
        ({"padding": {"pad": 0}}, "not a tokenizer"),
        ({"added_tokens": [1]}, "not a tokenizer"),
        ({"pre_tokenizer": split("(" * 5000 + "a" + ")" * 5000)}, "is not a tokenizer"),
        ({"pre_tokenizer": split("(a")}, "is not a tokenizer"),
        ({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}, "is not a tokenizer"),
        ({"model": {**WORDS, "unk_token": "nothing"}}, "a text cannot be read: WordLevel error"),
    ],
)
def test_tokenizers_that_are_refused(register, parts, says):
    with pytest.raises(SqlinferError, match=says):
        register(**parts)


def test_a_template_that_adds_more_than_the_model_takes(register):
    piece = {"SpecialToken": {"id": "x", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [*[piece] * 600, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"x": {"id": "x", "ids": [1], "tokens": ["a"]}},
    }
    with pytest.raises(FeatureError, match="it makes 601 tokens, of 512 at most"):
        register(post_processor=template)


def test_a_tokenizer_that_is_nested_without_end(tmp_path, onnx_file):
    (tmp_path / "tokenizer.json").write_text('{"model": ' + "[" * 100_000)
    file = onnx_file("(int64[N, L] input_ids) => (int64[N, L] y) { y = Identity(input_ids) }")
    with pytest.raises(InvalidModel, match="nested too deep"):
        sqlinfer.register("m", file, tokenizer=tmp_path / "tokenizer.json", registry=tmp_path / "models")
