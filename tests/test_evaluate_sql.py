"""propensity_evaluate: scikit-learn's figures, the command line's figures, and intervals that hold what they say."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    ndcg_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from duckprop.evaluation.influence import METRICS, influences
from duckprop.evaluation.metrics import evaluate

CUSTOMERS, CATEGORIES = 400, 23
KS = (1, 3, 5, 10)
EXACT = 1e-9


def draw(seed, customers=CUSTOMERS, categories=CATEGORIES, steps=40):
    """Return propensities (n, N) of few different values, so that many are equal, and outcomes that follow them."""
    rng = np.random.default_rng(seed)
    appetite = rng.gamma(2, 0.5, (customers, 1))  # what a customer does in one category, it is apt to do in others
    truth = np.clip(
        rng.uniform(0.05, 0.5, categories) * appetite * rng.gamma(4, 0.25, (customers, categories)), 0.001, 0.9
    )
    scores = np.clip(np.round(truth * steps) / steps, 0.5 / steps, 1).astype(np.float32)
    return scores, rng.random(scores.shape) < truth


def names_of(scores):
    return [f"category {column:02}" for column in range(scores.shape[1])]


def put(con, scores, acted):
    """Make the tables scored and outcomes of matrices, rows in a random order."""
    rows, columns = np.divmod(np.random.default_rng(1).permutation(scores.size), scores.shape[1])
    names = np.array(names_of(scores))[columns]
    table = pa.table(
        {"id": rows, "category": names, "propensity": scores[rows, columns], "acted": acted[rows, columns]}
    )
    con.register("made", table)
    con.execute("CREATE OR REPLACE TABLE scored AS SELECT id, category, propensity FROM made")
    con.execute("CREATE OR REPLACE TABLE outcomes AS SELECT id, category FROM made WHERE acted")


def figures(con, query="FROM propensity_evaluate('scored', 'outcomes')"):
    """Return {(category, metric): (value, ci_low, ci_high, support, is_too_small)}."""
    rows = con.execute(query).fetchall()
    found = {row[:2]: row[2:] for row in rows}
    assert len(found) == len(rows)
    return found


def chosen(scores, k):
    """Return which k of each row's categories are its best, bool (n, N), ties to the lower one."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.put_along_axis(listed := np.zeros(scores.shape, bool), best, True, axis=1) or listed


@pytest.mark.parametrize("seed", range(3))
def test_a_categorys_figures_are_scikit_learns(con, seed):
    scores, acted = draw(seed)
    put(con, scores, acted)
    found = figures(con)
    for column, category in enumerate(names_of(scores)):
        y, p = acted[:, column], scores[:, column].astype(np.float64)
        assert len(np.unique(p)) < CUSTOMERS / 3  # ties there are
        expected = {
            "auc": roc_auc_score(y, p),
            "average_precision": average_precision_score(y, p),
            "log_loss": log_loss(y, p, labels=[False, True]),
            "brier": brier_score_loss(y, p),
        }
        for metric, value in expected.items():
            assert found[category, metric][0] == pytest.approx(value, abs=EXACT), (category, metric)
        assert {found[category, metric][3] for metric in METRICS} == {y.sum()}


