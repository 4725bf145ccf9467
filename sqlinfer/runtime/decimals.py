"""Decimals and 128-bit integers → floating point, as DuckDB's CAST has it: Arrow's own cast differs in the last bit.

DuckDB 2 rounds the exact value once; DuckDB 1 divides, above the numbers that it holds exactly in two parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version

import numpy as np
import pyarrow as pa

__all__ = ["floats"]

# Powers of ten up to this one are held exactly by a double.
_EXACT_TENS = 22
_EXACT = {np.dtype(np.float64): 1 << 53, np.dtype(np.float32): 1 << 24}


@cache
def _in_parts() -> bool:
    """How the DuckDB of this process rounds."""
    return version("duckdb").startswith("1.")


def floats(array: pa.Array, dtype: np.dtype, *, in_parts: bool | None = None) -> np.ndarray:
    """The values of a decimal128 array as float32 or float64; NULL is NaN."""
    words = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    lower, upper = words[:, 0], words[:, 1]
    tens = float(f"1e{array.type.scale}")
    exact = _EXACT[dtype]
    # what is exact over what is exact rounds once
    is_exact = (upper == lower >> 63) & (np.abs(lower) <= exact) & (lower != np.iinfo(np.int64).min)
    by_parts = _in_parts() if in_parts is None else in_parts
    if not by_parts and array.type.scale > (_EXACT_TENS if exact > 1 << 24 else 10):
        is_exact[:] = False
    numbers: np.ndarray = lower.astype(dtype) / dtype.type(tens)
    if not is_exact.all():
        rounded = _parts(array.type, dtype) if by_parts else _rounded_once(array.type, dtype)
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        for i in np.flatnonzero(~is_exact & valid):
            numbers[i] = rounded((int(upper[i]) << 64) + (int(lower[i]) & (1 << 64) - 1))
    if array.null_count:
        numbers[~array.is_valid().to_numpy(zero_copy_only=False)] = np.nan
    return numbers


def _rounded_once(type: pa.Decimal128Type, dtype: np.dtype) -> Callable[[int], float]:
    tens = 10**type.scale

    def rounded(value: int) -> float:
        double: float = value / tens  # Python rounds the quotient of integers once
        if dtype == np.float64:
            return double
        single = np.float32(double)
        if np.float64(double).view(np.uint64) & 0x1FFFFFFF != 0x10000000:
            return float(single)
        # halfway between two singles the double has lost on which side the value is
        numerator, denominator = double.as_integer_ratio()
        side = value * denominator - numerator * tens
        if side == 0:
            return float(single)
        low, high = sorted((single, np.nextafter(single, np.float32(2 * double - float(single)))))
        return float(high if side > 0 else low)

    return rounded


def _parts(type: pa.Decimal128Type, dtype: np.dtype) -> Callable[[int], float]:
    unit, tens = 10**type.scale, dtype.type(float(f"1e{type.scale}"))
    cast = _wide if type.precision > 18 else float
    exact = _EXACT[dtype] if type.precision > 4 else 1 << 53

    def rounded(value: int) -> float:
        if abs(value) <= exact or not type.scale:
            return float(dtype.type(cast(value)) / tens)
        whole = abs(value) // unit * (1 if value >= 0 else -1)
        return float(dtype.type(cast(whole)) + dtype.type(cast(value - whole * unit)) / tens)

    return rounded


def _wide(value: int) -> float:
    """A 128-bit integer as DuckDB 1 casts it."""
    lower, upper = value & (1 << 64) - 1, value >> 64
    if upper == -1:
        return -float((1 << 64) - 1 - lower) - 1
    return float(lower) + float(upper) * float(1 << 64)
