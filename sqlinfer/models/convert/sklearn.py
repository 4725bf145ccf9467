"""scikit-learn estimators and pipelines, by skl2onnx; XGBoost and LightGBM models may stand in a pipeline."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.errors import ConversionFailed, MissingExtra
from sqlinfer.models.convert.labels import labels_of
from sqlinfer.models.convert.original import Candidate, Original
from sqlinfer.models.sample import Sample

__all__ = ["open_original"]

_OPSETS = {"": 18, "ai.onnx.ml": 3}
# The columns as they are; then, for converters that do not mix kinds of numbers, fewer kinds.
_REPLACEMENTS: list[dict[str, str]] = [
    {},
    {"BIGINT": "DOUBLE", "BOOLEAN": "DOUBLE"},
    {"BIGINT": "DOUBLE", "BOOLEAN": "DOUBLE", "FLOAT": "DOUBLE"},
    {"DOUBLE": "FLOAT", "BOOLEAN": "FLOAT"},
    {"DOUBLE": "FLOAT", "BOOLEAN": "FLOAT", "BIGINT": "FLOAT"},
]


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    try:
        import skl2onnx
        import sklearn
    except ImportError as error:
        raise MissingExtra.of("skl2onnx", "sklearn", "registering a scikit-learn estimator") from error
    labels, label_type = labels_of(getattr(model, "classes_", None))
    original = Original(
        framework=f"scikit-learn {sklearn.__version__}",
        model=_describe(model),
        converter=f"skl2onnx {skl2onnx.__version__}",
        task=_task(model, labels),
        answers=lambda rows: _answers(model, rows),
        labels=labels,
        label_type=label_type,
    )
    return original, _candidates(model, sample)


def _answers(model: Any, rows: Sample) -> dict[str, Any]:
    native = rows.native()
    answers = {}
    if hasattr(model, "predict"):
        answers["predict"] = np.asarray(model.predict(native))
    elif hasattr(model, "transform"):
        answers["predict"] = _dense(model.transform(native))
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        answers["predict_proba"] = np.asarray(model.predict_proba(native))
    return answers


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _task(model: Any, labels: tuple[Any, ...]) -> str:
    kind = getattr(model, "_estimator_type", None)
    if kind is None:
        from sklearn.utils import get_tags

        kind = get_tags(model).estimator_type
    known = {"classifier": "classification", "regressor": "regression", "clusterer": "clustering"}
    return "classification" if labels else known.get(str(kind), "other")


def _describe(model: Any) -> str:
    steps = getattr(model, "steps", None)
    inner = f"({', '.join(type(step).__name__ for _, step in steps)})" if steps else ""
    return type(model).__name__ + inner


def _candidates(model: Any, sample: Sample) -> Iterator[Candidate]:
    """Double first: scikit-learn computes in double. Then whatever else the converter and ONNX Runtime can do."""
    from skl2onnx.common import data_types as t

    tensors = {
        "DOUBLE": t.DoubleTensorType,
        "FLOAT": t.FloatTensorType,
        "BIGINT": t.Int64TensorType,
        "BOOLEAN": t.BooleanTensorType,
        "VARCHAR": t.StringTensorType,
    }
    faithful = _convertible(model)
    failures: list[str] = []
    found = False
    for types in _type_choices(sample, by_column=_by_column(model, sample)):
        features: list[tuple[str, str, str, int | None]]
        if isinstance(types, str):
            initial = [("X", tensors[types]([None, len(sample.names)]))]
            features = [(name, types, "X", i) for i, name in enumerate(sample.names)]
            note = f"one {types} matrix"
        else:
            initial = [(name, tensors[type]([None, 1])) for name, type in types.items()]
            features = [(name, type, name, 0) for name, type in types.items()]
            note = "columns " + ", ".join(sorted(set(types.values())))
        try:
            converted = _to_onnx(faithful, initial)
        except Exception as error:  # the converters raise what they like
            failures.append(f"{note}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        if "DOUBLE" in note:
            converted = _impute_in_double(converted)
        _use_any_locale(converted)
        for form, graph in _tree_forms(converted):
            found = True
            yield Candidate(graph, features, note + form)
    if not found:
        raise ConversionFailed(f"skl2onnx cannot convert this {_describe(model)}; " + "; ".join(failures))


def _type_choices(sample: Sample, *, by_column: bool) -> Iterator[str | dict[str, str]]:
    own = {name: sample.sql_type(name) for name in sample.names}
    if not by_column:
        kinds = set(own.values())
        if kinds == {"VARCHAR"}:
            yield "VARCHAR"
        elif "VARCHAR" not in kinds:
            yield from ("FLOAT", "DOUBLE") if kinds == {"FLOAT"} else ("DOUBLE", "FLOAT")
        return
    seen: list[dict[str, str]] = []
    for replace in _REPLACEMENTS:
        types = {name: replace.get(type, type) for name, type in own.items()}
        if types not in seen:
            seen.append(types)
            yield types


def _by_column(model: Any, sample: Sample) -> bool:
    """Whether the model finds its columns by name, or takes columns of several kinds."""
    from sklearn.compose import ColumnTransformer

    kinds = {"text" if sample.sql_type(name) == "VARCHAR" else "number" for name in sample.names}
    return len(kinds) > 1 or any(isinstance(part, ColumnTransformer) for part in _parts(model))


def _to_onnx(model: Any, initial: list[tuple[str, Any]]) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    _register_boosting()
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    converted: onnx.ModelProto = convert_sklearn(
        model, initial_types=initial, target_opset=_OPSETS, options={id(model): options} if options else None
    )
    return converted


def _convertible(model: Any) -> Any:
    """A copy whose imputers and encoders of text know a missing value as the empty text: ONNX has no missing text.

    The null policy of such a feature is then '' (found out when NULL is tried on the estimator and on the graph).
    """
    model = copy.deepcopy(model)
    for part in _parts(model):
        statistics = getattr(part, "statistics_", None)
        if type(part).__name__ == "SimpleImputer" and np.asarray(statistics).dtype.kind in "OUST":
            part.missing_values = ""
        if hasattr(part, "flatten_transform"):  # a VotingClassifier's; it changes no answer, but skl2onnx asks for it
            part.flatten_transform = False
        categories = getattr(part, "categories_", None)
        if categories is not None:
            part.categories_ = [
                np.array(["" if _is_missing(c) else c for c in column], dtype=object)
                if column.dtype.kind in "OUST"
                else column
                for column in map(np.asarray, categories)
            ]
    return model


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _parts(model: Any) -> Iterator[Any]:
    """An estimator and all fitted estimators inside it."""
    yield model
    inner = [step for _, step in getattr(model, "steps", [])]
    inner += [step[1] for step in getattr(model, "transformers_", [])]
    inner += [step for _, step in getattr(model, "transformer_list", [])]
    inner += [getattr(model, name) for name in ("estimator_", "base_estimator_") if hasattr(model, name)]
    for part in inner:
        if not isinstance(part, str):
            yield from _parts(part)


def _register_boosting() -> None:
    """Teach skl2onnx the converters of onnxmltools, for the frameworks that are installed."""
    import importlib.util

    if importlib.util.find_spec("onnxmltools") is None:
        return
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes as classifier,
    )
    from skl2onnx.common.shape_calculator import (
        calculate_linear_regressor_output_shapes as regressor,
    )

    zipmap = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if importlib.util.find_spec("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        update_registered_converter(XGBClassifier, "XGBClassifier", classifier, convert_xgboost, options=zipmap)
        update_registered_converter(XGBRegressor, "XGBRegressor", regressor, convert_xgboost)
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(LGBMClassifier, "LGBMClassifier", classifier, convert_lightgbm, options=zipmap)
        update_registered_converter(
            LGBMRegressor, "LGBMRegressor", regressor, convert_lightgbm, options={"split": None}
        )


def _tree_forms(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.ModelProto]]:
    """In a graph of doubles, scikit-learn's trees still compare in single precision: cast before and after them.

    ONNX Runtime's trees answer in single precision, while skl2onnx declares double.
    """
    trees = [node.name for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    double = any(i.type.tensor_type.elem_type == TensorProto.DOUBLE for i in model.graph.input)
    if trees and double:
        yield ", trees in single precision", _cast_around_trees(model, to_double=True)
        yield ", trees in single precision, answers too", _cast_around_trees(model, to_double=False)
    yield "", model


def _use_any_locale(model: onnx.ModelProto) -> None:
    """Text is lowered as in en_US unless the graph says otherwise, a locale that slim machines do not have; C is on
    all. The proof decides."""
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            others = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*others, helper.make_attribute("locale", "C")])


def _impute_in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime imputes in single precision only: in a graph of doubles, say the same with IsNaN and Where."""
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        values: list[float] = next((list(a.floats) for a in node.attribute if a.name == "imputed_value_floats"), [])
        if node.op_type != "Imputer" or not values:
            nodes.append(node)
            continue
        source, (result,) = node.input[0], node.output
        constant, missing, wide = f"{result}_imputed", f"{result}_missing", f"{result}_wide"
        graph.initializer.append(numpy_helper.from_array(np.array([list(values)], np.float64), constant))
        nodes += [
            helper.make_node("Cast", [source], [wide], to=TensorProto.DOUBLE),
            helper.make_node("IsNaN", [wide], [missing]),
            helper.make_node("Where", [missing, constant, wide], [result]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _cast_around_trees(model: onnx.ModelProto, *, to_double: bool) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    declared = {o.name: o.type.tensor_type.elem_type for o in graph.output}
    nodes = []
    for node in list(graph.node):
        if not node.op_type.startswith("TreeEnsemble"):
            nodes.append(node)
            continue
        single = f"{node.input[0]}_single_{len(nodes)}"
        nodes.append(helper.make_node("Cast", [node.input[0]], [single], to=TensorProto.FLOAT))
        node.input[0] = single
        nodes.append(node)
        scores = len(node.output) - 1
        name = node.output[scores]
        if declared.get(name, TensorProto.DOUBLE if to_double else TensorProto.FLOAT) == TensorProto.DOUBLE:
            node.output[scores] = f"{name}_single"
            nodes.append(helper.make_node("Cast", [f"{name}_single"], [name], to=TensorProto.DOUBLE))
    del graph.node[:]
    graph.node.extend(nodes)
    return copy
