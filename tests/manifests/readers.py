"""model.json as each reader takes it: Python's, and the extension's."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
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
    return {reader: [one is None for one in said] for reader, said in said_of(texts).items()}


def said_of(texts: Iterable[bytes]) -> dict[str, list[str | None]]:
    """By reader, what it says of each of the texts; None of those that it takes."""
    with tempfile.TemporaryDirectory() as home:
        versions = range(1, 1 + sum(_stored(Path(home), i, text) for i, text in enumerate(texts, 1)))
        with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as con:
            con.execute(f"LOAD '{extension_path()}'")
            con.execute(f"SET sqlinfer_home = '{home}'")
            registry = sqlinfer.Registry(home)
            readers = {"python": registry.get, "extension": lambda m: con.execute(f"FROM sqlinfer_features('{m}')")}
            return {reader: [_said(read, f"m/{i}", home) for i in versions] for reader, read in readers.items()}


def _stored(home: Path, version: int, text: bytes) -> int:
    folder = home / "models/m" / str(version)
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(text)
    return 1


def _said(read: Callable[[str], Any], model: str, home: str) -> str | None:
    try:
        read(model)
    except (sqlinfer.SqlinferError, duckdb.Error) as error:
        if "/profile.json cannot be read (No such file" in str(error):
            return None  # the manifest has been read
        said = str(error).removeprefix("Binder Error: ").partition("\n\nLINE 1")[0]
        return said.replace(f"{home}/models/{model}/", "")
    return None
