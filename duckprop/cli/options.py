"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Features = Annotated[
    str, typer.Option("--features", help="Features: a table, a Parquet path or glob, or a SELECT.", metavar="REL")
]
Labels = Annotated[
    str, typer.Option("--labels", help="Labels: (id, category) rows, or an id and a list of categories.", metavar="REL")
]
Id = Annotated[str, typer.Option("--id", help="Column that identifies a row; several with commas.", metavar="NAMES")]
FeaturesColumn = Annotated[str, typer.Option("--features-column", help="Column that holds the features.")]
Database = Annotated[
    Path | None, typer.Option("--database", help="DuckDB file to work in; in memory without it.", metavar="FILE")
]
Registry = Annotated[
    Path | None,
    typer.Option("--registry", help="Folder of models; else DUCKPROP_HOME, else your data folder.", metavar="FOLDER"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Engine = Annotated[str, typer.Option("--engine", help="compiled, or mxnet, the reference.")]


def names(text: str) -> tuple[str, ...]:
    """Split names at commas, blanks around them dropped."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
