"""What the native extension does for every engine: it decodes images, so that all see the same pixels, and knows which
files ONNX Runtime is not to be given."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from sqlinfer.installation import EXTENSION_FILE

__all__ = ["Extension", "extension"]


class _Decoded(ctypes.Structure):
    _fields_ = [
        ("pixels", ctypes.POINTER(ctypes.c_uint8)),
        ("height", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
        ("reason", ctypes.c_char_p),
    ]


class Extension:
    """Its functions, which let go of Python's lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        decoded = ctypes.POINTER(_Decoded)
        content = [ctypes.c_char_p, ctypes.c_size_t]
        self._decode = _function(library.sqlinfer_decode_image, None, *content, ctypes.c_uint64, decoded)
        self._free_image = _function(library.sqlinfer_free_image, None, decoded)
        self._size = _function(library.sqlinfer_image_size, ctypes.c_uint64, *content)
        self._refuse = _function(library.sqlinfer_refuse_trees, ctypes.c_void_p, *content)
        self._free_text = _function(library.sqlinfer_free_text, None, ctypes.c_void_p)

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
            self._free_image(ctypes.byref(decoded))

    def size(self, content: bytes) -> tuple[int, int]:
        """Height and width, as the file says them; zeros where it does not."""
        height, width = divmod(self._size(content, len(content)), 1 << 32)
        return int(height), int(width)

    def refuse_trees(self, model: bytes) -> str | None:
        """Why the trees of a model are not to be given to ONNX Runtime; None where they may be."""
        text = self._refuse(model, len(model))
        try:
            return ctypes.string_at(text).decode() if text else None
        finally:
            self._free_text(text)


def _function(function: Any, answer: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = answer, list(arguments)
    return function


@cache
def extension() -> Extension | None:
    """None where this installation has none, or one of an older checkout."""
    if not EXTENSION_FILE.exists():
        return None
    library = ctypes.CDLL(str(EXTENSION_FILE))
    return Extension(library) if hasattr(library, "sqlinfer_image_size") else None
