"""What sqlinfer_models() and sqlinfer_version() answer on the engines that run in Python."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import duckdb
import onnxruntime

from sqlinfer.errors import RegistryError
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.runtime.libraries import vectors
from sqlinfer.version import __version__

__all__ = ["CATALOGUE", "catalogue", "row", "version_text"]

CATALOGUE = {
    "name": "VARCHAR",
    "version": "BIGINT",
    "aliases": "VARCHAR[]",
    "task": "VARCHAR",
    "features": "VARCHAR",
    "result": "VARCHAR",
    "created": "VARCHAR",
    "sha256": "VARCHAR",
}


def catalogue(registry: Registry) -> list[dict[str, Any]]:
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
        "features": ", ".join(f"{f.name} {f.type}" for f in manifest.signature.features),
        "result": manifest.signature.calls["predict"].type,
        "created": manifest.created,
        "sha256": manifest.sha256,
    }


def version_text() -> str:
    versions = f"DuckDB {duckdb.__version__}, ONNX Runtime {onnxruntime.__version__}"
    return f"sqlinfer {__version__} (arrow engine), {versions} (CPU kernels: {vectors() or 'ONNX Runtime alone'})"
