"""Every error that duckprop raises on purpose: one line of fact, one line of what to do."""

from difflib import get_close_matches
from typing import ClassVar


class DuckpropError(Exception):
    """Base class. ``str(error)`` is the fact, a newline and the remedy, in the same words in SQL, Python and the shell.

    ``exit_code`` is what the command line ends with: 2 for wrong use, 3 for bad data or a bad model.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}\n{remedy}")
        self.fact = fact
        self.remedy = remedy


class UsageError(DuckpropError):
    """The call itself is wrong: an unknown option, a missing argument, an impossible combination."""

    exit_code = 2


class DataError(DuckpropError):
    """The data do not fit: a feature outside the model, unequal lists, NaN, an unknown category, an empty relation."""


class ModelError(DuckpropError):
    """A model cannot be found, read or trusted."""


def did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of ``known``, or an empty string when none is close."""
    folded = {other.casefold(): other for other in known}  # the wrong case is the first thing that people type
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""
