"""Where models live: plain files that a person can read, copy and back up.

    <home>/models/churn/aliases.json       {"champion": 2, "default": 1}
    <home>/models/churn/1/model.onnx
    <home>/models/churn/1/model.json

A version is written beside its place and renamed into it, and never changes afterwards. Readers never lock.
A number that was removed is not given again: an empty file ``churn/3.removed`` remembers it, and, where the whole
model was removed or renamed, the number in the file ``churn.removed``; in ``.former``, a model that was renamed tells
up to which numbers it had an earlier name. What a writer that was killed leaves behind begins with a dot, and the next
writer takes it away.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pyarrow as pa

from sqlinfer.errors import BadReference, ModelNotFound, RegistryError, SqlinferError
from sqlinfer.models.files import FileState, read_intact, read_plain, state_of
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.profile import BACKGROUND_FILE, PROFILE_FILE, Profile
from sqlinfer.models.reference import DEFAULT, Reference, check_name, is_name
from sqlinfer.models.sample import table_of_rows
from sqlinfer.models.signature import Call, TextPreparation, WordsPreparation
from sqlinfer.models.strict_json import read_json

try:
    import fcntl
except ImportError:  # Windows: writers of one model then rely on the rename alone
    fcntl = None  # type: ignore[assignment]

__all__ = ["Registry", "RegistryLike", "StoredModel", "default_home"]

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "model.json"
ALIASES_FILE = "aliases.json"
LOCK_FILE = ".lock"
FORMER_FILE = ".former"
_MOST_VERSIONS = 2**31
_MOST_BYTES_OF_ALIASES = 1 << 20
_VERSION = re.compile("[1-9][0-9]{0,8}")
_ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")  # one letter is a drive of Windows; a Path has one slash of two


def default_home() -> Path:
    """Raises RegistryError for what is no folder."""
    return _folder(os.environ.get("SQLINFER_HOME") or "~/.sqlinfer")


def _folder(home: str | os.PathLike[str]) -> Path:
    if _ADDRESS.match(os.fspath(home)):
        raise RegistryError.address(home)
    return Path(home).expanduser()


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
        prepared = [feature.prepare for feature in self.manifest.signature.features]
        beside = {self.folder / p.tokenizer: p.sha256 for p in prepared if isinstance(p, TextPreparation)}
        beside |= {self.folder / p.file: p.sha256 for p in prepared if isinstance(p, WordsPreparation)}
        return {self.onnx: self.manifest.sha256, **beside}

    def file(self, name: str) -> bytes:
        """The content of one of the files: what it was when it was proven. Raises RegistryError."""
        path = self.folder / name
        return read_intact(path, self.files[path])

    def contents(self) -> dict[str, bytes]:
        """All of its files by name, model.json among them. Raises RegistryError where one is not what it was when it
        was proven."""
        own = {path.name: sha256 for path, sha256 in self.files.items()} | self.manifest.files
        own[MANIFEST_FILE] = self.manifest.digest
        return {name: read_intact(self.folder / name, sha256) for name, sha256 in own.items()}

    def require_intact(self) -> None:
        """Read all of the files. Raises RegistryError where one is not what it was when it was proven."""
        for path in self.files:
            self.file(path.name)
        for name in self.manifest.files:
            self._beside(name)

    @property
    def profile(self) -> Profile | None:
        """Statistics of the sample; None where they were not kept. Raises RegistryError."""
        content = self._beside(PROFILE_FILE)
        return None if content is None else Profile.of(content, self.folder / PROFILE_FILE)

    @property
    def background(self) -> pa.Table | None:
        """Rows that are spread over the sample, with a column for each feature; None where they were not kept. Raises
        RegistryError."""
        content = self._beside(BACKGROUND_FILE)
        if content is None:
            return None
        try:
            return table_of_rows(self.manifest.signature.features, read_json(content)["rows"])
        except (LookupError, TypeError, ValueError) as error:
            raise RegistryError(
                f"{self.folder / BACKGROUND_FILE} is damaged ({error!r:.200}); register the model again"
            ) from error

    def _beside(self, name: str) -> bytes | None:
        """The content of a file that no prediction reads; None where the manifest has none of that name."""
        sha256 = self.manifest.files.get(name)
        return None if sha256 is None else read_intact(self.folder / name, sha256)

    def call(self, name: str) -> Call:
        """How the model answers predict, predict_proba or infer. Raises ModelNotFound where it has no such answer."""
        calls = self.manifest.signature.calls
        if name not in calls:
            raise ModelNotFound.answer(f"{self.manifest.name}/{self.manifest.version}", name, calls)
        return calls[name]


class Registry:
    """A folder of models. Opening one touches nothing; the folder is made by the first registration. Raises
    RegistryError for an address, such as s3://…"""

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self.home = _folder(home) if home is not None else default_home()
        self._manifests: dict[Path, tuple[FileState, StoredModel]] = {}

    @classmethod
    def of(cls, registry: RegistryLike) -> Registry:
        """A registry as it is, or that of a folder; None is the default one."""
        return registry if isinstance(registry, Registry) else cls(registry)

    @property
    def place(self) -> str:
        """Where the folder is, by whichever path it was named."""
        return str(self.home.expanduser().absolute().resolve())

    def __repr__(self) -> str:
        return f"Registry({str(self.home)!r})"

    def names(self) -> list[str]:
        """The models that have a version; `damaged` has those whose folder cannot be read."""
        found = []
        for name in self._folders():
            with suppress(RegistryError):
                if self.versions(name):
                    found.append(name)
        return found

    def versions(self, name: str) -> list[int]:
        return sorted(int(p.name) for p in self._entries(name) if _VERSION.fullmatch(p.name) and p.is_dir())

    def aliases(self, name: str) -> dict[str, int]:
        path = self._models / name / ALIASES_FILE
        try:
            aliases = json.loads(read_plain(path, _MOST_BYTES_OF_ALIASES).decode())
            for alias, version in aliases.items():
                if type(version) is not int or not 0 < version < _MOST_VERSIONS:
                    raise TypeError(f"{alias} is {str(version)[:40]}")
            return dict(aliases)
        except (FileNotFoundError, NotADirectoryError):
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
            state = state_of(path)
        except (FileNotFoundError, NotADirectoryError):
            self._require(found.name)
            if folder.is_dir():
                raise RegistryError(
                    f"{path} is missing: the version is damaged; remove it and register again"
                ) from None
            raise ModelNotFound.version(found.name, found.version or 0, self.versions(found.name)) from None
        except OSError as error:
            raise RegistryError(f"{path} cannot be read ({error})") from error
        known = self._manifests.get(path)
        if known is None or known[0] != state:
            # a copied folder is the model that it is called
            manifest = replace(Manifest.read(path), name=found.name, version=int(folder.name))
            known = state, StoredModel(folder, manifest)
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
        for name in self._folders():
            versions: list[int] = []
            try:
                versions = self.versions(name)
                if versions:
                    self.aliases(name)
            except RegistryError as error:
                found[name] = error
            for version in versions:
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
            with self._writing(folder, make=True):
                aliases = self.aliases(name)
                version = self._next_version(name)
                place = folder / str(version)
                manifest = describe(version)
                described = manifest.to_json().encode()
                draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
                try:
                    for file, content in {**files, MANIFEST_FILE: described}.items():
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
        return StoredModel(place, replace(manifest, digest=hashlib.sha256(described).hexdigest()))

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
        # `churn@default`, too, is no name of all versions
        if asked.version is None and (asked.alias != DEFAULT or "@" in str(reference)):
            raise BadReference(
                f"'{reference}' is an alias: remove the version (churn/3), or the alias with 'sqlinfer alias --drop'"
            )
        self._require(asked.name)
        folder = self._models / asked.name
        with self._changing(asked.name):
            if asked.version is None:
                self._discard_model(asked.name)
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
                self._discard_model(asked.name)
                return
            (folder / f"{asked.version}.removed").touch()
            self._discard(folder / str(asked.version))

    def rename(self, name: str, new: str) -> None:
        """Let the model be called ``new``, with its versions and aliases. Raises RegistryError where there is a model
        of that name, and where a number of its would have been another's under that name."""
        name, new = check_name(name), check_name(new)
        if not is_name(new):
            raise BadReference.reserved(new)
        self._require(name)
        if name == new:
            return
        self._require_free(name, new)
        with ExitStack() as locks:
            for one in sorted((name, new)):  # two that rename crosswise do not wait for one another
                locks.enter_context(self._changing(one, make=one == new))
            self._require(name)
            self._require_free(name, new)
            own = {**self._former(name), name: self._last_own(name)}
            _replace(self._models / name / ".draft-former", self._models / name / FORMER_FILE, _json(own))
            self._remember_last(name)
            # whoever waits for the lock of this empty folder finds that it is gone, and begins again
            self._discard(self._models / new)
            (self._models / name).rename(self._models / new)
        self._touch()

    def export(self, reference: Reference | str, folder: str | os.PathLike[str]) -> StoredModel:
        """Copy a version into a ``folder`` that is not there yet, or empty; it is there whole, or not at all."""
        model, folder = self.get(reference), Path(folder).expanduser()
        contents = model.contents()
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        if taken or folder.is_symlink():
            raise RegistryError(f"{folder} is there already, and is not overwritten: name a folder that is not")
        draft = folder.absolute().with_name(f".sqlinfer-{uuid.uuid4().hex}")
        try:
            draft.mkdir()
            for name, content in contents.items():
                _write(draft / name, content)
            draft.rename(folder)
        except OSError as error:
            raise RegistryError(f"the model cannot be exported to {folder}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return StoredModel(folder, model.manifest)

    @property
    def state(self) -> FileState | None:
        """Another one after each change that a writer has made; changes by hand may not show in it."""
        try:
            return state_of(self._models)
        except OSError:
            return None

    @property
    def _models(self) -> Path:
        return self.home / "models"

    def _folders(self) -> list[str]:
        """What is called as a model may be called."""
        try:
            return sorted(p.name for p in self._models.iterdir() if is_name(p.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RegistryError(f"the registry {self.home} cannot be read: {error}") from error

    def _entries(self, name: str) -> list[Path]:
        folder = self._models / name
        try:
            return list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryError(f"the model {name!r} cannot be read ({error}); mend or remove {folder}") from error

    def _require(self, name: str) -> None:
        if not self.versions(name):
            raise ModelNotFound.name(name, self.names(), self.home)

    def _next_version(self, name: str) -> int:
        return max(self._last_own(name), self._last_removed(name)) + 1

    def _last_own(self, name: str) -> int:
        """The highest number of the versions that the model has, or had."""
        numbers = [p.name.removesuffix(".removed") for p in self._entries(name)]
        return max((int(n) for n in numbers if _VERSION.fullmatch(n)), default=0)

    def _last_removed(self, name: str) -> int:
        """The highest number that a model of that name had when it was removed as a whole, or renamed."""
        try:
            text = read_plain(self._removed(name), 100).decode().strip()
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if _VERSION.fullmatch(text) else 0

    def _former(self, name: str) -> dict[str, int]:
        """The names that the model had before, and the highest number that was its own under each."""
        try:
            former = json.loads(read_plain(self._models / name / FORMER_FILE, _MOST_BYTES_OF_ALIASES).decode())
            return {str(name): int(number) for name, number in former.items()}
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            return {}

    def _require_free(self, name: str, new: str) -> None:
        """Raises RegistryError unless the model may be called so: its numbers must not have meant another model."""
        if self.versions(new):
            raise RegistryError(f"there is a model {new!r} already; remove that first, or choose another name")
        own, last = self._former(name).get(new, 0), self._last_removed(new)
        reused = [version for version in self.versions(name) if own < version <= last]
        if reused:
            raise RegistryError(
                f"{new}/{reused[0]} was another model, which was removed or renamed, and a number is not given again; "
                f"choose another name, or register the model as {new!r} anew"
            )

    def _removed(self, name: str) -> Path:
        return self._models / f"{name}.removed"

    def _write_aliases(self, name: str, aliases: dict[str, int]) -> None:
        draft = self._models / name / f".aliases-{os.getpid()}"
        _replace(draft, self._models / name / ALIASES_FILE, _json(aliases))
        self._touch()

    def _remember_last(self, name: str) -> None:
        draft = self._models / name / ".draft-removed"
        _replace(draft, self._removed(name), f"{self._next_version(name) - 1}\n".encode())

    def _discard_model(self, name: str) -> None:
        self._remember_last(name)
        self._discard(self._models / name)

    def _discard(self, folder: Path) -> None:
        # One rename takes it out of sight whole; a reader that has the files open goes on reading them.
        trash = self._models / f".removed-{uuid.uuid4().hex}"
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
        self._touch()

    def _touch(self) -> None:
        """Let `state` become another one, and tell who waits for that in this process."""
        with suppress(OSError):  # the folder may be another user's
            os.utime(self._models)
        for observer in tuple(observers):
            observer()

    @contextmanager
    def _changing(self, name: str, *, make: bool = False) -> Iterator[None]:
        try:
            with self._writing(self._models / name, make=make):
                yield
        except OSError as error:
            if isinstance(error, RegistryError):
                raise
            self._require(name)  # somebody else may have removed it meanwhile
            raise RegistryError(f"the registry {self.home} cannot be changed: {error}") from error

    @contextmanager
    def _writing(self, folder: Path, *, make: bool = False) -> Iterator[None]:
        """One writer of a model at a time; ``make`` its folder where there is none."""
        while True:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            with _open_lock(folder / LOCK_FILE) as lock:
                _lock(lock)
                if not _is_still(lock, folder / LOCK_FILE):
                    continue  # the model was removed while this waited
                self._sweep(folder)
                yield
                return

    def _sweep(self, folder: Path) -> None:
        """Take away what writers left that were killed: none but the holder of the lock has a draft, and nobody needs
        what was removed."""
        drafts = (p for p in folder.iterdir() if p.name.startswith((".draft-", ".aliases-")))
        trash = (p for p in self._models.iterdir() if p.name.startswith(".removed-"))
        for path in (*drafts, *trash):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


# Called after each change that this process makes to a registry.
observers: set[Callable[[], None]] = set()
RegistryLike = Registry | str | os.PathLike[str] | None


def _open_lock(path: Path) -> IO[bytes]:
    # a pipe that somebody put there would wait for its other end
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0), 0o644), "wb")


def _is_still(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)


def _json(numbers: Mapping[str, int]) -> bytes:
    return f"{json.dumps(dict(sorted(numbers.items())))}\n".encode()


def _replace(draft: Path, path: Path, content: bytes) -> None:
    try:
        _write(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
