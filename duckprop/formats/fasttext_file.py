"""fastText's binary files of supervised models, .bin and quantised .ftz, read without fastText.

Little-endian: magic, version; the training's arguments; the dictionary; a flag and the input matrix; a flag and the
output matrix. Source: fastText 0.9.2's ``args.cc``, ``dictionary.cc``, ``fasttext.cc`` and ``quantmatrix.cc``. Every
count is held against the file's size before memory is taken.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError

END = "</s>"
"""The word that stands for the end of a line."""
_MAGIC, _VERSIONS = 793712314, (11, 12)
_LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_MODELS = {1: "cbow", 2: "skipgram", 3: "supervised"}
_CODES = 256
"""Entries of a product quantiser's table."""
_PROPORTION = 64
"""How many times as large as the file a quantised matrix may become."""
_SPACES = frozenset(b" \n\r\t\v\f")
_AGAIN = "save the model again or copy it again"


@dataclass(frozen=True)
class Settings:
    """What a model was trained with, as far as it matters for scoring. word_ngrams, max_subword: -wordNgrams, -maxn."""

    version: int
    dim: int
    loss: str
    model: str
    word_ngrams: int
    max_subword: int


@dataclass(frozen=True)
class File:
    """A supervised model: words and labels by their number, inputs float32 (words, dim), outputs (labels, dim)."""

    settings: Settings
    words: tuple[str, ...]
    labels: tuple[str, ...]
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    is_quantised: bool


