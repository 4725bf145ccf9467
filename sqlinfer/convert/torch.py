"""torch modules, by torch's own exporter."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from sqlinfer.convert.original import Candidate, Original
from sqlinfer.errors import ConversionFailed
from sqlinfer.models.sample import Sample

__all__ = ["open_original"]


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    """A module that takes one float32 tensor [batch, k]."""
    import torch

    model = model.eval()

    def answers(rows: Sample) -> dict[str, Any]:
        with torch.no_grad():
            result = model(torch.from_numpy(_matrix(rows)))
        return {"predict": result.numpy()} if isinstance(result, torch.Tensor) else {}

    original = Original(
        framework=f"torch {torch.__version__}",
        model=type(model).__name__,
        converter=f"torch.onnx {torch.__version__}",
        task="other",
        answers=answers,
    )
    return original, _candidates(model, sample)


def _matrix(rows: Sample) -> np.ndarray:
    columns = [column.to_numpy(zero_copy_only=False) for column in rows.table.columns]
    return np.column_stack(columns).astype(np.float32)


def _candidates(model: Any, sample: Sample) -> Iterator[Candidate]:
    import torch

    buffer = io.BytesIO()
    try:
        torch.onnx.export(
            model,
            (torch.from_numpy(_matrix(sample.head(2))),),
            buffer,
            input_names=["X"],
            output_names=["output"],
            dynamic_axes={"X": {0: "batch"}, "output": {0: "batch"}},
            dynamo=False,
        )
    except Exception as error:  # the exporter raises what it likes
        raise ConversionFailed(f"torch cannot export this {type(model).__name__}: {str(error)[:300]}") from error
    features: list[tuple[str, str, str, int | None]] = [(n, "FLOAT", "X", i) for i, n in enumerate(sample.names)]
    yield Candidate(onnx.load_model_from_string(buffer.getvalue()), features, "one FLOAT matrix")
