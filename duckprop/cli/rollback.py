"""duckprop rollback."""

from typing import Annotated

import typer

from duckprop.cli.options import Registry
from duckprop.cli.progress import say


def rollback(
    name: Annotated[str, typer.Argument(help="The model's name, without a version.")],
    alias: Annotated[str, typer.Argument(help="Its alias, such as champion.")],
    registry: Registry = None,
) -> None:
    """Point an alias back to the version that it stood for before. Called again, it goes back further.

    Example: duckprop rollback retail champion
    """
    from duckprop.registry import Registry as Folder

    left, now = Folder(registry).rollback(name, alias)
    say(f"{name}@{alias} is {name}@{now} again; it was {name}@{left}.")
