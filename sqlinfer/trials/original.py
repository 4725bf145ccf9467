"""A file as it came, run by ONNX Runtime alone, each row in a run of its own and on one thread: what SQL is held to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.graphs.batch_axis import Parts
from sqlinfer.graphs.describe import Seen
from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.signature import Signature, Tensor
from sqlinfer.runtime.batches import Group, plan
from sqlinfer.runtime.ending import Interrupted, ended_by
from sqlinfer.runtime.outputs import answer
from sqlinfer.runtime.preprocess import preparers
from sqlinfer.runtime.session import PlainSession, Session
from sqlinfer.types import DTYPES

__all__ = ["Changes", "PlainRun"]

# A value may say how often a graph goes round a loop.
_LONGEST = 1.0
# As ONNX Runtime calls the element types that NumPy has.
_ELEMENTS = {"float32": "float", "float64": "double"}
_DTYPES = {f"tensor({_ELEMENTS.get(name, name)})": one.numpy for name, one in DTYPES.items() if name != "bfloat16"}


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done to the file's graph before it is stored: ``graph`` before its sequences became tensors, as
    ``parts`` say, and its outputs had their rows first, as ``seen`` says. ``constants``: by input."""

    graph: Graph
    parts: Mapping[str, Parts]
    seen: Mapping[str, Seen]
    constants: Mapping[str, Any]


class PlainRun:
    """``answers(table)`` are those of the file itself, by call."""

    def __init__(self, name: str, file: Path | bytes, changes: Changes, signature: Signature, session: Session) -> None:
        """``session``: of the graph that is to be stored. Raises LookupError for a file that takes or gives what NumPy
        has no type for, and what ONNX Runtime raises for one that it does not load."""
        self._name = name
        self._changes = changes
        self._signature = signature
        self._session = session
        self._plain = PlainSession(file)
        self._dtypes = {name: _DTYPES[kind] for name, (kind, _) in self._plain.inputs.items()}
        self._constants = {name: self._constant(name, given) for name, given in changes.constants.items()}
        kinds = [kind for kind in self._plain.outputs.values() if kind.startswith("tensor(")]
        if unknown := next((kind for kind in kinds if kind not in _DTYPES), None):
            raise LookupError(unknown)
        # the graph may have other names for them, in the same order
        self._called = dict(zip(changes.graph.outputs, self._plain.outputs, strict=True))

    def answers(self, table: pa.Table) -> dict[str, list[Any]]:
        """A row that has a NULL is None where that is the policy of its feature. Raises ModelFailed, FeatureError,
        TimeoutError for a row that takes too long, and LookupError for maps without one of the classes."""
        signature = self._signature
        columns = [table.column(feature.name).combine_chunks() for feature in signature.features]
        made = preparers(signature, self._session.file, plain=True)
        packed = plan(self._name, signature, [column.type for column in columns], made).pack(columns)
        kept = np.flatnonzero(packed.keep) if packed.keep is not None else np.arange(len(table))
        found: dict[str, list[Any]] = {call: [None] * len(table) for call in signature.calls}
        for group in packed.groups:
            places = kept if group.rows is None else kept[group.rows]
            for place, feeds in zip(places, _one_by_one(group), strict=True):
                tensors = self._run(feeds)
                for call, how in signature.calls.items():
                    given = answer(signature, how, [tensors[output] for output in how.outputs])
                    found[call][place] = given.to_pylist(maps_as_pydicts="strict")[0]
        return found

    def _run(self, row: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of the stored graph for one row, each with that row first."""
        feeds = {tensor.name: self._fed(tensor, row[tensor.name]) for tensor in self._changes.graph.inputs}
        wanted = list(self._called.values())
        given = dict(zip(wanted, self._within_time({**feeds, **self._constants}, wanted), strict=True))
        tensors: dict[str, np.ndarray] = {}
        for name, called in self._called.items():
            tensors |= self._tensors(name, given[called])
        return {name: self._rows_first(name, tensors[name]) for name in self._changes.seen}

    def _within_time(self, feeds: dict[str, np.ndarray], wanted: list[str]) -> list[Any]:
        until = time.monotonic() + _LONGEST
        token = ended_by.set(lambda: time.monotonic() > until)
        try:
            return self._plain.run(wanted, feeds)
        except Interrupted as error:
            raise TimeoutError(f"it takes more than {_LONGEST:g} s") from error
        finally:
            ended_by.reset(token)

    def _fed(self, tensor: Tensor, value: np.ndarray) -> np.ndarray:
        axis = self._changes.graph.row_axes[0][tensor.name]
        if axis is None:
            value = value[:1].reshape(value.shape[1:])  # also of one text, which is to stay an array
        else:
            value = np.moveaxis(np.repeat(value, tensor.shape[0] or 1, axis=0), 0, axis)
        return np.ascontiguousarray(value).astype(self._dtypes[tensor.name], copy=False).reshape(value.shape)

    def _constant(self, name: str, given: Any) -> np.ndarray:
        shape = [length if isinstance(length, int) and length > 0 else -1 for length in self._plain.inputs[name][1]]
        value = np.asarray(given, self._dtypes[name])
        return value.reshape(shape) if value.ndim else np.broadcast_to(value, [max(length, 1) for length in shape])

    def _tensors(self, name: str, value: Any) -> dict[str, np.ndarray]:
        if not isinstance(value, list):
            return {name: np.asarray(value)}
        if name not in self._changes.parts:  # maps, of which SQL has the scores
            labels = self._changes.graph.classes[name].labels
            return {name: np.array([[scores[label] for label in labels] for scores in value])}
        parts = self._changes.parts[name]
        if parts.count is not None:
            return {f"{name}_{i}": part for i, part in enumerate(value)}
        if not value:
            return {name: np.zeros([abs(length) for length in parts.empty or ()], np.float32)}
        return {name: np.stack(value, axis=parts.axis)}

    def _rows_first(self, name: str, tensor: np.ndarray) -> np.ndarray:
        order = self._changes.seen[name].order
        return tensor[np.newaxis] if order is None else np.transpose(tensor, order)[:1]


def _one_by_one(group: Group) -> Iterator[dict[str, np.ndarray]]:
    return ({name: feed[i : i + 1] for name, feed in group.feeds.items()} for i in range(group.count))
