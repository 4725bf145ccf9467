"""How a user says what a text or image model needs, and what a folder of Hugging Face's says in the user's place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from sqlinfer.errors import InvalidModel
from sqlinfer.graphs.preprocess.sentence import Dense, read_sentences
from sqlinfer.graphs.preprocess.tokenizer_config import read_object, require_limit, require_one_tokenizer
from sqlinfer.models.signature import Label

__all__ = ["ABOUT_TEXTS", "Labels", "Offered", "Options", "completed", "labels_of"]

ABOUT_TEXTS = ("tokenizer", "max_length", "pool", "normalize", "layers", "lowercase", "cut_left", "pad_left")

_GRAPHS = ("model.onnx", "onnx/model.onnx")
_CLASSIFIERS = ("ForSequenceClassification", "ForImageClassification")
# Tokenizers without a limit of their own say 10^30.
_NO_LIMIT = 10**6


class Options(TypedDict, total=False):
    """What may stand between the rows and the graph; all of it is optional.

    ``tokenizer``: a tokenizer.json; the model takes text. ``max_length``: longer texts are cut to so many tokens.
    ``pool``: how the vectors of tokens become one: 'mean', 'cls' (the first) or 'none'.
    ``normalize``: answer vectors of length 1. ``softmax``, ``sigmoid``: answer probabilities, not raw scores; of one
    score for two labels, ``sigmoid=False`` says that it is one already.
    ``image``: the model takes PNG and JPEG files, as values from 0 to 1 unless one of the following says otherwise.
    ``preprocessor``: a preprocessor_config.json of Hugging Face's (or config.json of timm's), which says the following.
    ``channels``: 'rgb', 'bgr' or 'gray'. ``resize``: 'stretch' to the model's size, 'crop' the middle, or how long the
    shorter side is made before the middle is cut out. ``interpolation``: 'linear', 'cubic', 'nearest',
    'lanczos', 'box' or 'hamming', as Pillow does it.
    ``scale``, ``mean``, ``std``: a value is (pixel x scale - mean) / std, with one mean and std or one a channel.
    """

    tokenizer: str | os.PathLike[str]
    max_length: int
    pool: Literal["mean", "cls", "none"]
    normalize: bool
    softmax: bool
    sigmoid: bool
    image: bool
    preprocessor: str | os.PathLike[str]
    channels: Literal["rgb", "bgr", "gray"]
    resize: str | int
    interpolation: Literal["linear", "cubic", "nearest", "lanczos", "box", "hamming"]
    scale: float
    mean: float | Sequence[float]
    std: float | Sequence[float]


class Offered(Options, total=False):
    """What a folder says besides. ``layers``: what is done with the vector of a text, in order; ``lowercase``: texts
    are made so first; ``cut_left``: the end of a text that is too long is kept; ``pad_left``: a text that is too short
    for the graph is filled up before its tokens."""

    layers: Sequence[Dense | str]
    lowercase: bool
    cut_left: bool
    pad_left: bool


Labels = Sequence[Label] | str | os.PathLike[str] | None


def completed(path: Path, labels: Labels, given: Options) -> tuple[Path, tuple[Label, ...], Options, Offered]:
    """The graph's own file, its labels, what the user says, who has the last word, and what the folder knows."""
    unknown = sorted(set(given) - Options.__annotations__.keys())
    if unknown:
        raise TypeError(f"register() has no option {unknown[0]!r}; it has {', '.join(Options.__annotations__)}")
    labels = labels_of(labels)
    given = cast("Options", {name: value for name, value in given.items() if value is not None})
    offered: Offered = {}
    if path.is_dir():
        folder, path = path, _graph_in(path)
        known, scores = _classes(folder)
        labels = labels or tuple(known)
        offered = {**_text_options(folder), **_image_options(folder), **(scores if labels else {})}
        if "tokenizer" in offered and "max_length" not in {**offered, **given}:
            require_limit(folder)
    options: Offered = {**offered, **given}
    if "pool" in options and options["pool"] not in ("mean", "cls", "none"):
        raise InvalidModel(f"pool is {options['pool']!r}: write 'mean', 'cls' or 'none'")
    if options.get("softmax") and options.get("sigmoid"):
        raise InvalidModel("softmax or sigmoid: the scores of classes that exclude one another want softmax")
    return path, labels, given, offered


