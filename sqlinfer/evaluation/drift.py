"""How other rows are than the sample of a model: the extension's skew()."""

from __future__ import annotations

from typing import Any

from sqlinfer.connection import Connection
from sqlinfer.errors import CallError, SqlinferError
from sqlinfer.evaluation.source import described, rows_as_sql
from sqlinfer.models.registry import StoredModel
from sqlinfer.sql.literals import text_literal

__all__ = ["COLUMNS", "drifted"]

COLUMNS = ("feature", "metric", "threshold", "value", "is_anomaly", "null_rate", "new_categories")


def drifted(con: Connection, stored: StoredModel, data: Any) -> list[dict[str, Any]]:
    """A row for each feature, by `COLUMNS`. Raises CallError where there is nothing to compare."""
    manifest = stored.manifest
    if stored.profile is None:
        raise CallError(
            f"model {manifest.name!r} was registered without statistics of its sample, which its features are compared "
            "with: register it with a sample, and without --no-profile (profile=False)"
        )
    model = text_literal(f"{manifest.name}/{manifest.version}")
    with rows_as_sql(con, data) as rows:
        source = described(con, rows)
        try:
            found = con.execute(
                f"SELECT skew({model}, {source.alias}) FROM (\n{source.sql}\n) {source.alias}"
            ).fetchone()
        except SqlinferError as error:
            raise type(error)(*error.args) from None  # nobody has written the SQL that it points into
    if found is None or found[0] is None:
        raise CallError("there are no rows to compare")
    return list(found[0])
