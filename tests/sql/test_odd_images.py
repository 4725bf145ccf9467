"""Damaged images, and images that ask for more than there is: the same answer or the same error on every engine."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

import sqlinfer
from sqlinfer.errors import FeatureError, MissingExtra
from sqlinfer.runtime import images
from sqlinfer.runtime.extension import extension
from tests.conftest import parse
from tests.engines import ENGINES
from tests.sql.test_images import FILES, drawing, encoded

pytestmark = pytest.mark.slow

GRAPH = "(uint8[n, h, w, 3] x) => (double[n] y) <int64[3] axes = {1, 2, 3}, double[1] weight = {0.5}>"
GRAPH += " { d = Cast<to = 11>(x) p = Pow(d, weight) y = ReduceSum<keepdims = 0>(p, axes) }"
KINDS = {
    **FILES,
    "jpeg restarts": encoded(drawing(90, 60), "JPEG", restart_marker_blocks=4),
    "jpeg optimized": encoded(drawing(90, 60), "JPEG", optimize=True),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    onnx.save(parse(GRAPH), folder / "m.onnx")
    registry = sqlinfer.Registry(folder / "models")
    sqlinfer.register("m", folder / "m.onnx", image=True, registry=registry)
    return registry


def damaged(content, random):
    """A few bits or bytes are others, or gone, or too many."""
    data, kind = bytearray(content), random.integers(0, 4)
    place = int(random.integers(2, len(data)))
    if kind == 0:
        data[place] ^= 1 << int(random.integers(0, 8))
    elif kind == 1:
        for _ in range(random.integers(2, 8)):
            data[random.integers(2, len(data))] = random.integers(0, 256)
    elif kind == 2:
        del data[place : place + int(random.choice([1, 10, len(data)]))]
    else:
        data[place:place] = random.bytes(int(random.integers(1, 30)))
    return bytes(data)


def test_damage_is_the_same_on_every_engine(registry):
    random = np.random.default_rng(11)
    files = [damaged(content, random) for content in KINDS.values() for _ in range(25)]
    answers = {}
    for engine in ENGINES:
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            con.execute("CREATE TABLE t AS SELECT unnest($1) AS i, unnest($2) AS x", [list(range(len(files))), files])
            rows = con.execute("SELECT TRY(predict('m', x)) FROM t ORDER BY i").fetchall()
            answers[engine] = [answer for (answer,) in rows]
    first, *others = answers.values()
    assert others == [first] * len(others)
    assert 50 < first.count(None) < len(files) - 50


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: file[:-2] + b"\x12\x34" * 50 + b"\xff\xd9", "extraneous bytes before marker 0xd9"),
        (lambda file: file.replace(b"\xff\xda", b"\xff\xd9\xff\xda", 1), "it is damaged"),
        (lambda file: file[: len(file) // 2] + b"\xff\xd9", "premature end of data segment"),
    ],
)
def test_what_the_decoder_warns_of_is_damage(registry, engine, damage, says):
    file = encoded(drawing(90, 60), "JPEG")
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        with pytest.raises(FeatureError, match=rf"an image cannot be read \(.*{says}"):
            con.execute("SELECT predict('m', ?)", [damage(file)])
        assert con.execute("SELECT predict('m', ?) > 0", [file]).fetchall() == [(True,)]


def test_scans_without_end(registry, engine):
    """A scan of a progressive file may be a few bytes long, and goes through all pixels."""
    file = encoded(drawing(90, 60), "JPEG", progressive=True)
    scans = [i for i in range(len(file)) if file[i : i + 2] == b"\xff\xda"]
    many = file[: scans[-1]] + file[scans[-1] : -2] * 600 + file[-2:]
    refused = pytest.raises(FeatureError, match=r"it has \d+ scans, of 500 at most")
    with sqlinfer.connect(registry=registry, engine=engine) as con, refused:
        con.execute("SELECT predict('m', ?)", [many])


def test_an_image_that_there_is_no_memory_for(registry, engine):
    """The decoder would end the process."""
    file = encoded(Image.new("L", (8000, 8000)))
    script = f"""
import resource, sys, sqlinfer
file = sys.stdin.buffer.read()
con = sqlinfer.connect(registry={str(registry.home)!r}, engine={engine!r}, threads=1)
con.execute("SELECT predict('m', ?)", [bytes.fromhex({encoded(drawing(9, 9)).hex()!r})])
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 1_000_000_000,) * 2)
try:
    con.execute("SELECT predict('m', ?)", [file])
except sqlinfer.errors.FeatureError as error:
    print(error)
print(con.execute("SELECT 1").fetchall())
"""
    told = subprocess.run([sys.executable, "-c", script], input=file, capture_output=True)
    assert told.returncode == 0, told.stderr
    assert b"there is no memory for 64000000 pixels" in told.stdout
    assert told.stdout.endswith(b"[(1,)]\n")


@pytest.mark.skipif("native" not in ENGINES, reason="there is one decoder")
def test_with_and_without_the_extension_sound_files_are_alike(monkeypatch):
    ours = extension()
    assert ours is not None
    pillow = images._Pillow()
    for name, content in KINDS.items():
        np.testing.assert_array_equal(ours.decode(content, 10_000), pillow.decode(content, 10_000), err_msg=name)
        assert ours.size(content) == pillow.size(content) > (0, 0)
        for decoder in (ours, pillow):
            with pytest.raises(ValueError, match="pixels are more than the 100 that are accepted"):
                decoder.decode(content, 100)


def test_without_both_the_error_says_how_to_get_one(registry, monkeypatch):
    monkeypatch.setattr(images, "extension", lambda: None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    (feature,) = registry.get("m").manifest.signature.features
    with pytest.raises(MissingExtra, match=r"pip install 'sqlinfer\[image\]'"):
        images.ImagePreparer(feature)
