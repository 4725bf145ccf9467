"""model.json: everything that is known of one version of a model, written once, read by Python and by the extension.

The fields, in the order in which they are written:

    format      2. A reader refuses a number that it does not know, and ignores fields that it does not know, at any
                level. Files of format 1 have no needs; they are read as ever.
    needs       {"guards": "0.1.0"}: what a reader must know to answer as the model does, each with the first version of
                sqlinfer that knows it. A reader refuses a file with a need that it does not know, whatever else the
                file holds. `needs.NEEDS` has all of them
    name        "churn", lower case.
    version     1, 2, 3 …
    created     UTC, ISO 8601, to the second.
    sha256      of model.onnx beside it, hex.
    source      {"framework": "scikit-learn 1.9.1", "model": "Pipeline", "converter": "skl2onnx 1.20.0",
                 "sqlinfer": "0.1.0"}; texts for people.
    task        "classification", "regression", "clustering" or "other".
    target      "churned": the column that the model was trained to predict, where that is known; null or absent
                where it is not. For people, and for tables that hold the actual values
    features    in the order of positional arguments, each
                  name     as the user calls it; compared without case
                  type     SQL type: "DOUBLE", "VARCHAR", "FLOAT[64]", "FLOAT[]" …
                  null     "null" | "nan" | "error" | {"value": 0}
                  tensor   the graph input that it goes to
                  column   its column in that tensor of shape [batch, k], or null when it is the whole tensor
                  prepare  null, or what makes the tensor of a text or an image:
                           {"tokenizer": "tokenizer.json", "sha256": of that file beside this one,
                            "max_length": 256, "mask": "attention_mask" or null, "types": "token_type_ids" or null,
                            "pad": 0 or null}: VARCHAR → ids of its tokens, [tokens] in `tensor`. Inputs `mask` (ones)
                           and `types` have the same shape. Rows may be padded on the right, with the id `pad`
                           and zeros, only where `pad` is not null.
                           {"image": "RGB" or "L", "pixels": 67108864, "steps": [{"do": "shorter", "size": [256],
                            "how": "cubic"}, {"do": "crop", "size": [224, 224], "how": "floor"}]}: BLOB →
                           [height, width, 3 or 1] uint8, turned upright, then resized and cut (see
                           `signature.ImageStep`); more pixels are refused. Without "steps" there are none
                           {"words": "0_words.json", "sha256": of that file}: VARCHAR → VARCHAR, cut into words or
                           characters by the tables of the file, which runtime/words.py describes
                  guards   values that are refused, since the graph is known to answer them otherwise than the
                           original; absent means none. NULL is none of them: its policy says what it does. Each:
                             refuse  of numbers: "nan", "infinite", "below" or "above" (the bound), "fraction" (what is
                                     not whole), "other" (than the known ones)
                                     of lists of floating-point numbers: the first four, for each number
                                     of texts: "empty", "blank", "not_ascii", "longer" (than so many characters),
                                     "other", "these" (the known ones)
                             says    what the original does, and what to write instead; the end of the error
                             bound   a number, or null
                             known   values of the feature's kind; [] but for "other" and "these"
    inputs      the graph inputs, each: name, dtype ("float32", "int64", "string" …: the names of `types.DTYPES`),
                shape ([null, 30]: the batch axis first, null is a free axis),
                shared (true: a run takes one value, that of its first row, so that only rows of equal values may
                share a run; absent means false)
    outputs     the graph outputs that follow the batch, as seen when the model ran: name, dtype, shape, type (SQL)
    labels      {"type": "VARCHAR", "values": ["no", "yes"]} in the order of the probability columns, or null.
                A label output holds these values (as int64 0 and 1 when the type is BOOLEAN).
    calls       {"predict": …, "predict_proba": …, "infer": …}; predict_proba only where there are classes. Each:
                  type     SQL type of the answer
                  decode   "tensor"  the one output as it is: [batch] and [batch, 1] are scalars,
                                     [batch, k] an array or list (row-major)
                           "label"   the one output, read as a class label
                           "argmax"  the label whose column in the one output is highest (the first of equals)
                           "map"     the one output [batch, classes] as MAP from label to score
                           "struct"  every output in `outputs`, each decoded as "tensor", by name
                           "labelled"  the same, behind a field "label": the first output decoded as "argmax"
                  outputs  names of the graph outputs to compute
    batch       {"fixed": null or n: the graph takes exactly n rows at a time, pad and cut;
                 "most": null or n: never more than n different rows at a time; a fixed batch is then filled up
                 with copies,
                 "neighbours": by how much answers change with the rows beside them, relative to their size, or 0;
                         1 where they may, and it was not measured how much,
                 "cost": how many times longer a row takes because of "most"; both for people,
                 "multiple": n: of how many rows a run is a multiple, filled up as a fixed batch is, and on one thread
                         where n is more than 1, for answers that are the same to the last bit in any company}
    kernel      "onnx", or, of a graph that is nothing but weighted sums, what a reader may compute in its place, in the
                type of the graph's one input, whose columns are the features in their order:
                {"weights": [[…] of each column of the answer], "intercepts": [… of each column of the answer]}
    proof       {"rows": [[…], …] feature values in feature order, null is NULL;
                 "answers": {"predict": […], …} the original model's answers to them;
                 "tolerance": largest accepted difference, relative to |answer| or, where that is
                 larger, to the median of all |answers|;
                 "untried": why no made-up rows were tried; absent where they were, or were not to be}
    refusals    rows that were tried, and that SQL refuses though the original answers them, beside those of guards;
                absent means none were seen. For people. Each:
                  of       "sample", or "made up": rows that the sample does not show
                  rows     how many were tried
                  refused  how many of these were refused
                  says     the error of most of them
    files       what lies beside that no prediction reads, by name, each with its sha256; absent means none:
                profile.json, the statistics of the sample, and background.json, rows of it (see `profile`)

The types of the fields are listed in fields.json. Both readers check them there, and say the same of what is damaged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlinfer.errors import RegistryError, named
from sqlinfer.models.fields import FIELDS, fault
from sqlinfer.models.files import read_plain
from sqlinfer.models.formula import Formula
from sqlinfer.models.needs import needs_of, require_known
from sqlinfer.models.signature import (
    Batch,
    Call,
    Feature,
    Guard,
    ImagePreparation,
    ImageStep,
    NullPolicy,
    Output,
    Signature,
    Tensor,
    TextPreparation,
    WordsPreparation,
)
from sqlinfer.models.strict_json import MOST_LEVELS, read_json
from sqlinfer.models.validate import require_sound
from sqlinfer.version import __version__

__all__ = ["FORMAT", "Manifest", "Proof", "Refusals", "Source"]

FORMAT = 2
_FORMATS = (1, FORMAT)
# The largest hold a few thousand weights, or rows with images; what is far larger is none of ours.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Source:
    framework: str
    model: str
    converter: str | None
    sqlinfer: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Rows of feature values and, for each call, the original model's answers to them, as JSON values. ``untried``: why
    no other rows were tried; empty where they were, or were not to be."""

    rows: tuple[tuple[Any, ...], ...]
    answers: dict[str, list[Any]]
    tolerance: float
    untried: str = ""


