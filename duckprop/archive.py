"""A model as one file: unpacked only where every member is a plain file in one folder, packed byte for byte the same.

Nothing that an archive says of itself is believed: sizes are checked first and counted again while bytes come out.
"""

import contextlib
import errno
import gzip
import hashlib
import shutil
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from duckprop.bundle import exchanged, read_card
from duckprop.card import CARD, serialized
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.plain_files import name_fault, open_plain
from duckprop.relation import first_line
from duckprop.temporary import replacing

_MOST_MEMBERS = 1000
_MOST_AT_ONCE = 1 << 20
"""Bytes that a reader may ask for at once: a longer directory or header is a trick."""
_RATIO, _FREE_OF_IT = 200, 64 << 20
"""More bytes than the second come out only up to so many times the archive's size."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 16
_UNREADABLE = (
    *(OSError, EOFError, ValueError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, tarfile.TarError, zipfile.BadZipFile),
)
"""What the standard library's readers raise; RuntimeError covers RecursionError and NotImplementedError."""
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_SPACE = "free some space, or set TMPDIR to a folder with more of it"


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield a folder with the files of a .zip, .tar, .tar.gz or .tgz, which is gone again after the block.

    The files may lie in one common folder, which is left out. Raises UsageError for a file of another name, ModelError
    for an archive that cannot be read, or that holds anything but plain files of plain names and in proportion.
    """
    opened = _reader(path)
    with tempfile.TemporaryDirectory(prefix="duckprop-") as folder:
        try:
            with open_plain(path, follow=True) as file:
                opened(_Unpacking(path, Path(folder)), _Short(file))
            if not any(Path(folder).iterdir()):
                raise _refused(path, "it holds no files")
        except _UNREADABLE as error:
            if getattr(error, "errno", None) in _FULL:
                raise DataError(f"{path} does not fit into {tempfile.gettempdir()}", _SPACE) from None
            raise _refused(path, first_line(error)) from None
        yield Path(folder)


def pack(folder: Path, target: Path) -> None:
    """Write a bundle's card and the files on it as a .zip that is the same bytes on every machine.

    Nothing is compressed: weights hardly can be. Raises ModelError where the bundle is damaged, UsageError where the
    target is no .zip or its folder is missing, and DataError where it cannot be written.
    """
    if target.suffix.lower() != ".zip":
        raise UsageError(f"{target} is not named .zip", "give the archive a name that ends in .zip")
    card = read_card(folder)
    try:
        with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry(CARD), serialized(card))
            for name in sorted(card["files"]):
                _store(archive, folder / name, card["files"][name])
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}",
            "check the folder, its permissions and the free space, then run it again",
        ) from None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return entry


def _store(archive: zipfile.ZipFile, path: Path, expected: dict[str, Any]) -> None:
    """Copy a file into an archive and hash what is copied."""
    entry, digest = _entry(path.name), hashlib.sha256()
    entry.file_size = expected["bytes"]
    with open_plain(path) as source, archive.open(entry, "w") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != expected["sha256"]:
        raise exchanged(path)


class _Unpacking:
    """Where members go, and what has come out so far."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.most = max(_RATIO * path.stat().st_size, _FREE_OF_IT)
        self.names: set[str] = set()
        self.top: str | None = None
        self.members = 0
        self.total = 0

    def expect(self, members: int, size: int) -> None:
        """Count what is about to come out. Raises ModelError where it is too much."""
        self.members += members
        self.total += size
        if self.members > _MOST_MEMBERS:
            raise _refused(self.path, f"it has more than {_MOST_MEMBERS} members")
        if size < 0 or self.total > self.most:
            raise _refused(self.path, f"{self.total} bytes are out of all proportion to its size")
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise DataError(
                f"{self.path} unpacks to {self.total} bytes, {free} are free in {self.folder.parent}",
                _SPACE,
            )

    def place(self, name: str, is_folder: bool) -> Path | None:
        """Return where a member belongs, None for a folder. Raises ModelError for a name that leads elsewhere."""
        parts = name.removeprefix("./").removesuffix("/" if is_folder else "").split("/")
        if is_folder and parts in ([""], ["."]):
            return None
        for part in parts:
            if fault := name_fault(part):
                raise _refused(self.path, f"a member is named {name[:60]!r}: {fault}")
        top = "/".join(parts if is_folder else parts[:-1])
        if "/" in top or (not is_folder and self.top not in (None, top)):
            raise _refused(self.path, f"{name[:60]!r} does not lie in one folder with the other files")
        if is_folder:
            return None
        self.top = top
        folded = unicodedata.normalize("NFKC", parts[-1]).casefold()
        if folded in self.names:
            raise _refused(self.path, f"two members are named {parts[-1][:60]!r}, but for case")
        self.names.add(folded)
        return self.folder / parts[-1]

    def copy(self, source: IO[bytes], target: Path, size: int) -> None:
        """Write a member's bytes. Raises ModelError where they are not as many as was said."""
        written = 0
        with target.open("xb") as file:
            while written <= size and (chunk := source.read(_CHUNK)):
                written += len(chunk)
                file.write(chunk)
        if written != size:
            raise _refused(self.path, f"{target.name} should have {size} bytes and has {written} or more")


