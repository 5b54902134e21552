"""duckprop verify."""

from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from duckprop.cli.exits import Exit
from duckprop.cli.options import AsJson, Registry
from duckprop.cli.output import print_json, write
from duckprop.cli.progress import say, waiting

if TYPE_CHECKING:
    from duckprop.model import Model
    from duckprop.verify import Verification


def verify(
    model: Annotated[str, typer.Argument(help="name, name@3, name@alias or a folder.")],
    rows: Annotated[int, typer.Option("--rows", help="Random rows of each kind.", min=1)] = 2048,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Compare the compiled engine with MXNet, on the model's own sample and on random rows. Ends with 1 if they differ.

    Example: duckprop verify retail@champion
    """
    from duckprop.model import load
    from duckprop.verify import TOLERANCE
    from duckprop.verify import verify as compare

    with waiting(f"comparing the engines on {model}"):
        began = perf_counter()
        chosen = load(model, registry)
        seconds = _seconds_to_load(chosen, began)
        found = compare(chosen, rows)
    if as_json:
        print_json(_as_dict(chosen, found, TOLERANCE, seconds))
    else:
        write(("kind", "batch", "rows", "propensity", "embedding", "tolerance", "verdict"), _lines(found, TOLERANCE))
    say(
        f"{chosen.reference}: loaded in {seconds['load']:.2f} s, MXNet in {seconds['mxnet']:.2f} s; kernels ready in "
        f"{seconds['kernels']:.2f} s (compiled once, then read from disk)"
    )
    _end(chosen, found, TOLERANCE)


def _seconds_to_load(model: "Model", began: float) -> dict[str, float]:
    """Make both engines and return how long it took, the kernels apart from the compiled one."""
    model.scorer("compiled")
    loaded = perf_counter()
    from duckprop.kernels import compile_seconds

    model.scorer("mxnet")
    kernels = compile_seconds()
    return {"load": max(loaded - began - kernels, 0.0), "kernels": kernels, "mxnet": perf_counter() - loaded}


def _lines(found: "Verification", tolerance: float) -> list[tuple[object, ...]]:
    return [
        (*map(_short, asdict(each).values()), tolerance, "ok" if each.is_within_tolerance else "differs")
        for each in found.comparisons
    ]


def _as_dict(model: "Model", found: "Verification", tolerance: float, seconds: dict[str, float]) -> dict[str, object]:
    comparisons = [asdict(each) | {"is_within_tolerance": each.is_within_tolerance} for each in found.comparisons]
    return {
        "model": model.reference,
        "engine": found.engine,
        "rows": found.rows,
        "max_abs_difference": found.max_abs_difference,
        "tolerance": tolerance,
        "is_within_tolerance": found.is_within_tolerance,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "comparisons": comparisons,
    }


def _end(model: "Model", found: "Verification", tolerance: float) -> None:
    """Say the verdict; leave with exit code 1 where the engines differ."""
    embeddings = max((each.embedding or 0.0 for each in found.comparisons), default=0.0)
    apart = (
        f"on {found.rows:,} rows, propensities are at most {found.max_abs_difference:.1e} apart and embeddings "
        f"{embeddings:.1e} (tolerance {tolerance})"
    )
    if found.engine == "mxnet" and found.is_within_tolerance:
        say(f"{model.reference}: only MXNet can score this model, so there is no other engine to compare; {apart}")
        return
    if found.is_within_tolerance:
        say(f"{model.reference}: the compiled engine gives what MXNet gives: {apart}")
        return
    say(f"error: {model.reference}: the compiled engine does not give what MXNet gives: {apart}")
    say("do not promote this version; score it with --engine mxnet, and report this as a defect of duckprop")
    raise typer.Exit(Exit.CHECK_FAILED)


def _short(value: object) -> object:
    return float(f"{value:.1e}") if isinstance(value, float) else value
