"""Build the native extension with the package, where cargo is there; the package is whole without it.

SQLINFER_NATIVE=1 makes a missing or failing build an error, SQLINFER_NATIVE=0 forbids it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface):
    """Puts sqlinfer.duckdb_extension into the package and tags the wheel for this platform when it does."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("SQLINFER_NATIVE", "")
        target = Path(self.root) / "sqlinfer" / "sqlinfer.duckdb_extension"
        if self.target_name != "wheel" or wanted == "0":
            return
        if shutil.which("cargo") is None:
            if wanted == "1":
                raise RuntimeError("SQLINFER_NATIVE=1, but cargo is not installed")
            self.app.display_warning("no cargo: installing the pure Python package, without the native extension")
            return
        self.app.display_info("building the native extension with cargo (a few minutes the first time)")
        command = [sys.executable, str(Path(self.root) / "udfs" / "build.py"), "--output", str(target)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            if wanted == "1":
                raise RuntimeError(f"the native extension does not build:\n{built.stdout}{built.stderr}")
            self.app.display_warning(f"the native extension does not build; going on without:\n{built.stderr[-2000:]}")
            return
        build_data["artifacts"].append("sqlinfer/sqlinfer.duckdb_extension")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
