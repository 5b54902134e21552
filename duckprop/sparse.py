"""The one sparse layout that training and every engine share: compressed sparse rows, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import DataError

MAX_WIDTH = 2**31 - 1
"""Columns are int32: MXNet 1.9.1 was built without 64-bit tensor sizes."""


@dataclass(frozen=True)
class SparseBatch:
    """n customers as compressed sparse rows; columns strictly increase within a row.

    indptr: int32 or int64 (n + 1,). indices: int32 (nnz,), in [0, width). values: float32 (nnz,), finite.
    is_null: bool (n,), True where the customer has no features at all (SQL NULL); such a row is empty here.
    unknown: int64 (n,), features by name that the vocabulary does not hold and that were left out.
    positions: int (n,), where the rows stand in the batch that SQL handed over, to name in errors; None: 0 … n − 1.
    """

    indptr: NDArray[np.integer]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int
    is_null: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    positions: NDArray[np.integer] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of stored values."""
        return len(self.indices)

    def to_scipy(self) -> sparse.csr_matrix:
        """Return the same rows as a SciPy matrix (n, width), sharing memory."""
        matrix = sparse.csr_matrix((self.values, self.indices, self.indptr), shape=(len(self), self.width), copy=False)
        matrix.has_canonical_format = True
        return matrix

    def rows(self, start: int, stop: int) -> "SparseBatch":
        """Return rows start (included) to stop (excluded), sharing memory."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        return SparseBatch(
            self.indptr[start : stop + 1] - self.indptr[start],
            self.indices[first:last],
            self.values[first:last],
            self.width,
            self.is_null[start:stop],
            self.unknown[start:stop],
            np.arange(start, stop) if self.positions is None else self.positions[start:stop],
        )

    def take(self, order: NDArray[np.integer]) -> "SparseBatch":
        """Return the rows at the given positions, in that order, as a copy."""
        lengths = np.diff(self.indptr)[order]
        indptr = offsets_of(lengths)
        source = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][order] - indptr[:-1], lengths)
        parts = (self.indices[source], self.values[source])
        return SparseBatch(indptr, *parts, self.width, self.is_null[order], self.unknown[order])

    def only(self, columns: NDArray[np.integer]) -> "SparseBatch":
        """Return the same rows with the given ascending columns alone, numbered from 0; the others become unknown."""
        number = np.full(self.width, -1, np.int32)
        number[columns] = np.arange(len(columns), dtype=np.int32)
        indices = number[self.indices]
        kept = indices >= 0
        indptr = offsets_of(kept.view(np.int8))[self.indptr]
        unknown = self.unknown + np.diff(self.indptr) - np.diff(indptr)
        return SparseBatch(indptr, indices[kept], self.values[kept], len(columns), self.is_null, unknown)


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return row offsets int64 (n + 1,) for n row lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def concatenate(batches: Sequence[SparseBatch]) -> SparseBatch:
    """Join batches one under the other; the width is the largest of theirs. At least one batch."""
    lengths = np.concatenate([np.diff(batch.indptr) for batch in batches])
    return SparseBatch(
        offsets_of(lengths),
        np.concatenate([batch.indices for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
        max(batch.width for batch in batches),
        np.concatenate([batch.is_null for batch in batches]),
        np.concatenate([batch.unknown for batch in batches]),
    )


def from_scipy(matrix: sparse.csr_matrix) -> SparseBatch:
    """Return a checked SparseBatch of any SciPy sparse matrix or array (n, width), duplicates added up.

    Raises DataError for what is not sparse, and for NaN, infinite or float32-overflowing values.
    """
    if not sparse.issparse(matrix):
        raise DataError(
            f"expected a SciPy sparse matrix of customers × features, got {type(matrix).__name__}",
            "wrap a dense array as scipy.sparse.csr_matrix(array)",
        )
    csr = sparse.csr_matrix(matrix)
    return build(csr.indptr, csr.indices, csr.data, csr.shape[1])


def build(
    indptr: NDArray[np.integer],
    columns: NDArray[np.integer],
    values: NDArray[np.floating],
    width: int | None,
    *,
    rows: NDArray[np.integer] | None = None,
) -> SparseBatch:
    """Check raw rows and bring them into canonical order: the only way into a SparseBatch.

    indptr (n + 1,), starting at 0; columns: any integers; values: any floats; width None takes the largest column + 1.
    rows (n,): the position to name in errors, where it is not simply 0 … n − 1.
    Nothing is copied where the layout fits already. Raises DataError that names the row, the value and the range.
    """
    width = _width(columns) if width is None else width
    count = len(indptr) - 1
    if columns.dtype == np.int32 and values.dtype == np.float32 and _is_canonical(indptr, columns, values, width):
        arrays = columns.astype(np.int32, copy=False), values.astype(np.float32, copy=False)
        return SparseBatch(indptr, *arrays, width, np.zeros(count, bool), np.zeros(count, np.int64))
    _check_columns(indptr, columns, width, rows)
    narrow = finite_float32(indptr, values, rows)
    indptr, columns, narrow = _canonical(indptr, columns.astype(np.int32, copy=False), narrow, width)
    if not np.isfinite(narrow).all():  # duplicates may add up to infinity
        _refuse_value(indptr, narrow, rows)
    return SparseBatch(indptr, columns, narrow, width, np.zeros(count, bool), np.zeros(count, np.int64))


def _is_canonical(indptr: NDArray[np.integer], columns: Any, values: Any, width: int) -> bool:
    """Look once over the common case, in which there is nothing to refuse, to sort or to convert."""
    from duckprop import kernels

    arrays = (
        np.require(array, kind, ["C", "A"]) for array, kind in ((indptr, np.int64), (columns, None), (values, None))
    )
    return bool(kernels.is_canonical(*arrays, width))


def _width(columns: NDArray[np.integer]) -> int:
    top = int(columns.max()) + 1 if len(columns) else 0
    if top > MAX_WIDTH:
        raise DataError(f"feature column {top - 1} is above {MAX_WIDTH - 1}", "number the features from 0")
    return top


def _check_columns(
    indptr: NDArray[np.integer], columns: NDArray[np.integer], width: int, rows: NDArray[np.integer] | None
) -> None:
    if not len(columns) or (columns.min() >= 0 and columns.max() < width):
        return
    at = int(np.flatnonzero((columns < 0) | (columns >= width))[0])
    raise DataError(
        f"{row_name(indptr, at, rows)}: feature column {columns[at]} is outside 0 to {width - 1}",
        "columns are zero-based numbers of the model's feature space; FROM propensity_models() says how many it has",
    )


def finite_float32(
    indptr: NDArray[np.integer], values: NDArray[np.floating], rows: NDArray[np.integer] | None
) -> NDArray[np.float32]:
    """Return values as float32 without a copy where they are. Raises DataError for what is not finite there."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    if not np.isfinite(narrow).all():
        _refuse_value(indptr, narrow, rows, values)
    return narrow


