"""The sides of a comparison: a name, a callable over the same rows, and outputs to compare before it is timed.

A peer is one more function ``(workload, question, sample) -> context manager of a Side`` in ``SIDES``.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import duckprop
from duckprop.benchmarks import naive
from duckprop.benchmarks.workload import Workload
from duckprop.errors import DuckpropError
from duckprop.model import Model
from duckprop.relation import literal

VECTOR = 2_048
"""Rows that DuckDB hands to a function at most."""
_NAIVE = "naive(features.indices, features.values)"


class WrongAnswer(DuckpropError):
    """A side does not compute what it should: its time would mean nothing. Exit code 1, a check that failed."""

    exit_code = 1


@dataclass(frozen=True)
class Side:
    """``run`` answers for rows 0 … rows − 1 once. ``outputs(start, stop)`` returns float32 (stop − start, numbers).

    outputs is None for a floor, which computes nothing that could be compared.
    """

    name: str
    rows: int
    run: Callable[[], Any]
    outputs: Callable[[int, int], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class Question:
    """What is asked, in SQL. ``sink``: an aggregate that needs every answer. ``values``: an answer as FLOAT or FLOAT[].

    engine: the answer by our functions. naive: by the naive one. function: what must stand in the plan of ours.
    """

    name: str
    engine: str
    naive: str
    function: str
    sink: str
    values: str = "{}"


def questions(model: Model) -> tuple[Question, ...]:
    """Return the questions: all categories, one of them, the ten likeliest."""
    middle, k = len(model.categories) // 2, min(10, len(model.categories))
    one = f"propensity(features, {literal(model.categories[middle])})"
    top = f"list_slice(list_reverse_sort({_NAIVE}), 1, {k})"  # no names: less work than ours
    structs = "list_transform({}, lambda item: item.propensity)"
    return (
        Question("all categories", "propensity_vector(features)", _NAIVE, "propensity_vector", "sum(len({}))"),
        Question("one category", one, f"{_NAIVE}[{middle + 1}]", "propensity", "sum({})"),
        Question(f"top {k}", f"propensity_topk(features, {k})", top, "propensity_topk", "sum(len({}))", structs),
    )


@contextmanager
def floor(workload: Workload, question: Question, _sample: int) -> Iterator[Side]:
    """The same SQL without scoring: DuckDB reads the features and aggregates."""
    with closing(duckdb.connect()) as con:
        _load(con, workload)
        query = (
            f"SELECT sum(len(features.indices) + len(features.values)) FROM bench_rows WHERE id < {_count(workload)}"
        )
        yield Side("floor: scan", _count(workload), partial(_fetch, con, query))


@contextmanager
def empty(workload: Workload, question: Question, _sample: int) -> Iterator[Side]:
    """A function that gets the rows and returns ready answers of the right type: DuckDB's own share of a UDF."""
    with closing(duckprop.connect(model=str(workload.model.folder))) as con:
        _load(con, workload)
        ready = con.sql(f"SELECT {question.engine} AS answer FROM bench_rows WHERE id < {VECTOR}")
        returns, answers = str(ready.types[0]), ready.to_arrow_table()["answer"].combine_chunks()
        options: Any = {"type": "arrow"}
        con.create_function("empty", lambda features: answers.slice(0, len(features)), None, returns, **options)
        query = _query(con, question.sink.format("empty(features)"), _count(workload), "empty")
        yield Side("floor: empty UDF", _count(workload), partial(_fetch, con, query))


@contextmanager
def naive_row(workload: Workload, question: Question, sample: int) -> Iterator[Side]:
    """One row at a time through MXNet, on a sample of the first rows."""
    with closing(duckdb.connect()) as con:
        _load(con, workload)
        options: Any = {"type": "native"}
        con.create_function("naive", naive.row_udf(workload.model), naive.PARAMETERS, naive.RETURNS, **options)
        rows = min(sample, _count(workload))
        query = _query(con, question.sink.format(question.naive), rows, "naive")
        yield Side("naive row UDF", rows, partial(_fetch, con, query), partial(_outputs, con, question.naive))


@contextmanager
def engine(name: str, workload: Workload, question: Question, _sample: int) -> Iterator[Side]:
    """Our SQL function on one of our engines."""
    with closing(duckprop.connect(model=str(workload.model.folder), engine=name)) as con:
        _load(con, workload)
        query = _query(con, question.sink.format(question.engine), _count(workload), f"__duckprop_{question.function}(")
        outputs = partial(_outputs, con, question.values.format(question.engine))
        yield Side(f"engine {name}", _count(workload), partial(_fetch, con, query), outputs)


Opener = Callable[[Workload, Question, int], AbstractContextManager[Side]]
SIDES: dict[str, Opener] = {
    "floor": floor,
    "empty": empty,
    "naive": naive_row,
    "mxnet": partial(engine, "mxnet"),
    "compiled": partial(engine, "compiled"),
}


def _load(con: duckdb.DuckDBPyConnection, workload: Workload) -> None:
    con.register("bench_source", workload.table())
    con.execute("CREATE TABLE bench_rows AS FROM bench_source")
    con.unregister("bench_source")


def _count(workload: Workload) -> int:
    return len(workload.batch)


def _query(con: duckdb.DuckDBPyConnection, sink: str, rows: int, function: str) -> str:
    """Return the timed query. Raises WrongAnswer where DuckDB's plan does not call the function."""
    query = f"SELECT {sink} FROM bench_rows WHERE id < {rows:d}"
    plan = con.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()[0][1]
    if function not in plan:
        raise WrongAnswer(f"DuckDB's plan for {sink} does not call {function}", "choose a sink that needs the answers")
    return query


def _fetch(con: duckdb.DuckDBPyConnection, query: str) -> Any:
    return con.execute(query).fetchall()[0][0]


def _outputs(con: duckdb.DuckDBPyConnection, values: str, start: int, stop: int) -> NDArray[np.float32]:
    query = f"SELECT {values} AS answer FROM bench_rows WHERE id >= {start:d} AND id < {stop:d} ORDER BY id"
    column = con.sql(query).to_arrow_table()["answer"].combine_chunks()
    numbers = column.flatten() if pa.types.is_list(column.type) else column
    return numbers.to_numpy(zero_copy_only=False).reshape(len(column), -1)
