"""Print pyproject.toml's lower bounds as constraints of pip: what `make floors` installs, so that they stay true."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# torch is gigabytes, and `make check` takes the newest tools
LEFT_OUT = {"sqlinfer", "torch", "mypy", "ruff"}


def floors(pyproject: Path = PYPROJECT) -> dict[str, str]:
    """The lowest version of each package. Raises ValueError where none is stated, or where extras state two."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    found: dict[str, str] = {}
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        if requirement.name in LEFT_OUT:
            continue
        bounds = [bound.version for bound in requirement.specifier if bound.operator in (">=", "==")]
        if len(bounds) != 1 or found.setdefault(requirement.name, bounds[0]) != bounds[0]:
            raise ValueError(f"pyproject.toml does not state one lowest version of {requirement.name}: {text}")
    return found


if __name__ == "__main__":
    print(*(f"{name}=={version}" for name, version in floors().items()), sep="\n")
