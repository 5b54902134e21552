"""What an ONNX graph's outputs are → Network, and how the same propensities come out of the graph itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from duckprop.errors import UsageError
from duckprop.formats.forms import CannotFold, Form, concat, multiply, take
from duckprop.formats.lowering import heads_network, sigmoid_network
from duckprop.formats.onnx_values import EXPORT
from duckprop.network import ACTIVATIONS, Network

Finish = Callable[[NDArray[np.floating]], NDArray[np.floating]]
_MOST_WEIGHTS = 2**26
_ENDINGS = ("sigmoid", "softmax", "normalized")


@dataclass(frozen=True)
class Reading:
    """A network, the class that counts, and what makes propensities (n, N) of the graph's own columns (n, m)."""

    network: Network
    positive: int
    finish: Finish


@dataclass(frozen=True)
class Wanted:
    """What the caller says: how many categories, which column counts, and what logits are."""

    categories: int | None
    positive: int | None
    output: str | None


@dataclass(frozen=True)
class _Columns:
    """The graph's columns: each one's unit in ``logits``, float factor and shift; groups: how many share a softmax."""

    ending: str
    logits: Form
    units: NDArray[np.int64]
    factors: NDArray[Any]
    shifts: NDArray[Any]
    group: int


def read_outputs(outputs: Form, last: int, wanted: Wanted) -> Reading:
    """Return what columns (n, m) are: sigmoids, heads of classes, one softmax over the categories, or logits.

    last: columns of an output's last dimension: the classes of logits that a softmax is to be over.
    Raises UsageError where the caller must say more, or says something else than the graph; CannotFold for columns of
    different kinds.
    """
    if wanted.output not in (None, "sigmoid", "softmax"):
        raise UsageError(f"output '{wanted.output}' is not known", "give --output sigmoid or --output softmax")
    columns = _ended(outputs)
    _check(outputs if columns is None else columns.logits)
    if columns is None:
        return _logits(outputs, last, wanted)
    if wanted.output is not None and wanted.output != columns.ending:
        raise UsageError(f"output '{wanted.output}' is asked for, the graph ends with {columns.ending}", "leave it out")
    if columns.ending == "softmax":
        return _classes(columns, wanted, lambda found: found)
    if columns.ending == "sigmoid":
        return _sigmoids(columns, wanted)
    _agree(len(columns.units), wanted)
    if not np.array_equal(columns.units, np.arange(columns.logits.size)) or (columns.factors != 1).any():
        raise CannotFold("the graph returns a part of what its rows are divided by", EXPORT)
    return Reading(sigmoid_network(columns.logits, "normalized"), 0, lambda found: found)


def _logits(outputs: Form, last: int, wanted: Wanted) -> Reading:
    if wanted.output is None:
        raise UsageError(
            "the graph ends with logits: it does not say what makes propensities of them",
            "give --output sigmoid (one yes or no a category) or --output softmax (classes that exclude each other)",
        )
    every = np.arange(outputs.size)
    plain = (every, np.ones(outputs.size), np.zeros(outputs.size))
    if wanted.output == "sigmoid":
        return _sigmoids(_Columns("sigmoid", outputs, *plain, 0), wanted, expit)
    columns = _Columns("softmax", outputs, *plain, last)

    def finish(found: NDArray[np.floating]) -> NDArray[np.floating]:
        return softmax(found.reshape(len(found), -1, last), axis=2).reshape(len(found), -1)

    return _classes(columns, wanted, finish)


def _ended(outputs: Form) -> _Columns | None:
    """Return the columns as ends of units, or None for logits. Raises CannotFold for both at once."""
    endings = {term.block.activation if term.weight is None else "" for term in outputs.terms}
    if not endings & set(_ENDINGS):
        return None
    places = np.concatenate([term.places for term in outputs.terms])
    if len(endings) > 1 or len(places) != outputs.size or len(np.unique(places)) != outputs.size:
        raise CannotFold("the graph's outputs end in different ways", EXPORT)
    blocks = list({id(term.block): term.block for term in outputs.terms}.values())
    starts = dict(zip(map(id, blocks), np.cumsum([0, *(block.size for block in blocks)]).tolist(), strict=False))
    units, factors = np.zeros(outputs.size, np.int64), np.ones(outputs.size)
    for term in outputs.terms:
        assert term.sources is not None
        assert term.factors is not None
        units[term.places] = term.sources + starts[id(term.block)]
        factors[term.places] = term.factors
    groups = {int(block.parameters[0][0]) for block in blocks if block.parameters is not None}
    if len(groups) > 1:
        raise CannotFold(f"the graph's softmax is over {sorted(groups)} columns", EXPORT)
    logits = concat([block.form for block in blocks if block.form is not None])
    return _Columns(endings.pop(), logits, units, factors, outputs.shift, next(iter(groups), 0))


