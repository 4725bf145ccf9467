"""The features of a graph, and what they are called.

A name that the file has for a feature, in its metadata or as that of an input, is the feature's: columns of a sample
are found by it, wherever they stand. Features without such a name are called as their user or their sample has them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import BadReference, FeatureError, named
from sqlinfer.graphs.batch_axis import distinct_names
from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.signature import Feature, Tensor
from sqlinfer.types import DTYPES

__all__ = ["Form", "choose", "forms_of", "nested_type", "require_distinct"]

# Above this width a matrix is an embedding or an image: one list, not that many arguments.
_MOST_COLUMNS = 512
_MOST_IN_ARRAY = 10_000


@dataclass(frozen=True, slots=True)
class Form:
    """One way to divide the inputs of a graph into features. ``own``: whether the file has a feature's name, or it was
    made up."""

    features: tuple[Feature, ...]
    own: tuple[bool, ...]

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def behind(self, first: Sequence[Feature]) -> Form:
        """With other features, of made-up names, before its own."""
        return Form((*first, *self.features), (*[False] * len(first), *self.own))


def forms_of(graph: Graph, given: int = 0) -> list[Form]:
    """One feature for each column of a [batch, k] input and one for every other input; and, where that is something
    else, one list for each input. The likelier first. ``given``: how many names or columns there are to choose from.

    Raises FeatureError.
    """
    if not graph.inputs:
        return [Form((), ())]
    known = _names_in_metadata(graph)
    columns = sum(_columns(tensor) for tensor in graph.inputs)  # a file may declare any width
    if known and len(known) not in (columns, len(graph.inputs)):
        raise FeatureError(f"{len(known)} feature names given for a model of {columns} features")
    lists = _form([_whole(tensor) for tensor in graph.inputs], graph, known)
    if columns == len(graph.inputs) or columns > max(_MOST_COLUMNS, given, len(known)):
        return [lists]
    singles = _form([feature for tensor in graph.inputs for feature in _by_column(tensor)], graph, known)
    are_lists = len(known) == len(graph.inputs) if known else columns > _MOST_COLUMNS
    return [lists, singles] if are_lists else [singles, lists]


def choose(
    forms: Sequence[Form], names: Sequence[str] = (), sample: pa.Schema | None = None, renamed: Sequence[str] = ()
) -> list[Feature]:
    """The features, in the first of the forms that has them, as the user calls them or, without ``names``, as the
    columns of the sample are called. Raises FeatureError where columns, or names, are not those of the file.

    ``renamed``: what the sample calls the columns that the user gives ``names``.
    """
    if names:
        features = _named(forms, names)
        _named(forms, renamed or names)
    elif sample is not None:
        features = _sampled(forms, sample)
    else:
        features = list(forms[0].features)
    require_distinct(features)
    return features


def require_distinct(features: Sequence[Feature]) -> None:
    """Raises FeatureError."""
    seen: set[str] = set()
    for feature in features:
        if feature.name.lower() in seen:
            name = feature.name.lower()
            raise FeatureError(f"two features are called {name!r} (SQL ignores case); give names that differ")
        seen.add(feature.name.lower())


def nested_type(element: str, axes: tuple[int | None, ...]) -> str:
    """Arrays where lengths are fixed. DuckDB reserves an ARRAY for each of the 2048 rows of a vector, however few there
    are, so that what is large is a list of lists."""
    large = math.prod(axis for axis in axes if axis is not None) > _MOST_IN_ARRAY
    return types.nested(element, (None,) * len(axes) if large else axes)


def _form(features: Sequence[Feature], graph: Graph, known: Sequence[str]) -> Form:
    if len(known) == len(features):
        return Form(tuple(_renamed(f, name) for f, name in zip(features, known, strict=True)), (True,) * len(known))
    own = tuple(feature.name == feature.tensor for feature in features)
    if len(graph.inputs) == 1 and len(features) > 1:
        features = [_renamed(feature, f"f{i}") for i, feature in enumerate(features)]
    told_apart = distinct_names([feature.name for feature in features])
    return Form(tuple(_renamed(f, name) for f, name in zip(features, told_apart, strict=True)), own)


def _named(forms: Sequence[Form], names: Sequence[str]) -> list[Feature]:
    """In their order, which is that of the file: a name of the file's is not given to another of its features."""
    form = next((form for form in (*forms[::-1], *forms) if len(form.features) == len(names)), None)
    if form is None:
        raise FeatureError(f"{len(names)} feature names given for a model of {len(forms[0].features)} features")
    own = {name.lower(): i for i, (name, known) in enumerate(zip(form.names, form.own, strict=True)) if known}
    for i, name in enumerate(names):
        if own.get(name.lower(), i) != i:
            raise FeatureError(
                f"the names given call feature {i + 1} {name!r}, which the file calls {form.names[i]!r}; "
                f"{name!r} is feature {own[name.lower()] + 1} there: name them in the file's order, {named(form.names)}"
            )
    return [_renamed(feature, name) for feature, name in zip(form.features, names, strict=True)]


