"""The classes of a framework's classifier as SQL labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.models.signature import Label

__all__ = ["label_type_of", "labels_of"]


def labels_of(classes: Any) -> tuple[tuple[Label, ...], str | None]:
    """The labels in the order of the scores, and their SQL type; nothing for several outputs or no classes."""
    if classes is None or isinstance(classes, list):
        return (), None
    labels = tuple(label.item() if isinstance(label, np.generic) else label for label in classes)
    if all(isinstance(label, float) and label.is_integer() for label in labels):  # a column 0.0, 1.0 …
        labels = tuple(map(int, labels))
    return labels, label_type_of(labels)


def label_type_of(labels: tuple[Label, ...]) -> str:
    if all(isinstance(label, bool) for label in labels):
        return "BOOLEAN"
    return "BIGINT" if all(isinstance(label, int) for label in labels) else "VARCHAR"
