"""What sqlinfer_models(), what else lists models, and sqlinfer_version() answer on the engines that run in Python."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import duckdb
import onnxruntime

from sqlinfer.errors import RegistryError
from sqlinfer.installation import vectors
from sqlinfer.models.calls import CALLS
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.profile import FeatureProfile
from sqlinfer.models.reference import DEFAULT, Reference
from sqlinfer.models.registry import MANIFEST_FILE, Registry, StoredModel
from sqlinfer.models.signature import Signature, label_texts
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.version import __version__

__all__ = [
    "FEATURES",
    "FUNCTIONS",
    "MODELS",
    "VERSIONS",
    "features",
    "functions",
    "models",
    "row",
    "version_text",
    "versions",
]

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
VERSIONS = {
    "name": "VARCHAR",
    "version": "BIGINT",
    "aliases": "VARCHAR[]",
    "task": "VARCHAR",
    "created": "VARCHAR",
    "framework": "VARCHAR",
    "model": "VARCHAR",
    "converter": "VARCHAR",
    "format": "BIGINT",
    "bytes": "BIGINT",
    "sha256": "VARCHAR",
    "digest": "VARCHAR",
}
FEATURES = {
    "position": "BIGINT",
    "name": "VARCHAR",
    "type": "VARCHAR",
    "on_null": "VARCHAR",
    "refuses": "VARCHAR[]",
    "null_rate": "DOUBLE",
    **dict.fromkeys(("min", "max", "mean", "median", "stddev"), "DOUBLE"),
    "categories": "BIGINT",
    "most_common": "VARCHAR[]",
}
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


def versions(registry: Registry, reference: str | None = None) -> list[dict[str, Any]]:
    """One row a version, of one model or of all. Of a reference that says which version, that one."""
    found = registry.all()
    if reference is not None:
        asked = Reference.parse(reference)
        found = [model for model in found if model.manifest.name == asked.name]
        if asked.version is not None or asked.alias != DEFAULT or not found:
            number = registry.get(asked).manifest.version
            found = [model for model in found if model.manifest.version == number]
    return [_version(registry, model) for model in found]


def _version(registry: Registry, model: StoredModel) -> dict[str, Any]:
    manifest, told = model.manifest, row(registry, model)
    source, size = manifest.source, None
    with suppress(OSError):
        size = model.onnx.stat().st_size
    origin = {"framework": source.framework, "model": source.model, "converter": source.converter}
    return {
        **{name: told[name] for name in ("name", "version", "aliases", "task", "created")},
        **{name: text or "" for name, text in origin.items()},
        "format": _format(model),
        "bytes": size,
        "sha256": manifest.sha256,
        "digest": manifest.digest,
    }


def _format(model: StoredModel) -> int:
    """Of its model.json."""
    return int(json.loads((model.folder / MANIFEST_FILE).read_bytes()).get("format", 0))


def features(registry: Registry, reference: str) -> list[dict[str, Any]]:
    """One row a feature, in the order of the model; the statistics of the sample are NULL where they were not kept."""
    model = registry.get(reference)
    profile = model.profile
    profiles = {one.name: one for one in profile.features} if profile else {}
    return [
        {
            "position": position,
            "name": feature.name,
            "type": feature.type,
            "on_null": literal(feature.null.value) if feature.null.kind == "value" else feature.null.kind,
            "refuses": [f"{guard.refuse}: {guard.says}" for guard in feature.guards],
            **_statistics(profiles.get(feature.name), profile.rows if profile else 0),
        }
        for position, feature in enumerate(model.manifest.signature.features, 1)
    ]


def _statistics(one: FeatureProfile | None, rows: int) -> dict[str, Any]:
    numbers, texts = (one.numbers, one.texts) if one else (None, None)
    return {
        "null_rate": one.nulls / max(rows, 1) if one else None,
        **{name: getattr(numbers, name, None) for name in ("min", "max", "mean", "median")},
        "stddev": numbers.std if numbers else None,
        "categories": texts.distinct if texts else None,
        "most_common": [text for text, _ in texts.top] if texts else None,
    }


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
