"""What a preprocessor_config.json says, as the image processor of Hugging Face's transformers that it is of does it.

Each processor has defaults, keys and habits of its own, and most of them ignore what they do not know. A key that may
change pixels is either honoured or refused by its name. The reference is the processor that works with Pillow, as of
transformers 4.57, whose pixels and values are met to the last bit. One called Fast crops and scales as torchvision
does, and is resized by Pillow, too: its own pixels differ from those by one level of 255 at most (cubic: by two), in
less than one of a hundred.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sqlinfer.errors import InvalidModel, named
from sqlinfer.models.signature import ImageStep

__all__ = ["FILTERS", "Operation", "Recipe", "read_processor"]

# Pillow's numbers for its filters.
FILTERS = {0: "nearest", 1: "lanczos", 2: "linear", 3: "cubic", 4: "box", 5: "hamming"}
_FAST_FILTERS = {2, 3}  # torchvision's nearest pixel is another one at times
_HALF = (0.5, 0.5, 0.5)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_SQUARE, _SHORTEST = "height and width", "shortest_edge"
_FORMS = {frozenset(("height", "width")): _SQUARE, frozenset(("shortest_edge",)): _SHORTEST}

# An operation on values, in single precision but for *scale*, whose product is rounded to it: what is done, with one
# number or one for each channel.
Operation = tuple[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """``steps``: what is done with the pixels; ``flip``: their channels are turned round then; ``values``: what is done
    with the numbers, in this order."""

    steps: tuple[ImageStep, ...]
    flip: bool
    values: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class _Processor:
    """``int``: what a size that is a lone number means. ``sizes``: the forms of a size that it takes."""

    size: Any
    resample: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    crop: int | None = None
    cuts: bool = True
    lone: str = _SQUARE
    sizes: tuple[str, ...] = (_SQUARE,)
    keys: tuple[str, ...] = ()


def _simple(size: int, resample: int, statistics: Any = (_HALF, _HALF), **more: Any) -> _Processor:
    return _Processor({"height": size, "width": size}, resample, *statistics, **more)


def _shorter(size: int, resample: int, statistics: Any = (_HALF, _HALF), **more: Any) -> _Processor:
    more = {"lone": _SHORTEST, "sizes": (_SHORTEST, _SQUARE), **more}
    return _Processor({"shortest_edge": size}, resample, *statistics, **more)


_KNOWN = {
    "ViT": _simple(224, 2),
    "DeiT": _simple(256, 3, crop=224),
    "Beit": _simple(256, 3, crop=224),
    "Siglip": _simple(224, 3, lone=_SHORTEST),
    "Blip": _simple(384, 3, _CLIP),
    "Pvt": _simple(224, 2, _IMAGENET),
    "Segformer": _simple(512, 2, _IMAGENET),
    "DPT": _simple(384, 3, keys=("keep_aspect_ratio", "ensure_multiple_of")),
    "Perceiver": _simple(224, 3, _IMAGENET, crop=256),
    "EfficientNet": _simple(346, 0, crop=289, cuts=False, keys=("rescale_offset", "include_top")),
    "EfficientFormer": _simple(224, 3, _IMAGENET, crop=224, sizes=(_SQUARE, _SHORTEST)),
    "CLIP": _shorter(224, 3, _CLIP, crop=224, keys=("use_square_size",)),
    "ChineseCLIP": _shorter(224, 3, _CLIP, crop=224, sizes=(_SQUARE,)),
    "Bit": _shorter(224, 3, _CLIP, crop=224),
    "MobileNetV1": _shorter(256, 2, crop=224),
    "MobileNetV2": _shorter(256, 2, crop=224),
    "MobileViT": _shorter(224, 2, (None, None), crop=256, keys=("do_flip_channel_order",)),
    "Levit": _shorter(224, 3, _IMAGENET, crop=224),
    "PoolFormer": _shorter(224, 3, _IMAGENET, crop=224, keys=("crop_pct",)),
    "ConvNext": _shorter(384, 2, sizes=(_SHORTEST,), keys=("crop_pct",)),
}
# Where those that work with tensors are set up otherwise.
_KNOWN_FAST = _KNOWN | {
    "Beit": _simple(224, 3, crop=224, cuts=False),
    "DINOv3ViT": _simple(224, 2, _IMAGENET),
    "ChineseCLIP": _shorter(224, 3, _CLIP, crop=224),
}
# By the model_type of a config.json, for a file that names no processor.
_BY_MODEL = {
    **dict.fromkeys(("vit", "swin", "swinv2", "swiftformer", "vit_mae", "vit_msn", "dinat", "nat", "ijepa"), "ViT"),
    **dict.fromkeys(("beit", "data2vec-vision"), "Beit"),
    **dict.fromkeys(("convnext", "convnextv2", "cvt", "resnet", "regnet", "van"), "ConvNext"),
    **dict.fromkeys(("bit", "dinov2", "focalnet", "hiera"), "Bit"),
    **dict.fromkeys(("clip", "aimv2", "git", "groupvit", "metaclip_2", "mlcd"), "CLIP"),
    **dict.fromkeys(("mobilevit", "mobilevitv2"), "MobileViT"),
    **dict.fromkeys(("efficientnet", "align"), "EfficientNet"),
    **dict.fromkeys(("pvt", "pvt_v2"), "Pvt"),
    **dict.fromkeys(("segformer", "upernet"), "Segformer"),
    **dict.fromkeys(("blip", "blip-2"), "Blip"),
    **dict.fromkeys(("dpt", "depth_anything"), "DPT"),
    "deit": "DeiT",
    "levit": "Levit",
    "siglip": "Siglip",
    "perceiver": "Perceiver",
    "poolformer": "PoolFormer",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "chinese_clip": "ChineseCLIP",
    "efficientformer": "EfficientFormer",
}
# These every processor has.
_COMMON = {"do_resize", "size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"}
_CROPS = {"do_center_crop", "crop_size"}
# These say nothing of pixels: who wrote the file, what comes out beside them, how they are laid out in between. All
# images are RGB here, as those of a pipeline are.
_HARMLESS = {"image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "return_tensors"}
_HARMLESS |= {"_valid_processor_keys", "_valid_kwargs_names", "model_input_names", "input_data_format", "device"}
_HARMLESS |= {"do_reduce_labels", "reduce_labels", "do_convert_rgb", "disable_grouping", "default_to_square"}
_HARMLESS |= {"transformers_version", "_name_or_path", "_commit_hash", "feature_extractor_class"}
# These count only where their step is taken.
_OF_A_STEP = {"image_mean", "image_std", "crop_size", "pad_size", "data_format"}
_INSTEAD = (
    "register the .onnx file itself, and say how with --resize, --interpolation, --channels, --scale, --mean and --std"
)


def read_processor(path: Path) -> Recipe:
    """Of a preprocessor_config.json, of the part on images of a processor_config.json, or of the config.json of a model
    of timm's. Raises InvalidModel."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if "pretrained_cfg" in fields:
            return _timm(fields["pretrained_cfg"], path)
        beside = path.with_name("config.json")
        config = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        return _Reader(fields.get("image_processor", fields), config.get("model_type"), path).recipe()
    except (OSError, KeyError, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        if isinstance(error, InvalidModel):
            raise
        raise InvalidModel(f"{path} is not a preprocessor_config.json that can be used: {error!r}") from error


class _Reader:
    """One file, of one processor; one that is not named has no defaults, and says all of it."""

    def __init__(self, fields: Mapping[str, Any], model_type: str | None, origin: object) -> None:
        """``model_type``: of the model that it prepares for, where that is known."""
        self.origin = origin
        name = fields.get("image_processor_type") or fields.get("feature_extractor_type") or ""
        if not name and fields.get("auto_map"):
            raise InvalidModel(f"{origin} is of an image processor that is code of its own: {_INSTEAD}")
        if not name and model_type:
            name = f"{_BY_MODEL.get(model_type, model_type)}ImageProcessor"
        self.name = name = name.replace("FeatureExtractor", "ImageProcessor")
        self.fast = name.endswith("Fast")
        known = _KNOWN_FAST if self.fast else _KNOWN
        self.stem = name.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor")
        if name and self.stem not in known:
            raise InvalidModel(f"{origin}: the image processor {name} is not known here: {_INSTEAD}")
        self.processor = known.get(self.stem)
        self.fields = fields
        self._require_known()

    def recipe(self) -> Recipe:
        if self.fields.get("data_format", "channels_first") not in ("channels_first", None):
            raise self.refusal("data_format")
        flip = self.stem == "MobileViT" and self.says("do_flip_channel_order", True)
        return Recipe(tuple(self._steps()), flip, tuple(self._values()))

    def says(self, key: str, default: bool) -> bool:
        return bool(self.fields.get(key, default))

    def _given(self, key: str, default: Any) -> Any:
        """For null, only the processors that work with Pillow have what they have by default."""
        if self.fast:
            return self.fields.get(key, default)
        return default if self.fields.get(key) is None else self.fields[key]

    def refusal(self, key: str, why: str = ", which is not known here") -> InvalidModel:
        return InvalidModel(f"{self.origin}: {key} is {self.fields.get(key)!r}{why}: {_INSTEAD}")

    def _require_known(self) -> None:
        """No key that may change pixels is ignored."""
        keys = _COMMON | _HARMLESS | _OF_A_STEP
        if self.processor is None:
            keys |= _CROPS
        else:
            keys |= {*self.processor.keys, *(_CROPS if self.processor.crop else ())}
            keys -= {"do_normalize"} if self.processor.mean is None else set()
        for key, value in self.fields.items():
            if key not in keys and value not in (None, False):
                raise self.refusal(key, f", which {self.name or 'a processor without a name'} does not have")

    def _steps(self) -> list[ImageStep]:
        crop = self._cut() if self._cuts() else []
        if not self._resizes():
            return crop if self.stem != "Perceiver" else self._share() if self._cuts() else []
        kind, size = self._size()
        how = self._filter()
        if self.stem == "ConvNext" and size[0] < 384:
            wider = int(size[0] / self._given("crop_pct", 224 / 256))
            # torchvision rounds the place of a cut to even numbers
            return [ImageStep("shorter", (wider,), how), ImageStep("crop", size * 2, "even" if self.fast else "floor")]
        if self.stem == "ConvNext":
            kind, size = "resize", size * 2
        if self.stem == "Levit" and kind == "shorter":
            size = (int(256 / 224 * size[0]),)
        if self.stem == "PoolFormer" and (share := self.fields.get("crop_pct", 0.9)) is not None:
            size = tuple(int(side / share) for side in size)
            kind, size = ("shorter", size[:1]) if len(set(size)) == 1 else (kind, size)
        if self.stem == "DPT":
            self._require_plain(size)
        resized = ImageStep("resize" if kind == "resize" else "shorter", size, how)
        return [*(self._share() if self._cuts() else []), resized] if self.stem == "Perceiver" else [resized, *crop]

    def _resizes(self) -> bool:
        if self.processor is None:
            return self.says("do_resize", self.fields.get("size") is not None)
        return self.says("do_resize", True)

    def _cuts(self) -> bool:
        default = self.processor is not None and self.processor.crop is not None and self.processor.cuts
        return self.says("do_center_crop", default)

    def _cut(self) -> list[ImageStep]:
        _, size = self._sides("crop_size", self.processor and self.processor.crop, _SQUARE, (_SQUARE,))
        return [ImageStep("crop", size, "zero" if self.fast else "floor")]

    def _share(self) -> list[ImageStep]:
        """Perceiver cuts a square first, as large as the image has room for."""
        (_, size), (cut,) = self._size(), self._cut()
        return [ImageStep("share", (size[0] / cut.size[0], size[1] / cut.size[1]), cut.how)]

    def _size(self) -> tuple[str, tuple[int, ...]]:
        if self.processor is None:
            return self._sides("size", None, _SHORTEST if self._cuts() else _SQUARE, (_SQUARE, _SHORTEST))
        lone = self.processor.lone
        if self.fast and "default_to_square" in self.fields:
            lone = _SQUARE if self.fields["default_to_square"] else _SHORTEST
        kind, size = self._sides("size", self.processor.size, lone, self.processor.sizes)
        if self.stem == "CLIP" and kind == "shorter" and self.fields.get("use_square_size"):
            return "resize", size * 2
        return kind, size

    def _sides(self, key: str, default: Any, lone: str, forms: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
        """What is done, and the size that it needs."""
        size = self._given(key, default)
        if isinstance(size, int) and not isinstance(size, bool):
            size = {"height": size, "width": size} if lone == _SQUARE else {"shortest_edge": size}
        if isinstance(size, list) and len(size) == 2:
            size = {"height": size[0], "width": size[1]}
        form = _FORMS.get(frozenset(size or ()))
        if form not in forms:
            raise self.refusal(key, f", and {self.name or 'it'} takes {' or '.join(forms)}")
        sides = tuple(int(size[side]) for side in (("height", "width") if form == _SQUARE else ("shortest_edge",)))
        if min(sides) < 1:
            raise self.refusal(key, ", which is no size")
        return ("resize" if form == _SQUARE else "shorter"), sides

    def _filter(self) -> str:
        number = self.fields.get("resample", self.processor and self.processor.resample)
        filters = {n: how for n, how in FILTERS.items() if n in _FAST_FILTERS or not self.fast}
        if number not in filters:
            raise self.refusal("resample", f", and {self.name or 'it'} takes one of Pillow's filters {named(filters)}")
        return filters[number] + (" across" if self.fast else "")

    def _require_plain(self, size: tuple[int, ...]) -> None:
        if self.fields.get("keep_aspect_ratio"):
            raise self.refusal("keep_aspect_ratio", ": images would have sizes of their own")
        multiple = self.fields.get("ensure_multiple_of") or 1
        if any(side % multiple for side in size):
            raise self.refusal("ensure_multiple_of", f", of which {named(size)} are no multiples")

    def _values(self) -> list[Operation]:
        scales, normalizes = self.says("do_rescale", True), self._normalizes()
        scale = float(self.fields.get("rescale_factor", 1 / 255)) if scales else 1.0
        offset: list[Operation] = [("sub", (1.0,))] if scales and self.says("rescale_offset", False) else []
        # EfficientNet is normalised twice where its head is kept
        again: list[Operation] = []
        if self.stem == "EfficientNet" and self.says("include_top", True):
            again = [("div", self._statistics()[1])]
        normal: list[Operation] = list(zip(("sub", "div"), self._statistics(), strict=True)) if normalizes else []
        if self.fast and scales and normal and not offset:  # both at once, in single precision
            whole = np.float32(1.0 / scale)
            return [*((operation, _times(values, whole)) for operation, values in normal), *again]
        scaled: list[Operation] = [("mul" if self.fast else "scale", (scale,))] if scales else []
        return [*scaled, *offset, *normal, *again]

    def _normalizes(self) -> bool:
        if self.processor is None and "do_normalize" not in self.fields and "image_mean" not in self.fields:
            raise self.refusal("do_normalize", ", and no processor is named that would say it")
        return self.says("do_normalize", self.processor is None or self.processor.mean is not None)

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        found: list[tuple[float, ...]] = []
        for key, default in (("image_mean", "mean"), ("image_std", "std")):
            values = self._given(key, getattr(self.processor, default, None))
            if values is None:
                raise self.refusal(key, ", and values are to be normalised")
            found.append(tuple(float(value) for value in (values if isinstance(values, (list, tuple)) else [values])))
        return found[0], found[1]


def _times(values: tuple[float, ...], factor: np.float32) -> tuple[float, ...]:
    return tuple(float(np.float32(value) * factor) for value in values)


def _timm(fields: Mapping[str, Any], origin: object) -> Recipe:
    """As timm's transforms for evaluation, of torchvision's on Pillow's images."""
    name = fields.get("interpolation") or "bicubic"
    filters = {"bilinear": "linear", "bicubic": "cubic"} | {how: how for how in FILTERS.values()}
    mode, share = fields.get("crop_mode") or "center", fields.get("crop_pct") or 0.875
    height, width = (int(side) for side in fields["input_size"][-2:])
    square = height == width
    if name not in filters or mode not in ("center", "squash") or (mode == "center" and not square):
        what = f"interpolation {name!r}, crop_mode {mode!r}, input_size {fields['input_size']}"
        raise InvalidModel(f"{origin}: {what} is not known here: {_INSTEAD}")
    scaled = (math.floor(height / share), math.floor(width / share))
    stretched = mode == "squash"
    resized = ImageStep("resize" if stretched else "shorter", scaled if stretched else scaled[:1], filters[name])
    mean, std = fields.get("mean") or _IMAGENET[0], fields.get("std") or _IMAGENET[1]
    values = [("div", (255.0,)), ("sub", tuple(map(float, mean))), ("div", tuple(map(float, std)))]
    return Recipe((resized, ImageStep("crop", (height, width), "even")), False, tuple(values))
