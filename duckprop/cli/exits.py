"""How the command line ends: exit codes, errors of one or two lines, Ctrl-C."""

import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import typer

from duckprop.errors import DuckpropError


class Exit(IntEnum):
    """What a process of ours ends with."""

    DONE = 0
    CHECK_FAILED = 1
    WRONG_USE = 2
    BAD_DATA = 3
    INTERRUPTED = 130


def run(app: Callable[..., Any]) -> None:
    """Run a Typer app; every error becomes an exit code and a text on stderr, with a traceback after ``--debug``."""
    try:
        status = int(app(standalone_mode=False) or 0)
        sys.stdout.flush()
        if status == Exit.INTERRUPTED:  # Typer has turned the KeyboardInterrupt into this already
            _explain(KeyboardInterrupt())
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = Exit.DONE
    except BaseException as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        status = _explain(error)
    sys.exit(status)


def _explain(error: BaseException) -> int:
    """Print what went wrong to stderr and return the exit code; what is a defect of ours keeps its traceback."""
    import duckdb

    match error:
        case typer.Exit():
            return error.exit_code
        case typer.TyperException():
            return _say(error.format_message(), "see duckprop --help, or --help after a command", Exit.WRONG_USE)
        case KeyboardInterrupt() | typer.Abort() | duckdb.InterruptException():
            return _say("interrupted", "nothing is half written; the same command goes on or starts again", Exit.INTERRUPTED)
        case DuckpropError():
            return _say(error.fact, error.remedy, error.exit_code)
        case duckdb.Error():
            return _say(*_from_duckdb(str(error)), Exit.BAD_DATA)
        case OSError() if error.errno is not None:
            place = f"{error.filename}: " if error.filename else ""
            return _say(f"{place}{error.strerror}", "check the path, its permissions and the free space", Exit.BAD_DATA)
        case SystemExit():
            return int(error.code or 0)
    if "--debug" not in sys.argv:
        traceback.print_exception(error)
    return _say(f"{type(error).__name__}: {error}", "this is a defect of duckprop: please report it", Exit.BAD_DATA)


def _say(fact: str, remedy: str, code: int) -> int:
    print(f"error: {fact}", *([remedy] if remedy else []), sep="\n", file=sys.stderr)
    return code


def _from_duckdb(text: str) -> tuple[str, str]:
    """Return fact and remedy; an error of ours that came through a SQL function loses what DuckDB put before it."""
    ours = re.search(r"executing the UDF: (?:DataError|ModelError|UsageError): (.*)", text, re.DOTALL)
    fact, _, rest = (ours.group(1) if ours else text).strip().partition("\n")
    return fact, rest.strip("\n")


@contextlib.contextmanager
def interruptible(con: Any) -> Iterator[None]:
    """Let Ctrl-C stop the query that runs on a connection; DuckDB reports one inside a UDF as another error."""
    pressed = False

    def stop(_number: int, _frame: Any) -> None:
        nonlocal pressed
        pressed = True
        con.interrupt()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception:
        if pressed:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
