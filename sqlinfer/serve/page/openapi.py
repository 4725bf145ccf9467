"""openapi.json: what is really served, by OpenAPI 3.1, with a schema for the rows and the answers of each model.

A model is described as its name means it now; other versions of it may take and give something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sqlinfer import types
from sqlinfer.errors import SqlinferError
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import StoredModel
from sqlinfer.models.signature import Feature, label_texts
from sqlinfer.serve.models import Served
from sqlinfer.serve.outputs import offered_by
from sqlinfer.serve.streams import ARROW_STREAM
from sqlinfer.serve.tensors import DATATYPES, datatype_of
from sqlinfer.version import __version__

__all__ = ["document"]

Json = dict[str, Any]

_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"}}
_TENSOR: Json = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array", "description": "row-major, flat or nested; absent where it follows as binary data"},
        "parameters": {"type": "object"},
    },
}
_SCHEMAS: Json = {
    "Tensor": _TENSOR,
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "MlflowError": {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    },
    "Server": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    },
    "Metadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/TensorMetadata"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/TensorMetadata"}},
            "parameters": {"type": "object"},
        },
    },
    "TensorMetadata": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "parameters": {"type": "object"},
        },
    },
    "Index": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "version", "state", "reason"],
            "properties": {key: {"type": "string"} for key in ("name", "version", "state", "reason")},
        },
    },
}
# What is wrong with a request, by the status of the answer.
_ERRORS = {
    "400": "The rows are not what the model takes, or are refused; the text says which, and what to do.",
    "404": "There is no such model, version or answer here.",
    "408": "The request did not arrive in time.",
    "413": "The request is too large.",
    "415": "The Content-Type is none that is read.",
    "429": "Too many requests wait; Retry-After says when to come again.",
    "500": "The model cannot be run; the log of the server says why.",
    "504": "There was no answer in time.",
}
_HEADERS = {name: {"schema": {"type": "string"}} for name in ("X-Model-Name", "X-Model-Version", "X-Model-Sha256")}


def document(served: Served, *, needs_token: bool) -> Json:
    paths, schemas = _of_the_server(), dict(_SCHEMAS)
    for name, model in _models(served):
        paths |= _of_a_model(name, model)
        schemas |= _schemas(name, model)
    found: Json = {
        "openapi": "3.1.0",
        "info": {"title": "sqlinfer", "version": __version__, "description": __doc__.split("\n\n")[1].strip()},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if needs_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for operations in paths.values():
            for operation in operations.values():
                if operation.get("security") is None:
                    operation["responses"]["401"] = _error("The token is missing, or another.", "Error")
    return found


def _models(served: Served) -> Iterator[tuple[str, StoredModel]]:
    """By the name that stands in a path. One whose files are damaged is left out: asked for, it says so."""
    references = served.references()
    for name in served.names():
        of_it = [one for one in references if one.name == name]
        first = Reference(name) if Reference(name) in of_it else of_it[0]
        with suppress(SqlinferError):
            yield (name if len(of_it) == 1 or first == Reference(name) else str(first)), served.registry.get(first)


def _of_the_server() -> dict[str, Json]:
    live = {"type": "object", "properties": {"live": {"type": "boolean"}}}
    ready = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    not_ready = {"503": {"description": "Not yet: models are being opened."}}
    text = {"text/plain": {"schema": {"type": "string"}}}
    is_open: Json = {"security": []}
    return {
        "/v2": {"get": _get("The server", _json("#Server"))},
        "/v2/health/live": {"get": _get("Whether it runs", _json(live)) | is_open},
        "/v2/health/ready": {"get": _get("Whether it answers", _json(ready), not_ready) | is_open},
        "/v2/repository/index": {"post": _get("What is served", _json("#Index"))},
        "/ping": {"get": _get("MLflow's: whether it runs", {}) | is_open},
        "/health": {"get": _get("MLflow's: whether it runs", {}) | is_open},
        "/version": {"get": _get("The version of sqlinfer", text) | is_open},
        "/metrics": {"get": _get("Counters, as Prometheus reads them", text)},
        "/models": {"get": _get("The models, and the references that may be asked for", _json({"type": "object"}))},
    }


def _of_a_model(name: str, model: StoredModel) -> dict[str, Json]:
    tags = {"tags": [name]}
    meta = _get(f"What {name} takes and gives", _json("#Metadata"), _not_found()) | tags
    ready = _get(f"Whether {name} answers", _json({"type": "object"}), _not_found()) | tags
    infer = _infer(name, model) | tags
    invoke = _invoke(name, model) | tags
    versioned = {"parameters": [_VERSION]}
    base = name.partition("@")[0]
    return {
        f"/v2/models/{name}": {"get": meta},
        f"/v2/models/{name}/ready": {"get": ready},
        f"/v2/models/{name}/infer": {"post": infer},
        f"/models/{name}/invocations": {"post": invoke},
        f"/v2/models/{base}/versions/{{version}}": {"get": meta | versioned},
        f"/v2/models/{base}/versions/{{version}}/ready": {"get": ready | versioned},
        f"/v2/models/{base}/versions/{{version}}/infer": {"post": infer | versioned},
        f"/models/{base}/versions/{{version}}/invocations": {
            "post": invoke | {"parameters": [_VERSION, *invoke["parameters"]]}
        },
    }


def _infer(name: str, model: StoredModel) -> Json:
    example = {"inputs": _example_tensors(model)}
    content: Json = {
        "application/json": {"schema": _ref(name, "InferenceRequest"), **_example(example, model)},
        ARROW_STREAM: {"schema": _bytes()},
        "application/octet-stream": {"schema": _bytes()},
    }
    answers = {"application/json": {"schema": _ref(name, "InferenceResponse")}, ARROW_STREAM: {"schema": _bytes()}}
    answers["application/octet-stream"] = {"schema": _bytes()}
    return _post(f"Rows for {name}, as tensors", content, answers, "Error")


def _invoke(name: str, model: StoredModel) -> Json:
    calls = list(model.manifest.signature.calls)
    row = _example_row(model)
    content: Json = {
        "application/json": {
            "schema": _ref(name, "Rows"),
            **_example({"dataframe_records": [row]}, model),
        },
        "text/csv": {"schema": {"type": "string"}},
        ARROW_STREAM: {"schema": _bytes()},
    }
    answers = {"application/json": {"schema": _ref(name, "Predictions")}, ARROW_STREAM: {"schema": _bytes()}}
    call = {"name": "call", "in": "query", "schema": {"enum": calls, "default": "predict"}}
    return _post(f"Rows for {name}, as MLflow's clients send them", content, answers, "MlflowError") | {
        "parameters": [call]
    }


def _schemas(name: str, model: StoredModel) -> Json:
    signature = model.manifest.signature
    features = signature.features
    row = {
        "type": "object",
        "required": [feature.name for feature in features],
        "properties": {feature.name: _value(feature) for feature in features},
    }
    by_position = {"type": "array", "prefixItems": [_value(feature) for feature in features], **_exactly(len(features))}
    of_one = [_value(features[0])] if len(features) == 1 else []
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "items": {"type": "string"}},
            "index": {"type": "array"},
            "data": {"type": "array", "items": {"type": "array"}},
        },
    }
    row_of = _ref(name, "Row")
    columns = {"type": "object", "properties": {f.name: {"type": "array", "items": _value(f)} for f in features}}
    positions = {"type": "array", "items": {"anyOf": [by_position, *of_one]}}
    forms: Json = {
        "dataframe_records": {"type": "array", "items": row_of},
        "dataframe_split": split,
        "instances": {"anyOf": [{"type": "array", "items": row_of}, positions]},
        "inputs": {"anyOf": [columns | {"required": row["required"]}, {"type": "array", "items": row_of}, positions]},
    }
    offered = list(offered_by(signature).values())
    answers = {call: _answer(model, call) for call in signature.calls}
    tensors: list[Json] = [_tensor(feature.name, feature.type) for feature in features]
    if signature.takes_list:
        matrix = {"type": "array", "prefixItems": [{"type": "integer"}, {"const": len(features)}], **_exactly(2)}
        tensors.append({"properties": {"name": {"type": "string"}, "shape": matrix}})
    return {
        f"{name}.Row": row,
        f"{name}.Rows": {
            "type": "object",
            "oneOf": [{"required": [form]} for form in forms],
            "properties": {**forms, "params": {"type": "object"}},
            "additionalProperties": False,
        },
        f"{name}.Predictions": {
            "type": "object",
            "required": ["predictions"],
            "properties": {"predictions": {"type": "array", "items": {"anyOf": list(answers.values())}}},
        },
        f"{name}.InferenceRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "inputs": {"type": "array", "items": {"$ref": _TENSOR_REF, "anyOf": tensors}, "minItems": 1},
                "outputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"enum": [one.name for one in offered]}},
                    },
                },
                "parameters": {"type": "object"},
            },
        },
        f"{name}.InferenceResponse": {
            "type": "object",
            "required": ["model_name", "model_version", "outputs"],
            "properties": {
                "model_name": {"const": model.manifest.name},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "parameters": {"type": "object"},
                "outputs": {"type": "array", "items": {"$ref": _TENSOR_REF}},
            },
        },
    }


_TENSOR_REF = "#/components/schemas/Tensor"


def _tensor(name: str, sql: str) -> Json:
    _, axes = datatype_of(sql)
    lengths = [{"type": "integer"}, *({"type": "integer"} if n < 0 else {"const": n} for n in axes)]
    shape = {"type": "array", "prefixItems": lengths, "minItems": len(lengths)}
    return {"properties": {"name": {"const": name}, "shape": shape}}


def _value(feature: Feature) -> Json:
    """A value of a feature in a row."""
    if feature.type == "BLOB":
        schema: Json = {"type": "string", "contentEncoding": "base64"}
    else:
        schema = _of_sql(feature.type)
    schema["description"] = f"{feature.type}; NULL: {feature.null}"
    return schema if feature.null.kind == "error" else _nullable(schema)


def _answer(model: StoredModel, name: str) -> Json:
    """What stands for a row in the answer to a call."""
    signature = model.manifest.signature
    call = signature.calls[name]
    labels = {"enum": list(signature.labels)}
    if call.decode in ("label", "argmax"):
        return {"enum": [*signature.labels, None]}
    if call.decode == "map":
        classes = {text: {"type": ["number", "null"]} for text in label_texts(signature.labels)}
        return {"type": ["object", "null"], "required": list(classes), "properties": classes}
    if call.decode in ("struct", "labelled"):
        outputs = {output: _nullable(_of_sql(signature.output(output).type)) for output in call.outputs}
        fields = {"label": labels, **outputs} if call.decode == "labelled" else outputs
        return {"type": ["object", "null"], "properties": fields}
    return _nullable(_of_sql(call.type))


def _of_sql(sql: str) -> Json:
    base, axes = types.split_nested(sql)
    schema = dict(_BASES.get(base) or {"type": "integer"})
    for axis in reversed(axes):
        schema = {"type": "array", "items": schema, **(_exactly(axis) if axis is not None else {})}
    return schema


_BASES: dict[str, Json] = {
    "FLOAT": {"type": "number", "format": "float"},
    "DOUBLE": {"type": "number", "format": "double"},
    "BOOLEAN": {"type": "boolean"},
    "VARCHAR": {"type": "string"},
}


def _nullable(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else schema


def _exactly(count: int) -> Json:
    return {"minItems": count, "maxItems": count}


def _example_row(model: StoredModel) -> Json | None:
    """A row of the sample, one without NULLs if there is one."""
    features, rows = model.manifest.signature.features, model.manifest.proof.rows
    if not rows or any(feature.type == "BLOB" for feature in features):
        return None
    row = next((row for row in rows if None not in row), rows[0])
    return {feature.name: value for feature, value in zip(features, row, strict=True)}


def _example_tensors(model: StoredModel) -> list[Json]:
    row = _example_row(model) or {}
    tensors = []
    for feature in model.manifest.signature.features if row else ():
        datatype, _ = datatype_of(feature.type)
        value = row[feature.name]
        shape, inner = [1], value
        while isinstance(inner, list):
            shape.append(len(inner))
            inner = inner[0] if inner else None
        tensors.append({"name": feature.name, "datatype": datatype, "shape": shape, "data": [value]})
    return tensors


def _example(value: Json, model: StoredModel) -> Json:
    return {} if _example_row(model) is None else {"example": value}


def _ref(name: str, what: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}.{what}"}


def _json(schema: Json | str) -> Json:
    of = {"$ref": f"#/components/schemas/{schema[1:]}"} if isinstance(schema, str) else schema
    return {"application/json": {"schema": of}}


def _bytes() -> Json:
    return {"type": "string", "format": "binary"}


def _get(summary: str, content: Json, more: Json | None = None) -> Json:
    answer: Json = {"description": "As asked.", **({"content": content} if content else {})}
    return {"summary": summary, "responses": {"200": answer, **(more or {})}}


def _not_found() -> Json:
    return {status: _error(_ERRORS[status], "Error") for status in ("404", "500")}


def _post(summary: str, content: Json, answers: Json, error: str) -> Json:
    answered = {"description": "An answer for each row.", "headers": _HEADERS, "content": answers}
    errors = {status: _error(says, error) for status, says in _ERRORS.items()}
    errors["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answered, **errors},
    }


def _error(says: str, schema: str) -> Json:
    return {"description": says, "content": _json(f"#{schema}")}
