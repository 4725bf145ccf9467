"""The plain files of a registry. In the place of one may stand a pipe, a device, a loop of links, or an endless one."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from sqlinfer.errors import RegistryError

__all__ = ["FileState", "read_intact", "read_plain", "state_of"]

# ONNX files are protobuf messages, which end at 2 GiB.
_MOST_BYTES = 1 << 31


class FileState(NamedTuple):
    """Another one whenever a file is replaced or written, also where its time of modification is set back."""

    modified: int
    changed: int
    inode: int
    size: int


def state_of(path: Path) -> FileState:
    """Raises OSError."""
    status = path.stat()
    return FileState(status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def read_plain(path: Path, most: int = _MOST_BYTES) -> bytes:
    """The content of a plain file of at most so many bytes. Raises OSError; never waits."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a plain file")
        if status.st_size > most:
            raise OSError(f"it has {status.st_size} bytes, more than the {most} that are read")
        return file.read(status.st_size + 1)  # Python reserves what is asked for


def read_intact(path: Path, sha256: str) -> bytes:
    """The content of a file that has not changed since it was registered. Raises RegistryError."""
    try:
        content = read_plain(path)
    except OSError as error:
        raise RegistryError(f"{path} cannot be read ({error.strerror or error}); register the model again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise RegistryError(
            f"{path} is not the file that was registered (its sha256 is {found[:12]}…, not {sha256[:12]}…); "
            "register the model again"
        )
    return content
