"""Files of a registry that are no longer what was registered: an error that names the file, on every engine."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import sqlinfer
from sqlinfer.errors import RegistryError


@pytest.fixture
def stored(tmp_path, iris):
    registry = sqlinfer.Registry(tmp_path / "registry")
    estimator = LinearRegression().fit(iris[["sl"]], iris["pw"])
    return sqlinfer.register("m", estimator, sample=iris[["sl"]], registry=registry), registry


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), "is not the file that was registered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "is not the file that was registered"),
        (lambda path: path.write_bytes(b""), "is not the file that was registered"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["cut", "changed", "empty", "gone"],
)
def test_a_graph_that_was_changed(stored, engine, damage, says):
    model, registry = stored
    damage(registry.get("m").onnx)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        with pytest.raises(RegistryError, match=rf"model\.onnx {says}.*register the model again"):
            con.execute("SELECT predict('m', 1)").fetchall()
        assert con.execute("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(RegistryError, match=says):
        model.predict(pd.DataFrame({"sl": [1.0]}))
    with pytest.raises(RegistryError, match=says):
        sqlinfer.verify("m", registry=registry, engine=engine)


def test_a_model_that_is_loaded_goes_on(stored, engine):
    _, registry = stored
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        before = con.execute("SELECT predict('m', 1)").fetchall()
        registry.get("m").onnx.unlink()
        assert con.execute("SELECT predict('m', 1)").fetchall() == before


@pytest.mark.parametrize("damage", ["[]", "{"])
def test_damaged_aliases_hide_no_other_model(stored, engine, damage):
    _, registry = stored
    sample = pd.DataFrame({"x": [1.0, 2.0]})
    sqlinfer.register("twice", LinearRegression().fit(sample, sample.x * 2), sample=sample, registry=registry)
    (registry.home / "models/m/aliases.json").write_text(damage)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        assert con.execute("SELECT name FROM sqlinfer_models()").fetchall() == [("m",), ("twice",)]
        assert con.execute("SELECT round(predict('twice', 3)), predict('m/1', 3) < 9").fetchall() == [(6.0, True)]
        with pytest.raises(RegistryError, match=r"aliases\.json is damaged.*sqlinfer alias m default"):
            con.execute("SELECT predict('m', 3)")


def test_a_copy_beside_a_model_is_none(stored, engine):
    _, registry = stored
    shutil.copytree(registry.home / "models/m", registry.home / "models/m.bak")
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        assert con.execute("SELECT predict('m', 1) IS NULL").fetchall() == [(False,)]


def _twice(things):
    things *= 2


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda fields: _twice(fields["calls"]["predict"]["outputs"]),
            r"predict\(\) is \"FLOAT\", which is not what it answers",
        ),
        (lambda fields: _twice(fields["inputs"]), "two inputs are called"),
        (lambda fields: fields["features"][0].update(column=None), "are not its columns"),
        (lambda fields: fields["outputs"][0]["shape"].append(3), 'is "FLOAT", which does not fit'),
        (lambda fields: fields.update(version=-1), "version is -1, which is no count"),
        (lambda fields: fields.update(labels=0), "labels is 0, which is no object"),
        (lambda fields: fields["batch"].update(fixed=2**62), "a batch of"),
        (lambda fields: fields["calls"]["infer"].update(type="STRUCT(a INTEGER)"), r"infer\(\) is"),
    ],
    ids=["answer", "inputs", "columns", "shape", "version", "labels", "batch", "struct"],
)
def test_what_does_not_fit_together_is_damage(tmp_path, onnx_file, engine, damage, says):
    registry = sqlinfer.Registry(tmp_path / "models")
    file = onnx_file("(float[n, 2] x) => (float[n] y) <int64[1] one = {1}> { y = ReduceSum<keepdims=0>(x, one) }")
    sqlinfer.register("m", file, registry=registry)
    path = registry.get("m").folder / "model.json"
    fields = json.loads(path.read_text())
    damage(fields)
    path.write_text(json.dumps(fields))
    damaged = pytest.raises(RegistryError, match=rf"model\.json is damaged.*{says}.*register the model again")
    with sqlinfer.connect(registry=registry, engine=engine) as con, damaged:
        con.execute("SELECT predict('m', 1, 2)")
