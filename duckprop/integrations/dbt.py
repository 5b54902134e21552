"""The propensity functions in dbt models: a plugin of dbt-duckdb, named in profiles.yml.

A profile that uses it, with every option there is; all of them may be left out::

    type: duckdb
    path: shop.duckdb
    plugins:
      - module: duckprop.integrations.dbt
        config: {model: shop@champion, registry: /srv/models, engine: compiled, catalog: duckprop}
"""

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

import duckprop
from duckprop.errors import DuckpropError, UsageError, did_you_mean

OPTIONS = ("model", "registry", "engine", "catalog")
"""What ``config`` may hold: arguments of ``duckprop.register``."""


class Plugin(BasePlugin):
    """Every model and test can call the functions, with the prefix ``duckprop.`` or without it."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the options. dbt-duckdb mixes the profile's DuckDB settings into them: those are not ours."""
        self._settings = (self.creds.settings if self.creds else None) or {}
        self._options = {name: value for name, value in plugin_config.items() if name not in self._settings}
        self._search_path = ""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions; dbt-duckdb calls it whenever it opens the database, before any model runs.

        Raises DbtRuntimeError, with our words, for an option that does not exist and for one that register refuses.
        """
        try:
            for name in self._options.keys() - set(OPTIONS):
                there = f"it has {', '.join(OPTIONS)}"
                raise UsageError(f"the dbt plugin has no option '{name}'{did_you_mean(name, OPTIONS)}", there)
            duckprop.register(conn, **self._options)
        except DuckpropError as error:
            raise DbtRuntimeError(str(error)) from error
        self._search_path = conn.execute("SELECT current_setting('search_path')").fetchall()[0][0]

    def configure_cursor(self, cursor: Any) -> None:
        """Let the prefix be left out; dbt-duckdb calls it for the cursor of every model and test.

        Where the profile's settings have a search_path of their own, that one holds, and the prefix is needed.
        """
        if "search_path" not in self._settings:
            cursor.execute("SET search_path = ?", [self._search_path])
