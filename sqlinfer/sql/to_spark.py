"""A query of DuckDB's as Spark has it, or why not.

sqlglot writes what it has read in the words of another database, whether it means the same there or not. So there is a
table here of what does, and the rest is an error that names the piece. Where the two differ for values of some types
alone, and the text does not tell which these are, Spark is asked for the type: ``typeof(x)`` is a constant to it, which
costs no row anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlinfer.errors import CallError
from sqlinfer.models.calls import CALLS
from sqlinfer.sql.notation import DUCKDB, SPARK
from sqlinfer.sql.statements import ordinary_trees

__all__ = ["to_spark"]

_PREDICT = "predict__"
_CALLS = {_PREDICT, *CALLS}

# What means the same in both.
_SAME = (
    *(exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Order, exp.Limit, exp.Offset, exp.Join),
    *(exp.Subquery, exp.TableAlias, exp.CTE, exp.Union, exp.Intersect, exp.Except, exp.Values, exp.Tuple, exp.Exists),
    *(exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Alias, exp.Paren, exp.Dot, exp.Var),
    *(exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.Between),
    *(exp.NullSafeEQ, exp.NullSafeNEQ, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Add, exp.Sub, exp.Mul, exp.Neg),
    *(exp.Count, exp.Sum, exp.Min, exp.Max, exp.Filter, exp.Window, exp.WindowSpec, exp.RowNumber, exp.Rank, exp.Lag),
    *(exp.Lead, exp.Struct, exp.PropertyEQ, exp.Kwarg, exp.Array, exp.DPipe, exp.Abs, exp.Sqrt),
    *(exp.Year, exp.Month, exp.Day, exp.DataType, exp.DataTypeParam, exp.DenseRank),
)
_TYPE = exp.DataType.Type
_INTEGERS = {_TYPE[name] for name in ("TINYINT", "SMALLINT", "INT", "BIGINT")}
_TEXTS = {_TYPE.VARCHAR, _TYPE.TEXT}
_KINDS = {_TYPE.DOUBLE: "double", _TYPE.BOOLEAN: "boolean"} | dict.fromkeys(_INTEGERS, "integer")
_KINDS |= dict.fromkeys(_TEXTS, "text")
_COMPARING: tuple[Any, ...] = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
_COMPARING += (exp.NullSafeEQ, exp.NullSafeNEQ)
_BOOLEANS = (*_COMPARING, exp.And, exp.Or, exp.Not, exp.Is, exp.Like, exp.Exists, exp.Boolean)
# What puts values of several types together.
_MIXING = (*_COMPARING, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Coalesce, exp.Nullif, exp.If, exp.Case)


def to_spark(sql: str) -> str:
    """``predict(…)`` and its like are as they were, in Spark's notation. Raises CallError."""
    trees = ordinary_trees(sql, DUCKDB)
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise CallError(
            "translate() takes one query of DuckDB's that sqlglot can read: a SELECT, or what is made of it"
        )
    (tree,) = trees
    for node in list(tree.walk()):
        _require(node)
    for node in reversed(list(tree.walk(bfs=True))):  # what is inside another first
        node.replace(_changed(node))
    how = {"unsupported_level": sqlglot.ErrorLevel.RAISE, "normalize_functions": False, "comments": False}
    try:
        text = tree.sql(dialect="spark", **how)
    except SqlglotError as error:
        raise CallError(f"Spark has nothing like a piece of this query: {error}") from error
    return cast("str", text)


def _require(node: Any) -> None:
    """Raises CallError for what is not in the table."""
    rule = _RULES.get(type(node))
    if rule is not None:
        why = rule(node)
    elif isinstance(node, exp.Anonymous):
        why = None if node.name.lower().removeprefix("predict_") and _is_call(node) else _UNKNOWN
    elif isinstance(node, _SAME):
        why = _why_not(node)
    else:
        why = _UNKNOWN
    if why is not None:
        raise CallError(f"{_shown(node)} is not translated for Spark: {why}")


