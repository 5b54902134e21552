"""The plots: how the cost grows, and the headline as bars. matplotlib is loaded when a plot is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duckprop.benchmarks.harness import Answer, Report
from duckprop.benchmarks.scaling import IN_SQL, Curve
from duckprop.benchmarks.side import SQL
from duckprop.benchmarks.sides import COMPILED, FUSED, NAIVE, SPARSE
from duckprop.errors import UsageError

# Okabe & Ito's colours, which colour-blind readers tell apart
_BLUE, _ORANGE, _GREEN, _GREY, _LIGHT, _INK = "#0072B2", "#D55E00", "#009E73", "#767676", "#B0B7BD", "#222222"
_LINES = {COMPILED: (_BLUE, "o", "duckprop, engine only"), IN_SQL: (_GREEN, "s", "duckprop, in SQL"),
          FUSED: (_ORANGE, "^", "MXNet, fused heads")}  # fmt: skip
_AXES = {"customers": "customers in a run", "features": "feature columns", "nonzeros": "non-zeros a customer",
         "hidden": "hidden units", "categories": "categories", "k": "k of the top k", "threads": "threads"}  # fmt: skip
_DPI = 160
_LEAST = 10
"""A panel spans at least a decade: noise would look like a slope."""


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Write ``headline.png``, and ``scaling.png`` where curves were measured, to a folder, made where it is missing.

    Raises UsageError without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [_save(_headline(report), folder / "headline.png")]
    if report.curves:
        written.append(_save(_scaling(report.curves), folder / "scaling.png"))
    return written


def require() -> None:
    """Raise UsageError where matplotlib is missing: before minutes of measuring, not after."""
    _figure(1, 1)


def _headline(report: Report) -> Any:
    """One panel a question, a bar a side, log axis: rates from the naive one's to the limit's."""
    heights = [len(_bars(answer)) for answer in report.answers]
    columns = 2 if len(heights) > 1 else 1
    lines = [max(heights[at : at + columns]) for at in range(0, len(heights), columns)]
    figure = _figure(6.2 * columns, sum(0.27 * count + 0.75 for count in lines))
    grid = figure.subplots(len(lines), columns, squeeze=False, height_ratios=lines)
    every = [rate for answer in report.answers for _, rate, _ in _bars(answer)]
    for number, (axes, answer) in enumerate(zip(grid.flat, report.answers, strict=False)):
        bars = _bars(answer)
        rates = [rate for _, rate, _ in bars]
        axes.barh(range(len(bars)), rates, color=[colour for *_, colour in bars], height=0.7)
        axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=8)
        axes.set_ylim(lines[number // columns] - 0.4, -0.6)
        axes.set_xscale("log")
        axes.set_xlim(min(every) / 1.5, max(every) * 4)
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        for place, rate in enumerate(rates):
            axes.annotate(_short(rate), (rate, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_title(answer.question, fontsize=10, loc="left")
        _tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    for axes in list(grid.flat)[len(report.answers) :]:
        axes.set_visible(False)
    figure.supxlabel("customers a second (logarithmic)", fontsize=9)
    return figure


def _bars(answer: Answer) -> list[tuple[str, float, str]]:
    """Return (label, rate, colour), slowest first; floors are no peers, and the sparse layer is a part."""
    kept = [timing for timing in answer.timings if not timing.side.startswith("floor") and timing.side != SPARSE]
    found = []
    for timing in sorted(kept, key=lambda timing: timing.rows_per_second):
        label = _LINES[timing.side][2] if timing.side in _LINES else timing.side
        if timing.kind == SQL and timing.side not in _LINES:
            label += ", in SQL"
        colour = {COMPILED: _BLUE, IN_SQL: _GREEN, FUSED: _ORANGE, NAIVE: _GREY}.get(timing.side, _LIGHT)
        found.append((label, timing.rows_per_second, colour))
    return found


def _scaling(curves: Sequence[Curve]) -> Any:
    """One panel a dimension, both axes logarithmic."""
    columns = 4 if len(curves) > 3 else len(curves)
    rows = -(-len(curves) // columns)
    figure = _figure(3.2 * columns, 2.7 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    panels = list(grid.flat)
    for axes, curve in zip(panels, curves, strict=False):
        _panel(axes, curve)
    for row in grid:
        row[0].set_ylabel("customers a second", fontsize=9)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    shown = {line.get_label(): line for axes in panels[: len(curves)] for line in axes.get_lines()}
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown), frameon=False, fontsize=9)
    base = curves[0].base
    figure.supxlabel(
        f"the others as they are here: {base.rows:,} customers, {base.width:,} features, {base.nonzeros} non-zeros, "
        f"{base.hidden[0]} hidden units, {base.categories:,} categories", fontsize=8, color=_GREY,
    )  # fmt: skip
    return figure


def _panel(axes: Any, curve: Curve) -> None:
    from matplotlib.ticker import LogLocator

    for side, (colour, marker, label) in _LINES.items():
        points = [point for point in curve.points if point.side == side]
        if points:
            sizes, rates = [point.size for point in points], [point.rows_per_second for point in points]
            axes.plot(sizes, rates, color=colour, marker=marker, markersize=4, linewidth=1.6, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < _LEAST:
        middle = (low * high) ** 0.5
        low, high = middle / _LEAST**0.5, middle * _LEAST**0.5
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    sizes = sorted({point.size for point in curve.points})
    axes.set_xticks(sizes, [_short(size) for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))
    axes.set_xlabel(_AXES[curve.dimension], fontsize=9)
    _tidy(axes)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'duckprop[report]'") from error
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E6E8", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=_INK)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Software": None})
    return path


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
