"""Image files that no sample shows: of other modes, sizes and shapes, turned, damaged, and what is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlinfer.errors import MissingExtra
from sqlinfer.models.signature import Feature, ImagePreparation, Signature

__all__ = ["odd_images"]

_MODES = ("RGB", "L", "LA", "P", "RGBA", "1")
_SIZES = ((1, 1), (2, 3), (37, 53), (5, 151), (151, 5), (150, 200))
_OWN = (48, 64)
_TURNED = 0x0112  # the tag of EXIF that says how


def odd_images(signature: Signature, feature: Feature) -> list[bytes]:
    """For a feature that takes images; always the same. Raises MissingExtra."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra.of("pillow", "image", "images to try a model with") from error
    assert isinstance(feature.prepare, ImagePreparation)
    # what is not resized has the model's own size
    sides = signature.input(feature.tensor).shape[1:3] if not feature.prepare.steps else (None, None)
    own = (sides[0] or _OWN[0], sides[1] or _OWN[1])
    return list(_files(Image, own))


def _files(library: Any, own: tuple[int, int]) -> Iterator[bytes]:
    picture = _drawing(library, *own)
    yield from (_file(picture.convert(mode), "PNG") for mode in _MODES)
    yield from (_file(picture.convert(mode), "JPEG", quality=80) for mode in ("RGB", "L", "CMYK"))
    yield _file(picture, "JPEG", quality=40, progressive=True, subsampling=2)
    yield _file(picture.quantize(9), "PNG", transparency=2)
    yield _file(library.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG")
    for turned in (3, 6):
        exif = library.Exif()
        exif[_TURNED] = turned
        yield _file(picture, "JPEG", exif=exif)
    for height, width in _SIZES:
        yield _file(_drawing(library, height, width), "PNG")
        yield _file(_drawing(library, height, width), "JPEG")
    yield from (_file(library.new("RGB", own[::-1], colour), "PNG") for colour in ("black", "white"))
    whole = _file(picture, "PNG")
    yield from (b"", b"GIF89a", whole[:8], whole[: len(whole) // 2], _file(picture, "JPEG")[: len(whole) // 3])


def _drawing(library: Any, height: int, width: int) -> Any:
    """A gradient, noise in a part of it, and edges."""
    random = np.random.default_rng(0)
    values = np.indices((height, width)).sum(axis=0)[:, :, None] * np.array([3, 5, 7])
    values[: height // 2, width // 3 :] += random.integers(0, 90, (height // 2, width - width // 3, 3))
    values[height // 3 :: 5] += 120
    return library.fromarray((values % 256).astype(np.uint8))


def _file(image: Any, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()
