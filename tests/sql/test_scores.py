"""Scores become probabilities and labels: one score for two classes, and places that are labels."""

from __future__ import annotations

import math

import onnx
import pytest

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel, ModelNotFound
from tests.conftest import parse

# z = a - b, of two features.
LOGIT = "float[2, 1] w = {1, -1}"
BINARY = {
    "keras": f"(float[n, 2] x) => (float[n, 1] p) <{LOGIT}> {{ z = MatMul(x, w)  p = Sigmoid(z) }}",
    "double": "(double[n, 2] x) => (double[n, 1] p) <double[2, 1] w = {1, -1}> { z = MatMul(x, w)  p = Sigmoid(z) }",
    "vector": f"(float[n, 2] x) => (float[n] p) <{LOGIT}, int64[1] shape = {{-1}}>"
    " { z = MatMul(x, w)  s = Sigmoid(z)  i = Identity(s)  p = Reshape(i, shape) }",
    "half of a softmax": "(float[n, 2] x) => (float[n, 1] p) <float[2, 2] w = {0, 1, 0, -1}, int64[1] second = {1}>"
    " { z = MatMul(x, w)  s = Softmax<axis=1>(z)  p = Gather<axis=1>(s, second) }",
}
RAW = f"(float[n, 2] x) => (float[n, 1] z) <{LOGIT}> {{ z = MatMul(x, w) }}"
THREE = "(float[n, 2] x) => (float[n, 3] z) <float[2, 3] w = {1, 0, -1, 0, 1, -1}> { z = MatMul(x, w) }"
PLACE = THREE.replace("float[n, 3] z", "int64[n] k").replace(" }", "  k = ArgMax<axis=1, keepdims=0>(z) }")
ROWS = [(3, 1), (1, 3), (2, 2), (0.5, 0.25)]


@pytest.fixture
def asked(onnx_file, tmp_path, engine):
    """``asked(graph, call, …)``: the answers for ROWS."""

    def ask(graph, call="predict", **options):
        sqlinfer.register("m", onnx_file(graph), registry=tmp_path / "models", promote=True, **options)
        with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
            con.execute(f"CREATE TABLE t(i INT, a DOUBLE, b DOUBLE); INSERT INTO t VALUES {values()}")
            return [answer for (answer,) in con.execute(f"SELECT {call}('m', a, b) FROM t ORDER BY i").fetchall()]

    return ask


def values():
    return ", ".join(f"({i}, {a}, {b})" for i, (a, b) in enumerate(ROWS))


def sigmoid(a, b):
    return 1 / (1 + math.exp(b - a))


@pytest.mark.parametrize("kind", [*BINARY, "logit"])
def test_one_score_and_two_labels_are_a_classifier(asked, kind):
    """What is not above one half has the first label, as Keras and torch have it."""
    graph, how = (RAW, {"sigmoid": True}) if kind == "logit" else (BINARY[kind], {})
    assert asked(graph, labels=["no", "yes"], **how) == ["yes", "no", "no", "yes"]
    assert asked(graph, labels=[10, 20], **how) == [20, 10, 10, 20]
    assert asked(graph, labels=[True, False], **how) == [False, True, True, False]
    for (a, b), scores in zip(ROWS, asked(graph, "predict_proba", labels=["no", "yes"], **how), strict=True):
        assert list(scores) == ["no", "yes"]
        assert list(scores.values()) == pytest.approx([1 - sigmoid(a, b), sigmoid(a, b)], rel=1e-6)


def test_a_score_is_a_probability_if_its_user_says_so(asked, onnx_file):
    graph = "(float[n, 2] x) => (float[n, 1] p) <float[2, 1] w = {1, -1}, float[1] one = {1}>"
    graph += " { z = MatMul(x, w)  m = Neg(z)  e = Exp(m)  d = Add(e, one)  p = Div(one, d) }"
    assert asked(graph, labels=["no", "yes"], sigmoid=False) == ["yes", "no", "no", "yes"]
    with pytest.raises(InvalidModel, match=r"one score, p: say what it is, a logit with --sigmoid"):
        asked(graph, labels=["no", "yes"])
    with pytest.raises(InvalidModel, match=r"a score is .* which is no probability: of a logit, say --sigmoid"):
        asked(RAW, labels=["no", "yes"], sigmoid=False)
    with pytest.raises(InvalidModel, match="the softmax of one score is 1 for every row"):
        asked(RAW, labels=["no", "yes"], softmax=True)


def test_a_probability_stays_one_wherever_it_was_made(asked):
    kinds = (BINARY["keras"], BINARY["vector"])
    assert [asked(graph, sigmoid=True) for graph in kinds] == [asked(graph) for graph in kinds]


