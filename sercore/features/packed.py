"""Rows of many utterances in one memory-mapped array, in a folder that is named by what is in it.

A folder holds the rows of all utterances one after the other and an index of who has which. Its name ends in a hash
of the content and the settings that the rows were computed from. It appears whole or not at all, and what a disk has
changed since is noticed: a process compares the files with their checksums when it opens them for the first time.
"""

import hashlib
import json
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np
import pandas as pd

from sercore import files
from sercore.schema import first

ROWS = "rows.npy"
INDEX = "index.parquet"  # utterance, digest of its content, start, count
ABOUT = "about.json"  # settings, size and checksums; written last of the three
CHECKSUMS = "checksums"  # in ABOUT: of ROWS and INDEX
DAMAGED = "damaged"  # folder of the entries that were set aside
LOCK = ".lock"
FULL_SCALE = 32_767  # of a sample in int16
LEAST_SAMPLES = 400  # span of one vector of a speech encoder: 25 ms at 16 kHz

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while something is computed, some hundred times in all."""


def digest(content: bytes, size: int = 16) -> str:
    """Hash of `content`, `size` bytes of it in hexadecimal."""
    return hashlib.blake2b(content, digest_size=size).hexdigest()


@dataclass(frozen=True, eq=False)
class Packed:
    """Rows of all utterances of a corpus, one utterance after the other, and where each begins."""

    array: np.ndarray  # (rows, ...), memory-mapped, read-only
    start: np.ndarray  # (utterances,) int64: first row
    count: np.ndarray  # (utterances,) int64: rows
    utterances: pd.Index  # ids, sorted
    digests: tuple[str, ...]  # of what each utterance's rows were computed from
    key: str  # name of the folder: of content and settings

    def positions(self, utterances: Iterable[str]) -> np.ndarray:
        """Place of each of `utterances` in `start` and `count`. Raises ValueError for one that is not there."""
        wanted = pd.Index(utterances, dtype=self.utterances.dtype)
        found = self.utterances.get_indexer(wanted)
        if (found < 0).any():
            raise ValueError(
                f"{(found < 0).sum()} of {len(wanted)} utterances are not in {self.key}, {first(wanted[found < 0])}; "
                "expected features that were computed from the same corpus"
            )
        return found

    def rows(self, position: int) -> np.ndarray:
        """The rows of the utterance at `position`."""
        return self.array[self.start[position] : self.start[position] + self.count[position]]


class Frames(Packed):
    """Log-mel frames: array (frames, mels) float16, dB."""


class Embeddings(Packed):
    """Text embeddings: array (utterances, width) float32, in the order of `utterances`."""


class Tokens(Packed):
    """Token ids: array (tokens,) int32, each utterance's with its two special tokens."""


class Waveforms(Packed):
    """Sound: array (samples,) int16, as `samples` makes it."""


def samples(waveform: np.ndarray) -> np.ndarray:
    """`waveform` (samples,), floats, as int16 with FULL_SCALE for 1; what is louder is clipped.

    One too short for an encoder's first vector is followed by silence until it has LEAST_SAMPLES.
    """
    rounded = np.rint(FULL_SCALE * np.clip(waveform, -1, 1)).astype(np.int16)
    return np.pad(rounded, (0, max(0, LEAST_SAMPLES - len(rounded))))


Kind = TypeVar("Kind", bound=Packed)


@dataclass(frozen=True, kw_only=True)
class CacheEntry(Generic[Kind]):
    """Rows that are wanted, and how they are computed."""

    kind: type[Kind]
    name: str  # of the folder, before the key
    dtype: str
    settings: dict[str, Any]  # all that the rows depend on besides the content, the code's version included
    digests: dict[str, str]  # utterance -> digest of the content that its rows are computed from
    compute: Callable[[Sequence[str]], Iterable[np.ndarray | ValueError]]
    """Utterances -> the rows of each, in their order; or, in its place, what is wrong with one."""

    def folder_name(self, utterances: Iterable[str]) -> str:
        """Name of the folder that holds the rows of `utterances`."""
        content = sorted((utterance, self.digests[utterance]) for utterance in utterances)
        return f"{self.name}-{digest(json.dumps([self.settings, content], sort_keys=True).encode(), 6)}"


def fetch(task: CacheEntry[Kind], folder: Path, wait: Callable[[], None]) -> Kind:
    """The rows of `task`, from a folder below `folder`, computed where they are not there.

    Of several processes one computes and the others `wait()`, then read. An entry that is damaged is named in a
    warning, set aside and computed again. Raises ValueError naming what is wrong with the utterances that cannot be
    computed, after the rows of the others were kept for the next time.
    """
    place = folder / task.folder_name(task.digests)
    found = _open(task.kind, place)
    if found is None:
        with files.lock(folder / LOCK, wait) as held:
            found = _open(task.kind, place, set_aside=True)
            if found is None:
                if held:
                    files.remove_leftovers(folder)
                shutil.rmtree(place, ignore_errors=True)  # where it is not whole: a copy that was interrupted
                _write(task, place)
                found = _load(task.kind, place)
    return found


def find(task: CacheEntry[Kind], folder: Path) -> Kind | None:
    """The rows of `task` where they are in a folder below `folder` already; nothing is computed or waited for."""
    return _open(task.kind, folder / task.folder_name(task.digests))


