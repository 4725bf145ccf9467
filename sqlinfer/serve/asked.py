"""What a request asks for beside its rows, which its path, its query and its body may say: all of them the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request

from sqlinfer.serve.errors import Refused

__all__ = ["asked_for"]


def asked_for(request: Request, known: Sequence[str], params: Mapping[str, str] | None = None) -> dict[str, str]:
    """The model, the version and the call, as far as they are named. ``known``: what the query may say. Raises Refused
    for anything else there, and for what is said in two ways."""
    path, query = request.path_params, request.query_params.multi_items()
    for name, _ in query:
        if name not in known:
            raise Refused.parameter(name, known)
    said = [("model", path["name"])] if "name" in path else []
    said += [("version", path["version"])] if "version" in path else []
    found: dict[str, str] = {}
    for name, value in (*said, *query, *(params or {}).items()):
        before = found.setdefault(name, value)
        if before.lower() != value.lower():
            raise Refused.contradiction(name, before, value)
    return found
