"""A reference names a model: ``churn`` (what its alias ``default`` means), ``churn/3``, ``churn@champion``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlinfer.errors import BadReference

__all__ = ["DEFAULT", "RESERVED", "Reference", "check_name", "is_name"]

DEFAULT = "default"
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_REFERENCE = re.compile(rf"({_NAME})(?:/([1-9][0-9]{{0,8}})|@({_NAME}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """Which model, and how its version is found: by number, or by the alias that points to it."""

    name: str
    version: int | None = None
    alias: str = DEFAULT

    @classmethod
    def parse(cls, text: str) -> Reference:
        match = _REFERENCE.fullmatch(text)
        if not match:
            raise BadReference.of(text)
        name, version, alias = match.groups()
        return cls(name.lower(), int(version) if version else None, (alias or DEFAULT).lower())

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}/{self.version}"
        return self.name if self.alias == DEFAULT else f"{self.name}@{self.alias}"


# predict_label() and predict_proba() are the extension's own functions, for every model.
RESERVED = frozenset({"label", "proba"})


def check_name(name: str) -> str:
    """A model or alias name in its one spelling: lower case, as SQL identifiers are case-insensitive."""
    if not re.fullmatch(_NAME, name, re.ASCII):
        raise BadReference.of(name)
    return name.lower()


def is_name(text: str) -> bool:
    """Whether it is a name in that spelling, and not merely something that lies in the folder of models."""
    return bool(re.fullmatch(_NAME, text, re.ASCII)) and text == text.lower() and text not in RESERVED
