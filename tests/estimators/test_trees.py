"""Trees computed by the native extension answer, bit by bit, what ONNX Runtime answers itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from xgboost import XGBClassifier, XGBRegressor

import sqlinfer
from sqlinfer.installation import EXTENSION_FILE
from tests.conftest import ENGINES

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
needs_extension = pytest.mark.skipif(not EXTENSION_FILE.exists(), reason="the native extension is not built")

MODELS = {
    "lightgbm": lambda: LGBMRegressor(n_estimators=40, num_leaves=63, verbose=-1),
    "lightgbm classes": lambda: LGBMClassifier(n_estimators=20, verbose=-1),
    "xgboost": lambda: XGBRegressor(n_estimators=40, max_depth=6),
    "xgboost classes": lambda: XGBClassifier(n_estimators=20, max_depth=4),
    "xgboost exact": lambda: XGBRegressor(n_estimators=30, max_depth=9, tree_method="exact"),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=40),
    "forest": lambda: RandomForestClassifier(n_estimators=10, min_samples_leaf=2, random_state=0),
    "forest too deep": lambda: RandomForestClassifier(n_estimators=3, random_state=0),
}


def rows(count=3000, *, missing):
    random = np.random.default_rng(7)
    matrix = random.normal(size=(count, 6)).round(2).astype(np.float32)
    target = matrix[:, 0] * matrix[:, 1] + np.sin(3 * matrix[:, 2]) + random.normal(size=count) / 4
    if missing:
        matrix[random.random(matrix.shape) < 0.1] = np.nan
    return pd.DataFrame(matrix, columns=list("abcdef")), target


def run(path, *, extension, table):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if extension:
        options.register_custom_ops_library(str(EXTENSION_FILE))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()
    matrix = table.to_numpy(np.float64 if "double" in feed.type else np.float32)
    return session.run(None, {feed.name: np.ascontiguousarray(matrix)})


@needs_extension
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "missing"])
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_onnx_runtime(name, missing, tmp_path):
    table, target = rows(missing=missing)
    classes = "classes" in name or "forest" in name
    model = MODELS[name]().fit(table, np.digitize(target, [-0.5, 0.5]) if classes else target)
    sqlinfer.register("m", model, sample=table, registry=tmp_path)
    path = str(sqlinfer.Registry(tmp_path).get("m").onnx)
    for count in (1, 127, 128, 129, 3000):
        expected = run(path, extension=False, table=table[:count])
        answers = run(path, extension=True, table=table[:count])
        for one, other in zip(expected, answers, strict=True):
            np.testing.assert_array_equal(one, other)


# x ≤ 1 ? 1 : (x < 2 ? 20 : 30)
STUMP = {
    "nodes_treeids": [0] * 5,
    "nodes_nodeids": [0, 1, 2, 3, 4],
    "nodes_featureids": [0] * 5,
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 3, 0, 0],
    "nodes_falsenodeids": [2, 0, 4, 0, 0],
    "target_treeids": [0] * 3,
    "target_nodeids": [1, 3, 4],
    "target_ids": [0] * 3,
}
SINGLES = {"nodes_values": [1.0, 0.0, 2.0, 0.0, 0.0], "target_weights": [1.0, 20.0, 30.0]}
DOUBLES = {f"{name}_as_tensor": from_array(np.array(values, np.float64)) for name, values in SINGLES.items()}
FORMS: dict[str, tuple[int, dict[str, Any], list[float]]] = {
    "known": (FLOAT, {}, [1.0, 20.0, 30.0]),
    "of doubles": (DOUBLE, {}, [1.0, 20.0, 30.0]),
    "with a base": (FLOAT, {"base_values": [5.0]}, [6.0, 25.0, 35.0]),
    "averaged": (FLOAT, {"aggregate_function": "AVERAGE"}, [1.0, 20.0, 30.0]),
    # left to ONNX Runtime
    "the greatest": (FLOAT, {"aggregate_function": "MAX"}, [1.0, 20.0, 30.0]),
    "transformed": (FLOAT, {"post_transform": "LOGISTIC"}, [1.0, 20.0, 30.0]),  # which it does to several targets only
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_answers(name, engine, tmp_path):
    element, more, expected = FORMS[name]
    numbers = DOUBLES if element == DOUBLE else SINGLES
    node = helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, **{**STUMP, **numbers, **more}
    )
    graph = helper.make_graph(
        [node],
        "stump",
        [helper.make_tensor_value_info("X", element, ["N", 1])],
        [helper.make_tensor_value_info("Y", FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "stump.onnx")
    sqlinfer.register("stump", tmp_path / "stump.onnx", registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
        rows = con.execute("SELECT predict('stump', x) FROM (SELECT unnest([1, 1.5, 2])::DOUBLE AS x)").fetchall()
    assert [answer for (answer,) in rows] == pytest.approx(expected)
