"""A graph, and how it was seen to behave → its signature: features, outputs, and what each call answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from sqlinfer.errors import FeatureError, InvalidModel
from sqlinfer.graphs.classes import Classes
from sqlinfer.graphs.features import nested_type
from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.labels import label_type_of
from sqlinfer.models.signature import (
    Batch,
    Call,
    Feature,
    Label,
    NullPolicy,
    Output,
    Signature,
    labelled_type,
    struct_type,
)
from sqlinfer.models.validate import stands_in
from sqlinfer.types import DTYPES, by_sql

__all__ = ["Seen", "describe", "null_policies", "task_of", "with_label"]

_LABEL_TYPES = ("VARCHAR", "BIGINT", "INTEGER")
_SCORES = ("float32", "float64", "float16")


@dataclass(frozen=True, slots=True)
class Seen:
    """An output as it came out of the graph: its dtype, as ONNX calls it, and its shape with the rows first; None is
    an axis that varies. ``order``: the axes as they came, in that order; None when all of it belongs to one row."""

    dtype: str
    shape: tuple[int | None, ...]
    order: tuple[int, ...] | None = (0,)

    @property
    def rows_first(self) -> bool:
        return self.order is not None and self.order[0] == 0


def null_policies(features: Sequence[Feature], given: str | Mapping[str, Any] | None, default: str) -> list[Feature]:
    """The features with their null policies: as given for all or by name, else ``default`` where it applies."""
    known = {feature.name.lower() for feature in features}
    by_name = {name.lower(): value for name, value in given.items()} if isinstance(given, Mapping) else {}
    unknown = set(by_name) - known
    if unknown:
        raise FeatureError(f"a null policy is given for {sorted(unknown)[0]!r}, which is no feature")
    result = []
    for feature in features:
        wanted = by_name.get(feature.name.lower(), None if isinstance(given, Mapping) else given)
        policy = _policy(feature, wanted) if wanted is not None else NullPolicy()
        if wanted is None and default == "nan" and feature.type in ("FLOAT", "DOUBLE"):
            policy = NullPolicy("nan")
        result.append(_with_policy(feature, policy))
    return result


def describe(
    graph: Graph,
    features: Sequence[Feature],
    seen: Mapping[str, Seen],
    *,
    labels: Sequence[Label] | None = None,
    label_type: str | None = None,
) -> Signature:
    """``labels``: the classes in the order of the scores; None: as the graph says, which `trials.labels` checks.
    Raises InvalidModel when no output follows the batch."""
    outputs = tuple(
        Output(name, seen[name].dtype, seen[name].shape, _sql_type(seen[name]))
        for name in graph.outputs
        if name in seen
    )
    if not outputs:
        raise InvalidModel(
            "no output of the model has one answer for each row (a first axis that follows the batch), "
            "so there is nothing that SQL could show; export the model with a batch axis, or, when each row is to be "
            "a run of its own, register it row by row (--row-by-row, row_by_row=True)"
        )
    roles = _said(outputs, graph.classes) if labels is None else _given(outputs, tuple(labels), graph.classes)
    label_type = (label_type or label_type_of(roles.labels)) if roles.labels else None
    fixed = {tensor.shape[0] for tensor in graph.inputs} - {None}
    apart = _must_run_apart(graph, outputs)
    fixed_rows = fixed.pop() if len(fixed) == 1 else None
    batch = Batch(fixed=fixed_rows, most=1 if apart else None, multiple=graph.row_multiple)
    calls = _calls(outputs, roles, label_type)
    return Signature(tuple(features), graph.inputs, outputs, calls, roles.labels, label_type, batch)


def _must_run_apart(graph: Graph, outputs: Sequence[Output]) -> bool:
    """Whether rows must be run one by one. A feature of any shape that all rows of a run share (a threshold, say) has
    one value in a run, and two rows may have two. And outputs of data-dependent length (the boxes found in an image)
    are padded to the longest of the run, so that a row's answer would depend on the rows beside it."""
    free = [tensor for tensor in graph.inputs if None in tensor.shape[1:]]
    data_dependent = any(output.name in graph.data_dependent and None in output.shape[1:] for output in outputs)
    return any(tensor.shared for tensor in free) or (data_dependent and not free)


def task_of(signature: Signature) -> str:
    if signature.labels:
        return "classification"
    return "regression" if signature.calls["predict"].type in ("FLOAT", "DOUBLE") else "other"


@dataclass(frozen=True, slots=True)
class _Roles:
    """The output of labels, the output of scores, and the classes: those of the scores, where there are scores."""

    label: Output | None
    scores: Output | None = None
    labels: tuple[Label, ...] = ()


def _given(outputs: Sequence[Output], labels: tuple[Label, ...], classes: Mapping[str, Classes]) -> _Roles:
    """As the user or the estimator has it; without labels there are no scores."""
    if not labels:
        return _Roles(_label_output(outputs, classes))
    label = _of_kind(outputs, labels)
    scores = (output for output in outputs if _is_scores(output, len(labels)) and output is not label)
    return _Roles(label, next(scores, None), labels)