@pytest.mark.parametrize("labels", [["yes"], ["yes", "yes"], [1]])
@pytest.mark.parametrize("graph", [BINARY["keras"], THREE, PLACE])
def test_one_label_for_all_rows_is_refused(asked, graph, labels):
    with pytest.raises(InvalidModel, match=r"one label is given, .*, and every row would have it"):
        asked(graph, labels=labels)


def test_the_place_of_a_class_becomes_its_label(asked):
    best = ["a", "b", "a", "a"]  # the first of equals
    assert asked(THREE, labels=["a", "b", "c"]) == best
    assert asked(PLACE) == [0, 1, 0, 0]
    assert asked(PLACE, labels=["a", "b", "c"]) == best
    assert asked(PLACE, labels=[7, 8, 9]) == [7, 8, 7, 7]
    with pytest.raises(InvalidModel, match="2 labels are given, and k numbers 3 classes"):
        asked(PLACE, labels=["a", "b"])


def test_whether_a_score_is_above_a_threshold_becomes_a_label(asked):
    graph = f"(float[n, 2] x) => (int64[n, 1] k) <{LOGIT}, float h = {{0}}>"
    graph += " { z = MatMul(x, w)  g = Greater(z, h)  k = Cast<to=7>(g) }"
    assert asked(graph, labels=["no", "yes"]) == ["yes", "no", "no", "yes"]
    assert asked(graph, labels=[True, False]) == [False, True, True, False]


def test_the_largest_of_one_score_is_no_answer(asked):
    graph = RAW.replace("float[n, 1] z", "int64[n] k").replace(" }", "  k = ArgMax<axis=1, keepdims=0>(z) }")
    for labels in (["no", "yes"], [0, 1]):
        with pytest.raises(InvalidModel, match=r"k is the place of the largest of one score, which is "):
            asked(graph, labels=labels)


def test_labels_that_a_model_does_not_answer_are_refused(asked):
    graph = "(float[n, 2] x) => (int64[n] label) <int64[1] axis = {1}>"
    graph += " { s = ReduceSum<keepdims=0>(x, axis)  label = Cast<to=7>(s) }"
    with pytest.raises(InvalidModel, match="which is none of the labels given, 70, 80"):
        asked(graph, labels=[70, 80])
    with pytest.raises(FeatureError, match="3 labels are given, and no output has so many scores a row: p FLOAT"):
        asked(BINARY["keras"], labels=["a", "b", "c"])


def test_two_classes_of_one_name_are_told_apart_by_no_map(asked):
    """ImageNet has two cranes."""
    assert asked(THREE, labels=["crane", "b", "crane"]) == ["crane", "b", "crane", "crane"]
    with pytest.raises(ModelNotFound, match=r"has no predict_proba\(\)"):
        asked(THREE, "predict_proba", labels=["crane", "b", "crane"])


LINEAR = (
    "(float[n, 2] x) => (%s[n] label, float[n, 2] scores) { label, scores = ai.onnx.ml.LinearClassifier"
    '<coefficients = [1.0, 2.0, 3.0, -1.0], intercepts = [0.0, 0.0], post_transform = "SOFTMAX", %s>(x) }'
)


@pytest.mark.parametrize(
    ("kind", "classes", "labels", "says"),
    [
        (
            "string",
            'classlabels_strings = ["yes", "no"]',
            ["no", "yes"],
            "classes of the file are 'yes', 'no', in this",
        ),
        ("int64", "classlabels_ints = [1, 0]", ["zero", "one"], "classes that the file numbers 1, 0, in this order"),
    ],
)
def test_labels_in_another_order_than_the_files_are_refused(tmp_path, kind, classes, labels, says):
    """A score would be called by the other's name."""
    model = parse(LINEAR % (kind, classes))
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(FeatureError, match=says):
        sqlinfer.register("m", tmp_path / "m.onnx", labels=labels, registry=tmp_path / "models")


def test_other_estimators_have_no_labels_but_their_own(iris, tmp_path):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(iris, iris["pl"])
    with pytest.raises(FeatureError, match="2 labels are given, and no output has so many scores a row"):
        sqlinfer.register("m", model, sample=iris, labels=["no", "yes"], registry=tmp_path)
    with pytest.raises(TypeError, match=r"sigmoid is for \.onnx files, not for an estimator"):
        sqlinfer.register("m", model, sample=iris, sigmoid=True, registry=tmp_path)


@pytest.mark.parametrize("table", ['value_strings = ["low", "mid", "high"]', "value_ints = [10, 20, 30]"])
def test_labels_that_are_attributes_of_a_constant(asked, table):
    graph = THREE.replace("float[n, 3] z", "string[n] label" if "strings" in table else "int64[n] label")
    graph = graph.replace(
        " }", f"  k = ArgMax<axis=1, keepdims=0>(z)  names = Constant<{table}>()  label = Gather(names, k) }}"
    )
    assert asked(graph) == (["low", "mid", "low", "low"] if "strings" in table else [10, 20, 10, 10])
