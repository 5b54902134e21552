"""The sides in SQL: rows in an in-memory table, answers into an aggregate that needs them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

import duckprop
from duckprop.benchmarks import naive
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import VECTOR, Array, LeftOut, Samples, Side, WrongAnswer
from duckprop.benchmarks.workload import Workload
from duckprop.cores import cores
from duckprop.udfs import udf


@contextmanager
def floor(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """The same SQL without scoring: DuckDB reads the features and aggregates."""
    with closing(duckdb.connect()) as con:
        _load(con, workload)
        query = (
            f"SELECT sum(len(features.indices) + len(features.values)) FROM bench_rows WHERE id < {_count(workload)}"
        )
        yield Side("floor: scan", _count(workload), partial(_fetch, con, query))


@contextmanager
def empty(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
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
def naive_row(workload: Workload, question: Question, samples: Samples) -> Iterator[Side]:
    """One row at a time through MXNet, on a sample of the first rows."""
    if question.naive is None:
        raise LeftOut
    with closing(duckdb.connect()) as con:
        _load(con, workload)
        options: Any = {"type": "native"}
        con.create_function("naive", naive.row_udf(workload.model), naive.PARAMETERS, naive.RETURNS, **options)
        rows = min(samples.naive, _count(workload))
        query = _query(con, question.sink.format(question.naive), rows, "naive")
        yield Side("naive row UDF", rows, partial(_fetch, con, query), _outputs(con, question.naive, None))


@contextmanager
def engine(name: str, workload: Workload, question: Question, samples: Samples) -> Iterator[Side]:
    """Our SQL function on one of our engines, the MXNet one on a sample; explanations are made by one of them alone."""
    if name == "mxnet" and question.explained is not None:
        raise LeftOut
    with closing(duckprop.connect(model=str(workload.model.folder), engine=name)) as con:
        _load(con, workload)
        rows = _count(workload) if name == "compiled" else min(samples.batches, _count(workload))
        query = _query(con, question.sink.format(question.engine), rows, f"__duckprop_{question.function}(")
        outputs = _outputs(con, question.values.format(question.engine), question.k)
        yield Side(f"engine {name}", rows, partial(_fetch, con, query), outputs)


def _load(con: duckdb.DuckDBPyConnection, workload: Workload) -> None:
    con.execute(f"SET threads = {cores():d}")
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
    """Run a query from nothing: what our functions remember of the run before would make a small table look fast."""
    udf._recent.clear()
    return con.execute(query).fetchall()[0][0]


def _outputs(con: duckdb.DuckDBPyConnection, values: str, size: int | None) -> Callable[[int, int], Array]:
    """Return ``outputs`` of a side; size: of an answer as a list, None where all lists are of the same."""

    def outputs(start: int, stop: int) -> Array:
        query = f"SELECT {values} AS answer FROM bench_rows WHERE id >= {start:d} AND id < {stop:d} ORDER BY id"
        column = con.sql(query).to_arrow_table()["answer"].combine_chunks()
        if not pa.types.is_list(column.type):
            return column.to_numpy(zero_copy_only=False).reshape(-1, 1)
        lengths = column.value_lengths().to_numpy()
        longest = int(lengths.max(initial=0)) if size is None else size
        return padded(column.flatten().to_numpy(zero_copy_only=False), lengths, longest)

    return outputs


def padded(numbers: Array, lengths: Any, size: int) -> Array:
    """Return rows of ``lengths`` (n,) numbers as float32 (n, size), zeros behind the last; none is longer than size."""
    out = np.zeros((len(lengths), size), np.float32)
    out[np.arange(size) < lengths[:, None]] = numbers
    return out
