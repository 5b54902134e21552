"""What training puts on the card about quality, what is read back, and what a card that lacks it says."""

import json

import duckdb
import numpy as np
import pytest

import duckprop
from duckprop.evaluation import quality, recorded
from duckprop.evaluation.intervals import Column, figures
from duckprop.evaluation.metrics import evaluate
from duckprop.training import Settings, train

QUICK = Settings(hidden=(6,), batch=32, epochs=2, dropout=0)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def judged():
    """Return outcomes and propensities of 400 rows and 7 categories: the last never happens, the one before rarely."""
    random = np.random.default_rng(3)
    propensities = (random.random((400, 7)) ** 2).astype(np.float32)
    outcomes = random.random(propensities.shape) < propensities
    outcomes[:, 6] = False
    outcomes[:, 5] = np.arange(400) < 4
    return outcomes, propensities


@pytest.fixture(scope="module")
def card(judged):
    """Return a card with one window, as training writes it."""
    outcomes, propensities = judged
    evaluation = evaluate(outcomes, propensities)
    kept = quality.recorded(evaluation, outcomes, propensities, np.arange(400))
    window = {"overall": dict(evaluation.overall), "support": dict(evaluation.support), **kept}
    window["mean_propensity"] = propensities.mean(axis=0).tolist()
    return json.loads(json.dumps({"categories": list("abcdefg"), "metrics": {"test": window}}, allow_nan=False))


def test_the_figures_on_the_card_are_those_of_propensity_evaluate(card, judged):
    outcomes, propensities = judged
    columns = [
        Column(name, np.arange(400), propensities[:, head], outcomes[:, head]) for head, name in enumerate("abcdefg")
    ]
    expected = {(each.category, each.metric): each for each in figures(columns, 400)}
    found = {(each.category, each.metric): each for each in recorded.figures(card)}
    compared = 0
    for key, each in found.items():
        if key in expected:
            other = expected[key]
            assert each.value == (None if other.value is None else pytest.approx(other.value, abs=1e-4)), key
            if each.category is not None:
                assert (each.support, each.is_too_small) == (other.support, other.is_too_small), key
            if each.ci_low is not None:
                assert (each.ci_low, each.ci_high) == pytest.approx((other.ci_low, other.ci_high), abs=2e-4), key
                compared += 1
    assert compared == 6 + 2  # of every category that has an AUC, and of both macro figures
    assert len(found.keys() & expected.keys()) == 7 * 5 + 3  # and the micro AUC
    assert {metric for category, metric in found if category == "a"} == {
        *("base_rate", "mean_propensity", "auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10pct")
    }


def test_what_no_positive_row_supports_is_null_and_flagged(card):
    last = {each.metric: each for each in recorded.figures(card) if each.category == "g"}
    assert (last["base_rate"].value, last["auc"].value, last["average_precision"].value) == (0, None, None)
    assert {each.support for each in last.values()} == {0}
    assert {each.is_too_small for each in last.values()} == {True}
    assert last["log_loss"].value > 0
    assert [row["is_too_small"] for row in recorded.category_rows(card, "test")] == [False] * 5 + [True] * 2


def test_rows_of_one_customer_widen_the_interval(judged):
    outcomes, propensities = (np.repeat(part, 4, axis=0) for part in judged)
    evaluation = evaluate(outcomes, propensities)
    alone = quality.recorded(evaluation, outcomes, propensities, np.arange(1600))["intervals"]
    together = quality.recorded(evaluation, outcomes, propensities, np.repeat(np.arange(400), 4))["intervals"]
    for mean in quality.INTERVALS:
        ratio = np.ptp(together[mean]) / np.ptp(alone[mean])
        assert ratio == pytest.approx(2, rel=1e-3), mean  # four copies of a row tell no more than one


def test_the_reliability_bins_hold_every_pair_once(card):
    bins = recorded.reliability(card, "test")
    assert len(bins) == quality.BINS
    assert sum(each["pairs"] for each in bins) == 400 * 7
    assert all(each["low"] - 1e-5 <= each["observed"] <= each["high"] + 1e-5 for each in bins)
    assert [each["propensity"] for each in bins] == sorted(each["propensity"] for each in bins)


