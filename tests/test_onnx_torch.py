"""Graphs as PyTorch exports them, against ONNX Runtime: needs PyTorch (make test-torch)."""

from importlib.util import find_spec

import numpy as np
import onnx_graphs as graphs
import pytest
from network_reference import propensities
from onnx_graphs import WIDTH

from duckprop.errors import UsageError
from duckprop.formats.forms import CannotFold
from duckprop.formats.onnx import read

pytestmark = pytest.mark.torch
if find_spec("torch"):
    import torch
    from torch import nn

    class Deep(nn.Module):
        """A wide path, a residual one, and rows divided by their norm."""

        def __init__(self, order=2):
            super().__init__()
            self.order, self.wide = order, nn.Linear(WIDTH, 4, bias=False)
            self.one, self.two, self.three = nn.Linear(WIDTH, 8), nn.Linear(8, 8), nn.Linear(16, 4)

        def forward(self, x):
            x = nn.functional.normalize(x, p=self.order)
            one = nn.functional.gelu(self.one(x), approximate="tanh")
            two = one + nn.functional.silu(self.two(one))
            return torch.sigmoid(self.three(torch.cat([one, two], 1)) + self.wide(x))

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.heads = nn.Linear(WIDTH, 8), nn.Linear(8, 9)

        def forward(self, x):
            return torch.softmax(self.heads(torch.tanh(self.below(x))).view(-1, 3, 3), 2)[:, :, 1]

    class Lists(nn.Module):
        """Padded ids, with values or without."""

        def __init__(self, is_mean=False):
            super().__init__()
            self.is_mean, self.table = is_mean, nn.Embedding(WIDTH, 16)
            self.above = nn.Sequential(nn.ReLU(), nn.Linear(16, 4), nn.Sigmoid())

        def forward(self, ids, weights=None):
            rows = self.table(ids)
            rows = rows if weights is None else rows * weights.unsqueeze(-1)
            return self.above(rows.mean(1) if self.is_mean else rows.sum(1))

    class Bags(nn.Module):
        """Flat ids and offsets."""

        def __init__(self, mode, has_last=False):
            super().__init__()
            self.bag = nn.EmbeddingBag(WIDTH, 16, mode=mode, include_last_offset=has_last)
            self.above = nn.Sequential(nn.ELU(0.7), nn.Linear(16, 4), nn.Softmax(1))

        def forward(self, ids, offsets, weights=None):
            return self.above(self.bag(ids, offsets, weights))

    def mlp(*activations):
        return nn.Sequential(nn.Linear(WIDTH, 16), activations[0], nn.Linear(16, 8), activations[1], nn.Linear(8, 4))

    COLUMNS = (torch.rand(2, WIDTH),)
    IDS, OFFSETS = torch.tensor([1, 2, 3, 4]), torch.tensor([0, 2])
    BAG = {"names": ["ids", "offsets", "weights"]}
    PADDED = {"names": ["ids", "weights"], "free": {name: {0: "n", 1: "length"} for name in ("ids", "weights")}}
    PAIR = (torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3))

    def pytorch(module, arguments=COLUMNS, **options):
        return lambda path: graphs.exported(path, module, arguments, **options)

    TOPOLOGIES = {
        "erf and prelu": (pytorch(mlp(nn.GELU(), nn.PReLU())), {"output": "sigmoid"}),
        "wide, residual, l2": (pytorch(Deep()), {}),
        "wide, residual, l1": (pytorch(Deep(1)), {}),
        "heads picked": (pytorch(Heads()), {}),
        "padded and weighted": (pytorch(Lists(), PAIR, **PADDED), {}),
        "padded sum": (pytorch(Lists(), PAIR[:1], names=["ids"], free={"ids": {0: "n", 1: "l"}}), {}),
        "padded mean": (pytorch(Lists(True), PAIR[:1], names=["ids"], free={"ids": {0: "n", 1: "l"}}), {}),
        "bags weighted": (pytorch(Bags("sum"), (IDS, OFFSETS, torch.ones(4)), **BAG), {}),
        "bags' mean": (pytorch(Bags("mean", True), (IDS, OFFSETS), names=["ids", "offsets"]), {}),
    }

NAMES = [
    "erf and prelu",
    "wide, residual, l2",
    "wide, residual, l1",
    "heads picked",
    "padded and weighted",
    "padded sum",
    "padded mean",
    "bags weighted",
    "bags' mean",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_pytorch_exports_gives_what_onnx_runtime_gives(tmp_path, name):
    build, options = TOPOLOGIES[name]
    artefact = read(build(tmp_path / "model.onnx"), **options)
    rows = graphs.sparse_rows(counted=artefact.notes.get("values") == "counts")
    expected = artefact.reference(rows)
    assert np.abs(propensities(artefact.network, rows, artefact.positive) - expected).max() <= 1e-6
    assert artefact.framework.startswith("pytorch")
    assert expected.std() > 0.01


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(
    "activation",
    ["ReLU", "ReLU6", "GELU", "SiLU", "Mish", "ELU", "SELU", "LeakyReLU", "Hardtanh", "Softplus", "Softsign", "Tanh"],
)
def test_every_activation_that_pytorch_exports(tmp_path, activation, opset):
    module = mlp(getattr(nn, activation)(), getattr(nn, activation)())
    artefact = read(pytorch(module, opset=opset)(tmp_path / "model.onnx"), output="sigmoid")
    rows = graphs.sparse_rows()
    assert np.abs(propensities(artefact.network, rows) - artefact.reference(rows)).max() <= 1e-6
    assert len(artefact.network.hidden) == 1


def test_what_pytorch_exports_and_no_network_has(tmp_path):
    path = pytorch(mlp(nn.Hardswish(), nn.ReLU()))(tmp_path / "model.onnx")
    with pytest.raises(CannotFold, match="operator 'HardSwish'"):
        read(path, output="sigmoid")
    with pytest.raises(UsageError, match="the graph itself returns column 1"):
        read(TOPOLOGIES["heads picked"][0](tmp_path / "heads.onnx"), positive_column=0)
