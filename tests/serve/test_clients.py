"""Programs of others ask a real server: tritonclient, what MLflow's clients send, curl, and Arrow by urllib."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import urllib.request

import numpy as np
import onnx
import pyarrow as pa
import pytest

import sqlinfer
from tests.conftest import parse
from tests.processes import HANG

pytest.importorskip("uvicorn")

# By datatype of the protocol: ONNX's type, and values that only that type has. What is read as the next larger type,
# or as floating-point, is not equal.
DATATYPES: dict[str, tuple[str, list]] = {
    "BOOL": ("bool", [True, False]),
    "UINT8": ("uint8", [255, 0]),
    "UINT16": ("uint16", [65535, 1]),
    "UINT32": ("uint32", [2**32 - 1, 1]),
    "UINT64": ("uint64", [2**64 - 1, 2**63]),
    "INT8": ("int8", [-128, 127]),
    "INT16": ("int16", [-32768, 32767]),
    "INT32": ("int32", [-(2**31), 2**31 - 1]),
    "INT64": ("int64", [-(2**63), 2**63 - 1]),
    "FP32": ("float", [0.1, -0.0]),
    "FP64": ("double", [0.1, 5e-324]),
    "BYTES": ("string", ["Zürich", 'it\'s "q"']),
}


@pytest.fixture(scope="module")
def registry(registry, tmp_path_factory):
    """The models of all tests, and one that gives back what it is given, of every type."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(registry.home, folder / "models")
    own = sqlinfer.Registry(folder / "models")
    for datatype, (onnx_type, _) in DATATYPES.items():
        graph = f"({onnx_type}[n, 2] x) => ({onnx_type}[n, 2] y) {{ y = Identity(x) }}"
        onnx.save(parse(graph), folder / "model.onnx")
        sqlinfer.register(f"same_{datatype}", folder / "model.onnx", registry=own)
    return own


@pytest.fixture(scope="module")
def sql(registry):
    with sqlinfer.connect(registry=registry) as con:
        yield lambda query, *given: con.execute(query, *given).fetchone()[0]


@pytest.fixture(scope="module")
def triton(server):
    http = pytest.importorskip("tritonclient.http")
    with http.InferenceServerClient(f"{server.host}:{server.port}", network_timeout=HANG) as client:
        yield client


def test_triton_finds_the_server_and_its_models(triton):
    assert triton.is_server_live() and triton.is_server_ready()
    assert triton.get_server_metadata()["name"] == "sqlinfer"
    assert triton.is_model_ready("iris") and triton.is_model_ready("iris", "2")
    assert not triton.is_model_ready("iris", "3") and not triton.is_model_ready("nothing")
    index = {(model["name"], model["version"]): model["state"] for model in triton.get_model_repository_index()}
    assert index[("iris", "2")] == index[("churn", "1")] == "READY"
    metadata = triton.get_model_metadata("churn")
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]] == [
        ("age", "FP64", [-1]),
        ("income", "FP64", [-1]),
        ("visits", "FP64", [-1]),
        ("city", "BYTES", [-1]),
    ]
    assert triton.get_model_metadata("iris", "2")["versions"] == ["1", "2"]


def matrix(datatype: str, values: list) -> np.ndarray:
    from tritonclient.utils import triton_to_np_dtype

    return np.array([values], object if datatype == "BYTES" else triton_to_np_dtype(datatype))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_triton_gets_back_what_it_sends(triton, datatype, binary):
    from tritonclient.http import InferInput, InferRequestedOutput

    sent = matrix(datatype, DATATYPES[datatype][1])
    columns = []
    for feature in triton.get_model_metadata(f"same_{datatype}")["inputs"]:
        column = sent[:, [int(feature["name"][-1])]] if feature["shape"] == [-1] else sent
        one = InferInput(feature["name"], list(column.shape), datatype)
        one.set_data_from_numpy(column, binary_data=binary)
        columns.append(one)
    wanted = [InferRequestedOutput("predict", binary_data=binary)]
    answered = triton.infer(f"same_{datatype}", columns, outputs=wanted, request_id="seven")
    got = answered.as_numpy("predict")
    if datatype == "BYTES":
        assert [v.decode() if isinstance(v, bytes) else v for v in got.ravel()] == sent.ravel().tolist()
    else:
        assert got.dtype == sent.dtype and got.tobytes() == sent.tobytes()
    assert answered.get_response()["id"] == "seven"
    assert answered.get_response()["model_version"] == "1"


def test_triton_sends_half_precision_and_gets_single(triton):
    from tritonclient.http import InferInput

    features = [one["name"] for one in triton.get_model_metadata("half")["inputs"]]
    sent = np.array([[0.1, -2.5]], np.float16)
    columns = [sent] if len(features) == 1 else [sent[:, [0]], sent[:, [1]]]
    inputs = [InferInput(name, list(column.shape), "FP16") for name, column in zip(features, columns, strict=True)]
    for one, column in zip(inputs, columns, strict=True):
        one.set_data_from_numpy(column)
    got = triton.infer("half", inputs).as_numpy("predict")
    assert got.dtype == np.float32 and got.tolist() == (sent + sent).astype(np.float32).tolist()


