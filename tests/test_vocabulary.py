"""Feature name ↔ column: lookup, what is not a vocabulary, and the file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckprop.errors import DataError, ModelError
from duckprop.vocabulary import Vocabulary

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=8)


@given(names=NAMES, asked=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=6))
def test_columns_are_the_places_of_the_names(names, asked):
    wanted = asked + names
    expected = [names.index(name) if name in names else -1 for name in wanted]
    assert Vocabulary(names).columns(pa.array(wanted, pa.string())).tolist() == expected


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_sliced_array_is_looked_up_from_its_own_start(kind):
    assert Vocabulary(["a", "b"]).columns(pa.array(["x", "b", "a", "b"], kind)[1:3]).tolist() == [1, 0]
    assert Vocabulary(["a", "b"]).columns(pa.array([], kind)).tolist() == []


def test_names_differ_by_case_and_blanks():
    assert Vocabulary(["Milk", "milk", "milk "]).columns(pa.array(["milk ", "MILK", "Milk"])).tolist() == [2, -1, 0]


def test_a_name_given_twice_is_named():
    with pytest.raises(DataError, match="'b' is given to two columns"):
        Vocabulary(["a", "b", "c", "b"])


@pytest.mark.parametrize("name", [None, ""])
def test_a_column_without_a_name_is_refused(name):
    with pytest.raises(DataError, match="no name"):
        Vocabulary(["a", name])


def test_what_is_written_is_read_again(tmp_path):
    names = ("milk", "żółw", "a 'quoted' \"name\"", "line\nbreak")
    Vocabulary(names).write(tmp_path / "v.parquet")
    read = Vocabulary.read(tmp_path / "v.parquet")
    assert (read.names, len(read)) == (names, 4)
    assert pq.read_schema(tmp_path / "v.parquet").types == [pa.int32(), pa.string()]


def test_no_columns_at_all_is_a_vocabulary_too(tmp_path):
    Vocabulary([]).write(tmp_path / "v.parquet")
    assert len(Vocabulary.read(tmp_path / "v.parquet")) == 0


@pytest.mark.parametrize(
    "table", [{"column": [0, 2], "feature": ["a", "b"]}, {"column": [1, 0], "feature": ["a", "b"]}]
)
def test_columns_that_do_not_count_from_zero_are_refused(tmp_path, table):
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(ModelError, match="columns are not 0 to 1"):
        Vocabulary.read(tmp_path / "v.parquet")


def test_a_file_that_is_not_a_vocabulary_is_refused(tmp_path):
    path = tmp_path / "v.parquet"
    with pytest.raises(ModelError, match="not a readable vocabulary"):
        Vocabulary.read(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(ModelError, match="not a readable vocabulary"):
        Vocabulary.read(path)
    pq.write_table(pa.table({"other": [1]}), path)
    with pytest.raises(ModelError, match="not a readable vocabulary"):
        Vocabulary.read(path)
