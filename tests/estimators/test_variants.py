"""Options that change how an estimator converts: several labels, metrics, missing values, texts, nested models."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

import sqlinfer
from tests.estimators.cases import (
    BINARY,
    COUNTS,
    HOLES,
    LABELS,
    NUMBER,
    NUMBERS,
    POSITIVE,
    SEVERAL,
    SIZE,
    TAGS,
    TEXTS,
    WORDS,
)

pytestmark = pytest.mark.slow


def halved(rows):
    return rows / 2


LR = linear_model.LogisticRegression
TXT = np.where(TAGS == 1, "yes", "no")
MIX = np.column_stack([TAGS[:, 0], np.digitize(NUMBER, [0.0, 2.0])])
# name: an estimator, its rows, its target
VARIANTS = {
    "mo_txt": (multioutput.MultiOutputClassifier(LR()), NUMBERS, TXT),
    "mo_mix": (multioutput.MultiOutputClassifier(LR()), NUMBERS, MIX),
    "ovr_tags": (multiclass.OneVsRestClassifier(LR()), NUMBERS, TAGS),
    "ovr_bin": (multiclass.OneVsRestClassifier(LR()), NUMBERS, BINARY),
    "ovo_int": (multiclass.OneVsOneClassifier(LR()), NUMBERS, MIX[:, 1]),
    "mlp_tags": (neural_network.MLPClassifier((6,), random_state=0, max_iter=50), NUMBERS, TAGS),
    "knn_tags": (neighbors.KNeighborsClassifier(3), NUMBERS, TAGS),
    "knn_txt": (neighbors.KNeighborsClassifier(3), NUMBERS, TXT),
    "knn_reg": (neighbors.KNeighborsRegressor(3), NUMBERS, SEVERAL),
    "knn_dist": (neighbors.KNeighborsClassifier(3, weights="distance"), NUMBERS, LABELS),
    "knn_manh": (neighbors.KNeighborsRegressor(3, metric="manhattan"), NUMBERS, NUMBER),
    "knn_cos": (neighbors.KNeighborsRegressor(3, metric="cosine"), NUMBERS, NUMBER),
    "tree_tags": (tree.DecisionTreeClassifier(max_depth=4), NUMBERS, TAGS),
    "tree_txt": (tree.DecisionTreeClassifier(max_depth=4), NUMBERS, TXT),
    "tree_mix": (tree.DecisionTreeClassifier(max_depth=4), NUMBERS, MIX),
    "rf_tags": (ensemble.RandomForestClassifier(5), NUMBERS, TAGS),
    "rf_reg": (ensemble.RandomForestRegressor(5), NUMBERS, SEVERAL),
    "ridge_tags": (linear_model.RidgeClassifier(), NUMBERS, TAGS),
    "mo_gb": (multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=5)), NUMBERS, SEVERAL),
    "gpc": (gaussian_process.GaussianProcessClassifier(), NUMBERS, BINARY),
    "gpr": (
        gaussian_process.GaussianProcessRegressor(
            gaussian_process.kernels.RBF() + gaussian_process.kernels.WhiteKernel(), normalize_y=True
        ),
        NUMBERS,
        NUMBER,
    ),
    "svc_prob": (svm.SVC(probability=True, random_state=0), NUMBERS, LABELS),
    "svc_bin": (svm.SVC(), NUMBERS, BINARY),
    "svc_poly": (svm.SVC(kernel="poly", probability=True, random_state=0), NUMBERS, np.where(BINARY, "y", "n")),
    "nusvc": (svm.NuSVC(probability=True), NUMBERS, BINARY),
    "lsvc_bin": (svm.LinearSVC(), NUMBERS, BINARY),
    "cal_iso": (
        calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=3), method="isotonic", cv=2),
        NUMBERS,
        LABELS,
    ),
    "cal_svc": (calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), NUMBERS, BINARY),
    "bag_svc": (ensemble.BaggingClassifier(svm.SVC(), n_estimators=3), NUMBERS, LABELS),
    "bag_feat": (ensemble.BaggingRegressor(linear_model.Ridge(), n_estimators=3, max_features=0.5), NUMBERS, NUMBER),
    "stack_pass": (
        ensemble.StackingRegressor(
            [("l", linear_model.Ridge()), ("t", tree.DecisionTreeRegressor(max_depth=2))], passthrough=True, cv=2
        ),
        NUMBERS,
        NUMBER,
    ),
    "stack_bin": (ensemble.StackingClassifier([("l", LR()), ("g", naive_bayes.GaussianNB())], cv=2), NUMBERS, BINARY),
    "vote_soft": (
        ensemble.VotingClassifier([("l", LR()), ("g", naive_bayes.GaussianNB())], voting="soft", weights=[1, 2]),
        NUMBERS,
        BINARY,
    ),
    "ada_bin": (ensemble.AdaBoostClassifier(n_estimators=5), NUMBERS, BINARY),
    "gb_bin": (ensemble.GradientBoostingClassifier(n_estimators=5), NUMBERS, BINARY),
    "gb_exp": (ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=5), NUMBERS, BINARY),
    "gb_zero": (ensemble.GradientBoostingClassifier(init="zero", n_estimators=5), NUMBERS, LABELS),
    "gb_quant": (ensemble.GradientBoostingRegressor(loss="quantile", alpha=0.9, n_estimators=5), NUMBERS, NUMBER),
    "gb_init": (ensemble.GradientBoostingRegressor(init=linear_model.Ridge(), n_estimators=5), NUMBERS, NUMBER),
    "hgb_poisson": (ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=5), NUMBERS, SIZE),
    "hgb_quant": (ensemble.HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=5), NUMBERS, NUMBER),
    "hgb_cat": (
        ensemble.HistGradientBoostingRegressor(categorical_features=[0, 1], max_iter=5),
        COUNTS.astype(float),
        COUNTS["a"] % 2 * 3.0 + COUNTS["b"],
    ),
    "hgb_bin_holes": (ensemble.HistGradientBoostingClassifier(max_iter=5), HOLES, BINARY),
    "dt_holes": (tree.DecisionTreeClassifier(max_depth=4), HOLES, BINARY),
    "rf_holes": (ensemble.RandomForestRegressor(5), HOLES, NUMBER),
    "imp_ind": (pipeline.make_pipeline(impute.SimpleImputer(add_indicator=True), linear_model.Ridge()), HOLES, NUMBER),
    "imp_freq": (impute.SimpleImputer(strategy="most_frequent"), TEXTS, None),
    "ohe_drop": (preprocessing.OneHotEncoder(drop="first"), TEXTS, None),
    "ohe_infreq": (preprocessing.OneHotEncoder(min_frequency=50, handle_unknown="infrequent_if_exist"), TEXTS, None),
    "ohe_num": (preprocessing.OneHotEncoder(sparse_output=False), COUNTS, None),
    "ord_num": (preprocessing.OrdinalEncoder(), COUNTS, None),
    "log1p": (
        pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p), linear_model.Ridge()),
        POSITIVE,
        NUMBER,
    ),
    "own_function": (pipeline.make_pipeline(preprocessing.FunctionTransformer(halved), LR()), POSITIVE, LABELS),
    "logs_of_columns": (
        compose.make_column_transformer(
            (preprocessing.FunctionTransformer(np.log1p), ["a", "c"]),
            (preprocessing.FunctionTransformer(np.sqrt), ["b"]),
            (preprocessing.FunctionTransformer(np.square), ["d"]),
        ),
        POSITIVE,
        None,
    ),
    "logs_of_floats": (preprocessing.FunctionTransformer(np.expm1), POSITIVE.astype(np.float32), None),
    "kbins": (preprocessing.KBinsDiscretizer(4, encode="ordinal"), NUMBERS, None),
    "poly_i": (preprocessing.PolynomialFeatures(2, interaction_only=True), NUMBERS, None),
    "power_bc": (preprocessing.PowerTransformer("box-cox"), POSITIVE, None),
    "quant_n": (preprocessing.QuantileTransformer(output_distribution="normal", n_quantiles=20), NUMBERS, None),
    "gm4": (mixture.GaussianMixture(4, covariance_type="diag", random_state=0), NUMBERS, None),
    "kpca": (decomposition.KernelPCA(2, kernel="rbf"), NUMBERS, None),
    "pca_white": (decomposition.PCA(2, whiten=True), NUMBERS, None),
    "tfidf_lr": (
        pipeline.make_pipeline(feature_extraction.text.TfidfVectorizer(), LR()),
        WORDS,
        np.where(WORDS["text"].str.contains("fun"), "+", "-"),
    ),
    "tfidf_ngram": (feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2)), WORDS, None),
    "tfidf_char": (feature_extraction.text.TfidfVectorizer(analyzer="char", ngram_range=(2, 2)), WORDS, None),
    "tfidf_stop": (
        feature_extraction.text.TfidfVectorizer(stop_words="english", sublinear_tf=True, norm="l1"),
        WORDS,
        None,
    ),
    "count_bin": (feature_extraction.text.CountVectorizer(binary=True), WORDS, None),
    "lr_f32": (LR(), NUMBERS.astype(np.float32), LABELS),
    "lr_int": (LR(), COUNTS, LABELS),
    "lr_bool": (LR(), NUMBERS > 0, LABELS),
    "rf_int": (ensemble.RandomForestClassifier(5), COUNTS, LABELS),
    "lda_svd": (discriminant_analysis.LinearDiscriminantAnalysis(), NUMBERS, BINARY),
    "sgd_hinge": (linear_model.SGDClassifier(), NUMBERS, BINARY),
    "sgd_mod": (linear_model.SGDClassifier(loss="modified_huber"), NUMBERS, LABELS),
    "perc": (linear_model.Perceptron(), NUMBERS, BINARY),
    "pipe_pca": (pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2)), NUMBERS, None),
    "pipe_km": (pipeline.make_pipeline(preprocessing.StandardScaler(), cluster.KMeans(3, n_init=1)), NUMBERS, None),
    "pipe_iso": (
        pipeline.make_pipeline(preprocessing.StandardScaler(), ensemble.IsolationForest(n_estimators=10)),
        NUMBERS,
        None,
    ),
    "grid_pipe": (
        model_selection.GridSearchCV(
            pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()), {"svc__C": [1, 2]}, cv=2
        ),
        NUMBERS,
        LABELS,
    ),
    "sel_rf": (
        pipeline.make_pipeline(feature_selection.SelectFromModel(ensemble.RandomForestClassifier(5)), LR()),
        NUMBERS,
        LABELS,
    ),
    "ct_mix": (
        pipeline.make_pipeline(
            compose.make_column_transformer(
                (preprocessing.OneHotEncoder(), ["city", "size"]),
                (preprocessing.StandardScaler(), ["a"]),
                ("passthrough", ["b"]),
            ),
            ensemble.RandomForestClassifier(5),
        ),
        pd.concat([TEXTS, NUMBERS], axis=1),
        LABELS,
    ),
    "ct_tfidf": (
        pipeline.make_pipeline(
            compose.make_column_transformer(
                (feature_extraction.text.TfidfVectorizer(), "text"),
                (preprocessing.OrdinalEncoder(), ["size"]),
                remainder="drop",
            ),
            LR(),
        ),
        pd.concat([TEXTS, WORDS], axis=1),
        LABELS,
    ),
    "target_enc": (preprocessing.TargetEncoder(), TEXTS, LABELS),
}
# Why a variant is refused, as the error says it; when that stops being true, a test below fails.
REFUSED = {
    "gpc": "not a registered function",
    "own_function": "a function of its own",
}


def as_trained(rows):
    return rows["text"] if list(rows) == ["text"] else rows


@pytest.fixture
def registered(once):
    """``registered(name)``: the registry that holds the variant, and the fitted model. Raises what refused it."""

    def register(name):
        def make(folder):
            model, rows, target = VARIANTS[name]
            np.random.seed(0)  # of the estimators that have no random_state
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(as_trained(rows), target)
            try:
                sqlinfer.register(name, model, sample=rows, registry=folder)
            except sqlinfer.SqlinferError as error:
                return folder, model, error
            return folder, model, None

        folder, model, error = once(f"variants/{name}", make)
        if error is not None:
            raise error
        return folder, model

    return register


@pytest.fixture
def asked(registered, engine):
    """``asked(call, name)``: the answers for all rows of the variant."""

    def ask(call, name):
        with sqlinfer.connect(registry=registered(name)[0], engine=engine) as con:
            con.register("rows", VARIANTS[name][1])
            return [value for (value,) in con.execute(f"SELECT {call}('{name}', rows) FROM rows").fetchall()]

    return ask


def plain(answer):
    return [plain(item) for item in answer] if isinstance(answer, (list, tuple)) else answer


def assert_same(given, expected):
    if expected.dtype.kind != "f":
        assert plain(given) == expected.tolist()
        return
    given = np.array(plain(given), float).reshape(expected.shape)
    np.testing.assert_allclose(given, expected, atol=2e-5 * (np.abs(expected).max() or 1))


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in REFUSED])
def test_sql_answers_what_the_variant_answers(registered, asked, name):
    rows, (_, model) = VARIANTS[name][1], registered(name)
    answers = model.predict if hasattr(model, "predict") else model.transform
    expected = answers(as_trained(rows))
    given = asked("predict", name)
    assert_same(given, np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected))
    if not hasattr(model, "predict_proba"):
        return
    proba = model.predict_proba(as_trained(rows))
    if isinstance(proba, list):
        if len({matrix.shape for matrix in proba}) > 1:  # labels with different numbers of classes have no common list
            proba = np.concatenate(proba, axis=1)
        else:
            proba = np.stack(proba, axis=1)
    given = [list(value.values()) if isinstance(value, dict) else value for value in asked("predict_proba", name)]
    if isinstance(given[0][0], tuple) and proba.ndim == 2:
        given = [[score for label in value for score in label] for value in given]
    assert_same(given, proba)


@pytest.mark.parametrize("name", REFUSED)
def test_variants_that_are_refused_say_why(registered, name):
    with pytest.raises(sqlinfer.SqlinferError) as refused:
        registered(name)
    assert REFUSED[name] in str(refused.value)
