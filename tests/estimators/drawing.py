"""What `drawn` draws: columns, models over them, and rows that no sample has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost
from scipy import sparse
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    impute,
    linear_model,
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

__all__ = ["Drawn", "draw"]

Random = np.random.Generator
_TRAINED = 150
_NAMES = (
    *("a", "b", "sepal length (cm)", "home.dest", "1", "X", "prediction", "größe", "a b", "a-b", "variable", "Total €"),
    *("probabilities", "label", "input", "x_1", "select", "年齢", "scores", "category_0", "text_0"),
)
_WORDS = (
    *("good", "bad", "film", "señor", "École", "ÉCOLE", "Straße", "STRASSE", "naïve", "the", "and", "fun", "Σοφός"),
    *("ΣΟΦΟΣ", "İstanbul", "don't", "x_y", "42", "a", "I", "co-op", "café", "CAFÉ", "東京", "tokyo"),
)
_CITIES = ("Bern", "Genève", "Zürich", "zürich", "Zug", "", " ", "nan", "None", "1", "1.0")


@dataclass
class Drawn:
    """A model, the rows and the target that it is trained on, and how its rows are given to it."""

    model: Any
    rows: pd.DataFrame
    target: Any
    form: str = "frame"
    special: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = {name: str(kind) for name, kind in self.rows.dtypes.items()}
        return f"{' '.join(str(self.model).split())} on {self.form} {kinds}"

    def fit(self) -> None:
        self.model.fit(self._given(self.rows), self.target)

    def _given(self, rows: pd.DataFrame) -> Any:
        if self.form == "texts":
            return rows["text"]
        if self.form == "frame":
            return rows
        matrix = rows.to_numpy(np.float32 if self.form == "singles" else np.float64)
        return sparse.csr_matrix(matrix) if self.form == "sparse" else matrix

    def sample(self, random: Random) -> Any:
        few = self.rows.head(int(random.choice([5, 20, len(self.rows)])))
        return few if self.form in ("texts", "frame") else self._given(few)

    def typical_size(self) -> float:
        answers = np.ravel(np.asarray(self._answers(self._given(self.rows))["predict"]))
        return float(np.median(np.abs(answers))) if answers.dtype.kind == "f" and np.isfinite(answers).all() else 0.0

    def own_answers(self, row: pa.Table) -> dict[str, Any]:
        """Of one row, as DuckDB has it."""
        frame = row.to_pandas()
        frame.columns = list(self.rows)
        for name, kind in self.rows.dtypes.items():
            if isinstance(kind, pd.CategoricalDtype):
                known = kind.categories.tolist()
                if kind.categories.dtype.kind in "iu":
                    whole = lambda x: int(x) if isinstance(x, float) and x.is_integer() else x  # noqa: E731
                    frame[name] = frame[name].astype(object).map(whole)
                new = [value for value in frame[name].dropna().tolist() if value not in known]
                frame[name] = pd.Categorical(frame[name], [*known, *new])
            elif kind == np.float32:
                frame[name] = frame[name].astype(np.float32)
            elif kind is np.dtype(object) and self.rows[name].isna().any():
                frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        return {call: answers[0] for call, answers in self._answers(self._given(frame)).items()}

    def _answers(self, given: Any) -> dict[str, Any]:
        model = self.model
        if not hasattr(model, "predict"):
            made = model.transform(given)
            return {"predict": np.asarray(made.toarray() if hasattr(made, "toarray") else made)}
        if isinstance(model, (xgboost.Booster, lightgbm.Booster)):
            raise NotImplementedError
        answers = {"predict": _plain(model.predict(given))}
        if hasattr(model, "predict_proba"):
            answers["predict_proba"] = np.asarray(model.predict_proba(given))
        return answers

    def strange_rows(self, random: Random, count: int, *, whole: bool) -> pa.Table:
        """Rows of training with strange values in some columns, all zeros, nothing at all. ``whole``: columns of whole
        numbers are of whole numbers, else of doubles."""
        rows = self.rows.sample(count, replace=True, random_state=int(random.integers(1 << 30))).reset_index(drop=True)
        columns = {}
        for position, (name, column) in enumerate(rows.items()):
            values = [None if _missing(value) else value for value in column.astype(object)]
            for i in range(count):
                if random.random() < 0.35 or i in (0, 1):
                    values[i] = self._strange(random, self.rows[name], i, whole)
            columns[f"{position}"] = _column(values, self.rows[name], whole)
        names = [f"f{i}" for i in range(len(columns))] if self.form not in ("texts", "frame") else list(self.rows)
        return pa.table(list(columns.values()), names=names)

    def _strange(self, random: Random, column: pd.Series, row: int, whole: bool) -> Any:
        if row == 1:
            return None
        if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object or column.dtype == "str":
            if row == 0:
                return None
            first = column.dropna().iloc[0] if column.notna().any() else ""
            if isinstance(first, str):
                return _strange_text(random, column)
        if row == 0:
            return 0
        if column.dtype == bool:
            return _pick(random, [True, False, None])
        kind = column.cat.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
        return _strange_number(random, column.dropna().astype(float), self.special, whole and kind.kind in "iu")


def _plain(answers: Any) -> Any:
    answers = np.asarray(answers)
    if answers.dtype.kind == "f":
        return list(answers)
    return answers.ravel().tolist() if answers.ndim == 2 and answers.shape[1] == 1 else answers.tolist()


def _missing(value: Any) -> bool:
    return value is None or value != value


def _column(values: list[Any], like: pd.Series, whole: bool) -> pa.Array:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, str) for value in present):
        return pa.array(values, pa.string())
    if not present and (like.dtype == object or like.dtype == "str"):
        return pa.array(values, pa.string())
    if like.dtype == bool:
        return pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    numbers = like.dtype if not isinstance(like.dtype, pd.CategoricalDtype) else like.cat.categories.dtype
    large = numbers.kind in "iu" and like.dropna().astype(object).map(abs).max() >= 2**53
    if large:  # which doubles do not all hold
        values = [None if value is None or not np.isfinite(value) else int(value) for value in values]
        values = [None if value is None or abs(value) >= 2**63 else value for value in values]
    if (whole or large) and numbers.kind in "iu":
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    if isinstance(like.dtype, pd.CategoricalDtype) and numbers.kind not in "iuf":
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array([None if value is None else float(value) for value in values], pa.float64(), from_pandas=False)


def _strange_number(random: Random, known: pd.Series, special: list[float], whole: bool) -> Any:
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    one, other = known.sample(2, replace=True, random_state=int(random.integers(1 << 30))) if len(known) else (0.0, 1.0)
    middle = (one + other) / 2
    if whole:
        codes = [0, -1, int(high) + 1, int(low) - 1, 2**24 + 1, 2**53 + 1, -(2**53) - 1, int(one), 2**62]
        return _pick(random, [None, *codes])
    edges = [one, middle, float(np.float32(middle)), *special]
    edge = edges[int(random.integers(len(edges)))]
    near = float(np.nextafter(edge, random.choice([-np.inf, np.inf])))
    near_single = float(np.nextafter(np.float32(edge), np.float32(random.choice([-np.inf, np.inf]))))
    choices = [
        None,
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        high * 10 + 1,
        low * 10 - 1,
        1e300,
        1e39,
        -1e20,
        1e-40,
        one + 0.5,
    ]
    choices += [edge, near, near_single, edge, near, near_single, middle, 2.0**24 + 1, 2.0**53, one, other]
    return choices[int(random.integers(len(choices)))]


def _strange_text(random: Random, column: pd.Series) -> Any:
    known = str(column.dropna().sample(1, random_state=int(random.integers(1 << 30))).iloc[0])
    some = " ".join(random.choice(_WORDS, int(random.integers(1, 8))))
    choices = [
        *(None, "", " ", "Atlantis", known.upper(), known.lower(), known + " ", "1", "1.0", "nan", "None", "missing"),
        *(
            "e\u0301cole good",
            "ＧＯＯＤ film",
            "good\u00a0film",
            "ba\u00addd",
            "ΣΑΣ Σ σ ς good",
            "ﬁlm good",
            "GOOD good Good",
        ),
        *(
            "\ufffe good",
            "ǅ good ŉ",
            "good-film_bad",
            "  good\n\tfilm  ",
            "🙂 good 🙂🙂",
            "ß ẞ bad",
            some,
            some,
            some.upper(),
        ),
        *("x" * 300, "good " * 50, "İ i̇ I ı", "१२३ good 42", "\u200bgood\u200b bad"),
    ]
    return choices[int(random.integers(len(choices)))]


# Columns


def _floats(random: Random, n: int) -> np.ndarray:
    return random.normal(size=n).round(int(random.choice([1, 3, 12])))


COLUMNS: dict[str, Callable[[Random, int], Any]] = {
    "floats": _floats,
    "gaps": lambda random, n: np.where(random.random(n) < 0.15, np.nan, _floats(random, n)),
    "singles": lambda random, n: _floats(random, n).astype(np.float32),
    "counts": lambda random, n: random.integers(0, 12, n),
    "dates": lambda random, n: random.choice([20240100 + day for day in range(1, 32)] + [20231231], n),
    "seconds": lambda random, n: 1_700_000_000 + random.integers(0, 86400, n),
    "ids": lambda random, n: (1 << 53) + random.integers(0, 40, n),
    "cents": lambda random, n: random.integers(0, 30, n) / 10,
    "large": lambda random, n: random.normal(1e9, 1e3, n),
    "tiny": lambda random, n: random.normal(0, 1e-9, n),
    "zeros": lambda random, n: np.where(random.random(n) < 0.7, 0.0, random.normal(size=n)),
    "whole floats": lambda random, n: random.integers(0, 5, n).astype(float),
    "bools": lambda random, n: random.random(n) < 0.4,
    "constant": lambda random, n: np.full(n, 2.5),
}
TEXTS: dict[str, Callable[[Random, int], Any]] = {
    "cities": lambda random, n: random.choice(_CITIES[: int(random.integers(2, len(_CITIES)))], n),
    "cities with gaps": lambda random, n: pd.Series(random.choice(["Bern", "Zug", "Uri"], n)).where(
        random.random(n) > 0.1
    ),
    "objects with None": lambda random, n: pd.Series(
        [None if x == "?" else x for x in random.choice(["Bern", "Zug", "?"], n, p=[0.5, 0.4, 0.1])], dtype=object
    ),
    "categories": lambda random, n: pd.Categorical(random.choice(["Bern", "Zug", "Uri"], n)),
}
CODES: dict[str, Callable[[Random, int], Any]] = {
    "counts": COLUMNS["counts"],
    "dates": COLUMNS["dates"],
    "ids": COLUMNS["ids"],
    "bools": COLUMNS["bools"],
    "whole floats": COLUMNS["whole floats"],
}


def _pick(random: Random, of: Any) -> Any:
    items = list(of)
    return items[int(random.integers(len(items)))]


def _frame(random: Random, kinds: list[tuple[str, dict[str, Any]]], names: list[str]) -> pd.DataFrame:
    made = {name: table[kind](random, _TRAINED) for name, (kind, table) in zip(names, kinds, strict=True)}
    return pd.DataFrame({name: pd.Series(values) for name, values in made.items()})


def _score(random: Random, rows: pd.DataFrame) -> np.ndarray:
    """A number that hangs on the columns."""
    total = random.normal(size=len(rows)) * 0.2
    for name in rows:
        codes = (
            pd.Series(pd.factorize(rows[name])[0]) if rows[name].dtype.kind not in "iufb" else rows[name].astype(float)
        )
        spread = codes.fillna(0) - codes.fillna(0).mean()
        total = total + (spread / (spread.std() or 1)).to_numpy() * random.normal()
    return total


def _target(random: Random, kind: str, score: np.ndarray) -> Any:
    if kind == "number":
        return score
    if kind == "size":
        return np.exp(score / (np.abs(score).max() or 1))
    count = 2 if kind == "two" or random.random() < 0.5 else 3
    edges = np.quantile(score, [0.4] if count == 2 else [0.3, 0.7])
    places = np.digitize(score, edges)
    labels = _pick(random, [[0, 1, 2], ["no", "yes", "perhaps"], [3, -1, 7], [False, True, None]])
    if count == 3 and None in labels:
        labels = [0, 1, 2]
    return np.array(labels[:count])[places]


# Steps


def _steps(random: Random, special: list[float]) -> Any:
    """A transformer of numbers."""
    threshold = float(_pick(random, [0.0, 0.1, 0.3, 1.5]))
    special.append(threshold)
    choices: list[Callable[[], Any]] = [
        preprocessing.StandardScaler,
        lambda: preprocessing.StandardScaler(with_mean=False),
        preprocessing.MinMaxScaler,
        lambda: preprocessing.MinMaxScaler(clip=True, feature_range=(-1, 2)),
        preprocessing.MaxAbsScaler,
        preprocessing.RobustScaler,
        lambda: preprocessing.Normalizer(_pick(random, ["l1", "l2", "max"])),
        lambda: preprocessing.Binarizer(threshold=threshold),
        lambda: preprocessing.KBinsDiscretizer(
            int(random.integers(2, 7)),
            encode=_pick(random, ["ordinal", "onehot", "onehot-dense"]),
            strategy=_pick(random, ["uniform", "quantile"]),
        ),
        lambda: preprocessing.PolynomialFeatures(
            int(random.integers(2, 4)),
            interaction_only=bool(random.random() < 0.4),
            include_bias=bool(random.random() < 0.5),
        ),
        preprocessing.PowerTransformer,
        lambda: preprocessing.QuantileTransformer(n_quantiles=int(_pick(random, [10, 100]))),
        lambda: preprocessing.FunctionTransformer(
            _pick(random, [np.abs, np.square, np.sqrt, np.log1p, np.exp, np.sin, None])
        ),
        lambda: preprocessing.SplineTransformer(n_knots=4),
        lambda: impute.SimpleImputer(
            strategy=_pick(random, ["mean", "median", "most_frequent", "constant"]),
            add_indicator=bool(random.random() < 0.4),
        ),
        lambda: impute.SimpleImputer(missing_values=0, strategy="mean"),
        lambda: decomposition.PCA(n_components=0.9, whiten=bool(random.random() < 0.3)),
        lambda: decomposition.TruncatedSVD(1),
        lambda: feature_selection.VarianceThreshold(0.01),
        lambda: feature_selection.SelectKBest(feature_selection.f_regression, k=1),
        lambda: feature_selection.SelectFromModel(ensemble.ExtraTreesRegressor(4, random_state=0), threshold="median"),
        lambda: pipeline.make_union(preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
        lambda: cluster.KMeans(3, n_init=1, random_state=0),
        lambda: "passthrough",
    ]
    return _pick(random, choices)()


def _encoder(random: Random) -> Any:
    choices: list[Callable[[], Any]] = [
        lambda: preprocessing.OneHotEncoder(
            handle_unknown=_pick(random, ["error", "ignore", "infrequent_if_exist"]),
            drop=_pick(random, [None, None, "first", "if_binary"]),
            sparse_output=bool(random.random() < 0.6),
            min_frequency=_pick(random, [None, None, 0.2]),
        ),
        lambda: preprocessing.OneHotEncoder(handle_unknown="ignore"),
        preprocessing.OrdinalEncoder,
        lambda: preprocessing.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=_pick(random, [-1, np.nan, 99])
        ),
        lambda: preprocessing.OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            encoded_missing_value=-2,
            min_frequency=_pick(random, [None, 10]),
        ),
        lambda: preprocessing.TargetEncoder(random_state=0, cv=2),
        lambda: pipeline.make_pipeline(
            impute.SimpleImputer(strategy=_pick(random, ["most_frequent", "constant"]), fill_value="?"),
            preprocessing.OneHotEncoder(handle_unknown="ignore"),
        ),
    ]
    return _pick(random, choices)()


def _regressor(random: Random) -> Any:
    few = int(random.integers(2, 9))
    choices: list[Callable[[], Any]] = [
        linear_model.LinearRegression,
        linear_model.Ridge,
        lambda: linear_model.Lasso(0.01),
        linear_model.HuberRegressor,
        lambda: linear_model.TweedieRegressor(power=0),
        lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=0),
        lambda: ensemble.RandomForestRegressor(few, max_depth=6, random_state=0),
        lambda: ensemble.ExtraTreesRegressor(few, random_state=0),
        lambda: ensemble.GradientBoostingRegressor(
            n_estimators=few, loss=_pick(random, ["squared_error", "huber", "quantile"])
        ),
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=few, min_samples_leaf=3),
        lambda: ensemble.AdaBoostRegressor(n_estimators=few, random_state=0),
        lambda: ensemble.BaggingRegressor(n_estimators=few, max_features=0.7, random_state=0),
        lambda: xgboost.XGBRegressor(
            n_estimators=few, max_depth=4, objective=_pick(random, ["reg:squarederror", "reg:absoluteerror"])
        ),
        lambda: lightgbm.LGBMRegressor(n_estimators=few, min_child_samples=3, verbose=-1),
        lambda: catboost.CatBoostRegressor(
            iterations=few, depth=3, verbose=0, allow_writing_files=False, thread_count=1
        ),
        lambda: svm.SVR(C=2.0),
        lambda: neighbors.KNeighborsRegressor(3, weights=_pick(random, ["uniform", "distance"])),
        lambda: neural_network.MLPRegressor((5,), max_iter=30, random_state=0),
        lambda: compose.TransformedTargetRegressor(
            linear_model.Ridge(),
            transformer=_pick(
                random, [preprocessing.StandardScaler(), preprocessing.MinMaxScaler(), preprocessing.PowerTransformer()]
            ),
        ),
        lambda: ensemble.VotingRegressor(
            [("l", linear_model.Ridge()), ("t", tree.DecisionTreeRegressor(max_depth=3, random_state=0))],
            weights=_pick(random, [None, [1, 3]]),
        ),
        lambda: ensemble.StackingRegressor(
            [("l", linear_model.Ridge()), ("h", ensemble.HistGradientBoostingRegressor(max_iter=4))],
            cv=2,
            passthrough=bool(random.random() < 0.4),
        ),
        lambda: model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1]}, cv=2),
    ]
    return _pick(random, choices)()


def _classifier(random: Random, *, binary: bool) -> Any:
    few = int(random.integers(2, 9))
    log = linear_model.LogisticRegression
    choices: list[Callable[[], Any]] = [
        log,
        lambda: linear_model.RidgeClassifier(),
        lambda: linear_model.SGDClassifier(loss=_pick(random, ["hinge", "log_loss", "modified_huber"]), random_state=0),
        lambda: svm.LinearSVC(),
        lambda: svm.SVC(kernel=_pick(random, ["rbf", "poly", "linear"])),
        lambda: tree.DecisionTreeClassifier(max_depth=6, random_state=0),
        lambda: ensemble.RandomForestClassifier(few, max_depth=6, random_state=0),
        lambda: ensemble.ExtraTreesClassifier(few, random_state=0),
        lambda: ensemble.GradientBoostingClassifier(n_estimators=few),
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=few, min_samples_leaf=3),
        lambda: ensemble.AdaBoostClassifier(n_estimators=few, random_state=0),
        lambda: ensemble.BaggingClassifier(
            _pick(random, [None, log(), svm.LinearSVC()]), n_estimators=3, random_state=0
        ),
        lambda: naive_bayes.GaussianNB(),
        lambda: naive_bayes.BernoulliNB(),
        lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
        lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
        lambda: neighbors.KNeighborsClassifier(3, weights=_pick(random, ["uniform", "distance"])),
        lambda: neural_network.MLPClassifier((5,), max_iter=30, random_state=0),
        lambda: xgboost.XGBClassifier(n_estimators=few, max_depth=4),
        lambda: lightgbm.LGBMClassifier(n_estimators=few, min_child_samples=3, verbose=-1),
        lambda: catboost.CatBoostClassifier(
            iterations=few, depth=3, verbose=0, allow_writing_files=False, thread_count=1
        ),
        lambda: calibration.CalibratedClassifierCV(
            _pick(random, [log(), svm.LinearSVC(), ensemble.RandomForestClassifier(3, random_state=0)]),
            method=_pick(random, ["sigmoid", "isotonic"]),
            cv=2,
        ),
        lambda: ensemble.VotingClassifier(
            [
                ("l", log()),
                ("t", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
                ("n", naive_bayes.GaussianNB()),
            ],
            voting=_pick(random, ["soft", "hard"]),
            weights=_pick(random, [None, [2, 1, 1]]),
        ),
        lambda: ensemble.StackingClassifier(
            [("l", log()), ("h", ensemble.HistGradientBoostingClassifier(max_iter=4))], cv=2
        ),
        lambda: multiclass.OneVsRestClassifier(
            _pick(random, [log(), ensemble.RandomForestClassifier(3, random_state=0)])
        ),
        lambda: multiclass.OneVsOneClassifier(_pick(random, [log(), svm.LinearSVC()])),
    ]
    if binary:
        choices += [
            lambda: model_selection.FixedThresholdClassifier(log(), threshold=0.3),
            lambda: model_selection.TunedThresholdClassifierCV(log(), cv=2),
        ]
    return _pick(random, choices)()


# Models


def draw(random: Random) -> Drawn:
    kinds = [_numbers, _numbers, _columns, _columns, _columns, _words, _boosted, _boosted, _wrapped, _matrix]
    return _pick(random, kinds)(random)


def _names(random: Random, count: int) -> list[str]:
    return [str(name) for name in random.choice(_NAMES, count, replace=False)]


def _final(random: Random, rows: pd.DataFrame) -> tuple[Any, Any]:
    """An estimator and its target."""
    score = _score(random, rows)
    if random.random() < 0.5:
        return _regressor(random), _target(random, "number", score)
    target = _target(random, "classes", score)
    return _classifier(random, binary=len(set(target.tolist())) == 2), _for_xgboost(random, target)


def _for_xgboost(random: Random, target: Any) -> Any:
    return target if random.random() < 0.7 else np.unique(target, return_inverse=True)[1]


def _numbers(random: Random) -> Drawn:
    """Steps over columns of numbers."""
    count = int(random.integers(1, 5))
    special: list[Any] = []
    rows = _frame(random, [(_pick(random, COLUMNS), COLUMNS) for _ in range(count)], _names(random, count))
    final, target = _final(random, rows)
    steps = [_steps(random, special) for _ in range(int(random.integers(0, 4)))]
    if random.random() < 0.1 and steps:
        return Drawn(pipeline.make_pipeline(*steps), rows, target, special=special)
    if random.random() < 0.5:
        steps = [impute.SimpleImputer(), *steps]
    return Drawn(pipeline.make_pipeline(*steps, final) if steps else final, rows, target, special=special)


def _columns(random: Random) -> Drawn:
    """A ColumnTransformer over columns of all kinds, and what comes after it."""
    numbers, texts, codes = (int(random.integers(low, 3)) for low in (1, 0, 0))
    kinds = [(_pick(random, COLUMNS), COLUMNS) for _ in range(numbers)]
    kinds += [(_pick(random, TEXTS), TEXTS) for _ in range(texts)]
    kinds += [(_pick(random, CODES), CODES) for _ in range(codes)]
    order = random.permutation(len(kinds))
    names = _names(random, len(kinds))
    rows = _frame(random, [kinds[i] for i in order], names)
    special: list[float] = []
    place = {int(kind): names[i] for i, kind in enumerate(order)}
    of_numbers = [place[i] for i in range(numbers)]
    of_texts = [place[i] for i in range(numbers, len(kinds))]
    step = _steps(random, special)
    if random.random() < 0.6 and step != "passthrough":
        step = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), step)
    parts = [("n", step, _as_columns(random, of_numbers, list(rows)))]
    for i, name in enumerate(of_texts):
        parts.append((f"t{i}", _encoder(random), _as_columns(random, [name], list(rows))))
    steps = compose.ColumnTransformer(
        parts, remainder=_pick(random, ["drop", "passthrough"]), sparse_threshold=_pick(random, [0.3, 1.0])
    )
    final, target = _final(random, rows)
    between = [_steps(random, special)] if random.random() < 0.3 else []
    return Drawn(pipeline.make_pipeline(steps, *between, final), rows, target, special=special)


def _as_columns(random: Random, names: list[str], everything: list[str]) -> Any:
    places = [everything.index(name) for name in names]
    mask = [i in places for i in range(len(everything))]
    return _pick(random, [names, names, places, [place - len(everything) for place in places], mask])


def _words(random: Random) -> Drawn:
    """A vectorizer of texts."""
    n = _TRAINED
    texts = [" ".join(random.choice(_WORDS, int(random.integers(1, 9)))) for _ in range(n)]
    rows = pd.DataFrame({"text": texts})
    score = np.array([text.lower().count("good") - text.lower().count("bad") + len(text) / 40 for text in texts])
    options = {
        "lowercase": bool(random.random() < 0.8),
        "strip_accents": _pick(random, [None, None, "unicode", "ascii"]),
        "ngram_range": _pick(random, [(1, 1), (1, 1), (1, 2), (2, 3)]),
        "analyzer": _pick(random, ["word", "word", "word", "char", "char_wb"]),
        "binary": bool(random.random() < 0.2),
        "stop_words": _pick(random, [None, None, ["the", "and"]]),
        "token_pattern": _pick(
            random, [r"(?u)\b\w\w+\b", r"(?u)\b\w\w+\b", r"\w+", r"[a-z]+", r"\S+", r"(?a)\b\w+\b", r"\b[a-zé]{2,5}"]
        ),
    }
    if options["analyzer"] != "word":
        options.pop("token_pattern"), options.pop("stop_words")
    tfidf = {
        "sublinear_tf": bool(random.random() < 0.4),
        "norm": _pick(random, ["l2", "l1", None]),
        "use_idf": bool(random.random() < 0.7),
    }
    text = feature_extraction.text
    vectorizer = text.TfidfVectorizer(**options, **tfidf) if random.random() < 0.6 else text.CountVectorizer(**options)
    target = _target(random, "classes", score)
    final = _pick(
        random,
        [
            linear_model.LogisticRegression(),
            naive_bayes.MultinomialNB(),
            ensemble.RandomForestClassifier(3, random_state=0),
            lightgbm.LGBMClassifier(n_estimators=4, min_child_samples=3, verbose=-1),
            svm.LinearSVC(),
        ],
    )
    if random.random() < 0.2:
        final = xgboost.XGBClassifier(n_estimators=3)
        target = np.unique(target, return_inverse=True)[1]
    if random.random() < 0.3:
        rows["city"] = random.choice(["Bern", "Zug"], n)
        parts = [("w", vectorizer, "text"), ("c", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"])]
        return Drawn(pipeline.make_pipeline(compose.ColumnTransformer(parts), final), rows, target)
    if random.random() < 0.2:
        vectorizer = pipeline.make_union(vectorizer, text.CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)))
    return Drawn(pipeline.make_pipeline(vectorizer, final), rows, target, form="texts")


def _boosted(random: Random) -> Drawn:
    """A booster, or HistGradientBoosting, alone, with categories."""
    count = int(random.integers(1, 4))
    tables = [(_pick(random, COLUMNS), COLUMNS) for _ in range(count)]
    names = _names(random, count + 1)
    rows = _frame(random, tables, names[:count])
    kind = str(_pick(random, ["xgb", "lgb", "cat", "hist"]))
    if random.random() < 0.6 and kind != "cat":
        codes = _pick(
            random, [["Bern", "Zug", "Genève"], [3, 7, 20240131], [20240131, 20240132, 20240133], [1, 2, 3, 4]]
        )
        values = random.choice(np.array(codes), _TRAINED)
        rows[names[count]] = pd.Categorical(pd.Series(values).where(random.random(_TRAINED) > 0.1))
        if rows[names[count]].cat.categories.dtype.kind == "f":
            whole = [int(value) for value in rows[names[count]].cat.categories]
            rows[names[count]] = rows[names[count]].cat.rename_categories(whole)
    score = _score(random, rows)
    classes = random.random() < 0.5
    target = _target(random, "classes", score) if classes else score
    few = int(random.integers(2, 12))
    options: dict[str, Any]
    if kind == "xgb":
        options = {
            "n_estimators": few,
            "max_depth": 4,
            "enable_categorical": True,
            "max_cat_to_onehot": int(_pick(random, [1, 9])),
        }
        options["booster"] = _pick(random, ["gbtree", "gbtree", "dart"])
        if not classes:
            options["objective"] = _pick(
                random, ["reg:squarederror", "reg:absoluteerror", "reg:gamma", "count:poisson", "reg:tweedie"]
            )
            target = _target(random, "size", score)
        else:
            target = np.unique(target, return_inverse=True)[1]
        if random.random() < 0.2:
            options["missing"] = 0.0
        model = xgboost.XGBClassifier(**options) if classes else xgboost.XGBRegressor(**options)
    elif kind == "lgb":
        options = {"n_estimators": few, "min_child_samples": 3, "verbose": -1, "min_data_per_group": 1, "cat_smooth": 1}
        options |= _pick(random, [{}, {"zero_as_missing": True}, {"use_missing": False}, {"boosting_type": "dart"}])
        if not classes:
            options["objective"] = _pick(
                random, ["regression", "quantile", "gamma", "tweedie", "poisson", "cross_entropy_lambda"]
            )
            target = _target(random, "size", score)
            target = target / target.max() if options["objective"] == "cross_entropy_lambda" else target
        model = lightgbm.LGBMClassifier(**options) if classes else lightgbm.LGBMRegressor(**options)
    elif kind == "cat":
        options = {"iterations": few, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
        options["nan_mode"] = _pick(random, ["Min", "Max"])
        model = catboost.CatBoostClassifier(**options) if classes else catboost.CatBoostRegressor(**options)
    elif classes:
        model = ensemble.HistGradientBoostingClassifier(max_iter=few, min_samples_leaf=3)
    else:
        loss = str(_pick(random, ["squared_error", "gamma", "poisson"]))
        target = _target(random, "size", score)
        model = ensemble.HistGradientBoostingRegressor(max_iter=few, min_samples_leaf=3, loss=loss)
    return Drawn(model, rows, target)


def _wrapped(random: Random) -> Drawn:
    """A wrapper around whole pipelines."""
    inner = _columns(random)
    classes = hasattr(inner.model[-1], "classes_") or str(np.asarray(inner.target).dtype) != "float64"
    wrappers: list[Callable[[Any], Any]] = [
        lambda m: ensemble.VotingRegressor([("a", m), ("b", m)]),
        lambda m: ensemble.StackingRegressor([("a", m)], cv=2),
        lambda m: compose.TransformedTargetRegressor(m, transformer=preprocessing.StandardScaler()),
        lambda m: model_selection.GridSearchCV(m, {}, cv=2),
    ]
    if classes:
        wrappers = [
            lambda m: calibration.CalibratedClassifierCV(m, cv=2, method=_pick(random, ["sigmoid", "isotonic"])),
            lambda m: ensemble.VotingClassifier([("a", m), ("b", m)], voting=_pick(random, ["soft", "hard"])),
            lambda m: ensemble.StackingClassifier([("a", m)], cv=2),
            lambda m: multiclass.OneVsRestClassifier(m),
            lambda m: model_selection.GridSearchCV(m, {}, cv=2),
            lambda m: model_selection.FixedThresholdClassifier(m, threshold=0.4),
        ]
    inner.model = _pick(random, wrappers)(inner.model)
    return inner


def _matrix(random: Random) -> Drawn:
    """A bare matrix, dense or sparse."""
    count = int(random.integers(1, 5))
    special: list[Any] = []
    kinds = ["floats", "zeros", "counts", "cents", "whole floats"]
    rows = _frame(random, [(_pick(random, kinds), COLUMNS) for _ in range(count)], [f"f{i}" for i in range(count)])
    form = str(_pick(random, ["matrix", "singles", "sparse"]))
    rows = rows.astype(np.float32 if form == "singles" else np.float64)
    final, target = _final(random, rows)
    if form == "sparse":
        steps = [
            _pick(
                random,
                [
                    preprocessing.MaxAbsScaler(),
                    preprocessing.StandardScaler(with_mean=False),
                    decomposition.TruncatedSVD(1),
                ],
            )
        ]
    else:
        steps = [_steps(random, special)]
    model = pipeline.make_pipeline(*steps, final) if random.random() < 0.5 else final
    if random.random() < 0.1:
        model, target = (
            multioutput.MultiOutputRegressor(linear_model.Ridge()),
            np.column_stack([_score(random, rows), _score(random, rows)]),
        )
    return Drawn(model, rows, target, form=form, special=special)
