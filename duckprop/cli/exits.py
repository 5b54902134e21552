"""How the command line ends: exit codes, errors of one or two lines, Ctrl-C."""

import contextlib
import json
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

_CHECK = "check the path, its permissions and the free space"


class Exit(IntEnum):
    """What a process of ours ends with."""

    DONE = 0
    CHECK_FAILED = 1
    WRONG_USE = 2
    BAD_DATA = 3
    INTERRUPTED = 130


def run(app: Callable[..., Any]) -> None:
    """Run a Typer app; every error becomes an exit code and a text on stderr, with a traceback after ``--debug``."""
    signal.signal(signal.SIGTERM, _as_ctrl_c)  # what cron, systemd and Kubernetes send
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


def _as_ctrl_c(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _explain(error: BaseException) -> int:
    """Print what went wrong to stderr and return the exit code; what is a defect of ours keeps its traceback."""
    import duckdb

    match error:
        case typer.Exit():
            return error.exit_code
        case typer.TyperException() if not error.format_message():  # the help was printed
            return Exit.WRONG_USE
        case typer.TyperException():
            return _say(error.format_message(), "see duckprop --help, or --help after a command", Exit.WRONG_USE)
        case KeyboardInterrupt() | typer.Abort() | duckdb.InterruptException():
            return _say("interrupted", "nothing is half written: run the same command again", Exit.INTERRUPTED)
        case DuckpropError():
            return _say(error.fact, error.remedy, error.exit_code)
        case duckdb.Error():
            return _say(*from_duckdb(str(error)))
        case OSError() if error.errno is not None:
            place = f"{error.filename}: " if error.filename else ""
            return _say(f"{place}{error.strerror}", _CHECK, Exit.BAD_DATA)
        case SystemExit():  # Typer ends so when whoever reads us has gone
            return Exit.DONE if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    if "--debug" not in sys.argv:
        traceback.print_exception(error)
    return _say(f"{type(error).__name__}: {error}", "this is a defect of duckprop: please report it", Exit.BAD_DATA)


def _say(fact: str, remedy: str, code: int) -> int:
    print(f"error: {fact}", *([remedy] if remedy else []), sep="\n", file=sys.stderr)
    return code


def from_duckdb(text: str) -> tuple[str, str, int]:
    """Return fact, remedy and exit code; an error of ours that came through a SQL function is as it was raised."""
    with contextlib.suppress(ValueError, KeyError, TypeError):  # some errors of the operating system are JSON
        text = f"IO Error: {json.loads(text)['exception_message']}"
    ours = re.search(r"executing the UDF: (DataError|ModelError|UsageError): (.*)", text, re.DOTALL)
    fact, _, rest = (ours.group(2) if ours else text).strip().partition("\n")
    code = Exit.WRONG_USE if ours and ours.group(1) == "UsageError" else Exit.BAD_DATA
    return fact, rest.strip("\n") or _remedy(fact), code


def _remedy(fact: str) -> str:
    if "lock" in fact:
        return "another process has the database open: wait for it, or open it with --read-only in both"
    return _CHECK if fact.startswith("IO Error") else ""


@contextlib.contextmanager
def interruptible(con: Any) -> Iterator[None]:
    """Let Ctrl-C stop the query that runs on a connection; DuckDB reports one inside a UDF as another error."""
    pressed = False

    def stop(_number: int, _frame: Any) -> None:
        nonlocal pressed
        pressed = True
        con.interrupt()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception:
        if pressed:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        raise KeyboardInterrupt
