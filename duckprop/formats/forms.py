"""What any framework's graph comes down to: affine forms of a network's units, lowered to a Network.

A front door walks its own graph and calls Forms: every tensor (n, m) is a Form, an affine function of the customers'
features and of units that stand behind an activation. Sums, slices, concatenations, scalings and normalisations change
a form and cost nothing; only an activation, or a second matrix, makes new units. So separate heads become one block,
Dropout and BatchNorm vanish, and paths of different depth meet: what is needed further on is passed through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError

Array = NDArray[Any]
Norm = tuple[Literal["l2", "l1"], float]
"""How rows are scaled, and the epsilon: see Network.row_norm, row_epsilon."""


class CannotFold(ModelError):
    """A graph computes what no Network can: only the framework that it comes from can score it."""


@dataclass(frozen=True, eq=False)
class Block:
    """Units that others are made of. kind: 'data', the features; 'scale', what a row is scaled by; else 'units'.

    norm: of data and scale; None for rows as they are. form: what goes into units' activation, with its parameters a
    and b, float (size,) each.
    """

    kind: Literal["data", "scale", "units"]
    size: int
    norm: Norm | None = None
    form: "Form | None" = None
    activation: str = "identity"
    parameters: tuple[Array, Array] | None = None

    @cached_property
    def depth(self) -> int:
        """Number of layers up to here: 0 for the features, 1 for what is made of them alone."""
        return 0 if self.form is None else 1 + self.form.depth


@dataclass(frozen=True, eq=False)
class Term:
    """What one block adds to the listed columns of a form, places int64 (t,).

    weight: (block's size, t), an array or a sparse matrix; or None, and then column i is factors[i] times unit
    sources[i].
    """

    block: Block
    places: NDArray[np.int64]
    weight: Any = None
    sources: Any = None
    factors: Any = None


@dataclass(frozen=True, eq=False)
class Form:
    """An affine function of blocks with m columns: shift float64 (m,) and the terms."""

    shift: NDArray[np.float64]
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """Number of columns m."""
        return len(self.shift)

    @cached_property
    def depth(self) -> int:
        """Of the deepest block in it, 0 for one of the features alone."""
        return max((term.block.depth for term in self.terms), default=0)


def features(width: int) -> Form:
    """Return the customers' features as they are, (n, F)."""
    return whole(Block("data", width))


def matmul(form: Form, weight: Any) -> Form:
    """Return form @ weight, an array or sparse matrix (m, k). Raises ModelError where the sizes differ."""
    if getattr(weight, "ndim", 0) != 2 or weight.shape[0] != form.size:
        raise ModelError(f"{form.size} columns meet a weight of shape {getattr(weight, 'shape', ())}", _SIZES)
    form = through_units(form, lambda term: term.weight is not None)
    places = np.arange(weight.shape[1])
    terms = tuple(Term(term.block, places, _rows(term, weight)) for term in form.terms)
    shift = form.shift @ weight if form.shift.any() else np.zeros(weight.shape[1])
    return Form(np.asarray(shift, np.float64), terms)


def add(*forms: Form) -> Form:
    """Return the sum of forms of equal size. Raises ModelError where the sizes differ."""
    if len({form.size for form in forms}) != 1:
        raise ModelError(f"a sum is of {[form.size for form in forms]} columns", _SIZES)
    terms = tuple(term for form in forms for term in form.terms)
    return Form(np.sum([form.shift for form in forms], axis=0), terms)


def add_constant(form: Form, values: Any) -> Form:
    """Return form + values, a number or an array of m numbers, or of 1."""
    return replace(form, shift=form.shift + _spread(values, form.size))


def multiply(form: Form, values: Any) -> Form:
    """Return form · values, a number or an array of m numbers, or of 1."""
    factors = _spread(values, form.size)
    return Form(form.shift * factors, tuple(_times(term, factors[term.places]) for term in form.terms))


def concat(forms: Sequence[Form]) -> Form:
    """Return forms side by side."""
    starts = np.cumsum([0, *(form.size for form in forms)])
    terms = [
        replace(term, places=term.places + start)
        for form, start in zip(forms, starts, strict=False)
        for term in form.terms
    ]
    return Form(np.concatenate([form.shift for form in forms]), tuple(terms))


def take(form: Form, columns: Any) -> Form:
    """Return some columns of a form, in the order given. Raises ModelError where it has no such column."""
    columns = np.asarray(columns, np.int64)
    if columns.size and not (columns.min() >= 0 and columns.max() < form.size):
        raise ModelError(f"columns {columns.min()} to {columns.max()} of {form.size} are asked for", _SIZES)
    where = np.full(form.size, -1)
    where[columns] = np.arange(len(columns))
    again = where[columns] != np.arange(len(columns))
    if again.any():  # columns asked for more than once: all but the last time in a form of their own
        parts = concat([take(form, columns[~again]), take(form, columns[again])])
        return take(parts, np.argsort(np.concatenate([np.flatnonzero(~again), np.flatnonzero(again)])))
    found = (_kept(term, where[term.places]) for term in form.terms)
    return Form(form.shift[columns], tuple(term for term in found if len(term.places)))


def activate(form: Form, activation: str, a: Any = 0.0, b: Any = 0.0) -> Form:
    """Return new units: an activation of ``network.ACTIVATIONS`` of a form; a, b: its parameters, numbers or (m,)."""
    both = (_spread(a, form.size), _spread(b, form.size))
    parameters = both if both[0].any() or both[1].any() else None
    return whole(Block("units", form.size, form=form, activation=activation, parameters=parameters))


def through_units(form: Form, chosen: Callable[[Term], bool]) -> Form:
    """Return a form whose chosen terms are made of identity units, one for each column that they add to."""
    terms = tuple(term for term in form.terms if chosen(term))
    if not terms:
        return form
    rest = tuple(term for term in form.terms if not chosen(term))
    used = np.unique(np.concatenate([term.places for term in terms]))
    inner = np.zeros(form.size)
    inner[used] = 0.0 if rest else form.shift[used]  # the units are then what a layer without activation gives
    units = activate(take(Form(inner, terms), used), "identity").terms[0]
    return Form(form.shift - inner, (*rest, replace(units, places=used)))


def scale_rows(form: Form, norm: Norm) -> Form:
    """Return a form of the features alone, each row divided by its features' norm.

    Raises CannotFold where it holds units, or rows that are scaled already.
    """
    if any(term.block.kind != "data" or term.block.norm for term in form.terms):
        raise CannotFold("rows are scaled by the norm of their features behind a hidden layer", ENGINE)
    terms = [replace(term, block=Block("data", term.block.size, norm)) for term in form.terms]
    if form.shift.any():
        scale = Block("scale", 1, norm)
        terms.append(Term(scale, np.arange(form.size), form.shift[None]))
    return Form(np.zeros(form.size), tuple(terms))


def before(form: Form, activation: str) -> Form | None:
    """Return what goes into an activation whose units, each as it is, a form is made of; None where it is not."""
    if not form.terms or form.shift.any():
        return None
    parts = []
    for term in form.terms:
        block = term.block
        if term.weight is not None or block.activation != activation or block.form is None or (term.factors != 1).any():
            return None
        parts.append(take(block.form, term.sources))
    places = np.concatenate([term.places for term in form.terms])
    order = np.argsort(places)
    return take(concat(parts), order) if np.array_equal(places[order], np.arange(form.size)) else None


def ratio(form: Form, other: Form) -> float | None:
    """Return a, where form is a times another of the same terms; None where it is not."""
    if form is other:
        return 1.0
    pairs = list(zip(form.terms, other.terms, strict=False))
    one = [term.factors if term.weight is None else term.weight for term in form.terms]
    two = [term.factors if term.weight is None else term.weight for term in other.terms]
    if len(form.terms) != len(other.terms) or not pairs or not all(_is_alike(a, b) for a, b in pairs):
        return None
    if all(a is b for a, b in zip(one, two, strict=True)) and np.array_equal(form.shift, other.shift):
        return 1.0
    if any(sparse.issparse(weight) for weight in (*one, *two)):
        return None
    where = int(np.argmax(np.abs(two[0])))
    found = float(one[0].ravel()[where] / two[0].ravel()[where]) if np.ravel(two[0])[where] else None
    parts = [*zip(one, two, strict=True), (form.shift, other.shift)]
    is_it = found is not None and all(a.shape == b.shape and np.allclose(a, found * b, rtol=1e-6) for a, b in parts)
    return found if is_it else None


def _is_alike(one: Term, two: Term) -> bool:
    """Return whether two terms lead from the same units to the same columns."""
    if one.block is not two.block or (one.weight is None) != (two.weight is None):
        return False
    is_same = one.weight is not None or np.array_equal(np.asarray(one.sources), np.asarray(two.sources))
    return is_same and np.array_equal(one.places, two.places)


def is_features(form: Form) -> bool:
    """Return whether a form is the customers' features as they are."""
    if len(form.terms) != 1 or form.shift.any():
        return False
    term = form.terms[0]
    every = np.arange(term.block.size)
    is_plain = term.weight is None and term.block.kind == "data" and term.block.norm is None
    return (
        is_plain
        and np.array_equal(term.sources, every)
        and np.array_equal(term.places, every)
        and bool(np.all(term.factors == 1))
    )


ENGINE = "score it with engine='mxnet', which runs the graph as it is"
_SIZES = "the file is damaged or not a feed-forward network; write it again"


def whole(block: Block) -> Form:
    """Return the form that is a block's units themselves."""
    every = np.arange(block.size)
    return Form(np.zeros(block.size), (Term(block, every, None, every, np.ones(block.size)),))


def _spread(values: Any, size: int) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).reshape(-1)
    if len(array) not in (1, size):
        raise ModelError(f"{len(array)} numbers meet {size} columns", _SIZES)
    return np.broadcast_to(array, size)


