"""PyTorch's files made by hand, without PyTorch: state dicts, archives, pickles opcode by opcode."""

import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from duckprop.errors import DuckpropError, ModelError
from duckprop.formats.torch import read

MEGABYTE = 1 << 20
FIXTURES = Path(__file__).parent / "artefacts" / "torch"
STORAGES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def sizes(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def tensor(key, storage, count, view):
    """Opcodes of a tensor; view: (offset, shape, strides)."""
    offset, shape, strides = view
    identity = b"(" + text("storage") + named("torch", storage) + text(key) + text("cpu") + number(count) + b"tQ"
    rest = number(offset) + sizes(shape) + sizes(strides) + b"\x89" + named("collections", "OrderedDict") + b")R"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + rest + b"tR"


def pickled(items):
    """The pickle of a dict {name: opcodes}."""
    return b"\x80\x02}(" + b"".join(text(name) + code for name, code in items.items()) + b"u."


def write_archive(path, members, root="m"):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in members.items():
            out.writestr(f"{root}/{name}", data)
    return path


def write_state_dict(path, arrays):
    """Write a state dict as torch.save does."""
    items, members = {}, {}
    for number_, (name, array) in enumerate(arrays.items()):
        steps = [by // array.itemsize for by in array.strides]
        items[name] = tensor(str(number_), STORAGES[array.dtype.name], array.size, (0, array.shape, steps))
        members[f"data/{number_}"] = array.tobytes()
    return write_archive(path, {"data.pkl": pickled(items), "byteorder": b"little", **members, "version": b"3\n"})


def members_of(name):
    """Return {member without the root: bytes} of a fixture."""
    with zipfile.ZipFile(FIXTURES / name) as archive:
        return {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}


def random_arrays(shapes, seed=3):
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def refused(path, message=None, **options):
    """Hold that a file is refused (by ModelError, where no message is given), and that little memory is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(DuckpropError if message else ModelError, match=message):
            read(path, **options)
        assert tracemalloc.get_traced_memory()[1] < 24 * MEGABYTE
    finally:
        tracemalloc.stop()


def calls(canary):
    """Pickles that would write ``canary``, or do other harm, if a name in them were called."""
    command = text(f"touch {canary}")
    write = text(f"open({str(canary)!r}, 'w').close()")
    return {
        "os.system": named("os", "system") + b"(" + command + b"tR",
        "posix.system": named("posix", "system") + b"(" + command + b"tR",
        "builtins.eval": named("builtins", "eval") + b"(" + write + b"tR",
        "builtins.exec": named("builtins", "exec") + b"(" + write + b"tR",
        "__builtin__.eval": named("__builtin__", "eval") + b"(" + write + b"tR",
        "builtins.getattr": named("builtins", "getattr") + b"(" + named("os", "path") + text("x") + b"tR",
        "nested": named("torch._utils", "_rebuild_parameter") + b"(" + named("os", "system") + b"(" + command + b"tRtR",
        "stack global": b"\x8c\x02os\x8c\x06system\x93(" + command + b"tR",
        "inst": b"(" + command + b"ios\nsystem\n",
        "obj": b"(" + named("os", "system") + command + b"o",
        "newobj": named("subprocess", "Popen") + b"(" + command + b"t\x81",
        "torch.load": named("torch", "load") + b"(" + command + b"tR",
        "a dotted name": named("torch", "serialization.os.system") + b"(" + command + b"tR",
        "numpy": named("numpy.testing._private.utils", "runstring") + b"(" + write + b"}tR",
        "a storage class called": named("torch", "FloatStorage") + b"(" + command + b"tR",
        "a class of the script": named("__torch__", "M") + b")\x81",
        "build": named("__main__", "M") + b")\x81}(" + text("a") + b"K\x01ub",
        "persistent id": named("os", "system") + b"Q",
    }
