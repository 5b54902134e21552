"""duckprop models."""

from duckprop.cli.options import AsJson, Registry
from duckprop.cli.output import Format, write
from duckprop.cli.progress import say
from duckprop.errors import UsageError


def models(registry: Registry = None, as_json: AsJson = False) -> None:
    """List the models of the registry, every version a row; what is damaged there is said on stderr.

    Example: duckprop models
    """
    from duckprop.registry import Registry as Models
    from duckprop.udfs.propensity_models import FIELDS, describe

    if registry is not None and not registry.is_dir():
        raise UsageError(f"there is no folder {registry}", "give the folder of the registry, or leave --registry out")
    home = Models(registry)
    columns = [name for name, _, _ in FIELDS]
    rows = [[_short(value) for value in describe(version).values()] for version in home.versions()]
    write(columns, rows, Format.JSON if as_json else Format.TABLE)
    for problem in home.problems():
        say(problem)
    if not rows:
        say(f"There are no models in {home.root} yet: duckprop train, or duckprop demo, makes one.")


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
