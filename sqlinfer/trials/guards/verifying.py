"""Whether SQL refuses what the guards of a stored model name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from sqlinfer.engines.database import Database
from sqlinfer.errors import ProofFailed
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry
from sqlinfer.models.signature import Guard

__all__ = ["require_guards"]

_VALUES = {"nan": math.nan, "infinite": math.inf, "fraction": 0.5, "empty": "", "blank": " ", "not_ascii": "\u00e9"}


def require_guards(
    reference: Reference,
    manifest: Manifest,
    table: Callable[[list[list[Any]]], pa.Table],
    registry: Registry,
    engine: str,
) -> None:
    """Ask for a proof row with a value of each guard. ``table`` makes one of rows. Raises ProofFailed for an answer."""
    features = manifest.signature.features
    whole = [row for row in manifest.proof.rows if None not in row]
    guards = [(i, guard) for i, feature in enumerate(features) for guard in feature.guards]
    if not whole or not guards:
        return
    rows = [[*whole[0][:i], _like(_value(guard), whole[0][i]), *whole[0][i + 1 :]] for i, guard in guards]
    with Database(registry, engine) as database:
        answers = database.ask(f"SELECT TRY(predict('{reference}', given)) FROM given", table(rows))
    for (i, guard), (answer,) in zip(guards, answers, strict=True):
        if answer is not None:
            raise ProofFailed.of(
                reference, f"{features[i].name!r} is to refuse {guard}, and SQL answers {answer!r}; register it again"
            )


def _value(guard: Guard) -> Any:
    """One that the guard refuses."""
    bound = guard.bound or 0.0
    match guard.refuse:
        case "other":
            texts = [one for one in guard.known if isinstance(one, str)]
            return f"{max(texts)}?" if texts else max(float(one) for one in guard.known) + 1
        case "these":
            return next(iter(guard.known), None)
        case "below":
            return math.nextafter(bound, -math.inf)
        case "above":
            return math.nextafter(bound, math.inf)
        case "longer":
            return "a" * (int(bound) + 1)
        case kind:
            return _VALUES[kind]


def _like(value: Any, beside: Any) -> Any:
    """In a list, where the feature takes lists."""
    return [value, *beside[1:]] if isinstance(beside, list) else value
