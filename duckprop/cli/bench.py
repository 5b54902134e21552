"""duckprop bench."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from duckprop.cli.options import Registry
from duckprop.errors import UsageError


def bench(
    rows: Annotated[int | None, typer.Option("--rows", help="Rows to score; 20,480, or 4,096 with --quick.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small shape: about 20 seconds.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all numbers to this file.", metavar="FILE")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A published model, not a random one.")] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Its rows: a relation with a column 'features'.", metavar="REL")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random weights and rows.", min=0)] = 1,
    repeats: Annotated[int, typer.Option("--repeats", help="Timed runs of each side.", min=1)] = 5,
    registry: Registry = None,
) -> None:
    """Compare duckprop with naive scoring on this machine: answers first, then interleaved times and memory.

    Example: duckprop bench --quick --json bench.json
    """
    from duckprop.benchmarks.harness import Settings, run
    from duckprop.benchmarks.report import print_report, write_json
    from duckprop.benchmarks.workload import DEFAULT, QUICK, published, synthetic
    from duckprop.model import load

    if features and not model:
        raise UsageError("--features is given without --model", "name the model that these features belong to")
    if json_file and not json_file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {json_file}", "make it first, or give another --json FILE")
    sizes = QUICK if quick else DEFAULT
    sizes = replace(sizes, rows=sizes.rows if rows is None else rows)
    settings = Settings(repeats, sample=256 if quick else 512)
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="duckprop-bench-") as folder,
        console.status("preparing the rows") as status,
    ):
        if model:
            workload = published(load(model, registry), features, sizes, seed)
        else:
            workload = synthetic(Path(folder, "model"), sizes, seed)
        report = run(workload, settings, lambda text: status.update(text))
    print_report(report)
    if json_file:
        write_json(report, json_file)
