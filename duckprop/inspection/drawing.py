"""The picture of a network: boxes with sizes, as text and as SVG."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

LINKS = {
    "heads": "each a softmax over {classes} classes",
    "softmax": "one softmax over all: they exclude each other",
    "normalized": "each a sigmoid, divided by their sum",
}
NORMS = {"l2": "each row scaled to length 1", "l1": "each row scaled to a sum of 1"}
STYLE = """
.net { --net-ink: #222; --net-note: #555; --net-line: #767676; --net-box: #e8f1f8; --net-edge: #0072b2; }
@media (prefers-color-scheme: dark) {
  .net { --net-ink: #e8e8e8; --net-note: #b4b4b4; --net-line: #9a9a9a; --net-box: #17324a; --net-edge: #56b4e9; }
}
@media print {
  .net { --net-ink: #222; --net-note: #555; --net-line: #767676; --net-box: #e8f1f8; --net-edge: #0072b2; }
}
.net text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; text-anchor: middle; }
.net .title { fill: var(--net-ink); font-size: 16px; font-weight: 600; }
.net .note { fill: var(--net-note); font-size: 13px; }
.net .left { text-anchor: start; }
.net rect { fill: var(--net-box); stroke: var(--net-edge); stroke-width: 1.5; }
.net path { fill: none; stroke: var(--net-line); stroke-width: 1.5; }
.net .head { fill: var(--net-line); stroke: none; }
"""
_WIDTH, _BOX, _GAP, _NARROW = 680, 58, 52, 250
_COLUMNS, _LEAST = 62, 24


class Stage(NamedTuple):
    """A box. size: units, which its width follows. arrow: what leads into it. aside: what leads past to the last."""

    title: str
    detail: str
    size: int
    arrow: str = ""
    aside: str = ""


def stages(network: dict[str, Any], positive: str) -> list[Stage]:
    """Return the boxes of a network as ``describe.facts`` tells it, from the features to the propensities."""
    about = [f"about {network['per_row']:,.0f} of them a row" if network["per_row"] else "sparse rows"]
    about += [NORMS[network["row_norm"]]] if network["row_norm"] else []
    wide = f"wide path: {network['wide_weights']:,} weights" if network["wide_weights"] else ""
    found = [Stage(f"{network['inputs']:,} features", ", ".join(about), network["inputs"], aside=wide)]
    for layer in network["layers"]:
        runs = layer["activations"]
        names = [run["name"] if len(runs) == 1 else f"{run['units']:,} {run['name']}" for run in runs]
        title = f"{layer['units']:,} hidden units"
        found.append(Stage(title, ", ".join(names), layer["units"], _parameters(layer["parameters"])))
    heads = network["heads"]
    link = LINKS[network["link"]].format(classes=heads["classes"])
    size = heads["categories"] * heads["classes"]
    found.append(Stage(_count(heads["categories"]), link, size, _parameters(heads["parameters"])))
    said = "propensity of each category"
    return [*found, Stage(said, f"probability of '{positive}'", heads["categories"])]


def _count(categories: int) -> str:
    return "1 category" if categories == 1 else f"{categories:,} categories"


def _parameters(count: int) -> str:
    return f"{count:,} parameters"


def as_text(boxes: Sequence[Stage], width: int = 80) -> str:
    """Return the picture as lines of at most ``width`` columns, for a terminal; '' without boxes."""
    boxes = [box._replace(detail=_cut(box.detail, width - 14)) for box in boxes]
    inner = [max(len(box.title), len(box.detail), _scaled(box, boxes, _LEAST, _COLUMNS - 6)) + 2 for box in boxes]
    room = max(inner, default=0) + 2
    return "\n".join(line.rstrip() for line in _lines(boxes, inner, room))


def _lines(boxes: Sequence[Stage], inner: Sequence[int], room: int) -> Iterator[str]:
    aside = boxes[0].aside if boxes else ""
    last = len(boxes) - 2  # the box of the categories, where the wide path ends
    for number, (box, size) in enumerate(zip(boxes, inner, strict=True)):
        if number:
            line = "│" if aside and number <= last else ""
            yield _beside(f"│ {box.arrow}", "", room, line)
            yield _beside("▼", aside if number == 1 else "", room, line)
        lines = [f"┌{'─' * size}┐", f"│{box.title:^{size}}│", f"│{box.detail:^{size}}│", f"└{'─' * size}┘"]
        for row, line in enumerate(lines):
            yield _joined(line.center(room), row, number, last) if aside else line.center(room)


def _beside(text: str, aside: str, room: int, line: str) -> str:
    """Return what stands between two boxes: an arrow and its text, at the right what leads past."""
    left = " " * (room // 2) + text
    return left + aside.rjust(room + 1 - len(left)) + " " + line


def _joined(line: str, row: int, number: int, last: int) -> str:
    """Add to a box's line what leads past it: from the second line of the first box to that of the last."""
    if number in (0, last) and row == 1:
        line = line if number == 0 else f"{line.rstrip()}◄".ljust(len(line))
        return line.rstrip().ljust(len(line), "─") + ("──┐" if number == 0 else "──┘")
    is_past = number < last if number else row > 1
    return line + ("  │" if is_past or (number == last and row == 0) else "")


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _scaled(box: Stage, boxes: Sequence[Stage], least: float, most: float) -> int:
    """Return a box's width between two bounds, by the logarithm of its size."""
    logs = [math.log(each.size + 1) for each in boxes]
    low, high = min(logs), max(logs)
    share = 1.0 if high == low else (math.log(box.size + 1) - low) / (high - low)
    return round(least + share * (most - least))


class Box(NamedTuple):
    """Where a stage is drawn, in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float
    stage: Stage


def layout(boxes: Sequence[Stage]) -> tuple[list[Box], tuple[int, int]]:
    """Return where to draw the boxes, and the size (width, height) of the picture."""
    most = _WIDTH - 20 - (170 if boxes and boxes[0].aside else 0)
    placed = []
    for number, stage in enumerate(boxes):
        letters = max(len(stage.title) * 10, len(stage.detail) * 7.2) + 24
        width = min(most, max(letters, _scaled(stage, boxes, _NARROW, most)))
        placed.append(Box(10 + (most - width) / 2, 10 + number * (_BOX + _GAP), width, _BOX, stage))
    return placed, (_WIDTH, 20 + len(boxes) * (_BOX + _GAP) - _GAP)


def as_svg(boxes: Sequence[Stage], *, alone: bool = False) -> str:
    """Return the picture as an SVG element that follows light and dark; alone: as a file of its own."""
    placed, (width, height) = layout(boxes)
    said = "; ".join(f"{box.title} ({box.detail})" for box in boxes)
    head = f'<svg class="net" viewBox="0 0 {width} {height}" role="img" aria-label="{escape("Network: " + said)}"'
    if alone:
        head += f' xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f"{head}>{f'<style>{STYLE}</style>' if alone else ''}{''.join(_elements(placed))}</svg>\n"


def _elements(placed: Sequence[Box]) -> Iterator[str]:
    for above, box in zip([None, *placed], placed, strict=False):
        middle = box.x + box.width / 2
        if above is not None:
            yield f'<path d="M{middle:.1f} {above.y + above.height} V{box.y - 6}"/>' + _head(middle, box.y, down=True)
            yield _said(middle + 12, box.y - _GAP / 2 + 4, "note left", box.stage.arrow)
        yield f'<rect x="{box.x:.1f}" y="{box.y}" width="{box.width:.1f}" height="{box.height}" rx="6"/>'
        yield _said(middle, box.y + 24, "title", box.stage.title)
        yield _said(middle, box.y + 45, "note", box.stage.detail)
    if placed and placed[0].stage.aside:
        first, last = placed[0], placed[-2]
        right = max(box.x + box.width for box in placed) + 24
        start, end = first.x + first.width, last.x + last.width
        yield f'<path d="M{start:.1f} {first.y + 29} H{right:.1f} V{last.y + 29} H{end + 6:.1f}"/>'
        yield _head(end, last.y + 29, down=False)
        where = (first.y + last.y) / 2 + 29
        for number, words in enumerate(first.stage.aside.split(": ")):
            yield _said(right + 8, where + 18 * number, "note left", words)


def _head(x: float, y: float, *, down: bool) -> str:
    corners = (x - 5, y - 8, x + 5, y - 8, x, y) if down else (x + 8, y - 5, x + 8, y + 5, x, y)
    return '<path class="head" d="M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}Z"/>'.format(*corners)


def _said(x: float, y: float, kind: str, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>' if words else ""
