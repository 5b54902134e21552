"""What went wrong, in two lines: the fact, and what to do. In a session an error is told and then forgotten."""

import re
import sys

from rich.console import Console

from duckprop.cli.exits import from_duckdb
from duckprop.errors import DuckpropError


def tell(error: BaseException) -> None:
    """Print an error to stderr."""
    fact, remedy = explained(error)
    Console(stderr=True, highlight=False).print("[bold red]error:[/] ", end="")
    print(fact, *([remedy] if remedy else []), sep="\n", file=sys.stderr, flush=True)


def explained(error: BaseException) -> tuple[str, str]:
    """Return fact and remedy of an error; the remedy may be empty."""
    import duckdb

    match error:
        case KeyboardInterrupt() | duckdb.InterruptException():
            return "interrupted", "the statement was stopped; the session goes on"
        case DuckpropError():
            return error.fact, error.remedy
        case duckdb.Error():
            fact, rest, _ = from_duckdb(str(error))
            return shorter(fact, rest)
        case OSError() if error.errno is not None:
            return f"{error.filename or 'system'}: {error.strerror}", "check the path and its permissions"
        case UnicodeDecodeError():
            return "the file is not UTF-8 text", "save it as UTF-8"
    return f"{type(error).__name__}: {error}", "this is a defect of duckprop: please report it"


def shorter(fact: str, rest: str) -> tuple[str, str]:
    """Return an error of DuckDB with the one line that helps most: its advice, else the piece of SQL it is about."""
    lines = [line.strip() for line in rest.splitlines() if line.strip(" ^~\t")]
    advice = [line for line in lines if not re.match(r"LINE \d+:", line)]
    where = [line for line in lines if line not in advice]
    if advice and advice[0].endswith(":") and len(advice) > 1:
        more = f" … and {len(advice) - 2} more" if len(advice) > 2 else ""
        return fact, f"{advice[0]} {advice[1]}{more}"
    return fact, (advice or where or [""])[0]
