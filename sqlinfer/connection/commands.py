"""What statements on models do, and the SQL of the table that they answer with.

They change the registry, which is no part of DuckDB's transactions: what was done stays done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from sqlinfer.engines.catalogue import MODELS, row
from sqlinfer.errors import (
    BadReference,
    FeatureError,
    OptionError,
    SqlinferError,
    StatementError,
    UntrustedModel,
    underline,
)
from sqlinfer.models.reference import DEFAULT, Reference, is_name
from sqlinfer.models.registry import Registry
from sqlinfer.models.signature import quoted
from sqlinfer.sql.commands import (
    Command,
    CreateModel,
    DescribeModel,
    DropAlias,
    DropModel,
    ExportModel,
    ModelName,
    ModelOption,
    RenameModel,
    SetAlias,
    ShowModels,
    Value,
)
from sqlinfer.sql.excerpts import in_the_users_text
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.options import option_value

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Performer", "perform"]

# As `sqlinfer list` has them.
_LISTED = {name: type for name, type in MODELS.items() if name not in ("features", "classes", "sha256")}
_DESCRIBED = {"name": "VARCHAR", "type": "VARCHAR", "null": "VARCHAR", "role": "VARCHAR"}
_DROPPED = {"name": "VARCHAR", "version": "BIGINT"}
_EXPORTED = {"name": "VARCHAR", "version": "BIGINT", "file": "VARCHAR"}
_FILES = ("sample", "tokenizer", "preprocessor")
_ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")
# What errors say to do is said for the command line and Python; here are statements.
_IN_SQL = (
    (r"--[a-z][a-z-]*[^()]{0,200}? \(([a-z_]+=[^()]*(?:\([^()]*\)[^()]*)*)\)", r"\1"),
    (r"\(--[a-z-]+, ([a-z_]+=[^()]*)\)", r"(\1)"),
    (r"sqlinfer alias (\w+) default (\w+)", r"ALTER MODEL \1 SET DEFAULT = \2"),
    (r"sqlinfer alias (\w+) (\w+) (\w+)", r"ALTER MODEL \1 SET ALIAS \2 = \3"),
    (r"'sqlinfer alias --drop'", "ALTER MODEL churn DROP ALIAS"),
    (r"'sqlinfer register NAME FILE'", "CREATE MODEL name FROM 'file.onnx'"),
)
_TO_TRUST = "open the connection with sqlinfer.connect(trust=True), or run sqlinfer query --trust"


class Performer(NamedTuple):
    """What a connection has for its statements. ``rows``: the rows of a query; ``has_table``: whether SHOW finds a
    table of that name."""

    registry: Registry
    trust: bool
    rows: Callable[[str], pa.Table]
    has_table: Callable[[str], bool]


def perform(command: Command, sql: str, parameters: Any, by: Performer) -> str | None:
    """Do what the statement says, and give the SQL that answers what it answers; None where it is one of DuckDB's own
    after all. ``sql``: the text that it stands in. Raises SqlinferError, underlined."""
    match command:
        case CreateModel():
            return _create(command, sql, parameters, by)
        case DropModel():
            return _drop(command, sql, by.registry)
        case SetAlias() | DropAlias() | RenameModel():
            return _alter(command, sql, parameters, by.registry)
        case ShowModels():
            return _show(command, sql, parameters, by)
        case DescribeModel():
            return _describe(command, sql, by.registry)
        case ExportModel():
            return _export(command, sql, parameters, by.registry)


def _create(command: CreateModel, sql: str, parameters: Any, by: Performer) -> str:
    name, store = command.model.reference.name, by.registry
    if command.if_not_exists and store.versions(name):
        return _table(_LISTED, [])
    if not is_name(name):
        raise BadReference.reserved(name).at(sql, command.model.start, command.model.end)
    path = _path(command.path, sql, parameters)
    if command.kind is not None:
        _require_kind(command.kind, path, sql, parameters)
    options = {option.name: _option(option, sql, parameters, by) for option in command.options}
    if command.or_replace:
        options["promote"] = True
    # it brings onnx and more, which queries do without
    from sqlinfer.registration.register import register

    with _blaming(sql, command):
        model = register(name, path, registry=store, trust=by.trust, **options)
    return _listed(store, name, model.version)


@contextmanager
def _blaming(sql: str, command: CreateModel) -> Iterator[None]:
    """Errors in SQL's words; below the option that they name, or below the model's path."""
    try:
        yield
    except UntrustedModel as error:
        said = str(error).partition(" If you trust")[0]
        raise UntrustedModel(f"{said} If you trust who wrote it, {_TO_TRUST}").at(sql, *_span(command.path)) from error
    except (SqlinferError, OSError, ValueError) as error:
        said = str(error)
        options = command.options if isinstance(error, (OptionError, FeatureError, ValueError)) else ()
        named = next((option for option in options if _is_named(option, said)), None)
        kind = type(error) if isinstance(error, SqlinferError) else StatementError
        raise kind(_in_sql(said)).at(sql, *_span(named or command.path)) from error


def _is_named(option: ModelOption, said: str) -> bool:
    file = option.value.content if option.name in _FILES else None
    return bool(re.search(rf"(?<!\w){option.name}\b", said)) or (isinstance(file, str) and file in said)


def _span(part: Value | ModelOption | ModelName) -> tuple[int, int]:
    return part.start, part.end


def _in_sql(message: str) -> str:
    for pattern, statement in _IN_SQL:
        message = re.sub(pattern, statement, message)
    return message


@contextmanager
def _at(sql: str, part: Value | ModelOption | ModelName) -> Iterator[None]:
    try:
        yield
    except SqlinferError as error:
        error.args = (_in_sql(str(error.args[0])),)
        raise error.at(sql, *_span(part)) from error.__cause__


def _path(value: Value, sql: str, parameters: Any) -> Path:
    given = value.bound(sql, parameters)
    with _at(sql, value):
        if not isinstance(given, str) or not given.strip():
            raise StatementError("the path of a file or folder stands here, in quotes")
        if _ADDRESS.match(given):
            raise StatementError(f"{given} is an address, and nothing is fetched: copy it here, and give that path")
    return Path(given).expanduser()


def _require_kind(kind: ModelOption, path: Path, sql: str, parameters: Any) -> None:
    """What BigQuery asks for beside the path has to be true."""
    given = str(kind.value.bound(sql, parameters)).upper()
    with _at(sql, kind):
        if given not in ("ONNX", "XGBOOST"):
            raise StatementError(
                f"model_type {given} is none that is imported: 'ONNX' and 'XGBOOST' are, and all that CREATE MODEL "
                "churn FROM 'file' takes; models are trained in Python, and converted to ONNX or saved there"
            )
        if path.is_file() and (path.suffix.lower() == ".onnx") != (given == "ONNX"):
            raise StatementError(f"{path} is no file of {given}; leave model_type out, and it is found out")


def _option(option: ModelOption, sql: str, parameters: Any, by: Performer) -> Any:
    value, name = option.value, option.name
    if name == "sample" and value.kind in ("query", "word"):
        return _rows(value, sql, by)
    with _at(sql, option):
        if value.kind == "query":
            raise StatementError(f"a query gives rows, and {name} takes none; only sample is one")
        found = option_value(name, value.bound(sql, parameters))
        if name in _FILES:
            return str(Path(found).expanduser())
        if name == "labels" and isinstance(found, str):
            file = Path(found).expanduser()
            return str(file) if file.is_file() else [label.strip() for label in found.split(",")]
    return found


def _rows(value: Value, sql: str, by: Performer) -> Any:
    query = value.content if value.kind == "query" else f"FROM {sql[value.start : value.end]}"
    # errors tell its place in the statement
    start = value.start + 1 if value.kind == "query" else value.start
    line = sql.rfind("\n", 0, start) + 1
    before = " " * max(start - line - len("FROM ") * (value.kind == "word"), 0)
    try:
        rows = by.rows("\n" * sql.count("\n", 0, start) + before + query)
    except duckdb.Error as error:
        said = in_the_users_text(str(error), sql)
        shown = said if "\nLINE " in said else f"{said}\n\n{underline(sql, value.start, value.end)}"
        raise type(error)(shown) from None
    if not rows.num_rows:
        raise FeatureError("the sample has no rows: they name and type the features, and prove the model").at(
            sql, value.start, value.end
        )
    return rows


def _drop(command: DropModel, sql: str, store: Registry) -> str:
    asked = command.model.reference
    versions = store.versions(asked.name) if asked.version is None else [asked.version]
    if command.if_exists and not set(versions) & set(store.versions(asked.name)):
        return _table(_DROPPED, [])
    with _at(sql, command.model):
        if "@" in sql[command.model.start : command.model.end]:  # `default`, too: its name alone means all versions
            version = f"{asked.name}/{(versions or [3])[-1]}"
            raise BadReference(
                f"{asked.name}@{asked.alias} is an alias: DROP MODEL {version} drops a version, "
                f"ALTER MODEL {asked.name} DROP ALIAS {asked.alias} the alias"
            )
        store.remove(asked)
    return _table(_DROPPED, [(asked.name, version) for version in versions])


def _alter(command: SetAlias | DropAlias | RenameModel, sql: str, parameters: Any, store: Registry) -> str:
    name = command.model.reference.name
    if command.if_exists and not store.versions(name):
        return _table(_LISTED, [])
    if isinstance(command, RenameModel):
        new = command.new.reference.name
        with _at(sql, command.new if store.versions(name) else command.model):
            store.rename(name, new)
        return _listed(store, new)
    alias = command.alias.reference.name
    if isinstance(command, DropAlias):
        with _at(sql, command.alias if store.versions(name) else command.model):
            if alias == DEFAULT:
                raise StatementError(
                    f"default is what {name} means; let it mean another version: ALTER MODEL {name} SET DEFAULT = …"
                )
            store.drop_alias(name, alias)
        return _listed(store, name)
    version = command.version.bound(sql, parameters)
    with _at(sql, command.version if store.versions(name) else command.model):
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise StatementError(f"the number of a version stands here, such as 3, not {literal(version)[:40]}")
        store.alias(name, alias, version)
    return _listed(store, name)


def _show(command: ShowModels, sql: str, parameters: Any, by: Performer) -> str | None:
    columns = ", ".join(_LISTED)
    if command.pattern is None:
        if by.has_table("models"):
            return None
        return f"SELECT {columns} FROM sqlinfer_models() ORDER BY name, version"
    pattern = command.pattern.bound(sql, parameters)
    with _at(sql, command.pattern):
        if not isinstance(pattern, str):
            raise StatementError("a pattern in quotes stands here: SHOW MODELS LIKE 'churn%'")
    # names are lower case, and match whatever the case
    like = f"name ILIKE {text_literal(pattern)}"
    return f"SELECT {columns} FROM sqlinfer_models() WHERE {like} ORDER BY name, version"


def _describe(command: DescribeModel, sql: str, store: Registry) -> str:
    with _at(sql, command.model):
        signature = store.get(command.model.reference).manifest.signature
    features = [(f.name, f.type, str(f.null), "feature") for f in signature.features]
    return _table(_DESCRIBED, [*features, *((call, how.type, None, "call") for call, how in signature.calls.items())])


def _export(command: ExportModel, sql: str, parameters: Any, store: Registry) -> str:
    with _at(sql, command.model):
        found = store.get(command.model.reference)
    folder = _path(command.folder, sql, parameters)
    with _at(sql, command.folder):
        written = store.export(Reference(found.manifest.name, found.manifest.version), folder)
    files = sorted(path.name for path in written.folder.iterdir())
    return _table(_EXPORTED, [(found.manifest.name, found.manifest.version, str(folder / file)) for file in files])


def _listed(store: Registry, name: str, version: int | None = None) -> str:
    models = [store.get(Reference(name, v)) for v in ([version] if version else store.versions(name))]
    found = [row(store, model) for model in models]
    return _table(_LISTED, [tuple(one[column] for column in _LISTED) for one in found])


def _table(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> str:
    """A query that answers these rows, whatever is in the database."""
    names = ", ".join(map(quoted, columns))
    kinds = [f"CAST({{}} AS {type})" for type in columns.values()]
    values = ", ".join(
        "(" + ", ".join(kind.format(literal(value)) for kind, value in zip(kinds, row, strict=True)) + ")"
        for row in rows or [[None] * len(columns)]
    )
    return f"SELECT * FROM (VALUES {values}) t({names}){'' if rows else ' WHERE false'}"
