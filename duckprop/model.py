"""A model in memory: its card and categories at once, its vocabulary and its network when they are first needed."""

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop import bundle
from duckprop.baseline import read_baseline
from duckprop.engine import ENGINES, Scorer
from duckprop.errors import DataError, ModelError, UsageError, did_you_mean
from duckprop.formats.mxnet import read_checkpoint
from duckprop.registry import Registry, Version
from duckprop.sparse import MAX_WIDTH, SparseBatch, from_scipy
from duckprop.vocabulary import Vocabulary

if TYPE_CHECKING:
    from duckprop.compiled import CompiledScorer
    from duckprop.explain import Explainer


class Model:
    """One version of a model. Safe to use from several threads.

    reference: what it is called, such as 'retail@3'. categories: N names in head order. card: everything recorded
    about it, a JSON object. width: number of feature columns F.
    """

    def __init__(self, folder: Path, reference: str | None = None) -> None:
        """Read a bundle's card. Raises ModelError where a file is missing or damaged."""
        self.folder = Path(folder).absolute()
        self.reference = reference or str(folder)
        self.card = bundle.read_card(self.folder)
        self.categories: tuple[str, ...] = tuple(self.card["categories"])
        self.classes: tuple[str, ...] = tuple(self.card["classes"])
        self.positive: int = self.card["positive"]
        self.width: int = self.card["features"]["width"]
        self._head = {category: head for head, category in enumerate(self.categories)}
        self._scorers: dict[str, Scorer] = {}
        self._lock = threading.Lock()
        if len(self._head) != len(self.categories) or len(set(self.classes)) != len(self.classes):
            raise ModelError(f"{self.folder}: categories or classes are not distinct", "train the model again")
        if not (0 <= self.positive < len(self.classes) >= 2 and 0 < self.width <= MAX_WIDTH):
            raise ModelError(
                f"{self.folder}: {len(self.classes)} classes, the positive one {self.positive}, and width {self.width} "
                "make no model",
                "train the model again",
            )

    def __repr__(self) -> str:
        return f"<duckprop.Model {self.reference}: {len(self.categories)} categories, {self.width} features>"

    @property
    def is_folded(self) -> bool:
        """Whether the compiled engine can score it; else MXNet does, whichever engine is asked for."""
        return self.card.get("engine") != "mxnet"

    @cached_property
    def category_names(self) -> pa.Array:
        """The categories as Arrow strings (N,), in head order."""
        return pa.array(self.categories, pa.string())

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """Names of the feature columns, or None where the model knows only numbers."""
        if not self.card["features"]["named"]:
            return None
        data = bundle.read_file(self.folder, self.card, bundle.VOCABULARY)
        names = Vocabulary.read(self.folder / bundle.VOCABULARY, data)
        if len(names) != self.width:
            raise ModelError(
                f"{self.folder}: {len(names)} feature names for {self.width} columns", "copy or train the model again"
            )
        return names

    @cached_property
    def baseline(self) -> pa.Table:
        """How propensities were distributed on the validation rows: category_id, bin, upper, n; see ``baseline_of``.

        Raises ModelError where the model carries none, or a damaged one.
        """
        return read_baseline(self.folder, self.card, self.reference)

    def scorer(self, engine: str = "compiled") -> Scorer:
        """Return the engine ('compiled' or 'mxnet') on this model, made at the first call after its files are checked.

        A model that is not folded (see ``is_folded``) is scored by MXNet whatever is asked for.

        Raises UsageError for another engine, ModelError for damaged files or a network that does not fit its card.
        """
        if engine not in ENGINES:
            raise UsageError(f"there is no engine '{engine}'{did_you_mean(engine, ENGINES)}", "use compiled or mxnet")
        with self._lock:
            if engine not in self._scorers:
                bundle.check_hashes(self.folder, self.card)
                self._scorers[engine] = self._compiled() if engine == "compiled" and self.is_folded else self._mxnet()
            return self._scorers[engine]

    @cached_property
    def explainer(self) -> "Explainer":
        """What splits log-odds up over features, whichever engine scores.

        Raises ModelError as ``scorer`` does, and for a model that only MXNet can score.
        """
        from duckprop.explain import Explainer

        if not self.is_folded:
            raise ModelError(
                f"model '{self.reference}' cannot be explained: only MXNet can score it",
                f"it is not folded, as {self.card.get('not_folded')}",
            )

        return Explainer(cast("CompiledScorer", self.scorer("compiled")))

    def _compiled(self) -> Scorer:
        from duckprop.compiled import CompiledScorer

        network = read_checkpoint(self.folder, bundle.PREFIX, heads=len(self.categories))
        expected = (self.width, len(self.categories), len(self.classes))
        if (network.width, network.heads, network.classes) != expected:
            raise ModelError(
                f"{self.folder}: the card says {expected} columns, categories and classes, the network has "
                f"{(network.width, network.heads, network.classes)}",
                "copy or train the model again",
            )
        return CompiledScorer(network, self.positive)

    def _mxnet(self) -> Scorer:
        from duckprop.mxnet_engine import MXNetScorer

        shape = (len(self.categories), len(self.classes))
        found = self.card.get("mxnet")
        embeds = not isinstance(found, dict) or bool(found.get("embedding", True))
        return MXNetScorer(str(self.folder / bundle.PREFIX), self.width, shape, self.positive, embeds=embeds)

    def heads(self, categories: list[str]) -> NDArray[np.int64]:
        """Return the head of each category, int64. Raises DataError for a name that is not in the model."""
        for category in categories:
            if category not in self._head:
                raise DataError(
                    f"category '{category}' is not in model '{self.reference}'"
                    f"{did_you_mean(category, self.categories)}",
                    f"see FROM propensity_categories('{self.reference}')",
                )
        return np.asarray([self._head[category] for category in categories], np.int64)

    def predict(self, csr: Any, engine: str = "compiled") -> NDArray[np.float32]:
        """Return propensities float32 (n, N) of a SciPy sparse matrix (n, F). Raises DataError for bad features."""
        return self.scorer(engine).score(self._batch(csr))

    def top(self, csr: Any, k: int, engine: str = "compiled") -> list[list[tuple[str, float]]]:
        """Return each customer's k best (category, propensity), best first; ties go to the lower category."""
        if k < 0:
            raise UsageError(f"k is {k}", "give a whole number from 0")
        best = self.scorer(engine).top(self._batch(csr), k)
        rows = zip(best.heads.tolist(), best.propensities.tolist(), best.counts.tolist(), strict=True)
        return [
            [(self.categories[head], propensity) for head, propensity in zip(heads, propensities, strict=True)][:count]
            for heads, propensities, count in rows
        ]

    def publish(self, name: str, registry: str | Path | None = None) -> Version:
        """Publish as the next version of a name; see Registry.publish."""
        if bundle.read_card(self.folder) != self.card:
            raise ModelError(f"{self.folder} has been written anew since this model was loaded", "load it again")
        return Registry(registry).publish(self.folder, name)

    def _batch(self, csr: Any) -> SparseBatch:
        batch = from_scipy(csr)
        if batch.width != self.width:
            raise DataError(
                f"the matrix has {batch.width} columns, model '{self.reference}' has {self.width}",
                "build the features with the model's own vocabulary",
            )
        return batch


def load(reference: str | Path, registry: str | Path | None = None) -> Model:
    """Load 'name', 'name@3', 'name@alias' or a bundle's folder. Raises ModelError that says what there is instead."""
    version = Registry(registry).resolve(str(reference))
    return Model(version.folder, version.reference if version.version else str(version.folder))