def labels_of(given: Labels) -> tuple[Label, ...]:
    """As they are, or from a file. Raises InvalidModel."""
    labels = tuple(_read_labels(Path(given)) if isinstance(given, (str, os.PathLike)) else given or ())
    if len(set(labels)) == 1:
        raise InvalidModel.one_label(labels[0])
    return labels


def _read_labels(path: Path) -> list[Label]:
    """One label a line, or the ``id2label`` of a config.json. Raises InvalidModel."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"the labels {path} cannot be read: {error}") from error
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    labels = _id2label(read_object(path))
    if not labels:
        raise InvalidModel(f"{path} has no labels: a list, or an object with 'id2label', was expected")
    return labels


def _graph_in(folder: Path) -> Path:
    for name in _GRAPHS:
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.onnx")) + sorted(folder.glob("onnx/*.onnx"))
    if len(found) == 1:
        return found[0]
    which = f"several graphs ({', '.join(p.name for p in found)})" if found else "no graph"
    raise InvalidModel(f"the directory {folder} holds {which} and no model.onnx; give the path of the .onnx file")


def _text_options(folder: Path) -> Offered:
    if not (folder / "tokenizer.json").is_file():
        return {}
    options: Offered = {"tokenizer": folder / "tokenizer.json"}
    sentences = read_sentences(folder)
    config = read_object(folder / "tokenizer_config.json")
    own = config.get("model_max_length", config.get("max_len"))
    known = (sentences.max_length,) if sentences.max_length else (own, sentences.positions)
    if limits := [limit for limit in known if isinstance(limit, int) and 0 < limit < _NO_LIMIT]:
        options["max_length"] = min(limits)
    require_one_tokenizer(folder)
    if "truncation_side" in config:
        options["cut_left"] = config["truncation_side"] == "left"
    if "padding_side" in config:
        options["pad_left"] = config["padding_side"] == "left"
    options["lowercase"] = sentences.lowercase
    if sentences.pool is not None:
        options["pool"] = sentences.pool
    if sentences.steps:
        options["layers"] = sentences.steps
    return options


def _image_options(folder: Path) -> Options:
    """Where a newer file says it, that is the one; audio has such files, too."""
    about_images = {"image_mean", "do_resize", "image_processor_type"}
    if "image_processor" in read_object(folder / "processor_config.json"):
        return {"preprocessor": folder / "processor_config.json"}
    if about_images & set(read_object(folder / "preprocessor_config.json")):
        return {"preprocessor": folder / "preprocessor_config.json"}
    return {"preprocessor": folder / "config.json"} if "pretrained_cfg" in read_object(folder / "config.json") else {}


def _classes(folder: Path) -> tuple[list[Label], Options]:
    """The labels of a classifier, and how its scores become probabilities."""
    config = read_object(folder / "config.json")
    kinds = config.get("architectures") or [""]
    labels = _id2label(config)
    if not str(kinds[0]).endswith(_CLASSIFIERS) or len(labels) < 2:
        return [], {}
    if config.get("problem_type") == "regression":  # what is called labels are names of numbers
        return [], {}
    several = config.get("problem_type") == "multi_label_classification"
    return labels, {"sigmoid": True} if several else {"softmax": True}


def _id2label(config: Any) -> list[Label]:
    if isinstance(config, list):
        return [str(label) for label in config]
    table = config.get("id2label") or {}
    return [str(table[key]) for key in sorted(table, key=int)]
