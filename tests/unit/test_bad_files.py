"""Files that are no models, or not safe ones: one clear error, and nothing is stored."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sqlinfer
from sqlinfer.errors import InvalidModel, SqlinferError, UntrustedModel

GOOD = "(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"


@pytest.fixture
def refuse(tmp_path):
    """``refuse(path)`` registers, expects InvalidModel and an empty registry, and gives the message."""

    def attempt(path, error=InvalidModel, **options):
        registry = sqlinfer.Registry(tmp_path / "models")
        with pytest.raises(error) as caught:
            sqlinfer.register("m", path, registry=registry, **options)
        assert isinstance(caught.value, SqlinferError)
        assert registry.names() == []
        assert not list(tmp_path.glob("models/models/*/*.onnx"))
        return str(caught.value)

    return attempt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\x00" * 100, "not an ONNX"),
        (b"hello, this is text\n" * 20, "not an ONNX"),
        (b"{}", "not an ONNX"),
        (b"PK\x03\x04" + bytes(200), "not an ONNX"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not an ONNX"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    ],
)
def test_files_of_another_kind(refuse, tmp_path, content, says):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    message = refuse(path)
    assert says in message and str(path) in message


def test_no_file(refuse, tmp_path):
    assert "No such file" in refuse(tmp_path / "nothing.onnx")
    assert "directory" in refuse(tmp_path).lower()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(refuse, onnx_file, part):
    path = onnx_file("(float[n, 4] x) => (float[n, 1] y) <float[4, 1] w = {1, 2, 3, 4}> { y = MatMul(x, w) }")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert str(path) in refuse(path) or "cannot load" in refuse(path)


@pytest.fixture
def with_external(tmp_path):
    """A model whose weights lie in another file, at a path of one's choice."""

    def write(location):
        model = helper.make_model(
            helper.make_graph(
                [helper.make_node("MatMul", ["x", "w"], ["y"])],
                "g",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
                [numpy_helper.from_array(np.array([[1.0], [2.0]], np.float32), "w")],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=10,
        )
        (weights,) = model.graph.initializer
        data = weights.raw_data
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in (("location", str(location)), ("length", "8")):
            entry = weights.external_data.add()
            entry.key, entry.value = key, value
        folder = tmp_path / "exported"
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        return folder / "model.onnx", data

    return write


@pytest.mark.slow
def test_external_weights_are_taken_along(with_external, tmp_path):
    """What is registered is whole: the exporter's folder may go."""
    path, data = with_external("weights.bin")
    (path.parent / "weights.bin").write_bytes(data)
    sqlinfer.register("m", path, registry=tmp_path / "models")
    shutil.rmtree(path.parent)
    with sqlinfer.connect(registry=tmp_path / "models") as con:
        assert con.execute("SELECT predict('m', 1, 2)").fetchall() == [(5,)]


def test_external_weights_that_are_missing(refuse, with_external):
    path, _ = with_external("weights.bin")
    assert "'weights.bin' is not there; put it beside the model" in refuse(path)


def test_external_weights_out_of_the_folder(refuse, with_external, tmp_path):
    """A model file must not make anybody read /etc/passwd."""
    for location in ("../secret.bin", tmp_path / "secret.bin", "sub/../../secret.bin"):
        path, data = with_external(location)
        (tmp_path / "secret.bin").write_bytes(data)
        (path.parent / "sub").mkdir(exist_ok=True)
        assert "folder" in refuse(path)


def test_external_weights_through_a_link(refuse, with_external, tmp_path):
    path, data = with_external("weights.bin")
    (tmp_path / "secret.bin").write_bytes(data)
    weights = path.parent / "weights.bin"
    weights.symlink_to(tmp_path / "secret.bin")
    assert "'weights.bin', which is a link" in refuse(path)
    weights.unlink()
    weights.hardlink_to(tmp_path / "secret.bin")
    assert "(cp -L) into a folder of their own" in refuse(path)
    (tmp_path / "copy").mkdir()
    subprocess.run(["cp", "-L", path, weights, tmp_path / "copy"], check=True)
    sqlinfer.register("m", tmp_path / "copy/model.onnx", registry=tmp_path / "models")


def test_an_unknown_operator(refuse, onnx_file):
    path = onnx_file(GOOD)
    model = onnx.load(path)
    model.graph.node[0].op_type = "Telepathy"
    path.write_bytes(model.SerializeToString())
    assert "Telepathy" in refuse(path)


def test_an_output_without_a_name(refuse, onnx_file):
    path = onnx_file(GOOD)
    model = onnx.load(path)
    model.graph.output.add()
    path.write_bytes(model.SerializeToString())
    assert "ONNX Runtime" in refuse(path)


def test_an_operator_of_a_library_that_nobody_named(refuse, onnx_file):
    path = onnx_file(GOOD)
    model = onnx.load(path)
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    path.write_bytes(model.SerializeToString())
    assert "com.example" in refuse(path)


def test_an_opset_of_the_future(refuse, onnx_file):
    path = onnx_file(GOOD)
    model = onnx.load(path)
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())
    assert "999" in refuse(path) or "opset" in refuse(path).lower()


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ("(float x) => (float y) { y = Neg(x) }", "no batch axis"),
        ("(float[n, 2] x) => (float[1] y) { s = ReduceSum<keepdims=0>(x)  y = Flatten<axis=0>(s) }", "batch"),
        ("(float[n, 2] x) => (float y) { y = ReduceSum<keepdims=0>(x) }", "batch"),
        ("() => (float[1] y) <float[1] c = {1}> { y = Neg(c) }", "no input"),
        ("(complex64[n, 2] x) => (complex64[n, 2] y) { y = Identity(x) }", "complex64"),
        ("(float[n, 2] x) => (float[n, 2] y) <float[3] c = {1, 2, 3}> { y = Add(x, c) }", "run|load"),
    ],
)
def test_graphs_that_sql_cannot_use(refuse, onnx_file, graph, says):
    import re

    assert re.search(says, refuse(onnx_file(graph)))


