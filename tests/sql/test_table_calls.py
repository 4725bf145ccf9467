"""BigQuery's, Flink's, Snowflake's and Oracle's words for models answer what sqlinfer's own do, on every engine."""

from __future__ import annotations

import re

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss, mean_absolute_error, precision_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sqlinfer
from sqlinfer.errors import CallError, MissingFeature


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A registry of two models of the same features, the table that they were trained on, and the models themselves."""
    home, random, n = tmp_path_factory.mktemp("shop"), np.random.default_rng(3), 300
    rows = pd.DataFrame(
        {
            "id": range(n),
            "age": random.integers(20, 70, n).astype(float),
            "income": random.gamma(3, 12, n).round(1),
            "city": random.choice(["Basel", "Bern", "Zug"], n),
        }
    )
    rows["churned"] = np.where(rows.age + random.normal(0, 10, n) < 40, "yes", "no")
    rows["spent"] = rows.income * 2 + rows.age + random.normal(0, 3, n)
    features = rows[["age", "income", "city"]]

    def prepared(model):
        columns = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city"]))
        return make_pipeline(columns, model)

    churn = prepared(LogisticRegression()).fit(features, rows.churned)
    spent = prepared(LinearRegression()).fit(features, rows.spent)
    sqlinfer.register("churn", churn, sample=features, target="churned", registry=home)
    sqlinfer.register("spent", spent, sample=features, registry=home)
    digit = LogisticRegression().fit(rows[["age"]], (rows.age // 20).astype(int))
    sqlinfer.register("digit", digit, sample=rows[["age"]], target="d", registry=home, profile=False)
    return home, rows, churn, spent


@pytest.fixture
def con(shop, engine):
    with sqlinfer.connect(registry=shop[0], engine=engine) as con:
        con.register("given", shop[1])
        con.execute("CREATE TABLE customers AS FROM given")
        yield con


@pytest.fixture
def ask(con):
    return lambda sql, *given: con.execute(sql, *given).fetchall()


def names(con):
    return [column[0] for column in con.description]


@pytest.fixture
def judged(con, engine):
    """A connection that has the aggregates of the extension."""
    if engine != "native":
        pytest.skip("the aggregates are the extension's")
    return con


def test_predict(con, ask, shop):
    _, rows, churn, _ = shop
    con.execute("SELECT * FROM ML.PREDICT(MODEL `proj.shop.churn`, TABLE `customers`)")
    assert names(con) == ["predicted_churned", "predicted_churned_probs", *rows.columns]
    found = con.fetchall()
    features = rows[["age", "income", "city"]]
    assert [row[0] for row in found] == list(churn.predict(features))
    for row, known in zip(found[:20], churn.predict_proba(features), strict=False):
        assert [entry["prob"] for entry in row[1]] == pytest.approx(sorted(known, reverse=True))
        assert row[1][0]["label"] == row[0]


def test_predict_of_a_regression(con, ask, shop):
    con.execute("SELECT * FROM ML.PREDICT(MODEL spent, (SELECT id, age, income, city FROM customers), STRUCT())")
    assert names(con) == ["predicted_label", "id", "age", "income", "city"]
    assert ask("SELECT count(*) FROM ML.PREDICT(MODEL spent, TABLE customers) c "
               "WHERE predicted_label IS DISTINCT FROM predict('spent', c)") == [(0,)]  # fmt: skip


def test_a_threshold_is_of_the_second_class(con, ask):
    above = ask("SELECT count(*) FROM customers c WHERE predict_proba('churn', c, 'yes') >= 0.8")
    call = "ML.PREDICT(MODEL churn, (SELECT * FROM customers WHERE age > {a}), STRUCT({t} AS threshold))"
    counted = "SELECT count(*) FROM {} WHERE predicted_churned = 'yes'"
    assert ask(counted.format(call.format(a=0, t=0.8))) == above
    assert ask(counted.format(call.format(a="$a", t="$t")), {"a": 0, "t": 0.8}) == above
    con.execute("SELECT * FROM ML.PREDICT(MODEL churn, TABLE customers, STRUCT(FALSE AS keep_original_columns))")
    assert names(con) == ["predicted_churned", "predicted_churned_probs"]


CHURNS = "SELECT count(*) FROM customers c WHERE predict('churn', c) = 'yes'"


@pytest.mark.parametrize(
    "sql",
    [
        "WITH c AS (FROM customers) SELECT count(*) FROM ML.PREDICT(MODEL churn, TABLE c)"
        " WHERE predicted_churned = 'yes'",
        "SELECT count(*) FROM customers c JOIN ML.PREDICT(MODEL churn, TABLE customers) AS p"
        " ON p.id = c.id AND p.predicted_churned = 'yes'",
        "SELECT count(*) FROM customers WHERE id IN"
        " (SELECT id FROM ml.predict(model CHURN, table customers) WHERE predicted_churned = 'yes')",
        "SELECT count(*) FROM ML.PREDICT(MODEL churn, (SELECT * FROM ML.PREDICT(MODEL spent, TABLE customers)))"
        " WHERE predicted_churned = 'yes'",
        "SELECT sum(n) FROM (SELECT count(*) n FROM ML.PREDICT(MODEL 'churn/1', (FROM customers WHERE age < 40))"
        " WHERE predicted_churned = 'yes' UNION ALL SELECT count(*) FROM"
        " ML.PREDICT(MODEL churn, (FROM customers WHERE age >= 40)) WHERE predicted_churned = 'yes')",
        "SELECT /* ML.PREDICT( */ count(*) -- of MODEL churn\n"
        " FROM ML.PREDICT(MODEL /* ( */ churn, -- )\n TABLE customers)"
        " WHERE predicted_churned = 'yes'",
        "CREATE TABLE p AS FROM ML.PREDICT(MODEL churn, TABLE customers);"
        " SELECT count(*) FROM p WHERE predicted_churned = 'yes'",
        "CREATE VIEW p AS SELECT * FROM ML.PREDICT(MODEL churn, TABLE customers);"
        " SELECT count(*) FROM p WHERE predicted_churned = 'yes'",
        "PREPARE p AS SELECT count(*) FROM ML.PREDICT(MODEL churn, (FROM customers WHERE age > $1))"
        " WHERE predicted_churned = 'yes'; EXECUTE p(0)",
        "SELECT count(*) FROM ML.PREDICT(MODEL churn, (SELECT *, 1 AS \"select\", 2 AS e, {'age': 0} AS input"
        " FROM customers))"
        " WHERE predicted_churned = 'yes'",
        "SELECT count(*) FROM ML_PREDICT(TABLE customers, MODEL churn, DESCRIPTOR(age, income, city))"
        " WHERE predicted_churned = 'yes'",
        "SELECT count(*) FROM TABLE(ML_PREDICT(INPUT => TABLE customers, MODEL => MODEL churn,"
        " ARGS => DESCRIPTOR(`age`, income, city))) WHERE predicted_churned = 'yes'",
        "SELECT count(*) FROM customers WHERE MODEL(churn)!PREDICT(age, income, city):output_feature_0 = 'yes'",
        "SELECT count(*) FROM customers WHERE MODEL(db.shop.churn, V1)!predict(*)['output_feature_0'] = 'yes'",
        "WITH latest AS MODEL churn VERSION LAST SELECT count(*) FROM customers"
        " WHERE latest!predict(age, income, city):\"output_feature_0\"::VARCHAR = 'yes'",
        "SELECT count(*) FROM customers WHERE MODEL(churn)!PREDICT_PROBA(age, income, city):output_feature_1 >= 0.5",
        "SELECT count(*) FROM customers WHERE PREDICTION(churn USING *) = 'yes'",
        "SELECT count(*) FROM customers WHERE PREDICTION(churn USING id, city, income + 0 AS income, age) = 'yes'",
        "SELECT count(*) FROM customers c WHERE PREDICTION_PROBABILITY(churn, 'yes' USING c.*) > 0.5",
        "SELECT count(*) FROM customers WHERE PREDICTION_SET(churn, 1 USING *)[1].PREDICTION = 'yes'",
    ],
)
def test_wherever_it_stands(ask, sql):
    assert ask(sql) == ask(CHURNS)


def test_parameters_keep_their_places(ask):
    sql = (
        "SELECT ? AS x, count(*) FROM ML.PREDICT(MODEL churn, (FROM customers WHERE age > ? AND city = ?)) WHERE id < ?"
    )
    (expected,) = ask("SELECT count(*) FROM customers WHERE age > 30 AND city = 'Bern' AND id < 200")[0]
    assert ask(sql, ["x", 30, "Bern", 200]) == [("x", expected)]


def test_the_confusion_matrix(con, ask, shop):
    _, rows, churn, _ = shop
    con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL churn, TABLE customers)")
    assert names(con) == ["expected_label", "no", "yes"]
    known = confusion_matrix(rows.churned, churn.predict(rows[["age", "income", "city"]]))
    assert [row[1:] for row in con.fetchall()] == [tuple(row) for row in known]
    con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL churn, TABLE customers, STRUCT(0.7 AS threshold))")
    likely = churn.predict_proba(rows[["age", "income", "city"]])[:, 1] >= 0.7
    known = confusion_matrix(rows.churned == "yes", likely)
    assert [row[1:] for row in con.fetchall()] == [tuple(row) for row in known]
    con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL digit, (SELECT age, age // 20 AS d FROM customers LIMIT 0))")
    assert names(con) == ["expected_label", "_1", "_2", "_3"]
    assert con.fetchall() == [(1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0)]


def test_the_roc_curve_at_given_thresholds(con, ask, shop):
    _, rows, churn, _ = shop
    con.execute("SELECT * FROM ML.ROC_CURVE(MODEL churn, TABLE customers, GENERATE_ARRAY(0.25, 0.75, 0.25))")
    found = con.fetchall()
    rates = ["threshold", "recall", "false_positive_rate"]
    assert names(con) == [*rates, "true_positives", "false_positives", "true_negatives", "false_negatives"]
    score, actual = churn.predict_proba(rows[["age", "income", "city"]])[:, 1], rows.churned == "yes"
    assert [row[0] for row in found] == [0.75, 0.5, 0.25]
    for threshold, recall, _, *counts in found:
        above = score >= threshold
        known = [(actual & above).sum(), (~actual & above).sum(), (~actual & ~above).sum(), (actual & ~above).sum()]
        assert counts == known
        assert recall == pytest.approx(known[0] / actual.sum())


def test_what_the_sample_was(con, ask, shop):
    rows = shop[1]
    con.execute("SELECT * FROM ML.FEATURE_INFO(MODEL churn)")
    assert names(con)[:4] == ["input", "min", "max", "mean"]
    age, _, city = con.fetchall()
    assert age[:4] == ("age", rows.age.min(), rows.age.max(), pytest.approx(rows.age.mean()))
    assert city == ("city", None, None, None, None, None, 3, 0, None)


def test_data_is_described(con, ask):
    sql = (
        "SELECT * FROM ML.DESCRIBE_DATA((SELECT * FROM (VALUES (1, 'a', [1, 2]), (0, 'bcd', [3]), (NULL, 'a', NULL))"
        " t(n, s, l)), STRUCT(2 AS num_quantiles, 1 AS top_k))"
    )
    con.execute(sql)
    columns = names(con)
    found = {row[0]: dict(zip(columns, row, strict=True)) for row in con.fetchall()}
    assert columns[:4] == ["name", "num_rows", "num_nulls", "num_zeros"]
    assert columns[-4:] == ["top_values", "min_array_length", "max_array_length", "avg_array_length"]
    assert [found["n"][column] for column in columns[1:10]] == [3, 1, 1, "0", "1", 0.5, pytest.approx(0.5**0.5), 0.5,
                                                               [0, 0.5, 1]]  # fmt: skip
    assert (found["s"]["unique"], found["s"]["top_values"]) == (2, [{"value": "a", "count": 2}])
    assert (found["l"]["num_values"], found["l"]["avg_array_length"]) == (3, 1.5)


def divergence(p, q):
    p, q = np.asarray(p) / sum(p), np.asarray(q) / sum(q)
    half = lambda a: sum(x * np.log2(2 * x / (x + y)) for x, y in zip(a[0], a[1], strict=True) if x > 0)  # noqa: E731
    return (half((p, q)) + half((q, p))) / 2


def test_skew_and_drift(con, ask, shop):
    rows = shop[1]
    others = rows[rows.age >= 45].assign(city="Zug")
    others.loc[others.index[:9], "city"] = "Genf"
    con.execute("CREATE TABLE others AS FROM others")
    con.execute(
        "SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL churn, TABLE others, STRUCT([STRUCT('city', 0.99)] AS thresholds))"
    )
    assert names(con) == ["input", "metric", "threshold", "value", "is_anomaly"]
    age, _, city = con.fetchall()
    edges = np.quantile(rows.age, np.arange(11) / 10)
    known = divergence(*(np.histogram(of.age, edges)[0] for of in (rows, others)))
    assert age == ("age", "JENSEN_SHANNON_DIVERGENCE", 0.3, pytest.approx(known), known > 0.3)
    shares = [of.city.value_counts(normalize=True) for of in (rows, others)]
    largest = max(abs(shares[0].get(name, 0) - shares[1].get(name, 0)) for name in ("Basel", "Bern", "Genf", "Zug"))
    assert city == ("city", "L_INFTY", 0.99, pytest.approx(largest), False)
    drift = {row[0]: row[1:] for row in ask("SELECT * FROM ML.VALIDATE_DATA_DRIFT(TABLE customers, TABLE others)")}
    assert set(drift) == set(rows.columns)
    assert drift["age"][2] == pytest.approx(known)
    assert drift["city"] == ("L_INFTY", 0.3, pytest.approx(largest), largest > 0.3)
    same = "SELECT max(value) FROM {}"
    assert ask(same.format("ML.VALIDATE_DATA_SKEW(MODEL churn, TABLE customers)")) == [(0,)]
    assert ask(same.format("ML.VALIDATE_DATA_DRIFT(TABLE customers, TABLE customers)")) == [(0,)]


def test_evaluate_classification(judged, shop):
    _, rows, churn, _ = shop
    judged.execute("SELECT * FROM ML.EVALUATE(MODEL churn, TABLE customers)")
    assert names(judged) == ["precision", "recall", "accuracy", "f1_score", "log_loss", "roc_auc"]
    precision, _, accuracy, _, loss, area = judged.fetchall()[0]
    features = rows[["age", "income", "city"]]
    answers, scores = churn.predict(features), churn.predict_proba(features)
    assert precision == pytest.approx(precision_score(rows.churned, answers, pos_label="yes"))
    assert accuracy == pytest.approx((answers == rows.churned).mean())
    assert loss == pytest.approx(log_loss(rows.churned, scores))
    assert area == pytest.approx(roc_auc_score(rows.churned, scores[:, 1]))
    judged.execute("SELECT * FROM ML.EVALUATE(MODEL churn, TABLE customers, STRUCT(0.8 AS threshold))")
    strict, *_, same_loss, same_area = judged.fetchall()[0]
    above = np.where(scores[:, 1] >= 0.8, "yes", "no")
    assert strict == pytest.approx(precision_score(rows.churned, above, pos_label="yes"))
    assert (same_loss, same_area) == (loss, area)


def test_evaluate_several_classes(judged):
    rows = "(SELECT age, (age // 20)::INTEGER AS d FROM customers)"
    judged.execute(f"SELECT * FROM ML.EVALUATE(MODEL digit, {rows})")
    ((precision, _, accuracy, *_),) = judged.fetchall()
    answers = judged.execute(f"SELECT d, predict('digit', age) FROM {rows}").fetchnumpy()
    actual, predicted = answers.values()
    assert accuracy == pytest.approx((actual == predicted).mean())
    assert precision == pytest.approx(precision_score(actual, predicted, average="macro"))


def test_evaluate_by_group(judged):
    found = judged.execute(
        "SELECT city, accuracy FROM (SELECT DISTINCT city FROM customers) c,"
        " LATERAL (SELECT * FROM ML.EVALUATE(MODEL churn, (SELECT * FROM customers k WHERE k.city = c.city)))"
        " ORDER BY ALL"
    ).fetchall()
    known = "SELECT city, avg((predict('churn', c) = churned)::INTEGER) FROM customers c GROUP BY ALL ORDER BY ALL"
    assert found == [(city, pytest.approx(share)) for city, share in judged.execute(known).fetchall()]


def test_evaluate_regression(judged, shop):
    _, rows, _, spent = shop
    judged.execute("SELECT * FROM ML.EVALUATE(MODEL spent, (SELECT *, spent AS label FROM customers))")
    errors = ["mean_absolute_error", "mean_squared_error", "mean_squared_log_error", "median_absolute_error"]
    assert names(judged) == [*errors, "r2_score", "explained_variance"]
    found = judged.fetchall()[0]
    answers = spent.predict(rows[["age", "income", "city"]])
    assert found[0] == pytest.approx(mean_absolute_error(rows.spent, answers))
    assert found[4] == pytest.approx(r2_score(rows.spent, answers))


def test_the_whole_roc_curve(judged):
    judged.execute("SELECT * FROM ML.ROC_CURVE(MODEL churn, TABLE customers)")
    rates = ["threshold", "recall", "false_positive_rate"]
    assert names(judged) == [*rates, "true_positives", "false_positives", "true_negatives", "false_negatives"]
    found = judged.fetchall()
    assert (found[0][1:3], found[-1][1:3]) == ((0, 0), (1, 1))
    assert {sum(row[3:]) for row in found} == {300}


def test_snowflake_answers_an_object(ask):
    answer, chances = ask("SELECT MODEL(churn)!PREDICT(*), MODEL(churn)!PREDICT_PROBA(*) FROM customers LIMIT 1")[0]
    assert list(answer) == ["output_feature_0"]
    assert sum(chances.values()) == pytest.approx(1)


def test_columns_are_headed_as_the_user_wrote_them(con):
    con.execute("SELECT PREDICTION(churn  USING *), MODEL(churn)!predict(*):output_feature_0, 1 AS one FROM customers")
    assert names(con) == ["PREDICTION(churn USING *)", "MODEL(churn)!predict(*):output_feature_0", "one"]


@pytest.mark.parametrize(
    ("sql", "error", "says", "place"),
    [
        ("SELECT * FROM ML.CONFUSION_MATRIX(MODEL spent, TABLE customers)", CallError, "is a regression", "spent"),
        (
            "SELECT * FROM ML.CONFUSION_MATRIX(MODEL churn, (SELECT * EXCLUDE (churned) FROM customers))",
            CallError,
            "no column 'churned'.*AS churned",
            "ML.CONFUSION_MATRIX(MODEL churn, (SELECT * EXCLUDE (churned) FROM customers))",
        ),
        (
            "SELECT * FROM ML.PREDICT(MODEL churn, (SELECT age, city FROM customers))",
            MissingFeature,
            "needs the feature income",
            "ML.PREDICT(MODEL churn, (SELECT age, city FROM customers))",
        ),
        ("SELECT * FROM ML.PREDICT(MODEL churn, TABLE nothere)", duckdb.CatalogException, "nothere", "nothere"),
        ("SELECT * FROM ML.DESCRIBE_DATA(TABLE nothere)", duckdb.CatalogException, "nothere", "nothere"),
        (
            "SELECT * FROM ML.PREDICT(MODEL churn, (SELECT agee, city FROM customers))",
            duckdb.BinderException,
            "agee",
            "agee",
        ),
        ("FROM ML.PREDICT(MODEL churn, TABLE customers) WHERE GROUP", duckdb.ParserException, "syntax", "GROUP"),
        ("SELECT MODEL(churn)!PREDICT(nope, income, city) FROM customers", duckdb.BinderException, "nope", "nope"),
    ],
)  # fmt: skip
def test_errors_are_underlined_in_the_users_own_words(con, sql, error, says, place):
    with pytest.raises(error, match=says) as caught:
        con.execute(sql)
    line, carets = str(caught.value).splitlines()[-2:]
    assert re.sub("^LINE 1: |…", "", line) in sql
    assert line[carets.index("^") : carets.rindex("^") + 1] == place
    assert con.execute("SELECT 1").fetchall() == [(1,)]


def test_a_label_that_the_model_has_not_is_an_error(ask):
    with pytest.raises(duckdb.Error, match="has a label that the model has not: maybe; classes: no, yes"):
        ask("SELECT * FROM ML.ROC_CURVE(MODEL churn, (SELECT * REPLACE ('maybe' AS churned) FROM customers), [0.5])")


def test_a_model_without_its_target_says_how_to_name_it(judged):
    with pytest.raises(CallError, match=r"registered without its target.*AS label"):
        judged.execute("SELECT * FROM ML.EVALUATE(MODEL spent, TABLE customers)")


def test_skew_needs_every_feature(con):
    with pytest.raises(MissingFeature, match="no column 'income'"):
        con.execute("SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL churn, (SELECT age FROM customers))")
