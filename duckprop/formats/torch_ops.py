"""PyTorch's operators (``torch.ops.aten``) on forms: layers, sums, products and normalisations, and the whole table.

Every operator is a function with the parameters that aten gives it, in its order; names are looked up without overload.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.formats import forms, torch_activations, torch_shapes
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_values import LEAVE, Input, Magnitude, RowNorm, Symbol, Tensor

_MOST, _MOST_ITEMS = 2**31, 100_000
_FLOATS, _WHOLE = (5, 6, 7, 15), (3, 4)
"""PyTorch's codes of float16, float32, float64 and bfloat16, of int32 and int64: the latter for indices alone."""


def apply(name: str, where: str, args: Any, kwargs: Any) -> Any:
    """Return what an operator makes of forms, arrays and numbers; ``where`` names its node in errors.

    Raises CannotFold for one that no network computes, ModelError for one that does not fit what it is given.
    """
    operator = OPERATORS.get(name) or (OPERATORS.get(name[:-1]) if name.endswith("_") else None)
    if operator is None:
        raise CannotFold(f"operator 'aten.{name}' ({where}) is not known", LEAVE)
    changed = args[0] if name.endswith("_") and args else None
    if isinstance(changed, Input) or (isinstance(changed, Tensor) and changed.is_shared):
        raise CannotFold(
            f"operator 'aten.{name}' ({where}) changes a view or an input in place", "export it without inplace"
        )
    args = [each.item() if isinstance(each, np.ndarray) and each.ndim == 0 else each for each in args]
    try:
        found = operator(*args, **kwargs)
    except ModelError as error:
        raise type(error)(f"operator 'aten.{name}' ({where}): {error.fact}", error.remedy) from None
    except _ERRORS as error:
        fact = f"operator 'aten.{name}' ({where}) does not fit what it is given: {str(error)[:120]}"
        raise CannotFold(fact, LEAVE) from None
    if isinstance(changed, Tensor) and isinstance(found, Tensor):
        changed.form, changed.dims, changed.ending = found.form, found.dims, found.ending
        return changed
    return found


def embedding_bag(*args: Any, **kwargs: Any) -> tuple[Tensor, None, None, None]:
    """Sum or mean of a bag's rows of weight; padding_idx's row counts as nothing."""
    given = _bound(_BAG, args, kwargs)
    bag = (given["indices"], given["offsets"], given["per_sample_weights"])
    mode, padding = given["mode"] or 0, given["padding_idx"]
    if not all(isinstance(each, Input) for each in bag[:2]) or not isinstance(bag[2], Input | None):
        raise CannotFold("its indices, offsets and weights are not the model's inputs as they are", _INPUTS)
    if mode not in (0, 1) or (mode == 1 and padding is not None):
        how = "max" if mode == 2 else "mean beside a padding_idx"
        raise CannotFold(f"the {how} of a bag is no sum of its features' rows", "use mode='sum'")
    weight = np.array(given["weight"]) if padding is not None else given["weight"]
    form = _features(bag, weight, bool(given["include_last_offset"]))
    if padding is not None:
        weight[padding] = 0
    form = forms.scale_rows(form, ("l1", 1e-30)) if mode == 1 else form
    return Tensor(forms.matmul(form, weight), (weight.shape[1],)), None, None, None


def _features(bag: tuple[Any, Any, Any], weight: Any, has_last: bool) -> forms.Form:
    """Return the features that a bag lists, and note which inputs they are."""
    places = tuple(None if each is None else each.position for each in bag)
    sources = bag[0].sources
    if sources.dense is not None or sources.bag not in (None, places):
        raise CannotFold("two bags hold different features", "give both the same indices, offsets and weights")
    if sources.bag is not None and sources.has_last != has_last:
        raise CannotFold("two bags read the same offsets in different ways", "give both the same include_last_offset")
    sources.bag, sources.has_last = places, has_last
    sources.is_counted = bag[2] is None
    if bag[2] is not None:
        bag[2].meets(weight)
    return sources.features(len(weight))


