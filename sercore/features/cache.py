"""Features, computed once: the key is a hash of the content and the settings, never "the file exists".

Each kind of feature of a corpus lies in a folder of its own, as `iemocap/log-mel-0f3a5e9b12c4/`. What a killed process
leaves is never read. Any folder may be deleted: it is computed again when it is needed.
"""

import hashlib
import logging
import stat
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from sercore import files
from sercore.corpora import Corpus
from sercore.features.audio import AudioError, log_mel, read_audio
from sercore.features.hub import encoder_fingerprint
from sercore.features.packed import (
    LOCK,
    CacheEntry,
    Embeddings,
    Frames,
    Packed,
    Progress,
    Tokens,
    Waveforms,
    digest,
    fetch,
    samples,
)
from sercore.features.text import TextEncoder
from sercore.schema import first
from sercore.settings import FeatureSettings, TextSettings

VERSION = 1  # to be raised when features have other values for the same content and settings
TEXT_VERSION = 2  # likewise, of embeddings and tokens
READERS = 4  # threads that hash audio: the disk is what they wait for
Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=Packed)
log = logging.getLogger(__name__)


def log_mels(corpus: Corpus, settings: FeatureSettings, folder: str | Path, progress: Progress | None = None) -> Frames:
    """Log-mel frames of every utterance of `corpus`, from the cache below `folder` or computed into it.

    Keyed by the content of the audio and by `settings`; a file that is touched is read again, but only one that
    changed is computed again. Uses as many threads as torch may; the bytes do not depend on their number.
    Raises AudioError naming the files that cannot be used; what was computed of the others is kept.
    """

    def extract(path: Path) -> np.ndarray:
        return log_mel(read_audio(path, settings.sample_rate), settings).numpy().astype(np.float16)

    return _of_audio(corpus, Frames, "log-mel", "float16", asdict(settings), extract, Path(folder), progress)


def waveforms(corpus: Corpus, sample_rate: int, folder: str | Path, progress: Progress | None = None) -> Waveforms:
    """Sound of every utterance of `corpus` at `sample_rate` [Hz], from the cache below `folder` or put into it.

    Keyed, computed and refused as the log-mels are.
    """

    def extract(path: Path) -> np.ndarray:
        return samples(read_audio(path, sample_rate).numpy())

    settings = {"sample_rate": sample_rate}
    return _of_audio(corpus, Waveforms, "waveform", "int16", settings, extract, Path(folder), progress)


def _of_audio(
    corpus: Corpus,
    kind: type[Kind],
    name: str,
    dtype: str,
    settings: Mapping[str, Any],
    extract: Callable[[Path], np.ndarray],
    folder: Path,
    progress: Progress | None,
) -> Kind:
    """`extract` of the file of every utterance of `corpus`, keyed by the files' content and `settings`."""
    place, what, threads = folder / files.folder_name(corpus.name), f"{name} of {corpus.name}", torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    paths = {row.utterance: corpus.root / row.file for row in corpus.utterances.itertuples()}

    def compute(utterances: Sequence[str]) -> Iterable[np.ndarray | AudioError]:
        rows = _extract([paths[utterance] for utterance in utterances], extract, pool, 4 * threads)
        return _counted(rows, len(utterances), what, progress)

    task = CacheEntry(
        kind=kind,
        name=name,
        dtype=dtype,
        settings={"version": VERSION, **settings},
        digests=dict(zip(paths, _audio_digests(corpus, place, progress), strict=True)),
        compute=compute,
    )
    torch.set_num_threads(1)  # in each thread of the pool: there must not be more than cores
    try:
        with pool:
            return fetch(task, place, _waiting(what, progress))
    finally:
        torch.set_num_threads(threads)


def text_embeddings(
    corpus: Corpus, settings: TextSettings, folder: str | Path, progress: Progress | None = None
) -> Embeddings:
    """Embedding of every utterance's transcript, from the cache below `folder` or computed into it.

    Keyed by the content of the encoder and by the transcripts; a missing transcript is taken as empty. Computed on a
    GPU where there is one, whose last digits are its own. Raises features.EncoderError where the encoder is not found.
    """
    texts, what = _texts(corpus), f"text embeddings of {corpus.name}"

    def compute(utterances: Sequence[str]) -> Iterable[np.ndarray]:
        encoder = TextEncoder(settings, "cuda" if torch.cuda.is_available() else "cpu")
        step = None if progress is None else lambda done, total: progress(done, total, what)
        _note_language(corpus, encoder, texts)
        return encoder.embed([texts[utterance] for utterance in utterances], progress=step)[:, None].numpy()

    task = _text_entry(Embeddings, "text", "float32", settings, texts, compute)
    return fetch(task, Path(folder) / files.folder_name(corpus.name), _waiting(what, progress))


def tokens(corpus: Corpus, settings: TextSettings, folder: str | Path, progress: Progress | None = None) -> Tokens:
    """Token ids of every utterance's transcript, from the cache below `folder` or computed into it.

    Keyed as the embeddings are, so that a run of the text model needs no tokeniser. Raises features.EncoderError.
    """
    texts, what = _texts(corpus), f"tokens of {corpus.name}"

    def compute(utterances: Sequence[str]) -> Iterable[np.ndarray]:
        encoder = TextEncoder(settings)
        _note_language(corpus, encoder, texts)
        ids = encoder.tokenize([texts[utterance] for utterance in utterances])
        return _counted(map(np.array, ids), len(ids), what, progress)

    task = _text_entry(Tokens, "tokens", "int32", settings, texts, compute)
    return fetch(task, Path(folder) / files.folder_name(corpus.name), _waiting(what, progress))


