"""MXNet's ``.params`` files, written without MXNet, in the very bytes of ``mx.nd.save``."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.formats.mxnet_params import ARRAY_V2, DTYPES, FILE_MAGIC
from duckprop.temporary import replacing

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_CPU = 1
_CHUNK = 1 << 20


def write_params(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name, as given ('arg:w', 'aux:mean'), dense, in one file that is there whole or not at all.

    Takes float16, float32, float64, int8, uint8, int32, int64 and bool of at least one dimension and one number.
    Raises DataError for any other array, and where the file cannot be written.
    """
    for name, array in arrays.items():
        if _little(array.dtype) not in _CODES or not array.size or not 1 <= array.ndim <= 8:
            raise DataError(
                f"'{name}', an array of {array.dtype} and shape {array.shape}, has no place in a .params file",
                "give numbers that MXNet knows, at least one, in 1 to 8 dimensions",
            )
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            _write(file, arrays)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}",
            "check the folder, its permissions and the free space, then run it again",
        ) from None


def _write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    file.write(struct.pack("<QQQ", FILE_MAGIC, 0, len(arrays)))
    for array in arrays.values():
        code = _CODES[_little(array.dtype)]
        file.write(struct.pack(f"<Iii{array.ndim}qiii", ARRAY_V2, 0, array.ndim, *array.shape, _CPU, 0, code))
        for part in _parts(array):
            file.write(np.ascontiguousarray(part, DTYPES[code]).data)
    file.write(struct.pack("<Q", len(arrays)))
    for name in arrays:
        octets = name.encode()
        file.write(struct.pack("<Q", len(octets)) + octets)


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array's rows, some at a time: one of another order is never copied whole."""
    rows = max(1, _CHUNK * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")
