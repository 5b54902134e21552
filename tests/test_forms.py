"""Forms are what they say, and the Network that they are lowered to computes the same: held against plain NumPy."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_reference import FUNCTIONS, propensities
from scipy import sparse
from scipy.special import expit, softmax

from duckprop.errors import ModelError
from duckprop.formats import forms, lowering
from duckprop.formats.forms import CannotFold
from duckprop.formats.lowering import heads_network, sigmoid_network
from duckprop.network import ACTIVATIONS, LINKS

WIDTH, ROWS = 17, 9
FAST = {"deadline": None, "derandomize": True}


def norms(rows, norm):
    """Return what each row is divided by, (n, 1)."""
    kind, epsilon = norm
    total = (rows * rows).sum(axis=1) if kind == "l2" else np.abs(rows).sum(axis=1)
    return (np.sqrt(total + epsilon) if kind == "l2" else total + epsilon)[:, None]


@dataclass
class Both:
    """A form, and the float64 numbers (n, m) that it stands for."""

    form: forms.Form
    numbers: np.ndarray

    def matmul(self, weight):
        return Both(forms.matmul(self.form, weight), self.numbers @ weight)

    def plus(self, other):
        return Both(forms.add(self.form, other.form), self.numbers + other.numbers)

    def moved(self, values):
        return Both(forms.add_constant(self.form, values), self.numbers + values)

    def times(self, values):
        return Both(forms.multiply(self.form, values), self.numbers * values)

    def taken(self, columns):
        return Both(forms.take(self.form, columns), self.numbers[:, columns])

    def activated(self, name, a=0.0, b=0.0):
        return Both(forms.activate(self.form, name, a, b), FUNCTIONS[name](self.numbers, a, b))


def joined(parts):
    return Both(forms.concat([part.form for part in parts]), np.concatenate([part.numbers for part in parts], axis=1))


class Draws:
    """Random graphs: every step makes a form of those before it."""

    def __init__(self, seed, norm=None):
        self.random = np.random.default_rng(seed)
        self.rows = self.random.normal(size=(ROWS, WIDTH)) * (self.random.random((ROWS, WIDTH)) < 0.4)
        self.rows = self.rows.astype(np.float32).astype(np.float64)
        self.pool = [Both(forms.features(WIDTH), self.rows)]
        if norm is not None:
            self.pool = [self.scaled(norm) for _ in range(3)]

    def scaled(self, norm):
        """Return rows behind a first matrix, with or without a constant, scaled by their features' norm."""
        both = self.pool[0].matmul(self.weight(WIDTH, 6)) if self.random.random() < 0.8 else self.pool[0]
        both = both.moved(self.numbers(both.form.size)) if self.random.random() < 0.5 else both
        return Both(forms.scale_rows(both.form, norm), both.numbers / norms(self.rows, norm))

    def numbers(self, *shape):
        return self.random.normal(size=shape).astype(np.float32).astype(np.float64)

    def weight(self, rows, columns):
        weight = (self.numbers(rows, columns) / np.sqrt(rows)).astype(np.float32)
        if self.random.random() < 0.4:
            kind = self.random.choice([sparse.csr_matrix, sparse.csc_matrix])
            return kind(weight * (self.random.random(weight.shape) < 0.5))
        return weight

    def parameters(self, size):
        """Return a and b: for all units, or one each."""
        shape = (2, size) if self.random.random() < 0.5 else (2,)
        return np.sort(self.random.uniform(0.1, 1.5, shape), axis=0).astype(np.float32)

    def step(self):
        one = self.pool[self.random.integers(len(self.pool))]
        size, what = one.form.size, self.random.integers(7)
        if what == 0:
            return one.matmul(self.weight(size, self.random.integers(1, 8)))
        if what == 1:
            same = [both for both in self.pool if both.form.size == size]
            return one.plus(same[self.random.integers(len(same))])
        if what == 2:
            return one.moved(self.numbers(size) if self.random.random() < 0.5 else 0.75)
        if what == 3:
            return one.times(self.numbers(size) if self.random.random() < 0.5 else -1.5)
        if what == 4:
            return joined([one, self.pool[self.random.integers(len(self.pool))]])
        if what == 5:
            order = self.random.permutation(size)[: self.random.integers(1, size + 1)]
            again = self.random.random() < 0.2
            return one.taken(self.random.integers(0, size, size) if again else order)
        name = self.random.choice(ACTIVATIONS)
        return one.activated(name, *self.parameters(size))

    def logits(self, steps, size):
        """Return logits made of several of the forms, so that paths of different depth meet."""
        for _ in range(steps):
            found = self.step()
            if found.form.size <= 40 and np.abs(found.numbers).max() < 30:
                self.pool.append(found)
        ends = [self.pool[-1], *(self.pool[at] for at in self.random.integers(0, len(self.pool), 2))]
        total = ends[0].matmul(self.weight(ends[0].form.size, size))
        for end in ends[1 : self.random.integers(1, 4)]:
            total = total.plus(end.matmul(self.weight(end.form.size, size)))
        return total.moved(self.numbers(size)) if self.random.random() < 0.5 else total


