"""The process: who may ask it, how much, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import psutil
import pyarrow as pa
import pytest
from click.testing import CliRunner

from sqlinfer.cli import main
from tests.processes import HANG
from tests.serve.serving import JSON, introduced, serving

pytest.importorskip("uvicorn")

ROWS = {"instances": [1.5]}
HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def raw(server, request: bytes) -> bytes:
    """What it sends back until it closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=HANG) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:80"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example:80"}, 403),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:90"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_ask(server, headers, status):
    assert server.get("/v2", headers).status == status
    assert server.post("/models/width/invocations", ROWS, headers).status == status


def test_a_token_is_asked_for(registry, tmp_path):
    (tmp_path / "token").write_text("a-secret\n")
    with serving(registry, "width", "--token-file", str(tmp_path / "token")) as server:
        assert "a-secret" not in "".join(server.said)
        for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/health"):
            assert server.get(path, {"Host": "any.example"}).status in (200, 503)
        for given in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a-secret"}):
            for answer in (server.get("/v2/models/width", given), server.get("/metrics", given)):
                assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
                assert "Authorization: Bearer" in answer.json()["error"]
            assert server.post("/invocations", ROWS, given).json()["error_code"] == "UNAUTHENTICATED"
        assert server.post("/invocations", ROWS, {"Authorization": "bearer a-secret"}).status == 200


def test_a_token_is_made_up_where_others_can_ask(registry):
    with serving(registry, "width", "--host", "0.0.0.0") as server:
        server.host = "127.0.0.1"
        token = re.search(r"Bearer …\): (\S{40,})", "\n".join(server.said))[1]
        assert server.post("/invocations", ROWS).status == 401
        assert server.post("/invocations", ROWS, {"Authorization": f"Bearer {token}"}).status == 200


def test_limits(registry):
    with serving(registry, "width", "--max-request-size", "1KB", "--timeout", "1") as server:
        many = {"instances": [1.5] * 1000}
        assert server.post("/invocations", many).status == 413
        chunks = (b"%x\r\n%s\r\n" % (len(part), part) for part in [b" " * 512] * 3)
        head = HEAD + b"Connection: close\r\n"
        answer = raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert raw(server, head + b"Content-Length: 99\r\n\r\n{").startswith(b"HTTP/1.1 408 ")
        assert server.post("/invocations", ROWS).status == 200


def test_a_client_that_sends_all_first_sees_why_it_is_refused(server):
    """urllib asks for the connection to be closed, and reads nothing before it has sent everything."""
    url, large = f"http://{server.host}:{server.port}", b" " * (68 << 20)
    for path, headers, status in (
        ("/models/width/invocations", JSON, 413),
        ("/models/width/invocations", {"Content-Type": "text/plain"}, 415),
        ("/nothing", JSON, 404),
        ("/models/width/invocations", {**JSON, "Host": "rebound.example"}, 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(urllib.request.Request(url + path, large, headers), timeout=HANG)
        assert told.value.code == status


def test_an_answer_that_takes_too_long_is_given_up(registry):
    with serving(registry, "width", "--max-wait", "1000", "--timeout", "0.5") as server:
        answer = server.post("/invocations", ROWS)
        assert (answer.status, answer.json()["error_code"]) == (504, "DEADLINE_EXCEEDED")
        assert "within 0.5 s" in answer.json()["message"]


def test_too_many_are_told_to_come_again(registry):
    with serving(registry, "width", "--max-queue", "1") as server:
        with socket.create_connection((server.host, server.port), timeout=HANG) as slow:
            slow.sendall(HEAD + b"Content-Length: 20\r\n\r\n")
            while b"sqlinfer_queue_depth 1.0" not in server.get("/metrics").body:
                time.sleep(0.01)
            answer = server.post("/invocations", ROWS)
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            slow.sendall(b'{"instances": [1.5]}')
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.post("/invocations", ROWS).status == 200


def test_what_waits_takes_no_more_memory_than_four_of_the_largest(registry):
    """As it says it will, as it comes in chunks, and unpacked."""
    packed = gzip.compress(b" " * 1000)
    late = [
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" " * 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b" " * 1000 + b"\r\n0\r\n\r\n"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed), packed),
    ]
    with serving(registry, "width", "--max-request-size", "1KB") as server, ExitStack() as open_ones:
        for _ in range(4):
            slow = socket.create_connection((server.host, server.port), timeout=HANG)
            open_ones.enter_context(slow).sendall(late[0][0])
        while b"sqlinfer_queue_depth 4.0" not in server.get("/metrics").body:
            time.sleep(0.01)
        for head, body in late:
            assert raw(server, head[:-2] + b"Connection: close\r\n\r\n" + body).startswith(b"HTTP/1.1 429 ")
        open_ones.close()
        while b"sqlinfer_queue_depth 0.0" not in server.get("/metrics").body:
            time.sleep(0.01)
        for head, body in late:
            assert raw(server, head[:-2] + b"Connection: close\r\n\r\n" + body).startswith(b"HTTP/1.1 400 ")


def test_rows_of_a_client_that_has_gone_away_are_not_scored():
    from starlette.requests import ClientDisconnect, Request

    from sqlinfer.serve.app import _while_connected

    scored: list[str] = []

    async def scoring() -> pa.Array:
        try:
            await asyncio.Event().wait()
        finally:
            scored.append("given up")

    async def gone() -> dict:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(_while_connected(Request({"type": "http"}, gone), scoring()))
    assert scored == ["given up"]


