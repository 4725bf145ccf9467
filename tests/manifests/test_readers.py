"""Both readers of model.json take the same files, and refuse the same files."""

from __future__ import annotations

import json
import random
import re

import pytest

from tests.engines import ENGINES
from tests.fuzz.documents import mutated
from tests.manifests.readers import SOUND, accepted, changed, changes, said_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif("native" not in ENGINES, reason="one reader is the extension's")]

DEEP = 1_000_000
SPELLED = {
    "": False,
    "{": False,
    "[]": False,
    "null": False,
    "\ufeff{flags}": False,
    "{flags} x": False,
    "{flags}\n\n": True,
    '{"format": 9, {rest}': True,  # the last of a name
    '{open}, "format": 9}': False,
    '{"other": NaN, {rest}': False,
    '{"other": Infinity, {rest}': False,
    '{"other": 1e400, {rest}': False,
    '{"other": 1e-400, {rest}': True,
    '{"other": -0, {rest}': True,
    '{"other": ' + "9" * 300 + ", {rest}": True,
    '{"other": ' + "9" * 400 + ", {rest}": False,
    '{"other": ' + "9" * 5000 + ", {rest}": False,
    '{"other": "\\ud83d\\ude00", {rest}': True,
    '{"other": "\\ud83d", {rest}': False,
    '{"other": "\\ude00\\ud83d", {rest}': False,
    '{"other": "a\tb", {rest}': False,
    '{"other": ' + "[" * 63 + "1" + "]" * 63 + ", {rest}": True,
    '{"other": ' + "[" * 64 + "1" + "]" * 64 + ", {rest}": False,
    '{"other": ' + "[" * 200 + "]" * 200 + ", {rest}": False,
    '{"other": ' + "[" * DEEP + "]" * DEEP + ", {rest}": False,
    '{"other": ' + '{"a":' * DEEP: False,
    '{"other": "' + "a" * (65 << 20) + '", {rest}': False,
}


def test_what_is_sound_is_taken():
    for reader, taken in accepted(text.encode() for text in SOUND.values()).items():
        assert dict(zip(SOUND, taken, strict=True)) == dict.fromkeys(SOUND, True), reader


@pytest.mark.parametrize("kind", ["accepted", "refused"])
def test_changes(kind):
    names, texts = zip(*changes(kind), strict=True)
    for reader, taken in accepted(text.encode() for text in texts).items():
        assert [name for name, one in zip(names, taken, strict=True) if one != (kind == "accepted")] == [], reader


def test_what_is_refused_is_refused_in_the_same_words():
    names, texts = zip(*changes("refused"), strict=True)
    said = said_of(text.encode() for text in texts)
    differing = [one for one in zip(names, *said.values(), strict=True) if one[1] != one[2]]
    assert differing == []


def test_json_as_it_may_be_written():
    whole = SOUND["flags"].strip()
    rest = whole.removeprefix("{")
    parts = {"{flags}": whole, "{rest}": rest, "{open}": whole.removesuffix("}")}
    texts = [re.sub("{(flags|rest|open)}", lambda part: parts[part[0]], text).encode() for text in SPELLED]
    for reader, taken in accepted([*texts, b"\xff\xfe", whole.encode("utf-16")]).items():
        assert taken == [*SPELLED.values(), False, False], reader


@pytest.mark.parametrize("place", ["/features/0/type", "/outputs/0/type", "/calls/predict/type", "/calls/infer/type"])
def test_types_of_many_levels(place):
    fields = json.loads(SOUND["echo"])
    types = [
        f"{opened * n}FLOAT{closed * n}"
        for n in (33, DEEP)
        for opened, closed in (("", "[]"), ("MAP(BIGINT, ", ")"), ('STRUCT("a" ', ")"))
    ]
    texts = [json.dumps(changed(fields, place, sql_type)).encode() for sql_type in types]
    assert accepted(texts) == {reader: [False] * len(types) for reader in ("python", "extension")}


def test_many_of_everything_are_read_at_once():
    """No list is gone through once for each of its own members."""
    fields = json.loads(SOUND["echo"])
    feature, tensor, output = fields["features"][0], fields["inputs"][0], fields["outputs"][0]
    many = range(9_000)
    fields["features"] = [{**feature, "name": f"x{i}", "tensor": f"x{i}"} for i in many]
    fields["inputs"] = [{**tensor, "name": f"x{i}"} for i in many]
    fields["outputs"] = [{**output, "name": f"y{i}"} for i in many]
    answer = ", ".join(f'"y{i}" {output["type"]}' for i in many)
    call = {"type": f"STRUCT({answer})", "decode": "struct", "outputs": [f"y{i}" for i in many]}
    fields["calls"] = {"predict": call, "infer": call}
    more = {**fields, "inputs": [{**tensor, "name": f"x{i}"} for i in range(10_001)]}
    taken = accepted([json.dumps(fields).encode(), json.dumps(more).encode()])
    assert taken == {"python": [True, False], "extension": [True, False]}


def test_damage_of_any_kind():
    source = random.Random(3)
    texts = [mutated(source.choice(list(SOUND.values())).encode(), source) for _ in range(600)]
    said = said_of(text for _, text in texts)
    unequal = [(text, *pair) for (_, text), *pair in zip(texts, *said.values(), strict=True) if len(set(pair)) > 1]
    assert unequal == []
    assert None in said["python"] and len(set(said["python"])) > 20
