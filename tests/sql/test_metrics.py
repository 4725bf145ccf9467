"""Metrics as aggregates are those of scikit-learn, of samples that nobody chose, however DuckDB cuts them up."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

import sqlinfer
from sqlinfer.errors import CallError
from sqlinfer.installation import EXTENSION_FILE

pytestmark = pytest.mark.skipif(not EXTENSION_FILE.exists(), reason="the aggregates are the extension's")
REGRESSION = {
    "mean_absolute_error": metrics.mean_absolute_error,
    "mean_squared_error": metrics.mean_squared_error,
    "root_mean_squared_error": metrics.root_mean_squared_error,
    "mean_absolute_percentage_error": metrics.mean_absolute_percentage_error,
    "median_absolute_error": metrics.median_absolute_error,
    "r2_score": metrics.r2_score,
    "explained_variance_score": metrics.explained_variance_score,
}
LABELS = {
    "accuracy_score": metrics.accuracy_score,
    "balanced_accuracy_score": metrics.balanced_accuracy_score,
    "matthews_corrcoef": metrics.matthews_corrcoef,
    "cohen_kappa_score": metrics.cohen_kappa_score,
}
OF_CLASSES = {
    "precision_score": metrics.precision_score,
    "recall_score": metrics.recall_score,
    "f1_score": metrics.f1_score,
}
RANKED = {"roc_auc_score": metrics.roc_auc_score, "average_precision_score": metrics.average_precision_score}
PROBABILITIES = {
    "log_loss": lambda y, p: metrics.log_loss(y, y_proba=p, labels=[False, True]),
    "brier_score_loss": lambda y, p: metrics.brier_score_loss(y, p, pos_label=True),
}


@pytest.fixture
def con(tmp_path):
    with sqlinfer.connect(registry=tmp_path, engine="native") as con:
        yield con


@pytest.fixture
def asked(con):
    """``asked(call, columns, …)``: what an aggregate answers of columns of rows."""

    def ask(call, columns, tail="", **types):
        con.register("given", pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()}))
        return con.execute(f"SELECT {call} FROM given {tail}").fetchall()[0][0]

    return ask


def wanted(metric, *args, **options):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(metric(*args, **options))


def same(value):
    return pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True)


def samples(seed):
    """Pairs of actual numbers and predictions: plain, tied, far from zero, tiny, of one row, constant."""
    rng = np.random.default_rng(seed)
    for count in (1, 2, 3, 57, 5000):
        actual = rng.normal(0, 1, count)
        yield actual, actual + rng.normal(0, 0.3, count)
        yield np.round(actual), np.round(actual + rng.normal(0, 1, count))
        yield 1e9 + actual, 1e9 + actual + rng.normal(0, 0.1, count)
        yield actual * 1e-200, actual * 1e-200
        yield np.full(count, 0.1), np.full(count, 0.1)
        yield np.full(count, 3.0), actual
        yield actual * 10.0 ** rng.integers(-9, 9, count), actual


def rankings(seed):
    """Labels and probabilities: plain, tied, of one class, certain and wrong."""
    rng = np.random.default_rng(seed)
    for count in (1, 2, 3, 57, 5000):
        for share, digits in itertools.product((0.0, 0.03, 0.5, 1.0), (0, 1, 17)):
            yield rng.random(count) < share, np.round(rng.random(count), digits)


def labels(seed, names):
    rng = np.random.default_rng(seed)
    for count, few in itertools.product((1, 2, 3, 57, 5000), (1, 2, len(names))):
        yield [names[i] for i in rng.integers(0, few, count)], [names[i] for i in rng.integers(0, len(names), count)]


@pytest.mark.parametrize("function", REGRESSION)
def test_of_numbers(asked, function):
    for actual, predicted in samples(seed=1):
        answer = asked(f"{function}(y, p)", {"y": actual, "p": predicted})
        want = wanted(REGRESSION[function], actual, predicted)
        if function in ("r2_score", "explained_variance_score") and actual.std() < 1e-9:
            continue  # scikit-learn divides by what rounding left: see the next test
        assert answer == same(want), (len(actual), actual[:3])


def test_without_variance_nothing_is_explained(asked):
    assert asked("r2_score(y, p)", {"y": [0.1] * 10, "p": [0.1] * 10}) == 1
    assert asked("r2_score(y, p)", {"y": [0.1] * 10, "p": [0.1] * 9 + [0.2]}) == 0
    assert asked("explained_variance_score(y, p)", {"y": [0.1] * 10, "p": [0.1] * 9 + [0.2]}) == 0
    assert math.isnan(asked("r2_score(y, p)", {"y": [0.1], "p": [0.2]}))


def test_of_logarithms(asked):
    rng = np.random.default_rng(3)
    actual, predicted = rng.exponential(5, 1000), rng.exponential(5, 1000)
    answer = asked("mean_squared_log_error(y, p)", {"y": actual, "p": predicted})
    assert answer == same(metrics.mean_squared_log_error(actual, predicted))
    with pytest.raises(CallError, match=r"mean_squared_log_error\(\): .* values above -1, and one is -1"):
        asked("mean_squared_log_error(y, p)", {"y": [2.0, -1.0], "p": [1.0, 1.0]})
    whole = asked("evaluate_regression(y, p)", {"y": [2.0, -1.0], "p": [1.0, 1.0]})
    assert (whole["mean_squared_log_error"], whole["mean_absolute_error"]) == (None, 1.5)


@pytest.mark.parametrize("function", RANKED)
def test_of_ranks(asked, function):
    for y, p in rankings(seed=4):
        if function == "average_precision_score" and not y.any():
            assert asked(f"{function}(y, p)", {"y": y, "p": p}) == 0
            continue
        assert asked(f"{function}(y, p)", {"y": y, "p": p}) == same(wanted(RANKED[function], y, p)), (len(y), y.sum())
        assert asked(f"{function}(y, p)", {"y": y.astype(int), "p": p - 7}) == same(wanted(RANKED[function], y, p - 7))


@pytest.mark.parametrize("function", PROBABILITIES)
def test_of_probabilities(asked, function):
    for y, p in rankings(seed=5):
        assert asked(f"{function}(y, p)", {"y": y, "p": p}) == same(wanted(PROBABILITIES[function], y, p)), len(y)


def test_floats_are_kept_from_zero_by_their_own_epsilon(asked):
    y, p = [True, False], np.array([0, 0.5], dtype=np.float32)
    want = metrics.log_loss(y, y_proba=p, labels=[False, True])
    assert asked("log_loss(y, p)", {"y": y, "p": p}) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("names", ["abcd", [3, 1, -7], ["", "ä", "é" * 9], range(20)], ids=str)
def test_of_labels(asked, names):
    for y, p in labels(6, list(names)):
        for function, metric in LABELS.items():
            assert asked(f"{function}(y, p)", {"y": y, "p": p}) == same(wanted(metric, y, p)), (function, y[:5], p[:5])
        if set(y) | set(p) <= {0, 1} or set(y) | set(p) <= {-1, 1}:
            continue
        for function, metric in OF_CLASSES.items():
            want = wanted(metric, y, p, average="macro", zero_division=0)
            assert asked(f"{function}(y, p)", {"y": y, "p": p}) == same(want), (function, y[:5], p[:5])


@pytest.mark.parametrize("function", OF_CLASSES)
def test_of_the_positive_class(asked, function):
    rng = np.random.default_rng(7)
    y, p = rng.random(999) < 0.2, rng.random(999) < 0.3
    want = wanted(OF_CLASSES[function], y, p)
    texts = {"y": np.where(y, "yes", "no"), "p": np.where(p, "yes", "no")}
    assert asked(f"{function}(y, p)", {"y": y, "p": p}) == same(want)
    assert asked(f"{function}(y, p)", {"y": y.astype(int), "p": p}) == same(want)
    assert asked(f"{function}(y, p)", {"y": y * 2 - 1, "p": p * 2 - 1}) == same(want)
    assert asked(f"{function}(y, p, 'yes')", texts) == same(want)
    assert asked(f"{function}(y::ENUM('no', 'yes'), p::ENUM('x', 'no', 'yes'), 'yes')", texts) == same(want)
    assert asked(f"{function}(y, p, false)", {"y": y, "p": p}) == same(wanted(OF_CLASSES[function], ~y, ~p))
    assert asked(f"{function}(y, p)", {"y": [False], "p": [False]}) == 0


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"], [4, 2, 9, 7]], ids=str)
def test_of_maps(asked, classes):
    """What predict_proba() answers."""
    rng = np.random.default_rng(8)
    y = rng.choice(classes, 2000)
    p = rng.dirichlet(np.ones(len(classes)), 2000)
    order = np.argsort(classes)
    given = {
        "y": y,
        "p": [[(name.item(), value) for name, value in zip(np.array(classes), row, strict=True)] for row in p],
    }
    key = pa.string() if isinstance(classes[0], str) else pa.int64()
    types = {"p": pa.map_(key, pa.float64())}
    ascending, names = p[:, order], np.array(classes)[order]
    scores = ascending[:, 1] if len(classes) == 2 else ascending
    how = {} if len(classes) == 2 else {"multi_class": "ovr", "labels": names}
    assert asked("roc_auc_score(y, p)", given, **types) == same(metrics.roc_auc_score(y, scores, **how))
    assert asked("log_loss(y, p)", given, **types) == same(metrics.log_loss(y, y_proba=ascending, labels=names))
    brier = metrics.brier_score_loss(y, ascending, labels=names)
    assert asked("brier_score_loss(y, p)", given, **types) == same(brier)
    one = classes[0]
    literal = repr(one)
    precision = metrics.average_precision_score(y == one, p[:, 0])
    assert asked(f"average_precision_score(y, p, {literal})", given, **types) == same(precision)
    whole = asked("evaluate_classification(y, p)", given, **types)
    predicted = names[ascending.argmax(axis=1)]
    assert whole["row_count"] == 2000
    assert whole["accuracy_score"] == same(metrics.accuracy_score(y, predicted))
    assert whole["log_loss"] == same(metrics.log_loss(y, y_proba=ascending, labels=names))
    assert whole["roc_auc_score"] == same(metrics.roc_auc_score(y, scores, **how))
    assert whole["f1_score"] == same(metrics.f1_score(y, predicted, average="macro"))


def test_curves(con, asked):
    for y, p in rankings(seed=9):
        if y.all() or not y.any():
            continue
        given = {"y": y, "p": p}
        false_rate, true_rate, thresholds = metrics.roc_curve(y, p)
        curve = asked("roc_curve(y, p)", given)
        assert [point["threshold"] for point in curve] == list(thresholds)
        assert [point["true_positive_rate"] for point in curve] == same(list(true_rate))
        assert [point["false_positive_rate"] for point in curve] == same(list(false_rate))
        for point in curve:
            hits = p >= point["threshold"]
            counts = (y & hits).sum(), (~y & hits).sum(), (~y & ~hits).sum(), (y & ~hits).sum()
            names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
            assert tuple(point[name] for name in names) == counts
        precision, recall, thresholds = metrics.precision_recall_curve(y, p)
        curve = asked("precision_recall_curve(y, p)", given)
        assert [point["threshold"] for point in curve] == [*thresholds, math.inf]
        assert [point["precision"] for point in curve] == same(list(precision))
        assert [point["recall"] for point in curve] == same(list(recall))


def test_calibration(asked):
    for y, p in rankings(seed=10):
        curve = asked("calibration_curve(y, p)", {"y": y, "p": p})
        true, mean = calibration_curve(y, p, n_bins=10) if len(set(y)) == 2 else ([float(y[0])] * len(curve), None)
        assert [point["fraction_of_positives"] for point in curve] == same(list(true))
        if mean is not None:
            assert [point["mean_predicted"] for point in curve] == same(list(mean))
        assert sum(point["count"] for point in curve) == len(y)
        off = sum(point["count"] * abs(point["mean_predicted"] - point["fraction_of_positives"]) for point in curve)
        assert asked("calibration_error(y, p)", {"y": y, "p": p}) == same(off / len(y))


def test_a_class_that_a_group_has_not_is_zero_or_not_a_number(asked):
    given = {"y": ["no", "no"], "p": [0.25, 0.75]}
    assert math.isnan(asked("roc_auc_score(y, p, 'yes')", given))
    assert asked("average_precision_score(y, p, 'yes')", given) == 0
    assert asked("brier_score_loss(y, p, 'yes')", given) == 0.3125
    rows = "MAP {'no': 1 - p, 'yes': p, 'other': 0}"
    assert asked(f"evaluate_classification(y, {rows}, 'other')", given)["precision_score"] == 0


def test_confusion_matrix(asked):
    for names in ("abc", [2, 10, -1], [True, False]):
        for y, p in labels(11, list(names)):
            matrix = asked("confusion_matrix(y, p)", {"y": y, "p": p})
            classes = sorted(set(y) | set(p))
            shown = [str(name).lower() if isinstance(name, bool) else str(name) for name in classes]
            want = metrics.confusion_matrix(y, p, labels=classes)
            pairs = [(cell["actual"], cell["predicted"]) for cell in matrix]
            assert pairs == list(itertools.product(shown, shown))
            assert [cell["count"] for cell in matrix] == list(want.ravel())


def test_null_rows_are_skipped_and_no_rows_are_null(con, asked):
    given = {"y": [1.0, None, 3.0, 4.0], "p": [1.5, 2.0, None, 4.0]}
    assert asked("mean_absolute_error(y, p)", given) == 0.25
    assert asked("accuracy_score(y, p)", {"y": ["a", None, "b"], "p": ["a", "a", None]}) == 1
    functions = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate' AND "
        "regexp_matches(function_name, '_score$|_error$|_loss$|_curve$|^evaluate_|_matrix$|^matthews')"
    ).fetchall()
    assert len(functions) == 26
    for (function,) in functions:
        assert asked(f"{function}(y, p)", given, "WHERE false") is None
        assert asked(f"{function}(NULL, p)", given) is None


def test_groups_filters_and_windows(con):
    con.execute(
        "CREATE TABLE t AS SELECT i, i % 7 AS g, hash(i) % 3 = 0 AS y, (hash(i + 1) % 100) / 100 AS p "
        "FROM range(20000) r(i)"
    )
    groups = con.execute(
        "SELECT g, roc_auc_score(y, p), evaluate_classification(y, p > 0.5) FROM t GROUP BY g"
    ).fetchall()
    assert len(groups) == 7
    for g, auc, whole in groups:
        alone = con.execute(
            f"SELECT roc_auc_score(y, p) FILTER (WHERE g = {g}), accuracy_score(y, p > 0.5) "
            f"FILTER (WHERE g = {g}) FROM t"
        ).fetchall()
        assert alone == [(auc, whole["accuracy_score"])]
        assert whole["roc_auc_score"] is None
    window = "OVER (ORDER BY i ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)"
    rows = con.execute(
        f"SELECT i, roc_auc_score(y, p) {window}, mean_absolute_error(p, 0.5) {window} FROM t QUALIFY i % 4999 = 4998"
    ).fetchall()
    for i, auc, error in rows:
        alone = con.execute(
            "SELECT roc_auc_score(y, p), mean_absolute_error(p, 0.5) FROM t WHERE i BETWEEN ? AND ?", [i - 99, i]
        )
        assert alone.fetchall() == [(auc, error)]
    curve = con.execute("SELECT g, unnest(roc_curve(y, p), recursive := true) FROM t GROUP BY g").fetchall()
    assert len({row[0] for row in curve}) == 7 and len(curve[0]) == 8


def test_threads_do_not_change_an_answer(con):
    con.execute(
        "CREATE TABLE t AS SELECT hash(i) % 3 = 0 AS y, (hash(i + 1) / 2.0 ** 64)::DOUBLE AS p, "
        "i * 1e-3 * (i % 13) AS a FROM range(3_000_000) r(i)"
    )
    functions = "roc_auc_score(y, p), log_loss(y, p), evaluate_regression(a, p), evaluate_classification(y, p > 0.4)"
    answers = []
    for threads in (1, 2, 4):
        con.execute(f"SET threads = {threads}")
        answers.append(con.execute(f"SELECT {functions} FROM t").fetchall())
    assert answers[0] == answers[1] == answers[2]


def test_numbers_of_every_type(asked):
    given = {"y": [1, 0, 1, 1, 0], "p": [1, 1, 1, 0, 0]}
    for type in ("TINYINT", "UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL(9, 2)", "DECIMAL(38, 10)"):
        for call, metric in (
            ("accuracy_score", metrics.accuracy_score),
            ("mean_absolute_error", metrics.mean_absolute_error),
        ):
            answer = asked(f"{call}(y::{type}, p::{type})", given)
            assert answer == same(wanted(metric, given["y"], given["p"])), (call, type)
        assert asked(f"roc_auc_score(y::{type}, p::{type})", given) == same(
            metrics.roc_auc_score(given["y"], given["p"])
        )


ODD = {
    "y": [True, False],
    "l": ["a", "b"],
    "i": [0, 2],
    "d": [0, -1],
    "p": [0.5, 0.75],
    "n": [math.nan, 1.0],
    "s": [[1], [2]],
}
WRONG = {
    "roc_auc_score(l, p)": "labels are texts: name the positive class as a third argument, such as 'a'",
    "roc_auc_score(i, p)": "the label 2 is neither 0 nor 1: name the positive class as a third argument, such as 2",
    "roc_auc_score(y, n)": "a score is NaN",
    "roc_auc_score(y, l)": "numbers are needed, and this is VARCHAR; write a cast, such as x::DOUBLE",
    "roc_auc_score(y, p, NULL)": "the positive class is NULL",
    "roc_auc_score(l, p, l)": "the positive class must be a constant",
    "roc_auc_score(l, p, 1)": "labels that are texts are compared with labels that are numbers",
    "roc_auc_score(d, p)": "labels are 1, 0 and -1: name the positive class",
    "brier_score_loss(l, p, 'z')": "no label is the positive class 'z'; labels: 'a', 'b'",
    "average_precision_score(l, p, 'z')": "no label is the positive class 'z'; labels: 'a', 'b'",
    "precision_score(l, l, 'z')": "no label is the positive class 'z'; labels: 'a', 'b'",
    "accuracy_score(l, i)": "labels that are texts are compared with labels that are numbers; cast one of them",
    "accuracy_score(i, p)": "labels name classes, and 0.5 is no integer",
    "accuracy_score(s, i)": r"labels are VARCHAR, ENUM, BOOLEAN or integers, and not BIGINT\[\]",
    "accuracy_score(i, 9223372036854775808)": "the label 9223372036854775808 is not a BIGINT; cast labels to VARCHAR",
    "accuracy_score(y, MAP {true: p, false: 1 - p})": "a predicted label is needed, and this is a MAP",
    "log_loss(y, i)": "2 is no probability: it does not lie between 0 and 1",
    "log_loss(l, MAP {'a': p, 'c': 1 - p})": "the label 'b' is no class of the MAP, which has 'a', 'c'",
    "log_loss(l, MAP {'a': p, 'b': p})": "the probabilities of the classes add up to",
    "log_loss(l, MAP {'a': p, 'b': NULL})": "a MAP holds NULL for a class",
    "log_loss(l, MAP {'a': p, l || 'x': 1 - p})": "the MAPs are not of the same classes",
    "log_loss(i, MAP {'0': p, '2': 1 - p})": "labels that are texts are compared with labels that are numbers",
    "roc_curve(l, MAP {'a': 0.5, 'b': 0.25, 'c': 0.25})": "the curve is that of one class: name it as a third",
    "mean_absolute_error(n, p)": "a value is NaN; leave such rows out",
    "evaluate_regression(n, p)": "a value is NaN; leave such rows out",
    "median_absolute_error(n, p)": "a value is NaN; leave such rows out",
    "mean_absolute_error(l, p)": "numbers are needed, and this is VARCHAR",
    "evaluate_classification(y, p)": "0.5 is no integer.*; a probability is judged as the MAP that predict_proba",
    "confusion_matrix(range, range) FROM range(2000) --": "2000 different labels, such as 0: a matrix",
}


@pytest.mark.parametrize("call", WRONG)
def test_what_cannot_be_judged_is_an_error(con, asked, call):
    with pytest.raises(CallError, match=WRONG[call]) as raised:
        asked(call, ODD)
    assert f"{call.split('(')[0]}(): " in str(raised.value)
    assert con.execute("SELECT mean_absolute_error(1, 3)").fetchall() == [(2.0,)]
