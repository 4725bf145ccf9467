"""The tensors that a model answers with, by name.

``predict`` and ``predict_proba`` are the calls of SQL; of a model with several outputs, whose predict() is a STRUCT,
each field is a tensor of its own. Whatever the graph has beside is there for who names it, as ``infer`` answers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlinfer.models.signature import Signature, label_texts
from sqlinfer.serve.tensors import datatype_of

__all__ = ["Offered", "offered_by"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A tensor: the call that has it, and its field there where that is a struct. ``usual``: it is part of the answer
    where no outputs are named."""

    name: str
    call: str
    field: str | None
    datatype: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    usual: bool = True

    def to_json(self) -> dict[str, Any]:
        head = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        return {**head, "parameters": {"classes": list(self.classes)}} if self.classes else head


def offered_by(signature: Signature) -> dict[str, Offered]:
    found: dict[str, Offered] = {}
    for one in _all(signature):
        found.setdefault(one.name, one)
    return found


def _all(signature: Signature) -> Iterator[Offered]:
    predict = signature.calls["predict"]
    if predict.decode in ("struct", "labelled"):
        yield from _fields(signature, "predict")
    else:
        yield _of("predict", "predict", None, predict.type)
    if "predict_proba" in signature.calls:
        proba = signature.calls["predict_proba"]
        classes = tuple(label_texts(signature.labels))
        datatype, _ = datatype_of(proba.type.removesuffix(")").rpartition(", ")[2])
        yield Offered("predict_proba", "predict_proba", None, datatype, (-1, len(classes)), classes)
    yield from _fields(signature, "infer", usual=False)


def _fields(signature: Signature, call: str, *, usual: bool = True) -> Iterator[Offered]:
    """Of a call that answers with a STRUCT."""
    if signature.calls[call].decode == "labelled":
        yield _of("label", call, "label", signature.label_type or "VARCHAR", usual=usual)
    for name in signature.calls[call].outputs:
        yield _of(name, call, name, signature.output(name).type, usual=usual)


def _of(name: str, call: str, field: str | None, sql: str, *, usual: bool = True) -> Offered:
    datatype, axes = datatype_of(sql)
    return Offered(name, call, field, datatype, (-1, *axes), usual=usual)
