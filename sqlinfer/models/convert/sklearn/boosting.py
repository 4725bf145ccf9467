"""XGBoost and LightGBM models inside a scikit-learn pipeline: our trees as converters for skl2onnx."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.errors import ConversionFailed
from sqlinfer.models.convert.boosted import Forest, add_answers, add_label
from sqlinfer.models.convert.graph import GraphBuilder
from sqlinfer.models.convert.sklearn.container import write
from sqlinfer.models.convert.trees import needs_sets

__all__ = ["register_boosting"]

_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [False, True]}


def register_boosting() -> None:
    """Teach skl2onnx the models of the frameworks that are installed."""
    if importlib.util.find_spec("xgboost"):
        import xgboost

        from sqlinfer.models.convert.xgboost import forest_of

        classifiers = (xgboost.XGBClassifier, xgboost.XGBRFClassifier)
        _register((*classifiers, xgboost.XGBRegressor, xgboost.XGBRFRegressor), classifiers, forest_of)
    if importlib.util.find_spec("lightgbm"):
        import lightgbm

        from sqlinfer.models.convert.lightgbm import forest_of as forest_of_booster

        _register(
            (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor),
            (lightgbm.LGBMClassifier,),
            lambda model: forest_of_booster(model.booster_),
        )


def _register(kinds: tuple[type, ...], classifiers: tuple[type, ...], forest_of: Callable[[Any], Forest]) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    def convert(scope: Any, operator: Any, container: Any) -> None:
        _convert(scope, operator, container, forest_of(operator.raw_operator))

    for kind in kinds:
        classifies = kind in classifiers
        shape = (
            shapes.calculate_linear_classifier_output_shapes
            if classifies
            else shapes.calculate_linear_regressor_output_shapes
        )
        update_registered_converter(
            kind, f"Sqlinfer{kind.__name__}", shape, convert, options=_OPTIONS if classifies else None
        )


def _convert(scope: Any, operator: Any, container: Any, forest: Forest) -> None:
    """Write the trees in single precision: version 5, which has doubles and sets, cannot stand beside the operators
    that skl2onnx writes."""
    from skl2onnx.common.data_types import guess_proto_type

    model = operator.raw_operator
    if needs_sets(forest.trees):
        raise ConversionFailed(
            f"the categories of a {type(model).__name__} inside a pipeline cannot be converted; register the model "
            "itself, or encode the categories in the pipeline"
        )
    classes = getattr(model, "classes_", None)
    if classes is not None and forest.link == "argmax":
        forest = replace(forest, link="softmax")
    graph = GraphBuilder(scope.get_unique_variable_name("trees") + "_")
    source = graph.add("Cast", operator.inputs[0].full_name, to=TensorProto.FLOAT)
    answers = add_answers(graph, replace(forest, double=False), source, classifier=classes is not None)
    kind = guess_proto_type(operator.outputs[-1].type)
    graph.add("Cast", answers, name=operator.outputs[-1].full_name, to=kind or TensorProto.FLOAT)
    if classes is not None:
        add_label(graph, answers, np.asarray(classes), operator.outputs[0].full_name)
    write(graph, scope, container)
