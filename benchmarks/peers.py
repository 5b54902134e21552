"""PyTorch and ONNX Runtime at their best batch size. Both are an extra: without them these sides are left out."""
# mypy: disable-error-code="import-not-found,import-untyped"

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from duckprop.benchmarks.plain import Plain, plain
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import ENGINE, Array, LeftOut, Samples, Side, joined, quickest, run_blocks, share_blocks
from duckprop.benchmarks.workload import Workload
from duckprop.cores import cores
from duckprop.sparse import SparseBatch

TORCH, ONNX = "PyTorch", "ONNX Runtime"
PACKAGES = {TORCH: ("torch",), ONNX: ("onnx", "onnxruntime")}
_MOST_GATHERED = 2**26
"""Numbers that ONNX Runtime may gather for a batch, 256 MiB: it keeps the weights of every padded feature of a row."""
_TORCH_SIZES, _ONNX_SIZES = (256, 512, 1_024, 4_096, 8_192), (16, 64, 256, 1_024)
_TRIED = 8_192
_OPSET = 17


def missing(name: str) -> str:
    """Return why a peer cannot take part, or an empty text."""
    for package in PACKAGES[name]:
        try:
            version(package)
        except PackageNotFoundError:
            return "not installed: pip install 'duckprop[peers]'"
    return ""


