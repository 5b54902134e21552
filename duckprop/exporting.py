"""A model → the files of another framework."""

from pathlib import Path
from tempfile import TemporaryDirectory

from duckprop import bundle
from duckprop.archive import pack
from duckprop.errors import ModelError, UsageError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.formats.mxnet_write import write_checkpoint
from duckprop.model import Model
from duckprop.temporary import replacing

FORMS = ("mxnet", "onnx", "bundle")


def export_model(model: Model, to: str, path: Path) -> list[Path]:
    """Write a model as MXNet's two files (path: folder/prefix), as ONNX or as one archive; return what was written.

    MXNet: one fused layer of heads, whatever the graph was that it came from; a model that only MXNet can score keeps
    its graph. ONNX: the sparse rows come in as row numbers, columns and values. Files that exist are replaced, whole.
    Raises UsageError for an unknown form or a missing folder, ModelError for what has no place in it.
    """
    if to not in FORMS:
        raise UsageError(f"there is no form '{to}'", f"known are {', '.join(FORMS)}")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist", "make it first, or write somewhere else")
    bundle.check_hashes(model.folder, model.card)
    if to == "bundle":
        pack(model.folder, path)
        return [path]
    if to == "mxnet":
        return _mxnet(model, path)
    if model.card.get("engine") == "mxnet":
        raise ModelError(
            f"{model.reference} is scored by MXNet alone: {model.card.get('not_folded')}", "use --to mxnet"
        )
    from duckprop.formats import onnx_write

    network = read_checkpoint(model.folder, bundle.PREFIX, heads=len(model.categories))
    onnx_write.write(network, model.positive, path, categories=model.categories, reference=model.reference)
    beside = path.with_name(f"{path.name}.data")
    return [path, *([beside] if beside.is_file() else [])]


def _mxnet(model: Model, path: Path) -> list[Path]:
    targets = [path.with_name(f"{path.name}-symbol.json"), path.with_name(f"{path.name}-0000.params")]
    sources = [model.folder / f"{bundle.PREFIX}{target.name.removeprefix(path.name)}" for target in targets]
    if model.card.get("engine") != "mxnet":
        network = read_checkpoint(model.folder, bundle.PREFIX, heads=len(model.categories))
        with TemporaryDirectory(prefix="duckprop-") as name:
            folder = Path(name)
            write_checkpoint(network, folder, bundle.PREFIX, model.positive)
            return _copied([folder / source.name for source in sources], targets)
    return _copied(sources, targets)


def _copied(sources: list[Path], targets: list[Path]) -> list[Path]:
    for source, target in zip(sources, targets, strict=True):
        with replacing(target) as temporary:
            temporary.write_bytes(source.read_bytes())
    return targets
