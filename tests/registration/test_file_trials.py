"""Rows that nobody gave, asked of a file in ONNX Runtime alone and of SQL: what differs is refused, or the file is."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import CliRunner

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.errors import ProofFailed
from sqlinfer.runtime import images
from sqlinfer.runtime.session import PlainSession
from tests.conftest import GRAPHS
from tests.engines import ENGINES

LABELLED = (
    "(float[n, 2] x) => (string[n] label, seq(map(string, float)) scores)"
    " <float[2, 3] w = {1, 0, -1, 0, 1, -1}, int64[1] axis = {1}, string[3] names = {'a', 'b', 'c'}> {"
    " s = MatMul(x, w)  p = Softmax<axis = 1>(s)  i = ArgMax<axis = 1, keepdims = 0>(p)  label = Gather(names, i)"
    " scores = ai.onnx.ml.ZipMap<classlabels_strings = ['a', 'b', 'c']>(p) }"
)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (GRAPHS[name], {}) for name in ("mean", "echo", "pixels", "arithmetic", "mixed", "four", "half", "table")},
    "columns": ("(float[3, batch] x) => (float[3, batch] y) { y = Neg(x) }", {}),
    "labelled": (LABELLED, {}),
    "parts": (
        "(float[n, 3] x) => (seq(float[n, k]) y) <int64[2] s = {1, 2}> { y = SplitToSequence<axis = 1>(x, s) }",
        {},
    ),
    "lists": (
        "(float[n, 4] x) => (seq(float[n, k]) y) <int64[2] s = {2, 2}> { y = SplitToSequence<axis = 1>(x, s) }",
        {},
    ),
    "alike": ("(float[n, 1] x) => (float[n, 1] Y, float[n, 1] y) { Y = Neg(x)  y = Abs(x) }", {}),
    "shared": ("(float[n, 1] x, float by) => (float[n, 1] y) { y = Mul(x, by) }", {}),
    "constant": ("(float[n, 1] x, float[1] by) => (float[n, 1] y) { y = Mul(x, by) }", {"constants": {"by": 3}}),
    "row by row": ("(float[3] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }", {"row_by_row": True}),
    "picture": (
        "(float[n, 3, 4, 4] x) => (float[n, 3] y) { p = GlobalAveragePool(x)  y = Flatten(p) }",
        {"image": True, "resize": "crop"},
    ),
    "head": ("(float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }", {"labels": ["no", "yes"], "softmax": True}),
}


@pytest.fixture
def here(monkeypatch):
    """Files are registered in this process; ``here(change)``: the files themselves answer what ``change(feeds,
    outputs)`` makes of their answers."""

    class Here:
        def call(self, function, *args, **_):
            return function(*args)

    run = PlainSession.run
    monkeypatch.setattr("sqlinfer.registration.register.worker", Here())

    def answer(change):
        monkeypatch.setattr(PlainSession, "run", lambda self, names, feeds: change(feeds, run(self, names, feeds)))

    return answer


@pytest.fixture
def write(tmp_path):
    def path(graph):
        text = f'<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]> test {graph}'.replace("'", '"')
        onnx.save(onnx.parser.parse_model(text), tmp_path / "a.onnx")
        return tmp_path / "a.onnx"

    return path


def other(value):
    """What is not the value, of its kind."""
    if isinstance(value, (list, dict)):
        return {k: other(v) for k, v in value.items()} if isinstance(value, dict) else [other(v) for v in value]
    value = np.asarray(value)
    if value.dtype == object:
        return value + "?"
    return ~value if value.dtype == bool else (value + 1).astype(value.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_itself_is_asked(here, write, tmp_path, kind):
    graph, how = KINDS[kind]
    path = write(graph)
    stored = sqlinfer.register("m", path, registry=tmp_path / "same", trials=60, **how)
    assert not any(feature.guards for feature in stored.manifest.signature.features)
    here(lambda feeds, outputs: [other(value) for value in outputs])
    with pytest.raises(ProofFailed, match="does not answer what the model"):
        sqlinfer.register("m", path, registry=tmp_path / "other", trials=60, **how)


def test_what_is_answered_otherwise_is_refused(here, write, tmp_path):
    here(lambda feeds, outputs: [np.where(np.isnan(feeds["x"]), np.float32(7), outputs[0])])
    stored = sqlinfer.register("m", write(GRAPHS["same_float"]), registry=tmp_path, trials=60)
    (feature,) = stored.manifest.signature.features
    assert [guard.refuse for guard in feature.guards] == ["nan"]
    assert feature.guards[0].says.startswith("a.onnx answers 7.0 for NaN, the graph that SQL asks answers nan; ")
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            with pytest.raises(Exception, match="'x' is NaN, which is refused: a"):
                con.execute("SELECT predict('m', 'nan'::FLOAT)").fetchall()
            assert con.execute("SELECT predict('m', 1.5)").fetchall() == [(1.5,)]
        assert sqlinfer.verify("m", registry=tmp_path, engine=engine).passed


def test_what_the_file_refuses_and_sql_answers(here, write, tmp_path):
    def answer(feeds, outputs):
        if "" in feeds["x"].ravel().tolist():
            raise ValueError("it takes no empty text")
        return outputs

    here(answer)
    stored = sqlinfer.register("m", write(GRAPHS["same_text"]), registry=tmp_path, trials=60)
    (feature,) = stored.manifest.signature.features
    assert [guard.refuse for guard in feature.guards] == ["empty"]


def test_pictures_that_no_sample_shows(here, write, tmp_path, monkeypatch):
    """Of one kind, our decoder is not Pillow's."""
    path = write("(float[n, 3, 4, 4] x) => (float[n, 3] y) { p = GlobalAveragePool(x)  y = Flatten(p) }")
    stored = sqlinfer.register("m", path, registry=tmp_path / "same", image=True, trials=60)
    assert not stored.manifest.proof.untried
    decode = images._Pillow.decode

    def other_grey(self, content, most):
        return decode(self, content, most) // (2 if content[25:26] == b"\4" else 1)  # grey beside how opaque it is

    monkeypatch.setattr(images._Pillow, "decode", other_grey)
    with pytest.raises(ProofFailed, match=r"image = a file of \d+ bytes, 89504e.*a\.onnx answers"):
        sqlinfer.register("m", path, registry=tmp_path / "other", image=True, trials=60)


