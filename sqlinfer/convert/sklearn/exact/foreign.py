"""A step that has no nodes of our own, by skl2onnx: its graph becomes part of ours."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["classified", "labelled", "predicted", "transformed"]

_OPSETS = {"": 18, "ai.onnx.ml": 3}
# Operators of an older version of ai.onnx.ml, which cannot stand in one graph with newer ones.
_OLD = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def transformed(w: Writer, step: Any, x: Table) -> Table:
    (value,) = _outputs(w, step, x, 1)
    return w.table(value, _width(step, x, "transform"))


def predicted(w: Writer, model: Any, x: Table) -> Table:
    (value,) = _outputs(w, model, x, 1)
    width = _width(model, x, "predict")
    return w.table(w.add("Reshape", value, w.whole([-1, width])), width)


def classified(w: Writer, model: Any, x: Table) -> Scores:
    if isinstance(model.classes_, list):
        raise Unsupported(f"{name_of(model)} of several labels")
    label, scores = _outputs(w, model, x, 2)
    classes = np.asarray(model.classes_)
    text = classes.dtype.kind in "OUS"
    keys = classes.astype(str).astype(object) if text else classes.astype(np.int64)
    index = w.add(
        "LabelEncoder",
        w.add("Reshape", label, w.whole([-1])),
        ml=True,
        keys_tensor=numpy_helper.from_array(keys),
        values_tensor=numpy_helper.from_array(np.arange(len(classes), dtype=np.int64)),
        default_tensor=numpy_helper.from_array(np.array([0], np.int64)),
    )
    chosen = w.one_hot(index, len(classes))
    return Scores(chosen, scores if hasattr(model, "predict_proba") else None)


def labelled(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    label, scores = _outputs(w, model, x, 2)
    return w.add("Reshape", label, w.whole([-1])), scores


def _width(step: Any, x: Table, method: str) -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = np.asarray(getattr(step, method)(np.ones((1, x.width), x.dtype)))
    return int(made.reshape(1, -1).shape[1])


def _outputs(w: Writer, step: Any, x: Table, count: int) -> list[str]:
    """The outputs of the step's own graph, numbers as doubles. Raises Unsupported."""
    single = w.foreign_single
    model = _converted(step, x.width, single)
    if model.functions:
        raise Unsupported(f"{name_of(step)}, for which skl2onnx has functions that ONNX Runtime does not run")
    if any(node.op_type in _OLD for node in model.graph.node):
        raise Unsupported(f"{name_of(step)}, whose trees skl2onnx writes in an older form")
    outputs = list(model.graph.output)
    if len(outputs) != count:
        raise Unsupported(f"{name_of(step)}, for which skl2onnx has {len(outputs)} outputs")
    value = w.numbers(x, step, nan=_takes_nan(step))
    value = w.add("Cast", value, to=TensorProto.FLOAT) if single else value
    prefix = f"{name_of(step)}_{len(w.nodes)}_"
    onnx.compose.add_prefix(model, prefix, inplace=True)
    graph = model.graph
    w.constants += graph.initializer
    for node in graph.node:
        node.input[:] = [value if name == graph.input[0].name else name for name in node.input]
        w.nodes.append(node)
    w.foreign.append(name_of(step))
    return [
        w.add("Cast", o.name, to=TensorProto.DOUBLE)
        if o.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
        else o.name
        for o in graph.output
    ]


def _takes_nan(step: Any) -> bool:
    from sklearn.utils import get_tags

    return bool(get_tags(step).input_tags.allow_nan)


def _converted(step: Any, width: int, single: bool) -> onnx.ModelProto:
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError as error:
        raise Unsupported(
            f"{name_of(step)} (the package skl2onnx may have them: pip install 'sqlinfer[sklearn]')"
        ) from error
    kind = FloatTensorType if single else DoubleTensorType
    options: dict[int, dict[str, Any]] = {id(step): {"zipmap": False}} if hasattr(step, "classes_") else {}
    for given in (options, {}):
        try:
            made: onnx.ModelProto = convert_sklearn(
                step, initial_types=[("X", kind([None, width]))], target_opset=_OPSETS, options=given
            )
            return made
        except NameError:  # what skl2onnx raises for an option that the converter does not have
            continue
        except Exception as error:  # the converters raise what they like
            raise Unsupported(_reason(step, error)) from error
    raise Unsupported(f"{name_of(step)}, which skl2onnx does not convert")


def _reason(step: Any, error: Exception) -> str:
    missing = re.search(r"(?:type|for) '?<class '([\w.]+)'>", str(error))
    if "Unable to find a shape calculator" in str(error) and missing:
        return f"{missing[1].rsplit('.', 1)[1]}"
    return f"{name_of(step)} ({' '.join(str(error).split())[:200]})"
