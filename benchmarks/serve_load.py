"""Many clients, while versions are promoted and registered under them: no wrong answer, no error, and flat memory.

    python benchmarks/serve_load.py [--promotions 300] [--every 1.0] [--clients 32]

Each answer is compared with what SQL answers of the version that it names, bit by bit, and each promotion is seen by
the next request. At the end the server is killed (SIGKILL) and started again: it answers as before. Exits 1 where an
answer was wrong, or an error was another than 429.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

import sqlinfer

FEATURES = ["sl", "sw", "pl", "pw"]
HANG = 900.0
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20


class Truth:
    """Versions of a model, and what SQL answers with each: labels, and probabilities in the order of classes."""

    def __init__(self, folder: Path) -> None:
        self.registry = sqlinfer.Registry(folder)
        self.rows = pd.DataFrame(load_iris().data, columns=FEATURES)
        self.known: dict[int, list[tuple[str, list[float]]]] = {}

    def register(self) -> int:
        """Another version, which is not promoted if it is not the first."""
        data = load_iris()
        model = RandomForestClassifier(3 + len(self.known), random_state=0)
        model.fit(self.rows, data.target_names[data.target])
        version = sqlinfer.register("load", model, sample=self.rows, registry=self.registry).version
        asked = f"SELECT predict('load/{version}', r), predict_proba('load/{version}', r) FROM rows r"
        with sqlinfer.connect(registry=self.registry) as con:
            con.register("rows", self.rows)
            self.known[version] = [(label, list(chances.values())) for label, chances in con.execute(asked).fetchall()]
        return version


@dataclass
class Outcome:
    answers: Counter[int] = field(default_factory=Counter)
    busy: int = 0
    promotions: int = 0
    faults: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        total = sum(self.answers.values())
        by_version = ", ".join(f"{version}: {count:,}" for version, count in sorted(self.answers.items()))
        minute = self.memory[min(60, len(self.memory) - 1)] / MEGABYTE
        lines = [
            f"{total:,} answers in {self.seconds:.0f} s, by version {by_version}",
            f"{self.promotions} promotions, each seen by the next request; {self.busy} times 429",
            f"memory: {minute:.1f} MB after the first minute, {self.memory[-1] / MEGABYTE:.1f} MB at the end, "
            f"{max(self.memory) / MEGABYTE:.1f} MB at most",
            f"{len(self.faults)} faults",
            *self.faults[:20],
        ]
        return "\n".join(lines)


class Client:
    """One connection, which is kept."""

    def __init__(self, port: int, truth: Truth, outcome: Outcome) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG)
        self._truth = truth
        self._outcome = outcome

    def ask(self, rows: list[int], *, by_tensors: bool, reference: str = "load") -> int | None:
        """The version that answered; None where there was no answer, which is noted."""
        values = self._truth.rows.iloc[rows]
        if by_tensors:
            path, body = f"/v2/models/{reference}/infer", {"inputs": _tensors(values)}
        else:
            records = values.to_dict("records")
            path, body = f"/models/{reference}/invocations?call=predict_proba", {"dataframe_records": records}
        try:
            self._connection.request("POST", path, json.dumps(body), JSON)
            response = self._connection.getresponse()
            content = response.read()
        except OSError as error:
            self._connection.close()
            self._outcome.faults.append(f"no answer: {error!r}")
            return None
        if response.status != 200:
            if response.status == 429 and response.getheader("Retry-After"):
                self._outcome.busy += 1
            else:
                self._outcome.faults.append(f"{response.status}: {content.decode()[:200]}")
            return None
        version = int(response.getheader("X-Model-Version") or 0)
        if not self._is_right(json.loads(content), version, rows, by_tensors):
            self._outcome.faults.append(f"version {version}, rows {rows}: {content.decode()[:400]}")
        return version

    def _is_right(self, answer: Any, version: int, rows: list[int], by_tensors: bool) -> bool:
        expected = [self._truth.known[version][row] for row in rows]
        chances = [chance for _, chance in expected]
        if not by_tensors:
            return [list(one.values()) for one in answer["predictions"]] == chances
        outputs = {one["name"]: one["data"] for one in answer["outputs"]}
        flat = list(itertools.chain.from_iterable(chances))
        found = list(_flat(outputs["predict_proba"]))
        return (
            outputs["predict"] == [label for label, _ in expected]
            and found == flat
            and (answer["model_version"] == str(version))
        )


def _tensors(values: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [len(values)], "datatype": "FP64", "data": values[name].tolist()} for name in FEATURES
    ]


def _flat(value: Any) -> Iterator[float]:
    if not isinstance(value, list):
        yield value
        return
    for one in value:
        yield from _flat(one)


@contextmanager
def serving(truth: Truth, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "sqlinfer.cli", "serve", "--registry", str(truth.registry.home)]
    with subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = ""
            while "Ctrl-C" not in said:
                line = process.stderr.readline()
                assert line, f"it ended: {said}"
                said += line
            found = re.search(r"http://[^:/]+:(\d+)", said)
            assert found is not None, said
            yield process, int(found[1])
        finally:
            process.kill()


def run(folder: Path, *, clients: int, promotions: int, every: float) -> Outcome:
    """The whole of it, after so many promotions."""
    truth, outcome = Truth(folder), Outcome()
    for _ in range(3):
        truth.register()
    with serving(truth) as (process, port):
        ending = threading.Event()
        asking = [threading.Thread(target=_ask, args=(port, truth, outcome, ending, i)) for i in range(clients)]
        for one in asking:
            one.start()
        started = time.monotonic()
        try:
            last = _promote(truth, outcome, process, port, promotions, every)
        finally:
            ending.set()
            for one in asking:
                one.join()
        outcome.seconds = time.monotonic() - started
    with serving(truth, port):  # the other was killed, after a promotion
        again = Client(port, truth, outcome)
        if again.ask([0, 1], by_tensors=True) != last:
            outcome.faults.append(f"after the kill: {last} is promoted, and another answers")
        for version in truth.known:
            if again.ask(list(range(50)), by_tensors=False, reference=f"load/versions/{version}") != version:
                outcome.faults.append(f"after the kill: {version} does not answer")
    return outcome


def _promote(
    truth: Truth, outcome: Outcome, process: subprocess.Popen[str], port: int, promotions: int, every: float
) -> int:
    looking = Client(port, truth, outcome)
    version, server = 1, psutil.Process(process.pid)
    for number in range(promotions):
        if number == promotions // 2:
            truth.register()
        version = version % len(truth.known) + 1
        truth.registry.alias("load", "default", version)
        outcome.promotions += 1
        seen = looking.ask([number % len(truth.rows)], by_tensors=True)
        if seen not in (version, None):
            outcome.faults.append(f"promotion {number}: {version} is promoted, and {seen} answers")
        outcome.memory.append(server.memory_info().rss)
        time.sleep(every)
    return version


def _ask(port: int, truth: Truth, outcome: Outcome, ending: threading.Event, number: int) -> None:
    client, answers = Client(port, truth, outcome), Counter[int]()
    try:
        for turn in itertools.count(number):
            if ending.is_set():
                break
            rows = [(turn * 7 + i) % len(truth.rows) for i in range(1 + turn % 3)]
            version = client.ask(rows, by_tensors=turn % 2 == 0)
            if version is not None:
                answers[version] += 1
    except Exception as error:
        outcome.faults.append(f"client {number}: {error!r}")
        raise
    finally:
        with _LOCK:
            outcome.answers.update(answers)


_LOCK = threading.Lock()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=300)
    parser.add_argument("--every", type=float, default=1.0, help="seconds from one to the next")
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), clients=options.clients, promotions=options.promotions, every=options.every)
    print(outcome)
    raise SystemExit(1 if outcome.faults or not outcome.answers else 0)


if __name__ == "__main__":
    main()
