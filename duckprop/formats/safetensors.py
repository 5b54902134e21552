"""``.safetensors`` files: a JSON header, then raw tensors; read without a library.

u64 n, n bytes of JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the bytes that the offsets count
in. Source: the format's own description, and what safetensors 0.8 writes.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats.torch_archive import BFLOAT16, from_bytes

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2"}
_DTYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
_MOST = 1 << 26
_RANK = 8


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], bool]:
    """Return the tensors by name, in the file's order, and whether any is float16 or bfloat16 (read as float32).

    Raises ModelError where the file is missing, truncated, longer than it says, or not in this format.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "name a .safetensors file") from None
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_MOST, len(data) - 8):
        raise _damaged(path, f"a header of {length} bytes cannot follow in {max(len(data) - 8, 0)} bytes")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise _damaged(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no JSON object")
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + length :]
    places = [_place(path, name, entry, len(body)) for name, entry in header.items()]
    ordered = sorted((begin, end) for _, _, begin, end in places)
    ends = [0, *(end for _, end in ordered)]
    if ends[-1] != len(body) or any(begin != end for (begin, _), end in zip(ordered, ends, strict=False)):
        raise _damaged(path, "its tensors overlap or leave gaps")
    is_narrow = any(dtype in (BFLOAT16, "<f2") for dtype, _, _, _ in places)
    arrays = [from_bytes(body[begin:end], dtype).reshape(shape) for dtype, shape, begin, end in places]
    return dict(zip(header, arrays, strict=True)), is_narrow


def _place(path: Path, name: str, entry: Any, size: int) -> tuple[str, tuple[int, ...], int, int]:
    """Return a tensor's type, shape and place, all checked."""
    try:
        dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, f"tensor '{name[:80]}' has no type, shape or place that is known") from None
    if len(shape) > _RANK or any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise _damaged(path, f"tensor '{name[:80]}' has the shape {shape!r:.80}")
    width = 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize
    if not begin <= end <= size or end - begin != math.prod(shape) * width:
        raise _damaged(
            path, f"tensor '{name[:80]}' of shape {shape} does not fit into bytes {begin} to {end} of {size}"
        )
    return dtype, shape, begin, end


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is damaged: {why}", "copy the file again, or save it again")
