"""Decimals → doubles, as DuckDB casts them: Arrow's own cast differs in the last bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

__all__ = ["doubles"]


def doubles(array: pa.Array) -> np.ndarray:
    """The whole number that a decimal128 is made of, as a double, divided by ten to its scale; NULL is NaN."""
    words = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    lower, upper = words[:, 0], words[:, 1]
    numbers = lower.astype(np.float64)
    for i in np.flatnonzero(upper != lower >> 63):
        numbers[i] = float((int(upper[i]) << 64) + (int(lower[i]) & (1 << 64) - 1))
    if array.type.scale:
        numbers /= 10.0**array.type.scale
    if array.null_count:
        numbers[~array.is_valid().to_numpy(zero_copy_only=False)] = np.nan
    return numbers
