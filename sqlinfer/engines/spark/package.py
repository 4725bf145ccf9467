"""A version of a model as one file that travels with a job, and the model that an executor opens from it.

The file is a ZIP archive of a registry of that version alone, and is called by the sha256 of its content: whoever
unpacks it knows what it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlinfer.errors import RegistryError
from sqlinfer.models.packed import digest_of
from sqlinfer.models.packed import pack as packed_model
from sqlinfer.models.registry import Registry, StoredModel

__all__ = ["Package", "pack", "unpacked"]


@dataclass(frozen=True, slots=True)
class Package:
    """``reference``: the version in it, such as churn/3. ``file``: what the file is called everywhere."""

    reference: str
    sha256: str

    @property
    def file(self) -> str:
        return f"sqlinfer-{self.reference.replace('/', '-')}-{self.sha256[:32]}.zip"


def pack(model: StoredModel, folder: Path) -> tuple[Package, Path]:
    """Write a version into a file in a folder. Raises RegistryError where it is not what was registered."""
    packed, manifest = packed_model(model), model.manifest
    package = Package(f"{manifest.name}/{manifest.version}", digest_of(packed))
    draft = folder / f".{manifest.name}-{manifest.version}-{os.getpid()}"
    draft.write_bytes(packed)
    return package, draft.replace(folder / package.file)


def unpacked(package: Package, file: Path) -> Registry:
    """The registry in a file, which is unpacked beside it once, by the first who asks. Raises RegistryError where the
    file is not the one that was sent."""
    folder = file.with_name(f"{package.sha256}.d")
    if not folder.is_dir():
        _require(package, file)
        draft = Path(tempfile.mkdtemp(prefix=".sqlinfer-", dir=file.parent))
        try:
            with zipfile.ZipFile(file) as archive:
                archive.extractall(draft)
            with suppress(OSError):  # another worker of this machine was first: what is there is the same
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if not folder.is_dir():
            raise RegistryError(f"{package.reference} cannot be unpacked to {folder}")
    return Registry(folder)


def _require(package: Package, file: Path) -> None:
    try:
        found = _sha256(file)
    except OSError as error:
        raise RegistryError(
            f"the file of model {package.reference} did not come with the job ({error}); attach the session again"
        ) from error
    if found != package.sha256:
        raise RegistryError(
            f"{file} is not the file of model {package.reference} that was sent: its sha256 is {found[:12]}…, and not "
            f"{package.sha256[:12]}…; attach the session again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
