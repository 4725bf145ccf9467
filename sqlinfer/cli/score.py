"""sqlinfer score: many files, each of which becomes a file of answers."""

from __future__ import annotations

import csv
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sqlinfer.cli.ending import ending
from sqlinfer.cli.options import existing_registry, reference_argument, registry_option
from sqlinfer.cli.progress import EVERY_SECONDS, bar, is_looked_at, share_done, tell_share, watched
from sqlinfer.cli.words import for_the_terminal
from sqlinfer.errors import CallError, ScoringAskedWrongly

if TYPE_CHECKING:
    from sqlinfer.scoring.files import InputFile
    from sqlinfer.scoring.folder import OutputFolder
    from sqlinfer.scoring.job import Outcome, Scoring

__all__ = ["score"]

_TRY = re.compile(r"write TRY\([^()]*\([^()]*\)\)")


def _shard(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text or "1/1")
    number, count = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise click.BadParameter(f"{text}: write which one of how many, from 1/16 to 16/16")
    return number, count


def _columns(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """As a line of CSV has them."""
    if text is None:
        return None
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not all(names) or len({name.lower() for name in names}) < len(names):
        raise click.BadParameter(f"{text!r}: write each column once, as in id,score")
    return tuple(names)


def _folder(context: click.Context, option: click.Parameter, path: Path) -> Path:
    from sqlinfer.scoring.files import is_file_name

    if not path.is_dir() and is_file_name(path.name):
        raise click.BadParameter(
            f"{path}: give a folder, in which each output is called as its input; 'sqlinfer query -o {path.name}' "
            "writes one file"
        )
    if path.exists() and not path.is_dir():
        raise click.BadParameter(f"{path} is a file: give a folder")
    return path


@click.command()
@reference_argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    callback=_folder,
    help="The folder of the outputs, each of which is called as its input.",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(("parquet", "csv", "json", "jsonl")),
    help="How to write the outputs (default: each as its input).",
)
@click.option(
    "--call",
    type=click.Choice(("predict", "predict_proba", "infer")),
    default="predict",
    show_default=True,
    help="What to ask for each row.",
)
@click.option("--class", "class_", metavar="CLASS", help="Of predict_proba, the probability of this class alone.")
@click.option("--as", "column", default="score", show_default=True, metavar="NAME", help="What the answers are called.")
@click.option(
    "--columns",
    callback=_columns,
    metavar="A,B,score",
    help="The columns of the outputs, in order (default: those of the input, then the answers).",
)
@click.option("--try", "tolerant", is_flag=True, help="A row that fails gets NULL, where otherwise its file fails.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the files, and the cores; for many small files.",
)
@click.option(
    "--shard",
    callback=_shard,
    metavar="K/N",
    help="Score the K-th part of the files alone: N machines that see the same files share them without a word.",
)
@click.option("--resume", is_flag=True, help="Leave out what is done: by this version and options, of these inputs.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that are there; with --resume, those not of this job.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what failed.")
@click.option("--engine", default="auto", show_default=True, help="auto, native or arrow.")
@registry_option
def score(
    model: str,
    files: tuple[str, ...],
    output: Path,
    form: str | None,
    call: str,
    class_: str | None,
    column: str,
    columns: tuple[str, ...] | None,
    tolerant: bool,
    workers: int,
    shard: tuple[int, int],
    resume: bool,
    overwrite: bool,
    quiet: bool,
    engine: str,
    registry: str | None,
) -> None:
    """Score FILES, each into a file of the folder DIR: Parquet, CSV or JSON, as names or patterns ('in/*.parquet').

    An output has its name when all of it is there. It is by the version that MODEL means when the command begins.

    \b
    Exit codes: 0  every file is scored
                1  one or more are not, and are named, and the others are done;
                   or the job cannot begin, and nothing is done
                2  the command was asked wrongly
                130, 143  it was ended (Ctrl-C, SIGTERM); --resume goes on
    """
    from sqlinfer.scoring.files import find_files, shard_of
    from sqlinfer.scoring.folder import OutputFolder
    from sqlinfer.scoring.job import Job, Scoring

    if class_ is not None and call != "predict_proba":
        raise click.UsageError(f"--class is for --call predict_proba: {call} has no probabilities")
    store = existing_registry(registry)
    how = {"column": column, "columns": columns, "form": form, "tolerant": tolerant}
    with _asked():
        job = Job.of(store.get(model), call, class_, **how)
    with Scoring(job, store, engine) as scoring, ending(scoring.con, None):
        with _asked():
            found = find_files(scoring.con, files, output, form)
        mine = shard_of(found, *shard)
        folder = OutputFolder(output, job.asked)
        left = folder.left(mine, resume=resume, overwrite=overwrite)
        scoring.require_fit(left)
        with folder.claimed(found, overwrite=overwrite) as drafts:
            before = {file.name for file in left if os.path.lexists(output / file.name)}
            outcomes = _scored(scoring, folder, drafts, left, workers, quiet=quiet)
    _tell(outcomes, before, done=len(mine) - len(left), output=output, model=job.model, quiet=quiet)