@pytest.mark.parametrize(
    ("graph", "how", "says"),
    [
        ("(float[n, 1] x) => (float[n, 1] y) { y = IsNaN(x) }", {}, "ONNX Runtime does not load the file as it is"),
        ("(bfloat16[n, 1] x) => (bfloat16[n, 1] y) { y = Identity(x) }", {}, "bfloat16.* NumPy does not have"),
        (
            "(float[n, 1] x) => (float[n, 1] y) <int64 a = {0}> { y = CumSum(x, a) }",
            {"together": True},
            "scored together",
        ),
    ],
)
def test_where_nothing_is_tried_it_is_said(write, tmp_path, graph, how, says):
    stored = sqlinfer.register("m", write(graph), registry=tmp_path / "models", trials=60, **how)
    assert re.search(says, stored.manifest.proof.untried)
    assert sqlinfer.Registry(tmp_path / "models").get("m").manifest.proof.untried == stored.manifest.proof.untried
    shown = CliRunner().invoke(main, ["show", "m", "-f", "table", "--registry", str(tmp_path / "models")])
    assert re.search(f"trials +none: .*{says}", shown.output)


def test_rows_that_only_trials_show_to_see_one_another(write, tmp_path, engine):
    """What is in the body of an If is not looked into."""
    path = write(
        "(float[n, 1] x) => (float[n, 1] y) <float k = {100000}, bool yes = {1}> {"
        " hit = Greater(x, k)  seen = Cast<to = 1>(hit)"
        " sums = If(yes) <then_branch = a () => (float[n, 1] s) { zero = Constant<value: tensor = int64 {0}>()"
        " s = CumSum(seen, zero) }, else_branch = b () => (float[n, 1] o) { o = Identity(seen) }>"
        " y = Add(x, sums) }"
    )
    stored = sqlinfer.register("m", path, registry=tmp_path, sample={"x": [1.5, 2.5]}, trials=60)
    assert stored.manifest.signature.batch.most == 1
    assert not any(feature.guards for feature in stored.manifest.signature.features)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        answers = con.execute("SELECT predict('m', x) FROM (VALUES (200000), (300000), (1)) t(x)").fetchall()
    assert answers == [(200001,), (300001,), (1,)]


def test_what_no_value_tells_is_no_model(here, write, tmp_path):
    here(lambda feeds, outputs: [np.where(feeds["x"] == 0, np.float32(7), outputs[0])])
    path = write("(float[n, 3] x) => (float[n, 3] y) { y = Identity(x) }")
    with pytest.raises(ProofFailed, match=r"f0 = 0, .*a\.onnx answers \[7\.0, .* and the graph that SQL asks answers"):
        sqlinfer.register("m", path, registry=tmp_path, trials=60)
    assert sqlinfer.register("m", path, registry=tmp_path, trials=0).version == 1


def test_the_rows_of_the_sample_are_asked_without_trials(here, write, tmp_path):
    here(lambda feeds, outputs: [np.where(feeds["x"] == 2.5, np.float32(7), outputs[0])])
    with pytest.raises(ProofFailed, match="differs"):
        sqlinfer.register("m", write(GRAPHS["same_float"]), registry=tmp_path, sample={"x": [1.5, 2.5]}, trials=0)


def test_a_value_that_keeps_a_graph_busy(write, tmp_path, engine):
    """Rows that take the file too long are asked of nobody."""
    path = write(
        "(float[n, 1] x) => (float[n, 1] y) { most = ReduceMax<keepdims = 0>(x)  times = Cast<to = 7>(most)"
        " go = Constant<value: tensor = bool {1}>()  y = Loop(times, go, x)"
        " <body = step (int64 i, bool on, float[n, 1] z) => (bool more, float[n, 1] next) {"
        " more = Identity(on)  two = Constant<value: tensor = float {2.0}>()"
        " half = Div(z, two)  next = Mul(half, two) }> }"
    )
    sqlinfer.register("m", path, registry=tmp_path, sample={"x": [1.5, 2.5]}, trials=12, time_limit=120)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        assert con.execute("SELECT predict('m', 3)").fetchall() == [(3.0,)]


def test_columns_of_other_types_are_tried(here, write, tmp_path):
    given = set()

    def answer(feeds, outputs):
        given.update(feeds["k"].ravel().tolist())
        return outputs

    here(answer)
    path = write("(int64[n] k, string[n, 1] s) => (int64[n] y, string[n, 1] z) { y = Neg(k)  z = Identity(s) }")
    sqlinfer.register("m", path, registry=tmp_path, sample={"k": [10, 20], "s": ["a", "b"]}, trials=200)
    assert {1, 2, 3, 2**24 + 1, 2**53 + 1} <= given
    assert math.inf not in given


def test_a_file_that_is_not_loaded_as_it_is_has_no_trials(write, tmp_path):
    """Its output is declared as something else than it is."""
    path = write("(float[n, 1] x) => (float[n, 1] y) { y = IsNaN(x) }")
    stored = sqlinfer.register("m", path, registry=tmp_path, trials=60)
    assert stored.manifest.signature.calls["predict"].type == "BOOLEAN"
