"""Requests as clients of the protocols make them, and what they are told when they are wrong."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import struct

import numpy as np
import pyarrow as pa
import pytest

import sqlinfer
from sqlinfer.errors import FeatureError, NullFeature
from sqlinfer.serve.errors import in_a_request
from tests.serve.serving import ARROW, JSON, stream

pytest.importorskip("uvicorn")

FLOWER = {"sl": 5.1, "sw": 3.5, "pl": 1.4, "pw": 0.2}
HEADER_LENGTH = "Inference-Header-Content-Length"


def column(name: str, *values, datatype: str = "FP64", **more) -> dict:
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": list(values), **more}


def flowers(*rows: dict) -> list[dict]:
    return [column(name, *(row[name] for row in rows)) for name in FLOWER]


def outputs(answer) -> dict:
    assert answer.status == 200, answer.body
    return {one["name"]: one for one in answer.json()["outputs"]}


# the Open Inference Protocol


def test_health_and_metadata(server, registry):
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get("/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]
    answer = server.get("/v2/models/IRIS")
    model = answer.json()
    assert (model["name"], model["versions"]) == ("iris", ["1", "2"])
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["inputs"]] == [
        (name, "FP64", [-1]) for name in FLOWER
    ]
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["outputs"]] == [
        ("predict", "BYTES", [-1]),
        ("predict_proba", "FP64", [-1, 3]),
    ]
    assert model["outputs"][1]["parameters"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert [one["name"] for one in model["parameters"]["more_outputs"]] == ["label", "probabilities"]
    sha256 = registry.get("iris").manifest.sha256
    assert model["parameters"]["sha256"] == answer.headers["x-model-sha256"] == sha256
    assert server.get("/v2/models/iris/versions/2").json()["parameters"]["model_version"] == "2"
    assert server.get("/v2/models/iris/versions/2/ready").status == 200
    shapes = {one["name"]: one["shape"] for one in server.get("/v2/models/pixels").json()["inputs"]}
    assert shapes == {"image": [-1, 3, 2, 4]}
    index = server.post("/v2/repository/index", {}).json()
    assert {"name": "iris", "version": "2", "state": "READY", "reason": ""} in index


def test_an_answer_names_its_version(server, registry):
    for path, version in (("iris", 1), ("iris/versions/2", 2), ("iris@careful", 2)):
        answer = server.post(f"/v2/models/{path}/infer", {"id": "seven", "inputs": flowers(FLOWER)})
        found, sha256 = answer.json(), registry.get(f"iris/{version}").manifest.sha256
        assert (found["id"], found["model_name"], found["model_version"]) == ("seven", "iris", str(version))
        assert found["parameters"]["sha256"] == answer.headers["x-model-sha256"] == sha256
        rows = {"dataframe_records": [FLOWER]}
        answer = server.post(f"/models/{path}/invocations", rows)
        assert (answer.headers["x-model-version"], answer.headers["x-model-sha256"]) == (str(version), sha256)


NUMBERS = ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_datatype_as_json_and_as_binary_data(server, datatype):
    dtype = np.dtype({"FP": "f", "UI": "u", "IN": "i"}[datatype[:2]] + str(int(datatype.lstrip("FPUINT")) // 8))
    values = np.array([0, 1, 100], dtype)
    tensor = {"name": "x", "shape": [3], "datatype": datatype}
    asked = {"outputs": [{"name": "predict", "parameters": {"binary_data": True}}]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}], **asked}).encode()
    answer = server.post("/v2/models/same_double/infer", head + values.tobytes(), {HEADER_LENGTH: str(len(head))})
    assert answer.status == 200, answer.body
    length = int(answer.headers[HEADER_LENGTH.lower()])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == 24
    assert np.frombuffer(answer.body[length:], "<f8").tolist() == [0, 1, 100]
    plain = server.post("/v2/models/same_double/infer", {"inputs": [{**tensor, "data": values.tolist()}]})
    assert outputs(plain)["predict"]["data"] == [0, 1, 100]


def test_texts_booleans_and_several_outputs_as_binary_data(server):
    texts = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in ("Zürich", ""))
    parts = [np.array([1.5, -2], "<f4").tobytes(), np.array([7, 2**62 + 1], "<i8").tobytes(), texts, b"\1\0"]
    kinds = zip("xksb", ("FP32", "INT64", "BYTES", "BOOL"), parts, strict=True)
    inputs = [
        {"name": name, "shape": [2], "datatype": kind, "parameters": {"binary_data_size": len(part)}}
        for name, kind, part in kinds
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    answer = server.post("/v2/models/mixed/infer", head + b"".join(parts), {HEADER_LENGTH: str(len(head))})
    length = int(answer.headers[HEADER_LENGTH.lower()])
    found = json.loads(answer.body[:length])["outputs"]
    assert [(one["name"], one["datatype"]) for one in found] == [
        ("x2", "FP32"),
        ("k2", "INT64"),
        ("s2", "BYTES"),
        ("b2", "BOOL"),
    ]
    expected = [np.array([-1.5, 2], "<f4").tobytes(), np.array([-7, -(2**62) - 1], "<i8").tobytes(), texts, b"\0\1"]
    assert answer.body[length:] == b"".join(expected)


def test_one_tensor_may_hold_all_features(server):
    one = outputs(server.post("/v2/models/iris/infer", {"inputs": flowers(FLOWER, FLOWER)}))
    for data in ([list(FLOWER.values())] * 2, list(FLOWER.values()) * 2):
        matrix = {"name": "input-0", "shape": [2, 4], "datatype": "FP64", "data": data}
        assert outputs(server.post("/v2/models/iris/infer", {"inputs": [matrix]})) == one
    nested = [
        {**part, "shape": [2, 1], "data": [[value] for value in part["data"]]} for part in flowers(FLOWER, FLOWER)
    ]
    assert outputs(server.post("/v2/models/iris/infer", {"inputs": nested})) == one


def test_null_follows_its_policy_and_nan_is_no_null(server):
    answer = server.post("/v2/models/same_double/infer", {"inputs": [column("x", 1.5, None, 2)]})
    assert outputs(answer)["predict"]["data"] == [1.5, None, 2]
    found = outputs(server.post("/v2/models/iris/infer", {"inputs": flowers(FLOWER, dict(FLOWER, sl=None))}))
    assert found["predict"]["data"] == ["setosa", None]
    assert found["predict_proba"]["data"][3:] == [None] * 3
    body = b'{"dataframe_records": [{"x": NaN}, {"x": -Infinity}, {"x": null}]}'
    answer = server.post("/models/same_double/invocations", body, JSON)
    assert answer.body == b'{"predictions":[NaN,-Infinity,null]}'
    answer = server.post("/v2/models/plane/infer", {"inputs": flowers(FLOWER, dict(FLOWER, sl=None))})
    assert answer.status == 400 and "NULL for a row" in answer.json()["error"]


def test_integers_beyond_2_53_and_decimals_keep_their_digits(server, registry):
    values = [2**63 - 1, -(2**63), 2**53 + 1]
    answer = server.post("/models/same_int/invocations", {"inputs": {"x": values}})
    assert answer.json()["predictions"] == values
    found = outputs(server.post("/v2/models/same_int/infer", {"inputs": [column("x", *values, datatype="INT64")]}))
    assert found["predict"]["data"] == values
    above_the_middle = 2**64 + 2**40 + 1  # of two FLOATs; as a DOUBLE it is the middle
    answer = server.post("/models/same_float/invocations", {"inputs": {"x": [above_the_middle]}})
    with sqlinfer.connect(registry=registry) as con:  # DuckDB 1 rounds twice
        expected = con.sql(f"SELECT predict('same_float', {above_the_middle})").fetchall()
    assert [(value,) for value in answer.json()["predictions"]] == expected


def test_a_tensor_has_the_precision_that_it_declares(server):
    for datatype, value in (("FP32", float(np.float32(0.1))), ("FP16", float(np.float16(0.1))), ("FP64", 0.1)):
        found = outputs(server.post("/v2/models/same_double/infer", {"inputs": [column("x", 0.1, datatype=datatype)]}))
        assert found["predict"]["data"] == [value]


def nearest_single(value: int) -> float:
    near = np.float32(float(value))
    three = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return float(min(three, key=lambda one: (abs(int(one) - value), one.view(np.int32) % 2)))


def test_a_large_integer_is_rounded_once(server):
    middles = [29853638709293274148, 2**65 + 2**12 + 1, 10**38 - 1, 2**64 + 2**40 + 1, 2**64 + 2**40 - 1]
    for values in (middles, [-value for value in middles], [2**53 + 1, -(2**53) - 3, 2**62 + 2**38 + 1], [2**64 - 1]):
        for datatype, rounded in (("FP64", float), ("FP32", nearest_single)):
            tensor = column("x", *values, None, datatype=datatype)
            found = outputs(server.post("/v2/models/same_double/infer", {"inputs": [tensor]}))
            assert found["predict"]["data"] == [*map(rounded, values), None]


def test_whole_numbers_of_either_kind_are_integers(server):
    assert server.post("/models/same_int/invocations", {"inputs": {"x": [2.0, 3]}}).json()["predictions"] == [2, 3]
    answer = server.post("/models/same_int/invocations", {"inputs": {"x": [1.5]}})
    assert answer.status == 400 and "1.5" in answer.json()["message"]


# MLflow's protocol


def test_mlflow_is_told_that_the_server_is_there(server):
    assert server.get("/ping").status == server.get("/health").status == 200
    assert server.get("/version").body
    assert server.ask("HEAD", "/ping").body == b""


def test_csv(server):
    csv = 'city,Age,income,visits,more\nBern,40,50.5,3,x\n,,,1,\n"Zürich","33",1e1,2,x\n'
    rows = [
        {"city": "Bern", "age": 40.0, "income": 50.5, "visits": 3},
        {"city": None, "age": None, "income": None, "visits": 1},
        {"city": "Zürich", "age": 33.0, "income": 10.0, "visits": 2},
    ]
    expected = server.post("/models/churn/invocations?call=predict_proba", {"dataframe_records": rows}).json()
    given = server.post("/models/churn/invocations?call=predict_proba", csv.encode(), {"Content-Type": "text/csv"})
    assert given.json() == expected
    digits = server.post("/models/same_text/invocations", b'x\n007\n""\n', {"Content-Type": "text/csv"})
    assert digits.json()["predictions"] == ["007", ""]
    for text, says in (
        (b"x\nseven\n", "seven"),
        (b"x\n1.5\n", "1.5"),
        (b"y\n1\n", "needs the feature x"),
        (b"", "CSV"),
    ):
        answer = server.post("/models/same_int/invocations", text, {"Content-Type": "text/csv; charset=utf-8"})
        assert answer.status == 400 and says in answer.json()["message"]


@pytest.mark.parametrize(
    ("model", "csv", "predictions"),
    [
        ("same_double", "x\n1\n\n2\n", [1, None, 2]),
        ("same_double", "x\r\n1\r\n\r\n2\r\n\r\n", [1, None, 2, None]),
        ("same_double", "\ufeff\n\nx\n\n1", [None, 1]),
        ("same_text", 'x\n""\n\n"a\n\nb"\n', ["", None, "a\n\nb"]),
        ("same_double", "x,more\n1,a\n\n2,\n\n", [1, 2]),
    ],
)
def test_a_blank_line_of_csv_is_a_row_of_one_column(server, model, csv, predictions):
    answer = server.post(f"/models/{model}/invocations", csv.encode(), {"Content-Type": "text/csv"})
    assert answer.json() == {"predictions": predictions}


def test_infinity_in_csv_is_written_so(server):
    path, kind = "/models/same_double/invocations", {"Content-Type": "text/csv"}
    answer = server.post(path, b"more,x\n1e400,inf\n,-inf\n,1e308\n", kind)
    assert answer.body == b'{"predictions":[Infinity,-Infinity,1e+308]}'
    for value in (b"1e400", b"-1e999", b"1" * 400):
        answer = server.post(path, b"more,x\na,inf\nb," + value + b"\n", kind)
        assert answer.status == 400
        assert f"'x': {value[:40].decode()} is no number that a double holds" in answer.json()["message"]


def test_which_model_and_which_call(server):
    rows = {"dataframe_records": [FLOWER]}
    answer = server.post("/invocations", rows)
    assert answer.status == 400 and "several models are served" in answer.json()["message"]
    expected = server.post("/models/iris/versions/2/invocations?call=predict_proba", rows).json()
    for path, params in (
        ("/invocations?model=iris&version=2&call=predict_proba", {}),
        ("/models/iris@careful/versions/2/invocations?model=IRIS@careful&version=2", {"call": "predict_proba"}),
        ("/invocations", {"model": "iris@careful", "call": "predict_proba"}),
        ("/models/iris/invocations", {"version": 2, "call": "predict_proba"}),
    ):
        assert server.post(path, {**rows, "params": params}).json() == expected
    answer = server.post("/models/width/invocations", {"instances": [1.5], "params": {"call": "predict_proba"}})
    assert answer.status == 400 and "has no predict_proba()" in answer.json()["message"]
    answer = server.post("/models/width/invocations", {"instances": [1.5], "params": {"temperature": 1}})
    assert answer.status == 400 and "no parameter 'temperature'" in answer.json()["message"]


ASKED_OTHERWISE = [
    ("/models/iris/versions/1/invocations", {"version": 2}, "asks for the version '1' and for '2'"),
    ("/models/iris/versions/1/invocations?version=2", {}, "asks for the version '1' and for '2'"),
    ("/models/iris/invocations?version=1&version=2", {}, "asks for the version '1' and for '2'"),
    ("/models/iris/invocations?version=1", {"version": "2"}, "asks for the version '1' and for '2'"),
    ("/models/iris/invocations", {"model": "width"}, "asks for the model 'iris' and for 'width'"),
    ("/models/iris/invocations?call=predict", {"call": "infer"}, "asks for the call 'predict' and for 'infer'"),
    ("/models/iris@careful/versions/1/invocations", {}, "'iris@careful (version 2)' and for '1'"),
    ("/models/iris@careful/invocations?version=1", {}, "'iris@careful (version 2)' and for '1'"),
    ("/models/iris/invocations?vesion=2", {}, "'vesion', which this address does not know; it knows model, version"),
    ("/models/iris/invocations?Version=2", {}, "has 'Version', which"),
    ("/invocations?name=iris", {}, "has 'name', which"),
    ("/v2/models/iris/infer?model_version=2", {}, "has 'model_version', which"),
    ("/v2/models/iris/infer?call=predict_proba", {}, "has 'call', which"),
]


@pytest.mark.parametrize(("path", "params", "says"), ASKED_OTHERWISE)
def test_what_is_asked_otherwise_is_refused(server, path, params, says):
    is_oip = path.startswith("/v2")
    rows = {"inputs": flowers(FLOWER)} if is_oip else {"dataframe_records": [FLOWER], "params": params}
    answer = server.post(path, rows)
    assert answer.status == 400 and says in answer.json()["error" if is_oip else "message"]


def test_a_tensor_request_has_nothing_that_is_not_known(server):
    path, rows = "/v2/models/iris/infer", {"inputs": flowers(FLOWER)}
    for more, says in (
        ({"parameters": {"version": "2"}}, "of the request has version, which"),
        ({"model_version": "2"}, "model_version, which is not known here; it may have id, parameters, inputs, outputs"),
        ({"output": [{"name": "predict"}]}, "the request has output, which"),
        ({"outputs": [{"name": "predict", "version": "2"}]}, "output 'predict' has version, which"),
        ({"inputs": [{**one, "units": "cm"} for one in rows["inputs"]]}, "input 'sl' has units, which"),
    ):
        answer = server.post(path, {**rows, **more})
        assert answer.status == 400 and says in answer.json()["error"]
    of_triton = {"sequence_id": 7, "sequence_start": True, "priority": 1, "timeout": 10**6, "binary_data_output": False}
    answer = server.post(path, {**rows, "parameters": of_triton, "id": None, "outputs": []})
    assert outputs(answer) == outputs(server.post(path, rows))


def test_rows_without_names(server):
    one = server.post("/models/width/invocations", {"instances": [1.5, 2]}).json()
    assert server.post("/models/width/invocations", {"inputs": [[1.5], [2]]}).json() == one
    assert server.post("/models/mean/invocations", {"instances": [[1, 3], [5]]}).json() == {"predictions": [2, 5]}
    for row, given in (([1, 2, 3], 3), (None, 1)):
        answer = server.post("/models/iris/invocations", {"instances": [row]})
        assert answer.status == 400 and f"takes 4 features, {given} given" in answer.json()["message"]
    for form in ("instances", "inputs", "dataframe_records"):
        assert server.post("/models/iris/invocations", {form: []}).json() == {"predictions": []}


# Arrow


def test_arrow_streams(server):
    schema = pa.schema([("PL", pa.float32()), ("more", pa.string())])
    rows = pa.table([pa.array([1.5, None, 2.5], pa.float32()), ["a", "b", "c"]], schema=schema)
    answer = server.arrow("/models/width/invocations", rows)
    assert answer.headers["content-type"] == ARROW["Content-Type"]
    found = answer.table()
    assert found.schema.field(0).name == "predict" and found.schema.metadata[b"version"] == b"1"
    assert [value is None for value in found["predict"].to_pylist()] == [False, True, False]
    empty = server.arrow("/models/width/invocations", rows.slice(0, 0)).table()
    assert (len(empty), empty.schema.types) == (0, [pa.float64()])
    many = pa.table({"x": pa.chunked_array([pa.array(range(i, i + 1000), pa.int64()) for i in range(0, 5000, 1000)])})
    assert server.arrow("/v2/models/same_int/infer", many).table()["predict"].to_pylist() == list(range(5000))


def test_arrow_streams_that_are_none(server):
    whole = stream(pa.table({"pl": [1.5, 2.5]}))
    for body in (b"", b"no stream", whole[: len(whole) // 2], whole[8:], whole.replace(b"pl", b"p\xff")):
        answer = server.post("/models/width/invocations", body, ARROW)
        assert answer.status == 400 and "no Arrow IPC stream" in answer.json()["message"]
    texts = stream(pa.table({"x": ["abc", "def"]}))
    offsets = np.array([0, 3, 6], np.int32).tobytes()
    assert texts.count(offsets) == 1
    broken = texts.replace(offsets, np.array([0, 1 << 30, 6], np.int32).tobytes())
    assert server.post("/models/same_text/invocations", broken, ARROW).status == 400
    nothing = pa.RecordBatch.from_arrays([pa.nulls(10**9)], ["pl"])  # a row of these takes no room
    answer = server.post("/models/width/invocations", stream(pa.Table.from_batches([nothing])), ARROW)
    assert answer.status == 400 and "1,000,000,000 rows" in answer.json()["message"]
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    packed = stream(pa.table({"pl": [0.0] * 10**6}), options=options)
    assert server.post("/models/width/invocations", packed, ARROW).status == 415
    answer = server.arrow("/models/width/invocations", pa.table({"pl": ["1.5"]}))
    assert answer.status == 400 and "send it as DOUBLE" in answer.json()["message"]


# what is wrong

X = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}
WRONG_TENSORS = [
    ([], 'has "inputs", a tensor for each feature'),
    ([{**X, "name": 7}], 'has no "name"'),
    ([{**X, "datatype": "FP8"}], "the datatype is one of BOOL"),
    ([{**X, "shape": [2]}], "the data has 1 elements, and the shape is [2]"),
    ([{**X, "shape": [-1]}], "list of lengths"),
    ([{**X, "shape": []}], "list of lengths"),
    ([{**X, "shape": [10**15, 0], "data": []}], "has no such shape"),
    ([{**X, "shape": [2, 2], "data": [[1], [2, 3, 4]]}], "different lengths"),
    ([{**X, "data": ["1"]}], "texts, which are not parsed"),
    ([{**X, "data": [True]}], "Booleans"),
    ([{**X, "data": [1, "a"], "shape": [2]}], "values of several kinds: integers, texts"),
    ([{**X, "data": [1.5, True], "shape": [2]}], "values of several kinds: Booleans, numbers"),
    ([{**X, "data": [[1.5], [True]], "shape": [2, 1]}], "values of several kinds: Booleans, numbers"),
    ([{**X, "data": [[{}]]}], "and the shape is [1]"),
    ([{**X, "datatype": "INT8", "data": [300]}], "does not fit"),
    ([{**X, "datatype": "UINT8", "data": [-1]}], "does not fit"),
    ([{**X, "datatype": "INT64", "data": [1.5]}], "does not fit"),
    ([{**X, "datatype": "FP32", "data": [1e39]}], "does not fit: 1e39"),
    (
        [{**X, "datatype": "BYTES", "data": ["7"]}],
        "feature 'x' is DOUBLE, but the argument is VARCHAR; send it as DOUBLE",
    ),
    ([{**X, "name": "y"}], "needs the feature x, not given"),
    ([X, {**X, "name": "X"}], "several columns may be the feature 'x'"),
    ([X, {**X, "name": "z", "shape": [2], "data": [1, 2]}], "the same number of rows"),
    ([{**X, "parameters": {"binary_data_size": 8}}], "0 bytes are left"),
    ([{**X, "parameters": {"shared_memory_region": "r"}}], "send the data in the request"),
    ([{"name": "x", "shape": [1], "datatype": "FP64"}], 'has no "data"'),
]


@pytest.mark.parametrize(("inputs", "says"), WRONG_TENSORS, ids=lambda case: case if isinstance(case, str) else "")
def test_wrong_tensors(server, inputs, says):
    answer = server.post("/v2/models/same_double/infer", {"inputs": inputs})
    assert answer.status == 400 and list(answer.json()) == ["error"]
    assert says in answer.json()["error"]


WRONG_ROWS = [
    ({}, "it has none of them"),
    ({"inputs": {"x": [1]}, "instances": [1]}, "it has instances, inputs"),
    ({"inputs": {"x": [1]}, "rows": 1}, "rows, which is not known"),
    ({"dataframe_split": {"columns": ["x"], "data": [[1], [2, 3]]}}, "row 1 has 2 values, and there are 1 columns"),
    ({"dataframe_split": {"columns": ["x", "X"], "data": [[1, 2]]}}, "several columns may be the feature 'x'"),
    ({"dataframe_split": {"data": [[1]]}}, 'dataframe_split is {"columns"'),
    ({"dataframe_records": [{"x": 1}, {"y": 2}]}, "row 1 has no 'x'"),
    ({"dataframe_records": [{"x": 1, "X": 2}]}, "several columns may be the feature 'x'"),
    ({"dataframe_records": [{"y": 1}]}, "needs the feature x, not given"),
    ({"dataframe_records": [1]}, "row 0 is no object"),
    ({"instances": [{"x": 1}, None]}, "row 1 is no object"),
    ({"inputs": {"x": "abc"}}, "but the argument is VARCHAR; send it as DOUBLE"),
    ({"inputs": {"x": ["1.5"]}}, "but the argument is VARCHAR; send it as DOUBLE"),
    ({"inputs": {"x": [True, 1.5]}}, "values of several kinds: Booleans, numbers"),
    ({"inputs": {"x": [1.5, None, False]}}, "values of several kinds: Booleans, numbers"),
    ({"instances": [[1.5], [True]]}, "values of several kinds: Booleans, numbers"),
    ({"dataframe_records": [{"x": 0.5}, {"x": True}]}, "values of several kinds: Booleans, numbers"),
    ({"inputs": {"x": [[1.5, 2], None, [2, True]]}}, "values of several kinds: Booleans, integers, numbers"),
    ({"inputs": {"x": [{"a": 1}]}}, "but the argument is STRUCT"),
    ({"inputs": {"x": [10**40]}}, "more than 38 digits"),
    ({"inputs": {"x": [2**53 + 1, 0.5]}}, "stands beside fractions"),
]


@pytest.mark.parametrize(("body", "says"), WRONG_ROWS, ids=lambda case: case if isinstance(case, str) else "")
def test_wrong_rows(server, body, says):
    answer = server.post("/models/same_double/invocations", body)
    assert answer.status == 400 and answer.json()["error_code"] == "BAD_REQUEST"
    assert says in answer.json()["message"]


def test_no_json(server):
    for body, says in (
        (b'{"inputs": [}', "line 1, column 13"),
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"inputs": {"x": [1e999]}}', "no JSON"),
        (b'{"inputs": {"x": [NaN, 1e999]}}', "no number that a double holds"),
        (b'{"inputs": {"x": ["\\ud800"]}}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"x": NaN, "y":' + b"[" * 100_000, "nested more than"),
        (b"[1, 2]", "an object with one of"),
    ):
        answer = server.post("/models/same_double/invocations", body, JSON)
        assert answer.status == 400 and says in answer.json()["message"], body[:40]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "says"),
    [
        ("POST", "/v2/models/iriss/infer", JSON, 404, "no model 'iriss' is served here; did you mean 'iris'?"),
        (
            "POST",
            "/v2/models/iris/versions/9/infer",
            JSON,
            404,
            "no version '9' of 'iris' is served here; served: 1, 2",
        ),
        ("POST", "/v2/models/iris/versions/x/infer", JSON, 404, "no version 'x'"),
        ("POST", "/v2/models/iris@brave/infer", JSON, 404, "no model 'iris@brave'"),
        ("POST", "/v2/models/..%2F..%2Fetc/infer", JSON, 404, "nothing at"),
        ("POST", "/v2/models/iris/infer", {"Content-Type": "text/plain"}, 415, "'text/plain' is not read here"),
        ("POST", "/v2/models/iris/infer", {"Content-Type": "application/json; charset=latin-1"}, 415, "send UTF-8"),
        ("POST", "/v2/models/iris/infer", {**JSON, "Content-Encoding": "br"}, 415, "send gzip"),
        ("POST", "/v2/models/iris/infer", {**JSON, HEADER_LENGTH: "99"}, 400, "the body has 2 bytes"),
        ("POST", "/v2/models/iris/infer", {**JSON, HEADER_LENGTH: "²"}, 400, "the body has 2 bytes"),
        ("POST", "/models/iris/invocations", {}, 415, "the request has no Content-Type"),
        ("GET", "/v2/models/iris/infer", {}, 405, "takes POST"),
        ("GET", "/nothing", {}, 404, "nothing at"),
    ],
)
def test_wrong_requests(server, method, path, headers, status, says):
    given = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    answer = server.ask(method, path, b"{}" if method == "POST" else None, given)
    assert answer.status == status
    assert says in next(text for name, text in answer.json().items() if name in ("error", "message"))


def test_wrong_outputs(server):
    for asked, says in (
        ([{"name": "price"}], "has no output 'price'; it has: predict, predict_proba, label, probabilities"),
        ([{"name": "predict", "parameters": {"classification": 3}}], "ask for predict_proba"),
        ([{"name": "predict"}, {"name": "predict"}], "twice"),
        ("predict", "a list of objects"),
    ):
        answer = server.post("/v2/models/iris/infer", {"inputs": flowers(FLOWER), "outputs": asked})
        assert answer.status == 400 and says in answer.json()["error"]


def test_a_model_says_what_it_does_not_take_without_words_of_sql(server):
    rows = {"dataframe_records": [{"age": 1, "income": 2, "visits": 3, "city": "Atlantis"}]}
    message = server.post("/models/churn/invocations", rows).json()["message"]
    assert "Atlantis" in message and "never saw" in message
    assert not re.search("TRY|CAST|WHERE|--", message)


def test_words_of_sql_become_those_of_a_request():
    assert in_a_request(str(NullFeature.of("m", "x"))).endswith("its null policy is 'error'; send a value")
    assert in_a_request(str(FeatureError.image("m", "x", "no PNG"))).endswith("(no PNG); give PNG or JPEG files")


def test_a_body_may_be_packed(server):
    body = json.dumps({"instances": [1.5]}).encode()
    packed = {**JSON, "Content-Encoding": "gzip"}
    plain = server.post("/models/width/invocations", body, JSON).json()
    assert server.post("/models/width/invocations", gzip.compress(body), packed).json() == plain
    for wrong in (b"no gzip", gzip.compress(body)[:-9], gzip.compress(body) + b"x"):
        assert server.post("/models/width/invocations", wrong, packed).status == 400
    bomb = gzip.compress(b" " * (65 << 20), 1)
    assert server.post("/models/width/invocations", bomb, packed).status == 413


def test_bytes_in_json_are_in_base64(server):
    flat = [1, 255, 2]
    one = outputs(
        server.post(
            "/v2/models/bytesum/infer", {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "UINT8", "data": flat}]}
        )
    )
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(bytes(flat)).decode()]}
    packed = {**tensor, "parameters": {"content_type": "base64"}}
    assert outputs(server.post("/v2/models/bytesum/infer", {"inputs": [packed]})) == one
    answer = server.post("/v2/models/bytesum/infer", {"inputs": [tensor]})
    assert answer.status == 400 and "base64" in answer.json()["error"]


def test_metrics(server):
    server.post("/models/width/invocations", {"instances": [1.5, 2.5]})
    text = server.get("/metrics").body.decode()
    assert re.search(r'^sqlinfer_requests_total\{code="200",model="width",version="1"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^sqlinfer_rows_total\{model="width",version="1"\} [1-9]', text, re.MULTILINE)
    assert "sqlinfer_request_seconds_bucket" in text and "sqlinfer_batch_rows_bucket" in text
    assert re.search(r"^sqlinfer_queue_depth 0", text, re.MULTILINE)
    assert math.isfinite(float(re.search(r"^process_resident_memory_bytes (.*)", text, re.MULTILINE)[1]))
