"""Whether a manifest can be believed: what one part names, another has, and nothing is too large.

The extension checks the same, in the same order and words, in core/manifest/mod.rs and core/manifest/validate.rs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from sqlinfer.models.fields import quoted
from sqlinfer.models.formula import Formula
from sqlinfer.models.signature import (
    Call,
    Decode,
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

__all__ = ["require_sound", "stands_in"]

# The extension has the same bounds, in core/manifest/validate.rs. Registration tries no model with more rows or values.
_MOST_ROWS = 100_000_000
_MOST_VALUES = 100_000_000
_MOST_TENSORS = 10_000
_MOST_VERSIONS = 2**31
_MOST_TOKENS = 10_000_000
_MOST_PIXELS = 1 << 26
_LONGEST_SIDE = 1 << 16
_FILTERS = {"nearest", "lanczos", "linear", "cubic", "box", "hamming"}
_FILTERS |= {f"{name} across" for name in _FILTERS}
_ROUNDINGS = {"floor", "zero", "even"}
# How many lengths a step has, and how it may be done.
_STEPS: dict[str, tuple[int, Collection[str]]] = {
    "resize": (2, _FILTERS),
    "shorter": (1, _FILTERS),
    "crop": (2, _ROUNDINGS),
    "share": (2, _ROUNDINGS),
}
_CHANNELS = {"RGB": 3, "L": 1}
_FLOAT_GUARDS = ("nan", "infinite", "below", "above")
_NUMBER_GUARDS = (*_FLOAT_GUARDS, "fraction", "other")
_TEXT_GUARDS = ("empty", "blank", "not_ascii", "longer", "other", "these")
_LABELS: dict[str, type] = {"VARCHAR": str, "BIGINT": int, "BOOLEAN": bool}


def require_sound(signature: Signature, formula: Formula | None, version: int, files: Collection[str]) -> None:
    """What one part names, another has; and nothing is so large that it must be refused. Raises ValueError."""
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    _require_known(signature, inputs)
    if formula is not None:
        _must(formula.fits(signature), "the formula does not fit the model")
    _require_labels(signature)
    most = max(len(signature.inputs), len(signature.outputs))
    _must(most <= _MOST_TENSORS, f"{most} inputs or outputs")
    tensors: list[Tensor | Output] = [*signature.inputs, *signature.outputs]
    for tensor in tensors:
        _require_tensor(tensor)
    _require_distinct("input", [tensor.name for tensor in signature.inputs])
    _require_distinct("output", [output.name for output in signature.outputs])
    for output in signature.outputs:
        axes, seen = split_nested(output.type)[1], output.shape[1:]
        fits = len(axes) == len(seen) or (not axes and seen == (1,))
        _must(fits, f"{quoted(output.name)} is {quoted(output.type)}, which does not fit its shape")
        require_answer(output.type)
    _must(len(signature.features) > 0, "no features")
    _require_distinct("feature", signature.feature_names)
    for feature in signature.features:
        _require_feature(feature, inputs)
    _require_fed(signature)
    outputs = {output.name: output for output in signature.outputs}
    for name, call in sorted(signature.calls.items()):
        _require_call(name, call, signature, outputs)
    _must("predict" in signature.calls, "no predict")
    _require_batch(signature)
    _must(1 <= version < _MOST_VERSIONS, f"version {version}")
    for file in sorted(files):
        _require_beside(file, "a file")


def _require_known(signature: Signature, inputs: Mapping[str, Tensor]) -> None:
    """Of each part by itself: words that are known."""
    for given in signature.inputs:
        _must(len(given.shape) > 0, f"{quoted(given.name)} has no axes")
        _require_dtype(given)
    for feature in signature.features:
        _must(feature.tensor in inputs, f"no input {quoted(feature.tensor)}")
        _require_prepared(feature, inputs[feature.tensor])
    for output in signature.outputs:
        _must(len(output.shape) > 0, f"{quoted(output.name)} has no axes")
        _must(_is_type(output.type), f"{quoted(output.name)} is {quoted(output.type)}, which is no type")
        _require_dtype(output)
    for _, call in sorted(signature.calls.items()):
        _must(call.decode in get_args(Decode), f"unknown decoding {quoted(call.decode)}")


def _require_dtype(tensor: Tensor | Output) -> None:
    _must(tensor.dtype in DTYPES, f"the tensor type {quoted(tensor.dtype)} is not known")


def _is_type(sql: str) -> bool:
    try:
        split_nested(sql)
    except ValueError:
        return False
    return True


def _require_prepared(feature: Feature, tensor: Tensor) -> None:
    name, prepare = quoted(feature.name), feature.prepare
    image, text = isinstance(prepare, ImagePreparation), isinstance(prepare, (TextPreparation, WordsPreparation))
    if isinstance(prepare, ImagePreparation):
        _must(prepare.mode in _CHANNELS, f"images as {quoted(prepare.mode)}, which is not known")
        _must(all(map(_is_step, prepare.steps)), "a step of images that is not known")
    is_type = feature.type == ("BLOB" if image else "VARCHAR") if image or text else _is_type(feature.type)
    _must(is_type, f"{name} is {quoted(feature.type)}, which is no type of a feature")
    null, kind = feature.null, "string" if text else "" if image else tensor.dtype
    if null.kind in ("nan", "value"):
        value = math.nan if null.kind == "nan" else null.value
        fits = kind in DTYPES and stands_in(DTYPES[kind], value)
    else:
        fits = null.kind in ("null", "error")
    policy = "a value" if null.kind == "value" else quoted(null.kind)
    _must(fits, f"{name} has the null policy {policy}, which does not fit it")
    for guard in feature.guards:
        _must(_guards(guard, feature, tensor), f"{name} has the guard {quoted(guard.refuse)}, which does not fit it")


def _require_tensor(tensor: Tensor | Output) -> None:
    _must("\0" not in tensor.name, "a tensor's name holds a NUL")
    _must(_values(tensor) <= _MOST_VALUES, f"a row of {quoted(tensor.name)} has too many values")


def _values(tensor: Tensor | Output) -> int:
    """How many values a row has at least; an axis of none counts as one."""
    return math.prod(max(axis or 1, 1) for axis in tensor.shape[1:])


def _require_distinct(what: str, names: Sequence[str]) -> None:
    known: set[str] = set()
    for name in names:
        _must(name not in known, f"two {what}s are called {quoted(name)}")
        known.add(name)


def _require_feature(feature: Feature, inputs: Mapping[str, Tensor]) -> None:
    name, prepare, column, tensor = quoted(feature.name), feature.prepare, feature.column, inputs[feature.tensor]
    if prepare is None:
        _must(column is None or _has_column(tensor, column), f"{name} is column {column}")
    elif isinstance(prepare, WordsPreparation):
        _must(column is not None, f"{name} is no column")
        _must(tensor.dtype == "string", f"words as {quoted(tensor.name)}")
        _must(_has_column(tensor, column or 0), f"{name} is column {column}")
        _require_beside(prepare.file, "tables of words")
    else:
        _must(column is None, f"{name} is column {column}")
        if isinstance(prepare, TextPreparation):
            _require_text(feature, prepare, inputs)
        else:
            _require_image(prepare, tensor)


def _has_column(tensor: Tensor, column: int) -> bool:
    width = tensor.shape[1] if len(tensor.shape) == 2 else None
    return width is not None and column < width


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


def _require_text(feature: Feature, prepare: TextPreparation, inputs: Mapping[str, Tensor]) -> None:
    for name in feature.tensors:
        _must(name in inputs, f"no input {quoted(name)}")
    ids = [inputs[name] for name in feature.tensors]
    fits = all(len(tensor.shape) == 2 and tensor.dtype in ("int32", "int64") for tensor in ids)
    fits = fits and len(set(feature.tensors)) == len(ids)
    _must(fits, f"{quoted(feature.name)} as other tensors than of tokens")
    _require_beside(prepare.tokenizer, "a tokenizer")
    _must(0 < prepare.max_length <= _MOST_TOKENS, f"texts of {prepare.max_length} tokens")
    _must(prepare.pad is None or prepare.pad < 2**31, f"texts filled up with {prepare.pad}")


def _require_image(prepare: ImagePreparation, tensor: Tensor) -> None:
    _must(0 < prepare.pixels <= _MOST_PIXELS, f"images of {prepare.pixels} pixels")
    channels = (_CHANNELS[prepare.mode], None)
    fits = tensor.dtype == "uint8" and len(tensor.shape) == 4 and tensor.shape[3] in channels
    _must(fits, f"an image as {quoted(tensor.name)}")


def _is_step(step: ImageStep) -> bool:
    count, known = _STEPS.get(step.do, (0, ()))
    whole = step.do == "share" or all(side % 1 == 0 for side in step.size)
    return (
        len(step.size) == count
        and whole
        and all(0 < side <= _LONGEST_SIDE for side in step.size)
        and (step.how in known)
    )


def _require_beside(file: str, what: str) -> None:
    """The name of a file in the folder of the model."""
    _must(file not in ("", ".", "..") and not set(file) & set("/\\\0"), f"{what} at {quoted(file)}")


def _require_fed(signature: Signature) -> None:
    """The features of each input are all of its columns, each once, or one is the whole tensor."""
    companions = {name for feature in signature.features for name in feature.tensors if name != feature.tensor}
    fed: dict[str, list[int | None]] = {tensor.name: [] for tensor in signature.inputs}
    for feature in signature.features:
        fed[feature.tensor].append(feature.column)
    for tensor in signature.inputs:
        columns = fed[tensor.name]
        if tensor.name in companions:
            fits = not columns
        else:
            each_once = bool(columns) and set(columns) == set(range(len(columns)))
            fits = columns == [None] or (each_once and tensor.shape[1:] == (len(columns),))
        _must(fits, f"the features of {quoted(tensor.name)} are not its columns")


def _require_labels(signature: Signature) -> None:
    if signature.label_type is None:
        return
    kind, labels = _LABELS.get(signature.label_type), signature.labels
    _must(kind is not None, f"labels of type {quoted(signature.label_type)}")
    _must(len(labels) > 0, "no labels")
    fits = all(type(label) is kind for label in labels)
    fits = fits and (kind is not int or all(-(2**63) <= int(label) < 2**63 for label in labels))
    _must(fits, "a label is not of the labels' type")


def _require_call(name: str, call: Call, signature: Signature, outputs: Mapping[str, Output]) -> None:
    shown, labels = f"{name[:40]}()", signature.labels
    _must(set(call.outputs) <= set(outputs), f"{shown} needs an output that is not there")
    _must(len(call.outputs) > 0, f"{shown} is made of nothing")
    first, label_type = outputs[call.outputs[0]], signature.label_type
    fits = True
    if call.decode in ("struct", "labelled"):
        own = ["label"] if call.decode == "labelled" and label_type else []
        _require_distinct("field", [*own, *(output.lower() for output in call.outputs)])
    else:
        fits = len(call.outputs) == 1
    if call.decode in ("argmax", "map", "labelled"):
        scores = len(first.shape) == 2 and first.shape[1] == len(labels) and not DTYPES[first.dtype].is_string
        fits = fits and scores and bool(labels)
    if call.decode == "label":
        fits = fits and first.shape[1:] in ((), (1,)) and _holds_labels(first, signature)
    types = {
        "tensor": first.type,
        "label": label_type or first.type,
        "argmax": label_type,
        "map": f"MAP({label_type}, {DTYPES[first.dtype].sql})",
        "struct": struct_type(outputs[o] for o in call.outputs),
        "labelled": labelled_type(str(label_type), (outputs[o] for o in call.outputs)),
    }
    _must(fits and call.type == types[call.decode], f"{shown} is {quoted(call.type)}, which is not what it answers")


def _holds_labels(output: Output, signature: Signature) -> bool:
    if signature.label_type is None:
        return True
    element = DTYPES[output.dtype]
    return element.is_string if signature.label_type == "VARCHAR" else not (element.is_string or element.is_float)


def _require_batch(signature: Signature) -> None:
    """A run is filled up, whatever is asked."""
    batch = signature.batch
    counted = all(rows is None or 0 < rows <= _MOST_ROWS for rows in (batch.fixed, batch.most, batch.multiple))
    _must(counted, "a batch of no rows, or of too many")
    filled = batch.filled(1) * sum(_values(tensor) for tensor in signature.inputs)
    _must(filled <= _MOST_VALUES, "a batch of too many values")


def _must(is_sound: bool, what: str) -> None:
    if not is_sound:
        raise ValueError(what)
