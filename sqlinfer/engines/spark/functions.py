"""The functions that a session of Spark's has of the models of a registry."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sqlinfer.engines.spark.package import Package, pack
from sqlinfer.engines.spark.types import spark_type
from sqlinfer.engines.spark.udf import arrow_udf_of
from sqlinfer.engines.spark.worker import Job
from sqlinfer.errors import RegistryError, SqlinferError
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.runtime.outputs import answer_type
from sqlinfer.sql.bind import Function

__all__ = ["TRY", "Functions", "plain"]

TRY = "try_"


def plain(function: Function, is_model: Callable[[str], bool]) -> Function:
    """As ``predict_proba_churn``, if that is not the name of what a model proba_churn predicts."""
    found = replace(function, plain=True)
    of_another = function.call != "predict" and is_model(found.name.removeprefix("predict_").partition("@")[0])
    return function if of_another else found


class Functions:
    """Registered once for each version; what moves is registered again when it means another version."""

    def __init__(self, session: Any, registry: Registry) -> None:
        self._session = session
        self._registry = registry
        self._sent: dict[tuple[str, str], Package] = {}
        self._registered: dict[str, tuple[str, str]] = {}
        self._moving: dict[str, tuple[Function, bool]] = {}
        self._lock = threading.RLock()

    def udf(self, function: Function, model: StoredModel, *, tries: bool = False) -> Any:
        """As what pyspark calls a user-defined function, of that version."""
        call = model.call(function.call)
        package = self._package(model)
        gives = spark_type(answer_type(model.manifest.signature, call))
        return arrow_udf_of(Job(package, model.manifest.name, function.call, gives, tries))

    def ensure(self, name: str, function: Function, model: StoredModel, *, tries: bool = False) -> None:
        """Let SQL have a function of that name."""
        meant = str(model.folder), model.manifest.digest
        with self._lock:
            if self._registered.get(name) != meant:
                self._session.udf.register(name, self.udf(function, model, tries=tries))
                self._registered[name] = meant
            if function.moves:
                self._moving[name] = function, tries

    def offer(self, names: Iterable[str] | None) -> None:
        """Let SQL have what the aliases of these models mean now, and what it was given beside; None are all models.
        Raises ModelNotFound, and where models were named, RegistryError."""
        for name, (function, tries) in tuple(self._moving.items()):
            with suppress(SqlinferError):  # it is gone: whoever asks still gets what was there
                self.ensure(name, function, self._registry.get(function.reference), tries=tries)
        for name in self._registry.names() if names is None else names:
            reference = Reference.parse(name)
            try:
                references = [reference] if reference != Reference(reference.name) else list(self._aliases(reference))
            except RegistryError:
                if names is not None:
                    raise
                continue
            for one in references:
                self._offer(one, named=names is not None)

    def _aliases(self, reference: Reference) -> Iterator[Reference]:
        self._registry.resolve(reference)
        for alias in self._registry.aliases(reference.name):
            yield Reference(reference.name, alias=alias)

    def _offer(self, reference: Reference, *, named: bool) -> None:
        try:
            model = self._registry.get(reference)
            for call in model.manifest.signature.calls:
                self._offer_call(Function(call, reference), model)
        except SqlinferError:  # others of the registry are as good as before; a statement that names it is told why
            if named:
                raise

    def _offer_call(self, function: Function, model: StoredModel) -> None:
        named = plain(function, self._is_model)
        self.ensure(named.name, function, model)
        if function.call == "predict":
            self.ensure(f"{TRY}{named.name}", function, model, tries=True)

    def _is_model(self, name: str) -> bool:
        return bool(self._registry.aliases(name))

    def _package(self, model: StoredModel) -> Package:
        """What travels of a version; it is sent once."""
        key = str(model.folder), model.manifest.digest
        with self._lock:
            if key not in self._sent:
                package, file = pack(model, Path(_folder().name))
                _send(self._session, file)
                self._sent[key] = package
            return self._sent[key]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Executors fetch what is in it as long as this process lives."""
    return tempfile.TemporaryDirectory(prefix="sqlinfer-spark-")


def _send(session: Any, file: Path) -> None:
    if _is_connect(session):
        session.addArtifacts(str(file), file=True)
    else:
        session.sparkContext.addFile(str(file))


def _is_connect(session: Any) -> bool:
    return ".connect." in type(session).__module__
