"""Whether the graph of a model computes across the rows of a run, by the shapes that its values have in one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.graphs.build import PRODUCER
from sqlinfer.graphs.mixing import Asking, may_mix, mixing_node
from sqlinfer.models.signature import Signature
from sqlinfer.runtime.session import Session

__all__ = ["mixes_rows"]

# A graph of more bytes is not loaded another time.
_LARGEST = 512 << 20
# An axis of the model's own may be as long as one of them (neighbours are 5 by default); then the other tells the rows.
_ROWS = (5, 7)


def mixes_rows(name: str, content: bytes, signature: Signature, row: Mapping[str, np.ndarray]) -> bool:
    """Whether some node is seen to compute across rows; False also where that cannot be seen.

    ``content``: of the graph. ``row``: the tensors of a row that the model takes, by input.
    """
    if len(content) > _LARGEST:
        return False
    asking = Asking(content)
    # what is written here takes each row by itself, and sums over all of them only to refuse them
    if asking.model.producer_name == PRODUCER or not may_mix(asking.model):
        return False
    counts = _ROWS if signature.batch.fixed is None else (signature.batch.fixed,)
    try:
        session = Session(asking.content(), name)
        return all(_mixes(session, asking, signature, row, rows) for rows in counts)
    except (InvalidModel, ModelFailed):  # a value that has no shape, or one that so many rows do not have
        return False


def _mixes(session: Session, asking: Asking, signature: Signature, row: Mapping[str, np.ndarray], rows: int) -> bool:
    feeds = {input_: np.repeat(value, rows, axis=0) for input_, value in row.items()}
    given = session.run(asking.outputs, feeds, rows)
    shapes = asking.shapes(given) | {input_: feed.shape for input_, feed in feeds.items()}
    starts = [tensor.name for tensor in signature.inputs if not tensor.shared]
    return mixing_node(asking.model, rows, starts, shapes) is not None
