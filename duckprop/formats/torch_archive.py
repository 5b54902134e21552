"""PyTorch's zip archives, read without PyTorch: members, storages, tensors; nothing is unpickled by Python.

Every size is held against the file's before memory is taken, members lie uncompressed as PyTorch writes them (but for
TorchScript's code, of which little is unpacked), and their names are compared, never used as paths.
Source: what torch 2.13 writes.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats.torch_pickle import Record, unpickle

BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_LISTS = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}
_MOST_MEMBERS = 1 << 18
_MOST_PACKED = 1 << 26
_RANK = 8


@dataclass(frozen=True)
class Stored:
    """A storage: its name among the archive's data, its type, its number of elements."""

    key: str
    dtype: str
    count: int

    @property
    def width(self) -> int:
        """Bytes of an element."""
        return 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize


class Archive:
    """One archive. members: {name without the folder that all of them lie in: size in bytes}.

    has_narrow: a tensor that was read is float16 or bfloat16; has_bfloat: the latter.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        """Open an archive and check its list of members. Raises ModelError where it is damaged or hostile."""
        self.path, self.has_narrow, self.has_bfloat = path, False, False
        self._read: dict[tuple[str, str], NDArray[Any]] = {}
        try:
            self._zip = zipfile.ZipFile(path if file is None else file)
            size = path.stat().st_size if file is None else file.seek(0, io.SEEK_END)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}", "name a file that PyTorch saved") from None
        except _ERRORS as error:
            raise self.damaged(str(error)) from None
        self.root, self.members = self._checked(size)

    def damaged(self, why: str) -> ModelError:
        """Return the error that names the archive and what is wrong with it."""
        return ModelError(f"{self.path} is damaged: {why[:200]}", _AGAIN)

    def _checked(self, size: int) -> tuple[str, dict[str, int]]:
        infos = self._zip.infolist()
        names = [info.filename for info in infos]
        if not 0 < len(names) <= _MOST_MEMBERS or len(set(names)) != len(names):
            raise self.damaged(f"{len(names)} members, {len(set(names))} of them with a name of their own")
        for info in infos:
            if _is_hostile(info.orig_filename) or info.filename != info.orig_filename:
                raise self.damaged(f"a member is named {info.orig_filename!r}, which leads out of the archive")
            if not _is_plain(info):
                raise self.damaged(f"member {info.filename!r} is packed as PyTorch never packs it")
        packed = sum(info.file_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
        if (total := sum(info.file_size for info in infos) - packed) > size or packed > _MOST_PACKED:
            raise self.damaged(f"its members claim {total} bytes, and {packed} packed ones, in a file of {size}")
        roots = {name.partition("/")[0] for name in names if "/" in name}
        root = f"{roots.pop()}/" if len(roots) == 1 and all("/" in name for name in names) else ""
        return root, {info.filename.removeprefix(root): info.file_size for info in infos}

    @property
    def kind(self) -> str:
        """'export', 'old export', 'script' or 'state dict', by the members."""
        if any(name.startswith("models/") and name.endswith(".json") for name in self.members):
            return "export"
        if "serialized_exported_program.json" in self.members:
            return "old export"
        if "data.pkl" not in self.members:
            raise self.damaged("it holds neither weights nor a graph of PyTorch's")
        return "script" if any(name.startswith("code/") for name in self.members) else "state dict"

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a member's bytes, its checksum held. Raises ModelError where it is missing, damaged or above most."""
        if name not in self.members:
            raise self.damaged(f"member '{name}' is missing")
        if most is not None and self.members[name] > most:
            raise self.damaged(f"member '{name}' of {self.members[name]} bytes is larger than it may be")
        try:
            with self._zip.open(self.root + name) as file:
                return file.read(self.members[name])  # the number bounds what is unpacked
        except (*_ERRORS, OSError, EOFError, RuntimeError) as error:
            raise self.damaged(str(error)) from None

    def unpickle(self, name: str, records: bool = False) -> Any:
        """Return what the pickle ``name`` holds, tensors as arrays. records: TorchScript's objects are allowed."""
        order = self.read("byteorder", 16) if "byteorder" in self.members else b"little"
        if order.strip() != b"little":
            raise self.damaged(f"its byte order is {order!r}, not little")
        folder = name.removesuffix(".pkl")

        def rebuild(stored: Stored, offset: int, shape: Any, strides: Any, *_: Any) -> NDArray[Any]:
            if not isinstance(stored, Stored):
                raise TypeError("a tensor without a storage")
            return self.tensor(f"{folder}/{stored.key}", stored, (offset, tuple(shape), tuple(strides)))

        return unpickle(self.read(name), _Names(self.path, rebuild, records), _stored)

    def tensor(self, member: str, stored: Stored, view: tuple[int, Any, Any]) -> NDArray[Any]:
        """Return a view (offset, shape, strides; in elements) of a member's bytes; bfloat16 as float32."""
        offset, shape, strides = view
        whole = (offset, stored.count, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > _RANK or any(type(n) is not int or n < 0 for n in whole):
            raise self.damaged(f"a tensor of offset {offset}, shape {shape} and strides {strides}")
        is_empty = 0 in shape
        reach = 0 if is_empty else offset + 1 + sum((n - 1) * by for n, by in zip(shape, strides, strict=True))
        if reach > stored.count or math.prod(shape) > stored.count:
            raise self.damaged(f"a tensor of shape {shape} reaches beyond its storage of {stored.count} elements")
        if (size := self.members.get(member)) != stored.count * stored.width:
            raise self.damaged(f"storage '{member}' has {size} bytes, not {stored.count * stored.width}")
        self.has_bfloat |= stored.dtype == BFLOAT16
        self.has_narrow |= stored.dtype in (BFLOAT16, "<f2")
        if (member, stored.dtype) not in self._read:  # once: a hostile file names one storage many times
            self._read[member, stored.dtype] = from_bytes(self.read(member), stored.dtype)
        flat = self._read[member, stored.dtype]
        if is_empty:
            return np.zeros(shape, flat.dtype)
        steps = tuple(by * flat.itemsize for by in strides)
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)

    def copy(self, keep: Callable[[str], bool]) -> io.BytesIO:
        """Return an archive with the members that ``keep`` chooses alone."""
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
            for name in filter(keep, self.members):
                out.writestr(self.root + name, self.read(name))
        target.seek(0)
        return target


