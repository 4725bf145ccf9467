"""Other warehouses' words in, ordinary calls out: the pairs in table_calls.sql, and errors in the user's own text."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from sqlinfer.errors import CallError, MissingFeature, ModelNotFound, SqlinferError
from sqlinfer.models.profile import FeatureProfile, Numbers, Profile, Texts
from sqlinfer.models.signature import Call, Feature, Signature, Tensor
from sqlinfer.sql.rewrite import rewrite
from sqlinfer.sql.table_calls import translate


def known(task, *names, labels=(), label_type=None, target=None):
    features = tuple(Feature(name, "DOUBLE", "x", i) for i, name in enumerate(names))
    calls = {"predict": Call(label_type or "DOUBLE", "tensor", ("y",))}
    if labels:
        calls["predict_proba"] = Call(f"MAP({label_type}, DOUBLE)", "map", ("p",))
    inputs = (Tensor("x", "float64", (None, len(names))),)
    return SimpleNamespace(
        task=task, target=target, signature=Signature(features, inputs, (), calls, tuple(labels), label_type)
    )


AGE = FeatureProfile("a", 1, Numbers(0, 0, 0, 1, 9, 5, 2, 5, tuple(range(11)), (3,) * 10))
CITY = FeatureProfile("b", 0, texts=Texts(2, (("it's", 20), ("Bern", 11))))


class Models:
    """A classifier of two classes, one of three numbers, and a regression that does not know what it predicts."""

    models = {  # noqa: RUF012
        "churn": known("classification", "a", "b", labels=("no", "yes"), label_type="VARCHAR", target="churned"),
        "digit": known("classification", "a", labels=(0, 1, 2), label_type="BIGINT", target="digit"),
        "price": known("regression", "a", "b"),
    }

    def has(self, name):
        return name in self.models

    def versions(self, name):
        return [1, 2] if name in self.models else []

    def aliases(self, name):
        return {"default": 1, "champion": 2} if name in self.models else {}

    def manifest(self, reference):
        if reference.name not in self.models:
            raise ModelNotFound.name(reference.name, self.models, "here")
        if reference.version not in (None, 1, 2):
            raise ModelNotFound.version(reference.name, reference.version, [1, 2])
        return self.models[reference.name]

    def profile(self, reference):
        return Profile(31, (AGE, CITY)) if reference.name == "churn" else None

    def signature(self, function):
        return self.manifest(function.reference).signature

    def spelled(self, function, names):
        return function


def pairs():
    text = Path(__file__).with_name("table_calls.sql").read_text(encoding="utf-8")
    for case in re.split(r"^-----\n", "".join(text.splitlines(keepends=True)[2:]), flags=re.MULTILINE):
        given, expected = case.split("\n-->\n")
        yield given, expected.rstrip("\n")


@pytest.mark.parametrize(("given", "expected"), list(pairs()), ids=[given for given, _ in pairs()])
def test_pairs(given, expected):
    translation = translate(given, Models())
    assert translation is not None
    assert translation.text == expected


def test_there_are_pairs():
    assert len(list(pairs())) > 25


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT prediction(a), !b, a != f(b) FROM ml.predict_me",
        "SELECT model FROM (SELECT 1 AS model, 2 AS version)",
        "SELECT '  ML.PREDICT(MODEL churn, TABLE t)', \"ML.PREDICT(\" FROM t -- PREDICTION(churn USING *)",
        "SELECT ml.evaluate(a, b) FROM ml",
        "SELECT !f(a), NOT g(b) FROM t JOIN prediction USING (a)",
        "SELECT x FROM prediction('x') JOIN t USING (a)",
    ],
)
def test_what_is_nobody_elses_stays(sql):
    assert translate(sql, Models()) is None
    assert rewrite(sql, Models()).text == sql


WRONG = [
    ("ML.PREDICT(MODEL «chrun», TABLE t)", ModelNotFound, "did you mean 'churn'"),
    ("ML.PREDICT(MODEL «`p.d.chrun`», TABLE t)", ModelNotFound, "did you mean 'churn'"),
    ("ML.PREDICT(MODEL «churn 2», TABLE t)", SqlinferError, "model"),
    ("ML.PREDICT(MODEL «churn»)", CallError, "needs rows"),
    ("ML.PREDICT(«churn», TABLE t)", CallError, "needs a model here: MODEL churn"),
    ("ML.PREDICT(MODEL churn, «t»)", CallError, "needs rows here: TABLE"),
    ("ML.PREDICT(MODEL churn, TABLE t, STRUCT(0.5 AS «treshold»))", CallError, "did you mean 'threshold'"),
    ("ML.PREDICT(MODEL churn, TABLE t, STRUCT(«2» AS threshold))", CallError, "from 0 to 1"),
    ("ML.PREDICT(MODEL churn, TABLE t, STRUCT(«?» AS threshold))", CallError, "cannot be ?"),
    ("ML.PREDICT(MODEL churn, TABLE t, STRUCT(«0.5»))", CallError, "has a name"),
    ("ML.PREDICT(MODEL churn, TABLE t, «0.5»)", CallError, "STRUCT"),
    ("ML.PREDICT(MODEL churn, TABLE t, STRUCT(«1» AS keep_original_columns))", CallError, "TRUE or FALSE"),
    ("ML.PREDICT(MODEL digit, TABLE t, STRUCT(«0.5» AS threshold))", CallError, "two classes"),
    ("ML.EVALUATE(MODEL price, TABLE t, STRUCT(«0.5» AS threshold))", CallError, "two classes"),
    ("ML.EVALUATE(MODEL «churn»)", CallError, "are not kept"),
    ("ML.CONFUSION_MATRIX(MODEL «price», TABLE t)", CallError, "is a regression"),
    ("ML.ROC_CURVE(MODEL «price», TABLE t)", CallError, "is a regression"),
    ("ML.ROC_CURVE(MODEL «digit», TABLE t)", CallError, "of 3 classes"),
    ("ML.ROC_CURVE(MODEL churn, TABLE t, «GENERATE_ARRAY(0.1)»)", CallError, "GENERATE_ARRAY"),
    ("ML.FEATURE_INFO(MODEL «price»)", CallError, "sample=rows"),
    ("ML.VALIDATE_DATA_SKEW(MODEL churn, TABLE t, STRUCT(«'L1'» AS categorical_metric_type))", CallError, "L_INFTY"),
    (
        "ML.VALIDATE_DATA_SKEW(MODEL churn, TABLE t, STRUCT(«[STRUCT('c', .2)]» AS thresholds))",
        CallError,
        "no column 'c'",
    ),
    ("ML.VALIDATE_DATA_DRIFT(«TABLE t»)", CallError, "TABLE a, TABLE b"),
    ("«ML.EXPLAIN_PREDICT(MODEL churn, TABLE t)»", CallError, "explain()"),
    ("«ML.GLOBAL_EXPLAIN(MODEL churn)»", CallError, "explain()"),
    ("«ML.FORECAST(MODEL churn)»", CallError, "ML.PREDICT, ML.EVALUATE"),
    ("ML_PREDICT(TABLE t, MODEL churn, «DESCRIPTOR(a)»)", SqlinferError, "takes 2 features"),
    ("ML_PREDICT(TABLE t, MODEL churn, «a»)", CallError, "DESCRIPTOR"),
    ("ML_PREDICT(«TABLE t, MODEL churn»)", CallError, "lacks ARGS"),
    ("MODEL(«churn, v3»)!PREDICT(a, b)", ModelNotFound, "version 3"),
    ("MODEL(churn)!«EXPLAIN»(a, b)", CallError, "methods: predict"),
    ("MODEL(churn)!PREDICT(a, b):«output_feature_1»", CallError, "fields: output_feature_0"),
    ("PREDICTION(churn USING «a»)", MissingFeature, "b"),
    ("PREDICTION(churn USING a, «f(b)»)", CallError, "AS feature"),
    ("PREDICTION(churn «COST MODEL» USING *)", CallError, "leave COST out"),
    ("PREDICTION_PROBABILITY(churn, «'maybe'» USING *)", CallError, "classes: no, yes"),
    ("PREDICTION_PROBABILITY(«price» USING *)", CallError, "is none"),
    ("«PREDICTION_DETAILS»(churn USING *)", CallError, "explain()"),
    ("MODEL(churn)!PREDICT(a, b) + «predict('churn', 1, 2, 3)» + 1", SqlinferError, "takes 2 features"),
    ("ML.PREDICT(MODEL churn, (SELECT «predict('nope', 1)» FROM t))", ModelNotFound, "nope"),
]


@pytest.mark.parametrize(("marked", "kind", "says"), WRONG, ids=[marked for marked, _, _ in WRONG])
def test_errors_are_underlined_where_the_user_wrote_it(marked, kind, says):
    # the excerpt is of the second line, and the place is between « and »
    sql = f"SELECT 1 AS a,\n {marked.replace('«', '').replace('»', '')} FROM t"
    start = marked.index("«")
    with pytest.raises(kind, match=re.escape(says)) as caught:
        rewrite(sql, Models())
    line, carets = caught.value.excerpt.splitlines()
    assert "LINE 2: " in line
    underlined = line[carets.index("^") : carets.rindex("^") + 1]
    expected = marked[start + 1 : marked.index("»")]
    if "predict('nope'" in expected:
        expected = "'nope'"
    assert underlined == expected


PIECES = [
    "ML.PREDICT(", "ML.ROC_CURVE(", "ML.DESCRIBE_DATA(", "ML.VALIDATE_DATA_SKEW(", "ML_PREDICT(", "PREDICTION(", "(",
    "PREDICTION_SET(", "MODEL churn", "MODEL(churn", "MODEL ", "TABLE t", "(SELECT 1)", "STRUCT(", "0.5 AS threshold",
    "[STRUCT('a', .2)] AS thresholds", "DESCRIPTOR(a, b)", "GENERATE_ARRAY(", "INPUT =>", ")!predict(",
    "churn!predict(", "USING", "*", ",", ",", ")", ")", ")", ":output_feature_0", "['x']", "`a.b`", "VERSION LAST",
    "WITH v AS MODEL churn", "FROM", "'", '"', "--", "?", "1", ";",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@drawn(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
def test_any_text_is_translated_or_refused(sql):
    try:
        rewrite(sql, Models())
    except SqlinferError as error:
        assert "LINE 1: " in str(error)


def test_a_text_without_such_words_is_not_even_read():
    sql = "SELECT '" + "x" * 1_000_000 + "' != '' FROM t"
    assert rewrite(sql, Models()).text is sql
