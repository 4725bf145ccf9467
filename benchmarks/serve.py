"""One row a request, from 32 clients on one machine: sqlinfer serve beside MLflow's own server and MLServer.

    python benchmarks/serve.py --mlflow ~/env-mlflow --mlserver ~/env-mlserver [--seconds 10] [--rounds 3]

The two are environments of their own with `mlflow`, and with `mlserver` and `mlserver-sklearn`; what is not given is
left out. All serve the same gradient boosted trees of scikit-learn, and each is first asked whether it answers as the
estimator does. They take turns, with the same rows; the load comes from `wrk`, on loopback. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psutil
from sklearn.ensemble import HistGradientBoostingClassifier

import sqlinfer

CLIENTS = 32
FEATURES = [f"f{i}" for i in range(10)]
ROWS = 200
# Each client sends the rows in turn.
_LUA = """
local requests, next = {}, 0
function init(args)
  for _, body in ipairs(bodies) do
    requests[#requests + 1] = wrk.format("POST", path, {["Content-Type"] = "application/json"}, body)
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
_SAVE = """
import sys, joblib, mlflow.sklearn
mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], serialization_format="cloudpickle")
"""


@dataclass
class Server:
    """``kind``: what it speaks, MLflow's protocol or the Open Inference Protocol."""

    name: str
    kind: str
    port: int
    path: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Load:
    """Of one run: requests a second, milliseconds, and of all cores the shares that the load and the server had; on a
    machine that others use, too, these are not all of it."""

    speed: float
    p50: float
    p99: float
    of_load: float
    of_server: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", type=Path, help="an environment with mlflow")
    parser.add_argument("--mlserver", type=Path, help="an environment with mlserver and mlserver-sklearn")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("the load comes from wrk: install Debian's package of that name")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        rows, labels = trained(folder)
        servers = [stack.enter_context(server) for server in contestants(folder, options)]
        for server in servers:
            answers(server, rows, labels)
        loads: dict[str, list[Load]] = {server.name: [] for server in servers}
        for _ in range(options.rounds):
            for server in servers:
                loads[server.name].append(load(server, rows, options.seconds, folder))
        report(servers, loads, options)


def trained(folder: Path) -> tuple[list[list[float]], list[int]]:
    """The model in each form that is served, rows to ask for, and the estimator's own answers."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.normal(size=(5000, len(FEATURES))).round(6), columns=FEATURES)
    target = (frame["f0"] + frame["f1"] * frame["f2"] + random.normal(size=5000) > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(frame, target)
    joblib.dump(model, folder / "model.joblib")
    sqlinfer.register("bench", model, sample=frame, registry=folder / "registry")
    return frame[:ROWS].to_numpy().tolist(), model.predict(frame[:ROWS]).tolist()


def contestants(folder: Path, options: argparse.Namespace) -> Iterator[Any]:
    ours = [sys.executable, "-m", "sqlinfer.cli", "serve", "bench", "--registry", str(folder / "registry"), "--port"]
    for kind, path in [("mlflow", "/invocations"), ("oip", "/v2/models/bench/infer")]:
        yield started(f"sqlinfer, {path}", kind, path, lambda port: [*ours, str(port)], folder)
    if options.mlflow is not None:
        python, model = options.mlflow / "bin" / "python", folder / "mlflow"
        subprocess.run([python, "-c", _SAVE, folder / "model.joblib", model], check=True, capture_output=True)
        for workers in (1, 2):
            command = [str(options.mlflow / "bin" / "mlflow"), "models", "serve", "-m", str(model)]
            command += ["--env-manager", "local", "--workers", str(workers), "-p"]
            yield started(
                f"mlflow {version(python, 'mlflow')}, {counted(workers)}",
                "mlflow",
                "/invocations",
                lambda port, command=command: [*command, str(port)],
                folder,
            )
    if options.mlserver is not None:
        python = options.mlserver / "bin" / "python"
        for workers in (0, 1, 2):
            yield started(
                f"MLServer {version(python, 'mlserver')}, {counted(workers)}",
                "oip",
                "/v2/models/bench/infer",
                lambda port, workers=workers: mlserver(options.mlserver, folder / f"mlserver{workers}", workers, port),
                folder,
            )


def counted(workers: int) -> str:
    return "1 worker (the default)" if workers == 1 else f"{workers} workers" if workers else "no workers"


def version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def mlserver(environment: Path, folder: Path, workers: int, port: int) -> list[str]:
    folder.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": workers, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel"}
    model["parameters"] = {"uri": str(folder.parent / "model.joblib")}  # type: ignore[assignment]
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(environment / "bin" / "mlserver"), "start", str(folder)]


@contextmanager
def started(name: str, kind: str, path: str, command: Any, folder: Path) -> Iterator[Server]:
    port = free_port()
    given: list[str] = command(port)
    programs = f"{Path(given[0]).parent}{os.pathsep}{os.environ['PATH']}"
    quiet, environment = subprocess.DEVNULL, {**os.environ, "PATH": programs}
    if not name.startswith("sqlinfer"):
        environment.pop("PYTHONPATH", None)  # theirs is an environment of its own
    with subprocess.Popen(given, stdout=quiet, stderr=quiet, env=environment, cwd=folder) as process:
        try:
            yield Server(name, kind, port, path, process)
        finally:
            with suppress(psutil.NoSuchProcess):
                for one in psutil.Process(process.pid).children(recursive=True):
                    one.kill()
            process.kill()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def body(kind: str, row: list[float]) -> str:
    if kind == "mlflow":
        return json.dumps({"dataframe_split": {"columns": FEATURES, "data": [row]}})
    tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]})  # all that MLServer answers


def answers(server: Server, rows: list[list[float]], labels: list[int]) -> None:
    """Waits for it, and asks for each row: whoever is fast must also be right."""
    for row, label in zip(rows, labels, strict=True):
        found = json.loads(asked(server, body(server.kind, row)))
        got = found["predictions"][0] if server.kind == "mlflow" else found["outputs"][0]["data"][0]
        if got != label:
            raise SystemExit(f"{server.name} answers {got}, the estimator {label}: {row}")


def asked(server: Server, content: str) -> bytes:
    url, until = f"http://127.0.0.1:{server.port}{server.path}", time.monotonic() + 180
    request = urllib.request.Request(url, content.encode(), {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except (OSError, urllib.error.HTTPError) as error:
            if time.monotonic() > until or server.process.poll() is not None:
                raise SystemExit(f"{server.name} does not answer: {error}") from error
            time.sleep(0.5)


def load(server: Server, rows: list[list[float]], seconds: int, folder: Path) -> Load:
    script = folder / "load.lua"
    bodies = ", ".join(f"[==[{body(server.kind, row)}]==]" for row in rows)
    script.write_text(f"bodies = {{{bodies}}}\npath = '{server.path}'\n{_LUA}")
    command = ["wrk", "--threads", "1", "--connections", str(CLIENTS), "--timeout", "30", "--script", str(script)]
    url = f"http://127.0.0.1:{server.port}"
    subprocess.run([*command, "--duration", "1s", url], check=True, capture_output=True)
    before = computed(server)
    start = time.monotonic()
    ran = subprocess.Popen([*command, "--duration", f"{seconds}s", url], stdout=subprocess.PIPE, text=True)
    assert ran.stdout is not None
    output = ran.stdout.read()
    _, status, used = os.wait4(ran.pid, 0)
    lasted = (time.monotonic() - start) * (os.cpu_count() or 1)
    found = json.loads(output[output.rindex("{") :])
    if status or found["errors"] or not found["requests"]:
        raise SystemExit(f"{server.name}: {output}")
    speed = found["requests"] / found["seconds"]
    of_load = (used.ru_utime + used.ru_stime) / lasted
    return Load(speed, found["p50"], found["p99"], of_load, (computed(server) - before) / lasted)


def computed(server: Server) -> float:
    """Seconds that the process and its children have had."""
    root, total = psutil.Process(server.process.pid), 0.0
    for one in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def report(servers: list[Server], loads: dict[str, list[Load]], options: argparse.Namespace) -> None:
    print(f"{CLIENTS} clients, one row of {len(FEATURES)} features a request, {options.seconds} s, ", end="")
    print(f"the median of {options.rounds}\n")
    print("| | requests/s | p50 | p99 | of all cores: the server", end=" | ")
    print("the load | a second of computing | sqlinfer beside it |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    cores = os.cpu_count() or 1
    middle = {name: median(runs) for name, runs in loads.items()}
    ours = {server.kind: middle[server.name] for server in servers if server.name.startswith("sqlinfer")}
    for server in servers:
        one = middle[server.name]
        mine = ours[server.kind]
        ratio = f"{mine.speed / one.speed:.1f}x the requests, {mine.p99 / one.p99:.2f}x the p99"
        print(
            f"| {server.name} | {one.speed:,.0f} | {one.p50:.1f} ms | {one.p99:.1f} ms | {one.of_server:.0%} | "
            f"{one.of_load:.1%} | {one.speed / one.of_server / cores:,.0f} requests | {'' if mine is one else ratio} |"
        )


def median(runs: list[Load]) -> Load:
    columns = zip(*((run.speed, run.p50, run.p99, run.of_load, run.of_server) for run in runs), strict=True)
    return Load(*map(statistics.median, columns))


if __name__ == "__main__":
    main()
