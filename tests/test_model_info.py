"""A model's card as a table: what is told, in which order, and what is left out."""

import json

import duckdb
import pytest

import duckprop
from duckprop import bundle
from duckprop.udfs.propensity_feature_names import propensity_feature_names

CARD = {
    "outcome": "a purchase within 28 days",
    "preprocessing": "none",
    "layers": [40, 16, 8, 10],
    "calibration": None,
    "training": {
        "rows": 108,
        "settings": {"hidden": [16, 8], "dropout": 0.2, "shuffle": True, "nothing": []},
        "history": [{"epoch": 1, "log_loss": 0.5}],
        "best_epoch": 3,
    },
    "metrics": {
        "validation": {"overall": {"log_loss": 0.25, "micro_auc": None}, "mean_propensity": [0.1] * 5},
        "test": {"overall": {"log_loss": 1e-05}, "support": {"rows": 100}},
    },
    "versions": {"mxnet": "1.9.1", "duckdb": None},
    "source": {"framework": "torch", "a": {"b": {"c": {"d": "too deep"}, "e": "deep"}}},
    "long": list(range(17)),
}


@pytest.fixture
def told(write_bundle):
    """Return what is told about a bundle with a card of every kind of fact."""
    folder = write_bundle()
    card = json.loads((folder / bundle.CARD).read_text())
    bundle.write_card(folder, card | CARD)
    with duckprop.connect(model=str(folder)) as con:
        return folder, con.execute("FROM propensity_model_info()").fetchall()


def test_every_fact_in_a_readable_order(told):
    folder, facts = told
    files = json.loads((folder / bundle.CARD).read_text())["files"]
    assert facts == [
        ("model", "reference", str(folder)),
        ("model", "created", "2026-01-02T03:04:05+00:00"),
        ("model", "outcome", "a purchase within 28 days"),
        ("model", "classes", "yes, no"),
        ("model", "positive_class", "yes"),
        ("model", "categories", "5"),
        ("model", "format", "1"),
        ("model", "preprocessing", "none"),
        ("model", "layers", "40, 16, 8, 10"),
        ("model", "calibration", None),
        ("features", "width", "40"),
        ("features", "named", "true"),
        ("metrics validation overall", "log_loss", "0.25"),
        ("metrics validation overall", "micro_auc", None),
        ("metrics test overall", "log_loss", "1e-05"),
        ("metrics test support", "rows", "100"),
        ("training", "rows", "108"),
        ("training", "best_epoch", "3"),
        ("training settings", "hidden", "16, 8"),
        ("training settings", "dropout", "0.2"),
        ("training settings", "shuffle", "true"),
        ("training settings", "nothing", ""),
        ("versions", "mxnet", "1.9.1"),
        ("versions", "duckdb", None),
        ("source", "framework", "torch"),
        ("source a b", "e", "deep"),
        *(("files", name, file["sha256"]) for name, file in files.items()),
    ]
    assert "baseline.parquet" in files


def test_a_card_with_unexpected_values_is_told_as_it_is(write_bundle):
    folder = write_bundle()
    card = json.loads((folder / bundle.CARD).read_text())
    card |= {"created": 7, "training": [1, [2]], "metrics": "good", "versions": None}
    bundle.write_card(folder, card)
    with duckprop.connect(model=str(folder)) as con:
        told = dict(con.execute("SELECT property, value FROM propensity_model_info()").fetchall())
    assert (told["created"], told["metrics"], told["versions"]) == ("7", "good", None)
    assert told.keys().isdisjoint({"training", "base_rates"})


def test_a_hundred_thousand_feature_names(write_bundle):
    width = 118_235
    options = {"hidden": (2,), "categories": ("toys",), "width": width}
    folder = write_bundle(names=tuple(f"item {width - column}" for column in range(width)), **options)
    with duckprop.connect() as con:
        names = con.execute("FROM propensity_feature_names($1)", [str(folder)]).fetchall()
        con.execute("SET VARIABLE propensity_model = 'a-model-that-is-gone'")
        with pytest.raises(duckdb.Error, match="there is no model 'a-model-that-is-gone'"):
            con.execute("FROM propensity_feature_names()")
    assert names == [(column, f"item {width - column}") for column in range(width)]


def test_no_rows_ask_for_no_model():
    import pyarrow as pa

    assert len(propensity_feature_names(None, pa.array([], pa.string()))) == 0
