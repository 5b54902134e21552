"""duckprop promote."""

from typing import Annotated

import typer

from duckprop.cli.options import Registry
from duckprop.cli.progress import say
from duckprop.errors import UsageError


def promote(
    model: Annotated[str, typer.Argument(help="The version: name@3, name@alias, or name for its newest.")],
    alias: Annotated[str, typer.Argument(help="A name for it, such as champion.")],
    registry: Registry = None,
) -> None:
    """Point an alias at a version. Queries that begin later use it; those that run keep the version they began with.

    Example: duckprop promote retail@challenger champion
    """
    from duckprop.registry import Registry as Folder

    home = Folder(registry)
    chosen = home.resolve(model)
    if not chosen.version:
        raise UsageError(f"{chosen.folder} is a folder and has no versions", "publish it, and promote its version")
    before = home.promote(chosen.name, alias, chosen.version)
    then = "stood for nothing" if before is None else f"stood for {chosen.name}@{before}"
    say(f"{chosen.name}@{alias} is {chosen.reference} now; it {then} before.")
