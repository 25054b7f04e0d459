"""A trained model on new recordings: `load(run)` gives a Predictor, which gives a table.

The front end is the run's own, to the rounding of its cache, so a recording of the run's corpus gets the run's own
answer, its probabilities at the temperature of development. The answers of several networks, and of the windows of a
long recording, are averaged: of classes the probabilities, before the temperature, of dimensions the ratings.

Recordings come as files, folders and tables. Each is answered as a whole, in windows, or in segments of speech.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sercore.analysis import confidence
from sercore.corpora import cells
from sercore.corpora.sound import AUDIO
from sercore.datasets import normalisation
from sercore.datasets.batches import Dataset, SpeechDataset, TextDataset, WaveformDataset
from sercore.features import audio, hub
from sercore.features.packed import Embeddings, Frames, Kind, Tokens, Waveforms, samples
from sercore.features.text import TextEncoder
from sercore.inference import artifact
from sercore.inference import segments as spoken
from sercore.inference.artifact import Trained, place
from sercore.inference.segments import Segmentation
from sercore.models import checkpoint, cnn14
from sercore.schema import EMOTION, PROBABILITY, first, printable
from sercore.settings import build
from sercore.training import loop, stages

SPEECH_RATE = 16_000  # of a speech recogniser [Hz]
TABLES = (".csv", ".parquet")
FILE, TRANSCRIPT, SPEAKER = "file", "transcript", "speaker"  # columns of a table of recordings, as in a corpus's
LONGEST = 60.0  # recording that is predicted as one utterance [s]: the corpora's are all shorter
WINDOW = 10.0  # of a longer one where no windows are given [s]
TOGETHER = 64  # recordings that are in memory at a time
Progress = Callable[[int, int], None]
Parts = float | Segmentation | None
"""What a recording is answered in: windows of so many seconds, segments, or itself."""


class Recording(NamedTuple):
    """A file to be predicted."""

    path: Path
    text: str | None  # its transcript; None: not known
    speaker: str | None = None  # who talks, for a model that is normalised over speakers; None: not known


def find(given: Iterable[str | Path]) -> list[Recording]:
    """The recordings that `given` names, in its order and each once.

    Args:
        given: Files, folders (all files below them that end in AUDIO, hidden ones left out), and tables: .csv or
            .parquet with a column `file`, relative to the table's folder, and perhaps `transcript` and `speaker`, where
            an empty cell is not known.

    Raises:
        FileNotFoundError: A folder has no recordings, or a table is absent. A file is opened only when it is read.
        ValueError: A table cannot be read, or has no such column.
    """
    recordings: dict[Path, Recording] = {}
    for path in map(place, given):
        if path.suffix.lower() in TABLES:
            parts = _of_table(path)
        elif path.is_dir():
            parts = _of_folder(path)
        else:
            parts = [Recording(path, None)]
        for recording in parts:
            recordings.setdefault(recording.path, recording)
    return list(recordings.values())


def windows(samples: int, window: int) -> list[tuple[int, int]]:
    """First sample and end of each window of `window` samples in a recording of `samples`.

    They overlap by half; the last one ends where the recording does, and overlaps more. A recording that is no longer
    than a window is one window. Raises ValueError for windows of less than 2 samples.

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
        if path.suffix.lower() in AUDIO and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise FileNotFoundError(f"no recording in {folder} or below it; expected files that end in {first(AUDIO)}")
    return [Recording(path, None) for path in paths]


def _of_table(path: Path) -> list[Recording]:
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}; expected a .csv or .parquet file with a column '{FILE}'")
    table = cells.read_table(path)
    if FILE not in table or table[FILE].isna().any():
        own = f"columns {', '.join(map(str, table.columns))}" if FILE not in table else "rows without one"
        raise ValueError(f"{path}: expected a column '{FILE}' (and '{TRANSCRIPT}' where it is known), found {own}")
    texts, speakers = (
        [None if pd.isna(cell) else cells.clean(str(cell)) for cell in table.get(name, [None] * len(table))]
        for name in (TRANSCRIPT, SPEAKER)
    )
    return [
        Recording(path.parent / cells.spelt_on_disk(path.parent, file), text, speaker)
        for file, text, speaker in zip(table[FILE], texts, speakers, strict=True)
    ]


