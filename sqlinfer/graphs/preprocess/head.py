"""What is done with a graph's scores and vectors before they are an answer, as nodes of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.build import GraphBuilder, opset_of
from sqlinfer.graphs.preprocess.options import Offered
from sqlinfer.graphs.preprocess.sentence import Dense
from sqlinfer.graphs.preprocess.text import Tokens
from sqlinfer.models.signature import Label

__all__ = ["attach_head"]

# Outputs that are one vector for each text, as exporters call them.
_VECTORS = ("sentence_embedding", "text_embeds", "image_embeds", "sentence_embeddings", "embeddings", "embedding")
_SCORES = ("logits", "scores", "output")
_TOKENS = ("last_hidden_state", "token_embeddings", "hidden_states")
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
_NUMBERS = {TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL}
# These leave values what they are, or some of them.
_FORM = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}
_PARTS = {"Slice", "Gather", "Transpose", "Split"}
_PROBABILITIES = {"Sigmoid", "HardSigmoid", "Softmax"}
# These number one of several classes, or two.
_CHOOSING = {"ArgMax", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Xor", "Not"}
_FEW = 1e-9  # as sentence-transformers: a text without tokens has the vector 0


def attach_head(
    model: onnx.ModelProto, options: Offered, tokens: Tokens | None, labels: Sequence[Label], origin: object
) -> bool:
    """Let the graph answer what the options ask for; an output of vectors of tokens needs to be told how to pool. One
    score and two ``labels`` become a score for each, the number of a class becomes its label.

    Gives whether that one score is a probability by the word of its user alone. Raises InvalidModel where it could mean
    several things, with the option that says which.
    """
    pool = options.get("pool")
    layers = [layer for layer in options.get("layers", ()) if layer != "normalize" or options.get("normalize", True)]
    steps: list[Dense | str] = [step for step in ("softmax", "sigmoid") if options.get(step)]
    steps += layers
    if options.get("normalize") and "normalize" not in map(str, layers[-1:]):
        steps.append("normalize")
    if not steps and not labels and (pool == "none" or (tokens is None and pool is None)):
        return False
    head = _Head(model)
    chosen = _pooled(head, pool, tokens, origin) if pool in ("mean", "cls") else head.first(2, (*_VECTORS, *_SCORES))
    if chosen is None and pool is None and tokens is not None and head.first(3, _TOKENS) is not None:
        raise InvalidModel(
            f"{origin} answers a vector for each token ({head.shown()}): say how they become one for the text, "
            "with --pool mean (as most sentence-transformers do), --pool cls, or --pool none to keep them"
        )
    single = head.single() if not pool else None
    if single is not None and (steps or len(labels) == 2):
        chosen = single
        if "softmax" in steps:
            raise InvalidModel(
                f"{origin}: the softmax of one score is 1 for every row; a score for one of two classes is a logit: "
                "--sigmoid (sigmoid=True)"
            )
    if steps and chosen is None:
        raise InvalidModel(f"{origin}: which output should {_said(steps[0])} be applied to? It has {head.shown()}")
    if labels and single is not None and chosen == single and not steps and options.get("sigmoid") is None:
        _require_probability(head, single, origin)
    for step in steps:
        chosen = head.step(step, str(chosen))
    if single is not None and len(labels) == 2:
        head.answer(head.both(str(chosen)))
        return not steps
    if steps or pool in ("mean", "cls"):
        head.answer(str(chosen))
    elif labels:
        head.look_up(labels, origin)
    return False


def _said(step: Dense | str) -> str:
    return step if isinstance(step, str) else "the Dense module"


def _pooled(head: _Head, pool: str | None, tokens: Tokens | None, origin: object) -> str:
    if tokens is None:
        raise InvalidModel(
            f"--pool {pool} (pool={pool!r}) is for texts: give --tokenizer tokenizer.json as well (tokenizer=…)"
        )
    chosen = head.first(3, _TOKENS)
    if chosen is None:
        raise InvalidModel(
            f"{origin} has no output of vectors of tokens to pool ([batch, tokens, values]): {head.shown()}"
        )
    return head.pooled(chosen, str(pool), tokens)


def _require_probability(head: _Head, name: str, origin: object) -> None:
    if not head.is_probability(name):
        raise InvalidModel(
            f"{origin}: two labels are given, and one score, {name}: say what it is, a logit with --sigmoid "
            "(sigmoid=True), or the probability of the second label with --no-sigmoid (sigmoid=False)"
        )


@dataclass(frozen=True, slots=True)
class _Output:
    rank: int
    kind: int
    last: int | None

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> _Output:
        dims = value.type.tensor_type.shape.dim
        return cls(len(dims), value.type.tensor_type.elem_type, dims[-1].dim_value or None if dims else None)

    @property
    def is_column(self) -> bool:
        """Whether there is one value a row."""
        return self.rank == 1 or (self.rank == 2 and self.last == 1)


class _Head:
    """Nodes that are added behind the outputs of a graph, in the words of its own opset."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._graph = model.graph
        self._opset = opset_of(model) or 1
        self._taken = {name for node in self._graph.node for name in node.output}
        self._made_by = {name: node for node in self._graph.node for name in node.output}
        self._added = GraphBuilder("sqlinfer_", self._taken)
        self._kind: int = TensorProto.FLOAT
        self._outputs = {value.name: _Output.of(value) for value in _inferred(model).graph.output}

    def first(self, rank: int, names: tuple[str, ...]) -> str | None:
        """The output of that rank with the first of the names, else the only one that could be meant."""
        ranked = [name for name, output in self._outputs.items() if output.rank == rank]
        named = next((name for name in names if name in ranked), None)
        alone = len(ranked) == 1 and (rank == 3 or len(self._outputs) == 1)
        return named or (ranked[0] if alone else None)

    def single(self) -> str | None:
        """The output of one score a row, where it is the only one of scores."""
        scores = [name for name, output in self._outputs.items() if output.kind in _FLOATS]
        return scores[0] if len(scores) == 1 and self._outputs[scores[0]].is_column else None

    def is_probability(self, name: str) -> bool:
        """Whether its values can only be from 0 to 1."""
        node = self._source(name, _FORM | _PARTS)
        return node is not None and node.op_type in _PROBABILITIES

    def shown(self) -> str:
        return ", ".join(f"{name} of {output.rank} axes" for name, output in self._outputs.items())

    def pooled(self, name: str, pool: str, tokens: Tokens) -> str:
        kind = self._outputs[name].kind
        if kind not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            kind, name = TensorProto.FLOAT, self._add("Cast", name, to=TensorProto.FLOAT)
        self._kind = kind
        if pool == "cls":
            return self._reduce("ReduceSum", self._first_token(name))
        if tokens.mask is None:
            return self._reduce("ReduceMean", name)
        mask = self._add("Cast", tokens.mask, to=kind)
        column = self._unsqueezed(mask)
        total = self._reduce("ReduceSum", self._add("Mul", name, column))
        few = self._constant(np.array(_FEW, np.float32 if kind == TensorProto.FLOAT else np.float64))
        return self._add("Div", total, self._add("Max", self._reduce("ReduceSum", column), few))

    def step(self, step: Dense | str, name: str) -> str:
        """softmax, sigmoid or normalize over the last axis, or a layer; what is a probability already stays one."""
        if isinstance(step, Dense):
            return self._dense(step, name)
        if step != "normalize" and self.is_probability(name):
            return name
        if name in self._outputs:
            self._kind = self._outputs[name].kind
        if step == "softmax":
            return self._add("Softmax", name, axis=1)
        if step == "sigmoid":
            return self._add("Sigmoid", name)
        return self._add("LpNormalization", name, axis=1, p=2)

    def _dense(self, layer: Dense, name: str) -> str:
        if name in self._outputs:
            self._kind = self._outputs[name].kind
        kind = helper.tensor_dtype_to_np_dtype(self._kind)
        name = self._add("MatMul", name, self._constant(np.ascontiguousarray(layer.weight.T.astype(kind))))
        if layer.bias is not None:
            name = self._add("Add", name, self._constant(layer.bias.astype(kind)))
        return self._add(layer.activation, name) if layer.activation else name

    def both(self, name: str) -> str:
        """The probability of the second of two classes → those of both."""
        if name in self._outputs:
            self._kind = self._outputs[name].kind
        one = np.ones(1, helper.tensor_dtype_to_np_dtype(self._kind))
        column = self._add("Reshape", name, self._constant(np.array([-1, 1], np.int64)))
        return self._add("Concat", self._add("Sub", self._constant(one), column), column, axis=1)

    def look_up(self, labels: Sequence[Label], origin: object) -> None:
        """Let an output that numbers the classes answer with their labels."""
        columns = (name for name, o in self._outputs.items() if o.is_column and o.kind in _NUMBERS)
        numbered = {name: node for name in columns if (node := self._source(name, _FORM)) is not None}
        numbered = {name: node for name, node in numbered.items() if node.op_type in _CHOOSING}
        if len(numbered) != 1:
            return
        ((name, node),) = numbered.items()
        classes = 2 if node.op_type != "ArgMax" else self._length(node)
        if classes == 1:
            raise InvalidModel(
                f"{origin}: {name} is the place of the largest of one score, which is {labels[0]!r} for every row; "
                "export the model without ArgMax, so that its score is the answer"
            )
        if classes is not None and classes != len(labels):
            raise InvalidModel(f"{origin}: {len(labels)} labels are given, and {name} numbers {classes} classes")
        texts = isinstance(labels[0], str)
        table = np.array(labels, object if texts else np.int64)
        rows = self._add("Reshape", self._add("Cast", name, to=TensorProto.INT64), self._constant(np.array([-1])))
        shown = self._shown(self._add("Gather", self._constant(table), rows, axis=0), "label")
        kind = TensorProto.STRING if texts else TensorProto.INT64
        output = next(output for output in self._graph.output if output.name == name)
        output.CopyFrom(helper.make_tensor_value_info(shown, kind, [None]))

    def answer(self, name: str) -> None:
        """Let what is called ``name`` be the graph's only output; one that was added gets a name for people."""
        kept = onnx.ValueInfoProto()
        old = next((output for output in self._graph.output if output.name == name), None)
        if old is not None:
            kept.CopyFrom(old)
        else:
            made_by = next(node.op_type for node in self._added.nodes if name in node.output)
            shown = self._shown(name, "probabilities" if made_by in ("Softmax", "Sigmoid", "Concat") else "embedding")
            kept.CopyFrom(helper.make_tensor_value_info(shown, self._kind, None))
        del self._graph.output[:]
        self._graph.output.append(kept)

    def _shown(self, name: str, shown: str) -> str:
        shown = shown if shown not in self._taken else f"sqlinfer_{shown}"
        self._add("Identity", name, name=shown)
        self._graph.node.extend(self._added.nodes_alone())
        return shown

    def _source(self, name: str, passing: set[str]) -> onnx.NodeProto | None:
        """The node that makes a value, behind those that leave it what it is."""
        for _ in range(len(self._made_by)):  # a damaged graph may go round in circles
            node = self._made_by.get(name)
            if node is None or node.op_type not in passing or not node.input:
                return node
            name = node.input[0]
        return None

    def _length(self, node: onnx.NodeProto) -> int | None:
        """How many scores ArgMax chooses from, where ONNX can tell."""
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        try:
            graph = onnx.shape_inference.infer_shapes(self._model).graph
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
            return None
        values = (*graph.value_info, *graph.input, *graph.output)
        found = next((v.type.tensor_type.shape.dim for v in values if v.name == node.input[0]), ())
        return found[axis].dim_value or None if -len(found) <= axis < len(found) else None

    def _add(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self._added.add(op, *inputs, **attributes)

    def _reduce(self, op: str, name: str) -> str:
        """Over the axis of the tokens."""
        if self._opset >= (13 if op == "ReduceSum" else 18):
            return self._add(op, name, self._constant(np.array([1], np.int64)), keepdims=0)
        return self._add(op, name, axes=[1], keepdims=0)

    def _first_token(self, name: str) -> str:
        """Without an error for a text that has none, as Gather has it."""
        if self._opset < 10:
            return self._add("Slice", name, starts=[0], ends=[1], axes=[1])
        start, end, axis = (self._constant(np.array([n], np.int64)) for n in (0, 1, 1))
        return self._add("Slice", name, start, end, axis)

    def _unsqueezed(self, name: str) -> str:
        if self._opset >= 13:
            return self._add("Unsqueeze", name, self._constant(np.array([2], np.int64)))
        return self._add("Unsqueeze", name, axes=[2])

    def _constant(self, value: np.ndarray) -> str:
        return self._added.constant(value)


def _lacks_shape(graph: onnx.GraphProto) -> bool:
    return any(not output.type.tensor_type.HasField("shape") for output in graph.output)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model) if _lacks_shape(model.graph) else model
