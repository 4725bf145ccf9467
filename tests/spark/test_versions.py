"""One statement sees one version on every executor, and what is promoted is seen by the next statement."""

from __future__ import annotations

import zipfile

import pytest

import sqlinfer
import sqlinfer.spark
from sqlinfer.engines.spark.package import pack, unpacked
from sqlinfer.errors import ModelNotFound, OtherRegistry, RegistryError

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


@pytest.fixture
def own(tmp_path, onnx_file):
    """A registry with two versions of ``add``: what it is given, and one more."""
    registry = sqlinfer.Registry(tmp_path / "own")
    for n, graph in enumerate(("y = Identity(x)", "one = Constant<value = float {1.0}>()  y = Add(x, one)")):
        file = onnx_file(f"(float[n, 1] x) => (float[n, 1] y) {{ {graph} }}", f"{n}.onnx")
        sqlinfer.register("add", file, registry=registry)
    return registry


def test_promoted_between_statements_and_within_one(plain, own):
    spark = sqlinfer.spark.attach(plain.newSession(), registry=own)
    first = spark.sql("SELECT predict('add', 1), predict_add(1), predict('add/2', 1) FROM range(1)")
    column = spark.range(1).select(spark.predict("add", "id"))
    spark.sql("CREATE OR REPLACE TEMP VIEW added AS SELECT predict('add', id) AS a, predict_add(1) AS b FROM range(1)")
    assert tuple(spark.table("added").first()) == (0, 1)
    own.alias("add", "default", 2)
    again = spark.sql("SELECT predict('add', 1), predict_add(1), predict('add/1', 1) FROM range(1)")
    assert tuple(again.first()) == (2, 2, 1)
    assert tuple(first.first()) == (1, 1, 2)
    assert column.first()[0] == 0
    assert tuple(spark.sql("FROM added").first()) == (1, 2)
    assert spark.session.sql("SELECT predict_add(1)").first()[0] == 2


def test_an_alias_and_a_new_model(plain, own, onnx_file):
    spark = sqlinfer.spark.attach(plain.newSession(), registry=own)
    with pytest.raises(ModelNotFound, match="'champion'"):
        spark.sql("SELECT predict('add@champion', 1)")
    own.alias("add", "champion", 2)
    assert spark.sql("SELECT predict('add@champion', 1), `predict_add@champion`(1)").first() == (2, 2)
    sqlinfer.register("proba_add", onnx_file("(float[n] x) => (float[n] y) { y = Neg(x) }"), registry=own)
    assert spark.sql("SELECT predict_proba_add(1), predict('proba_add', 1)").first() == (-1, -1)
    spark.refresh()
    assert spark.session.sql("SELECT predict_proba_add(1)").first()[0] == -1


def test_only_some_models(plain, own):
    spark = sqlinfer.spark.attach(plain.newSession(), registry=own, models=["add/2"])
    assert spark.session.sql("SELECT `predict_add/2`(1)").first()[0] == 2
    with pytest.raises(ModelNotFound, match="'nothing'"):
        sqlinfer.spark.attach(plain.newSession(), registry=own, models=["nothing"])


def test_a_session_is_of_one_registry(plain, own, tmp_path):
    """The names of functions are the session's: those of two registries would answer for one another."""
    session = plain.newSession()
    sqlinfer.spark.attach(session, registry=own)
    sqlinfer.spark.attach(session, registry=own)
    with pytest.raises(OtherRegistry, match=r"answers from the registry .*own; for .* attach another one"):
        sqlinfer.spark.attach(session, registry=tmp_path / "another")


def test_a_package_is_what_was_sent(own, tmp_path):
    folder = tmp_path / "sent"
    folder.mkdir()
    package, file = pack(own.get("add/2"), folder)
    again, _ = pack(own.get("add/2"), folder)
    assert (package, again.file) == (again, file.name)
    assert unpacked(package, file).get(package.reference).manifest == own.get("add/2").manifest
    assert unpacked(package, file).get("add").manifest.version == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted([file.name, f"{package.sha256}.d"])


def test_a_package_that_is_damaged_is_not_opened(own, tmp_path):
    package, file = pack(own.get("add/2"), tmp_path)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("models/add/2/more", b"")
    with pytest.raises(RegistryError, match="is not the file of model add/2 that was sent"):
        unpacked(package, file)
    file.unlink()
    with pytest.raises(RegistryError, match="did not come with the job"):
        unpacked(package, file)
    assert not (tmp_path / f"{package.sha256}.d").exists()
