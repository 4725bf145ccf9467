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
    *(exp.Subquery, exp.TableAlias, exp.CTE, exp.Union, exp.Values, exp.Tuple, exp.Exists),
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
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2}(\.\d{1,6})?)?")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?|nan|[-+]?inf(inity)?", re.IGNORECASE)
# Of Spark's types, by the names that typeof() has, those that are computed with, or put in order, as DuckDB's are.
_SMALL_DECIMALS = r"decimal[(]([0-9]|1[0-8]),[0-9]+[)]"
_EXACT = rf"void|int|bigint|double|{_SMALL_DECIMALS}"
_DIVIDED = r"void|tinyint|smallint|int|bigint|double|decimal.*"
_AVERAGED = "void|tinyint|smallint|int|bigint|double"
_SUMMED = f"void|tinyint|smallint|int|bigint|double|{_SMALL_DECIMALS}"
_IN_ORDER = f"{_SUMMED}|float|boolean|string|date|timestamp.*"
_BOOLEANS = (*_COMPARING, exp.And, exp.Or, exp.Not, exp.Is, exp.Like, exp.Exists, exp.Boolean)
# What computes with numbers, and what puts values of several types together.
_COMPUTING = (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Neg, exp.Abs, exp.Sqrt, exp.Sum)
_MIXING = (exp.Coalesce, exp.If, exp.Case, exp.Array)


def to_spark(sql: str) -> str:
    """``predict(…)`` and its like are as they were, in Spark's notation. Raises CallError."""
    if found := re.search(r"\$\w+|\$\{[^}]*\}?", sql):
        raise CallError(f"{found[0]} is not translated for Spark: it puts other texts for what begins with a dollar")
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
    if to in (_TYPE.DATE, _TYPE.TIMESTAMP):
        is_date = isinstance(node.this, exp.Literal) and _DATE.fullmatch(node.this.name)
        return None if is_date else "write a date whole, as DATE '2024-02-29'"
    if to == _TYPE.BOOLEAN:
        return None if isinstance(node.this, exp.Literal) else _UNKNOWN
    if isinstance(node.this, exp.Literal) and node.this.is_string and to not in _TEXTS:
        return None if _NUMBER.fullmatch(node.this.name) else "the two read other texts as numbers"
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


def _ordered(node: Any) -> str | None:
    if isinstance(node.this, exp.Literal) and node.this.is_string:
        return "a text orders nothing"
    query = node.find_ancestor(exp.Select)
    aliases = {one.alias.lower() for one in query.expressions if isinstance(one, exp.Alias)} if query else set()
    if not isinstance(node.this, exp.Column):
        for column in node.this.find_all(exp.Column):
            if not column.table and column.name.lower() in aliases:
                return "Spark takes the name for what the query calls so, and DuckDB for the table's: name the table"
    return None


def _count(node: Any) -> str | None:
    return "DuckDB counts one expression" if node.expressions else None


def _struct(node: Any) -> str | None:
    names = [one.name.lower() for one in node.expressions]
    return "two fields have one name" if len(set(names)) < len(names) else None


def _part_of_date(node: Any) -> str | None:
    return "a text is no date: cast it" if isinstance(node.this, exp.Literal) else None


def _join(node: Any) -> str | None:
    if node.args.get("using") and not (node.method or ""):
        return "Spark compares a FLOAT with others otherwise there: write ON"
    return _why_not(node)


def _like(node: Any) -> str | None:
    pattern = node.expression
    is_plain = isinstance(pattern, exp.Literal) and "\\" not in pattern.name
    return (
        None if is_plain else "a backslash in a pattern is an escape in Spark, so it has to be a constant without one"
    )


def _in(node: Any) -> str | None:
    if node.args.get("unnest") or node.args.get("field"):
        return _UNKNOWN
    if not node.args.get("query"):
        return None
    above = node.parent
    while isinstance(above, (exp.And, exp.Or, exp.Not, exp.Paren)):
        above = above.parent
    return None if isinstance(above, exp.Where) else "as a value, Spark takes a NULL among the rows for another"


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
    exp.Ordered: _ordered,
    exp.Count: _count,
    exp.Struct: _struct,
    exp.Join: _join,
    **dict.fromkeys((exp.Year, exp.Month, exp.Day), _part_of_date),
    exp.IntDiv: lambda node: "Spark's DIV answers a BIGINT, whatever it divides",
    exp.Floor: lambda node: "Spark answers a BIGINT, also for NaN and infinities",
    exp.Ceil: lambda node: "Spark answers a BIGINT, also for NaN and infinities",
    exp.Lower: lambda node: "letters such as 'İ' become others there",
    exp.Upper: lambda node: "letters such as 'ß' become others there",
    exp.ILike: lambda node: "letters such as 'İ' are others there: write LIKE",
    exp.Intersect: lambda node: "Spark compares a FLOAT with others otherwise there: write WHERE EXISTS",
    exp.Except: lambda node: "Spark compares a FLOAT with others otherwise there: write WHERE NOT EXISTS",
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
    elif isinstance(node, (*_COMPARING, exp.Nullif)) or (isinstance(node, exp.Case) and node.this):
        return _compared(node)
    elif isinstance(node, _COMPUTING):
        for side in ("this", "expression"):
            if node.args.get(side) is not None:
                node.set(side, _of_types(node.args[side], _SUMMED if isinstance(node, exp.Sum) else _EXACT))
    elif isinstance(node, (exp.Ordered, exp.Min, exp.Max)):
        _require_order(node)
    elif isinstance(node, exp.SetOperation):
        _guard_columns(node.left)
        _guard_columns(node.right)
    elif isinstance(node, _MIXING):
        _guard_floats(node)
    elif isinstance(node, exp.Try):
        return exp.Anonymous(this="TRY", expressions=[node.this])
    elif isinstance(node, exp.Div):
        left, right = (_double(_of_types(side, _DIVIDED)) for side in (node.left, node.right))
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


