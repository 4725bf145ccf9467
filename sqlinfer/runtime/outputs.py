"""Output tensors → one Arrow column, of the type that the manifest promises."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from sqlinfer.errors import ModelFailed
from sqlinfer.models.signature import Call, Output, Signature
from sqlinfer.types import DTYPES, arrow_type, by_sql, split_nested

__all__ = ["answer", "answer_type"]

# The offsets of a list have 32 bits.
_MOST_VALUES = 2**31 - 1


def answer(signature: Signature, call: Call, tensors: list[np.ndarray]) -> pa.Array:
    """The rows' answers from the tensors of ``call.outputs``, each [rows, …]. Raises ModelFailed where a tensor has not
    the shape that the manifest promises."""
    for name, tensor in zip(call.outputs, tensors, strict=True):
        _require_shape(signature.output(name), tensor)
    tensor = tensors[0]
    if call.decode in ("struct", "labelled"):
        named = zip(call.outputs, tensors, strict=True)
        fields = {name: _column(signature.output(name), tensor) for name, tensor in named}
        if call.decode == "labelled":
            fields = {"label": _highest(signature, tensor), **fields}
        return pa.StructArray.from_arrays(list(fields.values()), list(fields))
    if call.decode == "label":
        return _labels(signature, tensor.reshape(len(tensor)))
    if call.decode == "argmax":
        return _highest(signature, tensor)
    if call.decode == "map":
        return _map(signature, tensor.reshape(len(tensor), -1))
    return _column(signature.output(call.outputs[0]), tensor)


def answer_type(signature: Signature, call: Call) -> pa.DataType:
    """The Arrow type of `answer`, for a batch without rows."""
    if call.decode in ("struct", "labelled"):
        fields = [(name, arrow_type(signature.output(name).type)) for name in call.outputs]
        label = [("label", by_sql(str(signature.label_type)).arrow)] if call.decode == "labelled" else []
        return pa.struct([*label, *fields])
    if call.decode in ("label", "argmax"):
        return by_sql(str(signature.label_type or call.type)).arrow
    if call.decode == "map":
        scores = DTYPES[signature.output(call.outputs[0]).dtype].arrow
        return pa.map_(by_sql(str(signature.label_type)).arrow, scores)
    return arrow_type(signature.output(call.outputs[0]).type)


def _require_shape(output: Output, tensor: np.ndarray) -> None:
    given, expected = tensor.shape[1:], output.shape[1:]
    fits = len(given) == len(expected) and all(b is None or a == b for a, b in zip(given, expected, strict=True))
    if not fits:
        raise ModelFailed.shape(output.name, given, expected)


def _labels(signature: Signature, values: np.ndarray) -> pa.Array:
    if signature.label_type == "BOOLEAN":
        return pa.array(values != 0)
    if values.dtype == object:
        return pa.array(values, pa.string())
    return pa.array(values.astype(np.int64, copy=False))


def _highest(signature: Signature, scores: np.ndarray) -> pa.Array:
    """The label of the highest score, the first of equals."""
    labels = pa.array(signature.labels, by_sql(str(signature.label_type)).arrow)
    return labels.take(pa.array(np.argmax(scores.reshape(len(scores), -1), axis=1)))


def _map(signature: Signature, scores: np.ndarray) -> pa.Array:
    rows, classes = scores.shape
    offsets = _offsets(rows, classes)
    labels = pa.array(signature.labels, by_sql(str(signature.label_type)).arrow)
    keys = labels.take(pa.array(np.tile(np.arange(classes), rows)))
    return pa.MapArray.from_arrays(offsets, keys, _flat(scores))


def _offsets(lists: int, size: int) -> pa.Array:
    """Where each of the lists begins, and the last one ends."""
    if lists * size > _MOST_VALUES:
        raise ModelFailed.too_many(lists * size, _MOST_VALUES)
    return pa.array(np.arange(lists + 1, dtype=np.int32) * np.int32(size))


def _column(output: Output, tensor: np.ndarray) -> pa.Array:
    _, axes = split_nested(output.type)
    sizes = tensor.shape[1:]
    starts = {
        depth: _offsets(len(tensor) * math.prod(sizes[:depth]), sizes[depth])
        for depth, axis in enumerate(axes)
        if axis is None
    }
    array = _flat(tensor)
    for depth in range(len(axes) - 1, -1, -1):
        if axes[depth] is not None:
            array = pa.FixedSizeListArray.from_arrays(array, axes[depth])
        else:
            array = pa.ListArray.from_arrays(starts[depth], array)
    return array


def _flat(tensor: np.ndarray) -> pa.Array:
    values = np.ascontiguousarray(tensor).ravel()
    if values.dtype == object:
        return pa.array(values, pa.string())
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    return pa.array(values)
