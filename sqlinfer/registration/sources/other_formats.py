"""Files that people have and that are no models for us: told by their first bytes or names, with the command that makes
one that is. Nothing in them is parsed but the names in an archive."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlinfer.errors import InvalidModel

__all__ = ["PICKLES", "is_pickle", "require_own"]

_READ = 1 << 14
_PICKLE = b"\x80"
PICKLES = (".pkl", ".pickle", ".joblib")
_OF_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6 begins with this number
_ROWS = (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".xlsx")


@dataclass(frozen=True, slots=True)
class Foreign:
    """``what`` it is, and ``how`` to come to a file that registers."""

    what: str
    how: str


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    start: bytes
    names: frozenset[str]  # those in an archive, or in a folder

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def text(self) -> str:
        return self.start.decode(errors="replace").lstrip("\ufeff \t\r\n")

    def has(self, *ends: str) -> bool:
        return any(name == end or name.endswith(f"/{end}") for name in self.names for end in ends)


def require_own(path: Path) -> None:
    """Raises InvalidModel for a file or folder that is known to be of another kind."""
    try:
        file = _opened(path)
    except FileNotFoundError:
        return  # whoever opens it says so
    except OSError as error:
        raise InvalidModel(f"{path} cannot be read: {error.strerror or error}") from error
    found = next((found for look in _KINDS for found in look(file)), None)
    if found is not None:
        raise InvalidModel.foreign(path, found.what, found.how)
    if path.suffix == ".onnx" and is_pickle(path):
        raise InvalidModel.foreign(path, "a pickle", f"its right name, {path.with_suffix('.pkl')}, and --trust")


def is_pickle(path: Path) -> bool:
    """Whether a file that is no ONNX begins as pickles do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2)
    return start[:1] == _PICKLE and start[1:2] in b"\x02\x03\x04\x05" and len(start) == 2


def _opened(path: Path) -> _File:
    if path.is_dir():
        return _File(path, b"", frozenset(inner.name for inner in path.iterdir()))
    with path.open("rb") as file:
        start = file.read(_READ)
    names: frozenset[str] = frozenset()
    if start.startswith(b"PK\x03\x04"):
        with suppress(zipfile.BadZipFile, OSError, ValueError), zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
    return _File(path, start, names)


def _python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


def _beside(file: _File, suffix: str) -> str:
    return str(file.path.with_suffix(suffix)) if file.path.suffix else f"{file.path}{suffix}"


def _tensorflow(file: _File) -> Iterator[Foreign]:
    given, made = shlex.quote(str(file.path)), shlex.quote(_beside(file, ".onnx"))
    if file.path.is_dir() and file.has("saved_model.pb", "saved_model.pbtxt"):
        yield Foreign("a SavedModel of TensorFlow", f"python -m tf2onnx.convert --saved-model {given} --output {made}")
    elif file.path.name.startswith("saved_model.pb"):
        folder = shlex.quote(str(file.path.parent))
        how = f"python -m tf2onnx.convert --saved-model {folder} --output {made}"
        yield Foreign("the graph of a SavedModel of TensorFlow", how)
    elif file.start[4:8] == b"TFL3":
        yield Foreign("a TensorFlow Lite model", f"python -m tf2onnx.convert --tflite {given} --output {made}")
    elif file.suffix == ".pb" and not file.path.is_dir():
        how = f"python -m tf2onnx.convert --graphdef {given} --inputs NAME:0 --outputs NAME:0 --output {made}"
        yield Foreign("a frozen graph of TensorFlow", how)


def _keras(file: _File) -> Iterator[Foreign]:
    is_h5 = file.start.startswith(b"\x89HDF\r\n\x1a\n")
    if not (is_h5 or file.has("model.weights.h5") or file.suffix == ".keras"):
        return
    if file.path.name.endswith(".weights.h5") or (is_h5 and file.suffix not in (".h5", ".hdf5", ".keras")):
        how = "build the model in Keras, load them into it, and: model.export('model.onnx', format='onnx')"
        yield Foreign("a file of HDF5, as Keras saves weights without the model", how)
        return
    code = (
        f"import keras; keras.models.load_model({str(file.path)!r}).export({_beside(file, '.onnx')!r}, format='onnx')"
    )
    yield Foreign("a Keras model", _python(code))


def _torch(file: _File) -> Iterator[Foreign]:
    made, given = _beside(file, ".onnx"), str(file.path)
    export = f"torch.onnx.export(m, (torch.zeros(1, WIDTH),), {made!r}, dynamo=True, dynamic_shapes=({{0: 'n'}},))"
    if file.has("archive_format", "models/model.json", "serialized_exported_program.json"):
        code = f"import torch; torch.onnx.export(torch.export.load({given!r}), dynamo=True).save({made!r})"
        yield Foreign("a program that torch.export saved (.pt2)", _python(code))
    elif file.has("constants.pkl") and any("/code/" in name for name in file.names):
        how = "input_names=['x'], dynamic_axes={'x': {0: 'n'}}, dynamo=False"
        code = f"torch.onnx.export(torch.jit.load({given!r}), (torch.zeros(1, WIDTH),), {made!r}, {how})"
        yield Foreign("a TorchScript model", _python(f"import torch; {code}"))
    elif file.start.startswith(_OF_TORCH) or (file.has("data.pkl") and file.has("version", "byteorder")):
        code = f"import torch; m = torch.load({given!r}, weights_only=False).eval(); {export}"
        how = f"{_python(code)}; where it holds a state_dict alone, make the module first: m.load_state_dict(…)"
        yield Foreign("what torch.save wrote", how)


