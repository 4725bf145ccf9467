"""Tree ensembles in a model: which ONNX Runtime is not to be given, and which it adds in an order of its own."""

from __future__ import annotations

from dataclasses import dataclass

from sqlinfer.errors import InvalidModel
from sqlinfer.runtime.extension import extension

__all__ = ["Trees", "trees_of"]

_ANY, _CLASSIFIER = b"TreeEnsemble", b"TreeEnsembleClassifier"


@dataclass(frozen=True, slots=True)
class Trees:
    """``classifier``: such as ONNX Runtime computes by itself."""

    any: bool = False
    classifier: bool = False


def trees_of(model: bytes, name: str) -> Trees:
    """Raises InvalidModel for one that is not to be given to ONNX Runtime."""
    if _ANY not in model:
        return Trees()
    why = _refusal(model, name)
    if why is not None:
        raise InvalidModel(f"sqlinfer cannot load {name!r}: {why}; register a model of other trees")
    return Trees(True, _CLASSIFIER in model)


def _refusal(model: bytes, name: str) -> str | None:
    native = extension()
    if native is not None:
        return native.refuse_trees(model)
    from sqlinfer.graphs.inspect import parse_model
    from sqlinfer.graphs.tree_limits import refusal

    return refusal(parse_model(model, name))
