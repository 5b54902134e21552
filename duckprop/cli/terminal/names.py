"""What can be named on a connection: relations and their columns, functions, keywords; read after every change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from duckprop.catalog import WHICH_CATALOG
from duckprop.manual import manual
from duckprop.relation import identifier

if TYPE_CHECKING:
    import duckdb

_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")

_RELATIONS = """
SELECT d.database_name, d.schema_name, d.name, d.is_view, c.columns, c.types,
       d.database_name = 'temp' OR (d.database_name, d.schema_name) = (current_database(), current_schema()) AS is_near,
       d.database_name = current_database() AS is_here
FROM (SELECT database_name, schema_name, table_name AS name, table_oid AS oid, false AS is_view FROM duckdb_tables()
      WHERE NOT internal
      UNION ALL
      SELECT database_name, schema_name, view_name, view_oid, true FROM duckdb_views() WHERE NOT internal) AS d
LEFT JOIN (SELECT database_name, table_oid AS oid, list(column_name ORDER BY column_index) AS columns,
                  list(data_type ORDER BY column_index) AS types
           FROM duckdb_columns() WHERE NOT internal GROUP BY ALL) AS c USING (database_name, oid)
ORDER BY is_near DESC, d.name
"""
_FUNCTIONS = f"""
WITH ours AS ({WHICH_CATALOG})
SELECT function_name, bool_or(function_type LIKE 'table%' OR function_type = 'pragma') AS is_table,
       bool_or(function_type LIKE '%macro') AS is_macro, arg_max(parameters, len(parameters)) AS parameters,
       coalesce(any_value(comment), any_value(description), '') AS comment,
       CASE WHEN count(DISTINCT return_type) = 1 THEN any_value(return_type) END AS returns,
       bool_or(database_name IN (FROM ours)) AS is_ours
FROM duckdb_functions() WHERE regexp_full_match(function_name, '[A-Za-z]\\w*') GROUP BY ALL ORDER BY function_name
"""


@dataclass(frozen=True)
class Relation:
    """A table or view: its name as it is to be written here, column → type, and the catalog and schema it lies in."""

    name: str
    is_view: bool
    columns: Mapping[str, str]
    places: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Function:
    """A function or macro. signature: with the defaults where they are known. is_table: it stands after FROM."""

    name: str
    signature: str
    comment: str
    parameters: tuple[str, ...]
    is_table: bool
    takes_names: bool
    is_ours: bool


@dataclass(frozen=True)
class Names:
    """relations: last part of the name, lower case → relation. functions: name, lower case → function."""

    relations: Mapping[str, Relation]
    functions: Mapping[str, Function]
    keywords: tuple[str, ...]
    settings: Mapping[str, str]
    schemas: frozenset[str]

    @cached_property
    def ours(self) -> tuple[Function, ...]:
        """Our functions, in the order of the documentation."""
        order = {name: at for at, name in enumerate(manual())}
        found = [one for one in self.functions.values() if one.is_ours]
        return tuple(sorted(found, key=lambda one: order.get(one.name, len(order))))


NOTHING = Names({}, {}, (), {}, frozenset())


def read_names(con: "duckdb.DuckDBPyConnection") -> Names:
    """Ask a connection what there is, with its own temporary tables and in its own order of schemas."""
    reserved = frozenset(_column(con, "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"))
    relations: dict[str, Relation] = {}
    for database, schema, name, is_view, columns, types, is_near, is_here in con.execute(_RELATIONS).fetchall():
        around = [] if is_near else [schema] if is_here else [database] if schema == "main" else [database, schema]
        written = ".".join(quoted(part, reserved) for part in (*around, name))
        key = name.casefold() if is_near or name.casefold() not in relations else written.casefold()
        fields = dict(zip(columns or (), types or (), strict=True))
        relations.setdefault(key, Relation(written, is_view, fields, (database.casefold(), schema.casefold())))
    keywords = _column(con, "SELECT DISTINCT keyword_name FROM duckdb_keywords() ORDER BY ALL")
    settings = dict(con.execute("SELECT name, description FROM duckdb_settings() ORDER BY ALL").fetchall())
    schemas = _column(con, "SELECT unnest([database_name, schema_name]) FROM duckdb_schemas()")
    return Names(relations, _functions(con), tuple(keywords), settings, frozenset(map(str.casefold, schemas)))


def _functions(con: "duckdb.DuckDBPyConnection") -> dict[str, Function]:
    known = manual()
    found = {}
    for name, is_table, is_macro, parameters, comment, returns, is_ours in con.execute(_FUNCTIONS).fetchall():
        signature = f"{name}({', '.join(_plain(parameters or ()))})" + (f" → {returns}" if returns else "")
        if is_ours and name in known:
            signature = known[name].signature
        takes_names = is_macro or is_table
        found[name.casefold()] = Function(
            name, signature, comment, tuple(_plain(parameters or ())), is_table, takes_names, is_ours
        )
    return found


def _plain(parameters: list[str] | tuple[str, ...]) -> list[str]:
    """Some of DuckDB's own functions have parameters without a name."""
    return [name or f"value{at + 1}" for at, name in enumerate(parameters)]


def quoted(name: str, reserved: frozenset[str] = frozenset()) -> str:
    """Return a name as it is to be written: in quotes only where it must be."""
    return name if _SIMPLE.fullmatch(name.lower()) and name.casefold() not in reserved else identifier(name)


def _column(con: "duckdb.DuckDBPyConnection", query: str) -> list[str]:
    return [value for (value,) in con.execute(query).fetchall()]
