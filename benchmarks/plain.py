"""A model as plain arrays, for the sides that know nothing of ours."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from duckprop import bundle
from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.side import Array, LeftOut
from duckprop.formats.mxnet import read_checkpoint
from duckprop.model import Model
from duckprop.network import Network

if TYPE_CHECKING:
    from duckprop.fold import Folded


@dataclass(frozen=True)
class Plain:
    """P = sigmoid(relu(… relu(x @ weight · scale + bias) …) @ heads + heads_bias), for the heads that are asked for.

    weight: (F, H). hidden: (weight, bias) of further layers. heads: (H, M), the positive class's weights less the
    other's; heads_bias: (M,). epsilon: scale = 1 / sqrt(sum of squares + epsilon), None for 1. All float32.
    """

    weight: Array
    bias: Array
    hidden: tuple[tuple[Array, Array], ...]
    heads: Array
    heads_bias: Array
    epsilon: float | None


def plain(model: Model, question: Question) -> Plain:
    """Return the arrays of a model. Raises LeftOut for what the peers are not written for."""
    network, folded = _read(model.folder, model.positive)
    if network.classes != 2 or network.wide is not None or network.link != "heads":
        raise LeftOut("made for two classes and no wide path")
    if network.row_norm != "l2" or network.start is not None:
        raise LeftOut("made for rows scaled to norm 1, or not scaled")
    if {layer.activation for layer in (network.first, *network.hidden)} != {"relu"}:
        raise LeftOut("made for relu alone")
    heads = slice(None) if question.columns is None else question.columns
    return Plain(
        network.first.weight,
        network.first.bias,
        tuple((layer.weight, layer.bias) for layer in network.hidden),
        np.ascontiguousarray(-folded.weight[:, 0, heads]),
        np.ascontiguousarray(-folded.bias[0, heads]),
        network.row_epsilon,
    )


@lru_cache(maxsize=1)
def _read(folder: Path, positive: int) -> "tuple[Network, Folded]":
    from duckprop.fold import fold  # brings Numba, which a floor's memory should not show

    network = read_checkpoint(folder, bundle.PREFIX)
    return network, fold(network, positive)
