"""MXNet's ``.params`` files, read without MXNet.

Little-endian: u64 0x112, u64 0, u64 n, n arrays, u64 m, m × (u64 length, name). Source: MXNet 1.9.1's
``src/ndarray/ndarray.cc``. Every count is held against the file's size before memory is taken.
"""

import math
import os
import struct
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.plain_files import open_plain

FILE_MAGIC = 0x112
ARRAY_V2 = 0xF993FAC9
DTYPES = {code: np.dtype(name) for code, name in enumerate(["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?"])}
_ARRAY_V1, _ARRAY_V3 = 0xF993FAC8, 0xF993FACA
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2
_FOREIGN = {8: "int16", 9: "uint16", 10: "uint32", 11: "uint64", 12: "bfloat16"}
_INDEX_TYPES = (4, 6)
_MOST = 2**48
"""Elements of an array, sizes of 0 not counted: above it, NumPy fails on shapes that take no memory at all."""
_EXPANSION, _SPARE = 64, 256 << 20
"""All row_sparse arrays of a file that lack rows take, made dense, at most 64 times its size, or these bytes."""


def read_params(path: Path) -> dict[str, Any]:
    """Return the arrays of a checkpoint by name without the ``arg:`` or ``aux:`` before it.

    A dense or row_sparse array is a NumPy array, a csr one a SciPy csr_matrix with sorted indices (float32 for
    float16, which SciPy lacks). NaN and infinity come through: see ``check_finite``.
    Raises ModelError where the file is missing, truncated, longer than it says, not in this format, without names, or
    with a name given twice.
    """
    try:
        with open_plain(path, follow=True) as file:
            return _named(_Reader(path, file))
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise ModelError(f"{path} cannot be read: {getattr(error, 'strerror', error)}", _AGAIN) from None
    except MemoryError:
        raise ModelError(f"{path} does not fit into memory", "use a machine with more of it") from None


def _named(reader: "_Reader") -> dict[str, Any]:
    if reader.unpack("QQ") != (FILE_MAGIC, 0):
        raise reader.damaged("it does not begin as MXNet's parameter files do")
    arrays = [reader.array() for _ in range(reader.count(12))]
    names = [reader.text() for _ in range(reader.count(8))]
    if arrays and not names and not reader.left:
        raise ModelError(
            f"{reader.path} holds {len(arrays)} arrays without names: it was saved from a list",
            "save it from a dictionary: mx.nd.save(path, {name: array})",
        )
    if len(names) != len(arrays) or reader.left:
        raise reader.damaged(f"{len(arrays)} arrays, {len(names)} names, {reader.left} bytes too many")
    found: dict[str, Any] = {}
    for name, array in zip(names, arrays, strict=True):
        plain = name.removeprefix("arg:") if name.startswith("arg:") else name.removeprefix("aux:")
        if not plain or plain in found:
            raise reader.damaged(f"two arrays are named '{plain}'" if plain else "an array has no name")
        found[plain] = array
    return found