def linked(logits, link):
    if link == "softmax":
        return softmax(logits, axis=1)
    each = expit(logits)
    return each if link == "heads" else each / each.sum(axis=1, keepdims=True)


NORMS = st.sampled_from([None, None, ("l2", 1e-6), ("l1", 0.5)])


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 14), link=st.sampled_from(LINKS), norm=NORMS)
@settings(max_examples=300, **FAST)
def test_any_graph_of_forms_is_lowered_to_a_network_that_computes_it(seed, steps, link, norm):
    draws = Draws(seed, norm)
    logits = draws.logits(steps, 5)
    network = sigmoid_network(logits.form, link)
    assert (network.heads, network.classes, network.width, network.link) == (5, 2, WIDTH, link)
    np.testing.assert_allclose(propensities(network, draws.rows), linked(logits.numbers, link), rtol=0, atol=1e-5)


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 14), classes=st.integers(2, 4), norm=NORMS, data=st.data())
@settings(max_examples=200, **FAST)
def test_any_graph_of_forms_is_lowered_to_heads_of_classes(seed, steps, classes, norm, data):
    draws, positive = Draws(seed, norm), data.draw(st.integers(0, classes - 1))
    logits = draws.logits(steps, 4 * classes)
    network = heads_network(logits.form, 4, classes)
    expected = softmax(logits.numbers.reshape(ROWS, 4, classes), axis=2)[:, :, positive]
    assert (network.heads, network.classes, network.link) == (4, classes, "heads")
    np.testing.assert_allclose(propensities(network, draws.rows, positive), expected, rtol=0, atol=1e-5)


def agree(logits, draws):
    network = sigmoid_network(logits.form)
    np.testing.assert_allclose(propensities(network, draws.rows), expit(logits.numbers), rtol=0, atol=1e-6)
    return network


def test_what_is_not_activated_costs_no_units():
    draws = Draws(1)
    hidden = draws.pool[0].matmul(draws.weight(WIDTH, 6)).times(draws.numbers(6)).moved(draws.numbers(6))
    heads = [hidden.activated("relu").times(2.0).matmul(draws.weight(6, 1)) for _ in range(3)]
    network = agree(joined(heads).moved(draws.numbers(3)), draws)
    assert [network.first.weight.shape, *(layer.weight.shape for layer in network.hidden)] == [(WIDTH, 18)]
    one = hidden.activated("relu")
    network = agree(joined([one.matmul(draws.weight(6, 1)) for _ in range(3)]), draws)
    assert (network.first.weight.shape, network.hidden) == ((WIDTH, 6), ())