def _refuse_value(
    indptr: NDArray[np.integer],
    narrow: NDArray[np.float32],
    rows: NDArray[np.integer] | None,
    values: NDArray[np.floating] | None = None,
) -> NoReturn:
    at = int(np.flatnonzero(~np.isfinite(narrow))[0])
    value = (narrow if values is None else values)[at]
    raise DataError(
        f"{row_name(indptr, at, rows)}: feature value {value} is not a finite 32-bit number (at most 3.4e38)",
        "leave the feature out, or give it a finite value",
    )


def row_name(indptr: NDArray[np.integer], at: int, rows: NDArray[np.integer] | None) -> str:
    """Name the row that holds element ``at``, for an error text."""
    row = int(np.searchsorted(indptr, at, side="right")) - 1
    return row_label(row, rows)


def row_label(row: int, rows: NDArray[np.integer] | None) -> str:
    """Name a row by its position in the batch that SQL handed over."""
    return f"row {row if rows is None else rows[row]} of its batch (the first is 0)"


def _canonical(
    indptr: NDArray[np.integer], columns: NDArray[np.int32], values: NDArray[np.float32], width: int
) -> tuple[NDArray[np.integer], NDArray[np.int32], NDArray[np.float32]]:
    """Sort columns within rows and add duplicates up; the common, sorted case is only looked at."""
    falls = np.flatnonzero(columns[1:] <= columns[:-1]) + 1
    if not len(falls) or np.isin(falls, indptr).all():
        return indptr, columns, values
    matrix = sparse.csr_matrix((values.copy(), columns.copy(), indptr.copy()), shape=(len(indptr) - 1, width))
    matrix.sum_duplicates()
    return matrix.indptr, matrix.indices, matrix.data
