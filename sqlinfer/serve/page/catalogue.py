"""What the page shows: the models that are served, by which references, and what each takes and gives."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sqlinfer import types
from sqlinfer.errors import SqlinferError
from sqlinfer.models.profile import FeatureProfile, Profile
from sqlinfer.models.reference import DEFAULT, Reference
from sqlinfer.models.registry import StoredModel
from sqlinfer.models.signature import Feature, TextPreparation, WordsPreparation, label_texts
from sqlinfer.serve.models import Served
from sqlinfer.version import __version__

__all__ = ["describe", "overview"]

# Rows of the sample to begin with, and what is longer than a person would look at in a form.
_MOST_EXAMPLES = 20
_MOST_BYTES_OF_EXAMPLES = 1 << 18
_MOST_SUGGESTED = 20
# What stands for a missing text in graphs that scikit-learn's estimators become.
_MISSING_TEXT = "\uffff"


def overview(served: Served) -> dict[str, Any]:
    """Every model with the references that may be asked for; the first is what its name means."""
    return {"sqlinfer": __version__, "models": [_model(served, name) for name in served.names()]}


def describe(served: Served, model: StoredModel) -> dict[str, Any]:
    """One version. The values of its examples are texts that stand in a form; None is a NULL."""
    manifest, signature = model.manifest, model.manifest.signature
    profile: Profile | None = None
    with suppress(SqlinferError):  # statistics are no part of an answer
        profile = model.profile
    profiles = {one.name: one for one in profile.features} if profile else {}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "aliases": sorted(a for a, version in _aliases(served, manifest.name).items() if version == manifest.version),
        "sha256": manifest.sha256,
        "task": manifest.task,
        "target": manifest.target,
        "framework": manifest.source.framework,
        "model": manifest.source.model,
        "created": manifest.created,
        "calls": {name: call.type for name, call in signature.calls.items()},
        "classes": label_texts(signature.labels),
        "features": [_feature(feature, profiles.get(feature.name)) for feature in signature.features],
        "examples": _examples(model),
    }


def _model(served: Served, name: str) -> dict[str, Any]:
    aliases = _aliases(served, name)
    choices = [
        {"reference": str(one), "version": one.version or aliases.get(one.alias), "path": _path(one)}
        for one in _references(served, name, aliases)
    ]
    return {"name": name, "choices": choices}


def _path(reference: Reference) -> str:
    if reference.version is None:
        return f"models/{reference}"
    return f"models/{reference.name}/versions/{reference.version}"


def _references(served: Served, name: str, aliases: dict[str, int]) -> Iterator[Reference]:
    named = [one for one in served.references() if one.name == name]
    if Reference(name) not in named:
        yield from named
        return
    yield Reference(name)
    yield from (Reference(name, alias=alias) for alias in sorted(aliases) if alias != DEFAULT)
    yield from (Reference(name, number) for number in reversed(served.versions(name)))


def _aliases(served: Served, name: str) -> dict[str, int]:
    with suppress(SqlinferError):  # a damaged file of one model says so when the model is asked for
        return served.registry.aliases(name)
    return {}


def _feature(feature: Feature, profile: FeatureProfile | None) -> dict[str, Any]:
    base, axes = ("BLOB", ()) if feature.type == "BLOB" else types.split_nested(feature.type)
    is_long = isinstance(feature.prepare, (TextPreparation, WordsPreparation))
    kind = "list" if axes else "long text" if is_long else _KINDS.get(base, "integer")
    return {
        "name": feature.name,
        "type": feature.type,
        "kind": kind,
        "null": "nan" if feature.null.value == _MISSING_TEXT else str(feature.null),
        "refuses": [f"{guard}: {guard.says}" for guard in feature.guards],
        "seen": _seen(profile),
        "values": [text for text, _ in profile.texts.top[:_MOST_SUGGESTED]] if profile and profile.texts else [],
    }


_KINDS = {"FLOAT": "number", "DOUBLE": "number", "BOOLEAN": "boolean", "VARCHAR": "text", "BLOB": "bytes"}


def _seen(profile: FeatureProfile | None) -> str:
    """What the sample had, in a few words."""
    if profile is None:
        return ""
    numbers, texts, lengths = profile.numbers, profile.texts, profile.lengths
    if numbers and numbers.min is not None and numbers.max is not None:
        return f"{numbers.min:.6g} to {numbers.max:.6g}"
    if texts:
        return f"{texts.distinct} different"
    return f"{lengths.min} to {lengths.max} long" if lengths and lengths.max is not None else ""


def _examples(model: StoredModel) -> list[list[str | None]]:
    """Rows of the sample, those without a NULL first."""
    features = model.manifest.signature.features
    rows: list[tuple[Any, ...]] = []
    with suppress(SqlinferError):
        background = model.background
        if background is not None:
            rows = list(zip(*(column.to_pylist() for column in background.columns), strict=True))
    rows = sorted(rows or model.manifest.proof.rows, key=lambda row: None in row)
    found, size = list[list[str | None]](), 0
    for row in rows[:_MOST_EXAMPLES]:
        texts = [_as_text(feature, value) for feature, value in zip(features, row, strict=True)]
        size += sum(len(text or "") for text in texts)
        if found and size > _MOST_BYTES_OF_EXAMPLES:
            break
        found.append(texts)
    return found


def _as_text(feature: Feature, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if feature.type == "BLOB":
        return base64.b64encode(bytes(value)).decode()
    return json.dumps(value)
