"""PyTorch itself on sparse rows: what an imported model is compared with.

A state dict or a torch.export graph is run call by call through ``torch.ops.aten``; a TorchScript archive by
``torch.jit.load``, of a copy that holds only the members that were read and found to compute and nothing else.
"""

import importlib.util
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import DataError
from duckprop.formats.torch_graph import CHECKS, NUMBERS, Dtype, Graph, Node, run
from duckprop.formats.torch_output import Finish
from duckprop.formats.torch_values import Sources

Call = Callable[[list[Any]], Any]
"""PyTorch tensors in the order of the graph's inputs → its output or outputs."""

_BYTES = 1 << 26
_ROWS, _ENTRIES = 4096, 1 << 22
UNVERIFIED = "PyTorch is not installed, so nothing was compared with it: pip install torch"


def has_torch() -> bool:
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def propensities(call: Call, sources: Sources, finish: Finish) -> Callable[[Any], NDArray[np.floating]]:
    """Return what computes propensities (n, N) of CSR rows (n, F), block by block.

    A bag without per_sample_weights lists a feature as often as its value says: DataError for other values.
    """

    def score(rows: Any) -> NDArray[np.floating]:
        import torch

        csr = sparse.csr_matrix(rows, dtype=np.float32)
        found = []
        with torch.no_grad():
            for start in range(0, csr.shape[0], size := _block(sources, csr)):
                inputs = _inputs(sources, csr[start : start + size], getattr(torch, sources.dtype))
                found.append(finish(_columns(call(inputs))))
        return np.concatenate(found) if found else np.zeros((0, 0))

    return score


def _block(sources: Sources, csr: Any) -> int:
    """Return how many rows are run at once."""
    if sources.bag is None:
        return max(1, min(_ROWS, _BYTES // max(4 * csr.shape[1], 1)))
    return max(1, min(_ROWS, _ENTRIES * csr.shape[0] // max(csr.nnz, 1)))


def _inputs(sources: Sources, csr: Any, dtype: Any) -> list[Any]:
    import torch

    if sources.bag is None and sources.is_sparse:
        starts, columns = (torch.from_numpy(each.astype(np.int64)) for each in (csr.indptr, csr.indices))
        return [torch.sparse_csr_tensor(starts, columns, torch.from_numpy(csr.data), size=csr.shape).to(dtype)]
    if sources.bag is None:
        return [torch.from_numpy(csr.toarray()).to(dtype)]
    indptr, indices = csr.indptr.astype(np.int64), csr.indices.astype(np.int64)
    if sources.is_counted:
        counts = csr.data.astype(np.int64)
        if (counts != csr.data).any() or (counts < 0).any() or counts.sum() > 10 * _ENTRIES:
            fact = "the model takes lists of features without values: the rows to compare hold more than small counts"
            raise DataError(fact, "compare it on rows of values 0 and 1")
        indptr, indices = np.concatenate([[0], counts.cumsum()])[indptr], np.repeat(indices, counts)
    offsets = indptr if sources.has_last else indptr[:-1]
    given = [torch.from_numpy(indices), torch.from_numpy(offsets), torch.from_numpy(csr.data).to(dtype)]
    places = [place for place in sources.bag if place is not None]
    inputs: list[Any] = [None] * (max(places) + 1)
    for place, tensor in zip(sources.bag, given, strict=True):
        if place is not None:
            inputs[place] = tensor
    return inputs


def _columns(found: Any) -> NDArray[np.float64]:
    """Return one output, or several side by side, as (n, columns)."""
    tensors = list(found) if isinstance(found, tuple | list) else [found]
    arrays = [tensor.detach().double().numpy() for tensor in tensors]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def of_graph(graph: Graph, load: Callable[[], dict[str, Any]] | None = None) -> Call:
    """Return what runs a graph by PyTorch's operators. load: brings its constants as tensors; None: those it has."""

    def tensors() -> dict[str, Any]:
        import torch

        return {name: torch.from_numpy(np.array(array)) for name, array in graph.arrays.items()}

    kept: dict[str, Any] = {}

    def call(inputs: list[Any]) -> Any:
        if not kept:
            kept.update((load or tensors)())
        given = dict(zip(graph.inputs, inputs, strict=False))
        return run(graph, {**kept, **given}, _by_torch)

    return call


def _by_torch(node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
    import torch

    if node.operator in CHECKS:
        return None
    if node.operator in NUMBERS:
        return NUMBERS[node.operator](*args)
    dtypes = {5: torch.float16, 6: torch.float32, 7: torch.float64, 15: torch.bfloat16, 3: torch.int32, 4: torch.int64}
    args = [dtypes[each.code] if isinstance(each, Dtype) else each for each in args]
    kwargs = {name: dtypes[each.code] if isinstance(each, Dtype) else each for name, each in kwargs.items()}
    return _operator(node.operator)(*args, **kwargs)


def _operator(name: str) -> Any:
    import torch

    packet = getattr(torch.ops.aten, name)
    if name == "softmax":
        return lambda x, dim, dtype=None, *_: packet.int(x, dim, dtype)
    return packet


def of_script(copy: Callable[[], io.BytesIO], has_bfloat: bool) -> Call:
    """Return what runs a TorchScript archive that was read and found to do nothing but compute.

    copy: returns it. has_bfloat: its weights are widened to float32, as bfloat16's own sums say too little.
    """
    kept: list[Any] = []

    def call(inputs: list[Any]) -> Any:
        if not kept:
            import torch

            module = torch.jit.load(copy(), map_location="cpu").eval()
            kept.append(module.float() if has_bfloat else module)
        return kept[0](*inputs)

    return call
