"""propensity_model_info([model])."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from duckprop.evaluation.recorded import SPLITS, reliability
from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, texts

_TYPE = pa.list_(pa.struct([("section", pa.string()), ("property", pa.string()), ("value", pa.string())]))
_FIRST = ("created", "outcome")
_LATER = ("classes", "positive", "categories", "features", "files", "format")
"""Told in words of their own."""
_PER_CATEGORY = ("base_rates", "mean_propensity", "positives", "per_category", "reliability")
_RENAMED = {"verified": "verification"}
_LONGEST, _DEEPEST = 16, 3

Fact = tuple[str, str, str | None]


def propensity_model_info(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows what is recorded about its model, a line a fact.

    section: model, features, windows (when the rows of each split are from), training, training settings, metrics and
    support of each window (``metrics test overall``, ``metrics test support``), calibration of each (``calibration
    test``), versions (of the libraries it was trained with), source and verification (of an imported model), files
    (name and SHA-256).
    property: such as created, outcome, classes, positive_class, layers, rows, best_epoch, macro_auc, bin 1. value:
    always text; NULL where the model says that there is none, such as no calibration. Lists are joined by commas; what
    there is for each category or each epoch is left out: see propensity_categories() and propensity_quality(). What the
    model does not know has no line. Raises ModelError for the model.
    """
    names = texts(model, "model").to_pylist()
    known = {name: list(_facts(models.get(name))) for name in set(names)}
    fields = [field.name for field in _TYPE.value_type]
    return pa.array([[dict(zip(fields, fact, strict=True)) for fact in known[name]] for name in names], _TYPE)


def _facts(model: Model) -> Iterator[Fact]:
    card = model.card
    yield "model", "reference", model.reference
    yield from _flat("model", {name: card[name] for name in _FIRST if name in card}, 1)
    yield "model", "classes", ", ".join(model.classes)
    yield "model", "positive_class", model.classes[model.positive]
    yield "model", "categories", str(len(model.categories))
    yield "model", "format", str(card["format"])
    rest = {name: value for name, value in card.items() if name not in (*_FIRST, *_LATER)}
    yield from _flat("model", {name: value for name, value in rest.items() if not isinstance(value, dict)}, 1)
    yield from _flat("features", card["features"], 1)
    for name, value in rest.items():
        if isinstance(value, dict):
            yield from _flat(_RENAMED.get(name, name), value, 1)
            if name == "metrics":
                yield from _calibration(card)
    yield from _flat("files", {name: file["sha256"] for name, file in card["files"].items()}, 1)


def _calibration(card: dict[str, Any]) -> Iterator[Fact]:
    """Yield of each window what was said on average and what happened, in all and by bin."""
    for split in SPLITS:
        bins = reliability(card, split)
        pairs = sum(each["pairs"] for each in bins)
        for name, what in (("mean_propensity", "propensity"), ("observed_rate", "observed")) if pairs else ():
            yield f"calibration {split}", name, f"{sum(each[what] * each['pairs'] for each in bins) / pairs:.6g}"
        for number, each in enumerate(bins, start=1):
            said = f"propensity {each['propensity']:.4g}, observed {each['observed']:.4g}"
            yield f"calibration {split}", f"bin {number}", f"{said} ({each['low']:.4g} to {each['high']:.4g})"


def _flat(section: str, facts: dict[str, Any], depth: int) -> Iterator[Fact]:
    """Yield what is a value of its own, then what lies deeper, in sections of their own."""
    for name, value in facts.items():
        if name not in _PER_CATEGORY and not isinstance(value, dict) and not _is_long(value):
            yield section, name, _text(value)
    for name, value in facts.items():
        if isinstance(value, dict) and depth < _DEEPEST and name not in _PER_CATEGORY:
            yield from _flat(f"{section} {name}", value, depth + 1)


def _is_long(value: Any) -> bool:
    """Whether a value is a list that is no line of text: too long, or of more than values."""
    return isinstance(value, list) and (len(value) > _LONGEST or any(isinstance(each, list | dict) for each in value))


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(_text(each) or "" for each in value)
    return str(value)


UDF = Udf(
    "propensity_model_info",
    ("model",),
    "STRUCT(section VARCHAR, property VARCHAR, value VARCHAR)[]",
    propensity_model_info,
    "FROM propensity_model_info('shop') WHERE section = 'model'",
)
