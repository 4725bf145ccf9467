"""Outlier detectors that skl2onnx does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.models.convert.graph import GraphBuilder
from sqlinfer.models.convert.original import Candidate
from sqlinfer.models.sample import Sample

__all__ = ["outlier_candidates"]


def outlier_candidates(model: Any, sample: Sample) -> Iterator[Candidate]:
    if type(model).__name__ == "EllipticEnvelope" and len(sample.names) == model.n_features_in_:
        features: list[tuple[str, str, str, int | None]] = [(n, "DOUBLE", "X", i) for i, n in enumerate(sample.names)]
        yield Candidate(_elliptic(model, len(features)), features, "one DOUBLE matrix")


def _elliptic(model: Any, width: int) -> onnx.ModelProto:
    """EllipticEnvelope: how far a row lies from the centre, in the metric of the covariance."""
    graph = GraphBuilder()
    centred = graph.add("Sub", "X", graph.constant(np.asarray(model.location_, np.float64)))
    turned = graph.add("MatMul", centred, graph.constant(np.asarray(model.precision_, np.float64)))
    products = graph.add("Mul", turned, centred)
    distance = graph.add("ReduceSum", products, graph.constant(np.array([1], np.int64)), keepdims=0)
    negative = graph.add("Neg", distance)
    graph.add("Sub", negative, graph.constant(np.array(model.offset_, np.float64)), name="scores")
    inside = graph.add("GreaterOrEqual", "scores", graph.constant(np.array(0.0)))
    graph.add("Where", inside, graph.constant(np.array(1)), graph.constant(np.array(-1)), name="label")
    return graph.model(
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("scores", TensorProto.DOUBLE, [None]),
        ],
        ml_opset=3,
    )
