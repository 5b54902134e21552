"""What customers did: sparse class labels, one head a category."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcomes:
    """Labels of n customers over N categories, stored only where they are not the default, last class.

    indptr: int64 (n + 1,). category: int32 (nnz,), in [0, N). label: int8 (nnz,), in [0, K).
    categories: N names, in head order. classes: K names; class 0 is the positive one, the last is 'did nothing'.
    """

    indptr: NDArray[np.int64]
    category: NDArray[np.int32]
    label: NDArray[np.int8]
    categories: tuple[str, ...]
    classes: tuple[str, ...] = ("yes", "no")

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def one_hot(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return class probabilities float32 (len(rows), N, K), the form in which SoftmaxOutput takes labels."""
        dense = np.zeros((len(rows), len(self.categories), len(self.classes)), np.float32)
        dense[:, :, -1] = 1
        at, owner = self._elements(rows)
        dense[owner, self.category[at], -1] = 0
        dense[owner, self.category[at], self.label[at]] = 1
        return dense

    def positives(self, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether each customer is in the positive class, bool (len(rows), N)."""
        dense = np.zeros((len(rows), len(self.categories)), bool)
        at, owner = self._elements(rows)
        dense[owner, self.category[at]] = self.label[at] == 0
        return dense

    def positive_counts(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return how many of the given rows are in the positive class, int64 (N,)."""
        at, _ = self._elements(rows)
        return np.bincount(self.category[at][self.label[at] == 0], minlength=len(self.categories))

    def class_rates(self, rows: NDArray[np.integer], prior: float = 0) -> NDArray[np.float64]:
        """Return the share of each class, float64 (N, K), of the given rows and ``prior`` more, spread evenly.

        Without rows and without a prior there is no share: NaN.
        """
        at, _ = self._elements(rows)
        count = np.zeros((len(self.categories), len(self.classes)))
        np.add.at(count, (self.category[at], self.label[at]), 1)
        count[:, -1] = len(rows) - count[:, :-1].sum(axis=1)
        return (count + prior / len(self.classes)) / (len(rows) + prior)

    def _elements(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of the stored labels of some rows, and which of these rows each belongs to."""
        lengths = np.diff(self.indptr)[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        before = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(rows) else lengths
        return np.arange(lengths.sum()) + np.repeat(self.indptr[:-1][rows] - before, lengths), owner
