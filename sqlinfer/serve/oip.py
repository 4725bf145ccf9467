"""The Open Inference Protocol, version 2, over REST, with Triton's extension for binary tensor data.

https://github.com/kserve/open-inference-protocol: specification/protocol/inference_rest.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

import pyarrow as pa

from sqlinfer.serve.answers import dumps
from sqlinfer.serve.bodies import read_json
from sqlinfer.serve.errors import Refused
from sqlinfer.serve.models import Version
from sqlinfer.serve.outputs import Offered
from sqlinfer.serve.tensors import Tensor, datatype_of, of_answers, read, rows_of
from sqlinfer.version import __version__

__all__ = ["HEADER_LENGTH", "Inference", "metadata", "read_inference", "server_metadata", "written"]

# The length of the JSON that is before binary data; the rest of the body is that.
HEADER_LENGTH = "Inference-Header-Content-Length"
# What would change the answers, were it done.
_NOT_OFFERED = {
    "classification": "ask for predict_proba",
    "shared_memory_region": "send the data in the request",
}


_REQUEST = ("id", "parameters", "inputs", "outputs")
_INPUT = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT = ("name", "parameters")
# What clients of Triton and MLServer send; only those of binary data and base64 say something about one request.
_PARAMETERS = {
    _REQUEST: (
        "binary_data_output",
        "content_type",
        "headers",
        "priority",
        "sequence_end",
        "sequence_id",
        "sequence_start",
        "timeout",
        "triton_enable_empty_final_response",
    ),
    _INPUT: ("binary_data_size", "content_type"),
    _OUTPUT: ("binary_data", "content_type"),
}


@dataclass(frozen=True, slots=True)
class Inference:
    """A request: its rows, and the tensors that it wants, each with whether as binary data."""

    rows: pa.RecordBatch
    wanted: tuple[tuple[Offered, bool], ...]
    id: str | None

    @property
    def calls(self) -> list[str]:
        return list(dict.fromkeys(offered.call for offered, _ in self.wanted))


def server_metadata() -> dict[str, Any]:
    return {"name": "sqlinfer", "version": __version__, "extensions": ["binary_tensor_data", "model_repository"]}


def metadata(version: Version, versions: Sequence[int]) -> dict[str, Any]:
    """What a model takes and gives. ``parameters`` has what the protocol has no place for: SQL's types, what a null
    does, the tensors that are given only to who names them."""
    manifest, signature = version.model.manifest, version.signature
    inputs = []
    for feature in signature.features:
        datatype, axes = datatype_of(feature.type)
        inputs.append(
            {
                "name": feature.name,
                "datatype": datatype,
                "shape": [-1, *axes],
                "parameters": {"type": feature.type, "null": str(feature.null)},
            }
        )
    offered = version.outputs.values()
    matrix = signature.inputs[0].name if signature.takes_list and len(signature.features) > 1 else None
    return {
        "name": version.name,
        "versions": [str(number) for number in versions],
        "platform": "onnx",
        "inputs": inputs,
        "outputs": [one.to_json() for one in offered if one.usual],
        "parameters": {
            "model_version": version.version,
            "sha256": version.sha256,
            "task": manifest.task,
            "framework": manifest.source.framework,
            "created": manifest.created,
            "target": manifest.target,
            "batched": version.is_batched,
            "calls": {name: call.type for name, call in signature.calls.items()},
            "classes": list(signature.labels),
            "more_outputs": [one.to_json() for one in offered if not one.usual],
            **({"matrix": matrix} if matrix is not None else {}),
        },
    }


def read_inference(version: Version, body: bytes, header_length: str | None) -> Inference:
    """Raises Refused, FeatureError."""
    head, data = _split(body, header_length)
    request = read_json(head)
    if not isinstance(request, dict):
        raise Refused.malformed('the body is an object with "inputs"')
    parameters = _parameters("the request", request, _REQUEST)
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise Refused.malformed('"inputs" is a list of tensors, each with a name, a shape, a datatype, and data')
    tensors, place = [], 0
    for one in inputs:
        size = _parameters(f"input {str(one.get('name'))[:80]!r}", one, _INPUT).get("binary_data_size")
        if size is None:
            tensors.append(read(one, None))
            continue
        if type(size) is not int or not 0 <= size <= len(data) - place:
            raise Refused.malformed(
                f"input {str(one.get('name'))[:80]!r}: the binary_data_size is {str(size)[:40]}, and "
                f"{len(data) - place:,} bytes are left; the header {HEADER_LENGTH} says where they begin"
            )
        tensors.append(read(one, data[place : place + size]))
        place += size
    if place != len(data):
        raise Refused.malformed(f"{len(data) - place:,} bytes of binary data belong to no input")
    for tensor in tensors:
        if max(accumulate(tensor.shape, mul)) > len(body):  # empty lists take no room, but there are as many
            raise Refused.malformed(f"input {tensor.name!r}: a request of {len(body):,} bytes has no such shape")
    rows = rows_of(version.name, version.signature, tensors)
    id = request.get("id")
    if id is not None and not isinstance(id, str):
        raise Refused.malformed('the "id" is a text')
    return Inference(rows, _wanted(version, request.get("outputs"), parameters.get("binary_data_output") is True), id)


def written(version: Version, asked: Inference, answers: Mapping[str, pa.Array]) -> tuple[bytes, dict[str, str]]:
    """The body of the answer, and its headers."""
    outputs, data, all_finite = [], list[bytes](), True
    for offered, is_binary in asked.wanted:
        tensor = _tensor(offered, answers[offered.call])
        if is_binary:
            head, content = tensor.to_binary()
            data.append(content)
        else:
            head, finite = tensor.to_json()
            all_finite = all_finite and finite
        outputs.append(head)
    response = {
        "model_name": version.name,
        "model_version": version.version,
        **({"id": asked.id} if asked.id is not None else {}),
        "parameters": {"sha256": version.sha256},
        "outputs": outputs,
    }
    head_bytes = dumps(response, finite=all_finite)
    if not data:
        return head_bytes, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head_bytes))}
    return b"".join([head_bytes, *data]), headers


def _split(body: bytes, header_length: str | None) -> tuple[memoryview, memoryview]:
    whole = memoryview(body)
    if header_length is None:
        return whole, whole[:0]
    if not re.fullmatch(r"[0-9]{1,18}", header_length) or int(header_length) > len(body):
        raise Refused.malformed(
            f"the header {HEADER_LENGTH} is {header_length[:40]!r}, and the body has {len(body):,} bytes"
        )
    return whole[: int(header_length)], whole[int(header_length) :]


def _parameters(what: str, fields: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """What is not known may be meant to change the answers, or to choose who gives them. Raises Refused."""
    if not fields.keys() <= set(known):
        raise Refused.keys(what, fields.keys() - set(known), known)
    parameters = fields.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused.malformed(f'the "parameters" of {what} are an object')
    for name, instead in _NOT_OFFERED.items():
        if name in parameters:
            raise Refused.malformed(f"{what}: the parameter {name!r} is not known here; {instead}")
    allowed = _PARAMETERS[known]
    if not parameters.keys() <= set(allowed):
        raise Refused.keys(f'the "parameters" of {what}', parameters.keys() - set(allowed), allowed)
    return parameters


def _wanted(version: Version, outputs: Any, is_binary: bool) -> tuple[tuple[Offered, bool], ...]:
    offered = version.outputs
    if outputs is None or outputs == []:
        return tuple((one, is_binary) for one in offered.values() if one.usual)
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise Refused.malformed('"outputs" is a list of objects, each with a name')
    found = []
    for one in outputs:
        name = one.get("name")
        if not isinstance(name, str) or name not in offered:
            raise Refused.malformed(
                f"model {version.name!r} has no output {str(name)[:80]!r}; it has: {', '.join(offered)}"
            )
        parameters = _parameters(f"output {name!r}", one, _OUTPUT)
        binary = parameters.get("binary_data", is_binary)
        if not isinstance(binary, bool):
            raise Refused.malformed(f"output {name!r}: binary_data is true or false")
        found.append((offered[name], binary))
    if len({one.name for one, _ in found}) < len(found):
        raise Refused.malformed("an output is asked for twice")
    return tuple(found)


def _tensor(offered: Offered, answers: pa.Array) -> Tensor:
    if offered.field is None:
        return of_answers(offered.name, answers)
    # flatten() lets a NULL reach the fields
    field = answers.flatten()[answers.type.get_field_index(offered.field)]
    return of_answers(offered.name, field)
