"""Forms of logits → Network: units by their depth, and what is needed further on passed through."""

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.formats.forms import (
    ENGINE,
    Block,
    CannotFold,
    Form,
    Term,
    add,
    concat,
    multiply,
    take,
    through_units,
    whole,
)
from duckprop.network import ACTIVATIONS, Layer, Network

_SPARSE, _SMALL = 0.25, 2**20
"""Weights from the features to the logits with a smaller share of non-zeros, or so few, are kept as a sparse path."""
_MOST = 2**33
"""Weights of a network: 32 GiB of them."""
_WIDEST = 2**13
"""Features that may have units of their own: these are a full matrix of weights, 256 MiB."""


def heads_network(logits: Form, heads: int, classes: int) -> Network:
    """Return the network of N softmax heads of K classes each; logits (n, N·K), a head's classes side by side."""
    if logits.size != heads * classes:
        raise ModelError(f"{logits.size} logits are not {heads} heads of {classes} classes", "name other categories")
    if classes == 2 and logits.depth == 0:  # half the weights of a linear model: only the difference counts
        columns = np.arange(logits.size)
        return sigmoid_network(add(take(logits, columns[::2]), multiply(take(logits, columns[1::2]), -1.0)))
    return _lower(logits, heads, classes)


def sigmoid_network(logits: Form, link: str = "heads") -> Network:
    """Return the network of one logit a category, (n, N): a sigmoid each, or ``link`` over all of them.

    The other class's logit is 0; the positive class is column 0.
    """
    nothing = Form(np.zeros(logits.size), ())
    both = take(concat([logits, nothing]), np.arange(2 * logits.size).reshape(2, -1).T.ravel())
    return _lower(both, logits.size, 2, link)


def _lower(logits: Form, heads: int, classes: int, link: str = "heads") -> Network:
    straight = [term for term in logits.terms if _is_straight(term)]
    if logits.depth == 0 or _is_dense(straight) or any(term.block.kind == "scale" for term in straight):
        logits, straight = through_units(logits, _is_straight), []
    behind = Form(logits.shift, tuple(term for term in logits.terms if term.block.depth))
    levels = _levels(behind)
    inputs = [*straight, *(levels[0].form.terms if levels else ())]
    width = next((term.block.size for term in inputs if term.block.kind == "data"), None)
    if width is None:
        raise ModelError("the network does not depend on the features", "export the model with its weights")
    norms = {term.block.norm for term in inputs}
    if len(norms) > 1:
        raise CannotFold("one part of the network scales the rows, another does not", ENGINE)
    norm, epsilon = next(iter(norms)) or ("l2", None)
    first, start = _first(levels[0], width)
    hidden = tuple(_layer(level, _matrix(level.form, below.places, below.size)) for below, level in pairwise(levels))
    weight = _matrix(behind, levels[-1].places, levels[-1].size).reshape(-1, heads, classes)
    bias = behind.shift.astype(np.float32).reshape(heads, classes)
    wide = _wide(straight, logits.size) if straight else None
    return Network(first, hidden, weight, bias, epsilon, wide, norm, start, link)


def _is_straight(term: Term) -> bool:
    return term.block.depth == 0


def _is_dense(terms: list[Term]) -> bool:
    weights = [_weight_of(term) for term in terms]
    stored = sum(weight.nnz if sparse.issparse(weight) else np.count_nonzero(weight) for weight in weights)
    return stored > max(_SMALL, _SPARSE * sum(weight.shape[0] * weight.shape[1] for weight in weights))


@dataclass(frozen=True)
class _Level:
    """The units at one depth: those made here and those that pass through; places: where each block begins."""

    depth: int
    blocks: tuple[Block, ...]
    form: Form
    places: dict[Block, int]

    @property
    def size(self) -> int:
        return self.form.size


def _levels(logits: Form) -> list[_Level]:
    """Return the levels from the first to the one under the logits."""
    inputs: dict[Block, Form] = {}
    last: dict[Block, int] = {}
    waiting = [(logits, logits.depth + 1)]
    while waiting:
        form, depth = waiting.pop()
        for block in [term.block for term in form.terms if term.block.kind == "units"]:
            if block not in inputs:
                inputs[block] = _grounded(block)
                waiting.append((inputs[block], block.depth))
            last[block] = max(last.get(block, 0), depth)
    levels = []
    for depth in range(1, logits.depth + 1):
        live = tuple(block for block in inputs if block.depth <= depth < last[block])
        forms = [inputs[block] if block.depth == depth else whole(block) for block in live]
        starts = np.cumsum([0, *(block.size for block in live)]).tolist()
        levels.append(_Level(depth, live, concat(forms), dict(zip(live, starts, strict=False))))
    return levels


