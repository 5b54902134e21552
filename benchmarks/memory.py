"""Peak memory and the first answers of a side in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from duckprop.errors import ModelError

if TYPE_CHECKING:
    from duckprop.benchmarks.side import Samples
    from duckprop.benchmarks.workload import Workload

_REMEDY = "a negative exit code is a signal: the machine may be short of memory; give fewer --rows"


@dataclass(frozen=True)
class Cold:
    """seconds: importing, opening the side and its first run, with the search for the best batch size where it has one.

    peak_mib: MiB, resident, with the rows and what duckprop itself has loaded: the floor shows how much that is.
    """

    seconds: float
    peak_mib: float


def in_own_process(
    workload: "Workload", samples: "Samples", tell: Callable[[str], None], names: Sequence[str]
) -> dict[str, Cold]:
    """Run the first question once on each named side in a fresh process. Raises ModelError where one of them fails."""
    import pyarrow.parquet as pq

    results = {}
    with tempfile.TemporaryDirectory(prefix="duckprop-bench-") as folder:
        rows = Path(folder, "rows.parquet")
        pq.write_table(workload.table(), rows)
        for name in names:
            tell(f"{name} in its own process")
            results[name] = _spawn([str(workload.model.folder), str(rows), name, json.dumps(asdict(samples))])
    return results


def _spawn(arguments: list[str]) -> Cold:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "duckprop.benchmarks.memory", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "Error" in line] or [f"exit code {done.returncode}"]
        raise ModelError(f"side '{arguments[2]}' fails in a process of its own: {told[-1]}", _REMEDY)
    return Cold(**json.loads(done.stdout.splitlines()[-1]))


def measure(model: Path, rows: Path, name: str, samples: dict[str, int]) -> Cold:
    """Run one side once, in this process."""
    start = perf_counter()  # before all that takes time to import
    import pyarrow.parquet as pq

    from duckprop.benchmarks.questions import questions
    from duckprop.benchmarks.side import Samples
    from duckprop.benchmarks.sides import SIDES
    from duckprop.benchmarks.workload import Workload
    from duckprop.features import read_features
    from duckprop.model import Model

    bundle = Model(model)
    workload = Workload(bundle, read_features(pq.read_table(rows)["features"], bundle.width), "a file")
    with SIDES[name](workload, questions(bundle)[0], Samples(**samples)) as side:
        side.run()
        return Cold(perf_counter() - start, peak_mib())


def peak_mib() -> float:
    """Return this process's largest resident memory so far, in MiB.

    From /proc where there is one: ru_maxrss of a process begins with what its parent had when it forked.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


if __name__ == "__main__":
    folder, rows, name, samples = sys.argv[1:]
    print(json.dumps(asdict(measure(Path(folder), Path(rows), name, json.loads(samples)))))