def _bound(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, None where one is not given."""
    return dict.fromkeys(names) | dict(zip(names, args, strict=False)) | kwargs


def plain_bag(*args: Any, **kwargs: Any) -> tuple[Tensor, None, None, None]:
    """``_embedding_bag``: −1 stands for no padding index."""
    given = _bound(_BAG, args, kwargs)
    return embedding_bag(**given | {"padding_idx": None if given["padding_idx"] == -1 else given["padding_idx"]})


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Input @ weight.T + bias, over the last dimension."""
    product = matmul(input, np.asarray(weight).T)
    return product if bias is None else _plus(product, bias, 1.0)


def matmul(input: Any, weight: Any) -> Tensor:
    """Input @ weight, a constant matrix, over the last dimension."""
    if isinstance(input, np.ndarray) and isinstance(weight, np.ndarray):
        if input.size // max(input.shape[-1], 1) * weight.shape[-1] > torch_shapes.MOST:
            raise ModelError(f"constants {input.shape} and {weight.shape} are multiplied", LEAVE)
        return input @ weight  # type: ignore[return-value]
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise CannotFold("it multiplies two things that both depend on the features", LEAVE)
    if isinstance(input, Input):
        input.meets(weight)
    tensor = dense(input, weight.shape[0])
    *groups, last = tensor.dims
    if last != weight.shape[0]:
        raise ModelError(f"{last} columns meet a weight of shape {weight.shape}", LEAVE)
    count = math.prod(groups)
    if count == 1:
        return Tensor(forms.matmul(tensor.form, weight), (*groups, weight.shape[1]))
    if count * weight.size > _MOST:
        raise ModelError(f"{count} groups meet a weight of shape {weight.shape}", "give a smaller network")
    blocks = sparse.kron(sparse.eye(count), weight, format="csr")
    return Tensor(forms.matmul(tensor.form, blocks), (*groups, weight.shape[1]))


def addmm(bias: Any, input: Any, weight: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Beta · bias + alpha · input @ weight."""
    return _plus(multiply(matmul(input, weight), alpha), np.asarray(bias) * beta, 1.0)


def add(x: Any, other: Any, alpha: Any = 1, **_: Any) -> Any:
    """X + alpha · other."""
    if isinstance(x, list) and isinstance(other, list) and len(x) + len(other) < _MOST_ITEMS:
        return x + other
    if isinstance(x, Magnitude) and _is_number(other):
        return Magnitude(x.source, x.added + float(other) * alpha)
    if not _depends(x) and not _depends(other):
        _bounded(x, other)
        return x + alpha * other
    if not _depends(x):
        return _plus(multiply(other, alpha), x, 1.0)
    return _plus(x, other, float(alpha))


def subtract(x: Any, other: Any, alpha: Any = 1) -> Any:
    """X − alpha · other."""
    return add(x, other, -alpha)


def reverse_subtract(x: Any, other: Any, alpha: Any = 1) -> Any:
    """Other − alpha · x."""
    return add(other, x, -alpha)


def multiply(x: Any, other: Any) -> Any:
    """X · other, of which one is constant."""
    if not _depends(x) and not _depends(other):
        _bounded(x, other)
        return x * other
    tensor, factor = (other, x) if not _depends(x) else (x, other)
    if _depends(factor):
        raise CannotFold("it multiplies two things that both depend on the features", LEAVE)
    tensor = dense(tensor, _columns(factor))
    return tensor.like(forms.multiply(tensor.form, _spread(factor, tensor.dims)))


def divide(x: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """X / other: by a constant; by the norm of the rows; or, for softsign, by 1 + |x|."""
    if rounding_mode is not None:
        raise CannotFold(f"it rounds ({rounding_mode})", LEAVE)
    if isinstance(other, RowNorm):
        if other.source is not x:
            raise CannotFold("it divides by the norm of something else", LEAVE)
        if isinstance(x, Input):
            return replace(x, norm=other.norm)
        return x.like(forms.scale_rows(x.form, other.norm))
    if isinstance(other, Magnitude):
        if other.source is not x or other.added != 1:
            raise CannotFold("it divides by another magnitude than 1 + |x|", LEAVE)
        return x.like(forms.activate(x.form, "softsign"))
    if not _depends(x) and not _depends(other):
        _bounded(x, other)
        return x / other
    if _depends(other):
        raise CannotFold("it divides by what depends on the features", LEAVE)
    return multiply(x, 1 / np.asarray(other, np.float64))


def batch_norm(*args: Any, **kwargs: Any) -> Tensor:
    """BatchNorm in scoring: by the running statistics, over the first dimension behind the rows."""
    given = _bound(_NORM, args, kwargs)
    weight, bias, mean, variance = (given[name] for name in _NORM[1:5])
    if given["training"] or mean is None or variance is None:
        raise CannotFold("it takes its statistics from the rows it scores", "call model.eval() before it is exported")
    if isinstance(given["input"], Input):
        given["input"].meets(mean)
    tensor = dense(given["input"], len(mean))
    factor = 1 / np.sqrt(np.asarray(variance, np.float64) + given["eps"])
    factor = factor if weight is None else factor * weight
    shift = (0.0 if bias is None else np.asarray(bias, np.float64)) - mean * factor
    repeats = tensor.form.size // tensor.dims[0]
    form = forms.multiply(tensor.form, np.repeat(factor, repeats))
    return tensor.like(forms.add_constant(form, np.repeat(shift, repeats)))


def decomposed_norm(*args: Any) -> tuple[Tensor, None, None]:
    """``_native_batch_norm_legit_no_training``: the same, with two things more that nobody reads."""
    return batch_norm(*args[:5], False, *args[5:]), None, None


def norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *_: Any, **__: Any) -> RowNorm:
    """The norm of each row of the features, 1 or 2, kept as a column."""
    dims = [dim] if isinstance(dim, int) else dim
    if not isinstance(x, Input | Tensor) or ord not in (1, 2) or dims not in ([1], [-1]) or not keepdim:
        raise CannotFold("it is no norm (1 or 2) of each row, kept as a column", LEAVE)
    if isinstance(x, Tensor) and not _is_features(x.form):
        raise CannotFold("it is the norm of something else than the features", LEAVE)
    return RowNorm(x, int(ord))


def _is_features(form: forms.Form) -> bool:
    """Whether a form is the features as they are, whose norm alone a network knows."""
    if len(form.terms) != 1 or form.shift.any() or form.terms[0].sources is None:
        return False
    term, every = form.terms[0], np.arange(form.size)
    is_plain = term.block.kind == "data" and term.block.norm is None and term.block.size == form.size
    in_order = np.array_equal(np.asarray(term.sources), every) and np.array_equal(term.places, every)
    return is_plain and in_order and bool((np.asarray(term.factors) == 1).all())


def magnitude(x: Any) -> Magnitude:
    """|x|, of which only softsign is known."""
    return Magnitude(dense(x), 0.0) if not isinstance(x, Tensor) or x.ending else Magnitude(x)


def dropout(x: Any, p: float = 0.5, train: bool = False, *_: Any) -> Any:
    """Nothing, in scoring."""
    if train:
        raise CannotFold("it drops units while it scores", "call model.eval() before it is exported")
    return x


def cast(x: Any, *args: Any, **kwargs: Any) -> Any:
    """A change of the type among floats, of the memory's layout or of the device; columns are as they were."""
    dtype = kwargs.get("dtype", args[0] if args else None)
    if type(dtype) is int and dtype not in _FLOATS and not (isinstance(x, Input) and dtype in _WHOLE):
        raise CannotFold("it makes whole numbers of columns", LEAVE)
    return replace(x, is_cast=True) if isinstance(x, Input) and dtype in _FLOATS else x


def sparse_matmul(input: Any, weight: Any) -> Tensor:
    """``torch.sparse.mm`` of sparse rows."""
    if isinstance(input, Input):
        input.sources.is_sparse = True
    return matmul(input, weight)


def copied(x: Any, *_: Any, **__: Any) -> Any:
    """The same numbers in memory of their own."""
    return Tensor(x.form, x.dims, x.ending) if isinstance(x, Tensor) else x


def same(x: Any, *_: Any, **__: Any) -> Any:
    """What is there already."""
    return x


def dense(x: Any, width: int | None = None) -> Tensor:
    """Return a tensor whose ending is settled; an input as dense rows of ``width`` features."""
    if isinstance(x, Input):
        return x.tensor(width)
    if not isinstance(x, Tensor):
        raise CannotFold(f"a tensor was expected, {type(x).__name__} came", LEAVE)
    return x.settled()


def _plus(x: Any, other: Any, alpha: float) -> Tensor:
    if isinstance(other, Tensor | Input):
        one, two = dense(x), dense(other)
        if one.dims != two.dims:
            raise CannotFold(f"it adds up shapes (n, {one.dims}) and (n, {two.dims})", "add up equal shapes")
        if len(one.form.terms) + len(two.form.terms) > _MOST_ITEMS:
            raise ModelError(f"it adds up more than {_MOST_ITEMS} parts", LEAVE)
        return one.like(forms.add(one.form, two.form if alpha == 1 else forms.multiply(two.form, alpha)))
    if _depends(other):
        raise CannotFold("it adds a norm or a magnitude", LEAVE)
    tensor = dense(x, _columns(other))
    return tensor.like(forms.add_constant(tensor.form, _spread(np.asarray(other, np.float64) * alpha, tensor.dims)))


def _depends(x: Any) -> bool:
    return isinstance(x, Tensor | Input | RowNorm | Magnitude | Symbol)


def _bounded(x: Any, other: Any) -> None:
    """Refuse what is no number or array, and constants that grow far beyond themselves."""
    if not all(isinstance(each, int | float | np.ndarray) for each in (x, other)):
        raise ModelError(f"{type(x).__name__} and {type(other).__name__} are no tensors", LEAVE)
    size = math.prod(np.broadcast_shapes(np.shape(x), np.shape(other)))
    if size > max(torch_shapes.MOST, np.size(x), np.size(other)):
        raise ModelError(f"constants of {np.shape(x)} and {np.shape(other)} meet", LEAVE)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _columns(constant: Any) -> int | None:
    """Return how many columns a constant has, which tells how wide an input is."""
    return constant.shape[-1] if isinstance(constant, np.ndarray) and constant.size > 1 else None


def _spread(constant: Any, dims: tuple[int, ...]) -> Any:
    """Return a constant as one number for each column of (n, *dims), by PyTorch's rules of broadcasting."""
    array = np.asarray(constant, np.float64)
    if array.ndim == len(dims) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(dims):
        raise CannotFold(f"a constant of shape {array.shape} meets (n, {dims})", LEAVE)
    return np.broadcast_to(array, dims).reshape(-1) if array.size > 1 else array.reshape(-1)


_BAG = (
    "weight",
    "indices",
    "offsets",
    "scale_grad_by_freq",
    "mode",
    "sparse",
    "per_sample_weights",
    "include_last_offset",
    "padding_idx",
)
_NORM = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps", "cudnn_enabled")
_INPUTS = "let forward(indices, offsets, per_sample_weights) hand them to EmbeddingBag unchanged"
_ERRORS = (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, ZeroDivisionError)

OPERATORS: dict[str, Callable[..., Any]] = {
    "embedding_bag": embedding_bag,
    "_embedding_bag": plain_bag,
    "_embedding_bag_forward_only": plain_bag,
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "_sparse_mm": sparse_matmul,
    "addmm": addmm,
    "add": add,
    "sub": subtract,
    "rsub": reverse_subtract,
    "mul": multiply,
    "div": divide,
    "neg": lambda x: multiply(x, -1.0),
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": decomposed_norm,
    "linalg_vector_norm": norm,
    "norm": norm,
    "abs": magnitude,
    "dropout": dropout,
    "feature_dropout": dropout,
    "alpha_dropout": dropout,
    "feature_alpha_dropout": dropout,
    "to": cast,
    "_to_copy": cast,
    "type_as": same,
    "contiguous": same,
    "clone": copied,
    "detach": same,
    "alias": same,
    "lift_fresh_copy": copied,
    "to_dense": same,
    **torch_activations.OPERATORS,
    **torch_shapes.OPERATORS,
}
"""Name → function, without the overload."""
