"""Where the rows are: on another axis, nowhere, or shared by a run; and what an output is then."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sqlinfer
from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.models.signature import Call, Output, Signature
from sqlinfer.runtime.outputs import answer

VOICE = """(float[n, samples] audio, float[2, n, 3] state, int64 rate) => (float[n, 1] speech, float[2, n, 3] next)
 <int64[1] one = {1}, int64[1] zero = {0}> {
    level = ReduceMean(audio, one)
    pitch = Cast<to=1>(rate)
    speech = Mul(level, pitch)
    wide = Unsqueeze(speech, zero)
    next = Add(state, wide)
 }"""
FIND = "(float[batch, 4] x) => (int64[found, 2] places) { both = NonZero(x)  places = Transpose(both) }"
TOTAL = "(float[k] x) => (float total) { total = ReduceSum<keepdims=0>(x) }"


@pytest.fixture
def asked(onnx_file, tmp_path, engine):
    """``asked(graph, sql, table=…, **options)``: register the graph as m, and the rows that a query answers."""

    def ask(graph, sql, setup=None, **options):
        file = graph if not isinstance(graph, str) else onnx_file(graph)
        registry = sqlinfer.Registry(tmp_path / "models")
        model = sqlinfer.register("m", file, registry=registry, promote=True, **options)
        ask.model = model  # type: ignore[attr-defined]
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            if setup:
                con.execute(setup)
            return [row[0] if len(row) == 1 else row for row in con.execute(sql).fetchall()]

    return ask


@pytest.mark.slow
def test_state_on_another_axis_and_a_rate_that_a_run_shares(asked):
    rows = asked(
        VOICE,
        "SELECT predict('m', [a, a + 2], [[0, 0, a], [1, 1, 1]], rate) FROM t ORDER BY i",
        "CREATE TABLE t AS SELECT i, i AS a, CASE WHEN i % 3 = 0 THEN 8000 ELSE 16000 END AS rate FROM range(700) r(i)",
    )
    for i, row in enumerate(rows):
        speech = (i + 1) * (8000 if i % 3 == 0 else 16000)
        assert row["speech"] == speech
        assert row["next"] == ((speech, speech, i + speech), (1 + speech,) * 3)


def test_a_constant_is_no_feature(asked):
    assert asked(VOICE, "SELECT infer('m', [1, 3], [[0, 0, 0], [0, 0, 0]]).speech", constants={"rate": 10}) == [20]
    assert asked.model.manifest.signature.feature_names == ["audio", "state"]


def test_rows_of_many_lengths_and_many_shared_values(asked):
    rows = asked(
        VOICE,
        "SELECT infer('m', range(i % 5 + 1), [[0, 0, 0], [0, 0, 0]], i % 3).speech FROM range(3000) r(i) ORDER BY i",
    )
    assert rows == [(i % 5) / 2 * (i % 3) for i in range(3000)]


def test_rows_of_many_lengths_with_much_in_them(asked):
    graph = "(float[n, len] x) => (float[n] y) <int64[1] axis = {1}> { y = ReduceMax<keepdims=0>(x, axis) }"
    longest = "list_transform(range(i % 7 * 300 + 1), lambda k: k + i)"
    expected = [i % 7 * 300 + i for i in range(500)]
    assert asked(graph, f"SELECT predict('m', {longest}) FROM range(500) r(i) ORDER BY i") == expected


def test_more_values_than_a_list_of_arrow_holds():
    """Offsets of 32 bits would wrap around, and show other rows' values."""
    output = Output("y", "float32", (None, None), "FLOAT[]")
    scores = np.broadcast_to(np.float32(1), (2**15, 2**16))
    call = Call("FLOAT[]", "tensor", ("y",))
    with pytest.raises(ModelFailed, match="hold 2,147,483,648 values in lists"):
        answer(Signature((), (), (output,), {"predict": call}), call, [scores])