def _note_language(corpus: Corpus, encoder: TextEncoder, texts: Mapping[str, str]) -> None:
    """Log it where the encoder hardly knows the language of the transcripts of `corpus`."""
    if complaint := encoder.coverage(texts.values()).complaint(encoder.settings.encoder):
        log.warning("corpus '%s': %s", corpus.name, complaint)


def _texts(corpus: Corpus) -> dict[str, str]:
    """Utterance -> transcript, empty where it is missing."""
    return dict(zip(corpus.utterances["utterance"], corpus.utterances["transcript"].fillna(""), strict=True))


def _text_entry(
    kind: type[Packed],
    name: str,
    dtype: str,
    settings: TextSettings,
    texts: Mapping[str, str],
    compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
) -> CacheEntry:
    """What is to be computed of the transcripts `texts`, keyed by them and the encoder."""
    digests = {utterance: digest(text.encode()) for utterance, text in texts.items()}
    return CacheEntry(kind=kind, name=name, dtype=dtype, settings=_text_key(settings), digests=digests, compute=compute)


def _text_key(settings: TextSettings) -> dict[str, Any]:
    """The settings that features of a transcript depend on; the place of the encoder is not one of them."""
    return {"version": TEXT_VERSION, "encoder": encoder_fingerprint(settings), "tokens": settings.tokens}


def _counted(items: Iterable[Item], total: int, what: str, progress: Progress | None) -> Iterator[Item]:
    """`items`, with about two hundred calls of `progress`."""
    for done, item in enumerate(items, 1):
        if progress is not None and (done % (total // 200 + 1) == 0 or done == total):
            progress(done, total, what)
        yield item


def _waiting(what: str, progress: Progress | None) -> Callable[[], None]:
    return lambda: None if progress is None else progress(0, 1, f"{what}: another process is at it")


def _extract(
    paths: Sequence[Path], extract: Callable[[Path], np.ndarray], pool: ThreadPoolExecutor, most: int
) -> Iterator[np.ndarray | AudioError]:
    """`extract` of each file, or its AudioError; at most `most` files are computed ahead of the consumer."""

    def attempt(path: Path) -> np.ndarray | AudioError:
        try:
            return extract(path)
        except AudioError as error:
            return error

    ahead: deque = deque()
    for path in paths:
        if len(ahead) == most:
            yield ahead.popleft().result()
        ahead.append(pool.submit(attempt, path))
    while ahead:
        yield ahead.popleft().result()


class _State(NamedTuple):
    """Size and time of a hashed file: while they are the same, so is its digest."""

    file: str
    size: int
    changed: int  # ns


def _audio_digests(corpus: Corpus, place: Path, progress: Progress | None) -> list[str]:
    """Digest of the content of each utterance's audio, from the ledger where the file's size and time are as they were.

    There is a ledger for each root. Raises AudioError naming the files that are not there.
    """
    ledger = place / f"audio-{digest(str(corpus.root).encode(), 4)}.parquet"
    sought = [_state(corpus.root, file) for file in corpus.utterances["file"]]
    states = [state for state in sought if state is not None]
    absent = [file for file, state in zip(corpus.utterances["file"], sought, strict=True) if state is None]
    if absent:
        raise AudioError(
            f"audio files that are not below {corpus.root}, {len(absent)} of {len(sought)}: {first(absent)}; "
            "copy them from the release again, or drop the utterances"
        )
    known = _read_ledger(ledger)
    if not all(state in known for state in states):
        what = f"hashing the audio of {corpus.name}"
        with files.lock(place / LOCK, _waiting(what, progress)):
            known = _read_ledger(ledger)  # another process may have been at it
            new = [state for state in dict.fromkeys(states) if state not in known]
            settled_at = time.time_ns() - files.UNSETTLED
            with ThreadPoolExecutor(READERS) as pool:
                hashed = pool.map(lambda state: _hash(corpus.root / state.file), new)
                known.update(zip(new, _counted(hashed, len(new), what, progress), strict=True))
            settled = {state.file: (*state, found) for state, found in known.items() if state.changed < settled_at}
            files.write_table(ledger, pd.DataFrame(settled.values(), columns=[*_State._fields, "digest"]))
    return [known[state] for state in states]


def _state(root: Path, file: str) -> _State | None:
    try:
        held = (root / file).stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(held.st_mode):  # whoever opens a pipe may wait for ever
        return None
    return _State(file, held.st_size, held.st_mtime_ns)


def _read_ledger(path: Path) -> dict[_State, str]:
    """The digests of files by their states; none, after a warning, where the ledger is damaged."""
    if not path.exists():
        return {}
    try:
        table = pd.read_parquet(path, columns=[*_State._fields, "digest"], page_checksum_verification=True)
    except (OSError, ValueError) as error:
        warnings.warn(f"{path} is damaged ({error}): the audio is hashed again", stacklevel=2)
        return {}
    return {_State(*state): found for *state, found in table.itertuples(index=False, name=None)}


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
