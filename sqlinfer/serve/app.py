"""The server as an ASGI application: from a path to what answers it, and from an error to its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Message, Receive, Scope, Send

from sqlinfer.errors import SqlinferError
from sqlinfer.serve import mlflow, oip, page
from sqlinfer.serve.answers import dumps
from sqlinfer.serve.asked import asked_for
from sqlinfer.serve.bodies import Arriving, encoding_of, media_type, read_body, unpacked
from sqlinfer.serve.errors import Refused, refused
from sqlinfer.serve.guard import Guard
from sqlinfer.serve.metrics import CONTENT_TYPE, Metrics
from sqlinfer.serve.models import Served, Version
from sqlinfer.serve.streams import ARROW_STREAM, batches_of, stream_of
from sqlinfer.version import __version__

__all__ = ["App", "Limits"]

T = TypeVar("T")
_log = logging.getLogger("sqlinfer.serve")
# A smaller body is read, and a smaller answer written, before another thread would have begun.
_SMALL = 1 << 16
# Rows that take so long that their client may leave meanwhile.
_MANY = 1 << 17
# Bodies of the largest size that are in memory at a time.
_BODIES = 4
_CLIENT_WENT_AWAY = 499
_CLIENT_IS_SLOW = 408
# Bytes beyond the largest body that are read of one that is refused.
_MOST_DROPPED = 256 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """``queue``: requests at a time, ``size``: bytes of one, ``seconds``: until its answer."""

    queue: int = 1024
    size: int = 64 << 20
    seconds: float = 30.0


@dataclass(slots=True)
class _Asked:
    """What the request is found to be about; it goes into the headers of the answer and into the metrics."""

    version: Version | None = None
    rows: int = 0
    code: int = 0


class App:
    def __init__(
        self, served: Served, metrics: Metrics, pool: ThreadPoolExecutor, limits: Limits, token: str | None
    ) -> None:
        self.served = served
        self.limits = limits
        self.needs_token = token is not None
        self._guard = Guard(token)
        self._metrics = metrics
        self._pool = pool
        self._router = Router(self._routes(), redirect_slashes=False)
        self.running = 0
        self._bytes = 0

    def _routes(self) -> list[BaseRoute]:
        def get(path: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(path, answer, methods=["GET"])

        def post(path: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(path, answer, methods=["POST"])

        return [
            post("/v2/models/{name}/infer", self._infer),
            post("/v2/models/{name}/versions/{version}/infer", self._infer),
            post("/invocations", self._invocations),
            post("/models/{name}/invocations", self._invocations),
            post("/models/{name}/versions/{version}/invocations", self._invocations),
            get("/v2", self._server),
            get("/v2/health/live", self._live),
            get("/v2/health/ready", self._ready),
            get("/v2/models/{name}", self._model),
            get("/v2/models/{name}/versions/{version}", self._model),
            get("/v2/models/{name}/ready", self._model_ready),
            get("/v2/models/{name}/versions/{version}/ready", self._model_ready),
            post("/v2/repository/index", self._index),
            get("/ping", self._ping),
            get("/health", self._ping),
            get("/version", self._version),
            get("/metrics", self._metrics_text),
            *page.routes(self.served, needs_token=self.needs_token),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started, asked = time.perf_counter(), _Asked()
        scope["sqlinfer"] = asked
        scope["app"] = self  # so that the router raises what it finds no route for

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked.code = message["status"]
                if asked.version is not None:
                    message["headers"] = [*message["headers"], *asked.version.headers]
            await send(message)

        body = Arriving(receive)
        request = Request(scope, body.receive)
        try:
            self._guard.require(request)
            await self._router(scope, body.receive, tell)
        except ClientDisconnect:
            asked.code = _CLIENT_WENT_AWAY
        except Exception as error:
            if asked.code:  # the answer has begun: nothing but its end can say that it is not whole
                raise
            answer = self._refuse(request, error)
            if answer.status_code != _CLIENT_IS_SLOW:
                await body.drop(request, self.limits.size + _MOST_DROPPED, self.limits.seconds)
            await answer(scope, receive, tell)
        finally:
            model, number = ("", "") if asked.version is None else (asked.version.name, asked.version.version)
            self._metrics.request(model, number, asked.code, time.perf_counter() - started, asked.rows)

    def _refuse(self, request: Request, error: Exception) -> Response:
        found = self._as_refused(request, error)
        if _is_mlflows(request.url.path):
            body = {"error_code": found.mlflow_code, "message": str(found)}
        else:
            body = {"error": str(found)}
        return Response(dumps(body), found.status, found.headers, "application/json")

    def _as_refused(self, request: Request, error: Exception) -> Refused:
        if isinstance(error, HTTPException):
            if error.status_code == 405:
                allowed = (error.headers or {}).get("Allow", "")
                return Refused(405, f"{request.url.path[:80]} takes {allowed}", error.headers)
            return Refused(404, f"there is nothing at {request.url.path[:80]!r}; /v2 and /invocations are", None)
        if isinstance(error, SqlinferError):
            found = refused(error)
        else:
            found = Refused(500, "the server failed; its log says how")
        if found.status >= 500 and not isinstance(error, Refused):
            _log.error("%s %s: %s", request.method, request.url.path, error, exc_info=_unexpected(error))
        return found

    # what is asked of models

    async def _infer(self, request: Request) -> Response:
        async with self._taken(request, ("application/json", ARROW_STREAM), also=("", "application/octet-stream")) as (
            kind,
            body,
        ):
            given = asked_for(request, ("call",) if kind == ARROW_STREAM else ())
            version = await self._found(request, given.get("model"), given.get("version"))
            if kind == ARROW_STREAM:
                return await self._arrow(request, version, given.get("call", "predict"), body)
            header_length = request.headers.get(oip.HEADER_LENGTH)
            inference = await self._work(len(body), oip.read_inference, version, body, header_length)
            request.scope["sqlinfer"].rows = inference.rows.num_rows
            answers = {call: await self._answers(request, version, call, inference.rows) for call in inference.calls}
            size = sum(array.nbytes for array in answers.values())
            content, headers = await self._work(size, oip.written, version, inference, answers)
            return Response(content, headers=headers)

    async def _invocations(self, request: Request) -> Response:
        async with self._taken(request, ("application/json", "text/csv", ARROW_STREAM)) as (kind, body):
            document, params = None, dict[str, str]()
            if kind == "application/json":
                document = await self._work(len(body), mlflow.read_document, body)
                params = mlflow.parameters_of(document)
            given = asked_for(request, mlflow.PARAMETERS, params)
            version = await self._found(request, given.get("model"), given.get("version"))
            call = given.get("call", "predict")
            if kind == ARROW_STREAM:
                return await self._arrow(request, version, call, body)
            if document is not None:
                rows = await self._work(len(body), mlflow.rows_of, version, document)
                document = None  # it takes many times the room of its rows
            else:
                rows = await self._work(len(body), mlflow.read_csv, version, body)
            request.scope["sqlinfer"].rows = rows.num_rows
            answers = await self._answers(request, version, call, rows)
            content = await self._work(answers.nbytes, mlflow.written, answers)
            return Response(content, media_type="application/json")

    async def _arrow(self, request: Request, version: Version, call: str, body: bytes) -> Response:
        """All rows are scored before the first answer leaves: an error has a status of its own."""
        batches = await self._work(len(body), batches_of, version, body)
        request.scope["sqlinfer"].rows = sum(batch.num_rows for batch in batches)
        answers = [await self._answers(request, version, call, batch) for batch in batches]
        stream = stream_of(version, call, answers, answers[0].type)
        return StreamingResponse(_async(stream), media_type=ARROW_STREAM)

    async def _found(self, request: Request, name: str | None, number: str | None) -> Version:
        version = await self.served.find(name or await self.served.only(), number)
        request.scope["sqlinfer"].version = version
        return version

    async def _answers(self, request: Request, version: Version, call: str, rows: pa.RecordBatch) -> pa.Array:
        answers = version.lane(call).answers(rows)
        return await (answers if rows.num_rows < _MANY else _while_connected(request, answers))

    @asynccontextmanager
    async def _taken(
        self, request: Request, kinds: Sequence[str], also: Sequence[str] = ()
    ) -> AsyncIterator[tuple[str, bytes]]:
        """What kind of body a request has, and the body, while it is one of those that are at it. Raises Refused where
        too many are, or where the time is up."""
        kind = media_type(request)
        if kind not in kinds and kind not in also:
            raise Refused.media_type(kind, kinds)
        encoding = encoding_of(request)
        if self.running >= self.limits.queue:
            raise Refused.busy()
        held, late = 0, Refused.slow_client(self.limits.seconds)

        def hold(size: int) -> None:
            nonlocal held
            others = self._bytes - held
            if others and others + size > _BODIES * self.limits.size:
                raise Refused.busy()
            self._bytes, held = others + size, size

        self.running += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                body = await read_body(request, self.limits.size, hold)
                late = Refused.late(self.limits.seconds)
                if encoding != "identity":
                    body = await self._off_loop(unpacked, body, encoding, self.limits.size)
                    hold(len(body))
                yield kind, body
        except TimeoutError:
            raise late from None
        finally:
            self.running -= 1
            self._bytes -= held

    async def _work(self, size: int, function: Callable[..., T], *args: Any) -> T:
        """What takes long is done on another thread, so that others are heard meanwhile."""
        if size < _SMALL:
            return function(*args)
        return await self._off_loop(function, *args)

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    # what is asked of the server

    async def _server(self, request: Request) -> Response:
        return _json(oip.server_metadata())

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        return _json({"ready": self.served.is_ready}, 200 if self.served.is_ready else 503)

    async def _model(self, request: Request) -> Response:
        given = asked_for(request, ())
        version = await self._found(request, given["model"], given.get("version"))
        versions = await asyncio.to_thread(self.served.versions, version.name)
        return _json(oip.metadata(version, versions))

    async def _model_ready(self, request: Request) -> Response:
        given = asked_for(request, ())
        version = await self._found(request, given["model"], given.get("version"))
        return _json({"name": version.name, "version": version.version, "ready": True})

    async def _index(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(_index, self.served))

    async def _ping(self, request: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def _version(self, request: Request) -> Response:
        return Response(__version__, media_type="text/plain")

    async def _metrics_text(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)


def _index(served: Served) -> list[dict[str, str]]:
    """Every version that is served, as Triton's repository index has them."""
    return [
        {"name": name, "version": str(number), "state": "READY", "reason": ""}
        for name in served.names()
        for number in served.versions(name)
    ]


def _is_mlflows(path: str) -> bool:
    return path.startswith("/models/") or path == "/invocations"


def _unexpected(error: Exception) -> Exception | None:
    """What has a trace in the log: an error of ours says all in its words."""
    return None if isinstance(error, SqlinferError) else error


async def _while_connected(request: Request, answers: Coroutine[Any, Any, pa.Array]) -> pa.Array:
    """Nobody is scored for a client that has gone away."""
    scoring, leaving = asyncio.ensure_future(answers), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((scoring, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not scoring.done():
            raise ClientDisconnect
        return scoring.result()
    finally:
        scoring.cancel()
        leaving.cancel()


async def _async(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _json(value: Mapping[str, Any] | list[Any], status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")