def test_triton_sends_rows_by_name(triton, sql):
    from tritonclient.http import InferInput

    columns = {"age": [61.5, math.nan], "income": [20.25, 70.5], "visits": [3.0, 11.0]}
    inputs = [InferInput(name, [2], "FP64") for name in columns]
    for one, values in zip(inputs, columns.values(), strict=True):
        one.set_data_from_numpy(np.array(values))
    city = InferInput("city", [2], "BYTES")
    city.set_data_from_numpy(np.array(["Genève", "Bern"], object))
    answered = triton.infer("churn", [*inputs, city])
    chances = answered.as_numpy("predict_proba")
    for row, given in enumerate(["61.5, 20.25, 3, 'Genève'", "'nan'::DOUBLE, 70.5, 11, 'Bern'"]):
        assert list(sql(f"SELECT predict_proba('churn', {given})").values()) == chances[row].tolist()
        assert sql(f"SELECT predict('churn', {given})") == answered.as_numpy("predict")[row]


def test_triton_is_told_what_is_wrong(triton):
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    one = InferInput("age", [1], "FP64")
    one.set_data_from_numpy(np.array([41.0]))
    with pytest.raises(InferenceServerException, match="income") as told:
        triton.infer("churn", [one])
    assert told.value.status() == "400"


ROWS = {"sl": [6.1, 5.0], "sw": [2.9, 3.4], "pl": [4.8, 1.5], "pw": [1.6, 0.2]}
RECORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
LISTS = [list(row.values()) for row in RECORDS]
# What mlflow 3.17.2 answers the same, served with `mlflow models serve`.
FORMS = {
    "split": {"dataframe_split": {"columns": list(ROWS), "data": LISTS}},
    "split with an index": {"dataframe_split": {"columns": list(ROWS), "index": [7, 9], "data": LISTS}},
    "split in another order": {"dataframe_split": {"columns": list(ROWS)[::-1], "data": [r[::-1] for r in LISTS]}},
    "split with more": {"dataframe_split": {"columns": [*ROWS, "id"], "data": [[*row, 1] for row in LISTS]}},
    "records": {"dataframe_records": RECORDS},
    "inputs of columns": {"inputs": ROWS},
    "inputs of rows": {"inputs": RECORDS},
    "instances": {"instances": RECORDS},
    "instances of columns": {"instances": ROWS},
    "without parameters": {"inputs": RECORDS, "params": {}},
    "null for parameters": {"inputs": RECORDS, "params": None},
}


@pytest.fixture(scope="module")
def labels(sql):
    return [sql("SELECT predict('iris', ?, ?, ?, ?)", row) for row in LISTS]


@pytest.mark.parametrize("form", FORMS)
def test_what_clients_of_mlflow_send(server, labels, form):
    answer = server.post("/models/iris/invocations", FORMS[form])
    assert answer.json() == {"predictions": labels}
    assert answer.headers["content-type"] == "application/json"


def test_one_row_as_mlflow_takes_it(server, labels):
    for form in ("inputs", "instances"):
        assert server.post("/models/iris/invocations", {form: RECORDS[0]}).json() == {"predictions": labels[:1]}
    mixed = server.post("/models/iris/invocations", {"inputs": {**RECORDS[0], "pw": [1.6]}})
    assert mixed.status == 400 and "no list of values" in mixed.json()["message"]


def test_what_mlflow_refuses(server):
    for document in ({"rows": LISTS}, [LISTS], {"inputs": LISTS, "instances": LISTS}):
        answer = server.post("/models/iris/invocations", document)
        assert answer.status == 400 and answer.json()["error_code"] == "BAD_REQUEST"
        assert "dataframe_split" in answer.json()["message"]
    assert server.post("/models/iris/invocations", b"x", {"Content-Type": "text/plain"}).status == 415


def test_curl(server, labels):
    url = f"http://{server.host}:{server.port}/models/iris/invocations"
    rows = "\n".join([",".join(ROWS), *(",".join(map(str, row)) for row in LISTS)])
    for kind, body in [("application/json", json.dumps({"inputs": ROWS})), ("text/csv", rows)]:
        command = ["curl", "--silent", "--fail", "--dump-header", "-", url, "-H", f"Content-Type: {kind}"]
        ran = subprocess.run(
            [*command, "--data-binary", "@-"], input=body, capture_output=True, text=True, timeout=HANG, check=True
        )
        head, _, answer = ran.stdout.partition("\n\n")
        assert json.loads(answer) == {"predictions": labels}
        assert "x-model-version: 1" in head.lower()


def test_arrow_by_urllib(server, labels):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, (table := pa.table(ROWS)).schema) as writer:
        writer.write_table(table)
    request = urllib.request.Request(
        f"http://{server.host}:{server.port}/models/iris/invocations",
        sink.getvalue().to_pybytes(),
        {"Content-Type": "application/vnd.apache.arrow.stream"},
    )
    with urllib.request.urlopen(request, timeout=HANG) as answer:
        assert pa.ipc.open_stream(answer).read_all().to_pydict() == {"predict": labels}
