"""A model's folder on disk: written whole or not at all, checked before it is believed."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from duckprop.errors import ModelError
from duckprop.temporary import remove_leftovers, temporary_path

FORMAT = 1
CARD = "duckprop.json"
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
    """Write the card last, with size and SHA-256 of every other file in the folder."""
    files = {path.name: fingerprint(path) for path in sorted(folder.iterdir()) if path.name != CARD}
    text = json.dumps({"format": FORMAT, **card, "files": files}, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a bundle after a look at its format and at every file's presence and size.

    Raises ModelError that names the file and what is wrong with it.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no model: {CARD} is missing", "give a model's name or its folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", _AGAIN) from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise ModelError(f"{path} has format {found!r}, this duckprop reads {FORMAT}", "use the duckprop that wrote it")
    missing = _FITS.keys() - card.keys()
    if missing:
        raise ModelError(f"{path} lacks {', '.join(sorted(missing))}", _AGAIN)
    wrong = [name for name, fits in _FITS.items() if not fits(card[name])]
    if wrong:
        raise ModelError(f"{path} holds under {', '.join(wrong)} what cannot stand there", _AGAIN)
    _check_files(folder, card["files"], card["features"]["named"])
    return card


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_features(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("width")) is int and isinstance(value.get("named"), bool)


def _is_files(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(file, dict) and {"bytes", "sha256"} <= file.keys() for file in value.values()
    )


_FITS: dict[str, Callable[[Any], bool]] = {
    "categories": _is_names,
    "classes": _is_names,
    "positive": lambda value: type(value) is int,
    "features": _is_features,
    "files": _is_files,
}
"""What every card must hold, and what it may be."""


def _check_files(folder: Path, files: dict[str, dict[str, Any]], named: bool) -> None:
    needed = {f"{PREFIX}-symbol.json", f"{PREFIX}-0000.params", *([VOCABULARY] if named else [])}
    if needed - files.keys():
        raise ModelError(f"{folder / CARD} does not list {', '.join(sorted(needed - files.keys()))}", _AGAIN)
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or os.path.islink(path) or not os.path.isfile(path):
            raise ModelError(f"{folder}/{name} is missing or not a plain file", _AGAIN)
        if path.stat().st_size != expected["bytes"]:
            raise ModelError(f"{path} has {path.stat().st_size} bytes, its card says {expected['bytes']}", _AGAIN)


def check_hashes(folder: Path, card: dict[str, Any]) -> None:
    """Raise ModelError when any file's SHA-256 is not the one on the card."""
    for name in card["files"]:
        check_hash(folder, card, name)


def check_hash(folder: Path, card: dict[str, Any], name: str) -> None:
    """Raise ModelError when one file is gone, or its SHA-256 is not the one on the card."""
    try:
        found = fingerprint(folder / name)["sha256"]
    except OSError as error:
        raise ModelError(f"{folder / name} cannot be read: {error.strerror}", _AGAIN) from None
    if found != card["files"][name]["sha256"]:
        raise ModelError(f"{folder / name} is not the file that was published (its SHA-256 differs)", _AGAIN)


def fingerprint(path: Path) -> dict[str, Any]:
    """Return bytes and sha256 of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_AGAIN = "copy the model again from where it was published, or train it again"
