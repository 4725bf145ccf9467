"""Versions that were exported, taken back as they are: what model.json says is proven again, not asked anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlinfer.errors import OptionError
from sqlinfer.models.compare import Difference
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import MANIFEST_FILE, MODEL_FILE, Registry, StoredModel
from sqlinfer.models.sample import table_of_rows
from sqlinfer.progress import step
from sqlinfer.registration.proving import prove
from sqlinfer.registration.sandbox import Limits, worker
from sqlinfer.temporary import temporary_folder
from sqlinfer.trials.guards.verifying import require_guards

__all__ = ["is_exported", "require_unsaid", "take_back", "verify_stored"]


def is_exported(path: Path) -> bool:
    return (path / MANIFEST_FILE).is_file() and (path / MODEL_FILE).is_file()


def require_unsaid(path: Path, options: Mapping[str, Any]) -> None:
    """Raises OptionError for what the folder's model.json has said."""
    for option, value in options.items():
        if value is not None and value is not False and value != {}:
            raise OptionError(f"{option} is for models that are new: {path / MANIFEST_FILE} says all of this one")


def take_back(name: str, path: Path, store: Registry, limits: Limits, *, profile: bool, promote: bool) -> StoredModel:
    """Store the version in the folder as a new version of ``name``, once it has answered as its proof says."""
    with temporary_folder() as folder:
        worker.call(prove_exported, name, path, str(folder), about=str(path), limits=limits)
        proven = Registry(folder).get(name)
        files = {file.name: proven.file(file.name) for file in proven.files}
        beside = proven.manifest.files if profile else {}
        files |= {file: (proven.folder / file).read_bytes() for file in beside}
    manifest = replace(proven.manifest, files=dict(beside))
    return store.add(name, lambda version: replace(manifest, version=version), files, promote=promote)


def prove_exported(name: str, path: Path, home: str) -> None:
    """Leave the version as the first of ``name`` in the registry ``home``."""
    step("reading it")
    manifest = Manifest.read(path / MANIFEST_FILE)
    exported = StoredModel(path, manifest)
    exported.require_intact()
    files = {file.name: exported.file(file.name) for file in exported.files}
    files |= {file: (path / file).read_bytes() for file in manifest.files}
    registry = Registry(home)
    stored = registry.add(name, lambda version: replace(manifest, name=name, version=version), files, promote=True)
    step("asking it through SQL")
    verify_stored(stored, registry, "auto")


def verify_stored(model: StoredModel, registry: Registry, engine: str) -> Difference:
    """Score the proof rows of a version through SQL. Raises ProofFailed and RegistryError."""
    manifest = model.manifest
    model.require_intact()
    where, features = Reference(manifest.name, manifest.version), manifest.signature.features
    require_guards(where, manifest, lambda rows: table_of_rows(features, rows), registry, engine)
    table = table_of_rows(features, manifest.proof.rows)
    return prove(where, table, manifest.proof.answers, manifest.proof.tolerance, registry, engine)
