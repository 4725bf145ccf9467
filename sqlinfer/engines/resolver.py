"""The registry as the rewriting of one statement sees it."""

from __future__ import annotations

from sqlinfer.models.calls import SKEW
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.profile import Profile
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.signature import Signature
from sqlinfer.sql.bind import Function

__all__ = ["Resolver"]


class Resolver:
    """Reads the registry once for each reference. ``needed``: the functions that the database must have before the
    statement runs. ``takes_names``: functions may be told the names of their arguments by their own."""

    def __init__(self, registry: Registry, *, takes_names: bool = False) -> None:
        self._registry = registry
        self._takes_names = takes_names
        self._models: dict[Reference, StoredModel] = {}
        self.needed: dict[Function, StoredModel] = {}

    def has(self, name: str) -> bool:
        return bool(self._registry.aliases(name))

    def signature(self, function: Function) -> Signature:
        """Raises ModelNotFound; CallError where the model does not answer the call."""
        model = self._stored(function.reference)
        if function.call != SKEW:
            model.call(function.call)
        return model.manifest.signature

    def manifest(self, reference: Reference) -> Manifest:
        """Raises ModelNotFound."""
        return self._stored(reference).manifest

    def profile(self, reference: Reference) -> Profile | None:
        return self._stored(reference).profile

    def versions(self, name: str) -> list[int]:
        return self._registry.versions(name)

    def aliases(self, name: str) -> dict[str, int]:
        return self._registry.aliases(name)

    def _stored(self, reference: Reference) -> StoredModel:
        model = self._models.get(reference)
        if model is None:
            model = self._models[reference] = self._registry.get(reference)
        return model

    def spelled(self, function: Function, names: tuple[str, ...]) -> Function:
        model = self._models[function.reference]
        if names and self._takes_names:
            function = Function(function.call, function.reference, names)
        self.needed[function] = model
        return function
