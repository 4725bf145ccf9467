"""A model is stored when SQL answers what the original answers, and not otherwise; verify asks again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import sqlinfer
from sqlinfer.errors import ConversionFailed, FeatureError, ProofFailed, RegistryError
from sqlinfer.models.compare import compare


class Liar(LinearRegression):
    """Its converter sees a plain linear regression; its own answers are a little higher."""

    lie = 0.5

    def predict(self, rows):
        return super().predict(rows) + self.lie


class LyingClassifier(LogisticRegression):
    def predict(self, rows):
        answers = super().predict(rows)
        answers[7:8] = "virginica"
        return answers


@pytest.fixture(autouse=True, scope="module")
def converters():
    """Let skl2onnx take the liars for what they say they are."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes
    from skl2onnx.operator_converters.linear_classifier import convert_sklearn_linear_classifier
    from skl2onnx.operator_converters.linear_regressor import convert_sklearn_linear_regressor

    update_registered_converter(
        Liar, "Liar", shapes.calculate_linear_regressor_output_shapes, convert_sklearn_linear_regressor
    )
    update_registered_converter(
        LyingClassifier,
        "LyingClassifier",
        shapes.calculate_linear_classifier_output_shapes,
        convert_sklearn_linear_classifier,
        options={"zipmap": [True, False], "nocl": [True, False], "output_class_labels": [True, False],
                 "raw_scores": [True, False]},
    )  # fmt: skip


def test_numbers_that_differ_are_refused_with_how_much(tmp_path, iris):
    model = Liar().fit(iris[["sl", "sw"]], iris["pl"])
    with pytest.raises(
        ProofFailed, match=r"predict differs by 0\.\d+ of the (largest )?answer .*row \d+: .*, the original says"
    ):
        sqlinfer.register("m", model, sample=iris[["sl", "sw"]], registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_one_wrong_label_is_refused_with_its_row(tmp_path, iris, species):
    model = LyingClassifier(max_iter=500).fit(iris, species)
    with pytest.raises(
        ProofFailed, match="predict differs in 1 of 150 rows; row 8: 'setosa', the original says 'virginica'"
    ):
        sqlinfer.register("m", model, sample=iris, registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_a_refused_version_leaves_the_older_ones_alone(tmp_path, iris):
    registry = sqlinfer.Registry(tmp_path)
    rows = iris[["sl", "sw"]]
    sqlinfer.register("m", LinearRegression().fit(rows, iris["pl"]), sample=rows, registry=registry)
    with pytest.raises(ProofFailed):
        sqlinfer.register("m", Liar().fit(rows, iris["pl"]), sample=rows, registry=registry, promote=True)
    assert registry.versions("m") == [1] and registry.aliases("m") == {"default": 1}


@pytest.mark.slow
def test_every_registered_model_verifies(registry, engine):
    for model in registry.all():
        found = sqlinfer.verify(f"{model.manifest.name}/{model.manifest.version}", registry=registry, engine=engine)
        assert found.passed
        assert found.rows == len(model.manifest.proof.rows) > 0


@pytest.fixture
def copy(registry, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(registry.home, home)
    return sqlinfer.Registry(home)


def test_verify_finds_another_file(copy):
    other = copy.get("iris/2").onnx
    shutil.copy(other, copy.get("iris/1").onnx)
    with pytest.raises(RegistryError, match="is not the file that was registered"):
        sqlinfer.verify("iris/1", registry=copy)
    assert sqlinfer.verify("iris/2", registry=copy).passed


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:50] + b"\0" + b[51:]])
def test_verify_finds_a_changed_file(copy, damage):
    path = copy.get("width").onnx
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RegistryError, match="register the model again"):
        sqlinfer.verify("width", registry=copy)


def test_verify_finds_a_missing_file(copy):
    copy.get("width").onnx.unlink()
    with pytest.raises(RegistryError, match="cannot be read"):
        sqlinfer.verify("width", registry=copy)


