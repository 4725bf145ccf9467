"""Tensors of the Open Inference Protocol ↔ Arrow: as JSON, and as Triton's binary tensor data."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import FeatureCount, FeatureError, shown
from sqlinfer.models.signature import Feature, Signature, label_texts
from sqlinfer.serve.answers import is_finite, values
from sqlinfer.serve.columns import from_base64, values_of
from sqlinfer.serve.errors import Refused

__all__ = ["DATATYPES", "Tensor", "datatype_of", "of_answers", "read", "rows_of"]

# Of each datatype its elements in NumPy, which are also those of binary data, and in Arrow. DuckDB has no half
# precision, nor has it a FLOAT that is not exactly one of these.
DATATYPES: dict[str, tuple[np.dtype, pa.DataType]] = {
    "BOOL": (np.dtype("?"), pa.bool_()),
    "UINT8": (np.dtype("u1"), pa.uint8()),
    "UINT16": (np.dtype("<u2"), pa.uint16()),
    "UINT32": (np.dtype("<u4"), pa.uint32()),
    "UINT64": (np.dtype("<u8"), pa.uint64()),
    "INT8": (np.dtype("i1"), pa.int8()),
    "INT16": (np.dtype("<i2"), pa.int16()),
    "INT32": (np.dtype("<i4"), pa.int32()),
    "INT64": (np.dtype("<i8"), pa.int64()),
    "FP16": (np.dtype("<f2"), pa.float32()),
    "FP32": (np.dtype("<f4"), pa.float32()),
    "FP64": (np.dtype("<f8"), pa.float64()),
    "BYTES": (np.dtype("O"), pa.binary()),
}
_BY_ARROW = {arrow: name for name, (_, arrow) in DATATYPES.items() if name != "FP16"} | {pa.string(): "BYTES"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """``flat``: the elements in row-major order, as Arrow has them."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    flat: pa.Array
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> tuple[dict[str, Any], bool]:
        """As in a response, and whether all of its numbers are finite."""
        flat = self.flat
        if pa.types.is_binary(flat.type):
            flat = _utf8(self.name, flat)
        return {**self._head(self.parameters), "data": values(flat)}, is_finite(flat)

    def to_binary(self) -> tuple[dict[str, Any], bytes]:
        """As in a response, and the data that follows it."""
        if self.flat.null_count:
            raise Refused.malformed(
                f"the output {self.name!r} has a NULL, which binary data has no place for; ask for it as JSON "
                "(binary_data: false), or for an Arrow stream"
            )
        if self.datatype == "BYTES":
            data = b"".join(_prefixed(value) for value in self.flat.to_pylist())
        else:
            numbers = self.flat.to_numpy(zero_copy_only=False)
            data = np.ascontiguousarray(numbers, DATATYPES[self.datatype][0]).tobytes()
        return self._head({**self.parameters, "binary_data_size": len(data)}), data

    def _head(self, parameters: dict[str, Any]) -> dict[str, Any]:
        head = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        return {**head, "parameters": parameters} if parameters else head


