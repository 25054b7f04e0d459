"""Durations of audio files from their headers, without decoding: a few hundred bytes a file.

A plain RIFF file of PCM or float samples is read here (two system calls); anything else goes through libsndfile.
"""

import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from sercore.corpora.corpus import Finding

SAMPLE_RATE = 16_000  # of both releases, nearly everywhere [Hz]
THREADS = 8  # a network disk serves eight requests as fast as one
BEGINNING = 512  # bytes read at once; the sound of nearly every file begins within them
PLAIN_FORMATS = (1, 3)  # integer and float samples
STREAMED = 0x7FFF_0000  # programs that do not know the length of a chunk write at least this [bytes]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Header(NamedTuple):
    """Format and duration of a file's sound."""

    sample_rate: int  # Hz
    channels: int
    seconds: float


def read_header(path: Path | str) -> Header:
    """The header of one audio file. Raises ValueError, saying what is wrong, for a broken file, and OSError."""
    with open(path, "rb", buffering=0) as audio:  # noqa: PTH123 -- twice as fast as Path.open
        beginning = audio.read(BEGINNING)
        size = audio.seek(0, 2)
        if size == 0:
            raise ValueError("the file is empty")
        if beginning[:4] != b"RIFF" or beginning[8:12] != b"WAVE":
            return _read_other(path)
        position, block, rate, channels = 12, 0, 0, 0
        while position + 8 <= size:
            if position + 24 > len(beginning):
                audio.seek(position)
                chunk = audio.read(24)
            else:
                chunk = beginning[position : position + 24]
            name, length = struct.unpack("<4sI", chunk[:8])
            if name == b"fmt " and len(chunk) == 24:
                kind, channels, rate, _, block, _ = struct.unpack("<HHIIHH", chunk[8:24])
                if kind not in PLAIN_FORMATS:
                    return _read_other(path)
            elif name == b"data":
                there = size - position - 8
                if not rate or not block or length >= STREAMED or (length == 0 and there > 1):
                    return _read_other(path)
                if length > there:
                    raise ValueError(f"cut off: the header promises {length} bytes of sound, {there} are there")
                return _check(Header(rate, channels, length // block / rate))
            position += 8 + length + length % 2
    raise ValueError("cut off: the file ends before its sound begins")


def _read_other(path: Path | str) -> Header:
    import soundfile  # as in features.audio

    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not an audio file that can be read ({error.error_string.strip()})") from None
    return _check(Header(info.samplerate, info.channels, info.frames / info.samplerate))


def _check(header: Header) -> Header:
    if header.seconds <= 0:
        raise ValueError("no samples in it")
    return header


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each of `items`, in their order, by THREADS threads with one part of the items each."""
    share = max(1, -(-len(items) // THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(
            lambda start: [function(item) for item in items[start : start + share]], range(0, len(items), share)
        )
        return [result for part in parts for result in part]


def read_headers(root: Path, names: Sequence[str]) -> pd.DataFrame:
    """Columns sample_rate [Hz], channels and seconds of the files `names` below `root`, in their order.

    Raises ValueError naming the first files that cannot be read, and why.
    """
    if not len(names):
        return pd.DataFrame(columns=list(Header._fields), dtype=float)
    headers = in_threads(lambda name: _attempt(f"{root}/{name}"), names)
    broken = [f"{name}: {header}" for name, header in zip(names, headers, strict=True) if isinstance(header, str)]
    if broken:
        listed = "\n  ".join(broken[:5])
        raise ValueError(
            f"{len(broken)} of {len(names)} audio files below {root} cannot be read:\n  {listed}\n"
            "unpack or copy them again; or delete them, and they count as absent"
        )
    return pd.DataFrame(headers, columns=list(Header._fields))


def _attempt(path: str) -> Header | str:
    try:
        return read_header(path)
    except FileNotFoundError:
        return "no such file (a broken link?)"
    except (OSError, ValueError) as error:
        return str(error)


def unusual(names: Sequence[str], headers: pd.DataFrame) -> Finding:
    """The files that are not mono at 16 kHz, which are mixed and resampled when they are decoded."""
    odd = headers.index[(headers["sample_rate"] != SAMPLE_RATE) | (headers["channels"] != 1)]
    return Finding.of(
        "audio that is not 16 kHz mono",
        (f"{names[i]} ({headers.at[i, 'sample_rate']} Hz, {headers.at[i, 'channels']} channels)" for i in odd),
        "kept; mixed to one channel and resampled when it is decoded",
    )
