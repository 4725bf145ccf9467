"""What a server counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 8192, 65536)


class Metrics:
    """``depth`` says how many requests are being read, wait, or are answered."""

    def __init__(self, depth: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "sqlinfer_requests", "Requests answered.", ("model", "version", "code"), registry=registry
        )
        self._seconds = Histogram(
            "sqlinfer_request_seconds",
            "From a request's head to its answer.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._rows = Counter("sqlinfer_rows", "Rows answered.", ("model", "version"), registry=registry)
        self._batches = Histogram(
            "sqlinfer_batch_rows", "Rows that were scored together.", ("model",), buckets=_ROWS, registry=registry
        )
        gauge = Gauge("sqlinfer_queue_depth", "Requests that are waiting, or are answered.", registry=registry)
        gauge.set_function(depth)

    def batch(self, model: str, rows: int) -> None:
        self._batches.labels(model).observe(rows)

    def request(self, model: str, version: str, code: int, seconds: float, rows: int) -> None:
        """``model`` and ``version``: what was found; of what was not there they are empty."""
        self._requests.labels(model, version, str(code)).inc()
        if model:
            self._seconds.labels(model).observe(seconds)
        if rows and code == 200:
            self._rows.labels(model, version).inc(rows)

    def text(self) -> bytes:
        return generate_latest(self._registry)
