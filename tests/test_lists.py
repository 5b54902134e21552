"""How SQL's arguments are read: texts, lists of names, numbers; every layout against a slow way in plain Python."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import CATEGORIES, NAMES
from hypothesis import example, given, settings
from hypothesis import strategies as st

import duckprop
from duckprop.errors import DataError
from duckprop.udfs import udf
from duckprop.udfs.lists import heads_of
from duckprop.udfs.udf import by_model, counts_of, distinct_of, features_of, is_repeated, maps, structs, texts, vectors

WORDS = st.sampled_from(["", "a", "b", "ab", "ä", "aä", "toys", "日本", "日", "\0", "a\0"])
NAME = st.sampled_from(CATEGORIES)
QUICK = settings(max_examples=400, deadline=None, derandomize=True)


def sliced(values, kind, before=0, after=0):
    """Return values as the middle of a longer array, as DuckDB's slices are."""
    filler = values[-1:] or [None]
    return pa.array(filler * before + values + filler * after, kind).slice(before, len(values))


# --- texts -----------------------------------------------------------------------------------------------------------


@given(st.lists(WORDS | st.none(), min_size=1, max_size=4), st.integers(0, 5), st.data())
@example(["", ""], 3, None)
@example([""], 1, None)
@QUICK
def test_is_repeated_is_what_comparing_every_part_says(part, times, data):
    values = part * times
    if data is not None and values and data.draw(st.booleans()):  # one is another, perhaps as long
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(WORDS | st.none())
    before, after = (2, 1) if data is None else (data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)))
    right = bool(values) and None not in values and values == values[: len(part)] * times
    assert is_repeated(sliced(values, pa.string(), before, after), len(part)) == right


def test_is_repeated_looks_at_where_the_texts_end_too():
    assert not is_repeated(pa.array(["ab", "c", "a", "bc"]), 2)
    assert not is_repeated(pa.array(["ab", "ba"]))
    assert is_repeated(pa.array(["ab", "c", "ab", "c"]), 2)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.binary(), pa.null(), pa.int32()])
def test_is_repeated_says_no_to_what_it_cannot_read(kind):
    assert not is_repeated(pa.array([None] * 3, kind))


@given(st.lists(WORDS | st.none(), max_size=8) | st.tuples(WORDS, st.integers(0, 8)).map(lambda c: [c[0]] * c[1]))
@QUICK
def test_distinct_of_gives_every_text_back(values):
    names, places = distinct_of(sliced(values, pa.string(), 2, 1))
    assert sorted(set(names)) == sorted(names)
    assert [None if place < 0 else names[place] for place in places] == values
    assert set(names) == {value for value in values if value is not None}


TEXTS = [
    (pa.array(["toys", None, ""]), ["toys", None, ""]),
    (pa.array(["toys", None, ""], pa.large_string()), ["toys", None, ""]),
    (pa.array(["toys", None, "toys"]).dictionary_encode(), ["toys", None, "toys"]),
    (pa.array(["x", "toys", None, "toys"]).dictionary_encode().slice(1), ["toys", None, "toys"]),
    (pa.chunked_array([["a"], ["b", None]]), ["a", "b", None]),
    (pa.array([None, None]), [None, None]),
    (pa.array([7, None], pa.int64()), ["7", None]),
    (pa.array([], pa.string()), []),
]


@pytest.mark.parametrize(("column", "right"), TEXTS)
def test_texts_of_every_type_that_reads_as_text(column, right):
    found = texts(column, "category")
    assert found.type == pa.string()
    assert found.to_pylist() == right


@pytest.mark.parametrize("column", [pa.array([["toys"]]), pa.array([{"a": 1}]), pa.array([b"\xff"])])
def test_what_does_not_read_as_text_is_refused(column):
    with pytest.raises(DataError, match=r"category cannot be of type .*\ngive a name as VARCHAR or ENUM"):
        texts(column, "category")


# --- lists of categories ---------------------------------------------------------------------------------------------


def slow(rows):
    """Each row's heads in the list's order, each once; None for no list."""
    return [
        None if row is None else [CATEGORIES.index(name) for name in dict.fromkeys(row) if name is not None]
        for row in rows
    ]


