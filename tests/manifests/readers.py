"""model.json as each reader takes it: Python's, and the extension's."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

import sqlinfer
from sqlinfer.engines.native import extension_path

HERE = Path(__file__).parent
SOUND = {path.stem: path.read_text(encoding="utf-8") for path in sorted((HERE / "sound").glob("*.json"))}
NOTHING = object()


def changes(kind: str) -> Iterator[tuple[str, str]]:
    """The texts of what `changes.json` makes of the sound ones, each with what was changed: [model, place, value], or
    without a value where the place is taken away."""
    for model, place, *value in json.loads((HERE / "changes.json").read_text(encoding="utf-8"))[kind]:
        text = json.dumps(changed(json.loads(SOUND[model]), place, *value), ensure_ascii=False)
        yield f"{model} {place} {json.dumps(value)[:80]}", text


def changed(fields: Any, place: str, value: Any = NOTHING) -> Any:
    fields = copy.deepcopy(fields)
    *path, last = place.split("/")[1:]
    container = fields
    for name in path:
        container = container[int(name) if isinstance(container, list) else name]
    key = int(last) if isinstance(container, list) else last
    if value is NOTHING:
        del container[key]
    else:
        container[key] = value
    return fields


def accepted(texts: Iterable[bytes]) -> dict[str, list[bool]]:
    """By reader, which of the texts it takes."""
    with tempfile.TemporaryDirectory() as home:
        for i, text in enumerate(texts):
            folder = Path(home) / "models/m" / str(i + 1)
            folder.mkdir(parents=True)
            (folder / "model.json").write_bytes(text)
        count = i + 1
        versions = {model.manifest.version for model in sqlinfer.Registry(home).all()}
        with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as con:
            con.execute(f"LOAD '{extension_path()}'")
            con.execute(f"SET sqlinfer_home = '{home}'")
            listed = {version for (version,) in con.execute("SELECT version FROM sqlinfer_models()").fetchall()}
        readers = {"python": versions, "extension": listed}
        return {reader: [i + 1 in taken for i in range(count)] for reader, taken in readers.items()}
