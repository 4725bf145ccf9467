"""What SQL lists of models: on every engine the same, and every example runs as it stands."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer
from sqlinfer.engines.catalogue import FEATURES, FUNCTIONS, features, functions
from sqlinfer.errors import BadReference, CallError, ModelNotFound


def test_every_model_lists_its_features_and_functions(con, registry):
    for name in registry.names():
        assert con.execute(f"FROM sqlinfer_features('{name}')").fetchall() == rows(features(registry, name))
        assert [column[0] for column in con.description] == list(FEATURES)
        assert con.execute(f"FROM sqlinfer_functions('{name}')").fetchall() == rows(functions(registry, name))
        assert [column[0] for column in con.description] == list(FUNCTIONS)


def rows(records):
    return [tuple(record.values()) for record in records]


def test_every_example_answers_as_the_original_did(con, registry):
    for name in registry.names():
        proof = registry.get(name).manifest.proof
        place = next((i for i, row in enumerate(proof.rows) if None not in row), 0)
        for call, _, type, example in con.execute(f"FROM sqlinfer_functions('{name}')").fetchall():
            ((answer, answered),) = con.execute(f"SELECT a, typeof(a) FROM ({example} AS a)").fetchall()
            assert answered.replace('"', "") == type.replace('"', ""), (name, call)
            if call == "predict" and type in ("VARCHAR", "BIGINT", "BOOLEAN"):
                assert answer == proof.answers["predict"][place], (name, example)


@pytest.fixture
def odd(tmp_path, engine):
    """Names and values that SQL has to quote, a NULL in the first row, a guard, a value for NULL."""
    sample = pd.DataFrame({"it's": [None, 1.5, 2.0, 3.0], 'a "b"': ["x", "it's", "", "y"], "n": [1, 2, 3, 4]})
    registry = sqlinfer.Registry(tmp_path / "registry")
    steps = make_column_transformer((SimpleImputer(), ["it's", "n"]), (OneHotEncoder(), ['a "b"']))
    fitted = make_pipeline(steps, LogisticRegression()).fit(sample, [True, False, True, False])
    sqlinfer.register("odd", fitted, sample=sample, registry=registry)
    path = registry.get("odd").folder / "model.json"
    fields = json.loads(path.read_text())
    fields["features"][1]["guards"] = [{"refuse": "empty", "says": "it's nothing"}]
    fields["features"][2]["null"] = {"value": 7.5}
    path.write_text(json.dumps(fields))
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        yield con


def test_what_has_to_be_quoted(odd):
    listed = odd.execute("SELECT name, type, on_null FROM sqlinfer_features('odd')").fetchall()
    assert listed == [("it's", "DOUBLE", "nan"), ('a "b"', "VARCHAR", "null"), ("n", "DOUBLE", "7.5")]
    examples = odd.execute("SELECT call, type, example FROM sqlinfer_functions('ODD/1')").fetchall()
    assert examples[0] == (
        "predict",
        "BOOLEAN",
        """SELECT predict('odd/1', {'it''s': 1.5, 'a "b"': 'it''s', 'n': 2})""",
    )
    assert examples[2][1:] == (
        "DOUBLE",
        """SELECT predict_proba('odd/1', {'it''s': 1.5, 'a "b"': 'it''s', 'n': 2}, 'true')""",
    )
    assert all(len(odd.execute(example).fetchall()) == 1 for _, _, example in examples)
    assert odd.execute("SELECT classes FROM sqlinfer_models()").fetchall() == [(["false", "true"],)]
    refused = odd.execute("SELECT refuses FROM sqlinfer_features('odd')").fetchall()
    assert refused == [([],), (["empty: it's nothing"],), ([],)]


@pytest.mark.parametrize(
    ("given", "error"),
    [("'nope'", ModelNotFound), ("'iris/99'", ModelNotFound), ("NULL", CallError), ("'a b'", BadReference)],
)
@pytest.mark.parametrize("function", ["sqlinfer_features", "sqlinfer_functions"])
def test_what_names_no_model(con, function, given, error):
    with pytest.raises(error):
        con.execute(f"FROM {function}({given})")
    assert con.execute("SELECT 42").fetchall() == [(42,)]


def test_over_a_plain_connection(con, registry):
    """Whoever goes on with the connection below finds the same."""
    con.execute("FROM sqlinfer_features('iris')")
    listed = con.raw.execute("SELECT example FROM sqlinfer_functions('iris')").fetchall()
    assert listed == [(row["example"],) for row in functions(registry, "iris")]
