"""A run's result: as JSON for programs, as tables for people."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from duckprop.benchmarks.harness import Answer, Report, Timing
from duckprop.benchmarks.protocol import TOLERANCE
from duckprop.benchmarks.scaling import Curve
from duckprop.benchmarks.side import ENGINE, SQL
from duckprop.benchmarks.sides import BASES

HEADS = (
    "rows", "customers/s", "min – max", "× naive", "× MXNet", "× PyTorch", "× limit", "difference", "cold s",
    "peak MiB",
)  # fmt: skip
NOTE = (
    "customers/s: rows by the median run. × naive, MXNet, PyTorch, limit: that against the naive row UDF's, MXNet's in "
    "batches with fused heads, PyTorch's, and that of the sparse layer and the product with the heads alone. "
    "difference: largest absolute one to the reference, compared before timing. cold: opening and first run in a "
    "process of its own, whose peak memory stands beside it."
)
_WIDTH = 160
_KINDS = {SQL: "in SQL", ENGINE: "engine only"}


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report as JSON values: every run's seconds, and what follows from their medians."""
    return {
        "created": report.created,
        "machine": {**report.machine, "load_after": report.load_after},
        "workload": report.workload,
        "settings": {**asdict(report.settings), "tolerance": TOLERANCE},
        "loading": {name: {**asdict(each), "seconds": each.seconds} for name, each in report.loading.items()},
        "questions": [_question(answer) for answer in report.answers],
        "curves": [_curve(curve) for curve in report.curves],
    }


