"""Score real models through SQL on every engine, and compare with plain ONNX Runtime, row by row.

``python -m tests.models.survey FOLDER`` looks at every .onnx file in the folder, also inside its wheels, and prints the
table of README.md. Nothing is downloaded. Each file has a process of its own, so that none can end the survey.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa

import sqlinfer
from sqlinfer.errors import SqlinferError
from sqlinfer.graphs.summary import Facts, Value, read_facts
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.signature import Tensor
from sqlinfer.types import DTYPES, arrow_type, is_list
from tests.conftest import ENGINES

# How a file is registered when it is refused without a flag, in this order.
_WAYS: tuple[dict[str, Any], ...] = ({}, {"row_by_row": True})
_ROWS = 5
# Sums of single precision in another order; what registration accepts.
_TOLERANCE = 1e-4
_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Finding:
    """One file. ``engines``: by engine, the largest difference from ONNX Runtime, relative to the size of the answer,
    or what went wrong. ``flags``: what registration had to be told."""

    package: str
    version: str
    file: str
    takes: str
    gives: str
    predict: str = ""
    flags: str = ""
    engines: Mapping[str, str] | None = None
    note: str = ""
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        return self.engines is not None and all(text.startswith("same") for text in self.engines.values())


def survey(file: Path, package: str, version: str, name: str) -> Finding:
    """Register a file, ask SQL for its answers, each row alone and all in a batch, and compare."""
    started = time.perf_counter()
    facts = read_facts(file)
    found = Finding(package, version, name, _values(facts.inputs), _values(facts.outputs))
    with tempfile.TemporaryDirectory() as folder:
        registry = sqlinfer.Registry(folder)
        refusals = []
        for way in _WAYS:
            try:
                stored = sqlinfer.register("m", file, registry=registry, **way)
            except SqlinferError as error:
                refusals.append(str(error))
                continue
            flags = " ".join("--" + flag.replace("_", "-") for flag in way)
            call = stored.manifest.signature.calls["predict"].type
            engines, note = _ask(stored.manifest, registry, facts)
            found = replace(found, predict=call, flags=flags, engines=engines, note=note)
            break
        else:
            found = replace(found, note=f"refused: {refusals[0]}")
    return replace(found, seconds=round(time.perf_counter() - started, 1))


def _ask(manifest: Manifest, registry: sqlinfer.Registry, facts: Facts) -> tuple[dict, str]:
    table = made_up(manifest)
    expected, lost = _reference(manifest, table, facts)
    engines = {}
    for engine in ENGINES:
        try:
            with sqlinfer.connect(registry=registry, engine=engine) as con:
                con.register("t", table.append_column("row_number", pa.array(range(len(table)))))
                batch = [a for (a,) in con.execute("SELECT infer('m', t) FROM t ORDER BY row_number").fetchall()]
                one = "SELECT infer('m', t) FROM t WHERE row_number = ?"
                alone = [con.execute(one, [i]).fetchall()[0][0] for i in range(len(table))]
                nothing = con.execute("SELECT infer('m', t), predict('m', t) FROM t WHERE row_number < 0").fetchall()
        except Exception as error:  # whatever went wrong is the finding
            engines[engine] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        worst = max(_gap(answers, expected) for answers in (batch, alone))
        engines[engine] = f"same ({worst:.0e})" if worst <= _TOLERANCE and not nothing else f"differs by {worst:.2g}"
    signature = manifest.signature
    notes = [f"not shown: {', '.join(lost)}"] if lost else []
    if signature.batch.neighbours:
        notes.append(f"row by row, since neighbours change answers; {signature.batch.cost:g} times as long")
    return engines, "; ".join(notes)


def made_up(manifest: Manifest) -> pa.Table:
    """Rows of the shapes that the model was proven with, of other values."""
    random = np.random.default_rng(1)
    columns = {}
    for i, feature in enumerate(manifest.signature.features):
        shapes = [row[i] for row in manifest.proof.rows]
        arrow = arrow_type(feature.type)
        columns[feature.name] = pa.array([_like(shapes[r % len(shapes)], arrow, random) for r in range(_ROWS)], arrow)
    return pa.table(columns)


def _like(value: Any, arrow: pa.DataType, random: np.random.Generator) -> Any:
    if is_list(arrow):
        return [_like(item, arrow.value_type, random) for item in value]
    if pa.types.is_floating(arrow):
        return float(np.float32(random.normal()))
    if pa.types.is_string(arrow):
        return str(random.choice(["a", "b", "ab"]))
    return bool(random.integers(2)) if pa.types.is_boolean(arrow) else int(random.integers(0, 2))


def _reference(manifest: Manifest, table: pa.Table, facts: Facts) -> tuple[list[dict[str, list[Any]]], list[str]]:
    """What ONNX Runtime alone answers for each row of the file as it came, by output; and the outputs that SQL has
    not."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(facts.path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shown = [output.name for output in manifest.signature.outputs]
    declared = {value.name: value.shape or () for value in facts.inputs}
    rows = []
    for row in table.to_pylist():
        feeds = {t.name: _feed(manifest, t, declared[t.name], row) for t in manifest.signature.inputs}
        answers = dict(zip(names, session.run(names, feeds), strict=True))
        rows.append({name: list(_leaves(answers[name])) for name in shown})
    return rows, [name for name in names if name not in shown]


