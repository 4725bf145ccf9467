"""sqlinfer score: many files become many files, whatever happens meanwhile."""

from __future__ import annotations

import gzip
import re
import signal
import time
from pathlib import Path

import duckdb
import onnx
import onnx.parser
import psutil
import pytest

import sqlinfer
from sqlinfer.errors import ScoringFailed
from sqlinfer.scoring.files import InputFile
from sqlinfer.scoring.folder import OutputFolder
from tests.processes import HANG

# More rows than a fast machine scores before it is stopped.
MANY = 4_000_000


@pytest.fixture
def home(registry):
    """The models of all tests."""
    return registry.home


@pytest.fixture
def here(tmp_path, monkeypatch, customers):
    """A folder with 16 files of customers below in/, one of which has its columns in another order."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    frame = customers.assign(id=range(len(customers)))
    with duckdb.connect() as con:
        con.register("customers", frame)
        for i in range(16):
            columns = "visits, city, id, income, age" if i == 3 else "id, age, income, visits, city"
            con.execute(f"COPY (SELECT {columns} FROM customers LIMIT 20 OFFSET {i * 20}) TO 'in/part {i:02}.parquet'")
    return tmp_path


def rows(sql):
    with duckdb.connect() as con:
        return con.sql(sql).fetchall()


def names(folder, pattern="*"):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).glob(pattern) if path.is_file())


def expected(registry, sql):
    with sqlinfer.connect(registry=registry) as con:
        return con.execute(sql).fetchall()


def test_each_file_becomes_one_with_the_answers_of_sql(run, here, registry, engine):
    result = run("score", "churn", "in/*.parquet", "-o", "out", "--engine", engine)
    assert result.stderr == "16 files, 320 rows → out by churn/1\n" and result.stdout == ""
    assert names("out") == names("in")
    answers = expected(registry, "SELECT id, predict('churn', c) FROM 'in/*.parquet' c ORDER BY id")
    assert rows("SELECT id, score FROM 'out/*.parquet' ORDER BY id") == answers
    order = ["visits", "city", "id", "income", "age", "score"]
    assert [row[0] for row in rows("DESCRIBE FROM 'out/part 03.parquet'")] == order
    assert rows("SELECT id FROM 'out/part 03.parquet'") == [(i,) for i in range(60, 80)]
    told = dict(rows("SELECT decode(key), decode(value) FROM parquet_kv_metadata('out/part 00.parquet')"))
    assert (told["sqlinfer_model"], told["sqlinfer_sha256"]) == ("churn/1", registry.get("churn").manifest.sha256)


def test_shards_share_the_files(run, here):
    options = ["--columns", "Score, id", "--call", "predict_proba", "--class", "true"]
    for i in range(1, 6):
        run("score", "churn", "in/*.parquet", "-o", "out", "--shard", f"{i}/5", *options)
    run("score", "churn", "in/*.parquet", "-o", "whole", *options, "-q", "--workers", "2")
    assert names("out") == names("whole") == names("in")
    query = "SELECT score, id FROM '{}/*.parquet' ORDER BY id"
    assert rows(query.format("out")) == rows(query.format("whole"))
    assert rows("SELECT count(*), typeof(any_value(score)) FROM 'out/*.parquet'") == [(320, "DOUBLE")]
    assert "0 files" in run("score", "churn", "in/*0.parquet", "-o", "few", "--shard", "5/5").stderr
    for wrong in ("0/16", "17/16", "3", "1/0", "a/b"):
        assert "from 1/16 to 16/16" in run("score", "churn", "in/*", "-o", "out", "--shard", wrong, code=2).stderr


def test_resume_leaves_out_what_is_done(run, here, registry):
    score = ["score", "iris", "in/*.csv", "-o", "out"]
    for name in ("a", "b", "c"):
        Path(f"in/{name}.csv").write_text("sl,sw,pl,pw\n5,3,1,0\n")
    run(*score)
    assert "3 outputs are there already, as out/a.csv" in run(*score, code=1).stderr
    Path("in/b.csv").write_text("sl,sw,pl,pw\n5,3,1,0\n6,3,5,2\n")
    Path("out/c.csv").unlink()
    before = Path("out/a.csv").stat().st_ino
    assert run(*score, "--resume").stderr == "2 files, 3 rows → out by iris/1; 1 file done before\n"
    assert Path("out/a.csv").stat().st_ino == before and Path("out/b.csv").read_text().endswith(
        "6.0,3.0,5.0,2.0,virginica\n"
    )
    for other in (["iris/2"], ["iris/1", "--columns", "score"], ["iris/1", "--call", "predict_proba"]):
        said = run("score", *other, *score[2:], "--resume", code=1).stderr
        assert "answers of another job, by iris/1" in said and "--overwrite" in said
    Path("in/d.csv").write_text("sl,sw,pl,pw\n5,3,1,0\n")
    assert "another job" in run("score", "iris/2", "in/d.csv", "-o", "out", code=1).stderr, "beside those of iris/1"
    Path("in/d.csv").unlink()
    score[1] = "iris/2"
    run(*score, "--overwrite")
    Path("out/a.csv").write_text("by hand")
    assert run(*score, "--resume").stderr == "1 file, 1 row → out by iris/2; 2 files done before\n"
    Path("out/.sqlinfer/done/b.csv.record").unlink()
    assert "a file is in the place of outputs, as out/b.csv" in run(*score, "--resume", code=1).stderr
    assert "1 file, 2 rows" in run(*score, "--resume", "--overwrite").stderr


def test_a_folder_has_the_answers_of_one_job(run, here):
    for name in ("a", "b", "c"):
        Path(f"in/{name}.csv").write_text("sl,sw,pl,pw\n5,3,1,0\n")
    run("score", "iris/1", "in/*.csv", "-o", "out")
    Path("out/c.csv").write_text("by hand")
    run("score", "iris/2", "in/a.csv", "-o", "out", "--overwrite")
    assert names("out") == ["a.csv", "c.csv"] and names("out/.sqlinfer/done") == ["a.csv.record"]
    before = Path("out/a.csv").read_text()
    Path("in/a.csv").write_text("sl,sw,pl,pw\n5,x,1,0\n")
    said = run("score", "iris/2", "in/a.csv", "in/b.csv", "-o", "out", "--overwrite", code=1).stderr
    assert "(out/a.csv is still that of before)" in said and Path("out/a.csv").read_text() == before
    said = run("score", "iris/1", "out/b.csv", "-o", "out", "-f", "json", "--overwrite", "--as", "x", code=1).stderr
    assert "out/b.csv is an output that --overwrite removes" in said and Path("out/b.csv").exists()


@pytest.mark.parametrize("late", [False, True])
def test_a_job_whose_folder_became_anothers_fails(run, here, monkeypatch, late):
    asked, other = {"model": "m/1"}, {"model": "m/2"}
    file = InputFile("in/a.csv", "a.csv", "csv", 1)
    folder = OutputFolder(here / "out", asked)

    def taken():
        with OutputFolder(here / "out", other).claimed([], overwrite=True):
            pass

    with folder.claimed([], overwrite=False) as drafts:
        draft = drafts / "a.draft"
        draft.write_text("1")
        if late:  # after the first look at whose it is
            monkeypatch.setattr("sqlinfer.scoring.folder.os.fsync", lambda number: taken())
        else:
            taken()
        with pytest.raises(ScoringFailed, match="has become that of a job by m/2: name another folder"):
            folder.finish(file, [0, 0], draft, 1)
    assert names("out") == []


def test_a_promotion_meanwhile_is_another_job(run, here, tmp_path):
    mine = tmp_path / "mine"
    environment = {"SQLINFER_HOME": str(mine)}
    for slope in (1, 2):
        model = f"(float[n, 1] visits) => (float[n, 1] y) <float[1] k = {{{slope}}}> {{ y = Mul(visits, k) }}"
        onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> m {model}'), "m.onnx")
        run("register", "m", "m.onnx", environment=environment)
    run("score", "m", "in/*.parquet", "-o", "out", "--shard", "1/2", environment=environment)
    run("alias", "m", "default", 2, environment=environment)
    failed = run("score", "m", "in/*.parquet", "-o", "out", "--shard", "2/2", code=1, environment=environment)
    assert "another job, by m/1" in failed.stderr
    run("score", "m/1", "in/*.parquet", "-o", "out", "--shard", "2/2", environment=environment)
    assert rows("SELECT count(*), bool_and(score = visits) FROM 'out/*.parquet'") == [(320, True)]


BAD = [
    ("in/cut.parquet", "No magic bytes"),
    ("in/few.csv", "needs the features age, visits, city, not given"),
    ("in/taken.csv", "column 'Score' already; call the answers otherwise: --as score_2"),
    ("in/text.json", "column 'age' has the value \"30\", and the model takes DOUBLE there"),
    ("in/word.csv", 'Original Line: 3,many,2,5,Bern; Error when converting column "age". Could not convert'),
]


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_are_named_and_the_others_are_done(run, here, workers):
    Path("in/cut.parquet").write_bytes(Path("in/part 00.parquet").read_bytes()[:-9])
    Path("in/few.csv").write_text("id,income\n1,2\n")
    Path("in/taken.csv").write_text("age,income,visits,city,Score\n30,2,5,Bern,1\n")
    Path("in/text.json").write_text('{"age": "30", "income": 2, "visits": 5, "city": "Bern"}')
    Path("in/word.csv").write_text("id,age,income,visits,city\n2,30,2,5,Bern\n3,many,2,5,Bern\n")
    result = run("score", "churn", "in/*", "-o", "out", "--workers", workers, code=1)
    assert result.stderr.startswith("16 files, 320 rows → out by churn/1\n5 files failed; mend")
    for line, (path, message) in zip(result.stderr.splitlines()[2:], BAD, strict=True):
        assert line.startswith(f"  {path}: ") and message in line
    assert names("out") == names("in", "part*")
    Path("in/cut.parquet").unlink()
    only = run("score", "churn", "in/[ft]*.csv", "-o", "other", code=1).stderr
    assert "in/few.csv: model 'churn/1' needs" in only and "none of the 2 files can be scored" in only
    assert not Path("other").exists(), "nothing was begun"


def test_a_value_that_is_refused_fails_its_file_or_with_try_its_row(run, here):
    Path("x.csv").write_text("sl,sw,pl,pw\n5,3,1,0\n5,nan,1,0\n")
    said = run("score", "iris", "x.csv", "-o", "out", code=1).stderr
    assert "x.csv: " in said and "sw = NaN" in said and "add --try for NULL" in said
    assert names("out") == []
    run("score", "iris", "x.csv", "-o", "out", "--try", "--overwrite")
    assert Path("out/x.csv").read_text() == "sl,sw,pl,pw,score\n5.0,3.0,1.0,0.0,setosa\n5.0,nan,1.0,0.0,\n"


def test_names_and_forms(run, here, registry):
    odd = ["it's.csv", "a[1].csv", "st*r.csv", "UP.CSV", "t.tsv", "q?.txt", "z.csv.gz"]
    for name in odd:
        text = "id,sl,sw,pl,pw\n1,5,3,1,0\n"
        text = text.replace(",", "\t") if name == "t.tsv" else text
        Path(f"odd/{name}").parent.mkdir(exist_ok=True)
        Path(f"odd/{name}").write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    Path("odd/link.csv").symlink_to("UP.CSV")
    Path("odd/none.csv").write_text("id,sl,sw,pl,pw\n")
    run("score", "iris", "odd/*", "-o", "odd/out", "--as", "kind")
    assert names("odd/out") == sorted([*odd, "link.csv", "none.csv"])
    assert {Path(f"odd/out/{name}").read_text() for name in odd[:4]} == {
        "id,sl,sw,pl,pw,kind\n1,5.0,3.0,1.0,0.0,setosa\n"
    }
    assert Path("odd/out/none.csv").read_text() == "id,sl,sw,pl,pw,kind\n"
    assert Path("odd/out/t.tsv").read_text().splitlines()[1] == "1\t5.0\t3.0\t1.0\t0.0\tsetosa"
    assert gzip.decompress(Path("odd/out/z.csv.gz").read_bytes()).endswith(b",setosa\n")
    # what is written there is no input of the next run
    assert "0 files, 0 rows" in run("score", "iris", "odd/**", "-o", "odd/out", "--as", "kind", "--resume").stderr
    run("score", "iris", "odd/[!a-t]*", "odd/it's.csv", "-o", "all", "-f", "parquet")
    assert names("all") == ["UP.parquet", "it's.parquet", "z.parquet"]


LATE = 20_500  # more rows than DuckDB guesses types from


def test_a_feature_has_the_type_of_the_model_in_every_row(run, here, registry):
    few = [("30", "5", "2024-01-02"), ("1.5", "7", "Bern")]
    many = [few[0]] * LATE + few[1:]
    Path("t.csv").write_text("age,income,visits,city\n" + "".join(f"{a},2,{v},{c}\n" for a, v, c in many))
    lines = [f'{{"age": {a}, "income": 2, "visits": {v}, "city": "{c}"}}' for a, v, c in many]
    Path("t.jsonl").write_text("\n".join(lines))
    Path("t.json").write_text(f"[{', '.join(lines)}]")
    run("score", "churn", "t.*", "-o", "out", "--try")
    query = "SELECT TRY(predict('churn', {}, 2.0, {}, '{}'))"
    answers = [expected(registry, query.format(*row))[0][0] for row in few]
    for name, reader in (("t.csv", "read_csv"), ("t.jsonl", "read_json"), ("t.json", "read_json")):
        types = "{age: 'DOUBLE', income: 'DOUBLE', visits: 'BIGINT', city: 'VARCHAR', score: 'BOOLEAN'}"
        last = rows(f"SELECT age, visits, city, score FROM {reader}('out/{name}', columns = {types}) OFFSET {LATE - 1}")
        assert last == [(30.0, 5, "2024-01-02", answers[0]), (1.5, 7, "Bern", answers[1])], name


@pytest.fixture
def whole_numbers(tmp_path):
    """A registry with the model n, whose only feature is a BIGINT, and which adds one to it."""
    model = "(int64[n, 1] n) => (int64[n, 1] y) <int64[1] one = {1}> { y = Add(n, one) }"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> m {model}'), tmp_path / "n.onnx")
    registry = sqlinfer.Registry(tmp_path / "numbers")
    sqlinfer.register("n", tmp_path / "n.onnx", registry=registry)
    return {"SQLINFER_HOME": str(registry.home)}


@pytest.mark.parametrize("value", ["1.5", "99999999999999999999"])
def test_a_number_that_an_integer_cannot_hold_is_refused(run, here, whole_numbers, value):
    Path("x.csv").write_text(f"n\n{value}\n")
    Path("x.json").write_text(f'{{"n": {value}}}')
    for name in ("x.csv", "x.json"):
        said = run("score", "n", name, "-o", "out", code=1, environment=whole_numbers).stderr
        assert f"column 'n' has the value {value}, and the model takes BIGINT there" in said
    assert names("out") == []


def test_whole_numbers_and_nulls_are_what_they_are(run, here, whole_numbers):
    Path("x.csv").write_text("n,m\n5.0,1\n9007199254740993,1\n")
    Path("x.json").write_text('[{"n": 5.0, "m": 1}, {"m": 1, "n": 9007199254740993}]')
    for name in ("x.csv", "x.json"):
        run("score", "n", name, "-o", name[2:], "-f", "csv", environment=whole_numbers)
        lines = sorted(Path(f"{name[2:]}/x.csv").read_text().splitlines())
        assert lines == ["5,1,6", "9007199254740993,1,9007199254740994", "n,m,score"]


@pytest.mark.parametrize(("column", "value"), [("age", '"x"'), ("age", "true"), ("city", "7")])
def test_json_of_another_type_is_refused(run, here, column, value):
    row = {"age": "30", "income": "null", "visits": "5", "city": '"Bern"', column: value}
    Path("x.json").write_text("{" + ", ".join(f'"{name}": {text}' for name, text in row.items()) + "}")
    said = run("score", "churn", "x.json", "-o", "out", code=1).stderr
    assert f"column '{column}' has the value {value}, and the model takes" in said


def test_other_columns_are_written_as_they_were(run, here):
    odd = "9007199254740993.0,1.10,01/02/2024,007"
    Path("x.csv").write_text(
        "id,price,day,note,sl,sw,pl,pw\n" + f"{odd},5.0,3.0,1.0,0.0\n" * LATE + "1,2,n/a,n/a,5.0,3.0,1.0,0.0\n"
    )
    run("score", "iris", "x.csv", "-o", "out")
    first, *lines = Path("x.csv").read_text().splitlines()
    assert Path("out/x.csv").read_text().splitlines() == [f"{first},score", *(f"{line},setosa" for line in lines)]
    row = '"sl":5.0,"sw":3.0,"pl":1.0,"pw":0.0'
    others = ['"id":12345678901234567890123,"m":{"a":1},"day":"2024-01-02"', '"id":"x","m":{"b":[2,"c"]},"day":null']
    Path("y.jsonl").write_text("".join(f"{{{other},{row}}}\n" for other in others))
    run("score", "iris", "y.jsonl", "-o", "out", "--overwrite")
    assert Path("out/y.jsonl").read_text() == "".join(f'{{{other},{row},"score":"setosa"}}\n' for other in others)
    run("score", "iris", "y.jsonl", "-o", "parquet", "-f", "parquet")
    assert rows("SELECT id, m, day FROM 'parquet/y.parquet'") == [
        ("12345678901234567890123", '{"a":1}', "2024-01-02"),
        ("x", '{"b":[2,"c"]}', None),
    ]


def test_a_code_that_is_a_folder_stays_text(run, here):
    Path("codes/city=007").mkdir(parents=True)
    Path("codes/city=007/a.csv").write_text("age,income,visits\n30,2,5\n")
    run("score", "churn", "codes/*/*.csv", "-o", "out", "--columns", "city,score", "-f", "parquet", "--try")
    assert rows("SELECT city FROM read_parquet('out/*/a.parquet', hive_partitioning = false)") == [("007",)]


TOLD = [
    (
        "'old' AS age, 'Bern' AS city",
        "feature 'age' is DOUBLE, but the file's column is VARCHAR; write the file with a",
    ),
    ("3.0::DOUBLE AS age, true AS city", "but the file's column is BOOLEAN; write the file with texts that the model"),
    ("DATE '2024-01-02' AS age, 'Bern' AS city", "but the file's column is DATE; write the file with the number you"),
]


@pytest.mark.parametrize(("columns", "message"), TOLD)
def test_errors_are_about_the_file(run, here, columns, message):
    duckdb.sql(f"COPY (SELECT {columns}, 2.0::DOUBLE AS income, 5 AS visits) TO 'x.parquet'")
    said = run("score", "churn", "x.parquet", "-o", "out", code=1).stderr
    assert message in said and not any(word in said for word in ("CAST", "CASE", "epoch", "argument"))


def test_no_setting_of_the_reader_is_advised(run, here):
    row = '{"sl": 5, "sw": 3, "pl": 1, "pw": 0'
    Path("late.jsonl").write_text(f"{row}}}\n" * LATE + f'{row[:-1]}"x"}}\n')
    said = run("score", "iris", "late.jsonl", "-o", "out", code=1).stderr
    assert "column 'pw' has the value \"x\"" in said
    assert not re.search(r"\bTry\b|sample_size|ignore_errors", said)


def test_folders_that_are_columns(run, here, registry):
    for city in ("Bern", "7"):
        Path(f"hive/city={city}").mkdir(parents=True)
        rows_of = "SELECT id, age, income, visits FROM 'in/part 00.parquet'"
        duckdb.sql(f"COPY ({rows_of}) TO 'hive/city={city}/a.parquet'")
    run("score", "churn", "hive/**/*.parquet", "-o", "out", "--try")
    assert names("out", "*/*.parquet") == ["city=7/a.parquet", "city=Bern/a.parquet"]
    query = "SELECT id, city, {} FROM '{}/**/*.parquet' c ORDER BY ALL"
    answers = expected(registry, query.format("TRY(predict('churn', c))", "hive"))
    assert rows(query.format("score", "out")) == answers
    assert [r[0] for r in rows("DESCRIBE FROM read_parquet('out/city=7/a.parquet', hive_partitioning = false)")] == [
        *("id", "age", "income", "visits", "score")
    ]


WRONG = [
    (["none/*.parquet", "-o", "out"], 1, "there are no files none/*.parquet"),
    (["in", "-o", "out"], 2, "in is a folder: write which of its files, as in 'in/*.parquet'"),
    (["s3://b/*.parquet", "-o", "out"], 2, "is an address"),
    (["in/*", "-o", "in"], 1, "the answers would be written over in/part 00.parquet"),
    (["in/part 00.parquet", "./in/../in/part 00.parquet", "-o", "out"], 1, "would both become out/part 00.parquet"),
    (["in/*", "-o", "one.parquet"], 2, "give a folder"),
    (["in/*", "-o", "out", "--columns", "id"], 2, "are without the answers, score: add that to --columns"),
    (
        ["in/*", "-o", "out", "--columns", "id,score,cyty"],
        1,
        "no column 'cyty', which --columns asks for; did you mean",
    ),
    (["in/*", "-o", "out", "--columns", "id,ID,score"], 2, "write each column once"),
    (["in/*", "-o", "out", "--as", "City"], 1, "a column 'city' already; call the answers otherwise: --as City_2"),
    (["in/*", "-o", "out", "--class", "true"], 2, "--class is for --call predict_proba"),
    (["in/*", "-o", "out", "--call", "predict_proba", "--class", "maybe"], 2, "no class 'maybe'"),
    (["in/*", "-o", "/proc/no"], 1, "cannot be written"),
]


@pytest.mark.parametrize(("words", "code", "message"), WRONG)
def test_what_is_asked_wrongly_is_told_before_a_row_is_scored(run, here, words, code, message):
    assert message in run("score", "churn", *words, code=code).stderr
    assert not Path("out").exists()


@pytest.fixture
def long(here):
    """Eight files, the first of which takes long."""
    Path("long").mkdir()
    few = "SELECT range AS id, (range % 60)::DOUBLE AS age, 30.0::DOUBLE AS income, range % 7 AS visits, 'Bern' AS city"
    for i in range(8):
        duckdb.sql(f"COPY ({few} FROM range({3 if i else MANY})) TO 'long/{i}.parquet'")
    return here


def writing(process):
    """Returns when it is amid its work: a draft grows."""
    until = time.monotonic() + HANG
    while not any(path.stat().st_size for path in Path("out/.sqlinfer").glob("run-*/*.draft")):
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < until
        time.sleep(0.01)


def whole(run, home):
    """What is there is whole, and the rest comes."""
    for path in Path("out").glob("*.parquet"):
        assert rows(f"SELECT count(*) FROM '{path}'") == rows(f"SELECT count(*) FROM 'long/{path.name}'")
    run("score", "churn", "long/*.parquet", "-o", "out", "--resume")
    assert names("out") == names("long")
    assert rows("SELECT count(*) FROM 'out/*.parquet' WHERE score IS NOT NULL") == [(MANY + 21,)]
    assert list(Path("out/.sqlinfer").glob("run-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_is_killed_goes_on(run, home, process, long, workers):
    with process("score", "churn", "long/*.parquet", "-o", "out", "--workers", workers) as job:
        writing(job)
        children = psutil.Process(job.pid).children(recursive=True)
        job.kill()
        job.wait()
        _, alive = psutil.wait_procs(children, timeout=HANG)
        assert not alive, "nobody works for a job that is gone"
    assert not Path("out/0.parquet").exists()
    whole(run, home)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_ended_leaves_nothing_half_written(run, process, long, workers, how, code):
    with process("score", "churn", "long/*.parquet", "-o", "out", "--workers", workers) as job:
        writing(job)
        job.send_signal(how)
        assert job.wait(HANG) == code
    assert list(Path("out/.sqlinfer").glob("run-*")) == [] and not Path("out/0.parquet").exists()


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_file_alone(run, home, process, long):
    with process("score", "churn", "long/*.parquet", "-o", "out", "--workers", 2, stderr=-1) as job:
        writing(job)
        for child in psutil.Process(job.pid).children():
            child.kill()
        _, said = job.communicate(timeout=HANG)
    assert job.returncode == 1
    assert "long/0.parquet: the process that scored it ended (signal SIGKILL)" in said
    assert len(names("out")) >= 6, "each had a file, and the others went on"
    whole(run, home)
