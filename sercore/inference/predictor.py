"""A trained model on one's own recordings: `load(run)` gives a Predictor, which gives a table.

The front end is the run's own, to the rounding of its cache, so a recording of the run's corpus gets the run's own
answer. The answers of several networks, and of the windows of a long recording, are averaged: of classes the
probabilities, of dimensions the ratings.

Recordings to be predicted: found among files, folders and tables, and cut into windows.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sercore.datasets.batches import Dataset, SpeechDataset, TextDataset, WaveformDataset
from sercore.features import audio, hub
from sercore.features.packed import Embeddings, Frames, Packed, Tokens, Waveforms, samples
from sercore.features.text import TextEncoder
from sercore.inference import artifact
from sercore.inference.artifact import Trained, place
from sercore.models import checkpoint, cnn14
from sercore.schema import EMOTION, PROBABILITY, first
from sercore.settings import SPEECH_MODELS
from sercore.training import loop

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
        raise audio.AudioError(f"{path}: headerless, so its rate and width are not known; convert it to .wav")
    return audio.read_audio(path, sample_rate)


def problem(error: audio.AudioError, path: Path) -> str:
    """What is wrong with `path`, of an error that also names it and what to do with a corpus's file."""
    return str(error).removeprefix(f"{path}: ").partition("; ")[0]


LONGEST = 60.0  # recording that is heard as one utterance [s]: the corpora's are all shorter
WINDOW = 10.0  # in which a longer one is heard where no windows are asked for [s]
TOGETHER = 64  # recordings that are in memory at a time
Progress = Callable[[int, int], None]


class Transcriber(Protocol):
    """A speech recogniser, as transcripts.Recogniser."""

    def transcribe(self, waveform: np.ndarray) -> Any:
        """What is said in `waveform` (samples,) at 16 kHz; its `transcript` is taken."""


@dataclass(frozen=True)
class _Window:
    """A part of a recording, as the networks take it."""

    start: float  # s
    end: float  # s
    sound: np.ndarray | None  # (frames, mels) float16 dB, or (samples,) int16; None for a model that does not listen
    text: str | None  # None for a model that does not read


@dataclass(frozen=True)
class _Result:
    """A recording as the networks take it, or what is wrong with it."""

    path: Path
    windows: tuple[_Window, ...] = ()
    error: str | None = None


def load(folder: str | Path, device: str | torch.device | None = None, encoder: str | None = None) -> "Predictor":
    """The model in `folder`: a run (the networks of all its folds), one fold of it, or a folder that was exported.

    `device`: see training.pick_device. `encoder` names the text encoder where it lies elsewhere than at training; of
    an exported model it must have the content that was recorded. Raises as trained.read does, EncoderError for an
    encoder that is not there or another one, and ValueError for weights that do not fit the folder's settings.
    """
    return Predictor(artifact.read(folder), device, encoder)


