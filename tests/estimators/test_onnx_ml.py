"""ONNX files by other hands: ai.onnx.ml 1 to 5, one matrix or a column each or both, ZipMap kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

import sqlinfer
from tests.conftest import ENGINES

ROWS = [(0.5, 1.0), (2.0, 3.0), (None, 4.0), (1.5, 0.0)]
FLOAT, DOUBLE, TEXT, INT = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING, TensorProto.INT64
# Two trees: x ≤ 1 ? 1 : (y < 2 ? 20 : 30), and a leaf of 0.5; a missing x goes to the left.
TREES = {
    "nodes_treeids": [0, 0, 0, 0, 0, 1],
    "nodes_nodeids": [0, 1, 2, 3, 4, 0],
    "nodes_featureids": [0, 0, 1, 0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 3, 0, 0, 0],
    "nodes_falsenodeids": [2, 0, 4, 0, 0, 0],
    "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 0],
}
SPLITS, WEIGHTS = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0], [1.0, 20.0, 30.0, 0.5]
LEAVES = {"treeids": [0, 0, 0, 1], "nodeids": [1, 3, 4, 0], "ids": [0, 0, 0, 0]}
NUMBERS = [1.5, 30.5, 1.5, 20.5]


@pytest.fixture(params=ENGINES)
def scored(request, tmp_path):
    """``scored(nodes, inputs, outputs, ml)``: a function from SQL to rows, with the table t and the model m."""

    def register(nodes, inputs, outputs, *, ml, constants=(), table="x DOUBLE, y DOUBLE", rows=ROWS):
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [value if hasattr(value, "name") else helper.make_tensor_value_info(*value) for value in outputs],
            list(constants),
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", ml)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, tmp_path / "m.onnx")
        sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "models")

        def ask(sql):
            with sqlinfer.connect(registry=tmp_path / "models", engine=request.param) as con:
                con.execute(f"CREATE TABLE t ({table})")
                con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
                return con.execute(sql).fetchall()

        return ask

    return register


def ml_node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, domain="ai.onnx.ml", **attributes)


def regressor(ml, **more):
    leaves = {f"target_{name}": values for name, values in LEAVES.items()}
    if ml >= 3:
        doubles = {
            "nodes_values_as_tensor": from_array(np.array(SPLITS)),
            "target_weights_as_tensor": from_array(np.array(WEIGHTS)),
        }
        return ml_node("TreeEnsembleRegressor", ["X"], ["y"], n_targets=1, **TREES, **leaves, **doubles, **more)
    singles = {"nodes_values": SPLITS, "target_weights": WEIGHTS}
    return ml_node("TreeEnsembleRegressor", ["X"], ["y"], n_targets=1, **TREES, **leaves, **singles, **more)


@pytest.mark.parametrize(("ml", "element"), [(1, FLOAT), (2, FLOAT), (3, DOUBLE), (4, DOUBLE)])
def test_a_forest_of_numbers(scored, ml, element):
    ask = scored([regressor(ml)], [("X", element, [None, 2])], [("y", FLOAT, [None, 1])], ml=ml)
    assert [v for (v,) in ask("SELECT predict('m', x, y) FROM t")] == NUMBERS
    assert [v for (v,) in ask("SELECT predict('m', [x, y]) FROM t")] == NUMBERS


@pytest.mark.parametrize("element", [FLOAT, DOUBLE])
def test_the_forest_of_version_5_with_a_set(scored, element):
    """x ∈ {1, 3} ? 10 : (y ≤ 2 ? 20 : 30)"""
    dtype = np.float32 if element == FLOAT else np.float64
    node = ml_node(
        "TreeEnsemble",
        ["X"],
        ["y"],
        n_targets=1,
        tree_roots=[0],
        nodes_modes=from_array(np.array([6, 0], np.uint8)),
        nodes_featureids=[0, 1],
        nodes_splits=from_array(np.array([0, 2], dtype)),
        nodes_truenodeids=[0, 1],
        nodes_falsenodeids=[1, 2],
        nodes_trueleafs=[1, 1],
        nodes_falseleafs=[0, 1],
        nodes_missing_value_tracks_true=[1, 0],
        leaf_targetids=[0, 0, 0],
        leaf_weights=from_array(np.array([10, 20, 30], dtype)),
        membership_values=from_array(np.array([1, 3, np.nan], dtype)),
    )
    ask = scored(
        [node],
        [("X", element, [None, 2])],
        [("y", element, [None, 1])],
        ml=5,
        rows=[(1, 0), (2, 2), (3, 9), (4, 3), (None, 3)],
    )
    assert [v for (v,) in ask("SELECT predict('m', t) FROM (SELECT x AS f0, y AS f1 FROM t) t")] == [10, 20, 10, 30, 10]


@pytest.mark.parametrize("labels", [["no", "yes"], [-1, 7]], ids=["texts", "numbers"])
@pytest.mark.parametrize("zipmap", [True, False], ids=["zipmap", "bare"])
@pytest.mark.parametrize("ml", [1, 3])
def test_a_forest_of_labels(scored, ml, zipmap, labels):
    text = isinstance(labels[0], str)
    named = {"classlabels_strings" if text else "classlabels_int64s": labels}
    # the way of exporters: of two classes the score of the second
    leaves = {"class_treeids": [0] * 3, "class_nodeids": [1, 3, 4], "class_ids": [0] * 3}
    trees = {name: values[:5] for name, values in TREES.items()}
    nodes = [
        ml_node(
            "TreeEnsembleClassifier", ["X"], ["label", "scores"], nodes_values=SPLITS[:5],
            class_weights=[0.0, 1.0, 0.0],
            **trees, **leaves, **named,
        )
    ]  # fmt: skip
    outputs: list[Any] = [("label", TEXT if text else INT, [None])]
    if zipmap:
        nodes.append(ml_node("ZipMap", ["scores"], ["probabilities"], **named))
        kind = helper.make_map_type_proto(TEXT if text else INT, helper.make_tensor_type_proto(FLOAT, []))
        outputs.append(helper.make_value_info("probabilities", helper.make_sequence_type_proto(kind)))
    else:
        outputs.append(("scores", FLOAT, [None, 2]))
    ask = scored(nodes, [("X", FLOAT, [None, 2])], outputs, ml=ml)
    no, yes = labels
    answers = ask("SELECT predict('m', x, y), predict_proba('m', x, y) FROM t")
    assert [label for label, _ in answers] == [no, no, no, yes]
    assert answers[0][1] == {no: 1.0, yes: 0.0}


def test_columns_and_a_matrix_together(scored):
    """A text that is encoded, an integer and a matrix of two: four arguments by name or by position."""
    nodes = [
        ml_node(
            "LabelEncoder", ["city"], ["code"], keys_strings=["Bern", "Uri"], values_floats=[1.0, 2.0],
            default_float=-1.0,
        ),
        helper.make_node("Cast", ["size"], ["width"], to=FLOAT),
        helper.make_node("Concat", ["code", "width", "X"], ["row"], axis=1),
        ml_node("LinearRegressor", ["row"], ["y"], coefficients=[100.0, 10.0, 1.0, 0.5], intercepts=[0.0]),
    ]  # fmt: skip
    inputs = [("city", TEXT, [None, 1]), ("size", INT, [None, 1]), ("X", FLOAT, [None, 2])]
    ask = scored(
        nodes,
        inputs,
        [("y", FLOAT, [None, 1])],
        ml=2,
        table="city VARCHAR, size INTEGER, X_0 DOUBLE, X_1 DOUBLE",
        rows=[("Bern", 3, 1.0, 2.0), ("Uri", 0, 0.0, 0.0), ("Atlantis", 1, 1.0, 1.0), (None, 1, 1.0, 1.0)],
    )
    assert [v for (v,) in ask("SELECT predict('m', t) FROM t")] == [132, 200, -88.5, None]
    assert [v for (v,) in ask("SELECT predict('m', city, size, X_0, X_1) FROM t")] == [132, 200, -88.5, None]


@pytest.mark.parametrize(
    ("ml", "attributes"),
    [
        (1, {"classes_strings": ["a", "b"], "default_int64": -5}),
        (2, {"keys_strings": ["a", "b"], "values_int64s": [0, 1], "default_int64": -5}),
        (
            4,
            {
                "keys_tensor": from_array(np.array(["a", "b"], object)),
                "values_tensor": from_array(np.array([0, 1])),
                "default_tensor": from_array(np.array([-5])),
            },
        ),
    ],
    ids=["1", "2", "4"],
)
def test_label_encoders_of_every_version(scored, ml, attributes):
    node = ml_node("LabelEncoder", ["s"], ["code"], **attributes)
    ask = scored(
        [node], [("s", TEXT, [None])], [("code", INT, [None])], ml=ml, table="s VARCHAR", rows=[("b",), ("z",), (None,)]
    )
    assert [v for (v,) in ask("SELECT predict('m', s) FROM t")] == [1, -5, None]


def test_scalers_imputers_and_one_hots(scored):
    """The classic operators in a row: what is missing is 2, then scaled, then one column of each category."""
    nodes = [
        ml_node("Imputer", ["X"], ["whole"], imputed_value_floats=[2.0, 2.0], replaced_value_float=float("nan")),
        ml_node("Scaler", ["whole"], ["scaled"], offset=[1.0, 0.0], scale=[2.0, 1.0]),
        ml_node("OneHotEncoder", ["k"], ["hot"], cats_int64s=[3, 5], zeros=1),
        helper.make_node("Reshape", ["hot", "shape"], ["flat"]),
        ml_node("FeatureVectorizer", ["scaled", "flat"], ["row"], inputdimensions=[2, 2]),
    ]
    ask = scored(
        nodes,
        [("X", FLOAT, [None, 2]), ("k", INT, [None, 1])],
        [("row", FLOAT, [None, 4])],
        constants=[from_array(np.array([-1, 2]), "shape")],
        ml=1,
        table="x DOUBLE, y DOUBLE, k INTEGER",
        rows=[(3.0, 1.0, 5), (None, 0.5, 3), (1.0, 0.0, 4)],
    )
    assert [v for (v,) in ask("SELECT predict('m', x, y, k) FROM t")] == [(4, 1, 0, 1), (2, 0.5, 1, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize(("op", "expected"), [("SVMRegressor", [1.5, 5.0]), ("LinearRegressor", [1.5, 5.0])])
def test_linear_machines(scored, op, expected):
    how: dict[str, Any]
    if op == "SVMRegressor":
        how = {"kernel_type": "LINEAR", "coefficients": [1.0, 1.0], "rho": [0.0], "kernel_params": [0.0, 0.0, 0.0]}
    else:
        how = {"coefficients": [1.0, 1.0], "intercepts": [0.0], "targets": 1}
    ask = scored(
        [ml_node(op, ["X"], ["y"], **how)], [("X", FLOAT, [None, 2])], [("y", FLOAT, [None, 1])], ml=1, rows=ROWS[:2]
    )
    assert [v for (v,) in ask("SELECT predict('m', x, y) FROM t")] == expected