def sound(path: Path, sample_rate: int = SPEECH_RATE) -> Tensor:
    """The sound of `path`, (samples,) at `sample_rate` [Hz]. Raises AudioError as features.audio.read_audio does."""
    return audio.read_audio(path, sample_rate)


def problem(error: audio.AudioError, path: Path) -> str:
    """What is wrong with `path`: the error's message without the path and the advice for a corpus's file."""
    return str(error).removeprefix(f"{path}: ").partition("; ")[0]


class Transcriber(Protocol):
    """A speech recogniser, as features.asr.Recogniser."""

    def transcribe(self, waveform: np.ndarray) -> Any:
        """A transcription, whose `transcript` is taken, of `waveform` (samples,) at 16 kHz."""


@dataclass(frozen=True)
class _Window:
    """A part of a recording, as the networks take it."""

    start: float  # s
    end: float  # s
    sound: np.ndarray  # (frames, mels) float16 dB, or (samples,) int16; empty for a model without audio
    text: str | None  # None for a model without text
    offset: np.ndarray | None = None  # (mels,) dB, see datasets.normalisation; None for a model without


@dataclass(frozen=True)
class _Input:
    """A recording as the networks take it, or what is wrong with it."""

    path: Path
    windows: tuple[_Window, ...] = ()
    error: str | None = None


def load(folder: str | Path, device: str | torch.device | None = None, encoder: str | None = None) -> "Predictor":
    """The model in `folder`: a run (the networks of all its folds), one fold of it, or a folder that was exported.

    Args:
        folder: As artifact.read takes it.
        device: As training.device.pick_device takes it.
        encoder: The text encoder where it lies elsewhere than at training; of an exported model it must have the
            content that was recorded.

    Raises:
        FileNotFoundError: As artifact.read.
        EncoderError: The text encoder is not there, or is another one.
        ValueError: As artifact.read, and for weights that do not fit the folder's settings.
    """
    return Predictor(artifact.read(folder), device, encoder)


def load_recogniser(engine: str | None = None) -> Transcriber:
    """A speech recogniser with as many workers as torch has threads; `engine` as asr.Recogniser takes it.

    Raises ModuleNotFoundError and ValueError as features.hub.locate does.
    """
    from sercore.features import asr  # not needed where the text is given

    return asr.Recogniser(engine or hub.ENGINE, workers=torch.get_num_threads())


