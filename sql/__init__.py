"""The SQL that ships with duckprop, one topic a file, and the one way to read it."""

from importlib.resources import files


def read(name: str) -> str:
    """Return the text of one shipped .sql file, named relative to this package: ``"complete_journey/features.sql"``.

    Works from a checkout, an installed wheel and a zip file. A name that does not exist raises FileNotFoundError:
    names are written by us, so a wrong one is a defect of the program and not of its use.
    """
    return files(__name__).joinpath(*name.split("/")).read_text(encoding="utf-8")


MACROS = (
    *(
        "scalars.sql",
        "models.sql",
        "train.sql",
        "features.sql",
        "vocabulary.sql",
        "pairs.sql",
        "scores.sql",
        "deciles.sql",
    ),
    *("audience.sql", "calibration.sql", "evaluate.sql", "drift.sql"),
)
"""The files that make up the public functions, in load order."""
