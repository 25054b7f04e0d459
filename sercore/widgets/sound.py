"""The sound of an utterance, read when it is opened: WAV for a browser to play, and the log-mel frames of the cache.

The frames are those that the models are trained and tested on; nothing is computed here.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from jaxtyping import Float
from matplotlib.figure import Figure

from sercore.corpora import Corpus
from sercore.features import packed
from sercore.registry import MODELS
from sercore.settings import FeatureSettings, build
from sercore.study.config import Run, Study

AudioSource = Callable[[str, str], Path]
"""(corpus, utterance) -> its audio file."""
REACH = 70.0  # shown below the loudest point of a picture [dB]
TICKS = (250, 500, 1000, 2000, 4000, 8000)  # [Hz]
LINEAR, STEP = 1000.0, np.log(6.4) / 27  # Slaney's mel: linear up to 1000 Hz, logarithmic above


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Log-mel frames of an utterance, and the settings that they were computed with."""

    levels: Float[np.ndarray, "frames mels"]  # [dB]
    settings: FeatureSettings


FrameSource = Callable[[str, str, Path], Spectrogram]
"""(corpus, utterance, its audio file) -> its log-mel frames. Raises LookupError, with the reason, without any."""


def gather(corpora: Iterable[Corpus]) -> pd.DataFrame:
    """The utterance tables of `corpora` in one: with `corpus`, and the ends `low` and `high` of its scale.

    Raises ValueError where there are no corpora.
    """
    parts = [
        corpus.utterances.assign(corpus=corpus.name, low=corpus.scale[0], high=corpus.scale[1]) for corpus in corpora
    ]
    if not parts:
        raise ValueError("no corpora: a browser needs at least one, see corpus_statistics.read")
    return pd.concat(parts, ignore_index=True)


def audio_of(corpora: Sequence[Corpus]) -> AudioSource:
    """Where the audio of each utterance of `corpora` lies.

    The function that is returned raises KeyError, with the names, for an utterance that no corpus has, and
    FileNotFoundError for one of an unpacked study, which has no sound.
    """
    silent = {corpus.name for corpus in corpora if not corpus.with_sound}
    paths = {
        (corpus.name, utterance): corpus.root / file
        for corpus in corpora
        for utterance, file in zip(corpus.utterances["utterance"], corpus.utterances["file"], strict=True)
    }

    def find(corpus: str, utterance: str) -> Path:
        if (corpus, utterance) not in paths:
            raise KeyError(f"no utterance {utterance} in corpus {corpus}: was the study run on another release?")
        if corpus in silent:
            raise FileNotFoundError(f"the study was unpacked from an archive, which holds no sound of {corpus}")
        return paths[corpus, utterance]

    return find


class CachedFrames:
    """The log-mel frames in the cache of `study` that were computed with the settings of its runs: a FrameSource.

    The audio file's content decides which entry of the cache an utterance is read from, so that frames of another
    release, or of a file that has changed since, are never shown.
    """

    def __init__(self, study: Study) -> None:
        self.cache = study.outputs / "cache"
        self.settings = list(dict.fromkeys(_frame_settings(run) for run in study.runs if _takes_frames(run)))
        self._entries: dict[str, list[tuple[FeatureSettings, packed.Frames]]] = {}

    def __call__(self, corpus: str, utterance: str, path: Path) -> Spectrogram:
        """The frames of `utterance`, whose sound is in `path`. Raises LookupError where none have been computed."""
        content = packed.digest(path.read_bytes())
        spectrogram = self._find(corpus, utterance, content)
        if spectrogram is None:
            self._entries[corpus] = self._open(corpus)  # a run may have filled the cache since it was last read
            spectrogram = self._find(corpus, utterance, content)
        if spectrogram is None:
            raise LookupError(
                f"{self.cache / corpus} has no log-mel frames of this sound; "
                "the study's first run of a CNN14 computes them"
            )
        return spectrogram

    def _find(self, corpus: str, utterance: str, content: str) -> Spectrogram | None:
        for settings, frames in self._entries.get(corpus, []):
            position = frames.utterances.get_indexer([utterance])[0]
            if position >= 0 and frames.digests[position] == content:
                return Spectrogram(frames.rows(position).astype("float32"), settings)
        return None

    def _open(self, corpus: str) -> list[tuple[FeatureSettings, packed.Frames]]:
        """The entries of `corpus` that have the study's settings, those of the latest version of the code first."""
        stored = list(packed.stored(packed.Frames, self.cache / corpus, "log-mel"))
        stored.sort(key=lambda entry: entry[0]["version"], reverse=True)
        pairs = ((known, about, frames) for about, frames in stored for known in self.settings)
        return [(known, frames) for known, about, frames in pairs if asdict(known).items() <= about.items()]


def no_frames(*_: object) -> Spectrogram:
    """The FrameSource of a browser that is given none. Raises LookupError."""
    raise LookupError("this browser was given no cache of features, see sound.CachedFrames")


def _takes_frames(run: Run) -> bool:
    model = MODELS.get(run.parameters.get("model", ""))
    return model is not None and model.features == "log_mel"


def _frame_settings(run: Run) -> FeatureSettings:
    return build(FeatureSettings, run.parameters.get("features") or {})


def read(path: Path) -> tuple[Float[np.ndarray, " samples"], int]:
    """The sound in `path`, channels averaged, in [-1, 1], and its sample rate [Hz].

    Raises FileNotFoundError and ValueError that name the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no audio file {path}; is the corpus where the parameters file says?")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} cannot be read as audio ({error.error_string.strip()})") from None
    if not len(samples):
        raise ValueError(f"{path} has no samples in it")
    return samples.mean(axis=1), rate


def wav(samples: Float[np.ndarray, " samples"], rate: int) -> bytes:
    """`samples` as a 16-bit WAV, which every browser plays."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def plot(spectrogram: Spectrogram) -> Figure:
    """`spectrogram` over time [s] and frequency [Hz, on the mel scale], its colours the level [dB]."""
    levels, used = spectrogram.levels.T, spectrogram.settings  # (mels, frames)
    low, high = to_mel(used.low), to_mel(used.high)
    hop, half_band = used.hop / used.sample_rate, (high - low) / (used.mels + 1) / 2
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axis = figure.add_subplot()
    image = axis.imshow(
        levels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=levels.max() - REACH,
        vmax=levels.max(),
        extent=(-hop / 2, (levels.shape[1] - 0.5) * hop, low + half_band, high - half_band),  # frames and bands centred
    )
    ticks = [tick for tick in TICKS if low + half_band <= to_mel(tick) <= high - half_band]
    axis.set_yticks([float(to_mel(tick)) for tick in ticks], [f"{tick:,}" for tick in ticks])
    axis.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(image, label="level (dB)")
    return figure


def to_mel(frequency: Float[np.ndarray, " points"] | float) -> Float[np.ndarray, " points"]:
    """Slaney's mel of a frequency [Hz]: 3 f / 200 up to 1000 Hz, 15 + log(f / 1000) / (log(6.4) / 27) above."""
    frequency = np.asarray(frequency, dtype="float64")
    above = LINEAR * 3 / 200 + np.log(np.maximum(frequency, LINEAR) / LINEAR) / STEP
    return np.where(frequency < LINEAR, frequency * 3 / 200, above)
