"""PyTorch models → Network: state dicts with a description, torch.export, TorchScript, and modules in memory.

Files are read without PyTorch and none of their code is run: see torch_archive, torch_pickle, safetensors, torch_export
and torch_script. PyTorch, where it is installed, is what the result is compared with.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError, UsageError
from duckprop.formats.artefact import Artefact
from duckprop.formats.safetensors import read_safetensors
from duckprop.formats.torch_archive import Archive
from duckprop.formats.torch_describe import describe
from duckprop.formats.torch_export import read_export
from duckprop.formats.torch_graph import Graph, read_graph
from duckprop.formats.torch_output import Wanted, read_outputs
from duckprop.formats.torch_reference import UNVERIFIED, Call, has_torch, of_graph, of_script, propensities
from duckprop.formats.torch_script import read_script
from duckprop.formats.torch_values import Outputs

_NESTED = ("state_dict", "model_state_dict", "model")
"""Where training checkpoints keep the state dict."""
_SCRIPTED = ("data/", "constants/", "code/", "data.pkl", "constants.pkl", "version", ".data/version", "byteorder")
_COUNTED = "a feature counts as often as its bag lists it: values must be 0, 1 or whole counts"


def read(
    path: Path,
    *,
    categories: tuple[str, ...] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
    description: str | Sequence[Any] | None = None,
    trust_pickle: bool = False,
) -> Artefact:
    """Read a state dict (.pt, .pth, .safetensors), a torch.export archive (.pt2) or a TorchScript archive (.pt).

    What it is, its members tell. categories: N names. positive_column: the class that counts, of heads of several.
    output: what logits are, 'sigmoid' or 'softmax', where the model ends with them. description: of a state dict's
    layers, see torch_describe. trust_pickle: a pickled module is loaded by PyTorch, **which runs code from the file**.
    Raises ModelError for damaged files, CannotFold for operators that no network computes, UsageError where the caller
    must say more.
    """
    wanted = Wanted(None if categories is None else len(categories), positive_column, output)
    if path.suffix == ".safetensors":
        arrays, is_narrow = read_safetensors(path)
        return _finished(_described(_by_number(arrays), description), wanted, categories, is_narrow)
    if not path.is_file():
        raise ModelError(f"{path} is no file", "name a file that PyTorch saved: .pt, .pth, .pt2 or .safetensors")
    if not zipfile.is_zipfile(path):
        _refuse_legacy(path, trust_pickle)
        return _trusted(path, wanted, categories, description)
    archive = Archive(path)
    if archive.kind == "export":
        graph, version = read_export(archive)
        return _finished(_Source(graph, f"PyTorch {version}".strip()), wanted, categories, archive.has_narrow)
    if archive.kind == "old export":
        raise ModelError(f"{path} was exported by PyTorch 2.7 or older", "export it again with PyTorch 2.8 or newer")
    if archive.kind == "script":
        _no_description(path, description)
        return _scripted(archive, wanted, categories)
    try:
        arrays = state_dict(archive.unpickle("data.pkl"), path)
    except ModelError as error:
        if not trust_pickle or "pickled Python object" not in error.fact:
            raise
        return _trusted(path, wanted, categories, description)
    return _finished(_described(arrays, description, path), wanted, categories, archive.has_narrow)


def from_module(
    module: Any,
    example: Sequence[Any] | None = None,
    *,
    categories: tuple[str, ...] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
) -> Artefact:
    """Read a ``torch.nn.Module`` in memory, by torch.export.

    example: tensors that forward takes; None: (indices, offsets), (indices, offsets, weights) or one dense row, by the
    number that forward takes. Raises UsageError where PyTorch cannot export the module, else as ``read``.
    """
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed", "pip install torch") from None
    from duckprop.formats.torch_module import exported

    module = module.eval()
    archive = Archive(Path(f"{type(module).__name__}.pt2"), exported(module, example))
    graph, _ = read_export(archive)
    source = _Source(graph, f"PyTorch {torch.__version__}", lambda inputs: module(*inputs))
    wanted = Wanted(None if categories is None else len(categories), positive_column, output)
    return _finished(source, wanted, categories, archive.has_narrow)


@dataclass(frozen=True)
class _Source:
    """A graph, what wrote it, and what else runs it than its own operators; path: a state dict's own file."""

    graph: Graph
    framework: str = "PyTorch"
    call: Call | None = None
    path: Path | None = None


def _described(arrays: dict[str, NDArray[Any]], description: Any, path: Path | None = None) -> _Source:
    return _Source(describe(arrays, description), path=path)


def _no_description(path: Path, description: Any) -> None:
    if description is not None:
        raise UsageError(f"{path} holds its graph: a description is of a state dict", "leave the description out")


