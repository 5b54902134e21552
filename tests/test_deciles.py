"""propensity_deciles and propensity_lift against NumPy, with many ties, in any order of the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import (
    OUTCOMES,
    SCORED,
    by_category,
    outcomes_table,
    random_outcomes,
    random_scored,
    scored_table,
)

DECILES = "SELECT category, id, decile, percentile FROM propensity_deciles('scored') ORDER BY category, id"
LIFT = "FROM propensity_lift('scored', 'outcomes')"


def ranked(parts):
    """Return {id: number of its part}, from 1."""
    return {customer: number for number, ids in enumerate(parts, 1) for customer in ids.tolist()}


def expected_deciles(table):
    places = {}
    for category, (ids, _) in by_category(table).items():
        tenths, hundredths = (ranked(np.array_split(ids, parts)) for parts in (10, 100))
        places |= {(category, customer): (tenths[customer], hundredths[customer]) for customer in tenths}
    keys = sorted(zip(table["category"].to_pylist(), table["id"].to_pylist(), strict=True))
    return [(*key, *places.get(key, (None, None))) for key in keys]


def expected_lift(table, outcomes):
    acted = set(zip(outcomes["category"].to_pylist(), outcomes["id"].to_pylist(), strict=True))
    rows = []
    for category, (ids, _) in by_category(table).items():
        parts = np.array_split(np.array([(category, i) in acted for i in ids.tolist()]), 10)
        n, responders = (np.array([measure(part) for part in parts if len(part)]) for measure in (len, sum))
        base = responders.sum() / n.sum() or np.nan
        cum_rate = responders.cumsum() / n.cumsum()
        columns = [n, responders, responders / n, responders / n / base, cum_rate, cum_rate / base]
        gain = responders.cumsum() / (responders.sum() or np.nan)
        rows += [(category, at, *row) for at, row in enumerate(zip(*columns, gain, strict=True), 1)]
    return rows


def assert_same_figures(found, expected):
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    figures = [np.array([row[4:] for row in rows], np.float64) for rows in (found, expected)]
    np.testing.assert_allclose(*figures, rtol=1e-12)


@given(rows=SCORED)
@settings(max_examples=60, deadline=None)
def test_deciles_are_equal_parts_of_the_order_with_ties_by_id(rows_of, rows):
    table = scored_table(rows)
    assert rows_of(DECILES, scored=table) == expected_deciles(table)


@given(rows=SCORED, acts=OUTCOMES)
@settings(max_examples=60, deadline=None)
def test_lift_is_what_numpy_counts(rows_of, rows, acts):
    table, outcomes = scored_table(rows), outcomes_table(acts)
    assert_same_figures(rows_of(LIFT, scored=table, outcomes=outcomes), expected_lift(table, outcomes))


@given(rows=SCORED, acts=OUTCOMES, order=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_rows_changes_nothing(rows_of, rows, acts, order):
    before = rows_of(LIFT, scored=scored_table(rows), outcomes=outcomes_table(acts))
    order.shuffle(rows)
    order.shuffle(acts)
    assert rows_of(LIFT, scored=scored_table(rows), outcomes=outcomes_table(acts)) == before


@pytest.fixture(scope="module")
def many():
    scored = random_scored(1, customers=80_000)
    return {"scored": scored, "outcomes": random_outcomes(2, scored)}


def test_many_rows_are_what_numpy_counts_on_any_number_of_threads(rows_of, many):
    expected = expected_lift(many["scored"], many["outcomes"])
    for threads in (1, 4):
        rows_of(f"SET threads = {threads}")
        assert_same_figures(rows_of(LIFT, **many), expected)
    rows_of("RESET threads")


def test_percentiles_are_hundredths_where_there_are_so_many(rows_of):
    table = random_scored(3, customers=1234)
    assert rows_of(DECILES, scored=table) == expected_deciles(table)


def test_lift_counts_the_deciles_of_propensity_deciles(rows_of, many):
    counted = """SELECT d.category, d.decile, count(*), count(o.id) FROM propensity_deciles('scored') AS d
                 LEFT JOIN outcomes AS o ON d.id = o.id AND d.category = o.category GROUP BY ALL ORDER BY ALL"""
    assert rows_of(counted, **many) == [row[:4] for row in rows_of(LIFT, **many)]


def test_a_good_order_has_lift_and_gain_at_the_top(rows_of, many):
    found = rows_of(LIFT, **many)
    for category in ("mugs", "tea"):
        rates, gains = zip(*((row[4], row[8]) for row in found if row[0] == category), strict=True)
        assert sorted(rates, reverse=True) == list(rates)
        assert sorted(gains) == list(gains)
        assert gains[-1] == 1
        assert gains[0] > 0.15