def from_bytes(data: bytes | memoryview, dtype: str) -> NDArray[Any]:
    """Return little-endian elements as an array; bfloat16, the upper half of a float32, as float32."""
    if dtype != BFLOAT16:
        return np.frombuffer(data, dtype)
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


class _Names:
    """Answers a pickle's names: the few that tensors are made of, each by a function of ours."""

    def __init__(self, path: Path, rebuild: Callable[..., Any], records: bool) -> None:
        self.path, self.records = path, records
        self.known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): _ordered,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch", "Size"): lambda sizes=(): tuple(sizes),
        }

    def __call__(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) in self.known:
            return self.known[module, name]
        if module == "torch" and name in _STORAGES:
            return _StorageClass(name)
        if (
            self.records
            and module.partition(".")[0] == "__torch__"
            and not module.startswith("__torch__.torch.classes")
        ):
            return lambda *_: Record(f"{module}.{name}")
        if self.records and module == "torch.jit._pickle" and (name in _LISTS or name == "restore_type_tag"):
            return lambda value, *_: value
        raise ModelError(
            f"{self.path} names '{module}.{name}': it is a pickled Python object, which is code, not weights alone",
            "save torch.save(model.state_dict(), path) or torch.export.save; --trust-pickle runs the file's code",
        )


class _StorageClass:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: Any) -> Any:
        raise ValueError(f"the class {self.name} is called")


def _ordered(*items: Any) -> dict[Any, Any]:
    if items:
        raise ValueError("an ordered dict is made of something")
    return {}


def _stored(identity: Any) -> Stored:
    """Return what the persistent id ('storage', class, key, device, number of elements) stands for."""
    if type(identity) is not tuple or len(identity) != 5 or identity[0] != "storage":
        raise ValueError("a persistent id that is no storage")
    _, kind, key, _, count = identity
    if not isinstance(kind, _StorageClass) or type(key) is not str or type(count) is not int:
        raise ValueError("a storage without a type, a name or a number of elements")
    return Stored(key, _STORAGES[kind.name], count)


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Whether a member lies in the file as it is; TorchScript's code alone is packed."""
    is_stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
    is_code = info.compress_type == zipfile.ZIP_DEFLATED and "/code/" in info.filename
    return (is_stored or is_code) and not info.flag_bits & 1


def _is_hostile(name: str) -> bool:
    return "\\" in name or "\0" in name or ":" in name or any(part in ("", "..", ".") for part in name.split("/"))


_AGAIN = "copy the file again, or save it again with torch.save(model.state_dict(), path)"
_ERRORS = (zipfile.BadZipFile, ValueError, NotImplementedError, IndexError, KeyError, OverflowError, zlib.error)
