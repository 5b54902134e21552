"""An MXNet checkpoint that somebody else wrote: found, read, and its own graph kept to compare with."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.errors import ModelError, UsageError
from duckprop.formats.artefact import Artefact, Reference
from duckprop.formats.finite import check_finite
from duckprop.formats.forms import CannotFold
from duckprop.formats.mxnet import input_of, read_graph, read_with_classes, width_of
from duckprop.formats.mxnet_params import read_params
from duckprop.formats.mxnet_params_write import write_params
from duckprop.mxnet_engine import MXNetScorer
from duckprop.network import Network
from duckprop.sparse import from_scipy

_HALF = 1e-3
"""How far apart propensities may be where the weights are float16, and MXNet computes with them."""


@dataclass(frozen=True)
class Checkpoint:
    """prefix-symbol.json and prefix-epoch.params in a folder."""

    folder: Path
    prefix: str
    epoch: int

    @property
    def params(self) -> Path:
        """The parameters' file."""
        return self.folder / f"{self.prefix}-{self.epoch:04d}.params"

    @property
    def path(self) -> str:
        """What MXNet calls a prefix: with the folder."""
        return str(self.folder / self.prefix)


def find(path: Path) -> Checkpoint:
    """Return the checkpoint that a path means: folder/prefix, its newest epoch; one .params; or a folder of one only.

    Raises UsageError that says what is missing.
    """
    found = re.fullmatch(r"(.+)-(\d{4,})\.params", path.name)
    if found and path.is_file():
        return _whole(path.parent, found[1], int(found[2]))
    folder, prefix = path.parent, path.name.removesuffix("-symbol.json")
    if path.is_dir():
        graphs = sorted(path.glob("*-symbol.json"))
        if len(graphs) != 1:
            raise UsageError(f"{path} holds {len(graphs)} *-symbol.json", "name one: folder/prefix")
        folder, prefix = path, graphs[0].name.removesuffix("-symbol.json")
    pattern = re.compile(re.escape(prefix) + r"-(\d{4,})\.params")
    names = folder.iterdir() if folder.is_dir() else ()
    epochs = [int(match[1]) for name in names if (match := pattern.fullmatch(name.name))]
    if not epochs:
        raise UsageError(f"there is no {folder / prefix}-0000.params or of another epoch", "give folder/prefix")
    return _whole(folder, prefix, max(epochs))


def _whole(folder: Path, prefix: str, epoch: int) -> Checkpoint:
    if not (folder / f"{prefix}-symbol.json").is_file():
        raise UsageError(
            f"{folder / prefix}-symbol.json is missing, the graph that the parameters belong to",
            "save both: mx.model.save_checkpoint, or net.export of a Gluon network",
        )
    return Checkpoint(folder, prefix, epoch)


def read(
    path: Path,
    *,
    categories: Sequence[str] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
) -> Artefact:
    """Return a checkpoint as an artefact, with its own graph in MXNet to compare with, where MXNet is installed.

    categories: N names. positive_column: the class whose probability counts; it must be stated where a head has
    several. output: 'sigmoid' or 'softmax' for a graph that ends in plain logits. What no Network computes is left to
    MXNet. Raises ModelError, and UsageError where the caller must say more.
    """
    checkpoint = find(path)
    arrays = read_params(checkpoint.params)
    check_finite(arrays)
    heads = None if categories is None else len(categories)
    network: Network | None = None
    has_classes, why = True, ""
    try:
        network, has_classes = read_with_classes(
            checkpoint.folder, checkpoint.prefix, checkpoint.epoch, heads=heads, output=output
        )
    except CannotFold as error:
        why = error.fact
    linked = _Linked(checkpoint, arrays, output)
    shape = linked.shape(heads, why) if network is None else (network.width, network.heads, network.classes)
    positive = _positive(shape[2] if has_classes else 1, positive_column)
    is_half = any(array.dtype == np.float16 for array in arrays.values())
    reference, missing = linked.reference(shape, positive)
    return Artefact(
        "mxnet",
        _version(checkpoint),
        network,
        positive,
        reference=reference,
        unverified=missing,
        tolerance=_HALF if is_half else 1e-6,
        notes={"epoch": checkpoint.epoch},
        not_folded=why,
        shape=shape,
        write=linked.write,
    )


def _positive(classes: int, stated: int | None) -> int:
    """Return the positive class of heads of so many classes; 1: there is one number a category."""
    if classes == 1:
        if stated not in (None, 0):
            raise UsageError(f"the positive column is {stated}, the graph gives one number a category", "leave it out")
        return 0
    if stated is None:
        raise UsageError(
            f"the graph gives {classes} classes a category, and does not say which one is the propensity",
            "state it: --positive-column 0 where it was trained on labels [y, 1 - y], 1 where on class numbers 0 and 1",
        )
    if not 0 <= stated < classes:
        raise UsageError(f"the positive column is {stated}, a head has {classes}", f"give 0 to {classes - 1}")
    return stated


