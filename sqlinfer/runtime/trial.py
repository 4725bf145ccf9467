"""Models of texts and images on trial: rows to try them with, and what putting rows together does to their answers."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.models.signature import Batch, Feature, ImagePreparation, Signature, TextPreparation
from sqlinfer.proof import compare
from sqlinfer.runtime.batches import Group, plan
from sqlinfer.runtime.prepare import preparers
from sqlinfer.runtime.session import Session
from sqlinfer.runtime.texts import TextPreparer
from sqlinfer.types import DTYPES

__all__ = ["TRIAL_ROWS", "made_up", "prepared_rules", "require_same"]

TRIAL_ROWS = 12
# How ONNX Runtime writes what ONNX calls float32 and float64.
_DTYPES = {"float": "float32", "double": "float64"}
_TEXTS = (
    "A short text.",
    "The film begins slowly, but its last hour is worth the ticket, and the music stays with you!",
    "Würde sie 1,5 Millionen € kosten? «Peut-être», répondit-il.",
    "a",
    "机器学习 makes tables talk 🙂",
)

Feeds = dict[str, np.ndarray]


def made_up(prepare: TextPreparation | ImagePreparation, random: np.random.Generator) -> pa.Array:
    """Six rows: images, or texts of several lengths and scripts, the last too long for the model."""
    if isinstance(prepare, TextPreparation):
        return pa.array([*_TEXTS, " ".join(_TEXTS[1].split() * (1 + prepare.max_length // 16))])
    return pa.array([_mosaic(random) for _ in range(len(_TEXTS) + 1)], pa.binary())


def prepared_rules(
    name: str, signature: Signature, session: Session, table: pa.Table, tolerance: float, *, together: bool
) -> Signature:
    """The signature of a model of texts or images, with what putting rows together does to their answers.

    Rows of equal length must get together what they get alone, else they are run one by one; rows of other lengths
    are padded only if that, too, leaves their answers as they are. ``together``: the user wants it all the same.
    Raises InvalidModel for a model that does not run.
    """
    text = next((f for f in signature.features if isinstance(f.prepare, TextPreparation)), None)
    trial = _Trial(signature, session)
    rows = trial.rows(name, table.slice(0, TRIAL_ROWS))
    if not rows or signature.batch.fixed not in (None, 1):
        return replace(signature, features=tuple(_without_padding(f) if f is text else f for f in signature.features))
    if text is None:
        shapes = [x.shape for x in rows[0].values()]
        even = [feeds for feeds in rows if [x.shape for x in feeds.values()] == shapes]
        return replace(signature, batch=trial.batch(even, tolerance, together=together))
    trial.lengths(rows, text)
    if signature.input(text.tensor).shape[1] is not None:
        return replace(signature, batch=trial.batch(rows, tolerance, together=together))
    length = int(np.median([feeds[text.tensor].shape[1] for feeds in rows]))
    even = [_cut(feeds, text, length) for feeds in rows if feeds[text.tensor].shape[1] >= length]
    batch = trial.batch(even, tolerance, together=together)
    longest = max(feeds[text.tensor].shape[1] for feeds in rows)
    padded = [_padded(feeds, text, longest) for feeds in rows]
    may_pad = _masks(text) and batch == Batch() and trial.alike(rows, padded, tolerance)
    features = [_without_padding(f) if f is text and not may_pad else f for f in signature.features]
    return replace(signature, features=tuple(features), batch=batch)


def require_same(name: str, before: bytes, after: bytes, tolerance: float) -> None:
    """Raises InvalidModel unless two forms of a graph answer the same for made-up numbers."""
    old, new = Session(before, name), Session(after, name)
    random = np.random.default_rng(0)
    feeds = {}
    for tensor, (kind, axes) in old.inputs.items():
        dtype = kind.removeprefix("tensor(").removesuffix(")")
        shape = [axis if isinstance(axis, int) else 64 if i > 1 else 1 for i, axis in enumerate(axes)]
        feeds[tensor] = random.random(shape).astype(DTYPES[_DTYPES.get(dtype, dtype)].numpy)
    ran = [dict(zip(old.outputs, session.run(old.outputs, feeds, 1), strict=True)) for session in (old, new)]
    found = compare(ran[1], ran[0], tolerance)
    if not found.passed:
        raise InvalidModel(
            f"the model was converted to a newer opset, in which images can be resized, and answers something else: "
            f"{found.text}; export it with opset 18 or later"
        )


class _Trial:
    def __init__(self, signature: Signature, session: Session) -> None:
        self.signature = signature
        self.session = session

    def rows(self, name: str, table: pa.Table) -> list[Feeds]:
        """Each row as the tensors of a run of its own. Tokens that no text of the table has take part, too."""
        columns = [table.column(feature.name).combine_chunks() for feature in self.signature.features]
        made = preparers(self.signature, self.session.file)
        groups = plan(name, self.signature, [column.type for column in columns], made).pack(columns).groups
        rows = [feeds for group in groups for feeds in _one_by_one(group) if all(x.size for x in feeds.values())]
        random = np.random.default_rng(0)
        for feature in self.signature.features:
            reader = made.get(feature.name)
            if isinstance(reader, TextPreparer):
                rows = [_varied(feeds, feature, reader.vocabulary, random) for feeds in rows]
        return rows

    def lengths(self, rows: Sequence[Feeds], text: Feature) -> None:
        """Raises InvalidModel for the first length that the model does not take."""
        for feeds in sorted(rows, key=lambda feeds: feeds[text.tensor].shape[1]):
            try:
                self._run(feeds, 1)
            except ModelFailed as error:
                raise InvalidModel(
                    f"the model does not run on a text of {feeds[text.tensor].shape[1]} tokens; cut texts to what it "
                    f"takes, with --max-length N (max_length=N): {error}"
                ) from error

    def batch(self, rows: Sequence[Feeds], tolerance: float, *, together: bool) -> Batch:
        """Whether rows of one shape get in one run what they get alone."""
        batch = self.signature.batch
        if len(rows) < 2 or batch.fixed is not None or batch.most is not None:
            return batch
        feeds = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        started = time.perf_counter()
        joined = self._run(feeds, len(rows))
        between = time.perf_counter()
        alone = [self._run(row, 1) for row in rows]
        ended = time.perf_counter()
        found = [compare({name: joined[name]}, {name: [one[name][0] for one in alone]}, tolerance) for name in joined]
        if all(difference.passed for difference in found):
            return batch
        neighbours = float(f"{max(difference.largest for difference in found):.2g}")
        cost = max(1.0, round((ended - between) / max(between - started, 1e-9), 1))
        return replace(batch, neighbours=neighbours) if together else Batch(None, 1, neighbours, cost)

    def alike(self, rows: Sequence[Feeds], others: Sequence[Feeds], tolerance: float) -> bool:
        """Whether each row gets the same answers in another form."""
        pairs = ((self._run(a, 1), self._run(b, 1)) for a, b in zip(rows, others, strict=True))
        return all(compare(a, b, tolerance).passed for a, b in pairs)

    def _run(self, feeds: Feeds, rows: int) -> Feeds:
        names = [output.name for output in self.signature.outputs]
        return dict(zip(names, self.session.run(names, feeds, rows), strict=True))


def _one_by_one(group: Group) -> list[Feeds]:
    return [{name: feed[i : i + 1] for name, feed in group.feeds.items()} for i in range(group.count)]


def _varied(feeds: Feeds, text: Feature, vocabulary: int, random: np.random.Generator) -> Feeds:
    """Other words between the first token and the last."""
    ids = feeds[text.tensor].copy()
    ids[:, 1:-1] = random.integers(0, vocabulary, ids[:, 1:-1].shape)
    return {**feeds, text.tensor: ids}


def _cut(feeds: Feeds, text: Feature, length: int) -> Feeds:
    return {name: feed[:, :length] if name in text.tensors else feed for name, feed in feeds.items()}


def _padded(feeds: Feeds, text: Feature, length: int) -> Feeds:
    result = dict(feeds)
    for name in text.tensors:
        fill = _pad(text) if name == text.tensor else 0
        result[name] = np.pad(feeds[name], ((0, 0), (0, length - feeds[name].shape[1])), constant_values=fill)
    return result


def _masks(text: Feature) -> bool:
    return isinstance(text.prepare, TextPreparation) and text.prepare.mask is not None


def _pad(text: Feature) -> int:
    return (text.prepare.pad or 0) if isinstance(text.prepare, TextPreparation) else 0


def _without_padding(text: Feature) -> Feature:
    prepare = text.prepare
    return replace(text, prepare=replace(prepare, pad=None)) if isinstance(prepare, TextPreparation) else text


def _mosaic(random: np.random.Generator) -> bytes:
    """A PNG file of 48 x 64 pixels in twelve colours."""
    return _png(np.kron(random.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1), np.int64)).astype(np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    """Pixels [height, width, 3] as a file (PNG, ISO/IEC 15948), each line unfiltered."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
