"""SciPy and NumPy as a careful data scientist uses them: blocks that fit into the cache, a block on every core."""
# mypy: disable-error-code="import-not-found,import-untyped"

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from duckprop.benchmarks.in_sql import padded
from duckprop.benchmarks.plain import Plain, plain
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import ENGINE, Array, LeftOut, Samples, Side, joined, share_blocks
from duckprop.benchmarks.workload import Workload
from duckprop.sparse import SparseBatch

NAME = "scipy + numpy"
_BLOCK = 512


@contextmanager
def numpy_blocks(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """CSR @ dense, float32 products and sigmoid in reused buffers; the best k by partition."""
    arrays, batch = plain(workload.model, question), workload.batch
    if question.explained is not None:
        yield _explaining(arrays, batch, question)
        return
    answer = answers(arrays, batch, question.k)
    one_thread, note = one_blas_thread()

    def run() -> None:
        with one_thread():
            share_blocks(answer, len(batch), _BLOCK)

    yield Side(NAME, len(batch), run, joined(answer, _BLOCK), ENGINE, f"blocks of {_BLOCK}{note}")


def answers(arrays: Plain, batch: SparseBatch, k: int | None) -> Callable[[int, int], Array]:
    """Return what answers for a block of at most 512 rows; the result is overwritten by the thread's next block."""
    own = threading.local()

    def answer(start: int, stop: int) -> Array:
        if not hasattr(own, "logits"):
            own.logits = np.empty((_BLOCK, arrays.heads.shape[1]), np.float32)
        logits = own.logits[: stop - start]
        np.matmul(last_hidden(arrays, batch.rows(start, stop)), arrays.heads, out=logits)
        logits += arrays.heads_bias
        return _sigmoid(logits if k is None else best(logits, k))

    return answer


def last_hidden(arrays: Plain, block: SparseBatch) -> Array:
    """Return the last hidden layer of a block, (n, H)."""
    hidden = block.to_scipy() @ arrays.weight
    if arrays.epsilon is not None:
        hidden *= scales(block, arrays.epsilon)[:, None]
    hidden += arrays.bias
    np.maximum(hidden, 0, out=hidden)
    for weight, bias in arrays.hidden:
        hidden = hidden @ weight
        hidden += bias
        np.maximum(hidden, 0, out=hidden)
    return hidden


def scales(block: SparseBatch, epsilon: float) -> Array:
    """Return 1 / sqrt(sum of squares + epsilon) of every row, float32 (n,); of an empty one any finite number."""
    squares = np.concatenate([block.values * block.values, np.zeros(1, np.float32)])
    sums = np.add.reduceat(squares, block.indptr[:-1])
    return 1 / np.sqrt(sums + np.float32(epsilon))


def best(numbers: Array, k: int) -> Array:
    """Return the k largest of every row, largest first."""
    if k < numbers.shape[1]:
        numbers = np.partition(numbers, numbers.shape[1] - k, axis=1)[:, -k:]
    return -np.sort(-numbers, axis=1)


def _sigmoid(logits: Array) -> Array:
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    logits += 1
    return np.reciprocal(logits, out=logits)


def one_blas_thread() -> tuple[Callable[[], AbstractContextManager[Any]], str]:
    """Return a context in which BLAS uses one thread a caller, and a note where it cannot be told to."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return nullcontext, ", BLAS's own threads: threadpoolctl is not installed"
    controller = ThreadpoolController()
    return lambda: controller.limit(limits=1, user_api="blas"), ", one BLAS thread each"


def _explaining(arrays: Plain, batch: SparseBatch, question: Question) -> Side:
    """Split the log-odds up: value · weight · mean slope of each unit · the head's weight."""
    if arrays.hidden:
        raise LeftOut("explains one hidden layer alone")
    head = question.explained or 0

    def explain(start: int, stop: int) -> Any:
        return contributions(arrays, batch.rows(start, stop), head)

    def outputs(start: int, stop: int) -> Array:
        return largest(explain(start, stop), batch.rows(start, stop), question.k or 0)

    return Side(NAME, len(batch), lambda: share_blocks(explain, len(batch), 64), outputs, ENGINE, "blocks of 64")


def contributions(arrays: Plain, block: SparseBatch, head: int) -> Any:
    """Return what every stored value adds to the head's log-odds, float64: all of a row's add up to its rise."""
    bias = arrays.bias.astype(np.float64)
    scale = np.ones(len(block)) if arrays.epsilon is None else scales(block, arrays.epsilon).astype(np.float64)
    sums = (block.to_scipy() @ arrays.weight) * scale[:, None]
    slopes = np.where(bias > 0, 1.0, 0.0) * np.ones_like(sums)
    rises = np.maximum(sums + bias, 0) - np.maximum(bias, 0)
    np.divide(rises, sums, out=slopes, where=np.abs(sums) > 1e-9)
    weights = slopes * arrays.heads[:, head].astype(np.float64) * scale[:, None]
    gradient = np.repeat(weights, np.diff(block.indptr), axis=0)
    return block.values * np.einsum("vh,vh->v", arrays.weight[block.indices], gradient)


def largest(contributions: Any, block: SparseBatch, k: int) -> Array:
    """Return the k largest magnitudes of each row's contributions, largest first, zeros behind the last."""
    lengths = np.diff(block.indptr)
    table = padded(np.abs(contributions), lengths, int(lengths.max(initial=0)))
    return padded(best(table, min(k, table.shape[1])).ravel(), np.full(len(lengths), min(k, table.shape[1])), k)
