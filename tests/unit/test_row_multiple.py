"""Runs have a multiple of four rows where a row's last bits would depend on its place in them, and nowhere else."""

from __future__ import annotations

import onnx.parser
import pytest

from sqlinfer.graphs.row_multiple import row_multiple

CASES = {
    "(float[n, 3] x) => (float[n, 3] y) { y = Tanh(x) }": 1,
    "(double[n, 3] x) => (double[n, 3] y) { y = Tanh(x) }": 4,
    "(double[n, 8] x) => (double[n, 8] y) { y = Tanh(x) }": 1,
    "(double[n, t, 8] x) => (double[n, t, 8] y) { y = Tanh(x) }": 1,
    "(double[n, t] x) => (double[n, t] y) { y = Tanh(x) }": 4,
    "(float[n] x) => (float[n] y) { y = Log(x) }": 4,
    "(float[n, 64, h, w] x) => (float[n, 64, h, w] y) { y = Mish(x) }": 1,
    "(float[n, 8] x) => (float[n, 8] y) { y = Softmax(x) }": 1,
    "(double[n, 8] x) => (double[n, 8] y) { y = Softmax(x) }": 4,
    "(float[n, 3] x) => (double[n, 3] y) { z = Cast<to = 11>(x)  w = Neg(z)  y = Exp(w) }": 4,
    "(float[n, 3] x) => (float[n, 3] y) { z = com.other.Strange(x)  y = Sigmoid(z) }": 4,
    "(float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }": 1,
    "(double[n, 3] x, bool b) => (double[n, 3] y) { y = If<then_branch = a () => (double[n, 3] v) { v = Exp(x) },"
    " else_branch = c () => (double[n, 3] v) { v = Neg(x) }>(b) }": 4,
    "(float[n, 3] x) => (float[n, 1] y) { y = ai.onnx.ml.LinearRegressor<coefficients = [1.0, 2.0, 3.0]>(x) }": 4,
}


@pytest.mark.parametrize("graph", CASES)
def test_multiples(graph):
    opsets = '"" : 18, "ai.onnx.ml" : 3, "com.other" : 1'
    model = onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{opsets}]> g {graph}")
    assert row_multiple(model) == CASES[graph]
