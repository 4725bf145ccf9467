"""Where models live: plain files that a person can read, copy and back up.

    <home>/models/churn/aliases.json       {"champion": 2, "default": 1}
    <home>/models/churn/1/model.onnx
    <home>/models/churn/1/model.json

A version is written beside its place and renamed into it, and never changes afterwards. Readers never lock.
A number that was removed is not given again: an empty file ``3.removed`` remembers it.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from sqlinfer.errors import BadReference, ModelNotFound, RegistryError, SqlinferError
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.reference import DEFAULT, Reference, check_name, is_name
from sqlinfer.models.signature import Call, TextPreparation

try:
    import fcntl
except ImportError:  # Windows: writers of one model then rely on the rename alone
    fcntl = None  # type: ignore[assignment]

__all__ = ["Registry", "StoredModel", "default_home"]

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "model.json"
ALIASES_FILE = "aliases.json"
_MOST_VERSIONS = 2**31
_VERSION = re.compile("[1-9][0-9]{0,8}")


def default_home() -> Path:
    return Path(os.environ.get("SQLINFER_HOME") or "~/.sqlinfer").expanduser()


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One version of a model: its manifest, and the folder that holds its files."""

    folder: Path
    manifest: Manifest

    @property
    def onnx(self) -> Path:
        return self.folder / MODEL_FILE

    @property
    def files(self) -> dict[Path, str]:
        """What a prediction reads, with the sha256 that each file had when it was registered."""
        beside = (f.prepare for f in self.manifest.signature.features if isinstance(f.prepare, TextPreparation))
        return {self.onnx: self.manifest.sha256, **{self.folder / p.tokenizer: p.sha256 for p in beside}}

    def require_intact(self) -> None:
        """Read all of the files: each is what it was when it was proven. Raises RegistryError."""
        for path, sha256 in self.files.items():
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise RegistryError(
                    f"{path} cannot be read ({error.strerror or error}); register the model again"
                ) from error
            if found != sha256:
                raise RegistryError(
                    f"{path} is not the file that was registered (its sha256 is {found[:12]}…, not {sha256[:12]}…); "
                    "register the model again"
                )

    def call(self, name: str) -> Call:
        """How the model answers predict, predict_proba or infer. Raises ModelNotFound where it has no such answer."""
        calls = self.manifest.signature.calls
        if name not in calls:
            raise ModelNotFound.answer(f"{self.manifest.name}/{self.manifest.version}", name, calls)
        return calls[name]


