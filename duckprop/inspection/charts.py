"""Two plots of a card as SVG, drawn here so that a card needs no matplotlib: calibration, and how AUCs are spread."""

import math
from collections.abc import Iterator, Sequence
from html import escape

_WIDTH, _HEIGHT = 640, 380
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 14, 16, 50
_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
STYLE = """
.plot text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--note); }
.plot .axis { stroke: var(--line); stroke-width: 1; fill: none; }
.plot .ideal { stroke: var(--note); stroke-width: 1.5; stroke-dasharray: 5 4; }
.plot .found { stroke: var(--accent); stroke-width: 2; fill: none; }
.plot .dot { fill: var(--accent); }
.plot .bar { fill: var(--accent); stroke: var(--page); }
.plot .middle { text-anchor: middle; }
.plot .end { text-anchor: end; }
"""


def reliability_plot(bins: Sequence[dict[str, float]]) -> str:
    """Return observed rates against propensities, with 95 % bounds, axes by their square roots; '' without bins."""
    if not bins:
        return ""
    top = _round_up(max(max(each["propensity"], each["high"]) for each in bins))
    said = "; ".join(f"{each['propensity']:.2%} said, {each['observed']:.2%} happened" for each in bins)
    return _svg(f"Calibration: {said}", _reliability(bins, top))


def _reliability(bins: Sequence[dict[str, float]], top: float) -> Iterator[str]:
    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.sqrt(value / top)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * math.sqrt(value / top)

    for tick in (tick for tick in _TICKS if tick <= top):
        yield _line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), kind="axis")
        yield _text(_LEFT - 8, y(tick) + 4, f"{tick:.0%}", "end")
        yield _text(x(tick), _HEIGHT - _BOTTOM + 18, f"{tick:.0%}", "middle")
    yield _line(x(0), y(0), x(top), y(top), kind="ideal")
    for each in bins:
        yield _line(
            x(each["propensity"]), y(min(each["low"], top)), x(each["propensity"]), y(each["high"]), kind="found"
        )
    points = " ".join(f"{x(each['propensity']):.1f},{y(each['observed']):.1f}" for each in bins)
    yield f'<polyline class="found" points="{points}"/>'
    for each in bins:
        yield (
            f'<circle class="dot" cx="{x(each["propensity"]):.1f}" cy="{y(each["observed"]):.1f}" r="4">'
            f"<title>{each['pairs']:,} pairs: {each['propensity']:.2%} said, {each['observed']:.2%} happened</title>"
            "</circle>"
        )
    yield _text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, "propensity (what the model said)", "middle")
    yield _text(_LEFT + 8, _TOP + 12, "↑ share that did it", "")


def auc_plot(values: Sequence[float]) -> str:
    """Return a histogram of the categories' AUCs (each in [0, 1]) in steps of 0.02; '' without any."""
    if not values:
        return ""
    step = 0.02
    low = min(0.5, math.floor(min(values) / step) * step)
    places = round((1 - low) / step)
    counts = [0] * places
    for value in values:
        counts[min(int((value - low) / step + 1e-9), places - 1)] += 1
    said = f"AUC of {len(values)} categories, from {min(values):.3f} to {max(values):.3f}"
    return _svg(said, _bars(counts, low, step))


def _bars(counts: Sequence[int], low: float, step: float) -> Iterator[str]:
    wide = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    ground, most = _HEIGHT - _BOTTOM, max(counts)
    tall = (ground - _TOP - 18) / most
    yield _line(_LEFT, ground, _WIDTH - _RIGHT, ground, kind="axis")
    for place, count in enumerate(counts):
        x, height = _LEFT + place * wide, count * tall
        if count:
            start = low + place * step
            yield (
                f'<rect class="bar" x="{x:.1f}" y="{ground - height:.1f}" width="{wide:.1f}" height="{height:.1f}">'
                f"<title>{count} with an AUC from {start:.2f} to {start + step:.2f}</title></rect>"
            )
            yield _text(x + wide / 2, ground - height - 5, str(count), "middle")
    every = max(1, round(0.1 / step) if len(counts) <= 25 else round(0.2 / step))
    for place in range(0, len(counts) + 1, every):
        yield _text(_LEFT + place * wide, ground + 18, f"{low + place * step:.2f}", "middle")
    yield _text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, "AUC (0.5 is guessing, 1 is perfect)", "middle")
    yield _text(_LEFT, _TOP + 8, "↑ categories", "")


def _round_up(value: float) -> float:
    return next((tick for tick in _TICKS[1:] if tick >= value), 1.0)


def _svg(said: str, elements: Iterator[str]) -> str:
    label = escape(said)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    return f'<svg class="plot" {size} aria-label="{label}">{"".join(elements)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, *, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
