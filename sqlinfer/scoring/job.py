"""What is asked of every file of a job, and how one file is scored: by DuckDB, from the file into a file."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import duckdb

from sqlinfer.connection import connect
from sqlinfer.errors import RegistryError, ScoringAskedWrongly, ScoringFailed, SqlinferError, named, suggest
from sqlinfer.models.labels import label_of
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.signature import Label, quoted
from sqlinfer.scoring.files import InputFile
from sqlinfer.scoring.folder import OutputFolder, state_of
from sqlinfer.scoring.rows import rows_of
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.version import __version__

__all__ = ["Job", "Outcome", "Scoring"]

_COPY = {
    "parquet": "FORMAT parquet",
    "csv": "FORMAT csv, HEADER",
    "json": "FORMAT json, ARRAY true",
    "jsonl": "FORMAT json",
}
_KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
# What the library and DuckDB tell whoever writes SQL, and what is to be done about a file.
_IN_SQL = (
    (r"but the argument is ", "but the file's column is "),
    (
        r"write CAST\(round\(.*?\) AS (\w+)\) if that is what you mean",
        r"write the file with whole numbers that \1 holds",
    ),
    (r"write CAST\(.*? AS ([^()]+)\)", r"write the file with a column of \1"),
    (
        r"write the texts that the model knows, such as CASE WHEN .*? END",
        "write the file with texts that the model knows",
    ),
    (r"take the number you mean, such as epoch\(.*?\) or month\(.*?\)", "write the file with the number you mean"),
    (r"filter with WHERE .*? IS NOT NULL", "leave such rows out of the file"),
    (r"\s*\bTry (?:increasing|setting|using)\b.*", ""),
)
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class Job:
    """``model``: a version, as churn/3, whose files are those of ``sha256`` and ``digest`` (see `Manifest`).
    ``column``: what the answers are called, and ``columns`` which ones an output has, None for all. ``form``: how
    outputs are written, None as each input is. ``tolerant``: a row that fails has NULL for an answer."""

    model: str
    sha256: str
    digest: str
    call: str = "predict"
    class_: Label | None = None
    column: str = "score"
    columns: tuple[str, ...] | None = None
    form: str | None = None
    tolerant: bool = False

    @classmethod
    def of(cls, model: StoredModel, call: str, class_: str | None, **how: Any) -> Job:
        """Raises ModelNotFound where the model has no such answer, CallError where it has no such class,
        ScoringAskedWrongly for what cannot be asked."""
        manifest = model.manifest
        model.call(call)
        label = None if class_ is None else label_of(manifest.name, manifest.signature.labels, call, class_)
        job = cls(f"{manifest.name}/{manifest.version}", manifest.sha256, manifest.digest, call, label, **how)
        if job.columns is not None and job.column.lower() not in {name.lower() for name in job.columns}:
            raise ScoringAskedWrongly(
                f"the columns {named(job.columns)} are without the answers, {job.column}: add that to --columns, or "
                "call them otherwise with --as NAME"
            )
        return job

    @property
    def asked(self) -> dict[str, Any]:
        """All that makes answers others, by the names of the command's options, as JSON has it."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            "model.json": self.digest,
            "call": self.call,
            "class": self.class_,
            "as": self.column,
            "columns": None if self.columns is None else list(self.columns),
            "format": self.form,
            "try": self.tolerant,
        }

    @property
    def told(self) -> dict[str, str]:
        """What a Parquet file says about its answers."""
        call = self.call if self.class_ is None else f"{self.call} of {self.class_}"
        facts = {"model": self.model, "sha256": self.sha256, "call": call, "column": self.column}
        return {f"sqlinfer_{name}": text for name, text in {**facts, "version": __version__}.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a file: how many rows were scored, or why they were not."""

    file: InputFile
    rows: int = 0
    error: str | None = None


class Scoring:
    """A connection at work on a job, one file after the other."""

    def __init__(self, job: Job, registry: Registry, engine: str, **options: Any) -> None:
        """``options``: DuckDB's own. Raises RegistryError where the version is not there, or another one is."""
        self.job = job
        self.model = registry.get(job.model)
        if self.model.manifest.digest != job.digest:
            raise RegistryError(
                f"{job.model} in {registry.home} is another model than the job's (its model.json has the sha256 "
                f"{self.model.manifest.digest[:12]}…, not {job.digest[:12]}…)"
            )
        self.con = connect(registry=registry, engine=engine, **options)
        # no table is a variable of this program, and the terminal is another's
        self.con.execute("SET python_enable_replacements = false; SET enable_progress_bar = false")

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, *error: object) -> None:
        self.con.close()

    def require_fit(self, files: Sequence[InputFile]) -> None:
        """Raises ScoringFailed where none of the files has rows that can be scored; none is."""
        errors = []
        for file in files:
            try:
                self.check(file)
                return
            except (duckdb.Error, SqlinferError) as error:
                errors.append(f"{file.path}: {said(error)}")
        if errors:
            others = f"; none of the {len(errors)} files can be scored" if len(errors) > 1 else ""
            raise ScoringFailed(f"{errors[0]}{others}")

    def check(self, file: InputFile) -> None:
        """Raises SqlinferError or a DuckDB error where rows of such columns cannot be scored; none is."""
        self.con.sql(self._select(file))

    def score(self, file: InputFile, folder: OutputFolder, drafts: Path) -> Outcome:
        """Nothing is at the place of the output but what was there, or all of it."""
        draft = drafts / f"{uuid.uuid4().hex}.draft"
        try:
            return Outcome(file, self._write(file, folder, draft))
        except (duckdb.Error, SqlinferError, OSError) as error:
            return Outcome(file, error=said(error).replace(str(draft), str(folder.path / file.name)))
        finally:
            draft.unlink(missing_ok=True)

    def _write(self, file: InputFile, folder: OutputFolder, draft: Path) -> int:
        before = state_of(Path(file.path))
        how = self._how(file)
        # on a line of its own, as a query may end in a comment
        ((rows,),) = self.con.execute(f"COPY ({self._select(file)}\n) TO {text_literal(draft)} ({how})").fetchall()
        if state_of(Path(file.path)) != before:
            raise ScoringFailed("it was changed while it was read; score it again with --resume")
        folder.finish(file, before, draft, rows)
        return int(rows)

    def _how(self, file: InputFile) -> str:
        """How the output is written: what its name promises."""
        *others, suffix = ["", *(suffix.lower() for suffix in PurePath(file.name).suffixes)]
        form = self.job.form or file.form
        how = [_COPY[form]]
        if form == "parquet":
            pairs = (f"{name}: {text_literal(text)}" for name, text in self.job.told.items())
            how.append(f"KV_METADATA {{{', '.join(pairs)}}}")
        elif suffix in _COMPRESSIONS:
            how.append(f"COMPRESSION {_COMPRESSIONS[suffix]}")
        if form == "csv" and ".tsv" in (suffix, *others[-1:]):
            how.append("DELIMITER '\t'")
        return ", ".join(how)

    def _select(self, file: InputFile) -> str:
        job = self.job
        features = {feature.name.lower(): feature.type for feature in self.model.manifest.signature.features}
        rows, columns = rows_of(self.con, file, features, job.form or file.form)
        names = {column.lower(): column for column in columns}
        if job.column.lower() in names:
            raise ScoringFailed.taken(job.column, columns)
        alias = "sqlinfer_row"
        while alias in names:
            alias += "_"
        answer = f"{job.call}({text_literal(job.model)}, {alias})"
        if job.class_ is not None:
            answer = f"{answer}[{literal(job.class_)}]"
        answer = f"{f'TRY({answer})' if job.tolerant else answer} AS {quoted(job.column)}"
        if job.columns is None:  # the output's folders tell the others
            wanted = [*(column for column in columns if column.lower() not in file.folders), job.column]
        else:
            wanted = [self._found(column, names) for column in job.columns]
        asked = [answer if column == job.column else f"{alias}.{quoted(column)}" for column in wanted]
        return f"SELECT {', '.join(asked)} FROM {rows} {alias}"

    def _found(self, column: str, names: dict[str, str]) -> str:
        if column.lower() == self.job.column.lower():
            return self.job.column
        if column.lower() not in names:
            raise ScoringFailed(
                f"it has no column {column!r}, which --columns asks for; {suggest(column, names.values(), 'columns')}"
            )
        return names[column.lower()]


def said(error: Exception) -> str:
    """What happened, in a line, and what to do about a file; where it is in the SQL is nothing that the user has
    written, and neither are the reader's settings."""
    text = str(error).partition("\n\n")[0].strip()
    for in_sql, in_file in _IN_SQL:
        text = re.sub(in_sql, in_file, text)
    return "; ".join(_KIND.sub("", line) for line in text.splitlines() if line)
