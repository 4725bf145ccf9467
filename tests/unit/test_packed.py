"""A model that travels as bytes is the same registry of one version wherever they are unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

import sqlinfer
from sqlinfer.errors import RegistryError
from sqlinfer.models.packed import digest_of, pack, unpacked


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_a_packed_version_is_a_registry_of_that_version(registry):
    for name in ("churn", "iris/2"):
        stored = registry.get(name)
        packed = pack(stored)
        assert packed == pack(registry.get(name))
        there = unpacked(packed, digest_of(packed))
        (found,) = there.all()
        assert found.manifest == stored.manifest
        assert found.contents() == stored.contents()


def test_it_is_unpacked_once_and_mended_where_it_was_cleared(registry):
    packed = pack(registry.get("churn"))
    (stored,) = unpacked(packed, digest_of(packed)).all()
    before = stored.onnx.stat()
    unpacked(packed, digest_of(packed))
    assert stored.onnx.stat().st_ino == before.st_ino
    stored.onnx.write_bytes(b"")
    (mended,) = unpacked(packed, digest_of(packed)).all()
    assert mended.contents() == registry.get("churn").contents()


def test_what_is_damaged_or_has_no_place_says_so(registry, temporary):
    packed = pack(registry.get("churn"))
    with pytest.raises(RegistryError, match=r"arrived damaged.*send them again"):
        unpacked(packed[:-1], digest_of(packed))
    own = temporary / f".sqlinfer-{os.getuid()}"
    own.symlink_to("/")
    with pytest.raises(RegistryError, match="not this user's alone: remove it"):
        unpacked(packed, digest_of(packed))
    own.unlink()
    own.mkdir()
    own.chmod(0o777)
    with pytest.raises(RegistryError, match="not this user's alone: remove it"):
        unpacked(packed, digest_of(packed))
    own.rmdir()
    own.write_bytes(b"")
    with pytest.raises(RegistryError, match="TMPDIR"):
        unpacked(packed, digest_of(packed))


def test_processes_that_unpack_it_at_once_have_the_same_one(registry, temporary, tmp_path):
    (tmp_path / "packed").write_bytes(pack(registry.get("churn")))
    code = (
        "import sys; from pathlib import Path; from sqlinfer.models.packed import digest_of, unpacked\n"
        "packed = Path(sys.argv[1]).read_bytes(); print(len(unpacked(packed, digest_of(packed)).all()[0].contents()))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "packed"], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    counts = {process.communicate()[0] for process in started}
    assert counts == {f"{len(registry.get('churn').contents())}\n"}
    assert [path.name for path in temporary.iterdir()] == [f".sqlinfer-{os.getuid()}"]
    assert len(list((temporary / f".sqlinfer-{os.getuid()}").iterdir())) == 1


def test_it_answers_as_the_registry_does(registry, iris):
    packed = pack(registry.get("iris/2"))
    there = unpacked(packed, digest_of(packed))
    answers = sqlinfer.load("iris/2", registry=there).predict(iris)
    assert answers.tolist() == sqlinfer.load("iris/2", registry=registry).predict(iris).tolist()