def test_a_huge_shape_does_not_take_the_process_down(onnx_file, tmp_path):
    """A graph that asks for terabytes fails as an error, at the latest when a row is scored."""
    path = onnx_file(
        "(int64[n, 1] x) => (float[n, 1] y) <int64[3] shape = {1, 4000000, 4000000}, int64[2] axes = {1, 2}>"
        " { f = Cast<to=1>(x)  big = Expand(f, shape)  s = ReduceSum<keepdims=0>(big, axes)"
        "  y = Add(f, f) z = Identity(s) }"
    )
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SqlinferError):
        sqlinfer.register("m", path, registry=tmp_path / "models")


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_a_pickle_is_not_loaded_unasked(refuse, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "trust=True" in refuse(path, UntrustedModel)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_under_another_name_is_not_loaded_either(refuse, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refuse(path)
    refuse(path, trust=True)
    assert not (tmp_path / "sprung").exists()


def test_a_trusted_pickle_is_loaded(tmp_path, estimators):
    model, rows = estimators["iris"]
    (tmp_path / "iris.pkl").write_bytes(pickle.dumps(model))
    stored = sqlinfer.register("iris", tmp_path / "iris.pkl", sample=rows, trust=True, registry=tmp_path / "models")
    assert stored.predict(rows).tolist() == model.predict(rows).tolist()


def test_a_pickle_that_is_broken(refuse, tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04nonsense")
    assert "cannot be unpickled" in refuse(tmp_path / "m.pkl", trust=True)


def test_answers_that_are_random(refuse, onnx_file):
    path = onnx_file("(float[n, 2] x) => (float[n, 2] y) { noise = RandomNormalLike(x)  y = Add(x, noise) }")
    assert "answers at random" in refuse(path)
    assert "answers at random" in refuse(path, row_by_row=True)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_batch_of_one_size_that_is_declared_free(refuse, onnx_file, rows):
    """What the message says settles it."""
    graph = f"(float[n, 2] x) => (float[n, 2] y) <int64[2] shape = {{{rows}, 2}}> {{ y = Reshape(x, shape) }}"
    path = onnx_file(graph)
    message = refuse(path)
    if rows == 1:
        assert "runs on one row at a time: register it row by row (--row-by-row, row_by_row=True)" in message
        sqlinfer.register("m", path, registry=path.parent / "good", row_by_row=True)
    else:
        assert "runs on 4 rows at a time though the file declares any number" in message
        command = message.split("'python ")[1].split("'")[0]
        command = command.replace("OLD.onnx", str(path)).replace("NEW.onnx", str(path.parent / "new.onnx"))
        subprocess.run([sys.executable, *command.split()], check=True, capture_output=True)
        sqlinfer.register("m", path.parent / "new.onnx", registry=path.parent / "good")
    with sqlinfer.connect(registry=path.parent / "good") as con:
        assert con.execute("SELECT predict('m', i, 1) FROM range(5) t(i)").fetchall() == [((i, 1),) for i in range(5)]
