"""Connections are apart: errors, interrupts and settings of one are never those of another."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading

import duckdb
import onnx
import onnx.parser
import pytest

import sqlinfer
from sqlinfer.engines.interrupt_flag import is_interrupted
from sqlinfer.errors import EngineError, FeatureType, ModelNotFound, OtherRegistry, SqlinferError

ENDLESS = """<ir_version: 9, opset_import: ["": 17]>
    count (float[n, 1] x) => (float[n, 1] y) {
        most = ReduceMax <keepdims = 0> (x)
        times = Cast <to = 7> (most)
        go = Constant <value: tensor = bool {1}> ()
        y = Loop (times, go, x) <body = step (int64 i, bool on, float[n, 1] z) => (bool more, float[n, 1] next) {
            more = Identity(on)
            one = Constant <value: tensor = float {1.0}> ()
            above = Add(z, one)
            next = Sub(above, one)
        }>
    }"""
RUNS_FOR_EVER = "SELECT predict('count', 1000000000000000)"


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A registry with a model that goes round a loop as often as it is told."""
    folder = tmp_path_factory.mktemp("endless")
    onnx.save(onnx.parser.parse_model(ENDLESS), folder / "count.onnx")
    sqlinfer.register("count", folder / "count.onnx", sample={"x": [1.0, 2.0]}, registry=folder / "models")
    return sqlinfer.Registry(folder / "models")


class Asking(threading.Thread):
    """A query on a thread of its own, and what came of it."""

    def __init__(self, con, sql):
        super().__init__(daemon=True)
        self.con, self.sql, self.outcome = con, sql, None
        self.start()

    def run(self):
        try:
            self.outcome = self.con.execute(self.sql).fetchall()
        except BaseException as error:
            self.outcome = error

    def end(self):
        """Interrupt it until it ends: it may only be about to begin."""
        while self.is_alive():
            self.con.raw.interrupt()
            self.join(0.2)
        return self.outcome


def test_interrupt_ends_a_run_of_its_connection(endless, engine):
    with sqlinfer.connect(registry=endless, engine=engine) as con:
        asking = Asking(con, RUNS_FOR_EVER)
        assert isinstance(asking.end(), duckdb.InterruptException)
        with pytest.raises(ModelNotFound):
            con.execute("SELECT predict('nobody', 1)")
        assert con.execute("SELECT predict('count', 3)").fetchall() == [(3,)]


def test_interrupt_ends_no_run_of_another(endless, engine):
    """Neither of a cursor beside it, nor of another database, nor of one on the other engine."""
    other_engine = {"native": "arrow", "arrow": "native"}[engine]
    with (
        sqlinfer.connect(registry=endless, engine=engine) as con,
        sqlinfer.connect(registry=endless, engine=engine) as second,
        sqlinfer.connect(registry=endless, engine=other_engine) as third,
    ):
        cursor = con.cursor()
        others = [Asking(c, RUNS_FOR_EVER) for c in (cursor, second, third)]
        assert isinstance(Asking(con, RUNS_FOR_EVER).end(), duckdb.InterruptException)
        assert [other.is_alive() for other in others] == [True] * 3
        assert all(isinstance(other.end(), duckdb.InterruptException) for other in others)


def test_the_flag_of_a_connection_is_seen():
    con = duckdb.connect()
    cursor = con.cursor()
    con.interrupt()
    assert (is_interrupted(con), is_interrupted(cursor)) == (True, False)
    cursor.interrupt()
    con.execute("SELECT 1").fetchall()
    assert (is_interrupted(con), is_interrupted(cursor)) == (False, True)
    con.close()
    assert not is_interrupted(con)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("fetch", ["fetchall()", "fetchone()", "fetchmany(5)", "df()"])
