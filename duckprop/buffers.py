"""The memory that the compiled engine computes in: made once, aligned, and used again."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop import kernels
from duckprop.fold import aligned
from duckprop.kernels.simd import COLUMNS, ROWS


@dataclass(frozen=True)
class Hidden:
    """The last hidden layer of a batch: packed float32 (tiles, H, ROWS); scales float32 (n,), see ``sparse_rows``."""

    packed: NDArray[np.float32]
    scales: NDArray[np.float32]


def empty_hidden(rows: int, units: int) -> Hidden:
    """Return room for the last hidden layer (rows, units)."""
    return Hidden(np.empty((-(-rows // ROWS), units, ROWS), np.float32), np.empty(rows, np.float32))


class Scratch:
    """What one thread computes in; kept by the scorer, as DuckDB's threads lose what is theirs between two calls."""

    def __init__(self, hidden: Hidden) -> None:
        self.hidden = hidden
        self.tile, self.keys = (aligned(np.empty((ROWS, COLUMNS), np.float32)) for _ in range(2))
        self._buffers: dict[Any, NDArray[np.float32]] = {}

    def sums(self, rows: int, columns: int) -> NDArray[np.float32]:
        """Return room for what a layer adds up, (rows, columns)."""
        return self._buffer("sums", rows * columns).reshape(rows, columns)

    def packed(self, which: int, tiles: int, depth: int) -> NDArray[np.float32]:
        """Return room for a layer's tiles, (tiles, depth, ROWS); ``which`` tells two apart that are in use at once."""
        return self._buffer(which, tiles * depth * ROWS).reshape(tiles, depth, ROWS)

    def wide(self, rows: int, columns: int) -> NDArray[np.float32]:
        """Return room for what the wide path adds, (rows, columns)."""
        return self._buffer("wide", rows * columns).reshape(rows, columns)

    def choosing(self, columns: int, k: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return what ``top_rows`` chooses in: the keys of some rows, their groups' lowest, and k winners."""
        rows = kernels.TILES * ROWS
        lowest = self._buffer("lowest", rows * COLUMNS).reshape(rows, COLUMNS)
        return self._buffer("keys", rows * columns).reshape(rows, columns), lowest, self._buffer("winners", k)

    def _buffer(self, name: Any, size: int) -> NDArray[np.float32]:
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[name] = aligned(np.empty(size, np.float32))
        return buffer[:size]


def unpacked(packed: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return the tiles (tiles, H, ROWS) as rows (n, H)."""
    return np.ascontiguousarray(packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[:rows])


def pooled(rows: int, columns: int) -> NDArray[np.float32]:
    """Return memory from Arrow's pool, which keeps what is freed: new pages cost a fifth of the time of scoring."""
    size = rows * columns
    return np.frombuffer(pa.allocate_buffer(max(size, 1) * 4), np.float32)[:size].reshape(rows, columns)
