"""Texts and images that cannot be read, and work space that is not there."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.errors import FeatureError
from sqlinfer.models.signature import Feature, TextPreparation

__all__ = ["Unreadable", "is_room"]


class Unreadable(FeatureError):
    def __init__(self, feature: Feature, reason: str) -> None:
        super().__init__(f"feature {feature.name!r}: {_WHAT[_is_text(feature)]} cannot be read: {reason}")
        self.feature, self.reason = feature, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Unreadable, (self.feature, self.reason)

    def error(self, model: str) -> FeatureError:
        """What the query is told."""
        phrase = FeatureError.text if _is_text(self.feature) else FeatureError.image
        return phrase(model, self.feature.name, self.reason)


def _is_text(feature: Feature) -> bool:
    return isinstance(feature.prepare, TextPreparation)


_WHAT = {True: "a text", False: "an image"}


def is_room(size: int) -> bool:
    """Whether so many bytes are to be had: libraries abort the process where an allocation fails. They are given back
    at once, so that somebody else may take them first."""
    try:
        np.empty(size, np.uint8)
    except MemoryError:
        return False
    return True
