"""propensity_models()."""

from typing import Any

import pyarrow as pa

from duckprop.bundle import read_card
from duckprop.errors import ModelError
from duckprop.models import Models
from duckprop.registry import Version
from duckprop.udfs.udf import Udf

FIELDS = (
    ("model", "VARCHAR", pa.string()),
    ("name", "VARCHAR", pa.string()),
    ("version", "INTEGER", pa.int32()),
    ("aliases", "VARCHAR[]", pa.list_(pa.string())),
    ("categories", "INTEGER", pa.int32()),
    ("features", "INTEGER", pa.int32()),
    ("created", "VARCHAR", pa.string()),
    ("macro_auc", "FLOAT", pa.float32()),
    ("log_loss", "FLOAT", pa.float32()),
)


def propensity_models(models: Models, rows: pa.Array) -> pa.Array:
    """Return for each of n rows the list of all models in the registry, names sorted, oldest version first.

    macro_auc and log_loss are those of the test window, else of the validation window. A damaged model is listed with
    NULLs behind its version. Without models the list is empty.
    """
    listed = [describe(version) for version in models.registry.versions()]
    kind = pa.list_(pa.struct([(name, arrow) for name, _, arrow in FIELDS]))
    return pa.array([listed] * len(rows), kind)


def describe(version: Version) -> dict[str, Any]:
    """Return one row of propensity_models()."""
    row: dict[str, Any] = dict.fromkeys(name for name, _, _ in FIELDS)
    row |= {
        "model": version.reference,
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
    }
    try:
        card = read_card(version.folder)
    except ModelError:
        return row
    windows = _object(card, "metrics")
    overall = _object(_object(windows, "test") or _object(windows, "validation"), "overall")
    return row | {
        "categories": len(card["categories"]),
        "features": card["features"]["width"],
        "created": created if isinstance(created := card.get("created"), str) else None,
        "macro_auc": _number(overall, "macro_auc"),
        "log_loss": _number(overall, "log_loss"),
    }


def _object(card: dict[str, Any], key: str) -> dict[str, Any]:
    return found if isinstance(found := card.get(key), dict) else {}


def _number(card: dict[str, Any], key: str) -> float | None:
    return float(found) if isinstance(found := card.get(key), int | float) else None


UDF = Udf(
    "propensity_models",
    ("rows",),
    f"STRUCT({', '.join(f'{name} {sql}' for name, sql, _ in FIELDS)})[]",
    propensity_models,
    "FROM propensity_models()",
)