def test_a_vector_that_a_run_shares(asked):
    graph = "(float[n, 3] x, float[3] scale) => (float[n, 3] y) { y = Mul(x, scale) }"
    sql = "SELECT predict('m', a, 2, 3, [1, 10, s]) FROM (VALUES (1, 100), (2, 100), (3, 200)) t(a, s)"
    assert asked(graph, sql) == [(1, 20, 300), (2, 20, 300), (3, 20, 600)]


def test_a_recurrence_over_rows_of_one_state_is_run_row_by_row(asked):
    """Rows of different states run apart in any case; those of one state must not feed one another."""
    graph = """(float[seq, 1] x, float[1] state) => (float[seq, 1] y)
     <int64 axis = {0}> { sum = CumSum(x, axis)  y = Add(sum, state) }"""
    assert asked(graph, "SELECT predict('m', i, 0) FROM range(4) r(i) ORDER BY i") == [0, 1, 2, 3]
    assert asked.model.manifest.signature.batch.most == 1


def test_free_axes_do_not_take_all_memory(onnx_file, tmp_path):
    """A graph that no made-up shape suits, of axes that the longest lengths would make terabytes of."""
    picky = "(uint8[n, h, w, c] x) => (uint8[n, 7] y) <int64[2] shape = {-1, 7}> { y = Reshape(x, shape) }"
    wide = "(float[n, 1000000, 1000000] x) => (float[n] y) <int64[2] inner = {1, 2}>"
    wide += " { y = ReduceSum<keepdims=0>(x, inner) }"
    with pytest.raises(InvalidModel, match=r"does not run on 3 rows.*sample"):
        sqlinfer.register("m", onnx_file(picky), registry=tmp_path / "none")
    with pytest.raises(InvalidModel, match=r"100,000,000 values.*sample"):
        sqlinfer.register("m", onnx_file(wide), registry=tmp_path / "none")


def test_no_batch_axis_is_an_error_that_names_the_way_out(asked, onnx_file, tmp_path):
    for graph in (FIND, TOTAL, "(float x) => (float y) { y = Neg(x) }"):
        with pytest.raises(InvalidModel, match="row_by_row=True"):
            sqlinfer.register("m", onnx_file(graph), registry=tmp_path / "none")


def test_names_that_sql_cannot_tell_apart_get_a_number(asked):
    graph = "(float[n, 1] x, float[n, 1] X) => (float[n, 1] y, float[n, 1] Y, float[n, 1] y_2, float[n, 1] X)"
    graph += " { y = Neg(x)  Y = Abs(y)  y_2 = Add(Y, X) }"
    sql = "SELECT infer('m', 1, 2), infer('m', x_2 := 2, x := 1)"
    expected = {"y": -1, "Y_2": 1, "y_2_2": 3, "X": 2}
    assert asked(graph, sql) == [(expected, expected)]
    graph = "(float[n, 2] x, float[n, 1] x_0) => (float[n, 2] y) { y = Add(x, x_0) }"
    assert asked(graph, "SELECT predict('m', x_0 := 1, x_1 := 2, x_0_2 := 10)") == [(11, 12)]
    graph = "(float[n, 1] x, float[n, 1] X) => (float[n, 1] y, float[n, 1] x, float[n, 1] X) { y = Add(x, X) }"
    assert asked(graph, "SELECT predict('m', 1, 2)") == [{"y": 3, "x": 1, "X_2": 2}]


def test_row_by_row_all_outputs_are_the_rows_own(asked):
    rows = asked(FIND, "SELECT predict('m', a, 0, 2, a) FROM (VALUES (0), (1), (NULL)) t(a)", row_by_row=True)
    assert rows == [[(0, 2)], [(0, 0), (0, 2), (0, 3)], None]
    assert asked(TOTAL, "SELECT predict('m', x) FROM (VALUES ([1, 2]), ([3]), (NULL)) t(x)", row_by_row=True) == [
        3,
        3,
        None,
    ]
    assert asked("(float x) => (float y) { y = Neg(x) }", "SELECT predict('m', 3)", row_by_row=True) == [-3]


