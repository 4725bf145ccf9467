"""What HTTP answers is what SQL answers, bit by bit: all models, all calls, all forms of a request, both engines."""

from __future__ import annotations

import math
import struct

import pyarrow as pa
import pytest

import sqlinfer
from sqlinfer.models.registry import Registry
from tests.engines import ENGINES

pytest.importorskip("uvicorn")

# Beside the rows that each model was proven with, what is odd: by type of a feature.
ODD = {
    "DOUBLE": [0.1, -0.0, 1e300, 5, -3, 2**53, 1e-320],
    "FLOAT": [0.1, -0.0, 1e30, 5, -3, 16777217, 1e-42],
    "BIGINT": [2**63 - 1, -(2**63), 0, 2**53 + 1, 7, -1, 3],
    "TINYINT": [127, -128, 0, 1, 2, 3, 4],
    "BOOLEAN": [True, False, True, True, False, False, True],
    "VARCHAR": ["", "Zürich", "a'b\"c", "\N{GRINNING FACE}", "x" * 100, "7", "nul"],
    "FLOAT[]": [[0.1], [1, 2.5], [-0.0], [1e30, 1], [3, 4, 5], [7], [2, 2]],
    "BIGINT[]": [[1], [2**53 + 1, 2], [-1], [2**63 - 1], [3, 4, 5], [7], [2, 2]],
    "UTINYINT[]": [[1], [255, 2], [0], [3], [3, 4, 5], [7], [2, 2]],
    "DOUBLE[2][]": [[[0.1, 2]], [[1, 2], [3, 4]], [[-0.0, 0]], [[1e300, 1]], [[5, 6]], [[7, 8]], [[2, 2]]],
}
MODELS = [
    *("iris", "iris@careful", "churn", "digit", "progress", "width", "segment", "plane", "risk", "offer"),
    *("mean", "echo", "pixels", "arithmetic", "mixed", "four", "bytesum", "centred", "same_text", "same_float"),
    *("same_double", "same_int", "same_tiny", "negate", "half", "table"),
]


def rows_of(registry: Registry, sql, name: str) -> list[dict]:
    signature = registry.get(name).manifest.signature
    proof = [dict(zip(signature.feature_names, row, strict=True)) for row in registry.get(name).manifest.proof.rows]
    odd = [{f.name: ODD[f.type][i] for f in signature.features} for i in range(7) if signature.features[0].type in ODD]
    missing = [
        {f.name: None if f is one else proof[0][f.name] for f in signature.features} for one in signature.features
    ]
    return [*proof[:12], *(row for row in odd if not refusal(sql, name, row)), *missing]


def refusal(sql, name: str, row: dict) -> str:
    """What SQL says of a row that it does not answer."""
    try:
        in_sql(sql, "predict", name, [row])
    except sqlinfer.SqlinferError as error:
        return str(error)
    return ""


def bits(value):
    """Equal only for equal bits and types."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return [bits(one) for one in value]
    if isinstance(value, dict):
        return {str(key).lower() if isinstance(key, bool) else str(key): bits(one) for key, one in value.items()}
    return type(value), value


def in_sql(con, call: str, name: str, rows: list[dict]) -> pa.Array:
    table = pa.table({feature: pa.array([row[feature] for row in rows]) for feature in rows[0]})
    con.register("rows_here", table)
    return con.sql(f"SELECT {call}('{name}', r) AS a FROM rows_here r").to_arrow_table().column("a").combine_chunks()


@pytest.fixture(scope="module", params=ENGINES)
def sql(request, registry):
    with sqlinfer.connect(registry=registry, engine=request.param) as con:
        yield con


def shaped(value) -> list[int]:
    return [len(value), *shaped(value[0])] if isinstance(value, list) else []


DATATYPES = {float: "FP64", int: "INT64", str: "BYTES", bool: "BOOL"}


def tensor(name: str, values: list) -> dict:
    leaf = [values]
    while leaf and isinstance(leaf[0], list):
        leaf = [one for part in leaf for one in part]
    kinds = {type(one) for one in leaf if one is not None}
    kind = float if kinds == {int, float} else next(iter(kinds), float)
    return {"name": name, "shape": shaped(values), "datatype": DATATYPES[kind], "data": values}


@pytest.mark.parametrize("name", MODELS)
def test_every_form_of_a_request_has_the_answers_of_sql(server, registry, sql, name):
    model = registry.get(name)
    rows = rows_of(registry, sql, name)
    columns = list(rows[0])
    forms = {
        "dataframe_split": {"columns": columns, "data": [list(row.values()) for row in rows]},
        "dataframe_records": rows,
        "instances": [list(row.values()) for row in rows],
        "inputs": {column.upper(): [row[column] for row in rows] for column in columns},
    }
    for call in model.manifest.signature.calls:
        expected = in_sql(sql, call, name, rows)
        values = bits(
            expected.to_pylist(maps_as_pydicts="strict") if pa.types.is_map(expected.type) else expected.to_pylist()
        )
        for form, data in forms.items():
            answer = server.post(f"/models/{name}/invocations?call={call}", {form: data})
            assert answer.status == 200, (form, answer.body)
            assert bits(answer.json()["predictions"]) == values, (form, call)
        table = pa.table({column: pa.array([row[column] for row in rows]) for column in columns})
        for path in (f"/models/{name}/invocations", f"/v2/models/{name}/infer"):
            answer = server.arrow(f"{path}?call={call}", table)
            assert answer.status == 200, answer.body
            assert answer.table().column(call).combine_chunks().equals(expected.cast(answer.table().column(call).type))


@pytest.mark.parametrize("name", MODELS)
def test_tensors_have_the_answers_of_sql(server, registry, sql, name):
    """All rows at once, or, as rows of several shapes are no tensor, each."""
    signature = registry.get(name).manifest.signature
    rows = [row for row in rows_of(registry, sql, name) if None not in row.values()]
    ragged = any(len({str(shaped(row[feature])) for row in rows}) > 1 for feature in rows[0])
    for some in [[row] for row in rows] if ragged else [rows]:
        inputs = [tensor(feature, [row[feature] for row in some]) for feature in some[0]]
        found = {one["name"]: one for one in outputs_of(server, name, inputs)}
        predict = in_sql(sql, "predict", name, some).to_pylist()
        infer = in_sql(sql, "infer", name, some).to_pylist()
        fields = (
            {field: [row[field] for row in predict] for field in predict[0]}
            if isinstance(predict[0], dict)
            else {"predict": predict}
        )
        if "predict_proba" in signature.calls:
            fields["predict_proba"] = [
                [p for _, p in row] for row in in_sql(sql, "predict_proba", name, some).to_pylist()
            ]
        assert list(found) == list(fields)
        more = [one for one in infer[0] if one not in found]
        fields |= {one: [row[one] for row in infer] for one in more}
        if more:
            found |= {
                one["name"]: one for one in outputs_of(server, name, inputs, outputs=[{"name": one} for one in more])
            }
        for output, values in fields.items():
            assert bits(found[output]["data"]) == bits(flat(values)), output
            assert found[output]["shape"] == shaped(values)


def outputs_of(server, name: str, inputs: list[dict], **more) -> list[dict]:
    answer = server.post(f"/v2/models/{name}/infer", {"inputs": inputs, **more})
    assert answer.status == 200, answer.body
    return answer.json()["outputs"]


def flat(value) -> list:
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, list) else [value]
