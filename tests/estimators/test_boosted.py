"""Boosted trees of every kind: SQL answers what the library answers, on every row, missing values included."""

from __future__ import annotations

from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy import sparse
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sqlinfer
from sqlinfer.errors import ConversionFailed, ModelFailed
from tests.conftest import ENGINES

pytestmark = pytest.mark.usefixtures("few_trials")

RANDOM = np.random.default_rng(5)
N = 300
X = pd.DataFrame(RANDOM.normal(size=(N, 3)), columns=["a", "b", "c"])
X = X.mask(RANDOM.random(X.shape) < 0.1)
RAW = (X["a"].fillna(1) * 2 - X["b"].fillna(-2)).to_numpy()
BINARY = (RAW > 1).astype(int)
THREE = np.digitize(RAW, [0.0, 2.5])
SIZE = np.exp(RAW / 4)
TWO = np.column_stack([RAW, -RAW + X["c"].fillna(0)])
GROUPS = np.full(10, N // 10)
CITIES = ["Zug", "Uri", "Genève", "Bern"]
KINDS = pd.DataFrame(
    {
        "a": X["a"],
        "city": pd.Categorical(RANDOM.choice(np.array([*CITIES, None]), N), CITIES),
        "size": pd.Categorical(RANDOM.choice([7, 10, 40], N)),
    }
)  # fmt: skip
ASCII = KINDS.assign(city=KINDS["city"].cat.rename_categories({"Genève": "Geneva"}))
BY_KIND = X["a"].fillna(0) + KINDS["city"].isin(["Zug", "Genève"]) * 3.0 + (KINDS["size"] == 10) * 2.0
ZEROS = X.round(0)

XGB: dict[str, Any] = {"n_estimators": 8, "max_depth": 3}
CAT: dict[str, Any] = {"iterations": 8, "depth": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1}
LGB: dict[str, Any] = {"n_estimators": 8, "min_child_samples": 5, "verbose": -1}

SETS: dict[str, Any] = {"cat_smooth": 1, "min_data_per_group": 1}


def squares(labels, scores):
    return scores - labels, np.ones_like(scores)


def stopping():
    model = xgboost.XGBRegressor(n_estimators=200, max_depth=3, learning_rate=0.9, early_stopping_rounds=2)
    return model.fit(X[:200], RAW[:200] + RANDOM.normal(size=200), eval_set=[(X[200:], RAW[200:])], verbose=False)


def rf_of(booster, **options):
    return booster(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **LGB, **options)


CASES = {
    "xgb": lambda: (xgboost.XGBRegressor(**XGB).fit(X, RAW), X),
    "xgb base_score": lambda: (xgboost.XGBRegressor(base_score=100, **XGB).fit(X, RAW), X),
    "xgb dart": lambda: (xgboost.XGBRegressor(booster="dart", rate_drop=0.5, **XGB).fit(X, RAW), X),
    "xgb forest": lambda: (xgboost.XGBRFRegressor(**XGB).fit(X, RAW), X),
    "xgb forest of classes": lambda: (xgboost.XGBRFClassifier(**XGB).fit(X, THREE), X),
    "xgb boosted forest": lambda: (xgboost.XGBClassifier(num_parallel_tree=3, subsample=0.7, **XGB).fit(X, THREE), X),
    "xgb poisson": lambda: (xgboost.XGBRegressor(objective="count:poisson", **XGB).fit(X, np.round(SIZE)), X),
    "xgb gamma": lambda: (xgboost.XGBRegressor(objective="reg:gamma", **XGB).fit(X, SIZE), X),
    "xgb tweedie": lambda: (xgboost.XGBRegressor(objective="reg:tweedie", **XGB).fit(X, SIZE), X),
    "xgb logistic": lambda: (xgboost.XGBRegressor(objective="reg:logistic", **XGB).fit(X, BINARY), X),
    "xgb absolute": lambda: (xgboost.XGBRegressor(objective="reg:absoluteerror", **XGB).fit(X, RAW), X),
    "xgb quantiles": lambda: (
        xgboost.XGBRegressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.9], **XGB).fit(X, RAW),
        X,
    ),
    "xgb custom": lambda: (xgboost.XGBRegressor(objective=squares, **XGB).fit(X, RAW), X),
    "xgb ranker": lambda: (xgboost.XGBRanker(**XGB).fit(X, BINARY, group=GROUPS), X),
    "xgb binary": lambda: (xgboost.XGBClassifier(**XGB).fit(X, BINARY), X),
    "xgb uneven": lambda: (xgboost.XGBClassifier(scale_pos_weight=4, base_score=0.1, **XGB).fit(X, BINARY), X),
    "xgb hinge": lambda: (xgboost.XGBRegressor(objective="binary:hinge", **XGB).fit(X, BINARY), X),
    "xgb three": lambda: (xgboost.XGBClassifier(**XGB).fit(X, THREE), X),
    "xgb softmax": lambda: (xgboost.XGBClassifier(objective="multi:softmax", **XGB).fit(X, THREE), X),
    "xgb two numbers": lambda: (xgboost.XGBRegressor(**XGB).fit(X, TWO), X),
    "xgb vector leaves": lambda: (xgboost.XGBRegressor(multi_strategy="multi_output_tree", **XGB).fit(X, TWO), X),
    "xgb stopped": lambda: (stopping(), X),
    "xgb missing": lambda: (xgboost.XGBRegressor(missing=0.0, **XGB).fit(ZEROS.fillna(0), RAW), ZEROS.fillna(0)),
    "xgb categories": lambda: (
        xgboost.XGBRegressor(enable_categorical=True, max_cat_to_onehot=1, **XGB).fit(KINDS, BY_KIND),
        KINDS,
    ),
    "xgb one-hot categories": lambda: (
        xgboost.XGBClassifier(enable_categorical=True, max_cat_to_onehot=9, **XGB).fit(KINDS, BY_KIND > 2),
        KINDS,
    ),
    "xgb other order": lambda: (
        xgboost.XGBRegressor(enable_categorical=True, max_cat_to_onehot=1, **XGB).fit(ASCII, BY_KIND),
        ASCII.assign(city=ASCII["city"].cat.reorder_categories(["Bern", "Geneva", "Uri", "Zug"])),
    ),
    "xgb booster": lambda: (xgboost.train({"max_depth": 3}, xgboost.DMatrix(X, RAW), 8), X),
    "xgb booster of classes": lambda: (
        xgboost.train({"objective": "multi:softmax", "num_class": 3}, xgboost.DMatrix(X, THREE), 8),
        X,
    ),
    "xgb booster of categories": lambda: (
        xgboost.train({"max_depth": 3}, xgboost.DMatrix(KINDS, BY_KIND, enable_categorical=True), 8),
        KINDS,
    ),
    "lgb": lambda: (lightgbm.LGBMRegressor(**LGB).fit(X, RAW), X),
    "lgb forest": lambda: (rf_of(lightgbm.LGBMRegressor).fit(X, RAW), X),
    "lgb forest of classes": lambda: (rf_of(lightgbm.LGBMClassifier).fit(X, BINARY), X),
    "lgb dart": lambda: (lightgbm.LGBMRegressor(boosting_type="dart", drop_rate=0.5, **LGB).fit(X, RAW), X),
    "lgb poisson": lambda: (lightgbm.LGBMRegressor(objective="poisson", **LGB).fit(X, np.round(SIZE)), X),
    "lgb tweedie": lambda: (lightgbm.LGBMRegressor(objective="tweedie", **LGB).fit(X, SIZE), X),
    "lgb quantile": lambda: (lightgbm.LGBMRegressor(objective="quantile", alpha=0.8, **LGB).fit(X, RAW), X),
    "lgb root": lambda: (lightgbm.LGBMRegressor(reg_sqrt=True, **LGB).fit(X, RAW), X),
    "lgb cross entropy": lambda: (lightgbm.LGBMRegressor(objective="cross_entropy", **LGB).fit(X, BINARY), X),
    "lgb custom": lambda: (lightgbm.LGBMRegressor(objective=squares, **LGB).fit(X, RAW), X),
    "lgb ranker": lambda: (lightgbm.LGBMRanker(**LGB).fit(X, BINARY, group=GROUPS), X),
    "lgb binary": lambda: (lightgbm.LGBMClassifier(**LGB).fit(X, np.where(BINARY, "yes", "no")), X),
    "lgb sigmoid": lambda: (lightgbm.LGBMClassifier(sigmoid=2.5, **LGB).fit(X, BINARY == 1), X),
    "lgb three": lambda: (lightgbm.LGBMClassifier(**LGB).fit(X, THREE), X),
    "lgb one for all": lambda: (lightgbm.LGBMClassifier(objective="multiclassova", **LGB).fit(X, THREE), X),
    "lgb no missing": lambda: (lightgbm.LGBMRegressor(use_missing=False, **LGB).fit(X, RAW), X),
    "lgb trained whole": lambda: (lightgbm.LGBMRegressor(**LGB).fit(X.fillna(0.5), RAW), X),
    "lgb zero is missing": lambda: (lightgbm.LGBMRegressor(zero_as_missing=True, **LGB).fit(ZEROS, RAW), ZEROS),
    "lgb large": lambda: (lightgbm.LGBMRegressor(**LGB).fit(X[["a"]] * 1e-3 + 1e6, RAW), X[["a"]] * 1e-3 + 1e6),
    "lgb categories": lambda: (lightgbm.LGBMRegressor(**SETS, **LGB).fit(KINDS, BY_KIND), KINDS),
    "lgb classes by categories": lambda: (
        lightgbm.LGBMClassifier(**SETS, **LGB).fit(KINDS, BY_KIND > 2),
        KINDS,
    ),
    "lgb booster": lambda: (lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, RAW), 8), X),
    "lgb booster of categories": lambda: (
        lightgbm.train({"verbose": -1, "min_data_per_group": 1}, lightgbm.Dataset(KINDS, BY_KIND), 8),
        KINDS,
    ),
    "lgb single leaf": lambda: (lightgbm.LGBMRegressor(**LGB).fit(X, np.full(N, 3.5)), X),
    "xgb in a pipeline": lambda: (make_pipeline(SimpleImputer(), xgboost.XGBRegressor(**XGB)).fit(X, RAW), X),
    "xgb classes in a pipeline": lambda: (
        make_pipeline(SimpleImputer(), xgboost.XGBClassifier(**XGB)).fit(X, THREE),
        X,
    ),
    "lgb in a pipeline": lambda: (
        make_pipeline(SimpleImputer(), lightgbm.LGBMRegressor(**LGB)).set_output(transform="pandas").fit(X, RAW),
        X,
    ),
    "lgb classes in a pipeline": lambda: (
        make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**LGB))
        .set_output(transform="pandas")
        .fit(X, np.where(BINARY, "y", "n")),
        X,
    ),
    "lgb stacked": lambda: (
        VotingClassifier(
            [("x", xgboost.XGBClassifier(**XGB)), ("l", lightgbm.LGBMClassifier(**LGB))], voting="soft"
        ).fit(X, BINARY),
        X,
    ),
    "cat": lambda: (catboost.CatBoostRegressor(**CAT).fit(X, RAW), X),
    "cat missing above": lambda: (catboost.CatBoostRegressor(nan_mode="Max", **CAT).fit(X, RAW), X),
    "cat leaf by leaf": lambda: (catboost.CatBoostRegressor(grow_policy="Lossguide", **CAT).fit(X, RAW), X),
    "cat poisson": lambda: (catboost.CatBoostRegressor(loss_function="Poisson", **CAT).fit(X, np.round(SIZE)), X),
    "cat tweedie": lambda: (
        catboost.CatBoostRegressor(loss_function="Tweedie:variance_power=1.5", **CAT).fit(X, SIZE),
        X,
    ),
    "cat quantile": lambda: (catboost.CatBoostRegressor(loss_function="Quantile:alpha=0.8", **CAT).fit(X, RAW), X),
    "cat two numbers": lambda: (catboost.CatBoostRegressor(loss_function="MultiRMSE", **CAT).fit(X, TWO), X),
    "cat ranker": lambda: (catboost.CatBoostRanker(**CAT).fit(X, BINARY, group_id=np.arange(N) // 30), X),
    "cat binary": lambda: (catboost.CatBoostClassifier(**CAT).fit(X, np.where(BINARY, "yes", "no")), X),
    "cat booleans": lambda: (catboost.CatBoostClassifier(**CAT).fit(X, BINARY == 1), X),
    "cat three": lambda: (catboost.CatBoostClassifier(**CAT).fit(X, THREE), X),
    "cat leaf by leaf, three": lambda: (
        catboost.CatBoostClassifier(grow_policy="Depthwise", **CAT).fit(X, THREE),
        X,
    ),
    "cat one for all": lambda: (
        catboost.CatBoostClassifier(loss_function="MultiClassOneVsAll", **CAT).fit(X, THREE),
        X,
    ),
}  # fmt: skip


def name_of(case: str) -> str:
    return case.replace(" ", "_").replace("-", "_").replace(",", "")


@pytest.fixture
def boosted(once):
    """``boosted(case)``: the registry that holds the model, the model, and its rows."""

    def register(case):
        def make(folder):
            model, rows = CASES[case]()
            sqlinfer.register(name_of(case), model, sample=rows, registry=folder)
            return folder, model, rows

        return once(f"boosted/{name_of(case)}", make)

    return register


@pytest.fixture
def asked(boosted, engine):
    """``asked(call, case, rows)``: the answers for the rows."""

    def ask(call, case, rows):
        with sqlinfer.connect(registry=boosted(case)[0], engine=engine) as con:
            con.register("rows", rows)
            return [value for (value,) in con.execute(f"SELECT {call}('{name_of(case)}', rows) FROM rows").fetchall()]

    return ask


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """As a table in DuckDB has it: texts and numbers instead of categories."""
    return rows.assign(**{c: rows[c].astype(object) for c in rows if isinstance(rows[c].dtype, pd.CategoricalDtype)})


def own(model, rows, method="predict") -> np.ndarray:
    if isinstance(model, xgboost.Booster):
        return model.predict(xgboost.DMatrix(rows, enable_categorical=True))
    return np.asarray(getattr(model, method)(rows))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_boosted_trees(boosted, asked, case):
    _, model, rows = boosted(case)
    given = asked("predict", case, plain(rows))
    expected = own(model, rows)
    if isinstance(given[0], (str, bool, int)):
        labels = expected.ravel().tolist()
        assert given == ([label in (True, "True") for label in labels] if isinstance(given[0], bool) else labels)
    else:
        np.testing.assert_allclose(np.array(given, float), expected, rtol=1e-5, atol=1e-6)
    if hasattr(model, "predict_proba"):
        maps = asked("predict_proba", case, plain(rows))
        assert list(maps[0]) == model.classes_.tolist()
        expected = own(model, rows, "predict_proba")
        np.testing.assert_allclose([list(row.values()) for row in maps], expected, rtol=1e-5, atol=1e-6)


def test_a_category_that_was_never_seen_is_missing(boosted, asked):
    case = "lgb categories"
    _, model, rows = boosted(case)
    few = rows.head(20).assign(city=pd.Categorical([None] * 20, rows["city"].cat.categories))
    given = asked("predict", case, plain(few).assign(city="Atlantis"))
    np.testing.assert_allclose(given, own(model, few), rtol=1e-5)


def test_a_category_that_xgboost_never_saw_is_refused(boosted, asked):
    """It refuses one itself that comes behind all that it knows, and takes another for the next that it knows."""
    _, _, rows = boosted("xgb categories")
    with pytest.raises(ModelFailed, match="feature 'city' has a category that the model never saw"):
        asked("predict", "xgb categories", plain(rows.head(5)).assign(city="Atlantis"))


def test_linear_trees_are_refused(tmp_path):
    model = lightgbm.LGBMRegressor(linear_tree=True, **LGB).fit(X.fillna(0), RAW)
    with pytest.raises(ConversionFailed, match="linear_tree=False"):
        sqlinfer.register("m", model, sample=X.fillna(0), registry=tmp_path)


def test_a_linear_booster_is_refused(tmp_path):
    model = xgboost.XGBRegressor(booster="gblinear", n_estimators=5).fit(X.fillna(0), RAW)
    with pytest.raises(ConversionFailed, match="gblinear"):
        sqlinfer.register("m", model, sample=X.fillna(0), registry=tmp_path)


def test_a_sample_without_the_categories_of_training_is_refused(tmp_path):
    model = lightgbm.LGBMRegressor(**LGB).fit(KINDS, BY_KIND)
    rows = KINDS.assign(size=KINDS["size"].astype(int))
    with pytest.raises(ConversionFailed, match="with the same columns as categories"):
        sqlinfer.register("m", model, sample=rows, registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_categories_of_catboost_are_refused_by_name(tmp_path):
    rows = KINDS[["a", "city"]].assign(city=KINDS["city"].astype(object).fillna("?"))
    model = catboost.CatBoostRegressor(cat_features=["city"], **CAT).fit(rows, BY_KIND)
    with pytest.raises(ConversionFailed, match=r"city is categorical.*OneHotEncoder"):
        sqlinfer.register("m", model, sample=rows, registry=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", [THREE, np.where(BINARY, "yes", "no")], ids=["numbers", "texts"])
@pytest.mark.parametrize("engine", ENGINES)
def test_catboosts_own_onnx_files(tmp_path, engine, target):
    model = catboost.CatBoostClassifier(**CAT).fit(X, target)
    model.save_model(str(tmp_path / "m.onnx"), format="onnx")
    sqlinfer.register("m", tmp_path / "m.onnx", sample=X, registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
        con.register("rows", X.fillna(0))
        given = con.execute("SELECT predict('m', rows), predict_proba('m', rows) FROM rows").fetchall()
    assert [label for label, _ in given] == model.predict(X.fillna(0)).ravel().tolist()
    proba = [list(row.values()) for _, row in given]
    np.testing.assert_allclose(proba, model.predict_proba(X.fillna(0)), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "model",
    [
        xgboost.XGBClassifier(**XGB),
        xgboost.XGBClassifier(multi_strategy="multi_output_tree", **XGB),
        catboost.CatBoostClassifier(loss_function="MultiLogloss", **CAT),
    ],
    ids=["xgb", "xgb_vector_leaves", "cat"],
)
def test_several_labels_a_row(tmp_path, engine, model):
    model.fit(X, np.column_stack([BINARY, 1 - BINARY, X["c"] > 0]).astype(int))
    sqlinfer.register("m", model, sample=X[:20], registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = con.execute("SELECT predict('m', s), predict_proba('m', s) FROM X s").fetchall()
    assert [list(labels) for labels, _ in given] == model.predict(X).tolist()
    np.testing.assert_allclose([list(proba) for _, proba in given], model.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_least_probabilities_of_xgboost(tmp_path, engine):
    rows = np.arange(20.0)[:, None]
    model = xgboost.XGBClassifier(n_estimators=16, learning_rate=1, max_depth=1, reg_lambda=0, min_child_weight=0)
    expected = model.fit(rows, rows[:, 0] > 10).predict_proba(rows)[:, 1]
    assert 0 < expected.min() < 1e-7
    sqlinfer.register("m", model, sample=rows, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = con.execute("SELECT predict_proba('m', x)[1] FROM range(20) t(x) ORDER BY x").fetchall()
    np.testing.assert_allclose(np.ravel(given), expected, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_zero_is_missing_in_a_sparse_matrix(tmp_path, engine):
    """Not what XGBoost's single precision rounds to zero."""
    random = np.random.default_rng(3)
    dense = random.random((200, 2)) * random.integers(0, 2, (200, 2))
    model = xgboost.XGBRegressor(n_estimators=5).fit(sparse.csr_matrix(dense), dense[:, 0] == 0)
    sqlinfer.register("m", model, sample=sparse.csr_matrix(dense), registry=tmp_path)
    rows = [[0.0, 0.5], [5e-324, 0.5], [-0.0, 0.5], [1e-30, 0.0]]
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = [con.execute("SELECT predict('m', $1, $2)", row).fetchall()[0][0] for row in rows]
    assert given == pytest.approx([model.predict(sparse.csr_matrix([row]))[0] for row in rows])
    assert given[0] != given[1]