@contextmanager
def torch_bags(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """EmbeddingBag, relu, Linear of one logit a head, sigmoid; topk on the logits; no gradients."""
    arrays, batch = _prepared(TORCH, workload, question)
    import torch

    answer = _torch_answer(arrays, batch, question.k)

    def run(way: Way, rows: int) -> None:
        torch.set_num_threads(1 if way.is_shared else cores())
        (share_blocks if way.is_shared else run_blocks)(answer, rows, way.size)

    yield _at_its_best(TORCH, run, answer, len(batch), sizes=_TORCH_SIZES)


@contextmanager
def onnx_graph(workload: Workload, question: Question, _samples: Samples) -> Iterator[Side]:
    """Gather, weighted sum, Gemm, Sigmoid; a row has as many values as the longest of its batch, padded by zeros."""
    arrays, batch = _prepared(ONNX, workload, question)
    model = _graph(arrays, question.k)
    answers = {threads: _onnx_answer(model, arrays, batch, threads) for threads in {1, cores()}}

    def run(way: Way, rows: int) -> None:
        answer = answers[1 if way.is_shared else cores()]
        (share_blocks if way.is_shared else run_blocks)(answer, rows, way.size)

    longest = max(int(np.diff(batch.indptr).max(initial=0)), 1)
    most = max(_MOST_GATHERED // (longest * arrays.weight.shape[1]), 1)
    sizes = tuple(size for size in _ONNX_SIZES if size <= most) or (most,)
    yield _at_its_best(ONNX, run, answers[1], len(batch), sizes=sizes)


def _prepared(name: str, workload: Workload, question: Question) -> tuple[Plain, SparseBatch]:
    if question.explained is not None:
        raise LeftOut
    if reason := missing(name):
        raise LeftOut(reason)
    return plain(workload.model, question), workload.batch


@dataclass(frozen=True)
class Way:
    """Rows a batch, and who uses the cores: the library inside of a batch, or a thread a batch."""

    size: int
    is_shared: bool

    def __str__(self) -> str:
        return f"batches of {self.size:,}, {'one on each core' if self.is_shared else 'on its own threads'}"


def _at_its_best(
    name: str,
    run: Callable[[Way, int], None],
    answer: Callable[[int, int], Array],
    rows: int,
    *,
    sizes: tuple[int, ...],
) -> Side:
    """Try all sizes on the first rows, both ways where every core gets a batch, and take the fastest for all."""
    tried = min(rows, _TRIED)
    fitting = [size for size in sizes if size <= tried] or [tried]
    ways = [Way(size, is_shared=False) for size in fitting]
    ways += [Way(size, is_shared=True) for size in fitting if size * cores() <= tried]
    best = quickest({way: partial(run, way, tried) for way in ways})
    note = f"{best}: the best of {len(ways)} ways"
    return Side(name, rows, lambda: run(best, rows), joined(answer, best.size), ENGINE, note, is_peer=True)


def _torch_answer(arrays: Plain, batch: SparseBatch, k: int | None) -> Callable[[int, int], Array]:
    import torch
    from torch.nn.functional import embedding_bag, linear

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor does anyone write
        weight, bias, heads_bias = (torch.from_numpy(each) for each in (arrays.weight, arrays.bias, arrays.heads_bias))
        heads = torch.from_numpy(arrays.heads.T.copy())
        hidden = [(torch.from_numpy(each.T.copy()), torch.from_numpy(shift)) for each, shift in arrays.hidden]
    one = torch.ones(1)

    def answer(start: int, stop: int) -> Array:
        block = batch.rows(start, stop)
        columns, values = torch.from_numpy(block.indices), torch.from_numpy(block.values)
        bags = torch.from_numpy(block.indptr.astype(np.int32))
        with torch.inference_mode():
            layer = embedding_bag(
                columns, weight, bags, mode="sum", per_sample_weights=values, include_last_offset=True
            )
            if arrays.epsilon is not None:
                ones = torch.zeros(len(values), dtype=torch.int32)
                squares = embedding_bag(
                    ones, one[None], bags, mode="sum", per_sample_weights=values * values, include_last_offset=True
                )
                layer *= torch.rsqrt(squares + arrays.epsilon)
            layer = layer.add_(bias).relu_()
            for each, shift in hidden:
                layer = linear(layer, each, shift).relu_()
            logits = linear(layer, heads, heads_bias)
            if k is not None:
                logits = torch.topk(logits, k, dim=1, sorted=True).values
            return logits.sigmoid_().numpy()

    return answer


def _onnx_answer(model: bytes, arrays: Plain, batch: SparseBatch, threads: int) -> Callable[[int, int], Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def answer(start: int, stop: int) -> Array:
        columns, values = _padded(batch.rows(start, stop))
        return session.run(None, {"columns": columns, "values": values, "weight": arrays.weight})[0]

    return answer


def _padded(block: SparseBatch) -> tuple[Any, Array]:
    """Return columns int32 (n, longest) and values (n, 1, longest) of a block; column 0 with value 0 as padding."""
    lengths = np.diff(block.indptr)
    longest = max(int(lengths.max(initial=0)), 1)
    if block.nnz == longest * len(block):
        return block.indices.reshape(len(block), longest), block.values.reshape(len(block), 1, longest)
    columns, values = np.zeros((len(block), longest), np.int32), np.zeros((len(block), 1, longest), np.float32)
    filled = np.arange(longest) < lengths[:, None]
    columns[filled], values[:, 0][filled] = block.indices, block.values
    return columns, values


def _graph(arrays: Plain, k: int | None) -> bytes:
    """Return the model. The first weight is an input, handed over without a copy: a file holds 2 GiB at most."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored = _nodes(arrays, k)
    inputs = {"columns": TensorProto.INT32, "values": TensorProto.FLOAT, "weight": TensorProto.FLOAT}
    shapes: dict[str, list[Any]] = {"columns": ["n", "z"], "values": ["n", 1, "z"], "weight": list(arrays.weight.shape)}
    graph = helper.make_graph(
        [helper.make_node(kind, taken, given.split(), **options) for kind, taken, given, options in nodes], "duckprop",
        [helper.make_tensor_value_info(name, kind, shapes[name]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("propensities", TensorProto.FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    return model.SerializeToString()


def _nodes(arrays: Plain, k: int | None) -> tuple[list[tuple[str, list[str], str, dict[str, Any]]], dict[str, Any]]:
    """Return the graph's nodes, each an operator, its inputs, outputs and options, and the constants by name."""
    stored = {"one": np.array([1], np.int64), "bias": arrays.bias}
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []

    def add(kind: str, *inputs: str, **options: Any) -> str:
        nodes.append((kind, list(inputs), f"{kind}{len(nodes)}", options))
        return nodes[-1][2]

    last = add("Squeeze", add("MatMul", "values", add("Gather", "weight", "columns")), "one")
    if arrays.epsilon is not None:
        stored["epsilon"] = np.array(arrays.epsilon, np.float32)
        squares = add("ReduceSumSquare", "values", axes=[2], keepdims=0)
        last = add("Div", last, add("Sqrt", add("Add", squares, "epsilon")))
    last = add("Relu", add("Add", last, "bias"))
    for number, (weight, bias) in enumerate((*arrays.hidden, (arrays.heads, arrays.heads_bias))):
        stored |= {f"weight{number}": weight, f"bias{number}": bias}
        last = add("Gemm", last, f"weight{number}", f"bias{number}")
        last = add("Relu", last) if number < len(arrays.hidden) else last
    if k is not None:
        stored["k"] = np.array([k], np.int64)
        nodes.append(("TopK", [last, "k"], "best places", {"axis": 1}))
        last = "best"
    nodes.append(("Sigmoid", [last], "propensities", {}))
    return nodes, stored
