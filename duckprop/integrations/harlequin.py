"""Harlequin, the SQL IDE for the terminal, with the functions registered: an adapter over its own one for DuckDB.

``harlequin -a duckprop shop.duckdb --model retail@champion``, or ``duckprop sql --ide --database shop.duckdb``.
"""

from pathlib import Path
from typing import Any, cast

import duckdb
from harlequin.autocomplete.completion import HarlequinCompletion
from harlequin.exception import HarlequinConnectionError
from harlequin.options import PathOption, TextOption
from harlequin_duckdb.adapter import DuckDbAdapter, DuckDbConnection
from harlequin_duckdb.cli_options import DUCKDB_OPTIONS

from duckprop.catalog import WHICH_CATALOG, register
from duckprop.errors import DuckpropError, UsageError

_BEFORE_COLUMNS = 450
"""Priority of our functions among the completions: Harlequin gives relations and columns 500, other functions 1000."""

OPTIONS = [
    *DUCKDB_OPTIONS,
    TextOption("model", "The default model: name, name@3 or name@champion. Left out, it is the only one there is."),
    PathOption("registry", "The folder of models. Left out, it is DUCKPROP_HOME, else your data folder."),
    TextOption("engine", "What scores: compiled, or mxnet, the reference."),
]


class DuckpropConnection(DuckDbConnection):
    """A DuckDB connection that offers our functions with their arguments and keeps the private ones to itself."""

    def get_completions(self) -> list[HarlequinCompletion]:
        """Return what the editor can complete, our functions before those of DuckDB."""
        ours = {name: parameters for name, parameters in self._functions() if not name.startswith("__")}
        others = [one for one in super().get_completions() if not one.label.startswith("__")]
        return [
            *(
                HarlequinCompletion(name, f"({', '.join(parameters)})", name, _BEFORE_COLUMNS)
                for name, parameters in ours.items()
            ),
            *(one for one in others if one.label not in ours),
        ]

    def _functions(self) -> list[tuple[str, list[str]]]:
        query = f"SELECT function_name, parameters FROM duckdb_functions() WHERE database_name = ({WHICH_CATALOG})"
        return cast("list[tuple[str, list[str]]]", self.conn.cursor().execute(query).fetchall())


class DuckpropAdapter(DuckDbAdapter):
    """The DuckDB adapter with our functions on every connection, and options for model, registry and engine."""

    ADAPTER_OPTIONS = OPTIONS
    ADAPTER_DETAILS = "DuckDB with propensity scoring as SQL functions."

    def __init__(
        self,
        conn_str: Any,
        model: str | None = None,
        registry: str | Path | None = None,
        engine: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(conn_str, **options)
        self._chosen = {"model": model or None, "registry": registry or None, "engine": engine or None}

    def connect(self) -> DuckpropConnection:
        """Open the database and register the functions. Raises HarlequinConnectionError, as Harlequin wants it."""
        plain = super().connect()
        try:
            register(plain.conn, **cast("dict[str, Any]", self._chosen))
        except (DuckpropError, duckdb.Error) as error:
            plain.conn.close()
            raise HarlequinConnectionError(str(error), title="duckprop could not register its functions.") from error
        return DuckpropConnection(plain.conn, plain.init_message)


def arguments(database: Path | None, *, read_only: bool = False, **options: str | Path | None) -> list[str]:
    """Return what is to be typed behind ``harlequin`` to open a database with these options."""
    named = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return ["-a", "duckprop", *(["--read-only"] if read_only else []), *named, *([str(database)] if database else [])]


def open_ide(database: Path | None, *, read_only: bool = False, **options: str | Path | None) -> int:
    """Run Harlequin with the user's own settings of it, and return its exit code.

    Raises UsageError where the installed duckprop is too old to have told Harlequin of this adapter.
    """
    from harlequin.cli import build_cli
    from harlequin.plugins import adapter_names

    if "duckprop" not in adapter_names():
        raise UsageError("Harlequin does not know of duckprop", "install duckprop anew: pip install 'duckprop[ide]'")
    words = arguments(database, read_only=read_only, **options)
    return int(build_cli(words).main(words, prog_name="harlequin") or 0)
