"""Estimators in files of skops, which says which of the types in them it does not trust.

https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from sqlinfer.errors import InvalidModel, MissingExtra, UntrustedModel

__all__ = ["is_skops", "load_skops"]

_SCHEMA = "schema.json"


def is_skops(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _SCHEMA in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffix == ".skops"


def load_skops(path: Path, *, trust: bool) -> Any:
    """Raises UntrustedModel, with the types that skops does not trust, unless there are none or ``trust``;
    MissingExtra, and InvalidModel when it cannot be loaded."""
    try:
        from skops.io import get_untrusted_types, load
    except ImportError as error:
        raise MissingExtra.of("skops", "skops", f"registering {path}") from error
    try:
        untrusted = get_untrusted_types(file=path)
    except Exception as error:  # of a damaged file: whatever the archive, the JSON or numpy raise
        raise InvalidModel(f"{path} cannot be read by skops: it is damaged, or cut short; save it again") from error
    if untrusted and not trust:
        raise UntrustedModel.types(path, untrusted)
    try:
        return load(path, trusted=untrusted)
    except ImportError as error:
        raise InvalidModel.lacks_module(path, error.name) from error
    except Exception as error:
        raise InvalidModel(
            f"skops cannot load {path}: it is damaged, or written with other versions of its packages; save it again, "
            "with those that are installed here"
        ) from error