def heads_by_row(found):
    if found.same is not None:
        assert not found.is_null.any()
        assert len(found.rows) == len(found.heads) == 0
        return [found.same.tolist()] * len(found.is_null)
    assert (np.diff(found.rows) >= 0).all()
    pairs = list(zip(found.rows.tolist(), found.heads.tolist(), strict=True))
    nulls = enumerate(found.is_null.tolist())
    return [None if is_null else [head for at, head in pairs if at == row] for row, is_null in nulls]


ELEMENTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()))
ROW = st.lists(NAME | st.none(), max_size=6) | st.none()
TABLES = st.lists(ROW, max_size=7) | st.tuples(ROW, st.integers(1, 6)).map(lambda case: [case[0]] * case[1])


@given(TABLES, st.sampled_from(ELEMENTS), st.sampled_from([pa.list_, pa.large_list]), st.integers(0, 3))
@example([["toys", "books"]] * 3, pa.string(), pa.list_, 2)
@example([["toys", "books"], ["books", "toys"]], pa.string(), pa.list_, 0)
@example([["toys", "toys"], ["toys"]], pa.string(), pa.list_, 1)
@example([[], []], pa.string(), pa.list_, 1)
@QUICK
def test_heads_of_lists_are_what_reading_row_by_row_gives(small_bundle, rows, element, layout, before):
    model = duckprop.load(small_bundle)
    found = heads_of(model, sliced(rows, layout(element), before, 1), "categories")
    right = slow(rows)
    assert heads_by_row(found) == right
    table = [[head in (row or []) for head in range(len(CATEGORIES))] for row in right]
    assert found.table(len(CATEGORIES)).tolist() == table
    are_same = bool(rows) and None not in rows and all(row == rows[0] for row in rows) and None not in rows[0]
    assert (found.same is not None) == are_same
    assert found.differ == (not are_same and any(row is not None for row in rows))


@given(st.lists(st.lists(NAME | st.none(), min_size=2, max_size=2) | st.none(), min_size=1, max_size=5))
@QUICK
def test_heads_of_arrays_of_one_size(small_bundle, rows):
    found = heads_of(duckprop.load(small_bundle), sliced(rows, pa.list_(pa.string(), 2), 1, 1), "exclude")
    assert heads_by_row(found) == slow(rows)


def test_what_lies_under_a_null_list_is_not_looked_at(small_bundle):
    names = pa.array(["toys", "no such name", "books"])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), names, mask=pa.array([False, True, False]))
    found = heads_of(duckprop.load(small_bundle), lists, "categories")
    assert heads_by_row(found) == [[4], None, [0]]


@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.int32(), pa.list_(pa.string()), pa.list_(pa.null())])
def test_nulls_of_any_type_are_no_lists(small_bundle, kind):
    for count in (0, 1, 3):
        found = heads_of(duckprop.load(small_bundle), pa.array([None] * count, kind), "categories")
        assert heads_by_row(found) == [None] * count
        assert not found.differ


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array(["toys", None]), r"exclude is of type string\ngive a list of names: exclude := \['books'\]"),
        (pa.array([3]), "exclude is of type int64"),
        (pa.array([[3]]), "category '3' is not in model"),
        (pa.array([[["toys"]]]), "an element of exclude cannot be of type list"),
        (pa.array([["toys", "shoez"]] * 2), r"'shoez' is not in model .*\(did you mean 'shoes'\?\)"),
        (pa.array([["toys"], ["shoez"], None]), r"'shoez' is not in model .*\(did you mean 'shoes'\?\)"),
        (pa.array([["toys", ""]]), "category '' is not in model"),
    ],
)
def test_wrong_lists_are_refused(small_bundle, column, text):
    with pytest.raises(DataError, match=text):
        heads_of(duckprop.load(small_bundle), column, "exclude")


# --- results ---------------------------------------------------------------------------------------------------------

PARTS = st.lists(st.lists(st.integers(0, 9), max_size=4) | st.none(), max_size=6)


