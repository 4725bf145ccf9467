"""Rows in files, read as DuckDB reads them: ``--sample x.csv`` and ``FROM 'x.csv'`` have the same columns and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlinfer.errors import FeatureError

__all__ = ["rows_of"]

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".txt": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
    ".parquet": "read_parquet",
}
_COMPRESSED = (".gz", ".zst")


def rows_of(data: Any) -> Any:
    """Other forms of rows as they are, and those of a file as an Arrow table. Raises FeatureError."""
    return _read(Path(data)) if isinstance(data, (str, Path)) else data


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise FeatureError(f"there is no file {path} to read rows from")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    with path.open("rb") as file:
        other = "read_parquet" if file.read(4) == b"PAR1" else "read_csv"
    reader = _READERS.get(suffixes[-1], other) if suffixes else other
    try:
        with duckdb.connect() as con:
            table: pa.Table = con.sql(f"FROM {reader}($path)", params={"path": str(path)}).to_arrow_table()
    except duckdb.Error as error:
        kind = reader.removeprefix("read_").upper()
        raise FeatureError(f"{path} cannot be read as {kind}: {str(error).splitlines()[0]}") from error
    return table