def test_paths_of_different_depth_pass_through_as_they_are():
    draws = Draws(2)
    one = draws.pool[0].matmul(draws.weight(WIDTH, 4)).activated("tanh")
    two = one.matmul(draws.weight(4, 3)).activated("relu")
    three = joined([two, one]).matmul(draws.weight(7, 5)).activated("sigmoid")
    network = agree(joined([three, one, two]).matmul(draws.weight(12, 4)), draws)
    assert network.first.runs == (("tanh", 4),)
    assert [dict(layer.runs) for layer in network.hidden] == [
        {"relu": 3, "identity": 4}, {"sigmoid": 5, "identity": 7},
    ]  # fmt: skip


def test_features_that_a_later_layer_takes_in_again_come_by_way_of_units():
    draws = Draws(3)
    data = draws.pool[0]
    one = data.matmul(draws.weight(WIDTH, 4)).activated("relu")
    again = one.matmul(draws.weight(4, 3)).plus(data.matmul(draws.weight(WIDTH, 3))).moved(draws.numbers(3))
    network = agree(again.activated("softsign").matmul(draws.weight(3, 2)), draws)
    assert network.first.runs == (("relu", 4), ("identity", 3))
    assert network.hidden[0].runs == (("softsign", 3),)


def test_mixed_activations_of_one_layer_keep_their_parameters():
    draws = Draws(4)
    inner = [draws.pool[0].matmul(draws.weight(WIDTH, 3)) for _ in range(4)]
    a = draws.random.uniform(0.1, 0.9, 3).astype(np.float32)
    parts = [inner[0].activated("leaky", a), inner[1].activated("relu"), inner[2].activated("clip", -a, 2 * a)]
    network = agree(joined([*parts, inner[3].activated("elu", 0.5, 1.5)]).matmul(draws.weight(12, 4)), draws)
    assert network.first.runs == (("leaky", 3), ("relu", 3), ("clip", 3), ("elu", 3))
    nothing = [0.0] * 3
    expected = [[*a, *nothing, *-a, *[0.5] * 3], [*nothing, *nothing, *2 * a, *[1.5] * 3]]
    np.testing.assert_array_equal(network.first.parameters, np.float32(expected))


@pytest.mark.parametrize("density", [0.02, 0.9])
def test_a_wide_path_is_kept_where_it_is_sparse_and_becomes_units_where_it_is_not(monkeypatch, density):
    monkeypatch.setattr(lowering, "_SMALL", 20)
    draws = Draws(5)
    straight = sparse.random(WIDTH, 6, density, "csc", np.float32, random_state=1)
    hidden = draws.pool[0].matmul(draws.weight(WIDTH, 3)).activated("tanh")
    network = agree(hidden.matmul(draws.weight(3, 6)).plus(draws.pool[0].matmul(straight)), draws)
    if density < 0.5:
        assert network.wide.nnz == straight.nnz
        assert network.first.runs == (("tanh", 3),)
    else:
        assert network.wide is None
        assert sorted(network.first.runs) == [("identity", 6), ("tanh", 3)]


def test_a_linear_model_is_one_layer_of_as_many_units_as_categories():
    draws = Draws(6)
    network = agree(draws.pool[0].matmul(draws.weight(WIDTH, 4)).moved(draws.numbers(4)), draws)
    assert (network.first.runs, network.hidden, network.wide) == ((("identity", 4),), (), None)
    pairs = heads_network(draws.pool[0].matmul(draws.weight(WIDTH, 8)).form, 4, 2)
    assert pairs.first.weight.shape == (WIDTH, 4)


@pytest.mark.parametrize("norm", [None, ("l2", 0.5)])
def test_a_wide_path_may_stand_beside_units_of_nothing_but_constants(norm):
    draws = Draws(11, norm)
    beside = Both(_nothing(4)[0], np.zeros((ROWS, 4))).moved(draws.numbers(4)).activated("tanh").matmul(np.eye(4, 3))
    one = draws.pool[0]
    network = agree(one.matmul(draws.weight(one.form.size, 3)).plus(beside), draws)
    assert network.width == WIDTH