class Predictor:
    """A model that is called with recordings."""

    def __init__(self, what: Trained, device: str | torch.device | None = None, encoder: str | None = None) -> None:
        """The networks of `what`, in memory; `device` and `encoder` as `load` takes them."""
        self.trained = what if encoder is None else replace(what, text=replace(what.text, encoder=encoder))
        self.device = loop.pick_device(device)
        self.networks = [checkpoint.load(path)[0] for path in what.networks.values()]
        self._encoder = TextEncoder(self.trained.text, _text_device()) if what.reads else None
        self._check()

    def __call__(
        self,
        given: str | Path | Sequence[str | Path],
        texts: str | Sequence[str | None] | None = None,
        *,
        windows: float | None = None,
        recogniser: Transcriber | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """What the model says of the recordings that `given` names (see recordings.find), one row each.

        `texts` is what is said: one text for each recording, or one for all of which a table of recordings does not
        tell it; what stays unknown the `recogniser` hears (in each window its own words). The empty text counts as one.
        A model that does not read takes neither.

        With `windows` [s] there is a row for each window of that length, which overlap by half. Without, a recording
        above 60 s is heard in windows of 10 s whose answers are averaged. What is shorter than 32 frames is followed by
        silence, as in training. `progress(done, recordings)` follows.

        Columns: file, start and end [s], windows (how many are behind the row), text (what a model that reads was
        given; missing where the windows' differ), emotion and a probability p_<class> for each class, or each dimension
        and `scale`, the lowest and highest rating of the training corpus (ratings may lie outside); trained_on; error:
        why there is no answer, missing where there is one. A recording that cannot be used is a row with its error.

        Raises ValueError for a model that reads and recordings without text, text for one that does not, other numbers
        of texts, and windows that are too short.
        """
        found = self._with_texts([given] if isinstance(given, str | Path) else list(given), texts, recogniser)
        shortest = audio.LEAST_FRAMES * self.trained.features.hop / self.trained.features.sample_rate
        if windows is not None and not windows >= shortest:
            raise ValueError(f"windows of {windows:g} s; the networks take no less than {shortest:g} s")
        rows: list[dict[str, Any]] = []
        for begin in range(0, len(found), TOGETHER):
            part = found[begin : begin + TOGETHER]
            rows += self._rows(self._listen(part, windows, recogniser), windows is not None)
            if progress is not None:
                progress(begin + len(part), len(found))
        return self._table(rows)

    def _with_texts(
        self, given: list[str | Path], texts: str | Sequence[str | None] | None, recogniser: Transcriber | None
    ) -> list[Recording]:
        """The recordings in `given` with their texts. Raises ValueError where the texts do not fit."""
        found = find(given)
        if not found:
            raise ValueError("no recordings; name at least one file, folder or table")
        if not self.trained.reads:
            if texts is not None or recogniser is not None:
                raise ValueError(f"{self.trained.model} reads no text; leave out --text and --transcribe (texts=None)")
            return found
        if texts is None or isinstance(texts, str):
            found = [Recording(path, texts if text is None else text) for path, text in found]
        elif len(texts) == len(found):
            found = [
                Recording(part.path, part.text if said is None else said)
                for part, said in zip(found, texts, strict=True)
            ]
        else:
            raise ValueError(f"{len(texts)} texts for {len(found)} recordings; expected one for each, or one for all")
        silent = [path for path, text in found if text is None]
        if silent and recogniser is None:
            raise ValueError(
                f"{self.trained.model} reads what is said, and {len(silent)} of {len(found)} recordings have no text, "
                f"{first(silent)}: give it by --text (texts=...; '' if nothing is said), by a table with a column "
                f"'{TRANSCRIPT}', or let it be recognised by --transcribe (recogniser=...)"
            )
        return found

    def _listen(self, found: list[Recording], windows: float | None, recogniser: Transcriber | None) -> list[_Result]:
        """Each recording as the networks take it, read by as many threads as torch may use."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # in each thread of the pool: there must not be more than cores
        try:
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(lambda recording: self._hear(recording, windows, recogniser), found))
        finally:
            torch.set_num_threads(threads)

    def _hear(self, recording: Recording, seconds: float | None, recogniser: Transcriber | None) -> _Result:
        rate = self.trained.features.sample_rate
        try:
            waveform = sound(recording.path, rate)
            words = sound(recording.path) if recording.text is None and recogniser is not None else None
        except audio.AudioError as error:
            return _Result(recording.path, error=problem(error, recording.path))
        long = len(waveform) > LONGEST * rate
        window = round((seconds or WINDOW) * rate) if seconds or long else len(waveform)
        parts = []
        for start, end in windows(len(waveform), max(window, 2)):
            text = recording.text if self.trained.reads else None
            if words is not None and recogniser is not None:
                share = len(words) / len(waveform)
                text = recogniser.transcribe(words[int(start * share) : int(end * share)].numpy()).transcript
            parts.append(_Window(start / rate, end / rate, self._sound(waveform[start:end]), text))
        return _Result(recording.path, tuple(parts))

    def _sound(self, waveform: torch.Tensor) -> np.ndarray | None:
        """What the networks take of `waveform` (samples,), to the rounding of the cache."""
        if self.trained.model in SPEECH_MODELS:
            return samples(waveform.numpy())
        if not self.trained.listens:
            return None
        return audio.log_mel(waveform, self.trained.features).numpy().astype(np.float16)

    def _rows(self, heard: list[_Result], apart: bool) -> list[dict[str, Any]]:
        """The rows of `heard`: one a window if `apart`, else one a recording."""
        answers = self._answers([window for item in heard for window in item.windows])
        rows, begin = [], 0
        for item in heard:
            count = len(item.windows)
            groups = [[i] for i in range(count)] if apart else [list(range(count))]
            for group in groups if count else []:
                parts = [item.windows[i] for i in group]
                texts = {part.text for part in parts}
                span = {"start": parts[0].start, "end": parts[-1].end, "windows": len(parts)}
                text = texts.pop() if len(texts) == 1 else None
                values = answers[[begin + i for i in group]].mean(0)
                rows.append({"file": str(item.path), **span, "text": text, **self._values(values), "error": None})
            if item.error is not None:
                rows.append({"file": str(item.path), "error": item.error})
            begin += count
        return rows

    def _answers(self, windows: list[_Window]) -> np.ndarray:
        """Probabilities (windows, classes) or ratings (windows, dimensions) of `windows`, the networks' mean."""
        if not windows:
            return np.empty((0, len(self.trained.names)))
        dataset = self._dataset(windows)
        answers = []
        for network in self.networks:
            logits = loop.predict(network, dataset, self.device).astype(np.float64)
            answers.append(_softmax(logits) if self.trained.targets == (EMOTION,) else logits)
        return np.mean(answers, axis=0)

    def _dataset(self, windows: list[_Window]) -> Dataset:
        """`windows` as a run's utterances."""
        utterances = pd.DataFrame({"utterance": [str(i) for i in range(len(windows))]})
        target = torch.zeros(len(windows))
        texts = [window.text or "" for window in windows]
        if not self.trained.listens:
            ids = [np.array(tokens, dtype=np.int32) for tokens in self._encoder.tokenize(texts)]
            return TextDataset(_packed(Tokens, ids), utterances, target)
        if self.trained.model in SPEECH_MODELS:
            return WaveformDataset(_packed(Waveforms, [window.sound for window in windows]), utterances, target)
        frames = _packed(Frames, [window.sound for window in windows])
        if not self.trained.reads:
            return SpeechDataset(frames, utterances, target)
        embedded = self._encoder.embed(texts).numpy()
        return SpeechDataset(frames, utterances, target, _packed(Embeddings, list(embedded[:, None])))

    def _values(self, answer: np.ndarray) -> dict[str, Any]:
        """The columns that hold `answer` (outputs,)."""
        names = self.trained.names
        if self.trained.targets != (EMOTION,):
            return dict(zip(names, map(float, answer), strict=True))
        shares = {f"{PROBABILITY}{name}": float(share) for name, share in zip(names, answer, strict=True)}
        return {EMOTION: names[int(answer.argmax())], **shares}

    def _table(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        said = ["text"] if self.trained.reads else []
        answer = list(self._values(np.zeros(len(self.trained.names))))
        dimensions = self.trained.targets != (EMOTION,)
        about = [*(["scale"] if dimensions else []), "trained_on"]
        columns = ["file", "start", "end", "windows", *said, *answer, *about, "error"]
        scale = self.trained.scale
        table = pd.DataFrame(rows, columns=columns).astype({"windows": "Int64", "error": "object"})
        if dimensions:
            table["scale"] = "not recorded" if scale is None else f"{scale[0]:g} to {scale[1]:g}"
        return table.assign(trained_on=self.trained.corpus + (" (simulated speech)" if self.trained.simulated else ""))

    def _check(self) -> None:
        """Raise ValueError where the networks or the encoder are not those that the settings speak of."""
        outputs = len(self.trained.names)
        for path, network in zip(self.trained.networks.values(), self.networks, strict=True):
            if network.output.out_features != outputs:
                raise ValueError(f"{path} gives {network.output.out_features} numbers, expected {outputs}")
            hears = isinstance(network, cnn14.Cnn14)
            if hears and network.mels != self.trained.features.mels:
                raise ValueError(f"{path} takes {network.mels} mels, the settings say {self.trained.features.mels}")
            stages = network.text_stages if hears else ()
            if stages and network.text_width != self._encoder.width:
                raise hub.EncoderError(
                    f"{path} takes embeddings of {network.text_width} numbers, the text encoder "
                    f"'{self.trained.text.encoder}' gives {self._encoder.width}; name the one of the training (encoder)"
                )
        known = self.trained.encoder
        if self._encoder is not None and known is not None and self._encoder.fingerprint != known:
            raise hub.EncoderError(
                f"the text encoder '{self.trained.text.encoder}' is not the one of the training: its content is "
                f"{self._encoder.fingerprint}, expected {known}; name a folder that holds the right one (encoder)"
            )


def _packed(kind: type[Packed], rows: list[np.ndarray]) -> Packed:
    """`rows` of each window, in memory, as the cache would give them."""
    count = np.array([len(part) for part in rows], dtype=np.int64)
    names = pd.Index([str(i) for i in range(len(rows))])
    return kind(np.concatenate(rows), count.cumsum() - count, count, names, (), "recordings")


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def _text_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