def test_texts_that_a_run_shares_and_texts_row_by_row(asked):
    shared = "(string[n, 1] x, string[2] y) => (string[n, 1] z, string[2] t) { z = Identity(x) t = Identity(y) }"
    assert asked(shared, "SELECT infer('m', 'a', ['b', 'c'])", batch_axis={"y": None}) == [{"z": "a"}]
    alone = "(string[k] x) => (string[k] y) { y = Identity(x) }"
    assert asked(alone, "SELECT predict('m', ['a', 'bc', 'd'])", row_by_row=True) == [["a", "bc", "d"]]


def test_an_empty_list_holds_lists_of_any_length(asked):
    graph = "(float[n, any, 4] x) => (float[n, 4] y) <int64[1] one = {1}> { y = ReduceSum<keepdims=0>(x, one) }"
    sql = "SELECT predict('m', x) FROM (VALUES ([[1, 2, 3, 4]]), ([])) t(x)"
    assert asked(graph, sql) == [(1, 2, 3, 4), (0, 0, 0, 0)]


def test_a_model_for_one_row_may_find_any_number_of_things(asked):
    graph = FIND.replace("batch", "1")
    assert asked(graph, "SELECT len(predict('m', i, 0, 1, i)) FROM range(3) r(i)") == [1, 3, 3]


SPLIT = '(string[n] x) => (string[n, m] y, int64[n] k) { y, k = StringSplit<delimiter=",">(x) }'
KEEP = "(float[1, 3] x) => (float[1, M] y) <float zero = {0}, int64[1] row = {0}>"
KEEP += " { flat = Squeeze(x, row) more = Greater(flat, zero)"
KEEP += " kept = Compress<axis=0>(flat, more) y = Unsqueeze(kept, row) }"


@pytest.mark.parametrize("known", [False, True])
def test_a_length_that_hangs_on_the_values_is_a_list(asked, onnx_file, known):
    """No row has the length of its neighbours, or of the rows on trial."""
    sample: dict[str, Any] = {"sample": {"x": ["a,b", "c,d"]}} if known else {}
    rows = [["a", "b"], ["c"], [], ["d", "e", "f"]]
    sql = "SELECT infer('m', x).y FROM (VALUES ('a,b'), ('c'), (''), ('d,e,f')) t(x)"
    assert asked(onnx_file(SPLIT, opset=20), sql, **sample) == rows
    sample = {"sample": {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [3.0, 4.0]}} if known else {}
    sql = "SELECT predict('m', i, 1, -1) FROM range(2) r(i) ORDER BY i"
    assert asked(KEEP, sql, **sample) == [[1], [1, 1]]


def test_a_length_that_is_free_only_in_the_file_is_fixed(asked):
    graph = "(float[n, 2] x) => (float[n, m] y, float[n, k] z)"
    graph += " { y = Neg(x) shape = Shape(x) z = Reshape(x, shape) }"
    assert asked(graph, "SELECT infer('m', 1, 2)") == [{"y": (-1, -2), "z": (1, 2)}]
    assert asked.model.manifest.signature.batch.most is None


def test_an_answer_of_another_shape_than_on_trial_is_a_clear_error(asked):
    """A file that declares a length has it, until a row shows otherwise."""
    lying = KEEP.replace("M", "3")
    sample = {"a": [1.0], "b": [1.0], "c": [3.0]}
    assert asked(lying, "SELECT predict('m', 1, 2, 3)", sample=sample) == [(1, 2, 3)]
    with pytest.raises((duckdb.Error, ModelFailed), match="another shape than when the model was registered"):
        asked(lying, "SELECT predict('m', 1, 2, -3)", sample=sample)


