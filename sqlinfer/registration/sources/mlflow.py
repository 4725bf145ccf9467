"""A model's folder as MLflow saves it: its file ``MLmodel`` says which library's model lies where, what the columns
are, and which rows its author gave as an example.

https://mlflow.org/docs/latest/ml/model/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, MissingExtra, named

__all__ = ["Logged", "is_logged", "read_logged"]

_MLMODEL = "MLmodel"
# The field of a flavor that names its file.
_FLAVORS = {"onnx": "data", "sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "catboost": "data"}
_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Logged:
    """The model's own file or folder, and the rows of its input example, typed as the signature has them."""

    path: Path
    rows: pa.Table | np.ndarray | None


def is_logged(path: Path) -> bool:
    return path.is_dir() and (path / _MLMODEL).is_file()


def read_logged(folder: Path) -> Logged:
    """Raises InvalidModel for what none of our frameworks saved, and MissingExtra."""
    fields = _fields(folder / _MLMODEL)
    flavors = fields.get("flavors")
    flavors = flavors if isinstance(flavors, Mapping) else {}
    flavor = next((flavor for flavor in _FLAVORS if isinstance(flavors.get(flavor), Mapping)), None)
    if flavor is None:
        raise InvalidModel(
            f"{folder} is a model of MLflow with the flavors {named(flavors) or 'none'}, and of these are registered: "
            f"{named(_FLAVORS)}; log it with one of them, such as mlflow.onnx.log_model(…)"
        )
    file = _inside(folder, flavors[flavor].get(_FLAVORS[flavor]))
    try:
        rows = _example(folder, fields)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, pa.ArrowException) as error:
        raise InvalidModel(
            f"{folder}: the input example cannot be read as rows of the signature; give rows with --sample FILE "
            "(sample=X_train)"
        ) from error
    return Logged(file, rows)


def _fields(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra.of("pyyaml", "mlflow", f"registering {path.parent}") from error
    try:
        fields = yaml.safe_load(_text(path))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InvalidModel(f"{path} is damaged: it is no YAML; log the model again") from error
    if not isinstance(fields, Mapping):
        raise InvalidModel(f"{path} is damaged: it has no fields; log the model again")
    return fields


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is too large")
    return path.read_text(encoding="utf-8")


def _inside(folder: Path, name: Any) -> Path:
    """Raises InvalidModel for what is not in the folder."""
    path = folder / str(name)
    if not isinstance(name, str) or not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
        raise InvalidModel(f"{folder / _MLMODEL} names the file {name!r}, which the folder does not have; log it again")
    return path


def _example(folder: Path, fields: Mapping[str, Any]) -> pa.Table | np.ndarray | None:
    signature = fields.get("signature") or {}
    columns = json.loads(signature.get("inputs") or "[]")
    info = fields.get("saved_input_example_info")
    if not info:
        return None
    content = json.loads(_text(_inside(folder, info["artifact_path"])))
    if info.get("type") == "dataframe":
        return _typed(content, {column["name"]: column["type"] for column in columns if "name" in column})
    if info.get("type") == "ndarray":
        return _matrix(content["inputs"], columns)
    return None


def _typed(content: Mapping[str, Any], types: Mapping[str, str]) -> pa.Table:
    names = [str(name) for name in content["columns"]]
    values = {name: [row[i] for row in content["data"]] for i, name in enumerate(names)}
    return pa.table({name: pa.array(values[name], _TYPES.get(types.get(name, ""))) for name in names})


def _matrix(rows: Any, columns: Any) -> np.ndarray | None:
    spec = columns[0].get("tensor-spec", {}) if columns else {}
    matrix = np.asarray(rows, dtype=spec.get("dtype"))
    return matrix if matrix.ndim == 2 else None
