"""The files of a job: found as DuckDB finds them in SQL, and called in the output folder as they are called here."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import duckdb

from sqlinfer.connection import Connection
from sqlinfer.errors import ScoringAskedWrongly, ScoringFailed, named
from sqlinfer.models.signature import quoted
from sqlinfer.sql.literals import text_literal

__all__ = ["InputFile", "find_files", "is_file_name", "shard_of"]

_READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json", "jsonl": "read_json"}
_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_COMPRESSED = (".gz", ".zst")
_GLOB = re.compile(r"[*?\[]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class InputFile:
    """``path``: as DuckDB names it. ``name``: that of its output, in the output folder. ``form``: how its rows are
    written. ``hive``: the SQL types of the columns that the names of its folders are, or None where they are none."""

    path: str
    name: str
    form: str
    size: int
    hive: tuple[tuple[str, str], ...] | None = None

    @property
    def reader(self) -> str:
        return _READERS[self.form]

    def read(self, *options: str, types: Mapping[str, str] | None = None, hive: Mapping[str, str] | None = None) -> str:
        """SQL for its rows. ``options``: of its reader. ``types``: of columns of a CSV file. ``hive``: of those that
        its folders are."""
        folders = f"hive_partitioning = {str(self.hive is not None).lower()}"
        said = [text_literal(_escaped(self.path)), folders, *options]
        if hive:
            said.append(f"hive_types = {{{', '.join(f'{quoted(k)}: {t}' for k, t in hive.items())}}}")
        if types:
            said.append(f"types = {{{', '.join(f'{quoted(k)}: {text_literal(t)}' for k, t in types.items())}}}")
        return f"{self.reader}({', '.join(said)})"

    @property
    def folders(self) -> set[str]:
        """The columns that the folders of its output still tell, in lower case."""
        return {key for key, _ in _pairs(self.name)} if self.hive is not None else set()


def find_files(con: Connection, patterns: Sequence[str], output: Path, form: str | None) -> list[InputFile]:
    """In the order of the outputs' names. ``form``: that of all outputs, else each has that of its input.

    Raises ScoringAskedWrongly for a folder and an address, and ScoringFailed where there are none, where two would
    have one output, and where one would be written over.
    """
    found: list[InputFile] = []
    for pattern in map(os.path.expanduser, patterns):
        base, folder = _base(pattern), output.resolve()
        # what a job before this one has written is no input
        own = folder != base.resolve() and folder.is_relative_to(base.resolve())
        paths = [path for path in _glob(con, pattern) if not (own and _folder_of(path).is_relative_to(folder))]
        if not paths:
            raise ScoringFailed(f"there are no files {pattern}")
        try:
            found += [_file(path, base, form) for path in paths]
        except OSError as error:  # it went away, or may not be read
            raise ScoringFailed(f"{error.filename or pattern} cannot be read: {error.strerror or error}") from error
    unique = list({file.path: file for file in found}.values())
    _require_apart(unique, output)
    return _with_partitions(con, sorted(unique, key=lambda file: os.fsencode(file.name)))


def shard_of(files: Sequence[InputFile], number: int, count: int) -> list[InputFile]:
    """The files of shard ``number`` of ``count``, counted from 1: all shards together have each file once."""
    return list(files[number - 1 :: count])


def is_file_name(name: str) -> bool:
    """Whether it ends as the name of a file of rows does."""
    return name.lower().endswith(tuple(f"{suffix}{more}" for suffix in _SUFFIXES for more in ("", *_COMPRESSED)))


def _glob(con: Connection, pattern: str) -> list[str]:
    if _ADDRESS.match(pattern):
        raise ScoringAskedWrongly(f"{pattern} is an address: a job reads files of this machine; mount or copy them")
    if Path(pattern).is_dir():
        raise ScoringAskedWrongly(
            f"{pattern} is a folder: write which of its files, as in '{pattern.rstrip('/')}/*.parquet'"
        )
    if Path(pattern).is_file():  # whatever is in its name
        return [pattern]
    try:
        rows = con.execute("SELECT file FROM glob(?)", [pattern]).fetchall()
    except duckdb.Error as error:
        raise ScoringFailed(f"{pattern} cannot be listed: {str(error).splitlines()[0]}") from error
    return [path for (path,) in rows]


def _base(pattern: str) -> Path:
    """The folder that a pattern is about: up to its first wildcard."""
    if Path(pattern).is_file():
        return Path(pattern).parent
    parts = PurePath(pattern).parts[:-1]
    plain = next((i for i, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    return Path(*parts[:plain])


def _file(path: str, base: Path, form: str | None) -> InputFile:
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise ScoringFailed(f"{path} is not a plain file; write a pattern that leaves it out")
    name = PurePath(os.path.relpath(path, base))
    own = _form_of(path)
    if form is not None and form != own:
        name = name.with_name(f"{_stem(name)}.{form}")
    return InputFile(path, name.as_posix(), own, status.st_size)


def _form_of(path: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePath(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    with Path(path).open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    raise ScoringFailed(
        f"{path}: a file is known by how its name ends, {named(_SUFFIXES)}; rename it, or write a pattern that "
        "leaves it out, as in 'in/*.parquet'"
    )


def _stem(name: PurePath) -> str:
    """Without what tells the format."""
    stem = name.name
    for suffixes in (_COMPRESSED, tuple(_SUFFIXES)):
        if stem.lower().endswith(suffixes):
            stem = stem[: stem.rindex(".")]
    return stem


def _require_apart(files: Iterable[InputFile], output: Path) -> None:
    outputs: dict[str, str] = {}
    inputs = {os.path.realpath(file.path): file.path for file in files}
    for file in files:
        if file.name in outputs:
            raise ScoringFailed(
                f"{outputs[file.name]} and {file.path} would both become {output / file.name}: score them into two "
                "folders, or quote a pattern, as in 'in/*/*.parquet', whose folders the outputs then have, too"
            )
        outputs[file.name] = file.path
        if (over := inputs.get(os.path.realpath(output / file.name))) is not None:
            raise ScoringFailed(f"the answers would be written over {over}: name another folder with -o")


def _folder_of(path: str) -> Path:
    """Where it stands, whatever it links to."""
    return Path(path).parent.resolve()


def _escaped(path: str) -> str:
    """A path for a function of DuckDB's that takes a pattern."""
    return _GLOB.sub(lambda sign: f"[{sign[0]}]", path)