def test_declared_types_are_not_believed_either(asked):
    graph = "(float[2, 2] x) => (double[2, 2] y, int64[2, 2] k) { y = Neg(x) k = Cast<to=6>(x) }"
    sql = "SELECT infer('m', i, 2) FROM range(3) r(i)"
    assert asked(graph, sql) == [{"y": (-i, -2), "k": (i, 2)} for i in range(3)]
    assert [output.dtype for output in asked.model.manifest.signature.outputs] == ["float32", "int32"]


def test_rows_on_the_last_axis(asked):
    graph = "(float[3, cases] x) => (float[3, cases] y, float[cases] s)"
    graph += " <int64[1] zero = {0}> { y = Neg(x) s = ReduceSum<keepdims=0>(x, zero) }"
    sql = "SELECT infer('m', i, 2, 3) FROM range(2) r(i)"
    expected = [{"y": (0, -2, -3), "s": 5}, {"y": (-1, -2, -3), "s": 6}]
    assert asked(graph, sql, batch_axis={"x": 1}) == expected


SQUARE = "(float[4, 3] x) => (float[4, 4] y) <float[3, 4] w = {2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1}>"
SQUARE += " { h = MatMul(x, w) y = Transpose(h) }"
LAYERS = "(float[2, 2, 4] state, float[2, 4] x) => (float[2, 4] y) <int64[1] axis = {0}>"
LAYERS += " { s = ReduceSum<keepdims=0>(state, axis) y = Add(x, s) }"


def test_a_fixed_batch_that_is_as_long_as_an_axis_of_the_output(asked):
    """The rows are where the answers go when the rows are moved."""
    rows = [(2 * i + 1, i + 2, i + 1, i + 1) for i in range(6)]
    assert asked(SQUARE, "SELECT predict('m', i, 1, 0) FROM range(6) r(i) ORDER BY i") == rows
    assert asked.model.manifest.signature.batch.neighbours == 0


def test_a_fixed_batch_that_is_as_long_as_an_axis_of_the_state(asked):
    sql = "SELECT predict('m', [[i, 0, 0, 0], [1, 1, 1, 1]], 5, 6, 7, i) FROM range(5) r(i) ORDER BY i"
    assert asked(LAYERS, sql) == [(i + 6, 7, 8, i + 1) for i in range(5)]


def test_an_input_before_the_one_that_tells_the_fixed_batch(asked):
    graph = LAYERS.replace("[2, 2, 4] state, float[2, 4]", "[3, 5, 4] state, float[5, 4]").replace(
        "[2, 4] y", "[5, 4] y"
    )
    sql = "SELECT predict('m', [[i, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 9]], 5, 6, 7, i) FROM range(7) r(i) ORDER BY i"
    assert asked(graph, sql) == [(i + 6, 7, 8, i + 10) for i in range(7)]


def test_axes_that_no_trial_tells_apart_are_asked_for(asked, onnx_file, tmp_path):
    """Of answers that are never the same; the first axis, of answers that always are."""
    shuffled = "(float[2, 2] x) => (float[2, 2] y) { r = RandomUniformLike(x) y = Add(x, r) }"
    with pytest.raises(InvalidModel, match=r"input 'x' .* 0 or 1.*--batch-axis x=0 \(batch_axis={'x': 0}\)"):
        sqlinfer.register("m", onnx_file(shuffled), registry=tmp_path / "none")
    with pytest.raises(InvalidModel, match=r"output 'y' .* 0 or 1.*--batch-axis y=0"):
        sqlinfer.register("m", onnx_file(shuffled), registry=tmp_path / "none", batch_axis={"x": 0})
    rare = "(float[2, 2] x) => (bool[2, 2] y) <float[1] most = {1e6}> { y = Greater(x, most) }"
    sql = "SELECT predict('m', i * 2e6, 0) FROM range(2) r(i) ORDER BY i"
    assert asked(rare, sql) == [(False, False), (True, False)]
    turned = rare.replace("y = Greater(x, most)", "h = Greater(x, most) y = Transpose(h)")
    assert asked(turned, sql, batch_axis={"y": 1}) == [(False, False), (True, False)]