class Registry:
    """A folder of models. Opening one touches nothing; the folder is made by the first registration."""

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self.home = Path(home).expanduser() if home is not None else default_home()
        self._manifests: dict[Path, tuple[int, StoredModel]] = {}

    def __repr__(self) -> str:
        return f"Registry({str(self.home)!r})"

    def names(self) -> list[str]:
        try:
            return sorted(p.name for p in self._models.iterdir() if is_name(p.name) and self.versions(p.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RegistryError(f"the registry {self.home} cannot be read: {error}") from error

    def versions(self, name: str) -> list[int]:
        return sorted(int(p.name) for p in self._entries(name) if _VERSION.fullmatch(p.name) and p.is_dir())

    def aliases(self, name: str) -> dict[str, int]:
        path = self._models / name / ALIASES_FILE
        try:
            aliases = json.loads(path.read_text(encoding="utf-8"))
            for alias, version in aliases.items():
                if type(version) is not int or not 0 < version < _MOST_VERSIONS:
                    raise TypeError(f"{alias} is {str(version)[:40]}")
            return dict(aliases)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise RegistryError(
                f"{path} is damaged ({error}); mend it with: sqlinfer alias {name} default VERSION"
            ) from error

    def resolve(self, reference: Reference) -> Reference:
        """The reference with its version found. Raises ModelNotFound."""
        if reference.version is None:
            aliases = self.aliases(reference.name)
            if reference.alias not in aliases:
                self._require(reference.name)
                raise ModelNotFound.alias(reference.name, reference.alias, aliases)
            return Reference(reference.name, aliases[reference.alias])
        return reference

    def deciding(self, reference: Reference) -> Path:
        """The file that is another one whenever ``reference`` means another model."""
        if reference.version is None:
            return self._models / reference.name / ALIASES_FILE
        return self._models / reference.name / str(reference.version) / MANIFEST_FILE

    def get(self, reference: Reference | str) -> StoredModel:
        """Raises BadReference, ModelNotFound, or RegistryError where the files are damaged."""
        asked = Reference.parse(reference) if isinstance(reference, str) else reference
        found = self.resolve(asked)
        folder = self._models / found.name / str(found.version)
        path = folder / MANIFEST_FILE
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            self._require(found.name)
            if folder.is_dir():
                raise RegistryError(
                    f"{path} is missing: the version is damaged; remove it and register again"
                ) from None
            raise ModelNotFound.version(found.name, found.version or 0, self.versions(found.name)) from None
        except OSError as error:
            raise RegistryError(f"{path} cannot be read ({error})") from error
        known = self._manifests.get(path)
        if known is None or known[0] != changed:
            # a copied folder is the model that it is called
            manifest = replace(Manifest.read(path), name=found.name, version=int(folder.name))
            known = changed, StoredModel(folder, manifest)
            self._manifests[path] = known
        return known[1]

    def all(self) -> list[StoredModel]:
        """Every version that can be read, by name and number; `damaged` has the others."""
        models = []
        for name in self.names():
            for version in self.versions(name):
                with suppress(RegistryError, ModelNotFound):
                    models.append(self.get(Reference(name, version)))
        return models

    def damaged(self) -> dict[str, SqlinferError]:
        """What cannot be read, and why: versions (churn/3), and models (churn) whose aliases cannot."""
        found: dict[str, SqlinferError] = {}
        for name in self.names():
            try:
                self.aliases(name)
            except RegistryError as error:
                found[name] = error
            for version in self.versions(name):
                try:
                    self.get(Reference(name, version))
                except (RegistryError, ModelNotFound) as error:
                    found[f"{name}/{version}"] = error
        return found

    def add(
        self, name: str, describe: Callable[[int], Manifest], files: Mapping[str, bytes], *, promote: bool = False
    ) -> StoredModel:
        """Store a new version; ``describe`` is given its number. The first version becomes the default."""
        folder = self._models / check_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._writing(folder):
                aliases = self.aliases(name)
                version = self._next_version(name)
                place = folder / str(version)
                manifest = describe(version)
                draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
                try:
                    for file, content in {**files, MANIFEST_FILE: manifest.to_json().encode()}.items():
                        _write(draft / file, content)
                    draft.chmod(0o755)
                    draft.rename(place)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
                if promote or DEFAULT not in aliases:
                    try:
                        self._write_aliases(name, {**aliases, DEFAULT: version})
                    except OSError:
                        shutil.rmtree(place, ignore_errors=True)
                        raise
        except OSError as error:
            if isinstance(error, RegistryError):
                raise
            with suppress(OSError):
                folder.rmdir()
            raise RegistryError(
                f"the model {name!r} cannot be stored in {self.home}: {error}; nothing was changed"
            ) from error
        return StoredModel(place, manifest)

    def alias(self, name: str, alias: str, version: int) -> None:
        """Let ``name@alias`` mean ``version`` from now on; the alias ``default`` is what the bare name means."""
        name, alias, version = check_name(name), check_name(alias), operator.index(version)
        self.get(Reference(name, version))
        with self._changing(name):
            known: dict[str, int] = {}
            try:
                known = self.aliases(name)
            except RegistryError:  # this is how a damaged file is mended; what it still says is for a person to read
                damaged = self._models / name / ALIASES_FILE
                shutil.copyfile(damaged, damaged.with_suffix(".damaged"))
            self._write_aliases(name, {**known, alias: version})

    def drop_alias(self, name: str, alias: str) -> None:
        name, alias = check_name(name), check_name(alias)
        aliases = self.aliases(name)
        if alias not in aliases:
            self._require(name)
            raise ModelNotFound.alias(name, alias, aliases)
        with self._changing(name):
            self._write_aliases(name, {a: v for a, v in self.aliases(name).items() if a != alias})

    def remove(self, reference: Reference | str) -> None:
        """Remove one version (``churn/3``), or a model with all its versions (``churn``)."""
        asked = Reference.parse(reference) if isinstance(reference, str) else reference
        if asked.version is None and asked.alias != DEFAULT:
            raise BadReference(
                f"{str(asked)!r} is an alias: remove the version (churn/3), or the alias with 'sqlinfer alias --drop'"
            )
        self._require(asked.name)
        folder = self._models / asked.name
        with self._changing(asked.name):
            if asked.version is None:
                self._discard(folder)
                return
            if asked.version not in self.versions(asked.name):
                raise ModelNotFound.version(asked.name, asked.version, self.versions(asked.name))
            pointing = [alias for alias, version in self.aliases(asked.name).items() if version == asked.version]
            if pointing and self.versions(asked.name) != [asked.version]:
                raise RegistryError(
                    f"{asked} is what {', '.join(pointing)} means; point it elsewhere first: "
                    f"sqlinfer alias {asked.name} {pointing[0]} VERSION"
                )
            if pointing:
                self._discard(folder)
                return
            (folder / f"{asked.version}.removed").touch()
            self._discard(folder / str(asked.version))

    @property
    def _models(self) -> Path:
        return self.home / "models"

    def _entries(self, name: str) -> list[Path]:
        try:
            return list((self._models / name).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryError(f"the registry {self.home} cannot be read: {error}") from error

    def _require(self, name: str) -> None:
        if not (self._models / name).is_dir():
            raise ModelNotFound.name(name, self.names(), self.home)

    def _next_version(self, name: str) -> int:
        numbers = [p.name.removesuffix(".removed") for p in self._entries(name)]
        return max((int(n) for n in numbers if _VERSION.fullmatch(n)), default=0) + 1

    def _write_aliases(self, name: str, aliases: dict[str, int]) -> None:
        path = self._models / name / ALIASES_FILE
        draft = path.with_name(f".aliases-{os.getpid()}")
        try:
            _write(draft, (json.dumps(dict(sorted(aliases.items()))) + "\n").encode())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _discard(self, folder: Path) -> None:
        # One rename takes it out of sight whole; a reader that has the files open goes on reading them.
        trash = Path(tempfile.mkdtemp(prefix=".removed-", dir=self._models))
        folder.rename(trash / folder.name)
        shutil.rmtree(trash, ignore_errors=True)

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        try:
            with self._writing(self._models / name):
                yield
        except OSError as error:
            if isinstance(error, RegistryError):
                raise
            raise RegistryError(f"the registry {self.home} cannot be changed: {error}") from error

    @contextmanager
    def _writing(self, folder: Path) -> Iterator[None]:
        with (folder / ".lock").open("wb") as lock:
            _lock(lock)
            yield


def _lock(file: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
