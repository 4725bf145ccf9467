"""Whether a manifest can be believed: what is read from a file has the types it is declared with, and fits together."""

from __future__ import annotations

import dataclasses
import math
import types as python_types
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union

import numpy as np

from sqlinfer.models.signature import (
    Call,
    Feature,
    Guard,
    ImagePreparation,
    ImageStep,
    Output,
    Signature,
    Tensor,
    TextPreparation,
    WordsPreparation,
    labelled_type,
    struct_type,
)
from sqlinfer.types import DTYPES, ElementType, require_answer, split_nested

__all__ = ["require_sound", "require_types", "stands_in"]

# The extension has the same bounds, in core/validate.rs. Registration tries no model with more rows or values.
_MOST_ROWS = 100_000_000
_MOST_VALUES = 100_000_000
_MOST_TENSORS = 10_000
_MOST_TOKENS = 10_000_000
_MOST_PIXELS = 1 << 26
_LONGEST_SIDE = 1 << 16
_FILTERS = {"nearest", "lanczos", "linear", "cubic", "box", "hamming"}
_FILTERS |= {f"{name} across" for name in _FILTERS}
_ROUNDINGS = {"floor", "zero", "even"}
# How many lengths a step has, and how it may be done.
_STEPS = {"resize": (2, _FILTERS), "shorter": (1, _FILTERS), "crop": (2, _ROUNDINGS), "share": (2, _ROUNDINGS)}
_CHANNELS = {"RGB": 3, "L": 1}
_FLOAT_GUARDS = ("nan", "infinite", "below", "above")
_NUMBER_GUARDS = (*_FLOAT_GUARDS, "fraction", "other")
_TEXT_GUARDS = ("empty", "blank", "not_ascii", "longer", "other", "these")
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
    """What one part names, another has; and nothing is so large that it must be refused. Raises ValueError."""
    tensors: list[Tensor | Output] = [*signature.inputs, *signature.outputs]
    most = max(len(signature.inputs), len(signature.outputs))
    _must(most <= _MOST_TENSORS, f"{most:,} inputs or outputs")
    for tensor in tensors:
        _require_tensor(tensor)
    _require_distinct("input", [tensor.name for tensor in signature.inputs])
    _require_distinct("output", [output.name for output in signature.outputs])
    for output in signature.outputs:
        axes, shown = split_nested(output.type)[1], output.shape[1:]
        _must(len(axes) == len(shown) or (not axes and shown == (1,)), f"{output.name!r} is {output.type!r}")
        require_answer(output.type)
    _must(len(signature.features) > 0, "no features")
    _require_distinct("feature", signature.feature_names)
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    for feature in signature.features:
        _require_feature(feature, inputs)
    _require_fed(signature)
    _require_labels(signature)
    for name, call in signature.calls.items():
        _require_call(name, call, signature)
    _must("predict" in signature.calls, "no predict")
    _require_batch(signature)


def _require_tensor(tensor: Tensor | Output) -> None:
    name, shape = tensor.name, tensor.shape
    _must("\0" not in name, f"a tensor is called {name!r}")
    _must(tensor.dtype in DTYPES, f"{name!r} has the dtype {tensor.dtype!r}")
    _must(len(shape) > 0 and all(axis is None or axis >= 0 for axis in shape), f"{name!r} has the shape {shape}")
    _must(_values(tensor) <= _MOST_VALUES, f"a row of {name!r} has the shape {shape[1:]}")


def _values(tensor: Tensor | Output) -> int:
    """How many values a row has at least; an axis of none counts as one."""
    return math.prod(max(axis or 1, 1) for axis in tensor.shape[1:])


