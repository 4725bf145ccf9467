"""Pixels → the tensor that an image model was trained on: sized, cut, scaled and normalised by nodes of the graph.

Sizes and crops are those of Hugging Face's image processors and of torchvision; a resized image is what Pillow's
``Image.resize`` gives, but for single pixels that differ by one level (cubic: by up to four, at hard edges).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sqlinfer.errors import InvalidModel
from sqlinfer.models.prepare.options import Options

__all__ = ["PIXELS", "Pixels", "attach_pixels", "wants_image"]

# A file of a few kilobytes can claim billions of pixels; these are 8,192 x 8,192.
PIXELS = 1 << 26
_OPSET = 18  # the first whose Resize looks at all pixels when it shrinks (antialias)
_INPUT = "image"
_ASKS = ("image", "preprocessor", "channels", "resize", "interpolation", "scale", "mean", "std")
# Pillow's numbers for its filters.
_FILTERS = {0: "nearest", 2: "linear", 3: "cubic"}
# Pillow's weights for grey, of 65,536.
_GREY = (19595, 38470, 7471)


@dataclass(frozen=True, slots=True)
class _Steps:
    """``height``, ``width`` of the tensor, None where any will do. ``shorter``: the shorter side is made so long, and
    the middle is cut out; None stretches. ``mean`` and ``std`` are of the scaled values."""

    height: int | None
    width: int | None
    shorter: int | None
    interpolation: str
    channels: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def wants_image(options: Options) -> bool:
    given = [options.get(name) for name in _ASKS]
    return any(value is not None and value is not False for value in given)


@dataclass(frozen=True, slots=True)
class Pixels:
    """The input that takes pixels now. ``conversion``: the graph before and after it was made one of a newer opset."""

    name: str
    conversion: tuple[bytes, bytes] | None


def attach_pixels(model: onnx.ModelProto, options: Options, origin: object) -> Pixels:
    """Let the graph take uint8 [batch, height, width, 3] in place of its image tensor. Raises InvalidModel."""
    old = _image_input(model.graph, origin)
    first = _is_channels_first(old)
    dims = [d.dim_value or None for d in old.type.tensor_type.shape.dim]
    count = dims[1 if first else 3] or 3
    if count not in (1, 3):
        raise InvalidModel(f"{origin}: the input {old.name!r} has {count} channels; an image has 1 or 3")
    steps = _steps(options, dims[2:4] if first else dims[1:3], count, old.type.tensor_type.elem_type)
    conversion = None
    if (steps.height is not None or steps.channels == "gray") and _opset(model) < _OPSET:
        conversion = _convert(model, origin)
        old = next(value for value in model.graph.input if value.name == old.name)
    name = _INPUT if all(value.name != _INPUT for value in _named(model.graph)) else f"sqlinfer_{_INPUT}"
    nodes = _Nodes(name)
    _add_steps(nodes, steps)
    if first:
        nodes.add("Transpose", perm=[0, 3, 1, 2])
    nodes.last(old.name, old.type.tensor_type.elem_type)
    rows = old.type.tensor_type.shape.dim[0]
    batch = rows.dim_value or rows.dim_param or "rows"
    pixels = helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, "height", "width", 3])
    _put_before(model.graph, old.name, pixels, nodes.nodes)
    return Pixels(name, conversion)


def _add_steps(nodes: _Nodes, steps: _Steps) -> None:
    if steps.channels == "bgr":
        nodes.add("Gather", nodes.constant([2, 1, 0]), axis=3)
    if steps.channels == "gray":
        nodes.add("Cast", to=TensorProto.INT32)
        nodes.add("Mul", nodes.constant(_GREY, np.int32))
        nodes.add("ReduceSum", nodes.constant([3]), keepdims=1)
        nodes.add("Add", nodes.constant([1 << 15], np.int32))
        nodes.add("Div", nodes.constant([1 << 16], np.int32))
        nodes.add("Cast", to=TensorProto.UINT8)
    if steps.height is not None and steps.width is not None:
        if steps.shorter is None:
            nodes.resize(nodes.constant([steps.height, steps.width]), steps.interpolation)
        else:
            nodes.resize(nodes.sizes_of_shorter(steps.shorter), steps.interpolation)
            nodes.cut_middle(steps.height, steps.width)
    nodes.add("Cast", to=TensorProto.FLOAT)
    std = np.array(steps.std, np.float64)
    factor, shift = steps.scale / std, -np.array(steps.mean, np.float64) / std
    if (factor != 1).any():
        nodes.add("Mul", nodes.constant(factor, np.float32))
    if shift.any():
        nodes.add("Add", nodes.constant(shift, np.float32))


class _Nodes:
    """A chain of nodes on images [batch, height, width, channels]."""

    def __init__(self, start: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._at = start

    def add(self, op: str, *more: str, **attributes: Any) -> str:
        self._at = self._node(op, self._at, *more, **attributes)
        return self._at

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        return self._node("Constant", value=numpy_helper.from_array(np.asarray(values, dtype)))

    def resize(self, sizes: str, interpolation: str) -> None:
        how: dict[str, Any] = {"antialias": 1, "exclude_outside": 1}
        if interpolation == "nearest":
            how = {"nearest_mode": "round_prefer_ceil"}
        if interpolation == "cubic":
            how["cubic_coeff_a"] = -0.5
        self.add("Resize", "", "", sizes, mode=interpolation, axes=[1, 2], **how)

    def sizes_of_shorter(self, length: int) -> str:
        """[height, width] with the shorter side of that length; the longer one rounded down, as torchvision does."""
        sizes = self._sizes()
        shorter = self._node("ReduceMin", sizes, keepdims=1)
        return self._node("Div", self._node("Mul", sizes, self.constant([length])), shorter)

    def cut_middle(self, height: int, width: int) -> None:
        wanted = self.constant([height, width])
        start = self._node("Div", self._node("Sub", self._sizes(), wanted), self.constant([2]))
        self.add("Slice", start, self._node("Add", start, wanted), self.constant([1, 2]))

    def last(self, name: str, kind: int) -> None:
        self.nodes.append(helper.make_node("Cast", [self._at], [name], name="sqlinfer_pixels", to=kind))

    def _sizes(self) -> str:
        return self._node("Slice", self._node("Shape", self._at), self.constant([1]), self.constant([3]))

    def _node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"sqlinfer_image_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output


def _steps(options: Options, sizes: Sequence[int | None], count: int, kind: int) -> _Steps:
    known = _preprocessor(Path(options["preprocessor"])) if "preprocessor" in options else {}
    height, width = _size(sizes, known.get("size"))
    shorter = known.get("shorter")
    resize = options.get("resize")
    if resize is not None:
        shorter = None if resize == "stretch" else _pixels(resize, height, width)
    if shorter is not None and height is not None and width is not None and shorter < max(height, width):
        raise InvalidModel(f"a shorter side of {shorter} pixels is too short to cut {height} x {width} out of it")
    raw = kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    scale = options.get("scale", known.get("scale", 1.0 if raw else 1 / 255))
    channels = options.get("channels") or ("gray" if count == 1 else "rgb")
    interpolation = options.get("interpolation") or known.get("interpolation", "linear")
    if isinstance(interpolation, int):
        raise InvalidModel(
            f"the preprocessor resizes with Pillow's filter {interpolation}, which ONNX does not have; "
            "choose --interpolation linear, cubic or nearest"
        )
    if (channels == "gray") != (count == 1):
        raise InvalidModel(f"channels={channels!r} do not fit a model that takes {count}")
    mean = _per_channel(options.get("mean", known.get("mean", (0.0,))), count, "mean")
    std = _per_channel(options.get("std", known.get("std", (1.0,))), count, "std")
    if not all(std):
        raise InvalidModel("a std of 0: every value would be infinite")
    return _Steps(height, width, shorter, interpolation, channels, float(scale), mean, std)


def _preprocessor(path: Path) -> dict[str, Any]:
    """What a preprocessor_config.json of Hugging Face's says. Raises InvalidModel."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        steps: dict[str, Any] = {}
        size, crop = fields.get("size"), fields.get("crop_size")
        cuts = fields.get("do_center_crop", False)
        if fields.get("do_resize", True) and size is not None:
            shorter = size if isinstance(size, int) and cuts else _of(size, "shortest_edge")
            steps = {"shorter": shorter, "size": _sides(crop if cuts and crop is not None else size)}
            steps["interpolation"] = _FILTERS.get(fields.get("resample", 2), fields.get("resample"))
        if fields.get("do_rescale", True):
            steps["scale"] = float(fields.get("rescale_factor", 1 / 255))
        else:
            steps["scale"] = 1.0
        if fields.get("do_normalize", True) and "image_mean" in fields:
            steps["mean"], steps["std"] = fields["image_mean"], fields["image_std"]
        return steps
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{path} is not a preprocessor_config.json that can be used: {error!r}") from error