def _feed(manifest: Manifest, tensor: Tensor, declared: Sequence[int | str], row: Mapping[str, Any]) -> np.ndarray:
    """One row as the original graph takes it: with its rows where that has them, and as many as it demands."""
    parts = [feature for feature in manifest.signature.features if feature.tensor == tensor.name]
    whole = len(parts) == 1 and parts[0].column is None
    value = row[parts[0].name] if whole else [row[feature.name] for feature in parts]
    array = np.array(value, DTYPES[tensor.dtype].numpy)
    if array.ndim == len(declared):
        return array
    dims = [dim if isinstance(dim, int) else None for dim in declared]
    axis = next(axis for axis in range(len(dims)) if (*dims[:axis], *dims[axis + 1 :]) == tensor.shape[1:])
    return np.repeat(np.expand_dims(array, axis), manifest.signature.batch.fixed or 1, axis)


def _gap(answers: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, list[Any]]]) -> float:
    """The largest difference of an output, relative to its largest value or to that of the median row, where that is
    larger; infinite for texts that differ, or another size.

    A graph of a fixed batch size was given each row that many times, and answers as often."""
    worst = 0.0
    for name in expected[0]:
        ours = [list(_leaves(answer[name])) for answer in answers]
        theirs = [row[name] for row in expected]
        if any(len(b) % len(a) if a else b for a, b in zip(ours, theirs, strict=True)):
            return float("inf")
        theirs = [b[: len(a)] for a, b in zip(ours, theirs, strict=True)]
        if any(isinstance(value, str) for b in theirs for value in b):
            worst = worst if ours == theirs else float("inf")
            continue
        numbers = [(_numbers(a), _numbers(b)) for a, b in zip(ours, theirs, strict=True)]
        sizes = [float(np.nanmax(np.abs(b), initial=0.0)) for _, b in numbers]
        for (a, b), size in zip(numbers, sizes, strict=True):
            with np.errstate(invalid="ignore"):
                apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b)).max(initial=0.0)
            worst = max(worst, float(apart) / (max(size, float(np.median(sizes))) or 1.0))
    return worst


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield from value.ravel().tolist()
    elif isinstance(value, (list, tuple, np.ndarray)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _values(values: Sequence[Value]) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown[:4]) + (f", … {len(shown)} in all" if len(shown) > 4 else "")


def files(folder: Path, scratch: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Each .onnx file below ``folder`` and in its wheels: where it lies, package, version, and its name there."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".onnx":
            yield path, path.parent.name, "", path.name
        elif path.suffix == ".whl":
            package, version = path.name.split("-")[:2]
            with zipfile.ZipFile(path) as archive:
                models = [name for name in archive.namelist() if name.endswith(".onnx") and ".data/" not in name]
                folders = {name.rpartition("/")[0] for name in models}  # weights may lie beside their graph
                beside = [name for name in archive.namelist() if name.rpartition("/")[0] in folders]
                archive.extractall(scratch / path.stem, beside)
            for name in models:
                yield scratch / path.stem / name, package, version, name


def survey_apart(file: Path, package: str, version: str, name: str) -> Finding:
    """`survey` in a process of its own."""
    command = [sys.executable, "-m", "tests.models.survey", "--one", str(file), package, version, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return Finding(package, version, name, "", "", note=f"took more than {_SECONDS} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return Finding(package, version, name, "", "", note=f"the survey ended with {done.returncode}: {last}")
    return Finding(**json.loads(done.stdout.splitlines()[-1]))


def line(found: Finding) -> str:
    """A row of the table in Markdown."""
    engines = found.engines or {}
    cells = [
        f"{found.package} {found.version}".strip(),
        found.file.rpartition("/")[2],
        f"{found.takes} → {found.gives}",
        found.predict,
        found.flags,
        *(engines.get(engine, "") for engine in ENGINES),
        found.note,
    ]
    return "| " + " | ".join(_short(cell).replace("|", "\\|") for cell in cells) + " |"


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


HEAD = f"| package | file | takes → gives | predict() | flags | {' | '.join(ENGINES)} | note |"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        file, package, version, name = sys.argv[2:]
        print(json.dumps(asdict(survey(Path(file), package, version, name))))
        return
    if len(sys.argv) != 2:
        raise SystemExit("python -m tests.models.survey FOLDER  (of .onnx files and wheels)")
    print(HEAD, "|---" * (HEAD.count("|") - 1) + "|", sep="\n")
    agreed = total = 0
    with tempfile.TemporaryDirectory() as scratch:
        for given in files(Path(sys.argv[1]), Path(scratch)):
            found = survey_apart(*given)
            total, agreed = total + 1, agreed + found.agrees
            print(line(found), flush=True)
    print(f"\n{agreed} of {total} files answer in SQL what ONNX Runtime answers, on {' and '.join(ENGINES)}.")


if __name__ == "__main__":
    main()
