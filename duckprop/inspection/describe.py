"""Everything that is known of a model, from its card and its files, as one object that JSON knows.

What a card does not record is None or empty: cards of an earlier duckprop, and of imported models, lack a lot.
"""

import statistics
from typing import Any

from duckprop import bundle
from duckprop.errors import ModelError
from duckprop.evaluation import recorded
from duckprop.evaluation.recorded import SPLITS, number, of
from duckprop.formats.mxnet import read_checkpoint
from duckprop.inspection.drawing import Stage, stages
from duckprop.model import Model
from duckprop.network import Layer, Network
from duckprop.registry import Version

SHOWN = 5
"""Best and worst categories."""


def describe(model: Model, version: Version) -> dict[str, Any]:
    """Return what is known of a model; its files are checked against the card and its network is read.

    version: what the registry knows of it. Nothing is raised for a damaged file: ``files`` says which one, and
    ``network`` what is wrong with it.
    """
    card = model.card
    files = _files(model)
    split = recorded.judged(card)
    rows = recorded.category_rows(card, split)
    return {
        "model": model.reference,
        "name": version.name,
        "version": version.version or None,
        "aliases": list(version.aliases),
        "folder": str(model.folder),
        "created": _text(card.get("created")),
        "imported": _text(card.get("imported")),
        "origin": origin(card),
        "outcome": _text(card.get("outcome")),
        "classes": list(model.classes),
        "positive_class": model.classes[model.positive],
        "engine": _text(card.get("engine")) or "compiled",
        "not_folded": _text(card.get("not_folded")),
        "network": _network(model, all(file["is_intact"] for file in files)),
        "features": of(card, "features"),
        "windows": _windows(card),
        "judged_on": split,
        "metrics": {name: found for name in SPLITS if (found := _metrics(card, name))},
        "calibration": {name: found for name in SPLITS if (found := _calibration(card, name))},
        "categories": _summary(rows),
        "training": _training(card),
        "versions": of(card, "versions"),
        "source": of(card, "source"),
        "verification": of(card, "verified"),
        "files": files,
        "is_intact": all(file["is_intact"] for file in files),
        "by_category": rows,
    }


def origin(card: dict[str, Any]) -> str:
    """Return in a few words where a model comes from."""
    source, versions = of(card, "source"), of(card, "versions")
    if source or card.get("imported"):
        known = [str(source[name]) for name in ("format", "framework") if source.get(name)]
        return f"imported from {', '.join(known) or 'an artefact that the card does not name'}"
    if versions.get("duckprop"):
        return f"trained by duckprop {versions['duckprop']}"
    return "not recorded"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _files(model: Model) -> list[dict[str, Any]]:
    found = []
    for name, expected in model.card["files"].items():
        fault = None
        try:
            bundle.check_hash(model.folder, model.card, name)
        except ModelError as error:
            fault = error.fact
        found.append({"name": name, **expected, "is_intact": fault is None, "fault": fault})
    return found


def _network(model: Model, is_intact: bool) -> dict[str, Any]:
    """Return the network's layers, or under ``fault`` why they cannot be told and what the card says of them."""
    if not is_intact:
        return {"fault": "not read: a file is not the one that was published", "recorded": of(model.card, "network")}
    try:
        network = read_checkpoint(model.folder, bundle.PREFIX, heads=len(model.categories))
    except ModelError as error:
        why = _text(model.card.get("not_folded")) or error.fact
        return {"fault": f"not readable as layers: {why}", "recorded": of(model.card, "network")}
    return facts(network, number(of(model.card, "features").get("per_row")))