def test_time_on_the_first_axis_of_the_output(asked):
    """Of 96 and of 160 steps, strides of 64 leave 2 and 3: no number of rows."""
    graph = "(float[n, 1, steps] x) => (float[t, n, 1] y) <float[1, 1, 1] one = {1}>"
    graph += ' { h = Conv<strides=[64], auto_pad="SAME_LOWER">(x, one) y = Transpose<perm=[2, 0, 1]>(h) }'
    sql = "SELECT predict('m', x) FROM (VALUES (range(96)), (range(160)), (range(96))) t(x)"
    found = asked(graph, sql)
    assert [len(row) for row in found] == [2, 3, 2] and found[0] == found[2]


def test_an_axis_called_batch_is_one(asked):
    graph = "(float[steps, batch, 1] x) => (float[batch, 1] y)"
    graph += " <int64[1] zero = {0}> { y = ReduceSum<keepdims=0>(x, zero) }"
    assert asked(graph, "SELECT predict('m', range(i)) FROM range(1, 4) r(i)") == [0, 1, 3]


def test_a_sequence_is_a_list(asked, tmp_path):
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("SequenceConstruct", ["x", "y", "x"], ["all"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    out = helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [out]), ir_version=9), tmp_path / "seq.onnx")
    rows = asked(tmp_path / "seq.onnx", "SELECT predict('m', i, 5) FROM range(2) r(i)")
    assert rows == [((0, 5), (0, -5), (0, 5)), ((1, 5), (-1, -5), (1, 5))]


def test_types_that_sql_does_not_have_travel_as_wider_ones(asked):
    graph = "(bfloat16[n, 2] x) => (bfloat16[n, 2] y) { f = Cast<to=1>(x) d = Add(f, f) y = Cast<to=16>(d) }"
    assert asked(graph, "SELECT predict('m', 1.5, 0.25)") == [(3, 0.5)]


@pytest.mark.parametrize(
    ("graph", "expected", "options"),
    [
        ("(float[n, 2] x) => (bfloat16[2, n] y) { t = Transpose(x) y = Cast<to=16>(t) }", (1, 2), {}),
        (
            "(float[k] x) => (bfloat16 y) { s = ReduceSum<keepdims=0>(x) y = Cast<to=16>(s) }",
            3,
            {"row_by_row": True, "features": ["x"]},
        ),
        ('(float[n, 2] x) => (float[2, n] y) { "y/original" = Neg(x) y = Transpose("y/original") }', (-1, -2), {}),
        ("(bfloat16[n, 2] x) => (bfloat16[n, 2] y, bfloat16[n, 2] x) { y = Identity(x) }", (1, 2), {}),
    ],
)
def test_a_value_may_change_its_form_more_than_once(asked, graph, expected, options):
    value = "x" if options else "1, 2"
    found = asked(graph, f"SELECT infer('m', {value}).y FROM (SELECT [1, 2] AS x)", **options)
    assert found == [expected]


def test_a_sequence_of_tensors_of_several_widths_is_a_struct(asked, tmp_path):
    nodes = [helper.make_node("SplitToSequence", ["x", "widths"], ["parts"], axis=1)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    out = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    widths = numpy_helper.from_array(np.array([1, 2]), "widths")
    graph = helper.make_graph(nodes, "g", [x], [out], [widths])
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "widths.onnx")
    rows = asked(tmp_path / "widths.onnx", "SELECT predict('m', i, 5, 6) FROM range(2) r(i)")
    assert rows == [{"parts_0": 0, "parts_1": (5, 6)}, {"parts_0": 1, "parts_1": (5, 6)}]


def test_a_sequence_with_a_part_for_each_row(asked, tmp_path):
    nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=0)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    out = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [out]), ir_version=9), tmp_path / "parts.onnx")
    assert asked(tmp_path / "parts.onnx", "SELECT predict('m', i, 5) FROM range(2) r(i)") == [(0, 5), (1, 5)]


