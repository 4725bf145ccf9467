"""Files of classifiers: whose labels the scores have is not always said where the scores are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import sqlinfer
from tests.conftest import ENGINES

TREE, LINEAR = DecisionTreeClassifier(max_depth=3, random_state=0), LogisticRegression(max_iter=500)
ENSEMBLES = {
    "bagging": BaggingClassifier(TREE, n_estimators=3, random_state=0),
    "stacking": StackingClassifier([("tree", TREE), ("linear", LINEAR)], final_estimator=LINEAR),
    "voting": VotingClassifier([("tree", TREE), ("linear", LINEAR)], voting="soft", flatten_transform=False),
    "rest": OneVsRestClassifier(LINEAR),
}
TARGETS = {"texts": lambda names: names, "numbers": lambda names: np.unique(names, return_inverse=True)[1] * 10 + 5}
FLOAT, TEXT, INT = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64
SCORES: dict[str, Any] = {
    "coefficients": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
    "intercepts": [0.0, 0, 0],
    "post_transform": "SOFTMAX",
}


@pytest.fixture(params=ENGINES)
def ask(request, tmp_path):
    """``ask(model, sql)``: the rows that a query answers of an ONNX model that is called m."""

    def register(model, sql, **tables):
        onnx.save(model, tmp_path / "m.onnx")
        sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "models")
        with sqlinfer.connect(registry=tmp_path / "models", engine=request.param) as con:
            for name, table in tables.items():
                con.register(name, table)
            return con.execute(sql).fetchall()

    return register


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_labels_are_the_ensembles_not_those_of_its_parts(ask, iris, species, ensemble, classes, kind):
    rows = iris[-50 * classes :]
    estimator = ENSEMBLES[ensemble].fit(rows.to_numpy(), TARGETS[kind](species[-50 * classes :]))
    model = to_onnx(estimator, rows.to_numpy(np.float32)[:1], options={"zipmap": False})
    given = rows.astype(np.float32).set_axis(["f0", "f1", "f2", "f3"], axis=1)
    runtime = onnxruntime.InferenceSession(model.SerializeToString())
    labels, scores = runtime.run(None, {"X": given.to_numpy()})

    answers = ask(model, "SELECT predict('m', t), predict_proba('m', t) FROM t", t=given)
    assert [label for label, _ in answers] == labels.tolist()
    assert [list(proba) for _, proba in answers] == [estimator.classes_.tolist()] * len(rows)
    np.testing.assert_allclose([list(proba.values()) for _, proba in answers], scores, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_map_of_doubles_is_one(ask, iris, species, classes):
    """ONNX Runtime's ZipMap takes single precision alone, and skl2onnx writes it behind doubles all the same."""
    rows = iris[-50 * classes :]
    estimator = make_pipeline(StandardScaler(), LINEAR).fit(rows.to_numpy(), species[-50 * classes :])
    given = rows.set_axis(["f0", "f1", "f2", "f3"], axis=1)
    sql = "SELECT predict('m', t), predict_proba('m', t), typeof(predict_proba('m', t)) FROM t"
    answers = ask(to_onnx(estimator, rows.to_numpy()[:1]), sql, t=given)
    assert [label for label, _, _ in answers] == estimator.predict(rows.to_numpy()).tolist()
    scores = [list(proba.values()) for _, proba, _ in answers]
    np.testing.assert_allclose(scores, estimator.predict_proba(rows.to_numpy()), atol=1e-12)
    assert answers[0][2] == "MAP(VARCHAR, DOUBLE)"


def test_scores_are_what_they_are_not_what_is_declared(ask, iris, species):
    """skl2onnx declares doubles of trees that are given some; ONNX Runtime's trees answer in single precision."""
    model = to_onnx(TREE.fit(iris.to_numpy(), species), iris.to_numpy()[:1], options={"zipmap": False})
    given = iris.set_axis(["f0", "f1", "f2", "f3"], axis=1)
    answers = ask(model, "SELECT predict('m', t), predict_proba('m', t) FROM t", t=given)
    assert [label for label, _ in answers] == TREE.predict(iris.to_numpy()).tolist()
    scores = [list(proba.values()) for _, proba in answers]
    np.testing.assert_allclose(scores, TREE.predict_proba(iris.to_numpy()), atol=1e-6)


def test_what_is_made_of_scores_has_no_labels(ask):
    nodes = [classifier(["a", "b", "c"]), helper.make_node("Neg", ["scores"], ["vector"])]
    ((vector,),) = ask(graph(nodes, [("vector", FLOAT, [None, 3])]), "SELECT predict('m', 9, 0, 0)")
    assert vector == pytest.approx((-1, 0, 0), abs=1e-3)


def test_labels_that_contradict_the_output_of_labels_are_none(ask):
    """The answer is the worst class: the scores are not those of what it says."""
    nodes = [
        classifier([7, 8, 9]),
        helper.make_node("ArgMin", ["scores"], ["worst"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "worst"], ["label"]),
    ]
    model = graph(nodes, [("label", INT, [None]), ("scores", FLOAT, [None, 3])])
    model.graph.initializer.append(helper.make_tensor("classes", INT, [3], [7, 8, 9]))
    assert ask(model, "SELECT predict('m', 9, 5, 0)") == [(9,)]
    with pytest.raises(Exception, match="no predict_proba"):
        ask(model, "SELECT predict_proba('m', 9, 5, 0)")


def test_a_map_says_itself_whose_scores_it_has(ask):
    """The labels of the second are no longer than those of the first, and in another order."""
    nodes = [
        classifier([1, 2, 3]),
        helper.make_node("ZipMap", ["scores"], ["other"], domain="ai.onnx.ml", classlabels_strings=["c", "b", "a"]),
        helper.make_node("ZipMap", ["scores"], ["first"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
    ]
    outputs = [("number", INT, [None]), *(zipped(name) for name in ("first", "other"))]
    ((number, proba),) = ask(graph(nodes, outputs), "SELECT predict('m', 0, 0, 9), predict_proba('m', 0, 0, 9)")
    assert (number, max(proba, key=proba.get)) == (3, "c")


def classifier(labels):
    named: dict[str, Any] = {"classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints": labels}
    return helper.make_node("LinearClassifier", ["x"], ["number", "scores"], domain="ai.onnx.ml", **SCORES, **named)


def zipped(name):
    kind = helper.make_map_type_proto(TEXT, helper.make_tensor_type_proto(FLOAT, []))
    return helper.make_value_info(name, helper.make_sequence_type_proto(kind))


def graph(nodes, outputs):
    values = [value if hasattr(value, "name") else helper.make_tensor_value_info(*value) for value in outputs]
    made = helper.make_graph(nodes, "test", [helper.make_tensor_value_info("x", FLOAT, [None, 3])], values)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(
    "model", [LINEAR, TREE, HistGradientBoostingClassifier(max_iter=5), LGBMClassifier(n_estimators=5, verbose=-1)]
)
def test_labels_that_are_whole_floats_are_integers(model, engine, iris, species, tmp_path):
    target = (species == "virginica") * 1.0
    sqlinfer.register("m", model.fit(iris, target), sample=iris, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = con.sql("SELECT predict('m', i) FROM iris i")
        assert [str(type) for type in answers.types] == ["BIGINT"]
        assert [answer for (answer,) in answers.fetchall()] == model.predict(iris).tolist()
