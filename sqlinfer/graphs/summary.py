"""What an .onnx file says of itself, whether or not it can be registered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import onnx
from onnx import TypeProto

from sqlinfer.graphs.batch_axis import dtype_name, shape_of
from sqlinfer.graphs.build import with_bodies
from sqlinfer.graphs.inspect import external_files, parse_model

__all__ = ["Facts", "Operator", "Value", "read_facts"]


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output as declared: ``shape`` None where the file gives none, a text for an axis of free length.
    ``type`` is ONNX's name of the element type, or what else than a tensor it is."""

    name: str
    type: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        axes = "" if self.shape is None else f"[{', '.join(str(axis) or 'any' for axis in self.shape)}]"
        return f"{self.name} {self.type}{axes}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator that the graph uses, ``count`` times, as of version ``opset`` of its domain ("" is ONNX's own).
    ``composed``: ONNX defines it by other operators, so that a runtime needs no kernel for it."""

    domain: str
    name: str
    opset: int
    count: int
    composed: bool = False

    def __str__(self) -> str:
        return f"{self.domain or 'ai.onnx'}:{self.name}"


@dataclass(frozen=True, slots=True)
class Facts:
    """``bytes`` counts the weights in other files as well; ``missing`` are those that are not in the model's folder.
    ``defaults`` are inputs that have a value already. ``functions`` are defined in the file itself. ``names`` are the
    names of features that the exporter left in the metadata."""

    path: Path
    bytes: int
    producer: str
    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    defaults: tuple[str, ...]
    operators: tuple[Operator, ...]
    functions: tuple[str, ...]
    external: tuple[str, ...]
    missing: tuple[str, ...]
    metadata: dict[str, str]


def read_facts(path: Path) -> Facts:
    """Read the file, not its weights. Raises InvalidModel for what is no ONNX file, and OSError."""
    model = parse_model(path.read_bytes(), path)
    graph = model.graph
    opsets = {_domain(entry.domain): int(entry.version) for entry in model.opset_import}
    initial = {tensor.name for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer))}
    external = tuple(dict.fromkeys(external_files(model)))
    folder = path.parent.resolve()
    missing = tuple(name for name in external if not _lies_in(folder, name))
    size = path.stat().st_size + sum((folder / name).stat().st_size for name in external if name not in missing)
    return Facts(
        path=path,
        bytes=size,
        producer=f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        ir_version=int(model.ir_version),
        opsets=opsets,
        inputs=tuple(_value(value) for value in graph.input if value.name not in initial),
        outputs=tuple(_value(value) for value in graph.output),
        defaults=tuple(value.name for value in graph.input if value.name in initial),
        operators=tuple(_operators(model, opsets)),
        functions=tuple(f"{_domain(f.domain) or 'ai.onnx'}:{f.name}" for f in model.functions),
        external=external,
        missing=missing,
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def _value(value: onnx.ValueInfoProto) -> Value:
    tensor = value.type.tensor_type
    shape = tuple(shape_of(value)) if tensor.HasField("shape") else None
    return Value(value.name, _type_name(value.type), shape)


def _type_name(type_: TypeProto) -> str:
    kind = type_.WhichOneof("value")
    if kind == "tensor_type":
        return dtype_name(type_.tensor_type.elem_type)
    if kind == "sequence_type":
        return f"sequence of {_type_name(type_.sequence_type.elem_type)}"
    if kind == "map_type":
        key = dtype_name(type_.map_type.key_type)
        return f"map of {key} to {_type_name(type_.map_type.value_type)}"
    if kind == "optional_type":
        return f"optional {_type_name(type_.optional_type.elem_type)}"
    return str(kind or "undeclared").removesuffix("_type").replace("_", " ")


def _operators(model: onnx.ModelProto, opsets: dict[str, int]) -> Iterator[Operator]:
    """The operators that the runtime has to know: those in the file's own functions count, the functions do not."""
    own = {(_domain(function.domain), function.name) for function in model.functions}
    used: Counter[tuple[str, str, int]] = Counter()
    bodies: list[tuple[onnx.GraphProto | onnx.FunctionProto, dict[str, int]]] = [(model.graph, opsets)]
    for function in model.functions:
        imports = {_domain(entry.domain): int(entry.version) for entry in function.opset_import}
        bodies.append((function, {**opsets, **imports}))
    for body, versions in bodies:
        for node in chain.from_iterable(part.node for part in with_bodies(body)):
            domain = _domain(node.domain)
            if (domain, node.op_type) not in own:
                used[domain, node.op_type, versions.get(domain, 0)] += 1
    for (domain, name, opset), count in sorted(used.items()):
        yield Operator(domain, name, opset, count, _composed(domain, name, opset))


def _composed(domain: str, name: str, opset: int) -> bool:
    try:
        schema: Any = onnx.defs.get_schema(name, opset, domain)
    except onnx.defs.SchemaError:
        return False
    return name == "Constant" or bool(schema.has_function or schema.has_context_dependent_function)


def _lies_in(folder: Path, name: str) -> bool:
    """Whether a file is there and in the folder: no path may lead out of it."""
    file = (folder / name).resolve()
    return file.is_relative_to(folder) and file.is_file()


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
