"""Rows that no sample shows: the estimator's own answer, or an error that says what is wrong."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from catboost import CatBoostClassifier
from click.testing import CliRunner
from lightgbm import LGBMRegressor
from sklearn import (
    calibration,
    compose,
    decomposition,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from xgboost import XGBClassifier, XGBRegressor

import sqlinfer
from sqlinfer.cli import main
from sqlinfer.convert.sklearn.exact import writer
from sqlinfer.errors import ConversionFailed, InvalidModel, ModelFailed
from sqlinfer.registration import estimators

pytestmark = pytest.mark.usefixtures("few_trials")

RANDOM = np.random.default_rng(9)
N = 300
CITIES = ["Bern", "Genève", "Zürich"]
X = pd.DataFrame(
    {
        "sepal length (cm)": RANDOM.normal(size=N),
        "age": RANDOM.integers(18, 80, N),
        "home.dest": RANDOM.choice(CITIES, N),
    }
)
Y = (X["sepal length (cm)"] * 2 + X["age"] / 20 + (X["home.dest"] == "Bern")).to_numpy()
TWO = np.where(np.median(Y) < Y, "yes", "no")
NUMBERS = X[["sepal length (cm)", "age"]]
DAYS = pd.DataFrame({"day": RANDOM.choice([20240100 + i for i in range(1, 32)], N), "x": RANDOM.normal(size=N)})
nan, inf = np.nan, np.inf


def columns(*encoders):
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    return compose.make_column_transformer(
        (numbers, ["age", "sepal length (cm)"]), *((e, ["home.dest"]) for e in encoders)
    )


@pytest.fixture
def asked(engine, tmp_path):
    """``asked(model, sample, rows)``: the answers to rows, one by one; an exception where there is none."""
    with contextlib.ExitStack() as stack:

        def ask(model, sample, rows, call="predict"):
            sqlinfer.register("m", model, sample=sample, registry=tmp_path, promote=True)
            con = stack.enter_context(sqlinfer.connect(registry=tmp_path, engine=engine))
            con.register("rows", table(rows))
            con.execute("CREATE TABLE t AS FROM rows")
            answers = []
            for place in range(len(rows)):
                try:
                    ((answer,),) = con.execute(f"SELECT {call}('m', t) FROM t WHERE place = {place}").fetchall()
                    answers.append(answer)
                except ModelFailed as error:
                    answers.append(error)
            return answers

        yield ask


def table(rows):
    """NaN as it is: DuckDB takes that of a DataFrame for NULL."""
    columns = {"place": pa.array(range(len(rows)))}
    for name, column in rows.items():
        columns[name] = pa.array(column.to_numpy(), from_pandas=column.dtype == object)
    return pa.table(columns)


def own(model, rows):
    answers = []
    for place in range(len(rows)):
        try:
            answers.append(model.predict(rows.iloc[[place]]).ravel()[0])
        except ValueError as error:
            answers.append(error)
    return answers


def assert_same(given, expected):
    for ours, theirs in zip(given, expected, strict=True):
        if isinstance(theirs, Exception):
            assert isinstance(ours, ModelFailed), (ours, theirs)
        else:
            close = 1e-6 if isinstance(theirs, np.float32) else 1e-9
            assert ours == (theirs if isinstance(theirs, str) else pytest.approx(theirs, rel=close)), (ours, theirs)


STRANGE = pd.DataFrame(
    {
        "sepal length (cm)": [0.5, nan, inf, -inf, 1e100, 1e39, -0.0, 0.5, 0.5, 0.5, 0.5],
        "age": [30, 30, 30, 30, 30, 30, 30, nan, 30.5, 2.0**53, 30],
        "home.dest": ["Bern"] * 10 + ["Atlantis"],
    }
)
ONE_HOT = preprocessing.OneHotEncoder
MODELS = {
    "boosted": ensemble.HistGradientBoostingRegressor(max_iter=10),
    "forest": ensemble.RandomForestRegressor(5, random_state=0),
    "staged": ensemble.GradientBoostingRegressor(n_estimators=5),
    "ridge": linear_model.Ridge(),
    "xgboost": XGBRegressor(n_estimators=5),
    "lightgbm": LGBMRegressor(n_estimators=5, verbose=-1),
}


@pytest.mark.parametrize(
    "encoder", [ONE_HOT(), ONE_HOT(handle_unknown="ignore", drop="first"), preprocessing.OrdinalEncoder()], ids=str
)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_rows_behind_columns(asked, name, encoder):
    model = pipeline.make_pipeline(columns(encoder), MODELS[name]).fit(X, Y)
    assert_same(asked(model, X.head(20), STRANGE), own(model, STRANGE))


ALONE = {
    **{f"{name} alone": model for name, model in MODELS.items()},
    "tree with gaps": tree.DecisionTreeRegressor(max_depth=4),
    "extra trees": ensemble.ExtraTreesRegressor(5, random_state=0),
    "adaptive": ensemble.AdaBoostRegressor(n_estimators=5, random_state=0),
    "bagging": ensemble.BaggingRegressor(n_estimators=3, max_features=0.5, random_state=0),
    "scaled tree": pipeline.make_pipeline(preprocessing.StandardScaler(), tree.DecisionTreeRegressor(max_depth=4)),
    "bins": pipeline.make_pipeline(preprocessing.KBinsDiscretizer(5), linear_model.Ridge()),
    "powers": pipeline.make_pipeline(preprocessing.PowerTransformer(), linear_model.Ridge()),
    "quantiles": pipeline.make_pipeline(
        preprocessing.QuantileTransformer(n_quantiles=50, output_distribution="normal"), linear_model.Ridge()
    ),
    "components": pipeline.make_pipeline(decomposition.PCA(1, whiten=True), linear_model.Ridge()),
    "marked": pipeline.make_pipeline(impute.SimpleImputer(add_indicator=True), linear_model.Ridge()),
    "stack": ensemble.StackingRegressor([("r", linear_model.Ridge()), ("t", tree.DecisionTreeRegressor(max_depth=3))]),
    "machine": pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVR()),
    "target": compose.TransformedTargetRegressor(linear_model.Ridge(), transformer=preprocessing.PowerTransformer()),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_rows_of_numbers(asked, name):
    train = NUMBERS.mask(RANDOM.random(NUMBERS.shape) < 0.1) if name in ("tree with gaps", "marked") else NUMBERS
    model = ALONE[name].fit(train, Y)
    assert_same(asked(model, train.head(20), STRANGE[list(NUMBERS)]), own(model, STRANGE[list(NUMBERS)]))


def test_a_null_is_what_missing_is_to_the_estimator(asked):
    """The column of whole numbers has none in training."""
    rows = pd.DataFrame({"sepal length (cm)": [0.5], "age": [nan], "home.dest": ["Bern"]})
    model = pipeline.make_pipeline(columns(ONE_HOT()), linear_model.Ridge()).fit(X, Y)
    (answer,) = asked(model, X, rows.astype({"age": object}).replace({nan: None}))
    assert answer == pytest.approx(model.predict(rows)[0])


@pytest.mark.parametrize("missing", [None, nan])
def test_a_missing_text_is_a_category_where_it_was_one(asked, missing):
    rows = pd.DataFrame({"a": pd.Series([*CITIES, missing] * 20, dtype=object)})
    target = np.arange(80) % 4 * 1.0
    model = pipeline.make_pipeline(ONE_HOT(), linear_model.Ridge()).fit(rows, target)
    given = asked(model, rows.head(20), pd.DataFrame({"a": ["Bern", "", None]}, dtype=object))
    assert given[0] == pytest.approx(model.predict(rows)[0])
    assert isinstance(given[1], ModelFailed)
    assert given[2] == pytest.approx(model.predict(rows)[3])


def test_a_category_is_refused_by_name_though_its_column_is_left_out_later(asked):
    steps = compose.make_column_transformer((ONE_HOT(), ["home.dest"]), ("passthrough", ["sepal length (cm)"]))
    model = pipeline.make_pipeline(steps, feature_selection.SelectKBest(k=1), linear_model.Ridge()).fit(X, X.iloc[:, 0])
    (strange,) = asked(model, X, X.head(1).assign(**{"home.dest": "Atlantis"}))
    assert "feature 'home.dest' has a category that the OneHotEncoder never saw" in str(strange)
    assert "it knows Bern, Genève, Zürich" in str(strange)


@pytest.mark.parametrize("step", [ONE_HOT(handle_unknown="ignore"), preprocessing.OrdinalEncoder()])
def test_categories_that_no_double_tells_apart(asked, step):
    rows = pd.DataFrame({"id": (1 << 53) + RANDOM.integers(0, 6, N)})
    model = pipeline.make_pipeline(step, tree.DecisionTreeRegressor()).fit(rows, rows["id"] % 6)
    assert_same(asked(model, rows.head(5), rows.head(40)), own(model, rows.head(40)))


STEPS = {
    "binarizer": preprocessing.Binarizer(threshold=0.3),
    "bins": preprocessing.KBinsDiscretizer(10, encode="ordinal"),
    "nothing": "passthrough",
    "imputer": impute.SimpleImputer(),
}


@pytest.mark.parametrize("name", STEPS)
def test_thresholds_are_compared_in_double(asked, name):
    tenths = pd.DataFrame({"day": DAYS["day"] / 10, "x": RANDOM.integers(0, 10, N) / 10})
    rows = tenths if name == "binarizer" else DAYS
    model = pipeline.make_pipeline(STEPS[name], LGBMRegressor(n_estimators=20, min_child_samples=2, verbose=-1))
    model.fit(rows, np.sin(rows["day"]))
    assert_same(asked(model, rows.head(5), rows.head(60)), own(model, rows.head(60)))


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_a_row_of_zeros_has_no_length(asked, norm):
    rows = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1e-17], "b": [0.0, -2.0, 1e-300, 0.0]})
    model = pipeline.make_pipeline(preprocessing.Normalizer(norm), linear_model.Ridge()).fit(
        rows + 1, [1.0, 2.0, 3.0, 5.0]
    )
    assert_same(asked(model, rows + 1, rows), own(model, rows))


@pytest.mark.slow
def test_zeros_that_are_not_stored_are_missing_to_xgboost(asked):
    model = pipeline.make_pipeline(columns(ONE_HOT(handle_unknown="ignore")), XGBClassifier(n_estimators=8))
    model[0].set_params(sparse_threshold=1.0)
    model.fit(X, (TWO == "yes").astype(int))
    assert asked(model, X, X.head(50)) == model.predict(X.head(50)).tolist()


VOTES = {
    "even votes": ensemble.VotingClassifier(
        [("t", tree.DecisionTreeClassifier(max_depth=1)), ("n", naive_bayes.GaussianNB())]
    ),
    "threshold": pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        model_selection.FixedThresholdClassifier(linear_model.LogisticRegression(), threshold=0.2),
    ),
    "isotonic": calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="isotonic", cv=2),
    "neighbours": neighbors.KNeighborsClassifier(5, weights="distance"),
    "searched": model_selection.GridSearchCV(
        pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()), {"svc__C": [1, 2]}, cv=2
    ),
    "catboost": pipeline.make_pipeline(
        preprocessing.StandardScaler(), CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False)
    ),
}


@pytest.mark.parametrize("name", VOTES)
def test_a_sample_of_five_rows_proves_the_whole_model(asked, name):
    model = VOTES[name].fit(NUMBERS, TWO)
    assert asked(model, NUMBERS.head(5), NUMBERS.head(80)) == model.predict(NUMBERS.head(80)).ravel().tolist()


@pytest.mark.slow
def test_neighbours_that_are_as_near_as_others_are_refused(asked):
    """Which of them count is up to how scikit-learn's search went."""
    rows = pd.DataFrame({"a": [0.0, 1.0, 1.0, 5.0, 9.0], "b": [0.0] * 5})
    model = neighbors.KNeighborsClassifier(2).fit(rows, ["x", "y", "z", "z", "x"])
    far = pd.DataFrame({"a": [6.0], "b": [0.0]})
    assert asked(model, rows.tail(1), far) == model.predict(far).tolist()
    model = neighbors.KNeighborsClassifier(1).fit(rows, ["x", "y", "z", "z", "x"])
    (tied,) = asked(model, rows.tail(1), pd.DataFrame({"a": [0.9], "b": [0.0]}))
    assert "as near as the last neighbour" in str(tied)


