"""duckprop inspect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duckprop.cli.exits import Exit
from duckprop.cli.options import AsJson, Registry
from duckprop.cli.output import print_json
from duckprop.cli.progress import say
from duckprop.errors import UsageError

if TYPE_CHECKING:
    from duckprop.inspection.drawing import Stage

_PICTURES = (".svg", ".png")


def inspect(
    model: Annotated[str, typer.Argument(help="name, name@3, name@alias or a folder.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write the card as a page.", metavar="FILE")] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the network into an .svg or .png file.", metavar="FILE")
    ] = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it predicts and how well, its network, where it is from. Ends with 1 if it is damaged.

    Example: duckprop inspect retail@champion --html card.html
    """
    from duckprop.cli.card import print_card
    from duckprop.inspection.describe import describe
    from duckprop.inspection.describe import picture as drawn
    from duckprop.inspection.page import write_page
    from duckprop.model import Model
    from duckprop.registry import Registry as Models

    _check(html, picture)
    version = Models(registry).resolve(model)
    about = describe(Model(version.folder, version.reference if version.version else str(version.folder)), version)
    if as_json:
        print_json(about)
    else:
        print_card(about)
    if html:
        write_page(html, about)
        say(f"card: {html}")
    if picture:
        _draw(picture, drawn(about))
        say(f"picture: {picture}")
    if not about["is_intact"]:
        for file in (file for file in about["files"] if not file["is_intact"]):
            say(f"error: {file['fault']}")
        say("copy the model again from where it was published, or train it again")
        raise typer.Exit(Exit.CHECK_FAILED)


def _check(html: Path | None, picture: Path | None) -> None:
    """Refuse what could not be written before anything is read."""
    for option, path in (("--html", html), ("--picture", picture)):
        if path and not path.absolute().parent.is_dir():
            raise UsageError(f"there is no folder for {path}", f"make it first, or give another {option} FILE")
    if picture and picture.suffix.lower() not in _PICTURES:
        raise UsageError(f"{picture} is no picture that can be drawn", f"end its name in {' or '.join(_PICTURES)}")


def _draw(path: Path, boxes: "list[Stage]") -> None:
    from duckprop.inspection.drawing import as_svg, layout
    from duckprop.temporary import replacing

    if not boxes:
        raise UsageError("the model's layers cannot be told, so they cannot be drawn", "leave --picture out")
    with replacing(path) as draft:
        if path.suffix.lower() == ".svg":
            draft.write_text(as_svg(boxes, alone=True), "utf-8")
        else:
            from duckprop.evaluation.plots import network

            draft.write_bytes(network(*layout(boxes)))
