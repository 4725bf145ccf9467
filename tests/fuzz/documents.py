"""Ways to damage a JSON document, or any file: its bytes, and its values."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["change", "mutated"]

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**63, 2**64, -(2**63), 10**40, 0.5, -1e308, "", "x", "INTEGER", "BLOB"),
    *("FLOAT[3]", "FLOAT[", "STRUCT(a INTEGER)", "DECIMAL(99, 3)", "../../../etc/passwd", "/etc/passwd", "model.json"),
    *("a" * 10_000, "\0", "é‮", "nan", [], [[]], [None], [2**62, 2**62], {}, {"x": 1}, [1, "x"], "float32", "string"),
)


def mutated(content: bytes, source: random.Random) -> tuple[str, bytes]:
    """One mutated version of a file, and what was done to it."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if document is None or source.random() < 0.2:
        return "bytes", _damaged(content, source)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        change(document, source)
    return "values", json.dumps(document).encode()


def _damaged(content: bytes, source: random.Random) -> bytes:
    kind = source.randrange(4)
    if kind == 0:
        return content[: source.randrange(len(content))]
    if kind == 1:
        return b'{"a":' * 100_000
    data = bytearray(content)
    for _ in range(source.choice((1, 2, 8))):
        data[source.randrange(len(data))] = source.randrange(256)
    return bytes(data)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in the document, with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def change(document: Any, source: random.Random) -> None:
    """Another value somewhere in the document, or none."""
    places = list(_places(document))
    if not places:
        return
    container, key = source.choice(places)
    kind = source.randrange(5)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.insert(key, copy.deepcopy(source.choice(container)))
    elif kind == 1:
        container[source.choice(("extra", "", "é", "prepare", "batch", "kind"))] = copy.deepcopy(source.choice(_VALUES))
    elif kind == 2:
        other, place = source.choice(places)
        container[key] = copy.deepcopy(other[place]) if _has(other, place) else None
    else:
        container[key] = copy.deepcopy(source.choice(_VALUES))


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)
