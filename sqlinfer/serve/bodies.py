"""The bodies of requests: read within limits, unpacked, and parsed."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Message, Receive

from sqlinfer.serve.errors import Refused

__all__ = ["Arriving", "encoding_of", "media_type", "read_body", "read_json", "unpacked"]

# orjson makes a double of what no 64 bits hold, and takes no NaN.
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+])\d{19,}(?![\d.eE])")
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_NOT_FINITE = re.compile(rb"[\[,:\s-](?:NaN|Infinity)\b")
# As orjson has it.
_MOST_LEVELS = 1024
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 47}


class Arriving:
    """A body as it comes. What is left of one that is refused is read and dropped: a connection that is closed before
    that is reset, and many clients then see nothing of the answer."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_whole = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_whole = not message.get("more_body", False)
        return message

    async def drop(self, request: Request, most: int, seconds: float) -> None:
        """No more than ``most`` bytes, and for no longer than ``seconds``."""
        headers = request.headers
        length = headers.get("content-length", "")
        is_long = length.isdigit() and int(length) > most
        if is_long or "expect" in headers or not (length or "transfer-encoding" in headers):
            return  # none comes, or too much
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_whole and size <= most:
                    size += len((await self.receive()).get("body", b""))


def media_type(request: Request) -> str:
    """The type that a request's body has, without its parameters. Raises Refused for another charset than UTF-8."""
    given = request.headers.get("content-type", "")
    kind, _, parameters = given.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, f"the charset {charset[1][:40]!r} is not read here; send UTF-8")
    return kind.strip().lower()


def encoding_of(request: Request) -> str:
    """How a request's body is packed. Raises Refused."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOWS:
        raise Refused(415, f"the Content-Encoding {encoding[:40]!r} is not read here; send gzip, or no other")
    return encoding


async def read_body(request: Request, most: int, hold: Callable[[int], None]) -> bytes:
    """``hold`` is told how many bytes there are, or will be. Raises Refused for more than ``most``."""
    length = request.headers.get("content-length", "")
    if length.isdigit():
        if int(length) > most:
            raise Refused.too_large(most)
        hold(int(length))
    chunks, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise Refused.too_large(most)
        hold(size)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """Raises Refused for what becomes more than ``most`` bytes."""
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        content = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise Refused.malformed(f"the body is not {encoding}: {error}") from error
    if len(content) > most:
        raise Refused.too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise Refused.malformed(f"the body is not one whole {encoding}")
    return content


def read_json(body: bytes | memoryview) -> Any:
    """Integers have all their digits; NaN and Infinity are read, as MLflow and Triton read them. Raises Refused, which
    says where."""
    content = bytes(body)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if not _NOT_FINITE.search(content):
            raise _no_json(error) from None
        return _slowly(content)
    return _slowly(content) if _has_long_integer(content) else value


def _has_long_integer(content: bytes) -> bool:
    # most have none, and the first look takes a tenth of the second's time
    return b"0" * 19 in content.translate(_AS_ZEROS) and _LONG_INTEGER.search(content) is not None


def _slowly(content: bytes) -> Any:
    try:
        value = json.loads(content.decode(), parse_float=_finite)
        _require_text(content, value)
    except json.JSONDecodeError as error:
        raise _no_json(error) from None
    except RecursionError:
        raise Refused.malformed(f"the body is nested more than {_MOST_LEVELS} levels deep") from None
    except ValueError as error:
        raise Refused.malformed(f"the body is no JSON: {str(error)[:200]}") from None
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is no number that a double holds")
    return value


def _require_text(content: bytes, value: Any) -> None:
    if b"\\u" in content:
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text


def _no_json(error: json.JSONDecodeError) -> Refused:
    return Refused.malformed(f"the body is no JSON: {error.msg}, at line {error.lineno}, column {error.colno}")
