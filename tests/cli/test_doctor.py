"""sqlinfer doctor: of an installation, and of files, those that registration refuses as well."""

from __future__ import annotations

import json
import shlex

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.cli.models import register
from sqlinfer.graphs.hints import FLAGS

FLOAT = TensorProto.FLOAT


@pytest.fixture
def examine(run):
    """``examine(path)``: what the doctor says of a file, as JSON; ``code`` is 1 where registration refuses it."""

    def ask(path, code=0):
        result = run("doctor", path, "-f", "json", code=code)
        return json.loads(result.stdout)

    return ask


@pytest.fixture
def saved(tmp_path):
    """``saved(nodes, inputs, outputs)``: a file made of nodes, with the rest of a model as given."""

    def save(nodes, inputs=(("x", FLOAT, ["n", 2]),), outputs=(("y", FLOAT, ["n", 2]),), name="m.onnx", **model):
        initializer = model.pop("initializer", [])
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            initializer,
        )
        opsets = [helper.make_opsetid(*opset) for opset in model.pop("opsets", [("", 18)])]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10, **model), tmp_path / name)
        return tmp_path / name

    return save


def flags(report):
    return {question["about"]: question["flag"] for question in report["questions"]}


def test_installation(run, home):
    home.mkdir()
    text = run("doctor", "-f", "table").stdout
    assert all(word in text for word in ("python", "duckdb", "onnxruntime", "engine", "registry", "(0 models)"))
    assert json.loads(run("doctor").stdout)["onnxruntime"] in text


@pytest.mark.slow
def test_a_file_that_needs_nothing(run, examine, negate, home):
    report = examine(negate)
    assert report["inputs"] == [{"name": "x", "type": "float32", "shape": ["n", 1]}]
    assert report["operators"] == [{"operator": "ai.onnx:Neg", "opset": 18, "count": 1}]
    assert (report["opsets"], report["ir_version"], report["bytes"]) == ({"": 18}, 10, negate.stat().st_size)
    assert report["features"] == [{"name": "x", "type": "FLOAT"}]
    assert report["calls"]["predict"] == "FLOAT" and report["batch"]["most"] is None
    assert (report["problem"], report["lacking"], report["questions"]) == (None, [], [])
    assert report["command"] == f"sqlinfer register negate {negate}"
    assert not home.exists(), "the doctor only looks"


@pytest.mark.slow
def test_as_a_table(run, negate):
    lines = dict(line.split(None, 1) for line in run("doctor", negate, "-f", "table").stdout.splitlines())
    assert lines["input"] == "x float32[n, 1]" and lines["takes"] == "x FLOAT" and lines["predict()"] == "FLOAT"
    assert lines["batches"] == "any number of rows" and lines["register"].startswith("sqlinfer register negate ")


@pytest.mark.parametrize(
    ("graph", "about", "flag"),
    [
        ("(float[n, 3] x) => (float[n, 1] y) <int64[1] i = {1}> { y = ReduceSum(x, i) }", "feature names", "A,B,C"),
        ("(float[n, 1] x) => (float[n, 3] y) <int64[2] i = {1, 3}> { y = Expand(x, i) }", "classes", "--labels A,B,C"),
        ("(float[n, 1] x, float rate) => (float[n, 1] y) { y = Mul(x, rate) }", "constants", "rate=VALUE"),
        ("(float[n, 3] x, float[3] s) => (float[n, 3] y) { y = Mul(x, s) }", "rows of an input", "s=AXIS"),
        ("(float[2, batch, 3] x) => (float[2, batch, 3] y) { y = Neg(x) }", "rows of an input", "x=AXIS"),
        ("(float[n, 2] x) => (float[n, 2] y) { m = ReduceMean(x)  y = Sub(x, m) }", "neighbours", "--together"),
        (
            "(float[n, 1] x) => (float[n, 1] y, float[1] z) <int64[1] i = {0}>"
            " { y = Neg(x)  z = ReduceSum<keepdims=0>(x, i) }",
            "outputs without rows",
            "--row-by-row",
        ),
    ],
)
def test_what_is_open_and_the_flag_that_settles_it(examine, onnx_file, graph, about, flag):
    assert flags(examine(onnx_file(graph)))[about].endswith(flag)


