"""The distribution of propensities that a model carries: its bins, its file, and what is wrong with a bad one."""

import json
import re

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import duckprop
from duckprop import bundle
from duckprop.baseline import baseline_of, read_baseline, write_baseline
from duckprop.errors import ModelError

INFINITY = float("inf")


def bins_of(*propensities):
    """Return [(upper, n)] of one category with these propensities."""
    rows = baseline_of(np.array(propensities, np.float32)[:, None]).to_pylist()
    assert [(row["category_id"], row["bin"]) for row in rows] == [(0, at) for at in range(1, len(rows) + 1)]
    return [(row["upper"], row["n"]) for row in rows]


def test_twenty_different_propensities_make_ten_bins_of_two():
    ordered = np.arange(1, 21, dtype=np.float32) / 32
    uppers = [*ordered[1:-1:2].tolist(), INFINITY]
    assert bins_of(*ordered[::-1]) == [(upper, 2) for upper in uppers]


def test_equal_propensities_share_a_bin():
    assert bins_of(*[0.5] * 7) == [(0.5, 7), (INFINITY, 0)]
    assert bins_of(0.25) == [(0.25, 1), (INFINITY, 0)]
    assert bins_of(*[0.25] * 19, 0.75) == [(0.25, 19), (INFINITY, 1)]
    assert bins_of(*[0.25] * 5, *[0.5] * 5) == [(0.25, 5), (0.5, 5), (INFINITY, 0)]
    assert bins_of(0, 0, 1, 1, 1) == [(0, 2), (1, 3), (INFINITY, 0)]


def test_neighbours_in_float32_are_not_equal():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    assert bins_of(low, low, high, high) == [(float(low), 2), (float(high), 2), (INFINITY, 0)]


@given(st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_bins_are_what_their_definition_says(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shape = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 4))
    propensities = random.random(shape).astype(np.float32)
    if data.draw(st.booleans()):
        propensities = np.round(propensities, data.draw(st.integers(0, 2)))
    ids, bins, edges, numbers = (column.to_numpy() for column in baseline_of(propensities).columns)
    for head in range(shape[1]):
        column, uppers, of_head = propensities[:, head], edges[ids == head], numbers[ids == head].tolist()
        assert bins[ids == head].tolist() == list(range(1, len(uppers) + 1))
        at_most = {p: int((column <= p).sum()) for p in column}
        tenths = {min(p for p in column if 10 * at_most[p] >= k * shape[0]) for k in range(1, 10)}
        assert set(uppers[:-1]) == tenths
        assert (np.diff(uppers) > 0).all()
        assert uppers[-1] == INFINITY
        below = np.append(-1, uppers[:-1])
        counts = [int(((column > low) & (column <= high)).sum()) for low, high in zip(below, uppers, strict=True)]
        assert of_head == counts
        assert sum(counts) == shape[0]
        if len(np.unique(column)) == shape[0] >= 10:
            assert len(counts) == 10
            assert max(counts) - min(counts) <= 1


def test_what_was_written_is_read(tmp_path, write_bundle):
    folder = write_bundle()
    propensities = np.random.default_rng(1).random((50, 5)).astype(np.float32)
    write_baseline(folder, propensities)
    refresh(folder)
    assert duckprop.load(folder).baseline.equals(baseline_of(propensities))


# --- what is wrong ---------------------------------------------------------------------------------------------------


def refresh(folder, drop=False):
    """Make the card say of every file what it is now; ``drop``: forget the baseline."""
    card = json.loads((folder / bundle.CARD).read_text())
    del card["files"], card["format"]
    if drop:
        (folder / bundle.BASELINE).unlink()
    bundle.write_card(folder, card)


def read(folder):
    return read_baseline(folder, bundle.read_card(folder), "shop@1")


def test_a_bundle_without_a_baseline_says_what_to_do(write_bundle):
    folder = write_bundle()
    refresh(folder, drop=True)
    with pytest.raises(ModelError, match="'shop@1' carries no baseline") as caught:
        read(folder)
    assert caught.value.remedy.startswith("give propensity_drift a relation")
    assert caught.value.remedy.endswith("train the model again")
    with duckprop.connect(model=str(folder)) as con:
        assert con.execute("SELECT propensity([3], 'toys') > 0").fetchone() == (True,)
        with pytest.raises(duckdb.Error, match=r"ModelError: model '.*' carries no baseline.*\ngive propensity_drift"):
            con.execute("FROM propensity_baseline()").fetchall()