def write_json(report: Report, path: Path) -> None:
    """Write ``as_json`` to a file."""
    path.write_text(json.dumps(as_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _question(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "sparse_layer_share": answer.sparse_share,
        "sides": [_side(answer, timing) for timing in answer.timings],
        "left_out": answer.left_out,
    }


def _side(answer: Answer, timing: Timing) -> dict[str, Any]:
    return {
        "side": timing.side,
        "kind": timing.kind,
        "note": timing.note,
        "rows": timing.rows,
        "seconds": list(timing.seconds),
        "median_s": timing.median_s,
        "rows_per_second": timing.rows_per_second,
        **{f"times_{name}": answer.ratio(timing, side) for name, side in BASES.items()},
        "is_reference": timing.is_reference,
        "max_difference": timing.difference,
        "cold_s": timing.cold.seconds if timing.cold else None,
        "peak_mib": timing.cold.peak_mib if timing.cold else None,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    points = [{**asdict(point), "rows_per_second": point.rows_per_second} for point in curve.points]
    return {"dimension": curve.dimension, "base": asdict(curve.base), "points": points}


def print_report(report: Report, file: TextIO | None = None) -> None:
    """Print machine, workload and one table to a text file, stdout without one."""
    console = Console(file=file, highlight=False)
    console.width = max(console.width, _WIDTH)  # a pipe counts as 80 columns
    for line in [*about_machine(report), about_work(report), *about_loading(report)]:
        console.print(line, soft_wrap=True, markup=False)
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("side", no_wrap=True)
    for name in HEADS:
        table.add_column(name, justify="right", no_wrap=True)
    for answer in report.answers:
        for kind, rows in cells(answer):
            table.add_section()
            table.add_row(f"[bold]{answer.question}, {kind}")
            for row in rows:
                table.add_row(*row)
    console.print(table)
    for line in [*remarks(report), NOTE]:
        console.print(line, soft_wrap=True, markup=False)


def cells(answer: Answer) -> list[tuple[str, list[list[str]]]]:
    """Return the kinds of sides, each with its rows of the table: the side's name, then a text for each of HEADS."""
    kinds = {_KINDS[kind]: [timing for timing in answer.timings if timing.kind == kind] for kind in (SQL, ENGINE)}
    return [(kind, [_row(answer, timing) for timing in timings]) for kind, timings in kinds.items() if timings]


def _row(answer: Answer, timing: Timing) -> list[str]:
    rates = sorted(timing.rows / seconds for seconds in timing.seconds)
    return [
        timing.side,
        f"{timing.rows:,}",
        f"{timing.rows_per_second:,.0f}",
        f"{rates[0]:,.0f} – {rates[-1]:,.0f}",
        *(_times(answer.ratio(timing, side)) for side in BASES.values()),
        "reference" if timing.is_reference else "" if timing.difference is None else f"{timing.difference:.1g}",
        f"{timing.cold.seconds:.1f}" if timing.cold else "",
        f"{timing.cold.peak_mib:,.0f}" if timing.cold else "",
    ]


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return (
        f"{ratio:,.0f}"
        if ratio >= 100
        else f"{ratio:,.1f}"
        if ratio >= 10
        else f"{ratio:.2f}"
        if ratio >= 0.1
        else f"{ratio:.2g}"
    )


def about_machine(report: Report) -> list[str]:
    """Return processor, threads, load, versions and BLAS kernels in three lines."""
    about = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if number)
    kernels = ", ".join(f"{name}: {kernel}" for name, kernel in about["blas"].items())
    variables = ", ".join(f"{name}={value}" for name, value in about["environment"].items() if value is not None)
    cores = f"{about['usable_cores']} of {about['cores']} cores, {about['threads']} threads"
    load = f"load {about['load_before']} before and {report.load_after} after"
    return [
        f"{about['processor']}, {cores}, {load}; {about['system']}",
        f"Python {about['python']}, {versions}",
        f"BLAS {kernels}; {variables or 'no thread or kernel variables set'}",
    ]


def about_work(report: Report) -> str:
    """Return model, rows and runs in one line."""
    work = report.workload
    layers = " → ".join(f"{size:,}" for size in work["layers"]) if work["layers"] else f"{work['features']:,} features"
    least, most = work["nonzeros_range"]
    spread = "each" if least == most else f"on average ({least:,} to {most:,})"
    return (
        f"{work['rows']:,} rows ({work['source']}), {work['nonzeros_per_row']} non-zeros {spread}; model "
        f"{work['model']}: {layers}, {work['categories']:,} categories of {work['classes']} classes; "
        f"median of {report.settings.repeats} interleaved runs after one warm-up"
    )


def about_loading(report: Report) -> list[str]:
    """Return one line on how long a fresh process takes to load the model, none where it was not measured."""
    if not report.loading:
        return []
    texts = [
        f"{name} {each.seconds:.1f} s (imports {each.imports:.1f}, of which kernels {each.kernels:.1f}; "
        f"model {each.model:.1f})"
        for name, each in report.loading.items()
    ]
    return [f"until the model can score in a fresh process: {', '.join(texts)}; cold: no compiled kernels kept yet"]


def remarks(report: Report) -> list[str]:
    """Return what has to be known of the sides, the missing ones, and the share of the sparse layer."""
    asked: dict[str, dict[str, list[str]]] = {}
    for answer in report.answers:
        notes = [(timing.side, timing.note) for timing in answer.timings if timing.note]
        missing = [(side, f"left out: {reason}") for side, reason in answer.left_out.items()]
        for side, note in [*notes, *missing]:
            asked.setdefault(side, {}).setdefault(note, []).append(answer.question)
    lines = [f"{side}: {_joined(notes)}" for side, notes in asked.items()]
    shares = [(answer.question, answer.sparse_share) for answer in report.answers]
    parts = [f"{question} {share:.0%}" for question, share in shares if share is not None]
    return [*lines, *([f"share of the sparse layer in our engine's time: {', '.join(parts)}"] if parts else [])]


def _joined(notes: dict[str, list[str]]) -> str:
    """Name the questions only where a side has more than one note."""
    if len(notes) == 1:
        return next(iter(notes))
    return "; ".join(f"{note} ({', '.join(questions)})" for note, questions in notes.items())