class _Reader:
    def __init__(self, path: Path, file: BufferedReader) -> None:
        self.path, self.file = path, file
        self.left = self.size = os.fstat(file.fileno()).st_size
        self.spare = max(_EXPANSION * self.size, _SPARE)

    def damaged(self, why: str) -> ModelError:
        return ModelError(f"{self.path} is damaged at byte {self.size - self.left}: {why}", _AGAIN)

    def take(self, size: int) -> bytes:
        data = self.file.read(size) if size <= self.left else b""
        if len(data) != size:
            raise self.damaged("it ends too early")
        self.left -= size
        return data

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def count(self, least: int) -> int:
        """Read a count of things that take at least ``least`` bytes each."""
        (number,) = self.unpack("Q")
        if number * least > self.left:
            raise self.damaged(f"{number} entries cannot follow in {self.left} bytes")
        return number

    def text(self) -> str:
        try:
            return self.take(self.count(1)).decode()
        except UnicodeDecodeError:
            raise self.damaged("a name is not UTF-8") from None

    def shape(self) -> tuple[int, ...]:
        (rank,) = self.unpack("i")
        return self.sizes(rank, "q")

    def sizes(self, rank: int, layout: str) -> tuple[int, ...]:
        if not 0 <= rank <= 8:
            raise self.damaged(f"an array of {rank} dimensions")
        shape = self.unpack(f"{rank}{layout}")
        if min(shape, default=0) < 0 or math.prod(size or 1 for size in shape) > _MOST:
            raise self.damaged(f"an array of shape {shape}")
        return shape

    def block(self, shape: tuple[int, ...], code: int) -> NDArray[Any]:
        """Read the numbers of an array, in memory of its own."""
        if code not in DTYPES:
            raise self.damaged(f"an array of {_FOREIGN.get(code) or f'unknown type {code}'}, which is not supported")
        size = math.prod(shape) * DTYPES[code].itemsize
        if size > self.left:
            raise self.damaged(f"an array of shape {shape} cannot follow in {self.left} bytes")
        array = np.empty(math.prod(shape), DTYPES[code])
        octets = array.view(np.uint8)
        if self.file.readinto(octets.data) != size:
            raise self.damaged("it ends too early")
        self.left -= size
        if code == 7 and (octets > 1).any():
            raise self.damaged("a truth value is neither 0 nor 1")
        return array.reshape(shape)

    def array(self) -> Any:
        """Read an array of any version: V1 has no storage type; before it, the number of sizes came first."""
        (magic,) = self.unpack("I")
        if magic in (ARRAY_V2, _ARRAY_V3):
            (storage,) = self.unpack("i")
            if storage in (_ROW_SPARSE, _CSR):
                return self.sparse_array(storage)
            if storage != _DENSE:
                raise self.damaged(f"an array of storage {storage}")
            shape = self.shape()
        elif magic == _ARRAY_V1:
            shape = self.shape()
        elif magic <= 8:
            shape = self.sizes(magic, "I")
        else:
            raise self.damaged(f"an array of version {magic:#x}")
        if not shape and magic != _ARRAY_V3:
            raise self.damaged("an array that was never filled")
        _device, _device_id, code = self.unpack("iii")
        return self.block(shape, code)

    def sparse_array(self, storage: int) -> Any:
        stored, shape = self.shape(), self.shape()
        _device, _device_id, code = self.unpack("iii")
        beside = [(self.unpack("i")[0], self.shape()) for _ in range(storage)]  # row numbers, or indptr and indices
        if any(kind not in _INDEX_TYPES or len(sizes) != 1 for kind, sizes in beside):
            raise self.damaged(f"row or column numbers of (type, shape) {beside}")
        data = self.block(stored, code)
        indices = [self.block(sizes, kind) for kind, sizes in beside]
        return self._csr(data, indices, shape) if storage == _CSR else self._scatter(data, indices[0], shape)

    def _scatter(self, data: NDArray[Any], rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        count = shape[0] if shape else 0
        fits = data.shape == (len(rows), *shape[1:]) and len(rows) <= count
        if not fits or (len(rows) and (rows[0] < 0 or rows[-1] >= count or (rows[1:] <= rows[:-1]).any())):
            raise self.damaged(f"row-sparse rows that do not fit into shape {shape}")
        if len(rows) == count:
            return data
        self.spare -= math.prod(shape) * data.itemsize
        if self.spare < 0:
            raise self.damaged(f"shape {shape} is out of all proportion to the file")
        dense = np.zeros(shape, data.dtype)
        dense[rows] = data
        return dense

    def _csr(self, data: NDArray[Any], indices: list[NDArray[Any]], shape: tuple[int, ...]) -> sparse.csr_matrix:
        starts, columns = indices
        fits = len(shape) == 2 and data.shape == columns.shape and len(starts) == shape[0] + 1
        if not fits or starts[0] != 0 or starts[-1] != len(columns) or (starts[1:] < starts[:-1]).any():
            raise self.damaged(f"csr rows that do not fit into shape {shape}")
        if len(columns) and not 0 <= columns.min() <= columns.max() < shape[1]:
            raise self.damaged(f"a csr column outside shape {shape}")
        numbers = data.astype(np.float32) if data.dtype == np.float16 else data
        matrix = sparse.csr_matrix((numbers, columns, starts), shape=shape)
        matrix.sort_indices()
        if not matrix.has_canonical_format:
            raise self.damaged("a csr row names a column twice")
        return matrix


_AGAIN = "copy or train the model again"
