"""Ways to damage an ONNX file: its bytes, and its fields."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto, helper

__all__ = ["SECRET", "damaged", "mutated"]

# What lies beside the folder of the model: it may turn up nowhere.
SECRET = b"sqlinfer-fuzz-secret"
_INTEGERS = (0, 1, -1, 2, 127, 2**31 - 1, -(2**31), 2**31, 2**40, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e38, 1e-45, -1.0)
_TEXTS = ("", "x", "Loop", "If", "../secret.bin", "/etc/passwd", "a" * 10_000, "\0", "é‮", "ai.onnx.ml", "N", "'; --")


def mutated(content: bytes, source: random.Random) -> tuple[str, bytes]:
    """One mutated version of a file, and what was done to it."""
    name, mutate, _ = source.choices(_MUTATIONS, [share for _, _, share in _MUTATIONS])[0]
    return name, mutate(content, source)


def damaged(content: bytes, source: random.Random) -> bytes:
    """One damaged version of any file."""
    return source.choice((_flip_bits, _flip_bits_of_the_head, _cut, _splice, _overwrite))(content, source)


def _flip_bits(content: bytes, source: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return bytes(data)


def _flip_bits_of_the_head(content: bytes, source: random.Random) -> bytes:
    """Weights make up most of a file; what says how to compute stands around them."""
    data = bytearray(content)
    for _ in range(source.choice((1, 2, 8))):
        data[source.randrange(min(len(data), 400))] ^= 1 << source.randrange(8)
    return bytes(data)


def _cut(content: bytes, source: random.Random) -> bytes:
    return content[: source.randrange(len(content))]


def _splice(content: bytes, source: random.Random) -> bytes:
    """Leave out, repeat or move a slice."""
    start, end = sorted(source.randrange(len(content) + 1) for _ in range(2))
    to = source.randrange(len(content) + 1)
    return source.choice(
        (
            content[:start] + content[end:],
            content[:end] + content[start:],
            content[:to] + content[start:end] + content[to:],
        )
    )


def _overwrite(content: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(content))
    word = struct.pack("<q", source.choice(_INTEGERS)) if source.random() < 0.5 else source.randbytes(8)
    return content[:at] + word + content[at + 8 :]


def _change_fields(content: bytes, source: random.Random) -> bytes:
    """Give other values to a few fields anywhere in the message."""
    model = onnx.load_model_from_string(content)
    for _ in range(source.choice((1, 1, 2, 5))):
        if fields := list(_fields(model)):
            _change(*source.choice(fields), source)
    return model.SerializeToString()


def _change_nodes(content: bytes, source: random.Random) -> bytes:
    """Another operator, other inputs, other attributes, another order."""
    model = onnx.load_model_from_string(content)
    nodes = model.graph.node
    values = [name for node in nodes for name in (*node.input, *node.output)] + [i.name for i in model.graph.input]
    for _ in range(source.choice((1, 1, 3))):
        node = source.choice(nodes)
        what = source.randrange(6)
        if what == 0:
            node.op_type = source.choice(_OPERATORS)
        elif what == 1 and node.input:
            node.input[source.randrange(len(node.input))] = source.choice(values)
        elif what == 2 and node.attribute:
            del node.attribute[source.randrange(len(node.attribute))]
        elif what == 3:
            node.input.append(source.choice(values))
        elif what == 4:
            nodes.append(source.choice(nodes))
        elif what == 5 and len(nodes) > 1:
            nodes.remove(node)
    return model.SerializeToString()


def _change_tensors(content: bytes, source: random.Random) -> bytes:
    """Weights of another shape, type or place than their bytes."""
    model = onnx.load_model_from_string(content)
    if not model.graph.initializer:
        return _change_fields(content, source)
    tensor = source.choice(model.graph.initializer)
    what = source.randrange(4)
    if what == 0:
        tensor.dims[:] = [source.choice(_INTEGERS) for _ in range(source.randrange(4))]
    elif what == 1:
        tensor.data_type = source.randrange(30)
    elif what == 2:
        tensor.raw_data = source.randbytes(source.randrange(100))
    else:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        for key, value in (
            ("location", source.choice(_TEXTS)),
            ("offset", "0"),
            ("length", str(source.choice(_INTEGERS))),
        ):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    return model.SerializeToString()


def _demand(content: bytes, source: random.Random) -> bytes:
    """Let an input go through something that takes for ever, or all memory, or deep recursion."""
    model = onnx.load_model_from_string(content)
    kind = source.randrange(3)
    if kind == 2:
        return content + _nested(source.choice((5, 20, 100, 10_000)))
    size = source.choice((2**20, 2**31, 2**40, 2**62))
    if kind == 0:
        nodes = [_constant("fuzz_shape", [size]), helper.make_node("ConstantOfShape", ["fuzz_shape"], ["fuzz_out"])]
    else:
        number, flag = TensorProto.INT64, TensorProto.BOOL
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["fuzz_go"], ["fuzz_on"]),
                helper.make_node("Add", ["fuzz_v", "fuzz_v"], ["fuzz_w"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("fuzz_i", number, []),
                helper.make_tensor_value_info("fuzz_go", flag, []),
                helper.make_tensor_value_info("fuzz_v", number, []),
            ],
            [helper.make_tensor_value_info("fuzz_on", flag, []), helper.make_tensor_value_info("fuzz_w", number, [])],
        )
        loop = helper.make_node("Loop", ["fuzz_times", "", "fuzz_times"], ["fuzz_last"], body=body)
        nodes = [_constant("fuzz_times", size), loop]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model.SerializeToString()


def _constant(name: str, value: Any) -> onnx.NodeProto:
    array = [value] if isinstance(value, int) else value
    dims = [] if isinstance(value, int) else [len(value)]
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, dims, array))


def _nested(depth: int) -> bytes:
    """One more node for the graph of a file: an If in an If in an If, deeper than the parser of anybody's messages."""
    node = b"\x22\x02If"
    for _ in range(depth):
        graph = _field(1, node)
        attribute = _field(1, b"then_branch") + _field(6, graph) + b"\xa0\x01\x05"
        node = b"\x22\x02If" + _field(1, b"fuzz_condition") + _field(5, attribute)
    return _field(7, _field(1, node))


