"""model.json: what is written is what is read; what cannot be understood is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import sqlinfer
from sqlinfer.errors import RegistryError
from sqlinfer.models.manifest import FORMAT, Manifest
from sqlinfer.models.needs import NEEDS, needs_of

CORPUS = Path(__file__).parents[1] / "manifests"
SOUND = CORPUS / "sound"
ACCEPTED = [
    one for one in json.loads((CORPUS / "changes.json").read_text(encoding="utf-8"))["accepted"] if len(one) > 2
]


@pytest.fixture
def path(registry, tmp_path):
    copy = tmp_path / "model.json"
    copy.write_bytes((registry.get("churn").folder / "model.json").read_bytes())
    return copy


def change(path, edit):
    fields = json.loads(path.read_text(encoding="utf-8"))
    edit(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def test_every_manifest_is_written_again_as_it_was_read(registry):
    models = registry.all()
    assert len(models) > 20
    for model in models:
        text = (model.folder / "model.json").read_text(encoding="utf-8")
        assert Manifest.read(model.folder / "model.json").to_json() == text


def test_the_fields_are_those_that_are_documented(path):
    import sqlinfer.models.manifest as module

    fields = json.loads(path.read_text(encoding="utf-8"))
    assert list(fields) == [
        "format", "needs", "name", "version", "created", "sha256", "source", "task", "target", "features", "inputs",
        "outputs", "labels", "calls", "batch", "kernel", "proof", "refusals", "files",
    ]  # fmt: skip
    for field in fields:
        assert f"\n    {field} " in module.__doc__


def test_a_person_can_read_it(path):
    """Plain JSON: text as it is, and no NaN, which other readers refuse."""
    text = path.read_text(encoding="utf-8")
    assert "Genève" in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_it_says_what_the_model_is(path):
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert (fields["format"], fields["name"], fields["version"], fields["task"]) == (2, "churn", 1, "classification")
    assert fields["labels"] == {"type": "BOOLEAN", "values": [False, True]}
    assert [f["name"] for f in fields["features"]] == ["age", "income", "visits", "city"]
    assert fields["features"][0]["null"] == "nan" and fields["features"][3]["null"] == {"value": "\uffff"}
    assert fields["calls"]["predict"]["type"] == "BOOLEAN"
    assert fields["source"]["framework"].startswith("scikit-learn ")
    assert 1 <= len(fields["proof"]["rows"]) == len(fields["proof"]["answers"]["predict"])


@pytest.mark.parametrize("number", [FORMAT + 1, 0, None, "1", 1.5])
def test_a_format_that_is_not_known_is_refused(path, number):
    change(path, lambda fields: fields.update(format=number))
    with pytest.raises(RegistryError, match=r"format.*, and sqlinfer \S+ knows 1, 2; upgrade sqlinfer"):
        Manifest.read(path)


def test_a_file_of_the_first_format_has_no_needs(path):
    now = Manifest.read(path)
    change(path, lambda fields: fields.update(format=1) or fields.pop("needs"))
    assert replace(Manifest.read(path), digest=now.digest) == now


def test_a_need_of_a_later_version_is_told_with_that_version(path):
    change(path, lambda fields: fields["needs"].update(router="0.4") or fields.pop("calls"))
    with pytest.raises(
        RegistryError, match=r'needs "router" \(sqlinfer 0\.4\), which sqlinfer \S+ does not know; upgrade'
    ):
        Manifest.read(path)


def test_what_answers_hang_on_is_a_need(registry):
    """Each need is that of some model of the tests, or of a sound manifest; and no plain model has any."""
    assert json.loads(registry.get("width").manifest.to_json())["needs"] == {}
    manifests = [model.manifest.signature for model in registry.all()]
    manifests += [Manifest.read(file).signature for file in sorted(SOUND.glob("*.json"))]
    found = {name for signature in manifests for name in needs_of(signature)}
    assert found == set(NEEDS)
    all_of_them = next(needs for _, place, needs in ACCEPTED if place == "/needs" and "guards" in str(needs))
    assert set(all_of_them) == set(NEEDS), "the extension is asked for all of them"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'"model"'])
def test_what_is_no_manifest_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(RegistryError, match=str(path)):
        Manifest.read(path)


FIELDS = ["name", "version", "sha256", "source", "features", "inputs", "outputs", "calls", "batch", "proof"]
FINE = {("version", 5), ("name", "text"), ("sha256", "text")}


@pytest.mark.parametrize("field", FIELDS)
def test_a_lost_field_is_damage(path, field):
    change(path, lambda fields: fields.pop(field))
    with pytest.raises(RegistryError, match="damaged"):
        Manifest.read(path)


@pytest.mark.parametrize(("field", "value"), [(f, v) for f in FIELDS for v in (5, None, "text") if (f, v) not in FINE])
def test_a_field_of_another_type_is_damage(path, field, value):
    change(path, lambda fields: fields.update({field: value}))
    with pytest.raises(RegistryError, match="damaged"):
        Manifest.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RegistryError, match="cannot be read"):
        Manifest.read(tmp_path / "model.json")


@pytest.mark.slow
def test_one_damaged_model_does_not_hide_the_others(tmp_path, onnx_file):
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    registry = sqlinfer.Registry(tmp_path / "models")
    for name in ("good", "bad"):
        sqlinfer.register(name, file, registry=registry)
    change(registry.get("bad").folder / "model.json", lambda fields: fields.update(format=3))
    with sqlinfer.connect(registry=registry, engine="arrow") as con:
        assert con.execute("SELECT predict('good', 2)").fetchall() == [(-2,)]
        assert con.execute("SELECT name FROM sqlinfer_models()").fetchall() == [("good",)]
        with pytest.raises(RegistryError, match="format 3"):
            con.execute("SELECT predict('bad', 2)")
