"""PyTorch's operators that only move columns: cuts, joins, transposes and other shapes; and what asks for sizes."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from duckprop.formats import forms
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_values import ENTRIES, FEATURES, LEAVE, ROWS, Ending, Input, RowNorm, Symbol, Tensor

_END = 2**62
MOST = 2**24
"""Elements of constants, and columns, that are put together in a graph."""


def _axis(x: Any, dim: int) -> int:
    """Return which of the dimensions behind the rows ``dim`` is, −1 for the rows themselves."""
    rank = len(x.dims) + 1
    if not -rank <= dim < rank:
        raise IndexError(f"dimension {dim} of {rank}")
    return dim % rank - 1


def _moved(x: Tensor, move: Callable[[Any], Any]) -> Tensor:
    """Return a view whose columns are those that ``move`` leaves of their numbers."""
    ending = _kept(x)
    index = move(x.index())
    flat = index.reshape(-1)
    is_same = np.array_equal(flat, np.arange(x.form.size))
    return x.view(x.form if is_same else forms.take(x.form, flat), index.shape, ending)


def _kept(x: Tensor) -> Ending | None:
    if x.ending is not None and x.ending.kind == "softmax":
        raise CannotFold("it moves columns of a softmax", "let the model end with the softmax")
    return x.ending


def cut(x: Any, dim: int = 0, *limits: Any, **named: Any) -> Any:
    """x[..., start:end:step] along one dimension; the rows whole."""
    given = {"start": None, "end": None, "step": 1} | dict(zip(("start", "end", "step"), limits, strict=False)) | named
    start, end, step = (given[name] for name in ("start", "end", "step"))
    if isinstance(x, np.ndarray):
        return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]
    if isinstance(x, list):
        return x[slice(start, end, step)]
    if isinstance(x, Input):
        x = _whole(x)
    axis = _axis(x, dim)
    if axis < 0:
        if start not in (0, None) or not (end is None or isinstance(end, Symbol) or end >= _END) or step != 1:
            raise CannotFold("it takes some of the rows", LEAVE)
        return x
    columns = (slice(None),) * axis + (slice(start, end, step),)
    if _is_positive_column(x, axis, range(x.dims[-1])[slice(start, end, step)]):
        return _one_class(x, start or 0, (*x.dims[:-1], 1))
    return _moved(x, lambda index: index[columns])


def _whole(x: Any) -> Any:
    """Return an input as dense rows, for what cuts it up."""
    return x.tensor() if isinstance(x, Input) else x


def _is_positive_column(x: Tensor, axis: int, columns: Sequence[int]) -> bool:
    is_open = x.ending is not None and x.ending.kind == "softmax" and x.ending.positive is None
    return is_open and axis == len(x.dims) - 1 and len(columns) == 1 and x.dims[-1] == x.ending.classes  # type: ignore[union-attr]


def _one_class(x: Tensor, positive: int, dims: tuple[int, ...]) -> Tensor:
    assert x.ending is not None
    return Tensor(x.form, dims, Ending("softmax", x.ending.classes, positive % x.ending.classes))


def select(x: Any, dim: int, index: int) -> Any:
    """x[..., index] along one dimension; of a softmax, the class that counts."""
    if isinstance(x, np.ndarray):
        return np.take(x, index, dim)
    x = _whole(x)
    axis = _axis(x, dim)
    if axis < 0:
        raise CannotFold("it takes one of the rows", LEAVE)
    if _is_positive_column(x, axis, [index]):
        return _one_class(x, index, x.dims[:-1])
    return _moved(x, lambda columns: np.take(columns, index, axis))


def split(x: Any, size: Any, dim: int = 0) -> list[Any]:
    """Parts of a size, or of several sizes, along one dimension."""
    x = _whole(x)
    axis = _axis(x, dim)
    if axis < 0:
        raise CannotFold("it takes some of the rows", LEAVE)
    total = x.dims[axis]
    sizes = list(size) if isinstance(size, list | tuple) else [min(size, total - at) for at in range(0, total, size)]
    ends = np.cumsum([0, *sizes]).tolist()
    return [cut(x, axis + 1, begin, end) for begin, end in pairwise(ends)]


def chunk(x: Any, chunks: int, dim: int = 0) -> list[Any]:
    """As many parts, or fewer, along one dimension."""
    x = _whole(x)
    return split(x, max(1, -(-x.dims[_axis(x, dim)] // chunks)), dim)


def unbind(x: Any, dim: int = 0) -> list[Any]:
    """One part for each place along a dimension."""
    x = _whole(x)
    return [select(x, dim, at) for at in range(x.dims[_axis(x, dim)])]


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors side by side along a dimension behind the rows."""
    if sum(each.form.size if isinstance(each, Tensor) else np.size(each) for each in tensors) > MOST:
        raise CannotFold("it joins far too many columns", LEAVE)
    if all(isinstance(each, np.ndarray) for each in tensors):
        return np.concatenate(tensors, dim)
    parts = [_whole(each) for each in tensors]
    return _joined(parts, _axis(parts[0], dim), np.concatenate)


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors side by side along a new dimension behind the rows."""
    parts = [_whole(each) for each in tensors]
    if sum(part.form.size for part in parts) > MOST:
        raise CannotFold("it joins far too many columns", LEAVE)
    rank = len(parts[0].dims) + 2
    return _joined(parts, dim % rank - 1, np.stack)


def _joined(parts: list[Tensor], axis: int, join: Callable[..., Any]) -> Tensor:
    if axis < 0:
        raise CannotFold("it joins rows", LEAVE)
    endings = {part.ending for part in parts}
    ending = endings.pop() if len(endings) == 1 else None
    if ending is None:
        parts = [part.settled() for part in parts]
    sizes = np.cumsum([0, *(part.form.size for part in parts)]).tolist()
    if ending is not None and ending.kind == "softmax":
        if axis != 0:
            raise CannotFold("it joins softmaxes along another dimension than the first", "let it join along dim 1")
        stand_in = join([np.empty(part.dims, bool) for part in parts], axis)
        return Tensor(forms.concat([part.form for part in parts]), stand_in.shape, ending)
    index = join([part.index() + start for part, start in zip(parts, sizes, strict=False)], axis)
    form, flat = forms.concat([part.form for part in parts]), index.reshape(-1)
    return Tensor(form if np.array_equal(flat, np.arange(form.size)) else forms.take(form, flat), index.shape, ending)


def reshape(x: Any, shape: Any, *_: Any) -> Any:
    """Another shape of the same columns, the rows staying the first dimension."""
    if isinstance(x, np.ndarray):
        return x.reshape(shape)
    x = _whole(x)
    first, *rest = shape
    size = math.prod(x.dims)
    if any(isinstance(each, Symbol) for each in rest) or not (isinstance(first, Symbol) or first == -1):
        raise CannotFold(
            f"it does not keep the rows apart: {_texts(shape)}", "write view(x.shape[0], ...) or view(-1, ...)"
        )
    if rest.count(-1) == 1 and isinstance(first, Symbol):
        known = -math.prod(rest)
        rest[rest.index(-1)] = size // known if known else 0
    if math.prod(rest) != size or min(rest, default=1) < 0:
        raise CannotFold(f"it does not keep the rows apart: {_texts(shape)} of (n, {x.dims})", "keep a row in a row")
    return x.view(x.form, tuple(rest), x.ending)


def _texts(shape: Any) -> list[str]:
    return [each.text if isinstance(each, Symbol) else str(each) for each in shape]


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Some dimensions behind the rows as one."""
    x = _whole(x)
    start, end = _axis(x, start_dim), _axis(x, end_dim)
    if start < 0:
        if not x.dims:
            return x
        raise CannotFold("it makes one dimension of rows and columns", "write flatten(1)")
    dims = (*x.dims[:start], math.prod(x.dims[start : end + 1]), *x.dims[end + 1 :])
    return x.view(x.form, dims, x.ending)


