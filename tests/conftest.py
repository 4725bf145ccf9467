"""Models that are trained in seconds, one registry for all tests, and one connection per engine."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from lightgbm import LGBMClassifier
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBRegressor

import sqlinfer
from sqlinfer.registration.sandbox import Worker
from tests.engines import ENGINES, REQUIRED, native_problem
from tests.processes import HANG, computes

# hypothesis measures how long its own drawing takes, too
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Small graphs in ONNX's own notation, each for one thing that a model can be.
GRAPHS = {
    "mean": "(float[n, len] x) => (float[n] y) <int64[1] axis = {1}> { y = ReduceMean<keepdims=0>(x, axis) }",
    "echo": "(int64[n, len] x) => (int64[n, len] y) { y = Identity(x) }",
    "pixels": "(float[n, 3, 2, 4] image) => (float[n, 3] channels)"
    " { pooled = GlobalAveragePool(image)  channels = Flatten(pooled) }",
    "arithmetic": "(float[n, 1] a, float[n, 1] b) => (float[n, 1] sum, float[n, 1] product)"
    " { sum = Add(a, b)  product = Mul(a, b) }",
    "mixed": "(float[n, 1] x, int64[n] k, string[n, 1] s, bool[n] b)"
    " => (float[n, 1] x2, int64[n] k2, string[n, 1] s2, bool[n] b2)"
    " { x2 = Neg(x)  k2 = Neg(k)  s2 = Identity(s)  b2 = Not(b) }",
    "four": "(float[4, 2] x) => (float[4, 2] y) <float[1] two = {2}> { y = Mul(x, two) }",
    "bytesum": "(uint8[n, len] x) => (float[n] y) <int64[1] axis = {1}>"
    " { f = Cast<to=1>(x)  y = ReduceSum<keepdims=0>(f, axis) }",
    "centred": "(float[n, 2] x) => (float[n, 2] y) { m = ReduceMean(x)  y = Sub(x, m) }",
    "same_text": "(string[n, 1] x) => (string[n, 1] y) { y = Identity(x) }",
    "same_float": "(float[n, 1] x) => (float[n, 1] y) { y = Identity(x) }",
    "same_double": "(double[n, 1] x) => (double[n, 1] y) { y = Identity(x) }",
    "same_int": "(int64[n] x) => (int64[n] y) { y = Identity(x) }",
    "same_tiny": "(int8[n] x) => (int8[n] y) { y = Identity(x) }",
    "negate": "(bool[n] x) => (bool[n] y) { y = Not(x) }",
    "half": "(float16[n, 2] x) => (float16[n, 2] y) { y = Add(x, x) }",
    "table": "(double[n, any, 2] x) => (double[n, 2] y) <int64[1] axis = {1}> { y = ReduceSum<keepdims=0>(x, axis) }",
}


def parse(graph: str, opset: int = 18) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> test {graph}')


def pytest_configure(config: pytest.Config) -> None:
    # hundreds of registrations; tests/estimators and tests/registration are about the rows that are tried
    sqlinfer.register.__kwdefaults__["trials"] = 0
    # LightGBM counts the cores itself; its threads spin while they wait for one another, for seconds on a busy machine
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
    problem = native_problem()
    if problem and os.environ.get(REQUIRED) == "1":
        raise pytest.UsageError(f"{REQUIRED}=1, but {problem}")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what it puts into the background so
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="no slow tests, and of each other one a case, on the engines in turn"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that are slow as a whole need not be imported to be left out."""
    if not config.getoption("--fast") or collection_path.suffix != ".py":
        return None
    source = collection_path.read_text(encoding="utf-8")
    return True if re.search(r"^pytestmark = .*\bmark\.slow\b", source, re.MULTILINE) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    cases: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        if "slow" not in item.keywords:
            cases.setdefault((item.nodeid.partition("[")[0], _parameter(item, "face")), []).append(item)
    kept = set()
    for number, of_one in enumerate(cases.values()):
        engine = ENGINES[number % len(ENGINES)]
        kept.add(next((item for item in of_one if _parameter(item, "engine") == engine), of_one[0]))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _parameter(item: pytest.Item, name: str) -> str:
    case = getattr(item, "callspec", None)
    return str(case.params.get(name, "")) if case else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if problem := native_problem():
        terminalreporter.section("engines")
        terminalreporter.write_line(problem, yellow=True)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], Any]], Any]:
    """``once(name, make)``: what ``make(folder)`` gives, made by the first worker of the run that asks for it. The
    folder stays for all of them; the value is pickled."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "once"

    def ask(name: str, make: Callable[[Path], Any]) -> Any:
        made = root / f"{name}.pickle"
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(made.with_suffix(".lock")):
            if not made.exists():
                folder = made.with_suffix("")
                shutil.rmtree(folder, ignore_errors=True)  # of one who failed
                folder.mkdir()
                content = pickle.dumps(make(folder))
                made.write_bytes(content)
            return pickle.loads(made.read_bytes())

    return ask


@pytest.fixture
def onnx_file(tmp_path):
    """``onnx_file(graph)``: the path of an ONNX file that holds a graph written in ONNX's own notation."""

    def write(graph: str, name: str = "model.onnx", **how) -> Path:
        onnx.save(parse(graph, **how), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def without(tmp_path, monkeypatch):
    """``without(package)``: files are registered as where the package is not installed."""
    fresh = Worker()

    def hide(package: str) -> None:
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no {package}')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.setattr("sqlinfer.registration.register.worker", fresh)

    yield hide
    fresh.close()


@pytest.fixture(scope="session")
def iris() -> pd.DataFrame:
    frame = load_iris(as_frame=True).data
    frame.columns = ["sl", "sw", "pl", "pw"]
    return frame


@pytest.fixture(scope="session")
def species() -> np.ndarray:
    data = load_iris()
    return data.target_names[data.target]


@pytest.fixture(scope="session")
def customers() -> pd.DataFrame:
    """Numbers and text with gaps, as customers are."""
    random = np.random.default_rng(7)
    n = 3000
    frame = pd.DataFrame(
        {
            "age": random.normal(45, 12, n).round(1),
            "income": random.gamma(3, 12, n).round(2),
            "visits": random.integers(0, 30, n),
            "city": random.choice(["Bern", "Genève", "Zürich"], n),
        }
    )
    frame.loc[random.random(n) < 0.2, "income"] = np.nan
    frame.loc[random.random(n) < 0.1, "city"] = np.nan
    return frame


@pytest.fixture(scope="session")
def estimators(once, iris, species, customers) -> dict:
    """Each model as its framework has it, with the rows that it was trained on."""
    return once("estimators", lambda folder: trained(iris, species, customers))


def trained(iris: pd.DataFrame, species: np.ndarray, customers: pd.DataFrame) -> dict:
    numbers = customers[["age", "income", "visits"]]
    left = (customers["age"] + customers["income"].fillna(60) - customers["visits"]) > 70
    diabetes = load_diabetes(as_frame=True)
    pipeline = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["age", "income"]),
            ("passthrough", ["visits"]),
            (make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder()), ["city"]),
        ),
        HistGradientBoostingClassifier(max_iter=40, random_state=0),
    )
    digit = iris["pl"].round().astype(int) - 2  # labels are any integers, negative ones too
    return {
        "iris": (LogisticRegression(max_iter=500).fit(iris, species), iris),
        "churn": (pipeline.fit(customers, left), customers),
        "digit": (DecisionTreeClassifier(max_depth=5, random_state=0).fit(iris, digit), iris),
        "progress": (LinearRegression().fit(diabetes.data, diabetes.target), diabetes.data),
        "width": (LinearRegression().fit(iris[["pl"]], iris["pw"]), iris[["pl"]]),
        "segment": (KMeans(3, n_init=2, random_state=0).fit(iris), iris),
        "plane": (PCA(2).fit(iris), iris),
        "risk": (XGBRegressor(n_estimators=30, max_depth=4).fit(numbers, numbers["age"] / 7), numbers),
        "offer": (LGBMClassifier(n_estimators=30, verbose=-1).fit(numbers, np.where(left, "yes", "no")), numbers),
    }


