"""The folder of a job's outputs. Whoever looks into it sees whole files: each is written elsewhere and renamed.

    out/a.parquet
    out/.sqlinfer/job.record                 what the outputs are answers to
    out/.sqlinfer/done/a.parquet.record      the same, with what the input and the output were when they were done
    out/.sqlinfer/run-HOST-…/                what is being written; whoever comes after a run that was killed clears it

Several processes, on several machines, may write into one folder at once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlinfer.errors import ScoringFailed, named
from sqlinfer.scoring.files import InputFile
from sqlinfer.temporary import temporary_folder

__all__ = ["OutputFolder", "state_of"]

_JOB, _DONE, _RECORD = "job.record", "done", ".record"
_A_DAY = 86_400
_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """``asked``: what its outputs are answers to, as JSON has it; ``model``: the one of them, for people."""

    path: Path
    asked: Mapping[str, Any]

    @contextmanager
    def claimed(self, files: Sequence[InputFile], *, overwrite: bool) -> Iterator[Path]:
        """A folder for what is being written, as long as this is open; the outputs' is this job's then, and another
        job's outputs are gone from it. ``files``: all of the job. Raises ScoringFailed where the folder is another
        job's, or cannot be written."""
        with ExitStack() as stack:
            try:
                self._own.mkdir(parents=True, exist_ok=True)
                drafts = stack.enter_context(self._drafts())
                self._claim(drafts, files, overwrite=overwrite)
            except OSError as error:
                raise ScoringFailed(f"the folder {self.path} cannot be written: {error}") from error
            yield drafts

    def left(self, files: Sequence[InputFile], *, resume: bool, overwrite: bool) -> list[InputFile]:
        """The files that are to be scored. Raises ScoringFailed where an output is there that is not to be replaced."""
        there = [file for file in files if os.path.lexists(self.path / file.name)]
        if there and not (resume or overwrite):
            raise ScoringFailed.outputs(len(there), self.path / there[0].name)
        if not resume:
            return list(files)
        records = {file: _read(self._record(file)) for file in there}
        if not overwrite:
            if foreign := [file for file, record in records.items() if record is None]:
                raise ScoringFailed.foreign(len(foreign), self.path / foreign[0].name)
            for file, record in records.items():
                if record is not None and record.get("asked") != self.asked:
                    raise self._other(record.get("asked"), self.path / file.name)
        done = {file for file, record in records.items() if self._is_done(file, record)}
        return [file for file in files if file not in done]

    def finish(self, file: InputFile, before: list[int], draft: Path, rows: int) -> None:
        """Let the draft be the output of a file that was as ``before`` when it was read. Raises ScoringFailed where
        the folder has become another job's."""
        self._require_own()
        target = self.path / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("rb+") as written:
            os.fsync(written.fileno())
        record = self._record(file)
        record.parent.mkdir(parents=True, exist_ok=True)
        # first, so that no output is without; until it is there, it is not the one that is recorded
        mine = state_of(draft)
        fields = {"asked": self.asked, "input": before, "output": mine, "rows": rows, "from": file.path}
        _draft(draft.parent, fields).replace(record)
        draft.replace(target)
        try:  # the other job may have looked for outputs before this one was there
            self._require_own()
        except ScoringFailed:
            with suppress(FileNotFoundError):
                if state_of(target) == mine:
                    target.unlink()
            raise

    def _require_own(self) -> None:
        known = _read(self._own / _JOB)
        if known != self.asked:
            other = "is no job's any more" if known is None else f"has become that of a job by {known.get('model')}"
            raise ScoringFailed(f"the folder {self.path} {other}: name another folder with -o")

    def _drafts(self) -> AbstractContextManager[Path]:
        host = re.sub(r"[^\w-]", "_", socket.gethostname())
        for other in self._own.glob("run-*"):
            with suppress(OSError):  # another machine's, whose locks may not be seen here
                latest = max(path.stat().st_mtime for path in (other, *other.iterdir()))
                if not other.name.startswith(f"run-{host}-") and time.time() - latest > _A_DAY:
                    shutil.rmtree(other, ignore_errors=True)
        return temporary_folder(self._own, f"run-{host}-")

    def _claim(self, drafts: Path, files: Sequence[InputFile], *, overwrite: bool) -> None:
        record, draft = self._own / _JOB, _draft(drafts, self.asked)
        try:
            os.link(draft, record)
            return
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not record.exists():
                draft.replace(record)
                return
        known = _read(record)
        if known != self.asked:
            if not overwrite:
                raise self._other(known)
            self._clear(files)
            draft.replace(record)

    def _clear(self, files: Sequence[InputFile]) -> None:
        """Remove the outputs of other jobs, but for what was changed since: that is no job's."""
        done = self._own / _DONE
        records = {path: _read(path) for path in sorted(done.rglob(f"*{_RECORD}"))}
        others = {path: fields for path, fields in records.items() if fields and fields.get("asked") != self.asked}
        outputs = {path: self.path / str(path.relative_to(done)).removesuffix(_RECORD) for path in others}
        inputs = {os.path.realpath(file.path) for file in files}
        if used := [output for output in outputs.values() if os.path.realpath(output) in inputs]:
            raise ScoringFailed(f"{used[0]} is an output that --overwrite removes: name another folder with -o")
        for path, output in outputs.items():
            with suppress(FileNotFoundError):
                if state_of(output) == others[path].get("output"):
                    output.unlink()
            path.unlink(missing_ok=True)

    @property
    def _own(self) -> Path:
        return self.path / ".sqlinfer"

    def _record(self, file: InputFile) -> Path:
        return self._own / _DONE / f"{file.name}{_RECORD}"

    def _is_done(self, file: InputFile, record: Mapping[str, Any] | None) -> bool:
        if record is None or record.get("asked") != self.asked:
            return False
        try:
            states = state_of(Path(file.path)), state_of(self.path / file.name)
        except OSError:  # whoever scores it says so
            return False
        return (record.get("input"), record.get("output")) == states

    def _other(self, known: Any, place: Path | None = None) -> ScoringFailed:
        known = known if isinstance(known, dict) else {}
        words = [word for word, value in self.asked.items() if known.get(word) != value]
        return ScoringFailed.other_job(
            place or self.path,
            str(self.asked["model"]),
            str(known.get("model", "an unknown model")),
            [f"{word}: {_shown(known.get(word))}, and not {_shown(self.asked[word])}" for word in words],
        )


def state_of(path: Path) -> list[int]:
    """Another one when the file is another. Raises OSError."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return named(value)
    return "none" if value is None else str(value)[:_MOST_SHOWN]


def _read(record: Path) -> dict[str, Any] | None:
    """None where there is no record, or none that can be read."""
    try:
        fields = json.loads(record.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def _draft(folder: Path, fields: Mapping[str, Any]) -> Path:
    draft = folder / f"{uuid.uuid4().hex}{_RECORD}"
    draft.write_text(json.dumps(fields, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return draft
