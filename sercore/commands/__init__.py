"""The commands of the command line, a module for each part of the work. Only they print.

Each module has `add(commands)`, which registers its commands; a command takes its arguments and returns the exit
status: 0, or 1 where it ran and something in it failed. It raises an error for wrong arguments; `cli.main` prints it.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sercore import files


def progress(what: str) -> Callable[..., None]:
    """A callable that draws a bar for (done, total, stage) in a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def draw(done: int, total: int, stage: str = "") -> None:
        key = stage or what
        if key not in bars:
            bars[key] = tqdm(total=total, desc=key, leave=False, disable=None)
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


def path(text: str) -> Path:
    """A path of the command line: a relative one is the caller's, relative to the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, not an empty text")
    return Path(text).expanduser().absolute()


def path_or_name(text: str) -> str:
    """A folder or file of the caller's where there is one, else the name of something elsewhere."""
    return str(path(text)) if text and path(text).exists() else text


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[str], float]:
    """A reader of numbers of the command line: finite, of `kind`, from `low` (`above`: more than that) to `high`."""
    limits = f"more than {low:g}" if above else f"{low:g} or more"
    limits += "" if high == math.inf else f", {high:g} or less"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value <= high or math.isinf(value):
            raise argparse.ArgumentTypeError(f"expected {limits}, not {text}")
        return value

    return read
