"""Trees behind other steps: by the kernel, and as in scikit-learn to the digit at which a split decides."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

import sqlinfer
from sqlinfer.convert.sklearn.exact import encoders
from sqlinfer.errors import ConversionFailed

RANDOM = np.random.default_rng(5)
X = pd.DataFrame(RANDOM.normal(size=(3000, 5)), columns=list("abcde"))
SCORE = X["a"] * X["b"] + X["c"] + RANDOM.normal(size=3000) / 2
TWO = SCORE > 0
THREE = np.array(["low", "mid", "high"])[np.digitize(SCORE, [-0.5, 0.5])]
CLASSIFIERS = {
    "forest": make_pipeline(StandardScaler(), RandomForestClassifier(20, max_depth=6, random_state=0)),
    "extra": make_pipeline(StandardScaler(), ExtraTreesClassifier(20, max_depth=6, random_state=0)),
    "tree": make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=5)),
    "boosting": make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=15)),
    "bagging": BaggingClassifier(DecisionTreeClassifier(max_depth=5), n_estimators=4),
    "calibrated": CalibratedClassifierCV(RandomForestClassifier(5, max_depth=5, random_state=0), cv=2),
    "margins": CalibratedClassifierCV(GradientBoostingClassifier(n_estimators=5), cv=2),
    "stack": StackingClassifier([("f", RandomForestClassifier(5, max_depth=5, random_state=0))], cv=2),
}


def registered(model, rows, folder, engine):
    sqlinfer.register("m", model, sample=rows, registry=folder)
    con = sqlinfer.connect(registry=folder, engine=engine)
    con.register("x", rows.assign(row=range(len(rows))))
    con.execute("CREATE TABLE t AS FROM x")
    return con


def assert_answers(con, model, rows):
    given = [label for (label,) in con.execute("SELECT predict('m', t) FROM t ORDER BY row").fetchall()]
    assert given == model.predict(rows).tolist()
    scores = con.execute("SELECT predict_proba('m', t) FROM t ORDER BY row").fetchall()
    np.testing.assert_allclose([list(score.values()) for (score,) in scores], model.predict_proba(rows), atol=2e-6)


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_trees_that_classify_are_sums(name, labels, engine, tmp_path):
    model = CLASSIFIERS[name].fit(X, labels)
    with registered(model, X, tmp_path, engine) as con:
        assert_answers(con, model, X)
        graph = onnx.load(sqlinfer.Registry(tmp_path).get("m").onnx).graph
        assert {n.op_type for n in graph.node if "Tree" in n.op_type} == {"TreeEnsemble"}


@pytest.mark.slow
@pytest.mark.parametrize("scaler", [StandardScaler(), MaxAbsScaler()])
@pytest.mark.parametrize("trees", [XGBClassifier(n_estimators=20), HistGradientBoostingClassifier(max_iter=20)])
def test_columns_of_singles_are_scaled_in_singles(scaler, trees, engine, tmp_path):
    rows = X.astype(np.float32)
    model = make_pipeline(scaler, trees).fit(rows, TWO)
    with registered(model, rows, tmp_path, engine) as con:
        assert_answers(con, model, rows)


@pytest.mark.parametrize("name", ["boosting", "forest"])
@pytest.mark.slow
def test_a_score_is_the_same_in_every_run(name, engine, tmp_path):
    model = CLASSIFIERS[name].fit(X, THREE)
    with registered(model, X, tmp_path, engine) as con:
        runs = [con.execute("SELECT predict_proba('m', t) FROM t ORDER BY row").fetchall() for _ in range(4)]
        few = con.execute("SELECT predict_proba('m', t) FROM t WHERE row < 3 ORDER BY row").fetchall()
        assert all(run == runs[0] for run in runs)
        assert few == runs[0][:3]


def test_too_many_categories_are_refused(tmp_path, monkeypatch):
    """A table of the square of their number: 60,000 would ask for 27 GB."""
    monkeypatch.setattr(encoders, "_MOST_LOOKED_UP", 100)
    rows = pd.DataFrame({"c": [f"c{i}" for i in range(11)] * 2})
    ordinal, one_hot = (
        make_pipeline(encoder, Ridge()).fit(rows, range(22)) for encoder in (OrdinalEncoder(), OneHotEncoder())
    )
    sqlinfer.register("m", ordinal, sample=rows, registry=tmp_path)
    with pytest.raises(ConversionFailed, match="OneHotEncoder that makes 11 columns of 11 categories"):
        sqlinfer.register("m", one_hot, sample=rows, registry=tmp_path)