def _sampled(forms: Sequence[Form], sample: pa.Schema) -> list[Feature]:
    """As the first form that the columns of the sample fit."""
    types_of = {column.name.lower(): column.type for column in sample}
    for form in forms:
        features = _in_columns(form, sample)
        if features is not None and all(_takes(feature, types_of[feature.name.lower()]) for feature in features):
            return features
    form = forms[0]
    lost = next((n for n, own in zip(form.names, form.own, strict=True) if own and n.lower() not in types_of), None)
    why = f"has no column {lost!r}" if lost else f"has {len(sample.names)} columns"
    raise FeatureError(
        f"the model takes {len(form.names)} features, {named(form.names)}, and the sample {why}: "
        f"{named(sample.names)}; name the columns that it takes, in the order of its features, with --features A,B,C "
        "(features=[…])"
    )


def _in_columns(form: Form, sample: pa.Schema) -> list[Feature] | None:
    """What the file has names for is found by them; the other columns are the other features: a text or an image is the
    only one of its type, the rest have the features' order. None where they do not come out even."""
    columns = {name.lower(): name for name in sample.names}
    features = list(form.features)
    if all(name.lower() in columns for name in form.names):
        return features
    own = {name.lower() for name, known in zip(form.names, form.own, strict=True) if known and len(features) > 1}
    if not own <= set(columns):
        return None
    left = [name for lower, name in columns.items() if lower not in own]
    others = [i for i, feature in enumerate(features) if feature.name.lower() not in own]
    for i in [i for i in others if features[i].prepare is not None]:
        fitting = [name for name in left if _takes(features[i], sample.field(name).type)]
        if len(fitting) == 1:
            features[i] = _renamed(features[i], fitting[0])
            left.remove(fitting[0])
            others.remove(i)
    if others and len(others) != len(left):
        return None
    for i, name in zip(others, left, strict=False):
        features[i] = _renamed(features[i], name)
    return features


def _takes(feature: Feature, given: pa.DataType) -> bool:
    """Whether a column of this type may be the feature; which numbers and texts it takes, is said elsewhere."""
    if feature.prepare is not None:
        return types.is_text(given) if feature.type == "VARCHAR" else types.is_bytes(given)
    return ("[" in feature.type) == (types.is_list(given) or types.is_bytes(given))


def _columns(tensor: Tensor) -> int:
    """How many features `_by_column` makes."""
    axes = tensor.shape[1:]
    return 1 if len(axes) != 1 or tensor.shared else axes[0] or 1


def _by_column(tensor: Tensor) -> list[Feature]:
    """One feature for each column of a matrix of a known width."""
    if _columns(tensor) == 1:
        return [_whole(tensor)]
    sql = DTYPES[tensor.dtype].sql
    return [Feature(f"{tensor.name}_{i}", sql, tensor.name, i) for i in range(_columns(tensor))]


def _whole(tensor: Tensor) -> Feature:
    """One feature for the tensor: a scalar where there is one value a row, else a list."""
    element, axes = DTYPES[tensor.dtype], tensor.shape[1:]
    if axes == (1,):
        return Feature(tensor.name, element.sql, tensor.name, 0)
    return Feature(tensor.name, nested_type(element.sql, axes), tensor.name)


def _renamed(feature: Feature, name: str) -> Feature:
    if not name:
        raise BadReference("a feature needs a name")
    return replace(feature, name=name)


def _names_in_metadata(graph: Graph) -> list[str]:
    """Names that exporters leave in the file: a JSON list under ``feature_names``, or a comma-separated text."""
    text = graph.metadata.get("feature_names", "")
    try:
        names = json.loads(text)
    except ValueError:
        names = text.split(",") if text else []
    return [str(name).strip() for name in names] if isinstance(names, list) else []
