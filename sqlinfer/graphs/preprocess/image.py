"""Pixels → the tensor that an image model was trained on.

Sizing and cutting are done where files are decoded, by Pillow or as it does them, so that every pixel is Pillow's own;
the numbers are scaled and normalised by nodes of the graph, in the precision of the libraries that say how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.build import GraphBuilder, opset_of
from sqlinfer.graphs.preprocess.options import Options
from sqlinfer.graphs.preprocess.processors import FILTERS, Operation, Recipe, read_processor
from sqlinfer.models.signature import ImagePreparation, ImageStep

__all__ = ["Pixels", "attach_pixels", "takes_image", "wants_image"]

# A file of a few kilobytes can claim billions of pixels; these are 8,192 x 8,192.
_PIXELS = 1 << 26
_OPSET = 7  # the first whose operators take one number, or one for each channel, beside an image
_INPUT = "image"
_ASKS = ("image", "preprocessor", "channels", "resize", "interpolation", "scale", "mean", "std")
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_PLAIN = Recipe((), False, ())


def wants_image(options: Options) -> bool:
    given = [options.get(name) for name in _ASKS]
    return any(value is not None and value is not False for value in given)


def takes_image(graph: onnx.GraphProto) -> bool:
    """Whether one input may be of images."""
    return len(_image_inputs(graph)) == 1


@dataclass(frozen=True, slots=True)
class Pixels:
    """The input that takes pixels now, and what makes them of a file."""

    name: str
    prepare: ImagePreparation


def attach_pixels(model: onnx.ModelProto, options: Options, origin: object) -> Pixels:
    """Let the graph take uint8 [batch, height, width, 3], or 1 for grey, in place of its image tensor. Raises
    InvalidModel."""
    old = _image_input(model.graph, origin)
    first = _is_channels_first(old)
    dims = [d.dim_value or None for d in old.type.tensor_type.shape.dim]
    count = dims[1 if first else 3] or 3
    if count not in (1, 3):
        raise InvalidModel(f"{origin}: the input {old.name!r} has {count} channels; an image has 1 or 3")
    if (opset := opset_of(model) or 1) < _OPSET:
        raise InvalidModel(f"{origin} is of opset {opset}: export the model with opset {_OPSET} or later")
    sides = (dims[2], dims[3]) if first else (dims[1], dims[2])
    recipe = read_processor(Path(options["preprocessor"])) if "preprocessor" in options else _PLAIN
    steps = _steps(options, recipe, sides)
    kind = old.type.tensor_type.elem_type
    gray = _is_gray(options, count)
    name = _INPUT if all(value.name != _INPUT for value in _named(model.graph)) else f"sqlinfer_{_INPUT}"
    nodes = _Nodes(name)
    if recipe.flip != (options.get("channels") == "bgr"):
        nodes.add("Gather", nodes.constant([2, 1, 0]), axis=3)
    nodes.compute(_values(options, recipe, count, is_raw=kind not in _FLOATS), count)
    if first:
        nodes.add("Transpose", perm=[0, 3, 1, 2])
    nodes.last(old.name, kind)
    height, width = _size_after(steps, sides, origin)
    rows = old.type.tensor_type.shape.dim[0]
    shape = [rows.dim_value or rows.dim_param or "rows", height or "height", width or "width", count]
    pixels = helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
    _put_before(model.graph, old.name, pixels, nodes.builder.nodes_alone())
    return Pixels(name, ImagePreparation(_PIXELS, "L" if gray else "RGB", steps))


class _Nodes:
    """A chain of nodes on images [batch, height, width, channels]."""

    def __init__(self, start: str) -> None:
        self.builder = GraphBuilder("sqlinfer_image_")
        self._at = start

    def add(self, op: str, *more: str, **attributes: Any) -> str:
        self._at = self.builder.add(op, self._at, *more, **attributes)
        return self._at

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        return self.builder.constant(np.asarray(values, dtype))

    def compute(self, values: Sequence[Operation], count: int) -> None:
        if not values or values[0][0] != "scale":
            self.add("Cast", to=TensorProto.FLOAT)
        for operation, numbers in values:
            if operation == "scale":
                self.add("Cast", to=TensorProto.DOUBLE)
                self.add("Mul", self.constant(_per_channel(numbers, count, "scale"), np.float64))
                self.add("Cast", to=TensorProto.FLOAT)
            else:
                self.add(operation.title(), self.constant(_per_channel(numbers, count, operation), np.float32))

    def last(self, name: str, kind: int) -> None:
        self.builder.add("Cast", self._at, name=name, label="sqlinfer_pixels", to=kind)


def _steps(options: Options, recipe: Recipe, sides: tuple[int | None, int | None]) -> tuple[ImageStep, ...]:
    """The recipe's, but for what its user says."""
    resize = options.get("resize")
    how: str | None = options.get("interpolation")
    if how is not None and how not in FILTERS.values():
        raise InvalidModel(
            f"--interpolation {how} (interpolation={how!r}) is not known: write one of {', '.join(FILTERS.values())}"
        )
    if resize is None and "preprocessor" in options:
        return tuple(step if step.do == "crop" or how is None else _with(step, how) for step in recipe.steps)
    height, width = sides
    if height is None or width is None:
        if resize is not None:
            raise InvalidModel("resize is for a model of one size, and the model takes images of any")
        return ()
    how = how or next((step.how for step in recipe.steps if step.do in ("resize", "shorter")), "linear")
    if resize in (None, "stretch"):
        return (ImageStep("resize", (height, width), how),)
    shorter = _shorter(resize, height, width)
    if shorter < max(height, width):
        raise InvalidModel(f"a shorter side of {shorter} pixels is too short to cut {height} x {width} out of it")
    return (ImageStep("shorter", (shorter,), how), ImageStep("crop", (height, width), "floor"))