def test_connections_are_kept_and_requests_may_come_before_answers(server):
    body = json.dumps(ROWS).encode()
    head = "POST /models/width/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    one = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    last = f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    found = raw(server, one * 4 + b"HEAD /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" + last)
    assert found.count(b"HTTP/1.1 200 OK") == 6 and found.count(b"predictions") == 5


def test_a_client_that_goes_away_harms_nobody(server):
    head = b"POST /models/width/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for body in (b"Content-Length: 100\r\n\r\n{", b"Content-Length: 20\r\n\r\n" + json.dumps(ROWS).encode()):
        with socket.create_connection((server.host, server.port), timeout=HANG) as connection:
            connection.sendall(head + body)
    assert server.post("/models/width/invocations", ROWS).status == 200
    while b"sqlinfer_queue_depth 0.0" not in server.get("/metrics").body:
        time.sleep(0.01)


IMPATIENT = """
import sys
from sqlinfer.cli import main
from sqlinfer.serve import server
server._SECONDS_FOR_A_HEAD = server._SECONDS_FOR_A_READ = 0.2
main(["serve", "--registry", sys.argv[1], "--port", "0"])
"""


def test_who_sends_or_reads_nothing_is_left(registry):
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(registry.home)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            server = introduced(process)
            assert raw(server, b"") == raw(server, b"GET /v2 HTTP/1.1\r\nHo") == b""
            rows = json.dumps({"inputs": {"x": ["a" * 1000] * 20_000}}).encode()
            head = HEAD.replace(b"/invocations", b"/models/same_text/invocations")
            with socket.create_connection((server.host, server.port), timeout=HANG) as stuck:
                stuck.sendall(head + b"Content-Length: %d\r\n\r\n" % len(rows) + rows)
                while b'code="200",model="same_text"' not in server.get("/metrics").body:
                    time.sleep(0.01)
                while any(one.status != psutil.CONN_LISTEN for one in psutil.Process(process.pid).net_connections()):
                    time.sleep(0.01)
        finally:
            process.kill()


def until_it_takes_no_connections(server) -> None:
    with suppress(ConnectionRefusedError):
        while True:
            with suppress(ConnectionResetError):  # it was taken by nobody
                socket.create_connection((server.host, server.port), timeout=HANG).close()
            time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_it_has_answered(registry, number):
    with serving(registry, "width") as server:
        body = json.dumps(ROWS).encode()
        idle = http.client.HTTPConnection(server.host, server.port, timeout=HANG)
        idle.request("GET", "/ping")
        idle.getresponse().read()
        with socket.create_connection((server.host, server.port), timeout=HANG) as slow:
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
            while b"sqlinfer_queue_depth 1.0" not in server.get("/metrics").body:
                time.sleep(0.01)
            server.process.send_signal(number)
            until_it_takes_no_connections(server)
            slow.sendall(body)
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(HANG) == 0


def test_the_second_signal_ends_it_at_once(registry):
    with serving(registry, "width") as server, socket.create_connection((server.host, server.port)) as slow:
        slow.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        while b"sqlinfer_queue_depth 1.0" not in server.get("/metrics").body:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        until_it_takes_no_connections(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(HANG) == 128 + signal.SIGTERM


def test_it_is_killed_and_comes_back_at_its_port(registry):
    with serving(registry, "width") as first:
        expected = first.post("/invocations", ROWS)
        first.process.kill()
        first.process.wait()
        with serving(registry, "width", "--port", str(first.port)) as second:
            assert second.port == first.port
            assert second.post("/invocations", ROWS) == expected


def test_many_clients_at_once(server):
    """Each on a connection of its own, all open at a time."""
    values = [float(i) for i in range(200)]
    found: dict[float, object] = {}
    everybody = threading.Barrier(len(values))

    def ask(value: float) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=HANG)
        connection.connect()
        everybody.wait(HANG)
        for _ in range(3):
            connection.request("POST", "/models/same_double/invocations", json.dumps({"instances": [value]}), JSON)
            found[value] = json.loads(connection.getresponse().read())["predictions"]
        connection.close()

    clients = [threading.Thread(target=ask, args=(value,)) for value in values]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert found == {value: [value] for value in values}


def test_what_cannot_be_served_is_said_at_the_start(registry, server, tmp_path):
    home = str(registry.home)
    (tmp_path / "empty").touch()
    for name, token in (("spaced", "two words"), ("lines", "one\ntwo"), ("foreign", "Schlüssel")):
        (tmp_path / name).write_text(token, encoding="latin-1")
    for arguments, code, says in (
        (["iriss", "--registry", home], 1, "did you mean 'iris'?"),
        (["--registry", str(tmp_path / "none")], 1, "there is no registry"),
        (["--registry", home, "--port", str(server.port)], 1, "choose a --port that is free"),
        (["--registry", home, "--token-file", str(tmp_path / "empty")], 1, "holds no token"),
        (["--registry", home, "--token-file", str(tmp_path / "spaced")], 1, "a line break"),
        (["--registry", home, "--token-file", str(tmp_path / "lines")], 1, "a line break"),
        (["--registry", home, "--token-file", str(tmp_path / "foreign")], 1, "a line break"),
        (["--registry", home, "--host", "999.1.1.1", "--port", "0"], 1, "'999.1.1.1' is no address of this machine"),
        (["--registry", home, "--host", "192.0.2.1", "--port", "0"], 1, "'192.0.2.1' is no address of this machine"),
        (["--registry", home, "--host", "a..b", "--port", "0"], 1, "'a..b' is no address of this machine"),
        (["--registry", home, "--max-request-size", "many"], 2, "is no size, such as 64MB"),
    ):
        ran = CliRunner().invoke(main, ["serve", *arguments])
        assert ran.exit_code == code and says in ran.output
