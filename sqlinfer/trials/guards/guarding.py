"""From rows that the graph answers otherwise to guards: the smallest domain in which it is right, by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unicodedata import category

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.convert import Original
from sqlinfer.errors import shown
from sqlinfer.models.signature import Feature, Guard, NullPolicy
from sqlinfer.trials.guards.asking import Refusal
from sqlinfer.trials.guards.comparing import Comparison, brief, refused, value_refused
from sqlinfer.trials.guards.rows import SyntheticRow, is_number

__all__ = ["guarded", "guarded_further"]

_MOST_KNOWN = 2000
_FIRST_KNOWN = 8
# So many times as large as anything in the sample: where sums lose what is small.
_FAR = 1000
_ANYWHERE = ("nan", "infinite")


def guarded(
    original: Original, features: Sequence[Feature], sample: pa.Table, tried: Sequence[Comparison]
) -> list[Feature]:
    """The features with guards against each single value that was answered otherwise, where guards can tell it."""
    alone: dict[int, list[Comparison]] = {}
    for one in tried:
        if len(one.row.changed) == 1:
            alone.setdefault(one.row.changed[0], []).append(one)
    result = []
    for i, feature in enumerate(features):
        mine = alone.get(i, [])
        if any(one.wrong and one.row.values[i] is None for one in mine):
            feature = replace(feature, null=NullPolicy("error"))
        bad = [one for one in mine if one.wrong and one.row.values[i] is not None]
        good = [
            one.row.values[i] for one in mine if not one.wrong and one.is_answered and one.row.values[i] is not None
        ]
        guards = _guards(original, feature, i, sample.column(feature.name), bad, good) if bad else ()
        result.append(replace(feature, guards=tuple(guards)))
    result = _nulls_as_nan(_like_others(result, features, alone))
    return guarded_further(original, result, sample, tried)


def guarded_further(
    original: Original, features: Sequence[Feature], sample: pa.Table, tried: Sequence[Comparison]
) -> list[Feature]:
    """With guards, beside those that the features have, against rows that only several features make different, where
    one of these is out of the ordinary."""
    features = list(features)
    wrong = [one for one in tried if one.wrong]
    right = [one.row for one in tried if not one.wrong and one.is_answered]
    rows = [one.row for one in wrong]
    while left := [one for one, gone in zip(wrong, refused(features, rows), strict=True) if not gone]:
        odd = _oddest(left[0], features, sample, right)
        if odd is None:
            break
        i, guard = odd
        if guard is None:
            features[i] = replace(features[i], null=NullPolicy("error"))
            continue
        others = [known for known in features[i].guards if known.refuse != guard.refuse]
        if guard.known:
            before = [one for known in features[i].guards if known.refuse == guard.refuse for one in known.known]
            guard = replace(guard, known=(*before, *guard.known))
        features[i] = replace(features[i], guards=(*others, _said(original, features[i], guard, i, [left[0]])))
    return _nulls_as_nan(features)


def _oddest(
    one: Comparison, features: Sequence[Feature], sample: pa.Table, right: Sequence[SyntheticRow]
) -> tuple[int, Guard | None] | None:
    """A feature whose value no row of the sample is like, and what refuses it; None for the policy of its NULL.
    ``right``: rows that are answered as the original does."""
    for i in one.row.changed:
        if _is_mark(one.row.values[i]) and one.row.values[i] not in sample.column(features[i].name).to_pylist():
            return i, Guard("these", "", known=(one.row.values[i],))
    numbers = [i for i in one.row.changed if is_number(one.row.values[i])]
    for i in numbers:
        if not math.isfinite(one.row.values[i]):
            return i, Guard("nan" if math.isnan(one.row.values[i]) else "infinite", "")
    for i in sorted(numbers, key=lambda i: -abs(one.row.values[i])):
        value, known = one.row.values[i], [abs(x) for x in _plain(sample.column(features[i].name)) if math.isfinite(x)]
        far = _FAR * max([*known, 1.0])
        if abs(value) > far:
            fine = (abs(row.values[i]) for row in right if is_number(row.values[i]))
            far = max([far, *(x for x in fine if x < abs(value))])
            return i, Guard("above", "", bound=far) if value > 0 else Guard("below", "", bound=-far)
    nulls = (i for i in one.row.changed if one.row.values[i] is None)
    return next(((i, None) for i in nulls), None)


def _is_mark(value: Any) -> bool:
    """A text of what Unicode calls no characters, as graphs have in the place of what is missing."""
    return isinstance(value, str) and any(category(letter) == "Cn" for letter in value)


def _guards(
    original: Original,
    feature: Feature,
    i: int,
    column: pa.ChunkedArray,
    bad: Sequence[Comparison],
    good: Sequence[Any],
) -> list[Guard]:
    values = [one.row.values[i] for one in bad]
    if types.is_bytes(column.type):  # no image tells by itself that it is another
        return []
    if types.is_list(column.type):
        found = _of_lists(values)
    elif types.is_text(column.type):
        found = _of_texts(values, good, column)
    else:
        found = _of_numbers(values, good, column)
    return [_said(original, feature, guard, i, bad) for guard in found]


def _of_lists(values: Sequence[Any]) -> list[Guard]:
    leaves = [x for value in values for x in np.ravel(np.array(value, object)) if isinstance(x, float)]
    guards = [Guard("nan", "")] if any(map(math.isnan, leaves)) else []
    return [*guards, Guard("infinite", "")] if any(map(math.isinf, leaves)) else guards


def _of_numbers(values: Sequence[Any], good: Sequence[Any], column: pa.ChunkedArray) -> list[Guard]:
    guards = [Guard("nan", "")] if any(math.isnan(x) for x in values) else []
    guards += [Guard("infinite", "")] if any(math.isinf(x) for x in values) else []
    known = [x for x in _plain(column) if math.isfinite(x)]
    left = [float(x) for x in values if math.isfinite(x)]
    if not known or not left:
        return guards
    is_whole = all(x % 1 == 0 for x in known)
    if is_whole and any(x % 1 for x in left if min(known) <= x <= max(known)):
        guards.append(Guard("fraction", ""))
        left = [x for x in left if x % 1 == 0]
    if is_whole and any(min(known) <= x <= max(known) for x in left) and len(set(known)) <= _MOST_KNOWN:
        right = {float(x) for x in [*known, *good] if math.isfinite(x) and x % 1 == 0}
        return [Guard("other", "", known=tuple(sorted(right)))]
    fine = [float(x) for x in [*known, *good] if math.isfinite(x)]
    above, below = [x for x in left if x > max(known)], [x for x in left if x < min(known)]
    if below:
        guards.append(Guard("below", "", bound=min(x for x in fine if x > max(below))))
    if above:
        guards.append(Guard("above", "", bound=max(x for x in fine if x < min(above))))
    return guards


def _of_texts(values: Sequence[str], good: Sequence[str], column: pa.ChunkedArray) -> list[Guard]:
    known = set(column.drop_null().to_pylist())
    if marks := sorted(x for x in values if x not in known and _is_mark(x)):
        rest = _of_texts([x for x in values if x not in marks], good, column) if len(marks) < len(values) else []
        return [Guard("these", "", known=tuple(marks)), *rest]
    longest = max(map(len, [*known, *good]), default=0)
    blanks = any(x.isspace() and x.isascii() for x in values)
    kinds = {
        Guard("empty", ""): [x for x in values if x == ""],
        Guard("blank", ""): [x for x in values if x.isspace() and blanks],
        Guard("not_ascii", ""): [x for x in values if not x.isascii() and not (x.isspace() and blanks)],
        Guard("longer", "", bound=longest): [x for x in values if x.isascii() and len(x) > longest],
    }
    guards = [guard for guard, bad in kinds.items() if bad and not any(value_refused(guard, x) for x in known)]
    if set(values).difference(*(kinds[guard] for guard in guards)) and len(known) <= _MOST_KNOWN:
        return [Guard("other", "", known=tuple(sorted(known | set(good))))]
    return guards


def _said(original: Original, feature: Feature, guard: Guard, i: int, bad: Sequence[Comparison]) -> Guard:
    """With its sentence: what the original does, and what to write instead."""
    first = next((one for one in bad if value_refused(guard, one.row.values[i])), bad[0])
    call = first.wrong or "predict"
    if isinstance(first.original, Refusal):
        does = f"{original.model} refuses it ({first.original.reason})"
    else:
        value = first.row.values[i]
        where = f"for {shown(value)}" if isinstance(value, (str, float)) else "there"
        ours = f"{original.conversion} {brief(first.graph, call)}"
        does = f"{original.model} {brief(first.original, call)} {where}, {ours}"
    return replace(guard, says=f"{does}; {_instead(feature, guard)}")


def _instead(feature: Feature, guard: Guard) -> str:
    name = feature.name
    known = ", ".join(f"{x:g}" if isinstance(x, float) else repr(x) for x in guard.known[:_FIRST_KNOWN])
    bound = f"{guard.bound:.17g}" if guard.bound is not None else ""
    advice = {
        "nan": f"leave such rows out, with WHERE NOT isnan({name}), or write a number",
        "infinite": f"leave such rows out, with WHERE isfinite({name}), or write a number",
        "below": f"it is proven from {bound} on: leave such rows out, with WHERE {name} >= {bound}",
        "above": f"it is proven up to {bound}: leave such rows out, with WHERE {name} <= {bound}",
        "fraction": f"give whole numbers, such as round({name})",
        "other": f"it knows {known}{' …' if len(guard.known) > _FIRST_KNOWN else ''}: write one of these",
        "these": "these stand for something else there: write another text",
        "empty": f"leave such rows out, with WHERE {name} <> ''",
        "blank": f"leave such rows out, with WHERE trim({name}) <> ''",
        "not_ascii": f"write it without accents, such as strip_accents({name})",
        "longer": f"give at most {bound} characters, such as left({name}, {bound})",
    }
    return advice[guard.refuse]


def _like_others(
    result: Sequence[Feature], features: Sequence[Feature], alone: dict[int, list[Comparison]]
) -> list[Feature]:
    """Of very many features not all are tried alone: what the others of the type have, these have."""
    tried = [feature for i, feature in enumerate(result) if i in alone]
    copied = []
    for i, feature in enumerate(result):
        if i not in alone:
            like = [guard for other in tried if other.type == feature.type for guard in other.guards]
            anywhere = {guard.refuse: guard for guard in like if guard.refuse in _ANYWHERE}
            feature = replace(feature, guards=tuple(anywhere.values()))
            pairs = zip(result, features, strict=True)
            if any(o.type == feature.type and o.null.kind == "error" != f.null.kind for o, f in pairs):
                feature = replace(feature, null=NullPolicy("error"))
        copied.append(feature)
    return copied


def _nulls_as_nan(features: Sequence[Feature]) -> list[Feature]:
    """A NULL that is given as NaN is refused where NaN is."""
    return [
        replace(f, null=NullPolicy("error")) if f.null.kind == "nan" and any(g.refuse == "nan" for g in f.guards) else f
        for f in features
    ]


def _plain(column: pa.ChunkedArray) -> list[float]:
    return [float(x) for x in column.drop_null().to_pylist()]