def test_what_is_added_before_rows_are_scaled_is_the_start():
    draws = Draws(7)
    product = draws.pool[0].matmul(draws.weight(WIDTH, 4)).moved(np.arange(1.0, 5))
    both = Both(forms.scale_rows(product.form, ("l1", 0.5)), product.numbers / norms(draws.rows, ("l1", 0.5)))
    network = agree(both.moved(2.0).activated("relu").matmul(draws.weight(4, 3)), draws)
    assert (network.row_norm, network.row_epsilon, network.start.tolist()) == ("l1", 0.5, [1, 2, 3, 4])
    assert network.first.bias.tolist() == [2] * 4


def test_scaled_rows_and_a_constant_may_lead_straight_to_the_logits():
    draws, norm = Draws(12), ("l2", 0.5)
    product = draws.pool[0].matmul(draws.weight(WIDTH, 3)).moved(draws.numbers(3))
    both = Both(forms.scale_rows(product.form, norm), product.numbers / norms(draws.rows, norm))
    hidden = both.activated("tanh").matmul(draws.weight(3, 3))
    assert agree(hidden.plus(both), draws).first.runs == (("tanh", 3), ("identity", 3))


def test_a_network_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(lowering, "_MOST", WIDTH * 4 - 1)
    form = Draws(13).pool[0].matmul(np.ones((WIDTH, 4))).activated("relu").form
    with pytest.raises(ModelError, match=f"a layer has {WIDTH} x 4 weights"):
        sigmoid_network(form)


def test_what_goes_into_an_activation_is_found_again():
    draws = Draws(8)
    inner = draws.pool[0].matmul(draws.weight(WIDTH, 6))
    units = inner.activated("sigmoid")
    for order in (np.arange(6), np.array([3, 1, 5]), np.array([2, 2, 0])):
        found = forms.before(units.taken(order).form, "sigmoid")
        agree(Both(found, inner.numbers[:, order]), draws)
    other = draws.pool[0].matmul(draws.weight(WIDTH, 2))
    mixed = joined([units, other.activated("sigmoid")]).taken(np.array([6, 0, 7, 1]))
    agree(Both(forms.before(mixed.form, "sigmoid"), np.c_[other.numbers, inner.numbers][:, [0, 2, 1, 3]]), draws)
    nothing = forms.multiply(units.form, np.array([1, 0, 1, 1, 1, 1]))
    one = forms.concat([forms.take(units.form, [0]), *_nothing(1)])
    twice = forms.add(one, one)
    for form in (units.times(2.0).form, units.moved(1.0).form, inner.form, *_nothing(3), nothing, twice):
        assert forms.before(form, "sigmoid") is None
    assert forms.before(units.form, "tanh") is None


def _nothing(size):
    """A form of zeros, which is made of nothing."""
    return [forms.Form(np.zeros(size), ())]


def test_the_ratio_of_two_forms_is_a_number_or_none():
    draws = Draws(9)
    form = draws.pool[0].matmul(draws.numbers(WIDTH, 6)).moved(draws.numbers(6)).form
    assert forms.ratio(form, form) == 1
    assert forms.ratio(forms.multiply(form, 2.5), form) == pytest.approx(2.5)
    units = forms.activate(form, "relu")
    assert forms.ratio(forms.multiply(units, -3.0), units) == -3
    halves = forms.take(units, [0, 1, 2]), forms.take(units, [3, 4, 5])
    weights = forms.take(form, [0, 1, 2]), forms.take(form, [3, 4, 5])
    moved, other = forms.add_constant(form, 1.0), forms.multiply(form, np.arange(1.0, 7))
    turned = forms.concat([*_nothing(1), forms.take(units, [0])]), forms.concat([forms.take(units, [0]), *_nothing(1)])
    for one, two in (halves, weights, (moved, form), (form, moved), (other, form), (units, form), turned):
        assert forms.ratio(one, two) is None
    thin = forms.matmul(draws.pool[0].form, sparse.eye(WIDTH, 3, format="csr", dtype=np.float32))
    assert forms.ratio(forms.add_constant(thin, 0.0), thin) == 1
    assert forms.ratio(forms.add_constant(thin, 1.0), thin) is None


