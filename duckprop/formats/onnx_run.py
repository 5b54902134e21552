"""The source graph itself, run by ONNX Runtime on blocks of sparse rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import DataError, ModelError
from duckprop.formats.onnx_file import OnnxFile
from duckprop.formats.onnx_inputs import Input
from duckprop.formats.onnx_outputs import Finish
from duckprop.formats.onnx_values import Source

_BYTES = 64 << 20
"""Of one dense block."""
_ROWS = 256


def runs_here() -> bool:
    """Whether ONNX Runtime is installed."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return onnxruntime is not None


@dataclass(frozen=True)
class Runner:
    """CSR float32 (n, F) → propensities (n, N) by the graph itself. batch: rows of a block where fixed, else 0.

    padding: the id that fills up lists of ids without values, None where rows are run in blocks of one length.
    """

    file: OnnxFile
    source: Source
    inputs: list[Input]
    outputs: list[str]
    finish: Finish
    batch: int = 0
    padding: int | None = None

    @cached_property
    def session(self) -> Any:
        """The graph, loaded."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        model = str(self.file.path) if self.file.is_external else self.file.model.SerializeToString()
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of many kinds, all its own
            raise ModelError(f"ONNX Runtime refuses {self.file.path}: {_line(error)}", "export it again") from None

    def __call__(self, csr: Any) -> NDArray[np.floating]:
        """Return the propensities. Raises DataError for rows that the graph's inputs cannot hold."""
        csr = sparse.csr_matrix(csr, dtype=np.float32)
        if csr.shape[1] != self.source.width:
            raise DataError(f"rows of {csr.shape[1]} columns meet a graph of {self.source.width}", "give others")
        found = None
        for rows in self._blocks(csr):
            columns = self.finish(self._columns(csr[rows]))
            found = np.zeros((csr.shape[0], columns.shape[1]), columns.dtype) if found is None else found
            found[rows] = columns
        return np.zeros((0, 0), np.float32) if found is None else found

    def _blocks(self, csr: Any) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each block: lists that cannot be filled up are of one length."""
        order, lengths = np.arange(csr.shape[0]), self._lengths(csr)
        if self.source.layout != "padded" or self.padding is not None or not self.source.is_counted:
            groups = [order]
        else:
            groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        size = self.batch or max(1, min(_ROWS, _BYTES // (4 * csr.shape[1])))
        for group in groups:
            yield from (group[start : start + size] for start in range(0, len(group), size))

    def _lengths(self, csr: Any) -> NDArray[np.int64]:
        return np.asarray(csr.sum(axis=1)).ravel().astype(np.int64) if self.source.is_counted else np.diff(csr.indptr)

    def _columns(self, csr: Any) -> NDArray[np.floating]:
        count = csr.shape[0]
        if self.batch > count:
            csr = sparse.vstack([csr, sparse.csr_matrix((self.batch - count, csr.shape[1]), dtype=csr.dtype)], "csr")
        feed = _FEEDS[self.source.layout](self, csr)
        typed = {each.name: feed[each.name].astype(each.dtype, copy=False) for each in self.inputs}
        try:
            results = self.session.run(self.outputs, typed)
        except Exception as error:  # of many kinds, all its own
            raise ModelError(f"ONNX Runtime cannot run {self.file.path}: {_line(error)}", "export it again") from None
        return np.concatenate([_plain(each) for each in results], axis=1)[:count]

    def dense(self, csr: Any) -> dict[str, NDArray[Any]]:
        """Return the columns of each input."""
        whole, names = csr.toarray(), self.source.names
        shapes = {each.name: each.sizes[1:] for each in self.inputs}
        return {
            name: whole[:, start:stop].reshape(csr.shape[0], *(size or stop - start for size in shapes[name]))
            for name, (start, stop) in names.items()
        }

    def padded(self, csr: Any) -> dict[str, NDArray[Any]]:
        """Return ids and values of rows filled up to one length."""
        csr, lengths = self._counted(csr)
        length = self.source.length or max(1, lengths.max(initial=0)) if self._can_fill else lengths.max(initial=0)
        if lengths.max(initial=0) > length:
            raise DataError(f"a row has {lengths.max()} features; the graph takes {length}", "compare on shorter rows")
        if not self._can_fill and self.source.length not in (0, length):
            raise DataError(f"the graph takes {self.source.length} features a row", "state the id that fills up rows")
        inside = np.arange(length) < lengths[:, None]
        ids = np.full(inside.shape, self.padding or 0, np.int64)
        values = np.zeros(inside.shape, np.float32)
        ids[inside], values[inside] = csr.indices, csr.data
        return self._named({"ids": ids, "weights": values})

    @property
    def _can_fill(self) -> bool:
        return not self.source.is_counted or self.padding is not None

    def flat(self, csr: Any) -> dict[str, NDArray[Any]]:
        """Return ids, values and offsets."""
        csr, _ = self._counted(csr)
        offsets = csr.indptr if self.source.has_last else csr.indptr[:-1]
        return self._named({"ids": csr.indices, "weights": csr.data, "offsets": offsets})

    def csr(self, csr: Any) -> dict[str, NDArray[Any]]:
        """Return compressed sparse rows as they are."""
        return {"indptr": csr.indptr, "indices": csr.indices, "values": csr.data}

    def _named(self, parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {self.source.names[part]: array for part, array in parts.items() if part in self.source.names}

    def _counted(self, csr: Any) -> tuple[Any, NDArray[np.int64]]:
        """Return rows in which a feature stands as often as its value says, where the graph takes no values."""
        if not self.source.is_counted:
            return csr, np.diff(csr.indptr)
        counts = csr.data.astype(np.int64)
        if (counts != csr.data).any() or (counts < 0).any() or (counts > 1000).any():
            fact = "the graph takes lists of ids without values: the rows to compare hold more than small counts"
            raise DataError(fact, "compare on rows whose values are 1")
        indptr = np.concatenate([[0], counts.cumsum()])[csr.indptr]
        indices = np.repeat(csr.indices, counts)
        repeated = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), csr.shape)
        return repeated, np.diff(indptr)


_FEEDS = {"dense": Runner.dense, "padded": Runner.padded, "flat": Runner.flat, "csr": Runner.csr}


def _plain(result: Any) -> NDArray[np.floating]:
    """Return an output as columns; a list of dictionaries, as ZipMap makes them, in their own order."""
    if isinstance(result, list):
        result = np.array([list(each.values()) for each in result], np.float32)
    return np.asarray(result).reshape(len(result), -1)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
