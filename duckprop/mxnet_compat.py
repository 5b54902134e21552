"""MXNet 1.9.1, imported once and late: it is retired, slow to import, and needs two guards."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from duckprop.errors import DataError, UsageError


@cache
def load() -> Any:
    """Return the ``mxnet`` module. Raises UsageError that says how to install it where it is missing."""
    if "bool" not in np.__dict__:
        np.bool = np.bool_  # type: ignore[attr-defined]  # gone since NumPy 1.24; MXNet uses it while it is imported
    for name in ("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "MXNET_SUBGRAPH_VERBOSE"):
        os.environ.setdefault(name, "0")  # stderr is for what a user can act on
    try:
        import mxnet
    except (ImportError, OSError, AttributeError) as error:
        raise UsageError(
            f"MXNet cannot be imported: {error}",
            "pip install 'mxnet==1.9.1' 'numpy<2' setuptools; scoring works without it (engine 'compiled')",
        ) from None
    return mxnet


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="duckprop-mxnet")


def run(function: Any, *args: Any) -> Any:
    """Call ``function`` on the one thread that ever talks to MXNet while scoring, and wait for it.

    MXNet keeps 4.9 MB for each thread that calls it, and DuckDB makes new threads for every connection.
    """
    if threading.current_thread().name.startswith("duckprop-mxnet"):
        return function(*args)
    future: Future[Any] = _thread().submit(function, *args)
    return future.result()


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write NDArrays by name. Waits first: MXNet saves a row_sparse array still being computed as one of no rows."""
    mx = load()
    mx.nd.waitall()
    try:
        mx.nd.save(str(path), arrays)
    except mx.MXNetError as error:
        fact = f"{path} cannot be written: {str(error).strip().splitlines()[-1]}"
        raise DataError(fact, "check the folder, its permissions and the free space, then run it again") from None
