"""The decoder of images that the native extension carries: with it every engine sees the same pixels."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from sqlinfer.runtime.libraries import EXTENSION_FILE

__all__ = ["Decoder", "native_decoder"]


class _Decoded(ctypes.Structure):
    _fields_ = [
        ("pixels", ctypes.POINTER(ctypes.c_uint8)),
        ("height", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
        ("reason", ctypes.c_char_p),
    ]


class Decoder:
    """PNG and JPEG files → pixels."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._decode: Any = library.sqlinfer_decode_image
        self._free: Any = library.sqlinfer_free_image
        self._count: Any = library.sqlinfer_count_pixels
        decoded = ctypes.POINTER(_Decoded)
        self._decode.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64, decoded]
        self._free.argtypes = [decoded]
        self._count.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self._decode.restype = self._free.restype = None
        self._count.restype = ctypes.c_uint64

    def decode(self, content: bytes, most: int) -> np.ndarray:
        """[height, width, 3], upright. Raises ValueError with the reason why there are no pixels."""
        decoded = _Decoded()
        self._decode(content, len(content), most, ctypes.byref(decoded))
        try:
            if not decoded.pixels:
                raise ValueError((decoded.reason or b"").decode())
            shape = decoded.height, decoded.width, 3
            return np.ctypeslib.as_array(decoded.pixels, shape).copy()
        finally:
            self._free(ctypes.byref(decoded))

    def count_pixels(self, content: bytes) -> int:
        """How many pixels the file says it has; 0 where it does not say."""
        return int(self._count(content, len(content)))


@cache
def native_decoder() -> Decoder | None:
    """None where this installation has no extension, or one of an older checkout."""
    if not EXTENSION_FILE.exists():
        return None
    library = ctypes.CDLL(str(EXTENSION_FILE))
    return Decoder(library) if hasattr(library, "sqlinfer_decode_image") else None
