"""Uses one file or folder after another, in a process with little memory, and tells what came of each as a JSON line.

Started by test_damaged: stdin is a list of [how to use it, path].
"""

import faulthandler
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import sparse

import duckprop
from duckprop.archive import unpacked
from duckprop.errors import DuckpropError
from duckprop.formats.mxnet_params import read_params
from duckprop.verify import sample_of

SPARE = 1536 << 20
"""Bytes of address space that a case may take on top of what a good model has taken."""
SECONDS = 10


def use_bundle(folder: Path) -> None:
    """Do everything that believes a bundle."""
    model = duckprop.load(folder)
    assert model.vocabulary is None or len(model.vocabulary) == model.width
    assert len(model.baseline)
    assert len(sample_of(model) or ())
    assert np.isfinite(model.predict(sparse.csr_matrix((1, model.width), dtype=np.float32))).all()


def use_archive(path: Path) -> None:
    """Unpack a bundle and use it."""
    with unpacked(path) as folder:
        use_bundle(folder)


USES: dict[str, Callable[[Path], object]] = {"bundle": use_bundle, "params": read_params, "archive": use_archive}


def memory(name: str) -> int:
    """Return this process's memory in bytes: VmRSS now, VmHWM the most since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def outcome(use: str, path: str) -> dict[str, object]:
    """Use a case and return what came of it."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    Path("/proc/self/clear_refs").write_text("5")  # forget the most memory so far
    before, start = memory("VmRSS"), perf_counter()
    error: BaseException | None = None
    try:
        USES[use](Path(path))
    except Exception as raised:
        error = raised
    faulthandler.cancel_dump_traceback_later()
    return {
        "error": type(error).__name__ if error else None,
        "ours": isinstance(error, DuckpropError) and bool(error.fact) and bool(error.remedy),
        "text": str(error)[:1000],
        "seconds": perf_counter() - start,
        "grown": memory("VmHWM") - before,
    }


def limit_memory() -> None:
    """From here on, take at most SPARE bytes more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Judge all cases; the first ones are good, and memory is limited after them."""
    faulthandler.enable()
    cases = json.load(sys.stdin)
    for number, (use, path) in enumerate(cases):
        if number == len(USES):
            limit_memory()
        print(json.dumps(outcome(use, path)), flush=True)


if __name__ == "__main__":
    main()
