"""The corpus: every way in which files of a model can be wrong, made anew for each run, the same every time."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import test_bundle
import test_mxnet_params
from conftest import make_bundle
from scipy import sparse

from duckprop import bundle
from duckprop.formats.mxnet_params import read_params
from duckprop.formats.mxnet_params_write import write_params
from duckprop.sparse import from_scipy
from duckprop.training.bundle import write_sample

SYMBOL, PARAMS = "model-symbol.json", "model-0000.params"
PARQUET = (bundle.VOCABULARY, bundle.SAMPLE, bundle.BASELINE)
FILES = (SYMBOL, PARAMS, *PARQUET)


@dataclass(frozen=True)
class Damage:
    """A case. make: turn a good bundle in a folder into it, and return what is to be used, as ``use`` says."""

    kind: str
    name: str
    make: Callable[[Path], Path | None]
    use: str = "bundle"


def good_bundle(target: Path) -> Path:
    """Return a bundle with every file that a bundle may have."""
    make_bundle(target)
    rows = sparse.random(30, 40, 0.2, "csr", np.float32, random_state=1)
    write_sample(target / bundle.SAMPLE, from_scipy(rows))
    rehash(target)
    return target


def rehash(folder: Path) -> None:
    """Make the card right for the files as they are: what is wrong with them is for their readers to find."""
    bundle.write_card(folder, json.loads((folder / bundle.CARD).read_text()))


def cut(data: bytes, share: float) -> bytes:
    """Return the first part of some bytes, never all of them."""
    return data[: min(int(len(data) * share), len(data) - 1)]


def flipped(data: bytes, share: float) -> bytes:
    """Return some bytes with one bit of another value at a place."""
    at = int(len(data) * share)
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def spoilt(name: str, change: Callable[[bytes], bytes], *, known: bool = False) -> Callable[[Path], None]:
    """Return what changes a file's bytes. ``known``: the card knows the changed file."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        if known:
            rehash(folder)

    return make