_UNKNOWN = "what it means there is not known to be the same"


def _why_not(node: Any) -> str | None:
    """Of kinds of nodes that have forms which one of the two has alone."""
    others = {
        exp.With: ("recursive",),
        exp.Join: ("match_condition", "using_all"),
        exp.Select: ("kind", "hint", "into", "sample", "match"),
        exp.Order: ("siblings",),
        exp.Union: ("by_name",),
    }.get(type(node), ())
    odd = next((name for name in others if node.args.get(name)), None)
    if odd is not None:
        return f"{odd} is not"
    if isinstance(node, exp.Join) and (node.method or "").upper() in ("ASOF", "POSITIONAL", "NATURAL"):
        return f"Spark has no {node.method.upper()} JOIN"
    if isinstance(node, exp.Limit) and not isinstance(node.expression, exp.Literal):
        return "its number has to be a constant"
    return None


def _is_call(node: Any) -> bool:
    name = node.name.lower()
    return name in _CALLS or name.startswith(("predict_", "infer_"))


def _shown(node: Any) -> str:
    text = node.sql(dialect="duckdb", comments=False).replace(_PREDICT, "predict")
    return text if len(text) <= 80 else f"{text[:79]}…"


def _table(node: Any) -> str | None:
    if isinstance(node.this, exp.ReadParquet):
        return None if len(node.this.expressions) == 1 else "one file at a time"
    if not isinstance(node.this, exp.Identifier):
        return "Spark has other functions of tables"
    if node.args.get("sample") or node.args.get("pivots"):
        return _UNKNOWN
    name = node.name.lower()
    is_file = node.this.args.get("quoted") and "." in name and not node.db
    return "name a table, or read_parquet('…')" if is_file and not name.endswith(".parquet") else None


def _cast(node: Any) -> str | None:
    to = node.to.this
    if node.args.get("format") or node.to.expressions:
        return "the two round DECIMALs by other rules"
    if to in (_TYPE.DATE, _TYPE.TIMESTAMP, _TYPE.BOOLEAN):
        return None if isinstance(node.this, exp.Literal) else _UNKNOWN
    return None if to in _KINDS or to == _TYPE.FLOAT else _UNKNOWN


def _round(node: Any) -> str | None:
    if node.args.get("decimals") is not None and _kind(node.this) == "double":
        return "DuckDB rounds the number that a DOUBLE is, and Spark the text that shows it"
    return None


def _bracket(node: Any) -> str | None:
    (key,) = node.expressions if len(node.expressions) == 1 else (None,)
    if isinstance(key, exp.Boolean) or (isinstance(key, exp.Literal) and key.is_string):
        return None
    place = _place(key)
    return None if place else "the index has to be a constant, and begins at 1"


def _place(key: Any) -> int | None:
    """What the user wrote: sqlglot counts from 0."""
    negative = isinstance(key, exp.Neg)
    literal = key.this if negative else key
    if not isinstance(literal, exp.Literal) or literal.is_string or not literal.name.lstrip("-").isdigit():
        return None
    return (-int(literal.name) if negative else int(literal.name)) + 1


def _like(node: Any) -> str | None:
    pattern = node.expression
    is_plain = isinstance(pattern, exp.Literal) and "\\" not in pattern.name
    return (
        None if is_plain else "a backslash in a pattern is an escape in Spark, so it has to be a constant without one"
    )


def _in(node: Any) -> str | None:
    return None if not node.args.get("unnest") and not node.args.get("field") else _UNKNOWN


def _distinct(node: Any) -> str | None:
    if node.args.get("on"):
        return "Spark has no DISTINCT ON: write it with row_number()"
    return None if not isinstance(node.parent, exp.Count) or len(node.expressions) == 1 else "Spark counts no rows so"


