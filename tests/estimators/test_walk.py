"""Every estimator of scikit-learn: trained, registered, and asked through SQL on every row, on every engine."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from skl2onnx._supported_operators import sklearn_operator_name_map
from sklearn.utils import all_estimators

import sqlinfer
from sqlinfer.errors import SqlinferError
from tests.estimators.cases import NO_ROWS, WALK

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trials")]

# Why an estimator is refused, as the error says it. When one of these stops being true, a test below fails: move it.
REFUSED = {
    **{
        name: f"no nodes are known for {name}"
        for name in (
            "AdditiveChi2Sampler", "AffinityPropagation", "BernoulliRBM", "Birch", "BisectingKMeans",
            "ClassifierChain", "DictionaryLearning", "GaussianProcessClassifier", "HashingVectorizer",
            "Isomap", "KNNImputer", "KernelDensity", "KernelRidge", "LabelPropagation", "LabelSpreading",
            "LatentDirichletAllocation", "LocallyLinearEmbedding", "MeanShift", "MiniBatchDictionaryLearning",
            "MiniBatchNMF", "NMF", "NearestCentroid", "Nystroem",
            "OutputCodeClassifier", "PolynomialCountSketch", "RBFSampler",
            "RadiusNeighborsTransformer", "SkewedChi2Sampler",
            "SparseCoder", "SplineTransformer",
        )
    },
    "RadiusNeighborsClassifier": "index is out of range",  # ONNX Runtime refuses skl2onnx's graph
    "RadiusNeighborsRegressor": "index is out of range",
}  # fmt: skip


@pytest.fixture
def walked(once):
    """``walked(name)``: the registry that holds the estimator as m, and the fitted model. Raises what refused it."""

    def walk(name):
        def make(folder):
            np.random.seed(0)  # of the estimators that have no random_state
            model = WALK[name].fit()
            try:
                sqlinfer.register("m", model, sample=WALK[name].rows, registry=folder)
            except SqlinferError as error:
                return folder, model, error
            return folder, model, None

        folder, model, error = once(f"walk/{name}", make)
        if error is not None:
            raise error
        return sqlinfer.Registry(folder), model

    return walk


@pytest.fixture
def ask(engine, walked):
    """``ask(call, name)``: the answers for all rows of the case."""

    def answers(call: str, name: str) -> list:
        with sqlinfer.connect(registry=walked(name)[0], engine=engine) as con:
            con.register("rows", WALK[name].rows)
            return [value for (value,) in con.execute(f"SELECT {call}('m', rows) FROM rows").fetchall()]

    return answers


def own_answers(model, name: str, method: str) -> np.ndarray:
    rows = WALK[name].rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = getattr(model, method)(rows["text"] if list(rows) == ["text"] else rows)
    return answers.toarray() if hasattr(answers, "toarray") else np.asarray(answers)


def assert_same(given: list, expected: np.ndarray) -> None:
    assert len(given) == len(expected)
    if expected.dtype.kind not in "fc":
        assert [list(row) if isinstance(row, tuple) else row for row in given] == expected.tolist()
        return
    numbers = np.array(given, float).reshape(expected.shape)
    scale = np.nanmax(np.abs(expected)) or 1
    np.testing.assert_allclose(numbers / scale, expected / scale, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in WALK if name not in REFUSED])
def test_sql_answers_what_the_estimator_answers(walked, ask, name):
    _, model = walked(name)
    method = next(m for m in ("predict", "transform", "score_samples") if hasattr(model, m))
    assert_same(ask("predict", name), own_answers(model, name, method))


HAVE_PROBABILITIES = [name for name in WALK if name not in REFUSED and hasattr(WALK[name].estimator, "predict_proba")]


@pytest.mark.parametrize("name", HAVE_PROBABILITIES)
def test_probabilities(walked, ask, name):
    _, model = walked(name)
    given = ask("predict_proba", name)
    expected = own_answers(model, name, "predict_proba")
    if name == "MultiOutputClassifier":  # one matrix a label
        expected = expected.transpose(1, 0, 2)
    if isinstance(given[0], dict):
        assert list(given[0]) == list(getattr(model, "classes_", range(expected.shape[1])))
        given = [list(row.values()) for row in given]
    assert_same(given, expected)


@pytest.mark.parametrize(
    "name", ["EllipticEnvelope", "IsolationForest", "LocalOutlierFactor", "OneClassSVM", "SGDOneClassSVM"]
)
def test_outliers_have_a_score(walked, ask, name):
    scores = [row["scores"] for row in ask("infer", name)]
    assert_same(scores, own_answers(walked(name)[1], name, "decision_function"))


@pytest.mark.parametrize("name", ["LinearSVC", "NuSVC", "Perceptron", "RidgeClassifier", "SVC"])
def test_scores_are_not_called_probabilities(walked, name):
    assert "predict_proba" not in walked(name)[0].get("m").manifest.signature.calls


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(walked, name):
    """Fails when an estimator of the list begins to convert."""
    with pytest.raises(SqlinferError) as refused:
        walked(name)
    assert REFUSED[name] in str(refused.value)


def test_nothing_is_left_out():
    walked, known = set(WALK), {name for name, _ in all_estimators()}
    assert walked | NO_ROWS == known
    assert walked & NO_ROWS == set()
    converted = {name for name, kind in all_estimators() if kind in sklearn_operator_name_map}
    assert converted - NO_ROWS - set(REFUSED) <= walked
