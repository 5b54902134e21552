"""The reference engine: MXNet's own graph in a bound executor, on one long-lived thread, in padded batches."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat
from duckprop.engine import Scorer, refuse_overflow, row_squares
from duckprop.errors import ModelError
from duckprop.formats.mxnet import input_of, read_graph
from duckprop.formats.mxnet_params import read_params
from duckprop.relation import first_line
from duckprop.sparse import SparseBatch

_BATCH = 256
"""Rows of the bound executor. MXNet refuses another size, so a shorter batch is filled up with empty rows."""


class MXNetScorer(Scorer):
    """Scores with a checkpoint's own symbol and parameters, exactly as plain MXNet does."""

    def __init__(
        self, prefix: str, width: int, shape: tuple[int, int], positive: int = 0, *, epoch: int = 0, embeds: bool = True
    ) -> None:
        """Load ``prefix-symbol.json`` and ``prefix-0000.params``; shape is (heads N, classes K).

        The graph gives (B, N, K) or N times (B, K) probabilities of classes; or (B, N), in one output or several, which
        are the propensities. embeds: whether its last hidden layer is the model's embedding.
        Raises ModelError where MXNet cannot bind the network with these sizes.
        """
        self.width, self.heads = width, shape[0]
        self._positive, self._classes, self._embeds = positive, shape[1], embeds
        self._prefix, self._epoch = prefix, epoch
        self._bound = mxnet_compat.run(_bind, prefix, epoch, width)
        if self._bound.numbers not in (self.heads, self.heads * self._classes):
            raise ModelError(
                f"the graph gives {self._bound.numbers} numbers a row, the model has {self.heads} categories of "
                f"{self._classes} classes",
                "import it again, with a name for each of its categories",
            )
        self._hidden: _Bound | None = None

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See Scorer; all heads are computed whichever are asked for."""
        found = self._run(batch, self._bound)
        propensities = found if found.ndim == 2 else found[:, :, self._positive]
        return propensities if heads is None else propensities[:, heads]

    def classes(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """See Scorer; all heads of all rows are computed whichever are asked for."""
        found = self._run(batch, self._bound)[rows, heads]
        if found.ndim == 2:
            return found
        both = np.stack([found, 1 - found], axis=1)
        return both if self._positive == 0 else both[:, ::-1]

    def embed(self, batch: SparseBatch) -> NDArray[np.float32]:
        """See Scorer. Raises ModelError where the graph does not end in one dense layer under its softmax."""
        if not self._embeds:
            raise ModelError("the graph's last hidden layer is not one block", "engine='compiled' has one: ask it")
        if self._hidden is None:
            self._hidden = mxnet_compat.run(_bind, self._prefix, self._epoch, self.width, last_hidden)
        return self._run(batch, self._hidden)

    def _run(self, batch: SparseBatch, bound: "_Bound") -> NDArray[np.float32]:
        """Return what the graph gives for all rows, block by block."""
        blocks = [batch.rows(start, min(start + _BATCH, len(batch))) for start in range(0, len(batch), _BATCH)]
        parts = []
        for block in blocks or [batch]:
            if bound.scales_rows:
                row_squares(block)
            outputs = mxnet_compat.run(_forward, bound, block)
            found = self._arranged(outputs, bound)[: len(block)]
            refuse_overflow(found, block)
            parts.append(found)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _arranged(self, outputs: list[NDArray[np.float32]], bound: "_Bound") -> NDArray[np.float32]:
        """Return (B, N, K) of classes or (B, N) of propensities; the last hidden layer as it is."""
        first, heads, classes = outputs[0], self.heads, self._classes
        if bound is self._hidden:
            return first.reshape(len(first), -1)
        flat = [output.reshape(len(output), -1) for output in outputs]
        if bound.numbers == heads and not (heads == 1 == first.shape[-1] < classes and first.ndim > 2):
            return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        return np.concatenate(flat, axis=1).reshape(len(first), heads, classes)


@dataclass(frozen=True)
class _Bound:
    """An executor, its input's name, whether that is CSR, and whether rows are scaled to norm 1 in the graph.

    numbers: how many it gives a row.
    """

    executor: Any
    data: str
    is_sparse: bool
    scales_rows: bool
    numbers: int


def _forward(bound: _Bound, block: SparseBatch) -> list[NDArray[np.float32]]:
    into = bound.executor.arg_dict[bound.data]
    if bound.is_sparse:
        rows = padded_csr(block, _BATCH)
        (rows if into.dtype == np.float32 else rows.astype(into.dtype)).copyto(into)
    else:
        dense = np.zeros(into.shape, into.dtype)
        dense[: len(block)] = block.to_scipy().toarray()
        into[:] = dense
    return [output.asnumpy().astype(np.float32, copy=False) for output in bound.executor.forward(is_train=False)]


def last_hidden(symbol: Any) -> Any:
    """Return the part of a graph up to what its heads' dense layer takes in."""
    graph = json.loads(symbol.tojson())
    nodes, below = graph["nodes"], [graph["heads"][0][0]]
    for number in below:  # the nearest nodes first: a wide path may be added to the heads from either side
        if nodes[number]["op"] == "FullyConnected":
            break
        below += [at[0] for at in nodes[number]["inputs"]]
    else:
        raise ModelError("the graph has no dense layer under its softmax", "there is no embedding of this model")
    source, output, *_ = nodes[number]["inputs"][0]
    internals = symbol.get_internals()
    suffix = "" if nodes[source]["op"] == "null" else "_output" + str(output or "")
    return internals[nodes[source]["name"] + suffix]


