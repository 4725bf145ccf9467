"""What a reader of model.json must know to answer as the model does; all else that it does not know, it ignores.

A need is a name, with the first version of sqlinfer that knows it, which is what a reader that does not know it can
say. The extension knows the same ones, in core/manifest/needs.rs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlinfer.errors import RegistryError, named
from sqlinfer.models.fields import quoted
from sqlinfer.models.signature import ImagePreparation, Signature, TextPreparation, WordsPreparation
from sqlinfer.version import __version__

__all__ = ["NEEDS", "needs_of", "require_known"]

NEEDS = {
    "guards": "0.1.0",
    "image": "0.1.0",
    "image steps": "0.1.0",
    "labelled": "0.1.0",
    "shared": "0.1.0",
    "tokens": "0.1.0",
    "words": "0.1.0",
}
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,39}")


def needs_of(signature: Signature) -> dict[str, str]:
    prepared = [feature.prepare for feature in signature.features]
    images = [prepare for prepare in prepared if isinstance(prepare, ImagePreparation)]
    has = {
        "guards": any(feature.guards for feature in signature.features),
        "image": bool(images),
        "image steps": any(image.steps for image in images),
        "labelled": any(call.decode == "labelled" for call in signature.calls.values()),
        "shared": any(tensor.shared for tensor in signature.inputs),
        "tokens": any(isinstance(prepare, TextPreparation) for prepare in prepared),
        "words": any(isinstance(prepare, WordsPreparation) for prepare in prepared),
    }
    return {name: version for name, version in NEEDS.items() if has[name]}


def require_known(needs: Mapping[str, Any], path: object) -> None:
    """Raises ValueError for what is no version, and RegistryError for a need that is not known."""
    for name, version in sorted(needs.items()):
        if not _VERSION.fullmatch(version):
            raise ValueError(f"the need {quoted(name)} of the version {quoted(version)}")
    unknown = [f"{quoted(name)} (sqlinfer {version})" for name, version in sorted(needs.items()) if name not in NEEDS]
    if unknown:
        raise RegistryError(
            f"{path} needs {named(unknown)}, which sqlinfer {__version__} does not know; upgrade sqlinfer, or "
            "register the model again"
        )
