"""What is done with a graph's scores and vectors before they are an answer, as nodes of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.errors import InvalidModel
from sqlinfer.models.prepare.options import Options
from sqlinfer.models.prepare.text import Tokens

__all__ = ["attach_head"]

# Outputs that are one vector for each text, as exporters call them.
_VECTORS = ("sentence_embedding", "text_embeds", "image_embeds", "sentence_embeddings", "embeddings", "embedding")
_SCORES = ("logits", "scores", "output")
_TOKENS = ("last_hidden_state", "token_embeddings", "hidden_states")
_FEW = 1e-9  # as sentence-transformers: a text without tokens has the vector 0


def attach_head(model: onnx.ModelProto, options: Options, tokens: Tokens | None, origin: object) -> None:
    """Let the graph answer what the options ask for; an output of vectors of tokens needs to be told how to pool.

    Raises InvalidModel where it could mean several things, with the option that says which.
    """
    pool = options.get("pool")
    steps = [step for step in ("softmax", "sigmoid", "normalize") if options.get(step)]
    if not steps and (pool == "none" or (tokens is None and pool is None)):
        return
    head = _Head(model)
    if pool in ("mean", "cls"):
        if tokens is None:
            raise InvalidModel(f"pool={pool!r} is for texts: give the tokenizer as well (tokenizer.json)")
        chosen = head.first(3, _TOKENS)
        if chosen is None:
            raise InvalidModel(
                f"{origin} has no output of vectors of tokens to pool ([batch, tokens, values]): {head.shown()}"
            )
        chosen = head.pooled(chosen, pool, tokens)
    else:
        chosen = head.first(2, (*_VECTORS, *_SCORES))
        if chosen is None and pool is None and tokens is not None and head.first(3, _TOKENS) is not None:
            raise InvalidModel(
                f"{origin} answers a vector for each token ({head.shown()}): say how they become one for the text, "
                "with --pool mean (as most sentence-transformers do), --pool cls, or --pool none to keep them"
            )
    if chosen is None:
        if steps:
            raise InvalidModel(f"{origin}: which output should {steps[0]} be applied to? It has {head.shown()}")
        return
    for step in steps:
        chosen = head.step(step, chosen)
    head.answer(chosen)


class _Head:
    """Nodes that are added behind the outputs of a graph, in the words of its own opset."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self._taken = {name for node in self._graph.node for name in node.output}
        self._kind = TensorProto.FLOAT
        inferred = _inferred(model)
        self._outputs = {
            value.name: (len(value.type.tensor_type.shape.dim), value.type.tensor_type.elem_type)
            for value in (inferred.graph.output if _lacks_shape(model.graph) else self._graph.output)
        }

    def first(self, rank: int, names: tuple[str, ...]) -> str | None:
        """The output of that rank with the first of the names, else the only one that could be meant."""
        ranked = [name for name, (found, _) in self._outputs.items() if found == rank]
        named = next((name for name in names if name in ranked), None)
        alone = len(ranked) == 1 and (rank == 3 or len(self._outputs) == 1)
        return named or (ranked[0] if alone else None)

    def shown(self) -> str:
        return ", ".join(f"{name} of {rank} axes" for name, (rank, _) in self._outputs.items())

    def pooled(self, name: str, pool: str, tokens: Tokens) -> str:
        kind = self._outputs[name][1]
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

    def step(self, step: str, name: str) -> str:
        """softmax, sigmoid or normalize over the last axis; what is a probability already stays one."""
        if step != "normalize" and any(
            n.op_type in ("Softmax", "Sigmoid") for n in self._graph.node if name in n.output
        ):
            return name
        if name in self._outputs:
            self._kind = self._outputs[name][1]
        if step == "softmax":
            return self._add("Softmax", name, axis=-1)
        if step == "sigmoid":
            return self._add("Sigmoid", name)
        return self._add("LpNormalization", name, axis=-1, p=2)

    def answer(self, name: str) -> None:
        """Let what is called ``name`` be the graph's only output; one that was added gets a name for people."""
        kept = onnx.ValueInfoProto()
        old = next((output for output in self._graph.output if output.name == name), None)
        if old is not None:
            kept.CopyFrom(old)
        else:
            made_by = next(node.op_type for node in self._graph.node if name in node.output)
            shown = "probabilities" if made_by in ("Softmax", "Sigmoid") else "embedding"
            shown = shown if shown not in self._taken else f"sqlinfer_{shown}"
            self._graph.node.append(helper.make_node("Identity", [name], [shown], name=shown))
            kept.CopyFrom(helper.make_tensor_value_info(shown, self._kind, None))
        del self._graph.output[:]
        self._graph.output.append(kept)

    def _add(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = self._free(op.lower())
        self._graph.node.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

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
        return self._add("Constant", value=numpy_helper.from_array(value))

    def _free(self, stem: str) -> str:
        name = next(n for n in (f"sqlinfer_{stem}_{i}" for i in range(10**6)) if n not in self._taken)
        self._taken.add(name)
        return name


def _lacks_shape(graph: onnx.GraphProto) -> bool:
    return any(not output.type.tensor_type.HasField("shape") for output in graph.output)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model) if _lacks_shape(model.graph) else model
