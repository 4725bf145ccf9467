"""The weighted sums of a linear model: an engine computes them from the columns, without tensors and ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from sqlinfer.models.signature import Signature

__all__ = ["Formula"]


@dataclass(frozen=True, slots=True)
class Formula:
    """Sums of the features, each times its weight, and of an intercept, in the type of the graph's input.

    ``weights``: [targets][features]. ``intercepts``: [targets].
    """

    weights: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    def fits(self, signature: Signature) -> bool:
        """Whether the features are the columns of the one input, in their order, and each has its weight."""
        columns = [feature.column for feature in signature.features]
        return (
            [tensor.dtype in ("float32", "float64") for tensor in signature.inputs] == [True]
            and columns == list(range(len(columns)))
            and len(self.weights) == len(self.intercepts)
            and all(len(weights) == len(columns) for weights in self.weights)
            and [output.shape[1:] for output in signature.outputs] == [(len(self.weights),)]
        )