@contextmanager
def _asked() -> Iterator[None]:
    """What is asked wrongly ends as click's own errors do."""
    try:
        yield
    except (CallError, ScoringAskedWrongly) as error:
        raise click.UsageError(str(error)) from error


def _scored(
    scoring: Scoring, folder: OutputFolder, drafts: Path, files: Sequence[InputFile], workers: int, *, quiet: bool
) -> list[Outcome]:
    from sqlinfer.scoring.workers import Work, shared_out

    outcomes: list[Outcome] = []
    if workers == 1:
        with _bar(scoring, files, outcomes, quiet=quiet):
            outcomes.extend(scoring.score(file, folder, drafts) for file in files)
        return outcomes
    options = {"threads": max(1, _cores() // workers), "memory_limit": _part_of_memory(scoring, workers)}
    work = Work(scoring.job, scoring.con.registry.home, scoring.con.engine, folder, drafts, options)
    with shared_out(work, files, workers) as coming, _bar(None, files, outcomes, quiet=quiet):
        outcomes.extend(coming)
    return outcomes


def _part_of_memory(scoring: Scoring, workers: int) -> str:
    """Of what DuckDB allows itself on this machine, as '12.4 GiB'; only DuckDB 2 takes a share in percent."""
    ((limit,),) = scoring.con.execute("SELECT current_setting('memory_limit')").fetchall()
    size, unit = limit.split()
    return f"{float(size) / workers:.3f} {unit}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tell(outcomes: Sequence[Outcome], before: set[str], *, done: int, output: Path, model: str, quiet: bool) -> None:
    """``before``: outputs that were there when it began."""
    failed = sorted((one for one in outcomes if one.error is not None), key=lambda one: one.file.name)
    if not quiet:
        rows = sum(one.rows for one in outcomes)
        skipped = f"; {_files(done)} done before" if done else ""
        scored = f"{_files(len(outcomes) - len(failed))}, {rows:,} row{'' if rows == 1 else 's'}"
        click.echo(f"{scored} → {output} by {model}{skipped}", err=True)
    if failed:
        click.echo(f"{_files(len(failed))} failed; mend what is wrong, and go on with --resume:", err=True)
        for one in failed:
            message = _TRY.sub("add --try", for_the_terminal(one.error or ""))
            there = f" ({output / one.file.name} is still that of before)" if one.file.name in before else ""
            click.echo(f"  {one.file.path}: {message}{there}", err=True)
        raise SystemExit(1)


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


@contextmanager
def _bar(
    scoring: Scoring | None, files: Sequence[InputFile], outcomes: Sequence[Outcome], *, quiet: bool
) -> Iterator[None]:
    """How far it is, on stderr, if somebody is looking at that. ``scoring``: whoever has the files one by one."""
    if quiet or not is_looked_at():
        yield
        return
    if scoring is not None:
        tell_share(scoring.con)
    with watched(partial(_watch, scoring, files, outcomes)):
        yield


def _watch(
    scoring: Scoring | None, files: Sequence[InputFile], outcomes: Sequence[Outcome], done: threading.Event
) -> None:
    line, total = "", sum(file.size for file in files) or 1
    while not done.wait(EVERY_SECONDS):
        come = list(outcomes)
        size = float(sum(one.file.size for one in come))
        if scoring is not None and len(come) < len(files):
            size += files[len(come)].size * share_done(scoring.con)
        rows = sum(one.rows for one in come)
        last, line = line, f"{bar(size / total)} {len(come)} of {_files(len(files))}, {rows:,} rows"
        click.echo(f"\r{line.ljust(len(last))}", err=True, nl=False)
    if line:
        click.echo(f"\r{' ' * len(line)}\r", err=True, nl=False)
