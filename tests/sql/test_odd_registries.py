"""One bad model harms no other: it is named, the rest answers, and nothing hangs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import duckdb
import pytest

import sqlinfer
from sqlinfer.errors import SqlinferError

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, onnx_file):
    """Two models, of which one will be odd."""
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    for name in ("odd", "good"):
        sqlinfer.register(name, file, registry=tmp_path / "home")
    return tmp_path / "home"


def retyped(folder, type):
    path = folder / "1/model.json"
    fields = json.loads(path.read_text())
    for call in fields["calls"].values():
        call["type"] = type
    path.write_text(json.dumps(fields))


def piped(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)


def linked(folder, name, target):
    (folder / name).unlink()
    (folder / name).symlink_to(target)


def looped(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


def endless(folder):
    with (folder / "1/model.json").open("wb") as file:
        file.truncate(1 << 40)


def in_the_way(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()


ODD = {
    "an array that DuckDB has not": lambda folder: retyped(folder, "FLOAT[18446744073709551615]"),
    "a manifest that is a pipe": lambda folder: piped(folder, "1/model.json"),
    "aliases that are a pipe": lambda folder: piped(folder, "aliases.json"),
    "a graph that is a pipe": lambda folder: piped(folder, "1/model.onnx"),
    "a manifest that is a device": lambda folder: linked(folder, "1/model.json", "/dev/zero"),
    "aliases that are a device": lambda folder: linked(folder, "aliases.json", "/dev/zero"),
    "a graph that is a device": lambda folder: linked(folder, "1/model.onnx", "/dev/zero"),
    "a manifest that links to itself": lambda folder: linked(folder, "1/model.json", "model.json"),
    "a folder that links to itself": looped,
    "a manifest of a terabyte": endless,
    "a manifest that is a folder": lambda folder: in_the_way(folder, "1/model.json"),
    "aliases that are a folder": lambda folder: in_the_way(folder, "aliases.json"),
}
HARMLESS = {
    "a folder in another case": lambda folder: shutil.copytree(folder, folder.with_name("ODD")),
    "a folder called as a function": lambda folder: shutil.copytree(folder, folder.with_name("proba")),
    "a version of another spelling": lambda folder: shutil.copytree(folder / "1", folder / "01"),
    "a link to itself beside them": lambda folder: folder.with_name("loop").symlink_to("loop"),
    "a pipe beside them": lambda folder: os.mkfifo(folder.with_name("pipe")),
    "a pipe among the versions": lambda folder: os.mkfifo(folder / "2"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes among files")
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_model_that_is_odd_is_named(home, engine, make):
    make(home / "models/odd")
    registry = sqlinfer.Registry(home)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        assert con.execute("SELECT predict('good', 1)").fetchall() == [(-1,)]
        for _ in range(2):
            with pytest.raises((SqlinferError, duckdb.Error), match="odd"):
                con.execute("SELECT predict('odd', 1)").fetchall()
        assert ("good",) in con.execute("SELECT name FROM sqlinfer_models()").fetchall()
        assert con.execute("SELECT predict('good', 2)").fetchall() == [(-2,)]
    assert "good" in registry.names()
    with pytest.raises(SqlinferError, match="odd"):
        sqlinfer.verify("odd", registry=registry)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes among files")
@pytest.mark.parametrize("make", HARMLESS.values(), ids=HARMLESS)
def test_what_lies_beside_the_models_is_not_one(home, engine, make):
    make(home / "models/odd")
    with sqlinfer.connect(registry=home, engine=engine) as con:
        for name in ("odd", "good"):
            assert con.execute(f"SELECT predict('{name}', 1), predict_{name}(2)").fetchall() == [(-1, -2)]
        assert con.execute("SELECT name FROM sqlinfer_models() ORDER BY ALL").fetchall() == [("good",), ("odd",)]
    assert sqlinfer.Registry(home).damaged().keys() <= {"loop"}


def test_a_model_that_is_refused_does_not_use_up_the_loads(home):
    """The extension is loaded again for a model that is new, not for one that it has refused."""
    with sqlinfer.connect(registry=home, engine="native") as con:
        shutil.copytree(home / "models/odd", home / "models/late")
        retyped(home / "models/late", "FLOAT[18446744073709551615]")
        count = "SELECT count(*) FROM duckdb_extensions() WHERE loaded AND extension_name LIKE 'sqlinfer%'"
        loads = set()
        for _ in range(5):
            with pytest.raises((SqlinferError, duckdb.Error), match="late"):
                con.execute("SELECT predict('late', 1)")
            loads.add(con.execute(count).fetchone())
        assert len(loads) == 1


KILLED = """
    import sys
    from dataclasses import replace
    import sqlinfer
    registry = sqlinfer.Registry(sys.argv[1])
    known = registry.get("odd/1")
    files = {"model.onnx": known.onnx.read_bytes() + bytes(1_000_000)}
    print("ready", flush=True)
    while True:
        model = registry.add("odd", lambda version: replace(known.manifest, version=version), files, promote=True)
        registry.alias("odd", "default", 1)
        registry.remove(f"odd/{model.manifest.version}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_what_killed_writers_leave_is_cleared(home, onnx_file):
    for wait in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(home)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            assert writer.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(0.01 * wait)
            writer.send_signal(signal.SIGKILL)
    (home / "models/odd/.draft-left").mkdir()
    (home / "models/odd/.draft-left/model.onnx").write_bytes(b"half")
    (home / "models/odd/.aliases-1").write_bytes(b"half")
    (home / "models/.removed-left/odd").mkdir(parents=True)
    sqlinfer.register("odd", onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"), registry=home)
    assert [path.name for path in (home / "models").rglob(".*") if path.name != ".lock"] == []


def test_temporary_folders_of_killed_processes_are_cleared(tmp_path, monkeypatch):
    from sqlinfer.temporary import temporary_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = """
        from sqlinfer.temporary import temporary_folder
        with temporary_folder() as folder:
            (folder / "large").write_bytes(bytes(1000))
            print("ready", flush=True)
            input()
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    living, killed = (
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    )
    with living, killed:
        assert [process.stdout.readline() for process in (living, killed)] == ["ready\n"] * 2
        assert len(list(tmp_path.glob("sqlinfer-*"))) == 2
        killed.kill()
        killed.wait()
        with temporary_folder() as mine:
            left = set(tmp_path.glob("sqlinfer-*"))
        assert len(left) == 2 and mine in left
        living.communicate("\n")
    assert list(tmp_path.glob("sqlinfer-*")) == []
