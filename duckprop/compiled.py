"""The default engine: the folded network on kernels compiled for this processor; needs no MXNet."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import kernels
from duckprop.buffers import Hidden, Scratch, empty_hidden, pooled, unpacked
from duckprop.cores import Remembered, cores, idle, share
from duckprop.engine import Scorer, refuse_row
from duckprop.fold import Folded, Heads, Units, aligned, dense, fold, limits, units
from duckprop.kernels.simd import COLUMNS, ROWS
from duckprop.network import Layer, Network
from duckprop.ranking import Best
from duckprop.sparse import SparseBatch

_BLOCK = 2064
"""Rows that are taken through all layers at once, at most: a little more than DuckDB's 2,048. A multiple of ROWS."""
_REMEMBERED, _REMEMBERED_VALUES = 4096, 2**21
"""The hidden layer of the last batches up to this size is kept: a query often asks several things of the same rows."""
_INSERTED = 128
"""Beyond so many winners a sort is faster than insertion."""
_NONE = np.zeros((0, 0), np.float32)
_ZEROS = np.zeros(COLUMNS, np.float32)
_NO_WIDE = (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


class CompiledScorer(Scorer):
    """Scores with ``kernels``. A number's bits depend on the row and the head alone: not on batch, heads or threads.

    link: see Network. units: those of the sparse layer. hidden: the layers behind it. before: float32 (H,), what the
    sparse layer adds before rows are scaled, or (0,). folded: the heads.
    """

    def __init__(self, network: Network, positive: int = 0) -> None:
        """Fold a network; ``positive`` is the class whose probability is the propensity."""
        self.width, self.heads = network.width, network.heads
        self._positive = positive
        self.folded: Folded = fold(network, positive if network.link == "heads" else 0)
        self.link = network.link
        self.units, self.hidden = units(network.first), network.hidden
        self.before = np.zeros(0, np.float32) if network.start is None else np.ascontiguousarray(network.start)
        self._norm = int(network.row_norm == "l1")
        self._weight = aligned(network.first.weight)
        self._epsilon = -1.0 if network.row_epsilon is None else network.row_epsilon
        first, *further = limits(network, self.folded)
        self._limit = first
        self._layers = [dense(layer, limit) for layer, limit in zip(network.hidden, further, strict=True)]
        self._wide = _NO_WIDE
        if (wide := self.folded.wide) is not None:
            self._wide = (wide.indptr.astype(np.int64), wide.indices.astype(np.int32), wide.data)
        self._all = self.folded.heads()
        self._chosen: OrderedDict[bytes, Heads] = OrderedDict()
        self._recent: Remembered[tuple[SparseBatch, Hidden]] = Remembered()
        self._spare: list[Scratch] = []
        self._lock = threading.Lock()

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See Scorer."""
        if heads is not None and len(np.unique(heads)) < len(heads):
            distinct, places = np.unique(heads, return_inverse=True)
            return self.score(batch, distinct)[:, places]
        if self.link != "heads":
            return self._linked(batch) if heads is None else self._linked(batch)[:, heads]
        chosen = self._heads(heads)
        out = pooled(len(batch), chosen.count)

        def work(block: "_Block") -> None:
            scratch = block.scratch
            kernels.score_rows(
                block.packed, chosen.weights, chosen.bias, block.wide(chosen), out[block.start : block.stop],
                scratch.tile, scratch.keys,
            )  # fmt: skip

        self._over_blocks(batch, work)
        return out

    def _linked(self, batch: SparseBatch) -> NDArray[np.float32]:
        """Score all categories where they are linked: none can be had without the others."""
        every, out = self._all, pooled(len(batch), self._all.count)

        def work(block: "_Block") -> None:
            sums = block.scratch.sums(block.stop - block.start, every.count)
            kernels.dense_rows(block.packed, every.weights[:, 0], _ZEROS, sums, block.scratch.tile)
            bias, wide = every.bias.ravel()[: every.count], block.wide(every)
            kernels.link_rows(sums, bias, wide, self.link == "softmax", out[block.start : block.stop])

        self._over_blocks(batch, work)
        return out

    def top(
        self,
        batch: SparseBatch,
        k: int,
        *,
        heads: NDArray[np.integer] | None = None,
        least: NDArray[np.float64] | None = None,
        banned: NDArray[np.bool_] | None = None,
    ) -> Best:
        """See Scorer."""
        chosen = self._heads(heads)
        k, rows = min(k, chosen.count), len(batch)
        if k > _INSERTED or self.link != "heads":
            return super().top(batch, k, heads=heads, least=least, banned=banned)
        least = np.zeros(rows) if least is None else least
        banned = np.zeros((0, 0), bool) if banned is None else np.ascontiguousarray(banned)
        best, counts = np.zeros((rows, k), np.int64), np.zeros(rows, np.int64)
        propensities = np.zeros((rows, k), np.float32)
        if k == 0:
            return Best(best, propensities, counts)
        below = _largest_keys(least, self.folded.weight.shape[1])

        def work(block: "_Block") -> None:
            part, scratch = slice(block.start, block.stop), block.scratch
            kernels.top_rows(
                block.packed, chosen.weights, chosen.bias, block.wide(chosen), below[part], least[part],
                banned[part], best[part], propensities[part], counts[part], chosen.count, scratch.tile,
                scratch.keys, *scratch.choosing(len(chosen.weights) * COLUMNS, k),
            )  # fmt: skip

        self._over_blocks(batch, work)
        return Best(best if heads is None else np.asarray(heads, np.int64)[best], propensities, counts)

    def pairs(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """See Scorer. Few different heads are computed for all rows, many ones pair by pair."""
        if self.link != "heads":
            return super().pairs(batch, rows, heads)
        distinct, places = np.unique(heads, return_inverse=True)
        if len(batch) * -(-len(distinct) // COLUMNS) <= 4 * len(rows):
            return self.score(batch, distinct)[rows, places]
        out = np.empty((len(rows), 1), np.float32)
        self._one_by_one(batch, rows, heads, out)
        return out[:, 0]

    def classes(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """See Scorer."""
        if self.link != "heads":
            propensities = super().pairs(batch, rows, heads)
            both = np.stack([propensities, 1 - propensities], axis=1)
            return both if self._positive == 0 else both[:, ::-1]
        out = np.empty((len(rows), self.folded.weight.shape[1] + 1), np.float32)
        self._one_by_one(batch, rows, heads, out)
        return out

    def _one_by_one(
        self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer], out: NDArray[np.float32]
    ) -> None:
        """Fill out (pairs, 1) with propensities, or out (pairs, K) with the probabilities of all classes."""
        hidden, positive = self._hidden(batch), self._positive if out.shape[1] > 1 else 0
        arrays = (*_csr(batch), hidden.scales, hidden.packed, self._all.weights, self._all.bias, *self._wide)
        rows, heads = np.asarray(rows, np.int64), np.asarray(heads, np.int64)
        bounds = np.linspace(0, len(rows), min(cores(), len(rows)) + 1).astype(int)

        def work(number: int) -> None:
            part = slice(bounds[number], bounds[number + 1])
            bad = kernels.score_pairs(*arrays, self.heads, positive, rows[part], heads[part], out[part])
            if bad >= 0:
                refuse_row(int(bad), batch)

        share(work, len(bounds) - 1)

    def embed(self, batch: SparseBatch) -> NDArray[np.float32]:
        """See Scorer."""
        return unpacked(self._hidden(batch).packed, len(batch))

    def first_sums(self, batch: SparseBatch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the sparse layer adds up, float32 (n, H) without bias, and what the rows were scaled by, (n,)."""
        rows, count = len(batch), self.units.count
        packed, scales = np.empty((-(-rows // ROWS), count, ROWS), np.float32), np.empty(rows, np.float32)
        plain = units(Layer(self._weight, np.zeros(count, np.float32), "identity"))
        bad = self._sparse_rows(_csr(batch), 0, plain, sums=np.empty(count, np.float32), scales=scales, packed=packed)
        if bad >= 0:
            refuse_row(int(bad), batch)
        return unpacked(packed, rows), scales

    def weigh(
        self,
        batch: SparseBatch,
        slopes: NDArray[np.float64],
        shares: NDArray[np.float64],
        *,
        rows: NDArray[np.int64],
        heads: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return for each stored value of each pair's row: value · (its weights · slopes + its wide weights · shares).

        slopes: (pairs, H) of the sparse layer. shares: (pairs, K − 1). The values of the first pair's row come first.
        """
        lengths = np.diff(batch.indptr)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        out, csr = np.empty(starts[-1]), _csr(batch)
        bounds = np.linspace(0, len(rows), min(4 * cores(), len(rows)) + 1).astype(int)

        def work(number: int) -> None:
            part = slice(bounds[number], bounds[number + 1])
            values = out[starts[part.start] : starts[part.stop]]
            kernels.weigh_values(
                *csr, self._weight, slopes[part], shares[part], *self._wide, self.heads, rows[part], heads[part], values
            )

        share(work, len(bounds) - 1)
        return out

    def _heads(self, heads: NDArray[np.integer] | None) -> Heads:
        """Return the panels of all heads, or of the listed, distinct ones; those of the last few lists are kept."""
        if heads is None:
            return self._all
        key = np.asarray(heads, np.int64).tobytes()
        with self._lock:
            if key not in self._chosen:
                self._chosen[key] = self.folded.heads(np.asarray(heads, np.int64))
                if len(self._chosen) > 8:
                    self._chosen.popitem(last=False)
            self._chosen.move_to_end(key)
            return self._chosen[key]

    def _hidden(self, batch: SparseBatch) -> Hidden:
        """Return the last hidden layer of a whole batch."""
        hidden = self._remembered(batch)
        if hidden is None:
            hidden = self._empty(len(batch))
            self._over_blocks(batch, lambda block: None, hidden)
        return hidden

    def _empty(self, rows: int) -> Hidden:
        return empty_hidden(rows, self._layers[-1].units.count if self._layers else self.units.count)

    def _remembered(self, batch: SparseBatch) -> Hidden | None:
        last = self._recent.get()
        return last[1] if last is not None and last[0] is batch else None

    def _over_blocks(self, batch: SparseBatch, work: Any, into: Hidden | None = None) -> None:
        """Call work(block) for all blocks of rows on all idle cores; their hidden layer is computed where not known."""
        rows = len(batch)
        known = self._remembered(batch)
        hidden = known or into or (self._empty(rows) if rows <= _REMEMBERED else None)
        size = _block_size(rows)
        csr = _csr(batch)

        def run(number: int) -> None:
            start = number * size
            stop = min(start + size, rows)
            scratch = self._take_scratch()
            try:
                part = scratch.hidden if hidden is None else hidden
                offset = 0 if hidden is None else start
                packed = part.packed[offset // ROWS : -(-(offset + stop - start) // ROWS)]
                scales = part.scales[offset : offset + stop - start]
                block = _Block(batch, start, stop, packed, scales, scratch=scratch, csr=csr, wide_path=self._wide)
                if known is None:
                    self._fill(block)
                work(block)
            finally:
                self._spare.append(scratch)

        share(run, -(-rows // size))
        is_small = rows <= _REMEMBERED and batch.nnz <= _REMEMBERED_VALUES
        if hidden is not None and known is None and is_small:
            self._recent.put((batch, hidden))

    def _fill(self, block: "_Block") -> None:
        """Compute the last hidden layer of a block's rows."""
        packed, scratch, count = block.packed, block.scratch, len(block.scales)
        into = scratch.packed(0, packed.shape[0], self.units.count) if self._layers else packed
        sums = scratch.sums(1, self.units.count)[0]
        bad = self._sparse_rows(block.csr, block.start, self.units, sums=sums, scales=block.scales, packed=into)
        if bad >= 0:
            refuse_row(int(bad), block.batch)
        for number, layer in enumerate(self._layers, start=1):
            sums = scratch.sums(count, layer.units.count)
            kernels.dense_rows(into, layer.weights, _ZEROS, sums, scratch.tile)
            is_last = number == len(self._layers)
            into = packed if is_last else scratch.packed(number % 2, packed.shape[0], layer.units.count)
            bad = kernels.activate_rows(sums, *_arrays(layer.units), layer.limit, into)
            if bad >= 0:
                refuse_row(block.start + int(bad), block.batch)

    def _sparse_rows(self, csr: Any, start: int, units: Units, *, sums: Any, scales: Any, packed: Any) -> int:
        """Compute the sparse layer; returns the first row that overflows, else −1."""
        how = self._weight, start, self._epsilon, self._norm, self.before, *_arrays(units), self._limit
        return int(kernels.sparse_rows(*csr, *how, sums, scales, packed))

    def _take_scratch(self) -> Scratch:
        try:
            return self._spare.pop()
        except IndexError:
            return Scratch(self._empty(_BLOCK))


@dataclass(frozen=True)
class _Block:
    """Rows start to stop of a batch, their last hidden layer, and what a thread needs to go on from there."""

    batch: SparseBatch
    start: int
    stop: int
    packed: NDArray[np.float32]
    scales: NDArray[np.float32]
    scratch: Scratch
    csr: Any
    wide_path: Any

    def wide(self, chosen: Heads) -> NDArray[np.float32]:
        """Return what the wide path adds to the logits, (n, columns), or (0, 0) without one."""
        if not len(self.wide_path[0]):
            return _NONE
        out = self.scratch.wide(self.stop - self.start, chosen.columns)
        bad = kernels.wide_rows(*self.csr, self.start, self.scales, *self.wide_path, chosen.places, out)
        if bad >= 0:
            refuse_row(self.start + int(bad), self.batch)
        return out


def _arrays(units: Units) -> tuple[Any, Any, Any]:
    return units.bias, units.runs, units.parameters


def _csr(batch: SparseBatch) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return the batch's arrays in the types that the kernels were compiled for; copied only where they are others."""
    arrays = ((batch.indptr, np.int64), (batch.indices, np.int32), (batch.values, np.float32))
    return tuple(np.require(array, kind, ["C", "A"]) for array, kind in arrays)  # type: ignore[return-value]


def _block_size(rows: int) -> int:
    """Return a multiple of ROWS, at most _BLOCK, that gives every idle core as much to do as the others."""
    threads = idle()
    rounds = max(1, -(-rows // (threads * _BLOCK)))
    size = -(-rows // (threads * rounds))
    return min(_BLOCK, max(ROWS, -(-size // ROWS) * ROWS))


def _largest_keys(least: NDArray[np.float64], others: int) -> NDArray[np.float32]:
    """Return above which key (see ``kernels``) no propensity can reach ``least``, with room for rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):  # above 1 it is NaN, and nothing reaches ``least`` anyway
        q = np.maximum(least - 1e-6, 0)
        return (np.log((1 - q) / q) if others == 1 else 1 / q).astype(np.float32)
