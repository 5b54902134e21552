"""What the numbers were measured on: processor, threads, versions, and the BLAS kernel really in use."""

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import duckprop
from duckprop.cores import cores

LIBRARIES = ("duckdb", "mxnet", "numba", "numpy", "pyarrow", "scipy", "torch", "onnx", "onnxruntime", "threadpoolctl")
_VARIABLES = ("DUCKPROP_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# OpenBLAS puts a prefix or suffix to its functions, by who built it and by the size of its integers.
_CORE_NAMES = tuple(f"{before}openblas_get_corename{after}" for before in ("", "scipy_") for after in ("64_", "", "_"))


def machine() -> dict[str, Any]:
    """Return everything about this machine and process that a figure depends on, as JSON values."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": load_average(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": cores(),
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
        "blas": blas(),
        "versions": {"duckprop": duckprop.__version__} | {name: _installed(name) for name in LIBRARIES},
    }


def processor() -> str:
    """Return the processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_average() -> float | None:
    """Return how many processes ran or waited in the last minute: above the cores, a figure is noisy."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def blas() -> dict[str, str]:
    """Return the kernel that NumPy's and SciPy's BLAS chose; where it cannot be asked, what they were built with."""
    return {module.__name__: _kernel(module) or _built_with(module) for module in (np, scipy)}


def _kernel(module: Any) -> str | None:
    """Ask the OpenBLAS that lies beside the package, which is loaded already."""
    folder = Path(module.__file__).parent
    for path in [*folder.parent.glob(f"{module.__name__}.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        library = ctypes.CDLL(str(path))
        for name in _CORE_NAMES:
            if hasattr(library, name):
                function = getattr(library, name)
                function.restype = ctypes.c_char_p
                return f"OpenBLAS {function().decode()}"
    return None


def _built_with(module: Any) -> str:
    details = module.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return f"{details.get('name', 'unknown')} {details.get('version', '')} (as built)".replace("  ", " ")


def _installed(name: str) -> str | None:
    """The peers are an extra, and MXNet is not installed everywhere."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
