"""The reference engine: MXNet's own graph in a bound executor, on one long-lived thread, in padded batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat
from duckprop.engine import refuse_overflow, row_squares
from duckprop.errors import ModelError
from duckprop.relation import first_line
from duckprop.sparse import SparseBatch

_BATCH = 256
"""Rows of the bound executor. MXNet refuses another size, so a shorter batch is filled up with empty rows."""


class MXNetScorer:
    """Scores with the checkpoint's own symbol and parameters, exactly as plain MXNet does."""

    def __init__(self, prefix: str, width: int, shape: tuple[int, int], positive: int = 0) -> None:
        """Load ``prefix-symbol.json`` and ``prefix-0000.params``; shape is (heads N, classes K).

        Raises ModelError where MXNet cannot bind the network with these sizes.
        """
        self.width, self.heads = width, shape[0]
        self._positive = positive
        self._executor = mxnet_compat.run(_bind, prefix, width, shape)
        self._scales_rows = '"op": "rsqrt"' in self._executor._symbol.tojson()

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See Scorer; all heads are computed whichever are asked for."""
        out = np.empty((len(batch), self.heads if heads is None else len(heads)), np.float32)
        for start in range(0, len(batch), _BATCH):
            block = batch.rows(start, min(start + _BATCH, len(batch)))
            if self._scales_rows:
                row_squares(block)
            probabilities = mxnet_compat.run(self._forward, block)[: len(block), :, self._positive]
            refuse_overflow(probabilities, block)
            out[start : start + _BATCH] = probabilities if heads is None else probabilities[:, heads]
        return out

    def _forward(self, block: SparseBatch) -> NDArray[np.float32]:
        padded_csr(block, _BATCH).copyto(self._executor.arg_dict["data"])
        return self._executor.forward(is_train=False)[0].asnumpy()


def padded_csr(batch: SparseBatch, rows: int) -> Any:
    """Return an MXNet CSRNDArray (rows, width): the batch, then empty rows, as MXNet takes no other batch size."""
    mx = mxnet_compat.load()
    indptr = np.concatenate([batch.indptr, np.full(rows - len(batch), batch.indptr[-1])]).astype(np.int64)
    return mx.nd.sparse.csr_matrix((batch.values, batch.indices.astype(np.int64), indptr), shape=(rows, batch.width))


def _bind(prefix: str, width: int, shape: tuple[int, int]) -> Any:
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
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
