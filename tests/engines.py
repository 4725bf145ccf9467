"""The engines that all cases hold to the same answers. One that is missing is said, and an error in .ci/run."""

from __future__ import annotations

from pathlib import Path

from sqlinfer.installation import EXTENSION_FILE

__all__ = ["ENGINES", "REQUIRED", "native_problem"]

# Environment variable, as udfs/hatch_build.py has it: with 1 there is no going without the native engine.
REQUIRED = "SQLINFER_NATIVE"
_UDFS = Path(__file__).parents[1] / "udfs"


def native_problem(extension: Path = EXTENSION_FILE, udfs: Path = _UDFS) -> str | None:
    """Why the cases do not, or not really, run on the native engine: it is not built, or not from these sources."""
    if not extension.exists():
        return f"there is no {extension.name}, so nothing ran on the native engine: build it with 'make native'"
    sources = [*udfs.glob("src/**/*.rs"), *udfs.glob("Cargo.*"), udfs / "build.py"]
    newer = [path for path in sources if path.stat().st_mtime > extension.stat().st_mtime]
    if newer:
        return f"{extension.name} is older than {newer[0].relative_to(udfs.parent)}: build it with 'make native'"
    return None


ENGINES = ["arrow", *(["native"] if EXTENSION_FILE.exists() else [])]
