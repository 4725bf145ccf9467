"""Runs have a multiple of four rows where a row's last bits would depend on its place in them, and nowhere else."""

from __future__ import annotations

import onnx.parser
import pytest

from sqlinfer.graphs.row_multiple import row_multiple
from sqlinfer.graphs.sums import sum_in_one_order

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
    "(float[n, 3] x, float[3, 2] w) => (float[n, 2] y) { y = Einsum<equation = 'ij,jk->ik'>(x, w) }": 4,
    "(float[n, 3] x) => (float[n, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }": 1,
    "(float[n, 3] x) => (float[n, 2] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}> { v = Transpose(w)  y = MatMul(x, v) }": 1,
    "(float[n, 3] x, float[3, 2] w) => (float[n, 2] y) { y = MatMul(x, w) }": 4,
    "(float[n, t, 3] x, float[3, 2] w) => (float[n, t, 2] y) { y = Einsum<equation = 'bij,jk->bik'>(x, w) }": 1,
    "(double[n, 3] x, bool b) => (double[n, 3] y) { y = If<then_branch = a () => (double[n, 3] v) { v = Exp(x) },"
    " else_branch = c () => (double[n, 3] v) { v = Neg(x) }>(b) }": 4,
    "(float[n, 3] x) => (float[n, 1] y) { y = ai.onnx.ml.LinearRegressor<coefficients = [1.0, 2.0, 3.0]>(x) }": 4,
}


# The function's h is not the graph's.
FUNCTION = (
    "(double[n, 3] a, float[n, 4] h) => (double[n, 3] y, float[n, 4] g) { g = Neg(h)  y = loc.f(a) }"
    ' <domain: "loc", opset_import: ["" : 18]> f (x) => (o) { h = Neg(x)  o = Sin(h) }'
)


@pytest.mark.parametrize("graph", CASES)
def test_multiples(graph):
    assert row_multiple(parsed(graph.replace("'", '"'))) == CASES[graph]


def test_names_inside_a_function_are_its_own():
    assert row_multiple(parsed(FUNCTION)) == 4


def test_a_sum_of_another_domain_stays():
    model = parsed("(float[n, 3] x) => (float[n, 1] y) { y = com.other.ReduceSum<axes = [1]>(x) }")
    sum_in_one_order(model)
    assert [(node.domain, node.op_type) for node in model.graph.node] == [("com.other", "ReduceSum")]


def parsed(graph: str) -> onnx.ModelProto:
    opsets = '"" : 18, "ai.onnx.ml" : 3, "com.other" : 1, "loc" : 1'
    return onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{opsets}]> g {graph}")
