"""propensity_holdout, propensity_audience and propensity_sample_size against hashlib, NumPy and SciPy."""

import hashlib
import math
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scored import LEVELS, SCORED, by_category, random_scored, scored_table

SHARES = st.none() | st.sampled_from([0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1]) | st.floats(0, 1)
SIZES = st.none() | st.integers(0, 40)


def is_held_out(customer, share, salt=""):
    """Return what the comment of propensity_holdout says, in Python."""
    return int(hashlib.md5(f"{salt}:{customer}".encode()).hexdigest()[:8], 16) < share * 2**32


@pytest.mark.parametrize("share", [0, 1e-3, 0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize("salt", ["", "tea 2025-12", "café"])
def test_a_holdout_is_what_md5_says(rows_of, share, salt):
    ids = [*range(-50, 50), *(f"c-{i} ü" for i in range(100)), ""]
    found = rows_of(
        f"SELECT id, propensity_holdout(id, {share}, '{salt}') FROM customers",
        customers=pa.table([pa.array(map(str, ids))], ["id"]),
    )
    assert found == [(str(customer), is_held_out(customer, share, salt)) for customer in ids]


def test_shares_are_kept_and_salts_are_independent(rows_of):
    n, half, tenth = 100_000, 0.5, 0.1
    counts = rows_of(f"""
        SELECT count(*) FILTER (a), count(*) FILTER (b), count(*) FILTER (c), count(*) FILTER (a AND b),
               count(*) FILTER (b AND c), count(*) FILTER (a AND c)
        FROM (SELECT propensity_holdout(id, {half}) AS a, propensity_holdout(id, {half}, 'tea') AS b,
                     propensity_holdout(id, {tenth}, 'mugs') AS c FROM range({n}) t(id))""")[0]
    for count, share in zip(counts, (half, half, tenth, half * half, half * tenth, half * tenth), strict=True):
        assert stats.binomtest(count, n, share).pvalue > 1e-4


def test_who_is_held_out_stays_so_when_the_share_grows(rows_of):
    [(both, fewer)] = rows_of("""
        SELECT count(*) FILTER (a AND b), count(*) FILTER (a)
        FROM (SELECT propensity_holdout(id, 0.1) AS a, propensity_holdout(id, 0.3) AS b FROM range(10000) t(id))""")
    assert both == fewer > 0


@given(rows=SCORED, n=SIZES, share=SHARES, least=SHARES | st.sampled_from([level for level in LEVELS if level]))
@settings(max_examples=120, deadline=None)
def test_an_audience_is_the_beginning_of_the_order(rows_of, rows, n, share, least):
    table = scored_table(rows)
    ids, propensities = by_category(table).get("tea", ((), ()))
    if not len(ids) or n is share is least is None:
        return
    sizes = [
        len(ids),
        *([] if n is None else [n]),
        *([] if share is None else [math.ceil(len(ids) * share * (1 - 1e-15))]),
    ]
    chosen = [at for at in range(min(sizes)) if least is None or propensities[at] >= np.float32(least)]
    decile = {at: tenth for tenth, part in enumerate(np.array_split(np.arange(len(ids)), 10), 1) for at in part}
    expected = [(ids[at], propensities[at], decile[at], is_held_out(ids[at], 0.5, "tea")) for at in chosen]
    asked = {"n": n, "share": share, "min_propensity": least}
    options = "".join(f", {name} := {float(value)!r}::DOUBLE" for name, value in asked.items() if value is not None)
    options = options.replace(f"{float(n)!r}::DOUBLE", str(n), 1) if n is not None else options
    assert rows_of(f"FROM propensity_audience('scored', 'tea', holdout := 0.5{options})", scored=table) == expected


def test_a_share_makes_whole_customers_of_whole_numbers(rows_of):
    table = scored_table([(i, "tea", 0.5) for i in range(100)])
    wholes = [0, 7, 10, 14, 28, 33, 55, 56, 57, 99, 100]
    assert sum(100 * (n / 100) > n for n in wholes) == 5  # as doubles; as DECIMAL they are exact
    for kind in ("DOUBLE", "DECIMAL(3, 2)"):
        counts = (
            f"SELECT count(*) FROM propensity_audience('scored', 'tea', share := {n / 100}::{kind})" for n in wholes
        )
        assert [n for (n,) in rows_of(" UNION ALL ".join(counts), scored=table)] == wholes


def test_a_larger_audience_holds_out_the_same_customers_whatever_the_order_and_threads(rows_of):
    scored = random_scored(1, customers=80_000)
    held = []
    for threads, table in ((1, scored), (4, scored.take(np.random.default_rng(2).permutation(len(scored))))):
        rows_of(f"SET threads = {threads}")
        query = "SELECT id, is_holdout FROM propensity_audience('scored', 'tea', n := {}, holdout := 0.3)"
        few, many = (rows_of(query.format(n), scored=table) for n in (500, 5000))
        assert few == many[:500]
        held.append(many)
    rows_of("RESET threads")
    assert held[0] == held[1]
    assert 0.27 < np.mean([is_holdout for _, is_holdout in held[0]]) < 0.33


def required(rate, lift, power, alpha, holdout):
    """Return the customers of a two-sided z test of two rates, unpooled; None where there is no such number."""
    raised, normal = rate * (1 + lift), NormalDist()
    if rate == 0 or raised >= 1:
        return None
    distance = max(0, normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power))
    spread = rate * (1 - rate) / holdout + raised * (1 - raised) / (1 - holdout)
    return distance**2 * spread / (raised - rate) ** 2


INSIDE = st.floats(0.01, 0.99)


@given(lift=st.floats(0.01, 3), power=INSIDE, alpha=st.floats(1e-6, 0.5), holdout=INSIDE)
@settings(max_examples=40, deadline=None)
def test_sample_sizes_are_those_of_the_formula(rows_of, lift, power, alpha, holdout):
    rates = [1, 0.9, 0.5, 0.4, 0.25, 0.1, 0.01, 1e-3, 1e-6, 0]
    table = scored_table([(10 * at + i, "tea", rate) for at, rate in enumerate(rates) for i in range(3)])
    options = f"lift := {lift!r}::DOUBLE, power := {power!r}, alpha := {alpha!r}, holdout := {holdout!r}"
    found = rows_of(f"FROM propensity_sample_size('scored', 'tea', {options})", scored=table)
    assert [row[:3] for row in found] == [(at, 3, float(np.float32(rate))) for at, rate in enumerate(rates, 1)]
    for _, n, rate, required_n, is_enough in found:
        expected = required(rate, lift, power, alpha, holdout)
        assert (required_n is None) == (expected is None)
        if expected is not None:
            assert abs(required_n - expected) <= 1 + 1e-7 * expected
            assert required_n >= expected * (1 - 1e-7)
            assert is_enough == (n >= required_n)


@pytest.mark.parametrize(("rate", "lift", "power", "holdout"), [(0.2, 0.3, 0.8, 0.5), (0.5, 0.1, 0.9, 0.2)])
def test_a_test_of_that_size_has_the_power_that_was_asked_for(rows_of, rate, lift, power, holdout):
    table = scored_table([(1, "tea", rate)])
    options = f"lift := {lift}, power := {power}, holdout := {holdout}"
    [(n,)] = rows_of(f"SELECT required_n FROM propensity_sample_size('scored', 'tea', {options})", scored=table)
    random, times = np.random.default_rng(5), 20_000
    held = round(n * holdout)
    left, called = (random.binomial(size, p, times) / size for size, p in ((held, rate), (n - held, rate * (1 + lift))))
    error = np.sqrt(left * (1 - left) / held + called * (1 - called) / (n - held))
    seen = np.mean(np.abs(called - left) / error > NormalDist().inv_cdf(0.975))
    assert seen == pytest.approx(power, abs=0.01)


def test_the_normal_quantile_is_that_of_scipy(rows_of):
    p = np.concatenate([np.logspace(-9, -1, 400), np.linspace(0.02, 0.98, 400), 1 - np.logspace(-9, -1, 400)])
    p = np.append(p, [0.02425, 0.97575, np.nextafter(0.02425, 0), np.nextafter(0.97575, 1), 0.5])
    found = rows_of(
        "SELECT duckprop.__duckprop_normal_quantile(p) FROM probabilities", probabilities=pa.table({"p": p})
    )
    np.testing.assert_allclose(np.array(found)[:, 0], stats.norm.ppf(p), rtol=2e-9, atol=1e-8)
