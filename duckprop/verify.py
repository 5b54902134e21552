"""Does the compiled engine give what MXNet gives? Both on a model's own sample and on random rows of every kind."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from duckprop import bundle
from duckprop.engine import Scorer
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.features import read_features
from duckprop.model import Model
from duckprop.parquet import read_table
from duckprop.relation import first_line
from duckprop.sparse import SparseBatch, from_scipy, offsets_of

TOLERANCE = 1e-6
"""How far apart two engines may be: float32 sums in another order differ by less, any other network by far more."""
ROWS = 2048
BATCH_SIZES = (1, 7, 256, 2048)
KINDS = {"empty": (0, 0), "single": (1, 1), "few": (0, 20), "many": (0, 2000)}
"""Kinds of random rows: the least and the most values drawn for one; what falls on the same column is added up."""
_MOST_SAMPLED = 10_000
_Question = Callable[[Scorer, SparseBatch], NDArray[np.float32]]


@dataclass(frozen=True)
class Comparison:
    """How far apart two engines are on rows of one kind, which the engine that is checked gets in batches of one size.

    kind: 'sample', or one of KINDS. propensity: largest difference. embedding: the same of the last hidden layer, as a
    share of a row's largest unit where that is above 1; None for a graph without one.
    """

    kind: str
    batch_size: int
    rows: int
    propensity: float
    embedding: float | None

    @property
    def is_within_tolerance(self) -> bool:
        """Whether neither is above TOLERANCE."""
        return self.propensity <= TOLERANCE and (self.embedding is None or self.embedding <= TOLERANCE)


@dataclass(frozen=True)
class Verification:
    """All comparisons of one engine with MXNet's."""

    engine: str
    comparisons: tuple[Comparison, ...]

    @property
    def rows(self) -> int:
        """Number of rows, each counted once."""
        return sum({each.kind: each.rows for each in self.comparisons}.values())

    @property
    def max_abs_difference(self) -> float:
        """Largest difference of any propensity."""
        return max(each.propensity for each in self.comparisons)

    @property
    def is_within_tolerance(self) -> bool:
        """Whether all comparisons are."""
        return all(each.is_within_tolerance for each in self.comparisons)


def verify(model: Model, rows: int = ROWS, seed: int = 1) -> Verification:
    """Compare a model's compiled engine with MXNet on its sample, where it has one, and on ``rows`` rows of each kind.

    Raises UsageError where MXNet cannot be imported, ModelError for damaged files or a graph that either cannot score.
    """
    if rows < 1:
        raise UsageError(f"{rows} rows are asked for", "give a whole number from 1")
    scorer, reference = model.scorer("compiled"), model.scorer("mxnet")
    found: list[Comparison] = []
    for kind, count, blocks in _kinds(model, rows, np.random.default_rng(seed)):
        sizes = sorted({min(size, count) for size in BATCH_SIZES})
        worst = compare(scorer, reference, blocks, sizes)
        found += [
            Comparison(kind, size, count, worst["propensity"][size], worst.get("embedding", {}).get(size))
            for size in sizes
        ]
    return Verification("compiled" if model.is_folded else "mxnet", tuple(found))


def compare(
    scorer: Scorer, reference: Scorer, blocks: Iterable[SparseBatch], sizes: Sequence[int]
) -> dict[str, dict[int, float]]:
    """Return the largest difference by what is compared and by the size of the batches that ``scorer`` gets.

    The reference gets every block as it is: MXNet computes any rows in batches of one fixed size.
    """
    questions = _questions(reference)
    worst = {name: dict.fromkeys(sizes, 0.0) for name in questions}
    for block in blocks:
        for name, ask in questions.items():
            expected = ask(reference, block)
            for size in sizes:
                starts = range(0, len(block), size)
                parts = [ask(scorer, block.rows(start, min(start + size, len(block)))) for start in starts]
                worst[name][size] = max(worst[name][size], _difference(np.concatenate(parts), expected))
    return worst


def _questions(reference: Scorer) -> dict[str, _Question]:
    """Return what to ask both engines; the embedding only where the reference's graph has one."""
    questions: dict[str, _Question] = {"propensity": lambda scorer, rows: scorer.score(rows)}
    try:
        reference.embed(from_scipy(sparse.csr_matrix((0, reference.width), dtype=np.float32)))
    except ModelError:
        return questions
    return questions | {"embedding": lambda scorer, rows: scorer.embed(rows)}


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference of (n, m), for a row with a number above 1 as a share of its largest."""
    if found.shape != expected.shape:
        return float("inf")
    apart = np.abs(found.astype(np.float64) - expected)
    scale = np.maximum(np.abs(expected).max(axis=1, keepdims=True, initial=0), 1)
    return float(np.nan_to_num(apart / scale, nan=np.inf, posinf=np.inf).max(initial=0))


def _kinds(model: Model, rows: int, random: np.random.Generator) -> Iterator[tuple[str, int, Iterable[SparseBatch]]]:
    """Yield each kind's name, number of rows, and blocks of rows."""
    sample = sample_of(model)
    if sample is not None and len(sample):
        yield "sample", len(sample), [sample]
    largest = max(BATCH_SIZES)
    counts = [min(largest, rows - start) for start in range(0, rows, largest)]
    for kind in KINDS:
        yield kind, rows, (random_rows(random, kind, count, model.width) for count in counts)


def sample_of(model: Model) -> SparseBatch | None:
    """Return the rows that training left in the bundle, or None. Raises ModelError where they cannot be read."""
    if bundle.SAMPLE not in model.card["files"]:
        return None
    path = model.folder / bundle.SAMPLE
    data = bundle.read_file(model.folder, model.card, bundle.SAMPLE)
    table = read_table(path, data, "sample", most=_MOST_SAMPLED)
    try:
        return read_features(table["features"], model.width)
    except (pa.ArrowException, KeyError, DataError) as error:
        raise ModelError(
            f"{path} is not a readable sample: {first_line(error)}", "copy or train the model again"
        ) from None


def random_rows(random: np.random.Generator, kind: str, count: int, width: int) -> SparseBatch:
    """Return ``count`` rows of one of KINDS: any columns, values of either sign, rows of norm 0.1 to 10."""
    least, most = KINDS[kind]
    lengths = random.integers(least, most + 1, count)
    owner = np.repeat(np.arange(count), lengths)
    columns = random.integers(0, width, len(owner))
    values = random.lognormal(0, 1, len(owner)) * random.choice([1, 1, 1, -1], len(owner))
    norms = np.sqrt(np.bincount(owner, values**2, count))
    scaled = values / norms[owner] * 10 ** random.uniform(-1, 1, count)[owner]
    return from_scipy(sparse.csr_matrix((scaled.astype(np.float32), columns, offsets_of(lengths)), (count, width)))
