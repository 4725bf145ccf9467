"""Two samples compared, and the rows of today compared with those that a model was registered with."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

import sqlinfer
from tests.engines import ENGINES

pytestmark = pytest.mark.skipif("native" not in ENGINES, reason="there is no core")

FUNCTIONS = ("population_stability_index", "jensen_shannon", "kolmogorov_smirnov", "wasserstein")


@pytest.fixture(scope="module")
def con():
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
