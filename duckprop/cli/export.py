"""duckprop export."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from duckprop.cli.options import Registry
from duckprop.cli.progress import say, waiting


class To(StrEnum):
    """What a model is written as."""

    MXNET = "mxnet"
    ONNX = "onnx"
    BUNDLE = "bundle"


def export(
    model: Annotated[str, typer.Argument(help="name, name@3, name@alias or a folder.")],
    to: Annotated[To, typer.Option("--to", help="mxnet, onnx, or bundle: one file for duckprop import elsewhere.")],
    output: Annotated[
        Path,
        typer.Option("--output", help="folder/prefix for mxnet, a .onnx or .zip file for the others.", metavar="PATH"),
    ],
    registry: Registry = None,
) -> None:
    """Write a model in another format.

    Example: duckprop export retail@champion --to onnx --output retail.onnx
    """
    from duckprop.exporting import export_model
    from duckprop.model import load

    with waiting(f"exporting {model}"):
        chosen = load(model, registry)
        files = export_model(chosen, to.value, output)
    say(f"{chosen.reference} is in {', '.join(map(str, files))}")
