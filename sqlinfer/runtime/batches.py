"""Arrow columns → tensors. Pure functions; the hot path.

The types of the arguments are looked at once: they give a `Plan`, which then packs batch after batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.errors import FeatureCount, FeatureType, MissingFeature, NullFeature, UnknownFeature, shown
from sqlinfer.models.signature import Feature, ImagePreparation, Signature, TextPreparation
from sqlinfer.runtime.decimals import floats
from sqlinfer.runtime.nested import Cells, cells, same_shape
from sqlinfer.runtime.nulls import apply_nulls, filled, narrow
from sqlinfer.types import DTYPES, ElementType

__all__ = ["Group", "Packed", "Plan", "Preparer", "exact", "plan"]

Reader = Callable[[pa.Array], Any]
# Texts or images → the tensors of their feature, by name; or texts → texts.
Preparer = Callable[[pa.Array], dict[str, Cells] | pa.Array]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one shape. ``rows`` are their positions among the packed rows; None means all of them, in order."""

    feeds: dict[str, np.ndarray]
    count: int
    rows: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """``keep`` marks the rows of the batch that are scored; None means every row."""

    groups: list[Group]
    count: int
    keep: np.ndarray | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which features make a tensor: for each of its columns the feature's position, or the one feature it is."""

    tensor: str
    dtype: np.dtype
    columns: tuple[int, ...]
    whole: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How arguments of certain types become the tensors of a model. ``find`` gives one array per feature."""

    model: str
    signature: Signature
    find: Callable[[Sequence[pa.Array]], list[pa.Array]]
    readers: tuple[Reader, ...]
    layout: tuple[_Layout, ...] = ()
    has_lists: bool = False
    as_list: bool = False

    def pack(self, args: Sequence[pa.Array]) -> Packed:
        """Raises NullFeature, FeatureCount or FeatureType for rows that the model cannot take."""
        if self.as_list:
            return self._pack_list(args[0])
        columns, keep = self.columns(args)
        count = len(args[0]) if keep is None else int(keep.sum())
        return Packed(self.groups(columns, count) if count else [], count, keep)

    def values(self, args: Sequence[pa.Array]) -> list[Any] | None:
        """What the readers make of the columns; None where a row has a NULL, or there are no columns."""
        if self.as_list or not len(args[0]):
            return None
        columns = self.find(args)
        if self.has_lists or any(column.null_count for column in columns):
            return None
        return self._read(columns)

    def columns(self, args: Sequence[pa.Array]) -> tuple[list[pa.Array], np.ndarray | None]:
        """One array for each feature, of the rows that are scored; which those are, None for all of them."""
        columns = self.find(args)
        keep = None
        if self.has_lists or any(column.null_count for column in columns):
            columns, keep = apply_nulls(self.model, self.signature.features, columns)
        if keep is not None:
            columns = [column.filter(pa.array(keep)) for column in columns]
        return columns, keep

    def groups(self, columns: Sequence[pa.Array], count: int) -> list[Group]:
        """Tensors for ``count`` rows of `columns`."""
        groups = _group(self.signature, self.layout, self._read(columns), count)
        return [part for group in groups for part in _by_shared_value(self.signature, group)]

    def _read(self, columns: Sequence[pa.Array]) -> list[Any]:
        return [read(column) for read, column in zip(self.readers, columns, strict=True)]

    def _pack_list(self, array: pa.Array) -> Packed:
        """One list per row stands for all features: its values are the columns of the only tensor."""
        features, tensor = self.signature.features, self.signature.inputs[0]
        whole = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
        if whole is not None and any(feature.null.kind == "error" for feature in features):
            raise NullFeature.of(self.model, features[0].name)
        if whole is not None:
            array = array.filter(pa.array(whole))
        leaves, lengths, _ = cells(array)
        wrong = np.flatnonzero(lengths != len(features))
        if wrong.size:
            raise FeatureCount.width(self.model, int(lengths[wrong[0]]), len(features))
        keep = whole
        if leaves.null_count:
            columns = [leaves.take(pa.array(np.arange(i, len(leaves), len(features)))) for i in range(len(features))]
            columns, kept = apply_nulls(self.model, features, columns)
            if kept is not None:
                columns = [column.filter(pa.array(kept)) for column in columns]
                keep = kept if whole is None else narrow(whole, kept)
            dtype, read = DTYPES[tensor.dtype].numpy, self.readers[0]
            each = zip(features, columns, strict=True)
            matrix = np.column_stack([filled(feature, dtype, read, column) for feature, column in each])
        else:
            matrix = self.readers[0](leaves).reshape(-1, len(features))
        matrix = np.ascontiguousarray(matrix, dtype=DTYPES[tensor.dtype].numpy)
        groups = [Group({tensor.name: matrix}, len(matrix))] if len(matrix) else []
        return Packed(groups, len(matrix), keep)


def plan(
    model: str, signature: Signature, given: Sequence[pa.DataType], preparers: Mapping[str, Preparer] | None = None
) -> Plan:
    """Arrange arguments of the types ``given``: by position, a row by name, or one list.

    ``preparers``, by feature, read texts and images; without them the plan only checks types.
    Raises MissingFeature, UnknownFeature, FeatureCount or FeatureType, before any row is read.
    """
    features = signature.features
    if len(given) == 1 and types.is_row(given[0]):
        fields = _fields_by_name(model, signature, given[0])
        found = [given[0].field(i).type for i in fields]

        def find(args: Sequence[pa.Array]) -> list[pa.Array]:
            # struct_field() lets the row's own NULL reach its fields
            return [pc.struct_field(args[0], i) for i in fields]

        return _by_feature(model, signature, find, found, preparers or {})
    if len(given) == 1 and signature.takes_list and types.is_list(given[0]):
        element = DTYPES[signature.inputs[0].dtype]
        leaf = given[0]
        while types.is_list(leaf):
            leaf = leaf.value_type
        reader = _reader(model, features[0], element, leaf)
        return Plan(model, signature, list, (reader,), as_list=True)
    if len(given) != len(features):
        raise FeatureCount.of(model, len(given), signature.feature_names)
    return _by_feature(model, signature, list, given, preparers or {})


def _by_feature(
    model: str,
    signature: Signature,
    find: Callable[[Sequence[pa.Array]], list[pa.Array]],
    given: Sequence[pa.DataType],
    preparers: Mapping[str, Preparer],
) -> Plan:
    has_lists = any(types.is_list(arrow) for arrow in given)
    readers = _readers(model, signature, given, preparers)
    return Plan(model, signature, find, readers, _layouts(signature), has_lists)


def _fields_by_name(model: str, signature: Signature, row: pa.StructType) -> list[int]:
    names = [row.field(i).name.lower() for i in range(row.num_fields)]
    position = {name: i for i, name in enumerate(names)}
    wanted = [name.lower() for name in signature.feature_names]
    missing = [feature.name for feature in signature.features if feature.name.lower() not in position]
    if missing:
        raise MissingFeature.of(model, missing, signature.feature_names)
    twice = [name for name, count in Counter(names).items() if count > 1 and name in wanted]
    if twice:
        raise UnknownFeature.twice(model, twice[0])
    return [position[name] for name in wanted]


def _readers(
    model: str, signature: Signature, given: Sequence[pa.DataType], preparers: Mapping[str, Preparer]
) -> tuple[Reader, ...]:
    """Raises one FeatureType for all arguments that do not fit."""
    readers: list[Reader] = []
    wrong: list[FeatureType] = []
    for feature, arrow in zip(signature.features, given, strict=True):
        try:
            readers.append(_feature_reader(model, signature, feature, arrow, preparers.get(feature.name)))
        except FeatureType as error:
            wrong.append(error)
    if wrong:
        raise FeatureType.several(model, wrong)
    return tuple(readers)


def _feature_reader(
    model: str, signature: Signature, feature: Feature, arrow: pa.DataType, preparer: Preparer | None
) -> Reader:
    if isinstance(feature.prepare, (TextPreparation, ImagePreparation)):
        return _prepared_reader(model, feature, arrow, preparer)
    if feature.prepare is not None:
        return _words_reader(model, feature, arrow, preparer)
    tensor = signature.input(feature.tensor)
    if feature.column is not None or len(tensor.shape) == 1:
        return _value_reader(model, feature, DTYPES[tensor.dtype], arrow)
    return _cell_reader(model, feature, DTYPES[tensor.dtype], arrow)


def _value_reader(model: str, feature: Feature, element: ElementType, arrow: pa.DataType) -> Reader:
    return partial(filled, feature, element.numpy, _reader(model, feature, element, arrow))


def _reader(model: str, feature: Feature, element: ElementType, arrow: pa.DataType) -> Reader:
    """A function from an array of type ``arrow``, without NULLs but those that are NaN, to its NumPy values."""
    if element.is_string:
        if pa.types.is_dictionary(arrow):
            return lambda array: array.dictionary_decode().to_numpy(zero_copy_only=False)
        if types.is_text(arrow) or pa.types.is_null(arrow):
            return lambda array: array.to_numpy(zero_copy_only=False)
        raise FeatureType.of(model, feature.name, types.sql_name(arrow), feature.type, _cast(feature, arrow))
    if not types.is_numeric(arrow):
        raise FeatureType.of(model, feature.name, types.sql_name(arrow), feature.type, _cast(feature, arrow))
    if element.dtype == "bool" and pa.types.is_decimal(arrow):
        return lambda array: floats(array, np.dtype(np.float64)) != 0
    if element.is_float:
        if pa.types.is_floating(arrow) or pa.types.is_integer(arrow):
            return lambda array: array.to_numpy(zero_copy_only=False)
        if pa.types.is_decimal128(arrow):
            single = element.numpy == np.float32 and element.dtype != "float16"
            return partial(floats, dtype=np.dtype(np.float32 if single else np.float64))
        return lambda array: array.cast(pa.float64()).to_numpy(zero_copy_only=False)

    def exact(array: pa.Array) -> np.ndarray:
        try:
            return np.asarray(array.cast(element.arrow))
        except pa.ArrowInvalid as error:
            raise FeatureType.of(
                model,
                feature.name,
                f"a {types.sql_name(arrow)} that does not fit ({_first_misfit(array, element)})",
                feature.type,
                f"write CAST(round({feature.name}) AS {feature.type.partition('[')[0]}) if that is what you mean",
            ) from error

    return exact


def _first_misfit(array: pa.Array, element: ElementType) -> str:
    """The first value that the cast refuses, for a message."""
    for value in array:
        try:
            value.cast(element.arrow)
        except pa.ArrowInvalid:
            number = value.as_py()
            return shown(number) if isinstance(number, float) else f"{Decimal(number):f}"
    raise AssertionError("the cast of the whole has refused one")


def _words_reader(model: str, feature: Feature, arrow: pa.DataType, preparer: Preparer | None) -> Reader:
    """A reader of texts that are cut before the graph has them."""
    read = _prepared_reader(model, feature, arrow, preparer)
    return lambda array: read(array).to_numpy(zero_copy_only=False)


def _prepared_reader(model: str, feature: Feature, arrow: pa.DataType, preparer: Preparer | None) -> Reader:
    """A reader of texts or images: their tensors by name, or texts that are cut."""
    text = feature.type == "VARCHAR"
    fits = types.is_text(arrow) if text else types.is_bytes(arrow)
    if text and pa.types.is_dictionary(arrow):
        fits = types.is_text(arrow.value_type)
    if not fits and not pa.types.is_null(arrow):
        fix = "give the text" if text else "give the bytes of a PNG or JPEG file, such as content of read_blob('*.jpg')"
        raise FeatureType.of(model, feature.name, types.sql_name(arrow), feature.type, fix)

    def read(array: pa.Array) -> Any:
        if preparer is None:
            raise NotImplementedError(f"{feature.name} is only checked here")
        return preparer(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)

    return read


def _cell_reader(model: str, feature: Feature, element: ElementType, arrow: pa.DataType) -> Reader:
    """A reader for a feature that is a whole tensor: from lists, arrays or bytes to `Cells`."""
    leaf = arrow
    while types.is_list(leaf):
        leaf = leaf.value_type
    if types.is_bytes(arrow) and element.dtype == "uint8":
        leaf = pa.uint8()
    elif leaf is arrow and not pa.types.is_null(arrow):
        raise FeatureType.of(
            model, feature.name, types.sql_name(arrow), feature.type, "give a list, such as [1.0, 2.0]"
        )
    read = _reader(model, feature, element, leaf)

    def read_cells(array: pa.Array) -> Cells:
        leaves, lengths, shapes = cells(array)
        if leaves.null_count and feature.null.kind == "error":
            raise NullFeature.of(model, feature.name)
        values = filled(feature, element.numpy, read, leaves)
        return Cells(values.astype(element.numpy, copy=False), lengths, shapes)

    return read_cells


def _cast(feature: Feature, arrow: pa.DataType) -> str:
    if pa.types.is_temporal(arrow):
        return f"take the number you mean, such as epoch({feature.name}) or month({feature.name})"
    if types.is_list(arrow) or types.is_row(arrow) or pa.types.is_map(arrow):
        return "give one value for each feature"
    if pa.types.is_boolean(arrow) and feature.type == "VARCHAR":
        return f"write the texts that the model knows, such as CASE WHEN {feature.name} THEN 'yes' ELSE 'no' END"
    return f"write CAST({feature.name} AS {feature.type})"


def _layouts(signature: Signature) -> tuple[_Layout, ...]:
    layouts = []
    own = (TextPreparation, ImagePreparation)
    prepared = {name for feature in signature.features if isinstance(feature.prepare, own) for name in feature.tensors}
    for tensor in signature.inputs:
        if tensor.name in prepared:
            continue
        mine = [(f.column, i) for i, f in enumerate(signature.features) if f.tensor == tensor.name]
        columns = tuple(i for column, i in sorted(mine) if column is not None) if mine[0][0] is not None else ()
        layouts.append(_Layout(tensor.name, DTYPES[tensor.dtype].numpy, columns, None if columns else mine[0][1]))
    return tuple(layouts)


def _group(signature: Signature, layout: Sequence[_Layout], values: list[Any], count: int) -> list[Group]:
    """Tensors from columns; rows whose cells differ in shape go to different groups."""
    feeds: dict[str, np.ndarray] = {}
    ragged: dict[str, Cells] = {}
    for value in values:
        if isinstance(value, dict):
            ragged.update(value)
    for part in layout:
        if part.whole is not None:
            value = values[part.whole]
            if isinstance(value, Cells):
                ragged[part.tensor] = value
            else:
                feeds[part.tensor] = np.asarray(value, part.dtype)
        elif len(part.columns) == 1:
            feeds[part.tensor] = np.asarray(values[part.columns[0]], part.dtype).reshape(count, 1)
        else:
            matrix = feeds[part.tensor] = np.empty((count, len(part.columns)), part.dtype)
            for column, i in enumerate(part.columns):
                matrix[:, column] = values[i]
    if not ragged:
        return [Group(feeds, count)]
    groups = []
    for rows, shaped in same_shape(signature, ragged, count):
        picked = {name: feed if rows is None else feed[rows] for name, feed in feeds.items()}
        groups.append(Group({**picked, **shaped}, count if rows is None else len(rows), rows))
    return groups


def _by_shared_value(signature: Signature, group: Group) -> list[Group]:
    """The group, or, when inputs that a run shares have several values in it, a group for each."""
    shared = [group.feeds[tensor.name] for tensor in signature.inputs if tensor.shared]
    if not shared or group.count < 2:
        return [group]
    members: dict[tuple[Any, ...], list[int]] = {}
    for row in range(group.count):
        members.setdefault(tuple(exact(feed[row]) for feed in shared), []).append(row)
    if len(members) == 1:
        return [group]
    rows = np.arange(group.count) if group.rows is None else group.rows
    return [
        Group({name: feed[mine] for name, feed in group.feeds.items()}, len(mine), rows[mine])
        for mine in members.values()
    ]


def exact(value: Any) -> Any:
    """Equal only for equal bits: NaN is itself."""
    array = np.asarray(value)
    return tuple(array.ravel()) if array.dtype == object else array.tobytes()
