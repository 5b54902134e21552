"""The models and categories that can be named, asked on a cursor of its own while the prompt waits."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from duckprop.catalog import WHICH_CATALOG
from duckprop.relation import identifier

if TYPE_CHECKING:
    import duckdb


class Choices:
    """What a registry holds, remembered until ``forget``. Nothing here raises: what cannot be read is not offered."""

    def __init__(self, con: "duckdb.DuckDBPyConnection") -> None:
        self._cursor = con.cursor()
        self._lock = threading.Lock()  # completions are looked for in threads that may overlap
        self._known: dict[Any, list[tuple[Any, ...]]] = {}
        self.default: str | None = None

    def forget(self, default: str | None) -> None:
        """Ask anew from now on; ``default`` is the model of the session, None for the connection's own."""
        self._known = {}
        self.default = default

    def close(self) -> None:
        """Close the cursor."""
        with self._lock:
            self._cursor.close()

    def categories(self, model: str | None = None) -> list[tuple[str, float | None]]:
        """Return (category, base rate) of a model, the default where none is named, in its order."""
        wanted = self.default if model is None else model
        return self._ask(f"SELECT category, base_rate FROM {self._ours}.propensity_categories($1)", [wanted])

    def references(self) -> list[tuple[str, str]]:
        """Return (reference, what it is): versions and aliases of all models, then their bare names."""
        rows = self._ask(f"SELECT model, name, aliases, categories FROM {self._ours}.propensity_models()")
        return list(dict(_references(rows)).items())

    @property
    def _ours(self) -> str:
        found = self._ask(WHICH_CATALOG)
        return identifier(found[0][0] if found else "duckprop")

    def _ask(self, query: str, values: Sequence[str | None] = ()) -> list[tuple[Any, ...]]:
        key = query, tuple(values)
        known = self._known
        with self._lock, contextlib.suppress(Exception):
            if key not in known:
                known[key] = []
                known[key] = self._cursor.execute(query, list(values)).fetchall()
        return known.get(key, [])


def _references(rows: list[tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    for _, name, aliases, categories in reversed(rows):
        for alias in aliases:
            yield f"{name}@{alias}", f"alias, {categories} categories"
    for reference, _, _, categories in reversed(rows):
        yield reference, f"version, {categories} categories"
    for _, name, _, _ in rows:
        yield name, "its newest version"
