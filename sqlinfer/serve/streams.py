"""Arrow IPC streams: rows by name in, batches of answers out."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence

import pyarrow as pa

from sqlinfer.errors import MissingFeature
from sqlinfer.models.sample import columns_of
from sqlinfer.serve.errors import Refused
from sqlinfer.serve.models import Version

__all__ = ["ARROW_STREAM", "batches_of", "stream_of"]

ARROW_STREAM = "application/vnd.apache.arrow.stream"


def batches_of(version: Version, body: bytes) -> list[pa.RecordBatch]:
    """The features of the rows, batch by batch. Raises Refused, FeatureError."""
    try:
        _require_plain(body)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            schema, batches = reader.schema, list(reader)
        for batch in (schema.empty_table(), *batches):
            batch.validate(full=True)  # what a stranger sent may point anywhere
        str(schema.names)  # and need not be UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused.malformed(f"the body is no Arrow IPC stream: {str(error)[:200]}") from error
    rows = sum(batch.num_rows for batch in batches)
    if rows > len(body):
        raise Refused.malformed(f"a request of {len(body):,} bytes has no {rows:,} rows")
    names = version.signature.feature_names
    return [_features(version.name, names, batch) for batch in batches or [schema.empty_table().combine_chunks()]]


def stream_of(version: Version, call: str, answers: Sequence[pa.Array], type: pa.DataType) -> Iterator[bytes]:
    """A stream of one column, which is called as the call is."""
    facts = {"model": version.name, "version": version.version, "sha256": version.sha256}
    schema = pa.schema([pa.field(call, type)], metadata=facts)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for array in answers:
            if len(array):
                writer.write_batch(pa.RecordBatch.from_arrays([array], schema=schema))
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
    yield sink.getvalue()


def _features(model: str, names: list[str], batch: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    """What the model takes of a batch, under its own names: batches of several requests may then go together."""
    found = columns_of(batch, names)
    missing = [name for name, column in zip(names, found, strict=True) if column is None]
    if missing:
        raise MissingFeature.of(model, missing, names)
    arrays = [pa.array([], c.type) if isinstance(c, pa.ChunkedArray) else c for c in found if c is not None]
    return pa.RecordBatch.from_arrays(arrays, names)


def _require_plain(body: bytes) -> None:
    """Compressed buffers may unpack to any size before anybody can look at it."""
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
        if message.type in ("record batch", "dictionary") and _is_compressed(
            message.metadata.to_pybytes(), message.type
        ):
            raise Refused(
                415, "the buffers of the stream are compressed; send them plain, the whole gzipped if need be"
            )


def _is_compressed(metadata: bytes, kind: str) -> bool:
    """By the flatbuffer of Arrow's Message: its third field is the header; of a RecordBatch the fourth is how its
    buffers are compressed. A dictionary has such a batch as its second."""
    (root,) = struct.unpack_from("<I", metadata, 0)
    header = _table(metadata, root, 2)
    if kind == "dictionary" and header is not None:
        header = _table(metadata, header, 1)
    return header is not None and _table(metadata, header, 3) is not None


def _table(buffer: bytes, table: int, field: int) -> int | None:
    """Where a field of a table of a flatbuffer is that is a table, too; None where it has none."""
    vtable = table - int(struct.unpack_from("<i", buffer, table)[0])
    (size,) = struct.unpack_from("<H", buffer, vtable)
    if 4 + 2 * field >= size:
        return None
    offset = int(struct.unpack_from("<H", buffer, vtable + 4 + 2 * field)[0])
    if offset == 0:
        return None
    (there,) = struct.unpack_from("<I", buffer, table + offset)
    return table + offset + int(there)
