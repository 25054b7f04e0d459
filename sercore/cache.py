"""Features, computed once: the key is a hash of the content and the settings, never "the file exists".

Each kind of feature of a corpus lies in a folder of its own, as `iemocap/log-mel-0f3a5e9b12c4/`: the rows of all
utterances one after the other in one array, and an index of who has which. A folder appears whole or not at all, so
what a killed process leaves is never read. Any folder may be deleted: it is computed again when it is asked for.
"""

import hashlib
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from sercore import files
from sercore.config import FeatureSettings, TextSettings
from sercore.corpora import Corpus
from sercore.features import AudioError, TextEncoder, encoder_fingerprint, log_mel, read_audio
from sercore.schema import first

CACHE_VERSION = 1  # raise it when features.py gives other numbers for the same content and settings
ROWS = "rows.npy"
INDEX = "index.parquet"  # utterance, digest of its content, start, count
ABOUT = "about.json"  # settings and size; written last of the three
READERS = 4  # threads that hash audio: the disk is what they wait for
UNSETTLED = 2_000_000_000  # a file changed so shortly ago may change again without its time showing it [ns]

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while something is computed, some hundred times in all."""
Item = TypeVar("Item")


@dataclass(frozen=True)
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
    """Token ids: array (tokens,) int32, each utterance's with its two marks."""


Kind = TypeVar("Kind", bound=Packed)


@dataclass(frozen=True)
class _Task(Generic[Kind]):
    """Features of a corpus that are wanted, and how they are computed."""

    kind: type[Kind]
    name: str
    dtype: str
    folder: Path
    settings: dict[str, Any]  # all that the rows depend on besides the content
    digests: dict[str, str]  # utterance -> digest of its content
    compute: Callable[[Sequence[str]], Iterable[np.ndarray | AudioError]]  # utterances -> the rows of each, in order
    announce: Callable[[str], None]

    def place(self, utterances: Iterable[str]) -> Path:
        """Folder of the features of `utterances`."""
        content = sorted((utterance, self.digests[utterance]) for utterance in utterances)
        key = _digest(json.dumps([CACHE_VERSION, self.settings, content], sort_keys=True).encode(), 6)
        return self.folder / f"{self.name}-{key}"


def log_mels(corpus: Corpus, settings: FeatureSettings, folder: str | Path, progress: Progress | None = None) -> Frames:
    """Log-mel frames of every utterance of `corpus`, from the cache below `folder` or computed into it.

    Keyed by the content of the audio and by `settings`; a file that is touched is read again, but only one that
    changed is computed again. Uses as many threads as torch may; the bytes do not depend on their number.
    Raises AudioError naming the files that cannot be used; what was computed of the others is kept.
    """
    place, names = Path(folder) / corpus.name, list(corpus.utterances["utterance"])
    paths = dict(zip(names, (corpus.root / file for file in corpus.utterances["file"]), strict=True))
    digests = dict(zip(names, _audio_digests(corpus, place, progress), strict=True))
    what = f"log-mel of {corpus.name}"

    def compute(utterances: Sequence[str]) -> Iterable[np.ndarray | AudioError]:
        frames = _extract([paths[utterance] for utterance in utterances], settings)
        return _counted(frames, len(utterances), what, progress)

    task = _Task(Frames, "log-mel", "float16", place, asdict(settings), digests, compute, _announcer(what, progress))
    return _cached(task)


def text_embeddings(
    corpus: Corpus, settings: TextSettings, folder: str | Path, progress: Progress | None = None
) -> Embeddings:
    """Embedding of every utterance's transcript, from the cache below `folder` or computed into it.

    Keyed by the content of the encoder and by the transcripts; a missing transcript is taken as empty. Computed on a
    GPU where there is one, whose last digits are its own. Raises features.EncoderError where the encoder is not found.
    """
    what = f"text embeddings of {corpus.name}"

    def compute(texts: Sequence[str]) -> Iterable[np.ndarray]:
        encoder = TextEncoder(settings, "cuda" if torch.cuda.is_available() else "cpu")
        step = None if progress is None else lambda done, total: progress(done, total, what)
        return encoder.embed(texts, progress=step)[:, None].numpy()

    return _cached(_text_task(Embeddings, "text", "float32", corpus, settings, folder, compute, what, progress))


def tokens(corpus: Corpus, settings: TextSettings, folder: str | Path, progress: Progress | None = None) -> Tokens:
    """Token ids of every utterance's transcript, from the cache below `folder` or computed into it.

    Keyed as the embeddings are, so that a run of the text model needs no tokeniser. Raises features.EncoderError.
    """
    what = f"tokens of {corpus.name}"

    def compute(texts: Sequence[str]) -> Iterable[np.ndarray]:
        ids = TextEncoder(settings).tokenize(texts)
        return _counted(map(np.array, ids), len(texts), what, progress)

    return _cached(_text_task(Tokens, "tokens", "int32", corpus, settings, folder, compute, what, progress))


def _text_task(
    kind: type[Kind], name: str, dtype: str, corpus: Corpus, settings: TextSettings, folder: str | Path,
    compute: Callable[[Sequence[str]], Iterable[np.ndarray]], what: str, progress: Progress | None,
) -> _Task[Kind]:  # fmt: skip
    """The task of what `compute` gives for transcripts. Where the encoder lies is no part of its key."""
    texts = dict(zip(corpus.utterances["utterance"], corpus.utterances["transcript"].fillna(""), strict=True))
    key = {"encoder": encoder_fingerprint(settings), "tokens": settings.tokens}
    digests = {utterance: _digest(text.encode()) for utterance, text in texts.items()}

    def of_utterances(utterances: Sequence[str]) -> Iterable[np.ndarray]:
        return compute([texts[utterance] for utterance in utterances])

    place = Path(folder) / corpus.name
    return _Task(kind, name, dtype, place, key, digests, of_utterances, _announcer(what, progress))


