"""What an .onnx file leaves open, and the flag of ``sqlinfer register`` that settles it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlinfer.errors import named
from sqlinfer.graphs.summary import Facts, Value
from sqlinfer.models.signature import Output, Signature

__all__ = ["FLAGS", "Question", "questions"]

# What is open → the flag that settles it, as one types it; ``{name}`` is the input that it is about.
FLAGS: dict[str, str] = {
    "feature names": "--features A,B,C",
    "classes": "--labels A,B,C",
    "constants": "--constant {name}=VALUE",
    "rows of an input": "--batch-axis {name}=AXIS",
    "defaults": "--batch-axis {name}=AXIS|none",
    "rows": "--row-by-row",
    "outputs without rows": "--row-by-row",
    "neighbours": "--together",
    "text": "--tokenizer tokenizer.json",
    "images": "--image",
}
_TOKENS = {"input_ids", "attention_mask", "token_type_ids", "decoder_input_ids"}
_MOST_CLASSES = 1001
_LEAST_PIXELS = 8


@dataclass(frozen=True, slots=True)
class Question:
    """``about`` is a key of `FLAGS`, or something that no flag settles; then ``flag`` is None."""

    about: str
    text: str
    flag: str | None = None


def questions(facts: Facts, signature: Signature | None) -> list[Question]:
    """What the user may want to settle; from the file alone when it could not be registered."""
    found = [question for look in _OF_A_FILE for question in look(facts)]
    if signature is not None:
        found += [question for look in _OF_A_SIGNATURE for question in look(facts, signature)]
    return found


def _question(about: str, text: str, name: str = "") -> Question:
    flag = FLAGS.get(about)
    return Question(about, text, flag.format(name=name) if flag else None)


def _text(facts: Facts) -> Iterator[Question]:
    tokens = [value.name for value in facts.inputs if value.name in _TOKENS]
    if tokens:
        yield _question("text", f"{', '.join(tokens)}: what a tokenizer makes of a text, and the file has none")


def _images(facts: Facts) -> Iterator[Question]:
    for value in facts.inputs:
        layout = _image_layout(value)
        if layout:
            yield _question("images", f"{value.name}: looks like images ({layout}), given as lists of numbers")


def _image_layout(value: Value) -> str | None:
    """Where the channels are; None for what has no shape of images."""
    shape = value.shape or ()
    if len(shape) != 4 or value.type not in ("float32", "float16", "uint8"):
        return None
    for layout, channels, pixels in (("channels first", shape[1], shape[2:]), ("channels last", shape[3], shape[1:3])):
        if channels in (1, 3) and all(isinstance(n, str) or n >= _LEAST_PIXELS for n in pixels):
            return layout
    return None


def _constants(facts: Facts) -> Iterator[Question]:
    for value in facts.inputs:
        if value.shape == ():
            text = f"{value.name}: one value for all rows of a run; rows of other values run apart"
            yield _question("constants", f"{text}. Where it never changes, make it a constant", value.name)


def _defaults(facts: Facts) -> Iterator[Question]:
    if facts.defaults:
        text = f"{named(facts.defaults, 8)}: has a value in the file, and is no feature. Where rows have their own"
        yield _question("defaults", text, facts.defaults[0] if len(facts.defaults) == 1 else "INPUT")


def _feature_names(facts: Facts, signature: Signature) -> Iterator[Question]:
    names = signature.feature_names
    made_up = [f"f{i}" for i in range(len(names))], [f"{signature.inputs[0].name}_{i}" for i in range(len(names))]
    if len(names) > 1 and names in made_up:
        text = (
            f"{names[0]} … {names[-1]}: the file has no names for its {len(names)} features; rows are matched by name"
        )
        yield _question("feature names", f"{text} (--sample FILE names them as well)")


def _rows_of_inputs(facts: Facts, signature: Signature) -> Iterator[Question]:
    declared = {value.name: value for value in facts.inputs}
    for tensor in signature.inputs:
        shape = declared[tensor.name].shape if tensor.name in declared else None
        if not shape:
            continue
        inner = tuple(axis if isinstance(axis, int) else None for axis in shape)
        if tensor.shared:
            text = f"{declared[tensor.name]}: taken as one value for all rows of a run"
        elif len(inner) == len(tensor.shape) and inner[1:] != tensor.shape[1:]:
            text = f"{declared[tensor.name]}: its rows are not on the first axis"
        else:
            continue
        yield _question("rows of an input", text, tensor.name)


def _hidden_outputs(facts: Facts, signature: Signature) -> Iterator[Question]:
    shown = {output.name for output in signature.outputs}
    hidden = [value.name for value in facts.outputs if value.name not in shown]
    if hidden:
        yield _question(
            "outputs without rows", f"{', '.join(hidden)}: not one answer for each row, so SQL does not show it"
        )


def _many_outputs(facts: Facts, signature: Signature) -> Iterator[Question]:
    if signature.calls["predict"].decode == "struct":
        names = [output.name for output in signature.outputs]
        first = names[0].replace('"', '""')
        text = f'predict() answers a STRUCT of {len(names)} outputs; name the one you want: predict(…)."{first}"'
        yield _question("several outputs", text)


def _classes(facts: Facts, signature: Signature) -> Iterator[Question]:
    if not signature.labels:
        for output in signature.outputs:
            width = output.shape[1] if len(output.shape) == 2 else None
            if output.type.startswith(("FLOAT[", "DOUBLE[")) and width and _may_be_classes(width):
                text = f"{output.name}: {width} numbers a row; if they are the scores of classes, name them for"
                yield _question("classes", f"{text} predict_proba()")


def _may_be_classes(width: int) -> bool:
    """Not so the widths that only vectors have (embeddings: 384, 512, 768 …)."""
    return 2 <= width <= _MOST_CLASSES and (width < 128 or width % 64 != 0)


def _shapes(facts: Facts, signature: Signature) -> Iterator[Question]:
    """Where the file declares what the trial run contradicted; SQL goes by what was seen."""
    declared = {value.name: value for value in facts.outputs}
    for output in signature.outputs:
        value = declared.get(output.name)
        if value is not None and value.shape is not None and _contradicts(value.shape, output, signature):
            seen = ", ".join("any" if axis is None else str(axis) for axis in output.shape[1:])
            yield _question("shapes", f"{value}: declared so, but a row answers [{seen}]; SQL has what it answers")


def _contradicts(declared: tuple[int | str, ...], output: Output, signature: Signature) -> bool:
    if signature.batch.fixed == 1 and len(declared) == len(output.shape) - 1:
        return False  # a run is a row, and has no axis for it
    lengths = Counter(axis for axis in declared if isinstance(axis, int))
    seen = Counter(axis for axis in (signature.batch.fixed, *output.shape) if axis is not None)
    return len(declared) != len(output.shape) or bool(lengths - seen)


def _neighbours(facts: Facts, signature: Signature) -> Iterator[Question]:
    batch = signature.batch
    if batch.neighbours:
        text = f"rows beside it change an answer by up to {batch.neighbours:.2g} of its size, so each runs alone"
        yield _question("neighbours", f"{text}; that takes {batch.cost:.1f} times as long")


_OF_A_FILE: tuple[Callable[[Facts], Iterator[Question]], ...] = (_text, _images, _constants, _defaults)
_OF_A_SIGNATURE: tuple[Callable[[Facts, Signature], Iterator[Question]], ...] = (
    _rows_of_inputs,
    _feature_names,
    _many_outputs,
    _hidden_outputs,
    _classes,
    _shapes,
    _neighbours,
)