@dataclass(frozen=True, slots=True)
class Refusals:
    """So many of the rows that were tried are refused though the original answers them; ``says``: the usual error."""

    of: Literal["sample", "made up"]
    rows: int
    refused: int
    says: str

    @property
    def share(self) -> float:
        return self.refused / max(self.rows, 1)

    def __str__(self) -> str:
        where = "of the sample" if self.of == "sample" else "that were made up"
        return f"{self.refused} of {self.rows} rows {where}: {self.says}"


@dataclass(frozen=True, slots=True)
class Manifest:
    name: str
    version: int
    created: str
    sha256: str
    source: Source
    task: str
    signature: Signature
    proof: Proof
    formula: Formula | None = None
    refusals: tuple[Refusals, ...] = ()
    target: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    """Of all that the file says: its sha256; empty for a manifest that was not read from one."""

    def to_json(self) -> str:
        signature = self.signature
        labels = {"type": signature.label_type, "values": list(signature.labels)} if signature.label_type else None
        fields = {
            "format": FORMAT,
            "needs": needs_of(signature),
            "name": self.name,
            "version": self.version,
            "created": self.created,
            "sha256": self.sha256,
            "source": asdict(self.source),
            "task": self.task,
            "target": self.target,
            "features": [
                {
                    "name": f.name,
                    "type": f.type,
                    "null": {"value": f.null.value} if f.null.kind == "value" else f.null.kind,
                    "tensor": f.tensor,
                    "column": f.column,
                    "prepare": _preparation_fields(f.prepare),
                    "guards": [asdict(guard) for guard in f.guards],
                }
                for f in signature.features
            ],
            "inputs": [asdict(tensor) for tensor in signature.inputs],
            "outputs": [asdict(output) for output in signature.outputs],
            "labels": labels,
            "calls": {name: asdict(call) for name, call in signature.calls.items()},
            "batch": asdict(signature.batch),
            "kernel": asdict(self.formula) if self.formula else "onnx",
            "proof": {"rows": self.proof.rows, "answers": self.proof.answers, "tolerance": self.proof.tolerance}
            | ({"untried": self.proof.untried} if self.proof.untried else {}),
            "refusals": [asdict(refusals) for refusals in self.refusals],
            "files": self.files,
        }
        return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises RegistryError for a file that is missing, damaged, or of a version of sqlinfer that this is not."""
        try:
            content = read_plain(path, MOST_BYTES)
        except OSError as error:
            raise RegistryError(f"{path} cannot be read ({error}); register the model again") from error
        try:
            fields = read_json(content)
        except ValueError as error:
            raise RegistryError(
                f"{path} cannot be read (it is no JSON, or nested more than {MOST_LEVELS} levels deep); register the "
                "model again"
            ) from error
        _require_format(fields, path)
        try:
            if fields["format"] > 1:
                _require(fields, {"needs": {"*": "text"}})
                require_known(fields["needs"], path)
            _require(fields, FIELDS)
            return replace(cls._from_json(fields), digest=hashlib.sha256(content).hexdigest())
        except ValueError as error:
            raise RegistryError(f"{path} is damaged ({error}); register the model again") from error

    @classmethod
    def _from_json(cls, fields: dict[str, Any]) -> Manifest:
        """Of what has all the fields. Raises ValueError for what does not fit together."""
        labels = fields["labels"]
        signature = Signature(
            features=tuple(_feature(one) for one in fields["features"]),
            inputs=tuple(
                Tensor(one["name"], one["dtype"], tuple(one["shape"]), one.get("shared", False))
                for one in fields["inputs"]
            ),
            outputs=tuple(
                Output(one["name"], one["dtype"], tuple(one["shape"]), one["type"]) for one in fields["outputs"]
            ),
            calls={name: Call(c["type"], c["decode"], tuple(c["outputs"])) for name, c in fields["calls"].items()},
            labels=tuple(labels["values"]) if labels is not None else (),
            label_type=labels["type"] if labels is not None else None,
            batch=_batch(fields["batch"]),
        )
        proof, source, formula = fields["proof"], fields["source"], _formula(fields["kernel"])
        files: dict[str, str] = fields.get("files", {})
        require_sound(signature, formula, fields["version"], files)
        return cls(
            name=fields["name"],
            version=fields["version"],
            created=fields["created"],
            sha256=fields["sha256"],
            source=Source(*(source[name] for name in ("framework", "model", "converter", "sqlinfer"))),
            task=fields["task"],
            signature=signature,
            formula=formula,
            proof=Proof(
                tuple(tuple(row) for row in proof["rows"]),
                proof["answers"],
                proof["tolerance"],
                proof.get("untried", ""),
            ),
            refusals=tuple(
                Refusals(*(one[name] for name in ("of", "rows", "refused", "says")))
                for one in fields.get("refusals", ())
            ),
            target=fields.get("target"),
            files=files,
        )


def _require_format(fields: Any, path: Path) -> None:
    found = fields.get("format") if isinstance(fields, dict) else None
    if type(found) is int and found in _FORMATS:
        return
    has = f"has format {found}" if type(found) is int else "has no number for a format"
    raise RegistryError(
        f"{path} {has}, and sqlinfer {__version__} knows {named(_FORMATS)}; upgrade sqlinfer, or register the model "
        "again"
    )


def _require(fields: dict[str, Any], shape: dict[str, Any]) -> None:
    if found := fault(fields, shape):
        raise ValueError(found)


def _batch(fields: dict[str, Any]) -> Batch:
    return Batch(**{one.name: fields[one.name] for one in dataclasses.fields(Batch) if one.name in fields})


def _formula(field: Any) -> Formula | None:
    if not isinstance(field, dict):
        return None
    return Formula(tuple(tuple(weights) for weights in field["weights"]), tuple(field["intercepts"]))


def _feature(fields: dict[str, Any]) -> Feature:
    null = fields["null"]
    return Feature(
        fields["name"],
        fields["type"],
        fields["tensor"],
        fields["column"],
        NullPolicy("value", null["value"]) if isinstance(null, dict) else NullPolicy(null),
        _preparation(fields.get("prepare")),
        tuple(
            Guard(one["refuse"], one["says"], one.get("bound"), tuple(one.get("known", ())))
            for one in fields.get("guards", ())
        ),
    )


Preparation = TextPreparation | ImagePreparation | WordsPreparation


def _preparation_fields(prepare: Preparation | None) -> dict[str, Any] | None:
    if isinstance(prepare, WordsPreparation):
        return {"words": prepare.file, "sha256": prepare.sha256}
    if isinstance(prepare, ImagePreparation):
        return {"image": prepare.mode, "pixels": prepare.pixels, "steps": [asdict(step) for step in prepare.steps]}
    return asdict(prepare) if prepare is not None else None


def _preparation(fields: dict[str, Any] | None) -> Preparation | None:
    if fields is None:
        return None
    if "words" in fields:
        return WordsPreparation(fields["words"], fields["sha256"])
    if "image" not in fields:
        optional = (fields.get(name) for name in ("mask", "types", "pad"))
        return TextPreparation(fields["tokenizer"], fields["sha256"], fields["max_length"], *optional)
    steps = tuple(ImageStep(step["do"], tuple(step["size"]), step["how"]) for step in fields.get("steps", ()))
    return ImagePreparation(fields["pixels"], fields["image"], steps)
