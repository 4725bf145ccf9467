"""Whether model.json has the fields that `fields.json` beside this lists; the extension reads the same list, and says
the same of what is not so.

A shape is one of:

    "text or null"            a kind of value, or one of several: null, flag, text, number, count (a whole number from 0
                              to 2⁶³ - 1), anything
    [shape]                   a list of such
    {"name": shape}           an object with these fields, and any others; "name?" may be missing
    {"*": shape}              an object of any names
    ["either", shape, …]      the first that the value looks like: of objects, the first that has its field "name!"
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["FIELDS", "fault", "quoted", "shown"]

FIELDS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_LONGEST = 40
_KINDS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "flag": lambda value: isinstance(value, bool),
    "text": lambda value: isinstance(value, str),
    "number": lambda value: type(value) in (int, float),
    "count": lambda value: type(value) is int and 0 <= value < 2**63,
    "anything": lambda value: True,
}


def fault(value: Any, shape: Any) -> str | None:
    """Where the value is not of that shape, and how; None where it is."""
    found = _fault(value, shape)
    return f"{found[0] or 'it'} {found[1]}" if found else None


def shown(value: Any) -> str:
    """A value in a message: large ones only by what they are."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return quoted(value)
    if type(value) is int:
        return str(value)
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a number"


def quoted(text: str) -> str:
    """As JSON has it, but not endless."""
    return json.dumps(text[:_LONGEST] + ("…" if len(text) > _LONGEST else ""), ensure_ascii=False)


def _fault(value: Any, shape: Any) -> tuple[str, str] | None:
    """The place within the value, and what is wrong there."""
    if isinstance(shape, str):
        return None if _is_one(value, shape) else ("", f"is {shown(value)}, which is no {shape}")
    if isinstance(shape, dict):
        return _fault_of_object(value, shape)
    if shape[0] == "either":
        return _fault(value, next((one for one in shape[1:-1] if _looks_like(value, one)), shape[-1]))
    if not isinstance(value, list):
        return "", f"is {shown(value)}, which is no list"
    places = range(len(value)) if shape != ["anything"] else ()
    return next((_inside(f"[{i}]", found) for i in places if (found := _fault(value[i], shape[0]))), None)


def _fault_of_object(value: Any, shape: dict[str, Any]) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return "", f"is {shown(value)}, which is no object"
    for key, inner in sorted(shape.items()):
        name = key.rstrip("?!")
        if key != "*" and name not in value:
            if key.endswith("?"):
                continue
            return "", f"has no {name}"
        for one in sorted(value) if key == "*" else (name,):
            if found := _fault(value[one], inner):
                return _inside(one[:_LONGEST], found)
    return None


def _is_one(value: Any, kinds: str) -> bool:
    return any(_KINDS[kind](value) for kind in kinds.split(" or "))


def _looks_like(value: Any, shape: Any) -> bool:
    if isinstance(shape, str):
        return _is_one(value, shape)
    return isinstance(value, dict) and all(key[:-1] in value for key in shape if key.endswith("!"))


def _inside(name: str, found: tuple[str, str]) -> tuple[str, str]:
    place, what = found
    return name + ("." if place and place[0] != "[" else "") + place, what