def _digest(content: bytes, size: int = 16) -> str:
    return hashlib.blake2b(content, digest_size=size).hexdigest()


def _counted(items: Iterable[Item], total: int, what: str, progress: Progress | None) -> Iterator[Item]:
    """`items` as they are, told to `progress` about two hundred times."""
    for done, item in enumerate(items, 1):
        if progress is not None and (done % (total // 200 + 1) == 0 or done == total):
            progress(done, total, what)
        yield item


def _announcer(what: str, progress: Progress | None) -> Callable[[str], None]:
    return lambda news: None if progress is None else progress(0, 1, f"{what}: {news}")


class _State(NamedTuple):
    """What tells that a file is still the one that was hashed."""

    file: str
    size: int
    changed: int  # ns


def _audio_digests(corpus: Corpus, place: Path, progress: Progress | None) -> list[str]:
    """Digest of the content of each utterance's audio, from the ledger where the file's size and time are as they were.

    A ledger belongs to one root. Raises AudioError naming the files that are not there.
    """
    ledger = place / f"audio-{_digest(str(corpus.root).encode(), 4)}.parquet"
    states = [_state(corpus.root, file) for file in corpus.utterances["file"]]
    absent = [file for file, state in zip(corpus.utterances["file"], states, strict=True) if state is None]
    if absent:
        raise AudioError(
            f"{len(absent)} of {len(states)} audio files are not below {corpus.root}, {first(absent)}; "
            "copy them from the release again, or drop the utterances"
        )
    known = _read_ledger(ledger)
    if all(state in known for state in states):
        return [known[state] for state in states]
    what = f"hashing the audio of {corpus.name}"
    with files.lock(place / ".lock", lambda: _announcer(what, progress)("waiting for another process")):
        known = _read_ledger(ledger)
        new = [state for state in dict.fromkeys(states) if state not in known]
        now = time.time_ns()
        with ThreadPoolExecutor(READERS) as pool:
            hashed = pool.map(lambda state: _file_digest(corpus.root / state.file), new)
            known.update(zip(new, _counted(hashed, len(new), what, progress), strict=True))
        latest = {state.file: (*state, digest) for state, digest in known.items() if state.changed < now - UNSETTLED}
        files.write_table(ledger, pd.DataFrame(latest.values(), columns=[*_State._fields, "digest"]))
    return [known[state] for state in states]


def _state(root: Path, file: str) -> _State | None:
    try:
        held = (root / file).stat()
    except FileNotFoundError:
        return None
    return _State(file, held.st_size, held.st_mtime_ns)


def _read_ledger(path: Path) -> dict[_State, str]:
    if not path.exists():
        return {}
    return {_State(*row[:3]): row[3] for row in pd.read_parquet(path).itertuples(index=False, name=None)}


def _file_digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _extract(paths: Sequence[Path], settings: FeatureSettings) -> Iterator[np.ndarray | AudioError]:
    """Frames (frames, mels) of each file, or what is wrong with it; only a few of them are held at a time."""

    def extract(path: Path) -> np.ndarray | AudioError:
        try:
            return log_mel(read_audio(path, settings.sample_rate), settings).numpy()
        except AudioError as error:
            return error

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # in each thread of the pool: there must not be more than cores
    pool = ThreadPoolExecutor(threads)
    waiting: deque = deque()
    try:
        for path in paths:
            waiting.append(pool.submit(extract, path))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _cached(task: _Task[Kind]) -> Kind:
    """What the task asks for, computed where it is not there yet; of several processes one does it."""
    place = task.place(task.digests)
    found = _open(task.kind, place)
    if found is None:
        with files.lock(task.folder / ".lock", lambda: task.announce("waiting for another process")) as held:
            found = _open(task.kind, place)
            if found is None:
                if held:
                    files.remove_leftovers(task.folder)
                shutil.rmtree(place, ignore_errors=True)  # not whole: a copy that was interrupted
                _write(task, place)
                found = _open(task.kind, place)
    return found


def _open(kind: type[Kind], place: Path) -> Kind | None:
    """What lies in `place`; None where that is nothing, or not the whole."""
    if not all((place / name).is_file() for name in (ROWS, INDEX, ABOUT)):
        return None
    if (place / ROWS).stat().st_size != files.read_json(place / ABOUT)["bytes"]:
        return None
    index = pd.read_parquet(place / INDEX)
    array = np.load(place / ROWS, mmap_mode="r")
    return kind(
        array, index["start"].to_numpy(), index["count"].to_numpy(), pd.Index(index["utterance"]), tuple(index["digest"]),
        place.name,
    )  # fmt: skip


def _write(task: _Task, place: Path) -> None:
    """Compute the rows of the task's utterances, taking over what other folders of the same settings hold.

    Raises AudioError of all files that cannot be used, after the rows of the others were kept for the next time.
    """
    known = _known(task)
    order = sorted(task.digests)
    fresh = iter(task.compute([utterance for utterance in order if task.digests[utterance] not in known]))
    index, broken, total = [], [], 0
    with files.atomic_folder(place) as temporary:
        with (temporary / ROWS).open("wb") as out:
            for utterance in order:
                digest = task.digests[utterance]
                rows = known[digest]() if digest in known else next(fresh)
                if isinstance(rows, AudioError):
                    broken.append(str(rows))
                    continue
                if not index:
                    _write_header(out, task.dtype, (0, *rows.shape[1:]))
                out.write(np.ascontiguousarray(rows, task.dtype).data)
                index.append((utterance, digest, total, len(rows)))
                total += len(rows)
            ...
