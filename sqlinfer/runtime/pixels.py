"""The pixels of an image, sized and cut as the model takes them: the steps of its preparation, by Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.errors import MissingExtra
from sqlinfer.models.signature import ImagePreparation, ImageStep

__all__ = ["Steps"]

# Pillow's numbers.
_FILTERS = {"nearest": 0, "lanczos": 1, "linear": 2, "cubic": 3, "box": 4, "hamming": 5}


class Steps:
    """May be called from any thread."""

    def __init__(self, prepare: ImagePreparation) -> None:
        try:
            from PIL import Image
        except ImportError as error:
            raise MissingExtra.of("pillow", "image", "a model that takes images of one size") from error
        self._library: Any = Image
        self._prepare = prepare

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """[height, width, 3] → [height, width, channels]. Raises ValueError with the reason why nothing is left."""
        image = self._library.fromarray(pixels).convert(self._prepare.mode)
        for step in self._prepare.steps:
            if step.do in ("resize", "shorter"):
                image = self._resized(image, step)
            else:
                image = self._library.fromarray(self._cut(np.asarray(image), step))
        pixels = np.asarray(image)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """What becomes of that size."""
        for step in self._prepare.steps:
            height, width = _size_after(step, height, width)
        return height, width

    def _resized(self, image: Any, step: ImageStep) -> Any:
        height, width = _size_after(step, image.height, image.width)
        filter, _, across = step.how.partition(" ")
        # Pillow 13 reduces the rows first where that is cheaper, others never: two calls are the same with each
        flattened = not across and image.height - height > max(0, 2 * (image.width - width))
        between = (image.width, height) if flattened else (width, image.height)
        most = self._prepare.pixels
        for how, (wide, high) in (("to", (width, height)), ("by way of", between)):
            if wide * high > most:
                size = f"{wide} x {high} pixels"
                raise ValueError(f"it would be resized {how} {size}, more than the {most} that are accepted")
        for to in [(width, height)] if filter == "nearest" else [between, (width, height)]:
            image = image.resize(to, resample=_FILTERS[filter])
        return image

    def _cut(self, pixels: np.ndarray, step: ImageStep) -> np.ndarray:
        """The middle of [height, width, …], with zeros where the image is smaller."""
        height, width = _size_after(step, *pixels.shape[:2])
        if not height * width:
            raise ValueError("nothing is left of it when its middle is cut out")
        if height * width > self._prepare.pixels:
            size = f"{width} x {height} pixels"
            raise ValueError(f"its middle would be {size}, more than the {self._prepare.pixels} that are accepted")
        top, left = _start(pixels.shape[0], height, step.how), _start(pixels.shape[1], width, step.how)
        y, x = max(-top, 0), max(-left, 0)
        part = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        result = np.zeros((height, width, *pixels.shape[2:]), np.uint8)
        result[y : y + part.shape[0], x : x + part.shape[1]] = part
        return result


def _size_after(step: ImageStep, height: int, width: int) -> tuple[int, int]:
    shorter = max(min(height, width), 1)
    if step.do == "shorter":
        return int(step.size[0]) * height // shorter, int(step.size[0]) * width // shorter
    high, wide = step.size
    return (int(high * shorter), int(wide * shorter)) if step.do == "share" else (int(high), int(wide))


def _start(side: int, size: int, how: str) -> int:
    """Where the middle begins; below zero in an image that is smaller."""
    if how == "even" and side >= size:
        return round((side - size) / 2)
    return (side - size) // 2 if how == "floor" else int((side - size) / 2)
