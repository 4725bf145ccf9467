"""DuckDB looks for DataFrames that SQL names in the frame that calls it, which would be one of ours.

So it is called from a frame of its own, with the names of the user's: nothing of ours can be found, and nothing that
plain DuckDB would not find.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

__all__ = ["call_for_caller", "call_in"]

_CALL = compile("__sqlinfer_call__()", "<sqlinfer>", "eval")


def call_for_caller(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function of DuckDB's as if the nearest frame outside of this package did."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("sqlinfer."):
        frame = frame.f_back
    return call_in(frame.f_globals, frame.f_locals, partial(function, *args, **options))


def call_in(globals: dict[str, Any], locals: Mapping[str, Any], call: Callable[[], Any]) -> Any:
    """Call in a frame that has these names."""
    own = {} if locals is globals else locals
    return eval(_CALL, globals, {**own, "__sqlinfer_call__": call})
