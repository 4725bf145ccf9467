"""register, list, show, alias, verify, remove."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

import sqlinfer
from sqlinfer.errors import RegistryError


@pytest.fixture
def two(run, negate):
    """Two versions of negate."""
    run("register", "negate", negate)
    run("register", "negate", negate, "--features", "amount", "--null", "error")


def test_registering_says_what_to_type_next(run, negate, home):
    result = run("register", "negate", negate)
    assert result.stdout == ""
    assert f"registered negate/1 in {home}" in result.stderr
    assert "SELECT predict('negate', x) → FLOAT" in result.stderr
    again = run("register", "Negate", negate)
    assert "negate/2" in again.stderr
    assert "promote it with: sqlinfer alias negate default 2" in again.stderr.replace("Negate", "negate")
    assert "promote it" not in run("register", "negate", negate, "--promote").stderr


def test_options_of_registration(run, two, home):
    (feature,) = sqlinfer.load("negate/2", registry=home).manifest.signature.features
    assert (feature.name, str(feature.null)) == ("amount", "error")


@pytest.mark.slow
def test_null_policies_by_feature(run, onnx_file, home):
    file = onnx_file("(float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }")
    run("register", "m", file, "--features", "a, b", "--null", "a=nan", "--null", "b=7")
    features = sqlinfer.load("m", registry=home).manifest.signature.features
    assert {f.name: str(f.null) for f in features} == {"a": "nan", "b": "7"}
    run("register", "m", file, "--null", "nan", "--null", "b=7", code=2)
    assert "no feature" in run("register", "m", file, "--null", "c=7", code=1).stderr


def test_text_by_options(run, onnx_file, tmp_path):
    """Each word is its number and that number's half; a text is their mean."""
    file = onnx_file(
        "(int64[n, t] input_ids, int64[n, t] attention_mask) => (float[n, t, 2] v)"
        " <float[3, 2] table = {0.0, 0.0, 1.0, 0.5, 2.0, 1.0}> { v = Gather(table, input_ids) }",
        opset=17,
    )
    words = Tokenizer(models.WordLevel({"?": 0, "one": 1, "two": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    given = ("register", "m", file, "--tokenizer", tmp_path / "words.json")
    assert "--pool mean" in run(*given, code=1).stderr
    run(*given, "--pool", "mean", "--max-length", 3)
    answer = json.loads(run("query", "SELECT predict('m', 'one two two two two') AS v").stdout)
    assert [round(number, 4) for number in answer[0]["v"]] == [1.6667, 0.8333]  # of the first three
    assert "tokens of tokenizer.json, at most 3; padded beside" in run("show", "m", "-f", "table").stdout
    (tmp_path / "labels.txt").write_text("small\nlarge\n")
    run(*given, "--pool", "mean", "--sigmoid", "--labels", tmp_path / "labels.txt", "--promote")
    answer = json.loads(run("query", "SELECT predict('m', 'two') AS v, predict_proba('m', 'two')['large'] AS p").stdout)
    assert answer[0]["v"] == "small"
    assert round(answer[0]["p"], 4) == 0.7311


def test_images_by_options(run, onnx_file, tmp_path):
    file = onnx_file("(float[n, 3, 2, 2] x) => (float[n, 3] y) { p = GlobalAveragePool(x)  y = Flatten(p) }")
    Image.new("RGB", (9, 5), (255, 102, 0)).save(tmp_path / "orange.png")
    run("register", "m", file, "--image", "--mean", "0.5,0.4,0", "--std", "0.5", "--features", "content")
    answer = json.loads(run("query", f"SELECT predict('m', f) AS v FROM read_blob('{tmp_path}/*.png') f").stdout)
    assert [round(number, 4) for number in answer[0]["v"]] == [1, 0, 0]
    run("register", "m", file, "--image", "--mean", "red", code=2)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.slow
def test_a_pickle_with_a_sample_file(run, tmp_path, estimators, suffix):
    model, rows = estimators["iris"]
    (tmp_path / "iris.pkl").write_bytes(pickle.dumps(model))
    sample = tmp_path / f"rows.{suffix}"
    rows.to_csv(sample, index=False) if suffix == "csv" else rows.to_parquet(sample)
    refused = run("register", "iris", tmp_path / "iris.pkl", "--sample", sample, code=1)
    assert "--trust" in refused.stderr
    run("register", "iris", tmp_path / "iris.pkl", "--sample", sample, "--trust")
    result = run("query", f"SELECT predict('iris', r) AS p, count(*) AS n FROM '{sample}' r GROUP BY p ORDER BY p")
    assert [row["p"] for row in json.loads(result.stdout)] == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize("content", [b"", b"text, not a model"])
def test_a_file_that_is_no_model(run, tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    result = run("register", "m", tmp_path / "m.onnx", code=1)
    assert result.stderr.startswith("Error: ") and result.stdout == ""
    assert "there is no registry" in run("list", "-f", "json", code=1).stderr


def test_a_file_that_is_not_there(run, tmp_path):
    assert "No such file" in run("register", "m", tmp_path / "m.onnx", code=1).stderr


@pytest.mark.parametrize("name", ["a b", "1st", "é", "a/1", "a@b", ""])
def test_a_name_that_is_none(run, negate, name):
    assert "does not name a model" in run("register", name, negate, code=1).stderr


def test_list(run, two):
    rows = json.loads(run("list").stdout)
    assert [(r["name"], r["version"], r["aliases"], r["result"]) for r in rows] == [
        ("negate", 1, ["default"], "FLOAT"),
        ("negate", 2, [], "FLOAT"),
    ]
    lines = [json.loads(line) for line in run("list", "-f", "jsonl").stdout.splitlines()]
    assert lines == rows
    read = list(csv.DictReader(io.StringIO(run("list", "-f", "csv").stdout)))
    assert [r["version"] for r in read] == ["1", "2"]
    table = run("list", "-f", "table").stdout.splitlines()
    assert len(table) == 4 and table[0].split()[:2] == ["name", "version"]
    markdown = run("list", "-f", "markdown").stdout.splitlines()
    assert markdown[1].startswith("| -") and all(line.count("|") == markdown[0].count("|") for line in markdown)


def test_a_list_of_nothing(run, home, negate):
    run("register", "negate", negate)
    run("remove", "negate")
    assert run("list", "-f", "json").stdout == "[]\n"
    nothing = run("list", "-f", "table")
    assert nothing.stdout == "" and "sqlinfer register NAME FILE" in nothing.stderr


def test_the_default_registry_is_empty_until_something_is_registered(run, tmp_path):
    environment = {"SQLINFER_HOME": None, "HOME": str(tmp_path)}
    assert run("list", environment=environment).stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["list"], ["show", "m"], ["alias", "m", "a", "1"], ["verify"], ["verify", "m"], ["remove", "m"], ["doctor"],
     ["query", "SELECT 1"], ["shell", "--print-setup"]],
    ids=" ".join,
)  # fmt: skip
def test_a_registry_that_is_not_there_is_an_error_and_is_not_made(run, tmp_path, command):
    nowhere = tmp_path / "no where"
    for given, environment in ((["--registry", nowhere], {}), ([], {"SQLINFER_HOME": str(nowhere)})):
        refused = run(*command, *given, code=1, environment=environment)
        assert f"there is no registry {nowhere}" in refused.stderr and refused.stdout == ""
        assert f"--registry '{nowhere}'" in refused.stderr
    assert not nowhere.exists()


@pytest.mark.parametrize("command", [["list"], ["register", "m", "NEGATE"], ["query", "SELECT 1"]], ids=" ".join)
@pytest.mark.parametrize("address", ["s3://bucket/models", "gs://b", "https://host/x", "file:///tmp/x", "hf:/x"])
def test_an_address_is_no_registry(run, negate, command, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [negate if word == "NEGATE" else word for word in command]
    before = set(tmp_path.iterdir())
    assert "is an address" in run(*words, "--registry", address, code=1).stderr
    assert "is an address" in run(*words, code=1, environment={"SQLINFER_HOME": address}).stderr
    assert set(tmp_path.iterdir()) == before
    with pytest.raises(RegistryError, match="is an address"):
        sqlinfer.connect(registry=Path(address))


def test_show_has_the_classes(run, registry):
    shown = run("show", "iris", "--registry", str(registry.home), "-f", "table").stdout
    assert re.search(r"^classes +setosa, versicolor, virginica$", shown, re.MULTILINE)


def test_show(run, two):
    text = run("show", "negate/2", "-f", "table").stdout
    assert "negate/2" in text and "amount" in text and "error" in text and "FLOAT" in text
    fields = json.loads(run("show", "negate", "-f", "json").stdout)
    assert (fields["name"], fields["version"], fields["format"]) == ("negate", 1, 2)
    assert "| amount" in run("show", "negate/2", "-f", "markdown").stdout


def test_show_has_the_sample_and_the_target(run, onnx_file, tmp_path):
    file = onnx_file(
        "(float[n, 1] age, string[n, 1] city) => (float[n, 1] y, string[n, 1] c) { y = Neg(age)  c = Identity(city) }"
    )
    rows = "".join(f"{i * 100},{'Zug' if i % 4 else 'Bern'},yes\n" for i in range(1, 41))
    (tmp_path / "rows.csv").write_text(f"age,city,left\n{rows}")
    said = run("register", "m", file, "--sample", tmp_path / "rows.csv", "--target", "left", "-f", "json")
    assert json.loads(said.stdout)["target"] == "left"
    shown = run("show", "m", "-f", "table").stdout
    assert re.search(r"^target +left$", shown, re.MULTILINE)
    assert "\nsample of 40 rows\n" in shown
    assert re.search(r"^age +0% +0% +100 +490 +2,050 +2,050 +3,610 +4,000 +1,169$", shown, re.MULTILINE)
    assert re.search(r"^city +0% +2 +Zug 75%, Bern 25% +3 to 4$", shown, re.MULTILINE)
    fields = json.loads(run("show", "m", "-f", "json").stdout)
    assert (fields["target"], fields["profile"]["rows"]) == ("left", 40)
    assert set(fields["files"]) == {"profile.json", "background.json"}
    run("register", "m", file, "--sample", tmp_path / "rows.csv", "--target", "left", "--no-profile")
    assert "sample of" not in run("show", "m/2", "-f", "table").stdout
    fields = json.loads(run("show", "m/2", "-f", "json").stdout)
    assert (fields["target"], fields["profile"], fields["files"]) == ("left", None, {})


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("negat", "did you mean 'negate'"),
        ("negate/9", "versions: 1, 2"),
        ("negate@best", "no alias 'best'"),
        ("a b", "name"),
    ],
)
@pytest.mark.parametrize("command", ["show", "verify", "remove"])
def test_what_does_not_exist(run, two, command, reference, says):
    if (command, reference) == ("remove", "negate@best"):
        says = "is an alias"
    result = run(command, reference, code=1)
    assert says in result.stderr and result.stdout == ""


def test_alias(run, two):
    assert "negate@best now means negate/2" in run("alias", "negate", "best", 2).stderr
    assert "negate now means negate/2" in run("alias", "negate", "default", 2).stderr
    assert json.loads(run("list").stdout)[1]["aliases"] == ["best", "default"]
    run("alias", "negate", "best", "--drop")
    assert json.loads(run("list").stdout)[1]["aliases"] == ["default"]
    assert "no alias" in run("alias", "negate", "best", "--drop", code=1).stderr
    assert "no version 9" in run("alias", "negate", "best", 9, code=1).stderr
    assert "VERSION" in run("alias", "negate", "best", code=2).stderr


def test_verify(run, two, home):
    assert [line.split(":")[0] for line in run("verify").stdout.splitlines()] == ["negate/1", "negate/2"]
    assert "largest difference" in run("verify", "negate", "--engine", "arrow").stdout
    (home / "models/negate/2/model.onnx").write_bytes(b"something else")
    assert "not the file that was registered" in run("verify", "negate/2", code=1).stderr
    assert "not the file that was registered" in run("verify", code=1).stderr


def test_verify_goes_on_after_a_failure(run, two, home):
    """One changed file must not hide the state of the others: all are named, and the exit says that one failed."""
    (home / "models/negate/1/model.onnx").write_bytes(b"something else")
    result = run("verify", code=1)
    assert "negate/1" in result.output and "negate/2: " in result.stdout


def test_a_damaged_model_is_named_and_hides_no_other(run, two, home):
    (home / "models/negate/1/model.json").write_text("{")
    (home / "models/negate/aliases.json").write_text("[]")
    listed = run("list")
    assert [row["version"] for row in json.loads(listed.stdout)] == [2]
    verified = run("verify", code=1)
    assert verified.stdout.startswith("negate/2: ")
    for said in (listed.stderr, verified.stderr):
        assert "negate/1: " in said and "model.json" in said and "negate: " in said and "aliases.json" in said
    run("alias", "negate", "default", 2)
    assert json.loads(run("list").stdout)[0]["aliases"] == ["default"]


def test_remove(run, two):
    assert "removed negate/2" in run("remove", "negate/2").stderr
    assert "point it elsewhere" not in run("remove", "negate/1").stderr
    assert run("list", "-f", "json").stdout == "[]\n"


def test_remove_asks_before_it_takes_several_versions(run, two):
    assert "negate" not in run("remove", "negate", text="n\n", code=1).stdout
    assert len(json.loads(run("list").stdout)) == 2
    run("remove", "negate", text="y\n")
    assert run("list", "-f", "json").stdout == "[]\n"


def test_remove_yes(run, two):
    run("remove", "negate", "-y")
    assert run("list", "-f", "json").stdout == "[]\n"


def test_json_of_every_command_that_tells_what_it_did(run, negate, home):
    def said(*words, code=0):
        result = run(*words, "-f", "json", code=code)
        assert result.stderr == "" or code
        return json.loads(result.stdout)

    first = said("register", "Negate", negate)
    assert (first["name"], first["version"], first["aliases"]) == ("negate", 1, ["default"])
    assert first["features"] == [{"name": "x", "type": "FLOAT", "null": "null"}]
    assert first["calls"]["predict"] == "FLOAT" and first["registry"] == str(home)
    assert said("register", "negate", negate)["aliases"] == []
    assert said("alias", "negate", "best", 2) == {"name": "negate", "alias": "best", "version": 2}
    assert said("alias", "negate", "best", "--drop")["version"] is None
    verified = said("verify")
    assert [(one["model"], one["same"]) for one in verified] == [("negate/1", True), ("negate/2", True)]
    (home / "models/negate/2/model.onnx").write_bytes(b"something else")
    (one,) = said("verify", "negate/2", code=1)
    assert not one["same"] and "not the file" in one["text"]
    assert said("remove", "negate/2") == {"name": "negate", "version": 2, "removed": True}


def test_another_registry(run, negate, tmp_path):
    run("register", "n", negate)
    run("register", "m", negate, "--registry", tmp_path / "other")
    assert len(json.loads(run("list").stdout)) == 1
    assert len(json.loads(run("list", "--registry", tmp_path / "other").stdout)) == 1


OWN = """
from sklearn.linear_model import LinearRegression

def model(state):
    found = LinearRegression()
    found.__dict__.update(state)
    return found

class Own(LinearRegression):
    def __reduce__(self):
        return model, (self.__dict__,)
"""


@pytest.mark.slow
def test_a_pickle_of_any_name_that_needs_a_module_of_the_users_own(home, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "x.CSV").write_text("a,b\n1.5,2\n3,4.5\n5,7\n")
    make = (
        "import pickle, own, pandas as pd; x = pd.read_csv('x.CSV'); print(pickle.dumps(own.Own().fit(x, x.a)).hex())"
    )
    dumped = subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True, capture_output=True, text=True)
    (tmp_path / "m.sav").write_bytes(bytes.fromhex(dumped.stdout))
    program = "from sqlinfer.cli import main; main(prog_name='sqlinfer')"
    # -P: as the installed command, without the folder on the path
    command = [sys.executable, "-P", "-c", program, "register", "m", "m.sav", "--trust", "--sample", "x.CSV"]
    environment = {**os.environ, "SQLINFER_HOME": str(home)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sqlinfer.Registry(home).names() == ["m"]


def test_register_speaks_of_its_own_options(run, onnx_file, tmp_path, estimators):
    """Not of Python's."""
    (tmp_path / "iris.pkl").write_bytes(pickle.dumps(estimators["iris"][0]))
    shape = "(float[n, k] x) => (float[n, 7] y) <int64[2] shape = {-1, 7}, int64[1] i = {1}>"
    unsure = onnx_file(f"{shape} {{ a = Reshape(x, shape)  b = ReduceSum(x, i)  y = Add(a, b) }}", "unsure.onnx")
    total = onnx_file("(float[k] x) => (float total) { total = ReduceSum<keepdims=0>(x) }", "total.onnx")
    score = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }", "score.onnx")
    for words, says in [
        ([tmp_path / "iris.pkl"], "--trust"),
        ([tmp_path / "iris.pkl", "--trust"], "--sample FILE"),
        ([tmp_path / "iris.pkl", "--trust", "--sigmoid", "--sample", tmp_path / "x.csv"], "sigmoid is for .onnx files"),
        ([unsure], "--sample FILE"),
        ([total], "--row-by-row"),
        ([score, "--labels", "no,yes"], "--no-sigmoid"),
        ([score, "--pool", "mean"], "--tokenizer"),
    ]:
        (tmp_path / "x.csv").write_text("a,b,c,d\n1,2,3,4\n")
        said = run("register", "m", *words, code=1).stderr
        assert says in said and "Python" not in said and not re.search(r"\b[a-z_]+=", said), said
