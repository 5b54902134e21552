"""A run's result as a table for people and as JSON for programs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from duckprop.benchmarks.harness import BATCHES, TOLERANCE, Answer, Report, Timing

_COLUMNS = ("rows", "median s", "min – max s", "rows/s", "× naive", "× mxnet", "difference", "cold s", "peak MiB")
_WIDTH = 120
_NOTE = (
    "× naive, × mxnet: rows a second by the medians, against the naive row UDF and MXNet in batches. "
    "difference: largest absolute one, compared before timing. cold: opening and first run in a process of its own."
)


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report as JSON values: every run's seconds, and what follows from their medians."""
    return {
        "created": report.created,
        "machine": {**report.machine, "load_after": report.load_after},
        "workload": report.workload,
        "settings": {**asdict(report.settings), "tolerance": TOLERANCE},
        "questions": [
            {"question": answer.question, "sides": [_side(answer, timing) for timing in answer.timings]}
            for answer in report.answers
        ],
    }


def write_json(report: Report, path: Path) -> None:
    """Write ``as_json`` to a file."""
    path.write_text(json.dumps(as_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _side(answer: Answer, timing: Timing) -> dict[str, Any]:
    return {
        "side": timing.side,
        "rows": timing.rows,
        "seconds": list(timing.seconds),
        "median_s": timing.median_s,
        "rows_per_second": timing.rows_per_second,
        "times_naive": answer.ratio(timing),
        "times_mxnet": answer.ratio(timing, BATCHES),
        "is_reference": timing.is_reference,
        "max_difference": timing.difference,
        "cold_s": timing.cold.seconds if timing.cold else None,
        "peak_mib": timing.cold.peak_mib if timing.cold else None,
    }


def print_report(report: Report, file: TextIO | None = None) -> None:
    """Print machine, workload and one table to a text file, stdout without one."""
    console = Console(file=file, highlight=False)
    console.width = max(console.width, _WIDTH)  # a pipe counts as 80 columns
    for line in [*_about_machine(report), _about_work(report)]:
        console.print(line, soft_wrap=True, markup=False)
    table = Table("side", box=SIMPLE, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for answer in report.answers:
        table.add_section()
        table.add_row(f"[bold]{answer.question}")
        for timing in answer.timings:
            table.add_row(timing.side, *_cells(answer, timing))
    console.print(table)
    console.print(_NOTE, soft_wrap=True)


def _cells(answer: Answer, timing: Timing) -> tuple[str, ...]:
    ratios = [answer.ratio(timing), answer.ratio(timing, BATCHES)]
    return (
        f"{timing.rows:,}",
        f"{timing.median_s:.3f}",
        f"{min(timing.seconds):.3f} – {max(timing.seconds):.3f}",
        f"{timing.rows_per_second:,.0f}",
        *("" if ratio is None else f"{ratio:,.1f}" for ratio in ratios),
        "reference" if timing.is_reference else "" if timing.difference is None else f"{timing.difference:.1g}",
        f"{timing.cold.seconds:.1f}" if timing.cold else "",
        f"{timing.cold.peak_mib:,.0f}" if timing.cold else "",
    )


def _about_machine(report: Report) -> list[str]:
    about = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    kernels = ", ".join(f"{name}: {kernel}" for name, kernel in about["blas"].items())
    variables = ", ".join(f"{name}={value}" for name, value in about["environment"].items() if value is not None)
    cores = f"{about['usable_cores']} of {about['cores']} cores, {about['duckdb_threads']} DuckDB threads"
    load = f"load {about['load_before']} before and {report.load_after} after"
    return [
        f"{about['processor']}, {cores}, {load}; {about['system']}",
        f"Python {about['python']}, {versions}",
        f"BLAS {kernels}; {variables or 'no thread or kernel variables set'}",
    ]


def _about_work(report: Report) -> str:
    work = report.workload
    layers = " → ".join(f"{size:,}" for size in work["layers"]) if work["layers"] else f"{work['features']:,} features"
    return (
        f"{work['rows']:,} rows ({work['source']}), {work['nonzeros_per_row']} non-zeros each; model {work['model']}: "
        f"{layers}, {work['categories']:,} categories of {work['classes']} classes; "
        f"median of {report.settings.repeats} interleaved runs after one warm-up"
    )