class Predictor:
    """A model that is called with recordings."""

    def __init__(self, trained: Trained, device: str | torch.device | None = None, encoder: str | None = None) -> None:
        """Load the networks of `trained`; `device` and `encoder` as `load` takes them."""
        self.trained = trained if encoder is None else replace(trained, text=replace(trained.text, encoder=encoder))
        self.device = loop.pick_device(device)
        self.networks = [checkpoint.load(path)[0] for path in trained.networks.values()]
        self._encoder = TextEncoder(self.trained.text, _text_device()) if trained.uses_text else None
        self._check()

    def __repr__(self) -> str:
        """The model, its training corpus and its outputs, in a line."""
        trained = self.trained
        simulated = "SIMULATED speech, " if trained.simulated else ""
        return f"{trained.model}, trained on {simulated}{trained.corpus}: {', '.join(trained.names)}"

    def text_options(self, text: str, transcribe: bool, engine: str | None = None) -> dict[str, Any]:
        """The arguments `texts` and `recogniser` of a call, for a model of any kind.

        Args:
            text: The transcript of all recordings; not used where they are transcribed.
            transcribe: Whether speech recognition gives the transcripts.
            engine: The recogniser's weights, as asr.Recogniser takes them; None: its default.

        Returns:
            Nothing for a model without text.
        """
        if not self.trained.uses_text:
            return {}
        return {"recogniser": load_recogniser(engine)} if transcribe else {"texts": text}

    def __call__(
        self,
        given: str | Path | Sequence[str | Path],
        texts: str | Sequence[str | None] | None = None,
        *,
        windows: float | None = None,
        segments: float | Segmentation | None = None,
        recogniser: Transcriber | None = None,
        speakers: str | Sequence[str | None] | None = None,
        reject_below: float = 0.0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Predict recordings.

        A model whose log-mels are normalised over speakers takes the mean of all recordings that are given of one, and
        warns of those whose speaker is not known: each of them stands for a speaker of its own. One that is normalised
        over a corpus takes all that are given for the corpus.

        Args:
            given: Recordings, as `find` takes them.
            texts: Transcripts: one for each recording, or one for all that have none in a table of recordings. The
                empty text counts as one. Not for a model without text.
            windows: Length of windows that overlap by half [s]; each is a row. None: a row is a recording; one above
                60 s is predicted in windows of 10 s, whose answers are averaged.
            segments: How speech is found and cut, or the length of the longest segment [s]; each is a row, and sound
                without speech is in none. Recordings may be hours long; who of several speakers talks is not found out.
            recogniser: Transcribes recordings that have no text, each window or segment by itself. Not for a model
                without text.
            speakers: Who talks: one for each recording, or one for all that have none in a table of recordings. For a
                model that is normalised over speakers alone.
            reject_below: The confidence below which the emotion is "not sure"; `threshold` gives it for a wish. For a
                model of classes alone.
            progress: Called with how many recordings are done, and how many there are.

        Returns:
            The columns file, start and end [s], windows (how many are behind the row), text (of a model that uses it;
            missing where the windows' differ), emotion, confidence and a probability p_<class> for each class, at the
            temperature of development, or each dimension and `scale`, lowest and highest rating of the training corpus
            (ratings may lie outside), trained_on, error; with segments also detector, which found the speech. The
            confidence is the probability of the class that is named, or that would be;
            `str(predictor.trained.confidence)` says what it means, and on how many utterances that rests. Of equally
            probable classes the first is named. A recording that cannot be used is a row with its error, which is
            missing elsewhere. One that is shorter than 32 frames is followed by silence, as in training.

        Raises:
            ValueError: A model with text and recordings without, or the other way round; another number of texts or
                speakers than recordings; speakers that the model has no use for; windows that are too short, or
                beside segments; a confidence for ratings; no recordings.
            FloatingPointError: An answer is not finite, as of a network whose weights are not.
            ModuleNotFoundError: The detector of the segments is not installed.
        """
        reject_below = self.threshold(reject_below)
        needed = self.trained.uses_text and not self.trained.network.text_dropout
        recordings = self._with_texts(given, texts, recogniser, needed)
        recordings = self._with_speakers(recordings, speakers)
        shortest = audio.LEAST_FRAMES * self.trained.features.hop / self.trained.features.sample_rate
        if windows is not None and not shortest <= windows < math.inf:
            raise ValueError(f"windows of {windows:g} s; expected a number of seconds, at least {shortest:g}")
        parts, together = windows, TOGETHER
        if segments is not None:
            parts, together = self._segmentation(segments, windows, shortest), torch.get_num_threads()
        rows: list[dict[str, Any]] = []
        offsets = self._offsets(recordings, parts, together)
        for begin in range(0, len(recordings), together):
            some = recordings[begin : begin + together]
            inputs = self._inputs(some, parts, recogniser, offsets[begin : begin + together])
            rows += self._rows(inputs, parts is not None)
            if progress is not None:
                progress(begin + len(some), len(recordings))
        table = self._table(rows)
        if isinstance(parts, Segmentation):
            table = table.assign(detector=parts.detector)
        return confidence.reject(table, reject_below) if reject_below else table

    def threshold(
        self, reject_below: float | None = None, coverage: float | None = None, error: float | None = None
    ) -> float:
        """The confidence below which a class is not named: `reject_below`, or as Confidence.threshold; by default 0.

        Raises ValueError for a model of ratings, one that is no probability, and as Confidence.threshold does.
        """
        sure = self.trained.confidence
        if reject_below is not None and not 0 <= reject_below <= 1:
            raise ValueError(f"a confidence of {reject_below:g}; expected a probability, from 0 to 1")
        if sure is None and (reject_below or coverage is not None or error is not None):
            raise ValueError(
                f"this {self.trained.model} gives ratings, which have no confidence; leave out --reject-below, "
                "--coverage and --error"
            )
        if sure is None or (coverage is None and error is None):
            return reject_below or 0.0
        return sure.threshold(coverage, error)

    def _segmentation(self, given: float | Segmentation, windows: float | None, shortest: float) -> Segmentation:
        """What `given` says, with the detector that is taken, no segment being below the model's `shortest` [s]."""
        if windows is not None:
            raise ValueError("a recording is answered in windows or in segments: leave one away")
        base = given if isinstance(given, Segmentation) else build(Segmentation, {"longest": float(given)})
        detector = spoken.available(base.detector)
        return build(Segmentation, {"detector": detector, "shortest": max(base.shortest, shortest)}, base)

    def intervene(
        self,
        given: str | Path | Sequence[str | Path],
        texts: str | Sequence[str | None] | None = None,
        *,
        recogniser: Transcriber | None = None,
        speakers: str | Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """Predict recordings where one stage at a time is told something else, see training.stages.

        Args:
            given: Recordings, as a call takes them. Each window of one above 60 s counts as a recording.
            texts: As a call takes them.
            recogniser: As a call takes it.
            speakers: As a call takes them.
            progress: As a call takes it, of the recordings that are read.

        Returns:
            What analysis.interventions.effects takes, the networks' mean; and what is wrong with each recording that
            cannot be used, by its file.

        Raises:
            ValueError: No text conditions the model; recordings have no text, or all the same.
        """
        artifact.check_conditioned(self.trained)
        recordings = self._with_texts(given, texts, recogniser, needed=True)
        recordings = self._with_speakers(recordings, speakers)
        inputs: list[_Input] = []
        offsets = self._offsets(recordings, None, TOGETHER)
        for begin in range(0, len(recordings), TOGETHER):
            part = slice(begin, begin + TOGETHER)
            inputs += self._inputs(recordings[part], None, recogniser, offsets[part])
            if progress is not None:
                progress(len(inputs), len(recordings))
        errors = {printable(item.path): item.error for item in inputs if item.error is not None}
        windows = [window for item in inputs for window in item.windows]
        if not windows:
            return pd.DataFrame(), errors
        if len({window.text for window in windows}) < 2:
            raise ValueError(
                f"one transcript for all of {len(windows)} recordings; expected at least two different ones, since a "
                "stage is told what was said in another recording"
            )
        dataset = self._dataset(windows)
        effects = [stages.intervene(network, dataset, self.device) for network in self.networks]
        names = [
            printable(item.path) + (f" {part.start:g}-{part.end:g} s" if len(item.windows) > 1 else "")
            for item in inputs
            for part in item.windows
        ]
        tables = [
            self._long(np.mean([self._answer(of.logits[place]) for of in effects], axis=0), names).assign(
                stage=one.stage, told=one.told, **pd.DataFrame([of.about(one.stage) for of in effects]).mean()
            )
            for place, one in enumerate(effects[0].asked)
        ]
        return pd.concat(tables, ignore_index=True), errors

    def _with_texts(
        self,
        given: str | Path | Sequence[str | Path],
        texts: str | Sequence[str | None] | None,
        recogniser: Transcriber | None,
        needed: bool,
    ) -> list[Recording]:
        """The recordings in `given` with their texts. Raises ValueError where the texts do not fit, or are `needed`."""
        recordings = find([given] if isinstance(given, str | Path) else given)
        if not recordings:
            raise ValueError("no recordings; name at least one file, folder or table")
        if not self.trained.uses_text:
            if texts is not None or recogniser is not None:
                raise ValueError(f"{self.trained.model} takes no text; leave out --text and --transcribe (texts=None)")
            return recordings
        given_texts = _for_each(recordings, "text", texts)
        recordings = [one._replace(text=text) for one, text in zip(recordings, given_texts, strict=True)]
        without = [one.path for one in recordings if one.text is None]
        if without and recogniser is None and needed:
            raise ValueError(
                f"{self.trained.model} takes text, and {len(without)} of {len(recordings)} recordings have no text, "
                f"{first(without)}: give it by --text (texts=...; '' for silence), by a table with a column "
                f"'{TRANSCRIPT}', or let it be recognised by --transcribe (recogniser=...)"
            )
        return recordings

    def _with_speakers(
        self, recordings: list[Recording], speakers: str | Sequence[str | None] | None
    ) -> list[Recording]:
        """The `recordings` with their speakers. Raises ValueError where these do not fit, warns where some lack one."""
        normalised = self.trained.normalisation
        if normalised is None or normalised.over != "speaker":
            if speakers is not None:
                raise ValueError(
                    f"this {self.trained.model} is not normalised over speakers; leave out --speaker (speakers=None)"
                )
            return recordings
        names = _for_each(recordings, "speaker", speakers)
        unknown = [one.path for one, name in zip(recordings, names, strict=True) if name is None]
        if unknown:
            warnings.warn(
                f"{self.trained.model} is normalised over the recordings of each speaker, and {len(unknown)} of "
                f"{len(recordings)} recordings have no speaker, {first(unknown)}: each of these is normalised by "
                f"itself. Name who talks by --speaker (speakers=...), or by a table with a column '{SPEAKER}'",
                stacklevel=3,
            )
        return [one._replace(speaker=name) for one, name in zip(recordings, names, strict=True)]

    def _offsets(self, recordings: list[Recording], parts: Parts, together: int) -> Sequence[np.ndarray | None]:
        """What normalises each recording over its speaker or corpus, (mels,) dB; None where no other one matters."""
        normalised = self.trained.normalisation
        if normalised is None or not normalised.unlabelled:
            return [None] * len(recordings)
        shape = len(recordings), self.trained.features.mels
        held = normalisation.Sums(np.zeros(shape), np.zeros(shape))
        for begin in range(0, len(recordings), together):
            inputs = self._inputs(recordings[begin : begin + together], parts, None, [None] * together)
            for row, item in enumerate(inputs, start=begin):
                for window in item.windows:
                    for whole, part in zip(held, normalisation.sums(_packed(Frames, [window.sound])), strict=True):
                        whole[row] += part[0]
        group = normalisation.groups(pd.Series([one.speaker for one in recordings], dtype="str"), normalised.over)
        return list(normalisation.moves(held, group, normalised.of))

    def _inputs(
        self,
        recordings: list[Recording],
        parts: Parts,
        recogniser: Transcriber | None,
        offsets: Sequence[np.ndarray | None],
    ) -> list[_Input]:
        """Each recording as the networks take it, read by as many threads as torch may use."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # in each thread of the pool: there must not be more than cores
        try:
            with ThreadPoolExecutor(threads) as pool:
                return list(
                    pool.map(lambda one, offset: self._input(one, offset, parts, recogniser), recordings, offsets)
                )
        finally:
            torch.set_num_threads(threads)

    def _input(
        self, recording: Recording, offset: np.ndarray | None, parts: Parts, recogniser: Transcriber | None
    ) -> _Input:
        cut = self._cut(recording.path, parts, recogniser if recording.text is None else None)
        try:
            return _Input(
                recording.path,
                tuple(
                    _Window(start, end, self._sound(waveform), recording.text if speech is None else speech, offset)
                    for start, end, waveform, speech in cut
                ),
            )
        except audio.AudioError as error:
            return _Input(recording.path, error=problem(error, recording.path))

    def _cut(
        self, path: Path, parts: Parts, recogniser: Transcriber | None
    ) -> Iterator[tuple[float, float, Tensor, str | None]]:
        """Start and end [s], sound, and what `recogniser` understands, of each window or segment of `path`."""
        rate = self.trained.features.sample_rate
        if isinstance(parts, Segmentation):
            spans = spoken.find(path, parts)
            pieces = spoken.cut(audio.stream(path, rate), spans, rate)
            heard = spoken.cut(audio.stream(path, SPEECH_RATE), spans, SPEECH_RATE)
            for start, end in spans:
                text = None if recogniser is None else _transcript(recogniser, next(heard))
                yield start, end, next(pieces), text
            return
        waveform = sound(path, rate)
        speech = sound(path) if recogniser is not None else None
        long = len(waveform) > LONGEST * rate
        window = round((parts or WINDOW) * rate) if parts or long else len(waveform)
        for start, end in windows(len(waveform), max(window, 2)):
            text = None
            if speech is not None and recogniser is not None:
                share = len(speech) / len(waveform)
                text = _transcript(recogniser, speech[int(start * share) : int(end * share)])
            yield start / rate, end / rate, waveform[start:end], text

    def _sound(self, waveform: torch.Tensor) -> np.ndarray:
        """What the networks take of `waveform` (samples,), to the rounding of the cache."""
        if self.trained.takes == "waveform":
            return samples(waveform.numpy())
        if not self.trained.uses_audio:
            return np.empty(0)
        return audio.log_mel(waveform, self.trained.features).numpy().astype(np.float16)

    def _rows(self, inputs: list[_Input], apart: bool) -> list[dict[str, Any]]:
        """The rows of `inputs`: one a window if `apart`, else one a recording."""
        answers = self._answers([window for item in inputs for window in item.windows])
        rows, begin = [], 0
        for item in inputs:
            count = len(item.windows)
            groups = [[i] for i in range(count)] if apart else [list(range(count))]
            for group in groups if count else []:
                parts = [item.windows[i] for i in group]
                texts = {part.text for part in parts}
                span = {"start": parts[0].start, "end": parts[-1].end, "windows": len(parts)}
                text = texts.pop() if len(texts) == 1 else None
                values = answers[[begin + i for i in group]].mean(0)
                rows.append({"file": printable(item.path), **span, "text": text, **self._values(values), "error": None})
            if item.error is not None:
                rows.append({"file": printable(item.path), "error": item.error})
            begin += count
        return rows

    def _answers(self, windows: list[_Window]) -> np.ndarray:
        """Probabilities (windows, classes) or ratings (windows, dimensions) of `windows`, the networks' mean."""
        if not windows:
            return np.empty((0, len(self.trained.names)))
        dataset = self._dataset(windows)
        answers = [self._answer(loop.predict(network, dataset, self.device)) for network in self.networks]
        return np.mean(answers, axis=0)

    def _answer(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities or ratings of `logits` (windows, outputs)."""
        logits = logits.astype(np.float64)
        return loop.softmax(logits) if self.trained.targets == (EMOTION,) else logits

    def _long(self, answers: np.ndarray, utterances: list[str]) -> pd.DataFrame:
        """`answers` (windows, outputs) as a predictions table has them, but for the truth."""
        names = self.trained.names
        if self.trained.targets == (EMOTION,):
            shares = pd.DataFrame(answers, columns=[f"{PROBABILITY}{name}" for name in names])
            parts = [shares.assign(target=EMOTION, prediction=[names[place] for place in answers.argmax(1)])]
        else:
            parts = [pd.DataFrame({"target": name, "prediction": answers[:, i]}) for i, name in enumerate(names)]
        return pd.concat([part.assign(utterance=utterances, fold="all") for part in parts], ignore_index=True)

    def _dataset(self, windows: list[_Window]) -> Dataset:
        """`windows` as a run's utterances."""
        utterances = pd.DataFrame({"utterance": [str(i) for i in range(len(windows))]})
        target = torch.zeros(len(windows))
        texts = [window.text or "" for window in windows]
        if self.trained.takes == "tokens" and self._encoder is not None:
            ids = [np.array(tokens, dtype=np.int32) for tokens in self._encoder.tokenize(texts)]
            return TextDataset(_packed(Tokens, ids), utterances, target)
        if self.trained.takes == "waveform":
            return WaveformDataset(_packed(Waveforms, [window.sound for window in windows]), utterances, target)
        frames = _packed(Frames, [window.sound for window in windows])
        offsets = self._moves(frames, [window.offset for window in windows])
        if self._encoder is None:
            return SpeechDataset(frames, utterances, target, offsets=offsets)
        embedded = self._encoder.embed(texts).numpy()
        if self.trained.network.text_dropout:
            embedded[[window.text is None for window in windows]] = np.nan  # a text that is not known
        return SpeechDataset(frames, utterances, target, _packed(Embeddings, list(embedded[:, None])), offsets)

    def _moves(self, frames: Frames, known: list[np.ndarray | None]) -> np.ndarray | None:
        """What normalises each window of `frames`, (windows, mels) dB: `known`, or each by itself; None: nothing."""
        normalised = self.trained.normalisation
        if normalised is None:
            return None
        if normalised.unlabelled:
            return np.stack([offset for offset in known if offset is not None])
        return normalisation.moves(normalisation.sums(frames), np.arange(len(known)), normalised.of)

    def _values(self, answer: np.ndarray) -> dict[str, Any]:
        """The columns that hold `answer` (outputs,)."""
        names = self.trained.names
        if self.trained.confidence is None:
            return dict(zip(names, map(float, answer), strict=True))
        chances = confidence.tempered(answer[None], self.trained.confidence.temperature)[0]
        shares = {f"{PROBABILITY}{name}": float(share) for name, share in zip(names, chances, strict=True)}
        return {EMOTION: names[int(answer.argmax())], "confidence": float(chances.max()), **shares}

    def _table(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        text = ["text"] if self.trained.uses_text else []
        answer = list(self._values(np.zeros(len(self.trained.names))))
        dimensions = self.trained.targets != (EMOTION,)
        about = [*(["scale"] if dimensions else []), "trained_on"]
        columns = ["file", "start", "end", "windows", *text, *answer, *about, "error"]
        scale = self.trained.scale
        table = pd.DataFrame(rows, columns=columns).astype({"windows": "Int64", "error": "object"})
        if dimensions:
            table["scale"] = "not recorded" if scale is None else f"{scale[0]:g} to {scale[1]:g}"
        return table.assign(trained_on=self.trained.corpus + (" (simulated speech)" if self.trained.simulated else ""))

    def _check(self) -> None:
        """Raise ValueError where the networks or the encoder do not fit the settings."""
        outputs = len(self.trained.names)
        for path, network in zip(self.trained.networks.values(), self.networks, strict=True):
            given = len(network.get_parameter("output.bias"))
            if given != outputs:
                raise ValueError(f"{path} gives {given} numbers, expected {outputs}")
            if not isinstance(network, cnn14.Cnn14):
                continue
            if network.mels != self.trained.features.mels:
                raise ValueError(f"{path} takes {network.mels} mels, the settings say {self.trained.features.mels}")
            if network.text_stages and self._encoder is not None and network.text_width != self._encoder.width:
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


def _transcript(recogniser: Transcriber, speech: Tensor) -> str:
    """What `recogniser` understands of `speech` (samples,) at 16 kHz."""
    return recogniser.transcribe(speech.numpy()).transcript


def _for_each(recordings: list[Recording], what: str, given: str | Sequence[str | None] | None) -> list[str | None]:
    """The `what` of each recording, "text" or "speaker": its own, or that of `given` for it or for all."""
    own = [getattr(one, what) for one in recordings]
    if given is None or isinstance(given, str):
        return [given if value is None else value for value in own]
    if len(given) != len(recordings):
        raise ValueError(
            f"{len(given)} {what}s for {len(recordings)} recordings; expected one for each, or one for all"
        )
    return [value if new is None else new for value, new in zip(own, given, strict=True)]


def _packed(kind: type[Kind], rows: list[np.ndarray]) -> Kind:
    """`rows` of each window, in memory, as the cache would give them."""
    count = np.array([len(part) for part in rows], dtype=np.int64)
    names = pd.Index([str(i) for i in range(len(rows))])
    return kind(np.concatenate(rows), count.cumsum() - count, count, names, (), "recordings")


def _text_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
