"""Metrics against scikit-learn and against plain-Python brute force, with heavy ties, and over nothing."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn

from duckprop.errors import DataError, UsageError
from duckprop.evaluation.metrics import cumulative_gain, evaluate, reliability
from duckprop.evaluation.ranking import Ranking

# Few distinct values: nearly every comparison meets ties, and 0 and 1 meet the clipping of the log loss.
LEVELS = np.array([0, 1e-7, 0.1, 0.25, 0.5, 0.9, 1], np.float32)


@st.composite
def cases(draw, rows=24, width=7):
    shape = draw(st.integers(1, rows)), draw(st.integers(1, width))
    levels = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, len(LEVELS) - 1)))
    return draw(hnp.arrays(bool, shape)), LEVELS[levels], draw(hnp.arrays(bool, shape))


def close(ours, theirs):
    assert ours == (None if theirs is None else pytest.approx(theirs, abs=1e-9))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_aucs_log_loss_and_average_precision_equal_scikit_learn(case):
    bought, scores, new = case
    found = evaluate(bought, scores, new=new, min_positives=1)
    aucs, new_aucs = [], []
    for row, y, p, fresh in zip(found.rows("abcdefg"[: bought.shape[1]]), bought.T, scores.T, new.T, strict=True):
        clipped = np.clip(p.astype(float), 1e-6, 1 - 1e-6)
        close(row["log_loss"], sklearn.log_loss(y, clipped, labels=[False, True]))
        close(row["mean_propensity"], p.mean(dtype=float))
        assert (row["n"], row["positives"], row["new_positives"]) == (len(y), y.sum(), (y & fresh).sum())
        if y.any():
            close(row["average_precision"], sklearn.average_precision_score(y, p))
        for values, key, kept in ((aucs, "auc", slice(None)), (new_aucs, "new_auc", fresh)):
            if len(set(y[kept])) == 2:
                values.append(sklearn.roc_auc_score(y[kept], p[kept]))
                close(row[key], values[-1])
            else:
                assert row[key] is None
    assert found.support["categories_counted"] == len(aucs)
    assert found.support["new_categories_counted"] == len(new_aucs)
    close(found.overall["macro_auc"], np.mean(aucs) if aucs else None)
    close(found.overall["new_macro_auc"], np.mean(new_aucs) if new_aucs else None)
    close(found.overall["log_loss"], np.mean([row["log_loss"] for row in found.rows("abcdefg"[: bought.shape[1]])]))
    if len(set(bought.ravel())) == 2:
        close(found.overall["micro_auc"], sklearn.roc_auc_score(bought.ravel(), scores.ravel()))


def brute_precision(bought, scores, k, active):
    if bought.shape[1] < k:
        return None
    hits = []
    for y, p in zip(bought.tolist(), scores.tolist(), strict=True):
        top = sorted(range(len(p)), key=lambda category: (-p[category], category))[:k]
        if any(y) or not active:
            hits.append(sum(y[category] for category in top) / k)
    return sum(hits) / len(hits) if hits else None


@given(cases())
@settings(max_examples=150, deadline=None)
def test_precision_at_k_equals_sorting_every_row(case):
    bought, scores, _ = case
    overall = evaluate(bought, scores).overall
    close(overall["p_at_1_active"], brute_precision(bought, scores, 1, active=True))
    close(overall["p_at_5_active"], brute_precision(bought, scores, 5, active=True))
    close(overall["p_at_5_all"], brute_precision(bought, scores, 5, active=False))


def brute_found(y, p, depth):
    """Expected buyers among the ``depth`` highest, averaged over every choice from the group that the depth cuts."""
    edge = sorted(p, reverse=True)[depth - 1]
    sure = [bought for bought, score in zip(y, p, strict=True) if score > edge]
    tied = [bought for bought, score in zip(y, p, strict=True) if score == edge]
    choices = list(combinations(tied, depth - len(sure)))
    return sum(sure) + sum(map(sum, choices)) / len(choices)


@given(cases(rows=12, width=1), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_lift_and_gain_equal_the_mean_over_every_breaking_of_ties(case, share):
    y, p = case[0][:, 0], case[1][:, 0]
    depth = int(len(y) * share)
    lift = Ranking(y, p).lift(share)
    if not depth or not y.any():
        assert lift is None
    else:
        close(lift, brute_found(y.tolist(), p.tolist(), depth) / depth / (y.sum() / len(y)))
    gain = cumulative_gain(y, p)
    if not y.any():
        assert gain is None
        return
    found = [brute_found(y.tolist(), p.tolist(), d) for d in range(1, len(y) + 1)]
    np.testing.assert_allclose(gain[0], np.arange(len(y) + 1) / len(y), atol=1e-12)
    np.testing.assert_allclose(gain[1], np.array([0, *found]) / y.sum(), atol=1e-12)


def test_lift_is_the_mean_over_categories_with_support():
    y = np.zeros((20, 3), bool)
    y[:5, 0] = y[:10:2, 1] = y[0, 2] = True  # the third has too few buyers
    p = np.tile(np.linspace(0.95, 0.05, 20, dtype=np.float32)[:, None], 3)
    found = evaluate(y, p)
    close(found.per_category["lift"], [4, 2, 10])
    close(found.overall["lift_at_10pct"], 3)
    assert found.counted.tolist() == [True, True, False]


@given(cases(), st.integers(1, 9), st.randoms())
@settings(max_examples=100, deadline=None)
def test_reliability_keeps_every_pair_and_ignores_the_order_of_rows(case, bins, random):
    bought, scores, _ = case
    curve = reliability(bought, scores, bins)
    assert curve.pairs.sum() == bought.size
    assert np.ptp(curve.pairs) <= 1
    close((curve.observed * curve.pairs).sum(), bought.sum())
    close((curve.propensity * curve.pairs).sum(), scores.sum(dtype=float))
    assert (curve.low <= curve.observed + 1e-12).all()
    assert (curve.observed <= curve.high + 1e-12).all()
    order = list(range(len(bought)))
    random.shuffle(order)
    for ours, shuffled in zip(curve, reliability(bought[order], scores[order], bins), strict=True):
        np.testing.assert_allclose(ours, shuffled, atol=1e-12)


def test_calibration_error_equals_equal_count_bins_by_hand():
    random = np.random.default_rng(5)
    p = random.permutation(np.linspace(0, 1, 1003, dtype=np.float32))[:, None]
    y = random.random(p.shape) < p**2
    bins = np.array_split(np.argsort(p[:, 0]), 20)
    by_hand = sum(len(b) * abs(y[b].mean() - p[b].mean(dtype=float)) for b in bins) / len(p)
    close(evaluate(y, p).overall["ece"], by_hand)


def test_wilson_bounds_of_a_published_example():
    y = np.arange(263) < 81  # Newcombe 1998, table I: 81 of 263 → 0.2553 … 0.3662
    curve = reliability(y, np.full(263, 0.3, np.float32), bins=1)
    assert (round(curve.low[0], 4), round(curve.high[0], 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_nothing_gives_none_and_no_support(shape):
    found = evaluate(np.zeros(shape, bool), np.zeros(shape, np.float32), new=np.zeros(shape, bool))
    assert set(found.overall.values()) == {None}
    assert found.support["positives"] == found.support["categories_counted"] == found.support["pairs"] == 0
    assert (found.support["rows"], found.support["categories"]) == shape
    assert all(len(values) == shape[1] for values in found.per_category.values())
    assert len(reliability(np.zeros(shape, bool), np.zeros(shape, np.float32)).pairs) == 0


@pytest.mark.parametrize("value", [False, True])
def test_one_sided_outcomes_have_no_auc(value):
    found = evaluate(np.full((20, 6), value), np.full((20, 6), 0.5, np.float32))
    nothing = {name for name, metric in found.overall.items() if metric is None}
    active = set() if value else {"p_at_1_active", "p_at_5_active"}
    assert nothing == {"macro_auc", "micro_auc", "new_macro_auc", "lift_at_10pct"} | active
    assert found.support["active_rows"] == 20 * value
    close(found.overall["log_loss"], np.log(2))
    close(found.overall["p_at_5_all"], float(value))
    close(found.overall["ece"], 0.5)
    assert [row["auc"] for row in found.rows("abcdef")] == [None] * 6
    assert [row["lift"] for row in found.rows("abcdef")] == [1.0 if value else None] * 6


def test_new_pairs_that_were_all_bought_are_not_counted():
    y = np.arange(20)[:, None] < 10
    found = evaluate(y, np.linspace(0, 1, 20, dtype=np.float32)[:, None], new=y)
    assert found.overall["new_macro_auc"] is None
    assert (found.support["new_pairs"], found.support["new_positives"]) == (10, 10)
    assert found.support["new_categories_counted"] == 0
    assert found.overall["macro_auc"] == 0


def test_few_rows_or_categories_have_no_lift_and_no_top_five():
    overall = evaluate(np.eye(4, dtype=bool)[:, :3], np.full((4, 3), 0.2, np.float32), min_positives=1).overall
    assert overall["lift_at_10pct"] is overall["p_at_5_active"] is overall["p_at_5_all"] is None
    close(overall["p_at_1_active"], 1 / 3)  # ties: category 0 is everyone's first
    assert overall["macro_auc"] == 0.5


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.coo_matrix, np.uint8])
def test_every_kind_of_outcomes_gives_the_same(make, monkeypatch):
    random = np.random.default_rng(3)
    p = random.random((60, 9)).astype(np.float32)
    y = random.random(p.shape) < p
    plain = evaluate(y, p, new=~y)
    monkeypatch.setattr("duckprop.evaluation.metrics.BLOCK_CELLS", 7)  # many blocks, the same figures
    other = evaluate(make(y.astype(np.uint8)), np.asfortranarray(p), new=make((~y).astype(np.uint8)))
    assert other.overall == plain.overall
    assert other.support == plain.support


HALF = np.full((2, 3), 0.5, np.float32)
NONE = np.zeros((2, 3), bool)
TWICE = scipy.sparse.csr_matrix((np.ones(2), [1, 1], [0, 2, 2]), shape=(2, 3))


@pytest.mark.parametrize(
    ("outcomes", "propensities", "new", "fact"),
    [
        (NONE[:, :2], HALF, None, "outcomes: 2 × 2, propensities: 2 × 3"),
        (scipy.sparse.csr_matrix(NONE[:1]), HALF, None, "outcomes: 1 × 3, propensities: 2 × 3"),
        (NONE, HALF, NONE[:1], "new: 1 × 3, propensities: 2 × 3"),
        (NONE, np.where([[0, 0, 0], [0, 1, 0]], np.nan, HALF), None, "the propensity in row 1, category 1 is nan"),
        (NONE, HALF + np.array([0, 0, 1], np.float32), None, "the propensity in row 0, category 2 is 1.5"),
        (NONE, -HALF, None, "the propensity in row 0, category 0 is -0.5"),
        (NONE + np.array([0, 2, 0]), HALF, None, "outcomes: the value in row 0, category 1 is 2"),
        (np.where(NONE, 0, np.nan), HALF, None, "outcomes: the value in row 0, category 0 is nan"),
        (TWICE, HALF, None, "outcomes: the value in row 0, category 1 is 2.0"),
        (NONE, HALF, NONE - 1, "new: the value in row 0, category 0 is -1"),
        (NONE[0], HALF[0], None, "propensities have 1 dimensions"),
        (NONE, HALF.astype(str), None, "propensities have the type <U32"),
    ],
)
def test_errors_say_what_came_and_where(outcomes, propensities, new, fact):
    with pytest.raises(DataError) as caught:
        evaluate(outcomes, propensities, new=new)
    assert caught.value.fact == fact
    assert caught.value.remedy


def test_wrong_use_is_refused():
    with pytest.raises(UsageError, match="min_positives is 0"):
        evaluate(NONE, HALF, min_positives=0)
    with pytest.raises(UsageError, match="0 bins"):
        reliability(NONE, HALF, bins=0)
    with pytest.raises(DataError, match="2 category names for 3 evaluated categories"):
        evaluate(NONE, HALF).rows(["a", "b"])
