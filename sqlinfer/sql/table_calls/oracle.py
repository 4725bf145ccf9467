"""Oracle's PREDICTION, PREDICTION_PROBABILITY and PREDICTION_SET (m[, …] USING *)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokens import TokenType

from sqlinfer.errors import CallError, MissingFeature
from sqlinfer.models.signature import label_texts
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.table_calls.bigquery import probabilities
from sqlinfer.sql.table_calls.reading import Model, Reader
from sqlinfer.sql.tokens import CLOSING, OPENING

__all__ = ["FUNCTIONS", "scalar", "using_at"]

Part = tuple[int, int]
FUNCTIONS = ("PREDICTION", "PREDICTION_PROBABILITY", "PREDICTION_SET", "PREDICTION_DETAILS")


def using_at(reader: Reader, opening: int, close: int) -> int | None:
    """Where the word USING stands in a call, in no other parenthesis."""
    depth = 0
    for i in range(opening + 1, close):
        depth += (reader.tokens[i].token_type in OPENING) - (reader.tokens[i].token_type in CLOSING)
        if depth == 0 and reader.words(i, i + 1) == ["USING"]:
            return i
    return None


def scalar(reader: Reader, name: str, opening: int, using: int, close: int) -> str:
    parts = reader.parts(opening, using)
    if not parts or using + 1 >= close:
        reader.refuse(
            f"{name} takes a model and its features: {name}(churn USING *)", reader.span(opening - 1, close + 1)
        )
    if name == "PREDICTION_DETAILS":
        reader.refuse(
            "PREDICTION_DETAILS needs explain(), which sqlinfer does not have yet", reader.span(opening - 1, opening)
        )
    model = _model(reader, parts[0])
    features = _features(reader, model, reader.parts(using, close))
    others = [reader.span(*part) for part in parts[1:]]
    if name == "PREDICTION":
        if others:
            reader.refuse("PREDICTION takes a model and its features: PREDICTION(churn USING *)", others[0])
        return model.call("predict", features)
    if not model.has_probabilities:
        reader.refuse(f"{name} is of classifiers with probabilities, and {str(model.reference)!r} is none", model.span)
    if name == "PREDICTION_SET":
        return _set(reader, parts, probabilities(model, features, "PREDICTION", "PROBABILITY"))
    if not others:
        return f"list_max(map_values({model.call('predict_proba', features)}))"
    if len(others) > 1:
        reader.refuse("PREDICTION_PROBABILITY takes one class", others[1])
    return f"{model.call('predict_proba', features)}[{_class(reader, model, parts[1])}]"


def _set(reader: Reader, parts: Sequence[Part], likeliest: str) -> str:
    """``PREDICTION_SET(m, best, cutoff USING …)``: at most so many classes, at least so likely."""
    if len(parts) > 3:
        reader.refuse("PREDICTION_SET takes how many classes, and how likely they must be", reader.span(*parts[3]))
    if len(parts) == 3:
        cutoff = reader.constant(*parts[2])
        likeliest = f"list_filter({likeliest}, lambda __e: __e.PROBABILITY >= {cutoff!r})"
    if len(parts) > 1 and reader.words(*parts[1]) != ["NULL"]:
        best = int(reader.constant(*parts[1], "a whole number of classes", 10_000))
        likeliest = f"list_slice({likeliest}, 1, {best})"
    return likeliest


def _model(reader: Reader, part: Part) -> Model:
    """A name, behind which COST MODEL may stand."""
    first, last = part
    if "COST" in reader.words(first, last):
        at = reader.words(first, last).index("COST") + first
        reader.refuse("a model has no costs here: leave COST out, and weigh the probabilities", reader.span(at, last))
    return reader.named(first, last)


def _class(reader: Reader, model: Model, part: Part) -> str:
    """The class that a constant names."""
    span, labels = reader.span(*part), model.signature.labels
    text = reader.tokens[part[0]].text
    is_constant = part[1] - part[0] == 1 and re.fullmatch(
        r"'.*'|[-\d]+|true|false", reader.sql[span.start : span.end], re.I | re.S
    )
    texts = label_texts(labels)
    if not is_constant:
        raise CallError.no_constant_class(str(model.reference), texts).at(reader.sql, span.start, span.end)
    found = next((label for label, known in zip(labels, texts, strict=True) if known in (text, text.lower())), None)
    if found is None:
        raise CallError.no_class(str(model.reference), text, texts).at(reader.sql, span.start, span.end)
    return literal(found)


def _features(reader: Reader, model: Model, parts: Sequence[Part]) -> str:
    """``*``, ``t.*``, or columns and expressions with names, of which the model takes those that it knows."""
    if len(parts) == 1 and reader.tokens[parts[0][1] - 1].token_type == TokenType.STAR:
        return str(reader.span(*parts[0]))
    given = {}
    for first, last in parts:
        named = last - first > 2 and reader.words(last - 2, last - 1) == ["AS"]
        value = reader.span(first, last - 2 * named)
        is_column = all(reader.is_name(i) for i in range(first, last, 2)) and (last - first) % 2
        if not named and not is_column:
            reader.refuse("an expression has a name among the features: USING (expression) AS feature", value)
        given[reader.tokens[last - 1].text.lower()] = value
    names = model.signature.feature_names
    missing = [name for name in names if name.lower() not in given]
    if missing:
        span = reader.span(parts[0][0], parts[-1][1])
        raise MissingFeature.of(str(model.reference), missing, names).at(reader.sql, span.start, span.end)
    values = [given[name.lower()] for name in names]
    if values != sorted(values, key=lambda span: span.start) and any(
        "?" in reader.sql[v.start : v.end] for v in values
    ):
        return (
            "{"
            + ", ".join(f"{text_literal(n)}: {v}" for n, v in given.items() if n in {x.lower() for x in names})
            + "}"
        )
    return ", ".join(map(str, values))
