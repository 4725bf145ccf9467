"""Texts → token ids, in runs that waste nothing: rows of equal length together, few tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import MissingExtra, RegistryError
from sqlinfer.models.signature import Feature, Signature, TextPreparation
from sqlinfer.runtime.batches import Group
from sqlinfer.runtime.nested import Cells

__all__ = ["TOKENS_PER_RUN", "TextPreparer", "padded"]

# Measured with 6 layers of 384: fewer tokens wait for the weights, more fall out of the nearest caches.
TOKENS_PER_RUN = 512
# What a run costs beside its tokens, in tokens.
_RUN_COSTS = 16


class TextPreparer:
    """Reads the texts of one feature. May be called from any thread."""

    def __init__(self, signature: Signature, feature: Feature, content: bytes) -> None:
        assert isinstance(feature.prepare, TextPreparation)
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra.of("tokenizers", "text", "a model that takes text") from error
        try:
            self._tokenizer: Any = Tokenizer.from_buffer(content)
        except Exception as error:  # the package raises nothing more particular
            raise RegistryError(f"{feature.prepare.tokenizer} is not a tokenizer ({error})") from error
        self._prepare = feature.prepare
        self._names = feature.tensors
        ids = signature.input(feature.tensor)
        self._length = ids.shape[1]
        self._dtypes = {name: np.dtype(signature.input(name).dtype) for name in self._names}

    def __call__(self, texts: pa.Array) -> dict[str, Cells]:
        encodings = self._tokenizer.encode_batch_fast(texts.to_pylist())
        ids = [encoding.ids for encoding in encodings]
        columns = {self._names[0]: ids}
        if self._prepare.mask is not None:
            columns[self._prepare.mask] = [[1] * len(row) for row in ids]
        if self._prepare.types is not None:
            columns[self._prepare.types] = [encoding.type_ids for encoding in encodings]
        return {name: self._cells(name, columns[name]) for name in self._names}

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return int(self._tokenizer.get_vocab_size())

    def _cells(self, name: str, rows: list[list[int]]) -> Cells:
        if self._length is not None:
            fill = (self._prepare.pad or 0) if name == self._names[0] else 0
            rows = [row + [fill] * (self._length - len(row)) for row in rows]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.fromiter((i for row in rows for i in row), self._dtypes[name], int(lengths.sum()))
        return Cells(values, lengths, lengths[:, None])


def padded(groups: Sequence[Group], feature: Feature) -> list[Group]:
    """Groups of neighbouring lengths made one where padding costs less than another run."""
    prepare = feature.prepare
    assert isinstance(prepare, TextPreparation)
    if prepare.pad is None or len(groups) < 2:
        return list(groups)
    merged: list[list[Group]] = []
    rows = 0
    for group in sorted(groups, key=lambda g: g.feeds[feature.tensor].shape[1]):
        length = group.feeds[feature.tensor].shape[1]
        if merged:
            padding = rows * (length - merged[-1][-1].feeds[feature.tensor].shape[1])
            if padding <= _RUN_COSTS and (rows + group.count) * length <= TOKENS_PER_RUN:
                merged[-1].append(group)
                rows += group.count
                continue
        merged.append([group])
        rows = group.count
    return [_joined(run, feature, prepare.pad) for run in merged]


def _joined(run: list[Group], feature: Feature, pad: int) -> Group:
    if len(run) == 1:
        return run[0]
    longest = run[-1].feeds[feature.tensor].shape[1]
    feeds = {}
    for name in run[0].feeds:
        parts = [group.feeds[name] for group in run]
        if name in feature.tensors:
            fill = pad if name == feature.tensor else 0
            parts = [np.pad(x, ((0, 0), (0, longest - x.shape[1])), constant_values=fill) for x in parts]
        feeds[name] = np.concatenate(parts)
    return Group(feeds, sum(group.count for group in run), np.concatenate([g.rows for g in run if g.rows is not None]))
