"""MXNet's ``.params`` files, read without MXNet.

Little-endian: u64 0x112, u64 0, u64 n, n arrays, u64 m, m × (u64 length, name). Source: MXNet 1.9.1's
``src/ndarray/ndarray.cc``. Every count is held against the file's size before memory is taken.
"""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError

_FILE_MAGIC = 0x112
_ARRAY_V2, _ARRAY_V3 = 0xF993FAC9, 0xF993FACA
_DENSE, _ROW_SPARSE = 0, 1
_INT64 = 6
_MOST = 2**48
"""Elements of an array, sizes of 0 not counted: above it, NumPy fails on shapes that take no memory at all."""
_DTYPES = {code: np.dtype(name) for code, name in enumerate(["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"])}


def read_params(path: Path) -> dict[str, NDArray]:
    """Return the arrays of a checkpoint by name without the ``arg:`` or ``aux:`` before it, row_sparse ones dense.

    Raises ModelError where the file is missing, truncated, longer than it says, or not in this format.
    """
    try:
        reader = _Reader(path, path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "copy or train the model again") from None
    if reader.unpack("QQ") != (_FILE_MAGIC, 0):
        raise reader.damaged("it does not begin as MXNet's parameter files do")
    arrays = [reader.array() for _ in range(reader.count(16))]
    names = [reader.text() for _ in range(reader.count(8))]
    if len(names) != len(arrays) or reader.left:
        raise reader.damaged(f"{len(arrays)} arrays, {len(names)} names, {reader.left} bytes too many")
    return {name.partition(":")[2] or name: array for name, array in zip(names, arrays, strict=True)}


class _Reader:
    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.at = path, data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def damaged(self, why: str) -> ModelError:
        return ModelError(f"{self.path} is damaged at byte {self.at}: {why}", "copy or train the model again")

    def unpack(self, layout: str) -> tuple[int, ...]:
        size = struct.calcsize("<" + layout)
        if size > self.left:
            raise self.damaged("it ends too early")
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values

    def count(self, least: int) -> int:
        """Read a count of things that take at least ``least`` bytes each."""
        (number,) = self.unpack("Q")
        if number * least > self.left:
            raise self.damaged(f"{number} entries cannot follow in {self.left} bytes")
        return number

    def text(self) -> str:
        length = self.count(1)
        self.at += length
        try:
            return self.data[self.at - length : self.at].decode()
        except UnicodeDecodeError:
            raise self.damaged("a name is not UTF-8") from None

    def shape(self) -> tuple[int, ...]:
        (rank,) = self.unpack("i")
        if not 0 <= rank <= 8:
            raise self.damaged(f"an array of {rank} dimensions")
        shape = self.unpack(f"{rank}q")
        if min(shape, default=0) < 0 or math.prod(size or 1 for size in shape) > _MOST:
            raise self.damaged(f"an array of shape {shape}")
        return shape

    def block(self, shape: tuple[int, ...], code: int) -> NDArray:
        if code not in _DTYPES:
            raise self.damaged(f"an array of unknown type {code}")
        size = math.prod(shape) * _DTYPES[code].itemsize
        if size > self.left:
            raise self.damaged(f"an array of shape {shape} cannot follow in {self.left} bytes")
        self.at += size
        return np.frombuffer(self.data, _DTYPES[code], math.prod(shape), self.at - size).reshape(shape)

    def array(self) -> NDArray:
        magic, storage = self.unpack("Ii")
        if magic not in (_ARRAY_V2, _ARRAY_V3) or storage not in (_DENSE, _ROW_SPARSE):
            raise self.damaged(f"an array of version {magic:#x} and storage {storage}")
        stored = self.shape() if storage == _ROW_SPARSE else None
        shape = self.shape()
        _device, _device_id, code = self.unpack("iii")
        if stored is None:
            return self.block(shape, code)
        (rows_code,) = self.unpack("i")
        rows_shape = self.shape()
        if rows_code != _INT64 or len(rows_shape) != 1:
            raise self.damaged(f"row numbers of type {rows_code} and shape {rows_shape}")
        data = self.block(stored, code)
        return self._scatter(data, self.block(rows_shape, rows_code), shape)

    def _scatter(self, data: NDArray, rows: NDArray, shape: tuple[int, ...]) -> NDArray:
        count = shape[0] if shape else 0
        fits = data.shape == (len(rows), *shape[1:]) and len(rows) <= count
        if not fits or (len(rows) and (rows[0] < 0 or rows[-1] >= count or (rows[1:] <= rows[:-1]).any())):
            raise self.damaged(f"row-sparse rows that do not fit into shape {shape}")
        if len(rows) == count:
            return data
        if math.prod(shape) * data.itemsize > 64 * max(len(self.data), 1 << 20):
            raise self.damaged(f"shape {shape} is out of all proportion to the file")
        dense = np.zeros(shape, data.dtype)
        dense[rows] = data
        return dense
