"""A sentence encoder as sentence-transformers exports it, with random weights: speed does not depend on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

__all__ = ["encoder", "tokenizer"]

WORDS = 8000


def tokenizer() -> Tokenizer:
    """One token a word, w0 … w7999, between [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [*special, *(f"w{i}" for i in range(WORDS))]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_truncation(256)
    return made


def encoder(*, layers: int = 6, width: int = 384, heads: int = 12) -> onnx.ModelProto:
    """(input_ids, attention_mask) [batch, tokens] → last_hidden_state [batch, tokens, width]."""
    return _Encoder(layers, width, heads).model()


class _Encoder:
    def __init__(self, layers: int, width: int, heads: int) -> None:
        self.layers, self.width, self.heads = layers, width, heads
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        x = self.norm(self.op("Add", self.words(), self.positions()))
        away = self.op("Sub", self.op("Cast", "attention_mask", to=TensorProto.FLOAT), self.weight(np.float32(1)))
        far = self.op("Mul", away, self.weight(-np.finfo(np.float32).min))
        bias = self.op("Unsqueeze", far, self.weight(np.array([1, 2])))
        for _ in range(self.layers):
            x = self.norm(self.op("Add", x, self.attention(x, bias)))
            inner = self.gelu(self.dense(x, self.width, 4 * self.width))
            x = self.norm(self.op("Add", x, self.dense(inner, 4 * self.width, self.width)))
        self.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        ints = [self.info(name, TensorProto.INT64, []) for name in ("input_ids", "attention_mask")]
        answer = self.info("last_hidden_state", TensorProto.FLOAT, [self.width])
        graph = helper.make_graph(self.nodes, "encoder", ints, [answer], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)

    def info(self, name: str, dtype: int, inner: list[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, dtype, ["batch", "tokens", *inner])

    def weight(self, array: Any) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def matrix(self, *shape: int) -> str:
        return self.weight(self.random.normal(0, shape[0] ** -0.5, shape).astype(np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def words(self) -> str:
        return self.op("Gather", self.matrix(WORDS + 4, self.width), "input_ids")

    def positions(self) -> str:
        one = self.weight(np.int64(1))
        length = self.op("Gather", self.op("Shape", "input_ids"), one)
        return self.op("Gather", self.matrix(512, self.width), self.op("Range", self.weight(np.int64(0)), length, one))

    def norm(self, x: str) -> str:
        scale, shift = np.ones(self.width, np.float32), np.zeros(self.width, np.float32)
        return self.op("LayerNormalization", x, self.weight(scale), self.weight(shift))

    def dense(self, x: str, given: int, wanted: int) -> str:
        product = self.op("MatMul", x, self.matrix(given, wanted))
        return self.op("Add", product, self.weight(np.zeros(wanted, np.float32)))

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Mul", x, self.weight(np.float32(0.5**0.5))))
        half = self.op("Mul", x, self.weight(np.float32(0.5)))
        return self.op("Mul", half, self.op("Add", erf, self.weight(np.float32(1))))

    def attention(self, x: str, bias: str) -> str:
        split = self.weight(np.array([0, 0, self.heads, self.width // self.heads]))
        parts = [self.op("Reshape", self.dense(x, self.width, self.width), split) for _ in range(3)]
        orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        query, key, value = (self.op("Transpose", p, perm=order) for p, order in zip(parts, orders, strict=True))
        scale = self.weight(np.float32((self.width // self.heads) ** -0.5))
        scores = self.op("Add", self.op("Mul", self.op("MatMul", query, key), scale), bias)
        mixed = self.op("Transpose", self.op("MatMul", self.op("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
        return self.dense(self.op("Reshape", mixed, self.weight(np.array([0, 0, self.width]))), self.width, self.width)
