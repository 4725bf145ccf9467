"""What a model takes and gives, in the words of SQL and in the words of the graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlinfer.errors import named

__all__ = [
    "Batch",
    "Call",
    "Decode",
    "Feature",
    "Guard",
    "ImagePreparation",
    "ImageStep",
    "NullPolicy",
    "Output",
    "Signature",
    "Tensor",
    "TextPreparation",
    "WordsPreparation",
    "label_texts",
    "labelled_type",
    "quoted",
    "struct_type",
]

Decode = Literal["tensor", "label", "argmax", "map", "struct", "labelled"]
Label = str | int | bool


@dataclass(frozen=True, slots=True)
class NullPolicy:
    """What a NULL does: ``null`` (the answer is NULL), ``nan``, ``error``, or ``value`` (stands in for it)."""

    kind: Literal["null", "nan", "error", "value"] = "null"
    value: float | int | str | bool | None = None

    def __str__(self) -> str:
        return repr(self.value) if self.kind == "value" else self.kind


@dataclass(frozen=True, slots=True)
class Guard:
    """Values that a feature refuses, since the graph is known to answer them otherwise than the original.

    ``refuse``, of numbers: *nan*, *infinite*, *below* or *above* the ``bound``, *fraction* (what is not whole), *other*
    than the ``known`` ones. Of texts: *empty*, *blank* (nothing but blanks), *not_ascii*, *longer* than ``bound``
    characters, *other*, *these* (the ``known`` ones themselves). ``says``: what the original does there,
    and what to write instead.
    """

    refuse: Literal[
        "nan", "infinite", "below", "above", "fraction", "other", "empty", "blank", "not_ascii", "longer", "these"
    ]
    says: str
    bound: float | None = None
    known: tuple[str | float, ...] = ()

    def __str__(self) -> str:
        words = {
            "nan": "NaN",
            "infinite": "infinities",
            "below": f"numbers below {self.bound}",
            "above": f"numbers above {self.bound}",
            "fraction": "fractions",
            "other": f"all but {len(self.known)} values",
            "these": named(map(repr, self.known), 3),
            "empty": "empty texts",
            "blank": "blank texts",
            "not_ascii": "texts that are not ASCII",
            "longer": f"texts longer than {self.bound:g} characters" if self.bound is not None else "",
        }
        return words[self.refuse]


@dataclass(frozen=True, slots=True)
class TextPreparation:
    """How text becomes token ids: the tokenizer is a file beside the model, in the format of Hugging Face's
    `tokenizers`, which truncates to ``max_length`` tokens and does not pad.

    ``mask`` and ``types`` are the inputs of the attention mask and of the token type ids, where the graph has them;
    the ids go to the feature's own tensor. ``pad``: the id that fills rows up to the length of their neighbours, where
    the answers do not depend on it.
    """

    tokenizer: str
    sha256: str
    max_length: int
    mask: str | None = None
    types: str | None = None
    pad: int | None = None


@dataclass(frozen=True, slots=True)
class ImageStep:
    """What is done with the pixels of an image, as Pillow does it.

    ``do``: *resize* to the ``size`` [height, width]; *shorter*: the shorter side to the ``size`` [length], the longer
    one with it, rounded down. ``how`` is the filter, with *across* behind it where the columns are made first, whatever
    the sizes, as torchvision does and Pillow did before 13. *crop*: the middle of the ``size`` [height, width], with
    zeros where there is nothing; *share*: of that share of the shorter side, rounded down. ``how``: where that begins,
    half the difference rounded *floor*, to *zero* or to *even* numbers, where zeros are added to *zero*.
    """

    do: Literal["resize", "shorter", "crop", "share"]
    size: tuple[float, ...]
    how: str


@dataclass(frozen=True, slots=True)
class ImagePreparation:
    """How an image file becomes pixels: decoded, turned as its EXIF says, in the ``mode`` RGB or L (grey), and then the
    ``steps``, as [height, width, channels] of uint8.

    The graph does the rest. ``pixels``: a larger image is refused before it is decoded or resized.
    """

    pixels: int
    mode: Literal["RGB", "L"] = "RGB"
    steps: tuple[ImageStep, ...] = ()


@dataclass(frozen=True, slots=True)
class WordsPreparation:
    """How a text is cut into words or characters before the graph, which counts them, is given it as a text: by the
    tables of ``file``, which lies beside the model; `runtime.words` describes it."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One argument of predict(): its SQL type and where it goes.

    ``column`` is the column of a tensor of shape [batch, k]; None when the feature is the whole tensor.
    ``prepare``: what makes a tensor of the text or the image that the feature is. ``guards``: values that are refused.
    """

    name: str
    type: str
    tensor: str
    column: int | None = None
    null: NullPolicy = NullPolicy()
    prepare: TextPreparation | ImagePreparation | WordsPreparation | None = None
    guards: tuple[Guard, ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """All inputs of the graph that the feature feeds."""
        if isinstance(self.prepare, TextPreparation):
            return tuple(t for t in (self.tensor, self.prepare.mask, self.prepare.types) if t is not None)
        return (self.tensor,)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input of the graph. ``shape`` holds the batch axis first; None is a free axis.

    ``shared``: the graph takes one value for a whole run, that of the first row; rows whose values differ run apart.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the graph, as it was seen to behave: ``shape`` as in `Tensor`, ``type`` its SQL type."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Call:
    """How a model answers one of `CALLS`: which outputs it needs, how they become an answer, and its SQL type.

    ``decode``: *tensor* one output as it is; *label* one output of class labels; *argmax* the class with the
    highest of the scores; *map* scores keyed by class; *struct* all outputs by name; *labelled* the same
    behind the label of the class with the highest of the first one's scores.
    """

    type: str
    decode: Decode
    outputs: tuple[str, ...]


def struct_type(outputs: Iterable[Output]) -> str:
    return f"STRUCT({', '.join(f'{quoted(output.name)} {output.type}' for output in outputs)})"


def labelled_type(label_type: str, outputs: Iterable[Output]) -> str:
    label = Output("label", "", (None,), label_type)
    return struct_type([label, *outputs])


@dataclass(frozen=True, slots=True)
class Batch:
    """How rows may be put together. ``fixed``: the graph takes exactly that many rows at a time.
    ``most``: more rows at once would change the answers, or are not possible. ``neighbours``: by how much answers
    were seen to change, relative to their size, when other rows were beside; 1 where it was not measured how much
    they may, 0 where they do not.
    ``cost``: how many times longer a row takes because of ``most``. ``multiple``: last bits are the same wherever a row
    lies in runs of multiples of so many."""

    fixed: int | None = None
    most: int | None = None
    neighbours: float = 0.0
    cost: float = 1.0
    multiple: int = 1

    def filled(self, rows: int) -> int:
        """How many rows a run has that answers ``rows``: copies of the last one fill it up. One that is never beside
        another is always in the same place."""
        if self.fixed is not None:
            return max(self.fixed, rows)
        return rows if self.most == 1 else -(-rows // self.multiple) * self.multiple


@dataclass(frozen=True, slots=True)
class Signature:
    features: tuple[Feature, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Output, ...]
    calls: dict[str, Call]
    labels: tuple[Label, ...] = ()
    label_type: str | None = None
    batch: Batch = Batch()

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def is_prepared(self) -> bool:
        """Whether a feature becomes a tensor of its own length, or one that takes longer to make than to score."""
        return any(isinstance(f.prepare, (TextPreparation, ImagePreparation)) for f in self.features)

    @property
    def takes_list(self) -> bool:
        """Whether all features are the columns of one tensor, so that one list can stand for them."""
        columns = all(feature.column is not None and feature.prepare is None for feature in self.features)
        return columns and len(self.inputs) == 1

    def input(self, name: str) -> Tensor:
        return next(tensor for tensor in self.inputs if tensor.name == name)

    def output(self, name: str) -> Output:
        return next(output for output in self.outputs if output.name == name)


def label_texts(labels: Iterable[Label]) -> list[str]:
    """As SQL writes them, without quotes."""
    return [str(label).lower() if isinstance(label, bool) else str(label) for label in labels]


def quoted(identifier: str) -> str:
    """An identifier as SQL takes it in any case: double-quoted."""
    return '"' + identifier.replace('"', '""') + '"'