def test_a_changed_file_is_found_before_it_is_read(write_bundle):
    folder = write_bundle()
    path = folder / bundle.BASELINE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"baseline.parquet is not the file that was published"):
        read(folder)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no Parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(write_bundle, data):
    folder = write_bundle()
    (folder / bundle.BASELINE).write_bytes(data)
    refresh(folder)
    with pytest.raises(ModelError, match=r"baseline.parquet is not a readable baseline: .*\ncopy the model again"):
        read(folder)


def table(**change):
    """Return a baseline of five categories with three bins each, some columns replaced."""
    columns = {
        "category_id": pa.array(np.repeat(np.arange(5), 3), pa.int32()),
        "bin": pa.array([1, 2, 3] * 5, pa.int32()),
        "upper": pa.array([0.25, 0.5, INFINITY] * 5, pa.float32()),
        "n": pa.array([5] * 15, pa.int64()),
    }
    return pa.table(columns | change)


def edited(name, at, value):
    column = table()[name].to_pylist()
    column[at] = value
    return table(**{name: pa.array(column, table().schema.field(name).type)})


CATEGORIES, RISE, NUMBERED = "categories are not 0 to 4, each once", "do not rise to infinity", "not numbered from 1"
WRONG = {
    "a column too few": (table().drop_columns("n"), "its columns are category_id int32, bin int32, upper float$"),
    "a column too many": (table(more=pa.array([1] * 15)), "its columns are .*, more int64$"),
    "another order": (
        table().select(["bin", "category_id", "upper", "n"]),
        "its columns are bin int32, category_id int32, upper",
    ),
    "doubles": (table(upper=pa.array([0.25, 0.5, INFINITY] * 5)), "its columns are .* upper double"),
    "texts": (table(n=pa.array(["5"] * 15)), "its columns are .* n string"),
    "a NULL": (edited("upper", 3, None), "it has NULLs"),
    "no rows": (table().slice(0, 0), CATEGORIES),
    "a category too few": (table().slice(0, 12), CATEGORIES),
    "the first one missing": (table().slice(3), CATEGORIES),
    "a category too many": (pa.concat_tables([table(), table(category_id=pa.array([5] * 15, pa.int32()))]), CATEGORIES),
    "an unknown category": (edited("category_id", 14, 99), CATEGORIES),
    "another category": (table(category_id=pa.array(np.repeat([0, 1, 2, 3, 99], 3), pa.int32())), CATEGORIES),
    "categories in another order": (table(category_id=pa.array(np.repeat([1, 0, 2, 3, 4], 3), pa.int32())), CATEGORIES),
    "a category below 0": (edited("category_id", 0, -1), CATEGORIES),
    "a category twice": (pa.concat_tables([table(), table()]), CATEGORIES),
    "a bin twice": (edited("bin", 1, 1), NUMBERED),
    "bins from 0": (table(bin=pa.array([0, 1, 2] * 5, pa.int32())), NUMBERED),
    "bins that go on": (table(bin=pa.array(range(1, 16), pa.int32())), NUMBERED),
    "a falling edge": (edited("upper", 4, 0.125), RISE),
    "an edge twice": (edited("upper", 4, 0.25), RISE),
    "an edge that is no number": (edited("upper", 4, float("nan")), RISE),
    "no last edge": (edited("upper", 14, 0.75), RISE),
    "no last edge in the middle": (edited("upper", 5, 0.75), RISE),
    "two last edges": (edited("upper", 4, INFINITY), RISE),
    "a last edge of minus infinity": (edited("upper", 14, -INFINITY), RISE),
    "an only edge of minus infinity": (edited("upper", 12, -INFINITY).slice(0, 13), RISE),
    "a count below 0": (edited("n", 7, -3), "it counts -3 propensities in a bin"),
}


@pytest.mark.parametrize(("found", "match"), WRONG.values(), ids=WRONG.keys())
def test_a_baseline_that_does_not_fit_its_model_is_refused(write_bundle, found, match):
    folder = write_bundle()
    pq.write_table(found, folder / bundle.BASELINE)
    refresh(folder)
    with pytest.raises(ModelError, match="is no baseline of this model") as caught:
        read(folder)
    assert str(folder / bundle.BASELINE) in caught.value.fact
    assert re.search(match, caught.value.fact)


def test_the_made_table_itself_is_fine(write_bundle):
    folder = write_bundle()
    pq.write_table(table(), folder / bundle.BASELINE)
    refresh(folder)
    assert read(folder).equals(table())
