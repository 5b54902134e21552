"""How long a fresh process needs until a model can score: the first time on a machine, and every time after it."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from duckprop.errors import ModelError


@dataclass(frozen=True)
class Loading:
    """Seconds of a process. imports: of duckprop and its engine. kernels: of that, compiling or reading the kernels.

    model: reading the bundle, checking its hashes and folding the network.
    """

    imports: float
    kernels: float
    model: float

    @property
    def seconds(self) -> float:
        """Imports and model."""
        return self.imports + self.model


def loading(model: Path) -> dict[str, Loading]:
    """Load a bundle in two processes: 'cold', where no compiled kernels are kept yet, and 'warm', where they are.

    Raises ModelError where one of them fails.
    """
    with tempfile.TemporaryDirectory(prefix="duckprop-bench-") as cache:
        return {name: _spawn(model, cache) for name in ("cold", "warm")}


def _spawn(model: Path, cache: str) -> Loading:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-m", "duckprop.benchmarks.loading", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{model} cannot be loaded in a process of its own: {last}", "see whether duckprop loads it")
    return Loading(**json.loads(done.stdout.splitlines()[-1]))


def measure(model: str) -> Loading:
    """Load a bundle in this process."""
    start = perf_counter()
    import duckprop.compiled  # noqa: F401
    from duckprop import kernels
    from duckprop.model import load

    imported = perf_counter()
    load(model).scorer()
    return Loading(imported - start, kernels.compile_seconds(), perf_counter() - imported)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1]))))