@pytest.mark.parametrize("seed", range(3))
def test_overall_figures_are_scikit_learns(con, seed):
    scores, acted = draw(seed)
    put(con, scores, acted)
    found = figures(con)
    assert (acted.sum(axis=0) >= 5).all()
    for average in ("macro", "micro"):
        for metric, function in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
            expected = function(acted, scores.astype(np.float64), average=average)
            assert found[None, f"{average}_{metric}"][0] == pytest.approx(expected, abs=EXACT)
    everything = acted.ravel(), scores.ravel().astype(np.float64)
    assert found[None, "micro_log_loss"][0] == pytest.approx(log_loss(*everything), abs=EXACT)
    assert found[None, "micro_brier"][0] == pytest.approx(brier_score_loss(*everything), abs=EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_lists_are_scikit_learns(con, seed):
    scores, acted = draw(seed)
    put(con, scores, acted)
    found = figures(con)
    active = acted.any(axis=1)
    assert 0 < active.sum() < CUSTOMERS
    order = -np.arange(CATEGORIES) * 1e-9  # scikit-learn has no rule for ties: here they go to the lower category
    for k in KS:
        listed = chosen(scores, k)
        expected = {
            "precision": precision_score(acted[active], listed[active], average="samples", zero_division=0),
            "recall": recall_score(acted[active], listed[active], average="samples", zero_division=0),
            "ndcg": ndcg_score(acted[active], scores[active] + order, k=k),
        }
        for metric, value in expected.items():
            got, low, high, support, _ = found[None, f"{metric}_at_{k}"]
            assert got == pytest.approx(value, abs=EXACT), (metric, k)
            assert low < got < high
            assert support == active.sum()
        assert found[None, f"coverage_at_{k}"][0] == pytest.approx(listed.any(axis=0).mean(), abs=EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_the_command_line(con, seed):
    scores, acted = draw(seed)
    acted[:, 3] = np.arange(CUSTOMERS) < 4  # too few to count
    put(con, scores, acted)
    found, expected = figures(con), evaluate(acted, scores)
    same = {
        "macro_auc": "macro_auc",
        "micro_auc": "micro_auc",
        "micro_log_loss": "log_loss",
        "micro_ece": "ece",
        "precision_at_1": "p_at_1_active",
        "precision_at_5": "p_at_5_active",
    }
    for metric, name in same.items():
        assert found[None, metric][0] == pytest.approx(expected.overall[name], abs=EXACT), metric
    for column, category in enumerate(names_of(scores)):
        for metric in ("auc", "average_precision", "log_loss"):
            assert found[category, metric][0] == pytest.approx(expected.per_category[metric][column], abs=EXACT)
    assert [category for (category, metric), row in found.items() if row[4] and metric == "auc"] == ["category 03"]


def test_an_influence_is_the_derivative_by_the_weight():
    scores, acted = (matrix[:, 4] for matrix in draw(5, customers=60))
    step = 1e-6
    for metric, value, influence in influences(acted, scores):
        function = {"auc": roc_auc_score, "average_precision": average_precision_score}.get(metric)
        if function is None:
            continue
        for at in range(0, 60, 7):
            weights = np.ones(60)
            weights[at] += step
            slope = (function(acted, scores, sample_weight=weights) - value) / step
            assert influence[at] == pytest.approx(slope, abs=1e-6), (metric, at)


def test_influences_of_means_are_distances_from_the_mean():
    scores, acted = (matrix[:, 4] for matrix in draw(5))
    found = {metric: (value, influence) for metric, value, influence in influences(acted, scores)}
    value, influence = found["brier"]
    np.testing.assert_allclose(influence * CUSTOMERS + value, (scores - acted) ** 2, atol=1e-6)
    for metric in METRICS:
        assert abs(found[metric][1].sum()) < 1e-6, metric


def test_auc_interval_is_delongs(con):
    scores, acted = draw(8)
    put(con, scores, acted)
    y, p = acted[:, 0], scores[:, 0]
    wins = (p[y][:, None] > p[~y]) + 0.5 * (p[y][:, None] == p[~y])
    error = np.sqrt(wins.mean(axis=1).var() / y.sum() + wins.mean(axis=0).var() / (~y).sum())
    value, low, high, *_ = figures(con)["category 00", "auc"]
    assert (high - value, value - low) == (pytest.approx(1.959963984540054 * error), pytest.approx(high - value))


def test_intervals_hold_the_true_value_as_often_as_they_say(con):
    """All figures of 150 samples of customers, against those of a large population that they were drawn from."""
    scores, acted = draw(11, customers=20_000, categories=4)
    put(con, scores, acted)
    truth = figures(con)
    rng, samples, held = np.random.default_rng(2), 150, {}
    for _ in range(samples):
        rows = rng.choice(len(scores), 300, replace=False)
        put(con, scores[rows], acted[rows])
        for key, (_, low, high, *_) in figures(con).items():
            if low is not None and "ece" not in key[1]:  # an error that cannot be negative is too large in a sample
                held[key] = held.get(key, 0) + (low <= truth[key][0] <= high)
    assert len(held) >= 4 * 4 + 2 * 4 + 3 * 2
    shares = {key: count / samples for key, count in held.items()}
    assert min(shares.values()) > 0.86, shares
    assert np.mean(list(shares.values())) == pytest.approx(0.95, abs=0.025)


def test_one_customers_pairs_are_not_taken_for_independent(con):
    """Customers that are all alike in ten categories are worth one category's knowledge, not ten times it."""
    scores, acted = draw(3, categories=1)
    put(con, np.repeat(scores, 10, axis=1), np.repeat(acted, 10, axis=1))
    found = figures(con)
    for metric in ("auc", "average_precision", "log_loss", "brier"):
        alone = found["category 00", metric]
        for average in ("macro", "micro"):
            assert found[None, f"{average}_{metric}"][:3] == pytest.approx(alone[:3], abs=1e-9)


def test_rows_order_and_threads_do_not_matter(con):
    scores, acted = draw(6)
    put(con, scores, acted)
    first = figures(con)
    con.execute("SET threads = 1")
    con.execute("CREATE OR REPLACE TABLE scored AS FROM scored ORDER BY hash(id, category)")
    second = figures(con)
    assert first.keys() == second.keys()
    for key, row in first.items():
        assert row == pytest.approx(second[key], abs=1e-12, nan_ok=True), key


def test_a_customer_twice_in_a_category_is_refused(con):
    scores, acted = draw(6, customers=20)
    put(con, scores, acted)
    con.execute("INSERT INTO scored SELECT * FROM scored WHERE category = 'category 07' LIMIT 1")
    with pytest.raises(
        duckdb.InvalidInputException, match=r"category 'category 07' holds a customer 2 times\ngive each"
    ):
        figures(con)


def test_propensities_of_other_number_types(con):
    scores, acted = draw(7, steps=8)
    put(con, scores, acted)
    first = figures(con)
    for kind in ("DOUBLE", "DECIMAL(9, 7)"):
        con.execute(f"CREATE OR REPLACE VIEW other AS SELECT * REPLACE (propensity::{kind} AS propensity) FROM scored")
        other = figures(con, "FROM propensity_evaluate('other', 'outcomes')")
        for key, row in first.items():
            assert row[0] == pytest.approx(other[key][0], abs=EXACT), (kind, key)
