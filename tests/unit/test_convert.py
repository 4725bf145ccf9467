"""Estimators of every kind, registered and asked through SQL: the answers are the estimator's own."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn import (
    base,
    calibration,
    cluster,
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

import sqlinfer
from sqlinfer.errors import ConversionFailed, FeatureError

RANDOM = np.random.default_rng(3)
X = pd.DataFrame(RANDOM.normal(size=(400, 4)), columns=["a", "b", "c", "d"]).round(3)
NUMBER = (X["a"] * 2 - X["b"] + X["c"] ** 2).round(4)
BINARY = (NUMBER > 1).astype(int)
THREE = np.array(["low", "mid", "high"])[np.digitize(NUMBER, [0.0, 2.0])]
HOLES = X.mask(RANDOM.random(X.shape) < 0.1)

CLASSIFIERS = {
    "logistic": linear_model.LogisticRegression(),
    "sgd": linear_model.SGDClassifier(loss="log_loss", random_state=0),
    "tree": tree.DecisionTreeClassifier(max_depth=6, random_state=0),
    "forest": ensemble.RandomForestClassifier(20, random_state=0),
    "extra": ensemble.ExtraTreesClassifier(20, random_state=0),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
    "hist": ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "neighbours": neighbors.KNeighborsClassifier(3),
    "bayes": naive_bayes.GaussianNB(),
    "mlp": neural_network.MLPClassifier((8,), max_iter=50, random_state=0),
    "svc": svm.SVC(probability=False),
    "scaled": pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "calibrated": calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), cv=2),
    "voting": ensemble.VotingClassifier(
        [("l", linear_model.LogisticRegression()), ("t", tree.DecisionTreeClassifier(max_depth=3))], voting="soft"
    ),
    "xgboost": xgboost.XGBClassifier(n_estimators=15, max_depth=3),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=15, verbose=-1),
}

REGRESSORS = {
    "linear": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "lasso": linear_model.Lasso(0.01),
    "poisson": linear_model.PoissonRegressor(),
    "tree": tree.DecisionTreeRegressor(max_depth=6, random_state=0),
    "forest": ensemble.RandomForestRegressor(20, random_state=0),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0),
    "hist": ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "mlp": neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=200, random_state=0),
    "svr": svm.SVR(),
    "polynomial": pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge()),
    "columns": pipeline.make_pipeline(
        compose.ColumnTransformer([("s", preprocessing.StandardScaler(), ["d", "a"])], remainder="passthrough"),
        linear_model.Ridge(),
    ),
    "xgboost": xgboost.XGBRegressor(n_estimators=15, max_depth=3),
    "lightgbm": lightgbm.LGBMRegressor(n_estimators=15, verbose=-1),
}

OTHERS = {
    "kmeans": cluster.KMeans(3, n_init=1, random_state=0),
    "pca": decomposition.PCA(2),
    "svd": decomposition.TruncatedSVD(2, random_state=0),
    "scaler": preprocessing.StandardScaler(),
    "mixture": mixture.GaussianMixture(3, random_state=0),
    "isolation": ensemble.IsolationForest(n_estimators=20, random_state=0),
}


@pytest.fixture
def through_sql(tmp_path):
    """``through_sql(model, rows)``: the model's answers through SQL; predict_proba where it has classes."""

    def ask(model, rows, call="predict", **options):
        frame = (
            rows
            if isinstance(rows, pd.DataFrame)
            else pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])])
        )
        sqlinfer.register("m", model, sample=rows, registry=tmp_path / "models", promote=True, **options)
        with sqlinfer.connect(registry=tmp_path / "models") as con:
            con.register("rows", frame)
            return [value for (value,) in con.execute(f"SELECT {call}('m', rows) FROM rows").fetchall()]

    return ask


def assert_close(given, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.array(given, float) / scale, np.array(expected, float) / scale, atol=2e-5)


@pytest.mark.parametrize(
    "labels", [BINARY.to_numpy(), BINARY.to_numpy() == 1, THREE], ids=["integers", "booleans", "texts"]
)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers(through_sql, kind, labels):
    if kind == "xgboost" and labels.dtype.kind == "U":
        labels = np.unique(labels, return_inverse=True)[1]  # XGBoost takes only numbers
    model = base.clone(CLASSIFIERS[kind]).fit(X, labels)
    given = through_sql(model, X)
    assert given == model.predict(X).tolist()
    assert type(given[0]) is type(np.asarray(model.classes_).tolist()[0])


@pytest.mark.parametrize("kind", [k for k in CLASSIFIERS if k != "svc"])
def test_probabilities(through_sql, kind):
    labels = BINARY if kind == "xgboost" else THREE
    model = base.clone(CLASSIFIERS[kind]).fit(X, labels)
    given = through_sql(model, X, "predict_proba")
    assert list(given[0]) == model.classes_.tolist()
    assert_close([list(row.values()) for row in given], model.predict_proba(X))


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors(through_sql, kind):
    target = NUMBER - NUMBER.min() if kind == "poisson" else NUMBER
    model = base.clone(REGRESSORS[kind]).fit(X, target)
    assert_close(through_sql(model, X), model.predict(X))


@pytest.mark.parametrize("kind", OTHERS)
def test_clusters_and_transformers(through_sql, kind):
    model = base.clone(OTHERS[kind]).fit(X)
    expected = model.predict(X) if hasattr(model, "predict") else model.transform(X)
    given = through_sql(model, X)
    if expected.ndim == 1:
        assert given == expected.tolist()
    else:
        assert_close(given, expected)


