"""Run a model on a few rows, to see what it does rather than what it declares."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.graphs.axes import RowAxes
from sqlinfer.graphs.batch_axis import Parts
from sqlinfer.graphs.describe import Seen
from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.signature import Feature, ImagePreparation, Signature, TextPreparation
from sqlinfer.runtime.batches import Packed, plan
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.preprocess import preparers
from sqlinfer.runtime.session import Session
from sqlinfer.trials.batch_axis import input_axes, output_axis
from sqlinfer.trials.synthetic_rows import LENGTHS, stand_ins, stand_ins_size
from sqlinfer.trials.texts_and_images import TRIAL_ROWS

__all__ = ["Observation", "Probe", "observe", "parts_of_sequences", "run_on", "settled_axes"]

# Rows of two runs: fewer where free axes are longer, so that no axis that grows with their lengths seems to count rows.
_TRIAL_ROWS = (3, 2)
# What exporters leave behind: the rows of the example that they traced.
_COUNTS = (1, 4, 8, 16, 32)
_MOST_MADE_UP = 1_000_000
# A file may declare any shape; this much memory is there.
_MOST_VALUES = 100_000_000
_TOO_MANY = f"a row of the model has more than {_MOST_VALUES:,} values, too many to make up"
# After that many seconds of refusals no other lengths are tried.
_PATIENCE = 2.0


class Probe:
    """All calls of a model that is not stored yet, on rows of a table."""

    def __init__(self, name: str, signature: Signature, session: Session) -> None:
        self.name = name
        self.signature = signature
        self.session = session
        self._predictors = {
            call: Predictor(name, signature, how, session)
            for call, how in signature.calls.items()
            if call != "infer" or how is signature.calls["predict"]
        }

    def answers(self, table: pa.Table) -> dict[str, list[Any]]:
        columns = [table.column(feature.name).combine_chunks() for feature in self.signature.features]
        return {
            call: predictor(*columns).to_pylist(maps_as_pydicts="strict")
            for call, predictor in self._predictors.items()
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """``outputs``: each that has an answer for each row. ``lengths``: two lengths of free axes that the model ran
    with."""

    outputs: dict[str, Seen]
    lengths: tuple[int, int]


def observe(
    session: Session, graph: Graph, features: Sequence[Feature] = (), sample: pa.Table | None = None
) -> Observation:
    """What comes out of the graph, and where its rows are.

    The graph runs on batches of two sizes; an axis that differs is free. Rows of the sample are what it knows; only
    made-up ones come in two sizes of each free inner axis. Raises InvalidModel for a graph that does not run.
    """
    if not graph.outputs:  # all were sequences without parts
        return Observation({}, LENGTHS[0])
    trial = _try(session, graph, features, sample)
    seen = {}
    for name in graph.outputs:
        arrays = [run[name] for run in trial.runs]
        if all(isinstance(array, np.ndarray) for array in arrays) and arrays[0].ndim == arrays[1].ndim:
            axes = _axes_of_rows(session, graph, name, [array.shape for array in arrays], trial)
            believed = _believed(session, graph, name, arrays[0].ndim, trial.certain)
            shown = _seen(arrays, axes, trial.rows, believed)
            if shown is not None:
                seen[name] = shown
    return Observation(seen, trial.lengths)


@dataclass(frozen=True, slots=True)
class _Trial:
    """Two runs: how many rows each had, and what came out. ``batches``: the rows of the sample. ``certain``: the runs
    differed in all that may differ but the values."""

    rows: tuple[int, int]
    lengths: tuple[int, int]
    runs: list[dict[str, Any]]
    batches: list[dict[str, np.ndarray]]
    certain: bool


def _try(session: Session, graph: Graph, features: Sequence[Feature], sample: pa.Table | None) -> _Trial:
    free = any(axis is None for tensor in graph.inputs for axis in tensor.shape[1:])
    rows = (graph.inputs[0].shape[0] or _TRIAL_ROWS[0], graph.inputs[0].shape[0] or _TRIAL_ROWS[1])
    if sample is None or not len(sample):
        lengths, runs = _made_up_runs(session, graph, rows, free)
        return _Trial(rows, lengths, runs, [], True)
    pairs = zip(rows, (0, -1), strict=True)
    batches = [_sampled(session, graph, features, sample, count, which) for count, which in pairs]
    runs = [_run(session, graph, feeds) for feeds in batches]
    return _Trial(rows, LENGTHS[0], runs, batches, not free)


def parts_of_sequences(
    session: Session, graph: Graph, features: Sequence[Feature] = (), sample: pa.Table | None = None
) -> dict[str, Parts]:
    """By output that is a sequence of tensors, what it is in SQL; without parts where two runs had none.

    Raises InvalidModel where they have many shapes, and another number in another run.
    """
    trial = _try(session, graph, features, sample)
    return {
        name: _parts(name, [run[name] for run in trial.runs], trial.rows, may_be_empty=name in graph.data_dependent)
        for name in graph.sequences
    }


def _parts(name: str, sequences: Sequence[Sequence[np.ndarray]], rows: tuple[int, int], *, may_be_empty: bool) -> Parts:
    counts = [len(sequence) for sequence in sequences]
    shapes = [[part.shape for part in sequence] for sequence in sequences]
    ranks = {len(shape) for found in shapes for shape in found}
    if len(ranks) < 2 and all(len(set(found)) < 2 for found in shapes):
        if not any(counts):
            return Parts(count=0)
        has_rows = all(shape[:1] == (count,) for found, count in zip(shapes, rows, strict=True) for shape in found)
        lengths = [axis.pop() if len(axis) == 1 else 0 for axis in map(set, zip(*chain(*shapes), strict=True))]
        empty = (-1, 0, *lengths[1:]) if has_rows else (0, *lengths)
        varies = may_be_empty or counts[0] != counts[1]
        return Parts(axis=1 if has_rows else 0, empty=empty if varies else None)
    if counts[0] != counts[1]:
        raise InvalidModel.ragged(name, counts, rows)
    return Parts(count=counts[0])


def settled_axes(session: Session, graph: Graph) -> RowAxes:
    """Where the inputs of a graph have their rows, whose declared shapes leave a choice.

    Raises InvalidModel where trial rows do not tell.
    """
    rows = graph.inputs[0].shape[0] or _TRIAL_ROWS[0]
    if stand_ins_size(graph, rows, LENGTHS[0][0]) > _MOST_VALUES:
        raise InvalidModel(f"{_TOO_MANY}; say where the rows are, with --batch-axis INPUT=AXIS (batch_axis=…)")
    return input_axes(session, graph, stand_ins(graph, rows, LENGTHS[0][0]))


def _made_up_runs(
    session: Session, graph: Graph, rows: tuple[int, int], free: bool
) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """Runs on made-up rows, of the first two lengths of free axes that the model takes."""
    refused: InvalidModel | None = None
    started = time.monotonic()
    for lengths in LENGTHS if free else LENGTHS[:1]:
        size = stand_ins_size(graph, rows[1], lengths[1])
        late = time.monotonic() - started > _PATIENCE
        if size > _MOST_VALUES or (refused and (size > _MOST_MADE_UP or late)):
            continue
        batches = [stand_ins(graph, count, length) for count, length in zip(rows, lengths, strict=True)]
        try:
            return lengths, [_run(session, graph, feeds) for feeds in batches]
        except InvalidModel as error:
            refused = refused or error
    raise refused or InvalidModel(f"{_TOO_MANY}; give rows with --sample FILE (sample=rows)")


def run_on(session: Session, graph: Graph, features: Sequence[Feature], table: pa.Table) -> dict[str, Any]:
    """Run the graph, whatever comes out. Raises ModelFailed for rows that it refuses."""
    for group in _packed(session, graph, features, table).groups:
        session.run(list(graph.outputs), group.feeds, group.count)
    return {}


def _packed(session: Session, graph: Graph, features: Sequence[Feature], table: pa.Table) -> Packed:
    unknowing = Signature(tuple(features), graph.inputs, (), {})
    given = [_plain(table.column(feature.name)) for feature in features]
    made = preparers(unknowing, session.file)
    return plan("the sample", unknowing, [array.type for array in given], made).pack(given)


def _axes_of_rows(
    session: Session,
    graph: Graph,
    name: str,
    shapes: Sequence[tuple[int, ...]],
    trial: _Trial,
) -> list[int]:
    """The axes of an output that count the rows, as its user says or as two runs show."""
    rank = len(shapes[0])
    if name in graph.told and name not in {tensor.name for tensor in graph.inputs}:
        axis = graph.told[name]
        if axis is not None and not 0 <= axis < rank:
            raise InvalidModel(f"output {name!r} of shape {list(shapes[0])} has no axis {axis}")
        return [] if axis is None else [axis]
    axes = [i for i in range(rank) if (shapes[0][i], shapes[1][i]) == trial.rows]
    if len(axes) > 1 and trial.rows[0] == trial.rows[1] > 1:
        fits = stand_ins_size(graph, trial.rows[0], trial.lengths[0]) <= _MOST_VALUES
        made_up = [stand_ins(graph, trial.rows[0], trial.lengths[0])] if fits else []
        axes = [output_axis(session, graph, name, axes, [*trial.batches, *made_up])]
    return axes


def _believed(session: Session, graph: Graph, name: str, rank: int, certain: bool) -> list[bool]:
    """The axes of an output whose length is what two runs showed: those that have a length in the file, or that ONNX
    Runtime infers. A dimension that the file leaves dynamic stays dynamic, even if two runs agree.

    ``certain``: as in `_Trial`.
    """
    declared, inferred = graph.declared[name], session.shapes[name]
    named = declared if declared is not None and len(declared) == rank else None
    lengths = inferred if len(inferred) == rank else named or [None] * rank
    given = [isinstance(length, int) for length in lengths]
    if name in graph.data_dependent:
        return given
    return [True if certain or named is None else known for known in given]


def _seen(
    arrays: Sequence[np.ndarray], axes: Sequence[int], rows: tuple[int, int], believed: Sequence[bool]
) -> Seen | None:
    """One output of two runs, whose rows are on the first of the ``axes``; None when no axis counts the rows."""
    dtype, rank = _dtype_name(arrays[0]), arrays[0].ndim
    pairs = list(zip(arrays[0].shape, arrays[1].shape, strict=True))
    lengths = [
        one if one == other and one > 0 and sure else None for (one, other), sure in zip(pairs, believed, strict=True)
    ]
    if rows == (1, 1) and 0 not in axes:
        # one row was in the run, so all of it is that row's
        return Seen(dtype, (None, *lengths), None)
    if not axes:
        return None
    order = (axes[0], *(i for i in range(rank) if i != axes[0]))
    return Seen(dtype, (None, *(lengths[i] for i in order[1:])), order)


def _run(session: Session, graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = len(next(iter(feeds.values())))
    try:
        return dict(zip(graph.outputs, session.run(list(graph.outputs), feeds, rows), strict=True))
    except ModelFailed as error:
        possible = _possible_rows(session, graph, feeds)
        shape = ",".join(str(length) for length in (possible, *feeds[graph.inputs[0].name].shape[1:]))
        axis = f"--input_name {graph.inputs[0].name} --input_shape {shape}"
        raise InvalidModel.rows(rows, error, possible, axis) from error


def _possible_rows(session: Session, graph: Graph, feeds: dict[str, np.ndarray]) -> int | None:
    """How many of the rows the graph runs on, where it declares any number and does not mean it."""
    if any(tensor.shape[0] is not None for tensor in graph.inputs):
        return None
    for count in _COUNTS:
        some = {name: np.resize(feed, (count, *feed.shape[1:])) for name, feed in feeds.items()}
        with suppress(ModelFailed):
            session.run(list(graph.outputs), some, count)
            return count
    return None


def _sampled(
    session: Session, graph: Graph, features: Sequence[Feature], sample: pa.Table, rows: int, which: int
) -> dict[str, np.ndarray]:
    """The feeds of ``rows`` rows of one shape: that of the first whole row of the sample, or of the last."""
    names = [feature.name for feature in features]
    whole = sample.select(names).drop_null()
    whole = whole if len(whole) else sample.select(names)
    if any(isinstance(feature.prepare, (TextPreparation, ImagePreparation)) for feature in features):
        whole = whole.slice(0, TRIAL_ROWS)
    packed = _packed(session, graph, features, whole)
    if not packed.groups:
        return stand_ins(graph, rows, rows + 1)
    group = packed.groups[which]
    few = np.arange(rows) % min(group.count, rows)
    return {name: feed[few] for name, feed in group.feeds.items()}


def _plain(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _dtype_name(array: np.ndarray) -> str:
    return "string" if array.dtype == object else str(array.dtype)
