"""What a front door hands over: a network, what its source says about it, and the source itself to compare with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.network import Network

Reference = Callable[[Any], NDArray[np.floating]]
"""CSR float32 (n, F) → propensities (n, N), computed by the framework that the artefact comes from."""


@dataclass(frozen=True)
class Artefact:
    """One foreign model, read.

    source: its format, such as 'onnx'. framework: what wrote or runs it, with its version where it is known.
    network: None where only MXNet can score it; ``not_folded`` then says why, and shape is (F, N, K).
    positive: the class (column of a head) whose probability is the propensity. categories: N names, and features:
    F names, where the source holds any, else None. reference: runs the source's own graph; None where its framework is
    not installed, and ``unverified`` then says so. tolerance: how far apart propensities may be. write: writes MXNet's
    two files into a folder, for a prefix; None: those of the network. notes: for the card; 'values': 'counts' there
    means that rows to compare on hold whole numbers only.
    """

    source: str
    framework: str
    network: Network | None
    positive: int = 0
    categories: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    reference: Reference | None = None
    unverified: str = ""
    tolerance: float = 1e-6
    notes: dict[str, Any] = field(default_factory=dict)
    not_folded: str = ""
    shape: tuple[int, int, int] | None = None
    write: Callable[[Path, str], None] | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of features F, categories N and classes K."""
        if self.network is not None:
            return self.network.width, self.network.heads, self.network.classes
        assert self.shape is not None
        return self.shape
