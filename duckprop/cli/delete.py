"""duckprop delete."""

from typing import Annotated

import typer

from duckprop.cli.options import Registry
from duckprop.cli.progress import say
from duckprop.errors import UsageError


def delete(
    model: Annotated[str, typer.Argument(help="A version, name@3, or an alias, name@challenger.")],
    force: Annotated[bool, typer.Option("--force", help="Also the newest version of a name, or the only one.")] = False,
    registry: Registry = None,
) -> None:
    """Delete a version for good, or an alias, whose version stays. A version that an alias stands for is kept.

    Example: duckprop delete retail@3
    """
    from duckprop.registry import Registry as Folder

    name, at, wanted = model.partition("@")
    if not at:
        raise UsageError(f"'{model}' is a name with all its versions", f"name one: {model}@3; see duckprop models")
    home = Folder(registry)
    if wanted.isdecimal():
        home.delete(name, int(wanted), force=force)
        say(f"{model} is deleted.")
    else:
        home.delete_alias(name, wanted)
        say(f"the alias {model} is deleted; the version that it stood for is still there.")
