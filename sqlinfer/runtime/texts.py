"""Texts → token ids, in runs that waste nothing: rows of equal length together, few tokens at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from sqlinfer.errors import MissingExtra, RegistryError
from sqlinfer.models.signature import Feature, Signature, TextPreparation
from sqlinfer.runtime.batches import Group
from sqlinfer.runtime.nested import Cells
from sqlinfer.runtime.unreadable import Unreadable, is_room

__all__ = ["TOKENS_PER_RUN", "TextPreparer", "padded"]

# Measured with 6 layers of 384: fewer tokens wait for the weights, more fall out of the nearest caches.
TOKENS_PER_RUN = 512
# What a run costs beside its tokens, in tokens.
_RUN_COSTS = 16
# A text of more bytes is refused, and one that has more once it is normalised: a novel has a few millions. The
# extension has the same bounds, in core/preprocess/text.rs.
_MOST_BYTES = 8 << 20
_MOST_NORMALISED = 16 << 20
# Texts of more characters are looked at first, in pieces of so many.
_LONG = 1 << 14
# What tokenizers takes for each byte of a text that is nothing but short words: 400 was seen.
_WORK_SPACE = 512
# One of these at a time in a process.
_HUGE = 1 << 20
_huge_one = threading.Lock()

T = TypeVar("T")


def _caught(work: Callable[[], T]) -> T:
    """What the package calls a panic is no Exception."""
    try:
        return work()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(str(error)) from error


class TextPreparer:
    """Reads the texts of one feature. May be called from any thread."""

    def __init__(self, signature: Signature, feature: Feature, content: bytes) -> None:
        assert isinstance(feature.prepare, TextPreparation)
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra.of("tokenizers", "text", "a model that takes text") from error
        try:
            self._tokenizer: Any = _caught(lambda: Tokenizer.from_buffer(content))
        except Exception as error:  # the package raises nothing more particular
            raise RegistryError(f"{feature.prepare.tokenizer} is not a tokenizer ({error})") from error
        self._feature = feature
        self._prepare = feature.prepare
        self._names = feature.tensors
        ids = signature.input(feature.tensor)
        self._length = ids.shape[1]
        self._dtypes = {name: np.dtype(signature.input(name).dtype) for name in self._names}

    def __call__(self, texts: pa.Array) -> dict[str, Cells]:
        """Raises Unreadable."""
        encodings = self._encoded(texts.to_pylist())
        ids = [encoding.ids for encoding in encodings]
        for mine in ids:
            self._require(mine)
        columns = {self._names[0]: ids}
        if self._prepare.mask is not None:
            columns[self._prepare.mask] = [[1] * len(row) for row in ids]
        if self._prepare.types is not None:
            columns[self._prepare.types] = [encoding.type_ids for encoding in encodings]
        return {name: self._cells(name, columns[name]) for name in self._names}

    def bytes_of(self, text: str | None) -> int:
        """How much memory the tokens of a text will take at most."""
        tokens = max(len((text or "").encode()), self._length or 0)
        return min(tokens, self._prepare.max_length) * 8 * len(self._names)

    def _encoded(self, texts: Sequence[str]) -> list[Any]:
        """Short texts together, on all cores; a long one alone."""
        encodings: list[Any] = []
        for row, text in enumerate([*texts, None]):
            if text is not None and len(text) <= _LONG:
                continue
            encodings += self._together(texts[len(encodings) : row])
            if text is not None:
                encodings.append(self._alone(text))
        return encodings

    def _together(self, texts: Sequence[str]) -> list[Any]:
        try:
            encodings: list[Any] = _caught(lambda: self._tokenizer.encode_batch_fast(texts))
            return encodings
        except Exception:  # one of them cannot be encoded: which, and why
            return [self._alone(text) for text in texts]

    def _alone(self, text: str) -> Any:
        size = len(text.encode())
        if size > _MOST_BYTES:
            raise Unreadable(self._feature, f"it has {size} bytes, of {_MOST_BYTES} at most")
        try:
            with _huge_one if size > _HUGE else nullcontext():
                if len(text) > _LONG:
                    self._require_room(text)
                return _caught(lambda: self._tokenizer.encode_batch_fast([text]))[0]
        except Unreadable:
            raise
        except Exception as error:  # the package raises nothing more particular
            raise Unreadable(self._feature, str(error)) from error

    def _require_room(self, text: str) -> None:
        """What is normalised may be longer, and the library would not survive that there is no memory for it."""
        normalizer, length = self._tokenizer.normalizer, len(text.encode())
        if normalizer is not None:
            length = 0
            for start in range(0, len(text), _LONG):
                length += len(_caught(partial(normalizer.normalize_str, text[start : start + _LONG])).encode())
                if length > _MOST_NORMALISED:
                    reason = f"normalised, it has more than {_MOST_NORMALISED} bytes"
                    raise Unreadable(self._feature, reason)
        if not is_room(length * _WORK_SPACE):
            raise Unreadable(self._feature, f"there is no memory for the tokens of {length} bytes")

    def _require(self, ids: Sequence[int]) -> None:
        most = self._prepare.max_length
        if len(ids) > most:
            raise Unreadable(self._feature, f"it makes {len(ids)} tokens, of {most} at most")
        limit = np.iinfo(self._dtypes[self._names[0]]).max
        if odd := next((id for id in ids if id > limit), None):
            raise Unreadable(self._feature, f"the model takes no token {odd}")

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
