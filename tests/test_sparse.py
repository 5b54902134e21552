"""SparseBatch against SciPy: the same rows, whatever is done to them, and only what is canonical gets in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from duckprop.errors import DataError
from duckprop.sparse import MAX_WIDTH, build, concatenate, from_scipy

WIDTH = 9
CELLS = st.lists(st.tuples(st.integers(0, WIDTH - 1), st.sampled_from([-1.5, 0.25, 2.0])), max_size=6)
quick = settings(max_examples=60, deadline=None)


def batch_of(rows, width=WIDTH):
    """Raw rows, unsorted and with duplicates; the second of every three is NULL, row n has n unknown names."""
    lengths = [len(row) for row in rows]
    flat = [cell for row in rows for cell in row]
    columns = np.array([column for column, _ in flat], np.int64)
    batch = build(np.cumsum([0, *lengths]), columns, np.array([value for _, value in flat], np.float64), width)
    batch.is_null[1::3] = True
    batch.unknown[:] = np.arange(len(rows))
    return batch


def dense(batch):
    return batch.to_scipy().toarray()


@given(rows=st.lists(CELLS, max_size=7))
@quick
def test_build_sorts_and_adds_up(rows):
    expected = np.zeros((len(rows), WIDTH), np.float32)
    for at, row in enumerate(rows):
        for column, value in row:
            expected[at, column] += value
    batch = batch_of(rows)
    np.testing.assert_array_equal(dense(batch), expected)
    assert batch.nnz == len({(at, column) for at, row in enumerate(rows) for column, _ in row})
    for start, stop in zip(batch.indptr[:-1], batch.indptr[1:], strict=True):
        assert (np.diff(batch.indices[start:stop]) > 0).all()
    assert (len(batch), batch.indices.dtype, batch.values.dtype) == (len(rows), np.int32, np.float32)


@given(rows=st.lists(CELLS, min_size=1, max_size=7), data=st.data())
@quick
def test_take_copies_the_rows_in_the_order_asked_for(rows, data):
    batch = batch_of(rows)
    order = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), np.int64)
    taken = batch.take(order)
    np.testing.assert_array_equal(dense(taken), dense(batch)[order])
    np.testing.assert_array_equal(taken.is_null, batch.is_null[order])
    np.testing.assert_array_equal(taken.unknown, order)
    assert not np.shares_memory(taken.values, batch.values)


@given(rows=st.lists(CELLS, max_size=7), data=st.data())
@quick
def test_rows_is_a_window_on_the_same_memory(rows, data):
    batch = batch_of(rows)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    window = batch.rows(start, stop)
    np.testing.assert_array_equal(dense(window), dense(batch)[start:stop])
    assert window.indptr[0] == 0
    assert window.unknown.tolist() == list(range(start, stop))
    assert np.shares_memory(window.values, batch.values) or not window.nnz
    np.testing.assert_array_equal(dense(window.take(np.arange(len(window)))), dense(window))


@given(parts=st.lists(st.lists(CELLS, max_size=3), min_size=1, max_size=4))
@quick
def test_concatenate_puts_one_under_the_other(parts):
    batches = [batch_of(rows, WIDTH + at) for at, rows in enumerate(parts)]
    joined = concatenate(batches)
    assert joined.width == WIDTH + len(parts) - 1
    np.testing.assert_array_equal(dense(joined), dense(batch_of([row for rows in parts for row in rows], joined.width)))
    np.testing.assert_array_equal(joined.is_null, np.concatenate([batch.is_null for batch in batches]))
    np.testing.assert_array_equal(joined.unknown, np.concatenate([batch.unknown for batch in batches]))


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "coo_matrix", "lil_matrix", "dok_matrix", "csr_array"])
def test_from_scipy_takes_every_form(form):
    matrix = sparse.random(20, 30, 0.2, random_state=3, dtype=np.float64)
    np.testing.assert_array_equal(dense(from_scipy(getattr(sparse, form)(matrix))), matrix.toarray().astype(np.float32))


def test_from_scipy_adds_duplicates_up_and_leaves_the_callers_matrix_alone():
    raw = (np.array([1.0, 0.5, 2.0]), np.array([4, 1, 4]), np.array([0, 3]))
    matrix = sparse.csr_matrix(raw, shape=(1, 5))
    batch = from_scipy(matrix)
    assert (batch.indices.tolist(), batch.values.tolist()) == ([1, 4], [0.5, 3.0])
    assert matrix.indices.tolist() == [4, 1, 4]


def test_from_scipy_shares_memory_where_the_matrix_is_canonical():
    matrix = sparse.random(20, 30, 0.2, "csr", dtype=np.float32, random_state=3)
    assert np.shares_memory(from_scipy(matrix).values, matrix.data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_from_scipy_refuses_what_is_not_finite(value):
    with pytest.raises(DataError, match=r"row 1 of its batch .* not a finite 32-bit number"):
        from_scipy(sparse.csr_matrix([[1.0, 0.0], [0.0, value]]))


def test_from_scipy_refuses_a_dense_array():
    with pytest.raises(DataError, match="got ndarray"):
        from_scipy(np.eye(2))


@pytest.mark.parametrize("shape", [(0, 5), (3, 5), (0, 0)])
def test_an_empty_matrix_is_an_empty_batch(shape):
    batch = from_scipy(sparse.csr_matrix(shape))
    assert (len(batch), batch.nnz, batch.width) == (shape[0], 0, shape[1])
    assert dense(batch).shape == shape
    assert len(batch.take(np.zeros(0, np.int64))) == len(batch.rows(0, 0)) == 0
    assert len(concatenate([batch, batch])) == 2 * shape[0]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_columns_may_be_any_integers(kind):
    batch = build(np.array([0, 2]), np.array([7, 2], kind), np.ones(2, np.float32), WIDTH)
    assert batch.indices.tolist() == [2, 7]


def test_the_widest_space_and_one_beyond():
    one = (np.array([0, 1]), np.ones(1, np.float32))
    widest = build(one[0], np.array([MAX_WIDTH - 1]), one[1], None)
    assert (widest.width, widest.indices.tolist()) == (MAX_WIDTH, [MAX_WIDTH - 1])
    for column in (np.array([MAX_WIDTH]), np.array([2**63], np.uint64)):
        with pytest.raises(DataError, match=f"column {column[0]} is above"):
            build(one[0], column, one[1], None)
    with pytest.raises(DataError, match="column 18446744073709551615 is outside 0 to 8"):
        build(one[0], np.array([2**64 - 1], np.uint64), one[1], WIDTH)


def test_a_column_below_zero_is_refused_when_the_width_is_learnt():
    with pytest.raises(DataError, match="column -1 is outside"):
        build(np.array([0, 2]), np.array([3, -1]), np.ones(2, np.float32), None)