def _compared(node: Any) -> Any:
    """A comparison, or an error where the types are such that Spark compares otherwise. That stands around it: what
    stands in it, Spark may reason away."""
    if isinstance(node, exp.Case):
        values = [node.this, *(when.this for when in node.args["ifs"])]
        _guard_floats(node)
    else:
        values = [one for one in node.iter_expressions() if isinstance(one, exp.Expression)]
    query = node.args.get("query")
    if query is not None:
        values.remove(query)
        _guard_columns(query)
    for value in values:
        if isinstance(value, exp.Subquery):
            _guard_columns(value)
    texts = [one for one in values if isinstance(one, exp.Literal) and one.is_string]
    is_number = any(_NUMBER.match(one.name) and not _DATE.fullmatch(one.name) for one in texts)
    conditions = []
    for value in values:
        if _kind(value) is not None or isinstance(value, (exp.Literal, exp.Null, exp.Subquery)):
            continue
        others = [other for other in values if other is not value]
        known = _IN_ORDER if not any(map(_may_be_number, others)) and query is None else _IN_ORDER_WITHOUT_FLOATS
        conditions.append(f"{_of(value)} NOT RLIKE {SPARK.text(f'^({_TEXT_ALONE if is_number else known})$')}")
    return _unless(" OR ".join(dict.fromkeys(conditions)), _OTHERWISE, node) if conditions else node


_IN_ORDER_WITHOUT_FLOATS = _IN_ORDER.replace("|float", "")
_TEXT_ALONE = "void|string"
_OTHERWISE = "DuckDB compares these types otherwise; cast FLOATs to DOUBLE, and texts to numbers"


def _require_order(node: Any) -> None:
    value = node.this
    if _kind(value) is None and not isinstance(value, (exp.Literal, exp.Null)):
        condition = f"{_of(value)} NOT RLIKE {SPARK.text(f'^({_IN_ORDER})$')}"
        node.set("this", _unless(condition, "DuckDB puts values of this type in another order", value))


def _guard_columns(query: Any) -> None:
    """What a query gives, which is put together with what the text does not tell the type of."""
    while isinstance(query, (exp.Subquery, exp.Paren)):
        query = query.this
    if isinstance(query, exp.SetOperation):
        return  # each of its parts is already
    for one in list(query.expressions) if isinstance(query, exp.Select) else []:
        if one.find(exp.Star):
            raise CallError(f"{_shown(one)} is not translated for Spark here: name the columns, whose types matter")
        value = one.this if isinstance(one, exp.Alias) else one
        guarded = _without_floats(value.copy())
        if guarded != value:
            name = one.alias if isinstance(one, exp.Alias) else value.output_name
            one.replace(exp.alias_(guarded, name, quoted=True) if name else guarded)


def _of_types(value: Any, types: str) -> Any:
    """A number that is computed with. What is computed of such is one."""
    inner = value
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal) and inner.is_string:
        raise CallError(f"{_shown(inner)} is not translated for Spark: it is a text, and is computed with")
    if _kind(inner) in ("integer", "double") or isinstance(inner, (exp.Literal, exp.Null, *_COMPUTING, exp.Div)):
        return value
    return _unless(f"{_of(value)} NOT RLIKE {SPARK.text(f'^({types})$')}", _COMPUTED, value)


_COMPUTED = "DuckDB computes otherwise with this type; cast it to DOUBLE, or to BIGINT"


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
    if _kind(value) is not None or isinstance(value, (exp.Literal, exp.Null, exp.Query, *_COMPUTING)):
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
        node = _of_types(node, _AVERAGED)
    return _double(node)


def _double(node: Any) -> Any:
    return exp.cast(node, "DOUBLE")


def _arguments(node: Any) -> Iterator[Any]:
    for argument in node.expressions:
        if isinstance(argument, exp.PropertyEQ):
            yield exp.Kwarg(this=exp.Var(this=_written(argument.this)), expression=argument.expression)
        else:
            yield argument
