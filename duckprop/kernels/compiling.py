"""How the kernels are compiled: at once, for this processor, and kept on disk."""

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numba import njit, types

ZERO, ONE = np.float32(0), np.float32(1)
SIZE = types.int64
INTS, COLUMN_NUMBERS, FLOATS = (
    types.Array(kind, 1, "C", readonly=True) for kind in (types.int64, types.int32, types.float32)
)
DOUBLES, DOUBLES2 = (types.Array(types.float64, rank, "C", readonly=True) for rank in (1, 2))
FLAGS2 = types.Array(types.boolean, 2, "C", readonly=True)
MATRIX, CUBE, FOUR = (types.Array(types.float32, rank, "C", readonly=True) for rank in (2, 3, 4))
OUT, OUT2, OUT3 = (types.Array(types.float32, rank, "C") for rank in (1, 2, 3))
INTS2 = types.Array(types.int64, 2, "C", readonly=True)
INTS_OUT, INTS_OUT2 = (types.Array(types.int64, rank, "C") for rank in (1, 2))
DOUBLES_OUT = types.Array(types.float64, 1, "C")
CSR = (INTS, COLUMN_NUMBERS, FLOATS)

# NumPy's division lets loops vectorise, and no fast-math may reorder a sum
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_SOURCES = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
seconds = 0.0
"""What this process has spent on compiling, or on reading what was compiled before."""

helper: Callable[[Any], Any] = njit(inline="always", **_OPTIONS)
"""Compiled into whatever kernel calls it."""


@cache
def _warn() -> None:
    """Say, once and not once a kernel, that nothing can be kept."""
    warnings.warn(
        "there is no folder to keep compiled kernels in, so every process compiles them anew, which takes seconds; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        stacklevel=1,
    )


def jit(signature: Any) -> Callable[[Any], Any]:
    """Compile a kernel for one signature, or take it from disk: beside its file, or in the user's cache folder."""

    def compiled(function: Any) -> Any:
        global seconds
        began = perf_counter()
        kernel: Any = njit(**_OPTIONS)(function)
        try:
            kernel.enable_caching()
            # Numba looks at the kernel's own file alone; what is compiled into it stands in the others too
            kernel._cache._cache_file._source_stamp = _SOURCES
            kernel.compile(signature)
        except Exception:  # no folder, a full disk, a damaged file: what is wrong with the kernel itself comes again
            _warn()
            kernel = njit(**_OPTIONS)(function)
            kernel.compile(signature)
        kernel.disable_compile()
        seconds += perf_counter() - began
        return kernel

    return compiled