def unsqueeze(x: Any, dim: int) -> Any:
    """A dimension of 1 more."""
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, dim)
    x = _whole(x)
    axis = dim % (len(x.dims) + 2) - 1
    if axis < 0:
        raise CannotFold("it sets a dimension before the rows", LEAVE)
    return x.view(x.form, (*x.dims[:axis], 1, *x.dims[axis:]), x.ending)


def squeeze(x: Any, dim: Any = None) -> Any:
    """Dimensions of 1 fewer."""
    if isinstance(x, np.ndarray):
        return x.squeeze(dim if dim is None or isinstance(dim, int) else tuple(dim))
    x = _whole(x)
    axes = range(len(x.dims)) if dim is None else [_axis(x, each) for each in ([dim] if isinstance(dim, int) else dim)]
    dims = tuple(size for at, size in enumerate(x.dims) if at not in axes or size != 1)
    return x.view(x.form, dims, x.ending)


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions in each other's place: of a constant, or behind the rows."""
    if isinstance(x, np.ndarray):
        return np.swapaxes(x, dim0, dim1)
    x = _whole(x)
    axes = _axis(x, dim0), _axis(x, dim1)
    if min(axes) < 0 and axes[0] != axes[1]:
        raise CannotFold("it transposes rows and columns", "multiply rows @ weight, or call Linear")
    return x if axes[0] == axes[1] else _moved(x, lambda index: np.swapaxes(index, *axes))