class Reader:
    """One file, from its beginning to its end: ``settings`` first, then ``rest``."""

    def __init__(self, path: Path) -> None:
        """Map a file. Raises ModelError where it cannot be read."""
        self.path, self.at = path, 0
        self.data: Any = b""
        try:
            with path.open("rb") as file:
                if path.stat().st_size:
                    self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}", "name a file that exists") from None

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self.data) - self.at

    def damaged(self, why: str) -> ModelError:
        """Return the error for what does not fit, at the place read last."""
        return ModelError(f"{self.path} is damaged at byte {self.at}: {why}", _AGAIN)

    def unpack(self, layout: str) -> Any:
        """Return the values of a layout as a tuple, or the one value of a layout of one."""
        size = struct.calcsize("<" + layout)
        if size > self.left:
            raise self.damaged("it ends too early")
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values[0] if len(values) == 1 else values

    def settings(self) -> Settings:
        """Read the head and the arguments."""
        if self.left < 8 or self.unpack("i") != _MAGIC:
            raise ModelError(f"{self.path} does not begin as fastText's models do", "give a .bin or .ftz file")
        version = self.unpack("i")
        if version not in _VERSIONS:
            raise ModelError(f"{self.path} is of fastText's file version {version}", "save it with fastText 0.9.2")
        dim, _, _, _, _, ngrams, loss, model, _, _, most, _, _ = self.unpack("12id")
        if loss not in _LOSSES or model not in _MODELS or dim < 1:
            raise self.damaged(f"loss {loss}, model {model}, {dim} dimensions")
        return Settings(version, dim, _LOSSES[loss], _MODELS[model], ngrams, 0 if version == 11 else most)

    def rest(self, settings: Settings) -> File:
        """Read the dictionary and the matrices, to the file's last byte."""
        words, labels, kept = self.dictionary()
        is_quantised = self.flag()
        if kept >= 0 and not is_quantised:
            raise self.damaged("its dictionary is pruned, its matrix is not quantised")
        inputs = self.matrix(is_quantised, len(words), settings.dim)
        outputs = self.matrix(self.flag() and is_quantised, len(labels), settings.dim)
        if self.left or len(outputs) != len(labels):
            raise self.damaged(f"{len(outputs)} outputs of {len(labels)} labels, {self.left} bytes too many")
        return File(settings, words, labels, inputs[: len(words)], outputs, is_quantised)

    def flag(self) -> bool:
        """Read one byte that is 0 or 1."""
        value = self.unpack("B")
        if value > 1:
            raise self.damaged(f"a flag is {value}")
        return bool(value)

    def dictionary(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
        """Return words, labels and the number of n-grams that pruning kept, −1 where nothing was pruned."""
        size, words, labels, _, kept = self.unpack("3i2q")
        if min(words, labels) < 0 or words + labels != size or size * 10 > self.left or kept < -1:
            raise self.damaged(f"{size} entries, {words} words and {labels} labels in {self.left} bytes")
        names = [self.entry(at >= words) for at in range(size)]
        if max(kept, 0) * 8 > self.left:
            raise self.damaged(f"{kept} n-grams cannot follow in {self.left} bytes")
        self.at += max(kept, 0) * 8
        if len(set(names[:words])) != words or len(set(names[words:])) != labels:
            raise self.damaged("a word or label stands twice in its dictionary")
        return tuple(names[:words]), tuple(names[words:]), kept

    def entry(self, is_label: bool) -> str:
        """Read one word or label, its count and its kind."""
        stop = self.data.find(b"\0", self.at)
        if stop <= self.at:
            raise self.damaged("a word is empty or does not end")
        text = self.data[self.at : stop]
        self.at = stop + 1
        count, kind = self.unpack("qb")
        if count < 0 or kind != is_label or not _SPACES.isdisjoint(text):
            raise self.damaged(f"entry {text[:40]!r} has count {count} and kind {kind}")
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise ModelError(f"{self.path} holds {text[:40]!r}: not UTF-8", "train on UTF-8 text") from None

    def matrix(self, is_quantised: bool, least: int, dim: int) -> NDArray[np.float32]:
        """Return a matrix (m, dim) of at least so many rows."""
        has_norms = self.flag() if is_quantised else False
        rows, columns = self.unpack("2q")
        if rows < least or columns != dim:
            raise self.damaged(f"a matrix of {rows} x {columns} where at least {least} x {dim} was expected")
        if is_quantised:
            return self.quantised(rows, columns, has_norms)
        return self.numbers(rows * columns, "<f4").reshape(rows, columns)

    def numbers(self, count: int, dtype: str) -> NDArray[Any]:
        """Return a copy of the next numbers: the file may change while the model lives."""
        size = count * np.dtype(dtype).itemsize
        if size > self.left:
            raise self.damaged(f"{count} numbers cannot follow in {self.left} bytes")
        self.at += size
        return np.frombuffer(self.data, dtype, count, self.at - size).copy()

    def quantised(self, rows: int, columns: int, has_norms: bool) -> NDArray[np.float32]:
        """Return the matrix that codes stand for: row i is norm[i] times one entry of every part's table."""
        if rows * columns * 4 > _PROPORTION * max(len(self.data), 1 << 20):
            raise self.damaged(f"{rows} x {columns} is out of all proportion to the file")
        size = self.unpack("i")
        codes = self.numbers(max(size, 0), "u1")
        tables = self.tables(columns)
        if size != rows * len(tables):
            raise self.damaged(f"{size} codes of {rows} rows in {len(tables)} parts")
        codes = codes.reshape(rows, len(tables))
        found = np.concatenate([table[codes[:, part]] for part, table in enumerate(tables)], axis=1)
        if has_norms:
            norms = self.numbers(rows, "u1")
            found *= self.tables(1)[0][norms]
        return found

    def tables(self, dim: int) -> list[NDArray[np.float32]]:
        """Return a product quantiser's tables, float32 (256, numbers of the part) each."""
        found, parts, size, last = self.unpack("4i")
        if found != dim or size < 1 or parts != -(-dim // size) or last != dim - (parts - 1) * size:
            raise self.damaged(f"{parts} parts of {size} and {last} numbers for {dim} columns")
        numbers = self.numbers(dim * _CODES, "<f4")
        return [part.reshape(_CODES, -1) for part in np.split(numbers, np.arange(1, parts) * _CODES * size)]
