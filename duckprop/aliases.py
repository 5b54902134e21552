"""Aliases of one model: a small file each, with the version that it stands for and, below, those that it stood for."""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from duckprop.errors import ModelError
from duckprop.temporary import replacing

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
FOLDER = "aliases"
_REMEMBERED = 100
"""Versions that an alias knows of, its own included: what goes further back is forgotten."""
_LONGEST = 11 * _REMEMBERED
_LOCK = ".lock"
_PATIENCE = 30.0
"""Seconds to wait for another process; a promotion takes milliseconds."""


def is_number(text: str) -> bool:
    """Return whether a text is a version's number, as in 'name@3'."""
    return text.isascii() and text.isdigit() and len(text) < 10


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Let no other process change the aliases of a model, or delete a version, meanwhile; ``folder``: the model's.

    The system lets go of it when a process dies. Readers do not wait. Raises ModelError where it is held for long.
    """
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(PermissionError):  # somebody else's: whoever may write here may lock
            os.fchmod(handle, stat.S_IMODE(folder.stat().st_mode) & 0o666)
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    until = monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > until:
                raise ModelError(
                    f"{folder / _LOCK} is held by another process", "wait until it has ended, and try again"
                ) from None
            sleep(0.005)


def read_aliases(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return for each alias of a model's folder what it stands for and stood for, newest first; () if it is damaged."""
    try:
        names = sorted(os.listdir(folder / FOLDER))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {name: _read(folder / FOLDER / name) for name in names if NAME.fullmatch(name)}
    return {name: versions for name, versions in found.items() if versions is not None}


def _read(path: Path) -> tuple[int, ...] | None:
    """Return the versions in an alias's file, () if it is damaged, None if it has just been deleted."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise
        return ()
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ()
        lines = os.read(handle, _LONGEST + 1).decode("ascii", "replace").split("\n")
    finally:
        os.close(handle)
    lines = lines[:-1] if lines[-1] == "" else lines
    return tuple(map(int, lines)) if all(map(is_number, lines)) and len(lines) <= _REMEMBERED else ()


def write_alias(folder: Path, alias: str, versions: tuple[int, ...]) -> None:
    """Let an alias stand for the first of some versions, in one step; the others are what it stood for before."""
    (folder / FOLDER).mkdir(exist_ok=True)
    with replacing(folder / FOLDER / alias) as temporary:
        temporary.write_text("".join(f"{version}\n" for version in versions[:_REMEMBERED]))


def remove_alias(folder: Path, alias: str) -> None:
    """Remove an alias with all that it stood for."""
    (folder / FOLDER / alias).unlink()
