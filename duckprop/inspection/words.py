"""A described model in words and short tables, the same in the terminal and on the page."""

from collections.abc import Iterator
from typing import Any

Fact = tuple[str, str]
MISSING = "not recorded"
METRICS = {
    "macro_auc": ("Macro AUC", "how often a buyer is ranked above a non-buyer within a category; 0.5 is guessing", 3),
    "micro_auc": ("Micro AUC", "the same over all pairs of customer and category", 3),
    "macro_average_precision": ("Average precision", "precision at every buyer's rank, mean over categories", 3),
    "log_loss": ("Log loss", "price of wrong and overconfident propensities; lower is better", 4),
    "brier": ("Brier score", "mean squared distance from what happened; lower is better", 4),
    "ece": ("Calibration error", "mean gap between propensity and observed rate; lower is better", 4),
    "lift_at_10pct": ("Lift, top decile", "buyers among the likeliest tenth against a random tenth", 2),
    "p_at_5_active": ("Precision at 5", "share of a buyer's top 5 categories that were bought", 3),
}
"""Label, meaning, digits."""


def overview(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield what the model is."""
    yield "predicts", about["outcome"] or MISSING
    positive = about["positive_class"]
    yield "classes", ", ".join(f"{name} (the positive one)" if name == positive else name for name in about["classes"])
    yield "aliases", ", ".join(about["aliases"]) or "none"
    yield "created", about["created"] or about["imported"] or MISSING
    yield "from", about["origin"]
    if about["engine"] == "compiled":
        yield "engine", "compiled (MXNet is the reference)"
    else:
        yield "engine", f"{about['engine']} only: {about['not_folded'] or 'the network cannot be folded'}"
    yield "folder", about["folder"]


def network(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield the sizes that the picture does not show."""
    found = about["network"]
    if "fault" in found:
        yield "network", found["fault"]
        yield from ((f"{name} (recorded)", _plain(value)) for name, value in found["recorded"].items())
        return
    yield "parameters", f"{found['parameters']:,}"
    yield "memory", f"{size(found['bytes'])} of weights"


def features(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield what is known of the features."""
    found = about["features"]
    yield "feature columns", f"{found['width']:,}, {'with names' if found['named'] else 'by number only'}"
    per_row = found.get("per_row")
    yield "a row has", f"{per_row:,.1f} features on average" if isinstance(per_row, int | float) else MISSING
    unknown = found.get("out_of_vocabulary")
    if isinstance(unknown, dict):
        parts = [f"{percent(share)} in {window}" for window, share in unknown.items() if isinstance(share, int | float)]
        yield "out of vocabulary", ", ".join(parts) or MISSING


def categories(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield what is known of all categories together."""
    found, rate = about["categories"], about["categories"]["base_rate"]
    yield "categories", f"{found['count']:,}"
    if rate:
        shown = f"{percent(rate['lowest'])} to {percent(rate['highest'])}, median {percent(rate['median'])}"
        yield "base rates", f"{shown} of the training rows"
    else:
        yield "base rates", MISSING
    if found["judged"]:
        few = f"; {found['too_small']:,} have too few positive rows to say" if found["too_small"] else ""
        yield (
            "judged by AUC",
            f"{found['judged']:,} on the {about['judged_on']} rows, median {found['auc_median']:.3f}{few}",
        )


def training(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield which rows taught the model, and how."""
    for split, window in about["windows"].items():
        yield f"{split} rows", _window(window)
    found = about["training"]
    if not found:
        yield "training", MISSING
        return
    if "epochs" in found:
        yield "epochs", f"{found['epochs']}, the best one {found.get('best_epoch')}, in {found['seconds']:,.0f} s"
    if isinstance(found.get("settings"), dict):
        yield "settings", ", ".join(f"{name} {_plain(value)}" for name, value in found["settings"].items())
    left_out = {
        "rows_without_features": "rows without features",
        "labels_without_row": "labels without a row",
        "labels_of_other_categories": "labels of rarer categories",
    }
    parts = [f"{found[name]:,} {what}" for name, what in left_out.items() if found.get(name)]
    yield "left out", ", ".join(parts) or "nothing"
    yield "data SHA-256", short(str(found.get("data_sha256") or MISSING))


def _window(window: dict[str, Any]) -> str:
    rows = window.get("rows")
    parts = [f"{rows:,}" if isinstance(rows, int) else MISSING]
    if isinstance(window.get("customers"), int) and window["customers"] != rows:
        parts.append(f"of {window['customers']:,} customers")
    if window.get("first"):
        span = window["first"] if window["first"] == window["last"] else f"{window['first']} to {window['last']}"
        parts.append(f"({window.get('date_column', 'date')} {span})")
    return " ".join(parts)


def provenance(about: dict[str, Any]) -> Iterator[Fact]:
    """Yield where the model is from, what verified it, and with which libraries it was made."""
    for name, value in about["source"].items():
        if value and name != "outcome":
            yield f"source {name}".replace("_", " "), _plain(value)
    if about["imported"]:
        yield "imported", about["imported"]
    yield "verification", _verified(about["verification"])
    versions = {name: value for name, value in about["versions"].items() if value}
    yield "made with", ", ".join(f"{name} {value}" for name, value in versions.items()) or MISSING


def _verified(found: dict[str, Any]) -> str:
    if found.get("unverified"):
        return f"none: {found['unverified']}"
    if "max_abs_difference" not in found:
        return f"{MISSING}; duckprop verify compares the engines now"
    rows, apart = found.get("rows"), found["max_abs_difference"]
    said = f"at most {apart:.1e} apart" if isinstance(apart, int | float) else f"{_plain(apart)} apart"
    shown = f"on {rows:,} rows" if isinstance(rows, int) else ""
    return f"{said} from {found.get('against', 'its source')} {shown}, tolerance {_plain(found.get('tolerance'))}"


def metric_rows(about: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the table of metrics: a head, then a row a metric with a cell a window, its interval behind it."""
    windows = list(about["metrics"])
    if not windows:
        return
    yield ["metric", *windows]
    for name, (label, _, digits) in METRICS.items():
        cells = [_figure(about["metrics"][window].get(name), digits) for window in windows]
        if any(cells):
            yield [label, *(cell or "–" for cell in cells)]


def _figure(found: dict[str, Any] | None, digits: int) -> str:
    if not found:
        return ""
    low, high = found["ci_low"], found["ci_high"]
    bounds = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{found['value']:.{digits}f}{bounds}"


CATEGORY = ("category", "positives", "base rate", "mean propensity", "AUC", "95% interval", "lift")


def category_cells(row: dict[str, Any]) -> list[str]:
    """Return a category's cells under CATEGORY."""
    low, high = row["ci_low"], row["ci_high"]
    return [
        row["category"],
        "–" if row["support"] is None else f"{row['support']:,}",
        percent(row["base_rate"]),
        percent(row["mean_propensity"]),
        "–" if row["auc"] is None else f"{row['auc']:.3f}",
        "–" if low is None or high is None else f"{low:.3f} to {high:.3f}",
        "–" if row["lift_at_10pct"] is None else f"{row['lift_at_10pct']:.2f}",
    ]


def calibration(about: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the table of calibration of the window that judges: a head, then a row a bin."""
    found = about["calibration"].get(about["judged_on"])
    if not found:
        return
    yield ["propensity", "observed", "95% interval", "pairs"]
    for each in found["bins"]:
        bounds = f"{percent(each['low'])} to {percent(each['high'])}"
        yield [percent(each["propensity"]), percent(each["observed"]), bounds, f"{each['pairs']:,}"]


def short(digest: str) -> str:
    """Return a hash so that two can be told apart at a glance."""
    return digest if len(digest) <= 24 else f"{digest[:16]}…"


def percent(share: float | None) -> str:
    """A share as a percentage of three figures; "–" for None."""
    if share is None:
        return "–"
    return f"{share:.0%}" if share == 0 else f"{share:.1%}" if share >= 0.1 else f"{share:.2%}"


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            break
        count, unit = count / 1024, {"bytes": "KiB", "KiB": "MiB", "MiB": "GiB"}[unit]
    return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:,.1f} {unit}"


def _plain(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return "×".join(map(_plain, value))
        case dict():
            return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return str(value)
