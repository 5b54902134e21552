"""The engines without SQL: ours, and MXNet's graphs in batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from duckprop import bundle, mxnet_compat
from duckprop.benchmarks.arrays import best, largest
from duckprop.benchmarks.plain import Plain, plain
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import ENGINE, VECTOR, Array, LeftOut, Samples, Side, joined, run_blocks
from duckprop.benchmarks.workload import Workload
from duckprop.model import Model
from duckprop.mxnet_engine import padded_csr
from duckprop.sparse import SparseBatch

COMPILED, SPARSE, FUSED = "compiled", "compiled: sparse layer alone", "MXNet, fused heads"
_BATCH, _SMALL_BATCH = 8_192, 1_024
_MOST_ELEMENTS = 2**31 - 2
"""MXNet 1.9.1 refuses a batch of more rows × columns, stored or not."""


@contextmanager
def compiled(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """Our engine, called with 2,048 rows at a time, as DuckDB calls it."""
    batch, note = workload.batch, f"calls of {VECTOR:,} rows"
    if question.explained is not None:
        explain = _explain(workload.model, question.explained)
        run = lambda: run_blocks(lambda start, stop: explain(batch.rows(start, stop)), len(batch), VECTOR)  # noqa: E731
        yield Side(COMPILED, len(batch), run, _reasons(explain, batch, question.k or 0), ENGINE, note)
        return
    scorer, heads, k = workload.model.scorer(), question.columns, question.k

    def answer(start: int, stop: int) -> Array:
        rows = batch.rows(start, stop)
        return scorer.score(rows, heads) if k is None else scorer.top(rows, k, heads=heads).propensities

    yield Side(
        COMPILED, len(batch), lambda: run_blocks(answer, len(batch), VECTOR), joined(answer, VECTOR), ENGINE, note
    )


def _explain(model: Model, head: int) -> Callable[[SparseBatch], Any]:
    def explain(rows: SparseBatch) -> Any:
        count = len(rows)
        return model.explainer.contributions(rows, np.arange(count), np.full(count, head))

    return explain


def _reasons(explain: Callable[[SparseBatch], Any], batch: SparseBatch, k: int) -> Callable[[int, int], Array]:
    def outputs(start: int, stop: int) -> Array:
        rows = batch.rows(start, stop)
        return largest(explain(rows), rows, k)

    return outputs


@contextmanager
def sparse_layer(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """Our engine with no heads: what the sparse layer (the gather) takes of its time."""
    if question.explained is not None:
        raise LeftOut
    scorer, batch, none = workload.model.scorer(), workload.batch, np.zeros(0, np.int64)

    def answer(start: int, stop: int) -> Array:
        return scorer.score(batch.rows(start, stop), none)

    yield Side(SPARSE, len(batch), lambda: run_blocks(answer, len(batch), VECTOR), None, ENGINE)


@contextmanager
def mxnet_fused(workload: Workload, question: Question, samples: Samples) -> Iterator[Side]:
    """The model's own graph in large batches: all heads in one dense layer, computed whichever are asked for."""
    if question.explained is not None:
        raise LeftOut
    mx = mxnet_compat.load()
    model, batch = workload.model, workload.batch
    size = min(_BATCH, len(batch), _MOST_ELEMENTS // model.width)
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(model.folder / bundle.PREFIX), 0)
    # a row_sparse weight with a row missing makes `dot` ten times slower
    dense = {name: array.tostype("default") for name, array in arguments.items()}
    executor = mxnet_compat.run(_bind, symbol, dense, auxiliary, (size, model.width))

    def answer(start: int, stop: int) -> Array:
        found = mxnet_compat.run(_forward, executor, batch.rows(start, stop), size)[0][
            : stop - start, :, model.positive
        ]
        chosen = found if question.columns is None else found[:, question.columns]
        return chosen if question.k is None else best(chosen, question.k)

    rows = min(samples.batches, len(batch))
    yield Side(
        FUSED, rows, lambda: run_blocks(answer, rows, size), joined(answer, size), ENGINE,
        f"batches of {size:,}, always all heads", checked=len(batch),
    )  # fmt: skip


@contextmanager
def mxnet_heads(workload: Workload, question: Question, samples: Samples) -> Iterator[Side]:
    """N separate dense layers and softmaxes in one graph, as a network of many outputs is written at first."""
    if question.heads is not None or question.k is not None:
        raise LeftOut
    arrays, batch = plain(workload.model, question), workload.batch
    rows = min(samples.heads, len(batch))
    size = min(_SMALL_BATCH, rows)
    symbol, arguments = mxnet_compat.run(_separate, arrays)
    executor = mxnet_compat.run(_bind, symbol, arguments, {}, (size, batch.width))

    def answer(start: int, stop: int) -> Array:
        outputs = mxnet_compat.run(_forward, executor, batch.rows(start, stop), size)
        return np.stack([output[: stop - start, 0] for output in outputs], axis=1)

    yield Side(
        "MXNet, N heads", rows, lambda: run_blocks(answer, rows, size), joined(answer, size), ENGINE,
        f"batches of {size:,}",
    )  # fmt: skip


def _separate(arrays: Plain) -> tuple[Any, dict[str, Any]]:
    """Return the symbol with a head of two classes for each category, class 0 the positive one, and its arguments."""
    mx = mxnet_compat.load()
    data = mx.sym.var("data", stype="csr")
    given = {"weight": arrays.weight, "bias": arrays.bias}
    hidden = mx.sym.sparse.dot(data, mx.sym.var("weight"))
    if arrays.epsilon is not None:
        squares = mx.sym.sparse.sum(mx.sym.sparse.square(data), axis=1).reshape((-1, 1))
        hidden = mx.sym.broadcast_mul(hidden, mx.sym.rsqrt(squares + arrays.epsilon))
    hidden = mx.sym.Activation(mx.sym.broadcast_add(hidden, mx.sym.var("bias")), act_type="relu")
    for number, (weight, bias) in enumerate(arrays.hidden):
        given |= {f"fc{number}_weight": weight.T, f"fc{number}_bias": bias}
        hidden = mx.sym.FullyConnected(hidden, num_hidden=len(bias), name=f"fc{number}")
        hidden = mx.sym.Activation(hidden, act_type="relu")
    outputs = []
    for head in range(arrays.heads.shape[1]):
        weight = arrays.heads[:, head]
        given |= {
            f"head{head}_weight": np.stack([weight, np.zeros_like(weight)]),
            f"head{head}_bias": np.array([arrays.heads_bias[head], 0], np.float32),
        }
        outputs.append(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=2, name=f"head{head}")))
    return mx.sym.Group(outputs), {name: mx.nd.array(array) for name, array in given.items()}


def _bind(symbol: Any, arguments: dict[str, Any], auxiliary: Any, shape: tuple[int, int]) -> Any:
    """Bind a graph for batches of one shape; what no argument is given for is a label."""
    mx = mxnet_compat.load()
    given = {name: array.shape for name, array in arguments.items()}
    shapes, _, _ = symbol.infer_shape(data=shape, **given)
    arrays = dict(arguments)
    for name, size in zip(symbol.list_arguments(), shapes, strict=True):
        if name not in arrays:
            arrays[name] = mx.nd.sparse.zeros("csr", shape) if name == "data" else mx.nd.zeros(size)
    return symbol.bind(mx.cpu(), {name: arrays[name] for name in symbol.list_arguments()}, aux_states=auxiliary)


def _forward(executor: Any, rows: SparseBatch, size: int) -> list[Array]:
    padded_csr(rows, size).copyto(executor.arg_dict["data"])
    return [output.asnumpy() for output in executor.forward(is_train=False)]
