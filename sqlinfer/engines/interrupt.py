"""Ctrl-C while a query runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupt"]


class Interrupt:
    """``pressed`` is seen by functions on DuckDB's own threads: one that is amid a large join stops only when one of
    its functions fails, and until it stops DuckDB waits for it."""

    def __init__(self, tell: Callable[[bool], None] | None = None) -> None:
        """``tell`` is called with True when Ctrl-C is pressed, and with False when the query has ended."""
        self.pressed = False
        self._tell = tell or (lambda pressed: None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, Ctrl-C ends in a KeyboardInterrupt, whatever DuckDB makes of it."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def press(number: int, frame: Any) -> None:
            self.pressed = True
            self._tell(True)
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
            if self.pressed:
                self._tell(False)
            self.pressed = False