def split(tmp_path, shape, dtype=TensorProto.FLOAT, **how):
    """A graph that takes its input apart along an axis."""
    nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"], **how)]
    x = helper.make_tensor_value_info("x", dtype, shape)
    out = helper.make_tensor_sequence_value_info("parts", dtype, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [out]), ir_version=9), tmp_path / "parts.onnx")
    return tmp_path / "parts.onnx"


def test_row_by_row_a_sequence_is_the_list_of_its_parts(asked, tmp_path):
    """Of any number, none among them."""
    sql = "SELECT predict('m', x) FROM (VALUES ([[1, 2], [3, 4]]), ([[5, 6]]), ([]), (NULL)) t(x)"
    rows = asked(split(tmp_path, ["k", 2], axis=0, keepdims=0), sql, row_by_row=True)
    assert rows == [[(1, 2), (3, 4)], [(5, 6)], [], None]
    rows = asked(
        split(tmp_path, ["k"], axis=0, keepdims=0), "SELECT predict('m', range(i)) FROM range(3) r(i)", row_by_row=True
    )
    assert rows == [[], [0], [0, 1]]


@pytest.mark.parametrize(("dtype", "value"), [(TensorProto.FLOAT, 1.5), (TensorProto.STRING, "a")])
@pytest.mark.parametrize("rows", ["n", 1])
def test_a_sequence_that_is_empty_for_some_rows(asked, tmp_path, rows, dtype, value):
    sql = f"SELECT predict('m', list_transform(range(i % 3), lambda _: [{value!r}, {value!r}])) FROM range(5) r(i)"
    found = asked(split(tmp_path, [rows, "k", 2], dtype, axis=1, keepdims=0), sql)
    assert found == [[(value, value)] * (i % 3) for i in range(5)]


def test_parts_that_do_not_have_their_rows_first(asked, tmp_path):
    """The list is of the parts, each whole, whichever axis of theirs counts the rows."""
    sql = "SELECT predict('m', [[i, 10], [i, 20], [i, 30]]) FROM range(2) r(i)"
    found = asked(split(tmp_path, ["steps", "batch", 2], axis=2, keepdims=0), sql)
    assert found == [([i, i, i], [10, 20, 30]) for i in range(2)]
    assert asked(split(tmp_path, ["n"], axis=0, keepdims=0), "SELECT predict('m', i) FROM range(2) r(i)") == [0, 1]