def _hugging_face(file: _File) -> Iterator[Foreign]:
    given = shlex.quote(str(file.path))
    if file.path.is_dir():
        weights = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "tf_model.h5")
        graphs = any(name.endswith(".onnx") for name in file.names) or "onnx" in file.names
        if not graphs and "adapter_config.json" in file.names:
            how = f"merge it first (peft: merge_and_unload(), save_pretrained({str(file.path) + '-merged'!r})), and: "
            how += f"optimum-cli export onnx --model {given}-merged {given}-onnx"
            yield Foreign("a folder of Hugging Face with an adapter alone", how)
        elif not graphs and ("config.json" in file.names or "modules.json" in file.names or file.has(*weights)):
            yield Foreign(
                "a folder of Hugging Face without ONNX", f"optimum-cli export onnx --model {given} {given}-onnx"
            )
    elif _is_safetensors(file):
        folder = shlex.quote(str(file.path.parent))
        yield Foreign(
            "a file of safetensors, which holds weights and no model",
            f"optimum-cli export onnx --model {folder} {folder}/onnx (where it lies in a folder of Hugging Face)",
        )
    elif file.start.startswith(b"GGUF"):
        how = "optimum-cli export onnx --model NAME FOLDER, with the model's name at Hugging Face"
        yield Foreign("a GGUF file, a language model for llama.cpp", how)


def _is_safetensors(file: _File) -> bool:
    head = int.from_bytes(file.start[:8], "little")
    known = b'"dtype"' in file.start or b'"__metadata__"' in file.start or file.start[8:10] == b"{}"
    return file.suffix == ".safetensors" or (file.start[8:9] == b"{" and known and 2 <= head < 1 << 27)


def _dumps(file: _File) -> Iterator[Foreign]:
    """What looks like a model of a booster, and lacks what answers: objective, base score, classes."""
    text = file.text
    packed = text[:4000].replace(" ", "").replace("\n", "")
    if text.startswith("booster[") or (text[:2] == "0:" and ("leaf=" in text[:2000] or "yes=" in text[:2000])):
        yield Foreign("a text dump of XGBoost (dump_model), which is no model", "booster.save_model('model.json')")
    elif packed.startswith('[{"nodeid"') or (packed.startswith("[") and '"split_condition"' in packed):
        yield Foreign("a JSON dump of XGBoost (dump_model), which is no model", "booster.save_model('model.json')")
    elif packed.startswith('{"name":"tree"'):
        yield Foreign("a JSON dump of LightGBM (dump_model), which is no model", "booster.save_model('model.txt')")
    elif packed.startswith("{") and ('"oblivious_trees"' in packed or '"features_info"' in packed):
        code = f"import catboost; catboost.CatBoost().load_model({str(file.path)!r}, format='json')"
        code += f".save_model({_beside(file, '.cbm')!r})"
        yield Foreign("a CatBoost model as JSON", _python(code))


def _elsewhere(file: _File) -> Iterator[Foreign]:
    text = file.text[:2000]
    own = "python -c \"import joblib; joblib.dump(model, 'model.joblib')\", where the model was trained"
    if "<PMML" in text or file.suffix == ".pmml":
        yield Foreign("a PMML file, of which nobody makes ONNX", own)
    elif text.startswith(("<?xml", "<net")) and "<net" in text:
        yield Foreign("a model of OpenVINO", "export the model that it was made from to ONNX")
    elif file.suffix in (".mlmodel", ".mlpackage"):
        yield Foreign("a Core ML model", "export the model that it was made from to ONNX")
    elif file.start[4:8] == b"ORTM":
        yield Foreign("a model in ONNX Runtime's own format (.ort)", "register the .onnx file that it was made from")
    elif file.path.is_dir() and {"metadata", "stages"} <= file.names:
        yield Foreign("a pipeline of Spark", "train the same with scikit-learn, and register that")
    elif text.lower().startswith(("<!doctype html", "<html")):
        yield Foreign("a web page", "download the file itself, not the page that shows it")
    elif file.suffix in (".py", ".ipynb"):
        yield Foreign("a program", own)
    elif file.start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) and file.suffix not in PICKLES:
        yield Foreign("a compressed file", "unpack it, and register what is in it")


def _rows(file: _File) -> Iterator[Foreign]:
    magic = file.start.startswith((b"PAR1", b"ARROW1", b"\x93NUMPY", b"SQLite format 3")) or file.start[8:12] == b"DUCK"
    if magic or (file.suffix in _ROWS and not file.path.is_dir()) or file.has("xl/workbook.xml"):
        given = shlex.quote(str(file.path))
        yield Foreign("data, and no model", f"sqlinfer register NAME MODEL --sample {given}")


_KINDS: tuple[Callable[[_File], Iterator[Foreign]], ...] = (
    _rows,
    _tensorflow,
    _keras,
    _torch,
    _hugging_face,
    _dumps,
    _elsewhere,
)