def test_several_targets(through_sql):
    model = linear_model.LinearRegression().fit(X, np.column_stack([NUMBER, -NUMBER, X["a"]]))
    assert_close(through_sql(model, X), model.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_bare_matrix_names_its_columns_f0_f1(through_sql, dtype):
    matrix = (X.to_numpy() * 10).astype(dtype)
    model = linear_model.LogisticRegression().fit(matrix, THREE)
    assert through_sql(model, matrix) == model.predict(matrix).tolist()


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosters(through_sql, library, kind):
    matrix, classes = X.to_numpy(), np.digitize(NUMBER, [0.0, 2.0])
    target = {"regression": NUMBER, "binary": BINARY, "multiclass": classes}[kind]
    booster: xgboost.Booster | lightgbm.Booster
    scores: Any
    if library == "xgboost":
        names = {"regression": "reg:squarederror", "binary": "binary:logistic", "multiclass": "multi:softprob"}
        options = {"objective": names[kind], **({"num_class": 3} if kind == "multiclass" else {})}
        booster = xgboost.train(options, xgboost.DMatrix(matrix, target), 10)
        scores = booster.predict(xgboost.DMatrix(matrix))
    else:
        options = {"objective": kind, "verbose": -1, **({"num_class": 3} if kind == "multiclass" else {})}
        booster = lightgbm.train(options, lightgbm.Dataset(matrix, target), 10)
        scores = booster.predict(matrix)
    given = through_sql(booster, X)
    if kind == "regression":
        assert_close(given, scores)
    else:
        expected = scores.argmax(axis=1) if kind == "multiclass" else (scores > 0.5).astype(int)
        assert given == expected.tolist()


@pytest.mark.parametrize(
    "model",
    [
        xgboost.XGBRegressor(n_estimators=15, max_depth=3),
        xgboost.XGBClassifier(n_estimators=15, max_depth=3),
        lightgbm.LGBMRegressor(n_estimators=15, verbose=-1),
        lightgbm.LGBMClassifier(n_estimators=15, verbose=-1),
        ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_that_take_gaps_are_given_gaps(through_sql, model):
    """NULL in SQL is what missing is in the DataFrame, without being asked for."""
    model.fit(HOLES, BINARY if base.is_classifier(model) else NUMBER)
    given = through_sql(model, HOLES)
    if hasattr(model, "classes_"):
        assert given == model.predict(HOLES).tolist()
    else:
        assert_close(given, model.predict(HOLES))


def test_text_in_a_pipeline(through_sql):
    rows = pd.DataFrame(
        {
            "city": RANDOM.choice(["Ost", "Süd", "Ünten"], 300),
            "size": RANDOM.integers(0, 9, 300),
            "ok": RANDOM.random(300) > 0.5,
        }
    )
    steps = compose.make_column_transformer(
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]),
        (preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["size"]),
        remainder="passthrough",
    )
    model = pipeline.make_pipeline(steps, linear_model.LogisticRegression()).fit(rows, (rows["size"] > 4) ^ rows["ok"])
    assert through_sql(model, rows) == model.predict(rows).tolist()


def test_a_category_that_was_never_seen(tmp_path):
    rows = pd.DataFrame({"city": ["Ost", "Süd"] * 50, "n": range(100)})
    steps = compose.make_column_transformer(
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"
    )
    model = pipeline.make_pipeline(steps, linear_model.Ridge()).fit(rows, rows["n"] * 2.0)
    sqlinfer.register("m", model, sample=rows, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path) as con:
        ((given,),) = con.execute("SELECT predict('m', 'Nowhere', 5)").fetchall()
    assert given == pytest.approx(model.predict(pd.DataFrame({"city": ["Nowhere"], "n": [5]}))[0], rel=1e-5)


def test_words(through_sql):
    """A text classifier over one column of sentences."""
    rows = pd.DataFrame({"text": ["good fun", "bad film", "great fun", "bad and sad"] * 10})
    steps = compose.ColumnTransformer([("words", feature_extraction.text.CountVectorizer(), "text")])
    model = pipeline.make_pipeline(steps, linear_model.LogisticRegression()).fit(rows, ["+", "-", "+", "-"] * 10)
    assert through_sql(model, rows) == model.predict(rows).tolist()


def test_an_estimator_needs_a_sample(tmp_path):
    with pytest.raises(ConversionFailed, match="sample=X_train"):
        sqlinfer.register("m", linear_model.LinearRegression().fit(X, NUMBER), registry=tmp_path)


@pytest.mark.parametrize("thing", [42, None, object(), {"a": 1}, len])
def test_what_is_no_model_is_refused(tmp_path, thing):
    with pytest.raises(ConversionFailed, match="cannot be registered"):
        sqlinfer.register("m", thing, sample=X, registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_an_estimator_that_is_not_fitted_is_refused(tmp_path):
    with pytest.raises((ConversionFailed, ValueError)):
        sqlinfer.register("m", linear_model.LogisticRegression(), sample=X, registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_columns_that_sql_takes_for_one_are_refused(tmp_path):
    rows = pd.DataFrame({"a": [1.0, 2.0, 4.0], "A": [2.0, 3.0, 3.0]})
    with pytest.raises(FeatureError, match=r"two features are called 'a' \(SQL ignores case\)"):
        sqlinfer.register("m", linear_model.LinearRegression().fit(rows, [1, 2, 3]), sample=rows, registry=tmp_path)


def test_a_column_that_no_feature_can_be_is_refused(tmp_path):
    rows = X.assign(day=pd.Timestamp("2024-01-01"))
    with pytest.raises(FeatureError, match="'day' is TIMESTAMP"):
        sqlinfer.register("m", linear_model.LinearRegression().fit(X, NUMBER), sample=rows, registry=tmp_path)
