"""Whether a manifest can be believed: what is read from a file has the types it is declared with, and fits together."""

from __future__ import annotations

import dataclasses
import types as python_types
import typing
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, Union

from sqlinfer.models.signature import Call, Feature, Output, Signature, Tensor, TextPreparation, quoted
from sqlinfer.types import DTYPES, arrow_type, split_nested

__all__ = ["require_sound", "require_types"]

# A run of more rows than registration tries a model with is not what was registered.
_MOST_ROWS = 100_000_000
_LABELS: dict[str, type] = {"VARCHAR": str, "BIGINT": int, "BOOLEAN": bool}


def require_types(value: Any, where: str = "it") -> None:
    """All fields of a dataclass, and of those in it, are what their annotations say. Raises TypeError."""
    cls: Any = type(value)
    for field, hint in _hints(cls).items():
        _require(getattr(value, field), hint, f"{where}.{field}")


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _require(value: Any, hint: Any, where: str) -> None:
    if not _fits(value, hint, where):
        raise TypeError(f"{where.removeprefix('it.')} is {str(value)[:80]!r}")


def _fits(value: Any, hint: Any, where: str) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, python_types.UnionType):
        return any(_fits(value, one, where) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin in (tuple, list):
        if not isinstance(value, origin):
            return False
        for i, one in enumerate(value):
            _require(one, arguments[0], f"{where}[{i}]")
        return True
    if origin is dict:
        if not isinstance(value, dict):
            return False
        for key, one in value.items():
            _require(one, arguments[1], f"{where}.{key}")
        return True
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, typing.cast("type", hint)):
            return False
        require_types(value, where)
        return True
    if isinstance(value, bool) or hint is bool:
        return hint is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if hint is float else hint)


def require_sound(signature: Signature) -> None:
    """What one part names, another has. Raises ValueError."""
    tensors: list[Tensor | Output] = [*signature.inputs, *signature.outputs]
    for tensor in tensors:
        _must(tensor.dtype in DTYPES, f"{tensor.name!r} has the dtype {tensor.dtype!r}")
        _must(all(axis is None or axis >= 0 for axis in tensor.shape), f"{tensor.name!r} has the shape {tensor.shape}")
    for output in signature.outputs:
        axes, shown = split_nested(output.type)[1], output.shape[1:]
        _must(len(axes) == len(shown) or (not axes and shown == (1,)), f"{output.name!r} is {output.type!r}")
    _must(len(set(signature.feature_names)) == len(signature.features) > 0, "features")
    for feature in signature.features:
        _require_feature(feature, signature)
    for tensor in signature.inputs:
        _require_fed(tensor, signature)
    for name, call in signature.calls.items():
        _require_call(name, call, signature)
    _must("predict" in signature.calls, "no predict")
    kind = _LABELS.get(signature.label_type or "VARCHAR")
    _must(kind is not None and all(isinstance(label, kind) for label in signature.labels), "labels of another type")
    batch = signature.batch
    _must(all(rows is None or 0 < rows <= _MOST_ROWS for rows in (batch.fixed, batch.most)), f"a batch of {batch}")


def _require_feature(feature: Feature, signature: Signature) -> None:
    if feature.type != "BLOB":
        arrow_type(feature.type)
    shapes = {tensor.name: tensor.shape for tensor in signature.inputs}
    _must(set(feature.tensors) <= set(shapes), f"{feature.name!r} goes to {feature.tensors}, which are no inputs")
    if feature.column is not None:
        width = shapes[feature.tensor][1] if len(shapes[feature.tensor]) == 2 else None
        _must(width is not None and 0 <= feature.column < width, f"{feature.name!r} is column {feature.column}")
    if isinstance(feature.prepare, TextPreparation):
        ids = [signature.input(tensor) for tensor in feature.tensors]
        _must(all(len(t.shape) == 2 and t.dtype in ("int32", "int64") for t in ids), f"text as {feature.tensors}")
        file = feature.prepare.tokenizer
        _must(file not in ("", ".", "..") and PurePath(file).name == file, f"a tokenizer at {file!r}")


def _require_fed(tensor: Tensor, signature: Signature) -> None:
    """Its features are all of its columns, each once, or one is the whole tensor."""
    others = {name for feature in signature.features for name in feature.tensors if name != feature.tensor}
    columns = [feature.column for feature in signature.features if feature.tensor == tensor.name]
    whole = columns == [None] or (not columns and tensor.name in others)
    _must(whole or (bool(columns) and set(columns) == set(range(len(columns)))), f"{tensor.name!r} is fed {columns}")
    _must(sum(one.name == tensor.name for one in signature.inputs) == 1, f"two inputs are called {tensor.name!r}")


def _require_call(name: str, call: Call, signature: Signature) -> None:
    outputs = {output.name: output for output in signature.outputs}
    _must(set(call.outputs) <= set(outputs), f"{name}() needs {call.outputs}")
    wanted = len(set(call.outputs)) if call.decode == "struct" else 1
    _must(len(call.outputs) == wanted > 0, f"{name}() is made of {call.outputs}")
    first, labels = outputs[call.outputs[0]], signature.labels
    if call.decode in ("argmax", "map"):
        _must(len(first.shape) == 2 and first.shape[1] == len(labels), f"{name}() of {len(labels)} labels")
    types = {
        "tensor": first.type,
        "label": signature.label_type or first.type,
        "argmax": signature.label_type,
        "map": f"MAP({signature.label_type}, {DTYPES[first.dtype].sql})",
        "struct": f"STRUCT({', '.join(f'{quoted(o)} {outputs[o].type}' for o in call.outputs)})",
    }
    _must(call.type == types[call.decode], f"{name}() is {call.type!r}")


def _must(is_sound: bool, what: str) -> None:
    if not is_sound:
        raise ValueError(what)
