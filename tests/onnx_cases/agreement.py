"""Ask every case in SQL on every engine. ``python -m tests.onnx_cases.agreement`` prints the table of README.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

import sqlinfer
from tests.conftest import ENGINES
from tests.onnx_cases.cases import Case, LeftOut, load

# The last release of the onnx package that carries the cases.
ONNX = "1.22.0"
# A database takes 255 native models.
_MODELS_PER_DATABASE = 200


@dataclass
class Agreement:
    total: int
    agreed: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        lines = [f"| {kind}, {engine} engine | {count} |" for (kind, engine), count in sorted(self.agreed.items())]
        lines += [f"| left out: {reason} | {count} |" for reason, count in self.left_out.most_common()]
        return "\n".join([f"| all cases | {self.total} |", "|---|---:|", *lines, f"| wrong | {len(self.wrong)} |"])


def folders(cache: Path) -> list[Path]:
    """The folders of the cases, out of the wheel of the onnx package, which is fetched once, also by two processes."""
    root = cache / "onnx"
    if not root.exists():
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            subprocess.run([*pip, "--dest", draft, f"onnx=={ONNX}"], check=True)
            (wheel,) = Path(draft).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(draft, [name for name in archive.namelist() if "/data/node/" in name])
            try:
                Path(draft, "onnx").rename(root)
            except OSError:
                if not root.exists():
                    raise
    cases = root / "backend/test/data/node"
    return sorted(folder for folder in cases.iterdir() if (folder / "model.onnx").exists())


def ask(folders: Sequence[Path], home: Path) -> Agreement:
    result = Agreement(len(folders))
    cases: list[Case] = []
    for folder in folders:
        try:
            cases.append(load(folder))
        except LeftOut as reason:
            result.left_out[str(reason)] += 1
    for start in range(0, len(cases), _MODELS_PER_DATABASE):
        some = {f"m{i}": case for i, case in enumerate(cases[start : start + _MODELS_PER_DATABASE])}
        registry = sqlinfer.Registry(home / str(start))
        tables = {name: case.table() for name, case in some.items()}
        for name, case in some.items():
            table = tables[name]
            sqlinfer.register(
                name, case.path, features=table.column_names, sample=table, registry=registry, **case.options
            )
        for engine in ENGINES:
            for name, found in _differences(registry, engine, some, tables):
                result.wrong += [f"{some[name].name} on {engine}: {text}" for text in found]
                result.agreed[some[name].kind, engine] += not found
    return result


def _differences(
    registry: sqlinfer.Registry, engine: str, cases: dict[str, Case], tables: dict[str, pa.Table]
) -> Iterator[tuple[str, list[str]]]:
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        for name, case in cases.items():
            con.register("t", tables[name])
            answers = [row for (row,) in con.execute(f"SELECT infer('{name}', t) FROM t").fetchall()]
            yield name, list(case.differences(answers))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        found = ask(folders(Path(home)), Path(home) / "registry")
    print(found.table(), *found.wrong, sep="\n")
