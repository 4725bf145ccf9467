"""How long a worker may take, and how much memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Limits"]

_BYTES = {"B": 1000, "iB": 1024}
_UNITS = {f"{prefix}{unit}": size**power for power, prefix in enumerate("KMGT", 1) for unit, size in _BYTES.items()}


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory``: bytes that may be taken beyond those that a worker holds already."""

    seconds: float
    memory: int

    @classmethod
    def of(cls, time_limit: float, memory_limit: str) -> Limits:
        """Raises ValueError. In seconds, and as DuckDB's memory_limit has it: '512MB', '4GB', '2GiB'."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", memory_limit)
        if found is None:
            raise ValueError(f"memory_limit: {memory_limit!r} is no size; write '512MB' or '4GB'")
        if not time_limit > 0:
            raise ValueError(f"time_limit: {time_limit!r} is no number of seconds above 0")
        return cls(float(time_limit), int(float(found[1]) * _UNITS[found[2]]))
