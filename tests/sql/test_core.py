"""The door to the core: rows of any form, without SQL, are answered and refused as SQL does it."""

from __future__ import annotations

import _thread
import ctypes
import dataclasses
import decimal
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

import sqlinfer
from sqlinfer.errors import CallError, FeatureType, MissingFeature, ModelNotFound, NullFeature, RegistryError
from sqlinfer.models.calls import CALLS
from sqlinfer.runtime.core import _elsewhere, core, in_core_form
from sqlinfer.runtime.predictor import open_predictor
from tests.engines import ENGINES

pytestmark = pytest.mark.skipif("native" not in ENGINES, reason="there is no core")

FLOATS = [1.5, -0.0, 3.25, 1e-7, 65504.0]
INTEGERS = [0, 1, 5, 127, 42]
FLAGS = [True, False, False, True, True]
DECIMALS = [decimal.Decimal(text) for text in ("0.1", "-3.3", "99.9", "1.0", "-0.7")]
TEXTS = ["", "Bern", "a text that has no room in a view", "é", "\N{GRINNING FACE}\0x"]
BYTES = [b"", b"abc", b"more than the twelve that a view holds", b"\0\xff", b"x"]
LISTS = [[1.0], [2.0, 3.0], [0.5, 0.25, 0.125], [4.0], [1.0, 1.0]]
THREES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.5, 0.5], [7.0, 8.0, 9.0], [0.0, 1.0, 0.0]]
PAIRS = [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]], [[0.5, 0.25]], [[7.0, 8.0]], [[1.0, 1.0]]]

NUMBERS = [
    *((type, FLOATS) for type in (pa.float16(), pa.float32(), pa.float64())),
    *((type, INTEGERS) for type in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32())),
    *((type, INTEGERS) for type in (pa.int64(), pa.uint64())),
    (pa.bool_(), FLAGS),
    *((pa.decimal128(width, scale), DECIMALS) for width, scale in [(4, 1), (9, 2), (18, 7), (38, 20)]),
    (pa.decimal128(38, 0), INTEGERS),
    (pa.dictionary(pa.int8(), pa.int64()), INTEGERS),
    (pa.null(), [None] * 5),
]
CASES = [
    *(("same_float", *case) for case in NUMBERS),
    *(("same_double", *case) for case in NUMBERS),
    *(("same_int", *case) for case in NUMBERS if case[1] is INTEGERS or case[1] is FLAGS),
    ("negate", pa.bool_(), FLAGS),
    *(("same_text", type, TEXTS) for type in (pa.string(), pa.large_string(), pa.string_view())),
    *(("same_text", pa.dictionary(code, pa.string()), TEXTS) for code in (pa.int8(), pa.uint16(), pa.int64())),
    ("same_text", pa.dictionary(pa.int32(), pa.large_string()), TEXTS),
    *(("mean", type, LISTS) for type in (pa.list_(pa.float32()), pa.large_list(pa.float64()))),
    ("mean", pa.list_view(pa.float32()), LISTS),
    ("mean", pa.list_(pa.float32(), 3), THREES),
    ("echo", pa.list_(pa.int16()), [[1], [2, 3], [4, 5], [6], [7]]),
    ("table", pa.list_(pa.list_(pa.float64(), 2)), PAIRS),
    ("table", pa.large_list(pa.list_(pa.float32())), PAIRS),
    *(("bytesum", type, BYTES) for type in (pa.binary(), pa.large_binary(), pa.binary_view())),
    ("bytesum", pa.binary(2), [b"ab", b"cd", b"ef", b"\0\xff", b"xy"]),
    ("bytesum", pa.list_(pa.uint8()), [[1], [2, 3], [255], [0], [4]]),
]


def array_of(type: pa.DataType, values: list, rows: int, seed: int, *, nulls: bool = True) -> pa.Array:
    """Some of the values and some NULLs, which lie amid others: neither at the beginning nor in whole bytes."""
    draw = random.Random(seed)
    picked = [draw.choice([*values, None] if nulls else values) for _ in range(rows + 12)]
    if pa.types.is_dictionary(type):
        return pa.array(picked, type.value_type).dictionary_encode().cast(type).slice(5, rows)
    if pa.types.is_float16(type):
        return pa.array(picked, pa.float32()).cast(type).slice(5, rows)
    return pa.array(picked, type).slice(5, rows)


def asked(registry, name: str, *columns: pa.Array, call: str = "predict") -> pa.Array:
    model = sqlinfer.load(name, registry=registry)
    forms = [in_core_form(pa.chunked_array([column])).combine_chunks() for column in columns]
    arrays = [form.chunk(0) if isinstance(form, pa.ChunkedArray) else form for form in forms]
    rows = pa.RecordBatch.from_arrays(arrays, list(model.features))
    return core().open(model._registry.home, name).answers(call, rows)


