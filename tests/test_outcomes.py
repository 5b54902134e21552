"""Outcomes against a dictionary of (customer, category) → class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duckprop.outcomes import Outcomes

CATEGORIES = ("books", "shoes", "toys")
CLASSES = ("in the window", "within a year", "no")
CUSTOMERS = st.lists(st.dictionaries(st.integers(0, 2), st.integers(0, 1), max_size=3), max_size=6)
quick = settings(max_examples=80, deadline=None)


def outcomes_of(customers):
    return Outcomes(
        np.cumsum([0, *(len(labels) for labels in customers)]),
        np.array([category for labels in customers for category in labels], np.int32),
        np.array([label for labels in customers for label in labels.values()], np.int8),
        CATEGORIES,
        CLASSES,
    )


def classes_of(customers, rows):
    """Class of each category for the customers at the given places; 2, the last, where nothing is said."""
    return np.array([[customers[row].get(category, 2) for category in range(3)] for row in rows], int).reshape(-1, 3)


@given(customers=CUSTOMERS, data=st.data())
@quick
def test_labels_come_out_as_they_went_in(customers, data):
    places = st.lists(st.integers(0, max(len(customers) - 1, 0)), max_size=8 if customers else 0)
    rows = np.array(data.draw(places), np.int64)
    outcomes, expected = outcomes_of(customers), classes_of(customers, rows)
    assert len(outcomes) == len(customers)
    np.testing.assert_array_equal(outcomes.one_hot(rows), np.eye(3, dtype=np.float32)[expected])
    np.testing.assert_array_equal(outcomes.positives(rows), expected == 0)
    counts = (expected[:, :, None] == np.arange(3)).sum(axis=0)
    np.testing.assert_allclose(outcomes.class_rates(rows, prior=1), (counts + 1 / 3) / (len(rows) + 1))
    if len(rows):
        np.testing.assert_allclose(outcomes.class_rates(rows), counts / len(rows))


def test_one_hot_is_what_mxnet_takes():
    dense = outcomes_of([{0: 1}, {}]).one_hot(np.array([0, 1]))
    assert (dense.dtype, dense.shape) == (np.float32, (2, 3, 3))
    assert (dense.sum(axis=2) == 1).all()


@pytest.mark.parametrize("rows", [[], [0, 1, 1]])
def test_class_rates_are_never_zero_and_add_up_to_one(rows):
    rates = outcomes_of([{0: 0}, {0: 0}]).class_rates(np.array(rows, np.int64), prior=1)
    assert (rates > 0).all()
    np.testing.assert_allclose(rates.sum(axis=1), 1)


def test_two_classes_are_the_usual_ones():
    plain = Outcomes(np.array([0, 1]), np.array([1], np.int32), np.array([0], np.int8), CATEGORIES)
    assert plain.classes == ("yes", "no")
    assert plain.positives(np.array([0])).tolist() == [[False, True, False]]