@pytest.fixture(scope="session")
def registry(once, estimators, species) -> sqlinfer.Registry:
    """All of the above, and a second version of iris that is more careful. It is read by all tests: none changes it."""
    return sqlinfer.Registry(once("registry", lambda folder: registered(folder, estimators, species)))


def registered(folder: Path, estimators: dict, species: np.ndarray) -> Path:
    registry = sqlinfer.Registry(folder / "models")
    for name, (model, sample) in estimators.items():
        sqlinfer.register(name, model, sample=sample, registry=registry)
    iris = estimators["iris"][1]
    sqlinfer.register("iris", LogisticRegression(C=0.01).fit(iris, species), sample=iris, registry=registry)
    registry.alias("iris", "careful", 2)
    for name, graph in GRAPHS.items():
        onnx.save(parse(graph), folder / f"{name}.onnx")
        sqlinfer.register(name, folder / f"{name}.onnx", registry=registry)
    return folder / "models"


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    return request.param


@pytest.fixture
def con(registry, engine, iris, customers):
    """A connection with the tables iris and customers."""
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        con.execute("CREATE TABLE iris AS FROM iris")
        con.execute("CREATE TABLE customers AS FROM customers")
        yield con


@pytest.fixture
def interrupted():
    """``interrupted(script)``: the lines that it prints when Ctrl-C is pressed amid what it computes after its first,
    "ready"."""

    def run(script: str) -> list[str]:
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            computes(process)
            os.kill(process.pid, signal.SIGINT)
            try:
                out, _ = process.communicate(timeout=HANG)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0
        return out.splitlines()

    return run


@pytest.fixture
def one(con):
    """``one(sql)``: the single value that a query answers."""

    def ask(sql, *parameters):
        ((value,),) = con.execute(sql, *parameters).fetchall()
        return value

    return ask


@pytest.fixture
def column(con):
    """``column(sql)``: the values of a query's only column."""
    return lambda sql: [value for (value,) in con.execute(sql).fetchall()]
