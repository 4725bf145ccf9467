"""A registered model as Python sees it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from sqlinfer.engines.files import rows_of
from sqlinfer.errors import named
from sqlinfer.models.profile import Profile
from sqlinfer.models.registry import Registry, RegistryLike, StoredModel
from sqlinfer.models.sample import to_series, to_table
from sqlinfer.models.signature import Label
from sqlinfer.runtime.scorer import Scorer

__all__ = ["Model", "load", "models"]


def load(reference: str, *, registry: RegistryLike = None) -> Model:
    """The model that ``reference`` means now: 'churn', 'churn/3' or 'churn@champion'. Raises ModelNotFound."""
    store = Registry.of(registry)
    return Model(store.get(reference), store)


def models(*, registry: RegistryLike = None) -> list[Model]:
    """Every version of every model, by name and number; those that cannot be read are left out."""
    store = Registry.of(registry)
    return [Model(stored, store) for stored in store.all()]


class Model:
    """One version of a registered model. It shows itself in a notebook, and predicts without SQL."""

    def __init__(self, stored: StoredModel, registry: Registry) -> None:
        self._stored = stored
        self._registry = registry
        self.manifest = stored.manifest
        self._scorers: dict[str, Scorer] = {}

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def aliases(self) -> list[str]:
        return sorted(a for a, version in self._registry.aliases(self.name).items() if version == self.version)

    @property
    def features(self) -> dict[str, str]:
        """What it takes, in order: the SQL type of each feature by its name."""
        return {feature.name: feature.type for feature in self.manifest.signature.features}

    @property
    def classes(self) -> list[Label]:
        """The labels that it chooses from, in the order of predict_proba(); none of a model that has none."""
        return list(self.manifest.signature.labels or ())

    @property
    def target(self) -> str | None:
        """The column that it was trained to predict, where that was said."""
        return self.manifest.target

    @property
    def profile(self) -> Profile | None:
        """Statistics of the sample that it was registered with, which print as a table; None where none were kept."""
        return self._stored.profile

    @property
    def background(self) -> pa.Table | None:
        """Up to 256 rows of that sample, with a column for each feature; None where none were kept."""
        return self._stored.background

    def predict(self, data: Any) -> Any:
        """The answers for the rows of a DataFrame, an Arrow table or a matrix; features are found by name. They are
        those of SQL, bit by bit.

        A pandas DataFrame gets a Series with its index, one row, as in ``predict({'age': 41, 'city': 'Bern'})``, its
        answer, everything else an Arrow array. Raises FeatureError.
        """
        return self._answer("predict", data)

    def predict_proba(self, data: Any) -> Any:
        """As `predict`, with a map from each class to its probability. Raises ModelNotFound without classes."""
        return self._answer("predict_proba", data)

    def infer(self, data: Any) -> Any:
        """As `predict`, with every output of the graph by name."""
        return self._answer("infer", data)

    def alias(self, alias: str) -> Model:
        """Let ``name@alias`` mean this version; ``model.alias('default')`` promotes it."""
        self._registry.alias(self.name, alias, self.version)
        return self

    def _answer(self, call: str, data: Any) -> Any:
        manifest = self.manifest
        self._stored.call(call)  # whether it has such an answer comes before what it is given
        names = manifest.signature.feature_names
        if _is_row(data):
            (answer,) = self._answer(call, _one_row(data))
            return dict(answer.as_py()) if pa.types.is_map(answer.type) and answer.is_valid else answer.as_py()
        data = rows_of(data)
        table = to_table(data, names if not hasattr(data, "columns") and hasattr(data, "ndim") else None)
        answers = self._scorer(call)(table)
        if type(data).__module__.startswith("pandas"):
            return to_series(answers, data, call)
        return answers

    def _scorer(self, call: str) -> Scorer:
        if call not in self._scorers:
            self._scorers[call] = Scorer(self._registry, self._stored, call)
        return self._scorers[call]

    def __repr__(self) -> str:
        return f"<sqlinfer.Model {self.name}/{self.version} {self._sql()}>"

    def _sql(self) -> str:
        signature = self.manifest.signature
        features = ", ".join(f"{f.name} {f.type}" for f in signature.features[:12])
        more = ", …" if len(signature.features) > 12 else ""
        return f"predict({features}{more}) → {signature.calls['predict'].type}"

    def _repr_html_(self) -> str:
        """A card: what it is, what it takes, what it gives."""
        manifest, signature = self.manifest, self.manifest.signature
        rows = "".join(
            f"<tr><td>{html.escape(f.name)}</td><td>{html.escape(f.type)}</td><td>{html.escape(str(f.null))}</td>"
            f"<td>{html.escape(', '.join(map(str, f.guards)))}</td></tr>"
            for f in signature.features
        )
        facts = " · ".join(
            html.escape(text)
            for text in (manifest.task, manifest.source.framework, manifest.source.model, manifest.created)
        )
        classes = f" of {html.escape(named(map(repr, self.classes)))}" if self.classes else ""
        aliases = "".join(f" <code>@{html.escape(alias)}</code>" for alias in self.aliases)
        return (
            f"<div><b>{html.escape(self.name)}</b>/{self.version}{aliases}<br><small>{facts}</small><br>"
            f"<code>predict('{html.escape(self.name)}', …)</code> → <code>"
            f"{html.escape(signature.calls['predict'].type)}</code>{classes}"
            f"<details><summary>{len(signature.features)} features</summary><table><thead><tr><th>feature</th>"
            f"<th>type</th><th>NULL</th><th>refused</th></tr></thead><tbody>{rows}</tbody></table></details></div>"
        )


def _is_row(data: Any) -> bool:
    """A dict of single values; one of lists is columns."""
    return isinstance(data, Mapping) and bool(data) and not any(map(_is_column, data.values()))


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, bytearray, Mapping))


def _one_row(row: Mapping[str, Any]) -> pa.Table:
    return pa.table({str(name): pa.array([value]) for name, value in row.items()})
