"""Ctrl-C while a query runs."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlinfer.engines.running import on_thread

__all__ = ["deferred", "listening"]


class _Listener:
    """A thread that hears of SIGINT as it arrives. Python's handlers wait until the main thread is back from DuckDB,
    which looks for signals only between the runs of a model, or not at all."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._taking = threading.Lock()
        self.number = self._writing.fileno()
        self.before = -1
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        main = threading.main_thread().ident or 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._reading, selectors.EVENT_READ)
            while selector.select():
                with self._taking:
                    running = on_thread(main) if signal.SIGINT in self._take() else None
                    if running is not None:
                        running.press()

    def forget(self) -> None:
        """What came before a statement is not meant for it: Python has handled it, or does before DuckDB is called."""
        with self._taking:
            self._take()

    def _take(self) -> bytes:
        """The signals that came since."""
        try:
            numbers = self._reading.recv(4096)
        except BlockingIOError:
            return b""
        if self.before != -1:  # whoever listened before us, such as an event loop, still hears of it
            with suppress(OSError):
                os.write(self.before, numbers)
        return numbers


_listeners: list[_Listener] = []
# a thread does not live on in a child
os.register_at_fork(after_in_child=_listeners.clear)


@contextmanager
def listening() -> Iterator[None]:
    """While this is open, and afterwards where nobody else listens, Ctrl-C reaches the connection that the main thread
    is inside of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _listeners:
        _listeners.append(_Listener())
    listener = _listeners[0]
    listener.forget()
    before = signal.set_wakeup_fd(listener.number, warn_on_full_buffer=False)
    if before in (-1, listener.number):
        yield
        return
    listener.before = before
    try:
        yield
    finally:
        listener.before = -1
        signal.set_wakeup_fd(before)


@contextmanager
def deferred() -> Iterator[None]:
    """While this is open, a signal does not come up as an exception in the middle: in ONNX Runtime, reading texts, it
    would be a crash. It comes up at the end."""
    handlers: dict[int, Callable[[int, Any], Any]] = {}
    number: int
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
    if threading.current_thread() is not threading.main_thread() or not handlers:
        yield
        return
    came: list[tuple[int, Any]] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came[:1]:
            handlers[number](number, frame)
