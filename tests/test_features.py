"""Every accepted Arrow type, however it is cut, gives the same SparseBatch; errors name the right row."""

import arrow_writers as writers
import numpy as np
import pyarrow as pa
import pytest
from arrow_writers import NAMES, WIDTH
from hypothesis import given, settings
from hypothesis import strategies as st

from duckprop.errors import DataError
from duckprop.features import feature_names, read_features
from duckprop.vocabulary import Vocabulary

VOCABULARY = Vocabulary(NAMES)
VALUES = st.sampled_from([-2.0, -0.25, 0.5, 1.0, 3.75])  # sums of a few are exact in every type
COLUMNS = st.integers(0, WIDTH - 1)
DISTINCT = st.lists(
    st.none() | st.dictionaries(COLUMNS, VALUES, max_size=5).map(lambda row: list(row.items())), max_size=8
)
REPEATED = st.lists(st.none() | st.lists(st.tuples(COLUMNS, VALUES), max_size=8), max_size=8)
JUNK = [[(11, 3.75), (0, -2.0)], None, [(5, 1.0)]]
CUTS = st.sampled_from(["whole", "sliced", "chunked"])
quick = settings(max_examples=25, deadline=None)


def expected(rows):
    """The reference, row by row in plain Python: offsets, columns, values, which are NULL."""
    offsets, columns, values = [0], [], []
    for row in rows:
        total = {}
        for column, value in row or []:
            total[column] = total.get(column, 0.0) + value
        columns += sorted(total)
        values += [total[column] for column in sorted(total)]
        offsets.append(len(columns))
    return offsets, columns, values, [row is None for row in rows]


def plain(batch, keep_zeros=True):
    matrix = batch.to_scipy().copy()
    if not keep_zeros:
        matrix.eliminate_zeros()
    return matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist(), batch.is_null.tolist()


def cut(write, rows, how):
    if how == "sliced":
        return write([*JUNK, *rows, *JUNK])[len(JUNK) : len(JUNK) + len(rows)]
    if how == "chunked":
        half = len(rows) // 2
        return pa.chunked_array([write(rows[:half]), write([]), write([*JUNK, *rows[half:]])[len(JUNK) :]])
    return write(rows)


def read(column):
    return read_features(column, WIDTH, VOCABULARY)


@pytest.mark.parametrize("name", writers.SPARSE)
@given(rows=DISTINCT, how=CUTS)
@quick
def test_sparse_types_give_the_same_batch(name, rows, how):
    batch = read(cut(writers.SPARSE[name], rows, how))
    assert plain(batch) == expected(rows)
    assert (batch.indices.dtype, batch.values.dtype, batch.width) == (np.int32, np.float32, WIDTH)


@pytest.mark.parametrize("name", [name for name in writers.SPARSE if not name.startswith("map")])
@given(rows=REPEATED, how=CUTS)
@quick
def test_duplicates_add_up(name, rows, how):
    assert plain(read(cut(writers.SPARSE[name], rows, how))) == expected(rows)


@pytest.mark.parametrize("name", writers.DENSE)
@given(rows=DISTINCT, how=CUTS)
@quick
def test_dense_types_give_the_same_batch(name, rows, how):
    batch = read(cut(writers.DENSE[name], rows, how))
    assert plain(batch, keep_zeros=False) == expected(rows)


@pytest.mark.parametrize("name", writers.PRESENT)
@given(rows=REPEATED, how=CUTS)
@quick
def test_present_features_count_one_each(name, rows, how):
    ones = [None if row is None else [(column, 1.0) for column, _ in row] for row in rows]
    assert plain(read(cut(writers.PRESENT[name], rows, how))) == expected(ones)