def read(fields: dict[str, Any], binary: memoryview | None) -> Tensor:
    """A tensor of a request, and its part of the binary data, if it has one. Raises Refused."""
    name, datatype, shape = fields.get("name"), fields.get("datatype"), fields.get("shape")
    if not isinstance(name, str):
        raise Refused.malformed('an input has no "name"')
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Refused.malformed(f"input {name!r}: the datatype is one of {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not shape or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise Refused.malformed(f'input {name!r}: the "shape" is a list of lengths, such as [2] or [2, 1]')
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refused.malformed(f'input {name!r}: the "parameters" are an object')
    if binary is not None:
        flat = _from_binary(name, datatype, math.prod(shape), binary)
    elif "data" in fields:
        flat = _from_json(name, datatype, shape, fields["data"], parameters.get("content_type") == "base64")
    else:
        raise Refused.malformed(f'input {name!r} has no "data"')
    return Tensor(name, datatype, tuple(shape), flat)


def rows_of(model: str, signature: Signature, tensors: Sequence[Tensor]) -> pa.RecordBatch:
    """The features of a request: one tensor each, or the columns of the only one."""
    if not tensors:
        raise Refused.malformed('a request has "inputs", a tensor for each feature')
    lengths = {tensor.shape[0] for tensor in tensors}
    if len(lengths) > 1:
        shapes = ", ".join(f"{tensor.name!r} {list(tensor.shape)}" for tensor in tensors[:8])
        raise Refused.malformed(f"the first axis of all inputs is the same number of rows; there are {shapes}")
    by_name = {feature.name.lower(): feature for feature in signature.features}
    only = tensors[0]
    if len(tensors) == 1 and only.name.lower() not in by_name and signature.takes_list and len(only.shape) == 2:
        return _of_matrix(model, signature, only)
    found = [(tensor, by_name.get(tensor.name.lower())) for tensor in tensors]
    arrays = [_column(tensor, feature) for tensor, feature in found if feature is not None]
    names = [tensor.name for tensor, feature in found if feature is not None]
    return pa.RecordBatch.from_arrays(arrays, names) if arrays else pa.RecordBatch.from_pylist([], pa.schema([]))


def of_answers(name: str, answers: pa.Array) -> Tensor:
    """The answers to a call, but of those that are a struct, as a tensor."""
    type = answers.type
    if pa.types.is_map(type):
        return _of_maps(name, answers)
    flat, axes = answers, list[int]()
    while types.is_list(flat.type):
        if flat.null_count:
            raise Refused.malformed(
                f"the output {name!r} is NULL for a row, and a tensor has no place for that; ask /invocations, or for "
                "an Arrow stream"
            )
        axes.append(_length(name, flat))
        flat = flat.flatten()
    return Tensor(name, _BY_ARROW[flat.type], (len(answers), *axes), flat)


def datatype_of(sql: str) -> tuple[str, list[int]]:
    """``FLOAT[64]`` → ``("FP32", [64])``; an axis of any length is -1."""
    if sql == "BLOB":
        return "BYTES", []
    base, axes = types.split_nested(sql)
    return _BY_ARROW[types.by_sql(base).arrow], [-1 if axis is None else axis for axis in axes]


def _of_matrix(model: str, signature: Signature, tensor: Tensor) -> pa.RecordBatch:
    """One tensor [n, k] has the values of all features, as the graph's own has them."""
    features = signature.features
    _, width = tensor.shape
    if width != len(features):
        raise FeatureCount.width(model, width, len(features))
    flat = _text_if_bytes(tensor)
    names, places = [feature.name for feature in features], [feature.column or 0 for feature in features]
    if len(flat) == width:  # one row, the most usual request
        columns = [flat.slice(place, 1) for place in places]
    elif flat.null_count or not types.is_numeric(flat.type):
        columns = [flat.take(pa.array(np.arange(place, len(flat), width))) for place in places]
    else:
        by_column = np.ascontiguousarray(flat.to_numpy(zero_copy_only=False).reshape(-1, width).T)
        columns = [pa.array(by_column[place]) for place in places]
    return pa.RecordBatch.from_arrays(columns, names)


def _column(tensor: Tensor, feature: Feature) -> pa.Array:
    is_bytes = tensor.datatype == "BYTES" and (feature.type == "BLOB" or feature.type.startswith("UTINYINT["))
    flat = tensor.flat if is_bytes else _text_if_bytes(tensor)
    if is_bytes and pa.types.is_string(flat.type):
        raise FeatureError(
            f"feature {feature.name!r} takes bytes: send them as binary data, or in base64 with the parameter "
            '"content_type": "base64"'
        )
    axes = tensor.shape[1:]
    if "[" not in feature.type and axes == (1,):
        axes = ()
    for i in range(len(axes) - 1, -1, -1):
        count = math.prod((tensor.shape[0], *axes[:i]))
        offsets = pa.array(np.arange(count + 1, dtype=np.int64) * axes[i])
        flat = pa.LargeListArray.from_arrays(offsets, flat)
    return flat


def _text_if_bytes(tensor: Tensor) -> pa.Array:
    return _utf8(tensor.name, tensor.flat) if pa.types.is_binary(tensor.flat.type) else tensor.flat


def _utf8(name: str, array: pa.Array) -> pa.Array:
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise Refused.malformed(f"{name!r}: a text is not UTF-8") from error


def _of_maps(name: str, answers: pa.Array) -> Tensor:
    """[n, classes]; a row without an answer has none for any class."""
    known = answers.drop_null()
    if not len(known):
        return Tensor(name, _BY_ARROW[answers.type.item_type], (0, 0), pa.nulls(0, answers.type.item_type))
    width = len(known[0])
    first = known.offsets[0].as_py()
    classes = label_texts(known.keys[first : first + width].to_pylist())
    flat = known.items[first : known.offsets[-1].as_py()]
    if len(known) < len(answers):
        rows = np.cumsum(answers.is_valid().to_numpy(zero_copy_only=False)) - 1
        places = rows[:, None] * width + np.arange(width)
        gone = ~np.repeat(answers.is_valid().to_numpy(zero_copy_only=False), width)
        flat = flat.take(pa.array(places.ravel(), mask=gone))
    return Tensor(name, _BY_ARROW[flat.type], (len(answers), width), flat, {"classes": classes})


def _length(name: str, lists: pa.Array) -> int:
    """What all of the lists have."""
    if pa.types.is_fixed_size_list(lists.type):
        return int(lists.type.list_size)
    lengths = lists.value_lengths().unique().to_pylist()
    if len(lengths) > 1:
        raise Refused.malformed(
            f"the output {name!r} has lists of {min(lengths)} and of {max(lengths)} values, which are no tensor; ask "
            "/invocations, or for an Arrow stream"
        )
    return int(lengths[0]) if lengths else 0


def _from_json(name: str, datatype: str, shape: list[int], data: Any, base64: bool) -> pa.Array:
    if not isinstance(data, list):
        raise Refused.malformed(f'input {name!r}: the "data" is a list')
    flat, axes = values_of(name, data), [len(data)]
    while types.is_list(flat.type):
        lengths = flat.value_lengths().unique().to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise Refused.malformed(f"input {name!r}: the lists in one another have different lengths")
        axes.append(lengths[0])
        flat = flat.flatten()
    if axes not in (shape, [math.prod(shape)]):
        given = f"{axes[0]} elements" if len(axes) == 1 else f"the shape {axes}"
        raise Refused.malformed(f"input {name!r}: the data has {given}, and the shape is {shape}")
    if datatype == "BYTES" and base64:
        return from_base64(name, flat.to_pylist())
    return _as_datatype(name, datatype, flat)


def _as_datatype(name: str, datatype: str, flat: pa.Array) -> pa.Array:
    """Elements as they are declared: a number is rounded to the precision of its datatype, and nothing is parsed."""
    dtype, arrow = DATATYPES[datatype]
    given = flat.type
    if pa.types.is_null(given):
        return pa.nulls(len(flat), pa.string() if datatype == "BYTES" else arrow)
    if datatype == "BYTES" and pa.types.is_string(given):
        return flat
    if datatype == "BOOL" and pa.types.is_boolean(given):
        return flat
    is_number = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)
    if datatype in ("BYTES", "BOOL") or not is_number:
        raise FeatureError(f"input {name!r} is {datatype}, and its data has {_kind(given)}")
    if datatype == "FP64" and not pa.types.is_decimal(given):
        return flat.cast(arrow, safe=False)
    if dtype.kind == "f":
        return _rounded(name, datatype, flat, dtype)
    try:
        return flat.cast(arrow)
    except pa.ArrowInvalid as error:
        raise FeatureError(
            f"input {name!r} is {datatype}, and its data has a number that does not fit: {error}"
        ) from error


