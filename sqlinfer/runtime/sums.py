"""Weighted sums of columns, which need no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqlinfer.models.formula import Formula

__all__ = ["Sums"]

_LANES = 4


class Sums:
    """A formula in the type that it is computed in. Call it with a column for each feature: [rows, targets]."""

    def __init__(self, formula: Formula, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._weights = np.array(formula.weights, dtype)
        self._intercepts = np.array(formula.intercepts, dtype)

    def __call__(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        columns = [np.asarray(column, self._dtype) for column in columns]
        sums = np.empty((len(columns[0]), len(self._weights)), self._dtype)
        for target, weights in enumerate(self._weights):
            sums[:, target] = _sum([column * weight for column, weight in zip(columns, weights, strict=True)])
        sums += self._intercepts
        return sums


def _sum(products: list[np.ndarray]) -> np.ndarray:
    """As the native engine adds, so that both answer the same, bit by bit."""
    whole = len(products) // _LANES * _LANES
    lanes = products[:_LANES]
    for i in range(_LANES, whole):
        lanes[i % _LANES] += products[i]
    total = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) if whole else np.zeros_like(products[0])
    for product in products[whole:]:
        total += product
    return total
