"""Lines on the screen, or in a pager where they are too many for it."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

_PROMPT = 3
"""Lines of the screen that the prompt and the toolbar take."""


def show(lines: Sequence[str], use_pager: bool = True) -> None:
    """Print lines to stdout; more than the screen holds go through $PAGER, else less."""
    text = "\n".join(lines) + "\n"
    command = pager() if use_pager and sys.stdout.isatty() and len(lines) > _lines() - _PROMPT else None
    if not command or not _page(command, text):
        sys.stdout.write(text)
        sys.stdout.flush()


def pager() -> list[str] | None:
    """Return the pager's command line, None where there is none: lines are cut and not wrapped, colours are kept."""
    named = os.environ.get("PAGER", "").strip()
    with contextlib.suppress(ValueError):
        words = shlex.split(named)
        if words and shutil.which(words[0]):
            return words
    return ["less", "-SRFX"] if shutil.which("less") else None


def _lines() -> int:
    return shutil.get_terminal_size().lines


def _page(command: list[str], text: str) -> bool:
    """Return whether the pager ran; Ctrl-C belongs to it as long as it does."""
    sys.stdout.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        environment = {"LESS": "SRFX", "LESSSECURE": "1", **os.environ}  # what is pasted meanwhile runs nothing
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=environment) as process:
            with contextlib.suppress(BrokenPipeError):  # whoever reads has seen enough
                assert process.stdin is not None
                process.stdin.write(text)
                process.stdin.close()
            process.wait()
        return True
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
