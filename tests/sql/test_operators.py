"""Operators that ONNX Runtime itself has not: of the package onnxruntime-extensions, or of a library that is named."""

from __future__ import annotations

import json

import onnx
import onnx.parser
import onnxruntime as ort
import onnxruntime_extensions
import pytest
from click.testing import CliRunner

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.errors import InvalidModel, MissingExtra

TEXTS = ["Hello World", "ÜBER Straße", "", "a-b-c", "NaN", "the quick brown fox " * 20]
HEAD = '<ir_version: 8, opset_import: ["": 17, "ai.onnx.contrib": 1, "ai.onnx.ml": 3]>'
GRAPHS = {
    "lower": "lower (string[N] text) => (string[N] y) { y = ai.onnx.contrib.StringLower(text) }",
    "upper": "upper (string[N] text) => (string[N] y) { y = ai.onnx.contrib.StringUpper(text) }",
    "regex": """regex (string[N] text) => (string[N] y) {
        pattern = Constant<value: tensor = string[1] {"[aeiou]"}>()
        by = Constant<value: tensor = string[1] {"*"}>()
        y = ai.onnx.contrib.StringRegexReplace(text, pattern, by)
    }""",
    "length": "length (string[N] text) => (int64[N] y) { y = ai.onnx.contrib.StringLength(text) }",
    "mixed": """mixed (string[N] text, float[N] x) => (float[N] y) {
        n = ai.onnx.contrib.StringLength(text)
        f = Cast<to = 1>(n)
        y = Mul(f, x)
    }""",
    # of trees that the extension leaves to ONNX Runtime
    "greatest": """greatest (string[N] text) => (float[N, 1] y) {
        n = ai.onnx.contrib.StringLength(text)
        f = Cast<to = 1>(n)
        shape = Constant<value: tensor = int64[2] {-1, 1}>()
        row = Reshape(f, shape)
        y = ai.onnx.ml.TreeEnsembleRegressor<aggregate_function = "MAX", n_targets = 1, nodes_treeids = [0, 0, 0],
            nodes_nodeids = [0, 1, 2], nodes_featureids = [0, 0, 0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_values = [5.0, 0.0, 0.0], nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0],
            target_treeids = [0, 0], target_nodeids = [1, 2], target_ids = [0, 0], target_weights = [1.0, 2.0]>(row)
    }""",
}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    for name, text in GRAPHS.items():
        onnx.save(onnx.parser.parse_model(f"{HEAD} {text}"), folder / f"{name}.onnx")
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory, graphs):
    registry = sqlinfer.Registry(tmp_path_factory.mktemp("registry"))
    for name in GRAPHS:
        sqlinfer.register(name, graphs / f"{name}.onnx", registry=registry)
    return registry


def plain(path, feeds):
    """What ONNX Runtime answers, row by row."""
    options = ort.SessionOptions()
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    session = ort.InferenceSession(path, options)
    rows = [{name: [values[i]] for name, values in feeds.items()} for i in range(len(TEXTS))]
    return [session.run(None, row)[0][0] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lower", "upper", "regex", "length", "greatest"])
def test_sql_answers_what_onnx_runtime_answers(registry, graphs, engine, name):
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        asked = f"SELECT predict('{name}', t) FROM (SELECT unnest(?) AS t)"
        answers = [row[0] for row in con.execute(asked, [TEXTS]).fetchall()]
    assert answers == plain(graphs / f"{name}.onnx", {"text": TEXTS})


def test_beside_numbers_and_null(registry, engine):
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        rows = "(VALUES ('abc', 2), (NULL, 1), ('de', NULL), ('', 5)) AS t(s, x)"
        answers = con.execute(f"SELECT predict('mixed', s, x) FROM {rows}").fetchall()
    assert answers == [(6.0,), (None,), (None,), (0.0,)]


def test_in_many_threads(registry, engine):
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        asked = "SELECT count(*) FROM range(300000) t(i) WHERE predict('lower', 'A' || i) = 'a' || i"
        assert con.execute(asked).fetchall() == [(300000,)]


@pytest.mark.slow
def test_without_the_package_the_error_says_how_to_get_it(graphs, tmp_path, without):
    without("onnxruntime_extensions")
    with pytest.raises(MissingExtra, match=r"pip install 'sqlinfer\[operators\]'"):
        sqlinfer.register("m", graphs / "lower.onnx", registry=tmp_path / "r")


def test_an_operator_that_nobody_has(tmp_path):
    graph = GRAPHS["lower"].replace("StringLower", "StringLowest")
    onnx.save(onnx.parser.parse_model(f"{HEAD} {graph}"), tmp_path / "m.onnx")
    with pytest.raises(InvalidModel, match=r"StringLowest.* is not a registered function/op"):
        sqlinfer.register("m", tmp_path / "m.onnx", registry=tmp_path / "r")


def test_a_library_that_is_none(graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("SQLINFER_OPERATORS", str(tmp_path / "none.so"))
    with pytest.raises(InvalidModel, match=r"none\.so"):
        sqlinfer.register("m", graphs / "lower.onnx", registry=tmp_path / "r")


def test_doctor_prescribes_it(graphs):
    answer = CliRunner().invoke(main, ["doctor", str(graphs / "lower.onnx"), "-f", "json"])
    assert answer.exit_code == 0
    report = json.loads(answer.stdout)
    assert report["lacking"] == []
    assert report["features"] == [{"name": "text", "type": "VARCHAR"}]
