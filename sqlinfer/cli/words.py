"""Errors name an option as the command has it, and in parentheses as Python has it; a terminal has commands."""

from __future__ import annotations

import re

__all__ = ["for_the_terminal"]

_PYTHONS = re.compile(r"(--[a-z][a-z-]*[^()]{0,200}?) \([a-z_]+=[^()]*(?:\([^()]*\)[^()]*)*\)")
_AND_PYTHONS = re.compile(r"\((--[a-z-]+), [a-z_]+=[^()]*\)")


def for_the_terminal(message: str) -> str:
    """``--labels no,yes (labels=['no', 'yes'])`` → ``--labels no,yes``."""
    return _PYTHONS.sub(r"\1", _AND_PYTHONS.sub(r"(\1)", message))
