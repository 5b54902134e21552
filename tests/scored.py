"""Tables of propensities and outcomes to try the SQL on."""

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

LEVELS = (0.0, 1e-30, 0.25, 0.5, float(np.nextafter(np.float32(0.5), np.float32(1))), 1.0, None)
"""Few, so that there are many ties; one is NULL."""
SCORED = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["mugs", "tea"]), st.sampled_from(LEVELS)),
    max_size=70,
    unique_by=lambda row: row[:2],
)
"""Rows of a scored relation, each customer and category once, in any order."""
OUTCOMES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["mugs", "tea", "hats"])), max_size=60)
"""What customers did, repeated, unknown to the scored relation or not."""


def scored_table(rows):
    ids, categories, propensities = zip(*rows, strict=True) if rows else ((), (), ())
    columns = [pa.array(ids, pa.int64()), pa.array(categories, pa.string()), pa.array(propensities, pa.float32())]
    return pa.table(columns, ["id", "category", "propensity"])


def outcomes_table(rows):
    ids, categories = zip(*rows, strict=True) if rows else ((), ())
    return pa.table([pa.array(ids, pa.int64()), pa.array(categories, pa.string())], ["id", "category"])


def random_scored(seed, customers=20_000, levels=40):
    """Return the rows of two categories in random order; levels: how many different propensities there are."""
    random = np.random.default_rng(seed)
    ids, categories = (part.ravel() for part in np.meshgrid(np.arange(customers), ["mugs", "tea"]))
    propensities = (random.integers(0, levels, len(ids)) / levels).astype(np.float32)
    table = pa.table([ids, categories, propensities], ["id", "category", "propensity"])
    return table.take(random.permutation(len(ids)))


def random_outcomes(seed, scored):
    """Return outcomes of customers of a scored table, likelier where their propensities are high."""
    keep = np.random.default_rng(seed).random(len(scored)) < scored["propensity"].to_numpy()
    return scored.select(["id", "category"]).filter(pa.array(keep))


def by_category(table):
    """Return {category: (ids, propensities)}, the likeliest first and ties by id; without NULL propensities."""
    found = {}
    for category in sorted(set(table["category"].to_pylist())):
        part = table.filter(pa.array([other == category for other in table["category"].to_pylist()])).drop_null()
        ids, propensities = part["id"].to_numpy(), part["propensity"].to_numpy()
        order = np.lexsort((ids, -propensities))
        if len(ids):
            found[category] = ids[order], propensities[order]
    return found
