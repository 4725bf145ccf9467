"""Images go in as BLOB: files are decoded alike on every engine, and the graph does what the model was trained on."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageOps

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel

FILTERS = {
    "linear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def drawing(width, height, seed=0):
    """Lines and ellipses over a gradient."""
    random = np.random.default_rng(seed)
    gradient = np.indices((height, width)).sum(axis=0)[:, :, None] * random.integers(1, 5, 3)
    image = Image.fromarray((gradient % 256).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(0, width), random.integers(0, height)
        pen.ellipse([x, y, x + width // 4, y + height // 3], fill=tuple(random.integers(0, 256, 3).tolist()))
        pen.line([x, y, width - x, height - y], fill=tuple(random.integers(0, 256, 3).tolist()), width=3)
    return image


def encoded(image, kind="PNG", **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


PICTURE = drawing(53, 37)
FILES = {
    **{f"png {mode}": encoded(PICTURE.convert(mode)) for mode in ("RGB", "L", "P", "1", "RGBA")},
    "png grey and alpha": encoded(PICTURE.convert("L").convert("LA")),
    "png see-through": encoded(PICTURE.quantize(9), transparency=2),
    **{f"jpeg {s}": encoded(PICTURE, "JPEG", quality=75, subsampling=s) for s in (0, 1, 2)},
    "jpeg progressive": encoded(PICTURE, "JPEG", quality=40, progressive=True),
    "jpeg grey": encoded(PICTURE.convert("L"), "JPEG"),
    "jpeg CMYK": encoded(PICTURE.convert("CMYK"), "JPEG"),
    **{f"jpeg turned {o}": encoded(PICTURE, "JPEG", exif=turned(o)) for o in range(1, 9)},
    "png turned": encoded(PICTURE, exif=turned(6)),
}


def pixels(content):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))


def test_grey_of_16_bits_is_refused(connected):
    """Pillow, and what prepares images with it, makes a white image of it."""
    grey = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    _, con = connected(echo(["n", 3, "h", "w"]), [encoded(grey)], image=True)
    with pytest.raises(FeatureError, match=r"an image cannot be read .*grey of 16 bits.*write 8 bits"):
        con.execute("SELECT predict('m', content) FROM files")


def graph(nodes, given, answer, weights=(), opset=18):
    made = helper.make_graph(nodes, "test", [given], [answer], list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def echo(shape, dtype=TensorProto.FLOAT, opset=18):
    """Answers the tensor that the model is given."""
    info = helper.make_tensor_value_info
    return graph(
        [helper.make_node("Identity", ["x"], ["y"])], info("x", dtype, shape), info("y", dtype, shape), opset=opset
    )


def network(size=24, classes=3, opset=18, batch="n"):
    """A convolution, pooled, and a classifier."""
    random = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(random.normal(0, 0.5, (8, 3, 5, 5)).astype(np.float32), "w"),
        numpy_helper.from_array(random.normal(0, 1, (8, classes)).astype(np.float32), "c"),
    ]
    nodes = [
        helper.make_node("Conv", ["pixel_values", "w"], ["h"], strides=[2, 2]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "c"], ["logits"]),
    ]
    given = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [batch, 3, size, size])
    return graph(
        nodes, given, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes]), weights, opset
    )


@pytest.fixture
def connected(tmp_path, engine):
    """``connected(model, files, …)``: register as m; the model and a connection with the table files(id, content)."""
    opened = []

    def connect(model, files, **options):
        if isinstance(model, onnx.ModelProto):
            onnx.save(model, tmp_path / "model.onnx")
            model = tmp_path / "model.onnx"
        stored = sqlinfer.register("m", model, registry=tmp_path / "registry", **options)
        con = sqlinfer.connect(registry=tmp_path / "registry", engine=engine)
        opened.append(con)
        con.execute(
            "CREATE TABLE files AS SELECT unnest($1) AS id, unnest($2) AS content", [list(range(len(files))), files]
        )
        return stored, con

    yield connect
    for con in opened:
        con.close()


def answers(con, sql="SELECT predict('m', content) FROM files ORDER BY id"):
    return [None if row is None else np.array(row) for (row,) in con.execute(sql).fetchall()]


@pytest.mark.slow
def test_files_are_decoded_as_pillow_does(connected):
    model = echo(["n", "height", "width", 3], TensorProto.UINT8)
    stored, con = connected(model, [*FILES.values(), None], image=True)
    assert repr(stored) == "<sqlinfer.Model m/1 predict(image BLOB) → UTINYINT[3][][]>"
    *given, null = answers(con)
    assert null is None
    for (name, content), image in zip(FILES.items(), given, strict=True):
        np.testing.assert_array_equal(image, pixels(content), err_msg=name)


SIZED = [drawing(90, 60, seed=1), drawing(41, 77, seed=2), drawing(32, 24, seed=3), drawing(300, 200, seed=4)]
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def cut(image, shorter, size, how=Image.Resampling.BILINEAR):
    """As torchvision's Resize and Hugging Face's center_crop."""
    width, height = image.size
    image = image.resize((shorter * width // min(width, height), shorter * height // min(width, height)), how)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def values(image, factor=1 / 255):
    """As transformers scales pixels: in double precision, kept in single."""
    return (np.asarray(image).astype(np.float64) * factor).astype(np.float32)


def scaled(image, size=(24, 24), how="linear"):
    return values(image.resize(size, FILTERS[how]))


CASES = {
    "stretched": (["n", 3, 24, 32], {}, lambda image: scaled(image, (32, 24))),
    "last axis": (["n", 24, 32, 3], {"interpolation": "cubic"}, lambda image: scaled(image, (32, 24), "cubic")),
    "middle": ([1, 3, 24, 24], {"resize": "crop"}, lambda image: values(cut(image, 24, 24))),
    "ImageNet": (
        ["n", 3, 24, 24],
        {"resize": 31, "mean": MEAN.tolist(), "std": STD.tolist()},
        lambda image: (values(cut(image, 31, 24)) - MEAN) / STD,
    ),
    "BGR": (
        ["n", 3, 24, 24],
        {"channels": "bgr", "scale": 1.0, "mean": 127.5, "std": 255.0},
        lambda image: (values(image.resize((24, 24), FILTERS["linear"]), 1)[:, :, ::-1] - 127.5) / 255,
    ),
    "grey": (["n", 1, 24, 24], {}, lambda image: scaled(image.convert("L"))[:, :, None]),
    "any size": (["n", 3, "h", "w"], {}, values),
}


@pytest.mark.parametrize(("shape", "options", "expected"), CASES.values(), ids=CASES)
def test_images_become_what_the_model_was_trained_on(connected, shape, options, expected):
    """To the last bit."""
    stored, con = connected(echo(shape), [encoded(image) for image in SIZED], image=True, **options)
    assert stored.manifest.signature.batch.fixed == (1 if shape[0] == 1 else None)
    for image, given in zip(SIZED, answers(con), strict=True):
        np.testing.assert_array_equal(given if shape[3] == 3 else given.transpose(1, 2, 0), expected(image))


# Wide, high, small: where Pillow reduces the rows first, too, and where it makes more of them.
SHAPES = [(90, 60), (60, 90), (30, 400), (400, 30), (5, 7), (1, 1), (24, 24), (24, 50), (300, 200), (225, 227)]


@pytest.mark.parametrize("how", FILTERS)
def test_pixels_are_pillows_own(connected, how):
    random = np.random.default_rng(7)
    images = [Image.fromarray(random.integers(0, 256, (h, w, 3)).astype(np.uint8)) for w, h in SHAPES]
    model = echo(["n", 33, 24, 3], TensorProto.UINT8)
    _, con = connected(model, [encoded(image) for image in images], image=True, interpolation=how)
    for image, given in zip(images, answers(con), strict=True):
        np.testing.assert_array_equal(given, image.resize((24, 33), FILTERS[how]), err_msg=str(image.size))


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_a_folder_of_a_classifier(connected, tmp_path, opset):
    folder = tmp_path / "folder"
    (folder / "onnx").mkdir(parents=True)
    onnx.save(network(opset=opset), folder / "onnx" / "model.onnx")
    labels = {"0": "cat", "1": "dog", "2": "crane"}
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["ViTForImageClassification"], "id2label": labels})
    )
    steps = {"do_resize": True, "size": 24, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(steps))
    stored, con = connected(folder, [encoded(i, "JPEG", quality=90) for i in SIZED] * 2)
    assert stored.manifest.task == "classification"
    session = ort.InferenceSession(folder / "onnx" / "model.onnx")
    rows = con.execute("SELECT predict('m', content), predict_proba('m', content) FROM files ORDER BY id").fetchall()
    for image, (label, scores) in zip(SIZED * 2, rows, strict=True):
        read = Image.open(io.BytesIO(encoded(image, "JPEG", quality=90)))
        tensor = (np.asarray(read.resize((24, 24), FILTERS["linear"])).astype(np.float32) / 255 - 0.5) / 0.5
        odds = np.exp(session.run(None, {"pixel_values": tensor.transpose(2, 0, 1)[None]})[0][0])
        np.testing.assert_allclose(list(scores.values()), odds / odds.sum(), rtol=1e-5)
        assert label == max(scores, key=scores.get)
        assert list(scores) == list(labels.values())


def test_probabilities_are_not_softened_twice(connected):
    model = network()
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1))
    model.graph.output[0].name = "probabilities"
    _, con = connected(model, [encoded(SIZED[0])], image=True, softmax=True, labels=["a", "b", "c"])
    tensor = np.asarray(SIZED[0].resize((24, 24), FILTERS["linear"])).astype(np.float32).transpose(2, 0, 1)[None] / 255
    expected = ort.InferenceSession(model.SerializeToString()).run(None, {"pixel_values": tensor})[0][0]
    scores = con.execute("SELECT predict_proba('m', content) FROM files").fetchall()[0][0]
    np.testing.assert_allclose(list(scores.values()), expected, rtol=1e-5)


def test_many_images_of_many_sizes(connected):
    random = np.random.default_rng(5)
    sizes = random.integers(20, 60, (300, 2)).tolist()
    images = [drawing(width, height, seed=i % 40) for i, (width, height) in enumerate(sizes)]
    _, con = connected(network(), [encoded(image) for image in images], image=True)
    together = answers(con)
    for i in range(0, 300, 29):
        alone = answers(con, f"SELECT predict('m', content) FROM files WHERE id = {i}")[0]
        np.testing.assert_allclose(together[i], alone, rtol=1e-4, atol=1e-5)


def bomb(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GIF89a", "it is neither PNG nor JPEG"),
        (b"", "it is neither PNG nor JPEG"),
        (FILES["png RGB"][:200], "it is damaged"),
        (FILES["jpeg 2"][:-200], "it is damaged: image file is truncated"),
        (FILES["jpeg 2"][:30], "it is damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "it is damaged"),
        (bomb(10_000, 8_000), "10000 x 8000 pixels are more than the 67108864 that are accepted"),
    ],
)
def test_what_cannot_be_read_is_named(connected, content, reason):
    files = [FILES["png RGB"], None, content, FILES["jpeg 2"]]
    _, con = connected(network(), files, image=True)
    with pytest.raises(FeatureError, match=rf"feature 'image': an image cannot be read .*\({reason}"):
        con.execute("SELECT predict('m', content) FROM files").fetchall()
    good, null, broken, other = answers(con, "SELECT TRY(predict('m', content)) FROM files ORDER BY id")
    assert null is None
    assert broken is None
    assert len(good) == len(other) == 3


def test_what_would_become_too_large_is_named(connected):
    """A file of a few bytes, whose shorter side is a pixel."""
    _, con = connected(network(), [encoded(Image.new("RGB", (1, 200_000))), FILES["png RGB"]], image=True, resize=600)
    reason = r"it would be resized to 600 x 120000000 pixels, more than the 67108864 that are accepted"
    with pytest.raises(FeatureError, match=rf"an image cannot be read \({reason}\)"):
        con.execute("SELECT predict('m', content) FROM files").fetchall()
    assert answers(con, "SELECT TRY(predict('m', content)) FROM files ORDER BY id")[0] is None


def test_wrong_types_are_refused(connected):
    _, con = connected(network(), [], image=True)
    with pytest.raises(FeatureError, match=r"feature 'image' is BLOB, but the argument is VARCHAR; give the bytes of"):
        con.execute("SELECT predict('m', 'cat.png')").fetchall()


def test_files_on_disk(connected, tmp_path):
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(SIZED):
        image.save(tmp_path / "pictures" / f"{i}.png")
    _, con = connected(network(), [encoded(image) for image in SIZED], image=True, features=["content"])
    read = f"read_blob('{tmp_path}/pictures/*.png') AS f"
    from_disk = answers(con, f"SELECT predict('m', f) FROM {read} ORDER BY filename")
    for one, other in zip(from_disk, answers(con), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": True, "resize": "fit"}, r"\(resize='fit'\) is not known: write stretch, crop"),
        ({"resize": 12}, "a shorter side of 12 pixels is too short"),
        ({"mean": [1.0, 2.0]}, "mean has 2 values for 3 channels"),
        ({"channels": "gray"}, r"\(channels='gray'\) do not fit a model that takes 3"),
        ({"std": 0.0}, "a std of 0"),
        ({"preprocessor": "nothing.json"}, "not a preprocessor_config.json"),
        (
            {"interpolation": "bilinear"},
            r"\(interpolation='bilinear'\) is not known: write one of nearest, lanczos, linear",
        ),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    onnx.save(network(), tmp_path / "model.onnx")
    with pytest.raises(InvalidModel, match=message):
        sqlinfer.register("m", tmp_path / "model.onnx", registry=tmp_path / "registry", **options)
