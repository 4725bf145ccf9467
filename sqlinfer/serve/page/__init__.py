"""A page for people at /, what it reads, and /openapi.json.

The page itself holds nothing of the models, and needs no token; what it reads does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sqlinfer.serve.answers import dumps
from sqlinfer.serve.models import Served
from sqlinfer.serve.page.catalogue import describe, overview
from sqlinfer.serve.page.openapi import document

__all__ = ["routes"]

_FILES = {
    "/": ("index.html", "text/html"),
    "/page/page.css": ("page.css", "text/css"),
    "/page/page.js": ("page.js", "text/javascript"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
# Nothing but what this server has; no other page may show it in a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def routes(served: Served, *, needs_token: bool) -> list[BaseRoute]:
    """``/models`` and ``/models/NAME[/versions/N]`` are what the page reads."""

    async def read(function: Callable[..., Any], *arguments: Any) -> Response:
        value = await asyncio.to_thread(function, *arguments)
        return Response(dumps(value), headers={"Cache-Control": "no-store"}, media_type="application/json")

    async def models(request: Request) -> Response:
        return await read(overview, served)

    async def model(request: Request) -> Response:
        found = await served.find(request.path_params["name"], request.path_params.get("version"))
        return await read(describe, served, found.model)

    async def openapi(request: Request) -> Response:
        return await read(lambda: document(served, needs_token=needs_token))

    return [
        *(_file(path, *content) for path, content in _FILES.items()),
        Route("/models", models, methods=["GET"]),
        Route("/models/{name}", model, methods=["GET"]),
        Route("/models/{name}/versions/{version}", model, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]


def _file(path: str, name: str, kind: str) -> Route:
    content = files(__package__ or __name__).joinpath(name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return Route(path, answer, methods=["GET"])
