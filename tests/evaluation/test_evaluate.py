"""sqlinfer.evaluate(): the numbers of scikit-learn, from SQL's own predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC

import sqlinfer
from sqlinfer import errors
from tests.engines import native_problem

pytestmark = pytest.mark.skipif(native_problem() is not None, reason="the aggregates are the native extension's")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    random = np.random.default_rng(3)
    n = 600
    frame = pd.DataFrame({"a": random.normal(size=n), "b": random.normal(size=n)})
    frame["region"] = random.choice(np.array(["north", "south", None], object), n)
    frame["late"] = np.where(frame.a + random.normal(size=n) > 0.3, "yes", "no")
    frame["size"] = np.where(frame.b > 0.8, "large", frame.late)
    frame["cost"] = 2 * frame.a - frame.b + random.normal(size=n)
    return frame


@pytest.fixture(scope="module")
def models(people, tmp_path_factory) -> sqlinfer.Registry:
    registry = sqlinfer.Registry(tmp_path_factory.mktemp("evaluated"))
    features = people[["a", "b"]]
    known = people[["a", "b", "late"]]
    sqlinfer.register(
        "late", LogisticRegression().fit(features, people.late), sample=known, target="late", registry=registry
    )
    sqlinfer.register("size", LogisticRegression().fit(features, people["size"]), sample=features, registry=registry)
    sqlinfer.register("cost", LinearRegression().fit(features, people.cost), sample=features, registry=registry)
    sqlinfer.register("flag", LogisticRegression().fit(features, people.a > 0), sample=features, registry=registry)
    return registry


def answers(models, reference, people):
    model = sqlinfer.load(reference, registry=models)
    return model.predict(people), pd.DataFrame([dict(row) for row in model.predict_proba(people)])


def test_two_classes(models, people):
    found = sqlinfer.evaluate("late", people, positive="yes", registry=models)
    predicted, probabilities = answers(models, "late", people)
    assert (found.model, found.row_count, found.target, found.positive) == ("late/1", 600, "late", "yes")
    assert found.accuracy_score == pytest.approx(metrics.accuracy_score(people.late, predicted), abs=1e-12)
    precision = metrics.precision_score(people.late, predicted, pos_label="yes")
    assert found.metrics["precision_score"] == pytest.approx(precision, abs=1e-12)
    area = metrics.roc_auc_score(people.late == "yes", probabilities["yes"])
    assert found.roc_auc_score == pytest.approx(area, abs=1e-12)
    assert found.classes == ("no", "yes")
    assert found.confusion_matrix.tolist() == metrics.confusion_matrix(people.late, predicted).tolist()


def test_three_classes(models, people):
    found = sqlinfer.evaluate("size", people, target="SIZE", registry=models)
    predicted, probabilities = answers(models, "size", people)
    assert found.target == "size"
    assert found.f1_score == pytest.approx(metrics.f1_score(people["size"], predicted, average="macro"), abs=1e-12)
    loss = metrics.log_loss(people["size"], probabilities[["large", "no", "yes"]])
    assert found.log_loss == pytest.approx(loss, abs=1e-9)
    assert found.confusion_matrix.tolist() == metrics.confusion_matrix(people["size"], predicted).tolist()


def test_labels_are_those_of_predict(people, tmp_path):
    """The likeliest class of an SVC may be another than its answer; both are judged as what they are."""
    few = people[:60]
    model = SVC(probability=True, random_state=0).fit(few[["a", "b"]], few["size"])
    sqlinfer.register("svc", model, sample=few[["a", "b"]], registry=tmp_path)
    found = sqlinfer.evaluate("svc", people, target="size", registry=tmp_path)
    predicted, probabilities = model.predict(people[["a", "b"]]), model.predict_proba(people[["a", "b"]])
    assert (predicted != model.classes_[probabilities.argmax(1)]).any()
    assert found.accuracy_score == pytest.approx(metrics.accuracy_score(people["size"], predicted), abs=1e-12)
    assert found.log_loss == pytest.approx(metrics.log_loss(people["size"], probabilities), abs=1e-6)


def test_numbers(models, people):
    found = sqlinfer.evaluate("cost", people, target="cost", registry=models)
    predicted = sqlinfer.load("cost", registry=models).predict(people)
    assert found.task == "regression" and found.confusion_matrix is None
    assert found.r2_score == pytest.approx(metrics.r2_score(people.cost, predicted), abs=1e-12)
    assert found.mean_absolute_error == pytest.approx(metrics.mean_absolute_error(people.cost, predicted), abs=1e-12)


def test_booleans(models, people):
    found = sqlinfer.evaluate("flag", people.assign(up=people.a > 0), target="up", positive=True, registry=models)
    assert found.positive == "true" and found.classes == ("false", "true") and found.confusion_matrix.trace() > 540


def test_groups(models, people):
    found = sqlinfer.evaluate("late", people, by="region", registry=models)
    assert list(found.groups) == ["north", "south", None]
    for region, group in found.groups.items():
        own = people[people.region.isna() if region is None else people.region == region]
        alone = sqlinfer.evaluate("late", own, registry=models)
        assert group.metrics == alone.metrics and group.row_count == len(own)
        assert (group.confusion_matrix == alone.confusion_matrix).all()
    assert found.metrics == sqlinfer.evaluate("late", people, registry=models).metrics
    both = sqlinfer.evaluate("late", people.assign(up=people.b > 0), by=["region", "up"], registry=models)
    assert ("north", True) in both.groups and len(both.groups) == 6
    assert "north" in str(both) and both.to_dict()["groups"][0]["region"] == "north"


def test_every_form_of_rows(models, people, tmp_path):
    people.to_parquet(tmp_path / "people.parquet")
    people.to_csv(tmp_path / "people.csv")
    expected = sqlinfer.evaluate("late", people, registry=models).metrics
    arrow = pa.Table.from_pandas(people)
    with sqlinfer.connect(registry=models, engine="native") as con:
        con.execute("CREATE SCHEMA s; CREATE TABLE s.people AS FROM people")
        forms = [arrow, tmp_path / "people.parquet", str(tmp_path / "people.csv"), "people", "s.people"]
        forms += ["SELECT * FROM people -- all\n;", "(FROM people)", [tmp_path / "people.parquet"]]
        for form in forms:
            assert sqlinfer.evaluate("late", form, con=con).metrics == pytest.approx(expected), form
        twice = [tmp_path / "people.parquet", str(tmp_path / "*.parquet")]
        assert sqlinfer.evaluate("late", twice, con=con).row_count == 1200
        assert con.execute("SELECT 1").fetchall() == [(1,)]


def test_columns_of_any_name(models, people):
    """Those of the query that is asked are not mixed up with those of the rows."""
    names = ["actual", "predicted", "probabilities", "sqlinfer_rows", "group_0", "whole", 'it\'s "it"']
    odd = people.assign(**dict.fromkeys(names, "x"))
    expected = sqlinfer.evaluate("late", people, registry=models).metrics
    for name in names:
        found = sqlinfer.evaluate("late", odd, by=name, registry=models)
        assert found.metrics == expected and found.groups["x"].metrics == expected


TARGETS = [
    ("late", "late::ENUM('no', 'yes')", 600),
    ("late", "late = 'yes'", 600),  # as DuckDB reads a CSV file of no and yes
    ("cost", "cost::DECIMAL(10, 3)", 600),
    ("flag", "(a > 0)::INTEGER", 600),
    ("late", "NULL::VARCHAR", "600 have no 'y'"),
    ("cost", "[cost]", "DOUBLE\\[\\], and model 'cost' answers numbers"),
    ("cost", "DATE '2026-01-01'", "is DATE, and model 'cost' answers numbers"),
    ("cost", "'infinity'::DOUBLE", "the target 'y': a value is infinity"),
    ("flag", "late", "is VARCHAR, and model 'flag' answers the classes"),
]


@pytest.mark.parametrize(("reference", "target", "expected"), TARGETS)
def test_types_of_targets(models, people, reference, target, expected):
    sql = f"SELECT a, b, {target} AS y FROM people"
    if isinstance(expected, str):
        with pytest.raises(errors.SqlinferError, match=expected):
            sqlinfer.evaluate(reference, sql, target="y", registry=models)
    else:
        assert sqlinfer.evaluate(reference, sql, target="y", registry=models).row_count == expected


def test_rows_without_an_answer_are_counted(models, people):
    holes = people.copy()
    holes.loc[:9, "late"] = None
    found = sqlinfer.evaluate("late", holes, registry=models)
    assert (found.row_count, found.without_actual, found.without_answer) == (590, 10, 0)
    assert "10 rows without late" in str(found)
    with pytest.raises(errors.CallError, match="none of the 10 rows"):
        sqlinfer.evaluate("late", holes[:10], registry=models)


def test_it_shows_itself(models, people):
    found = sqlinfer.evaluate("late", people, by="region", registry=models)
    assert str(found).startswith("late/1 on 600 rows, target late")
    assert "<table>" in found._repr_html_() and "north" in found._repr_html_()
    with pytest.raises(AttributeError, match="roc_auc_score"):
        found.auc  # noqa: B018


@pytest.mark.parametrize(("reference", "how"), [("late", {"by": "region"}), ("size", {"target": "size"}), ("cost", {})])
def test_pictures(models, people, tmp_path, reference, how):
    found = sqlinfer.evaluate(reference, people, **({"target": reference} | how), registry=models)
    figure = found.plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title("left") for axes in figure.axes]
    assert len(titles) == (3 if reference == "cost" else 4)
    if reference == "late":  # as many lines as groups, and the diagonal; the curve is that of scikit-learn
        roc = figure.axes[0]
        assert titles[0] == "ROC of yes" and len(roc.lines) == 4
    with pytest.raises(errors.SqlinferError, match="cannot be written"):
        found.plot(tmp_path / "no" / "picture.png")


def test_a_curve_is_the_whole_curve(models, people):
    line = sqlinfer.evaluate("late", people, positive="yes", registry=models).plot().axes[0].lines[0]
    _, probabilities = answers(models, "late", people)
    area = metrics.roc_auc_score(people.late == "yes", probabilities["yes"])
    assert metrics.auc(line.get_xdata(), line.get_ydata()) == pytest.approx(area, abs=0.002)


def test_many_classes(people, tmp_path):
    """Of more than a page can hold, the commonest mistakes are shown."""
    many = people.assign(bin=[f"bin {value}" for value in (people.a * 6).round().astype(int).clip(-9, 9)])
    model = LogisticRegression(max_iter=300).fit(many[["a", "b"]], many.bin)
    sqlinfer.register("bin", model, sample=many[["a", "b"]], registry=tmp_path)
    found = sqlinfer.evaluate("bin", many, target="bin", registry=tmp_path)
    shown = str(found).split("actual")[1].splitlines()[2:]
    counts = [int(line.split()[-1]) for line in shown]
    wrong = found.confusion_matrix - np.diag(found.confusion_matrix.diagonal())
    assert len(found.classes) == 19 and counts == sorted(wrong[wrong > 0], reverse=True)[:20]
    titles = [axes.get_title("left") for axes in found.plot(tmp_path / "bins.png").axes]
    assert titles[0] == "ROC, 8 of 19 classes"


BAD = [
    ("gone", {}, errors.ModelNotFound, "no model named 'gone'"),
    ("late", {"target": "lat"}, errors.CallError, "did you mean 'late'"),
    ("late", {"by": "nowhere"}, errors.CallError, "the group 'nowhere' is no column"),
    ("late", {"target": "a"}, errors.FeatureType, "'a' is DOUBLE, and model 'late' answers the classes 'no', 'yes'"),
    ("late", {"positive": "ja"}, errors.CallError, "classes: no, yes"),
    ("late", {"positive": 1}, errors.CallError, "classes: no, yes"),
    ("late", {"target": "region"}, errors.CallError, "the target 'region': the label 'north' is no class"),
    ("cost", {}, errors.CallError, "registered without its target"),
    ("cost", {"target": "late"}, errors.FeatureType, "'late' is VARCHAR, and model 'cost' answers numbers"),
    ("cost", {"target": "cost", "positive": "yes"}, errors.OptionError, "positive class is for classifiers"),
]


@pytest.mark.parametrize(("reference", "how", "kind", "message"), BAD)
def test_what_is_asked_wrongly(models, people, reference, how, kind, message):
    with pytest.raises(kind, match=message) as raised:
        sqlinfer.evaluate(reference, people, **how, registry=models)
    assert raised.value.excerpt is None  # it would be of SQL that nobody has written


NO_ROWS = [
    ("FROM people WHERE a > 100", "no rows to evaluate"),
    ("SELECT a, b FROM people", "the target 'late' is no column"),
    ("SELECT a, late FROM people", "needs the feature b"),
    ("SELECT * FROM people WHERE aa > 1", 'Referenced column "aa" not found'),
    ("SELECT 1; SELECT 2", "2 statements"),
    ("nobody", "there is no table or file 'nobody'"),
    ("nothing.parquet", "nothing.parquet"),
    ([], "no file"),
    (7, "a int holds no rows"),
    ([{"a": 1}], "a list holds no rows"),
    (["people", "nobody"], "there is no table or file 'nobody'"),
]


@pytest.mark.parametrize(("data", "message"), NO_ROWS)
def test_rows_that_are_none(models, people, data, message):
    with sqlinfer.connect(registry=models, engine="native") as con:
        con.execute("CREATE TABLE people AS FROM people")
        with pytest.raises(errors.SqlinferError, match=message):
            sqlinfer.evaluate("late", data, con=con)
        assert sqlinfer.evaluate("late", "people", con=con).row_count == 600


def test_sql_of_the_user_is_underlined(models, people):
    with pytest.raises(errors.CallError) as raised:
        sqlinfer.evaluate("late", "SELECT *, predict('late', p, 3, nothing := 1) FROM people p", registry=models)
    assert "LINE 1: SELECT *, predict(" in str(raised.value)


def test_the_arrow_engine_has_no_aggregates(models, people):
    with (
        sqlinfer.connect(registry=models, engine="arrow") as con,
        pytest.raises(errors.EngineError, match="engine='native'"),
    ):
        sqlinfer.evaluate("late", people, con=con)


def test_clusters_have_no_right_answer(registry, iris):
    with pytest.raises(errors.FeatureType, match="number of a cluster"):
        sqlinfer.evaluate("segment", iris.assign(y=1), target="y", registry=registry)
    with pytest.raises(errors.FeatureType, match=r"answers (FLOAT|DOUBLE)\["):
        sqlinfer.evaluate("plane", iris.assign(y=1), target="y", registry=registry)


def test_without_matplotlib(models, people, monkeypatch):
    found = sqlinfer.evaluate("late", people, registry=models)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(errors.MissingExtra, match=r"pip install 'sqlinfer\[plot\]'"):
        found.plot()