def test_what_has_no_nodes_is_named_with_what_to_do(tmp_path):
    model = pipeline.make_pipeline(preprocessing.SplineTransformer(), linear_model.Ridge()).fit(NUMBERS, Y)
    with pytest.raises(
        ConversionFailed, match=r"no nodes are known for SplineTransformer; use an estimator that has them"
    ):
        sqlinfer.register("m", model, sample=NUMBERS, registry=tmp_path)


def test_a_step_of_its_users_own_is_not_taken_for_its_base(tmp_path):
    class Twice(preprocessing.StandardScaler):
        def transform(self, X):
            return super().transform(X) * 2

    model = pipeline.make_pipeline(Twice(), linear_model.Ridge()).fit(NUMBERS, Y)
    with pytest.raises(sqlinfer.SqlinferError):
        sqlinfer.register("m", model, sample=NUMBERS.head(3), registry=tmp_path)


BOOSTERS = {
    "lightgbm": LGBMRegressor(n_estimators=5, min_data_per_group=1, verbose=-1),
    "xgboost": XGBRegressor(n_estimators=5, enable_categorical=True),
}


@pytest.mark.parametrize("name", BOOSTERS)
def test_categories_of_pandas_reach_a_booster_behind_a_step(asked, name):
    """Not in the order of the alphabet, so that the number of one is not that of another."""
    train = NUMBERS.assign(city=pd.Categorical(RANDOM.choice(["a", "b", "c"], N), ["c", "a", "b"]))
    steps = compose.make_column_transformer(
        (preprocessing.StandardScaler(), ["age"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = pipeline.make_pipeline(steps, BOOSTERS[name]).fit(train, Y + 5 * (train["city"] == "a"))
    rows = train.head(30).assign(city=train["city"].head(30).astype(object))
    *given, strange = asked(model, train.head(20), pd.concat([rows, rows.head(1).assign(city="d")]))
    np.testing.assert_allclose(given, model.predict(train.head(30)), rtol=1e-6, atol=1e-6)
    if name == "xgboost":
        assert "has a category that it never saw" in str(strange)
    else:
        unknown = train.head(1).assign(city=pd.Categorical([None], ["c", "a", "b"]))
        assert_same([strange], model.predict(unknown))


def test_trees_that_are_too_many_for_a_class_each_tell_their_leaves(asked, monkeypatch):
    monkeypatch.setattr(writer, "_MOST_NODES", 0)
    model = ensemble.ExtraTreesClassifier(5, random_state=0).fit(NUMBERS, Y.astype(int).astype(str))
    proba = asked(model, NUMBERS.head(20), NUMBERS.head(30), "predict_proba")
    np.testing.assert_allclose([list(one.values()) for one in proba], model.predict_proba(NUMBERS.head(30)), rtol=1e-9)


def test_rows_with_many_neighbours_are_run_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(estimators, "_MOST_NUMBERS", 10 * N)
    model = neighbors.KNeighborsRegressor().fit(NUMBERS, Y)
    assert sqlinfer.register("m", model, sample=NUMBERS, registry=tmp_path).manifest.signature.batch.most == 10


def test_texts_of_numbers_are_refused_where_numbers_are_asked_for(tmp_path):
    rows = pd.DataFrame({"x": RANDOM.normal(size=40).round(2).astype(str).astype(object)})
    model = linear_model.Ridge().fit(rows.to_numpy(), np.arange(40))
    with pytest.raises(ConversionFailed, match="texts where it takes numbers"):
        sqlinfer.register("m", model, sample=rows, registry=tmp_path)


@pytest.mark.parametrize("validate", [False, True])
def test_a_function_of_singles_beside_doubles(asked, validate):
    """pandas computes each column in its own precision, as NumPy rounds there, and scikit-learn all of them in one."""
    frame = pd.DataFrame(
        {"x": RANDOM.random(N).astype(np.float32), "y": RANDOM.random(N), "n": RANDOM.integers(0, 9, N)}
    )
    step = preprocessing.FunctionTransformer(np.log1p, validate=validate)
    model = pipeline.make_pipeline(step, linear_model.LinearRegression()).fit(frame, 1e6 * frame["x"])
    assert asked(model, frame, frame.head(50)) == pytest.approx(own(model, frame.head(50)), rel=1e-6)


def test_none_is_a_category_that_the_sample_does_not_show(asked):
    rows = pd.DataFrame({"city": pd.Series(["Bern", None, "Zug"] * 20, dtype=object), "x": range(60)})
    encoded = compose.make_column_transformer((preprocessing.OrdinalEncoder(), ["city"]), remainder="passthrough")
    model = pipeline.make_pipeline(encoded, linear_model.LinearRegression()).fit(rows, rows["city"] == "Bern")
    whole = rows.dropna()
    assert_same(asked(model, whole.head(5), rows.head(6)), own(model, rows.head(6)))


AT_LEAST = [naive_bayes.BernoulliNB(binarize=0.3), preprocessing.Binarizer(threshold=0.3)]


@pytest.mark.parametrize("model", AT_LEAST, ids=str)
def test_thresholds_of_singles_are_singles(asked, model):
    """0.3 is less than the single that is nearest to it."""
    singles = pd.DataFrame({"x": RANDOM.normal(size=60).astype(np.float32)})
    if hasattr(model, "transform"):
        model = pipeline.make_pipeline(model, linear_model.LogisticRegression())
    model.fit(singles, singles["x"] > 0.5)
    for kind in (np.float32, np.float64):
        rows = pd.DataFrame({"x": np.array([0.3, 0.31, np.nextafter(np.float32(0.3), np.float32(1))], kind)})
        given = asked(model, singles, rows, "predict_proba")
        expected = model.predict_proba(rows)
        assert [answer[True] for answer in given] == pytest.approx(expected[:, 1], rel=1e-6)


def test_neighbours_that_tie_in_the_sample(tmp_path, iris, species, engine):
    """Which of them scikit-learn takes is up to its search: such rows are refused, and registering says how many."""
    model = neighbors.KNeighborsClassifier(5).fit(iris, species)
    stored = sqlinfer.register("m", model, sample=iris, registry=tmp_path)
    of_sample, *_ = stored.manifest.refusals
    assert (of_sample.of, of_sample.rows) == ("sample", 150)
    assert 0 < of_sample.refused < 10
    assert "more than 5 rows of training are as near" in of_sample.says
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register("iris", iris)
        given = con.execute("SELECT TRY(predict('m', iris)) FROM iris").fetchall()
    answered = {i: answer for i, (answer,) in enumerate(given) if answer is not None}
    assert len(answered) == 150 - of_sample.refused
    assert list(answered.values()) == model.predict(iris.iloc[list(answered)]).tolist()
    shown = CliRunner().invoke(main, ["show", "m", "--registry", str(tmp_path), "-f", "table"]).output
    assert f"{of_sample.refused} of 150 rows of the sample: more than 5 rows of training" in shown


def test_a_sample_that_is_mostly_refused_is_no_proof(tmp_path):
    twice = np.repeat(np.arange(20.0), 4)[:, None]
    model = neighbors.KNeighborsClassifier(3).fit(twice, np.arange(80) % 2)
    with pytest.raises(InvalidModel, match=r"rows of the sample that SQL refuses: .*as near"):
        sqlinfer.register("m", model, sample=twice, registry=tmp_path)


def test_an_isolation_forest_takes_infinite_numbers(tmp_path, engine):
    random = np.random.default_rng(0)
    model = ensemble.IsolationForest(n_estimators=5, random_state=0).fit(random.normal(size=(60, 2)))
    rows = np.array([[np.inf, 0.0], [-np.inf, 0.0], [1e300, -1e300], [np.nan, np.inf], [0.1, 0.2]])
    sqlinfer.register("m", model, sample=random.normal(size=(20, 2)), registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        given = [con.execute("SELECT predict('m', $1, $2)", row.tolist()).fetchall()[0][0] for row in rows]
    assert given == model.predict(rows).tolist()