def test_the_next_error_after_ctrl_c_is_its_own(endless, engine, interrupted, fetch):
    """Rows are computed while they are fetched, and Ctrl-C ends that."""
    script = textwrap.dedent(f"""
        import sqlinfer
        con = sqlinfer.connect(registry={str(endless.home)!r}, engine={engine!r})
        con.execute("SET threads = 1")
        con.execute("SELECT 1 UNION ALL SELECT predict('count', i * 1000000000000000) FROM range(1, 3000) t(i)")
        print("ready", flush=True)
        for ask in (lambda: con.{fetch}, lambda: con.{fetch}, lambda: con.execute("FROM nowhere")):
            try:
                while ask() is not None:
                    pass
            except BaseException as error:
                print(type(error).__name__, "nowhere" in str(error), flush=True)
                if type(error).__name__ == "KeyboardInterrupt":
                    continue
        print(con.execute("SELECT predict('count', 3)").fetchall(), flush=True)
    """)
    lines = interrupted(script)
    assert lines[0] == "KeyboardInterrupt False"
    assert lines[-2:] == ["CatalogException True", "[(3.0,)]"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_main_thread_ends_no_query_of_another(endless, engine, interrupted):
    script = textwrap.dedent(f"""
        import threading, sqlinfer
        home = {str(endless.home)!r}
        con, other = (sqlinfer.connect(registry=home, engine={engine!r}) for _ in range(2))
        asking = threading.Thread(target=lambda: other.execute({RUNS_FOR_EVER!r}), daemon=True)
        asking.start()
        print("ready", flush=True)
        try:
            con.execute({RUNS_FOR_EVER!r})
        except KeyboardInterrupt:
            print("interrupted", asking.is_alive(), flush=True)
        while asking.is_alive():
            other.interrupt()
            asking.join(0.2)
    """)
    assert interrupted(script)[0] == "interrupted True"


@pytest.mark.slow
def test_a_handler_of_the_users_own_is_called(endless, engine, tmp_path):
    """And the query ends, with what it raises or as an interrupt."""
    script = textwrap.dedent(f"""
        import os, signal, threading, time, sqlinfer
        calls = []
        signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
        con = sqlinfer.connect(registry={str(endless.home)!r}, engine={engine!r})
        def press():
            while not calls:
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press, daemon=True).start()
        try:
            con.execute({RUNS_FOR_EVER!r})
        except KeyboardInterrupt:
            print(set(calls) == {{signal.SIGINT}}, signal.getsignal(signal.SIGINT).__name__)
    """)
    path = tmp_path / "script.py"
    path.write_text(script)
    read = os.popen(f"{sys.executable} {path}")
    assert read.read() == "True <lambda>\n"
    assert read.close() is None


def test_errors_stay_with_their_cursors(con):
    """While another cursor fails all the time, with another error or the same."""
    stop = threading.Event()

    def fail(cursor, sql):
        while not stop.is_set():
            with pytest.raises((duckdb.Error, SqlinferError)):
                cursor.execute(sql)

    noise = ("SELECT nope FROM nowhere", "SELECT predict('same_int', 'x')", "SELECT predict('same_int', 2.5)")
    threads = [threading.Thread(target=fail, args=(con.cursor(), sql)) for sql in noise]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            with pytest.raises(FeatureType, match=r"(?s)same_int.*LINE 1: SELECT  predict\('same_int', 1\.5\)"):
                con.execute("SELECT  predict('same_int', 1.5)")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_error_of_before_is_not_told_again(con):
    with pytest.raises(FeatureType):
        con.execute("SELECT predict('same_int', 1.5)")
    with pytest.raises(duckdb.InvalidInputException, match="same_int"):
        con.execute("SELECT error('same_int: feature')")


@pytest.fixture
def library(tmp_path):
    """A file that is no library of ONNX Runtime's."""
    path = tmp_path / "libonnxruntime.so"
    path.write_bytes(b"no library")
    return path


@pytest.mark.parametrize("setting", ["sqlinfer_onnxruntime", "sqlinfer_operators", "sqlinfer_home"])
@pytest.mark.parametrize("scope", ["", "SESSION"])
def test_sql_cannot_change_what_is_loaded(registry, library, setting, scope):
    """Nor another folder of models."""
    with sqlinfer.connect(registry=registry, engine="native") as con:
        con.execute("SET enable_external_access = false")
        con.raw.execute(f"SET {scope} {setting} = '{library}'")
        for sql in ("SELECT predict_width(1)", "FROM sqlinfer_models()", "SELECT sqlinfer_version()"):
            with pytest.raises(duckdb.Error, match=f"{setting} cannot be changed once sqlinfer has used it"):
                con.raw.execute(sql).fetchall()
        with pytest.raises(EngineError, match="open the database again"):
            con.execute("SELECT predict('width', 1)")
        con.raw.execute(f"RESET {scope} {setting}")
        assert con.raw.execute("SELECT predict_width(1) > 0").fetchall() == [(True,)]


@pytest.mark.parametrize("setting", ["sqlinfer_onnxruntime", "sqlinfer_operators", "sqlinfer_home"])
def test_nobody_changes_what_all_have(registry, library, setting):
    """What was taken stays, for the connection that would change it as for those beside it."""
    with sqlinfer.connect(registry=registry, engine="native") as con:
        con.cursor().raw.execute(f"SET GLOBAL {setting} = '{library}'")
        for cursor in (con.cursor(), con):
            assert cursor.execute("SELECT predict('width', 1) > 0").fetchall() == [(True,)]
            assert cursor.raw.execute("SELECT predict_width(1) > 0").fetchall() == [(True,)]
            assert cursor.raw.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


def test_who_joins_a_database_is_told_where_its_models_are(registry, tmp_path):
    """And not what the setting says, where that came too late."""
    plain = loaded()
    plain.execute(f"SET GLOBAL sqlinfer_home = '{registry.home}'")
    assert plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]
    plain.execute(f"SET GLOBAL sqlinfer_home = '{tmp_path}'")
    with pytest.raises(OtherRegistry, match=f"already answers from the registry {registry.home};"):
        sqlinfer.attach(plain, registry=tmp_path, engine="native")
    assert plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]
    plain.execute(f"SET GLOBAL sqlinfer_home = '{registry.home}'")
    con = sqlinfer.attach(plain, registry=registry, engine="native")
    assert con.execute("SELECT predict('width', 1) > 0").fetchall() == [(True,)]