def test_a_sequence_that_is_always_empty_is_not_shown(asked, tmp_path):
    nodes = [helper.make_node("SequenceEmpty", [], ["none"]), helper.make_node("Neg", ["x"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "xy")
    out = helper.make_tensor_sequence_value_info("none", TensorProto.FLOAT, None)
    graphs = [helper.make_graph(nodes, "g", [x], [out, y]), helper.make_graph(nodes, "g", [x], [out])]
    for i, graph in enumerate(graphs):
        onnx.save(helper.make_model(graph, ir_version=9), tmp_path / f"{i}.onnx")
    assert asked(tmp_path / "0.onnx", "SELECT infer('m', 1)") == [{"y": -1}]
    with pytest.raises(InvalidModel, match="no output of the model has one answer for each row"):
        asked(tmp_path / "1.onnx", "SELECT infer('m', 1)")


@pytest.mark.slow
def test_an_input_with_a_default_is_optional(asked, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    b = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    five = numpy_helper.from_array(np.array([5], np.float32), "b")
    graph = helper.make_graph([helper.make_node("Add", ["x", "b"], ["y"])], "g", [x, b], [y], [five])
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "default.onnx")
    assert asked(tmp_path / "default.onnx", "SELECT predict('m', 1)") == [6]
    assert asked(tmp_path / "default.onnx", "SELECT predict('m', 1)", constants={"b": 7}) == [8]
    sql = "SELECT predict('m', 1, b) FROM (VALUES (3), (4), (NULL)) t(b)"
    assert asked(tmp_path / "default.onnx", sql, batch_axis={"b": None}) == [4, 5, None]
    assert asked(tmp_path / "default.onnx", sql, batch_axis={"b": None}, null={"b": 5}) == [4, 5, 6]


def test_a_default_that_rows_have_their_own_of(asked, tmp_path):
    x, h, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xhy")
    zero = numpy_helper.from_array(np.zeros((1, 2), np.float32), "h")
    graph = helper.make_graph([helper.make_node("Add", ["x", "h"], ["y"])], "g", [x, h], [y], [zero])
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "state.onnx")
    assert asked(tmp_path / "state.onnx", "SELECT predict('m', 1, 2)") == [(1, 2)]
    sql = "SELECT predict('m', 1, 2, i, 10) FROM range(3) r(i)"
    assert asked(tmp_path / "state.onnx", sql, batch_axis={"h": 0}) == [(1 + i, 12) for i in range(3)]


def test_a_length_of_nought_is_any(asked, tmp_path):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [0, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "nought.onnx")
    assert asked(tmp_path / "nought.onnx", "SELECT predict('m', i, 1) FROM range(2) r(i)") == [(0, -1), (-1, -1)]


def test_odd_names(asked, tmp_path):
    names = ["serving_default_x:0", "461", '{"kind": "score", "unit": "\'%\'"}']
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in names]
    nodes = [helper.make_node("Add", names[:2], names[2:])]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:])
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "o.onnx")
    sql = f"""SELECT infer('m', {{'{names[0]}': 1, '461': 2}}), predict('m', "{names[0]}" := 1, "461" := 3)"""
    assert asked(tmp_path / "o.onnx", sql) == [({names[2]: 3}, 4)]


def test_one_list_for_each_input(asked):
    graph = "(float[n, 2] a, float[n, 3] b) => (float[n] y) <int64[1] one = {1}>"
    graph += "{ s = ReduceSum<keepdims=0>(a, one) t = ReduceSum<keepdims=0>(b, one) y = Add(s, t) }"
    assert asked(graph, "SELECT predict('m', [1, 2], [3, 4, i]) FROM range(2) r(i)", features=["a", "b"]) == [10, 11]
    assert asked(graph, "SELECT predict('m', 1, 2, 3, 4, 5)") == [15]


@pytest.mark.parametrize("fixed", ["n", "4"])
def test_no_answer_depends_on_its_neighbours(asked, fixed):
    graph = f"(float[{fixed}, 2] x) => (float[{fixed}, 2] y)"
    graph += " <int64[1] zero = {0}> { m = ReduceMean(x, zero) d = Sub(x, m) y = Add(d, x) }"
    sql = "SELECT predict('m', i, 1) FROM range(5) r(i)"
    assert asked(graph, sql) == [(i, 1) for i in range(5)]
    batch = asked.model.manifest.signature.batch
    assert batch.most == 1 and batch.neighbours > 0.1


def test_row_independence_may_be_traded_away(asked):
    graph = "(float[n, 1] x) => (float[n, 1] y) <int64[1] zero = {0}> { m = ReduceMean(x, zero) y = Sub(x, m) }"
    assert asked(graph, "SELECT predict('m', i) FROM range(3) r(i)", together=True) == [-1, 0, 1]
    assert asked.model.manifest.signature.batch.most is None


def test_what_is_said_of_inputs_must_be_true(onnx_file, tmp_path):
    for options, says in (
        ({"batch_axis": {"rates": 0}}, "no input 'rates'.*its inputs are: audio, state, rate"),
        ({"batch_axis": {"state": 3}}, "has no axis 3"),
        ({"constants": {"nope": 1}}, "no input 'nope'"),
        ({"constants": {"rate": "fast"}}, "'fast' is no constant for input 'rate'"),
        ({"constants": {"rate": [1, 2]}}, "no constant for input 'rate'"),
    ):
        with pytest.raises(InvalidModel, match=says):
            sqlinfer.register("m", onnx_file(VOICE), registry=tmp_path / "models", **options)
