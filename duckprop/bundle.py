"""A model's folder on disk: written whole or not at all, checked before it is believed."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duckprop.card import AGAIN, CARD, FORMAT, MOST_BYTES, check_names, parsed, serialized
from duckprop.errors import ModelError
from duckprop.plain_files import open_plain
from duckprop.temporary import remove_leftovers, temporary_path

PREFIX = "model"
"""``mx.model.load_checkpoint(f"{folder}/model", 0)`` reads the network."""
VOCABULARY = "vocabulary.parquet"
SAMPLE = "sample.parquet"
"""A few customers' features, without ids, to verify engines with; a bundle may lack it."""
BASELINE = "baseline.parquet"
"""How propensities were distributed on the validation rows, see ``baseline``; a bundle may lack it."""


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that becomes it, by one rename, when the block ends well.

    Raises FileExistsError or OSError (ENOTEMPTY) when ``target`` has come to exist; what was written is then removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    folder = temporary_path(target)
    folder.mkdir()
    try:
        yield folder
        _sync(folder)
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card last, with size and SHA-256 of every other file in the folder, and its own.

    Raises ModelError for a file whose name no bundle may hold, DataError for a card too large to be read again.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != CARD)
    check_names(folder / CARD, names)
    files = {name: fingerprint(folder / name) for name in names}
    (folder / CARD).write_bytes(serialized({"format": FORMAT, **card, "files": files}))


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a bundle after a look at its form and at every file's presence and size.

    What lies in the folder and is not on the card is no part of the bundle: it is neither read nor published.
    Raises ModelError that names the file and what is wrong with it.
    """
    path = folder / CARD
    try:
        with open_plain(path) as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no model: {CARD} is missing", "give a model's name or its folder") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise ModelError(f"{path} cannot be read: {error}", AGAIN) from None
    if len(data) > MOST_BYTES:
        raise ModelError(f"{path} cannot be read: it has more than {MOST_BYTES} bytes", AGAIN)
    card = parsed(path, data)
    _check_files(folder, card["files"], card["features"]["named"])
    return card


def _check_files(folder: Path, files: dict[str, dict[str, Any]], named: bool) -> None:
    needed = {f"{PREFIX}-symbol.json", f"{PREFIX}-0000.params", *([VOCABULARY] if named else [])}
    if needed - files.keys():
        raise ModelError(f"{folder / CARD} does not list {', '.join(sorted(needed - files.keys()))}", AGAIN)
    for name, expected in files.items():
        path = folder / name
        if os.path.islink(path) or not os.path.isfile(path):
            raise ModelError(f"{folder}/{name} is missing or not a plain file", AGAIN)
        if path.stat().st_size != expected["bytes"]:
            raise ModelError(f"{path} has {path.stat().st_size} bytes, its card says {expected['bytes']}", AGAIN)


def check_hashes(folder: Path, card: dict[str, Any]) -> None:
    """Raise ModelError when any file's SHA-256 is not the one on the card."""
    for name in card["files"]:
        check_hash(folder, card, name)


def check_hash(folder: Path, card: dict[str, Any], name: str) -> None:
    """Raise ModelError when one file is gone, or its SHA-256 is not the one on the card."""
    try:
        found = fingerprint(folder / name)
    except OSError as error:
        raise _unreadable(folder / name, error) from None
    if found != {part: card["files"][name][part] for part in found}:
        raise exchanged(folder / name)


def read_file(folder: Path, card: dict[str, Any], name: str) -> bytes:
    """Return a file's bytes, read once: what is hashed is what is used. Raises ModelError as ``check_hash`` does."""
    expected = card["files"][name]
    try:
        with open_plain(folder / name) as file:
            data = file.read(expected["bytes"] + 1)
    except OSError as error:
        raise _unreadable(folder / name, error) from None
    if len(data) != expected["bytes"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise exchanged(folder / name)
    return data


def copy_files(source: Path, folder: Path) -> None:
    """Copy a bundle's card and the files on it, nothing else, into an empty folder.

    Raises ModelError where the source is no whole model; whether the copies are right, ``check_hashes`` tells.
    """
    for name in [CARD, *read_card(source)["files"]]:
        try:
            original = open_plain(source / name)
        except OSError as error:
            raise _unreadable(source / name, error) from None
        with original, (folder / name).open("xb") as copy:
            shutil.copyfileobj(original, copy, 1 << 20)


def fingerprint(path: Path) -> dict[str, Any]:
    """Return bytes and sha256 of a plain file. Raises OSError where it is none."""
    with open_plain(path) as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read: {error.strerror}", AGAIN)


def exchanged(path: Path) -> ModelError:
    """Return the error for a file whose SHA-256 is not the one on the card."""
    return ModelError(f"{path} is not the file that was published (its SHA-256 differs)", AGAIN)


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
