"""One process that answers: uvicorn on a socket of ours, until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sqlinfer.errors import SqlinferError
from sqlinfer.models.registry import Registry
from sqlinfer.serve.app import App, Limits
from sqlinfer.serve.metrics import Metrics
from sqlinfer.serve.models import Served

__all__ = ["Settings", "bound", "run"]

_log = logging.getLogger("sqlinfer.serve")
# A connection that sends no head of a request for so long is closed.
_SECONDS_FOR_A_HEAD = 30.0
# As is one that has an answer waiting, and reads nothing of it.
_SECONDS_FOR_A_READ = 30.0
_SECONDS_BETWEEN_SWEEPS = 1.0
_CONNECTIONS_THAT_WAIT = 2048
_GARBAGE = (50_000, 20, 100)
_SECONDS_BETWEEN_THREADS = 0.001


@dataclass(frozen=True, slots=True)
class Settings:
    """``batch``: rows of several requests that are scored together, ``wait``: seconds for others to come."""

    token: str | None = None
    batch: int = 256
    wait: float = 0.0
    limits: Limits = field(default_factory=Limits)


def bound(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_CONNECTIONS_THAT_WAIT)
    except OSError:
        listening.close()
        raise
    return listening


def application(registry: Registry, named: tuple[str, ...], settings: Settings) -> tuple[App, ThreadPoolExecutor]:
    """Raises BadReference."""
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="sqlinfer")
    metrics = Metrics(lambda: app.running)
    served = Served(registry, named, pool, most=settings.batch, wait=settings.wait, seen=metrics.batch)
    app = App(served, metrics, pool, settings.limits, settings.token)
    return app, pool


def run(app: App, pool: ThreadPoolExecutor, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answers until SIGTERM or SIGINT: then it takes no more connections, and ends when those that it has have their
    answers. The second signal ends it at once."""
    config = uvicorn.Config(
        app,
        loop="auto",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(app.limits.seconds) + 1,
        h11_max_incomplete_event_size=None,
    )
    server = _Server(config, app, ready)
    tasks = server.server_state.tasks
    app.served.is_calm = lambda: len(tasks) <= 1
    # a large body in JSON is millions of lists, none of which is part of a cycle, and is read beside small ones
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    sys.setswitchinterval(_SECONDS_BETWEEN_THREADS)
    try:
        server.run([listening])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: App, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._tell_ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._sweeping = asyncio.create_task(self._sweep())
        self._tell_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sweeping.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)  # threads may be scoring
        self.should_exit = True

    async def _sweep(self) -> None:
        served, said = self._app.served, ""
        while True:
            if not served.is_ready:
                try:
                    await served.prepare()
                except SqlinferError as error:
                    if str(error) != said:  # it is tried again and again
                        _log.error("%s", error)
                    said = str(error)
            await asyncio.sleep(_SECONDS_BETWEEN_SWEEPS)
            served.sweep(asyncio.get_running_loop().time())


class _Protocol(HttpToolsProtocol):
    """uvicorn's, which waits neither for a head that does not come to its end, nor for a client that reads nothing."""

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got_head()
        self._goes_on()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._got_head()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        self._goes_on()
        super().resume_writing()

    def _expect_head(self) -> None:
        self._got_head()
        self._late = self.loop.call_later(_SECONDS_FOR_A_HEAD, self.transport.close)

    def _got_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _expect_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(_SECONDS_FOR_A_READ, self._look_for_reader, left)

    def _look_for_reader(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._expect_reader()
        else:
            self.transport.abort()

    def _goes_on(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
