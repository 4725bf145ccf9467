"""One statement sees one version, on every engine, whatever is promoted, registered or removed meanwhile; and what runs
is what was registered."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import warnings
from contextlib import contextmanager

import duckdb
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import sqlinfer
from sqlinfer.engines.native import extension_path
from sqlinfer.errors import ModelNotFound, RegistryError
from sqlinfer.installation import onnxruntime_library
from tests.engines import ENGINES


@pytest.fixture
def constants(tmp_path, onnx_file):
    """A registry in which m/1 answers 1 and m/2 answers 2, whatever it is given."""
    registry = sqlinfer.Registry(tmp_path / "registry")
    for value in (1, 2):
        graph = (
            f"(float[n, 1] x) => (float[n, 1] y) <float c = {{{value}.0}}> {{ s = Sin(x) z = Sub(s, s) y = Add(z, c) }}"
        )
        sqlinfer.register("m", onnx_file(graph), registry=registry)
    return registry


@contextmanager
def promoting(registry, beside=lambda: None):
    """While this is open, another thread lets m mean one version and the other, in turn."""
    stop = threading.Event()

    def work():
        number = 0
        while not stop.is_set():
            number += 1
            registry.alias("m", "default", 1 + number % 2)
            beside()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


STATEMENTS = {
    "a call": "SELECT predict('m', x) AS p FROM t",
    "its function": "SELECT predict_m(x) AS p FROM t",
    "a row": "SELECT predict('m', t) AS p FROM t",
    "a view": "SELECT p FROM scored",
    "a macro": "SELECT ask(x) AS p FROM t",
    "two calls": "SELECT unnest([predict('m', x), infer('m', x).y]) AS p FROM t",
    "a call and a view": "SELECT unnest([predict('m', 1), p]) AS p FROM scored",
    "two halves": "SELECT predict('m', x) AS p FROM t UNION ALL SELECT predict_m(x) FROM t",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_statement_sees_one_version(constants, engine, statement):
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        con.execute("CREATE TABLE t AS SELECT i::FLOAT AS x FROM range(300000) r(i)")
        con.execute("CREATE VIEW scored AS SELECT predict('m', x) AS p FROM t")
        con.execute("CREATE MACRO ask(x) AS predict('m', x)")
        cursor = con.cursor()
        with promoting(constants, beside=lambda: cursor.execute("SELECT predict('m', 1), p FROM scored LIMIT 1")):
            for _ in range(5):
                assert len(con.execute(f"SELECT p FROM ({statement}) GROUP BY p").fetchall()) == 1


@pytest.fixture(params=[*ENGINES, *(["plain"] if "native" in ENGINES else [])])
def asking(request, constants):
    """A connection of sqlinfer's, or one of DuckDB's own that has loaded the extension."""
    if request.param != "plain":
        with sqlinfer.connect(registry=constants, engine=request.param) as con:
            yield con
        return
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as con:
        con.execute(f"LOAD '{extension_path()}'")
        con.execute(f"SET GLOBAL sqlinfer_home = '{constants.home}'")
        con.execute(f"SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'")
        yield con


@pytest.mark.parametrize(
    "first",
    [
        "SELECT predict('m', 7)",
        "(SELECT predict('m', 7) FROM range(9) LIMIT predict('m', 7)::BIGINT)",
        "SELECT (SELECT count(*) FROM range(predict('m', 7)::BIGINT))",
    ],
    ids=["a call", "in LIMIT", "in range()"],
)
def test_a_statement_that_is_bound_for_long_sees_one_version(constants, asking, first, tmp_path):
    """DuckDB reads the file between the first call and the last; calls of constants run meanwhile."""
    slow = tmp_path / "slow.csv"
    os.mkfifo(slow)

    def write():
        with slow.open("w") as file:  # waits for DuckDB
            constants.alias("m", "default", 2)
            time.sleep(0.2)  # longer than calls lie apart that are bound one after another
            file.write("x\n1\n")

    threading.Thread(target=write, daemon=True).start()
    rows = asking.execute(f"{first} UNION ALL SELECT predict('m', x) FROM read_csv('{slow}')").fetchall()
    assert rows == [(1,), (1,)]
    assert asking.execute("SELECT predict('m', 7)").fetchall() == [(2,)]


def test_a_prepared_statement_keeps_no_version_for_others(constants, asking):
    asking.execute("PREPARE p AS SELECT predict('m', 7)")
    constants.alias("m", "default", 2)
    assert asking.execute("SELECT predict('m', 7)").fetchall() == [(2,)]


def test_a_transaction_sees_one_version(constants, asking):
    other = asking.cursor()
    asking.execute("BEGIN")
    assert asking.execute("SELECT predict('m', 7)").fetchall() == [(1,)]
    constants.alias("m", "default", 2)
    assert other.execute("SELECT predict('m', 7)").fetchall() == [(2,)]
    assert asking.execute("SELECT predict('m', 7)").fetchall() == [(1,)]
    asking.execute("COMMIT")
    assert asking.execute("SELECT predict('m', 7)").fetchall() == [(2,)]


def test_rows_that_are_fetched_late_are_of_the_same_version(constants, engine):
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        con.execute("CREATE VIEW scored AS SELECT predict('m', i) AS p FROM range(400000) r(i)")
        con.execute("FROM scored")
        seen = {con.fetchone()}
        constants.alias("m", "default", 2)
        assert con.cursor().execute("FROM scored LIMIT 1").fetchall() == [(2,)]
        while rows := con.fetchmany(5000):
            seen.update(rows)
        assert seen == {(1,)}


def test_a_relation_sees_one_version_each_time_it_is_read(constants, engine):
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        scored = con.sql("SELECT predict('m', i) AS p FROM range(200000) r(i)")
        counted = scored.aggregate("p, count(*)", "p")
        for version in (1, 2, 1):
            constants.alias("m", "default", version)
            assert counted.fetchall() == [(version, 200_000)]


def test_a_version_has_its_own_order_of_columns(tmp_path, engine):
    """A view that was made when the features had another order gives them by their names."""
    rows = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 1.0]})
    registry = sqlinfer.Registry(tmp_path / "registry")
    for columns in (["a", "b"], ["b", "a"]):
        model = LinearRegression().fit(rows[columns], rows["a"] * 2 + rows["b"])
        sqlinfer.register("m", model, sample=rows[columns], registry=registry)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        con.execute("CREATE TABLE t AS SELECT 10.0 AS a, 1.0 AS b")
        con.execute("CREATE VIEW row AS SELECT round(predict('m', t), 3) FROM t")
        con.execute("CREATE VIEW named AS SELECT round(predict('m', b := b, a := a), 3) FROM t")
        con.execute("CREATE VIEW star AS SELECT round(predict('m', *), 3) FROM t")
        con.execute("CREATE MACRO ask(x) AS TABLE SELECT round(predict('m', t), 3) FROM t")
        con.execute("PREPARE p AS SELECT round(predict('m', t), 3) FROM t")
        relation = con.sql("SELECT round(predict('m', t), 3) FROM t")
        for version in (1, 2):
            registry.alias("m", "default", version)
            for sql in ("FROM row", "FROM named", "FROM star", "FROM ask(1)", "EXECUTE p"):
                assert con.execute(sql).fetchall() == [(21,)], (sql, version)
            assert relation.fetchall() == [(21,)]


def attached(registry, engine):
    plain = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sqlinfer.attach(plain, registry=registry, engine=engine)  # and nobody keeps what it gives
    return plain


def test_a_plain_connection_sees_promotions(constants, engine):
    plain = attached(constants, engine)
    plain.execute("CREATE VIEW scored AS SELECT predict_m(i) AS p FROM range(300000) r(i)")
    for version in (1, 2, 1):
        constants.alias("m", "default", version)
        assert plain.execute("SELECT predict_m(5)").fetchall() == [(version,)]
        assert plain.cursor().execute("SELECT p FROM scored GROUP BY p").fetchall() == [(version,)]
    with promoting(constants):
        for _ in range(5):
            assert len(plain.execute("SELECT p FROM scored GROUP BY p").fetchall()) == 1


def test_a_model_that_comes_back_is_another(constants, engine, onnx_file):
    """Its numbers are not given again, also when all of it was removed."""
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        con.execute("CREATE VIEW scored AS SELECT predict('m', 7) AS p")
        assert con.execute("FROM scored").fetchall() == [(1,)]
        constants.remove("m")
        for sql in ("FROM scored", "SELECT predict('m', 7)"):
            with pytest.raises(ModelNotFound):
                con.execute(sql).fetchall()
        again = sqlinfer.register(
            "m", onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }"), registry=constants
        )
        assert again.version == 3
        for sql in ("FROM scored", "SELECT predict('m', 7)"):
            assert con.execute(sql).fetchall() == [(-7,)]


def test_a_version_that_is_replaced_by_hand_is_seen(constants, engine):
    """Also with the time stamp of before."""
    first, second = (constants.get(f"m/{number}").folder for number in (1, 2))
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        assert con.execute("SELECT predict('m', 7)").fetchall() == [(1,)]
        stamps = (first / "model.json").stat()
        for file in ("model.onnx", "model.json"):
            shutil.copyfile(second / file, first / file)
            os.utime(first / file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        assert con.execute("SELECT predict('m', 7)").fetchall() == [(2,)]
        assert con.execute("SELECT predict('m/1', 7)").fetchall() == [(2,)]


def test_another_tokenizer_beside_the_same_graph_is_seen(tmp_path, engine, onnx_file):
    tokenizers = pytest.importorskip("tokenizers")
    graph = (
        "(int64[n, len] input_ids) => (float[n] y) <int64[1] axis = {1}>"
        " { f = Cast<to=1>(input_ids)  y = ReduceSum<keepdims=0>(f, axis) }"
    )
    registry = sqlinfer.Registry(tmp_path / "registry")
    for number in (1, 100):
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "good": number}, unk_token="?"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        sqlinfer.register("m", onnx_file(graph), tokenizer=tmp_path / "tokenizer.json", registry=registry)
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            assert con.execute("SELECT predict('m', 'good')").fetchall() == [(number,)]
        registry.remove("m")


@pytest.fixture
def heavy(tmp_path, onnx_file):
    """A registry in which a row of m costs so much that all cores are used, and another such model's file."""
    registry = sqlinfer.Registry(tmp_path / "registry")
    graph = (
        "(float[n, 1] x) => (float[n, 1] y) <float c = {{{c}.0}}, int64[2] wide = {{1, 400000}}, int64[1] axis = {{1}}>"
        " {{ e = Expand(x, wide)  s = Sin(e)  z = Sub(s, s)  m = ReduceMax(z, axis)  y = Add(m, c) }}"
    )
    other = onnx_file(graph.format(c=2), name="other.onnx")
    sqlinfer.register("m", onnx_file(graph.format(c=1)), registry=registry)
    return registry, other


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_session_that_is_opened_later_runs_what_was_verified(heavy, engine, how):
    registry, other = heavy
    with sqlinfer.connect(registry=registry, engine=engine, threads=1) as con:
        assert con.execute("SELECT predict('m', 1)").fetchall() == [(1,)]
        file = registry.get("m").onnx
        shutil.copyfile(other, file) if how == "changed" else file.unlink()
        assert con.execute("SELECT DISTINCT predict('m', i) FROM range(64) t(i)").fetchall() == [(1,)]
    with pytest.raises(RegistryError, match=r"is not the file that was registered|cannot be read"):
        sqlinfer.verify("m", registry=registry, engine=engine)


