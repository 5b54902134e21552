"""duckprop bench."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from duckprop.cli.options import Registry
from duckprop.errors import UsageError

if TYPE_CHECKING:
    from duckprop.benchmarks.harness import Report


def bench(
    rows: Annotated[int | None, typer.Option("--rows", help="Rows to score; 65,536, or 8,192 with --quick.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small shape: about a minute.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="All questions; without --model, also how the cost grows.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all numbers to this file.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the tables to this file.", metavar="FILE")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Also write PNG files to this folder.", metavar="FOLDER")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A published model, not a random one.")] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Its rows: a relation with a column 'features'.", metavar="REL")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random weights and rows.", min=0)] = 1,
    repeats: Annotated[int, typer.Option("--repeats", help="Timed runs of each side.", min=1)] = 5,
    registry: Registry = None,
) -> None:
    """Compare duckprop with naive scoring and other engines on this machine: answers first, then times and memory.

    Example: duckprop bench --quick --json bench.json
    """
    from duckprop.benchmarks import scaling, workload
    from duckprop.benchmarks.harness import Settings, run
    from duckprop.benchmarks.report import print_report
    from duckprop.benchmarks.side import Samples
    from duckprop.model import load

    if features and not model:
        raise UsageError("--features is given without --model", "name the model that these features belong to")
    _check(json_file, markdown, plots)
    sizes = workload.QUICK if quick else workload.DEFAULT
    sizes = replace(sizes, rows=sizes.rows if rows is None else rows)
    settings = Settings(repeats, Samples(naive=256) if quick else Samples(), full=full)
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="duckprop-bench-") as folder,
        console.status("preparing the rows") as status,
    ):
        if model:
            work = workload.published(load(model, registry), features, sizes, seed)
        else:
            work = workload.synthetic(Path(folder, "model"), sizes, seed)
        report = run(work, settings, status.update)
        _write(report, json_file, markdown, plots)  # what was measured so far is not lost whatever comes
        if full and not model:
            plan = scaling.QUICK if quick else scaling.PLAN
            report = replace(report, curves=scaling.curves(plan, seed, status.update))
    print_report(report)
    _write(report, json_file, markdown, plots)


def _check(json_file: Path | None, markdown: Path | None, plots: Path | None) -> None:
    """Refuse what could not be written before minutes of measuring, not after."""
    from duckprop.benchmarks.plots import require

    for option, path in (("--json", json_file), ("--markdown", markdown)):
        if path and not path.absolute().parent.is_dir():
            raise UsageError(f"there is no folder for {path}", f"make it first, or give another {option} FILE")
    if plots:
        require()


def _write(report: "Report", json_file: Path | None, markdown: Path | None, plots: Path | None) -> None:
    from duckprop.benchmarks.markdown import write_markdown
    from duckprop.benchmarks.plots import write_plots
    from duckprop.benchmarks.report import write_json

    if json_file:
        write_json(report, json_file)
    if markdown:
        write_markdown(report, markdown)
    if plots:
        write_plots(report, plots)
