"""Files that people have: each is told for what it is, with the command that makes one that registers."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from catboost import CatBoostRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from sqlinfer.errors import ConversionFailed, InvalidModel, SqlinferError, UntrustedModel

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(3)
X = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=["a", "b", "c"])
Y = X["a"] * 2 - X["b"]
WORDS_OF_PARSERS = ("Traceback", "protobuf", "parsing", "Unpickling", "0x", "Expecting", "xgboost/src", "Errno")


def archive(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, b"x")

    return write


def folder(*names):
    def write(path):
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"{}")

    return write


def content(content):
    return lambda path: path.write_bytes(content)


def safetensors():
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(4)


# the name; what is written there; what it is said to be; a part of the command
FILES = {
    "m.safetensors": (content(safetensors()), "safetensors", "optimum-cli export onnx"),
    "weights.bin": (content(safetensors()), "safetensors", "optimum-cli export onnx"),
    "m.gguf": (content(b"GGUF\3\0\0\0"), "GGUF", "optimum-cli export onnx"),
    "m.keras": (archive("config.json", "metadata.json", "model.weights.h5"), "Keras", "format='\"'\"'onnx'\"'\"')"),
    "m.h5": (content(b"\x89HDF\r\n\x1a\n" + bytes(99)), "Keras", "keras.models.load_model"),
    "m.weights.h5": (content(b"\x89HDF\r\n\x1a\n" + bytes(99)), "weights", "format='onnx'"),
    "saved": (folder("saved_model.pb", "variables"), "SavedModel", "tf2onnx.convert --saved-model"),
    "saved_model.pb": (content(b"\x08\x01"), "SavedModel", "tf2onnx.convert --saved-model"),
    "m.tflite": (content(b"\x1c\0\0\0TFL3" + bytes(99)), "TensorFlow Lite", "tf2onnx.convert --tflite"),
    "script.pt": (
        archive("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/version", "m/byteorder"),
        "TorchScript",
        "torch.jit.load",
    ),
    "saved.pt": (archive("m/data.pkl", "m/version", "m/byteorder", "m/data/0"), "torch.save", "torch.load"),
    "old.pth": (content(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02"), "torch.save", "torch.onnx.export"),
    "m.pt2": (archive("m/archive_format", "m/models/model.json"), "torch.export", "torch.export.load"),
    "m.pmml": (content(b'<?xml version="1.0"?>\n<PMML version="4.4"></PMML>'), "PMML", "joblib.dump"),
    "bert": (folder("config.json", "model.safetensors", "tokenizer.json"), "without ONNX", "optimum-cli export onnx"),
    "sentences": (folder("modules.json", "config_sentence_transformers.json"), "without ONNX", "optimum-cli export"),
    "rows.parquet": (lambda path: X.to_parquet(path), "data", "--sample"),
    "rows.csv": (lambda path: X.to_csv(path, index=False), "data", "--sample"),
    "x.npy": (lambda path: np.save(path, X.to_numpy()), "data", "--sample"),
    "page.onnx": (content(b"<!DOCTYPE html><html>"), "web page", "download"),
    "m.ort": (content(b"\x20\0\0\0ORTM" + bytes(50)), "ORT|ONNX Runtime's own", ".onnx file"),
    "pickle.onnx": (content(pickle.dumps({"a": 1})), "a pickle", "--trust"),
}


@pytest.fixture
def said(tmp_path):
    """``said(path)``: what registering it is answered with; nothing is stored."""

    def attempt(path, error=InvalidModel, **options):
        with pytest.raises(error) as caught:
            sqlinfer.register("m", path, registry=tmp_path / "registry", **options)
        assert isinstance(caught.value, SqlinferError) and not (tmp_path / "registry").exists()
        text = str(caught.value)
        assert str(path) in text and not any(word in text for word in WORDS_OF_PARSERS), text
        return text

    return attempt


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind(said, tmp_path, name, trust):
    write, kind, command = FILES[name]
    write(tmp_path / name)
    text = said(tmp_path / name, trust=trust)
    assert any(word in text for word in kind.split("|")) and command in text, text


def test_dumps_that_are_no_models(said, tmp_path):
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 3)
    booster.dump_model(tmp_path / "dump.txt")
    booster.dump_model(tmp_path / "dump.json", dump_format="json")
    for name in ("dump.txt", "dump.json"):
        text = said(tmp_path / name, sample=X)
        assert "dump of XGBoost" in text and "save_model('model.json')" in text
    trees = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 3)
    (tmp_path / "trees.json").write_text(json.dumps(trees.dump_model()))
    assert "save_model('model.txt')" in said(tmp_path / "trees.json", sample=X)


def test_the_command_for_a_catboost_model_as_json_makes_one_that_registers(said, tmp_path):
    model = CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False).fit(X, Y)
    model.save_model(str(tmp_path / "m.json"), format="json")
    text = said(tmp_path / "m.json", sample=X)
    command = text.partition("comes of: python ")[2]
    subprocess.run(f"{sys.executable} {command}", shell=True, check=True)
    stored = sqlinfer.register("m", tmp_path / "m.cbm", sample=X, registry=tmp_path / "registry")
    np.testing.assert_allclose(stored.predict(X), model.predict(X), rtol=1e-5)


def test_pickles_that_hold_no_model(said, tmp_path):
    model = LinearRegression().fit(X, Y)
    for thing, says in [
        ({"model": model, "threshold": 0.5}, "joblib.dump(d['model'], 'model.joblib')"),
        ({"a": 1}, "no model"),
        ([model], "a list of 1"),
        (LinearRegression, "the class LinearRegression"),
        (X, "a DataFrame"),
    ]:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(thing))
        assert says in said(tmp_path / "m.pkl", sample=X, trust=True)


def test_a_pickle_of_any_name_asks_for_trust(tmp_path):
    (tmp_path / "m.sav").write_bytes(pickle.dumps(LinearRegression().fit(X, Y)))
    with pytest.raises(UntrustedModel, match="--trust"):
        sqlinfer.register("m", tmp_path / "m.sav", sample=X, registry=tmp_path / "registry")


def test_pickles_that_cannot_be_loaded(said, tmp_path):
    whole = pickle.dumps(LinearRegression().fit(X, Y))
    for content, says in [
        (whole[: len(whole) // 2], "cannot be unpickled"),
        (whole.replace(b"sklearn.linear_model._base", b"sklearn_linear_model__base"), "sklearn_linear_model__base"),
        (whole.replace(b"LinearRegression", b"LinearRegressiom"), "class or function"),
    ]:
        (tmp_path / "m.pkl").write_bytes(content)
        assert says in said(tmp_path / "m.pkl", sample=X, trust=True)


@pytest.mark.parametrize("sample", [None, X], ids=["alone", "sample"])
@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression(), xgboost.XGBRegressor()], ids=type)
def test_an_estimator_that_is_not_fitted(tmp_path, model, sample):
    with pytest.raises(ConversionFailed, match=r"is not fitted: call fit\(\)"):
        sqlinfer.register("m", model, sample=sample, registry=tmp_path)


SAVED = {
    "x.json": lambda path: save(xgboost.XGBRegressor(n_estimators=9).fit(X, Y), path),
    "x.ubj": lambda path: save(xgboost.train({}, xgboost.DMatrix(X.to_numpy(), Y), 5), path),
    "l.txt": lambda path: save(lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 5), path),
}


def save(model, path):
    model.save_model(str(path))
    return model


@pytest.mark.parametrize("name", SAVED)
def test_boosters_that_know_their_features_need_no_sample(tmp_path, name, engine):
    model = SAVED[name](tmp_path / name)
    stored = sqlinfer.register("m", tmp_path / name, registry=tmp_path / "registry")
    names = stored.manifest.signature.feature_names
    assert names == (["f0", "f1", "f2"] if name == "x.ubj" else ["a", "b", "c"])
    native = xgboost.DMatrix(X.to_numpy()) if name == "x.ubj" else X
    with sqlinfer.connect(registry=tmp_path / "registry", engine=engine) as con:
        con.register("rows", X.set_axis(names, axis=1))
        answers = [value for (value,) in con.execute("SELECT predict('m', rows) FROM rows").fetchall()]
    np.testing.assert_allclose(answers, model.predict(native), rtol=1e-5, atol=1e-6)


def test_a_booster_of_categories_asks_for_a_sample(tmp_path):
    rows = X.assign(k=pd.Categorical(RANDOM.choice(["u", "v"], len(X))))
    save(lightgbm.train({"verbose": -1}, lightgbm.Dataset(rows, Y), 5), tmp_path / "l.txt")
    with pytest.raises(ConversionFailed, match="--sample FILE"):
        sqlinfer.register("m", tmp_path / "l.txt", registry=tmp_path / "registry")


class Own(LinearRegression):
    """A type that skops does not know."""


def test_a_file_of_skops(tmp_path):
    io = pytest.importorskip("skops.io")
    model = LogisticRegression().fit(X, np.where(Y > 0, "yes", "no"))
    io.dump(model, tmp_path / "m.skops")
    stored = sqlinfer.register("m", tmp_path / "m.skops", sample=X, registry=tmp_path / "registry")
    assert stored.predict(X).tolist() == model.predict(X).tolist()
    (tmp_path / "half.skops").write_bytes((tmp_path / "m.skops").read_bytes()[:500])
    with pytest.raises(InvalidModel, match="damaged"):
        sqlinfer.register("m", tmp_path / "half.skops", sample=X, registry=tmp_path / "registry")


def test_a_file_of_skops_with_types_of_others(tmp_path):
    io = pytest.importorskip("skops.io")
    model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, Y)
    io.dump(model, tmp_path / "m.skops")
    with pytest.raises(UntrustedModel, match=r"lightgbm\.sklearn\.LGBMRegressor.*--trust"):
        sqlinfer.register("m", tmp_path / "m.skops", sample=X, registry=tmp_path / "registry")
    stored = sqlinfer.register("m", tmp_path / "m.skops", sample=X, trust=True, registry=tmp_path / "registry")
    np.testing.assert_allclose(stored.predict(X), model.predict(X), rtol=1e-5)


EXAMPLE = X.head(5)


def logged(folder: Path, flavor: dict, *, example=EXAMPLE, columns=None) -> Path:
    """A folder as MLflow lays it out."""
    folder.mkdir(exist_ok=True)
    columns = columns or [{"type": "double", "name": name, "required": True} for name in X]
    fields = {
        "flavors": {"python_function": {"loader_module": "mlflow.any", "python_version": "3.11.7"}, **flavor},
        "mlflow_version": "3.17.2",
        "signature": {"inputs": json.dumps(columns), "outputs": "[]", "params": None},
    }
    if example is not None:
        fields["saved_input_example_info"] = {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "type": "dataframe",
        }
        (folder / "input_example.json").write_text(example.to_json(orient="split", index=False))
    (folder / "MLmodel").write_text(json.dumps(fields))  # which is YAML, too
    return folder


def test_folders_of_mlflow(tmp_path, onnx_file):
    pytest.importorskip("yaml")
    booster = xgboost.XGBRegressor(n_estimators=5).fit(X, Y)
    path = logged(tmp_path / "x", {"xgboost": {"data": "model.ubj", "model_class": "xgboost.sklearn.XGBRegressor"}})
    booster.save_model(path / "model.ubj")
    stored = sqlinfer.register("m", path, registry=tmp_path / "registry")
    assert [f"{f.name} {f.type}" for f in stored.manifest.signature.features] == ["a FLOAT", "b FLOAT", "c FLOAT"]
    np.testing.assert_allclose(stored.predict(X), booster.predict(X), rtol=1e-5)
    onnx_file("(float[n, 3] x) => (float[n, 3] y) { y = Neg(x) }", "model.onnx")
    path = logged(tmp_path / "o", {"onnx": {"data": "model.onnx"}})
    (tmp_path / "model.onnx").rename(path / "model.onnx")
    assert sqlinfer.register("o", path, registry=tmp_path / "registry").manifest.signature.feature_names == list(X)


def test_pickles_in_folders_of_mlflow_ask_for_trust(tmp_path):
    pytest.importorskip("yaml")
    model = LinearRegression().fit(X.assign(c=X["c"].round().astype(int)), Y)
    columns = [{"type": "double", "name": "a"}, {"type": "float", "name": "b"}, {"type": "long", "name": "c"}]
    example = X.head(5).assign(c=range(5))
    path = logged(tmp_path / "s", {"sklearn": {"pickled_model": "model.pkl"}}, columns=columns, example=example)
    (path / "model.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(UntrustedModel, match="--trust"):
        sqlinfer.register("m", path, registry=tmp_path / "registry")
    stored = sqlinfer.register("m", path, trust=True, registry=tmp_path / "registry")
    assert [f.type for f in stored.manifest.signature.features] == ["DOUBLE", "FLOAT", "DOUBLE"]


def test_folders_of_mlflow_that_do_not_register(said, tmp_path):
    pytest.importorskip("yaml")
    assert "flavors python_function" in said(logged(tmp_path / "p", {}))
    assert "'../secret'" in said(logged(tmp_path / "q", {"onnx": {"data": "../secret"}}))
    assert "'model.onnx'" in said(logged(tmp_path / "r", {"onnx": {"data": "model.onnx"}}))
    path = logged(tmp_path / "t", {})
    (path / "MLmodel").write_text("a: [")
    assert "damaged" in said(path)