def test_what_one_connection_took_for_itself_is_no_answer_for_another(registry):
    plain = loaded()
    other = plain.cursor()
    plain.execute(f"SET SESSION sqlinfer_home = '{registry.home}'")
    assert plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]
    with pytest.raises(duckdb.Error, match="sqlinfer_home cannot be changed once sqlinfer has used it"):
        other.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)")


def loaded():
    """A database in which plain SQL has loaded the extension."""
    plain = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    plain.execute(f"LOAD '{sqlinfer.engines.native.extension_path()}'")
    return plain


def test_settings_are_taken_at_the_first_use(registry, tmp_path, library):
    plain = loaded()
    plain.execute(f"SET sqlinfer_home = '{registry.home}'")
    assert plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]
    plain.execute(f"SET sqlinfer_home = '{tmp_path}'")
    with pytest.raises(duckdb.Error, match="open the database again"):
        plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)")
    plain.cursor().execute("SELECT 1")
    plain.execute(f"SET sqlinfer_home = '{registry.home}'")
    assert plain.execute("SELECT predict_label('iris', 5, 3, 1, 0.2)").fetchall() == [("setosa",)]


def test_external_access_is_honoured(registry, tmp_path):
    """What was not taken before it was switched off must be allowed by name."""
    plain = loaded()
    plain.execute(f"SET sqlinfer_home = '{registry.home}'")
    plain.execute("SET enable_external_access = false")
    with pytest.raises(
        duckdb.Error, match=r"sqlinfer_home is '.*', which enable_external_access = false does not allow"
    ):
        plain.execute("FROM sqlinfer_models()")
    plain = loaded()
    plain.execute(f"SET allowed_directories = ['{registry.home.parent}']")
    plain.execute(f"SET sqlinfer_home = '{registry.home}'")
    plain.execute("SET enable_external_access = false")
    assert plain.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


NOT_ALLOWED = "is '.*', which enable_external_access = false does not allow"


def walled(folder):
    """A database that reaches nothing but a folder."""
    plain = loaded()
    plain.execute(f"SET allowed_directories = ['{folder}/']")
    plain.execute("SET enable_external_access = false")
    return plain


def test_a_way_out_of_an_allowed_folder_is_refused(registry, tmp_path):
    """Also one through a folder that is made later."""
    plain = walled(tmp_path)
    way_out = tmp_path / "new" / ("../" * len(tmp_path.parts)) / str(registry.home).lstrip("/")
    plain.execute(f"SET sqlinfer_home = '{way_out}'")
    for make in ("SELECT 1", f"COPY (SELECT 1 AS a, 2 AS b) TO '{tmp_path}/new' (FORMAT parquet, PARTITION_BY (a))"):
        plain.execute(make)
        with pytest.raises(duckdb.Error, match=f"sqlinfer_home {NOT_ALLOWED}"):
            plain.execute("FROM sqlinfer_models()")


def test_a_folder_that_is_not_there_is_not_taken(registry, tmp_path):
    plain = walled(tmp_path)
    plain.execute(f"SET sqlinfer_home = '{tmp_path}/late'")
    with pytest.raises(duckdb.Error, match=f"sqlinfer_home {NOT_ALLOWED}: name a folder that is there"):
        plain.execute("FROM sqlinfer_models()")
    (tmp_path / "late").symlink_to(registry.home)
    with pytest.raises(duckdb.Error, match=f"sqlinfer_home {NOT_ALLOWED}"):
        plain.execute("FROM sqlinfer_models()")


