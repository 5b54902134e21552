"""Puts the SQL functions onto a DuckDB connection: private Arrow functions, public macros in a catalog of their own."""

import atexit
import inspect
import itertools
import re
import threading
import warnings
import weakref
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from duckprop import train_in_sql
from duckprop.engine import ENGINES
from duckprop.errors import UsageError, did_you_mean
from duckprop.models import Models
from duckprop.registry import Registry
from duckprop.relation import identifier, literal
from duckprop.sql import MACROS, read
from duckprop.udfs import ALL
from duckprop.udfs.udf import Udf, version_of

_MARK = "__duckprop_instance"
_CATALOG_MARK = "__duckprop_catalog"
WHICH_CATALOG = f"SELECT database_name FROM duckdb_functions() WHERE function_name = '{_CATALOG_MARK}'"
"""A query for the name of the macros' catalog."""
# The functions of a database belong to the process, not to a connection: DuckDB crashes when it calls one whose last
# Python reference went with the handle that registered it. So they are kept here for good, by database instance.
_instances: dict[int, Models] = {}
_kept: list[Any] = []
_numbers = itertools.count(1)
_registering = threading.Lock()
_open: dict[int, "weakref.WeakSet[duckdb.DuckDBPyConnection]"] = {}


def connect(
    database: str | Path = ":memory:",
    *,
    model: str | None = None,
    registry: str | Path | None = None,
    engine: str | None = None,
    catalog: str | None = None,
    **options: Any,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database and register the SQL functions on it; options go to ``duckdb.connect``.

    See ``register``. The connection is closed at exit where the program has not done so. DuckDB's threads for writing
    in the background are off, unless ``config`` sets ``async_threads``: with them, DuckDB 2.0 now and then waits for
    ever when a query fails in the middle of a COPY to a file.
    """
    con = duckdb.connect(str(database), **options)
    try:
        if "async_threads" not in (options.get("config") or {}):
            con.execute("SET async_threads = 0")
        return register(con, model, registry, engine, catalog=catalog)
    except BaseException:
        con.close()
        raise


def register(
    con: duckdb.DuckDBPyConnection,
    model: str | None = None,
    registry: str | Path | None = None,
    engine: str | None = None,
    *,
    catalog: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Make ``propensity`` and its family callable on a connection, and return it. Nothing is written into its file.

    Every cursor of the same database can call them with the catalog's name before them, ``duckprop.propensity(…)``; on
    this connection the prefix may be left out. Calling it again is fine; what is not given stays as it was.
    A result of this connection that is still being fetched is lost: fetch it first, or register a cursor.

    model: the default, such as 'retail@champion', as the session variable propensity_model of this connection; other
    connections of the database share it until one of them names another one, and then have none.
    registry: the folder of models, one for a database. engine: 'compiled' (where none is given) or 'mxnet'.
    catalog: the name of the macros' catalog. Left out, it is duckprop, or, with a warning, duckprop_sql where the
    database has a catalog duckprop that is not ours; given, such a catalog is a UsageError.
    Raises UsageError for an unknown engine, or for another registry than the database has already.
    """
    if engine not in (None, *ENGINES):
        raise UsageError(f"there is no engine '{engine}'{did_you_mean(str(engine), ENGINES)}", "use compiled or mxnet")
    if not isinstance(con, duckdb.DuckDBPyConnection):
        raise UsageError(f"a {type(con).__name__} is no DuckDB connection", "give what duckdb.connect(…) returns")
    # a cursor has a transaction of its own: this works inside an open one, and on a read-only file
    with _registering, con.cursor() as cursor:
        name = _attach(cursor, catalog)
        number = _instance(cursor)
        if number is None:
            number = _create_functions(cursor, Models(Registry(registry), model, engine or "compiled"))
        else:
            _update(_instances[number], model, registry, engine)
        _create_macros(cursor, name)
    _extend_search_path(con, name)
    if model is not None:
        con.execute(f"SET VARIABLE propensity_model = {literal(model)}")
    _open[number].add(con)
    return con


def _update(models: Models, model: str | None, registry: str | Path | None, engine: str | None) -> None:
    """Change what another registration of the same database has set, without changing another connection's numbers."""
    if registry is not None and Registry(registry).root != models.registry.root:
        raise UsageError(
            f"this database has the registry {models.registry.root} already",
            "open the database in another process, or name bundles by their folders",
        )
    if model is not None and models.default != model:
        models.default = None
    models.engine = engine or models.engine


def _attach(cursor: duckdb.DuckDBPyConnection, wanted: str | None) -> str:
    """Attach the in-memory catalog of the macros, or find it, and return its name; a user's own is left alone."""
    catalog = wanted or "duckprop"
    if _is_taken(cursor, catalog):
        if wanted or _is_taken(cursor, f"{catalog}_sql"):
            raise UsageError(
                f"the database has a catalog '{catalog}' that duckprop did not make",
                f"take another name for the functions: register(con, catalog='{catalog}_functions')",
            )
        catalog = f"{catalog}_sql"
        warnings.warn(f"the functions are in the catalog '{catalog}': 'duckprop' is a database of yours", stacklevel=4)
    cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {identifier(catalog)} (READ_WRITE)")
    cursor.execute(f"USE {identifier(catalog)}")
    cursor.execute(f"CREATE MACRO IF NOT EXISTS {_CATALOG_MARK}() AS ''")
    return catalog


def _is_taken(cursor: duckdb.DuckDBPyConnection, catalog: str) -> bool:
    there = "SELECT 1 FROM duckdb_databases() WHERE lower(database_name) = lower($1)"
    return bool(cursor.execute(there, [catalog]).fetchall()) and not _is_ours(cursor, catalog)


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
    _instances[number], _open[number] = models, weakref.WeakSet()
    for udf in ALL:
        _create(cursor, udf.private_name, _bound(udf, models), udf.returns)
    _create(cursor, "__duckprop_version_of", partial(version_of, models), "VARCHAR")
    _create(cursor, _MARK, lambda rows: pa.array([number] * len(rows), pa.int64()), "BIGINT")
    trainer = train_in_sql.Trainer(models, _open[number])
    _create(cursor, "__duckprop_train_start", trainer.start, "BIGINT", volatile=True)
    _create(cursor, "__duckprop_train_wait", trainer.wait, train_in_sql.FIGURES, volatile=True)
    _create(cursor, "__duckprop_train_listen", train_in_sql.listen, "BIGINT")
    return number


def _create(
    cursor: duckdb.DuckDBPyConnection, name: str, function: Any, returns: str, *, volatile: bool = False
) -> None:
    _kept.append(function)
    options: Any = {"type": "arrow", "null_handling": "special", "side_effects": volatile}
    cursor.create_function(name, function, None, returns, **options)


def _create_macros(cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Create the macros, unless the catalog has these already: it takes 40 ms, and pools of connections ask often."""
    text = _macros(catalog)
    digest = literal(sha256(text.encode()).hexdigest())
    if cursor.execute(f"SELECT {_CATALOG_MARK}() <> {digest}").fetchall()[0][0]:
        cursor.execute("SET integer_division = false")  # what '/' means is settled when a macro is made
        cursor.execute(f"{text}; CREATE OR REPLACE MACRO {_CATALOG_MARK}() AS {digest}")


@cache
def _macros(catalog: str) -> str:
    """Return the SQL of all macros, the private ones called by their full names.

    DuckDB looks up what a macro calls where the caller is, and not every cursor has our catalog on its search path.
    """
    text = "\n".join(map(read, MACROS))
    private = set(re.findall(r"\bMACRO (__duckprop_\w+)", text))
    where = f"{identifier(catalog)}.main."
    return re.sub(r"\b__duckprop_\w+(?=\()", lambda name: (where if name[0] in private else "") + name[0], text)


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
    for con in [con for handles in _open.values() for con in handles]:
        con.close()
