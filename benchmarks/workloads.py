"""The models, and the tables that they are run on."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

import sqlinfer

WORKLOADS = {
    "linear": ("linear regression, 10 FLOAT columns", 10, 1),
    "trees": ("LightGBM, 100 trees of 31 leaves, 20 FLOAT columns", 20, 4),
    "mlp": ("neural network 20-64-32-1, 20 FLOAT columns", 20, 1),
}


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    columns: list[str]
    rows: int
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "rows.duckdb"

    @property
    def registry(self) -> Path:
        return self.folder / "models"

    @property
    def estimator(self) -> Any:
        return pickle.loads((self.folder / "estimator.pkl").read_bytes())

    @property
    def onnx(self) -> Path:
        return sqlinfer.Registry(self.registry).get("m").onnx


def make(name: str, rows: int, folder: Path) -> Workload:
    """Train, register, and fill a table ``t (id, x0 … xk)`` of random rows; heavier models get fewer of them."""
    folder.mkdir(parents=True)
    _, width, divisor = WORKLOADS[name]
    random = np.random.default_rng(0)
    columns = [f"x{i}" for i in range(width)]
    sample = pd.DataFrame(random.normal(size=(5000, width)).astype(np.float32), columns=columns)
    target = sample["x0"] * sample["x1"] + sample["x2"] + 3
    estimator = _estimator(name).fit(sample, target)
    (folder / "estimator.pkl").write_bytes(pickle.dumps(estimator))
    sqlinfer.register("m", estimator, sample=sample, registry=folder / "models")
    normal = ", ".join(f"(random() * 4 - 2)::FLOAT AS {column}" for column in columns)
    with duckdb.connect(str(folder / "rows.duckdb")) as con:
        con.execute(f"CREATE TABLE t AS SELECT i AS id, {normal} FROM range({rows // divisor}) r(i)")
    return open_existing(name, folder)


def open_existing(name: str, folder: Path) -> Workload:
    title, width, _ = WORKLOADS[name]
    with duckdb.connect(str(folder / "rows.duckdb"), read_only=True) as con:
        ((rows,),) = con.execute("SELECT count(*) FROM t").fetchall()
    return Workload(name, title, [f"x{i}" for i in range(width)], rows, folder)


def _estimator(name: str) -> Any:
    if name == "linear":
        from sklearn.linear_model import LinearRegression

        return LinearRegression()
    if name == "trees":
        from lightgbm import LGBMRegressor

        return LGBMRegressor(n_estimators=100, num_leaves=31, verbose=-1)
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=30, random_state=0)
