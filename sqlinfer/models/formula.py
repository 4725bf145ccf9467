"""Graphs that are nothing but weighted sums: an engine may compute them from the columns, without tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from sqlinfer.models.signature import Signature

__all__ = ["Formula", "formula_of"]

# More are no formula that a person reads in model.json.
_MOST_WEIGHTS = 10_000


@dataclass(frozen=True, slots=True)
class Formula:
    """Sums of the features, each times its weight, and of an intercept, in the type of the graph's input.

    ``weights``: [targets][features]. ``intercepts``: [targets].
    """

    weights: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    def fits(self, signature: Signature) -> bool:
        """Whether the features are the columns of the one input, in their order, and each has its weight."""
        columns = [feature.column for feature in signature.features]
        return (
            len(signature.inputs) == 1
            and columns == list(range(len(columns)))
            and len(self.weights) == len(self.intercepts)
            and all(len(weights) == len(columns) for weights in self.weights)
        )


def formula_of(graph: onnx.GraphProto) -> Formula | None:
    """What the graph computes from its one input [batch, features], as its one output [batch, targets].

    None where it is anything else than a LinearRegressor, or a product with a matrix and perhaps a sum with a vector.
    """
    known = {tensor.name: tensor for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in known]
    if len(fed) != 1 or len(graph.output) != 1 or len(fed[0].type.tensor_type.shape.dim) != 2:
        return None
    at, weights, intercepts = fed[0].name, None, None
    for node in graph.node:
        if len(node.output) != 1 or list(node.input[:1]) != [at]:
            return None
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        constants = [numpy_helper.to_array(known[name]) for name in node.input[1:] if name in known]
        if len(constants) != len(node.input) - 1:
            return None
        kind = (node.domain, node.op_type)
        if weights is None and kind == ("ai.onnx.ml", "LinearRegressor"):
            weights, intercepts = _regressor(attributes)
        elif weights is None and kind in (("", "MatMul"), ("", "Gemm")):
            weights, intercepts = _product(constants, attributes)
        elif kind == ("", "Add") and weights is not None and intercepts is None and constants[0].ndim <= 1:
            intercepts = constants[0]
        elif not (kind == ("", "Reshape") and weights is not None and list(constants[0]) == [-1, len(weights)]):
            return None
        if weights is None:
            return None
        at = node.output[0]
    return _formula(weights, intercepts) if weights is not None and at == graph.output[0].name else None


def _regressor(attributes: Mapping[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    targets, coefficients = attributes.get("targets", 1), np.asarray(attributes.get("coefficients", []))
    if attributes.get("post_transform", b"NONE") != b"NONE" or targets < 1 or len(coefficients) % targets:
        return None, None
    return coefficients.reshape(targets, -1), np.asarray(attributes.get("intercepts", [0.0] * targets))


def _product(constants: list[np.ndarray], attributes: Mapping[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA")
    if not plain or not constants or constants[0].ndim != 2 or any(c.ndim > 1 for c in constants[1:]):
        return None, None
    weights = constants[0] if attributes.get("transB") else constants[0].T
    return weights, constants[1] if len(constants) > 1 else None


def _formula(weights: np.ndarray, intercepts: np.ndarray | None) -> Formula | None:
    targets = len(weights)
    intercepts = np.zeros(targets) if intercepts is None else np.broadcast_to(intercepts, _spread(intercepts, targets))
    if len(intercepts) != targets or not 0 < weights.size <= _MOST_WEIGHTS:
        return None
    rows = tuple(tuple(float(weight) for weight in row) for row in weights)
    ends = tuple(float(intercept) for intercept in intercepts)
    finite = all(math.isfinite(number) for row in (*rows, ends) for number in row)
    return Formula(rows, ends) if finite else None


def _spread(intercepts: np.ndarray, targets: int) -> tuple[int, ...]:
    return (targets,) if intercepts.size == 1 else intercepts.shape
