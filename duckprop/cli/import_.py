"""duckprop import."""

from pathlib import Path
from typing import Annotated, Any

import typer

from duckprop.cli.options import AsJson, Registry
from duckprop.cli.output import print_json, write
from duckprop.cli.progress import say, waiting
from duckprop.errors import UsageError

Source = Annotated[str, typer.Argument(help="A model's file, folder/prefix, or archive.", metavar="SOURCE")]
Name = Annotated[str, typer.Option("--name", help="Model to publish as; the next version of it.")]
Origin = Annotated[
    str | None, typer.Option("--from", help="mxnet, torch, onnx, sklearn, fasttext or bundle; else told by the file.")
]
Categories = Annotated[
    Path | None, typer.Option("--categories", help="Text file of category names, one a line, in output order.")
]
Features = Annotated[
    Path | None, typer.Option("--features", help="Text file of feature names, one a line, in input order.")
]
PositiveColumn = Annotated[
    int | None, typer.Option("--positive-column", help="Class of a head that is the propensity: 0, 1, …", min=0)
]
Output = Annotated[
    str | None, typer.Option("--output", help="sigmoid or softmax, for a model that ends in plain logits.")
]
Layers = Annotated[str | None, typer.Option("--layers", help="Layers of a PyTorch state dict, or a JSON file of them.")]
Padding = Annotated[
    int | None, typer.Option("--padding", help="Id that fills up lists of ids, for ONNX graphs that take them.")
]
Outcome = Annotated[str | None, typer.Option("--outcome", help="What the propensities are of, for the card.")]
Tolerance = Annotated[
    float | None, typer.Option("--tolerance", help="Largest difference from the source; 1e-6 unless given.")
]
TrustPickle = Annotated[
    bool,
    typer.Option("--trust-pickle", help="Read pickles too: THIS RUNS CODE FROM THE FILE. Only for files you made."),
]


def import_(
    source: Source,
    name: Name,
    origin: Origin = None,
    categories: Categories = None,
    features: Features = None,
    positive_column: PositiveColumn = None,
    output: Output = None,
    layers: Layers = None,
    padding: Padding = None,
    outcome: Outcome = None,
    tolerance: Tolerance = None,
    trust_pickle: TrustPickle = False,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Publish a model that was made elsewhere, after comparing it with its source on 1,000 sparse rows.

    Example: duckprop import checkpoints/shop-0007.params --name shop --categories categories.txt --positive-column 0
    """
    from duckprop.importing import import_model
    from duckprop.registry import Registry as Models

    Models.check_name(name)
    if output not in (None, "sigmoid", "softmax"):
        raise UsageError(f"--output is '{output}'", "give sigmoid or softmax")
    with waiting(f"importing {source}"):
        model = import_model(
            source,
            origin=origin,
            categories=_lines(categories),
            features=_lines(features),
            positive_column=positive_column,
            output=output,
            description=layers,
            padding=padding,
            trust_pickle=trust_pickle,
            tolerance=tolerance,
            outcome=outcome,
        )
        version = model.publish(name, registry)
    _tell(version.reference, model.card, as_json)


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "write one name a line, as UTF-8") from None


def _tell(reference: str, card: dict[str, Any], as_json: bool) -> None:
    from duckprop.importing.proof import ROWS

    verified, source = card.get("verified") or {}, card.get("source") or {}
    facts: dict[str, Any] = {
        "model": reference,
        "source": source.get("framework", "a duckprop bundle"),
        "features": card["features"]["width"],
        "layers": " -> ".join(map(str, card.get("layers", []))),
        "categories": len(card["categories"]),
        "classes": ", ".join(card["classes"]),
        "positive_column": card["positive"],
        "engine": card.get("engine", "compiled"),
        "compared_with": verified.get("against"),
        "rows": verified.get("rows"),
        "max_abs_difference": verified.get("max_abs_difference"),
        "tolerance": verified.get("tolerance"),
    }
    if as_json:
        print_json(facts)
    else:
        write(("property", "value"), list(facts.items()))
    rates = verified.get("rows_per_second") or {}
    if rates:
        times = rates["duckprop"] / rates["source"]
        say(
            f"{ROWS:,} rows: its own graph {rates['source']:,} rows/s, duckprop {rates['duckprop']:,} rows/s: "
            f"{times:.1f} times as fast"
        )
    if card.get("not_folded"):
        say(f"{reference} is scored by MXNet itself, as {card['not_folded']}: slower, and not explained")
    if verified.get("why"):
        say(f"{reference} was not compared with its source: {verified['why']}")
    say(f"{reference} is published; nobody sees it under an alias until: duckprop promote {reference} champion")
