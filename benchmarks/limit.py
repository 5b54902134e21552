"""The limit of the design: the sparse layer and the product with the heads, and nothing behind them.

Whatever an engine of this design does with the logits comes on top: the sigmoid, the selection, the way into SQL.
"""
# mypy: disable-error-code="call-arg"

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from duckprop.benchmarks.arrays import one_blas_thread
from duckprop.benchmarks.plain import plain
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import ENGINE, VECTOR, Array, LeftOut, Samples, Side, joined, quickest, run_blocks
from duckprop.benchmarks.workload import Workload

NAME = "limit: gather + GEMM"
_TRIED = 16_384


@contextmanager
def gather_and_product(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """Our kernels for both, or ours for the first and BLAS for the second: the faster of the two, in our blocks."""
    if question.explained is not None:
        raise LeftOut
    plain(workload.model, question)  # raises LeftOut where a head is more than one product
    scorer: Any = workload.model.scorer()
    batch = workload.batch
    one_thread, note = one_blas_thread()
    ours, blas = _ours(scorer, question), _blas(scorer, question)

    def logits(multiply: Callable[[Any, Array], None], start: int, stop: int) -> Array:
        rows = batch.rows(start, stop)
        out = _pooled(len(rows), scorer.folded.weight.shape[2] if question.heads is None else len(question.heads))
        scorer._over_blocks(rows, lambda block: multiply(block, out[block.start : block.stop]))
        return out

    def run_with(multiply: Callable[[Any, Array], None], rows: int) -> None:
        run_blocks(lambda start, stop: logits(multiply, start, stop), rows, VECTOR)

    def run_blas(rows: int) -> None:
        with one_thread():
            run_with(blas, rows)

    tried = min(_TRIED, len(batch))
    is_blas = quickest({False: lambda: run_with(ours, tried), True: lambda: run_blas(tried)})
    run = (lambda: run_blas(len(batch))) if is_blas else (lambda: run_with(ours, len(batch)))
    multiply = blas if is_blas else ours

    def propensities(start: int, stop: int) -> Array:
        found = 1 / (1 + np.exp(logits(multiply, start, stop)))
        return found if question.k is None else -np.sort(-found, axis=1)[:, : question.k]

    described = f"product by BLAS{note}" if is_blas else "product by our kernel, faster than BLAS here"
    yield Side(NAME, len(batch), run, joined(propensities, VECTOR), ENGINE, described)


def _ours(scorer: Any, question: Question) -> Callable[[Any, Array], None]:
    product_rows = _kernel()
    chosen = scorer._heads(question.columns)
    heads = chosen.weights[:, 0], chosen.bias[:, 0]

    def multiply(block: Any, out: Array) -> None:
        product_rows(block.packed, heads, out, block.scratch.tile)

    return multiply


def _blas(scorer: Any, question: Question) -> Callable[[Any, Array], None]:
    heads = slice(None) if question.columns is None else question.columns
    weight = np.ascontiguousarray(scorer.folded.weight[:, 0, heads])
    bias = np.ascontiguousarray(scorer.folded.bias[0, heads])

    def multiply(block: Any, out: Array) -> None:
        rows = np.ascontiguousarray(block.packed.transpose(0, 2, 1)).reshape(-1, block.packed.shape[1])[: len(out)]
        np.matmul(rows, weight, out=out)
        out += bias

    return multiply


def _pooled(rows: int, columns: int) -> Array:
    """Return memory from Arrow's pool, as the engine does: the first touch of new pages would be timed."""
    return np.frombuffer(pa.allocate_buffer(rows * columns * 4), np.float32).reshape(rows, columns)


@cache
def _kernel() -> Any:
    """Compile packed (tiles, H, ROWS) @ panels + bias → out (n, M), in the order of ``kernels.score_rows``."""
    from numba import njit, types

    from duckprop.kernels import COLUMNS, ROWS
    from duckprop.kernels.compiling import CUBE, MATRIX, OUT2
    from duckprop.kernels.heads import TILES
    from duckprop.kernels.layers import store
    from duckprop.kernels.simd import prefetch_tile, product

    @njit(types.void(CUBE, types.Tuple((CUBE, MATRIX)), OUT2, OUT2), nogil=True, error_model="numpy")
    def product_rows(packed: Any, heads: Any, out: Any, tile: Any) -> None:
        weights, bias = heads
        for first in range(0, packed.shape[0], TILES):
            for panel in range(weights.shape[0]):
                for t in range(first, min(first + TILES, packed.shape[0])):
                    prefetch_tile(out, t * ROWS, panel * COLUMNS)
                    product(packed[t], weights[panel], bias[panel], tile)
                    store(tile, out, t * ROWS, panel * COLUMNS)

    return product_rows
