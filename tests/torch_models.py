"""PyTorch modules of every kind that duckprop reads, how each is read, and rows for them. Needs PyTorch."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

WIDTH = 60


class Bag(nn.Module):
    """EmbeddingBag sum of weighted features, an MLP, sigmoid heads."""

    def __init__(self, width: int = WIDTH, heads: int = 5):
        super().__init__()
        self.emb = nn.EmbeddingBag(width, 16, mode="sum", include_last_offset=True, padding_idx=3)
        self.start = nn.Parameter(torch.randn(16))
        self.hidden = nn.Linear(16, 8)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8, heads)

    def forward(self, indices: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        units = self.drop(torch.relu(self.emb(indices, offsets, weights) + self.start))
        return torch.sigmoid(self.out(torch.tanh(self.hidden(units))))


class Mean(nn.Module):
    """EmbeddingBag mean of listed features, BatchNorm, logits."""

    def __init__(self, heads: int = 4):
        super().__init__()
        self.emb = nn.EmbeddingBag(WIDTH, 12, mode="mean")
        self.norm = nn.BatchNorm1d(12)
        self.out = nn.Linear(12, heads)

    def forward(self, indices: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.norm(self.emb(indices, offsets))))


class Dense(nn.Module):
    """Linear on dense rows, BatchNorm, PReLU, one softmax over the categories."""

    def __init__(self, heads: int = 6):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.PReLU(16), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, heads)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(rows), 1)


class WideDeep(nn.Module):
    """A deep path and a wide one from the same bag, joined, then sigmoid heads."""

    def __init__(self, heads: int = 5):
        super().__init__()
        self.deep = nn.EmbeddingBag(WIDTH, 16, mode="sum")
        self.wide = nn.EmbeddingBag(WIDTH, heads, mode="sum")
        self.hidden = nn.Linear(16, 8)
        self.out = nn.Linear(8 + heads, heads)

    def forward(self, indices: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        deep = functional.elu(self.hidden(functional.relu(self.deep(indices, offsets, weights), inplace=True)))
        return torch.sigmoid(self.out(torch.cat([deep, self.wide(indices, offsets, weights)], dim=1)))


class Heads(nn.Module):
    """(n, N, 2): a softmax over two classes for each of N categories."""

    def __init__(self, heads: int = 7):
        super().__init__()
        self.emb = nn.EmbeddingBag(WIDTH, 16, mode="sum")
        self.out = nn.Linear(16, 2 * heads)
        self.heads = heads

    def forward(self, indices: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        logits = self.out(functional.silu(self.emb(indices, offsets, weights)))
        return torch.softmax(logits.view(logits.shape[0], self.heads, 2), dim=-1)


class Separate(nn.Module):
    """N heads of their own, each a softmax of two classes, of which the second is returned."""

    def __init__(self, heads: int = 4):
        super().__init__()
        self.first = nn.Linear(WIDTH, 16)
        self.heads = nn.ModuleList([nn.Linear(16, 2) for _ in range(heads)])

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        units = functional.selu(self.first(functional.normalize(rows, dim=1)))
        return torch.stack([torch.softmax(head(units), 1)[:, 1] for head in self.heads], 1)


class Zoo(nn.Module):
    """Every activation, each on a piece of the first layer."""

    def __init__(self, heads: int = 3):
        super().__init__()
        self.first = nn.Linear(WIDTH, 48)
        self.out = nn.Linear(48, heads)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        a, b, c, d, e, f, g, h = torch.chunk(self.first(rows), 8, 1)
        units = [functional.leaky_relu(a, 0.2), functional.softplus(b, beta=2.0), functional.softsign(c)]
        units += [functional.mish(d), functional.hardtanh(e, -0.5, 0.75), functional.relu6(f)]
        units += [functional.hardsigmoid(g), functional.gelu(h, approximate="tanh") * 0.5 + torch.sigmoid(h)]
        return torch.sigmoid(self.out(torch.cat(units, dim=1)))


class SparseMatrix(nn.Module):
    """torch.sparse.mm of sparse rows and a weight."""

    def __init__(self, heads: int = 3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, 16) / 4)
        self.bias = nn.Parameter(torch.randn(16))
        self.out = nn.Linear(16, heads)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.out(torch.relu(torch.sparse.mm(rows, self.weight) + self.bias)))


@dataclass(frozen=True)
class Plan:
    """How a module is read. takes: 'weights', 'counts' (bags with and without values), 'dense' or 'sparse' rows."""

    make: type[nn.Module]
    takes: str
    description: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    is_half: bool = False


BAG_STEPS = [
    {"embedding_bag": "emb", "padding_idx": 3},
    {"bias": "start"},
    "relu",
    "dropout",
    {"linear": "hidden"},
    "tanh",
    {"linear": "out"},
    "sigmoid",
]
DENSE_STEPS = "linear batch_norm prelu linear gelu linear softmax"
WIDE_DEEP_STEPS = [
    {"concat": [[{"embedding_bag": "deep"}, "relu", {"linear": "hidden"}, "elu"], [{"embedding_bag": "wide"}]]},
    {"linear": "out"},
    "sigmoid",
]
SEPARATE_STEPS = [
    "normalize",
    {"linear": "first"},
    "selu",
    {"concat": [[{"linear": f"heads.{head}"}] for head in range(4)]},
    {"reshape": [4, 2]},
    "softmax",
]
PLANS = {
    "bag sum, MLP, sigmoid": Plan(Bag, "weights", BAG_STEPS),
    "bag mean, BatchNorm": Plan(
        Mean, "counts", '[{"embedding_bag": "emb", "mode": "mean"}, {"batch_norm": "norm"}, "relu", {"linear": "out"}]',
        {"output": "sigmoid"},
    ),
    "dense, BatchNorm, PReLU": Plan(Dense, "dense", DENSE_STEPS),
    "wide and deep, concat": Plan(WideDeep, "weights", WIDE_DEEP_STEPS),
    "(n, N, 2) softmax heads": Plan(
        Heads, "weights", [{"embedding_bag": "emb"}, "silu", {"linear": "out"}, {"reshape": [7, 2]}, "softmax"],
        {"positive_column": 1},
    ),
    "normalized rows, N softmaxes": Plan(Separate, "dense", SEPARATE_STEPS, {"positive_column": 1}),
    "every activation": Plan(Zoo, "dense"),
    "torch.sparse.mm": Plan(
        SparseMatrix, "sparse", [{"mm": "weight"}, {"bias": "bias"}, "relu", {"linear": "out"}, "sigmoid"]
    ),
    "float16": Plan(Bag, "weights", BAG_STEPS, is_half=True),
}  # fmt: skip
"""Topology → plan."""


def built(plan: Plan, seed: int = 5) -> nn.Module:
    """Return the module in scoring mode, with weights large enough for propensities to differ, and statistics."""
    torch.manual_seed(seed)
    module = plan.make().eval()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var") or (name.endswith("norm.weight") or name == "net.1.weight"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.5)
            elif name.endswith("emb.weight") or name in ("deep.weight", "wide.weight"):
                tensor.mul_(0.4)
            elif name.endswith("0.weight") or name.endswith("first.weight"):
                tensor.mul_(4)
            elif name.endswith("5.weight") or name.endswith("3.weight"):
                tensor.mul_(3)
        if isinstance(module, Bag):
            module.emb.weight[3] = 0.7  # what a padding index leaves out
    return module.half() if plan.is_half else module


def rows_for(plan: Plan, count: int = 1000, seed: int = 9) -> sparse.csr_matrix:
    """Return sparse rows float32 (count, WIDTH), some empty: values of any size, or counts where bags only list."""
    random = np.random.default_rng(seed)
    rows = sparse.random(count, WIDTH, 0.1, "csr", np.float32, random)
    rows.data[:] = random.integers(1, 4, rows.nnz) if plan.takes == "counts" else random.normal(0, 1, rows.nnz)
    rows[:: count // 10] = 0
    rows.eliminate_zeros()
    rows.sort_indices()
    return rows


def inputs_for(plan: Plan, module: nn.Module, rows: sparse.csr_matrix) -> tuple[torch.Tensor, ...]:
    """Return what the module's forward takes for the rows."""
    dtype = torch.float16 if plan.is_half else torch.float32
    if plan.takes == "dense":
        return (torch.from_numpy(rows.toarray()).to(dtype),)
    if plan.takes == "sparse":
        coo = rows.tocoo()
        places = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        return (torch.sparse_coo_tensor(places, torch.from_numpy(coo.data), rows.shape),)
    counts = rows.data.astype(np.int64) if plan.takes == "counts" else np.ones(rows.nnz, np.int64)
    indices = torch.from_numpy(np.repeat(rows.indices.astype(np.int64), counts))
    indptr = torch.from_numpy(np.concatenate([[0], counts.cumsum()])[rows.indptr])
    has_last = any(getattr(each, "include_last_offset", False) for each in module.modules())
    bag = (indices, indptr if has_last else indptr[:-1])
    return bag if plan.takes == "counts" else (*bag, torch.from_numpy(rows.data).to(dtype))


def expected(plan: Plan, module: nn.Module, rows: sparse.csr_matrix) -> np.ndarray:
    """Return the module's propensities (n, N), computed by PyTorch."""
    with torch.no_grad():
        found = module(*inputs_for(plan, module, rows)).double().numpy()
    if plan.options.get("output") == "sigmoid":
        found = 1 / (1 + np.exp(-found))
    return found[..., plan.options["positive_column"]] if found.ndim == 3 else found


def exported(plan: Plan, module: nn.Module) -> io.BytesIO:
    """Return the archive that torch.export writes."""
    example = inputs_for(plan, module, rows_for(plan, 20))
    shapes = tuple({0: torch.export.Dim.AUTO} for _ in example)
    file = io.BytesIO()
    torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), file)
    file.seek(0)
    return file


def scripted(plan: Plan, module: nn.Module, is_traced: bool) -> torch.jit.ScriptModule:
    """Return the module as TorchScript, traced or compiled."""
    if is_traced:
        return torch.jit.trace(module, inputs_for(plan, module, rows_for(plan, 20)), check_trace=plan.takes != "sparse")
    return torch.jit.script(module)