@pytest.mark.parametrize(
    ("graph", "about", "says"),
    [
        ("(float[n, 1] a) => (float[n, 1] b, float[n, 1] c) { b = Neg(a)  c = Abs(a) }", "several outputs", '."b"'),
        ("(float[n, 3, 8, 8] x) => (float[n, 3, 8, 8] y) { y = Neg(x) }", "images", "channels first"),
        ("(uint8[n, h, w, 3] x) => (uint8[n, h, w, 3] y) { y = Identity(x) }", "images", "channels last"),
        ("(int64[n, s] input_ids) => (int64[n, s] y) { y = Neg(input_ids) }", "text", "tokenizer"),
        ("(float[n, 2] x) => (float[1, 2] y) { y = Neg(x) }", "shapes", "y float32[1, 2]: declared so"),
        ("(float[n, 2] x) => (float[n] y) { y = Neg(x) }", "shapes", "a row answers [2]"),
    ],
)
def test_what_is_worth_knowing(examine, onnx_file, graph, about, says):
    found = {question["about"]: question["text"] for question in examine(onnx_file(graph))["questions"]}
    assert says in found[about]


def test_nothing_is_open_that_is_settled(examine, onnx_file):
    labelled = "(float[n, 1] x) => (int64[n] label, float[n, 2] scores) { label, scores ="
    labelled += (
        " ai.onnx.ml.LinearClassifier<coefficients=[1.0, 2.0], intercepts=[0.0, 0.0], classlabels_ints=[3, 4]>(x) }"
    )
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]> g {labelled}')
    path = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    onnx.save(model, path)
    assert flags(examine(path)) == {}


def test_the_command_registers_the_file(run, examine, onnx_file, tmp_path):
    """A file without rows is registered row by row; the name is one that SQL takes, the path is quoted."""
    (tmp_path / "my models").mkdir()
    total = onnx_file(
        "(float[k] x) => (float total) { total = ReduceSum<keepdims=0>(x) }", "my models/2-d total.v1.onnx"
    )
    report = examine(total)
    words = shlex.split(report["command"])
    assert words == ["sqlinfer", "register", "m_2_d_total_v1", str(total), "--row-by-row"]
    (question,) = report["questions"]
    assert question["flag"] == "--row-by-row" and "one answer for each row" in question["text"]
    run(*words[1:])
    assert json.loads(run("query", "SELECT predict('m_2_d_total_v1', [1, 2, 3]) AS p").stdout) == [{"p": 6}]


def test_a_path_that_looks_like_an_option(run, onnx_file, tmp_path, monkeypatch):
    onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }", "-x.onnx")
    monkeypatch.chdir(tmp_path)
    report = json.loads(run("doctor", "-f", "json", "--", "-x.onnx").stdout)
    assert report["command"] == "sqlinfer register x ./-x.onnx"
    run(*shlex.split(report["command"])[1:])


def test_values_that_are_in_the_file_are_no_features_until_it_is_said(run, examine, saved):
    zero = numpy_helper.from_array(np.zeros((1, 2), np.float32), "h")
    inputs = (("x", FLOAT, ["n", 2]), ("h", FLOAT, ["n", 2]))
    path = saved([helper.make_node("Add", ["x", "h"], ["y"])], inputs, initializer=[zero])
    assert flags(examine(path))["defaults"] == "--batch-axis h=AXIS|none"
    run("register", "m", path, "--batch-axis", "h=0")
    assert json.loads(run("query", "SELECT predict('m', 1, 2, 3, 4) AS p").stdout) == [{"p": [4, 6]}]


def test_a_file_that_is_called_model_is_named_by_its_folder(examine, onnx_file, tmp_path):
    (tmp_path / "churn").mkdir()
    path = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }", "churn/model.onnx")
    assert examine(path)["command"].split()[2] == "churn"


@pytest.mark.slow
def test_every_operator_that_is_missing_is_named(examine, saved, without):
    without("onnxruntime_extensions")
    nodes = [
        helper.make_node("GaussianBlur", ["x"], ["a"], domain="my.company"),
        helper.make_node("BertTokenizer", ["a"], ["b"], domain="ai.onnx.contrib"),
        helper.make_node("Neg", ["b"], ["c"]),
        helper.make_node("NoSuchOperator", ["c"], ["y"]),
    ]
    report = examine(saved(nodes, opsets=[("", 18), ("my.company", 1), ("ai.onnx.contrib", 1)]), code=1)
    fixes = {lack["operator"]: lack["fix"] for lack in report["lacking"]}
    assert set(fixes) == {"my.company:GaussianBlur", "ai.onnx.contrib:BertTokenizer", "ai.onnx:NoSuchOperator"}
    assert "custom operator" in fixes["my.company:GaussianBlur"]
    assert "onnxruntime-extensions" in fixes["ai.onnx.contrib:BertTokenizer"]
    assert "pip install -U onnxruntime" in fixes["ai.onnx:NoSuchOperator"]
    assert report["command"] is None and "GaussianBlur" in report["problem"]


