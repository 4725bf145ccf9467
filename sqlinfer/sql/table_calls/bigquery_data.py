"""BigQuery's table functions that tell of data: ML.FEATURE_INFO, ML.DESCRIBE_DATA, ML.VALIDATE_DATA_SKEW and _DRIFT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlinfer.models.profile import FeatureProfile, Profile
from sqlinfer.models.signature import quoted
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.table_calls.pieces import Target
from sqlinfer.sql.table_calls.reading import ROWS, Model, Option, Reader

__all__ = ["describe_data", "feature_info", "validate_data_drift", "validate_data_skew"]

Part = tuple[int, int]
Answer = tuple[str, Target | None]

JENSEN_SHANNON, L_INFTY = "JENSEN_SHANNON_DIVERGENCE", "L_INFTY"
_OPTIONS = ["categorical_default_threshold", "categorical_metric_type", "numerical_default_threshold"]
_OPTIONS += ["numerical_metric_type", "thresholds"]
_INFO = ("input", "min", "max", "mean", "median", "stddev", "category_count", "null_count", "dimension")
_INFO_TYPES = ("VARCHAR", *["DOUBLE"] * 5, *["BIGINT"] * 3)
_EVERY = "COLUMNS('.*')"
_NUMBERS = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"]
_NUMBERS += ["UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"]


def feature_info(reader: Reader, parts: Sequence[Part]) -> Answer:
    """Of the sample that the model was registered with."""
    name = "ML.FEATURE_INFO"
    model = reader.model(parts[0], name)
    if len(parts) > 1:
        reader.refuse(f"{name} takes a model alone", reader.span(*parts[1]))
    rows = [_info(one, _width(model, one.name)) for one in _profile(reader, model, name).features]
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    columns = ", ".join(
        f"{quoted(column)}::{type} AS {quoted(column)}" for column, type in zip(_INFO, _INFO_TYPES, strict=True)
    )
    named = ", ".join(map(quoted, _INFO))
    return f"(SELECT {columns} FROM (VALUES {values}) AS info({named}))", None


def _info(one: FeatureProfile, width: int | None) -> tuple[str | float | None, ...]:
    of = one.numbers
    numbers = (of.min, of.max, of.mean, of.median, of.std) if of else (None,) * 5
    return one.name, *numbers, one.texts.distinct if one.texts else None, one.missing, width


def _width(model: Model, name: str) -> int | None:
    """Of an array, how many values it has."""
    (type,) = [feature.type for feature in model.signature.features if feature.name == name]
    length = type.rpartition("[")[2].removesuffix("]")
    return int(length) if type.endswith("]") and length.isdecimal() else None


def describe_data(reader: Reader, parts: Sequence[Part]) -> Answer:
    """Statistics of every column, whatever its type; those that it cannot have are NULL."""
    name = "ML.DESCRIBE_DATA"
    rows = reader.rows(parts[0], name)
    last = _options_behind(reader, parts, 1, name)
    options = reader.options(last, ("num_quantiles", "top_k", "num_array_length_quantiles"), name)
    count, top = (
        int(reader.number(options.get(option), default, "a whole number up to 100", 100))
        for option, default in (("num_quantiles", 2), ("top_k", 1))
    )
    text, type = f"{_EVERY}::VARCHAR", f"typeof({_EVERY})"
    is_number = f"({type} IN ({', '.join(map(text_literal, _NUMBERS))}) OR starts_with({type}, 'DECIMAL'))"
    number = f"CASE WHEN {is_number} THEN TRY_CAST({text} AS DOUBLE) END"
    finite = f"CASE WHEN isfinite({number}) THEN {number} END"
    is_text = f"({type} = 'VARCHAR' OR starts_with({type}, 'ENUM'))"
    length = f"CASE WHEN ends_with({type}, ']') THEN json_array_length(to_json({_EVERY})) END"
    steps = ", ".join(repr(step / max(count, 1)) for step in range(count + 1))
    fields = {  # in FILTER, DuckDB does not put a column for COLUMNS
        "num_rows": "count(*)",
        "num_nulls": f"count(*) - count({_EVERY})",
        "num_zeros": f"count(CASE WHEN {number} = 0 THEN 1 END)",
        "min": f"min({_EVERY})::VARCHAR",
        "max": f"max({_EVERY})::VARCHAR",
        "mean": f"avg({finite})",
        "stdev": f"stddev({finite})",
        "median": f"median({finite})",
        "quantiles": f"quantile_cont({finite}, [{steps}])",
        "unique": f"CASE WHEN NOT any_value({is_number}) THEN count(DISTINCT {text}) END",
        "avg_string_length": f"avg(CASE WHEN {is_text} THEN length({text}) END)",
        "num_values": f"coalesce(sum({length})::BIGINT, count({_EVERY}))",
        "top_values": f"CASE WHEN NOT any_value({is_number}) THEN list_transform(list_sort(list_transform(map_entries("
        f"histogram({text})), lambda __e: {{'n': -__e.value::BIGINT, 'value': __e.key}}))[:{top}], "
        "lambda __e: {'value': __e.value, 'count': -__e.n}) END",
        "min_array_length": f"min({length})::BIGINT",
        "max_array_length": f"max({length})::BIGINT",
        "avg_array_length": f"avg({length})",
    }
    described = ", ".join(f"{text_literal(field)}: {sql}" for field, sql in fields.items())
    columns = ", ".join(f"described.{quoted(field)} AS {quoted(field)}" for field in fields)
    return (
        f"(SELECT name, {columns} FROM (UNPIVOT (SELECT {{{described}}} AS '\\0' FROM {rows}) "
        "ON COLUMNS(*) INTO NAME name VALUE described))",
        None,
    )


def validate_data_skew(reader: Reader, parts: Sequence[Part]) -> Answer:
    """The rows against the sample that the model was registered with, in the bins that its profile has."""
    name = "ML.VALIDATE_DATA_SKEW"
    model = reader.model(parts[0], name)
    if len(parts) < 2:
        reader.refuse(f"{name} needs rows: {name}(MODEL {model.reference.name}, TABLE customers)", model.span)
    rows = reader.rows(parts[1], name)
    options = reader.options(_options_behind(reader, parts, 2, name), _OPTIONS, name)
    limits = _Limits(reader, options, name)
    profile = _profile(reader, model, name)
    compared = [one for one in profile.features if (one.numbers and one.numbers.edges) or (one.texts and one.texts.top)]
    if not compared:
        reader.refuse(f"{name} compares numbers and texts, and the model {str(model.reference)!r} has none", model.span)
    limits.require([one.name for one in compared])
    entries = ", ".join(_entry(one, profile.rows, limits) for one in compared)
    return _judged(f"SELECT unnest([{entries}], recursive := true) FROM {rows}"), None


def _entry(one: FeatureProfile, rows: int, limits: _Limits) -> str:
    """What the sample has in each bin, or how often each text, and what the rows have."""
    column = f"{ROWS}.{quoted(one.name)}"
    if one.numbers:
        edges = f"[{', '.join(f'{edge!r}::DOUBLE' for edge in one.numbers.edges)}]"
        value = f"{column}::DOUBLE"
        given = f"CASE WHEN isfinite({value}) THEN {_bin(edges, value)} END"
        sample = {str(i): count for i, count in enumerate(one.numbers.counts, 1)}
    else:
        assert one.texts
        sample = {f"={text}": count for text, count in one.texts.top}
        others = rows - one.nulls - sum(sample.values())
        if others > 0:
            sample[""] = others
        known = ", ".join(text_literal(text) for text, _ in one.texts.top)
        given = f"CASE WHEN {column}::VARCHAR IN ({known}) THEN '=' || {column}::VARCHAR "
        given += f"WHEN {column} IS NOT NULL THEN '' END"
    counts = ", ".join(f"{text_literal(key)}: {count}" for key, count in sample.items())
    metric, threshold = limits.of(one.name, is_number=one.numbers is not None)
    return (
        f"{{'input': {text_literal(one.name)}, 'metric': {text_literal(metric)}, 'threshold': {threshold!r}::DOUBLE, "
        f"'sample': MAP {{{counts}}}::MAP(VARCHAR, BIGINT), 'given': histogram({given})::MAP(VARCHAR, BIGINT)}}"
    )


def validate_data_drift(reader: Reader, parts: Sequence[Part]) -> Answer:
    """Two sets of rows, by the columns that both have."""
    name = "ML.VALIDATE_DATA_DRIFT"
    if len(parts) < 2:
        reader.refuse(f"{name} takes the rows of old and the new ones: TABLE a, TABLE b", reader.span(*parts[0]))
    base, study = (reader.rows(part, name) for part in parts[:2])
    if len(parts) > 3 and reader.is_model(parts[3]):
        reader.refuse("a model is for the pictures of Vertex AI: leave it out", reader.span(*parts[3]))
    options = reader.options(_options_behind(reader, parts, 2, name), _OPTIONS, name)
    limits = _Limits(reader, options, name)
    both = f"SELECT false AS __new, {ROWS}.* FROM {base} UNION ALL BY NAME SELECT true AS __new, {ROWS}.* FROM {study}"
    every = "COLUMNS(* EXCLUDE (__new))"
    text = f"{every}::VARCHAR"
    tenths = ", ".join(repr(step / 10) for step in range(11))
    finite = f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"
    counted = (
        f"{{'type': any_value(typeof({every})), "
        f"'edges': quantile_cont({finite}, [{tenths}]) FILTER (WHERE NOT __new), "
        f"'sample': histogram({text}) FILTER (WHERE NOT __new), 'given': histogram({text}) FILTER (WHERE __new)}}"
    )
    found = f"UNPIVOT (SELECT {counted} FROM ({both})) ON COLUMNS(*) INTO NAME input VALUE one"
    listed = ", ".join(map(text_literal, _NUMBERS))
    is_number = f"(one.type IN ({listed}) OR starts_with(one.type, 'DECIMAL'))"
    (metric, threshold), (other_metric, other_threshold) = (limits.of("", is_number=kind) for kind in (True, False))
    limit = f"CASE WHEN {is_number} THEN {threshold!r}::DOUBLE ELSE {other_threshold!r}::DOUBLE END"
    if limits.single:
        single = "".join(f"WHEN {text_literal(column)} THEN {value!r} " for column, value in limits.single.items())
        limit = f"CASE lower(input) {single}ELSE {limit} END"
    counts = (
        f"CASE WHEN {is_number} THEN {_in_bins(f'one.{side}')} ELSE one.{side} END" for side in ("sample", "given")
    )
    sample, given = (f"coalesce({side}, MAP {{}}::MAP(VARCHAR, UBIGINT))" for side in counts)
    compared = (
        f"SELECT input, CASE WHEN {is_number} THEN '{metric}' ELSE '{other_metric}' END AS metric, "
        f"{limit} AS threshold, {sample} AS sample, {given} AS given FROM ({found})"
    )
    return _judged(compared), None


def _in_bins(counts: str) -> str:
    """Of how often each number is there, how often a number of each bin is."""
    entries = f"list_filter(map_entries({counts}), lambda __e: isfinite(TRY_CAST(__e.key AS DOUBLE)))"
    binned = f"list_transform({entries}, lambda __e: {{'bin': {_bin('one.edges', '__e.key::DOUBLE')}, 'n': __e.value}})"
    of_bin = f"list_sum(list_transform(list_filter({binned}, lambda __e: __e.bin = __b::VARCHAR), lambda __e: __e.n))"
    pairs = f"list_transform(range(12), lambda __b: {{'key': __b::VARCHAR, 'value': {of_bin}::UBIGINT}})"
    return f"map_from_entries(list_filter({pairs}, lambda __e: __e.value > 0))"


def _bin(edges: str, value: str) -> str:
    """Below all ten bins, one of them, or above them."""
    place = f"len(list_filter({edges}, lambda __x: __x <= {value}))"
    return (
        f"CASE WHEN {value} < {edges}[1] THEN '0' WHEN {value} > {edges}[-1] THEN '11' "
        f"ELSE least(10, {place})::VARCHAR END"
    )


def _judged(rows: str) -> str:
    """``rows``: input, metric and threshold, and two maps of counts, sample and given."""
    share = "coalesce({0}[__k], 0) / list_sum(map_values({0}))"
    p, q = share.format("sample"), share.format("given")
    keys = "list_distinct(map_keys(sample) || map_keys(given))"
    pairs = f"list_transform({keys}, lambda __k: {{'p': {p}, 'q': {q}}})"
    known = "CASE WHEN cardinality(sample) > 0 AND cardinality(given) > 0 THEN"
    return (
        "(SELECT input, metric, threshold, value, value > threshold AS is_anomaly FROM (SELECT input, metric, "
        f"threshold, {known} {_distance('pairs')} END AS value FROM (SELECT *, {pairs} AS pairs FROM ({rows}))))"
    )


def _distance(pairs: str) -> str:
    """Of two distributions: the largest difference, or the divergence in bits."""
    half = "CASE WHEN __e.{0} > 0 THEN __e.{0} * log2(2 * __e.{0} / (__e.p + __e.q)) ELSE 0 END"
    bits = f"list_sum(list_transform({pairs}, lambda __e: {half.format('p')} + {half.format('q')})) / 2"
    largest = f"list_max(list_transform({pairs}, lambda __e: abs(__e.p - __e.q)))"
    return f"CASE metric WHEN '{L_INFTY}' THEN {largest} ELSE greatest({bits}, 0) END"


class _Limits:
    """Which metric and which threshold a column has."""

    def __init__(self, reader: Reader, options: Mapping[str, Option], name: str) -> None:
        self._reader = reader
        self._thresholds = options.get("thresholds")
        self._number = (
            reader.choice(options.get("numerical_metric_type"), (JENSEN_SHANNON,)),
            reader.number(options.get("numerical_default_threshold"), 0.3),
        )
        self._text = (
            reader.choice(options.get("categorical_metric_type"), (L_INFTY, JENSEN_SHANNON)),
            reader.number(options.get("categorical_default_threshold"), 0.3),
        )
        self.single = self._single(name)

    def _single(self, name: str) -> dict[str, float]:
        """[STRUCT('age', 0.2), …]"""
        if self._thresholds is None:
            return {}
        reader, option = self._reader, self._thresholds
        found = {}
        for first, last in reader.parts(option.first, option.last - 1):
            pair = reader.parts(first + 1, last - 1) if reader.words(first, first + 2) == ["STRUCT", "("] else []
            if len(pair) != 2:
                reader.refuse(f"the thresholds of {name} are a list: [STRUCT('age', 0.2), …]", reader.span(first, last))
            (column, _), (value, end) = pair
            end -= 2 * (reader.words(end - 2, end - 1) == ["AS"])
            found[reader.tokens[column].text.lower()] = reader.constant(value, end)
        return found

    def require(self, columns: Sequence[str]) -> None:
        """That each column with a threshold is compared."""
        known = {column.lower() for column in columns}
        for column in self.single:
            if column not in known and self._thresholds:
                self._reader.refuse(
                    f"no column {column!r} is compared, which has a threshold; columns: {', '.join(columns)}",
                    self._thresholds.span,
                )

    def of(self, column: str, *, is_number: bool) -> tuple[str, float]:
        metric, threshold = self._number if is_number else self._text
        return metric, self.single.get(column.lower(), threshold)


def _profile(reader: Reader, model: Model, name: str) -> Profile:
    profile = reader.models.profile(model.reference)
    if profile is None:
        reader.refuse(
            f"{name} tells of the sample that a model was registered with, and {str(model.reference)!r} was registered "
            "without one: register it again with --sample FILE (sample=rows)",
            model.span,
        )
    return profile


def _options_behind(reader: Reader, parts: Sequence[Part], count: int, name: str) -> Part | None:
    if len(parts) > count + 1:
        reader.refuse(f"{name} takes no more than its options", reader.span(*parts[count + 1]))
    return parts[count] if len(parts) > count else None
