"""%load_ext sqlinfer, then %%sqlinfer: SQL with predict() in a notebook cell.

    %%sqlinfer scores
    SELECT customer_id, predict('churn', c) AS churn FROM customers c

The line may hold the name of a variable to keep the result in, as a pandas DataFrame. ``%sqlinfer flights.duckdb``
opens a database; otherwise cells share one in memory. DataFrames of the notebook are tables by their names.
"""

from __future__ import annotations

import os
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, needs_local_scope

from sqlinfer.connection import Connection, connect
from sqlinfer.connection.frames import call_in

__all__ = ["SqlinferMagics", "load_ipython_extension"]


@magics_class
class SqlinferMagics(Magics):
    """One connection for the notebook; ``%sqlinfer`` alone gives it."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._con: Connection | None = None

    @property
    def connection(self) -> Connection:
        if self._con is None:
            self._con = connect()
        return self._con

    @needs_local_scope
    @line_magic("sqlinfer")
    def line(self, line: str, local_ns: dict[str, Any] | None = None) -> Any:
        """``%sqlinfer`` gives the connection; ``%sqlinfer FILE`` opens a database, in quotes where its
        name has a space; ``%sqlinfer SELECT …`` runs SQL."""
        text = line.strip()
        if not text:
            return self.connection
        quoted = text[0] in "'\"" and text[-1] == text[0]
        named = " " not in text and bool(Path(text).suffix)
        if quoted or named or text == ":memory:" or os.path.isfile(text):  # noqa: PTH113  (SQL is too long a path for Path)
            opened = connect(text[1:-1] if quoted else text)
            if self._con is not None:
                self._con.close()
            self._con = opened
            return opened
        return self._run(text, local_ns)

    @needs_local_scope
    @cell_magic("sqlinfer")
    def cell(self, line: str, cell: str, local_ns: dict[str, Any] | None = None) -> Any:
        """Run the cell; the line may name a variable for the result, which is then not shown."""
        name = line.strip()
        if name and (not name.isidentifier() or iskeyword(name)):
            raise ValueError(f"%%sqlinfer takes the name of one variable, not {name!r}")
        result = self._run(cell, local_ns)
        if not name:
            return result
        self.shell.user_ns[name] = result
        return None

    def _run(self, sql: str, names: dict[str, Any] | None) -> Any:
        # DuckDB finds the DataFrames of the cell, or of the function that runs a line; tables come first.
        namespace = self.shell.user_ns
        con = self.connection
        try:
            call_in(namespace, names or namespace, partial(con.execute, sql))  # not sql(): Ctrl-C is to end it
        except Exception as error:
            _show_briefly(error)
            raise
        if con.description is None:
            return None
        result = con.df()
        only_ddl = list(result.columns) in (["Count"], ["Success"]) and result.empty
        return None if only_ddl else result


def _show_briefly(error: Any) -> None:
    """IPython is to print what is wrong with the SQL, and not the way through this package."""
    error._render_traceback_ = lambda: [f"{type(error).__name__}: {error}"]


def load_ipython_extension(shell: Any) -> None:
    """Called by %load_ext sqlinfer."""
    shell.register_magics(SqlinferMagics)
