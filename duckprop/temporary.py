"""Names for what is being written, so that a later process can tell and remove what a dead one left."""

import contextlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from duckprop.errors import UsageError


def temporary_path(target: Path) -> Path:
    """Return a hidden name of its own beside ``target``, with this machine and process in it."""
    return target.with_name(f".{target.name}.{_machine()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder that replaces the target when the block ends well.

    Until then, and after any failure or death in between, the old file is there, whole. Raises UsageError where the
    folder does not exist or the target is a folder.
    """
    if not target.parent.is_dir():
        raise UsageError(f"the folder {target.parent} does not exist", "make it first, or write somewhere else")
    if target.is_dir():
        raise UsageError(f"{target} is a folder", "give the name of a file")
    remove_leftovers(target.parent, target.name)
    temporary = temporary_path(target)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove temporary files and folders for the target ``name``, or for any, whose process on this machine is dead."""
    pattern = re.compile(rf"\.(?P<name>.+)\.{re.escape(_machine())}\.(?P<process>\d+)\.[0-9a-f]{{8}}\.part")
    for path in folder.iterdir():
        found = pattern.fullmatch(path.name)
        if found and name in (None, found["name"]) and not _is_alive(int(found["process"])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _machine() -> str:
    """A folder may be shared: only this machine knows which of its processes live."""
    return re.sub(r"[^\w-]", "-", platform.node()) or "machine"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
