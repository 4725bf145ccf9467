"""Two samples compared, and the rows of today compared with those that a model was registered with."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer
from sqlinfer import errors
from sqlinfer.models.calls import AGGREGATES
from sqlinfer.sql.literals import text_literal
from tests.engines import ENGINES

FUNCTIONS = ("population_stability_index", "jensen_shannon", "kolmogorov_smirnov", "wasserstein")


@pytest.fixture(scope="module")
def con():
    if "native" not in ENGINES:
        pytest.skip("there is no core")
    with sqlinfer.connect(engine="native") as con:
        yield con


def asked(con, function, reference, new, sql_type="DOUBLE"):
    rows = pa.table(
        {
            "x": [*reference, *new],
            "is_new": [False] * len(reference) + [True] * len(new),
        }
    )
    order = np.random.default_rng(0).permutation(len(rows))
    rows = rows.take(order)
    return con.execute(f"SELECT {function}(x::{sql_type}, is_new) FROM rows").fetchone()[0]


def samples():
    rng = np.random.default_rng(7)
    yield "random", rng.normal(size=1003), rng.normal(0.3, 2, size=751)
    yield "tied", rng.integers(0, 30, 600).astype(float), rng.integers(5, 40, 500).astype(float)
    yield "tiny", np.array([1.5]), np.array([2.5])
    yield "two and three", np.array([1.0, -2.0]), np.array([0.5, 1.0, 7.0])
    yield "apart", rng.normal(size=50), rng.normal(100, 1, size=70)
    yield "the same", np.arange(100.0), np.arange(100.0)
    yield "constant", np.full(20, 3.0), np.full(31, 3.0)
    yield "another constant", np.full(20, 3.0), np.full(31, 4.0)
    yield "zeros of both signs", np.array([0.0, -0.0, 1.0]), np.array([-0.0, 1.0, 1.0])
    yield "heavy tails", rng.standard_cauchy(900), 2 * rng.standard_cauchy(800)
    yield "huge", rng.normal(0, 1e300, 200), rng.normal(1e299, 1e300, 300)
    yield "small", rng.normal(0, 1e-300, 200), rng.normal(0, 2e-300, 300)
    yield "far from zero", 1e9 + rng.normal(size=300), 1e9 + rng.normal(0.1, 1, size=400)


CASES = {name: (reference, new) for name, reference, new in samples()}


@pytest.mark.parametrize("name", CASES)
def test_distances_are_those_of_scipy(con, name):
    reference, new = CASES[name]
    distance = asked(con, "wasserstein", reference, new)
    assert distance["value"] == pytest.approx(wasserstein_distance(reference, new), rel=1e-12, abs=0)
    assert (distance["threshold"], distance["is_anomaly"]) == (None, None)
    largest = asked(con, "kolmogorov_smirnov", reference, new)
    assert largest["value"] == pytest.approx(ks_2samp(reference, new, method="asymp").statistic, abs=1e-12)
    assert largest["is_anomaly"] == (largest["value"] > 0.1)


@pytest.mark.parametrize("name", ["random", "apart", "heavy tails", "far from zero", "huge"])
def test_bins_are_tenths_of_the_reference(con, name):
    reference, new = CASES[name]
    edges = np.percentile(reference, range(0, 101, 10))
    edges[0], edges[-1] = -np.inf, np.inf
    p, q = (np.histogram(values, edges)[0] / len(values) for values in (reference, new))
    index = asked(con, "population_stability_index", reference, new)
    at_least = [np.maximum(shares, 1e-4) for shares in (p, q)]
    wanted = np.sum((at_least[1] - at_least[0]) * np.log(at_least[1] / at_least[0]))
    assert index["value"] == pytest.approx(wanted, rel=1e-12)
    assert "10 quantile bins of the reference, at least 0.0001 in each" in index["method"]
    assert index["threshold"] == 0.2 and index["is_anomaly"] == (wanted > 0.2)
    assert [row["reference"] for row in index["bins"]] == pytest.approx(p, abs=1e-15)
    assert [row["new"] for row in index["bins"]] == pytest.approx(q, abs=1e-15)
    assert index["bins"][0]["bin"].startswith("(-inf, ") and index["bins"][-1]["bin"].endswith(", inf)")
    divergence = asked(con, "jensen_shannon", reference, new)
    assert divergence["value"] == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-12)
    assert divergence["bins"] == index["bins"]


@pytest.mark.parametrize("name", CASES)
def test_shares_are_of_all_rows(con, name):
    for function in FUNCTIONS:
        bins = asked(con, function, *CASES[name])["bins"]
        for side in ("reference", "new"):
            assert math.fsum(row[side] for row in bins) == pytest.approx(1, abs=1e-12)


def test_what_is_above_or_below_a_constant_is_not_taken_for_it(con):
    for moved in (2.9, 3.1):
        answer = asked(con, "jensen_shannon", [3.0] * 50, [moved] * 40)
        assert answer["value"] == 1.0 and answer["is_anomaly"]
        assert asked(con, "population_stability_index", [3.0] * 50, [moved] * 40)["is_anomaly"]
    # most are zero: those that are not are no neighbours of zero
    mixed = asked(con, "jensen_shannon", [0.0] * 80 + [5.0] * 20, [0.0] * 20 + [5.0] * 80)
    assert [(row["reference"], row["new"]) for row in mixed["bins"] if row["reference"]] == [(0.8, 0.2), (0.2, 0.8)]


@pytest.mark.parametrize("sql_type", ["VARCHAR", "ENUM ('a', 'b', 'c', 'd')"])
def test_categories(con, sql_type):
    reference, new = list("aaaabbbbcc"), list("aabbbbbbdd")
    p, q = np.array([0.4, 0.4, 0.2, 0.0]), np.array([0.2, 0.6, 0.0, 0.2])
    divergence = asked(con, "jensen_shannon", reference, new, sql_type)
    assert divergence["value"] == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-12)
    assert [(row["bin"], row["reference"], row["new"]) for row in divergence["bins"]] == [
        (name, *shares) for name, *shares in zip("abcd", p, q, strict=True)
    ]
    index = asked(con, "population_stability_index", reference, new, sql_type)
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    assert index["value"] == pytest.approx(np.sum((q - p) * np.log(q / p)), rel=1e-12)
    assert "the categories" in index["method"]


def test_truth_is_a_category_and_a_number(con):
    answer = asked(con, "jensen_shannon", [True, False], [True, True], "BOOLEAN")
    assert [(row["bin"], row["new"]) for row in answer["bins"]] == [("false", 0.0), ("true", 1.0)]
    assert asked(con, "kolmogorov_smirnov", [True, False], [True, True], "BOOLEAN")["value"] == 0.5


@pytest.mark.parametrize("sql_type", ["TINYINT", "BIGINT", "UBIGINT", "HUGEINT", "DECIMAL(9, 2)", "FLOAT"])
def test_numbers_of_every_type(con, sql_type):
    for function in FUNCTIONS:
        answer = asked(con, function, [1, 2, 3, 4], [2, 3, 4, 5], sql_type)
        assert answer == asked(con, function, [1, 2, 3, 4], [2, 3, 4, 5])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_side_alone_has_no_value(con, function):
    for reference, new in ([1.0, 2.0], []), ([], [1.0, 2.0]):
        answer = asked(con, function, reference, new)
        assert (answer["value"], answer["is_anomaly"]) == (None, None)
        assert answer["method"]
        assert all(row["new"] is None for row in answer["bins"])
    assert con.execute(f"SELECT {function}(1.0, true) WHERE false").fetchone() == (None,)
    assert con.execute(f"SELECT {function}(NULL, true)").fetchone() == (None,)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rows_that_miss_something_are_skipped(con, function):
    rows = "(VALUES (1.0, false), (NULL, false), (2.0, true), (9.0, NULL), (3.0, true)) t(x, n)"
    plain = "(VALUES (1.0, false), (2.0, true), (3.0, true)) t(x, n)"
    with_nulls, without = (con.execute(f"SELECT {function}(x, n) FROM {t}").fetchone() for t in (rows, plain))
    assert with_nulls == without
    numbers = con.execute(f"SELECT {function}(x, n::INTEGER) FROM {rows}").fetchone()
    assert numbers == without


def test_infinite_numbers(con):
    reference, new = [-math.inf, 1.0, 2.0], [1.0, math.inf, math.inf]
    assert asked(con, "kolmogorov_smirnov", reference, new)["value"] == pytest.approx(2 / 3)
    assert asked(con, "jensen_shannon", reference, new)["value"] > 0
    with pytest.raises(sqlinfer.SqlinferError, match=r"wasserstein\(\): a value is infinite; leave such rows out"):
        asked(con, "wasserstein", reference, new)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("wasserstein('NaN'::DOUBLE, true)", r"a value is NaN; leave such rows out"),
        ("wasserstein('a', true)", r"wasserstein\(\): numbers are needed, and this is VARCHAR"),
        ("jensen_shannon(DATE '2026-01-01', true)", r"numbers or categories \(VARCHAR, ENUM, BOOLEAN\).* DATE"),
        ("jensen_shannon(1, 2)", r"whether a row is new is TRUE or FALSE, and this is 2"),
        ("jensen_shannon(1, 'yes')", r"whether a row is new is TRUE or FALSE, and this is VARCHAR"),
    ],
)
def test_what_cannot_be_compared(con, call, message):
    with pytest.raises(sqlinfer.SqlinferError, match=message):
        con.execute(f"SELECT {call}")


@pytest.mark.parametrize("threads", [1, 4])
def test_groups_filters_windows_and_threads(con, threads):
    con.execute(f"SET threads = {threads}")
    con.execute(
        "CREATE OR REPLACE TABLE many AS SELECT i % 7 AS g, hash(i) % 1000 / 7 AS x, hash(i * 3) % 3 = 0 AS n, "
        "(hash(i) % 5)::VARCHAR AS c FROM range(300000) t(i)"
    )
    for function in FUNCTIONS:
        grouped = dict(con.execute(f"SELECT g, {function}(x, n) FROM many GROUP BY g").fetchall())
        assert len(grouped) == 7
        for g in (0, 6):
            alone = con.execute(f"SELECT {function}(x, n) FILTER (g = {g}) FROM many").fetchone()[0]
            assert alone == grouped[g]
    rolling = con.execute(
        "SELECT kolmogorov_smirnov(x, n) OVER (ORDER BY x ROWS 3 PRECEDING) FROM (FROM many LIMIT 50)"
    ).fetchall()
    assert len(rolling) == 50
    categories = con.execute("SELECT jensen_shannon(c, n) FROM many").fetchone()[0]
    assert [row["bin"] for row in categories["bins"]] == list("01234")


def test_answers_do_not_depend_on_threads(con):
    con.execute("CREATE OR REPLACE TABLE numbers AS SELECT random() AS x, random() < 0.5 AS n FROM range(400000)")
    for function in FUNCTIONS:
        answers = []
        for threads in (1, 3):
            con.execute(f"SET threads = {threads}")
            answers.append(con.execute(f"SELECT {function}(x, n) FROM numbers").fetchone())
        assert answers[0] == answers[1]


PLANS = ("free", "pro", "team")


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(3)
    return pd.DataFrame({"age": rng.normal(40, 10, 500), "Plan": rng.choice(PLANS, 500, p=[0.5, 0.3, 0.2])})


@pytest.fixture(scope="module")
def home(tmp_path_factory, sample):
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["Plan"]), remainder="passthrough"),
        LogisticRegression(),
    )
    model.fit(sample, np.where(sample.age > 40, "yes", "no"))
    registry = sqlinfer.Registry(tmp_path_factory.mktemp("drift"))
    sqlinfer.register("churn", model, sample=sample, registry=registry)
    other = sample.assign(Plan=sample.Plan.str.upper())
    sqlinfer.register("churn", model, sample=other, registry=registry)
    sqlinfer.register("bare", model, sample=sample, registry=registry, profile=False)
    names = sample.assign(Plan=[f"plan {i}" for i in range(500)])
    sqlinfer.register("wide", model, sample=names, registry=registry)
    return registry.home


@pytest.fixture(scope="module")
def shop(home, sample):
    """The sample as c; today, where people are older, and have a plan that was not there."""
    if "native" not in ENGINES:
        pytest.skip("there is no core")
    today = sample.assign(age=sample.age + 15, Plan=sample.Plan.where(sample.index % 4 > 0, "gold"))
    today.loc[:99, "age"] = None
    with sqlinfer.connect(registry=home, engine="native") as con:
        con.execute("CREATE TABLE c AS SELECT *, 1 AS id, DATE '2026-01-01' AS day FROM sample")
        con.execute("CREATE TABLE today AS SELECT *, row_number() OVER () AS id FROM today")
        yield con


def skewed(con, sql):
    (answer,) = con.execute(sql).fetchone()
    return {row["feature"]: row for row in answer}


def test_the_sample_is_as_it_was(shop):
    answer = skewed(shop, "SELECT skew('churn', c) FROM c")
    assert list(answer) == ["age", "Plan"]
    assert answer["age"]["value"] == pytest.approx(0, abs=1e-12)
    assert answer["Plan"]["value"] == pytest.approx(0, abs=1e-12)
    for row in answer.values():
        assert (row["threshold"], row["is_anomaly"], row["null_rate"]) == (0.3, False, 0)
    assert answer["age"]["metric"] == "JENSEN_SHANNON_DIVERGENCE" and answer["age"]["new_categories"] is None
    assert answer["Plan"]["metric"] == "L_INFTY" and answer["Plan"]["new_categories"] == []


def test_what_has_changed_is_told(shop, sample):
    answer = skewed(shop, "SELECT skew('churn', today) FROM today")
    ages = sample.age[100:] + 15
    edges = np.quantile(sample.age, np.linspace(0, 1, 11))
    edges = np.array([-np.inf, *edges[:-1], np.nextafter(edges[-1], np.inf), np.inf])
    p, q = (np.histogram(values, edges)[0] / len(values) for values in (sample.age, ages))
    assert answer["age"]["value"] == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-12)
    assert answer["age"]["is_anomaly"] and answer["age"]["null_rate"] == 0.2
    gold = float((sample.index % 4 == 0).mean())
    before, now = sample.Plan.value_counts() / 500, sample.Plan[sample.index % 4 > 0].value_counts() / 500
    assert answer["Plan"]["value"] == pytest.approx(max(gold, *(before - now).abs()), rel=1e-12)
    assert answer["Plan"]["new_categories"] == ["gold"] and not answer["Plan"]["is_anomaly"]


FORMS = ("today", "today.*", "*", "age, plan", "plan := plan, age := age", "{'PLAN': plan, 'age': age, 'more': day}")


@pytest.mark.parametrize("form", FORMS)
def test_features_are_given_as_to_predict(shop, form):
    rows = "FROM (SELECT *, DATE '2026-01-01' AS day FROM today) today"
    wanted = shop.execute("SELECT skew('churn', t) FROM today t").fetchone()
    assert shop.execute(f"SELECT skew('Churn', {form}) {rows}").fetchone() == wanted
    assert shop.execute(f"SELECT skew('churn@default', {form}) FILTER (id > 0) {rows}").fetchone() == wanted


def test_versions_are_compared_with_their_own_sample(shop):
    first, second = (skewed(shop, f"SELECT skew('churn/{version}', c) FROM c")["Plan"] for version in (1, 2))
    assert first["value"] == pytest.approx(0, abs=1e-12)
    assert second["is_anomaly"] and second["new_categories"] == ["free", "pro", "team"]


def test_each_group_has_its_answer(shop):
    grouped = dict(shop.execute("SELECT id % 3, skew('churn', today) FROM today GROUP BY 1").fetchall())
    for group in range(3):
        alone = shop.execute("SELECT skew('churn', t) FROM today t WHERE id % 3 = ?", [group]).fetchone()[0]
        assert grouped[group] == alone
    flat = shop.execute("SELECT x.feature FROM (SELECT unnest(skew('churn', today)) AS x FROM today)").fetchall()
    assert flat == [("age",), ("Plan",)]


def test_nothing_to_compare_has_no_value(shop):
    assert shop.execute("SELECT skew('churn', today) FROM today WHERE false").fetchone() == (None,)
    (answer,) = shop.execute("SELECT skew('churn', NULL, NULL)").fetchone()
    assert [(row["value"], row["is_anomaly"], row["null_rate"]) for row in answer] == [(None, None, 1.0)] * 2
    (answer,) = shop.execute("SELECT skew('churn', 'NaN'::FLOAT, 'pro'::ENUM('pro'))").fetchone()
    assert [row["null_rate"] for row in answer] == [1.0, 0.0]
    wide = skewed(shop, "SELECT skew('wide', c) FROM c")["Plan"]
    assert (wide["metric"], wide["value"], wide["threshold"], wide["new_categories"]) == (None,) * 4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("skew('churn', {'age': age})", errors.MissingFeature, "model 'churn' needs the feature Plan, not given"),
        ("skew('churn', age := age, plam := plan)", errors.UnknownFeature, "has no feature 'plam'"),
        ("skew('churn', plan, age)", errors.FeatureType, "feature 'age' is DOUBLE, but the argument is VARCHAR"),
        ("skew('churn', age)", errors.FeatureCount, "takes 2 features, 1 given"),
        ("skew('chrun', today)", errors.ModelNotFound, "did you mean 'churn'?"),
        ("skew('churn/9', today)", errors.ModelNotFound, "has no version 9"),
        ("skew('not a name', today)", errors.BadReference, "does not name a model"),
        ("skew(NULL, today)", errors.CallError, "the model name must be a constant text"),
        ("skew(plan, today)", errors.CallError, "the model name must be a constant text"),
        ("skew('bare', today)", errors.CallError, "has no profile of its sample.* --no-profile"),
    ],
)
def test_errors_of_skew_are_those_of_predict(shop, call, error, message):
    with pytest.raises(error, match=message):
        shop.execute(f"SELECT {call} FROM today")
    assert shop.execute("SELECT 1").fetchone() == (1,)


def test_the_call_that_failed_is_underlined(shop):
    with pytest.raises(errors.CallError) as told:
        shop.execute("SELECT skew('churn', c), skew('bare', c) FROM c")
    assert str(told.value).splitlines()[-1].strip("^") == " " * len("LINE 1: SELECT skew('churn', c), ")


def test_a_damaged_profile_is_no_profile(shop, home):
    profile = home / "models" / "bare" / "1" / "profile.json"
    assert not profile.exists()
    profile = home / "models" / "wide" / "1" / "profile.json"
    content = profile.read_text()
    try:
        profile.write_text(content.replace('"nulls": 0', '"nulls": 1'))
        with (
            sqlinfer.connect(registry=home, engine="native") as con,
            pytest.raises(errors.RegistryError, match=r"profile\.json is not the file that was registered"),
        ):
            con.execute("SELECT skew('wide', 1.0, 'a')")
    finally:
        profile.write_text(content)


def test_after_a_plain_load(home, sample):
    """No client tells an aggregate the names of its arguments: a row has them."""
    from sqlinfer.engines.native import extension_path
    from sqlinfer.installation import onnxruntime_library

    if "native" not in ENGINES:
        pytest.skip("there is no core")
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as con:
        con.execute(f"LOAD {text_literal(extension_path())}")
        con.execute(f"SET sqlinfer_home = {text_literal(home)}")
        con.execute(f"SET sqlinfer_onnxruntime = {text_literal(onnxruntime_library())}")
        with pytest.raises(duckdb.Error, match=r"ask for sqlinfer_version\(\) once"):
            con.execute("SELECT skew('churn', s) FROM sample s")
        con.execute("SELECT sqlinfer_version()")
        ((answer,),) = con.execute("SELECT skew('churn', s) FROM sample s").fetchall()
        assert [row["is_anomaly"] for row in answer] == [False, False]


def test_a_function_of_the_users_own_stays(shop):
    shop.execute("CREATE MACRO skew(x) AS x + 1")
    assert shop.execute("SELECT skew(1)").fetchone() == (2,)
    shop.execute("DROP MACRO skew")


@pytest.mark.parametrize("name", AGGREGATES)
def test_without_the_extension_an_aggregate_says_how_to_get_it(registry, name):
    with sqlinfer.connect(registry=registry, engine="arrow") as con:
        with pytest.raises(errors.EngineError, match=rf"{name}\(\) is an aggregate of the native extension.*doctor"):
            con.execute(f"SELECT {name}(1, 2)")
        con.execute(f"CREATE MACRO {name}(a, b) AS a + b")
        assert con.execute(f"SELECT {name}(1, 2)").fetchone() == (3,)


def test_both_tables_of_aggregates_say_the_same(con):
    listed = "SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    ours, duckdbs = (set(each.execute(listed).fetchall()) for each in (con, duckdb))
    assert sorted(name for (name,) in ours - duckdbs) == sorted(AGGREGATES)


@pytest.mark.parametrize("function", ["kolmogorov_smirnov", "wasserstein", "population_stability_index"])
def test_integers_that_a_double_cannot_tell_apart_are_refused(function):
    with sqlinfer.connect(engine="native") as con:
        rows = "FROM (SELECT (range % 7 + 9007199254740992)::BIGINT AS x, range % 3 = 0 AS b FROM range(40))"
        with pytest.raises(errors.CallError, match=r"BIGINT beyond 2\^53"):
            con.execute(f"SELECT {function}(x, b) {rows}")
        assert con.execute(f"SELECT {function}(x::DOUBLE, b).value IS NOT NULL {rows}").fetchall() == [(True,)]
