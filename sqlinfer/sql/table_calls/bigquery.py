"""BigQuery's table functions that ask a model for answers: ML.PREDICT, and those that compare its answers with a label.

Each becomes a query in parentheses with the columns that BigQuery documents, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokens import TokenType

from sqlinfer.models.signature import label_texts, quoted
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.table_calls.pieces import Target
from sqlinfer.sql.table_calls.reading import ROWS, Model, Option, Reader, labelled

__all__ = ["confusion_matrix", "evaluate", "predict", "probabilities", "roc_curve"]

Part = tuple[int, int]
Answer = tuple[str, Target | None]

_CLASSIFICATION = {
    "precision": "precision_score",
    "recall": "recall_score",
    "accuracy": "accuracy_score",
    "f1_score": "f1_score",
    "log_loss": "log_loss",
    "roc_auc": "roc_auc_score",
}
_OF_PROBABILITIES = ("log_loss", "roc_auc")
_REGRESSION = {
    "mean_absolute_error": "mean_absolute_error",
    "mean_squared_error": "mean_squared_error",
    "mean_squared_log_error": "mean_squared_log_error",
    "median_absolute_error": "median_absolute_error",
    "r2_score": "r2_score",
    "explained_variance": "explained_variance_score",
}


def predict(reader: Reader, parts: Sequence[Part]) -> Answer:
    """predicted_<label>, of a classifier predicted_<label>_probs, and the columns of the rows."""
    name = "ML.PREDICT"
    model, rows, last = _parts(reader, parts, name)
    options = reader.options(last, ("threshold", "keep_original_columns"), name)
    columns = [f"{_predicted(reader, model, options.get('threshold'))} AS {labelled('predicted_', model)}"]
    if model.has_probabilities:
        columns.append(f"{probabilities(model)} AS {labelled('predicted_', model, '_probs')}")
    if reader.flag(options.get("keep_original_columns"), True):
        columns.append(f"{ROWS}.*")
    return f"(SELECT {', '.join(columns)} FROM {rows})", None


def probabilities(model: Model, arguments: str = f"{ROWS}.*", label: str = "label", prob: str = "prob") -> str:
    """A list of each class with its probability, the likeliest first; of equals in the order of the classes."""
    entries = f"map_entries({model.call('predict_proba', arguments)})"
    ranked = f"list_transform({entries}, lambda __e, __i: {{'prob': __e.value, 'before': -__i, 'label': __e.key}})"
    fields = f"{{{text_literal(label)}: __e.label, {text_literal(prob)}: __e.prob}}"
    return f"list_transform(list_sort({ranked}, 'DESC'), lambda __e: {fields})"


def evaluate(reader: Reader, parts: Sequence[Part]) -> Answer:
    name = "ML.EVALUATE"
    model, rows, last = _parts(reader, parts, name)
    options = reader.options(last, ("threshold",), name)
    threshold = options.get("threshold")
    if model.is_classifier:
        return _classification(reader, model, rows, threshold), model.target
    if model.manifest.task != "regression":
        reader.refuse(f"{name} judges classifiers and regressions, and {_kind(model)}", model.span)
    if threshold:
        _require_two_classes(reader, model, threshold)
    columns = ", ".join(f"m.{field} AS {quoted(column)}" for column, field in _REGRESSION.items())
    measured = f"evaluate_regression({_actual(model)}, {model.call('predict')})"
    return f"(SELECT {columns} FROM (SELECT {measured} AS m FROM {rows}))", model.target


def _classification(reader: Reader, model: Model, rows: str, threshold: Option | None) -> str:
    """Of two classes the second is the positive one, which BOOLEAN tells the aggregate."""
    actual, answers = _actual(model), model.call("predict_proba" if model.has_probabilities else "predict")
    positive = model.positive
    if positive is not None:
        actual = _is_positive(model)
        answers = f"({model.call('predict')} = {literal(positive)})"
        if model.has_probabilities:
            no, yes = (model.probability(label) for label in model.signature.labels)
            answers = f"CASE WHEN {yes} IS NOT NULL THEN MAP {{false: {no}, true: {yes}}} END"
    measured = [f"evaluate_classification({actual}, {answers}) AS m"]
    if threshold:
        decided = _is_above(reader, model, threshold)
        measured.append(f"evaluate_classification({actual}, {decided}) AS decided")
    columns = []
    for column, field in _CLASSIFICATION.items():
        of = "decided" if threshold and column not in _OF_PROBABILITIES else "m"
        columns.append(f"{of}.{field} AS {quoted(column)}")
    return f"(SELECT {', '.join(columns)} FROM (SELECT {', '.join(measured)} FROM {rows}))"


def confusion_matrix(reader: Reader, parts: Sequence[Part]) -> Answer:
    """A row for each class, and a column for each."""
    name = "ML.CONFUSION_MATRIX"
    model, rows, last = _parts(reader, parts, name)
    options = reader.options(last, ("threshold",), name)
    if not model.is_classifier:
        reader.refuse(f"{name} is of classifiers, and {_kind(model)}", model.span)
    predicted = _predicted(reader, model, options.get("threshold"))
    labels = sorted(model.signature.labels, key=lambda label: (isinstance(label, str), label))
    counts = ", ".join(
        f"count(*) FILTER (predicted = {literal(label)}) AS {quoted(_column(text))}"
        for label, text in zip(labels, label_texts(labels), strict=True)
    )
    listed = ", ".join(literal(label) for label in labels)
    seen = f"SELECT {_actual(model)} AS expected_label, {predicted} AS predicted FROM {rows}"
    every = f"SELECT unnest([{listed}])::{model.signature.label_type} AS expected_label, NULL AS predicted"
    return (
        f"(SELECT expected_label, {counts} FROM ({seen} UNION ALL {every}) "
        "WHERE expected_label IS NOT NULL GROUP BY expected_label ORDER BY expected_label)",
        model.target,
    )


def roc_curve(reader: Reader, parts: Sequence[Part]) -> Answer:
    """At every threshold that tells rows apart, or at those that are given as an array."""
    name = "ML.ROC_CURVE"
    model, rows, last = _parts(reader, parts, name)
    positive = model.positive
    if not model.is_classifier or positive is None or not model.has_probabilities:
        reader.refuse(f"{name} is of classifiers with probabilities of two classes, and {_kind(model)}", model.span)
    actual, score = _is_positive(model), model.probability(positive)
    if last is None:
        rates = "true_positive_rate AS recall, false_positive_rate"
        counts = "true_positives, false_positives, true_negatives, false_negatives"
        points = f"SELECT unnest(roc_curve({actual}, {score}), recursive := true) FROM {rows}"
        return f"(SELECT threshold, {rates}, {counts} FROM ({points}))", model.target
    cells = {"true_positives": "y AND p >= threshold", "false_positives": "NOT y AND p >= threshold"}
    cells |= {"true_negatives": "NOT y AND p < threshold", "false_negatives": "y AND p < threshold"}
    counts = ", ".join(f"count(*) FILTER ({condition}) AS {cell}" for cell, condition in cells.items())
    # the rows come first, as in the user's text: DuckDB numbers each ? by its place
    scored = f"SELECT {actual} AS y, {score} AS p FROM {rows}"
    given = f"SELECT DISTINCT unnest({_array(reader, last)})::DOUBLE AS threshold"
    return (
        "(SELECT threshold, true_positives / nullif(true_positives + false_negatives, 0) AS recall, "
        "false_positives / nullif(false_positives + true_negatives, 0) AS false_positive_rate, "
        f"{', '.join(cells)} FROM (SELECT threshold, {counts} FROM ({scored}) CROSS JOIN ({given}) "
        "WHERE y IS NOT NULL AND p IS NOT NULL GROUP BY threshold) ORDER BY threshold DESC)",
        model.target,
    )


def _parts(reader: Reader, parts: Sequence[Part], name: str) -> tuple[Model, str, Part | None]:
    model = reader.model(parts[0], name)
    if len(parts) < 2 or reader.words(parts[1][0], parts[1][0] + 1) == ["STRUCT"]:
        reader.refuse(
            f"{name} needs rows here, since those that the model was trained on are not kept: "
            f"{name}(MODEL {model.reference.name}, TABLE customers)",
            model.span,
        )
    if len(parts) > 3:
        reader.refuse(f"{name} takes a model, its rows and options", reader.span(*parts[3]))
    return model, reader.rows(parts[1], name), parts[2] if len(parts) == 3 else None


def _array(reader: Reader, part: Part) -> str:
    """GENERATE_ARRAY(first, last, step), or any other list."""
    first, last = part
    if reader.words(first, first + 2) != ["GENERATE_ARRAY", "("]:
        return str(reader.span(first, last))
    numbers = [reader.constant(*number) for number in reader.parts(first + 1, last - 1)]
    if not 2 <= len(numbers) <= 3 or 0 in numbers[2:]:
        reader.refuse("this is GENERATE_ARRAY(first, last, step)", reader.span(first, last))
    start, stop, step = (*numbers, 1.0)[:3]
    steps = int((stop - start) / step + 1e-9) if stop >= start else -1
    return f"list_transform(range({steps + 1}), lambda __i: {start!r}::DOUBLE + __i * {step!r}::DOUBLE)"


def _actual(model: Model) -> str:
    return f"{ROWS}.{quoted(model.target.column)}"


def _is_positive(model: Model) -> str:
    """Whether the actual label is the positive class: an error for one that is no class."""
    actual, (negative, positive) = _actual(model), model.signature.labels
    says = text_literal(
        f"model '{model.reference}': the column {model.target.column} has a label that the model has not: "
    )
    known = f"; classes: {', '.join(label_texts(model.signature.labels))}"
    return (
        f"CASE WHEN {actual} IS NULL THEN NULL WHEN {actual} = {literal(positive)} THEN true "
        f"WHEN {actual} = {literal(negative)} THEN false ELSE error({says} || {actual} || {text_literal(known)}) END"
    )


def _predicted(reader: Reader, model: Model, threshold: Option | None) -> str:
    if threshold is None:
        return model.call("predict")
    above = _is_above(reader, model, threshold)
    negative, positive = model.signature.labels
    yes, no = (f"{literal(label)}::{model.signature.label_type}" for label in (positive, negative))
    return f"CASE {above} WHEN true THEN {yes} WHEN false THEN {no} END"


def _is_above(reader: Reader, model: Model, threshold: Option) -> str:
    _require_two_classes(reader, model, threshold)
    assert model.positive is not None
    if not any(token.token_type == TokenType.PARAMETER for token in reader.tokens[threshold.first : threshold.last]):
        reader.number(threshold, 0.5)
    return f"({model.probability(model.positive)} >= {threshold.span})"


def _require_two_classes(reader: Reader, model: Model, threshold: Option) -> None:
    if model.positive is None or not model.has_probabilities:
        reader.refuse(f"a threshold is for classifiers of two classes, and {_kind(model)}", threshold.span)


def _kind(model: Model) -> str:
    task = model.manifest.task
    of = f" of {len(model.signature.labels)} classes" if model.signature.labels else ""
    return f"the model {str(model.reference)!r} is {'of another kind' if task == 'other' else f'a {task}{of}'}"


def _column(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else f"_{name}"
