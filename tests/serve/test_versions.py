"""What is promoted, registered or removed is seen without a restart, and by each request that comes after it."""

from __future__ import annotations

import re
import threading

import onnx
import pytest

import sqlinfer
from sqlinfer.models.registry import Registry
from tests.conftest import parse
from tests.serve.serving import serving

pytest.importorskip("uvicorn")

ROWS = {"inputs": {"x": [1.0]}}


def adds(registry: Registry, folder, number: int) -> None:
    """A version that adds its number."""
    graph = "(double[n, 1] x) => (double[n, 1] y) <double[1] k = {%d}> { y = Add(x, k) }"
    onnx.save(parse(graph % number), folder / "adds.onnx")
    sqlinfer.register("adds", folder / "adds.onnx", registry=registry)


@pytest.fixture
def growing(tmp_path):
    registry = Registry(tmp_path / "models")
    for number in (1, 2):
        adds(registry, tmp_path, number)
    return registry


def asked(server, path: str = "adds") -> tuple[float, str]:
    answer = server.post(f"/models/{path}/invocations", ROWS)
    assert answer.status == 200, answer.body
    (value,) = answer.json()["predictions"]
    return value - 1, answer.headers["x-model-version"]


def test_a_registry_may_begin_empty(tmp_path):
    home = tmp_path / "models"
    home.mkdir()
    with serving(home) as server:
        assert "no models yet" in "\n".join(server.said)
        answer = server.post("/invocations", ROWS)
        assert (answer.status, answer.json()["message"]) == (404, "no model is served here yet")
        adds(Registry(home), tmp_path, 5)
        assert server.post("/invocations", ROWS).json() == {"predictions": [6]}


def test_a_promotion_is_seen_by_the_next_request(growing, tmp_path):
    with serving(growing) as server:
        assert asked(server) == (1, "1")
        for version in (2, 1, 2):
            growing.alias("adds", "default", version)
            assert asked(server) == (version, str(version))
        adds(growing, tmp_path, 3)
        assert asked(server, "adds/versions/3") == (3, "3")
        assert asked(server) == (2, "2")
        assert server.get("/v2/models/adds").json()["versions"] == ["1", "2", "3"]
        growing.alias("adds", "brave", 3)
        assert asked(server, "adds@brave") == (3, "3")
        growing.remove("adds/1")
        assert server.post("/models/adds/versions/1/invocations", ROWS).status == 404
        growing.remove("adds")
        answer = server.post("/models/adds/invocations", ROWS)
        assert answer.status == 404 and "no model 'adds' is served" in answer.json()["message"]
        adds(growing, tmp_path, 7)
        assert asked(server) == (7, "4")


def test_each_answer_is_of_one_version_while_others_promote(growing):
    """Many clients at once, and a promotion after each few answers: each answer is that of the version it names, and
    none is older than the promotion before its request."""
    wrong: list[object] = []
    ended = threading.Event()

    def ask(server) -> None:
        while not ended.is_set():
            found, version = asked(server)
            if found != int(version):
                wrong.append((found, version))

    with serving(growing, "adds") as server:
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            for version in (2, 1) * 10:
                growing.alias("adds", "default", version)
                if (found := asked(server)) != (version, str(version)):
                    wrong.append((found, version))
        finally:
            ended.set()
            for client in clients:
                client.join()
        assert wrong == []
        text = server.get("/metrics").body.decode()
        assert re.findall(r'sqlinfer_requests_total\{code="(\d+)",model="adds"', text) == ["200", "200"]


def test_what_is_named_is_served_and_nothing_else(growing, tmp_path):
    growing.alias("adds", "brave", 2)
    onnx.save(parse("(double[n, 1] x) => (double[n, 1] y) { y = Neg(x) }"), tmp_path / "other.onnx")
    sqlinfer.register("other", tmp_path / "other.onnx", registry=growing)
    with serving(growing, "adds@brave") as server:
        assert "adds@brave (version 2): x DOUBLE → DOUBLE" in "\n".join(server.said)
        assert asked(server) == asked(server, "adds@brave") == asked(server, "adds/versions/2") == (2, "2")
        assert server.post("/invocations", ROWS).json() == {"predictions": [3]}  # it is the only one
        for path in ("adds/versions/1", "adds@default", "other"):
            assert server.post(f"/models/{path}/invocations", ROWS).status == 404
        assert [one["version"] for one in server.post("/v2/repository/index", {}).json()] == ["2"]
    with serving(growing, "adds/1", "other") as server:
        assert asked(server) == (1, "1")
        growing.alias("adds", "default", 2)
        assert asked(server) == (1, "1")
        assert server.post("/models/adds@brave/invocations", ROWS).status == 404


def test_a_damaged_model_is_said_and_harms_no_other(growing, tmp_path):
    onnx.save(parse("(double[n, 1] x) => (double[n, 1] y) { y = Neg(x) }"), tmp_path / "other.onnx")
    sqlinfer.register("other", tmp_path / "other.onnx", registry=growing)
    model = growing.get("other").onnx
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with serving(growing) as server:
        answer = server.post("/models/other/invocations", ROWS)
        assert answer.status == 500 and answer.json()["error_code"] == "INTERNAL_ERROR"
        assert str(tmp_path) not in answer.body.decode()
        assert asked(server) == (1, "1")
        assert server.get("/v2/models/other/ready").status == 500
        assert server.get("/v2/health/ready").status == 200