def test_operators_without_a_kernel_or_of_another_opset(examine, saved):
    for opset, domain, name, says in [
        (1, "com.microsoft", "QOrderedGelu", "no CPU kernel"),
        (99, "", "Neg", "knows opset"),
        (10, "", "Einsum", "new in opset 12"),
    ]:
        node = helper.make_node(
            name, ["x"], ["y"], domain=domain, **({"equation": "ij->ij"} if name == "Einsum" else {})
        )
        opsets = [(domain, opset)] if not domain else [("", 18), (domain, opset)]
        (lack,) = examine(saved([node], opsets=opsets), code=1)["lacking"]
        assert lack["operator"].endswith(name) and says in lack["fix"]


def test_operators_in_bodies_and_functions_count(examine, saved):
    """A function of the file is no operator that the runtime must know, but what it is made of is."""
    inner = helper.make_node("Missing", ["a"], ["b"], domain="other")
    function = helper.make_function("mine", "Twice", ["a"], ["b"], [inner], [helper.make_opsetid("other", 1)])
    branch = helper.make_graph(
        [helper.make_node("Lost", ["x"], ["z"], domain="other")],
        "branch",
        [],
        [helper.make_tensor_value_info("z", FLOAT, ["n", 2])],
    )
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="mine"),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    opsets = [("", 18), ("mine", 1), ("other", 1)]
    report = examine(saved(nodes, opsets=opsets, functions=[function], initializer=[yes]), code=1)
    assert report["functions"] == ["mine:Twice"]
    assert [lack["operator"] for lack in report["lacking"]] == ["other:Lost", "other:Missing"]
    assert {"operator": "other:Lost", "opset": 1, "count": 2} in report["operators"]


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin"])
def test_weights_that_are_not_there(examine, run, saved, tmp_path, location):
    """They are named, and what the graph says of itself is told all the same. A path out of the folder is not there."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    weights = TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    path = saved([helper.make_node("Mul", ["x", "w"], ["y"])], initializer=[weights], name="inner/m.onnx")
    report = examine(path, code=1)
    assert report["missing"] == report["external"] == [location] and report["bytes"] == path.stat().st_size
    assert report["inputs"][0]["name"] == "x" and "external files" in report["problem"] and report["lacking"] == []
    table = run("doctor", path, "-f", "table", code=1)
    assert f"missing     {location}: put it into the folder" in table.stdout and "external files" in table.stderr


def test_weights_in_other_files_count(examine, saved, tmp_path):
    (tmp_path / "weights.bin").write_bytes(np.array([2, 3], np.float32).tobytes())
    weights = TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights.bin")
    path = saved([helper.make_node("Mul", ["x", "w"], ["y"])], initializer=[weights])
    report = examine(path)
    assert report["bytes"] == path.stat().st_size + 8 and report["missing"] == [] and report["command"]


def test_a_graph_that_needs_a_sample(examine, onnx_file):
    """It loads and lacks nothing, but no made-up row suits it."""
    graph = "(float[n, k] x) => (float[n, 7] y) <int64[2] shape = {-1, 7}, int64[1] i = {1}>"
    path = onnx_file(f"{graph} {{ a = Reshape(x, shape)  b = ReduceSum(x, i)  y = Add(a, b) }}")
    report = examine(path, code=1)
    assert "sample" in report["problem"] and report["lacking"] == [] and report["command"] is None


@pytest.mark.parametrize("content", [b"", b"text, not a model", "cut"])
def test_files_that_are_no_models(run, negate, content):
    whole = negate.read_bytes()
    negate.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    refused = run("doctor", negate, code=1)
    assert refused.stdout == "" and "ONNX" in refused.stderr


def test_a_file_that_is_not_there(run, tmp_path):
    assert "does not exist" in run("doctor", tmp_path / "m.onnx", code=2).stderr
    assert "is a directory" in run("doctor", tmp_path, code=2).stderr


def test_what_is_prescribed_is_what_register_takes():
    known = {option for parameter in register.params for option in parameter.opts}
    coming = {"--tokenizer", "--image"}
    assert {flag.split()[0] for flag in FLAGS.values()} <= known | coming
