"""A folder of plain files: versions, aliases, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

import sqlinfer
from sqlinfer.errors import BadReference, ModelNotFound, OptionError, ProofFailed, RegistryError
from sqlinfer.models import registry as module


@pytest.fixture
def file(onnx_file):
    return onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home, file):
    """Three versions of m; the first is the default."""
    registry = sqlinfer.Registry(home)
    for _ in range(3):
        sqlinfer.register("m", file, registry=registry)
    return registry


def files(home):
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file() and p.name != ".lock")


def test_opening_a_registry_touches_nothing(home):
    registry = sqlinfer.Registry(home)
    assert registry.names() == [] and registry.all() == []
    assert not home.exists()


def test_the_files_are_those_of_the_design(store, home):
    assert files(home) == [
        "models/m/1/model.json", "models/m/1/model.onnx",
        "models/m/2/model.json", "models/m/2/model.onnx",
        "models/m/3/model.json", "models/m/3/model.onnx",
        "models/m/aliases.json",
    ]  # fmt: skip
    assert json.loads((home / "models/m/aliases.json").read_text()) == {"default": 1}


def test_a_new_version_does_not_change_what_the_name_means(store, file):
    assert store.get("m").manifest.version == 1
    sqlinfer.register("m", file, registry=store, promote=True)
    assert store.get("m").manifest.version == 4


def test_aliases(store):
    store.alias("m", "champion", 2)
    store.alias("M", "Challenger", 3)
    assert store.aliases("m") == {"champion": 2, "challenger": 3, "default": 1}
    assert store.get("m@CHAMPION").manifest.version == 2
    store.alias("m", "champion", 3)
    assert store.get("m@champion").manifest.version == 3
    store.drop_alias("m", "champion")
    with pytest.raises(ModelNotFound, match=r"has no alias 'champion'; .*challenger, default"):
        store.get("m@champion")


@pytest.mark.parametrize("alias", ["", "a b", "1", "é", "a/b", "..", "x" * 64])
def test_an_alias_is_a_name(store, alias):
    with pytest.raises(BadReference):
        store.alias("m", alias, 1)


def test_an_alias_points_to_what_exists(store):
    with pytest.raises(ModelNotFound, match="no version 9; versions: 1, 2, 3"):
        store.alias("m", "champion", 9)
    with pytest.raises(ModelNotFound, match="no model named 'n'"):
        store.alias("n", "champion", 1)
    assert store.aliases("m") == {"default": 1}


def test_a_removed_version_is_gone_and_its_number_is_not_given_again(store, file):
    store.remove("m/3")
    assert store.versions("m") == [1, 2]
    with pytest.raises(ModelNotFound, match="no version 3; versions: 1, 2"):
        store.get("m/3")
    assert sqlinfer.register("m", file, registry=store).version == 4


def test_what_an_alias_means_is_not_removed(store):
    with pytest.raises(RegistryError, match="m/1 is what default means; point it elsewhere first"):
        store.remove("m/1")
    store.alias("m", "default", 2)
    store.remove("m/1")
    assert store.get("m").manifest.version == 2


def test_an_alias_is_not_a_version_to_remove(store):
    store.alias("m", "champion", 2)
    with pytest.raises(BadReference, match="is an alias"):
        store.remove("m@champion")
    with pytest.raises(BadReference, match="'m@default' is an alias"):
        store.remove("m@default")
    assert store.versions("m") == [1, 2, 3]


def test_a_model_is_removed_with_all_its_versions(store, home):
    store.remove("m")
    assert store.names() == [] and files(home) == ["models/m.removed"]
    for reference in ("m", "m/1"):
        with pytest.raises(ModelNotFound, match=r"the registry .* is empty"):
            store.get(reference)
    with pytest.raises(ModelNotFound):
        store.remove("m")


def test_the_last_version_takes_its_model_along(home, file):
    registry = sqlinfer.Registry(home)
    sqlinfer.register("m", file, registry=registry)
    registry.remove("m/1")
    assert registry.names() == []


def test_a_version_never_changes(store, file, home):
    before = {path: (home / path).read_bytes() for path in files(home) if path.endswith((".onnx", "model.json"))}
    sqlinfer.register("m", file, registry=store, promote=True)
    store.alias("m", "champion", 2)
    assert before == {path: (home / path).read_bytes() for path in before}


def test_names_do_not_know_case(store, file):
    assert sqlinfer.register("M", file, registry=store).name == "m"
    assert store.get("M/2").manifest.name == "m"
    assert store.names() == ["m"]


def test_a_copied_registry_is_the_same_registry(store, home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    with sqlinfer.connect(registry=tmp_path / "copy", engine="arrow") as con:
        assert con.execute("SELECT predict('m/2', 4)").fetchall() == [(-4,)]


def test_two_registries_see_one_folder(store, home, file):
    other = sqlinfer.Registry(home)
    assert other.versions("m") == [1, 2, 3]
    sqlinfer.register("m", file, registry=other)
    store.alias("m", "default", 4)
    assert other.get("m").manifest.version == 4


def test_home_is_found_in_the_environment(monkeypatch, home, file):
    monkeypatch.setenv("SQLINFER_HOME", str(home))
    assert sqlinfer.Registry().home == home
    monkeypatch.delenv("SQLINFER_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert sqlinfer.Registry().home == home / ".sqlinfer"
    assert sqlinfer.Registry("~/models").home == home / "models"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"default": "x"}', '{"default": null}', "5"])
def test_damaged_aliases_are_said_to_be(store, home, file, content):
    (home / "models/m/aliases.json").write_text(content)
    before = files(home)
    for what in (
        lambda: store.get("m"),
        lambda: store.remove("m/2"),
        lambda: store.drop_alias("m", "champion"),
        lambda: sqlinfer.register("m", file, registry=store),
        lambda: sqlinfer.register("m", file, registry=store, promote=True),
    ):
        with pytest.raises(
            RegistryError, match=r"models/m/aliases\.json is damaged .*sqlinfer alias m default VERSION"
        ):
            what()
    assert files(home) == before
    assert store.get("m/2").manifest.version == 2 and store.names() == ["m"]


def test_damaged_aliases_are_mended_by_a_new_one(store, home):
    (home / "models/m/aliases.json").write_text('{"champion": 2, "def')
    assert [m.manifest.version for m in store.all()] == [1, 2, 3] and list(store.damaged()) == ["m"]
    store.alias("m", "default", 2)
    assert store.aliases("m") == {"default": 2} and store.damaged() == {}
    assert (home / "models/m/aliases.damaged").read_text() == '{"champion": 2, "def'


def test_an_alias_of_a_version_that_somebody_deleted(store, home):
    shutil.rmtree(home / "models/m/1")
    with pytest.raises(ModelNotFound, match="no version 1; versions: 2, 3"):
        store.get("m")


def test_files_of_others_are_no_models(store, home):
    (home / "models/README.md").write_text("hello")
    (home / "models/.hidden").mkdir()
    (home / "models/m/notes.txt").write_text("hello")
    (home / "models/m/4.bak").mkdir()
    for version in ("4.bak", "²", "01"):
        shutil.copytree(home / "models/m/1", home / "models/m" / version, dirs_exist_ok=True)
    for name in ("m.bak", "M2", "m copy", "é"):
        shutil.copytree(home / "models/m", home / "models" / name)
    assert store.names() == ["m"] and store.versions("m") == [1, 2, 3]
    assert [m.manifest.version for m in store.all()] == [1, 2, 3]


def test_a_version_without_its_manifest(store, home):
    (home / "models/m/2/model.json").unlink()
    with pytest.raises(RegistryError, match="damaged"):
        store.get("m/2")
    assert [m.manifest.version for m in store.all()] == [1, 3]
    assert list(store.damaged()) == ["m/2"]


def test_a_home_that_is_a_file(tmp_path, file):
    (tmp_path / "taken").write_text("not a folder")
    registry = sqlinfer.Registry(tmp_path / "taken")
    with pytest.raises(RegistryError, match="cannot be stored"):
        sqlinfer.register("m", file, registry=registry)
    with pytest.raises((RegistryError, ModelNotFound)):
        registry.get("m")


@pytest.fixture
def read_only(store, home):
    """A copy that this process may read and not write, whoever runs the tests."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(home, Path(folder) / "home"))
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        Path(folder).chmod(0o755)
        root = os.geteuid() == 0
        if root:  # nothing is forbidden to root
            os.seteuid(65534)
        yield sqlinfer.Registry(copy)
        if root:
            os.seteuid(0)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)


