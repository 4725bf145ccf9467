"""Pickled estimators. Loading a pickle runs code, so it is never done unasked."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlinfer.errors import InvalidModel, UntrustedModel

__all__ = ["load_pickle"]


def load_pickle(path: Path, *, trust: bool) -> Any:
    """Raises UntrustedModel unless ``trust``; InvalidModel when the file cannot be loaded."""
    if not trust:
        raise UntrustedModel.pickle(path)
    try:
        if find_spec("joblib"):  # it reads plain pickles as well, and people give its files any suffix
            import joblib

            return joblib.load(path)
        with path.open("rb") as file:
            return pickle.load(file)
    except Exception as error:  # unpickling runs foreign code, which raises what it likes
        raise InvalidModel(f"{path} cannot be unpickled: {type(error).__name__}: {error}") from error
