"""Files from elsewhere: what may be opened, and what a file may be called."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_SPECIAL = frozenset('/\\:*?"<>|')
_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{name}{digit}" for name in ("COM", "LPT") for digit in range(1, 10))]
)
_LONGEST = 200


def open_plain(path: Path, *, follow: bool = False) -> BufferedReader:
    """Open a file to read. ``follow``: a symbolic link counts as what it leads to.

    Raises OSError for anything but a plain file: a pipe or a device is not even opened, for that could wait for ever.
    """
    refused = OSError(errno.EINVAL, "it is not a plain file", str(path))
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow).st_mode):
        raise refused
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # it was exchanged in between
        os.close(handle)
        raise refused
    return os.fdopen(handle, "rb")


def name_fault(name: str) -> str | None:
    """Return why a text cannot be the name of a file on every system, or None where it can."""
    if not name or len(os.fsencode(name) if _is_text(name) else name) > _LONGEST:
        return f"it has {len(name)} characters"
    if not name.isprintable() or _SPECIAL & set(name):
        return "it holds a separator or a special character"
    if name[0] == "." or name[-1] in ". ":
        return "it begins or ends with a dot, or ends with a blank"
    if name.partition(".")[0].rstrip().upper() in _RESERVED:
        return "some systems keep it for a device"
    return None


def _is_text(name: str) -> bool:
    """Half a surrogate pair is no text; it is not printable either."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
