"""Linear models: graphs that compute nothing but weighted sums of their input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sqlinfer.models.formula import Formula

__all__ = ["formula_of"]

# More are no formula that a person reads in model.json.
_MOST_WEIGHTS = 10_000
# [targets, features], and [targets] or one for all.
_Terms = tuple[np.ndarray, np.ndarray | None]


def formula_of(graph: onnx.GraphProto) -> Formula | None:
    """What the graph computes from its one input [batch, features], as its one output [batch, targets].

    None where it is anything else than a LinearRegressor, or a product with a matrix and perhaps a sum with a vector,
    in single or double precision. Nodes that add nothing but zeros, or fail, are passed over: they refuse rows whose
    sums are not finite.
    """
    known = {tensor.name: tensor for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in known]
    if len(fed) != 1 or len(graph.output) != 1 or len(fed[0].type.tensor_type.shape.dim) != 2:
        return None
    if fed[0].type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        return None
    nodes, last = _without_zeros(graph, known)
    at, terms = fed[0].name, None
    for node in nodes:
        constants = [_values(known.get(name)) for name in node.input[1:]]
        if node.input[:1] != [at] or len(node.output) != 1:
            return None
        terms = _after(node, constants, terms)
        if terms is None:
            return None
        at = node.output[0]
    return _formula(*terms) if terms and at == last else None


def _without_zeros(graph: onnx.GraphProto, known: Mapping[str, onnx.TensorProto]) -> tuple[list[onnx.NodeProto], str]:
    """The nodes that the output is made of, and the value that it is, without zeros that are added to it at last."""
    made_by = {made: node for node in graph.node for made in node.output}
    output = graph.output[0].name
    last = made_by.get(output)
    if last is None or last.op_type != "Add" or not _is_zero(last.input[1], made_by, known):
        return list(graph.node), output
    needed, nodes = {last.input[0]}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    return nodes[::-1], last.input[0]


def _is_zero(name: str, made_by: Mapping[str, onnx.NodeProto], known: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a value is picked from zeros, whatever picks it."""
    node = made_by.get(name)
    if node is not None and node.op_type == "Cast":
        return _is_zero(node.input[0], made_by, known)
    if node is None or node.op_type != "Gather":
        return False
    values = _values(known.get(node.input[0]))
    return values is not None and values.size > 0 and not values.any()


def _values(tensor: onnx.TensorProto | None) -> np.ndarray | None:
    """None for what is no weight: computed, too large, or damaged."""
    if tensor is None or math.prod(tensor.dims) > _MOST_WEIGHTS:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError):
        return None


def _after(node: onnx.NodeProto, given: list[np.ndarray | None], terms: _Terms | None) -> _Terms | None:
    """The sums that a node makes of its input, or of the sums before it; None where it makes something else."""
    constants = [values for values in given if values is not None]
    if len(constants) < len(given):
        return None
    kind = (node.domain, node.op_type)
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if terms is None:
        if kind == ("ai.onnx.ml", "LinearRegressor"):
            return _regressor(attributes)
        return _product(constants, attributes) if kind in (("", "MatMul"), ("", "Gemm")) else None
    weights, intercepts = terms
    if kind == ("", "Add") and intercepts is None and constants and constants[0].ndim <= 1:
        return weights, constants[0]
    same = kind == ("", "Reshape") and len(constants) == 1 and constants[0].tolist() == [-1, len(weights)]
    return terms if same else None


def _regressor(attributes: Mapping[str, Any]) -> _Terms | None:
    targets, coefficients = attributes.get("targets", 1), np.asarray(attributes.get("coefficients", []))
    intercepts = np.asarray(attributes.get("intercepts", []))
    fits = (
        targets > 0 and len(coefficients) > 0 and len(coefficients) % targets == 0 and len(intercepts) in (0, targets)
    )
    if not fits or attributes.get("post_transform", b"NONE") != b"NONE":
        return None
    return coefficients.reshape(targets, -1), intercepts if len(intercepts) else None


def _product(constants: list[np.ndarray], attributes: Mapping[str, Any]) -> _Terms | None:
    plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA")
    if not plain or not constants or constants[0].ndim != 2 or any(c.ndim > 1 for c in constants[1:]):
        return None
    weights = constants[0] if attributes.get("transB") else constants[0].T
    return weights, constants[1] if len(constants) > 1 else None


def _formula(weights: np.ndarray, intercepts: np.ndarray | None) -> Formula | None:
    ends = np.zeros(1) if intercepts is None else intercepts.reshape(-1)
    ends = np.repeat(ends, len(weights)) if len(ends) == 1 else ends
    finite = np.isfinite(weights).all() and np.isfinite(ends).all()
    if len(ends) != len(weights) or not 0 < weights.size <= _MOST_WEIGHTS or not finite:
        return None
    return Formula(tuple(tuple(map(float, row)) for row in weights), tuple(map(float, ends)))