# What the reference does not read: the same values, in another form.
READ_AS = {
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.binary(2): pa.binary(),
    pa.list_view(pa.float32()): pa.list_(pa.float32()),
    pa.dictionary(pa.int8(), pa.int64()): pa.int64(),
}


def by_reference(registry, name: str, *columns: pa.Array, call: str = "predict") -> pa.Array:
    model = sqlinfer.load(name, registry=registry)
    forms = [column.cast(READ_AS.get(column.type, column.type)) for column in columns]
    return open_predictor(name, model._stored, call)(*forms)


@pytest.mark.parametrize("rows", [0, 1, 7, 200])
@pytest.mark.parametrize(("name", "type", "values"), CASES, ids=lambda case: str(case) if "[" not in str(case) else "")
def test_slices_and_nulls_of_every_type(registry, name, type, values, rows):
    column = array_of(type, values, rows, seed=rows)
    expected = by_reference(registry, name, column)
    answers = asked(registry, name, column)
    assert answers.type == expected.type and len(answers) == rows
    answers.validate(full=True)
    assert repr(answers.to_pylist()) == repr(expected.to_pylist())


@pytest.mark.parametrize("call", ["predict", "infer"])
def test_several_features_and_outputs(registry, call):
    columns = [
        array_of(pa.float64(), FLOATS, 300, 1),
        array_of(pa.int32(), INTEGERS, 300, 2),
        array_of(pa.dictionary(pa.int8(), pa.string()), TEXTS, 300, 3),
        array_of(pa.bool_(), FLAGS, 300, 4),
    ]
    answers = asked(registry, "mixed", *columns, call=call)
    answers.validate(full=True)
    assert answers.type == by_reference(registry, "mixed", *columns, call=call).type
    assert answers.to_pylist() == by_reference(registry, "mixed", *columns, call=call).to_pylist()


def test_answers_are_those_of_sql(registry, customers):
    model = sqlinfer.load("churn", registry=registry)
    many = pa.concat_tables([pa.Table.from_pandas(customers, preserve_index=False)] * 40)
    with sqlinfer.connect(registry=registry, engine="native") as con:
        for call in ("predict", "predict_proba", "infer"):
            sql = (
                con.sql(f"SELECT {call}('churn', m) AS answer FROM many m").to_arrow_table()["answer"].combine_chunks()
            )
            answers = getattr(model, call)(many)
            assert answers.type == sql.type or call == "predict"
            assert repr(answers.to_pylist()) == repr(sql.to_pylist())


def test_a_class_and_a_text(registry, customers):
    rows = pa.RecordBatch.from_pandas(customers, preserve_index=False)
    model = core().open(sqlinfer.load("churn", registry=registry)._registry.home, "churn")
    maps = model.answers("predict_proba", rows)
    classes = [str(key).lower() for key, _ in maps[0].as_py()]
    for place, name in enumerate(classes):
        assert model.answers("predict_proba", rows, name).to_pylist() == [row[place][1] for row in maps.to_pylist()]
        assert model.gives("predict_proba", name) == maps.type.item_type
    labels = [str(label).lower() for label in model.answers("predict", rows).to_pylist()]
    assert model.answers("predict_label", rows).to_pylist() == labels
    with pytest.raises(CallError, match="has no class 'nope'"):
        model.answers("predict_proba", rows, "nope")
    with pytest.raises(CallError, match=r"predict\(\) takes no class"):
        model.answers("predict", rows, classes[0])
    with pytest.raises(CallError, match="there is no call 'guess'; calls: predict, "):
        model.answers("guess", rows)


def test_what_a_model_takes_and_gives(registry):
    def of(name: str):
        return core().open(sqlinfer.load(name, registry=registry)._registry.home, name)

    assert of("mixed").takes == pa.schema({"x": pa.float32(), "k": pa.int64(), "s": pa.string(), "b": pa.bool_()})
    assert of("iris").gives("predict") == pa.string()
    assert of("iris").gives("predict_proba") == pa.map_(pa.string(), pa.float64())
    with pytest.raises(ModelNotFound, match="has no predict_proba"):
        of("mixed").gives("predict_proba")


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("same_float", pa.string()),
        ("same_float", pa.date32()),
        ("same_float", pa.timestamp("us")),
        ("same_float", pa.timestamp("ms", "UTC")),
        ("same_float", pa.time64("us")),
        ("same_float", pa.binary()),
        ("same_float", pa.dictionary(pa.int8(), pa.string())),
        ("same_float", pa.map_(pa.string(), pa.int64())),
        ("same_text", pa.int64()),
        ("same_text", pa.bool_()),
        ("mean", pa.float32()),
        ("mean", pa.list_(pa.string())),
    ],
    ids=str,
)
def test_other_types_are_refused_in_the_same_words(registry, name, type):
    column = pa.nulls(3, type)
    with pytest.raises(FeatureType) as expected:
        by_reference(registry, name, column)
    with pytest.raises(FeatureType) as refused:
        asked(registry, name, column)
    assert str(refused.value) == str(expected.value)