def test_the_features_as_they_are_are_known():
    data = forms.features(WIDTH)
    assert forms.is_features(data)
    assert forms.is_features(forms.take(forms.concat([data, data]), np.arange(WIDTH)))
    changed = (
        forms.multiply(data, 2.0), forms.add_constant(data, 1.0), forms.take(data, np.arange(WIDTH)[::-1]),
        forms.take(data, [0]), forms.scale_rows(data, ("l2", 1.0)), forms.activate(data, "relu"), *_nothing(WIDTH),
    )  # fmt: skip
    assert not any(map(forms.is_features, changed))


def test_only_chosen_terms_go_through_units():
    draws = Draws(10)
    hidden = draws.pool[0].matmul(draws.numbers(WIDTH, 4)).activated("relu")
    both = hidden.plus(draws.pool[0].matmul(draws.numbers(WIDTH, 4))).moved(1.0)
    found = forms.through_units(both.form, lambda term: term.block.kind == "data")
    assert [(term.block.kind, term.block.activation) for term in found.terms] == [
        ("units", "relu"),
        ("units", "identity"),
    ]
    agree(Both(found, both.numbers), draws)
    assert forms.through_units(found, lambda term: term.block.kind == "data") is found


data = forms.features(3)
scaled = forms.matmul(forms.scale_rows(data, ("l2", 1e-6)), np.ones((3, 2)))
plain = forms.matmul(data, np.ones((3, 2)))
units = forms.activate(plain, "relu")
REFUSED = {
    "sizes": (lambda: forms.matmul(data, np.ones((4, 2))), ModelError, r"3 columns meet a weight of shape \(4, 2\)"),
    "no matrix": (lambda: forms.matmul(data, np.ones(3)), ModelError, r"3 columns meet a weight of shape \(3,\)"),
    "a sum": (lambda: forms.add(data, units), ModelError, r"a sum is of \[3, 2\] columns"),
    "a bias": (lambda: forms.add_constant(data, np.ones(2)), ModelError, "2 numbers meet 3 columns"),
    "a factor": (lambda: forms.multiply(data, np.ones(4)), ModelError, "4 numbers meet 3 columns"),
    "a column": (lambda: forms.take(data, [1, 3]), ModelError, "columns 1 to 3 of 3 are asked for"),
    "a column below": (lambda: forms.take(data, [-1]), ModelError, "columns -1 to -1 of 3 are asked for"),
    "slopes": (lambda: forms.activate(data, "leaky", np.ones(2)), ModelError, "2 numbers meet 3 columns"),
    "scaled units": (lambda: forms.scale_rows(units, ("l2", 0.0)), CannotFold, "behind a hidden layer"),
    "scaled twice": (lambda: forms.scale_rows(scaled, ("l2", 0.0)), CannotFold, "behind a hidden layer"),
    "scaled and not": (lambda: sigmoid_network(forms.add(scaled, units)), CannotFold, "one part .* scales the rows"),
    "two norms": (
        lambda: sigmoid_network(forms.add(scaled, forms.scale_rows(plain, ("l1", 1e-6)))),
        CannotFold, "scales the rows",
    ),
    "heads": (lambda: heads_network(units, 3, 2), ModelError, "2 logits are not 3 heads of 2 classes"),
    "constants": (lambda: sigmoid_network(*_nothing(3)), ModelError, "does not depend on the features"),
    "constant units": (
        lambda: sigmoid_network(forms.activate(_nothing(3)[0], "relu")), ModelError, "does not depend on the features",
    ),
    "cubes": (lambda: sigmoid_network(forms.activate(plain, "cube")), CannotFold, "computes cube of its units"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_network_computes_is_refused(make, kind, text):
    with pytest.raises(kind, match=text) as caught:
        make()
    assert type(caught.value) is kind
    assert caught.value.remedy
