"""The corpus of archives: tricks with names and kinds, bombs, and a good bundle's archive cut off or spoilt."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from damaged import Damage, cut, flipped
from test_archive import NAMES, PLACES, link, make_tar, make_zip, moded

Members = list[tuple[Any, bytes]]
_MAKERS: dict[str, Callable[[Path, Members], Path]] = {
    "zip": lambda path, members: make_zip(path, members),
    "tar": lambda path, members: make_tar(path, members),
    "tgz": lambda path, members: make_tar(path, members, "w:gz"),
}


def of_archives() -> Iterator[Damage]:
    """Archives of a model with one thing wrong."""
    for ending in _MAKERS:
        for name in NAMES:
            yield Damage("hostile archive", f"{ending}: name {name[:20]!r}", packed(ending, [(name, b"x")]), "archive")
        for what, members in PLACES.items():
            if members:
                yield Damage("hostile archive", f"{ending}: {what}", packed(ending, members), "archive")
        for share in (0, 0.1, 0.3, 0.5, 0.7, 0.9):
            make = packed(ending, [], lambda data, at=share: cut(data.rstrip(b"\0"), at))
            yield Damage("cut off archive", f"{ending} at {share}", make, "archive")
        for share in (0.15, 0.4, 0.6):
            make = packed(ending, [], lambda data, at=share: flipped(data, at))
            yield Damage("flipped bit in an archive", f"{ending} at {share}", make, "archive")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        yield Damage(
            "hostile archive", f"tar: type {kind!r}", packed("tar", [(link("x", "/etc/passwd", kind), b"")]), "archive"
        )
    for mode in (0o120777, 0o020666, 0o060666, 0o010666, 0o140666):
        yield Damage(
            "hostile archive", f"zip: mode {mode:o}", packed("zip", [(moded("x", mode), b"/etc/passwd")]), "archive"
        )
    for name, data in BOMBS.items():
        yield Damage("bomb", name, written(name, data), "archive")


def packed(ending: str, more: Members, change: Callable[[bytes], bytes] = lambda data: data) -> Callable[[Path], Path]:
    """Return what packs a bundle and more members, and changes the archive's bytes."""

    def make(folder: Path) -> Path:
        files = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        path = _MAKERS[ending](folder / f"x.{ending}", [*files, *more])
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def written(name: str, data: Callable[[], bytes]) -> Callable[[Path], Path]:
    """Return what writes an archive's bytes; its name ends as that of the case."""

    def make(folder: Path) -> Path:
        path = folder / f"x.{name.rpartition(' ')[2]}"
        path.write_bytes(data())
        return path

    return make


def zip_of(*members: tuple[str, bytes]) -> bytes:
    """Return a compressed zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members:
            target.writestr(name, data)
    return file.getvalue()


def tar_of(name: str, claimed: int, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar archive of one member that claims a size."""
    info = tarfile.TarInfo(name)
    info.size, info.type = claimed, kind
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(10240)


def with_claim(data: bytes, size: int, claim: int) -> bytes:
    """Return a zip whose member claims another size than it has."""
    return data.replace(struct.pack("<I", size), struct.pack("<I", claim))


_HUGE = 200 << 20
BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros.zip": lambda: zip_of(("x", bytes(_HUGE))),
    "zeros that claim to be few .zip": lambda: with_claim(zip_of(("x", bytes(_HUGE))), _HUGE, 100),
    "few that claim to be many .zip": lambda: with_claim(zip_of(("x", bytes(12345))), 12345, 2**32 - 2),
    "a thousand times 1 MB .zip": lambda: zip_of(*((f"x{at}", bytes(1 << 20)) for at in range(200))),
    "a long directory .zip": lambda: zip_of(*((f"{at:0200}", b"") for at in range(6000))),
    "zeros .tgz": lambda: gzip.compress(tar_of("x", _HUGE, bytes(_HUGE)), 1),
    "exabytes .tgz": lambda: gzip.compress(tar_of("x", 2**60, b"x")),
    "exabytes .tar": lambda: tar_of("x", 2**60, b"x"),
    "a negative size .tar": lambda: tar_of("x", -512, b"x"),
    "a name of 100 MB .tgz": lambda: gzip.compress(
        tar_of("x", 100 << 20, bytes(100 << 20), tarfile.GNUTYPE_LONGNAME), 1
    ),
    "names without end .tgz": lambda: gzip.compress(
        tar_of("x", 1, b"x".ljust(512, b"\0"), tarfile.GNUTYPE_LONGNAME)[:1024] * 3000
    ),
    "a bomb of no archive .tgz": lambda: gzip.compress(bytes(_HUGE), 1),
}
