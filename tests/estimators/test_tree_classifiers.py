"""Classifiers of trees by other hands: the labels that ONNX Runtime answers, and bits that no thread changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

import sqlinfer
from sqlinfer.graphs.tree_classifiers import classify_by_sums
from sqlinfer.graphs.tree_limits import refusal
from tests.engines import ENGINES

FEATURES = 3
NUMPY = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.INT64: np.int64}


def grown(trees, depth, classes, each=False, weights=np.random.Generator.normal, seed=0):
    """Nodes and leaves of random trees; ``each`` leaf weighs for all ``classes``, else those of a tree for one."""
    random = np.random.default_rng(seed)
    size, inner = 2 ** (depth + 1) - 1, 2**depth - 1
    nodes = np.tile(np.arange(size), trees)
    at = np.repeat(np.arange(trees), size)
    below = nodes < inner
    grown = {
        "nodes_treeids": at,
        "nodes_nodeids": nodes,
        "nodes_featureids": random.integers(FEATURES, size=nodes.size),
        "nodes_values": np.where(below, random.normal(size=nodes.size), 0).astype(np.float32),
        "nodes_truenodeids": np.where(below, 2 * nodes + 1, 0),
        "nodes_falsenodeids": np.where(below, 2 * nodes + 2, 0),
        "nodes_missing_value_tracks_true": below * random.integers(2, size=nodes.size),
    }
    leaves = np.repeat(np.flatnonzero(~below), len(classes) if each else 1)
    ids = np.array(classes)[(np.arange(len(leaves)) if each else at[leaves]) % len(classes)]
    of = {"treeids": at[leaves], "nodeids": nodes[leaves], "ids": ids}
    of["weights"] = np.array([weights(random) for _ in leaves], np.float32)
    modes = np.where(below, "BRANCH_LEQ", "LEAF")
    return {k: v.tolist() for k, v in {**grown, "nodes_modes": modes}.items()}, {k: v.tolist() for k, v in of.items()}


def classifier(labels, trees, link="NONE", base=(), element=TensorProto.FLOAT):
    nodes, leaves = trees
    kind = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    more = {**nodes, **{f"class_{name}": values for name, values in leaves.items()}, kind: labels}
    if base:
        more["base_values"] = list(base)
    return model("TreeEnsembleClassifier", ["label", "scores"], element, post_transform=link, **more)


def model(op, outputs, element=TensorProto.FLOAT, **attributes):
    node = helper.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **attributes)
    kinds = {"label": TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64}
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", element, [None, FEATURES])],
        [
            helper.make_tensor_value_info(o, kinds.get(o, TensorProto.FLOAT), [None] if o == "label" else [None, None])
            for o in outputs
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def rows(count, element=TensorProto.FLOAT):
    random = np.random.default_rng(1)
    if element == TensorProto.INT64:
        return random.integers(-2, 3, (count, FEATURES))
    values = random.normal(size=(count, FEATURES)).astype(NUMPY[element])
    values[random.random(values.shape) < 0.05] = np.nan
    return values


def by_onnx_runtime(model, values):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values})


class Registered:
    """A model, and the table that it is asked for."""

    def __init__(self, path, model, values):
        onnx.save(model, path / "m.onnx")
        sqlinfer.register("m", path / "m.onnx", registry=path / "models")
        self._registry = path / "models"
        self._table = {f"c{i}": values[:, i] for i in range(FEATURES)} | {"i": np.arange(len(values))}

    def ask(self, engine, threads=1, where="true"):
        with sqlinfer.connect(registry=self._registry, engine=engine, threads=threads) as con:
            con.register("t", pa.table(self._table))
            features = ", ".join(f"c{i}" for i in range(FEATURES))
            sql = f"SELECT i, infer('m', {features}) AS p FROM t WHERE {where} ORDER BY i"
            return [answer for _, answer in con.execute(sql).fetchall()]


@pytest.fixture
def registered(tmp_path):
    return lambda model, values: Registered(tmp_path, model, values)


def positive(random):
    return abs(random.normal()) * 0.1


FORMS = {
    "three classes, a tree for one": (["a", "b", "c"], grown(9, 3, [0, 1, 2]), "NONE"),
    "three classes, softmax": ([5, -3, 7], grown(9, 3, [0, 1, 2], each=True), "SOFTMAX"),
    "three classes and what is added": (["a", "b", "c"], grown(9, 3, [0, 1, 2]), "LOGISTIC", (0.5, -1.0, 0.25)),
    "three classes, of which two weigh": (["a", "b", "c"], grown(8, 3, [0, 2]), "NONE"),
    "two classes, both weigh": (["no", "yes"], grown(6, 3, [0, 1], each=True), "NONE"),
    "two numbers, both weigh": ([4, 9], grown(6, 3, [0, 1]), "SOFTMAX"),
    "two classes, the first weighs": (["no", "yes"], grown(6, 3, [0]), "LOGISTIC"),
    "two classes, the first weighs, and what is added": ([4, 9], grown(6, 3, [0]), "LOGISTIC", (0.25,)),
    "two classes, probabilities": (["no", "yes"], grown(6, 3, [0], weights=positive), "NONE"),
    "two classes, the second weighs": (["no", "yes"], grown(6, 3, [1]), "NONE"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_answers_are_those_of_onnx_runtime(registered, engine, form):
    made, values = classifier(*FORMS[form]), rows(600)
    labels, scores = by_onnx_runtime(made, values)
    answers = registered(made, values).ask(engine)
    assert len(set(labels)) > 1
    assert [answer["label"] for answer in answers] == labels.tolist()
    assert np.allclose([answer["scores"] for answer in answers], scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_those_are_computed_as_sums(form):
    changed = classifier(*FORMS[form])
    assert len(classify_by_sums(changed)) == 1
    assert "TreeEnsembleClassifier" not in {node.op_type for node in changed.graph.node}


@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.INT64])
def test_of_many_forms_each_is_as_it_was_or_answers_the_same(element):
    random, changed = np.random.default_rng(5), 0
    values = rows(300, element)
    for seed in range(60):
        labels = [3, -1, 8, 0][: int(random.integers(2, 5))]
        ids = np.flatnonzero(random.random(len(labels)) < 0.7).tolist() or [0]
        base = random.normal(size=random.choice([0, 0, 1, len(labels)])).astype(np.float32).tolist()
        weights = [positive, np.random.Generator.normal, lambda random: float(random.integers(-1, 2))][seed % 3]
        trees = grown(int(random.integers(1, 9)), seed % 4, ids, bool(random.integers(2)), weights, seed)
        link = str(random.choice(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]))
        made = classifier(labels, trees, link, base, element)
        if refusal(made):  # it answers from memory that nobody wrote
            continue
        try:
            before = by_onnx_runtime(made, values)
        except Exception:  # a number of base values that it does not take
            continue
        changed += len(classify_by_sums(made))
        for old, new in zip(before, by_onnx_runtime(made, values), strict=True):
            assert np.allclose(old, new, rtol=1e-5, atol=1e-37, equal_nan=True), (seed, labels, ids, base, link)
    assert changed > 15


# Ten forests, one against all others: scores that come close, and enough work for a second thread.
ONE_AGAINST_ALL = classifier([f"class {i}" for i in range(10)], grown(600, 4, range(10)), "LOGISTIC")
OF_ONNX_RUNTIME = {
    "doubles": classifier(list(range(10)), grown(600, 4, range(10)), "SOFTMAX", element=TensorProto.DOUBLE),
    "softmax of what is not zero": classifier(list(range(10)), grown(600, 4, range(10)), "SOFTMAX_ZERO"),
}


def regressor(**more):
    nodes, leaves = grown(600, 4, [0])
    return model("TreeEnsembleRegressor", ["y"], n_targets=1, **nodes,
                 **{f"target_{name}": values for name, values in leaves.items()}, **more)  # fmt: skip


SAME_BITS = {
    "one against all": ONE_AGAINST_ALL,
    **OF_ONNX_RUNTIME,
    "sum": regressor(),
    "mean": regressor(aggregate_function="AVERAGE"),
    "least": regressor(aggregate_function="MIN"),
    "logistic": regressor(post_transform="LOGISTIC"),
    "softmax": regressor(post_transform="SOFTMAX"),
}


@pytest.mark.parametrize("kind", SAME_BITS)
@pytest.mark.slow
def test_no_thread_batch_or_engine_changes_a_bit(registered, kind):
    made = SAME_BITS[kind]
    element = made.graph.input[0].type.tensor_type.elem_type
    asked = registered(made, rows(20_000, element))
    expected = asked.ask(ENGINES[0])
    assert len({repr(answer) for answer in expected}) > 20
    for engine in ENGINES:
        for threads in (1, 4):
            assert asked.ask(engine, threads) == expected
            assert asked.ask(engine, threads, "i < 700") == expected[:700]
            assert asked.ask(engine, threads, "i = 17") == [expected[17]]