def test_a_folder_that_may_only_be_read(read_only):
    """Reading and predicting work; writing is refused in words, and changes nothing."""
    before = files(read_only.home)
    with sqlinfer.connect(registry=read_only, engine="arrow") as con:
        assert con.execute("SELECT predict('m', 4)").fetchall() == [(-4,)]
    stored = read_only.get("m")
    for change in (
        lambda: read_only.alias("m", "default", 2),
        lambda: read_only.remove("m/2"),
        lambda: read_only.remove("m"),
        lambda: read_only.add("n", lambda version: stored.manifest, {}),
        lambda: read_only.add("m", lambda version: stored.manifest, {}),
    ):
        with pytest.raises(RegistryError, match=r"(?i)permission denied"):
            change()
    assert files(read_only.home) == before


def test_an_alias_is_for_a_number(store):
    store.alias("m", "champion", np.int64(2))
    with pytest.raises(TypeError):
        store.alias("m", "champion", "3")
    assert store.aliases("m") == {"champion": 2, "default": 1}


def test_a_version_that_cannot_be_read_does_not_close_the_others(store, home, file):
    sqlinfer.register("other", file, registry=store)
    manifest = home / "models/m/1/model.json"
    manifest.unlink()
    manifest.symlink_to("model.json")  # a loop
    with pytest.raises(RegistryError, match="cannot be read"):
        store.get("m")
    with sqlinfer.connect(registry=home) as con:
        assert con.execute("SELECT predict('other', 1)").fetchall() == [(-1,)]