def _sigmoids(columns: _Columns, wanted: Wanted, finish: Finish = lambda found: found) -> Reading:
    """Return a sigmoid a category; or both p and 1 − p of each, which are two classes."""
    is_same = (columns.factors == 1) & (columns.shifts == 0)
    is_other = (columns.factors == -1) & (columns.shifts == 1)
    if not (is_same | is_other).all():
        raise CannotFold("the graph changes its probabilities", EXPORT)
    units = columns.units
    if len(np.unique(units)) < len(units):
        if len(units) % 2 or (units[::2] != units[1::2]).any() or (is_same[::2] == is_same[1::2]).any():
            raise CannotFold("the graph returns a probability several times", EXPORT)
        signs = np.where(is_same, 1.0, 0.0)
        pairs = concat([multiply(take(columns.logits, units[::2]), signs[side::2]) for side in (0, 1)])
        logits = take(pairs, np.arange(len(units)).reshape(2, -1).T.ravel())
        plain = (np.arange(len(units)), np.ones(len(units)), np.zeros(len(units)))
        return _classes(_Columns("softmax", logits, *plain, 2), wanted, finish)
    _agree(len(units), wanted)
    if wanted.positive not in (None, 0):
        raise UsageError("a sigmoid has one column a category", "leave --positive-column out")
    logits = multiply(take(columns.logits, units), np.where(is_same, 1.0, -1.0))
    return Reading(sigmoid_network(logits), 0, finish)


def _classes(columns: _Columns, wanted: Wanted, finish: Finish) -> Reading:
    size = columns.group
    if size < 2 or columns.logits.size % size or (columns.factors != 1).any() or columns.shifts.any():
        raise CannotFold(f"the graph's softmax is over {size} columns, or changed behind it", EXPORT)
    groups, classes = columns.units // size, columns.units % size
    order = list(dict.fromkeys(groups.tolist()))
    if len(groups) == len(order) and (classes == classes[0]).all():
        return _picked(columns, np.array(order), wanted)
    if len(groups) != len(order) * size or len(np.unique(columns.units)) != len(groups):
        raise CannotFold("the graph returns some classes of a softmax only", EXPORT)
    if len(order) == 1 and _is_over_categories(size, wanted):
        return _exclusive(columns, wanted, finish)
    _agree(len(order), wanted)
    positive = wanted.positive
    if positive is None or not 0 <= positive < size:
        raise UsageError(
            f"the graph gives {size} classes a category: which one is the propensity is not said in it",
            f"give --positive-column 0 to {size - 1}" if size > 2 else "give --positive-column 0 or 1",
        )
    chosen = np.array([np.flatnonzero(columns.units == group * size + positive)[0] for group in order])
    network = heads_network(take(columns.logits, _members(np.array(order), size)), len(order), size)
    return Reading(network, positive, lambda found: finish(found)[:, chosen])


def _picked(columns: _Columns, order: NDArray[np.int64], wanted: Wanted) -> Reading:
    """Return heads of which the graph itself returns one class."""
    _agree(len(order), wanted)
    positive = int(columns.units[0] % columns.group)
    if wanted.positive not in (None, positive):
        fact = f"column {wanted.positive} is to count, the graph itself returns column {positive}"
        raise UsageError(fact, "leave --positive-column out")
    logits = take(columns.logits, _members(order, columns.group))
    return Reading(heads_network(logits, len(order), columns.group), positive, lambda found: found)


def _members(groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return (groups[:, None] * size + np.arange(size)).ravel()


def _is_over_categories(size: int, wanted: Wanted) -> bool:
    """Whether one softmax is over categories that exclude each other, not over one category's classes."""
    if wanted.categories == 1 or (wanted.categories is None and wanted.positive is not None):
        return False
    if wanted.categories is None and size == 2:
        raise UsageError(
            "the graph ends with one softmax over 2 columns: two categories, or one with a yes and a no",
            "name the categories, or give --positive-column 0 or 1",
        )
    return True


def _exclusive(columns: _Columns, wanted: Wanted, finish: Finish) -> Reading:
    _agree(columns.group, wanted)
    if wanted.positive is not None:
        raise UsageError("one softmax goes over all categories: no column counts alone", "leave --positive-column out")
    return Reading(sigmoid_network(take(columns.logits, columns.units), "softmax"), 0, finish)


def _agree(count: int, wanted: Wanted) -> None:
    if wanted.categories not in (None, count):
        raise UsageError(f"{wanted.categories} categories are named, the graph has {count}", f"name {count} categories")


def check_units(form: Form, width: int, stored: int) -> None:
    """Raise CannotFold where the graph's layers, full matrices here, take far more weights than the file stores."""
    sizes, waiting, seen = {0: width}, [form], set()
    while waiting:
        for block in [term.block for term in waiting.pop().terms if term.block.form is not None]:
            if id(block) not in seen and block.form is not None:
                seen.add(id(block))
                waiting.append(block.form)
                sizes[block.depth] = sizes.get(block.depth, 0) + block.size
    weights = sum(sizes[depth] * sizes[depth + 1] for depth in range(len(sizes) - 1))
    if weights > max(_MOST_WEIGHTS, 8 * stored):
        raise CannotFold(f"the graph's layers take {weights} weights, of which the file stores {stored}", EXPORT)


def _check(form: Form) -> None:
    """Raise CannotFold where a part of a pattern, which is no activation by itself, was left over."""
    waiting, seen = [form], set()
    while waiting:
        for block in [term.block for term in waiting.pop().terms if term.block.form is not None]:
            if id(block) in seen:
                continue
            seen.add(id(block))
            if block.activation not in ACTIVATIONS:
                raise CannotFold(f"the graph has a '{block.activation}' that is no part of a known activation", EXPORT)
            assert block.form is not None
            waiting.append(block.form)
