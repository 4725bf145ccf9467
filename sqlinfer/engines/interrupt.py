"""Ctrl-C while a query runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupt"]


class Interrupt:
    """``pressed`` is seen by functions on DuckDB's own threads: one that is amid a large join stops only when one of
    its functions fails, and until it stops DuckDB waits for it."""

    def __init__(self) -> None:
        self.pressed = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, Ctrl-C ends in a KeyboardInterrupt, whatever DuckDB makes of it."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def press(number: int, frame: Any) -> None:
            self.pressed = True
            before(number, frame)

        signal.signal(signal.SIGINT, press)
        try:
            yield
        except Exception as error:
            if self.pressed:
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.signal(signal.SIGINT, before)
            self.pressed = False
