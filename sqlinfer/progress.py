"""What registration is doing: an error names the last step, and the logger ``sqlinfer`` has them all (INFO)."""

from __future__ import annotations

import logging

__all__ = ["step"]

_log = logging.getLogger("sqlinfer")


def step(text: str) -> None:
    """``text``: what is done from now on, as in "loading it into ONNX Runtime"."""
    _log.info(text)
