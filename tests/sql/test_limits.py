"""A file that takes too long or too much, or whose weights lie where they may not: an error, and nothing is stored."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.errors import InvalidModel

pytestmark = pytest.mark.slow

FOREVER = """
(float[N, 3] x) => (float[N, 3] y) {
    times = Constant<value: tensor = int64 {4611686018427387904}>()
    go = Constant<value: tensor = bool {1}>()
    y = Loop(times, go, x)<body = step (int64 i, bool on, float[N, 3] z) => (bool more, float[N, 3] z2) {
        more = Identity(on)
        z2 = Add(z, z)
    }>
}"""
HUNGRY = """
(float[N, 3] x) => (float[N, 3] y) {
    shape = Constant<value: tensor = int64[1] {100000000}>()
    zeros = ConstantOfShape(shape)
    last = Constant<value: tensor = int64[1] {7}>()
    zero = Gather(zeros, last)
    y = Add(x, zero)
}"""


@pytest.fixture
def registry(tmp_path):
    return sqlinfer.Registry(tmp_path / "registry")


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder of temporary files, which is to be empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_model_that_never_ends_is_given_up(onnx_file, registry, scratch):
    with pytest.raises(InvalidModel, match=r"model\.onnx was given up after 1\.5 seconds, while .*time_limit"):
        sqlinfer.register("m", onnx_file(FOREVER), registry=registry, time_limit=1.5)
    assert registry.names() == []
    assert list(scratch.iterdir()) == []


def test_a_model_that_takes_all_memory_is_refused(onnx_file, registry, scratch):
    with pytest.raises(InvalidModel, match=r"model\.onnx needs more than 0\.3 GB of memory .*memory_limit"):
        sqlinfer.register("m", onnx_file(HUNGRY), registry=registry, memory_limit="300MB")
    assert registry.names() == []
    assert list(scratch.iterdir()) == []


def test_what_is_allowed_more_is_registered(onnx_file, registry, engine):
    sqlinfer.register("m", onnx_file(HUNGRY), registry=registry, memory_limit="8GB")
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        assert con.execute("SELECT predict('m', [1, 2, 3])").fetchall() == [((1.0, 2.0, 3.0),)]


@pytest.mark.parametrize("command", [["register", "m"], ["doctor"]])
def test_from_the_command_line(onnx_file, registry, command):
    asked = [*command, str(onnx_file(FOREVER)), "--time-limit", "1"]
    answer = CliRunner().invoke(main, asked, env={"SQLINFER_HOME": str(registry.home)})
    assert answer.exit_code == 1
    assert "given up after 1 seconds" in answer.output
    assert "--time-limit" in answer.output


def test_a_limit_that_is_none(onnx_file, registry):
    with pytest.raises(ValueError, match="memory_limit: 'much' is no size"):
        sqlinfer.register("m", onnx_file(FOREVER), registry=registry, memory_limit="much")
    answer = CliRunner().invoke(main, ["register", "m", "x.onnx", "--memory-limit", "much"])
    assert answer.exit_code == 2
    assert "write '512MB' or '4GB'" in answer.output


@pytest.mark.parametrize("place", ["secret.bin", "../secret.bin", "{folder}/secret.bin"])
@pytest.mark.parametrize("where", ["initializer", "attribute", "sparse_initializer", "body"])
def test_weights_never_come_from_elsewhere(onnx_file, registry, tmp_path, monkeypatch, where, place):
    """Neither from beside the folder of the model, nor from the folder that the process is in."""
    (tmp_path / "model").mkdir()
    for folder in (tmp_path, elsewhere := tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        (folder / "secret.bin").write_bytes(b"\x00\x00\x80?" * 3)
    monkeypatch.chdir(elsewhere)
    path = onnx_file("(float[N, 3] x) => (float[N, 3] y) { y = Add(x, w) }", "model/model.onnx")
    model = onnx.load_model(path)
    keep_outside(model, where, place.format(folder=tmp_path))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModel, match=r"model\.onnx"):
        sqlinfer.register("m", path, registry=registry)
    assert not Path(registry.home / "models" / "m").exists()


def keep_outside(model: onnx.ModelProto, where: str, place: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    constant = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "attribute":
        model.graph.node.insert(0, constant)
    elif where == "sparse_initializer":
        indices = onnx.helper.make_tensor("i", TensorProto.INT64, [3], [0, 1, 2])
        model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(tensor, indices, [3]))
    else:
        out = onnx.helper.make_tensor_value_info("w", TensorProto.FLOAT, [3])
        body = onnx.helper.make_graph([constant], "body", [], [out])
        go = onnx.helper.make_tensor("go", TensorProto.BOOL, [], [True])
        model.graph.initializer.append(go)
        model.graph.node.insert(0, onnx.helper.make_node("If", ["go"], ["w"], then_branch=body, else_branch=body))


@pytest.mark.parametrize("shape", ["3, 192, 192", "120000"], ids=["image", "more than an ARRAY may have"])
def test_large_answers_take_the_memory_of_the_rows_that_are_there(onnx_file, registry, engine, shape):
    sqlinfer.register(
        "m", onnx_file(f"(float[n, {shape}] x) => (float[n, {shape}] y) {{ y = Neg(x) }}"), registry=registry
    )
    values = [[2.0] * 192] * 192 if "," in shape else 2.0
    cell = [values] * (3 if "," in shape else 120_000)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        ((answer,),) = con.execute("SELECT predict('m', ?)", [cell]).fetchall()
    assert np.array_equal(answer, -np.array(cell))


def test_more_columns_than_there_is_memory_are_refused_at_once(onnx_file, registry):
    """Before any is made: neither of the limits is what is said."""
    with pytest.raises(InvalidModel, match="a row of the model has more than 100,000,000 values"):
        sqlinfer.register(
            "m", onnx_file(f"(float[n, {2**62}] x) => (float[n, {2**62}] y) {{ y = Neg(x) }}"), registry=registry
        )
