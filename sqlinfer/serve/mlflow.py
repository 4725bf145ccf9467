"""MLflow's scoring protocol: /invocations.

https://mlflow.org/docs/latest/deployment/deploy-model-locally: dataframe_split, dataframe_records, instances, inputs.
"""

from __future__ import annotations

import codecs
import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sqlinfer import types
from sqlinfer.errors import FeatureError, named
from sqlinfer.models.signature import Feature
from sqlinfer.serve.answers import dumps, is_finite, values
from sqlinfer.serve.bodies import read_json
from sqlinfer.serve.columns import from_base64, of_columns, of_positions, of_records, of_rows, one_batch
from sqlinfer.serve.errors import Refused
from sqlinfer.serve.models import Version

__all__ = ["FORMS", "PARAMETERS", "parameters_of", "read_csv", "read_document", "rows_of", "written"]

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
# What params, or the query, say beside rows.
PARAMETERS = ("model", "version", "call")


def read_document(body: bytes) -> dict[str, Any]:
    """An object that has rows in one of the forms. Raises Refused."""
    document = read_json(body)
    given = [form for form in FORMS if form in document] if isinstance(document, dict) else []
    if len(given) != 1:
        has = f"it has {named(given)}" if given else "it has none of them"
        raise Refused.malformed(f"the body is an object with one of {', '.join(FORMS)}; {has}")
    unknown = sorted(str(key)[:40] for key in document if key not in (*FORMS, "params"))
    if unknown:
        raise Refused.malformed(f"the body has {named(unknown, 8)}, which is not known; beside the rows it has params")
    found: dict[str, Any] = document
    return found


def parameters_of(document: dict[str, Any]) -> dict[str, str]:
    """Raises Refused for those that are not known: they may be meant to change the answers."""
    given = document.get("params")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused.malformed('"params" is an object')
    unknown = sorted(str(name)[:40] for name in given if name not in PARAMETERS)
    if unknown:
        raise Refused.malformed(f"no parameter {unknown[0]!r} is known; parameters: {', '.join(PARAMETERS)}")
    if any(isinstance(value, bool) or not isinstance(value, (str, int)) for value in given.values()):
        raise Refused.malformed('the values of "params" are texts')
    return {name: str(value) for name, value in given.items()}


def rows_of(version: Version, document: dict[str, Any]) -> pa.RecordBatch:
    """Raises Refused, FeatureError."""
    (form,) = (form for form in FORMS if form in document)
    model, signature, data = version.name, version.signature, document[form]
    if form == "dataframe_split":
        columns, rows = (data.get("columns"), data.get("data")) if isinstance(data, dict) else (None, None)
        if not isinstance(columns, list) or not isinstance(rows, list):
            raise Refused.malformed('dataframe_split is {"columns": [names], "data": [rows]}')
        return of_rows(model, signature, columns, rows)
    if form in ("inputs", "instances") and isinstance(data, dict):
        is_row = bool(data) and not any(isinstance(value, list) for value in data.values())
        return of_records(model, signature, [data]) if is_row else of_columns(model, signature, data)
    if not isinstance(data, list):
        raise Refused.malformed(f"{form} is a list of rows")
    if form == "dataframe_records" or any(isinstance(row, dict) for row in data):
        return of_records(model, signature, data)
    return of_positions(model, signature, data)


def read_csv(version: Version, body: bytes) -> pa.RecordBatch:
    """Rows under a line of names. A feature's type says how its column is read; an empty field is a NULL. Raises
    Refused, FeatureError."""
    features = {feature.name.lower(): feature for feature in version.signature.features}
    try:
        body.decode()
        content = body.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
        names = pa.csv.open_csv(io.BytesIO(content), parse_options=_PARSING).schema.names
        # as DuckDB reads them: a blank line is a row of one column, and no row of several
        parsing = _PARSING_ONE if len(names) == 1 else _PARSING
        kinds = {name: _csv_type(features.get(name.lower())) for name in names}
        how = pa.csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "True", "TRUE", "1"],
            false_values=["false", "False", "FALSE", "0"],
        )
        table = pa.csv.read_csv(io.BytesIO(content), parse_options=parsing, convert_options=how)
        _require_held(content, parsing, table)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise FeatureError(f"the body is no CSV of rows that the model takes: {str(error)[:300]}") from error
    for place, name in enumerate(table.column_names):
        feature = features.get(name.lower())
        if feature is not None and feature.type == "BLOB":
            column = from_base64(feature.name, table.column(place).to_pylist())
            table = table.set_column(place, name, column)
    return one_batch(table)


def _require_held(content: bytes, parsing: pa.csv.ParseOptions, table: pa.Table) -> None:
    """What is infinite is written so: Arrow reads 1e400 as infinity. Raises FeatureError."""
    places = [i for i, column in enumerate(table.columns) if not is_finite(column)]
    if not places:
        return
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(table.column_names, pa.string()))
    texts = pa.csv.read_csv(io.BytesIO(content), parse_options=parsing, convert_options=as_text)
    for place in places:
        infinite = texts.column(place).filter(pc.is_inf(table.column(place)))
        for text in infinite.unique().to_pylist():
            if any(letter.isdigit() for letter in text):
                raise FeatureError(
                    f"feature {table.column_names[place]!r}: {text[:40]} is no number that a double holds; write inf "
                    "if that is what you mean"
                )


_PARSING = pa.csv.ParseOptions(newlines_in_values=True)
_PARSING_ONE = pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def _csv_type(feature: Feature | None) -> pa.DataType:
    if feature is None or feature.type in ("VARCHAR", "BLOB"):
        return pa.string()
    if "[" in feature.type:
        raise FeatureError(f"feature {feature.name!r} is {feature.type}, which CSV has no form for; send JSON")
    # a decimal text is a DOUBLE, as in SQL's own reader
    arrow = types.arrow_type(feature.type)
    return pa.float64() if pa.types.is_floating(arrow) else arrow


def written(answers: pa.Array) -> bytes:
    return dumps({"predictions": values(answers)}, finite=is_finite(answers))