def test_links_are_followed_once(registry, tmp_path):
    """What was allowed is what is used, whatever the link says afterwards."""
    link = tmp_path / "link"
    link.symlink_to(registry.home)
    plain = walled(registry.home)
    plain.execute(f"SET sqlinfer_home = '{link}'")
    assert plain.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]
    link.unlink()
    link.symlink_to(tmp_path)
    assert plain.execute("SELECT count(*) > 5 FROM sqlinfer_models()").fetchall() == [(True,)]


@pytest.mark.parametrize("setting", ["sqlinfer_onnxruntime", "sqlinfer_operators"])
@pytest.mark.parametrize("scope", ["GLOBAL", "SESSION"])
def test_a_library_that_sql_wrote_is_not_loaded(tmp_path, setting, scope):
    plain = walled(tmp_path)
    plain.execute(f"COPY (SELECT 'no library'::BLOB) TO '{tmp_path}/x.so' (FORMAT blob)")
    plain.execute(f"SET {scope} {setting} = '{tmp_path}/x.so'")
    variable = setting.upper()
    for sql in ("SELECT sqlinfer_version()", "SELECT predict('m', 1)", "FROM sqlinfer_models()"):
        with pytest.raises(duckdb.Error, match=rf"{setting} {NOT_ALLOWED}: only whoever opens .* {variable}"):
            plain.execute(sql)
    plain.execute(f"RESET {scope} {setting}")
    assert "x.so" not in plain.execute("SELECT sqlinfer_version()").fetchone()[0]


@pytest.mark.parametrize("options", [{"lock_configuration": "true"}, {"enable_external_access": "false"}])
def test_a_database_that_is_locked(registry, options):
    """It is opened with the engine that can be had, and says why it is the slower one."""
    if "lock_configuration" in options:
        con = sqlinfer.connect(registry=registry, **options)
        assert con.engine == "native"
    else:
        with pytest.warns(UserWarning, match="slower Arrow engine here: DuckDB does not load the extension"):
            con = sqlinfer.connect(registry=registry, **options)
        assert con.engine == "arrow"
    assert con.execute("SELECT predict('width', 1) > 0").fetchall() == [(True,)]
    con.close()


@pytest.mark.slow
def test_a_model_registered_after_external_access_was_switched_off(tmp_path, engine, onnx_file):
    registry = sqlinfer.Registry(tmp_path / "registry")
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    sqlinfer.register("m", file, registry=registry)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        con.execute("SET enable_external_access = false")
        sqlinfer.register("late", file, registry=registry)
        if engine == "native":
            with pytest.raises(EngineError, match=r"predict_late\(\) was registered after .* open the database again"):
                con.execute("SELECT predict('late', 1)")
        else:
            assert con.execute("SELECT predict('late', 1)").fetchall() == [(-1,)]
        assert con.execute("SELECT predict('m', 1)").fetchall() == [(-1,)]


@pytest.mark.slow
def test_the_environment_is_left_alone(registry, tmp_path, monkeypatch, engine):
    """While a database is opened with another registry, the default one stays what it is."""
    monkeypatch.setenv("SQLINFER_HOME", str(tmp_path))
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(str(sqlinfer.Registry().home))

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(5):
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            assert con.execute("SELECT predict('width', 1) > 0").fetchall() == [(True,)]
    stop.set()
    thread.join()
    assert seen == {str(tmp_path)}


@pytest.mark.slow
def test_a_database_that_loads_the_extension_meanwhile_has_its_own_registry(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("SQLINFER_HOME", str(tmp_path))
    stop = threading.Event()

    def connect():
        while not stop.is_set():
            sqlinfer.connect(registry=registry, engine="native").close()

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        homes = {loaded().execute("SELECT count(*) FROM sqlinfer_models()").fetchall()[0] for _ in range(10)}
    finally:
        stop.set()
        thread.join()
    assert homes == {(0,)}
    with pytest.raises(OtherRegistry):
        plain = loaded()
        plain.execute("SELECT sqlinfer_version()").fetchall()
        sqlinfer.attach(plain, registry=registry, engine="native")


def test_signals_are_as_they_were(con):
    before = signal.getsignal(signal.SIGINT)
    con.execute("SELECT predict('width', i) FROM range(5000) t(i)").fetchall()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_cursor_reads_no_registry(con, monkeypatch):
    """Nor does a fetch: with two hundred models it costs what it costs with one."""
    rows = con.execute("SELECT i FROM range(10) t(i)")
    for name in ("names", "versions", "aliases", "get", "all"):
        monkeypatch.setattr(sqlinfer.Registry, name, lambda *args: pytest.fail("the registry is read"))
    assert rows.fetchone() == (0,) and rows.fetchmany(2) == [(1,), (2,)]
    assert rows.cursor().execute("SELECT 1").fetchone() == (1,)