def _open(kind: type[Kind], place: Path, set_aside: bool = False) -> Kind | None:
    """The entry in `place`; None where there is none, or not all of it, or of a version without checksums.

    None also where it is damaged; `set_aside`, with the lock held, moves it away then and warns.
    """
    if not all((place / name).is_file() for name in (ROWS, INDEX, ABOUT)):
        return None
    try:
        about = files.read_json(place / ABOUT)
        if (place / ROWS).stat().st_size != about["bytes"]:
            raise ValueError(f"{ROWS} is not as long as it was")
        if CHECKSUMS not in about:
            return None
        for name in (ROWS, INDEX):
            if _checksum(place / name) != about[CHECKSUMS][name]:
                raise ValueError(f"the content of {name} is not what was written")
        return _load(kind, place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if set_aside:
            _set_aside(place, str(error) if isinstance(error, ValueError | OSError) else f"{ABOUT} has no {error}")
        return None


def _set_aside(place: Path, problem: str) -> None:
    """Move the damaged entry in `place` to the folder DAMAGED beside it, in place of an earlier one, and warn."""
    aside = place.parent / DAMAGED / place.name
    aside.parent.mkdir(exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    warnings.warn(
        f"the cache entry {place} is damaged ({problem}); it is computed again, and what was there is in {aside}: look "
        "for errors of the disk",
        stacklevel=2,
    )


_CHECKSUMS: dict[tuple[Path, int, int, int], str] = {}
"""Path, size, time and number of a file -> its checksum: a process reads each file once for it."""


def _checksum(path: Path) -> str:
    """CRC-32 of the file `path` in hexadecimal: a gigabyte a second, and one damaged file in 4e9 goes unnoticed."""
    held = path.stat()
    key = (path, held.st_size, held.st_mtime_ns, held.st_ino)
    if key not in _CHECKSUMS:
        value = 0
        with path.open("rb") as content:
            while block := content.read(1 << 20):
                value = zlib.crc32(block, value)
        _CHECKSUMS[key] = f"{value:08x}"
    return _CHECKSUMS[key]


def _load(kind: type[Kind], place: Path) -> Kind:
    index = pd.read_parquet(place / INDEX)
    return kind(
        array=np.load(place / ROWS, mmap_mode="r"),
        start=index["start"].to_numpy(),
        count=index["count"].to_numpy(),
        utterances=pd.Index(index["utterance"]),
        digests=tuple(index["digest"]),
        key=place.name,
    )


def stored(kind: type[Kind], folder: Path, name: str) -> Iterator[tuple[dict[str, Any], Kind]]:
    """The whole entries `name`-... below `folder`, each after the settings that its rows were computed with."""
    for about in sorted(folder.glob(f"{name}-*/{ABOUT}")):
        packed = _open(kind, about.parent)
        if packed is not None:
            yield files.read_json(about)["settings"], packed


def _write(task: CacheEntry, place: Path) -> None:
    """Compute what no other folder of the same settings holds, and write it all to `place`, a few rows at a time."""
    known = _known(task, place.parent)
    wanted = sorted(task.digests.items())
    fresh = iter(task.compute([utterance for utterance, content in wanted if content not in known]))
    index: list[tuple[str, str, int, int]] = []  # columns of INDEX
    broken: list[ValueError] = []
    total, shape = 0, ()
    with files.atomic_folder(place) as temporary:
        with (temporary / ROWS).open("wb") as out:
            for utterance, content in wanted:
                rows = known[content]() if content in known else next(fresh)
                if isinstance(rows, ValueError):
                    broken.append(rows)
                    continue
                if not index:
                    shape = rows.shape[1:]
                    _write_header(out, task.dtype, (0, *shape))  # the final one is as long and comes in its place
                out.write(np.ascontiguousarray(rows, task.dtype).data)
                index.append((utterance, content, total, len(rows)))
                total += len(rows)
            size = out.tell()
            out.seek(0)
            _write_header(out, task.dtype, (total, *shape))
        files.write_table(temporary / INDEX, pd.DataFrame(index, columns=["utterance", "digest", "start", "count"]))
        checksums = {name: _checksum(temporary / name) for name in (ROWS, INDEX)}
        files.write_json(temporary / ABOUT, {"settings": task.settings, "bytes": size, CHECKSUMS: checksums})
        if broken:
            if index:
                files.move_folder(temporary, place.with_name(task.folder_name(row[0] for row in index)))
            listed = "\n  ".join(map(str, broken[:5]))
            raise type(broken[0])(f"{len(broken)} of {len(wanted)} utterances cannot be used:\n  {listed}")


def _write_header(out: BinaryIO, dtype: str, shape: tuple[int, ...]) -> None:
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(out, {"descr": description, "fortran_order": False, "shape": shape})


def _known(task: CacheEntry, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Digest of a content -> the rows that it gave, from all folders of the task's settings."""
    known: dict[str, Callable[[], np.ndarray]] = {}
    for about in sorted(folder.glob(f"{task.name}-*/{ABOUT}")):
        content = files.find_json(about)
        if content is None or content.get("settings") == task.settings:
            packed = _open(task.kind, about.parent, set_aside=True)
            if packed is not None:
                known |= {content: partial(packed.rows, row) for row, content in enumerate(packed.digests)}
    return known
