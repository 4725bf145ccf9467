"""Every estimator of scikit-learn on rows that suit it: tiny, so that the walk takes seconds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    compose,
    decomposition,
    ensemble,
    feature_selection,
    frozen,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    neighbors,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    tree,
)
from sklearn.base import is_classifier
from sklearn.utils import all_estimators

RANDOM = np.random.default_rng(11)
ROWS = 120
NUMBERS = pd.DataFrame(RANDOM.normal(size=(ROWS, 4)), columns=list("abcd")).round(3)
POSITIVE = NUMBERS.abs() + 0.05
COUNTS = pd.DataFrame(RANDOM.integers(0, 5, (ROWS, 4)), columns=list("abcd"))
HOLES = NUMBERS.mask(RANDOM.random((ROWS, 4)) < 0.1)
TEXTS = pd.DataFrame(
    {"city": RANDOM.choice(["Bern", "Genève", "Zürich"], ROWS), "size": RANDOM.choice(["S", "M", "L"], ROWS)}
)
WORDS = pd.DataFrame(
    {"text": RANDOM.choice(["good fun", "bad film", "Great fun", "bad and sad", "fun fun film"], ROWS)}
)
GRAM = pd.DataFrame((NUMBERS.to_numpy() @ NUMBERS.to_numpy().T).round(4)).rename(columns=lambda i: f"k{i}")

NUMBER = (NUMBERS["a"] * 2 - NUMBERS["b"] + NUMBERS["c"] ** 2).round(4)
SIZE = NUMBER - NUMBER.min() + 0.1
LABELS = np.array(["low", "mid", "high"])[np.digitize(NUMBER, [0.0, 2.0])]
BINARY = (NUMBER > 1).to_numpy()
SEVERAL = np.column_stack([NUMBER, -NUMBER + NUMBERS["d"], NUMBERS["a"]])
TAGS = np.column_stack([NUMBER > 1, NUMBERS["d"] > 0, NUMBERS["a"] > 0.3]).astype(int)


@dataclass(frozen=True)
class Case:
    """An estimator, its rows and its target."""

    estimator: Any
    rows: pd.DataFrame
    target: Any = None

    def fit(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = self.rows["text"] if list(self.rows) == ["text"] else self.rows
            return self.estimator.fit(rows, self.target)


def _logistic() -> Any:
    return linear_model.LogisticRegression()


def _ridge() -> Any:
    return linear_model.Ridge()


# Those that need arguments.
GIVEN = {
    "ClassifierChain": multioutput.ClassifierChain(_logistic()),
    "ColumnTransformer": compose.ColumnTransformer(
        [("scaled", preprocessing.StandardScaler(), ["c", "a"])], remainder="passthrough"
    ),
    "FeatureUnion": pipeline.make_union(preprocessing.StandardScaler(), decomposition.PCA(2)),
    "FixedThresholdClassifier": model_selection.FixedThresholdClassifier(_logistic(), threshold=0.3),
    "FrozenEstimator": frozen.FrozenEstimator(_ridge().fit(NUMBERS, NUMBER)),
    "GridSearchCV": model_selection.GridSearchCV(_logistic(), {"C": [0.1, 1]}, cv=2),
    "LocalOutlierFactor": neighbors.LocalOutlierFactor(novelty=True),
    "MultiOutputClassifier": multioutput.MultiOutputClassifier(_logistic()),
    "MultiOutputRegressor": multioutput.MultiOutputRegressor(_ridge()),
    "OneVsOneClassifier": multiclass.OneVsOneClassifier(_logistic()),
    "OneVsRestClassifier": multiclass.OneVsRestClassifier(_logistic()),
    "OutputCodeClassifier": multiclass.OutputCodeClassifier(_logistic()),
    "Pipeline": pipeline.make_pipeline(preprocessing.StandardScaler(), _logistic()),
    "RFE": feature_selection.RFE(_logistic(), n_features_to_select=2),
    "RFECV": feature_selection.RFECV(_ridge(), cv=2),
    "RadiusNeighborsClassifier": neighbors.RadiusNeighborsClassifier(4.0),
    "RadiusNeighborsRegressor": neighbors.RadiusNeighborsRegressor(radius=4.0),
    "RandomizedSearchCV": model_selection.RandomizedSearchCV(_logistic(), {"C": [0.1, 1]}, n_iter=2, cv=2),
    "RegressorChain": multioutput.RegressorChain(_ridge()),
    "SelectFromModel": feature_selection.SelectFromModel(linear_model.Lasso(0.1)),
    "GenericUnivariateSelect": feature_selection.GenericUnivariateSelect(mode="k_best", param=2),
    "SelectFwe": feature_selection.SelectFwe(alpha=0.5),
    "SelectKBest": feature_selection.SelectKBest(k=2),
    "SelectPercentile": feature_selection.SelectPercentile(percentile=50),
    "SelfTrainingClassifier": semi_supervised.SelfTrainingClassifier(_logistic()),
    "SequentialFeatureSelector": feature_selection.SequentialFeatureSelector(_ridge(), n_features_to_select=2, cv=2),
    "SparseCoder": decomposition.SparseCoder(np.eye(4)),
    "GaussianRandomProjection": random_projection.GaussianRandomProjection(3),
    "SparseRandomProjection": random_projection.SparseRandomProjection(3),
    "StackingClassifier": ensemble.StackingClassifier(
        [("l", _logistic()), ("t", tree.DecisionTreeClassifier(max_depth=3))], cv=2
    ),
    "StackingRegressor": ensemble.StackingRegressor(
        [("l", _ridge()), ("t", tree.DecisionTreeRegressor(max_depth=3))], cv=2
    ),
    "TransformedTargetRegressor": compose.TransformedTargetRegressor(_ridge(), func=np.log, inverse_func=np.exp),
    "TunedThresholdClassifierCV": model_selection.TunedThresholdClassifierCV(_logistic(), cv=2),
    "VotingClassifier": ensemble.VotingClassifier(
        [("l", _logistic()), ("t", tree.DecisionTreeClassifier(max_depth=3))]
    ),
    "VotingRegressor": ensemble.VotingRegressor([("l", _ridge()), ("t", tree.DecisionTreeRegressor(max_depth=3))]),
}
# Fewer trees, components and rounds than scikit-learn would take.
SMALLER = {
    "n_estimators": 8,
    "n_components": 2,
    "n_clusters": 3,
    "n_quantiles": 20,
    "max_subpopulation": 50,
    "n_alphas": 5,
    "batch_size": 50,
    "random_state": 0,
}
TARGETS = {
    **dict.fromkeys(["FixedThresholdClassifier", "TunedThresholdClassifierCV"], BINARY),
    **dict.fromkeys(["GammaRegressor", "PoissonRegressor", "TransformedTargetRegressor"], SIZE),
    **dict.fromkeys(["ClassifierChain", "MultiOutputClassifier"], TAGS),
    **dict.fromkeys(["MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"], SEVERAL),
    **dict.fromkeys(["MultiOutputRegressor", "RegressorChain", "CCA", "PLSCanonical", "PLSSVD"], SEVERAL),
    **dict.fromkeys(["GenericUnivariateSelect", "SelectKBest", "SelectFdr", "SelectFpr", "SelectFwe"], LABELS),
    **dict.fromkeys(["SelectPercentile", "RFE", "NeighborhoodComponentsAnalysis"], LABELS),
    "SelfTrainingClassifier": np.where(RANDOM.random(ROWS) < 0.2, -1, np.digitize(NUMBER, [0.0, 2.0])),
}
DATA = {
    **dict.fromkeys(["CategoricalNB", "ComplementNB", "MultinomialNB", "TfidfTransformer"], COUNTS),
    **dict.fromkeys(["NMF", "MiniBatchNMF", "AdditiveChi2Sampler", "LatentDirichletAllocation"], POSITIVE),
    **dict.fromkeys(["OneHotEncoder", "OrdinalEncoder", "TargetEncoder"], TEXTS),
    **dict.fromkeys(["CountVectorizer", "TfidfVectorizer", "HashingVectorizer"], WORDS),
    **dict.fromkeys(["SimpleImputer", "KNNImputer", "MissingIndicator"], HOLES),
    "IsotonicRegression": NUMBERS[["a"]],
    "KernelCenterer": GRAM,
}
# They do not score rows: they take targets, or dicts or images, or only the rows that they were fitted on.
NO_ROWS = {
    "AgglomerativeClustering", "ClassicalMDS", "DBSCAN", "HDBSCAN", "MDS", "OPTICS", "SpectralBiclustering",
    "SpectralClustering", "SpectralCoclustering", "SpectralEmbedding", "TSNE",
    "EmpiricalCovariance", "GraphicalLasso", "GraphicalLassoCV", "LedoitWolf", "MinCovDet", "OAS", "ShrunkCovariance",
    "LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer",
    "DictVectorizer", "FeatureHasher", "PatchExtractor", "NearestNeighbors",
}  # fmt: skip


def case_of(name: str, kind: type) -> Case:
    estimator = GIVEN.get(name) or kind()
    known = estimator.get_params(deep=False)
    estimator.set_params(**{option: value for option, value in SMALLER.items() if option in known})
    target = TARGETS.get(name, LABELS if is_classifier(estimator) else NUMBER)
    return Case(estimator, DATA.get(name, NUMBERS), target)


WALK = {name: case_of(name, kind) for name, kind in all_estimators() if name not in NO_ROWS}