def _pairs(path: str) -> list[tuple[str, str]]:
    """The ``year=2024`` among its folders; the key in lower case."""
    folders = (part.split("=") for part in path.split("/")[:-1])
    return [(parts[0].lower(), parts[1]) for parts in folders if len(parts) == 2 and parts[0]]


def _with_partitions(con: Connection, files: list[InputFile]) -> list[InputFile]:
    """With the columns that folders are where all files have the same ones, which is when SQL has them, too: their
    types are those that suit all files."""
    keys = {tuple(key for key, _ in _pairs(file.path)) for file in files}
    if len(keys) != 1 or not next(iter(keys)):
        return files
    values: dict[str, set[str]] = {}
    for file in files:
        for key, value in _pairs(file.path):
            values.setdefault(key, set()).add(value)
    types = tuple((key, _type_of(con, sorted(found))) for key, found in values.items())
    return [replace(file, hive=types) for file in files]


def _type_of(con: Connection, values: list[str]) -> str:
    """As DuckDB finds it out (AutoDetectHiveTypes)."""
    known = [value for value in values if value != "__HIVE_DEFAULT_PARTITION__"]
    for type in ("DATE", "TIMESTAMP", "BIGINT"):
        query = f"SELECT coalesce(bool_and(TRY_CAST(v AS {type}) IS NOT NULL), false) FROM unnest(?::VARCHAR[]) t(v)"
        if con.execute(query, [known]).fetchall() == [(True,)]:
            return type
    return "VARCHAR"
