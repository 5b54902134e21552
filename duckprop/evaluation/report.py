"""One self-contained HTML file about a model: what it predicts, how well, for whom it is weak, and how it was made.

No script, no remote resource: images are embedded, so the file can be mailed, archived and printed.
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from duckprop.errors import DataError, UsageError, did_you_mean
from duckprop.evaluation import plots, tables
from duckprop.evaluation.curves import cumulative_gain, reliability
from duckprop.evaluation.metrics import Evaluation
from duckprop.evaluation.ranking import Array


def write_report(  # noqa: PLR0913 - everything the page shows, all but the path by keyword
    path: str | Path,
    *,
    title: str,
    model_card: Mapping[str, Any],
    evaluation: Evaluation,
    baselines: Mapping[str, Evaluation],
    history: Sequence[Mapping[str, Any]],
    categories: Sequence[str],
    outcomes: Array,
    propensities: Array,
    gain_categories: Sequence[str] | None = None,
) -> Path:
    """Write the report to ``path``, atomically (an older file stays whole until then), and return it.

    ``model_card``: the bundle's card; ``outcome`` is a sentence on what is predicted and for which window, every other
    entry becomes a fact. ``evaluation`` and ``baselines`` (name → Evaluation) are of the same window. ``history``: one
    mapping an epoch (``epoch``, ``train_log_loss``, ``validation_log_loss``, ``seconds``); may be empty.
    ``outcomes``: (n, N) 0/1, dense or sparse; ``propensities``: (n, N) in [0, 1]; ``categories``: their N names.
    ``gain_categories``: up to 6 to draw cumulative gains of; by default four from the best to the worst AUC.
    Metrics without support show as "–". Raises DataError where names, outcomes and propensities do not fit each other,
    UsageError for an unknown category, a missing folder, or matplotlib not installed.
    """
    path = Path(path)
    rows = evaluation.rows(categories)
    dense = outcomes.toarray() if hasattr(outcomes, "toarray") else np.asarray(outcomes)
    if dense.ndim != 2 or dense.shape[1] != len(categories):
        raise DataError(
            f"outcomes have the shape {dense.shape} for {len(categories)} categories",
            "Give the outcomes and propensities that were evaluated, one column per category.",
        )
    names = _gain_names(evaluation, categories, gain_categories)
    everyone = {"this model": evaluation} | dict(baselines)
    page = Template(Path(__file__).with_name("report.html").read_text("utf-8")).substitute(
        title=tables.text(title),
        purpose=tables.text(tables.purpose(model_card)),
        support=tables.text(tables.support(evaluation)),
        summary=tables.summary(evaluation, baselines),
        metrics=tables.metrics(everyone),
        least=evaluation.support["min_positives"],
        bars=_bars(everyone),
        reliability=_reliability(dense, propensities, evaluation),
        gain=_gain(names, categories, dense, propensities),
        gain_caption=tables.text(_gain_caption(names, chosen=gain_categories is not None)),
        learning=_learning(history),
        facts=tables.facts(model_card),
        **tables.best_and_worst(rows, evaluation.counted),
    )
    _replace(path, page)
    return path


def _bars(everyone: Mapping[str, Evaluation]) -> str:
    values = {name: evaluation.overall["macro_auc"] for name, evaluation in everyone.items()}
    said = ", ".join(f"{name} {tables.number(value, 3)}" for name, value in values.items())
    return tables.image(plots.auc_bars(values, "this model"), f"Bars of macro AUC: {said}")


def _reliability(outcomes: Array, propensities: Array, evaluation: Evaluation) -> str:
    drawn = plots.reliability_diagram(reliability(outcomes, propensities), propensities)
    off = tables.percent(evaluation.overall["ece"])
    return tables.image(drawn, f"Share that bought against predicted propensity; on average {off} apart")


def _gain(names: Sequence[str], categories: Sequence[str], outcomes: Array, propensities: Array) -> str:
    positions = [list(categories).index(name) for name in names]
    columns = {
        name: cumulative_gain(outcomes[:, j], propensities[:, j]) for name, j in zip(names, positions, strict=True)
    }
    curves = {name: curve for name, curve in columns.items() if curve}
    return tables.image(plots.gain_chart(curves), "Share of buyers found by share of customers contacted")


def _gain_names(evaluation: Evaluation, categories: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        counted = np.flatnonzero(evaluation.counted)
        order = counted[np.argsort(-evaluation.per_category["auc"][counted], kind="stable")]
        picks = sorted({round(share * (len(order) - 1)) for share in (0, 1 / 3, 2 / 3, 1)}) if len(order) else []
        return [categories[order[pick]] for pick in picks]
    for name in wanted:
        if name not in categories:
            close = did_you_mean(name, list(categories))
            raise UsageError(f"no category '{name}'{close}", "Name categories of the evaluated model.")
    if len(wanted) > len(plots.LINES):
        raise UsageError(f"{len(wanted)} gain categories were given", f"Give at most {len(plots.LINES)}.")
    return list(dict.fromkeys(wanted))


def _gain_caption(names: Sequence[str], *, chosen: bool) -> str:
    which = "" if chosen or not names else "Categories from the best to the worst AUC. "
    return which + "The further a line is above the diagonal, the sooner contacting the likeliest finds the buyers."


def _learning(history: Sequence[Mapping[str, Any]]) -> str:
    if not history:
        return "<p>No training history came with this model.</p>"
    seconds = sum(step.get("seconds") or 0 for step in history)
    said = f"{len(history)} epochs (passes over the training data) in {seconds:,.0f} seconds."
    drawn = tables.image(plots.learning_curve(history), f"Log loss of training and validation by epoch; {said}")
    why = "The epoch with the lowest validation loss is circled; a gap that widens after it is overfitting."
    return f"<figure>{drawn}<figcaption>{said} {why}</figcaption></figure>"


def _replace(path: Path, page: str) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder '{path.parent}' for the report", "Create it, or give another path.")
    # Not tempfile: its files are readable by their owner only, whatever the umask says.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(page, "utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
