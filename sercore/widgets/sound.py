"""The sound of an utterance, read when it is opened, and the player of it: WAV, and the log-mel frames of the cache.

The frames are those that the models are trained and tested on; nothing is computed here.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import anywidget
import numpy as np
import pandas as pd
import soundfile
import traitlets
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image

from sercore.corpora import Corpus
from sercore.features import packed
from sercore.registry import MODELS
from sercore.settings import FeatureSettings, build
from sercore.study.config import Run, Study

AudioSource = Callable[[str, str], Path]
"""(corpus, utterance) -> its audio file."""
REACH = 70.0  # shown below the loudest point of a picture [dB]
MAGMA = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype("uint8").ravel().tolist()
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


def picture(spectrogram: Spectrogram) -> bytes:
    """`spectrogram` as a PNG: a pixel a frame and mel band, low bands at the bottom; colours are the level [dB]."""
    levels, content = spectrogram.levels.T[::-1], io.BytesIO()  # (mels, frames), the high bands first
    shades = np.clip(256 + (levels - levels.max()) * (256 / REACH), 0, 255)
    image = Image.fromarray(shades.astype("uint8"))
    image.putpalette(MAGMA)  # a third of the size that every pixel's own colour would have
    image.save(content, "png")
    return content.getvalue()


def span(spectrogram: Spectrogram) -> tuple[float, float]:
    """When the picture begins and ends [s]: half a hop before the centre of its first frame, and after its last."""
    hop = spectrogram.settings.hop / spectrogram.settings.sample_rate
    return -hop / 2, (len(spectrogram.levels) - 0.5) * hop


def describe(settings: FeatureSettings) -> str:
    """What a picture shows, for whoever does not see it."""
    return f"log-mel spectrogram, {settings.low:g} to {settings.high:g} Hz, {REACH:g} dB below its loudest point"


def ticks(settings: FeatureSettings) -> list[tuple[float, str]]:
    """Where TICKS are in the picture, from 0 at its bottom to 1 at its top, and their labels; others are left out.

    Centres of the bands divide the mels from `settings.low` to `settings.high` into `mels` + 1 equal parts.
    """
    low, high = float(to_mel(settings.low)), float(to_mel(settings.high))
    half_band = (high - low) / (settings.mels + 1) / 2
    bottom, top = low + half_band, high - half_band
    places = [((float(to_mel(tick)) - bottom) / (top - bottom), f"{tick:,}") for tick in TICKS]
    return [(place, label) for place, label in places if 0 <= place <= 1]


class Player(anywidget.AnyWidget):
    """The sound of an utterance with its spectrogram as the timeline, played by player.js.

    Click to seek, drag to loop, half to twice the speed; with the keyboard: space, arrows, brackets. Without a picture
    the timeline is bare.
    """

    _esm = Path(__file__).parent / "player.js"
    sound = traitlets.Bytes().tag(sync=True)  # WAV; it is played when it comes
    picture = traitlets.Bytes().tag(sync=True)  # PNG
    span = traitlets.Tuple((0.0, 0.0)).tag(sync=True)  # of the picture [s]
    ticks: traitlets.List[tuple[float, str]] = traitlets.List().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)  # what the picture shows, for whoever does not see it

    def play(self, samples: Float[np.ndarray, " samples"], rate: int) -> None:
        """Play `samples`, also where they are those of before."""
        self.sound = b""
        self.sound = wav(samples, rate)

    def show(self, spectrogram: Spectrogram) -> None:
        """Show `spectrogram` as the timeline."""
        self.span, self.ticks = span(spectrogram), ticks(spectrogram.settings)
        self.label = describe(spectrogram.settings)
        self.picture = picture(spectrogram)

    def clear(self) -> None:
        """Hold neither sound nor picture, so that neither stays in the notebook's state."""
        self.sound, self.picture = b"", b""


def to_mel(frequency: Float[np.ndarray, " points"] | float) -> Float[np.ndarray, " points"]:
    """Slaney's mel of a frequency [Hz]: 3 f / 200 up to 1000 Hz, 15 + log(f / 1000) / (log(6.4) / 27) above."""
    frequency = np.asarray(frequency, dtype="float64")
    above = LINEAR * 3 / 200 + np.log(np.maximum(frequency, LINEAR) / LINEAR) / STEP
    return np.where(frequency < LINEAR, frequency * 3 / 200, above)
