"""A real terminal for tests: a process in a pty, what it prints, and keys typed into it."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|[\r\x08]")
LIMIT = 60
"""Seconds after which a test gives up waiting; nothing is measured."""


class Terminal:
    """``duckprop sql`` with these arguments, in a folder, ended when the block ends."""

    def __init__(self, *arguments: object, folder: Path | None = None, **environment: str) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 100))
        chosen = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "duckprop", "sql", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **chosen},
            preexec_fn=_own_terminal, cwd=folder,
        )  # fmt: skip
        os.close(slave)
        self._unread = ""
        self.text = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        """Press keys: "\\r" is Enter, "\\x03" Ctrl-C."""
        os.write(self._master, keys.encode())

    def until(self, text: str) -> str:
        """Wait until a text appears that has not been waited for yet; return what came before it."""
        deadline = time.monotonic() + LIMIT
        while text not in self._unread:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"no {text!r} in what came after what was last waited for:\n{self._unread}")
        before, _, self._unread = self._unread.partition(text)
        return before

    def ended(self) -> int:
        """Wait for the process to end by itself; return its exit code."""
        while self._read():
            pass
        return self.process.wait(LIMIT)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], LIMIT)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # a closed terminal
            data = os.read(self._master, 65536)
        text = _CODES.sub("", data.decode(errors="replace"))
        self._unread += text
        self.text += text
        return bool(data)


def _own_terminal() -> None:
    """Make the pty the process's own, so that Ctrl-C typed into it is a signal."""
    import fcntl

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def history(state: Path) -> str:
    """Return what a session under this state folder has remembered."""
    return (state / "duckprop" / "sql-history").read_text()