def test_the_home_may_begin_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SQLINFER_HOME", "~/models of mine")
    assert sqlinfer.Registry().home == tmp_path / "models of mine"


def test_a_copied_folder_is_the_model_that_it_is_called(store, home, engine):
    shutil.copytree(home / "models/m", home / "models/copy")
    copies = [model.manifest for model in store.all() if model.manifest.name == "copy"]
    assert [manifest.version for manifest in copies] == [1, 2, 3]
    with sqlinfer.connect(registry=home, engine=engine) as con:
        assert con.execute("SELECT predict('copy', 1)").fetchall() == [(-1,)]
        assert con.execute("SELECT DISTINCT name FROM sqlinfer_models() ORDER BY ALL").fetchall() == [("copy",), ("m",)]


def test_a_disk_that_is_full_before_the_alias_changes_nothing(home, file, monkeypatch):
    write = module._write

    def full(path, content):
        write(path, content)
        if path.name.startswith(".aliases"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(RegistryError, match="nothing was changed"):
        sqlinfer.register("n", file, registry=home)
    assert {path.name for path in (home / "models").rglob("*")} <= {"n", ".lock"}
    assert sqlinfer.Registry(home).all() == []


def test_a_model_is_renamed_with_its_versions_and_aliases(store, home):
    store.alias("m", "best", 2)
    store.rename("M", "Kept")
    assert store.names() == ["kept"] and store.versions("kept") == [1, 2, 3]
    assert store.aliases("kept") == {"best": 2, "default": 1}
    assert store.get("kept").manifest.name == "kept"
    with pytest.raises(ModelNotFound, match="no model named 'm'"):
        store.get("m")


def test_a_number_means_one_model_whatever_is_renamed(store, file):
    store.rename("m", "kept")
    assert sqlinfer.register("m", file, registry=store).version == 4
    store.remove("m")
    store.rename("kept", "m")  # the numbers 1 to 3 were its own
    store.rename("m", "kept")
    sqlinfer.register("kept", file, registry=store)
    with pytest.raises(RegistryError, match="m/4 was another model"):
        store.rename("kept", "m")
    assert store.names() == ["kept"] and store.versions("kept") == [1, 2, 3, 4]


def test_a_model_is_not_renamed_to_another(store, file):
    sqlinfer.register("other", file, registry=store)
    for name, new, error in (
        ("m", "other", RegistryError),
        ("m", "label", BadReference),
        ("m", "a/1", BadReference),
        ("none", "new", ModelNotFound),
    ):
        with pytest.raises(error):
            store.rename(name, new)
    store.rename("m", "m")
    assert store.names() == ["m", "other"] and store.versions("m") == [1, 2, 3]


def test_an_exported_version_is_whole_and_overwrites_nothing(store, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    exported = store.export("m/2", place)
    assert sorted(p.name for p in place.iterdir()) == ["model.json", "model.onnx"]
    assert exported.onnx.read_bytes() == store.get("m/2").onnx.read_bytes()
    with pytest.raises(RegistryError, match="is there already"):
        store.export("m/2", place)
    with pytest.raises(RegistryError, match="cannot be exported"):
        store.export("m/2", tmp_path / "no" / "where")
    store.get("m/3").onnx.write_bytes(b"other")
    with pytest.raises(RegistryError, match="not the file that was registered"):
        store.export("m/3", tmp_path / "third")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "model.onnx", "out"]


def test_an_exported_version_is_taken_back_as_it_is(store, tmp_path, file):
    fine = sqlinfer.register(
        "fine", file, sample=[{"age": 1.0}, {"age": 2.0}], null={"age": 0.5}, target="left", registry=store
    )
    store.export("fine", tmp_path / "out")
    back = sqlinfer.register("back", tmp_path / "out", registry=store)
    for name in ("signature", "proof", "target", "sha256", "created", "files"):
        assert getattr(back.manifest, name) == getattr(fine.manifest, name)
    assert back.profile == fine.profile and back.background == fine.background
    assert sqlinfer.register("bare", tmp_path / "out", registry=store, profile=False).profile is None
    with pytest.raises(OptionError, match="null is for models that are new"):
        sqlinfer.register("back", tmp_path / "out", null="nan", registry=store)


def test_what_was_exported_and_changed_is_not_taken_back(store, tmp_path):
    store.export("m", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "model.json").read_text())
    manifest["proof"]["answers"]["predict"] = [answer + 1 for answer in manifest["proof"]["answers"]["predict"]]
    (tmp_path / "out" / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ProofFailed):
        sqlinfer.register("back", tmp_path / "out", registry=store)
    (tmp_path / "out" / "model.onnx").write_bytes(b"")
    with pytest.raises(RegistryError, match="not the file that was registered"):
        sqlinfer.register("back", tmp_path / "out", registry=store)
    assert store.names() == ["m"]
