"""Nothing is told to anybody: no socket is opened, and nothing is written outside of the registry."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import sqlinfer

_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # the architecture for seccomp, and socket(2)
_AF_UNIX = 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in _SOCKET,
        reason="the system has no seccomp that is known here",
    ),
]


def kill_at_sockets():
    """From here on the system kills the process when it opens a socket that could reach another machine."""
    machine, number = _SOCKET[platform.machine()]
    load, equal, answer, kill, allow = 0x20, 0x15, 0x06, 0x80000000, 0x7FFF0000
    program = [
        (load, 0, 0, 4), (equal, 0, 5, machine),
        (load, 0, 0, 0), (equal, 0, 3, number),
        (load, 0, 0, 16), (equal, 1, 0, _AF_UNIX),
        (answer, 0, 0, kill),
        (answer, 0, 0, allow),
    ]  # fmt: skip
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(Program(len(program), ctypes.addressof(buffer)))) == 0  # PR_SET_SECCOMP


@pytest.fixture
def alone(tmp_path, onnx_file):
    """``alone(command)``: what it prints, in a home of its own and without a way to other machines; nothing is written
    there but the registry."""
    registry = tmp_path / "registry"
    sqlinfer.register("m", onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"), registry=registry)
    home = tmp_path / "user"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment = {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "SQLINFER_HOME": str(registry)}

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=kill_at_sockets)
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert not [path for path in home.rglob("*") if path.is_file()]
        return done.stdout

    return run


ASK = """
import sqlinfer
with sqlinfer.connect(engine={engine!r}) as con:
    con.execute("SET enable_progress_bar = false")
    print(con.execute("SELECT sum(predict('m', i)) FROM range(5) t(i)").fetchall())
"""


def test_python_tells_nothing(alone, engine):
    assert alone(sys.executable, "-c", ASK.format(engine=engine)) == "[(-10.0,)]\n"


def test_a_runtime_that_was_loaded_before_is_told_so(engine):
    """What it writes when it is loaded, it has written, and may send."""
    script = """
import onnxruntime
tell = onnxruntime.disable_telemetry_events
onnxruntime.disable_telemetry_events = lambda: print("told", tell())
import sqlinfer
sqlinfer.connect(engine={engine!r})
"""
    done = subprocess.run([sys.executable, "-c", script.format(engine=engine)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "told None\n"), done.stderr


def test_the_shell_and_the_command_line_tell_nothing(alone):
    program = str(Path(sysconfig.get_path("scripts")) / "sqlinfer")
    sql = "SELECT sum(predict_m(i)) FROM range(5) t(i)"
    assert alone(program, "shell", "-csv", "-noheader", "-c", sql).strip() == "-10.0"
    assert alone(program, "query", sql.replace("predict_m(", "predict('m', "), "-f", "csv").splitlines()[1] == "-10.0"


def test_a_socket_would_be_the_end(alone):
    with pytest.raises(AssertionError, match="-31"):  # SIGSYS
        alone(sys.executable, "-c", "import socket; socket.socket()")
