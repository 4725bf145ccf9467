"""A real server, in a process of its own, and what a client does with it."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sqlinfer.models.registry import Registry
from tests.processes import HANG

__all__ = ["ARROW", "JSON", "Answer", "Server", "introduced", "serving"]

JSON = {"Content-Type": "application/json"}
ARROW = {"Content-Type": "application/vnd.apache.arrow.stream"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def table(self) -> pa.Table:
        return pa.ipc.open_stream(self.body).read_all()


@dataclass
class Server:
    process: subprocess.Popen[str]
    host: str
    port: int
    said: list[str]

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """``body``: bytes as they are, anything else as JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            given = {**(JSON if body is not None and not isinstance(body, bytes) else {}), **(headers or {})}
            connection.request(method, path, content, given)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)

    def arrow(self, path: str, rows: pa.Table) -> Answer:
        return self.post(path, stream(rows), ARROW)


def stream(rows: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, **options) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


@contextmanager
def serving(registry: Registry | Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """``sqlinfer serve`` on a port that is free."""
    home = registry.home if isinstance(registry, Registry) else registry
    command = [sys.executable, "-m", "sqlinfer.cli", "serve", "--registry", str(home), "--port", "0", *arguments]
    env = {**os.environ, **environment}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield introduced(process)
        finally:
            process.kill()


def introduced(process: subprocess.Popen[str]) -> Server:
    """What it prints when it answers ends with how to end it."""
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line.rstrip("\n"))
        if "Ctrl-C" in line:
            break
    found = re.search(r"http://([^:/]+):(\d+)", "\n".join(said))
    assert found is not None, said
    return Server(process, found[1], int(found[2]), said)
