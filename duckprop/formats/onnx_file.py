"""An ONNX file's graph and tensors, read as data: nothing is run, sizes are checked before memory is taken."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError, UsageError
from duckprop.plain_files import name_fault, open_plain

LEAST_OPSET = 11
MOST_BYTES = 2**31
"""Of the file itself: Protocol Buffers holds no more; larger weights lie in files beside it."""
_CHECKED = 64 << 20
"""Bytes of a file up to which onnx.checker looks at it: it copies the file."""
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_AGAIN = "copy or export the model again"
_FIELDS = {
    "float16": "int32_data",
    "float32": "float_data",
    "float64": "double_data",
    "int32": "int32_data",
    "int64": "int64_data",
    "bool": "int32_data",
    "uint8": "int32_data",
    "int8": "int32_data",
}
"""NumPy's name of each type that is read, and where a tensor without raw bytes has its numbers."""


def library() -> Any:
    """Return the onnx package. Raises UsageError where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise UsageError("ONNX files need the package onnx", "pip install 'duckprop[onnx]'") from None
    return onnx


class OnnxFile:
    """One file, parsed. model: its ModelProto. opset: of the standard operators.

    elements: numbers stored, a byte of the file counted as one, once ``initializers`` has been asked for: no graph has
    more columns, or computes constants many times as large.
    """

    def __init__(self, path: Path) -> None:
        """Parse a file. Raises ModelError where it is missing, damaged, too old or holds what is not read."""
        self.path = path
        self.model = _parsed(path)
        self.graph = self.model.graph
        versions = {each.domain: each.version for each in self.model.opset_import}
        self.opset = max(versions.get("", 0), versions.get("ai.onnx", 0))
        self._check(versions)
        self.is_external = any(tensor.data_location == 1 for tensor in self._tensors())
        self.is_half = any(tensor.data_type == 10 for tensor in self._tensors())
        self.elements = 0
        self._proved()

    def refused(self, fact: str, remedy: str = _AGAIN) -> ModelError:
        """Return an error about this file."""
        return ModelError(f"{self.path}: {fact}", remedy)

    def initializers(self) -> dict[str, NDArray[Any]]:
        """Return the graph's stored tensors by name. Raises ModelError for one that does not fit its own sizes."""
        found: dict[str, NDArray[Any]] = {}
        for tensor in self.graph.initializer:
            if tensor.name in found:
                raise self.refused(f"two tensors are named '{tensor.name}'")
            found[tensor.name] = self.array(tensor)
        self.elements = self.path.stat().st_size + sum(array.size for array in found.values())
        return found

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor's numbers. Raises ModelError where its shape asks for other bytes than it has."""
        dtype, shape = self._layout(tensor)
        if tensor.data_location == 1:
            return self._external(tensor, dtype, shape)
        if tensor.HasField("raw_data"):
            data: Any = np.frombuffer(tensor.raw_data, np.uint8)
            self._fits(tensor, math.prod(shape) * dtype.itemsize, data.nbytes)
            return data.view(dtype).reshape(shape)
        values = getattr(tensor, _FIELDS[dtype.name])
        self._fits(tensor, math.prod(shape), len(values))
        if dtype == np.float16:  # stored as the bits of each, a number of their own
            return np.array(values, np.int32).astype(np.uint16).view(np.float16).reshape(shape)
        return np.array(values, dtype).reshape(shape)

    def _layout(self, tensor: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
        helper = library().helper
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        except (KeyError, TypeError):
            raise self.refused(f"tensor '{tensor.name}' has the unknown type {tensor.data_type}") from None
        if dtype.name not in _FIELDS:
            remedy = "export it in float32, float64 or float16"
            raise self.refused(f"tensor '{tensor.name}' is of type {dtype.name}, which is not read", remedy)
        shape = tuple(tensor.dims)
        if min(shape, default=0) < 0 or len(shape) > 8 or math.prod(size or 1 for size in shape) > 2**40:
            raise self.refused(f"tensor '{tensor.name}' has the shape {shape}")
        return dtype.newbyteorder("<"), shape

    def _fits(self, tensor: Any, needed: int, found: int) -> None:
        if needed != found:
            raise self.refused(f"tensor '{tensor.name}' of shape {tuple(tensor.dims)} needs {needed}, but has {found}")

    def _external(self, tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        where = {entry.key: entry.value for entry in tensor.external_data}
        name = where.get("location", "")
        if fault := name_fault(name):
            text = f"tensor '{tensor.name}' lies in the file {name!r}: {fault}"
            raise self.refused(text, "only a plain file beside the model is read; export it again into one folder")
        size = math.prod(shape) * dtype.itemsize
        try:
            offset, length = int(where.get("offset", 0)), int(where.get("length", size))
            with open_plain(self.path.with_name(name)) as file:
                self._fits(tensor, size, length)
                if offset < 0 or offset + length > os.fstat(file.fileno()).st_size:
                    raise self.refused(f"tensor '{tensor.name}' lies beyond the end of '{name}'")
                file.seek(offset)
                return np.fromfile(file, dtype, math.prod(shape)).reshape(shape)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise self.refused(f"the data of tensor '{tensor.name}' in '{name}' cannot be read: {why}") from None

    def _tensors(self) -> Iterator[Any]:
        yield from self.graph.initializer
        for node in self.graph.node:
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))

    def _check(self, versions: dict[str, int]) -> None:
        if not self.graph.node or not self.graph.output:
            raise self.refused("it is no ONNX model: it has no nodes")
        newest = library().defs.onnx_opset_version()
        if not LEAST_OPSET <= self.opset <= newest:
            fact = f"its operators are of opset {self.opset}; read are {LEAST_OPSET} to {newest}"
            raise self.refused(fact, "export it with another opset_version")
        for domain in versions:
            if domain not in _DOMAINS and any(node.domain == domain for node in self.graph.node):
                raise self.refused(f"it uses operators of '{domain}'", "export it with standard operators alone")
        if len(self.model.functions):
            name = self.model.functions[0].name
            raise self.refused(f"it defines a function of its own, '{name}'", "export it with functions inlined")
        if len(self.graph.sparse_initializer):
            raise self.refused("it holds sparse tensors", "export the weights as dense ones")

    def _proved(self) -> None:
        if self.is_external or self.path.stat().st_size > _CHECKED:
            return
        onnx = library()
        try:
            onnx.checker.check_model(self.model)
        except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise self.refused(f"it is no valid ONNX model: {line}") from None


def _parsed(path: Path) -> Any:
    onnx = library()
    from google.protobuf.message import DecodeError

    try:
        with open_plain(path, follow=True) as file:
            size = os.fstat(file.fileno()).st_size
            if size >= MOST_BYTES:
                raise ModelError(f"{path} has {size} bytes; an ONNX file has less than {MOST_BYTES}", _AGAIN)
            data = file.read(size)
        model = onnx.ModelProto()
        model.ParseFromString(data)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise ModelError(f"{path} cannot be read: {getattr(error, 'strerror', error)}", _AGAIN) from None
    except (DecodeError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged or no ONNX file: {error}", _AGAIN) from None
    except MemoryError:
        raise ModelError(f"{path} does not fit into memory", "use a machine with more of it") from None
    return model
