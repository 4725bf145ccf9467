"""Values as SQL writes them."""

from __future__ import annotations

__all__ = ["text_literal"]


def text_literal(value: object) -> str:
    """``it's`` → ``'it''s'``."""
    return "'" + str(value).replace("'", "''") + "'"
