"""An error of one row among many shows the values of that row."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer
from sqlinfer.errors import FeatureCount, FeatureError, ModelFailed, NullFeature
from tests.conftest import ENGINES

# The 7,001st of ten thousand rows has a town that nobody knows.
ROWS = "(SELECT CASE i WHEN 7000 THEN 'Ur' ELSE 'Rome' END AS town, {} AS size FROM range(10_000) t(i))"


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    home = tmp_path_factory.mktemp("towns")
    rows = pd.DataFrame({"town": ["Rome", "Oslo"] * 10, "size": [0.5 * i for i in range(20)]})
    encoded = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    model = make_pipeline(encoded, LinearRegression()).fit(rows, range(20))
    sqlinfer.register("towns", model, sample=rows, registry=home)
    return home


@pytest.fixture(params=ENGINES)
def con(request, towns):
    with sqlinfer.connect(registry=towns, engine=request.param) as con:
        yield con


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ("i", "7000"),
        ("i + 0.25::DOUBLE", "7000.25"),
        ("(i * 1e20)::DOUBLE", "7e23"),
        ("i::FLOAT / 3", "2333.333251953125"),
        ("(i / 100)::DECIMAL(18, 3)", "70.000"),
        ("(-i / 1e6)::DECIMAL(18, 6)", "-0.007000"),
        ("i::HUGEINT * 1000000", "7000000000"),
        ("i::UTINYINT", "88"),
        ("i > 5", "true"),
    ],
)
def test_the_row_is_told_by_its_values(con, size, shown):
    rows = ROWS.format("(i % 256)::UTINYINT" if "UTINY" in size else size)
    says = rf"never saw.*\nthe row: town = 'Ur', size = {shown}$"
    for arguments in ("town, size", "{'town': town, 'size': size}", "town::ENUM('Rome', 'Ur'), size"):
        with pytest.raises(ModelFailed, match=says.replace("$", r"\n\nLINE 1")):
            con.execute(f"SELECT sum(predict('towns', {arguments})) FROM {rows}").fetchall()
    assert con.execute(f"SELECT count(TRY(predict('towns', town, size))) FROM {rows}").fetchall() == [(9999,)]


def test_a_row_that_is_null_in_part(con):
    rows = "(SELECT CASE i WHEN 70 THEN 'Ur' ELSE 'Rome' END AS town, CASE i WHEN 71 THEN NULL ELSE i END AS size"
    with pytest.raises(ModelFailed, match="the row: town = 'Ur', size = 70\n"):
        con.execute(f"SELECT predict('towns', t) FROM {rows} FROM range(100) t(i)) t").fetchall()


@pytest.fixture(params=ENGINES)
def lists(request, tmp_path, onnx_file):
    graph = "(float[n, 10] x) => (float[n, 10] y) { y = Identity(x) }"
    sqlinfer.register("ten", onnx_file(graph), registry=tmp_path, null="error")
    with sqlinfer.connect(registry=tmp_path, engine=request.param) as con:
        yield con


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        ("[i, 0.5]", FeatureCount, r"\[70, 0.5\]"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, i]", FeatureCount, r"\[1, 2, 3, 4, 5, 6, 7, 8, … \(4 more\)\]"),
        ("NULL", NullFeature, "NULL"),
        ("[1, 2, NULL, 4, 5, 6, 7, 8, 9, 10]", NullFeature, r"\[1, 2, NULL, 4, 5, 6, 7, 8, … \(2 more\)\]"),
    ],
)
def test_lists_are_shown_by_their_first_values(lists, value, error, shown):
    whole = "[i, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    rows = f"(SELECT CASE i WHEN 70 THEN {value} ELSE {whole} END::DOUBLE[] AS x FROM range(5000) t(i))"
    with pytest.raises(error, match=f"\nthe row: {shown}\n"):
        lists.execute(f"SELECT predict('ten', x) FROM {rows}").fetchall()


def test_of_many_features_the_first_are_shown(tmp_path):
    rows = pd.DataFrame({f"x{i}": [float(i), i + 1.5] for i in range(12)})
    sqlinfer.register("wide", LinearRegression().fit(rows, [1, 2]), sample=rows, registry=tmp_path)
    found = []
    for engine in ENGINES:
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            columns = ", ".join("'nan'::DOUBLE AS x0" if i == 0 else f"{i} AS x{i}" for i in range(12))
            with pytest.raises(
                (FeatureError, ModelFailed), match=r"the row: x0 = NaN, .*x7 = 7, … \(4 more\)"
            ) as caught:
                con.execute(f"SELECT predict('wide', t) FROM (SELECT {columns}) t").fetchall()
            found.append(str(caught.value))
    assert len(set(found)) == 1
