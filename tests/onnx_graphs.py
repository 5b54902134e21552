"""ONNX files of several kinds, and rows to compare on: written with the onnx package or exported by PyTorch."""

import warnings
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import sparse

WIDTH = 300


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind, inputs, output, **options):
    outputs = output if isinstance(output, list) else [output]
    return helper.make_node(kind, inputs.split(), outputs, name=f"the_{outputs[0]}", **options)


def saved(path, nodes, arrays, *, inputs=None, outputs=None, opset=17, domains=(), half=False):
    """Write a model; ``arrays`` are its initializers. Inputs default to x (n, WIDTH), outputs to y."""
    kept = {name: np.asarray(array) for name, array in arrays.items()}
    if half:
        kept = {name: array.astype(np.float16) if array.dtype.kind == "f" else array for name, array in kept.items()}
    kept = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in kept.items()}
    stored = [numpy_helper.from_array(array, name) for name, array in kept.items()]
    inputs = inputs or [value("x", ["n", WIDTH])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs or [value("y", ["n", "m"])], stored)
    domains = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8, producer_name="by hand"), path)
    return path


def weights(*sizes, seed=0):
    """Return w1, b1, w2, b2 … of dense layers (inputs, outputs)."""
    random, found = np.random.default_rng(seed), {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        found[f"w{number}"] = random.normal(0, (4 if number == 1 else 1) / np.sqrt(inputs), (inputs, outputs))
        found[f"b{number}"] = random.normal(0, 0.3, outputs)
    return found


def exported(path, module, arguments, *, opset=17, **options):
    """Write a PyTorch module; the first dimension of every input is free."""
    import torch

    torch.manual_seed(3)
    names = list(options.pop("names", [f"input{number}" for number in range(len(arguments))]))
    free = options.pop("free", {name: {0: f"rows_{name}"} for name in names})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), arguments, path, dynamo=False, opset_version=opset, input_names=names, dynamic_axes=free
        )
    return path


def sparse_rows(count=1000, width=WIDTH, *, seed=1, counted=False, most=20):
    """Return rows of norm 0.1 to 10, the first ones empty; ``counted``: of values 1."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, most + 1, count)
    lengths[:3] = 0
    columns = [np.sort(random.choice(width, length, replace=False)) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values = random.lognormal(0, 1, indptr[-1]) * random.choice([1, 1, 1, -1], indptr[-1])
    owner = np.repeat(np.arange(count), lengths)
    norms = np.sqrt(np.bincount(owner, values**2, count))
    values = values / norms[owner] * 10 ** random.uniform(-1, 1, count)[owner]
    values = np.ones(indptr[-1]) if counted else values
    indices = np.concatenate([np.zeros(0, np.int64), *columns])
    return sparse.csr_matrix((values.astype(np.float32), indices, indptr), (count, width))