@given(PARTS)
@QUICK
def test_structs_and_maps_put_every_element_into_its_row(rows):
    flat = [value for row in rows for value in row or []]
    lengths, is_null = np.array([len(row or []) for row in rows], int), np.array([row is None for row in rows], bool)
    doubled = pa.array([value * 2 for value in flat], pa.int64())
    found = structs(lengths, is_null, {"a": pa.array(flat, pa.int64()), "b": doubled})
    assert found.to_pylist() == [row and [{"a": value, "b": 2 * value} for value in row] for row in rows]
    found = maps(lengths, is_null, pa.array(list(map(str, flat)), pa.string()), doubled)
    assert found.to_pylist() == [row and [(str(value), 2 * value) for value in row] for row in rows]


@pytest.mark.parametrize("shape", [(0, 3), (1, 0), (3, 2), (4, 1)])
def test_vectors(shape):
    values = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    is_null = np.arange(shape[0]) % 3 == 1
    found = vectors(values, is_null)
    assert found.type == pa.list_(pa.float32())
    assert found.to_pylist() == [None if null else row for row, null in zip(values.tolist(), is_null, strict=True)]


# --- k, features, models by row --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.int64(), pa.decimal128(38, 0), pa.null()])
def test_counts_of_whole_numbers_of_every_type(kind):
    values = [None] * 3 if kind == pa.null() else [3, None, 0]
    counts, is_null = counts_of(pa.array(values, kind), None)
    assert counts.tolist() == [value or 0 for value in values]
    assert is_null.tolist() == [value is None for value in values]


def test_a_wrong_count_names_its_row_in_the_whole_batch():
    with pytest.raises(DataError, match=r"row 9 of its batch .*: k is -1"):
        counts_of(pa.array([1, -1]), np.array([4, 9]))
    for column in (pa.array([1.0]), pa.array(["1"]), pa.array([True])):
        with pytest.raises(DataError, match="k is of type"):
            counts_of(column, None)


@given(st.lists(st.sampled_from(["x", "y", None]), min_size=1, max_size=9))
@QUICK
def test_by_model_puts_the_rows_of_each_model_back_where_they_were(references):
    class Models:
        def get(self, name):
            return name

    seen = []

    def score(model, rows):
        seen.append(model)
        places = range(len(references)) if rows is None else rows.tolist()
        return pa.array([f"{model} {place}" for place in places])

    found = by_model(Models(), pa.array(references, pa.string()), score)
    assert found.to_pylist() == [f"{name} {place}" for place, name in enumerate(references)]
    assert sorted(map(str, seen)) == sorted(map(str, set(references)))


def test_the_same_features_are_read_once_and_others_anew(small_bundle, write_bundle, monkeypatch):
    one, other = duckprop.load(small_bundle), duckprop.load(write_bundle(seed=8))
    wider = duckprop.load(write_bundle(width=41, names=None))
    first = features_of(one, pa.array([[3], [4, 5], None]), None)
    assert features_of(one, pa.array([[3], [4, 5], None]), None) is first
    assert features_of(other, pa.array([[3], [4, 5], None]), None) is first  # numbers mean the same to both
    assert features_of(wider, pa.array([[3], [4, 5], None]), None).width == 41
    by_name = [features_of(model, pa.array([[NAMES[3]]]), None) for model in (one, other, one)]
    assert len(set(map(id, by_name))) == 3  # each has a vocabulary of its own
    features_of(one, pa.array([[3], [4, 5], None]), None)
    for values in ([[3], [4, 6], None], [[3], [4, 5], []], [[3], [4, 5]], [[3], [4, 5], None, None]):
        batch = features_of(one, pa.array(values), None)
        assert batch is not first
        assert [row.indices.tolist() for row in batch.to_scipy()] == [value or [] for value in values]
    named = features_of(one, pa.array([[NAMES[3]], [NAMES[4], NAMES[5]], None]), None)
    assert named is not first
    assert named.indices.tolist() == [3, 4, 5]
    ends = [features_of(one, pa.array([[3]] * 40 + [[last]]), None).indices[-1] for last in (4, 5, 4)]
    assert ends == [4, 5, 4]  # alike but for the end
    monkeypatch.setattr(udf, "REMEMBERED", 2)
    assert features_of(one, pa.array([[1], [2, 7]]), None) is not features_of(one, pa.array([[1], [2, 7]]), None)


def test_rows_of_a_batch_keep_their_places_in_errors(small_bundle):
    with pytest.raises(DataError, match="row 2 of its batch"):
        features_of(duckprop.load(small_bundle), pa.array([[3], [4], [99]]), np.array([0, 2]))
