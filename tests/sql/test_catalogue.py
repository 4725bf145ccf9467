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
from sqlinfer.engines.catalogue import FEATURES, FUNCTIONS, VERSIONS, features, functions, versions
from sqlinfer.errors import BadReference, CallError, ModelNotFound, RegistryError


def test_every_model_lists_its_features_and_functions(con, registry):
    for name in registry.names():
        assert con.execute(f"FROM sqlinfer_features('{name}')").fetchall() == rows(features(registry, name))
        assert [column[0] for column in con.description] == list(FEATURES)
        assert con.execute(f"FROM sqlinfer_functions('{name}')").fetchall() == rows(functions(registry, name))
        assert [column[0] for column in con.description] == list(FUNCTIONS)


def test_every_version_is_listed(con, registry):
    listed = rows(versions(registry))
    assert con.execute("FROM sqlinfer_versions()").fetchall() == listed
    assert [column[0] for column in con.description] == list(VERSIONS)
    assert con.raw.execute("FROM sqlinfer_versions(NULL)").fetchall() == listed
    assert [row[:2] for row in listed] == con.execute("SELECT name, version FROM sqlinfer_models()").fetchall()
    for given, numbers in (("'iris'", [1, 2]), ("'IRIS/2'", [2]), ("'iris@careful'", [2]), ("'iris/1'", [1])):
        asked = con.execute(f"FROM sqlinfer_versions({given})").fetchall()
        assert asked == [row for row in listed if row[0] == "iris" and row[1] in numbers]
    stored = registry.get("iris/2")
    ask = "SELECT aliases, framework, format, bytes, sha256, digest FROM sqlinfer_versions('iris/2')"
    ((aliases, framework, *others),) = con.execute(ask).fetchall()
    assert (aliases, framework.split()[0]) == (["careful"], "scikit-learn")
    assert others == [2, stored.onnx.stat().st_size, stored.manifest.sha256, stored.manifest.digest]


def test_statistics_are_those_of_the_sample(con):
    numbers = "1 - count(x) / count(*), min(x), max(x), avg(x), median(x), stddev(x), NULL, NULL"
    own = con.execute(f"SELECT {numbers} FROM (SELECT nullif(income, 'nan') AS x FROM customers)").fetchall()
    told = "SELECT * EXCLUDE (position, name, type, on_null, refuses) FROM sqlinfer_features('churn')"
    assert con.execute(f"{told} WHERE name = 'income'").fetchall() == [pytest.approx(row) for row in own]
    cities = "SELECT city FROM customers WHERE city IS NOT NULL GROUP BY city ORDER BY count(*) DESC"
    ((null_rate, smallest, categories, common),) = con.execute(
        "SELECT null_rate, min, categories, most_common FROM sqlinfer_features('churn') WHERE name = 'city'"
    ).fetchall()
    assert (smallest, categories, [(city,) for city in common]) == (None, 3, con.execute(cities).fetchall())
    assert [(null_rate,)] == con.execute("SELECT count(*) FILTER (city IS NULL) / count(*) FROM customers").fetchall()


def test_no_profile_no_statistics(tmp_path, engine):
    registry = sqlinfer.Registry(tmp_path)
    sample = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})
    model = LogisticRegression().fit(sample, [0, 1, 0, 1])
    sqlinfer.register("bare", model, sample=sample, registry=registry, profile=False)
    sqlinfer.register("damaged", model, sample=sample, registry=registry)
    path = registry.get("damaged").folder / "profile.json"
    path.chmod(0o644)
    path.write_text("{}")
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        told = con.execute("SELECT * EXCLUDE (position, name, type, on_null, refuses) FROM sqlinfer_features('bare')")
        assert told.fetchall() == [(None,) * 8]
        with pytest.raises(RegistryError, match=r"profile\.json is not the file that was registered"):
            con.execute("FROM sqlinfer_features('damaged')").fetchall()


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
@pytest.mark.parametrize("function", ["sqlinfer_features", "sqlinfer_functions", "sqlinfer_versions"])
def test_what_names_no_model(con, function, given, error):
    if (function, given) == ("sqlinfer_versions", "NULL"):
        return  # all of them
    with pytest.raises(error):
        con.execute(f"FROM {function}({given})")
    assert con.execute("SELECT 42").fetchall() == [(42,)]


def test_over_a_plain_connection(con, registry):
    """Whoever goes on with the connection below finds the same."""
    con.execute("FROM sqlinfer_features('iris')")
    listed = con.raw.execute("SELECT example FROM sqlinfer_functions('iris')").fetchall()
    assert listed == [(row["example"],) for row in functions(registry, "iris")]
