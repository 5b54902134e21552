"""A described model as one HTML file: no script, nothing remote, light and dark, fit for print."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from duckprop.inspection import charts, drawing, words
from duckprop.inspection.describe import is_judged, picture
from duckprop.temporary import replacing


def write_page(path: Path, about: dict[str, Any]) -> None:
    """Write the card of a described model, whole or not at all. Raises UsageError where the folder does not exist."""
    with replacing(path) as draft:
        draft.write_text(page(about), "utf-8")


def page(about: dict[str, Any]) -> str:
    """Return the card of a described model as HTML."""
    boxes, split = picture(about), about["judged_on"]
    return Template(Path(__file__).with_name("page.html").read_text("utf-8")).substitute(
        title=escape(about["model"]),
        style=drawing.STYLE + charts.STYLE,
        outcome=escape(about["outcome"] or "an outcome that the card does not name"),
        tiles="".join(_tiles(about)),
        short="".join(f"<li>{escape(said)}</li>" for said in _in_short(about)),
        overview=_facts(words.overview(about)),
        drawing=f"<figure>{drawing.as_svg(boxes)}</figure>" if boxes else "",
        network=_facts(words.network(about)),
        metrics=_metrics(about),
        reliability=_calibration(about),
        spread=_spread([row["auc"] for row in about["by_category"] if is_judged(row)], split),
        categories=_facts(words.categories(about)) + _categories(about["by_category"]),
        features=_facts(words.features(about)),
        training=_facts(words.training(about)),
        provenance=_facts(words.provenance(about)),
        files=_files(about),
    )


def _tiles(about: dict[str, Any]) -> Iterator[str]:
    """Yield the figures that are looked at first."""
    metrics = about["metrics"].get(about["judged_on"], {})
    for name in ("macro_auc", "lift_at_10pct", "ece"):
        label, _, digits = words.METRICS[name]
        found = metrics.get(name)
        yield _tile(label, "–" if found is None else f"{found['value']:.{digits}f}", _interval(found, digits))
    rows = about["windows"].get(about["judged_on"], {}).get("rows")
    if rows:
        yield _tile("Judged on", f"{rows:,}", f"{about['judged_on']} rows")
    yield _tile("Categories", f"{about['categories']['count']:,}", f"{about['features']['width']:,} features")


def _interval(found: dict[str, Any] | None, digits: int) -> str:
    if found is None:
        return words.MISSING
    if found["ci_low"] is None:
        return ""
    return f"{found['ci_low']:.{digits}f} to {found['ci_high']:.{digits}f}"


def _tile(label: str, value: str, beneath: str) -> str:
    return f"<div><span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(beneath)}</small></div>"


def _in_short(about: dict[str, Any]) -> Iterator[str]:
    """Yield sentences for those who send campaigns; only those that figures support."""
    split = about["judged_on"]
    metrics = {name: found["value"] for name, found in about["metrics"].get(split, {}).items()}
    if "macro_auc" in metrics:
        yield f"It ranks a buyer above a non-buyer {metrics['macro_auc']:.0%} of the time; guessing: 50%."
    if "lift_at_10pct" in metrics:
        lift = metrics["lift_at_10pct"]
        yield f"The likeliest tenth of customers holds {lift:.1f} times as many buyers as a random tenth."
    found = about["calibration"].get(split)
    if found:
        said, happened = words.percent(found["mean_propensity"]), words.percent(found["observed_rate"])
        yield f"On average it promised {said}, and {happened} happened."
    few = about["categories"]["too_small"]
    if few:
        yield f"{few:,} of {about['categories']['count']:,} categories have too few buyers to be judged one by one."
    if split == "validation":
        yield "These figures are of the validation rows, which chose the best epoch: they flatter a little."
    if not metrics:
        yield "This card holds no metrics: judge the model on rows of your own with duckprop evaluate."
    if not about["is_intact"]:
        yield "A file of this model is damaged: do not use it."


def _facts(facts: Iterable[words.Fact]) -> str:
    rows = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _metrics(about: dict[str, Any]) -> str:
    rows = list(words.metric_rows(about))
    if not rows:
        return "<p>Not recorded.</p>"
    meanings = {label: meaning for label, meaning, _ in words.METRICS.values()}
    body = [[f"{escape(row[0])}<small>{escape(meanings[row[0]])}</small>", *map(_beneath, row[1:])] for row in rows[1:]]
    return _table(rows[0], body)


def _beneath(cell: str) -> str:
    """Put the interval in brackets behind a figure under it: a telephone is narrow."""
    value, _, interval = escape(cell).partition(" (")
    return f"{value}<small>{interval.rstrip(')')}</small>" if interval else value


def _calibration(about: dict[str, Any]) -> str:
    head, *rows = list(words.calibration(about)) or [[]]
    if not rows:
        return "<p>Not recorded.</p>"
    split = about["judged_on"]
    drawn = charts.reliability_plot(about["calibration"][split]["bins"])
    said = (
        f"All pairs of customer and category of the {split} rows, in bins of equally many. On the dashed line, of 100 "
        "customers given 10%, 10 did it; below it the model promises too much. Both axes by their square roots."
    )
    table = _table(head, [[escape(cell) for cell in row] for row in rows])
    more = f"<details><summary>As a table</summary>{table}</details>"
    return f"<figure>{drawn}<figcaption>{said}</figcaption></figure>{more}"


def _spread(values: Sequence[float], split: str | None) -> str:
    if not values:
        return "<p>Not recorded.</p>"
    said = f"AUC of each category on the {split} rows; those with too few buyers are left out."
    return f"<figure>{charts.auc_plot(values)}<figcaption>{said}</figcaption></figure>"


def _categories(rows: Sequence[dict[str, Any]]) -> str:
    """Return all categories: those that were judged by AUC, best first, then the rest by name, in grey."""
    order = sorted(rows, key=lambda row: (not is_judged(row), -row["auc"] if is_judged(row) else 0.0, row["category"]))
    body = [[escape(cell) for cell in words.category_cells(row)] for row in order]
    small = [None if is_judged(row) else "small" for row in order]
    return _table(words.CATEGORY, body, small)


def _files(about: dict[str, Any]) -> str:
    rows = [
        [
            escape(file["name"]),
            words.size(file["bytes"]),
            f"<code>{escape(file['sha256'])}</code>",
            "OK" if file["is_intact"] else "<b class='bad'>DAMAGED</b>",
        ]
        for file in about["files"]
    ]
    return _table(["file", "size", "SHA-256", "checked"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str | None] | None = None) -> str:
    """Return a table; ``head`` is escaped here, the cells are HTML already. kinds: the class of each row."""
    marks = ["" if not kind else f' class="{kind}"' for kind in kinds or [None] * len(rows)]
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for mark, row in zip(marks, rows, strict=True)
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
