"""Texts are cut into words alike on every engine, whatever they hold: the engines' own cutting, seen through SQL."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

import sqlinfer
from sqlinfer.convert.sklearn.exact.texts import section_of
from sqlinfer.errors import FeatureType
from sqlinfer.graphs.inspect import inspect_graph
from sqlinfer.models.manifest import Source
from sqlinfer.models.signature import Batch, Call, Feature, Output, Signature, Tensor, WordsPreparation
from sqlinfer.registration.proving import store_proven
from sqlinfer.runtime.words import Words
from tests.characters import EVERYTHING
from tests.conftest import parse

SECTIONS: list[dict[str, Any]] = [
    {"strip_accents": "unicode"},
    {"token_pattern": r"\b[^\W\d]{1,3}", "stop_words": ["x"], "lowercase": False},
    {"analyzer": "char"},
    {"analyzer": "char_wb", "strip_accents": "ascii"},
]
ODD = ["", " ", "ΣΑΣ Σ'σ ς", "e\u0301cole ÉCOLE", "İ i̇ ŉ ǅ ﬁ", "a\n\n b\t c", "\ufffe\ufdd1\ufdd0", "🙂 good"]


@pytest.fixture(scope="module")
def cutting(tmp_path_factory):
    """A registry with a model that answers the text that it is given, cut; and what cuts it in Python."""
    home = tmp_path_factory.mktemp("words")
    sections = [section_of(CountVectorizer(**options))[0] for options in SECTIONS]
    content = json.dumps({"sections": [None, *sections]}).encode()
    prepare = WordsPreparation("words.json", hashlib.sha256(content).hexdigest())
    signature = Signature(
        (Feature("text", "VARCHAR", "x", 0, prepare=prepare),),
        (Tensor("x", "string", (None, 1)),),
        (Output("y", "string", (None, 1), "VARCHAR"),),
        {"predict": Call("VARCHAR", "tensor", ("y",))},
        batch=Batch(),
    )
    graph = inspect_graph(parse("(string[n, 1] x) => (string[n, 1] y) { y = Identity(x) }"), "words")
    table, source = pa.table({"text": ODD}), Source("", "", None, "")
    words = Words(content, "words.json")
    answers = {"predict": [words.cut(text) for text in ODD]}
    store_proven(str(home), "words", graph, signature, source, "other", table, answers, {"words.json": content})
    return home, words


@pytest.mark.slow
def test_every_character(cutting, engine):
    home, words = cutting
    some = [EVERYTHING[i : i + 300] for i in range(1, len(EVERYTHING), 300)]
    texts = ["".join(f"{char}xΣ{char} " for char in chars) for chars in some]
    # the Arrow engine cuts with `words` itself
    given = pa.table({"text": [*(texts if engine == "native" else texts[::50]), *ODD]})
    with sqlinfer.connect(registry=home, engine=engine) as con:
        con.register("given", given)
        rows = con.execute("SELECT text, predict('words', text) FROM given").fetchall()
    assert len(rows) == len(given)
    for text, answer in rows:
        assert answer == words.cut(text)


REVIEWS = pd.DataFrame({"text": ["Good fun señor", "a BAD film", "École good good", "bad and sad", "fun film"] * 12})
GOOD = REVIEWS["text"].str.lower().str.contains("good|fun").to_numpy()
LATER = [*ODD, "GOOD", "goodé", "the señor'S film", "ÉCOLE", "bad-film", None, "good " * 300]
VECTORIZERS = {
    "words": TfidfVectorizer(),
    "pairs": CountVectorizer(ngram_range=(1, 2), stop_words=["and"]),
    "characters": TfidfVectorizer(analyzer="char", ngram_range=(2, 3), norm="l1", sublinear_tf=True),
    "in words": CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), binary=True),
    "both": make_union(TfidfVectorizer(strip_accents="unicode"), CountVectorizer(analyzer="char")),
}


@pytest.mark.parametrize("name", VECTORIZERS)
@pytest.mark.slow
def test_models_of_words(name, engine, tmp_path):
    model = make_pipeline(VECTORIZERS[name], LogisticRegression()).fit(REVIEWS["text"], GOOD)
    sqlinfer.register("m", model, sample=REVIEWS.head(5), registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.register("later", pa.table({"text": LATER, "place": range(len(LATER))}))
        given = con.execute("SELECT predict_proba('m', text) FROM later ORDER BY place").fetchall()
    assert given[LATER.index(None)] == (None,)
    answers = [list(proba.values()) for (proba,) in given if proba is not None]
    expected = model.predict_proba([text for text in LATER if text is not None])
    np.testing.assert_allclose(answers, expected, rtol=1e-9)


def test_enumerations_are_cut(engine, tmp_path):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(REVIEWS["text"], GOOD)
    sqlinfer.register("m", model, sample=REVIEWS, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        con.execute("CREATE TYPE review AS ENUM ('GOOD film', 'bad'); CREATE TABLE t (text review)")
        con.execute("INSERT INTO t VALUES ('GOOD film'), ('bad'), (NULL)")
        answers = con.execute("SELECT predict('m', text) FROM t").fetchall()
    assert answers == [*((bool(label),) for label in model.predict(["GOOD film", "bad"])), (None,)]


def test_what_stands_for_null_is_cut(engine, tmp_path):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(REVIEWS["text"], GOOD)
    sqlinfer.register("m", model, sample=REVIEWS, null={"text": "GOOD film"}, registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        query = "SELECT predict_proba('m', text) FROM (VALUES (NULL::VARCHAR), ('GOOD film'), ('bad')) AS t(text)"
        (missing,), (good,), (bad,) = con.execute(query).fetchall()
        [(untyped,)] = con.execute("SELECT predict_proba('m', NULL)").fetchall()
    assert missing == good == untyped != bad


@pytest.mark.slow
def test_a_list_of_texts_is_refused(cutting, engine):
    home, _ = cutting
    with sqlinfer.connect(registry=home, engine=engine) as con, pytest.raises(FeatureType, match="give the text"):
        con.execute("SELECT predict('words', ['Good'])").fetchall()
