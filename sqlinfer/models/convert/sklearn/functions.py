"""FunctionTransformer with a function of NumPy that ONNX has too; skl2onnx knows only the one that does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.models.convert.graph import GraphBuilder
from sqlinfer.models.convert.sklearn.container import write

__all__ = ["apply", "register_functions"]

_KNOWN = (np.log, np.exp, np.sqrt, np.abs, np.sign, np.sin, np.cos, np.log1p, np.expm1, np.square)
_UNARY = {
    "log": "Log",
    "exp": "Exp",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "absolute": "Abs",
    "negative": "Neg",
    "sign": "Sign",
    "sin": "Sin",
    "cos": "Cos",
}


def register_functions() -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.operator_converters.function_transformer import convert_sklearn_function_transformer
    from skl2onnx.shape_calculators.function_transformer import calculate_sklearn_function_transformer_output_shapes
    from sklearn.preprocessing import FunctionTransformer

    def shape(operator: Any) -> None:
        if not _is_known(operator.raw_operator.func):
            calculate_sklearn_function_transformer_output_shapes(operator)
            return
        first = operator.inputs[0].type
        width = sum(value.type.shape[1] for value in operator.inputs)
        operator.outputs[0].type = type(first)([first.shape[0], width])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        function = operator.raw_operator.func
        if not _is_known(function):
            convert_sklearn_function_transformer(scope, operator, container)
            return
        if len({type(value.type) for value in operator.inputs}) > 1:
            raise TypeError("a FunctionTransformer takes columns of one type: cast them in the sample")
        graph = GraphBuilder(scope.get_unique_variable_name("function") + "_")
        columns = [value.full_name for value in operator.inputs]
        source = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
        double = type(operator.inputs[0].type).__name__ == "DoubleTensorType"
        dtype = np.float64 if double else np.float32
        apply(graph, function.__name__, source, operator.outputs[0].full_name, dtype)
        write(graph, scope, container)

    update_registered_converter(FunctionTransformer, "SqlinferFunctionTransformer", shape, convert)


def _is_known(function: Any) -> bool:
    return any(function is known for known in _KNOWN)


def apply(graph: GraphBuilder, name: str, source: str, result: str, dtype: Any) -> None:
    """Write the function that NumPy calls ``name``, of numbers of the type ``dtype``."""
    if name == "square":
        graph.add("Mul", source, source, name=result)
    elif name == "log1p":
        graph.add("Log", graph.add("Add", source, graph.constant(np.array(1, dtype))), name=result)
    elif name == "expm1":
        graph.add("Sub", graph.add("Exp", source), graph.constant(np.array(1, dtype)), name=result)
    else:
        graph.add(_UNARY[name], source, name=result)
