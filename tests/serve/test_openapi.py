"""openapi.json is valid, and says of each model what is really sent and answered."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn")

WITH_EXAMPLES = ["iris", "churn", "digit", "progress", "mixed", "mean", "pixels", "table", "same_int", "arithmetic"]


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json").json()


def valid(document: dict, schema: dict, value: object) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]}).is_valid(value)


def test_it_is_valid(document):
    kinds = {"churn", "mixed", "pixels"}  # the validator takes its time
    schemas = {
        name: schema
        for name, schema in document["components"]["schemas"].items()
        if "." not in name or name.partition(".")[0] in kinds
    }
    paths = {
        path: operations
        for path, operations in document["paths"].items()
        if "/models/" not in path or kinds & set(path.split("/"))
    }
    assert len(paths) > 8 * len(kinds)
    pytest.importorskip("openapi_spec_validator").validate(
        {**document, "paths": paths, "components": {"schemas": schemas}}
    )
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
@pytest.mark.parametrize("path", ["/models/{}/invocations", "/v2/models/{}/infer"])
def test_each_model_is_described_as_it_answers(server, document, path, name):
    operation = document["paths"][path.format(name)]["post"]
    asked = operation["requestBody"]["content"]["application/json"]
    assert valid(document, asked["schema"], asked["example"])
    assert not valid(document, asked["schema"], {"rows": []})
    answer = server.post(path.format(name), asked["example"])
    assert answer.status == 200
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert valid(document, schema, answer.json())
    assert not valid(document, schema, {"predictions": [[{}]], "outputs": [{}]})


def test_the_schemas_tell_good_rows_from_bad_ones(document):
    row = document["components"]["schemas"]["churn.Row"]
    assert valid(document, row, {"age": 1.5, "income": None, "visits": 3, "city": "Bern"})
    assert not valid(document, row, {"age": 1.5, "income": None, "visits": 3})
    assert not valid(document, row, {"age": "old", "income": None, "visits": 3, "city": "Bern"})
