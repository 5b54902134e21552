"""Batches for MXNet from sparse rows: every row exactly once an epoch, in an order that the seed and epoch fix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat
from duckprop.mxnet_engine import padded_csr
from duckprop.outcomes import Outcomes
from duckprop.sparse import SparseBatch

mx = mxnet_compat.load()


class SparseIter(mx.io.DataIter):  # type: ignore[name-defined]
    """Iterates over (ids, CSR, labels); only one batch is ever dense, and only its labels.

    MXNet's own iterators drop the last partial CSR batch (NDArrayIter) or wrap it around (LibSVMIter). Here it comes as
    a batch of its own size: ``bucket_key`` says how many rows, ``index`` which ones.
    """

    def __init__(
        self, ids: NDArray[np.integer], rows: SparseBatch, outcomes: Outcomes, *, batch: int, seed: int
    ) -> None:
        """ids: positions (n,) of the rows to visit. rows and outcomes hold at least these positions."""
        super().__init__(batch)
        self.ids, self.rows, self.outcomes, self.seed = ids, rows, outcomes, seed
        self.start_epoch(0)

    @property
    def provide_data(self) -> list[Any]:
        """The CSR input's name and shape, for ``bind``."""
        return self._describe(self.batch_size)[0]

    @property
    def provide_label(self) -> list[Any]:
        """The labels' name and shape, for ``bind``."""
        return self._describe(self.batch_size)[1]

    def start_epoch(self, epoch: int) -> None:
        """Begin again, in the order of that epoch (counted from 1); epoch 0 keeps the rows' own order."""
        self._order = self.ids
        if epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.ids)
        self._at = 0

    def reset(self) -> None:
        """Begin again in the same order."""
        self._at = 0

    def next(self) -> Any:
        """Return the next DataBatch, or raise StopIteration."""
        index = self._order[self._at : self._at + self.batch_size]
        if not len(index):
            raise StopIteration
        self._at += len(index)
        batch = self.rows.take(index)
        data, label = self._describe(len(index))
        return mx.io.DataBatch(
            [padded_csr(batch, len(index))],
            [mx.nd.array(self.outcomes.one_hot(index))],
            pad=0,
            index=index,
            bucket_key=len(index),
            provide_data=data,
            provide_label=label,
        )

    def _describe(self, rows: int) -> tuple[list[Any], list[Any]]:
        heads = (rows, len(self.outcomes.categories), len(self.outcomes.classes))
        data = mx.io.DataDesc("data", (rows, self.rows.width))
        return [data], [mx.io.DataDesc("softmax_label", heads)]
