"""Which operators of a model this ONNX Runtime lacks: all of them, where its own error names the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import _pybind_state

from sqlinfer.graphs.summary import Operator
from sqlinfer.installation import EXTENSIONS, operators_library, packaged_operators

__all__ = ["Lack", "lacking"]

_UPGRADE = "pip install -U onnxruntime"
_OPEN = 2**31 - 1
_PROVIDER = "CPUExecutionProvider"
_EXTENSIONS = "of the package onnxruntime-extensions: pip install 'sqlinfer[operators]'"
_UNTRANSLATED = "a PyTorch operator that was not translated: export again, with dynamo=True or a newer opset_version"
# The domains of operators that are not in ONNX Runtime, and what helps.
_ELSEWHERE = {
    **dict.fromkeys(EXTENSIONS, _EXTENSIONS),
    "org.pytorch.aten": _UNTRANSLATED,
    "aten": _UNTRANSLATED,
    "pkg.onnxscript.torch_lib": "a function of the PyTorch exporter whose body is missing: export again",
    "trt.plugins": "a TensorRT plugin, for its engine on a GPU: export the model for ONNX Runtime",
    "TRT": "a TensorRT plugin, for its engine on a GPU: export the model for ONNX Runtime",
    "mmdeploy": "an operator of MMDeploy: export with its onnxruntime backend and without custom operators",
    "mmcv": "an operator of MMCV: export with MMDeploy's onnxruntime backend and without custom operators",
    "org.openvinotoolkit": "an operator of OpenVINO: export the model for ONNX Runtime",
    "com.ms.internal.nhwc": "made by ONNX Runtime's optimizer for other hardware: use the file that was optimized",
    "com.microsoft.nchwc": "made by ONNX Runtime's optimizer for another CPU: use the file that was optimized",
    "ai.onnx.training": "an operator of training: export the model for inference",
    "ai.onnx.preview.training": "an operator of training: export the model for inference",
}


@dataclass(frozen=True, slots=True)
class Lack:
    """An operator that cannot be run here; ``fix`` says what it is and what helps."""

    operator: Operator
    fix: str


def lacking(operators: Iterable[Operator]) -> list[Lack]:
    """Those of the ``operators`` that the installed ONNX Runtime cannot run on a CPU.

    It asks for the schemas and the kernels by name and version. A kernel may still lack the element type of one node:
    that shows when the session is made.
    """
    return [Lack(operator, fix) for operator in operators if (fix := _fix(operator))]


def _fix(operator: Operator) -> str | None:
    """What helps; None when nothing is amiss."""
    library = operators_library()
    if library is not None and _may_be_in(library, operator.domain):
        return None
    versions = _schemas().get((operator.domain, operator.name))
    if versions is None or operator.domain in _ELSEWHERE:
        return _stranger(operator)
    newest, here = _newest(operator.domain), f"ONNX Runtime {ort.__version__}"
    if operator.opset > newest and operator.domain in ("", "ai.onnx.ml"):
        return f"of opset {operator.opset}; {here} knows opset {newest}: {_UPGRADE}, or export with opset {newest}"
    since = max((version for version in versions if version <= operator.opset), default=0)
    if not since:
        return f"new in opset {min(versions)}, but the file asks for opset {operator.opset}: export with a newer opset"
    if operator.composed or any(
        _serves(kernel, since) for kernel in _kernels().get((operator.domain, operator.name), ())
    ):
        return None
    return f"{here} has no CPU kernel for it: {_UPGRADE}, or export (or optimize) the model for CPU"


def _may_be_in(library: Path, domain: str) -> bool:
    """Whether a library of operators may have those of a domain; what it really has shows when a session is made."""
    if library == packaged_operators():
        return domain in EXTENSIONS
    return domain not in {known for known, _ in _schemas()} and domain not in _ELSEWHERE


def _serves(kernel: tuple[int, int], since: int) -> bool:
    """Whether a kernel for a range of versions runs an operator that was last defined in ``since``. A range without
    an end holds for its first definition only, as ONNX Runtime cannot know what later ones will mean."""
    first, last = kernel
    return first == since or (first < since <= last and last != _OPEN)


def _stranger(operator: Operator) -> str:
    """What is known of an operator without a schema."""
    if operator.domain in _ELSEWHERE:
        return _ELSEWHERE[operator.domain]
    if operator.domain in ("", "ai.onnx.ml", "com.microsoft"):
        return (
            f"not known to ONNX Runtime {ort.__version__}: {_UPGRADE}; if that does not help, it is of some "
            "library: export the model without it"
        )
    return (
        "a custom operator: name its library with $SQLINFER_OPERATORS, or export the model without it, or with it as "
        "a function of the file"
    )


@cache
def _schemas() -> dict[tuple[str, str], list[int]]:
    """By domain and name, the versions in which the operator was defined anew."""
    found: dict[tuple[str, str], list[int]] = {}
    for schema in _pybind_state.get_all_operator_schema():
        found.setdefault((schema.domain, schema.name), []).append(int(schema.since_version))
    return found


def _newest(domain: str) -> int:
    return max((max(versions) for (other, _), versions in _schemas().items() if other == domain), default=0)


@cache
def _kernels() -> dict[tuple[str, str], list[tuple[int, int]]]:
    """By domain and name, the first and last version that each kernel is for."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for kernel in _pybind_state.get_all_opkernel_def():
        if kernel.provider == _PROVIDER:
            found.setdefault((kernel.domain, kernel.op_name), []).append(kernel.version_range)
    return found
