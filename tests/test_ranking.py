"""The k best against sorting in plain Python, with many ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from duckprop.ranking import best

SHAPES = st.tuples(st.integers(0, 6), st.integers(1, 12))
LEVELS = st.sampled_from([0.0, -0.0, 1e-45, 1e-38, 0.25, np.nextafter(np.float32(0.25), np.float32(1)), 0.5, 1.0])


def brute_force(scores, k, allowed):
    """Sort heads by falling score, the lower head first among equals."""
    rows = []
    for row, may in zip(scores.tolist(), allowed.tolist(), strict=True):
        heads = [head for head in range(len(row)) if may[head]]
        rows.append(sorted(heads, key=lambda head, row=row: (-row[head], head))[:k])
    return rows


@given(data=st.data(), shape=SHAPES, k=st.integers(0, 15))
@settings(max_examples=300, deadline=None)
def test_top_is_what_sorting_gives(data, shape, k):
    scores = data.draw(arrays(np.float32, shape, elements=LEVELS.map(np.float32)))
    allowed = data.draw(arrays(np.bool_, shape))
    found = best(scores, k, allowed)
    assert found.heads.shape == found.propensities.shape == (shape[0], min(k, shape[1]))
    expected = brute_force(scores, k, allowed)
    assert [row[:count] for row, count in zip(found.heads.tolist(), found.counts, strict=True)] == expected
    np.testing.assert_array_equal(found.propensities, np.take_along_axis(scores, found.heads, axis=1))


def test_everything_is_allowed_where_nothing_is_said():
    scores = np.array([[0.5, 0.75, 0.5, 0.25]], np.float32)
    found = best(scores, 3)
    assert (found.heads.tolist(), found.counts.tolist()) == ([[1, 0, 2]], [3])


def test_among_equals_the_lower_head_comes_first_in_a_wide_model():
    found = best(np.full((3, 5000), 0.1, np.float32), 7)
    assert found.heads.tolist() == [list(range(7))] * 3


@pytest.mark.parametrize("k", [0, 1, 10**9])
def test_no_rows(k):
    found = best(np.zeros((0, 4), np.float32), k)
    assert (found.heads.shape, found.counts.shape) == ((0, min(k, 4)), (0,))


def test_the_callers_scores_are_left_alone():
    scores = np.array([[0.5, -0.0]], np.float32)
    best(scores, 1)
    assert np.signbit(scores[0, 1])
