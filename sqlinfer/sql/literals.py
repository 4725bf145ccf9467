"""Values as SQL writes them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["literal", "text_literal"]


def text_literal(value: object) -> str:
    """``it's`` → ``'it''s'``."""
    return "'" + str(value).replace("'", "''") + "'"


def literal(value: Any, type: str = "") -> str:
    """A value of JSON; the numbers of a BLOB are its bytes."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, (list, tuple)):
        return f"unhex('{bytes(value).hex()}')" if type == "BLOB" else f"[{', '.join(map(literal, value))}]"
    return json.dumps(value)