def _said(outputs: Sequence[Output], classes: Mapping[str, Classes]) -> _Roles:
    """As the graph has it. Without a map, the labels are those that the output of labels can answer."""
    label = _label_output(outputs, classes)
    said = [(o, classes[o.name]) for o in outputs if o.name in classes and _is_scores(o, len(classes[o.name].labels))]
    for scores, known in said:
        if known.of == "map":
            return _Roles(label or _of_kind(outputs, known.labels), scores, known.labels)
    if label is not None and label.name in classes:
        labels = classes[label.name].labels
        same = [scores for scores, known in said if known.labels == labels]
        wide = [output for output in outputs if _is_scores(output, len(labels))]
        return _Roles(label, next(iter(same + wide), None), labels) if _kind(labels) == label.type else _Roles(label)
    for scores, known in said:
        other = label or _of_kind(outputs, known.labels)
        if known.of == "scores" and (other is None or other.type == _kind(known.labels)):
            return _Roles(other, scores, known.labels)
    return _Roles(label)


def _calls(outputs: tuple[Output, ...], roles: _Roles, label_type: str | None) -> dict[str, Call]:
    label, scores, labels = roles.label, roles.scores, roles.labels
    calls = {}
    if label is not None and labels and label.type == _kind(labels):
        calls["predict"] = Call(str(label_type), "label", (label.name,))
    elif label is not None:
        calls["predict"] = Call(label.type, "tensor", (label.name,))
        calls |= _several_probabilities(label, outputs)
    elif scores is not None:
        calls["predict"] = Call(str(label_type), "argmax", (scores.name,))
    elif len(outputs) == 1:
        calls["predict"] = Call(outputs[0].type, "tensor", (outputs[0].name,))
    if scores is not None and len(set(labels)) == len(labels):  # a map has no key twice
        element = DTYPES[scores.dtype].sql
        calls["predict_proba"] = Call(f"MAP({label_type}, {element})", "map", (scores.name,))
    everything = _struct(outputs)
    calls.setdefault("predict", everything)
    calls["infer"] = everything
    return calls


def _label_output(outputs: Sequence[Output], classes: Mapping[str, Classes]) -> Output | None:
    """The output of class or cluster labels: one integer or text a row that the graph makes of classes, or that is
    called label beside others."""
    plain = [o for o in outputs if o.type in _LABEL_TYPES]
    known = (o for o in plain if o.name in classes and classes[o.name].of == "label")
    several = [o for o in outputs if o.type.split("[")[0] in _LABEL_TYPES]
    called = (o for o in (*plain, *several) if len(outputs) > 1 and "label" in o.name.lower())
    return next(chain(known, called), None)


def _of_kind(outputs: Sequence[Output], labels: tuple[Label, ...]) -> Output | None:
    return next((output for output in outputs if output.type == _kind(labels)), None)


def _kind(labels: tuple[Label, ...]) -> str:
    """The SQL type of an output of such labels; a graph has those of yes or no as integers."""
    return "VARCHAR" if isinstance(labels[0], str) else "BIGINT"


def _several_probabilities(label: Output, outputs: tuple[Output, ...]) -> dict[str, Call]:
    """Of several labels a row: the probabilities of each, as nested lists, or by name where each has an output."""
    found = [o for o in outputs if "[" in o.type and o.dtype in _SCORES and "proba" in o.name.lower()]
    if "[" not in label.type or not found:
        return {}
    return {"predict_proba": Call(found[0].type, "tensor", (found[0].name,)) if len(found) == 1 else _struct(found)}


def with_label(signature: Signature) -> Signature:
    """Of an estimator, whose graph was written without an output of labels: infer() has one all the same."""
    predict, infer = signature.calls["predict"], signature.calls["infer"]
    if predict.decode != "argmax" or "label" in (name.lower() for name in infer.outputs):
        return signature
    scores = predict.outputs[0]
    outputs = [signature.output(name) for name in sorted(infer.outputs, key=lambda name: name != scores)]
    call = Call(labelled_type(str(signature.label_type), outputs), "labelled", tuple(o.name for o in outputs))
    return replace(signature, calls={**signature.calls, "infer": call})


def _struct(outputs: Sequence[Output]) -> Call:
    return Call(struct_type(outputs), "struct", tuple(o.name for o in outputs))


def _is_scores(output: Output, classes: int) -> bool:
    return output.dtype in _SCORES and output.shape[1:] == (classes,)


def _sql_type(seen: Seen) -> str:
    element = DTYPES[seen.dtype].sql
    axes = seen.shape[1:]
    return element if axes in ((), (1,)) else nested_type(element, axes)


def _with_policy(feature: Feature, policy: NullPolicy) -> Feature:
    return replace(feature, null=policy)


def _policy(feature: Feature, wanted: Any) -> NullPolicy:
    if isinstance(wanted, NullPolicy):
        return wanted
    if wanted in ("null", "error"):
        return NullPolicy(wanted)
    if feature.type == "BLOB":
        raise FeatureError(f"feature {feature.name!r} is an image: its null policy is 'null' or 'error'")
    is_float = feature.type.split("[")[0] in ("FLOAT", "DOUBLE")
    if wanted == "nan":
        if not is_float:
            raise FeatureError(f"feature {feature.name!r} is {feature.type}, which has no NaN; give a value instead")
        return NullPolicy("nan")
    text = feature.type == "VARCHAR"
    if isinstance(wanted, str) and not text:
        try:
            wanted = json.loads(wanted)
        except ValueError:
            wanted = None
    if not isinstance(wanted, str if text else (int, float, bool)):
        raise FeatureError(
            f"feature {feature.name!r} ({feature.type}): its null policy is 'null', 'nan', 'error' or a value"
        )
    if not stands_in(by_sql(feature.type.split("[")[0]), wanted):
        raise FeatureError(f"feature {feature.name!r} is {feature.type}, which does not hold {wanted!r} as it is")
    return NullPolicy("value", wanted)