def _grounded(block: Block) -> Form:
    """Return what goes into a block; what a later layer takes straight from the features comes by way of units."""
    assert block.form is not None
    return block.form if block.depth == 1 else through_units(block.form, _is_straight)


def _first(level: _Level, width: int) -> tuple[Layer, NDArray[np.float32] | None]:
    """Return the sparse layer, and what it adds before rows are scaled."""
    terms = [term for term in level.form.terms if term.block.kind == "data"]
    if width > _WIDEST and any(term.weight is None for term in terms):
        raise CannotFold(f"the network has units for its {width} features one by one", ENGINE)
    places = {term.block: 0 for term in terms}
    weight = _matrix(Form(level.form.shift, tuple(terms)), places, width)
    scales = tuple(term for term in level.form.terms if term.block.kind == "scale")
    start = None
    if scales:
        start = _matrix(Form(level.form.shift, scales), {term.block: 0 for term in scales}, 1)[0]
    return _layer(level, weight), start


def _layer(level: _Level, weight: NDArray[np.float32]) -> Layer:
    """Return a level's layer: the blocks made here with their activations, the others as they are."""
    made = [block if block.depth == level.depth else Block("units", block.size) for block in level.blocks]
    runs = [
        (name, sum(block.size for block in group)) for name, group in groupby(made, key=lambda block: block.activation)
    ]
    parameters = None
    if any(block.parameters for block in made):
        pairs: list[Any] = [np.zeros((2, block.size)) if not block.parameters else block.parameters for block in made]
        parameters = np.concatenate([np.stack(pair) for pair in pairs], axis=1).astype(np.float32)
    if unknown := {name for name, _ in runs} - set(ACTIVATIONS):
        raise CannotFold(f"the network computes {', '.join(sorted(unknown))} of its units", ENGINE)
    activation = runs[0][0] if len(runs) == 1 else tuple(runs)
    return Layer(weight, level.form.shift.astype(np.float32), activation, parameters)


def _matrix(form: Form, places: dict[Block, int], size: int) -> NDArray[np.float32]:
    """Return the terms as one float32 matrix (size, m); a single weight that fills it is not copied."""
    if size * form.size > _MOST:
        raise ModelError(f"a layer has {size} x {form.size} weights", "give a smaller network")
    if len(form.terms) == 1 and isinstance(weight := form.terms[0].weight, np.ndarray):
        is_in_order = np.array_equal(form.terms[0].places, np.arange(form.size))
        if is_in_order and weight.shape == (size, form.size):
            return np.ascontiguousarray(weight, np.float32)
    out = np.zeros((size, form.size), np.float32)
    for term in form.terms:
        begin = places[term.block]
        if term.weight is None:
            np.add.at(out, (begin + term.sources, term.places), term.factors)
        else:
            weight = term.weight.toarray() if sparse.issparse(term.weight) else term.weight
            first = int(term.places[0]) if len(term.places) else 0
            if np.array_equal(term.places, first + np.arange(len(term.places))):  # a view: the weight may be large
                out[begin : begin + len(weight), first : first + len(term.places)] += weight
            else:
                out[begin : begin + len(weight), term.places] += weight
    return out


def _weight_of(term: Term) -> Any:
    if term.weight is not None:
        return term.weight
    shape = (term.block.size, len(term.sources))
    return sparse.csr_matrix((term.factors, (term.sources, np.arange(len(term.sources)))), shape)


def _wide(terms: list[Term], columns: int) -> sparse.csr_matrix:
    """Return the straight terms as one sparse matrix float32 (F, N·K), zeros left out."""
    total: Any = None
    for term in terms:
        weight = sparse.coo_matrix(_weight_of(term), dtype=np.float32)
        part = sparse.csr_matrix((weight.data, (weight.row, term.places[weight.col])), (weight.shape[0], columns))
        total = part if total is None else total + part
    total.sum_duplicates()
    total.eliminate_zeros()
    return total
