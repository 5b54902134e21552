"""The report's words and tables as HTML; everything that comes from outside is escaped here."""

import base64
import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from duckprop.evaluation.metrics import Evaluation
from duckprop.evaluation.ranking import Array


class Metric(NamedTuple):
    """How one metric is shown: key, label, explanation, digits after the point, and which direction is better."""

    key: str
    label: str
    meaning: str
    digits: int
    higher: bool = True


METRICS = (
    Metric(
        "macro_auc",
        "Macro AUC",
        "Within a category, how often a buyer is ranked above a non-buyer; 0.5 is guessing.",
        3,
    ),
    Metric("new_macro_auc", "Macro AUC, cross-sell", "The same among customers who had not bought there lately.", 3),
    Metric("micro_auc", "Micro AUC", "The same over all pairs of customer and category at once.", 3),
    Metric(
        "log_loss",
        "Log loss",
        "Price of wrong and overconfident propensities, in nats a pair; lower is better.",
        4,
        False,
    ),
    Metric(
        "ece", "Calibration error", "Average gap between the propensity and what happened; lower is better.", 4, False
    ),
    Metric(
        "p_at_1_active",
        "Precision at 1, active",
        "Of customers who bought anything: how often the top category was right.",
        3,
    ),
    Metric(
        "p_at_5_active",
        "Precision at 5, active",
        "Of customers who bought anything: share of the top 5 that they bought.",
        3,
    ),
    Metric("p_at_5_all", "Precision at 5, all", "The same over all customers, those who bought nothing included.", 3),
    Metric(
        "lift_at_10pct", "Lift at 10 %", "Buyers among the likeliest tenth of customers, against a random tenth.", 2
    ),
)
# Shown elsewhere on the page, or of no use to a reader.
HIDDEN = {"outcome", "metrics", "history", "files", "base_rates", "mean_propensity", "positives"}
SHOWN = 8


def text(value: object) -> str:
    """Escape for HTML text and attributes."""
    return html.escape(str(value), quote=True)


def number(value: float | None, digits: int) -> str:
    """Fixed digits; "–" for None and NaN."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage; "–" for None and NaN."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def image(png: bytes, description: str) -> str:
    """An embedded PNG with its description for those who cannot see it."""
    return f'<img alt="{text(description)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def purpose(card: Mapping[str, Any]) -> str:
    """What the model predicts: the card's ``outcome``, or a general sentence without one."""
    said = card.get("outcome") or "will take the outcome that it was trained on (the card does not say more)"
    return f"For each customer and category, the model gives the probability of: {said}".rstrip(".") + "."


def support(evaluation: Evaluation) -> str:
    """One sentence on how much data the figures rest on."""
    count = evaluation.support
    return (
        f"Judged on {count['rows']:,} customers (rows), {count['active_rows']:,} of them active, and "
        f"{count['categories']:,} categories, {count['categories_counted']:,} of them counted: {count['positives']:,} "
        f"purchases in {count['pairs']:,} pairs."
    )


def summary(evaluation: Evaluation, baselines: Mapping[str, Evaluation]) -> str:
    """List items in plain English, one a question a marketer asks; only those that data support."""
    auc, lift, ece = (evaluation.overall[key] for key in ("macro_auc", "lift_at_10pct", "ece"))
    items = []
    if auc is not None:
        beside = _best_baseline(baselines, "macro_auc", percent)
        items.append(
            f"On average over categories, a buyer is ranked above a non-buyer {percent(auc)} of the time{beside}."
        )
    if lift is not None:
        beside = _best_baseline(baselines, "lift_at_10pct", "{:.1f}".format)
        items.append(f"The likeliest 10 % of customers hold {lift:.1f} times as many buyers as a random 10 %{beside}.")
    if ece is not None:
        beside = _best_baseline(baselines, "ece", lambda value: f"{100 * value:.1f}", min)
        items.append(f"Propensities miss the observed rate by {100 * ece:.1f} percentage points on average{beside}.")
    return "".join(f"<li>{text(item)}</li>" for item in items or ["There are too few data to judge this model."])


def _best_baseline(
    baselines: Mapping[str, Evaluation], key: str, shown: Callable[[float], str], best: Callable[..., Any] = max
) -> str:
    """What to read a figure against: the best of the baselines, by name."""
    values = {name: value for name, other in baselines.items() if (value := other.overall[key]) is not None}
    name = best(values, key=lambda name: values[name], default=None)
    return "" if name is None else f" (the best baseline, {name}: {shown(values[name])})"


def metrics(everyone: Mapping[str, Evaluation]) -> str:
    """Table of the metrics, the model first and its baselines beside it."""
    head = ["Metric", *everyone]
    return _table(head, (_metric_row(metric, everyone) for metric in METRICS), marked=1)


def _metric_row(metric: Metric, everyone: Mapping[str, Evaluation]) -> list[str]:
    values = [evaluation.overall[metric.key] for evaluation in everyone.values()]
    cells = [number(value, metric.digits) for value in values]
    known = [value for value in values if value is not None]
    best = number((max if metric.higher else min)(known, default=None), metric.digits)
    bold = [f"<b>{cell}</b>" if len(cells) > 1 and known and cell == best else cell for cell in cells]
    return [f"{text(metric.label)}<small>{text(metric.meaning)}</small>", *bold]


def best_and_worst(rows: Sequence[Mapping[str, Any]], counted: Array, most: int = 10) -> dict[str, str]:
    """Tables ``best`` and ``worst`` of the categories counted, by AUC; no category is in both."""
    order = sorted((rows[j] for j in np.flatnonzero(counted)), key=lambda row: -row["auc"])
    half = min(most, (len(order) + 1) // 2)
    worst = order[half:][-most:][::-1]
    return {"best": _categories(order[:half]), "worst": _categories(worst)}


def _categories(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>No further category has the support.</p>"
    head = ["Category", "Buyers", "Bought", "Mean propensity", "AUC", "Average precision", "Lift at 10 %"]
    return _table(head, ([
        text(row["category"]), f"{row['positives']:,}", percent(row["base_rate"]), percent(row["mean_propensity"]),
        number(row["auc"], 3), number(row["average_precision"], 3), number(row["lift"], 2),
    ] for row in rows))  # fmt: skip


def facts(card: Mapping[str, Any]) -> str:
    """Rows of a two-column table: every entry of the card, nested ones as "outer: inner", long lists cut short."""
    rows = list(_flat(card)) or [("card", "empty")]
    return "".join(f"<tr><td>{text(name)}</td><td>{text(value)}</td></tr>" for name, value in rows)


def _flat(card: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, str]]:
    for key, value in card.items():
        name = outer + str(key).replace("_", " ")
        if key in HIDDEN:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, (list, tuple)):
            more = f" … ({len(value):,} in all)" if len(value) > SHOWN else ""
            yield name, ", ".join(map(_plain, value[:SHOWN])) + more
        else:
            yield name, _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: int | None = None) -> str:
    """``head`` is escaped here, the cells of ``rows`` are HTML already; column ``marked`` is shaded."""
    shade = ["" if i != marked else ' class="model"' for i in range(len(head))]
    top = "".join(f'<th scope="col"{mark}>{text(cell)}</th>' for mark, cell in zip(shade, head, strict=True))
    body = ("".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(shade, row, strict=True)) for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>"