def _reader(path: Path) -> Callable[[_Unpacking, "_Short"], None]:
    for endings, reader in _READERS.items():
        if path.name.lower().endswith(endings):
            return reader
    raise UsageError(f"{path} is not named as an archive", "give a .zip, .tar, .tar.gz or .tgz, or the model's folder")


def _from_zip(unpacking: _Unpacking, file: "_Short") -> None:
    with zipfile.ZipFile(cast(IO[bytes], file)) as archive:
        members = archive.infolist()
        unpacking.expect(len(members), sum(member.file_size for member in members))
        for member in members:
            name = member.orig_filename  # zipfile cuts the other one at a NUL
            kind, is_folder = stat.S_IFMT(member.external_attr >> 16), name.endswith("/")
            if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
                raise _refused(unpacking.path, f"{name[:60]!r} is not a plain file")
            if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refused(unpacking.path, f"{name[:60]!r} is encrypted, or compressed in a rare way")
            target = unpacking.place(name, is_folder)
            if target:
                with archive.open(member) as source:
                    unpacking.copy(source, target, member.file_size)


def _from_tar(unpacking: _Unpacking, file: "_Short") -> None:
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="r:") as archive:
        for member in archive:
            is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
            if not is_plain and not member.isdir():
                raise _refused(unpacking.path, f"{member.name[:60]!r} is not a plain file")
            unpacking.expect(1, member.size)
            target = unpacking.place(member.name, member.isdir())
            source = archive.extractfile(member) if target else None
            if target and source:
                unpacking.copy(source, target, member.size)
    file.expect_zeros()


def _from_gzip(unpacking: _Unpacking, file: "_Short") -> None:
    with gzip.GzipFile(fileobj=cast(IO[bytes], file)) as inflated:
        _from_tar(unpacking, _Short(cast(BinaryIO, inflated)))


_READERS: dict[tuple[str, ...], Callable[[_Unpacking, "_Short"], None]] = {
    (".zip",): _from_zip,
    (".tar",): _from_tar,
    (".tar.gz", ".tgz"): _from_gzip,
}


class _Short:
    """A file that gives only so much at once: a reader would else take memory for whatever a header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._last = b""
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all that are left for a negative size. Raises ValueError where they are too many."""
        data = self._file.read(min(size, _MOST_AT_ONCE + 1) if size >= 0 else _MOST_AT_ONCE + 1)
        if size > _MOST_AT_ONCE or len(data) > _MOST_AT_ONCE:
            raise ValueError("a header or directory of it is too long")
        self._last = data
        return data

    def expect_zeros(self) -> None:
        """Raise ValueError unless the last block and all that follows are zeros, as at the end of a tar archive."""
        if not self._last or any(self._last) or any(self.read()):
            raise ValueError("it ends too early, or something follows its end")


def _refused(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} cannot be unpacked: {why}", "pack the model's own files alone, in at most one folder")
