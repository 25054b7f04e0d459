"""The commands of the command line, a module for each part of the work. Only they print.

Each module has `add(commands)`, which registers its commands; a command takes its arguments and returns the exit
status: 0, or 1 where it ran and something in it failed. It raises an error for wrong arguments; `cli.main` prints it.
"""

import argparse
import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sercore import files

KEPT = "\n\t"
DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in KEPT} | {
    code: f"\\u{code:04x}" for code in DIRECTIONS
}
"""Characters that a terminal obeys, or that reverse what is read -> what is printed in their place."""


class Escaping:
    """A stream of text on which nothing that a corpus holds can move the cursor, clear lines or reverse letters.

    `unescaped` is the stream itself, for what the commands draw.
    """

    def __init__(self, stream: Any) -> None:
        self.unescaped = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)

    def write(self, text: str) -> int:
        """Write `text` with its ESCAPES; as many characters as it has."""
        self.unescaped.write(text.translate(ESCAPES))
        return len(text)


@contextlib.contextmanager
def escaped() -> Iterator[None]:
    """Everything that is printed or logged while the block runs goes through `Escaping` streams."""
    before = sys.stderr
    named = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    handlers = {handler for logger in (logging.root, *named) for handler in logger.handlers}
    logged = [each for each in handlers if isinstance(each, logging.StreamHandler) and each.stream is before]
    with contextlib.redirect_stdout(Escaping(sys.stdout)), contextlib.redirect_stderr(Escaping(before)):
        for handler in logged:
            handler.setStream(sys.stderr)
        try:
            yield
        finally:
            for handler in logged:
                handler.setStream(before)


def unescaped(stream: Any) -> Any:
    """The stream below `stream`, for a bar or the cleared screen."""
    return getattr(stream, "unescaped", stream)


def progress(what: str) -> Callable[..., None]:
    """A callable that draws a bar for (done, total, stage) in a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def draw(done: int, total: int, stage: str = "") -> None:
        key = stage or what
        if key not in bars:
            bars[key] = tqdm(
                total=total, desc=key.translate(ESCAPES), leave=False, disable=None, file=unescaped(sys.stderr)
            )
        bars[key].update(done - bars[key].n)
        if done >= total:
            bars[key].close()

    return draw


def refuse_overwriting(output: Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Raise ValueError where the file `output` is one of the `inputs`, or a link to it."""
    for path in inputs:
        if output is None or path is None:
            continue
        given = files.resolve(path)
        if given.exists() and output.exists() and output.samefile(given):
            raise ValueError(f"the output {output} is what is to be read; name another file")


def seconds(start: float) -> str:
    """The time since `start`, a value of time.monotonic(), as text."""
    return f"{time.monotonic() - start:.1f} s"


def megabytes(size: int) -> str:
    """A size in bytes as text."""
    return f"{size / 1e6:,.1f} MB"


def path(text: str) -> Path:
    """A path of the command line: a relative one is the caller's, relative to the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, not an empty text")
    return Path(text).expanduser().absolute()


def path_or_name(text: str) -> str:
    """A folder or file of the caller's where there is one, else the name of something elsewhere."""
    return str(path(text)) if text and path(text).exists() else text


MOST_WORKERS = 10_000
DAY, YEAR = 86_400.0, 31_536_000.0  # seconds


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[str], float]:
    """A reader of numbers of the command line: finite, of `kind`, from `low` (`above`: more than that) to `high`."""
    limits = f"more than {low:g}" if above else f"{low:g} or more"
    limits += "" if high == math.inf else f", {high:,.12g} or less"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value <= high or math.isinf(value):
            raise argparse.ArgumentTypeError(f"expected {limits}, not {text}")
        return value

    return read
