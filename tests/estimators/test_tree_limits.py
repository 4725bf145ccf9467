"""Trees that ONNX Runtime does not survive, or answers from memory that nobody wrote, are refused."""

from __future__ import annotations

import hashlib
import json

import onnx
import pytest
from onnx import TensorProto, helper

import sqlinfer
from sqlinfer.errors import InvalidModel

LEAVES = "LEAF"
CIRCLE = "a tree of more than 4096 levels, or one that goes round in circles"


def chain(levels, last=LEAVES):
    """A tree that goes on to one side only; ``last``: where its deepest test leads."""
    inner = range(levels - 1)
    below = [last if i == levels - 2 else i + 1 for i in inner]
    return {
        "nodes_treeids": [0] * (2 * levels - 1),
        "nodes_nodeids": list(range(2 * levels - 1)),
        "nodes_featureids": [0] * (2 * levels - 1),
        "nodes_modes": ["BRANCH_LEQ"] * (levels - 1) + ["LEAF"] * levels,
        "nodes_values": [float(i) for i in inner] + [0.0] * levels,
        "nodes_truenodeids": [levels - 1 + i for i in inner] + [0] * levels,
        "nodes_falsenodeids": [2 * levels - 2 if i == LEAVES else i for i in below] + [0] * levels,
    }


def regressor(tree, targets=1):
    leaves = [i for i, mode in zip(tree["nodes_nodeids"], tree["nodes_modes"], strict=True) if mode == "LEAF"]
    count = len(leaves)
    ids = {"target_treeids": [0] * count, "target_nodeids": leaves, "target_ids": [0] * count}
    weights = [float(i) for i in range(count)]
    return ["y"], {"n_targets": targets, "target_weights": weights, **ids, **tree}


def classifier(labels, ids, link="NONE"):
    tree = chain(2)
    of = {"class_treeids": [0, 0], "class_nodeids": [1, 2], "class_ids": ids, "class_weights": [0.25, 0.75]}
    return ["label", "y"], {"classlabels_int64s": labels, "post_transform": link, **of, **tree}


REFUSED = {
    "deep": (*regressor(chain(20_000)), CIRCLE),
    "circle": (*regressor(chain(9, last=0)), CIRCLE),
    "targets": (*regressor(chain(2), targets=10**6), "1000000 targets, of 100000 at most"),
    "one label": (*classifier([5], [0, 0]), "1 class labels: it chooses between two or more"),
    "probit": (*classifier([5, 6], [0, 0], "PROBIT"), "of which PROBIT makes one score"),
}


def write(path, outputs, attributes):
    operator = "TreeEnsembleClassifier" if "label" in outputs else "TreeEnsembleRegressor"
    node = helper.make_node(operator, ["x"], outputs, domain="ai.onnx.ml", **attributes)
    kinds = {"label": (TensorProto.INT64, [None]), "y": (TensorProto.FLOAT, [None, None])}
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info(output, *kinds[output]) for output in outputs],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.slow
def test_a_file_is_refused(tmp_path, kind):
    outputs, attributes, why = REFUSED[kind]
    write(tmp_path / "m.onnx", outputs, attributes)
    with pytest.raises(InvalidModel, match=f"{why}; register a model of other trees"):
        sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "models")


@pytest.mark.parametrize("kind", REFUSED)
def test_a_stored_model_is_refused_before_it_is_opened(tmp_path, engine, kind):
    """It may have been written by anybody."""
    outputs, attributes, why = REFUSED[kind]
    write(tmp_path / "sound.onnx", *regressor(chain(3)))
    sqlinfer.register("m", tmp_path / "sound.onnx", registry=tmp_path / "models")
    folder = tmp_path / "models" / "models" / "m" / "1"
    write(folder / "model.onnx", outputs, attributes)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(manifest))
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
        with pytest.raises(InvalidModel, match=f"sqlinfer cannot load 'm': .*{why}; register a model of other trees"):
            con.execute("SELECT predict('m', 1)").fetchall()
        assert con.execute("SELECT 1").fetchall() == [(1,)]


def test_the_deepest_that_is_accepted(tmp_path, engine):
    write(tmp_path / "m.onnx", *regressor(chain(4096)))
    sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
        answers = con.execute("SELECT predict('m', x) FROM (VALUES (-1), (4093.5), (4094), (9999)) t(x)").fetchall()
    assert answers == [(0.0,), (4094.0,), (4094.0,), (4095.0,)]
