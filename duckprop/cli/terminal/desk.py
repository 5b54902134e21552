"""What a session works with: the connection, what can be named on it, how results are shown; and running SQL on it."""

import contextlib
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import duckprop
from duckprop.cli import statements
from duckprop.cli.files import save
from duckprop.cli.progress import say
from duckprop.cli.terminal.choices import Choices
from duckprop.cli.terminal.names import NOTHING, Names, read_names
from duckprop.cli.terminal.screen import Screen, amount
from duckprop.cli.terminal.watching import prepare, watched

if TYPE_CHECKING:
    import duckdb

_READING = frozenset({"SELECT", "EXPLAIN", "INSERT", "UPDATE", "DELETE"})
"""Kinds of statement that leave every name as it was."""


class Leave(Exception):
    """The session is to end."""


@dataclass
class Desk:
    """A connection with the functions on it, and what a session remembers about it. label: what the toolbar says."""

    con: "duckdb.DuckDBPyConnection"
    label: str = ""
    screen: Screen = field(default_factory=Screen)
    names: Names = NOTHING
    is_stale: bool = True

    def __post_init__(self) -> None:
        prepare(self.con)
        self.choices = Choices(self.con)
        self.refresh()

    def refresh(self) -> None:
        """Look at what can be named now, where a statement may have changed it. Never raises: the old names stay."""
        import duckdb

        with contextlib.suppress(duckdb.Error):  # a transaction that has failed takes no query
            if self.is_stale:
                self.names = read_names(self.con)
                self.is_stale = False
            self.choices.forget(self.default_model)

    @property
    def default_model(self) -> str | None:
        """The model that the session variable names."""
        found = self.con.execute("SELECT getvariable('propensity_model')::VARCHAR").fetchall()[0][0]
        return None if found is None else str(found)

    def run(self, text: str) -> None:
        """Run statements one after the other and show what each gives; the first error ends it and is raised."""
        for statement in self.con.extract_statements(text):
            kind = statement.type.name
            try:
                self._run(statement)
            finally:
                self.is_stale |= kind not in _READING
            if kind == "SET":  # USE sets a search path in which the functions are not
                duckprop.register(self.con)

    def _run(self, statement: "duckdb.Statement") -> None:
        begin = perf_counter()
        if self.screen.target and statements.gives_rows(statement):
            path = self.screen.next_file()
            with watched(self.con):
                count = save(self.con, statement, path)
            say(f"wrote {amount(count)} to {path}")
            self.screen.tell_time(perf_counter() - begin)
            return
        with contextlib.ExitStack() as stack:
            with watched(self.con):
                result = stack.enter_context(statements.run(self.con, statement))
                rows = iter(result.rows)
                first = self.screen.fetch(rows)
            seconds = perf_counter() - begin
            what = f"{amount(result.changed)} changed" if result.changed is not None else ""
            if result.columns:
                what = self.screen.show(result.columns, first, rows, result.is_plan)
        self.screen.tell_time(seconds, what)
