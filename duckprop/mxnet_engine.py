"""The reference engine: MXNet's own graph in a bound executor, on one long-lived thread, in padded batches."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat
from duckprop.engine import Scorer, refuse_overflow, row_squares
from duckprop.errors import ModelError
from duckprop.relation import first_line
from duckprop.sparse import SparseBatch

_BATCH = 256
"""Rows of the bound executor. MXNet refuses another size, so a shorter batch is filled up with empty rows."""


class MXNetScorer(Scorer):
    """Scores with the checkpoint's own symbol and parameters, exactly as plain MXNet does."""

    def __init__(self, prefix: str, width: int, shape: tuple[int, int], positive: int = 0) -> None:
        """Load ``prefix-symbol.json`` and ``prefix-0000.params``; shape is (heads N, classes K).

        Raises ModelError where MXNet cannot bind the network with these sizes.
        """
        self.width, self.heads = width, shape[0]
        self._positive = positive
        self._arguments = prefix, width, shape
        self._executor = mxnet_compat.run(_bind, *self._arguments)
        self._hidden: Any = None
        self._scales_rows = '"op": "rsqrt"' in self._executor._symbol.tojson()

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See Scorer; all heads are computed whichever are asked for."""
        probabilities = self._run(batch, self._executor)[:, :, self._positive]
        return probabilities if heads is None else probabilities[:, heads]

    def classes(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """See Scorer; all heads of all rows are computed whichever are asked for."""
        return self._run(batch, self._executor)[rows, heads]

    def embed(self, batch: SparseBatch) -> NDArray[np.float32]:
        """See Scorer. Raises ModelError where the graph does not end in one dense layer under its softmax."""
        if self._hidden is None:
            self._hidden = mxnet_compat.run(_bind, *self._arguments, last_hidden)
        return self._run(batch, self._hidden)

    def _run(self, batch: SparseBatch, executor: Any) -> NDArray[np.float32]:
        """Return the executor's output for all rows, block by block."""
        outputs = np.empty((len(batch), *executor.outputs[0].shape[1:]), np.float32)
        for start in range(0, len(batch), _BATCH):
            block = batch.rows(start, min(start + _BATCH, len(batch)))
            if self._scales_rows:
                row_squares(block)
            found = mxnet_compat.run(_forward, executor, block)[: len(block)]
            refuse_overflow(found, block)
            outputs[start : start + _BATCH] = found
        return outputs


def _forward(executor: Any, block: SparseBatch) -> NDArray[np.float32]:
    padded_csr(block, _BATCH).copyto(executor.arg_dict["data"])
    return executor.forward(is_train=False)[0].asnumpy()


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


def _bind(prefix: str, width: int, shape: tuple[int, int], part: Callable[[Any], Any] = lambda symbol: symbol) -> Any:
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
    symbol = part(symbol)
    arrays: Mapping[str, Any] = {
        # a row_sparse weight with a row missing makes `dot` ten times slower
        **{name: array.tostype("default") for name, array in arguments.items()},
        "data": mx.nd.sparse.zeros("csr", (_BATCH, width)),
        "softmax_label": mx.nd.zeros((_BATCH, *shape)),
    }
    try:
        return symbol.bind(mx.cpu(), {name: arrays[name] for name in symbol.list_arguments()}, aux_states=auxiliary)
    except (KeyError, mx.MXNetError) as error:
        raise ModelError(
            f"MXNet cannot bind {prefix}-symbol.json to {width} columns and heads {shape}: {first_line(error)}",
            "copy or train the model again",
        ) from None
