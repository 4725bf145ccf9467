"""What sqlinfer_models(), what else lists models, and sqlinfer_version() answer on the engines that run in Python."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import duckdb
import onnxruntime

from sqlinfer.errors import RegistryError
from sqlinfer.installation import vectors
from sqlinfer.models.calls import CALLS
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.signature import Signature, label_texts
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.version import __version__

__all__ = ["FEATURES", "FUNCTIONS", "MODELS", "features", "functions", "models", "row", "version_text"]

MODELS = {
    "name": "VARCHAR",
    "version": "BIGINT",
    "aliases": "VARCHAR[]",
    "task": "VARCHAR",
    "features": "VARCHAR",
    "result": "VARCHAR",
    "classes": "VARCHAR[]",
    "created": "VARCHAR",
    "sha256": "VARCHAR",
}
FEATURES = {"position": "BIGINT", "name": "VARCHAR", "type": "VARCHAR", "on_null": "VARCHAR", "refuses": "VARCHAR[]"}
FUNCTIONS = {"call": "VARCHAR", "arguments": "VARCHAR", "type": "VARCHAR", "example": "VARCHAR"}


def models(registry: Registry) -> list[dict[str, Any]]:
    """One row a version, by name and number."""
    return [row(registry, model) for model in registry.all()]


def row(registry: Registry, model: StoredModel) -> dict[str, Any]:
    manifest = model.manifest
    aliases: dict[str, int] = {}
    with suppress(RegistryError):  # a damaged file of one model says so when the model is asked for
        aliases = registry.aliases(manifest.name)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "aliases": sorted(alias for alias, version in aliases.items() if version == manifest.version),
        "task": manifest.task,
        "features": _arguments(manifest.signature),
        "result": manifest.signature.calls["predict"].type,
        "classes": label_texts(manifest.signature.labels),
        "created": manifest.created,
        "sha256": manifest.sha256,
    }


def features(registry: Registry, reference: str) -> list[dict[str, Any]]:
    """One row a feature, in the order of the model."""
    return [
        {
            "position": position,
            "name": feature.name,
            "type": feature.type,
            "on_null": literal(feature.null.value) if feature.null.kind == "value" else feature.null.kind,
            "refuses": [f"{guard.refuse}: {guard.says}" for guard in feature.guards],
        }
        for position, feature in enumerate(registry.get(reference).manifest.signature.features, 1)
    ]


def functions(registry: Registry, reference: str) -> list[dict[str, Any]]:
    """One row a call, with a statement that runs as it stands."""
    manifest = registry.get(reference).manifest
    signature, name = manifest.signature, str(Reference.parse(reference))
    given, classes, row = _arguments(signature), label_texts(signature.labels), _row(manifest)
    found = []
    for call in filter(signature.calls.__contains__, CALLS):
        type = signature.calls[call].type
        asked = f"SELECT {call}({text_literal(name)}, {row}"
        found.append((call, given, type, f"{asked})"))
        if type.startswith("MAP("):
            of_one = f"{asked}, {text_literal(classes[-1])})"
            found.append((call, f"{given}, class VARCHAR", type.removesuffix(")").rpartition(", ")[2], of_one))
    return [dict(zip(FUNCTIONS, values, strict=True)) for values in found]


def _arguments(signature: Signature) -> str:
    return ", ".join(f"{feature.name} {feature.type}" for feature in signature.features)


def _row(manifest: Manifest) -> str:
    """A row of the sample as a STRUCT, one without NULLs if there is one."""
    rows, features = manifest.proof.rows, manifest.signature.features
    whole = next((row for row in rows if None not in row), rows[0] if rows else [None] * len(features))
    pairs = zip(features, whole, strict=True)
    return "{" + ", ".join(f"{text_literal(f.name)}: {literal(value, f.type)}" for f, value in pairs) + "}"


def version_text() -> str:
    versions = f"DuckDB {duckdb.__version__}, ONNX Runtime {onnxruntime.__version__}"
    return f"sqlinfer {__version__} (arrow engine), {versions} (CPU kernels: {vectors() or 'ONNX Runtime alone'})"