def _star(node: Any) -> str | None:
    others = [name for name in ("replace", "rename") if node.args.get(name)]
    if others:
        return f"Spark has no * {others[0].upper()}"
    joins = node.parent.args.get("joins") or [] if isinstance(node.parent, exp.Select) else []
    if any(join.args.get("using") for join in joins):
        return "Spark puts the columns of USING before the others: name the columns"
    return None


def _none(node: Any) -> None:
    return None


_RULES: dict[type[Any], Callable[[Any], str | None]] = {
    exp.Table: _table,
    exp.ReadParquet: _none,
    exp.Cast: _cast,
    exp.Round: _round,
    exp.Bracket: _bracket,
    exp.Like: _like,
    exp.In: _in,
    exp.Distinct: _distinct,
    exp.Star: _star,
    exp.Div: _none,
    exp.Mod: _none,
    exp.Avg: _none,
    exp.With: lambda node: "Spark 4.1 has it, and other rules for it" if node.recursive else None,
    exp.Ordered: _none,
    exp.IntDiv: lambda node: "Spark's DIV answers a BIGINT, whatever it divides",
    exp.Floor: lambda node: "Spark answers a BIGINT, also for NaN and infinities",
    exp.Ceil: lambda node: "Spark answers a BIGINT, also for NaN and infinities",
    exp.Lower: lambda node: "letters such as 'İ' become others there",
    exp.Upper: lambda node: "letters such as 'ß' become others there",
    exp.ILike: lambda node: "letters such as 'İ' are others there: write LIKE",
    exp.Qualify: lambda node: "write it as a WHERE around a subquery",
    exp.Try: lambda node: None if isinstance(node.this, exp.Anonymous) else "Spark has no TRY() but that of predict()",
}


def _kind(node: Any) -> str | None:
    """integer, boolean, text or double, where that is certain from the text."""
    if isinstance(node, (exp.Paren, exp.Filter, exp.Neg)):
        return _kind(node.this)
    if isinstance(node, _BOOLEANS):
        return "boolean"
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "integer" if node.name.isdigit() else None
    if isinstance(node, (exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Year, exp.Month, exp.Day)):
        return "integer"
    if isinstance(node, (exp.Avg, exp.Div, exp.Sqrt)):
        return "double"
    if isinstance(node, exp.Cast):
        return _KINDS.get(node.to.this)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        kinds = {_kind(node.left), _kind(node.right)}
        return "double" if "double" in kinds else "integer" if kinds == {"integer"} else None
    return None


def _changed(node: Any) -> Any:
    """A piece as it means the same on Spark; what is inside it is that already."""
    if isinstance(node, exp.Anonymous):
        node.set("this", "predict" if node.name.lower() == _PREDICT else node.this)
        node.set("expressions", list(_arguments(node)))
    elif isinstance(node, _MIXING):
        _guard_floats(node)
    elif isinstance(node, exp.Try):
        return exp.Anonymous(this="TRY", expressions=[node.this])
    elif isinstance(node, exp.Div):
        left, right = (_double(_without_floats(side)) for side in (node.left, node.right))
        return exp.Div(this=left, expression=right, typed=False, safe=False)
    elif isinstance(node, exp.Avg):
        node.set("this", _averaged(node.this))
    elif isinstance(node, exp.Round) and node.args.get("decimals") is not None:
        return _unless(f"{_of(node.this)} IN ('float', 'double')", "DuckDB rounds a DOUBLE to digits otherwise", node)
    elif isinstance(node, exp.Cast):
        return _changed_cast(node)
    elif isinstance(node, exp.DPipe):
        for side in ("this", "expression"):
            node.set(side, _as_text(node.args[side]))
    elif isinstance(node, exp.Bracket):
        place = _place(node.expressions[0])
        if place is not None:
            key = exp.Literal.number(place) if place > 0 else exp.Neg(this=exp.Literal.number(-place))
            return exp.Anonymous(this="try_element_at", expressions=[node.this, key])
    elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and node.name.endswith(".parquet"):
        node.set("db", exp.to_identifier("parquet"))
    return node


