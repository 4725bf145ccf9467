"""The extension where DuckDB looks for it, so that ``LOAD sqlinfer`` finds it in any program of this user, whatever
becomes of the virtual environment. DuckDB's own INSTALL puts it there, for each version that is here."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import duckdb

from sqlinfer.engines.native import extension_path
from sqlinfer.errors import EngineError
from sqlinfer.installation import onnxruntime_library
from sqlinfer.sql.literals import text_literal

__all__ = ["Installed", "duckdb_programs", "install_extension"]

_PLACE = "SELECT install_path FROM duckdb_extensions() WHERE extension_name = 'sqlinfer'"
_VERSION = "SELECT library_version FROM pragma_version()"
Installed = tuple[str, Path]


def duckdb_programs() -> list[str]:
    """The program of the package duckdb-cli, and the one on the PATH."""
    spec = importlib.util.find_spec("duckdb_cli")
    packaged = Path(spec.origin).parent / "duckdb" if spec is not None and spec.origin else None
    found = [str(packaged)] if packaged is not None and packaged.exists() else []
    on_path = shutil.which("duckdb")
    return [*found, on_path] if on_path is not None and on_path not in found else found


def install_extension() -> list[Installed]:
    """The versions of DuckDB that have it now, and where: that of this Python, and those of the programs. ONNX Runtime
    lies beside it. Raises EngineError."""
    statements = [f"FORCE INSTALL {text_literal(extension_path())}", f"{_VERSION}", f"{_PLACE}"]
    found = dict([_in_python(statements), *(_in_program(program, statements) for program in duckdb_programs())])
    for place in found.values():
        _put(onnxruntime_library(), place.parent)
    return sorted(found.items())


def _in_python(statements: Sequence[str]) -> Installed:
    install, *questions = statements
    try:
        with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as con:
            con.execute(install)
            version, place = (str(value) for question in questions for (value,) in con.execute(question).fetchall())
    except (duckdb.Error, ValueError) as error:
        raise EngineError(f"DuckDB {duckdb.__version__} does not install the extension: {_line(error)}") from error
    return version, Path(place)


def _in_program(program: str, statements: Sequence[str]) -> Installed:
    install, version, place = statements
    both = f"SELECT ({version}) AS version, ({place}) AS place"
    command = [program, "-init", os.devnull, "-unsigned", "-json", "-c", f"{install}; {both}"]
    ran = subprocess.run(command, capture_output=True, text=True)
    try:
        (row,) = json.loads(ran.stdout)
        return str(row["version"]), Path(row["place"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{program} does not install the extension: {_line(ran.stderr)}") from error


def _put(library: Path, folder: Path) -> None:
    """A copy, which replaces the one that a running program may have open."""
    draft = folder / f".{library.name}.{os.getpid()}"
    shutil.copyfile(library, draft)
    for old in folder.glob(f"{library.name.split('.')[0]}.*"):
        if old.name != library.name:
            old.unlink()
    draft.replace(folder / library.name)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