def _of(size: Any, name: str) -> int | None:
    return size.get(name) if isinstance(size, dict) else None


def _sides(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return int(size["height"]), int(size["width"])


def _size(sizes: Sequence[int | None], known: tuple[int, int] | None) -> tuple[int | None, int | None]:
    """The model's own shape, and where it is free, what its preprocessor says."""
    height, width = sizes[0] or (known and known[0]), sizes[1] or (known and known[1])
    return (height, width) if height and width else (None, None)


def _pixels(resize: str | int, height: int | None, width: int | None) -> int:
    if resize == "crop" and height is not None and width is not None:
        return max(height, width)
    try:
        return int(resize)
    except ValueError as error:
        raise InvalidModel(
            f"resize={resize!r}: write 'stretch', 'crop', or how long the shorter side is made before the middle is cut"
        ) from error


def _per_channel(values: Any, count: int, what: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in (values if isinstance(values, (list, tuple)) else [values]))
    if len(numbers) not in (1, count):
        raise InvalidModel(f"{what} has {len(numbers)} values for {count} channels")
    return numbers if len(numbers) == count else numbers * count


def _image_input(graph: onnx.GraphProto, origin: object) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in graph.initializer}
    found: list[onnx.ValueInfoProto] = [
        v for v in graph.input if v.name not in constants and len(v.type.tensor_type.shape.dim) == 4
    ]
    if len(found) != 1:
        raise InvalidModel(f"{origin} has {len(found)} inputs of four axes; a model of images has one")
    return found[0]


def _is_channels_first(value: onnx.ValueInfoProto) -> bool:
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return dims[1] in (1, 3) or dims[3] not in (1, 3)


def _opset(model: onnx.ModelProto) -> int:
    return int(next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1))


def _convert(model: onnx.ModelProto, origin: object) -> tuple[bytes, bytes]:
    before = model.SerializeToString()
    try:
        newer = onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises what its C++ throws
        raise InvalidModel(
            f"{origin} is of opset {_opset(model)}, and resizing needs {_OPSET}: it cannot be converted "
            f"({' '.join(str(error).split())[:200]}); export the model with opset {_OPSET} or later"
        ) from error
    model.CopyFrom(newer)
    return before, model.SerializeToString()


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
