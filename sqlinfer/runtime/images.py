"""Image files → pixels, sized and cut as the model takes them. What is done with the values is the graph's business."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import MissingExtra
from sqlinfer.models.signature import Feature, ImagePreparation
from sqlinfer.runtime.extension import Extension, extension
from sqlinfer.runtime.nested import Cells
from sqlinfer.runtime.pixels import Steps
from sqlinfer.runtime.unreadable import Unreadable

__all__ = ["ImagePreparer"]

# Nobody means that, and a scale of another kind would not be the libraries' own answer.
_DEEP_GREY = "it is grey of 16 bits, most of which Pillow, and what prepares images with it, makes white: write 8 bits"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


class ImagePreparer:
    """Reads the images of one feature. May be called from any thread.

    By the extension's decoder, where it is there: others decode sound files alike, and damaged ones each in its way.
    ``plain``: by Pillow's, whatever is there.
    """

    def __init__(self, feature: Feature, *, plain: bool = False) -> None:
        assert isinstance(feature.prepare, ImagePreparation)
        self._feature = feature
        self._tensor = feature.tensor
        self._most = feature.prepare.pixels
        self._decoder: Extension | _Pillow = _Pillow() if plain else extension() or _Pillow()
        as_decoded = feature.prepare.mode == "RGB" and not feature.prepare.steps
        self._steps = None if as_decoded else Steps(feature.prepare)

    def __call__(self, images: pa.Array) -> dict[str, Cells]:
        """Raises Unreadable."""
        pixels = [self._read(content) for content in images.to_pylist()]
        shapes = np.array([image.shape for image in pixels], np.int64).reshape(-1, 3)
        values = np.concatenate([image.ravel() for image in pixels])
        return {self._tensor: Cells(values, shapes.prod(axis=1), shapes)}

    def bytes_of(self, content: bytes | None) -> int:
        """How much memory the pixels will take, of the file or of the tensor; an image that cannot be read takes
        none."""
        height, width = self._decoder.size(content or b"")
        last_height, last_width = self._steps.size_of(height, width) if self._steps else (height, width)
        return min(max(height * width, last_height * last_width), self._most) * 3 if height * width else 0

    def _read(self, content: bytes) -> np.ndarray:
        try:
            pixels = self._decoder.decode(content, self._most)
            return self._steps(pixels) if self._steps else pixels
        except (ValueError, MemoryError) as error:
            raise Unreadable(self._feature, str(error)) from error


class _Pillow:
    """In an installation without the extension."""

    def __init__(self) -> None:
        try:
            from PIL import Image, ImageOps
        except ImportError as error:
            raise MissingExtra.of("pillow", "image", "a model that takes images") from error
        self._open: Any = Image.open
        self._upright: Any = ImageOps.exif_transpose

    def decode(self, content: bytes, most: int) -> np.ndarray:
        """As `Extension.decode`."""
        if not content.startswith((_PNG, _JPEG)):
            raise ValueError("it is neither PNG nor JPEG")
        try:
            with self._open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                count = image.width * image.height
                deep = image.mode.startswith("I")
                if count <= most and not deep:
                    image.load()
                    return np.asarray(self._upright(image).convert("RGB"))
                size = f"{image.width} x {image.height} pixels"
        except Exception as error:  # Pillow's exceptions for damaged files share no base class but Exception
            raise ValueError(f"it is damaged: {error}") from error
        raise ValueError(_DEEP_GREY if count <= most else f"{size} are more than the {most} that are accepted")

    def size(self, content: bytes) -> tuple[int, int]:
        """As `Extension.size`."""
        try:
            with self._open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                return int(image.height), int(image.width)
        except Exception:  # it is reported when it is read
            return 0, 0
