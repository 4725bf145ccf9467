"""Temporary folders that do not stay behind: whoever makes one takes away those of processes that were killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a folder stays until somebody else clears the temporary files
    fcntl = None  # type: ignore[assignment]

__all__ = ["temporary_folder"]

_PREFIX, _LOCK = "sqlinfer-", ".lock"
_A_DAY = 86_400


@contextmanager
def temporary_folder(place: Path | None = None, prefix: str = _PREFIX) -> Iterator[Path]:
    """A folder of this process, with a file in it that is locked as long as the process lives. ``place``: where it is,
    if not among the system's temporary files."""
    place = place or Path(tempfile.gettempdir())
    _sweep(place, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as name:
        folder = Path(name)
        with (folder / f"{_LOCK}-new").open("wb") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(folder / _LOCK)  # nobody finds it before it is locked
            yield folder


def _sweep(place: Path, prefix: str) -> None:
    if fcntl is None:
        return
    for folder in place.glob(f"{prefix}*"):
        with suppress(OSError):  # it is another user's, or being made or taken away right now
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            if not (folder / _LOCK).exists():
                if time.time() - folder.stat().st_mtime > _A_DAY:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with (folder / _LOCK).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