def facts(network: Network, per_row: float | None = None) -> dict[str, Any]:
    """Return a network's sizes. parameters: numbers that it was trained to have; bytes: what they take in memory."""
    layers = [_layer(layer) for layer in (network.first, *network.hidden)]
    inputs, heads, classes = network.head_weight.shape
    wide = None if network.wide is None else int(network.wide.nnz)
    start = 0 if network.start is None else network.start.size
    weights = network.head_weight.size + network.head_bias.size
    total = weights + (wide or 0) + start + sum(layer["parameters"] for layer in layers)
    return {
        "inputs": network.width,
        "per_row": per_row,
        "row_norm": None if network.row_epsilon is None else network.row_norm,
        "layers": layers,
        "heads": {"inputs": inputs, "categories": heads, "classes": classes, "parameters": weights},
        "wide_weights": wide,
        "link": network.link,
        "parameters": total,
        "bytes": 4 * total + (8 * (wide or 0)),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    own = 0 if layer.parameters is None else layer.parameters.size
    return {
        "inputs": layer.weight.shape[0],
        "units": layer.weight.shape[1],
        "activations": [{"name": name, "units": units} for name, units in layer.runs],
        "parameters": layer.weight.size + layer.bias.size + own,
    }


def picture(about: dict[str, Any]) -> list[Stage]:
    """Return the stages to draw of a described model; [] where its layers cannot be told."""
    return [] if "fault" in about["network"] else stages(about["network"], about["positive_class"])


def _windows(card: dict[str, Any]) -> dict[str, Any]:
    """Return rows, and where known customers and dates, of each window."""
    found = {split: of(card, "windows", split) for split in SPLITS}
    rows = {split: of(card, "metrics", split, "support").get("rows") for split in SPLITS}
    rows["train"] = of(card, "training").get("rows")
    return {
        split: {"rows": rows[split], **found[split]}
        for split in SPLITS
        if found[split] or number(rows[split]) is not None
    }


def _metrics(card: dict[str, Any], split: str) -> dict[str, Any]:
    figures = [figure for figure in recorded.overall(split, of(card, "metrics", split)) if figure.value is not None]
    return {
        figure.metric: {"value": figure.value, "ci_low": figure.ci_low, "ci_high": figure.ci_high} for figure in figures
    }


def _calibration(card: dict[str, Any], split: str) -> dict[str, Any]:
    bins = recorded.reliability(card, split)
    pairs = sum(each["pairs"] for each in bins)
    if not pairs:
        return {}
    means = {name: sum(each[name] * each["pairs"] for each in bins) / pairs for name in ("propensity", "observed")}
    ece = number(of(card, "metrics", split, "overall").get("ece"))
    return {"mean_propensity": means["propensity"], "observed_rate": means["observed"], "ece": ece, "bins": bins}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    rates = sorted(row["base_rate"] for row in rows if row["base_rate"] is not None)
    judged = sorted((row for row in rows if is_judged(row)), key=lambda row: -row["auc"])
    most = min(SHOWN, (len(judged) + 1) // 2)
    return {
        "count": len(rows),
        "base_rate": _spread(rates),
        "auc_median": statistics.median(row["auc"] for row in judged) if judged else None,
        "judged": len(judged),
        "too_small": sum(bool(row["is_too_small"]) for row in rows),
        "best": judged[:most],
        "worst": judged[most:][-most:][::-1],
    }


def _spread(ordered: list[float]) -> dict[str, float] | None:
    """Return the ends and the middle of ordered numbers, None without any."""
    if not ordered:
        return None
    return {"lowest": ordered[0], "median": statistics.median(ordered), "highest": ordered[-1]}


def is_judged(row: dict[str, Any]) -> bool:
    """Return whether a category has an AUC that rests on enough rows."""
    return row["auc"] is not None and not row["is_too_small"]


def _training(card: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of training, the epochs summed up."""
    found = of(card, "training")
    history = found.get("history")
    epochs = [epoch for epoch in history if isinstance(epoch, dict)] if isinstance(history, list) else []
    kept = {name: value for name, value in found.items() if name not in ("history", "positives")}
    if epochs:
        kept |= {"epochs": len(epochs), "seconds": round(sum(number(epoch.get("seconds")) or 0 for epoch in epochs), 1)}
    return kept
