"""A run's result as Markdown: the tables, and under them all that a figure depends on."""

from collections.abc import Sequence
from pathlib import Path

from duckprop.benchmarks.harness import Report
from duckprop.benchmarks.report import HEADS, NOTE, about_loading, about_machine, about_work, cells, remarks
from duckprop.benchmarks.scaling import Curve


def as_markdown(report: Report) -> str:
    """Return one table a question, a paragraph on the machine, and a table a curve."""
    parts = [f"# Benchmark of {report.created}", _escaped(about_work(report)) + "."]
    parts += [_list([*about_machine(report), *about_loading(report)])]
    for answer in report.answers:
        parts.append(f"## {answer.question[0].upper()}{answer.question[1:]}")
        rows = [[f"**{kind}**", *[""] * len(HEADS)] if row is None else row
                for kind, found in cells(answer) for row in [None, *found]]  # fmt: skip
        parts.append(_table(("side", *HEADS), rows))
    parts += ["## Remarks", _list(remarks(report)), NOTE]
    if report.curves:
        parts += ["## How the cost grows", "Customers a second, medians of the runs."]
    for curve in report.curves:
        parts += [f"### {curve.dimension}", _curve(curve)]
    return "\n\n".join(parts) + "\n"


def write_markdown(report: Report, path: Path) -> None:
    """Write ``as_markdown`` to a file."""
    path.write_text(as_markdown(report), encoding="utf-8")


def _curve(curve: Curve) -> str:
    sides = list(dict.fromkeys(point.side for point in curve.points))
    sizes = list(dict.fromkeys(point.size for point in curve.points))
    rates = {(point.size, point.side): f"{point.rows_per_second:,.0f}" for point in curve.points}
    return _table((curve.dimension, *sides), [[f"{size:,}", *(rates.get((size, side), "") for side in sides)]
                                              for size in sizes])  # fmt: skip


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(text: str) -> str:
    """A user's model or relation may hold a character that Markdown takes for its own."""
    return text.replace("|", "\\|").replace("<", "&lt;")