def _require_distinct(what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    _must(not twice, f"two {what}s are called {twice[:1]}")


def _require_feature(feature: Feature, inputs: Mapping[str, Tensor]) -> None:
    image = isinstance(feature.prepare, ImagePreparation)
    words = isinstance(feature.prepare, WordsPreparation)
    text = words or isinstance(feature.prepare, TextPreparation)
    if image or text:
        _must(feature.type == ("BLOB" if image else "VARCHAR"), f"{feature.name!r} is {feature.type!r}")
        _must((feature.column is not None) == words, f"{feature.name!r} is column {feature.column}")
    else:
        split_nested(feature.type)
    _must(set(feature.tensors) <= set(inputs), f"{feature.name!r} goes to {feature.tensors}, which are no inputs")
    tensor = inputs[feature.tensor]
    if feature.column is not None:
        width = tensor.shape[1] if len(tensor.shape) == 2 else None
        _must(width is not None and 0 <= feature.column < width, f"{feature.name!r} is column {feature.column}")
    if isinstance(feature.prepare, TextPreparation):
        _require_text(feature.prepare, [inputs[name] for name in feature.tensors])
    if isinstance(feature.prepare, ImagePreparation):
        _must(0 < feature.prepare.pixels <= _MOST_PIXELS, f"images of {feature.prepare.pixels} pixels")
        channels = _CHANNELS[feature.prepare.mode]
        fits = tensor.dtype == "uint8" and len(tensor.shape) == 4 and tensor.shape[3] in (channels, None)
        _must(fits, f"an image as {tensor.name!r}")
        for step in feature.prepare.steps:
            _require_step(step)
    if isinstance(feature.prepare, WordsPreparation):
        _must(tensor.dtype == "string", f"words as {tensor.name!r}")
        _require_beside(feature.prepare.file, "tables of words")
    if feature.null.kind in ("nan", "value"):
        kind = "string" if text else "" if image else tensor.dtype
        value = math.nan if feature.null.kind == "nan" else feature.null.value
        _must(kind in DTYPES and stands_in(DTYPES[kind], value), f"{feature.name!r} has the null policy {feature.null}")
    for guard in feature.guards:
        _must(
            _guards(guard, feature, tensor), f"{feature.name!r} has the guard {guard.refuse!r}, which does not fit it"
        )


def _guards(guard: Guard, feature: Feature, tensor: Tensor) -> bool:
    if isinstance(feature.prepare, ImagePreparation):
        return False
    element = DTYPES[tensor.dtype]
    is_text = feature.prepare is not None or element.is_string
    if feature.prepare is None and feature.column is None and len(tensor.shape) > 1:
        offered: tuple[str, ...] = _FLOAT_GUARDS if element.is_float else ()
    else:
        offered = _TEXT_GUARDS if is_text else _NUMBER_GUARDS
    if guard.refuse in ("other", "these") and not (
        guard.known and all(isinstance(one, str) == is_text for one in guard.known)
    ):
        return False
    bound = guard.bound
    if guard.refuse == "longer" and not (bound is not None and bound % 1 == 0 and 0 <= bound < 2**31):
        return False
    return guard.refuse in offered and (bound is not None or guard.refuse not in ("below", "above"))


def stands_in(element: ElementType, value: Any) -> bool:
    """Whether the value can stand for NULL in a tensor of this type, as it is."""
    if element.is_string or isinstance(value, str):
        return element.is_string and isinstance(value, str)
    if element.is_float:
        return isinstance(value, (int, float))
    if element.dtype == "bool":
        return value in (0, 1)
    limits = np.iinfo(element.numpy)
    return isinstance(value, (int, float)) and value == value // 1 and limits.min <= value <= limits.max


def _require_text(prepare: TextPreparation, ids: Sequence[Tensor]) -> None:
    names = [tensor.name for tensor in ids]
    fits = all(len(tensor.shape) == 2 and tensor.dtype in ("int32", "int64") for tensor in ids)
    _must(fits and len(set(names)) == len(names), f"text as {names}")
    _require_beside(prepare.tokenizer, "a tokenizer")
    _must(0 < prepare.max_length <= _MOST_TOKENS, f"texts of {prepare.max_length} tokens")
    _must(prepare.pad is None or 0 <= prepare.pad < 2**31, f"texts filled up with {prepare.pad}")


def _require_step(step: ImageStep) -> None:
    count, known = _STEPS[step.do]
    whole = step.do == "share" or all(side % 1 == 0 for side in step.size)
    fits = len(step.size) == count and whole and all(0 < side <= _LONGEST_SIDE for side in step.size)
    _must(fits and step.how in known, f"images that are made {step.do} {step.size} {step.how}")


def _require_beside(file: str, what: str) -> None:
    """The name of a file in the folder of the model."""
    _must(file not in ("", ".", "..") and not set(file) & set("/\\\0"), f"{what} at {file!r}")


def _require_fed(signature: Signature) -> None:
    """The features of each input are all of its columns, each once, or one is the whole tensor."""
    companions = {name for feature in signature.features for name in feature.tensors if name != feature.tensor}
    fed: dict[str, list[int | None]] = {tensor.name: [] for tensor in signature.inputs}
    for feature in signature.features:
        fed[feature.tensor].append(feature.column)
    for tensor in signature.inputs:
        columns = fed[tensor.name]
        if tensor.name in companions:
            _must(not columns, f"{tensor.name!r} is fed {columns[:8]} and by a text")
        elif columns != [None]:
            each_once = bool(columns) and set(columns) == set(range(len(columns)))
            _must(each_once and len(columns) == tensor.shape[1], f"{tensor.name!r} is fed {columns[:8]}")


def _require_labels(signature: Signature) -> None:
    if signature.label_type is None:
        return
    kind, labels = _LABELS.get(signature.label_type), signature.labels
    _must(kind is not None and all(type(label) is kind for label in labels), "labels of another type")
    _must(len(labels) > 0, "no labels")
    _must(kind is not int or all(-(2**63) <= int(label) < 2**63 for label in labels), "a label that is no BIGINT")


def _require_call(name: str, call: Call, signature: Signature) -> None:
    outputs = {output.name: output for output in signature.outputs}
    _must(set(call.outputs) <= set(outputs), f"{name}() needs {call.outputs}")
    is_struct = call.decode in ("struct", "labelled")
    wanted = len(set(call.outputs)) if is_struct else 1
    _must(len(call.outputs) == wanted > 0, f"{name}() is made of {call.outputs}")
    first, labels = outputs[call.outputs[0]], signature.labels
    numeric = not DTYPES[first.dtype].is_string
    if call.decode in ("argmax", "map", "labelled"):
        wide = len(first.shape) == 2 and first.shape[1] == len(labels)
        _must(wide and numeric and bool(labels), f"{name}() of {len(labels)} labels")
    if call.decode == "label":
        _must(first.shape[1:] in ((), (1,)) and _holds_labels(first, signature), f"{name}() of {first.name!r}")
    if is_struct:
        own = ["label"] if call.decode == "labelled" else []
        _require_distinct("field", [*own, *(output.lower() for output in call.outputs)])
    types = {
        "tensor": first.type,
        "label": signature.label_type or first.type,
        "argmax": signature.label_type,
        "map": f"MAP({signature.label_type}, {DTYPES[first.dtype].sql})",
        "struct": struct_type(outputs[o] for o in call.outputs),
        "labelled": labelled_type(str(signature.label_type), (outputs[o] for o in call.outputs)),
    }
    _must(call.type == types[call.decode], f"{name}() is {call.type!r}")


def _holds_labels(output: Output, signature: Signature) -> bool:
    if signature.label_type is None:
        return True
    element = DTYPES[output.dtype]
    return element.is_string if signature.label_type == "VARCHAR" else not (element.is_string or element.is_float)


def _require_batch(signature: Signature) -> None:
    """A fixed batch is filled up, whatever is asked."""
    batch = signature.batch
    _must(all(rows is None or 0 < rows <= _MOST_ROWS for rows in (batch.fixed, batch.most)), f"a batch of {batch}")
    filled = (batch.fixed or 1) * sum(_values(tensor) for tensor in signature.inputs)
    _must(filled <= _MOST_VALUES, f"a batch of {batch.fixed} rows of {filled:,} values")


def _must(is_sound: bool, what: str) -> None:
    if not is_sound:
        raise ValueError(what)
