"""Draw docs/terminal.svg: a real session of ``duckprop sql``, typed here and seen through a terminal emulator.

``python docs/build_terminal.py duckprop-demo/journey.duckdb duckprop-demo/models`` after ``duckprop demo``. Needs pyte.
"""

import fcntl
import html
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pyte

LINES, COLUMNS = 37, 104
TARGET = Path(__file__).with_name("terminal.svg")
SESSION = (
    "\\dm\r",
    "SELECT household_id,\r",
    "unnest(propensity_topk(features, 3, exclude := ['SOFT DRINKS']), recursive := true)\r",
    "FROM customers WHERE household_id IN (1, 1000);\r",
    "SELECT avg(propensity(features, 'COFEE')) FROM customers;\r",
    "SELECT household_id, propensity(features, 'pizz",
    "\t",
    ") AS pizza\r",
    "FROM customers ORDER BY pizza DESC LIMIT 3;\r",
    "SELECT household_id, propensities(features, ['BEEF', 'COFF",
)
"""What is typed; the last is left with its completions open."""

# --- the session -----------------------------------------------------------------------------------------------------


def screen_of(database: Path, models: Path) -> pyte.Screen:
    """Type the session and return the screen as it is then."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = ["sql", "--database", database.name, "--registry", str(models.resolve()), "--read-only"]
    with tempfile.TemporaryDirectory() as state:
        colours = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_COLOR_DEPTH": "DEPTH_24_BIT"}
        process = subprocess.Popen(
            [sys.executable, "-m", "duckprop", *command],
            stdin=slave, stdout=slave, stderr=slave, cwd=database.parent,
            env={**os.environ, **colours, "XDG_STATE_HOME": state}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        settle(master, stream, screen, 5)
        for keys in SESSION:
            os.write(master, keys.encode())
            settle(master, stream, screen, 2.5)
        process.terminate()
        process.wait()
        os.close(master)
    return screen


def settle(master: int, stream: pyte.ByteStream, screen: pyte.Screen, seconds: float) -> None:
    """Read what comes until nothing has come for some seconds; answer where the cursor is when asked."""
    while select.select([master], [], [], seconds)[0]:
        data = os.read(master, 65536)
        stream.feed(data)
        if b"\x1b[6n" in data:
            os.write(master, f"\x1b[{screen.cursor.y + 1};{screen.cursor.x + 1}R".encode())


# --- the picture -----------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, MARGIN, BAR = 8.4, 19.0, 16.0, 34.0
PLAIN, GROUND = "#d8dee9", "#1e222a"
COLOURS = {
    "black": "#3b4252", "red": "#e5707a", "green": "#a3be8c", "brown": "#ebcb8b", "blue": "#7aa7e0",
    "magenta": "#c695c6", "cyan": "#88c0d0", "white": "#e5e9f0", "brightblack": "#7b88a1",
}  # fmt: skip
BUTTONS = ("red", "brown", "green")


def colour(name: str, default: str) -> str:
    """Return a colour of the emulator as SVG writes it."""
    if name == "default":
        return default
    return COLOURS.get(name) or COLOURS.get(name.removeprefix("bright")) or f"#{name}"


def runs(screen: pyte.Screen, y: int) -> Iterator[tuple[int, str, str, str, bool]]:
    """Yield (column, text, colour, background, is bold) of the pieces of a line that look alike."""
    cells = [screen.buffer[y][x] for x in range(COLUMNS)]

    def look(at: int) -> tuple[str, str, bool]:
        cell = cells[at]
        front, back = colour(cell.fg, PLAIN), colour(cell.bg, GROUND)
        return (back, front, cell.bold) if cell.reverse else (front, back, cell.bold)

    for (front, back, bold), found in groupby(range(COLUMNS), look):
        places = list(found)
        yield places[0], "".join(cells[at].data or " " for at in places), front, back, bold


def drawn(screen: pyte.Screen) -> str:
    """Return the screen as an SVG that needs nothing else."""
    width, height = COLUMNS * WIDTH + 2 * MARGIN, LINES * HEIGHT + BAR + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        ' aria-label="A session of duckprop sql with completion of categories">',
        f'<rect width="{width:g}" height="{height:g}" rx="9" fill="{GROUND}"/>',
        *(f'<circle cx="{22 + 20 * at}" cy="18" r="6" fill="{COLOURS[name]}"/>' for at, name in enumerate(BUTTONS)),
        f'<text x="{width / 2:g}" y="23" text-anchor="middle" fill="#7b88a1" font-family="sans-serif" font-size="13">'
        "duckprop sql</text>",
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14"'
        ' xml:space="preserve">',
    ]
    for y in range(LINES):
        for at, text, front, back, bold in runs(screen, y):
            parts += piece(MARGIN + at * WIDTH, BAR + y * HEIGHT, text, (front, back, bold))
    return "\n".join([*parts, "</g>", "</svg>", ""])


def piece(x: float, y: float, text: str, look: tuple[str, str, bool]) -> Iterator[str]:
    """Yield the background and the text of a piece; the text is stretched to its cells, whatever the font."""
    front, back, bold = look
    if back != GROUND:
        size = f'width="{len(text) * WIDTH + 0.3:.1f}" height="{HEIGHT + 0.3:.1f}"'
        yield f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{back}"/>'
    weight = ' font-weight="bold"' if bold else ""
    for found in re.finditer(r"\S+", text):
        yield (
            f'<text x="{x + found.start() * WIDTH:.1f}" y="{y + HEIGHT * 0.74:.1f}" fill="{front}"{weight}'
            f' textLength="{len(found[0]) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs">{html.escape(found[0])}</text>'
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/build_terminal.py DATABASE FOLDER_OF_MODELS")
    TARGET.write_text(drawn(screen_of(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))), encoding="utf-8")