def _rows(term: Term, weight: Any) -> Any:
    """Return the weight (block's size, k) of a linear term, given that of the form's columns (m, k)."""
    size, sources, factors = term.block.size, term.sources, term.factors
    is_plain = bool((factors == 1).all())
    every = np.arange(size)
    if is_plain and weight.shape[0] == size and np.array_equal(sources, every) and np.array_equal(term.places, every):
        return weight
    rows = weight[term.places]
    if sparse.issparse(rows):
        return sparse.csr_matrix((factors, (sources, np.arange(len(sources)))), (size, len(sources))) @ rows
    out = np.zeros((size, weight.shape[1]), rows.dtype)
    if len(np.unique(sources)) < len(sources):
        np.add.at(out, sources, rows if is_plain else rows * factors[:, None])
    else:
        out[sources] = rows if is_plain else rows * factors[:, None].astype(rows.dtype)
    return out


def _times(term: Term, factors: Array) -> Term:
    if term.weight is None:
        return replace(term, factors=term.factors * factors)
    if (factors == 1).all():
        return term
    if sparse.issparse(term.weight):
        return replace(term, weight=sparse.csr_matrix(term.weight.multiply(factors[None])))
    folded = np.empty(term.weight.shape, np.result_type(term.weight, np.float32))
    np.multiply(term.weight, factors, out=folded, casting="same_kind")  # float64 in small pieces: it may be large
    return replace(term, weight=folded)


def _kept(term: Term, places: NDArray[np.int64]) -> Term:
    """Return a term with only the columns whose new place is not −1."""
    chosen = np.flatnonzero(places >= 0)
    if len(chosen) == len(places):
        return replace(term, places=places)
    if term.weight is not None:
        return Term(term.block, places[chosen], term.weight[:, chosen])
    return Term(term.block, places[chosen], None, term.sources[chosen], term.factors[chosen])
