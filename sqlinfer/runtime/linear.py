"""Weighted sums of columns, which need no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqlinfer.models.formula import Formula

__all__ = ["Linear"]

_LANES = 4


class Linear:
    """A formula in the type that it is computed in. Call it with a column for each feature: [rows, targets]."""

    def __init__(self, formula: Formula, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._weights = np.array(formula.weights, dtype)
        self._intercepts = np.array(formula.intercepts, dtype)

    def __call__(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        # NumPy lets go of Python's lock at each column, which costs more than its work where another thread waits
        block = b"".join([np.ascontiguousarray(column, self._dtype).data for column in columns])
        values = np.frombuffer(block, self._dtype).reshape(len(columns), -1)
        sums = np.empty((values.shape[1], len(self._weights)), self._dtype)
        for target, weights in enumerate(self._weights):
            sums[:, target] = _sum(values * weights[:, np.newaxis])
        sums += self._intercepts
        return sums


def _sum(products: np.ndarray) -> np.ndarray:
    """As the native engine adds, so that both answer the same, bit by bit."""
    whole = len(products) // _LANES * _LANES
    lanes = products[:_LANES]
    for i in range(_LANES, whole, _LANES):
        lanes += products[i : i + _LANES]
    total: np.ndarray = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) if whole else np.zeros_like(products[0])
    for product in products[whole:]:
        total += product
    return total
