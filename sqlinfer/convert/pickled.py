"""Pickled estimators. Loading a pickle runs code, so it is never done unasked."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlinfer.errors import InvalidModel, UntrustedModel, named

__all__ = ["load_pickle"]

_DATA = {"DataFrame", "Series", "ndarray", "str", "bytes", "int", "float", "bool", "NoneType", "csr_matrix", "Table"}


def load_pickle(path: Path, *, trust: bool) -> Any:
    """Raises UntrustedModel unless ``trust``; InvalidModel when the file cannot be loaded, or holds no model."""
    if not trust:
        raise UntrustedModel.pickle(path)
    try:
        model = _loaded(path)
    except ImportError as error:
        raise InvalidModel.lacks_module(path, error.name) from error
    except AttributeError as error:
        raise InvalidModel(
            f"{path} cannot be unpickled: a class or function of its author's is not where it was, as one of a script "
            "or notebook (__main__) never is; put it into a module beside, and save the model again"
        ) from error
    except Exception as error:  # unpickling runs foreign code, which raises what it likes
        raise InvalidModel(
            f"{path} cannot be unpickled: it is damaged or no pickle, or was written with other versions of its "
            "packages; save it again, with those that are installed here"
        ) from error
    _require_model(model, path)
    return model


def _loaded(path: Path) -> Any:
    if find_spec("joblib"):  # it reads plain pickles as well, and people give its files any suffix
        import joblib

        return joblib.load(path)
    with path.open("rb") as file:
        return pickle.load(file)


def _require_model(thing: Any, path: Path) -> None:
    """Raises InvalidModel for what people keep in pickles beside models."""
    kind = type(thing).__name__
    if isinstance(thing, Mapping):
        inner = next((key for key, value in thing.items() if hasattr(value, "predict")), None)
        save = f"joblib.dump(d[{inner!r}], 'model.joblib')" if inner is not None else "save the estimator itself"
        raise InvalidModel(f"{path} holds a {kind} with the keys {named(map(repr, thing), 8)}, and no model; {save}")
    if isinstance(thing, (list, tuple, set)):
        raise InvalidModel(f"{path} holds a {kind} of {len(thing)}, and no model; save the estimator itself")
    if isinstance(thing, type):
        raise InvalidModel(f"{path} holds the class {thing.__name__}, and no model of it; save what fit() trained")
    if kind in _DATA:
        raise InvalidModel(f"{path} holds data, a {kind}, and no model; save the estimator itself")
