"""What is wrong with a request, as HTTP says it: a status, and words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sqlinfer.errors import CallError, FeatureError, ModelFailed, ModelNotFound, SqlinferError, named, suggest

__all__ = ["Refused", "refused"]

# What the library's words say to whoever writes SQL, or has the command before them, and what a request can do.
_IN_SQL = (
    (r"(?:[,;:]\s*)?(?:or\s+)?write TRY\(predict\(…\)\) for NULL(?: in (?:its|their) place| in place of [a-z ]+)?", ""),
    (r"write CAST\(round\(.*?\) AS (\w+)\) if that is what you mean", r"send whole numbers that \1 holds"),
    (r"write CAST\(.*? AS ([^()]+)\)", r"send it as \1"),
    (r"filter with WHERE .*? IS NOT NULL, or register with another policy", "send a value"),
    (r"write the texts that the model knows, such as CASE WHEN .*? END", "send the texts that the model knows"),
    (r", such as content of read_blob\('[^']*'\)", ""),
    (r"\s*\([^()]*--[a-z][^()]*\)", ""),
)
# MLflow's names for what went wrong, by status.
_MLFLOW_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refused(SqlinferError):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    @property
    def mlflow_code(self) -> str:
        return _MLFLOW_CODES.get(self.status, "INVALID_PARAMETER_VALUE" if self.status < 500 else "INTERNAL_ERROR")

    @classmethod
    def malformed(cls, message: str) -> Refused:
        return cls(400, message)

    @classmethod
    def no_model(cls, name: str, served: Iterable[str]) -> Refused:
        return cls(404, f"no model {name[:80]!r} is served here; {suggest(name[:80], served, 'served')}")

    @classmethod
    def no_version(cls, name: str, version: str, served: Iterable[str]) -> Refused:
        return cls(404, f"no version {version[:20]!r} of {name!r} is served here; served: {named(served)}")

    @classmethod
    def parameter(cls, name: str, known: Sequence[str]) -> Refused:
        knows = f"it knows {named(known)}" if known else "it has none for such a request; the path and the body say all"
        return cls(400, f"the query has {name[:40]!r}, which this address does not know; {knows}")

    @classmethod
    def contradiction(cls, name: str, one: str, other: str) -> Refused:
        return cls(400, f"the request asks for the {name} {one[:80]!r} and for {other[:80]!r}; say one of them")

    @classmethod
    def keys(cls, what: str, unknown: Iterable[str], known: Iterable[str]) -> Refused:
        has = named(sorted(key[:40] for key in unknown), 8)
        return cls(400, f"{what} has {has}, which is not known here; it may have {', '.join(known)}")

    @classmethod
    def which_model(cls, served: Iterable[str]) -> Refused:
        served = list(served)
        if not served:
            return cls(404, "no model is served here yet")
        return cls(
            400,
            "several models are served: say which one by the path /models/NAME/invocations, or as "
            f"/invocations?model=NAME; served: {named(served)}",
        )

    @classmethod
    def media_type(cls, given: str, taken: Iterable[str]) -> Refused:
        what = f"the Content-Type {given[:80]!r} is not read here" if given else "the request has no Content-Type"
        return cls(415, f"{what}; send one of: {named(taken)}")

    @classmethod
    def too_large(cls, most: int) -> Refused:
        return cls(413, f"the request has more than {most:,} bytes; send the rows in several requests")

    @classmethod
    def busy(cls, after: int = 1) -> Refused:
        return cls(429, f"too many requests wait already; send it again in {after} s", {"Retry-After": str(after)})

    @classmethod
    def late(cls, seconds: float) -> Refused:
        return cls(504, f"there was no answer within {seconds:g} s; send fewer rows at once, or give it more time")

    @classmethod
    def slow_client(cls, seconds: float) -> Refused:
        return cls(408, f"the request did not arrive within {seconds:g} s", {"Connection": "close"})


def refused(error: SqlinferError) -> Refused:
    """An error of the library as the answer to a request."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, (FeatureError, CallError, ModelFailed, ModelNotFound)):
        return Refused(400, in_a_request(str(error)))
    # paths of this machine are for its owner: the log has them
    return Refused(500, "the model cannot be read or run here; the log of the server says why")


def in_a_request(message: str) -> str:
    for words, instead in _IN_SQL:
        message = re.sub(words, instead, message)
    return message
