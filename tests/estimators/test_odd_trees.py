"""Trees that no library grows, but a file may hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

import sqlinfer


def regressor(source, targets=1, **trees):
    return helper.make_node(
        "TreeEnsembleRegressor", [source], ["y"], domain="ai.onnx.ml", n_targets=targets, **trees
    )  # fmt: skip


def leaf_of(weight):
    return {
        "nodes_treeids": [0],
        "nodes_nodeids": [0],
        "nodes_featureids": [0],
        "nodes_modes": ["LEAF"],
        "nodes_values": [0.0],
        "nodes_truenodeids": [0],
        "nodes_falsenodeids": [0],
        "target_treeids": [0],
        "target_nodeids": [0],
        "target_ids": [0],
        "target_weights": [weight],
    }


@pytest.fixture
def register(tmp_path):
    def store(nodes, constants=()):
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
            list(constants),
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
        return sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "models")

    return store


@pytest.mark.parametrize("rows", [1, 511, 513, 5000])
def test_a_leaf_over_a_matrix_of_no_columns(register, tmp_path, engine, rows):
    nothing = helper.make_node("Slice", ["x", "zero", "zero", "one"], ["nothing"])
    register(
        [nothing, regressor("nothing", **leaf_of(7.0))],
        [from_array(np.array([i]), n) for i, n in [(0, "zero"), (1, "one")]],
    )
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine, threads=1) as con:
        answers = con.execute(f"SELECT predict('m', i) AS p, count(*) FROM range({rows}) t(i) GROUP BY p").fetchall()
        assert answers == [(7.0, rows)]