def _with(step: ImageStep, how: str) -> ImageStep:
    return ImageStep(step.do, step.size, how) if step.do in ("resize", "shorter") else step


def _shorter(resize: str | int | None, height: int, width: int) -> int:
    if resize == "crop":
        return max(height, width)
    try:
        return int(resize or 0)
    except ValueError as error:
        raise InvalidModel(
            f"--resize {resize} (resize={resize!r}) is not known: write stretch, crop, or how long the shorter side is "
            "made before the middle is cut"
        ) from error


def _size_after(
    steps: Sequence[ImageStep], sides: tuple[int | None, int | None], origin: object
) -> tuple[int | None, int | None]:
    """Of the pixels; where nothing sets it, images have the model's own size. Raises InvalidModel."""
    fixed = next((step.size for step in reversed(steps) if step.do in ("resize", "crop")), None)
    if fixed is None:
        return sides
    if any(side not in (None, made) for side, made in zip(sides, fixed, strict=True)):
        raise InvalidModel(
            f"{origin} takes images of {sides[0]} x {sides[1]} pixels, and its preprocessor makes "
            f"{fixed[0]:g} x {fixed[1]:g}: it is that of another model, or say --resize (stretch, crop or a number)"
        )
    return int(fixed[0]), int(fixed[1])


def _is_gray(options: Options, count: int) -> bool:
    channels: Literal["rgb", "bgr", "gray"] | None = options.get("channels")
    if channels is None and count == 1 and "preprocessor" in options:
        raise InvalidModel("the model takes one channel, and image processors make three: --channels gray makes one")
    if channels is not None and (channels == "gray") != (count == 1):
        raise InvalidModel(f"--channels {channels} (channels={channels!r}) do not fit a model that takes {count}")
    return count == 1


def _values(options: Options, recipe: Recipe, count: int, *, is_raw: bool) -> list[Operation]:
    """The recipe's, but for what its user says; of integers, the values are those of the pixels."""
    values = list(recipe.values)
    if "preprocessor" not in options:
        values = [] if is_raw else [("scale", (1 / 255,))]
    scale, mean, std = options.get("scale"), options.get("mean"), options.get("std")
    if any(given is not None for given in (scale, mean, std)):
        values = _overruled(values, scale, mean, std)
    if any(operation == "div" and not all(numbers) for operation, numbers in values):
        raise InvalidModel("a std of 0: every value would be infinite")
    for what, given in (("mean", mean), ("std", std)):
        if given is not None:
            _per_channel(_numbers(given), count, what)
    return [(operation, numbers) for operation, numbers in values if _does_something(operation, numbers)]


def _overruled(values: Sequence[Operation], scale: Any, mean: Any, std: Any) -> list[Operation]:
    """(pixel x scale - mean) / std, with what is given in place of what is there."""
    there = dict(values)
    some = scale is None or mean is None or std is None
    if some and [operation for operation, _ in values] not in (["scale", "sub", "div"], ["scale"], ["sub", "div"], []):
        raise InvalidModel(
            "the preprocessor does more with values than scale, mean and std say: give all three of them"
        )
    given = {"scale": scale, "sub": mean, "div": std}
    return [
        (operation, _numbers(there.get(operation, neutral) if number is None else number))
        for (operation, number), neutral in zip(given.items(), ((1.0,), (0.0,), (1.0,)), strict=True)
    ]


def _does_something(operation: str, numbers: tuple[float, ...]) -> bool:
    return any(number != (0 if operation == "sub" else 1) for number in numbers)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in (values if isinstance(values, (list, tuple)) else [values]))


def _per_channel(values: Sequence[float], count: int, what: str) -> tuple[float, ...]:
    if len(values) not in (1, count):
        raise InvalidModel(f"{what} has {len(values)} values for {count} channels")
    return tuple(values) if len(values) == count else tuple(values) * count


def _image_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [v for v in graph.input if v.name not in constants and len(v.type.tensor_type.shape.dim) == 4]


def _image_input(graph: onnx.GraphProto, origin: object) -> onnx.ValueInfoProto:
    found = _image_inputs(graph)
    if len(found) != 1:
        raise InvalidModel(f"{origin} has {len(found)} inputs of four axes; a model of images has one")
    return found[0]


def _is_channels_first(value: onnx.ValueInfoProto) -> bool:
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return dims[1] in (1, 3) or dims[3] not in (1, 3)


def _named(graph: onnx.GraphProto) -> list[Any]:
    return [*graph.input, *graph.output, *graph.initializer]


def _put_before(
    graph: onnx.GraphProto, name: str, pixels: onnx.ValueInfoProto, nodes: Sequence[onnx.NodeProto]
) -> None:
    inputs = [pixels if value.name == name else value for value in graph.input]
    following = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *following])
    graph.input.extend(kept)
