"""Recordings to be predicted: found among files, folders and tables, and cut into windows."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from torch import Tensor

from sercore import features
from sercore.schema import first
from sercore.trained import place

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64", ".rf64", ".sph")
"""What counts as a recording in a folder; a file that is named itself may be anything that libsndfile reads."""
RAW = ".raw"
SPEECH_RATE = 16_000  # that a speech recogniser listens at [Hz]
TABLES = (".csv", ".parquet")
FILE, TRANSCRIPT = "file", "transcript"  # columns of a table of recordings, as in a corpus's


class Recording(NamedTuple):
    """A file to be predicted."""

    path: Path
    text: str | None  # what is said in it; None: not known


def find(given: Iterable[str | Path]) -> list[Recording]:
    """The recordings that `given` names, in its order and each once: files, folders (all below them), and tables.

    A table (.csv, .parquet) has a column `file`, relative to the table's folder, and may have `transcript`; an empty
    cell of it is not known. Hidden files of a folder are left out. What is wrong with a single file shows when it is
    read. Raises FileNotFoundError for a folder without recordings and an absent table, ValueError for another table.
    """
    found: dict[Path, Recording] = {}
    for path in map(place, given):
        if path.suffix.lower() in TABLES:
            parts = _of_table(path)
        elif path.is_dir():
            parts = _of_folder(path)
        else:
            parts = [Recording(path, None)]
        for recording in parts:
            found.setdefault(recording.path, recording)
    return list(found.values())


def windows(samples: int, window: int) -> list[tuple[int, int]]:
    """First sample and end of each window of `window` samples in a recording of `samples`.

    They overlap by half; the last one ends where the recording does, and overlaps more. What is no longer than a
    window is one, as long as it is.

    >>> windows(25, 10)
    [(0, 10), (5, 15), (10, 20), (15, 25)]
    >>> windows(17, 10)
    [(0, 10), (5, 15), (7, 17)]
    """
    if window < 2:
        raise ValueError(f"a window of {window} samples; expected at least 2")
    if samples <= window:
        return [(0, samples)]
    starts = [*range(0, samples - window, window // 2), samples - window]
    return [(start, start + window) for start in starts]


def _of_folder(folder: Path) -> list[Recording]:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise FileNotFoundError(f"no recording in {folder} or below it; expected files that end in {first(SUFFIXES)}")
    return [Recording(path, None) for path in paths]


def _of_table(path: Path) -> list[Recording]:
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}; expected a .csv or .parquet file with a column '{FILE}'")
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path, dtype="str")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    if FILE not in table or table[FILE].isna().any():
        found = f"columns {', '.join(map(str, table.columns))}" if FILE not in table else "rows without one"
        raise ValueError(f"{path}: expected a column '{FILE}' (and '{TRANSCRIPT}' where it is known), found {found}")
    texts = table[TRANSCRIPT] if TRANSCRIPT in table else pd.Series(None, index=table.index, dtype="object")
    return [
        Recording(path.parent / file, None if pd.isna(text) else str(text))
        for file, text in zip(table[FILE], texts, strict=True)
    ]


def sound(path: Path, sample_rate: int = SPEECH_RATE) -> Tensor:
    """The sound of `path` (samples,) at `sample_rate` [Hz], as features.read_audio. Raises features.AudioError."""
    if path.suffix.lower() == RAW:
        raise features.AudioError(f"{path}: headerless, so its rate and width are not known; convert it to .wav")
    return features.read_audio(path, sample_rate)


def problem(error: features.AudioError, path: Path) -> str:
    """What is wrong with `path`, of an error that also names it and what to do with a corpus's file."""
    return str(error).removeprefix(f"{path}: ").partition("; ")[0]