@given(rows=st.lists(st.none() | st.lists(st.sampled_from([*NAMES, "gone", "new", ""]), max_size=6), max_size=6))
@quick
def test_unknown_names_are_left_out_and_counted_once_each(rows):
    batch = read(pa.array(rows, pa.list_(pa.string())))
    assert batch.unknown.tolist() == [len(set(row or []) - set(NAMES)) for row in rows]
    known = [None if row is None else [(NAMES.index(name), 1.0) for name in row if name in NAMES] for row in rows]
    assert plain(batch) == expected(known)


def hidden(kind):
    """Two rows, the first NULL with junk beneath it that must not be looked at: column 99, NaN, a name nobody knows."""
    offsets, mask = pa.array([0, 2, 3], pa.int32()), pa.array([True, False])
    columns, numbers = pa.array([99, -1, 4], pa.int32()), pa.array([np.nan, np.inf, 0.5], pa.float32())
    lists = [pa.ListArray.from_arrays(offsets, items) for items in (columns, numbers)]
    match kind:
        case "struct":
            return pa.StructArray.from_arrays(lists, names=["indices", "values"], mask=mask)
        case "lists":
            lists = [pa.ListArray.from_arrays(offsets, items, mask=mask) for items in (columns, numbers)]
            return pa.StructArray.from_arrays(lists, names=["indices", "values"])
        case "map":
            return pa.MapArray.from_arrays(offsets, columns, numbers, mask=mask)
        case "pairs":
            pairs = pa.StructArray.from_arrays([columns, numbers], names=["a", "b"])
            return pa.ListArray.from_arrays(offsets, pairs, mask=mask)
    full = [np.nan] * WIDTH + [0.0] * 4 + [0.5] + [0.0] * (WIDTH - 5)
    return pa.FixedSizeListArray.from_arrays(pa.array(full, pa.float32()), WIDTH, mask=mask)


@pytest.mark.parametrize("kind", ["struct", "lists", "map", "pairs", "fixed"])
def test_what_lies_beneath_a_null_row_is_not_looked_at(kind):
    assert plain(read(hidden(kind)), keep_zeros=False) == ([0, 0, 1], [4], [0.5], [True, False])


def test_the_canonical_layout_is_not_copied():
    column = writers.SPARSE["struct"]([[(1, 0.5), (7, 1.0)], [], [(3, 3.75)]])
    batch = read(column)
    assert np.shares_memory(batch.indices, column.field("indices").values.to_numpy())
    assert np.shares_memory(batch.values, column.field("values").values.to_numpy())


@pytest.mark.parametrize("name", ["floats", "fixed floats"])
def test_dense_float_rows_are_not_copied(name):
    column = writers.DENSE[name]([[(1, 0.5)], [(3, 3.75)]])
    assert np.shares_memory(read(column).values, column.values.to_numpy())


def test_reading_does_not_change_the_callers_arrays():
    column = writers.SPARSE["struct"]([[(7, 0.5), (1, 1.0), (7, 1.0)]])
    before = column.to_pylist()
    read(column)
    assert column.to_pylist() == before


def bad(name, row):
    return writers.SPARSE[name]([None, [(2, 1.0)], None, [], row, None])


def struct(indices, values, **others):
    return {"indices": indices, "values": values, **others}


