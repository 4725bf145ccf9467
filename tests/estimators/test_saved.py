"""Models in the files that XGBoost, LightGBM and CatBoost write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from xgboost import XGBClassifier, XGBRegressor

import sqlinfer
from sqlinfer.errors import InvalidModel

RANDOM = np.random.default_rng(9)
X = pd.DataFrame(RANDOM.normal(size=(500, 3)), columns=["a", "b", "c"])
NUMBER = X["a"] * X["b"] + X["c"]
THREE = np.digitize(NUMBER, [-0.5, 0.5])
QUIET: dict[str, Any] = {"iterations": 5, "verbose": 0, "allow_writing_files": False}
# the file's name; the model that is saved in it; how
SAVED = {
    "classes.json": (lambda: XGBClassifier(n_estimators=5).fit(X, THREE), lambda m, path: m.save_model(path)),
    "numbers.ubj": (lambda: XGBRegressor(n_estimators=5).fit(X, NUMBER), lambda m, path: m.save_model(path)),
    "classes.txt": (
        lambda: LGBMClassifier(n_estimators=5, verbose=-1).fit(X, THREE),
        lambda m, path: m.booster_.save_model(path),
    ),
    "numbers.lgb": (
        lambda: LGBMRegressor(n_estimators=5, verbose=-1).fit(X, NUMBER),
        lambda m, path: m.booster_.save_model(path),
    ),
    "classes.cbm": (
        lambda: CatBoostClassifier(**QUIET).fit(X, np.array(["low", "mid", "high"])[THREE]),
        lambda m, path: m.save_model(path),
    ),
    "numbers.cbm": (lambda: CatBoostRegressor(**QUIET).fit(X, NUMBER), lambda m, path: m.save_model(path)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAVED)
def test_a_saved_model_answers_as_it_did(name, engine, tmp_path):
    train, save = SAVED[name]
    model = train()
    save(model, tmp_path / name)
    sqlinfer.register("m", tmp_path / name, sample=X, registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
        given = [answer for (answer,) in con.execute("SELECT predict('m', x) FROM X x").fetchall()]
    expected = model.predict(X).ravel()
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
    else:
        assert given == expected.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", SAVED)
def test_a_damaged_file_is_one_clear_error(name, tmp_path):
    train, save = SAVED[name]
    path = tmp_path / name
    save(train(), path)
    content = bytearray(path.read_bytes())
    damaged = {
        "cut": content[: len(content) // 2],
        "begun": content[:80],
        "changed": content[:200] + bytes(np.random.default_rng(9).integers(0, 256, len(content) - 200, np.uint8)),
    }
    for how, part in damaged.items():
        (tmp_path / f"{how}_{name}").write_bytes(part)
        with pytest.raises(InvalidModel, match=f"{how}_{name}"):
            # LightGBM reads some of them for minutes
            sqlinfer.register("m", tmp_path / f"{how}_{name}", sample=X, registry=tmp_path / "models", time_limit=2)
    assert sqlinfer.Registry(tmp_path / "models").names() == []
