"""LibSVM text: what is written comes back, and what is not LibSVM text is our error, never Arrow's."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duckprop.errors import DataError
from duckprop.libsvm import parse

PAIRS = st.lists(st.tuples(st.integers(-9, 10**18 - 1), st.floats(allow_nan=False, allow_infinity=False)), max_size=5)


@given(rows=st.lists(PAIRS, max_size=5), blank=st.sampled_from([" ", "  ", "\t", "\n", " \r\n "]))
@settings(max_examples=150, deadline=None)
def test_what_is_written_comes_back(rows, blank):
    texts = [blank + blank.join(f"{column}:{value!r}" for column, value in row) + blank for row in rows]
    lengths, columns, values = parse(pa.array(texts, pa.string()))
    assert lengths.tolist() == [len(row) for row in rows]
    assert columns.tolist() == [column for row in rows for column, _ in row]
    assert values.tolist() == [value for row in rows for _, value in row]


@given(st.lists(st.text("0123456789:.+-eEnaifNI \t\nx²٣", max_size=12), max_size=3))
@settings(max_examples=500, deadline=None)
def test_any_other_text_is_an_error_of_ours(texts):
    try:
        lengths, columns, values = parse(pa.array(texts, pa.string()))
    except DataError as error:
        assert "is not LibSVM text" in error.fact  # noqa: PT017
    else:
        assert lengths.sum() == len(columns) == len(values)


@pytest.mark.parametrize("text", ["1:1.", "1:.5", "1:1e3", "1:1E-3", "1:-2", "1:+2", "1:5.e1", "01:1", "1:1e400"])
def test_numbers_are_read_as_python_reads_them(text):
    assert parse(pa.array([text]))[2].tolist() == [float(text.split(":")[1])]


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_words_for_no_number_are_read_so_that_the_value_can_be_refused(word):
    assert not np.isfinite(parse(pa.array([f"3:{word}"]))[2]).any()


@pytest.mark.parametrize(
    "text",
    ["1", ":", "1:", ":1", "1:1:1", "a:1", "1:a", "1 :1", "1.5:1", "1:1,2", "+1:1", "1:0x1", "²:1", "9" * 20 + ":1"],
)
def test_wrong_tokens_are_quoted_with_their_row(text):
    with pytest.raises(DataError, match=r"row 2 of its batch \(the first is 0\): '.*' is not LibSVM text"):
        parse(pa.array(["", "3:1", f"3:1 {text} 4:1", "5"]))


def test_the_row_named_is_the_callers():
    with pytest.raises(DataError, match="row 70 of its batch"):
        parse(pa.array(["1:1", "x"]), np.array([9, 70]))


def test_a_long_token_is_cut_in_the_error():
    with pytest.raises(DataError) as caught:
        parse(pa.array(["x" * 10_000]))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("texts", [[], [""], ["", "  ", "\t"]])
def test_empty_texts_are_empty_rows(texts):
    lengths, columns, values = parse(pa.array(texts, pa.string()))
    assert (lengths.tolist(), len(columns), len(values)) == ([0] * len(texts), 0, 0)
