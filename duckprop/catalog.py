"""Puts the SQL functions onto a DuckDB connection: private Arrow functions, public macros in a catalog of their own."""

import atexit
import inspect
import itertools
import threading
import weakref
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from duckprop.engine import ENGINES
from duckprop.errors import UsageError, did_you_mean
from duckprop.models import Models
from duckprop.registry import Registry
from duckprop.relation import identifier, literal
from duckprop.sql import MACROS, read
from duckprop.udfs import ALL
from duckprop.udfs.udf import Udf

_MARK = "__duckprop_instance"
_CATALOG_MARK = "__duckprop_catalog"
# The functions of a database belong to the process, not to a connection: DuckDB crashes when it calls one whose last
# Python reference went with the handle that registered it. So they are kept here for good, by database instance.
_instances: dict[int, Models] = {}
_kept: list[Any] = []
_numbers = itertools.count(1)
_registering = threading.Lock()
_open: "weakref.WeakSet[duckdb.DuckDBPyConnection]" = weakref.WeakSet()


def connect(
    database: str | Path = ":memory:",
    *,
    model: str | None = None,
    registry: str | Path | None = None,
    engine: str = "compiled",
    **options: Any,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database and register the SQL functions on it; options go to ``duckdb.connect``.

    See ``register``. The connection is closed at exit where the program has not done so.
    """
    con = duckdb.connect(str(database), **options)
    try:
        register(con, model=model, registry=registry, engine=engine)
    except BaseException:
        con.close()
        raise
    return con


def register(
    con: duckdb.DuckDBPyConnection,
    *,
    model: str | None = None,
    registry: str | Path | None = None,
    engine: str = "compiled",
    catalog: str = "duckprop",
) -> duckdb.DuckDBPyConnection:
    """Make ``propensity`` and its family callable on a connection, and return it. Nothing is written into its file.

    Every cursor of the same database can call them with the catalog's name before them, ``duckprop.propensity(…)``; on
    this connection the prefix may be left out. Calling it again is fine: the last model, registry and engine count.
    A result of this connection that is still being fetched is lost: fetch it first, or register a cursor.
    model: the default, such as 'retail@champion'; the session variable propensity_model goes before it.
    Raises UsageError for an unknown engine, and where the database has a catalog of that name that is not ours.
    """
    if engine not in ENGINES:
        raise UsageError(f"there is no engine '{engine}'{did_you_mean(engine, ENGINES)}", "use compiled or mxnet")
    models = Models(Registry(registry), model, engine)
    # a cursor has a transaction of its own: this works inside an open one, and on a read-only file
    with _registering, con.cursor() as cursor:
        _attach(cursor, catalog)
        number = _instance(cursor)
        if number is None:
            number = _create_functions(cursor, models)
        vars(_instances[number]).update(vars(models))
        for name in MACROS:
            cursor.execute(read(name))
    _extend_search_path(con, catalog)
    _open.add(con)
    return con


def _attach(cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Attach the in-memory catalog of the macros, or find it; a user's own database of that name is left alone."""
    there = "SELECT 1 FROM duckdb_databases() WHERE lower(database_name) = lower($1)"
    if cursor.execute(there, [catalog]).fetchall() and not _is_ours(cursor, catalog):
        raise UsageError(
            f"the database has a catalog '{catalog}' that duckprop did not make",
            f"take another name for the functions: register(con, catalog='{catalog}_sql')",
        )
    cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {identifier(catalog)} (READ_WRITE)")
    cursor.execute(f"USE {identifier(catalog)}")
    cursor.execute(f"CREATE MACRO IF NOT EXISTS {_CATALOG_MARK}() AS 1")


def _is_ours(cursor: duckdb.DuckDBPyConnection, catalog: str) -> bool:
    try:  # ten times faster than a look into duckdb_functions()
        cursor.execute(f"SELECT {identifier(catalog)}.main.{_CATALOG_MARK}()")
    except duckdb.CatalogException:
        return False
    return True


def _instance(cursor: duckdb.DuckDBPyConnection) -> int | None:
    """Return the number under which this database's functions are kept, or None before the first registration."""
    try:
        return int(cursor.execute(f"SELECT {_MARK}(0)").fetchall()[0][0])
    except duckdb.CatalogException:
        return None


def _create_functions(cursor: duckdb.DuckDBPyConnection, models: Models) -> int:
    number = next(_numbers)
    _instances[number] = models
    for udf in ALL:
        _create(cursor, udf.private_name, _bound(udf, models), udf.returns)
    _create(cursor, _MARK, lambda rows: pa.array([number] * len(rows), pa.int64()), "BIGINT")
    return number


def _create(cursor: duckdb.DuckDBPyConnection, name: str, function: Any, returns: str) -> None:
    _kept.append(function)
    options: Any = {"type": "arrow", "null_handling": "special"}
    cursor.create_function(name, function, None, returns, **options)


def _bound(udf: Udf, models: Models) -> Any:
    """Return the function with the models filled in; DuckDB reads the number of arguments from its signature."""

    def call(*columns: pa.Array) -> pa.Array:
        return udf.body(models, *columns)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in udf.arguments]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _extend_search_path(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    path, database, schema = con.execute(
        "SELECT current_setting('search_path'), current_database(), current_schema()"
    ).fetchall()[0]
    entries = path.split(",") if path else [f"{identifier(database)}.{identifier(schema)}"]
    if {f"{catalog}.main", f"{identifier(catalog)}.main"}.isdisjoint(entries):
        new = ",".join([*entries, f"{identifier(catalog)}.main"])
        con.execute(f"SET search_path = {literal(new)}")


@atexit.register
def _close_all() -> None:
    """A connection with functions on it that is still open at exit prints pages about leaks."""
    for con in list(_open):
        con.close()
