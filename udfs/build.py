"""Build the DuckDB extension: cargo build --release, then DuckDB's metadata footer behind the library.

python build.py [--output sqlinfer.duckdb_extension] [--jobs N] [--if-possible]

Footer: a small custom-section header, then 8 fields of 32 bytes, NUL padded, in this order on disk: three reserved,
ABI type, extension version, API version, platform, "4"; then 256 bytes of signature, zero for an unsigned extension.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ABI, API = "C_STRUCT", "v1.5.6"
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
SYSTEMS = {"linux": ("linux", "libsqlinfer.so"), "darwin": ("osx", "libsqlinfer.dylib")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the sqlinfer extension of DuckDB.")
    parser.add_argument("--output", type=Path, default=HERE.parent / "sqlinfer" / "sqlinfer.duckdb_extension")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--if-possible", action="store_true", help="without cargo, go without an extension")
    options = parser.parse_args()
    if reason := why_not():
        print(f"no native extension: {reason}", file=sys.stderr)
        sys.exit(0 if options.if_possible else 1)
    library, duckdb_platform = place()
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--jobs", str(options.jobs)]
    command += ["--target-dir", str(HERE / "target")]
    print("building the native extension with cargo (a few minutes the first time)", flush=True)
    try:
        subprocess.run(command, cwd=HERE, check=True)
    except subprocess.CalledProcessError as error:
        print("the native extension does not build (SQLINFER_NATIVE=0 goes on without it)", file=sys.stderr)
        sys.exit(error.returncode)
    write(library.read_bytes() + footer(duckdb_platform), options.output)
    print(f"{options.output} ({duckdb_platform}, {options.output.stat().st_size / 1e6:.1f} MB)")


def why_not() -> str | None:
    if sys.platform not in SYSTEMS or platform.machine().lower() not in MACHINES:
        return f"there is one for Linux and macOS, not for {sys.platform} on {platform.machine()}"
    if shutil.which("cargo") is None:
        return "cargo is not installed; get Rust 1.89 or later, and run this again"
    return None


def place() -> tuple[Path, str]:
    """Where cargo leaves the library, and what DuckDB calls this platform."""
    system, library = SYSTEMS[sys.platform]
    return HERE / "target" / "release" / library, f"{system}_{MACHINES[platform.machine().lower()]}"


def footer(duckdb_platform: str) -> bytes:
    header = bytes([0x00, 0x93, 0x04, 0x10]) + b"duckdb_signature" + bytes([0x80, 0x04])
    fields = ["", "", "", ABI, f"v{version()}", API, duckdb_platform, "4"]
    return header + b"".join(field.encode().ljust(32, b"\0") for field in fields) + bytes(256)


def version() -> str:
    found = re.search(r'^version = "(.+)"$', (HERE / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "0.0.0"


def write(content: bytes, output: Path) -> None:
    """In one step: a database may have the old file loaded, and must keep it. What is the same stays the same file, of
    which no process loads a second."""
    if output.exists() and output.read_bytes() == content:
        os.utime(output)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(output)


if __name__ == "__main__":
    main()
