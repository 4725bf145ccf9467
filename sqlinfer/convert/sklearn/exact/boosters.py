"""XGBoost, LightGBM and CatBoost models behind other steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.boosted import Forest, above, add_answers, in_singles
from sqlinfer.convert.sklearn.exact.dispatch import classifier, regressor
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__: list[str] = []


def _forest(model: Any, x: Table) -> Forest:
    family = type(model).__module__.split(".")[0]
    if family == "xgboost":
        from sqlinfer.convert.xgboost import forest_of

        return forest_of(model, sparse=x.sparse)
    if family == "lightgbm":
        from sqlinfer.convert.lightgbm import forest_of as forest_of_booster

        return forest_of_booster(model.booster_)
    from sqlinfer.convert.catboost import forest_of as forest_of_catboost

    return forest_of_catboost(model)


def _coded(w: Writer, model: Any, x: Table) -> Table:
    """The columns, those that were pandas' categories in training as the numbers of their categories."""
    trained = _categories(model, x.width)
    if not trained:
        return x
    columns = list(x.columns)
    for place, categories in trained.items():
        codes = w.codes(x.columns[place], categories, np.arange(len(categories), dtype=np.float64), np.nan)
        if type(model).__module__.startswith("xgboost"):
            known = [*categories, None]
            strange = w.codes(x.columns[place], known, np.zeros(len(known)), 1.0)
            w.refuse_any(
                w.add("Equal", strange, w.number(1)),
                f"column {place} of the {name_of(model)} has a category that it never saw, and takes for another; "
                "write TRY(predict(…)) for NULL in its place",
            )
        columns[place] = w.table(codes, 1, safe="inf single").columns[0]
    return Table(tuple(columns), x.sparse)


def _categories(model: Any, width: int) -> dict[int, list[Any]]:
    """By place of the column. Raises Unsupported where the model does not tell."""
    family = type(model).__module__.split(".")[0]
    if family == "xgboost":
        from sqlinfer.convert.xgboost import kept_categories

        return kept_categories(model.get_booster())
    if family == "lightgbm":
        dump = model.booster_.dump_model()
        trained = dump.get("pandas_categorical") or []
        infos = list((dump.get("feature_infos") or {}).values())
        known = [place for place, info in enumerate(infos) if info.get("values")]
        if trained and len(known) != len(trained):
            raise Unsupported(f"a {name_of(model)} of pandas categories behind other steps")
        return dict(zip(known, trained, strict=True)) if trained else {}
    return {}


def _answers(w: Writer, forest: Forest, x: Table, *, classifies: bool) -> str:
    value = w.matrix(x)
    if not forest.double:
        value = in_singles(w, value, forest)
    answers = add_answers(w, forest, value, classifier=classifies, width=x.width)
    if forest.double:
        return answers
    wide = w.add("Cast", answers, to=TensorProto.DOUBLE)
    w.also_single(wide, answers)
    return wide


@regressor("XGBRegressor", "XGBRFRegressor", "LGBMRegressor", "CatBoostRegressor")
def _regressor(w: Writer, model: Any, x: Table) -> Table:
    forest = _forest(model, x)
    answers = _answers(w, forest, _coded(w, model, x), classifies=False)
    return w.table(answers, forest.outputs, np.float64 if forest.double else np.float32)


@classifier("XGBClassifier", "XGBRFClassifier", "LGBMClassifier", "CatBoostClassifier")
def _classifier(w: Writer, model: Any, x: Table) -> Scores:
    classes = np.asarray(model.classes_)
    if classes.ndim != 1 or len(classes) < 2:
        raise Unsupported(f"a {name_of(model)} of one class, or of several labels")
    forest = _forest(model, x)
    if forest.link == "argmax":
        forest = replace(forest, link="softmax")
    proba = _answers(w, forest, _coded(w, model, x), classifies=True)
    if forest.threshold == 0.5:
        return Scores(proba, proba)
    return Scores(above(w, proba, forest), proba)
