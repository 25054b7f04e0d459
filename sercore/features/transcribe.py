"""Speech recognition of a whole corpus.

A corpus is transcribed once: the name of its CSV is a hash of the audio and of the settings. Chunks of it are written
as they are finished and deleted when it is whole, so a killed run continues with the chunks that are missing.
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
from sercore.features.asr import Recogniser
from sercore.features.hub import ENGINE, LANGUAGE, TRANSFORMERS, Weights

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
    """Recognise the speech of every utterance of `corpus` and return the path of the CSV with the transcripts.

    Its columns are utterance, transcript, engine and confidence (0 to 1). A CSV of the same audio and settings that is
    there already is returned as it is.

    Args:
        corpus: its audio is read
        folder: of the CSV
        engine: the recogniser, see hub.locate
        beam: number of hypotheses of the beam search
        workers: utterances at a time, one thread each (default: all cores, or one with a GPU); engines of CTranslate2
            run in threads, which share the weights, those of transformers in processes
        progress: called with (utterances done, all utterances)
        language: of the speech

    An utterance whose audio cannot be used is not in the CSV; `unusable` says why. Raises features.AudioError where
    that is so of all of them, and what hub.locate raises.
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
        arguments = (engine, beam, workers, language)
        in_processes = weights.kind == TRANSFORMERS and workers > 1
        recogniser = None if in_processes else Recogniser(*arguments)
        with _processes(workers, arguments) if in_processes else ThreadPoolExecutor(workers) as pool:
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
    recognised = pd.concat([_read_part(files_of[key]) for key in keys], ignore_index=True)
    if recognised.empty:
        problems = [f"{utterance}: {_problem(corpus.root / file)}" for utterance, file in rows[:5]]
        raise audio.AudioError("no utterance can be transcribed:\n  " + "\n  ".join(problems))
    files.write_table(path, recognised)
    shutil.rmtree(parts, ignore_errors=True)
    return path


def unusable(corpus: Corpus, transcribed: Path) -> dict[str, str]:
    """Utterance -> what is wrong with its audio, of those of `corpus` that are not in the CSV `transcribed`."""
    rows = corpus.utterances[~corpus.utterances["utterance"].isin(_read_part(transcribed)["utterance"])]
    return {row.utterance: _problem(corpus.root / row.file) for row in rows.itertuples()}


def _problem(path: Path) -> str:
    try:
        audio.read_audio(path, asr.SAMPLE_RATE)
    except audio.AudioError as error:
        return str(error)
    return f"{path}: could not be used when it was transcribed; remove the transcripts to try again"


def name_of(engine: str) -> str:
    """Name of `engine` in tables: that of its folder, or its own."""
    return files.resolve(engine).name if files.resolve(engine).is_dir() else engine


def _workers(weights: Weights) -> int:
    on_gpu = weights.kind == TRANSFORMERS and torch.cuda.is_available()
    return 1 if on_gpu else os.cpu_count() or 1


def _processes(workers: int, arguments: tuple[Any, ...]) -> Executor:
    """Processes that each load the Recogniser of `arguments`."""
    spawn = multiprocessing.get_context("spawn")  # a forked process would hang in torch
    return ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=arguments)


_LOADED: list[Recogniser] = []
"""The recogniser of a process of `_processes`."""


def _start(*arguments: Any) -> None:
    torch.set_num_threads(1)
    _LOADED.append(Recogniser(*arguments))


def _key(settings: dict[str, Any], root: Path, chunk: Sequence[tuple[str, str]]) -> str:
    """A hash of the settings, and of the ids and audio of `chunk`."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for utterance, file in chunk:
        digest.update(f"\n{utterance}\n".encode())
        path = root / file
        digest.update(path.read_bytes() if path.is_file() else b"absent")
    return digest.hexdigest()[:16]


def _transcribe_chunk(
    recogniser: Recogniser | None, root: Path, chunk: Sequence[tuple[str, str]], engine: str, path: Path
) -> int:
    """Transcribe `chunk` into the CSV `path` and return its number of utterances."""
    recogniser = recogniser or _LOADED[0]
    rows = []
    for utterance, file in chunk:
        try:
            waveform = audio.read_audio(root / file, asr.SAMPLE_RATE)
        except audio.AudioError:  # which `unusable` gives
            continue
        text, confidence = recogniser.transcribe(waveform.numpy())
        rows.append((utterance, text, engine, round(confidence, 4)))
    files.write_table(path, pd.DataFrame(rows, columns=list(COLUMNS)))
    return len(chunk)


def _read_part(path: Path) -> pd.DataFrame:
    return files.unguarded(pd.read_csv(path, dtype="str", keep_default_na=False))
