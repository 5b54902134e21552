"""The report's four plots as PNG bytes: learning curve, reliability, cumulative gain, comparison with baselines.

matplotlib is loaded when a plot is drawn, through its object-oriented interface: no pyplot, no global state, no
display, safe in a server and in threads. Colours are Okabe & Ito's, which colour-blind readers tell apart.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from duckprop.errors import UsageError
from duckprop.evaluation.curves import Reliability
from duckprop.evaluation.ranking import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GREY, INK = "#767676", "#222222"
LINES = [(BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"), (SKY, "-"), (AMBER, "--")]
WIDTH = 6.4  # inches; 1,280 pixels, sharp on dense screens and in print
DPI = 200


def learning_curve(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Log loss (nats a pair) against the epoch, the best validation epoch marked.

    ``history``: one mapping an epoch with ``epoch``, ``train_log_loss`` and ``validation_log_loss``; None or NaN losses
    are left out. UsageError without matplotlib, or for an empty history.
    """
    if not history:
        raise UsageError("the training history is empty", "Draw the learning curve only for a model trained here.")
    figure, (axes,) = _figure(3.4)
    epochs = np.array([step["epoch"] for step in history])
    names = (("train_log_loss", "training", ORANGE, "o"), ("validation_log_loss", "validation", BLUE, "s"))
    for key, label, colour, marker in names:
        loss = np.array([step.get(key) for step in history], np.float64)
        axes.plot(epochs, loss, color=colour, marker=marker, markersize=4, linewidth=1.8, label=label)
        if key == "validation_log_loss" and not np.isnan(loss).all():
            best = int(np.nanargmin(loss))
            label = f"best: {loss[best]:.4f} in epoch {epochs[best]}"
            axes.plot(
                epochs[best], loss[best], "o", markersize=12, fillstyle="none", color=INK, linestyle="", label=label
            )
            axes.axvline(epochs[best], color=GREY, linewidth=0.8, linestyle=":")
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", ylabel="log loss (nats a pair)")
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def reliability_diagram(curve: Reliability, propensities: Array) -> bytes:
    """Observed rate against propensity with 95 % bounds, and beneath it how the propensities are spread.

    ``curve`` from :func:`~.curves.reliability`; ``propensities`` any shape, in [0, 1]. Both axes of rates have a
    square-root scale, which opens up the rare end and keeps "perfect" a straight line. UsageError without matplotlib.
    """
    figure, (axes, below) = _figure(5.6, rows=(3, 1))
    top = max(0.05, *(float(values.max(initial=0)) for values in (propensities, curve.high)))
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--", label="perfect: observed = predicted")
    error = np.abs(np.stack([curve.low, curve.high]) - curve.observed)
    label = f"{len(curve.pairs)} bins of equal count, 95 % bounds"
    axes.errorbar(
        curve.propensity,
        curve.observed,
        error,
        fmt="o",
        color=BLUE,
        markersize=3.5,
        capsize=2.5,
        elinewidth=1,
        label=label,
    )
    axes.set(ylabel="share that bought")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    edges = np.linspace(0, np.sqrt(top), 41) ** 2
    counts = np.histogram(propensities, edges)[0]
    below.stairs(counts, edges, fill=True, color=SKY)
    below.set(xlabel="predicted propensity (square-root scale)", ylabel="pairs")
    below.yaxis.set_major_formatter(_short)
    for one in (axes, below):
        _square_root(one.set_xscale, one.xaxis, top)
    _square_root(axes.set_yscale, axes.yaxis, top)
    axes.tick_params(labelbottom=False)
    return _png(figure)


def gain_chart(curves: Mapping[str, tuple[Array, Array]]) -> bytes:
    """Share of buyers found against share of customers contacted, one line a category, at most 6.

    ``curves``: category → the two arrays of :func:`~.curves.cumulative_gain`. UsageError without matplotlib.
    """
    figure, (axes,) = _figure(4.4)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="random order")
    for (name, (customers, buyers)), (colour, dashes) in zip(curves.items(), LINES, strict=False):
        axes.plot(customers, buyers, color=colour, linestyle=dashes, linewidth=2, label=_shortened(name))
    axes.set(xlabel="customers contacted, most likely first", ylabel="buyers found", xlim=(0, 1), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_percent)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return _png(figure)


