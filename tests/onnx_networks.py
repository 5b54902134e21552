"""Networks of every kind, drawn at random, to write as ONNX files."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from duckprop.network import ACTIVATIONS, Layer, Network


@dataclass(frozen=True)
class Shape:
    """What a drawn network is like; runs: activations of the first layer, further ones of each hidden layer."""

    runs: tuple[str, ...] = ("relu",)
    hidden: tuple[tuple[str, ...], ...] = ()
    heads: int = 5
    classes: int = 2
    link: str = "heads"
    norm: str = ""
    is_wide: bool = False
    has_start: bool = False
    is_even: bool = True
    seed: int = 0

    def network(self, width=300):
        """is_even: all units of a layer have the same parameters."""
        random = np.random.default_rng(self.seed)
        units = [4 * len(runs) for runs in (self.runs, *self.hidden)]
        layers = [
            self._layer(random, runs, (inputs, 0.5 if inputs == width else 0.8 / np.sqrt(inputs)))
            for runs, inputs in zip((self.runs, *self.hidden), [width, *units], strict=False)
        ]
        head_weight = random.normal(0, 0.8 / np.sqrt(units[-1]), (units[-1], self.heads, self.classes))
        head_bias, wide = random.normal(0, 0.5, (self.heads, self.classes)), None
        if self.is_wide:
            wide = sparse.random(width, self.heads * self.classes, 0.2, "csr", np.float32, random)
        if self.link != "heads":
            head_weight[..., 1], head_bias[..., 1] = 0, 0
            wide = None if wide is None else wide.multiply(np.tile([1, 0], self.heads)).tocsr().astype(np.float32)
        return Network(
            layers[0],
            tuple(layers[1:]),
            head_weight.astype(np.float32),
            head_bias.astype(np.float32),
            row_epsilon=1e-3 if self.norm else None,
            row_norm=self.norm or "l2",
            start=random.normal(0, 0.5, units[0]).astype(np.float32) if self.has_start else None,
            wide=wide,
            link=self.link,
        )

    def _layer(self, random, runs, size):
        inputs, spread = size
        units = 4 * len(runs)
        weight = random.normal(0, spread, (inputs, units)).astype(np.float32)
        bias = random.normal(0, 0.5, units).astype(np.float32)
        counts = (len(runs), 1) if self.is_even else (len(runs), 4)
        parameters = random.uniform(0.2, 1.2, (2, *counts)) * np.ones((2, len(runs), 4))
        parameters[0, [name == "clip" for name in runs]] *= -1
        plan = tuple((name, 4) for name in runs) if len(runs) > 1 else runs[0]
        return Layer(weight, bias, plan, parameters.reshape(2, -1).astype(np.float32))


EVERY = Shape(runs=ACTIVATIONS, hidden=(ACTIVATIONS,), norm="l2", is_wide=True)
