"""propensity_drift against NumPy and SciPy, and its bins against those that a model carries."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import CATEGORIES, WIDTH
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scored import LEVELS, random_scored

from duckprop.baseline import baseline_of
from duckprop.compiled import CompiledScorer
from duckprop.formats.mxnet import read_checkpoint
from duckprop.verify import random_rows

FLOATS = st.floats(0, 1, width=32) | st.sampled_from([level for level in LEVELS if level is not None])
SOME = st.lists(FLOATS, min_size=1, max_size=60).map(lambda values: np.array(values, np.float32))


def table_of(propensities, category="tea"):
    columns = [np.arange(len(propensities)), np.full(len(propensities), category), propensities]
    return pa.table(columns, ["id", "category", "propensity"])


def bins_of(propensities):
    """Return the edges and counts of the bins that a model would carry."""
    table = baseline_of(propensities[:, None])
    return table["upper"].to_numpy(), table["n"].to_numpy()


def expected_drift(now, before):
    """Return psi and js of two arrays, in the bins of the second."""
    uppers, baseline = bins_of(before)
    counts = np.bincount(np.searchsorted(uppers, now), minlength=len(uppers))
    a, b = ((part + 0.5) / (part.sum() + 0.5 * len(part)) for part in (counts, baseline))
    distance = jensenshannon(counts, baseline, base=2)  # the root of the divergence; NaN where it rounds below zero
    return ((a - b) * np.log(a / b)).sum(), np.nan_to_num(distance) ** 2


@given(propensities=SOME)
@settings(max_examples=150, deadline=None)
def test_tenths_are_the_bins_that_a_model_carries(rows_of, propensities):
    found = rows_of("FROM duckprop.__duckprop_tenths('baseline')", baseline=table_of(propensities))
    uppers, counts = bins_of(propensities)
    assert found == [("tea", uppers.tolist(), counts.tolist())]


@given(now=SOME, before=SOME)
@settings(max_examples=100, deadline=None)
def test_drift_is_what_scipy_says(rows_of, now, before):
    tables = {"scored": table_of(now), "baseline": table_of(before)}
    [(_, psi, js, n, n_baseline)] = rows_of("FROM propensity_drift('scored', 'baseline')", **tables)
    assert (n, n_baseline) == (len(now), len(before))
    assert 0 <= js <= 1
    np.testing.assert_allclose((psi, js), expected_drift(now, before), rtol=1e-9, atol=1e-12)


@given(propensities=SOME, order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_nothing_has_drifted_from_itself_in_another_order(rows_of, propensities, order):
    tables = {"scored": table_of(np.array(order.sample(list(propensities), len(propensities)), np.float32))}
    found = rows_of("FROM propensity_drift('scored', 'baseline')", baseline=table_of(propensities), **tables)
    assert found == [("tea", 0, 0, len(propensities), len(propensities))]


def test_js_stays_within_1_where_the_sum_of_its_terms_does_not(rows_of):
    tables = {"scored": table_of(np.ones(3, np.float32)), "baseline": table_of(np.array([2, 3, 6, 8, 9]) / 16)}
    assert rows_of("SELECT js FROM propensity_drift('scored', 'baseline')", **tables) == [(1,)]


def test_many_rows_of_several_categories_on_any_number_of_threads(rows_of):
    scored, baseline = random_scored(1, 80_000), random_scored(2, 70_000, levels=1000)
    squared = pa.array(baseline["propensity"].to_numpy() ** 2)  # so that there is drift
    baseline = baseline.set_column(2, "propensity", squared)
    for threads in (1, 4):
        rows_of(f"SET threads = {threads}")
        found = rows_of("FROM propensity_drift('scored', 'baseline')", scored=scored, baseline=baseline)
        assert [(category, n, before) for category, _, _, n, before in found] == [
            ("mugs", 80_000, 70_000),
            ("tea", 80_000, 70_000),
        ]
        for category, psi, js, *_ in found:
            now, before = (
                table.filter(pa.array(table["category"].to_numpy(zero_copy_only=False) == category))["propensity"]
                for table in (scored, baseline)
            )
            np.testing.assert_allclose((psi, js), expected_drift(now.to_numpy(), before.to_numpy()), rtol=1e-9)
            assert psi > 0.25
    rows_of("RESET threads")


def test_without_drift_psi_is_about_what_its_comment_says(rows_of):
    random, n, before = np.random.default_rng(3), 900, 1800
    found = []
    for _ in range(40):
        tables = {"scored": table_of(random.random(n)), "baseline": table_of(random.random(before))}
        found.append(rows_of("SELECT psi FROM propensity_drift('scored', 'baseline')", **tables)[0][0])
    assert np.mean(found) == pytest.approx(9 / n + 9 / before, rel=0.25)


def test_the_baseline_that_a_model_carries_is_that_of_the_rows_it_was_made_from(con, small_bundle):
    rows = random_rows(np.random.default_rng(7), "many", 300, WIDTH)
    held_back = CompiledScorer(read_checkpoint(small_bundle, "model")).score(rows)
    baseline = pa.concat_tables(table_of(held_back[:, at], name) for at, name in enumerate(CATEGORIES))
    now = random_scored(4, 200)
    scored = now.set_column(
        1, "category", pa.array(np.where(now["category"].to_numpy(zero_copy_only=False) == "tea", "toys", "books"))
    )
    con.register("scored", scored)
    con.register("baseline", baseline)
    carried = con.execute("FROM propensity_drift('scored')").fetchall()
    assert carried == con.execute("FROM propensity_drift('scored', 'baseline')").fetchall()
    assert [row[0] for row in carried] == list(CATEGORIES)
    assert [row[0] for row in carried if row[1] is not None] == ["books", "toys"]
