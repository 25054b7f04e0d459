"""Waveform -> transcript by speech recognition, of a whole corpus.

A corpus is transcribed once: the CSV's name is a hash of the audio's content and of the settings, and the chunks that
it is put together from are kept until it is whole, so a killed run goes on where it was.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import files
from sercore.corpora import Corpus
from sercore.features import asr, audio, hub
from sercore.features.asr import LANGUAGE, Recogniser
from sercore.features.hub import ENGINE, TRANSFORMERS, Weights

CHUNK = 25  # utterances that a killed run loses at most, per worker
RECIPE = 1  # counted up whenever the same settings would give other transcripts
COLUMNS = ("utterance", "transcript", "engine", "confidence")


def transcribe(
    corpus: Corpus,
    folder: str | Path,
    engine: str = ENGINE,
    beam: int = 1,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    language: str = LANGUAGE,
) -> Path:
    """Recognise the speech of every utterance of `corpus` and return the CSV, in `folder`, with what was heard.

    Its columns are utterance, transcript, engine and confidence (0 to 1). `engine`: see asr_weights.locate. `beam`
    hypotheses are followed at a time; `workers` utterances are heard at a time, by one thread each (default: all cores;
    one, where a GPU does it): CTranslate2's in threads, which share the weights, those of transformers in processes.
    `progress` is called with (utterances done, all of them). Same audio and settings: the file that is there already is
    returned; after a killed run, only what it had not finished is heard.

    Raises features.AudioError, naming the file, for audio that cannot be read, and as asr_weights.locate does.
    """
    if beam < 1 or (workers is not None and workers < 1):
        raise ValueError(f"beam is {beam} and workers {workers}; expected both at least 1")
    folder, weights = files.resolve(folder), hub.locate(engine)
    rows = list(zip(corpus.utterances["utterance"], corpus.utterances["file"], strict=True))
    settings = {"recipe": RECIPE, "weights": weights.fingerprint(), "beam": beam}
    if language != LANGUAGE:
        settings["language"] = language
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    keys = [_key(settings, corpus.root, chunk) for chunk in chunks]
    whole = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
    path, parts = folder / f"{corpus.name}-{whole}.csv", folder / f"{corpus.name}-{whole}.parts"
    if path.is_file():
        return path
    files_of = {key: parts / f"{key}.csv" for key in keys}
    missing = [(files_of[key], chunk) for key, chunk in zip(keys, chunks, strict=True) if not files_of[key].is_file()]
    done = len(rows) - sum(len(chunk) for _, chunk in missing)
    if missing:
        workers = min(workers or _workers(weights), len(missing))
        asked = (engine, beam, workers, language)
        apart = weights.kind == TRANSFORMERS and workers > 1
        recogniser = None if apart else Recogniser(*asked)
        with _processes(workers, asked) if apart else ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(_transcribe_chunk, recogniser, corpus.root, chunk, name_of(engine), part)
                for part, chunk in missing
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


def name_of(engine: str) -> str:
    """What `engine` is called in tables: a folder by its own name, anything else as it is."""
    return files.resolve(engine).name if files.resolve(engine).is_dir() else engine


def _workers(weights: Weights) -> int:
    on_gpu = weights.kind == TRANSFORMERS and torch.cuda.is_available()
    return 1 if on_gpu else os.cpu_count() or 1


def _processes(workers: int, asked: tuple[Any, ...]) -> Executor:
    """Processes that each load the recogniser `asked` for."""
    spawn = multiprocessing.get_context("spawn")  # a forked process would hang in torch
    return ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=asked)


_LOADED: list[Recogniser] = []
"""In a process of its own: its recogniser."""


def _start(*asked: Any) -> None:
    torch.set_num_threads(1)
    _LOADED.append(Recogniser(*asked))


def _key(settings: dict[str, Any], root: Path, chunk: Sequence[tuple[str, str]]) -> str:
    """A hash of the settings, and of the ids and audio of `chunk`."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for utterance, file in chunk:
        digest.update(f"\n{utterance}\n".encode())
        try:
            digest.update((root / file).read_bytes())
        except OSError as error:
            raise audio.AudioError(f"{root / file}, of {utterance}, cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:16]


def _transcribe_chunk(
    recogniser: Recogniser | None, root: Path, chunk: Sequence[tuple[str, str]], engine: str, path: Path
) -> int:
    """Write what is heard in `chunk` to `path` and return how many utterances that are."""
    recogniser = recogniser or _LOADED[0]
    heard = [
        (utterance, recogniser.transcribe(audio.read_audio(root / file, asr.SAMPLE_RATE).numpy()))
        for utterance, file in chunk
    ]
    rows = [(utterance, text, engine, round(confidence, 4)) for utterance, (text, confidence) in heard]
    files.write_table(path, pd.DataFrame(rows, columns=list(COLUMNS)))
    return len(rows)


def _read_part(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False)