def _by_number(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a .safetensors file's tensors in the order of their layers' numbers, where all keys begin with one."""
    if not all(name.partition(".")[0].isdecimal() for name in arrays):
        return arrays
    return dict(sorted(arrays.items(), key=lambda item: int(item[0].partition(".")[0])))


def state_dict(found: Any, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays by name of a state dict, or of a training checkpoint that holds one.

    Raises ModelError for anything else.
    """
    for name in _NESTED:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    names = list(found) if isinstance(found, dict) else []
    wrong = [str(name) for name in names if not (isinstance(name, str) and isinstance(found[name], np.ndarray))]
    if not names or wrong:
        what = f"holds '{wrong[0][:60]}', which is no tensor" if wrong else f"holds a {type(found).__name__}"
        raise ModelError(f"{path} is no state dict: it {what}", "save it with torch.save(model.state_dict(), path)")
    return found


def _scripted(archive: Archive, wanted: Wanted, categories: tuple[str, ...] | None) -> Artefact:
    outputs = read_script(archive)

    def copy() -> io.BytesIO:
        return archive.copy(lambda name: name.startswith(_SCRIPTED) and not name.endswith(".debug_pkl"))

    call = of_script(copy, archive.has_bfloat) if has_torch() else None
    return _artefact(outputs, (wanted, categories, archive.has_narrow), "PyTorch (TorchScript)", call)


def _finished(source: _Source, wanted: Wanted, categories: tuple[str, ...] | None, is_narrow: bool) -> Artefact:
    outputs = read_graph(source.graph)
    call = source.call
    if call is None and has_torch():
        path = source.path
        call = of_graph(source.graph, None if path is None else lambda: _loaded(path))
    return _artefact(outputs, (wanted, categories, is_narrow), source.framework, call)


def _loaded(path: Path) -> dict[str, Any]:
    """Return a state dict's tensors as PyTorch itself reads them, by its loader that knows weights only."""
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    for name in _NESTED:
        if isinstance(found.get(name), dict):
            found = found[name]
    return {name: tensor.float() if tensor.dtype == torch.bfloat16 else tensor for name, tensor in found.items()}


def _artefact(
    outputs: Outputs, asked: tuple[Wanted, tuple[str, ...] | None, bool], framework: str, call: Call | None
) -> Artefact:
    wanted, categories, is_narrow = asked
    reading, sources = read_outputs(outputs, wanted), outputs.sources
    notes: dict[str, Any] = {"input": "bag" if sources.bag else "dense"}
    if sources.is_counted:
        notes |= {"values": "counts", "note": _COUNTED}
    reference = None if call is None else propensities(call, sources, reading.finish)
    return Artefact(
        "torch",
        framework,
        reading.network,
        reading.positive,
        categories,
        reference=reference,
        unverified="" if reference else UNVERIFIED,
        tolerance=1e-3 if is_narrow else 1e-6,
        notes=notes,
    )


def _refuse_legacy(path: Path, trust_pickle: bool) -> None:
    """Refuse what is no archive, but for a plain pickle where the caller trusts it."""
    with path.open("rb") as file:
        is_pickle = file.read(2)[:1] == b"\x80"
    if not is_pickle:
        raise ModelError(f"{path} is neither a PyTorch archive nor whole", "copy or save it again")
    if not trust_pickle:
        raise ModelError(
            f"{path} is a plain pickle of an old PyTorch, which is code as much as weights",
            "load it where you trust it and save its state_dict() again; --trust-pickle runs the file's code",
        )


def _trusted(path: Path, wanted: Wanted, categories: tuple[str, ...] | None, description: Any) -> Artefact:
    """Load a pickle by PyTorch, which runs the code that it holds, and read what comes out."""
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed, which alone loads pickled modules", "pip install torch") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # the file's own code runs: anything may come
        fact = f"{path} cannot be loaded: {type(error).__name__}: {str(error)[:150]}"
        raise ModelError(fact, "import the package that its classes are from, or save the state dict") from None
    options: dict[str, Any] = {"positive_column": wanted.positive, "output": wanted.output}
    if isinstance(found, torch.nn.Module):
        return from_module(found, categories=categories, **options)
    narrow = (torch.float16, torch.bfloat16)
    found = next((found[name] for name in _NESTED if isinstance(found, dict) and name in found), found)
    tensors = found if isinstance(found, dict) else {}
    is_narrow = any(getattr(tensor, "dtype", None) in narrow for tensor in tensors.values())
    plain = {name: _plain(tensor) for name, tensor in tensors.items()}
    return _finished(_described(state_dict(plain, path), description), wanted, categories, is_narrow)


def _plain(tensor: Any) -> Any:
    import torch

    if not isinstance(tensor, torch.Tensor):
        return tensor
    return (tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()).numpy()
