"""The classes of a framework's classifier as SQL labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.errors import CallError, ConversionFailed, named
from sqlinfer.models.signature import Label, label_texts

__all__ = ["label_of", "label_type_of", "labels_of"]

_SHOWN = 6


def labels_of(classes: Any) -> tuple[tuple[Label, ...], str | None]:
    """The labels in the order of the scores, and their SQL type; nothing for several outputs or no classes.

    Raises ConversionFailed for classes that no label in SQL can be.
    """
    if classes is None or isinstance(classes, list):
        return (), None
    labels = tuple(label.item() if isinstance(label, np.generic) else label for label in classes)
    if all(isinstance(label, float) and label.is_integer() for label in labels):  # a column 0.0, 1.0 …
        labels = tuple(map(int, labels))
    if not all(isinstance(label, (str, bool)) or _is_bigint(label) for label in labels):
        raise ConversionFailed(
            f"the classes of the model are {named(labels, _SHOWN)}, and labels in SQL are whole numbers below 2^63, "
            "texts or booleans; train it on such, for example on the classes as texts"
        )
    return labels, label_type_of(labels)


def label_of(model: str, labels: tuple[Label, ...], call: str, class_: Label) -> Label:
    """The class that is meant, which may be given as text, of the answer to a call. Raises CallError."""
    if call != "predict_proba":
        raise CallError(f"a class is for predict_proba(), which has a probability of each: {call}() has none")
    texts = label_texts(labels)
    (asked,) = label_texts((class_,))
    if asked not in texts:
        raise CallError.no_class(model, asked, texts)
    return labels[texts.index(asked)]


def _is_bigint(label: Any) -> bool:
    return isinstance(label, int) and -(2**63) <= label < 2**63


def label_type_of(labels: tuple[Label, ...]) -> str:
    if all(isinstance(label, bool) for label in labels):
        return "BOOLEAN"
    return "BIGINT" if all(isinstance(label, int) for label in labels) else "VARCHAR"
