from __future__ import annotations

import os

import pytest

import sqlinfer.spark
from tests.spark.sparks import REQUIRED, spark_problem, started


def pytest_configure(config: pytest.Config) -> None:
    problem = spark_problem()
    if problem and os.environ.get(REQUIRED) == "1":
        raise pytest.UsageError(f"{REQUIRED}=1, but {problem}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if problem := spark_problem():
        terminalreporter.section("spark")
        terminalreporter.write_line(problem, yellow=True)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """Spark itself."""
    if problem := spark_problem():
        pytest.skip(problem)
    session = started(tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def spark(plain, registry):
    """Spark with the models of the registry, and plain functions of some."""
    return sqlinfer.spark.attach(plain.newSession(), registry=registry, models=["iris", "width"])