def test_the_manifest_says_what_is_loaded(constants, engine):
    """The same graph under another manifest is another model to the caches."""
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        assert con.execute("SELECT predict('m', NULL)").fetchall() == [(None,)]
        path = constants.get("m/1").folder / "model.json"
        fields = json.loads(path.read_text())
        fields["features"][0]["null"] = {"value": 0}
        path.write_text(json.dumps(fields))
        assert con.execute("SELECT predict('m', NULL)").fetchall() == [(1,)]


class Restless(sqlinfer.Registry):
    """m means another version as soon as anyone has asked."""

    def get(self, reference):
        found = super().get(reference)
        sqlinfer.Registry(self.home).alias("m", "default", 3 - found.manifest.version)
        return found


def test_a_reference_is_looked_up_once(constants, engine):
    with sqlinfer.connect(registry=Restless(constants.home), engine=engine) as con:
        for _ in range(3):
            assert len(con.execute("SELECT unnest([predict('m', 1), infer('m', 1).y]) GROUP BY 1").fetchall()) == 1


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_model_that_was_first_asked_in_a_transaction_is_promoted_like_others(constants, engine, end):
    with sqlinfer.connect(registry=constants, engine=engine) as con:
        con.execute("BEGIN")
        constants.alias("m", "first", 1)
        assert con.execute("SELECT predict('m@first', 0)").fetchall() == [(1,)]
        con.execute(end)
        constants.alias("m", "first", 2)
        assert con.execute("SELECT predict('m@first', 0)").fetchall() == [(2,)]
