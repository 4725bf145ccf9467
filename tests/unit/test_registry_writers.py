"""Writers at the same time, and writers that die: nothing of a version is there, or all of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

import sqlinfer
from sqlinfer.errors import ModelNotFound, RegistryError
from tests.processes import HANG

pytestmark = pytest.mark.slow

PRELUDE = """
    import itertools, os, sys, time
    from pathlib import Path
    from dataclasses import replace
    import sqlinfer
    from sqlinfer.models.registry import Registry
    home = Path(sys.argv[1])
    registry = Registry(home)
    known = Registry(home / "known").get("m")
    def describe(version):
        return replace(known.manifest, version=version)
    content = known.onnx.read_bytes()
"""


@pytest.fixture
def home(tmp_path, onnx_file):
    """A folder beside which a known model lies, for the writers to write again."""
    home = tmp_path / "home"
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    sqlinfer.register("m", file, registry=home / "known")
    return home


def writer(home, script) -> subprocess.Popen:
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", text, str(home)], stdout=subprocess.PIPE, text=True)


def rows(registry, sql):
    with sqlinfer.connect(registry=registry, engine="arrow") as con:
        return con.execute(sql).fetchall()


def test_processes_register_the_same_name_at_once(home):
    """Each of them gets numbers of its own, and none is lost."""
    script = """
        print("ready", flush=True)
        while not (home / "go").exists():
            time.sleep(0.001)
        numbers = [registry.add("m", describe, {"model.onnx": content}).manifest.version for _ in range(10)]
        print(*numbers, flush=True)
    """
    writers = [writer(home, script) for _ in range(3)]
    assert all(w.stdout.readline() == "ready\n" for w in writers)
    (home / "go").touch()
    given = [int(n) for w in writers for n in w.communicate(timeout=HANG)[0].split()]
    assert sorted(given) == list(range(1, 31))
    registry = sqlinfer.Registry(home)
    assert [m.manifest.version for m in registry.all()] == list(range(1, 31))
    assert registry.aliases("m") == {"default": 1}
    assert rows(registry, "SELECT predict('m/30', 2)") == [(-2,)]


def test_aliases_are_not_lost_between_writers(home):
    script = """
        me = os.getpid()
        for i in range(15):
            registry.alias("m", f"a{me}_{i}", 1)
    """
    store = sqlinfer.Registry(home)
    shutil.copytree(home / "known" / "models", home / "models")
    writers = [writer(home, script) for _ in range(3)]
    assert [w.wait(HANG) for w in writers] == [0, 0, 0]
    assert len(store.aliases("m")) == 1 + 3 * 15


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("files_written", [0, 1])
def test_a_writer_killed_midway_leaves_nothing(home, files_written):
    """SIGKILL while the files of version 2 are being written: readers see version 1, the next writer goes on."""
    script = f"""
        from sqlinfer.models import registry as module
        registry.add("m", describe, {{"model.onnx": content}})
        write, written = module._write, []
        def slow(path, data):
            if path.name.startswith("model.") and len(written) == {files_written}:
                path.write_bytes(data[:20])
                print("writing", flush=True)
                time.sleep(100_000)
            written.append(path)
            write(path, data)
        module._write = slow
        registry.add("m", describe, {{"model.onnx": content}})
    """
    process = writer(home, script)
    assert process.stdout.readline() == "writing\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(HANG)
    registry = sqlinfer.Registry(home)
    assert registry.versions("m") == [1]
    with pytest.raises(ModelNotFound, match="no version 2; versions: 1"):
        registry.get("m/2")
    assert rows(registry, "SELECT name, version FROM sqlinfer_models()") == [("m", 1)]
    again = writer(home, "print(registry.add('m', describe, {'model.onnx': content}).manifest.version)")
    assert again.communicate(timeout=HANG)[0] == "2\n"
    assert rows(registry, "SELECT predict('m/2', 2)") == [(-2,)]


def test_a_first_registration_that_died_before_its_alias(home):
    """The version is whole but nothing points to it: the name says so, and an alias makes it whole."""
    store = sqlinfer.Registry(home)
    shutil.copytree(home / "known" / "models", home / "models")
    (home / "models/m/aliases.json").unlink()
    with pytest.raises(ModelNotFound, match="has no alias 'default'"):
        store.get("m")
    store.alias("m", "default", 1)
    assert rows(store, "SELECT predict('m', 2)") == [(-2,)]


def test_drafts_of_the_dead_are_not_versions(home):
    shutil.copytree(home / "known" / "models", home / "models")
    shutil.copytree(home / "models/m/1", home / "models/m/.draft-abc")
    (home / "models/.removed-abc/m/1").mkdir(parents=True)
    (home / "models/m/.aliases-1").write_text("{")
    registry = sqlinfer.Registry(home)
    assert registry.names() == ["m"] and registry.versions("m") == [1]
    assert registry.get("m").manifest.version == 1


def test_a_registration_that_fails_leaves_nothing(home):
    """A full disk, for example."""

    def describe(version):
        raise OSError(28, "No space left on device")

    registry = sqlinfer.Registry(home)
    with pytest.raises(RegistryError, match="No space left on device; nothing was changed"):
        registry.add("new", describe, {"model.onnx": b""})
    assert registry.names() == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_full_disk(home):
    """The limit on the size of files stands in for the disk's."""
    script = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            registry.add("big", describe, {"model.onnx": content + bytes(10_000)})
        except sqlinfer.SqlinferError as error:
            print(type(error).__name__, "nothing was changed" in str(error), flush=True)
    """
    assert writer(home, script).communicate(timeout=HANG)[0] == "RegistryError True\n"
    assert sqlinfer.Registry(home).names() == []
    assert not [p for p in (home / "models").rglob("*") if p.is_file() and p.name != ".lock"]


def test_readers_during_a_hundred_promotions(home):
    """A reader never sees a half-written alias file: it always finds one version or the other."""
    shutil.copytree(home / "known" / "models", home / "models")
    shutil.copytree(home / "models/m/1", home / "models/m/2")
    fields = json.loads((home / "models/m/2/model.json").read_text())
    (home / "models/m/2/model.json").write_text(json.dumps({**fields, "version": 2}))
    script = """
        for i in itertools.count():
            registry.alias("m", "default", 1 + i % 2)
            if i >= 100 and (home / "enough").exists():
                break
    """
    promoting = writer(home, script)
    seen: Counter[int] = Counter()
    reader = sqlinfer.Registry(home)
    while promoting.poll() is None:
        seen[reader.get("m").manifest.version] += 1
        if min(seen[1], seen[2]) > 20:
            (home / "enough").touch()
    assert promoting.returncode == 0
    assert set(seen) == {1, 2}


def test_a_model_that_is_renamed_by_many_at_once_is_there_once(home):
    script = """
        print("ready", flush=True)
        while not (home / "go").exists():
            time.sleep(0.001)
        for number in range(40):
            for name, new in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")):
                try:
                    registry.rename(name, new)
                except sqlinfer.SqlinferError:
                    pass
            if number % 10 == 0:
                registry.add("a", describe, {"model.onnx": content})
    """
    registry = sqlinfer.Registry(home)
    sqlinfer.register("a", home / "known" / "models" / "m" / "1" / "model.onnx", registry=registry)
    writers = [writer(home, script) for _ in range(3)]
    for process in writers:
        process.stdout.readline()
    (home / "go").touch()
    assert [process.wait(HANG) for process in writers] == [0, 0, 0]
    counts = Counter(name for name in registry.names() for _ in registry.versions(name))
    assert counts.total() == 13 and set(counts) <= {"a", "b", "c"}
    assert not [p for p in (home / "models").iterdir() if p.name.startswith(".")]
