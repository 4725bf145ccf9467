"""Features that are texts or images: what reads them, and which rows go into the graph together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sqlinfer.models.signature import ImagePreparation, Signature, TextPreparation, WordsPreparation
from sqlinfer.runtime.batches import Group, Plan, Preparer
from sqlinfer.runtime.images import ImagePreparer
from sqlinfer.runtime.texts import TextPreparer, padded
from sqlinfer.runtime.words import Words

# What is prepared at a time; a single row may take more.
_PREPARED_BYTES = 32 << 20

__all__ = ["chunks", "prepared_groups", "preparers"]


def preparers(signature: Signature, file: Callable[[str], bytes], *, plain: bool = False) -> dict[str, Preparer]:
    """By feature. ``file`` gives the content of a file beside the graph. ``plain``: without the extension. Raises
    MissingExtra, RegistryError."""
    found: dict[str, Preparer] = {}
    for feature in signature.features:
        if isinstance(feature.prepare, TextPreparation):
            found[feature.name] = TextPreparer(signature, feature, file(feature.prepare.tokenizer))
        elif isinstance(feature.prepare, ImagePreparation):
            found[feature.name] = ImagePreparer(feature, plain=plain)
        elif isinstance(feature.prepare, WordsPreparation):
            found[feature.name] = Words(file(feature.prepare.file), feature.prepare.file)
    return found


def chunks(
    signature: Signature, made: Mapping[str, Preparer], columns: Sequence[pa.Array], rows: np.ndarray
) -> Iterator[np.ndarray]:
    """The rows, so many at a time that their tokens and pixels fit in memory."""
    readers = [
        (reader, column)
        for feature, column in zip(signature.features, columns, strict=True)
        if isinstance(reader := made.get(feature.name), (ImagePreparer, TextPreparer))
    ]
    start, taken = 0, 0
    for i, row in enumerate(rows):
        needed = sum(reader.bytes_of(column[int(row)].as_py()) for reader, column in readers)
        if taken and taken + needed > _PREPARED_BYTES:
            yield rows[start:i]
            start, taken = i, 0
        taken += needed
    yield rows[start:]


def prepared_groups(plan: Plan, columns: Sequence[pa.Array], rows: np.ndarray) -> list[Group]:
    """Groups of these rows; each knows its rows' places in the columns."""
    some = [column.take(pa.array(rows)) for column in columns]
    groups = plan.groups(some, len(rows))
    if len(groups) == 1 and groups[0].rows is None:
        return [replace(groups[0], rows=rows)]
    free = [f for f in plan.signature.features if None in plan.signature.input(f.tensor).shape[1:]]
    shared = any(tensor.shared for tensor in plan.signature.inputs)
    if len(free) == 1 and not shared and isinstance(free[0].prepare, TextPreparation):
        groups = padded(groups, free[0])
    return [replace(group, rows=rows[group.rows]) for group in groups]
