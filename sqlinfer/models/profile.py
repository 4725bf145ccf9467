"""What is kept of the sample that a model was registered with: its statistics, and some of its rows.

profile.json, of all rows that the user gave:

    rows        how many these are
    features    in the order of the model, each
                  name
                  nulls     rows that have no value
                  numbers   of a number, BOOLEAN as 0 and 1:
                              nans, infinite   how many values are NaN, or infinite; all that follows is of the others
                              zeros, min, max, mean, std (of a sample, as DuckDB's stddev), median
                              edges   11 numbers: the smallest, the nine deciles, the largest (as quantile_cont)
                              counts  10 numbers: how many values lie from an edge up to the next one, which only the
                                      last includes; edges may be equal, and nothing lies between them
                            null and [] where there is nothing to tell it of
                  texts     of a text:
                              distinct   how many different ones there are
                              top        [value, count] of the twenty most frequent ones of at most 200 characters
                  lengths   of a text (characters), a list (values) or a BLOB (bytes): min, mean, max, or null

background.json:

    rows        at most 256 of them, spread evenly: feature values in feature order, as in the proof of model.json;
                fewer where they are large, and none of images
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlinfer.errors import RegistryError
from sqlinfer.models.fields import fault
from sqlinfer.models.strict_json import read_json
from sqlinfer.tables import table_lines

__all__ = ["BACKGROUND_FILE", "PROFILE_FILE", "FeatureProfile", "Lengths", "Numbers", "Profile", "Texts"]

PROFILE_FILE = "profile.json"
BACKGROUND_FILE = "background.json"
_NUMBER = "number or null"
_FIELDS: dict[str, Any] = {
    "rows": "count",
    "features": [
        {
            "name": "text",
            "nulls": "count",
            "numbers?": {
                **dict.fromkeys(("nans", "infinite", "zeros"), "count"),
                **dict.fromkeys(("min", "max", "mean", "std", "median"), _NUMBER),
                "edges": ["number"],
                "counts": ["count"],
            },
            "texts?": {"distinct": "count", "top": [["text or number"]]},
            "lengths?": {"min": "count or null", "mean": _NUMBER, "max": "count or null"},
        }
    ],
}
_NUMBERS = ("feature", "missing", "zero", "min", "10%", "median", "mean", "90%", "max", "std")
_OTHERS = ("feature", "missing", "distinct", "most frequent", "length")
_SHOWN = 3
_LONGEST = 24


@dataclass(frozen=True, slots=True)
class Numbers:
    nans: int
    infinite: int
    zeros: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    median: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    distinct: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    min: int | None
    mean: float | None
    max: int | None


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    name: str
    nulls: int
    numbers: Numbers | None = None
    texts: Texts | None = None
    lengths: Lengths | None = None

    @property
    def missing(self) -> int:
        return self.nulls + (self.numbers.nans if self.numbers else 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """Statistics of the sample. Printed, it is a table."""

    rows: int
    features: tuple[FeatureProfile, ...]

    def to_json(self) -> str:
        features = [{key: value for key, value in asdict(one).items() if value is not None} for one in self.features]
        lines = ",\n  ".join(json.dumps(one, ensure_ascii=False, allow_nan=False) for one in features)
        return f'{{\n "rows": {self.rows},\n "features": [\n  {lines}\n ]\n}}\n'

    @classmethod
    def of(cls, content: bytes, where: object) -> Profile:
        """Raises RegistryError for what is no profile."""
        try:
            fields = read_json(content)
            if found := fault(fields, _FIELDS):
                raise ValueError(found)
            return cls(fields["rows"], tuple(map(_feature, fields["features"])))
        except ValueError as error:
            raise RegistryError(f"{where} is damaged ({error}); register the model again") from error

    def tables(self) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        """For people: the headings and the rows of a table of the numbers, and of one of all else."""
        numbers = [(one, one.numbers) for one in self.features if one.numbers]
        if numbers:
            yield _NUMBERS, [self._row_of_numbers(one, of) for one, of in numbers]
        others = [one for one in self.features if not one.numbers]
        if others:
            yield _OTHERS, [self._row_of_others(one) for one in others]

    def _row_of_numbers(self, one: FeatureProfile, of: Numbers) -> tuple[str, ...]:
        low, high = (of.edges[1], of.edges[-2]) if of.edges else (None, None)
        values = (of.min, low, of.median, of.mean, high, of.max, of.std)
        return one.name, self._share(one.missing), self._share(of.zeros), *map(_brief, values)

    def _row_of_others(self, one: FeatureProfile) -> tuple[str, ...]:
        top = one.texts.top[:_SHOWN] if one.texts else ()
        frequent = ", ".join(f"{_cut(value)} {self._share(count)}" for value, count in top)
        length = one.lengths
        ends = (length.min, length.max) if length else (None, None)
        lengths = "" if ends[0] is None else f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        return one.name, self._share(one.missing), str(one.texts.distinct) if one.texts else "", frequent, lengths

    def _share(self, count: int) -> str:
        share = 100 * count / max(self.rows, 1)
        return f"{share:.0f}%" if share >= 1 or not count else "<1%"

    def __str__(self) -> str:
        lines = [f"{self.rows:,} rows"]
        for head, rows in self.tables():
            lines += ["", *table_lines(head, rows)]
        return "\n".join(lines)


def _feature(fields: dict[str, Any]) -> FeatureProfile:
    numbers, texts, lengths = (fields.get(name) for name in ("numbers", "texts", "lengths"))
    return FeatureProfile(
        fields["name"],
        fields["nulls"],
        numbers and Numbers(**_known(Numbers, numbers, edges=tuple(numbers["edges"]), counts=tuple(numbers["counts"]))),
        texts and Texts(**_known(Texts, texts, top=tuple(_pair(one) for one in texts["top"]))),
        lengths and Lengths(**_known(Lengths, lengths)),
    )


def _known(cls: Any, fields: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {**{name: fields[name] for name in cls.__dataclass_fields__}, **others}


def _pair(values: list[Any]) -> tuple[str, int]:
    if [type(value) for value in values] != [str, int]:
        raise ValueError("a text without its count")
    return values[0], values[1]


def _brief(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def _cut(text: str) -> str:
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return text if text.isprintable() and text.strip() == text and text else repr(text)