def _guard_floats(node: Any) -> None:
    """DuckDB makes FLOATs of the INTEGERs and DECIMALs that a FLOAT is put together with, and Spark DOUBLEs of both."""
    values = list(_values(node))
    for value in values:
        others = [other for other in values if other is not value]
        if any(map(_may_be_number, others)):
            value.replace(_without_floats(value.copy()))


def _values(node: Any) -> Iterator[Any]:
    if isinstance(node, exp.Case):
        whens = [when.args["true"] for when in node.args["ifs"]]
        yield from (value for value in (*whens, node.args.get("default")) if value is not None)
    elif isinstance(node, exp.If):
        if not isinstance(node.parent, exp.Case):
            yield from (value for value in (node.args["true"], node.args.get("false")) if value is not None)
    else:
        yield from (value for value in node.iter_expressions() if isinstance(value, exp.Expression))


def _may_be_number(value: Any) -> bool:
    """Of what is beside a FLOAT, whether it may be a number that is none, or the text of one."""
    if isinstance(value, exp.Literal) and value.is_string:
        return re.fullmatch(r"\s*[-+.\d].*|\s*(nan|inf\w*)\s*", value.name, re.IGNORECASE) is not None
    return not isinstance(value, exp.Null) and _kind(value) not in ("boolean", "text", "double")


def _without_floats(value: Any) -> Any:
    if _kind(value) is not None or isinstance(value, (exp.Literal, exp.Null, exp.Query)):
        return value
    return _unless(f"{_of(value)} = 'float'", "DuckDB computes FLOATs otherwise: cast it to DOUBLE", value)


def _as_text(value: Any) -> Any:
    if _kind(value) in ("text", "integer", "boolean"):
        return value
    same = "'string', 'boolean', 'tinyint', 'smallint', 'int', 'bigint', 'date', 'void'"
    return _unless(f"{_of(value)} NOT IN ({same})", "DuckDB writes this type as another text", value)


def _changed_cast(node: Any) -> Any:
    to = node.to.this
    if to in _TEXTS:
        node.set("this", _as_text(node.this))
    elif to in _INTEGERS and _kind(node.this) not in ("integer", "boolean"):
        # DuckDB rounds what is no whole number, and Spark cuts it off
        name, value = node.to.sql(dialect="spark"), _written(node.this)
        return exp.maybe_parse(
            f"CASE WHEN {_of(node.this)} IN ('float', 'double') THEN CAST(rint(CAST({value} AS DOUBLE)) AS {name}) "
            f"WHEN {_of(node.this)} LIKE 'decimal%' THEN CAST(round(CAST({value} AS DECIMAL(38, 10))) AS {name}) "
            f"ELSE CAST({value} AS {name}) END",
            dialect="spark",
        )
    return node


def _written(value: Any) -> str:
    return cast("str", value.sql(dialect="spark", normalize_functions=False, comments=False))


def _of(value: Any) -> str:
    return f"typeof({_written(value)})"


def _unless(condition: str, why: str, value: Any) -> Any:
    """A value, or an error for those of some types."""
    said = SPARK.text(f"sqlinfer: {_shown(value)} is not what it is on DuckDB: {why}")
    return exp.maybe_parse(f"IF({condition}, raise_error({said}), {_written(value)})", dialect="spark")


def _averaged(node: Any) -> Any:
    if isinstance(node, exp.Distinct):
        return exp.Distinct(expressions=[_averaged(one) for one in node.expressions])
    if _kind(node) is None:
        node = _unless(f"{_of(node)} LIKE 'decimal%'", "DuckDB averages a DECIMAL otherwise: cast it to DOUBLE", node)
    return _double(node)


def _double(node: Any) -> Any:
    return exp.cast(node, "DOUBLE")


def _arguments(node: Any) -> Iterator[Any]:
    for argument in node.expressions:
        if isinstance(argument, exp.PropertyEQ):
            yield exp.Kwarg(this=exp.Var(this=_written(argument.this)), expression=argument.expression)
        else:
            yield argument
