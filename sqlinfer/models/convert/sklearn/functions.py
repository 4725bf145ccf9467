"""FunctionTransformer with a function of NumPy that ONNX has too; skl2onnx knows only the one that does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.models.convert.graph import GraphBuilder

__all__ = ["register_functions"]

_UNARY = {np.log: "Log", np.exp: "Exp", np.sqrt: "Sqrt", np.abs: "Abs", np.sign: "Sign", np.sin: "Sin", np.cos: "Cos"}
_COMPOSED = (np.log1p, np.expm1, np.square)


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
        one = graph.constant(np.array(1, np.float64 if double else np.float32))
        _apply(graph, function, source, operator.outputs[0].full_name, one)
        for tensor in graph.constants:
            container.add_initializer(tensor.name, None, None, tensor)
        for node in graph.nodes:
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            name = scope.get_unique_operator_name(node.op_type)
            container.add_node(node.op_type, list(node.input), list(node.output), name=name, **attributes)

    update_registered_converter(FunctionTransformer, "SqlinferFunctionTransformer", shape, convert)


def _is_known(function: Any) -> bool:
    return any(function is known for known in (*_UNARY, *_COMPOSED))


def _apply(graph: GraphBuilder, function: Any, source: str, result: str, one: str) -> None:
    if function is np.square:
        graph.add("Mul", source, source, name=result)
    elif function is np.log1p:
        graph.add("Log", graph.add("Add", source, one), name=result)
    elif function is np.expm1:
        graph.add("Sub", graph.add("Exp", source), one, name=result)
    else:
        graph.add(_UNARY[function], source, name=result)