def test_a_card_of_many_categories_stays_small(judged):
    outcomes, propensities = (np.tile(part[:20], (1, 3000)) for part in judged)
    evaluation = evaluate(outcomes, propensities)
    kept = quality.recorded(evaluation, outcomes, propensities, np.arange(20))
    assert set(kept["per_category"]) == {"positives", "auc", "auc_error"}
    assert len(json.dumps(kept, indent=1)) < 60 * outcomes.shape[1]


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        "good",
        {"test": "good"},
        {"test": {"overall": 3, "support": [1], "per_category": "no", "reliability": {"pairs": [1]}, "intervals": 0}},
        {"test": {"per_category": {"positives": [1, 2], "auc": ["a", "b", "c"]}, "mean_propensity": [0.1]}},
    ],
)
def test_what_a_card_does_not_say_has_no_figure(metrics):
    card = {"categories": ["a", "b", "c"], "metrics": metrics, "base_rates": None}
    assert [each for each in recorded.figures(card) if each.value is not None] == []
    assert recorded.reliability(card, "test") == []
    rows = recorded.category_rows(card, recorded.judged(card))
    assert [row["category"] for row in rows] == ["a", "b", "c"]
    assert {value for row in rows for name, value in row.items() if name != "category"} <= {None}


# --- training --------------------------------------------------------------------------------------------------------


def shop(dates: str) -> duckdb.DuckDBPyConnection:
    """Return a database whose features have the given expressions beside id and features."""
    con = duckdb.connect()
    con.execute(f"""
        CREATE TABLE features AS SELECT i % 100 AS id, {dates}, [i % 9, 10 + i % 7] AS features FROM range(400) t(i);
        CREATE TABLE labels AS SELECT * EXCLUDE (features), 'c' || features[1] % 3 AS category FROM features;
    """)
    return con


def by_day(day: str = "as_of") -> str:
    return (
        f"DATE '2025-01-01' + (i // 100 * 30)::INTEGER AS {day}, "
        "CASE WHEN i < 200 THEN 'train' WHEN i < 300 THEN 'validation' ELSE 'test' END AS split"
    )


def trained(con, tmp_path, **options):
    return train("features", "labels", con=con, settings=QUICK, folder=tmp_path, min_positives=5, **options)


def test_training_records_when_the_rows_of_each_window_are_from(tmp_path):
    columns = duckprop.dataset.Columns(("id", "as_of"))
    card = trained(shop(by_day()), tmp_path, columns=columns).card
    assert card["windows"] == {
        "train": {
            **{"rows": 200, "customers": 100, "date_column": "as_of"},
            **{"first": "2025-01-01", "last": "2025-01-31"},
        },
        "validation": {
            **{"rows": 100, "customers": 100, "date_column": "as_of"},
            **{"first": "2025-03-02", "last": "2025-03-02"},
        },
        "test": {
            **{"rows": 100, "customers": 100, "date_column": "as_of"},
            **{"first": "2025-04-01", "last": "2025-04-01"},
        },
    }


def test_a_date_that_is_no_id_tells_too_and_two_do_not(tmp_path):
    dates = "i AS visit, DATE '2025-01-01' + (i // 100 * 30)::INTEGER AS day"
    columns = duckprop.dataset.Columns(("id", "visit"))
    card = trained(shop(dates), tmp_path / "a", columns=columns).card
    assert [(found["first"], found["last"]) for found in card["windows"].values()] == [("2025-01-01", "2025-04-01")] * 2
    card = trained(shop(f"{dates}, now() AS loaded"), tmp_path / "b", columns=columns).card
    assert [set(found) for found in card["windows"].values()] == [{"rows", "customers"}] * 2
    split = f"i AS visit, {by_day('day')}"
    card = trained(shop(split), tmp_path / "c", columns=columns).card
    assert card["windows"]["test"] == {"rows": 100, "customers": 100, "date_column": "day"} | dict.fromkeys(
        ("first", "last"), "2025-04-01"
    )


def test_training_records_support_and_quality_of_each_window(tmp_path):
    con = shop(by_day())
    model = trained(con, tmp_path, columns=duckprop.dataset.Columns(("id", "as_of")))
    found = {
        (each.category, each.split): (each.support, each.n)
        for each in recorded.figures(model.card)
        if each.metric == "base_rate"
    }
    expected = con.execute("""
        SELECT l.category, f.split, count(*), any_value(n) FROM features f JOIN labels l USING (id, as_of, split)
        JOIN (SELECT split, count(*) AS n FROM features GROUP BY split) USING (split) GROUP BY ALL
    """).fetchall()
    assert found == {(category, split): (many, n) for category, split, many, n in expected}
    assert len(found) == 9
    assert "python" in model.card["versions"]
    with duckprop.connect(model=str(model.folder)) as sql:
        query = "SELECT property, value FROM propensity_model_info() WHERE section = 'calibration test'"
        told = dict(sql.execute(query).fetchall())
        rows = sql.execute("FROM propensity_quality() WHERE split = 'test' AND category = 'c1'").fetchall()
    assert float(told["observed_rate"]) == pytest.approx(1 / 3, abs=0.01)
    assert told["bin 10"].startswith("propensity ")
    assert {row[2] for row in rows} >= {"auc", "ece", "brier", "lift_at_10pct"}