def turn(x: Any) -> Any:
    """A matrix's transpose."""
    return transpose(x, 0, 1) if not isinstance(x, np.ndarray) or x.ndim > 1 else x


def permute(x: Any, dims: Sequence[int]) -> Any:
    """The dimensions in another order, the rows staying the first."""
    if isinstance(x, np.ndarray):
        return np.transpose(x, dims)
    x = _whole(x)
    first, *rest = (_axis(x, dim) for dim in dims)
    if first != -1 or sorted(rest) != list(range(len(x.dims))):
        raise CannotFold("it transposes rows and columns", LEAVE)
    return _moved(x, lambda index: np.transpose(index, rest))


def expand(x: Any, *_: Any, **__: Any) -> Any:
    """A row's norm for each of its features; a constant as it is, which spreads by itself."""
    if isinstance(x, RowNorm | np.ndarray):
        return x
    raise CannotFold("it repeats columns", LEAVE)


def size(x: Any, dim: int | None = None) -> Any:
    """The shape, or one number of it."""
    if isinstance(x, Input) and x.width is None:
        shape: list[Any] = [ROWS, FEATURES] if x.is_alone else [ENTRIES]
    elif isinstance(x, np.ndarray):
        shape = list(x.shape)
    else:
        shape = [ROWS, *(x.dims if isinstance(x, Tensor) else (x.width,))]
    return shape if dim is None else shape[dim]


def rank(x: Any) -> int:
    """The number of dimensions. A bag's indices, offsets and weights have one each."""
    if isinstance(x, Input):
        return 2 if x.is_alone or x.width is not None else 1
    return len(x.shape) if isinstance(x, np.ndarray) else len(x.dims) + 1


OPERATORS: dict[str, Callable[..., Any]] = {
    "slice": cut,
    "narrow": lambda x, dim, start, length: cut(x, dim, start, start + length),
    "select": select,
    "split": split,
    "split_with_sizes": split,
    "unsafe_split": split,
    "chunk": chunk,
    "unsafe_chunk": chunk,
    "unbind": unbind,
    "cat": cat,
    "concat": cat,
    "hstack": lambda tensors: cat(tensors, 1),
    "stack": stack,
    "reshape": reshape,
    "view": reshape,
    "_unsafe_view": reshape,
    "unflatten": lambda x, dim, sizes, *_: _unflatten(x, dim, sizes),
    "flatten": flatten,
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "t": turn,
    "numpy_T": turn,
    "transpose": transpose,
    "permute": permute,
    "expand": expand,
    "expand_as": expand,
    "size": size,
    "sym_size": size,
    "dim": rank,
}
"""Name → function."""


def _unflatten(x: Any, dim: int, sizes: Any) -> Any:
    x = _whole(x)
    axis = _axis(x, dim)
    if axis < 0:
        raise CannotFold("it makes several dimensions of the rows", LEAVE)
    known = -math.prod(sizes) if -1 in sizes else 1
    parts = [x.dims[axis] // known if each == -1 and known else each for each in sizes]
    return reshape(x, [ROWS, *x.dims[:axis], *parts, *x.dims[axis + 1 :]])
