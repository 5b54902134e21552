"""propensity_calibration against the Python side, which draws the report's reliability diagram."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import OUTCOMES, SCORED, outcomes_table, random_outcomes, random_scored, scored_table

from duckprop.evaluation.curves import _wilson, reliability

CALIBRATION = "FROM propensity_calibration('scored', 'outcomes', bins := {})"


def columns_of(found, category):
    """Return propensity, observed, pairs, low, high of one category, as ``reliability`` does."""
    rows = [row[1:] for row in found if row[0] == category]
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    n, mean, rate, low, high = np.array([row[1:] for row in rows]).T
    return mean, rate, n, low, high


@pytest.fixture(scope="module")
def untied():
    """Return three categories of 1, 7 and 1000 customers, no two equal in propensity."""
    random = np.random.default_rng(3)
    names = np.repeat(["one", "seven", "thousand"], [1, 7, 1000])
    propensities = random.permutation(len(names)).astype(np.float32) / len(names)
    return pa.table([np.arange(len(names)), names, propensities], ["id", "category", "propensity"])


@pytest.mark.parametrize("bins", [1, 2, 10, 20, 333, 5000])
def test_bins_and_intervals_are_those_of_reliability(rows_of, untied, bins):
    outcomes = random_outcomes(4, untied)
    found = rows_of(CALIBRATION.format(bins), scored=untied, outcomes=outcomes)
    acted = np.isin(untied["id"].to_numpy(), outcomes["id"].to_numpy())
    for category in ("one", "seven", "thousand"):
        its = untied["category"].to_numpy(zero_copy_only=False) == category
        expected = reliability(acted[its], untied["propensity"].to_numpy()[its], bins)
        np.testing.assert_allclose(columns_of(found, category), expected, rtol=1e-12, atol=1e-15)


@given(rows=SCORED, acts=OUTCOMES, bins=st.integers(1, 12), order=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_every_customer_is_in_one_bin_in_any_order_of_the_rows(rows_of, rows, acts, bins, order):
    query = CALIBRATION.format(bins)
    found = rows_of(query, scored=scored_table(rows), outcomes=outcomes_table(acts))
    order.shuffle(rows)
    assert rows_of(query, scored=scored_table(rows), outcomes=outcomes_table(acts)) == found
    for category in {row[0] for row in found}:
        known = {(i, c): p for i, c, p in rows if c == category and p is not None}
        mean, rate, n, low, high = columns_of(found, category)
        assert n.sum() == len(known)
        assert n.max() - n.min() <= 1
        assert len(n) == min(bins, len(known))
        assert sorted(mean) == list(mean)
        assert np.isclose((mean * n).sum(), sum(map(np.float32, known.values())))
        assert np.isclose((rate * n).sum(), len(known.keys() & set(acts)))
        assert ((low >= 0) & (low <= rate) & (rate <= high) & (high <= 1)).all()


def test_many_rows_give_the_same_on_any_number_of_threads(rows_of):
    scored = random_scored(5, customers=80_000)
    outcomes = random_outcomes(6, scored)
    found = []
    for threads in (1, 4):
        rows_of(f"SET threads = {threads}")
        found.append(rows_of(CALIBRATION.format(10), scored=scored, outcomes=outcomes))
    rows_of("RESET threads")
    assert [row[:3] for row in found[0]] == [row[:3] for row in found[1]]
    np.testing.assert_allclose(*([row[3:] for row in rows] for rows in found), rtol=1e-14)
    assert all(low < mean < high for _, _, _, mean, _, low, high in found[0])  # random outcomes are calibrated


def test_wilson_bounds_are_those_of_python(rows_of):
    rate, count = (part.ravel() for part in np.meshgrid(np.linspace(0, 1, 101), [1.0, 2, 10, 1e3, 1e9]))
    found = rows_of(
        "SELECT duckprop.__duckprop_wilson(rate, n, -1), duckprop.__duckprop_wilson(rate, n, 1) FROM grid",
        grid=pa.table([rate, count], ["rate", "n"]),
    )
    np.testing.assert_allclose(np.array(found).T, _wilson(rate, count), rtol=1e-12, atol=1e-15)
