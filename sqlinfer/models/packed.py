"""One version of a model as bytes, which travel to machines that do not see the registry, and are a registry there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sqlinfer.errors import RegistryError
from sqlinfer.models.files import read_plain
from sqlinfer.models.registry import ALIASES_FILE, Registry, StoredModel
from sqlinfer.temporary import temporary_folder

__all__ = ["digest_of", "pack", "unpacked"]


def pack(model: StoredModel) -> bytes:
    """All files of a version, in the places that a registry has for them, where it is the default one. Raises
    RegistryError where one is not what it was when it was registered."""
    manifest, packed = model.manifest, BytesIO()
    files = {f"{manifest.version}/{name}": content for name, content in sorted(model.contents().items())}
    files[ALIASES_FILE] = json.dumps({"default": manifest.version}).encode()
    with ZipFile(packed, "w") as archive:
        for name, content in files.items():
            # a ZipInfo has no time of its own: the same version is the same bytes
            archive.writestr(ZipInfo(f"models/{manifest.name}/{name}"), content, ZIP_DEFLATED, compresslevel=1)
    return packed.getvalue()


def digest_of(packed: bytes) -> str:
    """What names it: the sha256 of the bytes that `pack` made."""
    return hashlib.sha256(packed).hexdigest()


def unpacked(packed: bytes, digest: str) -> Registry:
    """The registry of one version that ``packed`` holds. It is unpacked once for each user of a machine, into the
    folder of temporary files, and stays there; processes that do it at once end up with the same one.

    Raises RegistryError where the bytes are not those of ``digest``, or the folder cannot be written.
    """
    if (found := digest_of(packed)) != digest:
        raise RegistryError(
            f"the files of a model arrived damaged (their sha256 is {found[:12]}…, not {digest[:12]}…); send them again"
        )
    try:
        home = _own_folder() / digest
        with ZipFile(BytesIO(packed)) as archive:
            if not _is_whole(archive, home):
                _unpack(archive, home)
    except OSError as error:
        if isinstance(error, RegistryError):
            raise
        raise RegistryError(
            f"the files of a model cannot be unpacked in {tempfile.gettempdir()}: {error}; let TMPDIR name a folder "
            "that can be written"
        ) from error
    return Registry(home)


def _own_folder() -> Path:
    """No other user can put a model there."""
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / f".sqlinfer-{'models' if user is None else user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    others = user is not None and (status.st_uid != user or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if others or not stat.S_ISDIR(status.st_mode):
        raise RegistryError(f"{folder} is not this user's alone: remove it, or let TMPDIR name another folder")
    return folder


def _is_whole(archive: ZipFile, home: Path) -> bool:
    """Byte by byte: what clears old temporary files may have been there."""
    try:
        return all(read_plain(home / file.filename) == archive.read(file) for file in archive.infolist())
    except OSError:
        return False


def _unpack(archive: ZipFile, home: Path) -> None:
    with temporary_folder() as folder:  # beside the place, into which it is renamed
        archive.extractall(folder / "whole")
        with suppress(FileNotFoundError):
            home.rename(folder / "damaged")
        try:
            (folder / "whole").rename(home)
        except OSError:
            if not _is_whole(archive, home):  # or another process was faster
                raise
