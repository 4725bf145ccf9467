"""What a damaged file may do, and what none may do."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

import sqlinfer
from sqlinfer.errors import InvalidModel, SqlinferError
from sqlinfer.models.sample import table_of_rows
from sqlinfer.registration.sandbox import Limits, Worker
from tests.conftest import ENGINES
from tests.fuzz.mutations import SECRET

__all__ = ["Outcome", "try_file"]

_MEMORY = "2GB"
# What this process itself may compute beyond the limit: starting a worker, and two engines.
_SLACK = 5.0
# For a model that ran into its limit when it was asked: a machine that is busy elsewhere ends no model in that.
_AMPLE = 600.0
_GUARDED = ("took down the process", "was given up after", "needs more than")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One mutated file. ``verdict``: 'answers', 'refused', 'guarded' (the process of its own was needed for it) or
    'WRONG'; ``text`` is what was said, ``seconds`` what this process computed."""

    seed: str
    mutation: str
    verdict: str
    text: str
    seconds: float


def try_file(path: Path, seed: str, mutation: str, asking: Worker, seconds: float = 20) -> Outcome:
    """Register the file and predict. ``asking``: where the questions are asked, so that a crash can be told.
    ``seconds``: how long either may take, and how long this process may compute, which no limit ends."""
    started = time.process_time()
    verdict, text = _tried(path, asking, seconds)
    taken = time.process_time() - started
    if taken > seconds + _SLACK:
        verdict, text = "WRONG", f"it took {taken:.0f} seconds of this process ({text})"
    return Outcome(seed, mutation, verdict, text, taken)


def _tried(path: Path, asking: Worker, seconds: float) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as home:
        try:
            sqlinfer.register("m", path, registry=home, time_limit=seconds, memory_limit=_MEMORY)
        except SqlinferError as error:
            if left := [p for p in Path(home).rglob("*") if p.is_file() and not p.name.startswith(".lock")]:
                return "WRONG", f"refused, and left {left}"
            return _refused(str(error), path)
        except Exception as error:  # anything else is what is looked for
            return "WRONG", "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        if any(SECRET in file.read_bytes() for file in Path(home).rglob("*") if file.is_file()):
            return "WRONG", "it read a file outside of its folder"
        return _asked(home, asking, seconds)


def _asked(home: str, asking: Worker, seconds: float) -> tuple[str, str]:
    for allowed in (seconds, _AMPLE):
        try:
            return asking.call(_answers, home, about="the stored model", limits=Limits.of(allowed, _MEMORY))
        except InvalidModel as error:
            told = f"registered, and then {error}"
            if "was given up after" not in told:
                break
    return "WRONG", told


def _refused(text: str, path: Path) -> tuple[str, str]:
    if "Traceback" in text or len(text) > 2000 or not text.strip():
        return "WRONG", f"unclear: {text[:2000]}"
    if not any(words in text for words in (str(path), "'m'", "model")):
        return "WRONG", f"nothing says what is meant: {text}"
    return ("guarded" if any(words in text for words in _GUARDED) else "refused"), text


def _answers(home: str) -> tuple[str, str]:
    """Ask the model its proof rows, and NULL, on every engine."""
    manifest = sqlinfer.Registry(home).get("m").manifest
    names = manifest.signature.feature_names
    rows = table_of_rows(manifest.signature.features, manifest.proof.rows)
    nothing = ", ".join("NULL" for _ in names)
    for engine in ENGINES:
        with sqlinfer.connect(registry=home, engine=engine) as con:
            con.register("rows", rows.select(names))
            try:
                con.execute("SELECT predict('m', rows) FROM rows").fetchall()
            except (SqlinferError, duckdb.Error) as error:
                return "WRONG", f"registered, and then on engine {engine}: {error}"
            with suppress(SqlinferError, duckdb.Error):  # a NULL may be what the model cannot take
                con.execute(f"SELECT predict('m', {nothing})").fetchall()
    return "answers", ""
