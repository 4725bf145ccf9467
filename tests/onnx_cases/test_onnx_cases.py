"""Every node case of the ONNX project, through SQL, on every engine. ``python -m pytest tests/onnx_cases -s`` shows
the table that README.md keeps."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import sqlinfer
from tests.conftest import ENGINES
from tests.onnx_cases.cases import Case, LeftOut, load

# The last release of the onnx package that carries the cases.
_ONNX = "1.22.0"
# A database takes 255 native models at a time.
_MODELS_PER_DATABASE = 200


@pytest.fixture(scope="session")
def folders(request) -> list[Path]:
    """The folders of the cases, out of the wheel of the onnx package."""
    cache = Path(request.config.cache.mkdir(f"onnx-{_ONNX}"))
    if not any(cache.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        subprocess.run([*pip, "--dest", str(cache), f"onnx=={_ONNX}"], check=True)
    root = cache / "onnx/backend/test/data/node"
    if not root.exists():
        (wheel,) = cache.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(cache, [name for name in archive.namelist() if "/data/node/" in name])
    return sorted(folder for folder in root.iterdir() if (folder / "model.onnx").exists())


def test_every_case_gives_the_right_outputs(folders, tmp_path):
    cases: list[Case] = []
    left_out: Counter[str] = Counter()
    for folder in folders:
        try:
            cases.append(load(folder))
        except LeftOut as reason:
            left_out[str(reason)] += 1
    wrong: list[str] = []
    agreed: Counter[tuple[str, str]] = Counter()
    for start in range(0, len(cases), _MODELS_PER_DATABASE):
        registry = sqlinfer.Registry(tmp_path / str(start))
        some = {f"m{i}": case for i, case in enumerate(cases[start : start + _MODELS_PER_DATABASE])}
        tables = {name: case.table() for name, case in some.items()}
        for name, case in some.items():
            columns = tables[name].column_names
            sqlinfer.register(name, case.path, features=columns, sample=tables[name], registry=registry, **case.options)
        for engine in ENGINES:
            for name, found in _differences(registry, engine, some, tables):
                wrong += [f"{some[name].name} on {engine}: {text}" for text in found]
                agreed[some[name].kind, engine] += not found
    print(_report(len(folders), agreed, left_out))
    assert not wrong, "\n".join(wrong)
    assert min(agreed["a table of rows", engine] for engine in ENGINES) > 700


def _differences(registry: sqlinfer.Registry, engine: str, cases: dict[str, Case], tables: dict[str, pa.Table]):
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        for name, case in cases.items():
            con.register("t", tables[name])
            answers = [row for (row,) in con.execute(f"SELECT infer('{name}', t) FROM t").fetchall()]
            yield name, list(case.differences(answers))


def _report(total: int, agreed: Counter[tuple[str, str]], left_out: Counter[str]) -> str:
    lines = [f"| {kind}, {engine} engine | {count} agree |" for (kind, engine), count in sorted(agreed.items())]
    lines += [f"| left out: {reason} | {count} |" for reason, count in left_out.most_common()]
    return "\n".join([f"\n| {total} cases | |", "|---|---|", *lines])