def _rounded(name: str, datatype: str, numbers: pa.Array, dtype: np.dtype) -> pa.Array:
    """Each to the nearest of its datatype, at once."""
    filled = numbers.fill_null(0)  # NumPy would have integers beside nulls as doubles
    if pa.types.is_decimal(filled.type):
        to_double = float if datatype == "FP64" else _to_odd
        exact = np.array([to_double(int(value)) for value in filled.to_pylist()], np.float64)
    else:
        exact = filled.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype)
    lost = np.isinf(rounded) & np.isfinite(exact)
    if lost.any():
        value = shown(float(exact[lost][0]))
        raise FeatureError(f"input {name!r} is {datatype}, and its data has a number that does not fit: {value}")
    single = rounded.astype(np.float32) if dtype.itemsize == 2 else rounded
    gone = None if not numbers.null_count else numbers.is_null().to_numpy(zero_copy_only=False)
    return pa.array(single, mask=gone)


def _to_odd(value: int) -> float:
    """The neighbour among doubles whose last bit is set, where there is none that is equal: what is rounded again, to
    fewer bits, is then as if rounded once."""
    nearest = float(value)
    beyond = int(nearest) - value
    if beyond == 0 or int(math.frexp(nearest)[0] * 2**53) % 2 == 1:
        return nearest
    return math.nextafter(nearest, -math.inf if beyond > 0 else math.inf)


def _kind(given: pa.DataType) -> str:
    if pa.types.is_string(given):
        return "texts, which are not parsed"
    return "Booleans" if pa.types.is_boolean(given) else f"numbers ({types.sql_name(given)})"


def _from_binary(name: str, datatype: str, count: int, binary: memoryview) -> pa.Array:
    dtype, arrow = DATATYPES[datatype]
    if datatype == "BYTES":
        return pa.array(_unprefixed(name, count, binary), pa.binary())
    if len(binary) != count * dtype.itemsize:
        raise Refused.malformed(
            f"input {name!r}: {count:,} elements of {datatype} are {count * dtype.itemsize:,} bytes, and there are "
            f"{len(binary):,}"
        )
    if datatype == "BOOL":
        return pa.array(np.frombuffer(binary, np.uint8) != 0)
    numbers = np.frombuffer(binary, dtype)
    return pa.array(numbers.astype(np.float32) if datatype == "FP16" else numbers, arrow)


def _unprefixed(name: str, count: int, binary: memoryview) -> list[bytes]:
    """Elements that each stand behind their length."""
    found, place = list[bytes](), 0
    while place + 4 <= len(binary):
        (length,) = struct.unpack_from("<I", binary, place)
        if place + 4 + length > len(binary):
            break
        found.append(bytes(binary[place + 4 : place + 4 + length]))
        place += 4 + length
    if place != len(binary) or len(found) != count:
        raise Refused.malformed(f"input {name!r}: the binary data is not {count:,} elements, each behind its length")
    return found


def _prefixed(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(content)) + content