def _field(number: int, content: bytes) -> bytes:
    """Length-delimited, in the encoding of Protocol Buffers."""
    length, head = len(content), bytearray([number << 3 | 2])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes(head) + bytes([length]) + content


def _fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _fields(part)


def _change(message: Message, field: FieldDescriptor, source: random.Random) -> None:
    value = getattr(message, field.name)
    if field.message_type is not None or source.random() < 0.1:
        message.ClearField(field.name)
        return
    new = _another(field, source)
    try:
        if field.has_presence:
            setattr(message, field.name, new)
        elif len(value):
            value[source.randrange(len(value))] = new
    except (ValueError, TypeError):  # the field cannot hold it: then it goes
        message.ClearField(field.name)


def _another(field: FieldDescriptor, source: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return source.choice(_TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return source.randbytes(source.randrange(200))
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return source.choice(_FLOATS)
    return source.choice(_INTEGERS)


_OPERATORS = [schema.name for schema in onnx.defs.get_all_schemas()]
# Damaged bytes rarely come past the parser: most trials go to what does.
_MUTATIONS: list[tuple[str, Callable[[bytes, random.Random], bytes], int]] = [
    ("bits", _flip_bits, 3),
    ("bits of the head", _flip_bits_of_the_head, 2),
    ("cut", _cut, 1),
    ("slices", _splice, 1),
    ("words", _overwrite, 2),
    ("fields", _change_fields, 6),
    ("nodes", _change_nodes, 6),
    ("tensors", _change_tensors, 4),
    ("demands", _demand, 1),
]