def auc_bars(values: Mapping[str, float | None], chosen: str) -> bytes:
    """Macro AUC as bars that start at 0.5, where guessing is; ``chosen`` in colour, None left blank and said so.

    UsageError without matplotlib.
    """
    figure, (axes,) = _figure(0.9 + 0.42 * len(values))
    names = [_shortened(name) for name in values]
    heights = [0.0 if value is None else value - 0.5 for value in values.values()]
    colours = [BLUE if name == chosen else "#B0B7BD" for name in values]
    axes.barh(range(len(names)), heights, left=0.5, color=colours, height=0.62)
    for i, value in enumerate(values.values()):
        text = "no support" if value is None else f"{value:.3f}"
        axes.annotate(text, (max(0.5, value or 0), i), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axvline(0.5, color=INK, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    known = [value for value in values.values() if value is not None]
    axes.set_xlim(min([0.5, *known]) - 0.01, max([0.6, *known]) * 1.06)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="macro AUC (0.5 = guessing, 1 = perfect order)")
    return _png(figure)


def network(boxes: Sequence[Any], size: tuple[int, int]) -> bytes:
    """A network's picture as ``inspection.drawing.layout`` places it, in pixels. UsageError without matplotlib."""
    figure, (axes,) = _figure(WIDTH * size[1] / size[0])
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), position=(0, 0, 1, 1))
    axes.axis("off")
    arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    for above, box in zip([None, *boxes], boxes, strict=False):
        middle = box.x + box.width / 2
        if above is not None:
            axes.annotate("", (middle, box.y), (middle, above.y + above.height), arrowprops=arrow)
            axes.text(middle + 12, box.y - 22, box.stage.arrow, color=INK, fontsize=8)
        corners = [box.x, box.x + box.width], [box.y, box.y], [box.y + box.height, box.y + box.height]
        axes.fill_between(*corners, facecolor="#e8f1f8", edgecolor=BLUE)
        axes.text(middle, box.y + 24, box.stage.title, ha="center", color=INK, fontsize=10, fontweight="bold")
        axes.text(middle, box.y + 45, box.stage.detail, ha="center", color=INK, fontsize=8)
    if boxes and boxes[0].stage.aside:
        first, last = boxes[0], boxes[-2]
        right = max(box.x + box.width for box in boxes) + 24
        path = [(first.x + first.width, first.y + 29), (right, first.y + 29), (right, last.y + 29)]
        axes.plot(*zip(*path, strict=True), color=GREY, linewidth=1)
        axes.annotate("", (last.x + last.width, last.y + 29), path[-1], arrowprops=arrow)
        words = first.stage.aside.replace(": ", "\n")
        axes.text(right + 8, (first.y + last.y) / 2 + 29, words, color=INK, fontsize=8, va="center")
    return _png(figure)


def _figure(height: float, rows: tuple[int, ...] = (1,)) -> "tuple[Figure, list[Axes]]":
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'duckprop[report]'") from error
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    every = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0].tolist()
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E3E6E8", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9, colors=INK)
    return figure, every


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a category's emoji, which the font lacks, is shown as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _square_root(set_scale: Any, axis: Any, top: float) -> None:
    set_scale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ticks = [t for t in (0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1) if t <= top]
    axis.set_ticks(ticks)
    axis.set_major_formatter(_percent)
    axis.axes.set(**{f"{axis.axis_name}lim": (0, top * 1.03)})


def _percent(value: float, _: float = 0) -> str:
    return f"{100 * value:.3g} %"


def _short(value: float, _: float = 0) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _shortened(name: str, limit: int = 34) -> str:
    # "$" would start mathematics in matplotlib's text.
    name = name if len(name) <= limit else name[: limit - 1] + "…"
    return name.replace("$", r"\$")
