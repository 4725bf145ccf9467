"""What a preprocessor_config.json says is what the model is given, to the last bit, or the file is refused by name.

The expectations are written out here, in the words of Pillow and NumPy; they are those of transformers 4.57.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel

NEAREST, LANCZOS, LINEAR, CUBIC, BOX = range(5)
M, S = (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)
OWN = {"image_mean": list(M), "image_std": list(S)}
HALF = ((0.5,) * 3, (0.5,) * 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def photo(width, height):
    random = np.random.default_rng(width)
    blocks = random.integers(0, 256, (7, 5, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize((width, height), LINEAR)


IMAGES = [photo(60, 40), photo(24, 52), photo(100, 20), photo(7, 5), photo(45, 46)]


def shorter(image, length, how):
    width, height = image.size
    low = min(width, height)
    return image.resize((length * width // low, length * height // low), how)


def middle(image, height, width, start=lambda d: d // 2):
    """As center_crop of transformers, which adds zeros to what is smaller."""
    pixels = np.asarray(image)
    top, left = start(pixels.shape[0] - height), start(pixels.shape[1] - width)
    padded = np.pad(pixels, ((99, 99), (99, 99), (0, 0)))
    return padded[99 + top : 99 + top + height, 99 + left : 99 + left + width]


def scaled(pixels, factor=1 / 255):
    return (np.asarray(pixels).astype(np.float64) * factor).astype(np.float32)


def normal(values, mean=M, std=S):
    return (values - np.float32(mean)) / np.float32(std)


def fast(pixels, mean=M, std=S, factor=1 / 255):
    whole = np.float32(1.0 / factor)
    return (np.asarray(pixels).astype(np.float32) - np.float32(mean) * whole) / (np.float32(std) * whole)


def perceiver(image):
    low = min(image.size)
    part = Image.fromarray(middle(image, int(24 / 32 * low), int(24 / 32 * low)))
    return normal(scaled(part.resize((24, 24), CUBIC)))


def size(height, width):
    return {"height": height, "width": width}


SHORT = {"shortest_edge": 28}
CUT = {"crop_size": size(24, 20), "do_center_crop": True}
# The processor, what its file says besides, and what becomes of an image.
CASES = {
    "ViT": ("ViT", {"size": 24}, lambda i: normal(scaled(i.resize((24, 24), LINEAR)), *HALF)),
    "ViT, all said": ("ViT", {"size": size(20, 30), "resample": LANCZOS, "rescale_factor": 0.01, **OWN},
                      lambda i: normal(scaled(i.resize((30, 20), LANCZOS), 0.01))),
    "ViT, nothing done": ("ViT", {"do_resize": False, "do_rescale": False, "do_normalize": False},
                          lambda i: np.asarray(i).astype(np.float32)),
    "ViT, null": ("ViT", {"do_resize": None, "image_mean": None, "size": None}, lambda i: normal(scaled(i), *HALF)),
    "DeiT": ("DeiT", {"size": 28, "crop_size": 24, **OWN},
             lambda i: normal(scaled(middle(i.resize((28, 28), CUBIC), 24, 24)))),
    "BEiT": ("Beit", {"size": [26, 30], "do_center_crop": False, "do_reduce_labels": True, "resample": BOX},
             lambda i: normal(scaled(i.resize((30, 26), BOX)), *HALF)),
    "SigLIP": ("Siglip", {"size": size(24, 24), "do_convert_rgb": None},
               lambda i: normal(scaled(i.resize((24, 24), CUBIC)), *HALF)),
    "BLIP": ("Blip", {"size": size(24, 24)}, lambda i: normal(scaled(i.resize((24, 24), CUBIC)), *CLIP)),
    "PVT": ("Pvt", {"size": size(24, 24)}, lambda i: normal(scaled(i.resize((24, 24), LINEAR)), *IMAGENET)),
    "SegFormer": ("Segformer", {"size": size(24, 24), "reduce_labels": True},
                  lambda i: normal(scaled(i.resize((24, 24), LINEAR)), *IMAGENET)),
    "DPT": ("DPT", {"size": size(32, 16), "ensure_multiple_of": 16, "do_pad": False},
            lambda i: normal(scaled(i.resize((16, 32), CUBIC)), *HALF)),
    "CLIP": ("CLIP", {"size": 28, "crop_size": 24},
             lambda i: normal(scaled(middle(shorter(i, 28, CUBIC), 24, 24)), *CLIP)),
    "CLIP, smaller than its cut": ("CLIP", {"size": 13, **CUT, **OWN, "resample": LINEAR},
                                   lambda i: normal(scaled(middle(shorter(i, 13, LINEAR), 24, 20)))),
    "CLIP, cut alone": ("CLIP", {"do_resize": False, "crop_size": 24},
                        lambda i: normal(scaled(middle(i, 24, 24)), *CLIP)),
    "CLIP, square": ("CLIP", {"size": SHORT, "use_square_size": True, **CUT},
                     lambda i: normal(scaled(middle(i.resize((28, 28), CUBIC), 24, 20)), *CLIP)),
    "Chinese-CLIP": ("ChineseCLIP", {"size": size(26, 28), **CUT},
                     lambda i: normal(scaled(middle(i.resize((28, 26), CUBIC), 24, 20)), *CLIP)),
    "DINOv2": ("Bit", {"size": SHORT, **CUT, "resample": CUBIC},
               lambda i: normal(scaled(middle(shorter(i, 28, CUBIC), 24, 20)), *CLIP)),
    "MobileNet": ("MobileNetV2", {"size": SHORT, **CUT},
                  lambda i: normal(scaled(middle(shorter(i, 28, LINEAR), 24, 20)), *HALF)),
    "MobileViT, BGR": ("MobileViT", {"size": SHORT, **CUT, "resample": LINEAR},
                       lambda i: scaled(middle(shorter(i, 28, LINEAR), 24, 20))[:, :, ::-1]),
    "MobileViT, RGB": ("MobileViT", {"size": size(24, 24), "do_center_crop": False, "do_flip_channel_order": False},
                       lambda i: scaled(i.resize((24, 24), LINEAR))),
    "LeViT": ("Levit", {"size": SHORT, **CUT, **OWN}, lambda i: normal(scaled(middle(shorter(i, 32, CUBIC), 24, 20)))),
    "PoolFormer": ("PoolFormer", {"size": 24, "crop_pct": 0.9, **CUT, **OWN},
                   lambda i: normal(scaled(middle(shorter(i, 26, CUBIC), 24, 20)))),
    "PoolFormer, both sides": ("PoolFormer", {"size": size(24, 27), "crop_pct": 0.9, **CUT, **OWN},
                               lambda i: normal(scaled(middle(i.resize((30, 26), CUBIC), 24, 20)))),
    "PoolFormer, no share": ("PoolFormer", {"size": SHORT, "crop_pct": None, **CUT, **OWN},
                             lambda i: normal(scaled(middle(shorter(i, 28, CUBIC), 24, 20)))),
    "ConvNeXT, ResNet": ("ConvNext", {"size": 24, "crop_pct": 0.75, "resample": CUBIC, **OWN},
                         lambda i: normal(scaled(middle(shorter(i, 32, CUBIC), 24, 24)))),
    "ConvNeXT, its own share": ("ConvNext", {"size": {"shortest_edge": 28}, "resample": CUBIC, **OWN},
                                lambda i: normal(scaled(middle(shorter(i, 32, CUBIC), 28, 28)))),
    "ConvNeXT 384": ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 0.75, **OWN},
                     lambda i: normal(scaled(i.resize((384, 384), LINEAR)))),
    "EfficientNet": ("EfficientNet", {"size": size(24, 24), **OWN},
                     lambda i: normal(normal(scaled(i.resize((24, 24), NEAREST))), (0.0,) * 3)),
    "EfficientNet, offset": ("EfficientNet", {"size": 24, "rescale_factor": 1 / 127.5, "rescale_offset": True,
                                              "do_normalize": False, "include_top": False, "resample": LINEAR},
                             lambda i: scaled(i.resize((24, 24), LINEAR), 1 / 127.5) - np.float32(1)),
    "EfficientFormer": ("EfficientFormer", {"size": SHORT, **CUT},
                        lambda i: normal(scaled(middle(shorter(i, 28, CUBIC), 24, 20)), *IMAGENET)),
    "Perceiver": ("Perceiver", {"size": 24, "crop_size": 32, **OWN}, perceiver),
}  # fmt: skip


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def asked(tmp_path, engine):
    """``asked(fields, …)``: the tensors that a model is given for images, by the file ``name`` of its folder."""

    def ask(
        fields, *, images=IMAGES, name="preprocessor_config.json", config=None, shape=("n", 3, "h", "w"), **options
    ):
        value = helper.make_tensor_value_info
        given, answer = (value(n, TensorProto.FLOAT, list(shape)) for n in ("pixel_values", "y"))
        graph = helper.make_graph([helper.make_node("Identity", ["pixel_values"], ["y"])], "echo", [given], [answer])
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "model.onnx"
        )
        for file, content in {name: fields, "config.json": config or {}}.items():
            (folder / file).write_text(json.dumps(content))
        sqlinfer.register("m", folder, registry=tmp_path / "models", promote=True, **options)
        with sqlinfer.connect(registry=tmp_path / "models", engine=engine) as con:
            con.execute("CREATE TABLE t AS SELECT unnest($1) AS i, unnest($2) AS content",
                        [list(range(len(images))), [encoded(image) for image in images]])  # fmt: skip
            rows = con.execute("SELECT predict('m', content) FROM t ORDER BY i").fetchall()
        return [np.array(tensor, np.float32).transpose(1, 2, 0) for (tensor,) in rows]

    return ask


def named(processor, **fields):
    return {"image_processor_type": f"{processor}ImageProcessor", **fields}


@pytest.mark.parametrize("case", CASES)
def test_each_processor_is_met_to_the_last_bit(asked, case):
    processor, fields, expected = CASES[case]
    images = [image for image in IMAGES if image.height > 5] if processor == "Perceiver" else IMAGES
    for image, given in zip(images, asked(named(processor, **fields), images=images), strict=True):
        np.testing.assert_array_equal(given, expected(image), err_msg=str(image.size))


def across(image, width, height, how):
    """The columns first, as torchvision has them."""
    return image.resize((width, image.height), how).resize((width, height), how)


def across_to(image, length, how):
    low = min(image.size)
    return across(image, length * image.width // low, length * image.height // low, how)


FAST = {
    "CLIP": ({"size": SHORT, **CUT, **OWN, "resample": CUBIC},
             lambda i: fast(middle(across_to(i, 28, CUBIC), 24, 20, lambda d: int(d / 2)))),
    "ViT": ({"size": size(24, 20), "do_normalize": False},
            lambda i: np.asarray(across(i, 20, 24, LINEAR)).astype(np.float32) * np.float32(1 / 255)),
    "ConvNext": ({"size": 23, "crop_pct": 0.8, **OWN},
                 lambda i: fast(middle(across_to(i, 28, LINEAR), 23, 23, lambda d: round(d / 2)))),
    "Beit": ({"size": 24, **OWN}, lambda i: fast(across(i, 24, 24, CUBIC))),
    "EfficientNet": ({"size": 24, "resample": LINEAR, "rescale_offset": True, **OWN},
                     lambda i: normal(normal(np.asarray(across(i, 24, 24, LINEAR)).astype(np.float32)
                                             * np.float32(1 / 255) - np.float32(1)), (0.0,) * 3)),
}  # fmt: skip


@pytest.mark.parametrize("processor", FAST)
def test_processors_of_tensors_scale_and_cut_as_torchvision_does(asked, processor):
    fields, expected = FAST[processor]
    given = asked({"image_processor_type": f"{processor}ImageProcessorFast", **fields})
    for image, tensor in zip(IMAGES, given, strict=True):
        np.testing.assert_array_equal(tensor, expected(image), err_msg=str(image.size))


def test_timm_says_it_in_its_config(asked):
    statistics = {"mean": list(M), "std": list(S)}
    config: dict[str, Any] = {
        "architecture": "resnet10t",
        "label_names": None,
        "pretrained_cfg": {"input_size": [3, 24, 24], **statistics},
    }
    config["pretrained_cfg"] |= {
        "crop_pct": 0.9,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "pool_size": [5, 5],
    }

    def expected(image, sized):
        pixels = middle(sized, 24, 24, lambda d: round(d / 2)).astype(np.float32)
        return (pixels / np.float32(255) - np.array(M, np.float32)) / np.array(S, np.float32)

    for image, given in zip(IMAGES, asked({}, name="other.json", config=config), strict=True):
        np.testing.assert_array_equal(given, expected(image, shorter(image, 26, CUBIC)))
    config["pretrained_cfg"] |= {"crop_mode": "squash", "interpolation": "lanczos"}
    for image, given in zip(IMAGES, asked({}, name="other.json", config=config), strict=True):
        np.testing.assert_array_equal(given, expected(image, image.resize((26, 26), LANCZOS)))
    config["pretrained_cfg"]["crop_mode"] = "border"
    with pytest.raises(InvalidModel, match="crop_mode 'border'"):
        asked({}, name="other.json", config=config)


@pytest.mark.slow
def test_who_prepares_is_said_in_several_places(asked):
    plain = {"size": 24, "image_mean": list(M), "image_std": list(S)}
    linear = normal(scaled(IMAGES[0].resize((24, 24), LINEAR)))
    np.testing.assert_array_equal(asked({**plain, "feature_extractor_type": "ViTFeatureExtractor"})[0], linear)
    np.testing.assert_array_equal(asked(plain, config={"model_type": "vit"})[0], linear)
    np.testing.assert_array_equal(asked({**plain, "resample": LINEAR})[0], linear)
    wider = normal(scaled(middle(shorter(IMAGES[0], int(24 / 0.875), LINEAR), 24, 24)))
    np.testing.assert_array_equal(asked(plain, config={"model_type": "resnet"})[0], wider)
    nested = {"processor_class": "X", "image_processor": {**plain, "image_processor_type": "ViTImageProcessor"}}
    np.testing.assert_array_equal(asked(nested, name="processor_config.json")[0], linear)


def test_the_user_has_the_last_word(asked):
    fields = named("CLIP", size=28, crop_size=24, **OWN)
    image = IMAGES[0]
    given = asked(fields, interpolation="box", mean=[0.1, 0.2, 0.3])[0]
    np.testing.assert_array_equal(given, normal(scaled(middle(shorter(image, 28, BOX), 24, 24)), (0.1, 0.2, 0.3)))
    given = asked(fields, shape=("n", 3, 20, 20), resize="stretch", channels="bgr")[0]
    np.testing.assert_array_equal(given, normal(scaled(image.resize((20, 20), CUBIC))[:, :, ::-1]))
    given = asked(named("EfficientNet", size=24), scale=1.0, mean=2.0, std=4.0)[0]
    np.testing.assert_array_equal(given, (scaled(image.resize((24, 24), NEAREST), 1) - np.float32(2)) / np.float32(4))
    with pytest.raises(InvalidModel, match="the preprocessor does more with values"):
        asked(named("EfficientNet", size=24), mean=2.0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (named("ViT", crop_pct=0.9), "crop_pct is 0.9, which ViTImageProcessor does not have"),
        (named("ViT", do_center_crop=True, crop_size=20), "do_center_crop is True, which ViTImageProcessor"),
        (named("ViT", do_flip_channel_order=True), "do_flip_channel_order is True"),
        (named("ViT", do_pad=True, pad_size=8), "do_pad is True"),
        (named("CLIP", do_grayscale=True), "do_grayscale is True"),
        (named("CLIP", size={"longest_edge": 30}), r"size is \{'longest_edge': 30\}, and CLIPImageProcessor"),
        (named("CLIP", size={"shortest_edge": 30, "longest_edge": 60}), "size is"),
        (named("ViT", size=SHORT), "size is .* and ViTImageProcessor takes height and width"),
        (named("ViT", size=0), "size is 0, which is no size"),
        (named("ViT", resample=9), r"resample is 9, and ViTImageProcessor takes one of Pillow's filters 0, 1, 2"),
        (named("ViT", resample=None), "resample is None"),
        (named("ViT", data_format="channels_last"), "data_format is 'channels_last'"),
        (named("DPT", keep_aspect_ratio=True), "keep_aspect_ratio is True: images would have sizes of their own"),
        (named("DPT", size=30, ensure_multiple_of=16), "ensure_multiple_of is 16, of which 30, 30 are no multiples"),
        (named("MobileViT", do_normalize=True), "do_normalize is True, which MobileViTImageProcessor does not have"),
        (named("Detr"), "the image processor DetrImageProcessor is not known here"),
        (named("Donut", do_thumbnail=True), "the image processor DonutImageProcessor is not known here"),
        ({"image_processor_type": "ViTImageProcessorFast", "resample": 0}, "resample is 0"),
        ({"image_processor_type": "ViTImageProcessorFast", "image_mean": None}, "image_mean is None"),
        ({"auto_map": {"AutoImageProcessor": "x.Y"}, "do_resize": True}, "an image processor that is code of its own"),
        ({"size": 24, "do_normalize": False, "do_resize": True}, "resample is None, and it takes one of Pillow's"),
        ({"size": 24, "resample": 2, "do_resize": True}, "do_normalize is None, and no processor is named"),
        ({"size": 24, "resample": 2, "do_normalize": True, "do_resize": True}, "image_mean is None"),
        (named("ViT", image_std=[0.0, 1.0, 1.0]), "a std of 0"),
        (named("ViT", image_std=[0.5, 0.5]), "div has 2 values for 3 channels"),
        (named("ViT", rescale_factor="x"), "is not a preprocessor_config.json that can be used"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_its_name(asked, fields, says):
    with pytest.raises(InvalidModel, match=says):
        asked(fields)


def test_what_a_model_does_not_take_is_refused(asked):
    with pytest.raises(InvalidModel, match="takes images of 20 x 20 pixels, and its preprocessor makes 24 x 24"):
        asked(named("ViT", size=24), shape=("n", 3, 20, 20))
    with pytest.raises(InvalidModel, match="the model takes one channel, and image processors make three"):
        asked(named("ViT", size=24), shape=("n", 1, 24, 24))
    with pytest.raises(InvalidModel, match="the image processor wav2vec2ImageProcessor is not known here"):
        asked({"size": 24, "do_resize": True}, config={"model_type": "wav2vec2"})


def test_images_of_many_sizes_run_together(asked):
    """What has been cut to one size is scored in one run, with the answers that each has alone."""
    images = IMAGES * 40
    fields = named("CLIP", size=28, crop_size=24)
    together, alone = asked(fields, images=images), asked(fields)
    for i, given in enumerate(together):
        np.testing.assert_array_equal(given, alone[i % len(IMAGES)])


@pytest.mark.slow
def test_what_is_too_large_between_two_passes_is_named(asked):
    high = Image.new("RGB", (1, 120_000))
    assert not asked(named("ViT", size=size(8, 600), do_normalize=False), images=[high])[0].any()
    with pytest.raises(FeatureError, match="resized by way of 600 x 120000 pixels, more than the 67108864 that are"):
        asked({"image_processor_type": "ViTImageProcessorFast", "size": size(8, 600)}, images=[high])
