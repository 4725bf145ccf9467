"""The options of CREATE MODEL, which are those of register(), and what their values may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sqlinfer.errors import StatementError

__all__ = ["MODEL_OPTIONS", "option_value"]


def _text(value: Any) -> Any:
    return value if isinstance(value, str) and value.strip() else None


def _flag(value: Any) -> Any:
    words = {"true": True, "false": False, "1": True, "0": False}
    return words.get(str(value).lower()) if isinstance(value, (bool, int, str)) else None


def _number(value: Any) -> Any:
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return value if is_number and not isinstance(value, Decimal) else float(value) if is_number else None


def _count(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _numbers(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        numbers = [_number(one) for one in value]
        return tuple(numbers) if numbers and None not in numbers else None
    number = _number(value)
    return None if number is None else (float(number),)


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    return list(value) if is_list and all(isinstance(one, str) and one for one in value) else None


def _labels(value: Any) -> Any:
    """A text may name a file."""
    if isinstance(value, (list, tuple)):
        return list(value) if value and all(isinstance(one, (str, int, bool)) for one in value) else None
    return _text(value)


def _policies(value: Any) -> Any:
    """The policy of a NULL is called null, which is SQL's NULL where it is not quoted."""
    if isinstance(value, Mapping):
        return {name: "null" if one is None else one for name, one in value.items()} or None
    if isinstance(value, (list, tuple)):
        return None
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _axes(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        return None
    axes = {name: None if str(axis).lower() == "none" else axis for name, axis in value.items()}
    return axes if all(axis is None or _count(axis) is not None for axis in axes.values()) else None


def _values(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) and value else None


def _resize(value: Any) -> Any:
    return _text(value) or _count(value)


_PATH = (_text, "a path in quotes")
_YES = (_flag, "true or false")
_SOME = (_numbers, "a number, or one for each channel: [0.485, 0.456, 0.406]")
_Reads = tuple[Callable[[Any], Any], str]
# What reads a value, with None for what cannot be one, and what the value is, in words.
MODEL_OPTIONS: dict[str, _Reads] = {
    "model_path": _PATH,
    "model_type": (_text, "'ONNX' or 'XGBOOST'"),
    "sample": (_text, "a file in quotes, a table, or a query in parentheses"),
    "features": (_texts, "a list of names: ['age', 'income']"),
    "labels": (_labels, "a list of labels, ['no', 'yes'], or a file of them"),
    "null": (_policies, "'null', 'nan', 'error' or a value, for all features or by name: {'age': 'nan'}"),
    "target": (_text, "the name of a column"),
    "profile": _YES,
    "batch_axis": (_axes, "the axis of rows by input: {'tokens': 0, 'rate': NULL}"),
    "constants": (_values, "values by input: {'rate': 16000}"),
    "row_by_row": _YES,
    "together": _YES,
    "promote": _YES,
    "trials": (_count, "a number of rows"),
    "time_limit": (_number, "a number of seconds"),
    "memory_limit": (_text, "a size in quotes: '8GB'"),
    "tokenizer": _PATH,
    "max_length": (_count, "a number of tokens"),
    "pool": (_text, "'mean', 'cls' or 'none'"),
    "normalize": _YES,
    "softmax": _YES,
    "sigmoid": _YES,
    "image": _YES,
    "preprocessor": _PATH,
    "channels": (_text, "'rgb', 'bgr' or 'gray'"),
    "resize": (_resize, "'stretch', 'crop' or a number of pixels"),
    "interpolation": (_text, "'linear', 'cubic', 'nearest', 'lanczos', 'box' or 'hamming'"),
    "scale": (_number, "a number"),
    "mean": _SOME,
    "std": _SOME,
}


def option_value(name: str, value: Any) -> Any:
    """The value as register() takes it. Raises StatementError."""
    read, words = MODEL_OPTIONS[name]
    found = read(value)
    if found is None:
        raise StatementError(f"{name} is {words}")
    return found
