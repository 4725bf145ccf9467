"""The process that tries files: whatever is done in it, the caller gets an answer or an error, and goes on."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sqlinfer.errors import FeatureError, InvalidModel, SqlinferError
from sqlinfer.progress import step
from sqlinfer.registration.sandbox import _START, Limits, Worker
from tests.processes import HANG

pytestmark = pytest.mark.slow

AMPLE = Limits(HANG, 2_000_000_000)
FEW_SECONDS = Limits(1, 2_000_000_000)


@pytest.fixture(scope="module")
def shared():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def call(shared):
    return lambda function, *args, limits=AMPLE: shared.call(function, *args, about="x.onnx", limits=limits)


class LateToRead:
    """What stands for packages that a busy machine takes long to import."""

    def __reduce__(self):
        return time.sleep, (3,)


def where():
    return os.getpid(), str(Path.cwd()), os.environ.get("SQLINFER_TEST")


def crash():
    step("jumping")
    ctypes.string_at(0)


def hang_with_the_interpreter_locked():
    max(itertools.repeat(0))


def take(size):
    return len(bytearray(size))


def fail(error):
    raise error


def fail_peculiarly():
    raise Peculiar("this", "that")


def give(kind):
    return (i for i in range(3)) if kind == "no pickle" else kind


def shout():
    print("noise", flush=True)
    os.write(1, b"more noise")
    return "quiet"


def leave(code):
    os._exit(code)


class Peculiar(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_it_is_another_process_and_the_same_one_each_time(call):
    first, again = call(where), call(where)
    assert first[0] == again[0] != os.getpid()


def test_it_sees_the_folder_and_the_environment_of_the_moment(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQLINFER_TEST", "yes")
    assert call(where)[1:] == (str(tmp_path), "yes")
    monkeypatch.delenv("SQLINFER_TEST")
    assert call(where)[2] is None


def test_a_crash_is_an_error_that_says_where(call):
    with pytest.raises(InvalidModel, match=r"x\.onnx took down .*SIGSEGV.*while jumping; nothing was stored"):
        call(crash)
    assert call(give, 1) == 1


def test_an_exit_is_an_error(call):
    with pytest.raises(InvalidModel, match="exit code 0x7"):
        call(leave, 7)


@pytest.mark.parametrize(("function", "args"), [(time.sleep, (100_000,)), (hang_with_the_interpreter_locked, ())])
def test_a_hang_ends_at_the_limit(call, function, args):
    with pytest.raises(InvalidModel, match="given up after 1 seconds"):
        call(function, *args, limits=FEW_SECONDS)
    assert call(give, 1) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count what a process takes")
def test_memory_beyond_the_limit_is_an_error(call):
    pid = call(where)[0]
    with pytest.raises(InvalidModel, match=r"needs more than 0\.5 GB of memory"):
        call(take, 1_000_000_000, limits=Limits(HANG, 500_000_000))
    assert call(take, 1_000_000_000) == 1_000_000_000
    assert call(where)[0] == pid, "it need not die of it"


def test_errors_arrive_as_they_are(call):
    pid = call(where)[0]
    with pytest.raises(FeatureError, match="no such feature"):
        call(fail, FeatureError("no such feature"))
    with pytest.raises(TypeError, match="words") as found:
        call(fail, TypeError("words"))
    assert "in fail\n" in found.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Peculiar: this and that"):
        call(fail_peculiarly)
    with pytest.raises(SystemExit):
        call(fail, SystemExit(3))
    assert call(where)[0] == pid


def test_what_cannot_be_sent_is_an_error(call):
    with pytest.raises(TypeError, match="generator"):
        call(give, "no pickle")
    with pytest.raises(TypeError, match="generator"):
        call(len, (i for i in range(3)))
    assert call(give, 1) == 1


def test_what_is_printed_is_no_answer(call):
    assert call(shout) == "quiet"


def test_steps_are_logged(call, caplog):
    with caplog.at_level(logging.INFO, "sqlinfer"):
        call(step, "thinking")
    assert caplog.messages == ["thinking"]


def test_one_that_has_left_is_replaced(shared, call):
    pid = call(where)[0]
    shared._process.kill()
    assert call(where)[0] != pid


def test_a_request_may_take_long_to_read(monkeypatch):
    impatient = "import sqlinfer.registration.sandbox.serve as module\nmodule._IDLE_SECONDS = 1\nserve("
    monkeypatch.setattr("sqlinfer.registration.sandbox._START", _START.replace("serve(", impatient))
    worker = Worker()
    try:
        assert worker.call(repr, LateToRead(), about="x.onnx", limits=AMPLE) == "None"
    finally:
        worker.close()


def test_threads_queue(call):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: call(give, i), range(40))) == list(range(40))


def test_a_fork_gets_one_of_its_own(call):
    pid = call(where)[0]
    child = os.fork()
    if not child:
        os._exit(int(call(where)[0] != pid and call(give, 1) == 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert call(where)[0] == pid


def test_an_interrupt_ends_the_call(shared, call, monkeypatch):
    call(where)
    process = shared._process
    monkeypatch.setattr(shared, "_reply", lambda *args: fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        call(time.sleep, 100_000)
    assert process.poll() is not None


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing tells that a parent is gone")
def test_an_orphan_leaves():
    program = (
        "import os, time\nfrom sqlinfer.registration.sandbox import Limits, Worker\nworker = Worker()\n"
        "how = {'about': 'x.onnx', 'limits': Limits(100_000, 2_000_000_000)}\n"
        "print(worker.call(os.getpid, **how), flush=True)\nworker.call(time.sleep, 100_000, **how)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    parent.communicate(timeout=HANG)  # its stderr ends when the worker, which has it too, is gone


def test_a_program_that_is_no_python_is_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SqlinferError, match="could not be started with '/bin/false'"):
        Worker().call(where, about="x.onnx", limits=AMPLE)


@pytest.mark.parametrize("text", ["8", "8 G", "much", "-1GB", ""])
def test_limits_that_are_none(text):
    with pytest.raises(ValueError, match="memory_limit"):
        Limits.of(300, text)


def test_limits():
    assert Limits.of(2, "1.5GB") == Limits(2.0, 1_500_000_000)
    assert Limits.of(0.5, "2 GiB").memory == 2**31
    with pytest.raises(ValueError, match="time_limit"):
        Limits.of(0, "1GB")