def padded_csr(batch: SparseBatch, rows: int) -> Any:
    """Return an MXNet CSRNDArray (rows, width): the batch, then empty rows, as MXNet takes no other batch size."""
    mx = mxnet_compat.load()
    indptr = np.concatenate([batch.indptr, np.full(rows - len(batch), batch.indptr[-1])]).astype(np.int64)
    return mx.nd.sparse.csr_matrix((batch.values, batch.indices.astype(np.int64), indptr), shape=(rows, batch.width))


def _bind(prefix: str, epoch: int, width: int, part: Callable[[Any], Any] = lambda symbol: symbol) -> _Bound:
    # MXNet's own loader ends the process on a damaged file: ours looks first
    graph = read_graph(Path(f"{prefix}-symbol.json"))
    data = input_of(graph, list(read_params(Path(f"{prefix}-{epoch:04d}.params"))))
    mx = mxnet_compat.load()
    try:
        symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, epoch)
        # a row_sparse weight with a row missing makes `dot` ten times slower
        dense = {name: array.tostype("default") for name, array in arguments.items()}
        is_sparse = _takes_csr(graph, data)
        executor = _bind_first(part(symbol), dense, auxiliary, data=(data, width, is_sparse))
    except (KeyError, ValueError, mx.MXNetError) as error:
        raise ModelError(
            f"MXNet cannot bind {prefix}-symbol.json to {width} columns: {first_line(error)}",
            "copy or train the model again",
        ) from None
    shapes = [output.shape for output in executor.outputs]
    if any(shape[:1] != (_BATCH,) for shape in shapes):
        raise ModelError(f"the graph gives {shapes} for {_BATCH} rows", "give a graph that answers every row by itself")
    numbers = sum(int(np.prod(shape[1:])) for shape in shapes)
    return _Bound(executor, data, is_sparse, any(node["op"] == "rsqrt" for node in graph["nodes"]), numbers)


def _bind_first(symbol: Any, arrays: dict[str, Any], auxiliary: dict[str, Any], *, data: tuple[str, int, bool]) -> Any:
    """Bind a symbol in the first types that MXNet takes: float32 rows, rows of the weights' type, all in float32.

    It has no sparse product of float16 numbers.
    """
    mx = mxnet_compat.load()
    own = sorted({np.dtype(array.dtype) for array in arrays.values()} - {np.dtype(np.float32)}, key=str)
    failed: list[Exception] = []
    for kind, is_cast in ((np.float32, False), *((kind, False) for kind in own), (np.float32, True)):
        both = [
            {name: array.astype(np.float32) if is_cast else array for name, array in part.items()}
            for part in (arrays, auxiliary)
        ]
        try:
            return _bind_as(symbol, both[0], both[1], data=(*data, kind))
        except mx.MXNetError as error:
            failed.append(error)
    raise failed[0]


def _bind_as(symbol: Any, arrays: dict[str, Any], auxiliary: Any, *, data: tuple[str, int, bool, Any]) -> Any:
    """Bind a symbol, its input as an array of one type, and run it once: only then is every type known to fit."""
    mx = mxnet_compat.load()
    name, width, is_sparse, kind = data
    arguments = set(symbol.list_arguments())
    known = {each: array.shape for each, array in arrays.items() if each in arguments}
    shapes, _, _ = symbol.infer_shape(**{**known, name: (_BATCH, width)})
    if shapes is None:
        raise ValueError("the sizes of its parameters do not follow on each other")
    rows = mx.nd.sparse.zeros("csr", (_BATCH, width), dtype=kind)
    if kind != np.float32:  # without a number MXNet skips the product, and what it cannot multiply goes unseen
        one = np.ones(1, np.float32), np.zeros(1, np.int64), np.minimum(np.arange(_BATCH + 1), 1)
        rows = mx.nd.sparse.csr_matrix(one, shape=(_BATCH, width)).astype(kind)
    arrays[name] = rows if is_sparse else mx.nd.zeros((_BATCH, width), dtype=kind)
    for argument, shape in zip(symbol.list_arguments(), shapes, strict=True):
        if argument not in arrays:  # a label, which scoring does not look at
            arrays[argument] = mx.nd.zeros(shape, dtype=kind)
    executor = symbol.bind(mx.cpu(), {each: arrays[each] for each in symbol.list_arguments()}, aux_states=auxiliary)
    for output in executor.forward(is_train=False):
        output.asnumpy()  # wait_to_read does not raise what went wrong in every case
    return executor


_SPARSE_OPERATORS = ("dot", "_sparse_dot", "square", "_sparse_square", "abs", "_sparse_abs", "sum", "_sparse_sum")


def _takes_csr(graph: dict[str, Any], data: str) -> bool:
    """Return whether all that a graph does with its input is meant for sparse rows; else they are made dense."""
    number = next(at for at, node in enumerate(graph["nodes"]) if node["op"] == "null" and node["name"] == data)
    users = {node["op"] for node in graph["nodes"] if any(at[0] == number for at in node["inputs"])}
    return users <= set(_SPARSE_OPERATORS)