def _version(checkpoint: Checkpoint) -> str:
    found = read_graph(checkpoint.folder / f"{checkpoint.prefix}-symbol.json").get("attrs") or {}
    try:
        number = int(found["mxnet_version"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return "MXNet"
    return f"MXNet {number // 10000}.{number // 100 % 100}.{number % 100}"


@dataclass(frozen=True)
class _Linked:
    """A checkpoint with what stands behind its logits: its files as a bundle holds them."""

    checkpoint: Checkpoint
    arrays: dict[str, Any]
    output: str | None

    def write(self, folder: Path, prefix: str) -> None:
        """Write the graph, with the sigmoid or softmax that was stated, and the parameters, all dense."""
        graph = self._graph()
        (folder / f"{prefix}-symbol.json").write_text(json.dumps(graph, indent=1), encoding="utf-8")
        auxiliary = _auxiliary(graph)
        dense = {name: array.toarray() if sparse.issparse(array) else array for name, array in self.arrays.items()}
        used = {node["name"] for node in graph["nodes"] if node["op"] == "null"}
        write_params(
            folder / f"{prefix}-0000.params",
            {f"{'aux' if name in auxiliary else 'arg'}:{name}": array for name, array in dense.items() if name in used},
        )

    def _graph(self) -> dict[str, Any]:
        graph = read_graph(self.checkpoint.folder / f"{self.checkpoint.prefix}-symbol.json")
        nodes = graph["nodes"]
        if self.output is None or any(_end(nodes, at[0]) in (*_SOFTMAXES, *_SIGMOIDS) for at in graph["heads"]):
            return graph
        for place, at in enumerate(graph["heads"]):
            node = {"op": self.output, "name": f"duckprop_output{place}", "inputs": [at]}
            nodes.append(node | ({"attrs": {"axis": "-1"}} if self.output == "softmax" else {}))
            graph["heads"][place] = [len(nodes) - 1, 0, 0]
        graph.pop("node_row_ptr", None)
        return graph

    def shape(self, heads: int | None, why: str) -> tuple[int, int, int]:
        """Return (F, N, K) of a graph that is not folded, as MXNet infers it."""
        if heads is None:
            raise UsageError(f"only MXNet can score this graph ({why})", "name its categories: --categories FILE")
        return mxnet_compat.run(_infer, self._graph(), self.arrays, heads)

    def reference(self, sizes: tuple[int, int, int], positive: int) -> tuple[Reference | None, str]:
        """Return what runs the checkpoint's own files in MXNet, or None and why not.

        Where an output was stated, or MXNet cannot load the files as they are (names without its prefixes), it runs
        those that ``write`` makes of them.
        """
        try:
            mxnet_compat.load()
        except UsageError as error:
            return None, error.fact
        width, shape, checkpoint = sizes[0], sizes[1:], self.checkpoint
        kept = None
        try:
            if self.output is not None:
                raise ModelError("MXNet's own graph ends in logits", "")
            scorer = MXNetScorer(checkpoint.path, width, shape, positive, epoch=checkpoint.epoch)
        except ModelError:
            kept = tempfile.TemporaryDirectory(prefix="duckprop-")
            self.write(Path(kept.name), "model")
            scorer = MXNetScorer(str(Path(kept.name, "model")), width, shape, positive)

        def run(csr: Any, _kept: Any = kept) -> NDArray[np.float32]:
            return scorer.score(from_scipy(csr))

        return run, ""


_SOFTMAXES = ("softmax", "SoftmaxOutput", "Softmax", "SoftmaxActivation")
_SIGMOIDS = ("sigmoid", "LogisticRegressionOutput")
_PASSING = (
    "Reshape", "reshape", "Flatten", "flatten", "transpose", "Concat", "concat", "stack", "expand_dims", "squeeze",
    "slice_axis", "SliceChannel", "split", "identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss",
    "Cast", "cast", "amp_cast",
)  # fmt: skip
"""Operators that hand on the numbers that they get."""


def _end(nodes: list[dict[str, Any]], number: int) -> str:
    """Return the operator that makes an output's numbers; 'sigmoid' for an Activation of that type."""
    node = nodes[number]
    while node["op"] in _PASSING:
        node = nodes[node["inputs"][0][0]]
    settings = node.get("attrs") or node.get("attr") or node.get("param") or {}
    return "sigmoid" if settings.get("act_type") == "sigmoid" else str(node["op"])


def _auxiliary(graph: dict[str, Any]) -> set[str]:
    """Return the names of BatchNorm's statistics."""
    names = set()
    for node in graph["nodes"]:
        if node["op"].startswith("BatchNorm"):
            names |= {graph["nodes"][at[0]]["name"] for at in node["inputs"][3:5]}
    return names


def _infer(graph: dict[str, Any], arrays: dict[str, NDArray[Any]], heads: int) -> tuple[int, int, int]:
    mx = mxnet_compat.load()
    data, width = input_of(graph, list(arrays)), width_of(graph, arrays)
    symbol = mx.sym.load_json(json.dumps(graph))
    _, outputs, _ = symbol.infer_shape_partial(**{data: (8, width)})
    if not outputs or any(not shape or shape[0] != 8 for shape in outputs):
        raise ModelError(f"the graph gives {outputs} for 8 rows", "give a graph that answers every row by itself")
    total = sum(int(np.prod(shape[1:])) for shape in outputs)
    classes = max(int(shape[-1]) for shape in outputs)
    if heads == total > classes > 1 and all(_end(graph["nodes"], at[0]) in _SOFTMAXES for at in graph["heads"]):
        raise UsageError(
            f"the graph's softmaxes go over {classes} classes each, {heads} categories are named",
            f"name {total // classes} categories",
        )
    if total % heads:
        raise UsageError(f"the graph gives {total} numbers a row, {heads} categories are named", "name as many")
    return width, heads, total // heads
