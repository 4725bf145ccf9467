"""What the package offers, and that each error can be caught as what Python calls it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sqlinfer
from sqlinfer import errors

PUBLIC = [
    "Connection",
    "Model",
    "Registry",
    "SqlinferError",
    "__version__",
    "attach",
    "connect",
    "evaluate",
    "extension_path",
    "load",
    "models",
    "register",
    "udf",
    "verify",
]

BUILTIN = {
    "BadReference": ValueError,
    "ModelNotFound": LookupError,
    "CallError": ValueError,
    "StatementError": ValueError,
    "FeatureError": ValueError,
    "MissingFeature": LookupError,
    "UnknownFeature": LookupError,
    "FeatureCount": TypeError,
    "FeatureType": TypeError,
    "NullFeature": ValueError,
    "OptionError": TypeError,
    "OtherRegistry": RuntimeError,
    "InvalidModel": ValueError,
    "UntrustedModel": PermissionError,
    "ConversionFailed": ValueError,
    "ProofFailed": ValueError,
    "RegistryError": OSError,
    "ScoringFailed": RuntimeError,
    "ModelFailed": RuntimeError,
    "EngineError": RuntimeError,
    "MissingExtra": ImportError,
}


def test_all():
    assert sorted(sqlinfer.__all__) == PUBLIC
    assert all(hasattr(sqlinfer, name) for name in PUBLIC)


def test_every_error_is_listed():
    assert sorted(errors.__all__) == sorted([*BUILTIN, "SqlinferError"])


@pytest.mark.parametrize("name", BUILTIN)
def test_every_error_is_also_a_builtin(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.SqlinferError)
    assert issubclass(error, BUILTIN[name])
    assert str(error("what happened")) == "what happened"


def test_every_error_is_drawn_in_the_tree():
    assert all(name in errors.__doc__ for name in BUILTIN)


@pytest.mark.slow
def test_importing_is_light():
    """No framework and no notebook comes along with ``import sqlinfer``."""
    script = "import sys, sqlinfer; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "sqlinfer" in loaded
    heavy = {
        "sklearn",
        "skl2onnx",
        "xgboost",
        "lightgbm",
        "torch",
        "pandas",
        "polars",
        "IPython",
        "catboost",
        "matplotlib",
    }
    assert not heavy & set(loaded)
