"""A relation → a propensity table, as a Parquet file or in the database: whole, or not at all."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from duckprop.errors import DataError, UsageError
from duckprop.model import Model
from duckprop.relation import as_query, columns_of, identifier, literal, require
from duckprop.temporary import replacing


@dataclass(frozen=True)
class Order:
    """What to score and how the result looks.

    top: the k best categories of each customer; None for all of them. categories: only these; None for all. wide: one
    row a customer with all propensities as a FLOAT[] in the order of the categories, instead of one a category.
    """

    relation: str
    ids: tuple[str, ...] = ("id",)
    features: str = "features"
    top: int | None = None
    categories: tuple[str, ...] | None = None
    wide: bool = False


@dataclass(frozen=True)
class Account:
    """Customers read, those of them whose features are NULL (they get no propensity), and rows written."""

    customers: int
    without_features: int
    rows: int


def score(con: duckdb.DuckDBPyConnection, order: Order, model: Model, target: str) -> Account:
    """Score on a connection that has the functions, into ``target``: a path ending in .parquet, or a table's name.

    Long form: ids, category VARCHAR, propensity FLOAT, rank INTEGER; a customer without features has no rows.
    Wide form: ids, propensities FLOAT[], NULL without features.
    An existing target is replaced in one step when all is done: until then, and after any failure or death in between,
    the old one is there, whole.
    Raises UsageError or DataError for the order, and duckdb.Error for what fails in the query.
    """
    is_file = target.lower().endswith(".parquet")
    into = target if is_file else table_name(target)
    query = query_of(con, order, model)
    if not is_file or Path(target).is_file():
        _refuse_other_data(con, literal(target) if is_file else into)
    features = identifier(order.features)
    customers, without = con.execute(
        f"SELECT count(*), count(*) FILTER ({features} IS NULL) FROM ({as_query(order.relation)})"
    ).fetchall()[0]
    if not customers:
        raise DataError(
            "the relation to score has no rows", f"{target} stays as it was: look at what fills the relation"
        )
    if is_file:
        with replacing(Path(target)) as temporary:
            rows = con.execute(f"COPY ({query}) TO {literal(str(temporary))} (FORMAT parquet)").fetchall()[0][0]
    else:
        rows = con.execute(f"CREATE OR REPLACE TABLE {into} AS {query}").fetchall()[0][0]
    return Account(customers, without, rows)


def query_of(con: duckdb.DuckDBPyConnection, order: Order, model: Model) -> str:
    """Return the SELECT that scores an order with exactly this version of a model."""
    if order.top is not None and order.top < 1:
        raise UsageError(f"top is {order.top}", "give a whole number from 1")
    if order.wide and (order.top is not None or order.categories):
        raise UsageError("a wide table holds all categories", "leave top and categories out, or ask for the long form")
    clash = {"category", "propensity", "rank", "propensities", "_best"}.intersection(map(str.lower, order.ids))
    if clash:
        raise UsageError(f"an id column cannot be called '{min(clash)}'", "rename it: SELECT … AS id")
    if order.categories is not None and not order.categories:
        raise UsageError("the list of categories is empty", "name some, or leave it out for all of them")
    there = columns_of(con, order.relation, "the relation to score")
    require(there, [*order.ids, order.features], "the relation to score")
    model.heads(list(order.categories or ()))
    ids, features = ", ".join(map(identifier, order.ids)), identifier(order.features)
    source, reference = f"({as_query(order.relation)})", literal(model.reference)
    if order.wide:
        return f"SELECT {ids}, propensity_vector({features}, model := {reference}) AS propensities FROM {source}"
    k = order.top or len(order.categories or model.categories)
    only = f"[{', '.join(map(literal, order.categories))}]" if order.categories else "NULL"
    best = f"propensity_topk({features}, {k}, categories := {only}, model := {reference})"
    return f"SELECT {ids}, unnest(_best, recursive := true) FROM (SELECT {ids}, {best} AS _best FROM {source})"


def _refuse_other_data(con: duckdb.DuckDBPyConnection, target: str) -> None:
    """Raise UsageError where the target exists and is something else, the features themselves perhaps."""
    with contextlib.suppress(duckdb.CatalogException):  # a table that does not exist yet
        there = {name for name, *_ in con.execute(f"DESCRIBE (FROM {target})").fetchall()}
        if there.isdisjoint({"propensity", "propensities"}):
            raise UsageError(
                f"{target} exists and is no propensity table: it has {', '.join(sorted(there))}",
                "remove it first, or give another --output",
            )


def table_name(target: str) -> str:
    """Quote a table's name, with or without catalog and schema. Raises UsageError for what looks like a path."""
    is_name = re.fullmatch(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*){0,2}", target)
    if not is_name or re.search(r"\.(csv|tsv|json|pq|xlsx|arrow|feather|gz|zst)$", target, re.IGNORECASE):
        raise UsageError(
            f"'{target}' is neither a Parquet file nor a table's name",
            "end a file's name in .parquet, or give a name such as propensity_scores together with --database",
        )
    return ".".join(identifier(part) for part in target.split("."))
