"""Models of texts and images on trial: rows to try them with, and what putting rows together does to their answers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.models.compare import compare
from sqlinfer.models.signature import Batch, Feature, ImagePreparation, Signature, TextPreparation
from sqlinfer.runtime.preprocess import preparers
from sqlinfer.runtime.session import Session, plain_outputs
from sqlinfer.runtime.texts import TextPreparer
from sqlinfer.trials.batch_invariance import BatchInvariance, Feeds

__all__ = ["TRIAL_ROWS", "classes_agree", "made_up", "prepared_rules"]

TRIAL_ROWS = 12
_FEWEST = 6
_MOSAIC = (48, 64)
_TEXTS = (
    "A short text.",
    "The film begins slowly, but its last hour is worth the ticket, and the music stays with you!",
    "Würde sie 1,5 Millionen € kosten? «Peut-être», répondit-il.",
    "a",
    "机器学习 makes tables talk 🙂",
)


def made_up(signature: Signature, feature: Feature, random: np.random.Generator) -> pa.Array:
    """Six rows: images, or texts of several lengths and scripts, the last too long for the model."""
    prepare = feature.prepare
    if isinstance(prepare, TextPreparation):
        return pa.array([*_TEXTS, " ".join(_TEXTS[1].split() * (1 + prepare.max_length // 16))])
    # what is not resized has the model's own size
    own = isinstance(prepare, ImagePreparation) and not prepare.steps
    sides = signature.input(feature.tensor).shape[1:3] if own else (None, None)
    height, width = (side or other for side, other in zip(sides, _MOSAIC, strict=True))
    return pa.array([_mosaic(random, height, width) for _ in range(len(_TEXTS) + 1)], pa.binary())


def prepared_rules(
    name: str,
    signature: Signature,
    session: Session,
    content: bytes,
    tables: Sequence[pa.Table],
    tolerance: float,
    *,
    together: bool,
) -> Signature:
    """The signature of a model of texts or images, with what putting rows together does to their answers.

    Rows of equal length must get together what they get alone, else they are run one by one; rows of other lengths
    are padded only if that, too, leaves their answers as they are. ``content``: of the graph. ``tables``: the first
    that has rows to try is used. ``together``: the user wants it all the same. Raises InvalidModel for a model that
    does not run.
    """
    text = next((f for f in signature.features if isinstance(f.prepare, TextPreparation)), None)
    trial = BatchInvariance(name, signature, session, content)
    rows = _rows(trial, tables)
    if not rows or signature.batch.fixed not in (None, 1):
        return replace(signature, features=tuple(_without_padding(f) if f is text else f for f in signature.features))
    if text is None:
        return replace(signature, batch=trial.batch(rows, tolerance, together=together))
    _require_lengths(trial, rows, text)
    if signature.input(text.tensor).shape[1] is not None:
        return replace(signature, batch=trial.batch(rows, tolerance, together=together))
    length = int(np.median([feeds[text.tensor].shape[1] for feeds in rows]))
    even = [_cut(feeds, text, length) for feeds in rows if feeds[text.tensor].shape[1] >= length]
    batch = trial.batch(even, tolerance, together=together)
    longest = max(feeds[text.tensor].shape[1] for feeds in rows)
    padded = [_padded(feeds, text, longest) for feeds in rows]
    may_pad = _masks(text) and batch == Batch(multiple=batch.multiple) and _are_alike(trial, rows, padded, tolerance)
    features = [_without_padding(f) if f is text and not may_pad else f for f in signature.features]
    return replace(signature, features=tuple(features), batch=batch)


def classes_agree(before: bytes, after: bytes, rows: np.ndarray) -> bool:
    """Whether ONNX Runtime alone gives the rows the same labels by two forms of a classifier, and scores that differ in
    the last digits only."""
    try:
        old, new = (plain_outputs(graph, rows) for graph in (before, after))
    except Exception:  # of the one that is stored it is told what is wrong
        return False
    same = [a.shape == b.shape for a, b in zip(old, new, strict=True)]
    return all(same) and (old[0] == new[0]).all() and np.allclose(old[1], new[1], rtol=1e-5, atol=1e-37, equal_nan=True)


def _rows(trial: BatchInvariance, tables: Sequence[pa.Table]) -> list[Feeds]:
    """The rows of the first table that has any. Tokens that no text of it has take part, too."""
    rows = next((rows for table in tables if (rows := trial.rows(_different(table)))), [])
    if not rows:
        return []
    rows *= 1 + (_FEWEST - 1) // len(rows)
    random = np.random.default_rng(0)
    for feature in trial.signature.features:
        reader = preparers(trial.signature, trial.session.file).get(feature.name)
        if isinstance(reader, TextPreparer):
            rows = [_varied(feeds, feature, reader.vocabulary, random) for feeds in rows]
    return rows


def _different(table: pa.Table) -> pa.Table:
    """The first rows of which none is there twice."""
    found: dict[str, int] = {}
    for i in range(len(table)):
        found.setdefault(repr(table.slice(i, 1).to_pylist()), i)
        if len(found) == TRIAL_ROWS:
            break
    return table.take(pa.array(found.values(), pa.int64()))


def _require_lengths(trial: BatchInvariance, rows: Sequence[Feeds], text: Feature) -> None:
    """Raises InvalidModel for the first length that the model does not take."""
    for feeds in sorted(rows, key=lambda feeds: feeds[text.tensor].shape[1]):
        try:
            trial.run(feeds)
        except ModelFailed as error:
            raise InvalidModel(
                f"the model does not run on a text of {feeds[text.tensor].shape[1]} tokens; cut texts to what it "
                f"takes, with --max-length N (max_length=N): {error}"
            ) from error


def _are_alike(trial: BatchInvariance, rows: Sequence[Feeds], others: Sequence[Feeds], tolerance: float) -> bool:
    """Whether each row gets the same answers in another form."""
    pairs = ((trial.run(a), trial.run(b)) for a, b in zip(rows, others, strict=True))
    return all(compare(a, b, tolerance).passed for a, b in pairs)


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


def _mosaic(random: np.random.Generator, height: int, width: int) -> bytes:
    """A PNG file in twelve colours."""
    colours = random.integers(0, 256, (3, 4, 3), np.uint8)
    return _png(colours[np.arange(height) * 3 // height][:, np.arange(width) * 4 // width])


def _png(pixels: np.ndarray) -> bytes:
    """Pixels [height, width, 3] as a file (PNG, ISO/IEC 15948), each line unfiltered."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