NAMED = pa.map_(pa.string(), pa.float32())
STRUCT = pa.struct([("indices", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])
VECTOR = pa.struct([("type", pa.int8()), ("size", pa.int32()), *STRUCT])
DENSE = struct(None, [0.5] * 12, type=1, size=None)
WRONG = {
    "column outside": ("outside 0 to 11", bad("struct", [(1, 1.0), (12, 1.0)])),
    "negative column": ("column -3 ", bad("map, int", [(-3, 1.0)])),
    "huge column": ("column 9223372036854775807 ", bad("struct of large lists", [(2**63 - 1, 1.0)])),
    "nan": ("value nan ", bad("pairs, int", [(1, 1.0), (2, float("nan"))])),
    "infinity": ("value -inf ", bad("struct", [(2, float("-inf"))])),
    "beyond float32": (r"value 1e\+39 ", bad("struct of large lists", [(2, 1e39)])),
    "infinite sum": ("value inf ", bad("struct", [(2, 3e38), (2, 3e38)])),
    "nan of an unknown name": ("value nan ", pa.array([None] * 4 + [[("gone", np.nan)]], NAMED)),
    "null column": ("column number 1 .* NULL", bad("pairs, int", [(1, 1.0), (None, 1.0)])),
    "null value": ("value number 2 .* NULL", bad("map, int", [(1, 1.0), (2, 1.0), (3, None)])),
    "null name": ("name number 0 .* NULL", pa.array([None, [], None, ["f1"], [None]], pa.list_(pa.string()))),
    "null in a dense row": ("value number 5 ", pa.array([None, [0.0] * 12, None, [0.0] * 12, [0.0] * 5 + [None] * 7])),
    "unequal": ("2 indices but 1 values", pa.array([None, struct([], [])] * 2 + [struct([1, 2], [1])], STRUCT)),
    "unequal twice": (
        "2 indices but 1 values",
        pa.array([None] * 4 + [struct([1, 2], [1]), struct([1], [1, 2])], STRUCT),
    ),
    "dense width": ("length 11, and the model has 12", pa.array([None, [0.0] * 12, None, [0.0] * 12, [0.0] * 11])),
    "text": ("'3:x' is not LibSVM", pa.array([None, "1:1", None, "", "2:1 3:x"])),
    "vector kind": ("type 3", pa.array([None] * 4 + [struct([], [], type=3, size=12)], VECTOR)),
    "vector size": ("length 9,", pa.array([None] * 4 + [struct([], [], type=0, size=9)], VECTOR)),
    "vector behind dense ones": (
        "1 indices but 0",
        pa.array([None, DENSE, None, DENSE, struct([1], [], type=0, size=12)], VECTOR),
    ),
    "vector unequal": ("0 indices but 1", pa.array([None] * 4 + [struct([], [1], type=0, size=12)], VECTOR)),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_row_also_behind_null_rows(name):
    words, column = WRONG[name]
    with pytest.raises(DataError, match=f"row 4 of its batch .*{words}"):
        read(column)


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_position_that_the_caller_gives(name):
    words, column = WRONG[name]
    with pytest.raises(DataError, match=f"row 104 of its batch .*{words}"):
        read_features(column, WIDTH, VOCABULARY, np.arange(100, 100 + len(column)))


@pytest.mark.parametrize(
    ("name", "width"), [("struct", 8), ("map, int", 8), ("text", 8), ("floats", 12), ("vector, sparse", 12)]
)
def test_without_a_width_the_data_say_how_wide_they_are(name, width):
    write = (writers.SPARSE | writers.DENSE)[name]
    assert read_features(write([None, [(7, 1.0), (2, 0.5)]]), None).width == width
    assert read_features(write([]), None).width == 0


def test_names_without_a_vocabulary_are_refused():
    with pytest.raises(DataError, match="no feature names"):
        read_features(pa.array([["f1"]]), WIDTH)


def test_a_column_of_untyped_nulls_is_all_null():
    batch = read(pa.nulls(3))
    assert (len(batch), batch.nnz, batch.is_null.tolist()) == (3, 0, [True] * 3)


@pytest.mark.parametrize("name", ["map, name", "map, enum", "pairs, name"])
def test_feature_names_are_the_distinct_ones(name):
    column = writers.SPARSE[name]([[(3, 1.0)], None, [(3, 1.0), (0, 0.5)]])
    assert sorted(feature_names(column).to_pylist()) == ["f0", "f3"]


@pytest.mark.parametrize("name", ["struct", "map, int", "text", "pairs, int"])
def test_columns_by_number_have_no_feature_names(name):
    assert feature_names(writers.SPARSE[name]([[(3, 1.0)], None])) is None
