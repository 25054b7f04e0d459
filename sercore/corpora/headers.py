"""Durations of many audio files from their headers, without decoding: a few hundred bytes a file."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pandas as pd

from sercore.corpora.corpus import Finding
from sercore.corpora.sound import Header, read_header

SAMPLE_RATE = 16_000  # of both releases, nearly everywhere [Hz]
SHOWN = 20  # broken files that are named
THREADS = 8  # a network disk serves eight requests as fast as one
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each of `items`, in their order, by THREADS threads with one part of the items each."""
    share = max(1, -(-len(items) // THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(
            lambda start: [function(item) for item in items[start : start + share]], range(0, len(items), share)
        )
        return [result for part in parts for result in part]


def read_headers(root: Path, names: pd.Series | Sequence[str]) -> pd.DataFrame:
    """Columns sample_rate [Hz], channels and seconds of the files `names` below `root`, in their order.

    Raises ValueError naming the first files that cannot be read, and why.
    """
    if not len(names):
        return pd.DataFrame(columns=list(Header._fields), dtype=float)
    places, files = pd.factorize(pd.Series(names, dtype="str"))
    headers = in_threads(lambda name: _attempt(f"{root}/{name}"), files)
    broken = [f"{name}: {header}" for name, header in zip(files, headers, strict=True) if isinstance(header, str)]
    if broken:
        listed = "\n  ".join(broken[:SHOWN])
        more = f"\n  and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise ValueError(
            f"{len(broken)} of {len(files)} audio files below {root} cannot be read:\n  {listed}{more}\n"
            "unpack or copy them again; or delete them, and they count as absent"
        )
    table = pd.DataFrame(headers, columns=list(Header._fields))
    return table if len(files) == len(names) else table.iloc[places].reset_index(drop=True)


def _attempt(path: str) -> Header | str:
    try:
        return read_header(path)
    except FileNotFoundError:
        return "no such file (a broken link?)"
    except (OSError, ValueError) as error:
        return str(error)


def unusual(names: pd.Series | Sequence[str], headers: pd.DataFrame) -> Finding:
    """The files that are not mono at 16 kHz, which are mixed and resampled when they are decoded."""
    odd = headers[((headers["sample_rate"] != SAMPLE_RATE) | (headers["channels"] != 1)).to_numpy()]
    heard = " (" + odd["sample_rate"].astype("str") + " Hz, " + odd["channels"].astype("str") + " channels)"
    return Finding.of(
        "audio that is not 16 kHz mono",
        pd.Series(names, dtype="str").iloc[odd.index] + heard,
        "kept; mixed to one channel and resampled when it is decoded",
    )