def of_bytes() -> Iterator[Damage]:
    """Files cut off or with a flipped bit: under the old card, under one that knows them, and without any."""
    for name in (*FILES, bundle.CARD):
        for share in (0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1):
            yield Damage("cut off", f"{name} at {share}", spoilt(name, lambda data, at=share: cut(data, at)))
        for share in (0, 0.01, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.99):
            yield Damage("flipped bit", f"{name} at {share}", spoilt(name, lambda data, at=share: flipped(data, at)))
        yield Damage("too long", name, spoilt(name, lambda data: data + b"{"))
    for name in FILES:
        for share in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1):
            make = spoilt(name, lambda data, at=share: cut(data, at), known=True)
            yield Damage("cut off, right hash", f"{name} at {share}", make)
        make = spoilt(name, lambda data: data[: len(data) // 2] + bytes(64) + data[len(data) // 2 :], known=True)
        yield Damage("bytes put in, right hash", name, make)


def of_flips() -> Iterator[Damage]:
    """Flipped bits that the card knows: an honest model of other numbers or names may come of them."""
    for name in FILES:
        for step in range(24):
            make = spoilt(name, lambda data, at=step / 24: flipped(data, at), known=True)
            yield Damage("flipped bit, right hash", f"{name} at {step}/24", make)


def of_cards() -> Iterator[Damage]:
    """Cards that are no JSON, of the wrong kinds, that do not fit, and that name files elsewhere."""
    texts = [
        *test_bundle.TEXTS.items(),
        *((text, text.encode()) for text in ("[]", "null", "1", "{}", '{"format": 2}')),
    ]
    for name, text in texts:
        yield Damage("no card", name, spoilt(bundle.CARD, lambda _, text=text: text))
    misfits = [(path, value) for path, value, _ in test_bundle.MISFITS]
    for path, value in [*(((key,), value) for key, value in test_bundle.WRONG), *misfits]:
        yield Damage("wrong card", f"{path} {value!r:.60}", changed(test_bundle.putting(value, *path)))
    for key in ("categories", "classes", "positive", "features", "files"):
        yield Damage("wrong card", f"no {key}", changed(test_bundle.without(key)))
    entry = {"bytes": 6, "sha256": "0" * 64}
    for name in test_bundle.HOSTILE:
        yield Damage("hostile name on the card", repr(name)[:40], changed(test_bundle.putting(entry, "files", name)))
    for name in FILES:
        yield Damage("wrong hash", name, changed(test_bundle.putting("0" * 64, "files", name, "sha256")))
        yield Damage("wrong size", name, changed(test_bundle.putting(2**62, "files", name, "bytes")))


def changed(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Return what changes a card, its digest with it."""
    return lambda folder: test_bundle.change_card(folder, change)


def of_kinds() -> Iterator[Damage]:
    """Something else in place of a file."""
    for name in (*FILES, bundle.CARD):
        for kind, put in INSTEAD.items():
            yield Damage("no plain file", f"{name}: {kind}", exchanged(name, put))


def exchanged(name: str, put: Callable[[Path, Path], Any]) -> Callable[[Path], None]:
    """Return what moves a file aside and puts something of another kind there."""

    def make(folder: Path) -> None:
        aside = (folder / name).rename(folder / "aside")
        put(folder / name, aside)

    return make


INSTEAD: dict[str, Callable[[Path, Path], Any]] = {
    "missing": lambda path, aside: None,
    "folder": lambda path, aside: path.mkdir(),
    "symbolic link": lambda path, aside: path.symlink_to(aside),
    "pipe": lambda path, aside: os.mkfifo(path),
    "link to an endless device": lambda path, aside: path.symlink_to("/dev/zero"),
}


def of_params() -> Iterator[Damage]:
    """Parameter files by themselves, and ones with a right hash that make no network."""
    for name, data in test_mxnet_params.DAMAGED.items():
        yield Damage("wrong parameters", name, lone(data), "params")
    for version, data in PARAMETERS.items():
        for share in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1):
            yield Damage("cut off parameters", f"{version} at {share}", lone(cut(data, share)), "params")
    for at in range(0, 24, 2):
        yield Damage("wrong parameters", f"flipped head {at}", lone(with_other_byte(PARAMETERS["dense"], at)), "params")
    for name, change in WEIGHTS.items():
        yield Damage("wrong weights, right hash", name, lambda folder, change=change: reweigh(folder, change))


def with_other_byte(data: bytes, at: int) -> bytes:
    """Return some bytes with all bits of one turned around."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def lone(data: bytes) -> Callable[[Path], Path]:
    """Return what writes a parameter file beside a bundle."""

    def make(folder: Path) -> Path:
        (folder / "x.params").write_bytes(data)
        return folder / "x.params"

    return make


def reweigh(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a bundle's arrays by name, and let the card know."""
    arrays = read_params(folder / PARAMS)
    change(arrays)
    write_params(folder / PARAMS, {f"arg:{name}": array for name, array in arrays.items()})
    rehash(folder)


def put_number(value: float) -> Callable[[dict[str, Any]], None]:
    """Return what puts a number into the last weight."""

    def change(arrays: dict[str, Any]) -> None:
        arrays[list(arrays)[-1]].flat[0] = value

    return change


def put_shape(*shape: int) -> Callable[[dict[str, Any]], None]:
    """Return what gives the first weight another shape."""
    return lambda arrays: arrays.update(fc1_weight=np.ones(shape, np.float32))


_ones = np.ones(2, np.float32).tobytes()
PARAMETERS = {
    "dense": test_mxnet_params.params(test_mxnet_params.dense(2, data=_ones)),
    "row_sparse": test_mxnet_params.params(test_mxnet_params.row_sparse((1, 2), (3, 2), [1])),
    "csr": test_mxnet_params.params(test_mxnet_params.csr([0, 1, 2], [0, 1], (2, 3))),
    "V1": test_mxnet_params.params(struct.pack("<Iiqiii", 0xF993FAC8, 1, 2, 1, 0, 0) + _ones),
    "before V1": test_mxnet_params.params(struct.pack("<IIiii", 1, 2, 1, 0, 0) + _ones),
}
WEIGHTS = {
    "NaN": put_number(np.nan),
    "infinite": put_number(-np.inf),
    "all gone": lambda arrays: arrays.clear(),
    "one gone": lambda arrays: arrays.pop("fc1_weight"),
    "too narrow": put_shape(40, 15),
    "too short": put_shape(39, 16),
    "a vector": put_shape(640),
    "a cube": put_shape(40, 4, 4),
}


def of_parquet() -> Iterator[Damage]:
    """Parquet files that the card knows and that are not what they should be."""
    for name in PARQUET:
        for what, write in TABLES.items():
            yield Damage("wrong table, right hash", f"{name}: {what}", rewritten(name, write))
    for what, table in VOCABULARIES.items():
        make = rewritten(bundle.VOCABULARY, lambda path, table=table: pq.write_table(table(), path))
        yield Damage("wrong table, right hash", f"vocabulary: {what}", make)


def rewritten(name: str, write: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Return what writes another table, and lets the card know."""

    def make(folder: Path) -> None:
        write(folder / name)
        rehash(folder)

    return make


def vocabulary(names: Any, **columns: Any) -> pa.Table:
    """Return a table as a vocabulary has it."""
    return pa.table({"column": pa.array(range(len(names)), pa.int32()), "feature": names, **columns})


def long_names() -> pa.Array:
    """Return 10 GB of text: one name, 100,000 times, which a file of some bytes may claim to hold."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 100_000]))


def many_lists(path: Path) -> None:
    """A table of few bytes with 50 million equal numbers in lists."""
    zeros = pa.array(np.zeros(50_000_000, np.int32))
    lists = pa.ListArray.from_arrays(pa.array([0, len(zeros)], pa.int32()), zeros)
    pq.write_table(pa.table({"features": pa.StructArray.from_arrays([lists], ["indices"])}), path)


TABLES: dict[str, Callable[[Path], Any]] = {
    "no Parquet": lambda path: path.write_bytes(b"PAR1" + bytes(99) + b"PAR1"),
    "another column": lambda path: pq.write_table(pa.table({"other": [1]}), path),
    "no columns": lambda path: pq.write_table(pa.table({}), path),
    "compressed by zstd": lambda path: pq.write_table(pq.read_table(path), path, compression="zstd"),
    "compressed by gzip": lambda path: pq.write_table(pq.read_table(path), path, compression="gzip"),
    "many equal rows": lambda path: pq.write_table(pa.table({"column": np.zeros(20_000_000, np.int32)}), path),
    "a footer of 2 GB": lambda path: path.write_bytes(path.read_bytes()[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"),
    "columns twice": lambda path: pq.write_table(pa.table([[1], [2]], ["features", "features"]), path),
    "many equal numbers in a list": many_lists,
}
VOCABULARIES: dict[str, Callable[[], pa.Table]] = {
    "a name too few": lambda: vocabulary([f"item {at}" for at in range(39)]),
    "a name too many": lambda: vocabulary([f"item {at}" for at in range(41)]),
    "a name twice": lambda: vocabulary(["x"] * 40),
    "a NULL": lambda: vocabulary([None, *(f"item {at}" for at in range(39))]),
    "an empty name": lambda: vocabulary(["", *(f"item {at}" for at in range(39))]),
    "no UTF-8": lambda: vocabulary(pa.array([b"\xff\xfe" + bytes([at]) for at in range(40)]).view(pa.string())),
    "numbers for names": lambda: vocabulary(list(range(40))),
    "one long name, 100,000 times": lambda: vocabulary(long_names()),
    "another column": lambda: vocabulary([f"item {at}" for at in range(40)], more=[1] * 40),
}
