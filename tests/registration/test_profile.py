"""What is kept of a sample: statistics of all of its rows, and rows that are spread over it."""

from __future__ import annotations

import decimal
import json
import shutil

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from sqlinfer.errors import FeatureError, OptionError, RegistryError
from sqlinfer.models.profile import Profile
from sqlinfer.models.sample import Sample
from sqlinfer.registration.profile import files_of, profile_of

FIGURES = """
    count(*) FILTER (x = 0), min(x), max(x), avg(x), stddev(x), median(x),
    quantile_cont(x, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def people() -> pd.DataFrame:
    random = np.random.default_rng(1)
    age = random.normal(45, 12, 2000).round(1)
    frame = pd.DataFrame(
        {"age": age, "visits": random.integers(0, 9, 2000), "churned": np.where(age > 40, "yes", "no")}
    )
    frame.loc[1235, "age"] = 1000.5
    return frame


def registered(home, people, **options):
    model = LogisticRegression().fit(people[["age", "visits"]], people["churned"])
    return sqlinfer.register("churn", model, sample=people, target="churned", registry=home, **options)


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT", "INTEGER", "UBIGINT", "BOOLEAN", "DECIMAL(9,2)", "HUGEINT"])
def test_numbers_are_what_duckdb_computes(kind):
    values = f"SELECT CASE WHEN i % 7 > 0 THEN ((i * 7919) % 1000)::{kind} END AS x FROM range(3001) t(i)"
    table = duckdb.sql(values).to_arrow_table()
    (expected,) = duckdb.sql(f"SELECT {FIGURES} FROM (SELECT x::DOUBLE AS x FROM ({values}))").fetchall()
    (found,) = profile_of(table).features
    of = found.numbers
    assert (found.nulls, of.nans, of.infinite) == (429, 0, 0)
    figures = [of.zeros, of.min, of.max, of.mean, of.std, of.median, *of.edges]
    assert figures == pytest.approx([*expected[:-1], *expected[-1]])
    bounds = zip(of.edges, of.edges[1:], of.counts, strict=False)
    numbers = np.array([float(value) for value in table["x"].to_pylist() if value is not None])
    inside = [((low <= numbers) & (numbers < high)).sum() for low, high, _ in bounds]
    inside[-1] += (numbers == of.max).sum()
    assert list(of.counts) == inside and sum(inside) == 3001 - 429


def test_what_is_no_finite_number_is_counted_apart():
    (found,) = profile_of(pa.table({"x": [1.0, -0.0, float("nan"), float("inf"), -float("inf"), None, 3.0]})).features
    of = found.numbers
    assert (found.nulls, of.nans, of.infinite, of.zeros, found.missing) == (1, 1, 2, 1, 2)
    assert (of.min, of.max, of.mean, of.median) == (0, 3, pytest.approx(4 / 3), 1)


@pytest.mark.parametrize(
    ("values", "edges", "mean", "std"),
    [
        ([], 0, None, None),
        ([None], 0, None, None),
        ([float("nan")], 0, None, None),
        ([5.0], 11, 5, None),
        ([5.0, 5.0], 11, 5, 0),
        ([1.7e308, 1.7e308, -1.7e308], 11, None, None),
        ([0.1] * 999 + [7.0], 11, pytest.approx(0.1069), pytest.approx(0.2181972)),
    ],
)
def test_few_and_odd_numbers_have_a_profile(values, edges, mean, std):
    profile = profile_of(pa.table({"x": pa.array(values, pa.float64())}))
    of = profile.features[0].numbers
    assert (len(of.edges), of.mean, of.std) == (edges, mean, std)
    assert list(of.edges) == sorted(of.edges) and sum(of.counts) == sum(value == value for value in values if value)
    assert Profile.of(profile.to_json().encode(), "here") == profile
    assert str(profile).startswith(f"{len(values):,} rows")


def test_texts_have_the_most_frequent_ones():
    values = [*["Bern"] * 3, *["Zug"] * 5, *["Ägeri"] * 3, "", None, "x" * 201, *map(str, range(30))]
    (found,) = profile_of(pa.table({"city": values})).features
    assert (found.nulls, found.texts.distinct) == (1, 35)
    assert found.texts.top[:4] == (("Zug", 5), ("Bern", 3), ("Ägeri", 3), ("", 1))
    assert len(found.texts.top) == 20 and all(len(value) <= 200 for value, _ in found.texts.top)
    assert (found.lengths.min, found.lengths.max) == (0, 201)
    assert found.lengths.mean == pytest.approx(sum(len(value) for value in values if value is not None) / 43)


def test_every_kind_of_column_has_a_profile():
    table = pa.table(
        {
            "nothing": pa.nulls(3),
            "list": [[1, 2, 3], [], None],
            "array": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
            "nested": [[["a"]], [], [[], ["b"]]],
            "large": pa.array([[1], [2], [3]], pa.large_list(pa.int8())),
            "bytes": [b"abc", b"", None],
            "view": pa.array(["a", None, "abc"], pa.string_view()),
            "large text": pa.array(["a", None, "abc"], pa.large_string()),
            "decimal": [decimal.Decimal("1.25"), None, decimal.Decimal("-3")],
            "half": pa.array([1.5, None, 2.5], pa.float16()),
        }
    )
    found = {one.name: one for one in profile_of(table).features}
    lengths = {name: (one.lengths.min, one.lengths.mean, one.lengths.max) for name, one in found.items() if one.lengths}
    assert lengths == {
        "list": (0, 1.5, 3),
        "array": (2, 2, 2),
        "nested": (0, 1, 2),
        "large": (1, 1, 1),
        "bytes": (0, 1.5, 3),
        "view": (1, 2, 3),
        "large text": (1, 2, 3),
    }
    assert [found[name].numbers.max for name in ("nothing", "decimal", "half")] == [None, 1.25, 2.5]
    assert "decimal" in str(profile_of(table)) and "bytes" in str(profile_of(table))


def test_statistics_are_those_of_all_rows(home, people):
    model = registered(home, people)
    assert model.profile == profile_of(pa.table(people[["age", "visits"]]))
    assert (model.profile.rows, model.profile.features[0].numbers.max) == (2000, 1000.5)
    assert sqlinfer.load("churn", registry=home).profile == model.profile


def test_background_rows_are_spread_over_the_sample(home, people):
    model = registered(home, people)
    rows = model.background.to_pylist()
    assert len(rows) == 256
    given = people[["age", "visits"]].to_dict("records")
    assert rows[0] == given[0] and rows[-1] == given[-1]
    places = [i for i, row in enumerate(given) if row in rows]
    assert np.histogram(places, bins=4)[0].min() > 50
    again = registered(home, people)
    files = [model.manifest.files, again.manifest.files]
    assert files[0] == files[1] and set(files[0]) == {"profile.json", "background.json"}
    assert registered(home, people.head(20)).background.num_rows == 20


def test_background_has_as_many_rows_as_there_is_room_for():
    def rows(values):
        files = files_of(Sample(pa.table({"x": values})))
        return len(json.loads(files.get("background.json", b'{"rows": []}'))["rows"])

    texts = ["a" * 10, "a" * 100_000, "a" * 5_000_000]
    assert [rows([text] * 50) for text in texts] == [50, 25, 0]
    assert rows([[0.5] * 1000] * 300) == 256
    assert rows([b"no picture"] * 300) == 0


def test_lists_and_texts_come_back_as_they_were(home, onnx_file):
    table = pa.table({"x": [[1.5, 2.5], [3.5, None], None], "s": ["a", None, "é"]})
    file = onnx_file("(float[n, len] x, string[n] s) => (float[n, len] y, string[n] t) { y = Neg(x)  t = Identity(s) }")
    model = sqlinfer.register("lists", file, sample=table, null="null", registry=home)
    assert model.background.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("options", [{"profile": False}, {"sample": None}])
def test_a_model_without_a_profile(home, onnx_file, options):
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    options = {"sample": {"x": [1.0, 2.0]}, **options}
    model = sqlinfer.register("m", file, registry=home, **options)
    assert (model.profile, model.background, model.manifest.files) == (None, None, {})
    assert {path.name for path in (home / "models/m/1").iterdir()} == {"model.json", "model.onnx"}
    assert sqlinfer.verify("m", registry=home).passed


def test_the_target_is_no_feature(home, people):
    model = registered(home, people)
    assert (model.target, list(model.features)) == ("churned", ["age", "visits"])
    assert sqlinfer.load("churn", registry=home).target == "churned"
    matrix = people[["visits", "age"]].to_numpy()
    numbers = LinearRegression().fit(matrix[:, :1], matrix[:, 1])
    of_array = sqlinfer.register("n", numbers, sample=matrix, features=None, target="F1", registry=home)
    assert (of_array.target, list(of_array.features)) == ("F1", ["f0"])


def test_the_target_of_a_file(home, onnx_file):
    file = onnx_file("(float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }")
    sample = pd.DataFrame({"Churned": [1, 0], "a": [1.0, 2.0], "b": [3.0, 4.0]})
    model = sqlinfer.register("m", file, sample=sample, target="churned", registry=home)
    assert (model.target, list(model.features)) == ("churned", ["a", "b"])
    with pytest.raises(FeatureError, match="the target 'A' is a feature of the model; it takes: a, b"):
        sqlinfer.register("m", file, features=["a", "b"], target="A", registry=home)
    with pytest.raises(FeatureError, match="the target 'f0' is a feature of the model"):
        sqlinfer.register("m", file, target="f0", registry=home)
    with pytest.raises(OptionError, match="target='': the name of the column"):
        sqlinfer.register("m", file, target="", registry=home)


@pytest.mark.parametrize("file", ["profile.json", "background.json"])
@pytest.mark.parametrize("damage", [b"{}", b"", None])
def test_what_is_damaged_or_lost_is_told_and_predictions_go_on(home, people, engine, file, damage):
    model = registered(home, people)
    path = home / "models/churn/1" / file
    path.unlink() if damage is None else path.write_bytes(damage)
    with sqlinfer.connect(registry=home, engine=engine) as con:
        assert con.execute("SELECT predict('churn', 30, 1)").fetchall() == [("no",)]
    with pytest.raises(RegistryError, match=rf"{file} (is not the file that was registered|cannot be read)"):
        sqlinfer.verify("churn", registry=home, engine=engine)
    with pytest.raises(RegistryError, match=file):
        _ = model.profile if file == "profile.json" else model.background


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[]", "it is a list, which is no object"),
        (b'{"rows": 1}', "it has no features"),
        (b'{"rows": 1, "features": [{"name": 5, "nulls": 0}]}', r"features\[0\]\.name is 5, which is no text"),
        (
            b'{"rows": 1, "features": [{"name": "x", "nulls": 0, "texts": {"distinct": 1, "top": [["a"]]}}]}',
            "a text without its count",
        ),
    ],
)
def test_what_is_no_profile_is_refused(content, says):
    with pytest.raises(RegistryError, match=rf"here is damaged \({says}\)"):
        Profile.of(content, "here")


def test_fields_of_a_later_version_are_ignored():
    fields = {"rows": 1, "later": 1, "features": [{"name": "x", "nulls": 1, "later": [], "lengths": None}]}
    fields["features"][0]["lengths"] = {"min": None, "mean": None, "max": None, "later": 1}
    profile = Profile.of(json.dumps(fields).encode(), "here")
    assert (profile.rows, profile.features[0].nulls) == (1, 1)


def test_a_version_goes_with_all_of_its_files(home, people):
    registered(home, people)
    shutil.copytree(home / "models/churn/1", home / "models/kept/1")
    registry = sqlinfer.Registry(home)
    registry.alias("kept", "default", 1)
    registry.remove("churn/1")
    assert not (home / "models/churn").exists()
    assert sqlinfer.verify("kept", registry=home).passed
    assert sqlinfer.load("kept", registry=home).background.num_rows == 256
