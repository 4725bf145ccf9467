"""Who may ask: a token, and without one nobody but programs of this machine.

A page of the web that is open in a browser on this machine can send requests to 127.0.0.1, under its own name
(Origin), or under a name that it lets mean 127.0.0.1 (Host): both are refused where no token is asked for.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

from sqlinfer.serve.errors import Refused

__all__ = ["Guard", "is_loopback"]

# What says that the server is there, and nothing of its models; and the page, which asks for the token itself.
OPEN = frozenset({"/", "/v2/health/live", "/v2/health/ready", "/ping", "/health", "/version"})


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def require(self, request: Request) -> None:
        """Raises Refused."""
        if self._token is None:
            self._require_own(request)
        elif request.url.path not in OPEN and not request.url.path.startswith("/page/"):
            self._require_token(request.headers.get("authorization", ""))

    def _require_token(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        is_same = hmac.compare_digest(given.strip().encode(), self._token or b"")
        if scheme.lower() != "bearer" or not is_same:
            raise Refused(
                401,
                "the token of this server is missing or another; send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )

    def _require_own(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if host and not is_loopback(_name_of(host)):  # every browser says which
            raise Refused(
                403,
                f"the request is for the host {host[:80]!r}, and without a token this server answers to localhost "
                "alone; ask it by that name, or start it with a token",
            )
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refused(403, f"pages of {origin[:80]!r} may not ask this server; start it with a token for that")


def _name_of(host: str) -> str:
    """``[::1]:8080`` → ``[::1]``."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