def test_verify_finds_answers_that_changed(copy):
    path = copy.get("width").folder / "model.json"
    fields = json.loads(path.read_text())
    fields["proof"]["answers"]["predict"][0] += 1
    path.write_text(json.dumps(fields))
    with pytest.raises(ProofFailed, match="row 1: "):
        sqlinfer.verify("width", registry=copy)


def test_names_can_be_given(onnx_file, tmp_path):
    file = onnx_file("(float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }")
    model = sqlinfer.register("m", file, features=["age", "income"], registry=tmp_path / "models")
    assert model.manifest.signature.feature_names == ["age", "income"]
    for names, says in (
        (["age", "income", "city"], "3 feature names given for a model of 2"),
        (["age", "AGE"], "two features are called 'age'"),
    ):
        with pytest.raises(FeatureError, match=says):
            sqlinfer.register("m", file, features=names, registry=tmp_path / "models")


def test_names_come_from_the_sample_the_metadata_or_are_numbered(onnx_file, tmp_path, iris):
    import onnx

    file = onnx_file("(float[n, 4] x) => (float[n, 4] y) { y = Neg(x) }")

    def names(**options):
        return sqlinfer.register("m", file, registry=tmp_path / "models", **options).manifest.signature.feature_names

    assert names() == ["f0", "f1", "f2", "f3"]
    assert names(sample=iris) == ["sl", "sw", "pl", "pw"]
    model = onnx.load(file)
    model.metadata_props.add(key="feature_names", value='["a", "b", "c", "d"]')
    onnx.save(model, file)
    assert names() == ["a", "b", "c", "d"]
    assert names(features=["p", "q", "r", "s"]) == ["p", "q", "r", "s"]


def test_labels_can_be_given(onnx_file, tmp_path):
    file = onnx_file("(float[n, 3] x) => (float[n, 3] scores) { scores = Softmax<axis=1>(x) }")
    sqlinfer.register("m", file, labels=["red", "green", "blue"], registry=tmp_path / "models")
    with sqlinfer.connect(registry=tmp_path / "models") as con:
        rows = con.execute("SELECT predict('m', 0, 9, 1), predict_proba('m', 0, 9, 1)['green'] > 0.9").fetchall()
    assert rows == [("green", True)]


def test_a_sample_without_the_columns_is_refused(tmp_path, iris):
    model = LinearRegression().fit(iris, iris["pl"])
    with pytest.raises((ConversionFailed, FeatureError, ValueError)):
        sqlinfer.register("m", model, sample=iris[["sl"]], registry=tmp_path)
    assert sqlinfer.Registry(tmp_path).names() == []


def test_near_is_the_same_and_far_is_not():
    assert compare({"predict": [1.0, 2.0]}, {"predict": [1.0, 2.0 + 1e-9]}, 1e-7).passed
    assert not compare({"predict": [1.0, 2.0]}, {"predict": [1.0, 2.1]}, 1e-2).passed
    assert not compare({"predict": [1.0, None]}, {"predict": [1.0, 2.0]}, 1e-2).passed
    assert not compare({"predict": [1.0]}, {"predict": [1.0, 2.0]}, 1e-2).passed
    assert compare({"predict": [np.nan]}, {"predict": [np.nan]}, 1e-7).passed
    assert not compare({"predict": [np.inf]}, {"predict": [1.0]}, 1e-2).passed
    assert compare({"predict": [np.inf]}, {"predict": [np.inf]}, 1e-7).passed
    assert not compare({"predict": [-np.inf]}, {"predict": [np.inf]}, 1e-7).passed
    assert not compare({"predict": ["a"]}, {"predict": ["b"]}, 1e-2).passed


def test_one_large_answer_does_not_hide_the_others():
    """A difference is measured by its own answer, or by the middle one where that is larger."""
    expected = {"predict": [1e9, *range(1, 10)]}
    given = {"predict": [1e9, *range(1, 9), 9.1]}
    found = compare(given, expected, 1e-4)
    assert not found.passed and "row 10" in found.text
    assert compare({"predict": [1e9 + 1, *range(1, 10)]}, expected, 1e-4).passed