def test_errors_have_their_classes(registry, tmp_path, onnx_file):
    home = sqlinfer.load("iris", registry=registry)._registry.home
    with pytest.raises(ModelNotFound, match="did you mean 'iris'"):
        core().open(home, "irs")
    with pytest.raises(MissingFeature, match="needs the features sw, pl, pw, not given"):
        core().open(home, "iris").answers("predict", pa.RecordBatch.from_pydict({"sl": [1.0]}))
    with pytest.raises(CallError, match="rows are given as a struct"):
        array, schema = (ctypes.c_uint64 * 10)(), (ctypes.c_uint64 * 9)()
        pa.array([1.0])._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
        library, model = core(), core().open(home, "iris")
        library.require(library.run(model._handle, b"predict", None, array, schema, 0, None, None, None))
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    sqlinfer.register("strict", file, null="error", registry=tmp_path / "models")
    strict = core().open(tmp_path / "models", "strict")
    with pytest.raises(NullFeature, match="null policy is 'error'"):
        strict.answers("predict", pa.RecordBatch.from_pydict({"x": pa.array([1.0, None])}))
    sqlinfer.register("damaged", file, registry=tmp_path / "models")
    (tmp_path / "models/models/damaged/1/model.onnx").write_bytes(b"another")
    with pytest.raises(RegistryError, match="is not the file that was registered"):
        core().open(tmp_path / "models", "damaged").answers("predict", pa.RecordBatch.from_pydict({"x": [1.0]}))


def test_fields_are_features_by_name(registry, iris):
    model = core().open(sqlinfer.load("iris", registry=registry)._registry.home, "iris")
    rows = pa.RecordBatch.from_pandas(iris, preserve_index=False)
    other = pa.RecordBatch.from_pandas(
        iris[["pw", "sl", "pl", "sw"]].rename(columns=str.upper).assign(more=1), preserve_index=False
    )
    assert model.answers("predict", other).to_pylist() == model.answers("predict", rows).to_pylist()


def test_a_row_that_is_null_has_no_features(registry):
    model = core().open(sqlinfer.load("mixed", registry=registry)._registry.home, "mixed")
    fields = {"x": [1.0, 2.0, 3.0, 4.0], "K": [1, 2, 3, 4], "s": ["a", "b", "c", "d"], "b": [True, False, True, False]}
    rows = pa.StructArray.from_arrays(
        [pa.array(values) for values in fields.values()], list(fields), mask=pa.array([False, False, True, False])
    )
    answers = model.answers("infer", rows.slice(1))
    answers.validate(full=True)
    assert answers.to_pylist() == [
        {"x2": -2.0, "k2": -2, "s2": "b", "b2": True},
        None,
        {"x2": -4.0, "k2": -4, "s2": "d", "b2": True},
    ]


def test_one_list_may_hold_all_features(registry):
    model = core().open(sqlinfer.load("four", registry=registry)._registry.home, "four")
    lists = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32()))
    answers = model.answers("predict", pa.RecordBatch.from_pydict({"x": lists}))
    assert answers.to_pylist() == [[2.0, 4.0], None, [6.0, 8.0]]
    assert asked(registry, "same_float", pa.array([[1.5], [2.5]])).to_pylist() == [1.5, 2.5]


def test_many_rows_are_shared_by_threads(registry):
    """Rows of several batches, of which some are NULL, come back in their order."""
    column = array_of(pa.float32(), FLOATS, 30_000, seed=9)
    assert asked(registry, "same_float", column).to_pylist() == column.to_pylist()
    texts = array_of(pa.string(), TEXTS, 30_000, seed=9)
    assert asked(registry, "same_text", texts).to_pylist() == texts.to_pylist()
    bad = pa.concat_arrays([pa.array([1.0] * 9000), pa.array([0.5]), pa.array([0.25] * 20_000)])
    with pytest.raises(FeatureType, match=r"does not fit \(0\.5\)"):
        asked(registry, "same_int", bad)


def test_any_thread_may_ask(registry):
    model = core().open(sqlinfer.load("same_text", registry=registry)._registry.home, "same_text")

    def ask(number: int) -> bool:
        texts = [f"{number} {row}" for row in range(50)]
        answers = model.answers("predict", pa.RecordBatch.from_pydict({"x": texts}))
        with pytest.raises(MissingFeature, match="not given"):
            model.answers("predict", pa.RecordBatch.from_pydict({f"y{number}": texts}))
        return answers.to_pylist() == texts

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(100)))


def test_both_tables_of_calls_say_the_same():
    assert core().calls == [dataclasses.asdict(call) for call in CALLS.values()]


def test_a_signal_ends_what_runs():
    ended = ctypes.c_bool(False)

    def run():
        while not ended.value:
            time.sleep(0.01)

    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        _elsewhere(run, ended)
    assert ended.value
