"""The sound of an utterance, read when it is asked for: as WAV for a browser to play, and as a log-mel picture."""

import io
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.signal import resample_poly

from sercore.corpora import Corpus
from sercore.settings import FeatureSettings

AudioSource = Callable[[str, str], Path]
"""(corpus, utterance) -> its audio file."""
PAPER = FeatureSettings()
LEAST_POWER = 1e-10
REACH = 70.0  # shown below the loudest point of a picture [dB]
TICKS = (250, 500, 1000, 2000, 4000, 8000)  # [Hz]
LINEAR, STEP = 1000.0, np.log(6.4) / 27  # Slaney's mel: linear up to 1000 Hz, logarithmic above


def gather(corpora: Iterable[Corpus]) -> pd.DataFrame:
    """The utterance tables of `corpora` in one: with `corpus`, and the ends `low` and `high` of its scale.

    Raises ValueError where there are no corpora.
    """
    parts = [
        corpus.utterances.assign(corpus=corpus.name, low=corpus.scale[0], high=corpus.scale[1]) for corpus in corpora
    ]
    if not parts:
        raise ValueError("no corpora: a browser needs at least one, see distributions.read")
    return pd.concat(parts, ignore_index=True)


def audio_of(corpora: Iterable[Corpus]) -> AudioSource:
    """Where the audio of each utterance of `corpora` lies.

    The function that is returned raises KeyError, with the names, for an utterance that no corpus has.
    """
    files = {
        (corpus.name, utterance): corpus.root / file
        for corpus in corpora
        for utterance, file in zip(corpus.utterances["utterance"], corpus.utterances["file"], strict=True)
    }

    def find(corpus: str, utterance: str) -> Path:
        if (corpus, utterance) not in files:
            raise KeyError(f"no utterance {utterance} in corpus {corpus}: was the study run on another release?")
        return files[corpus, utterance]

    return find


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


def log_mel(
    samples: Float[np.ndarray, " samples"], rate: int, settings: FeatureSettings = PAPER
) -> Float[np.ndarray, "frames mels"]:
    """Log-mel spectrogram in dB as features.log_mel gives it, without torch; short sounds are not filled up."""
    if rate != settings.sample_rate:
        common = np.gcd(rate, settings.sample_rate)
        samples = resample_poly(samples, settings.sample_rate // common, rate // common)
    half = settings.window // 2
    if len(samples) <= half:  # something to mirror
        samples = np.pad(samples, (0, half + 1 - len(samples)))
    padded = np.pad(samples, half, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.window)[:: settings.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.window) / settings.window)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    return 10 * np.log10(np.maximum(power @ _filters(settings), LEAST_POWER))


def picture(samples: Float[np.ndarray, " samples"], rate: int, settings: FeatureSettings = PAPER) -> bytes:
    """The log-mel spectrogram as PNG: time in s, frequency in Hz on the mel scale, level in dB."""
    levels = log_mel(samples, rate, settings).T  # (mels, frames)
    seconds = len(samples) / rate
    figure = Figure(figsize=(6.4, 2.7))
    axis, scale = figure.add_axes((0.12, 0.19, 0.75, 0.76)), figure.add_axes((0.885, 0.19, 0.02, 0.76))
    low, high = to_mel(settings.low), to_mel(settings.high)
    shown = axis.imshow(
        levels, origin="lower", aspect="auto", cmap="magma", interpolation="nearest", vmax=levels.max(),
        vmin=levels.max() - REACH, extent=(0, seconds, low, high),
    )  # fmt: skip
    ticks = [tick for tick in TICKS if settings.low <= tick <= settings.high]
    axis.set_yticks(to_mel(ticks), [f"{tick:,}" for tick in ticks])
    axis.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(shown, cax=scale, label="level (dB)")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def to_mel(frequency: Float[np.ndarray, " points"] | float) -> Float[np.ndarray, " points"]:
    """Slaney's mel of a frequency [Hz]: 3 f / 200 up to 1000 Hz, 15 + log(f / 1000) / (log(6.4) / 27) above."""
    frequency = np.asarray(frequency, dtype="float64")
    above = LINEAR * 3 / 200 + np.log(np.maximum(frequency, LINEAR) / LINEAR) / STEP
    return np.where(frequency < LINEAR, frequency * 3 / 200, above)


@lru_cache
def _filters(settings: FeatureSettings) -> Float[np.ndarray, "bins mels"]:
    """Triangles between neighbouring mel points, each of area 1."""
    mels = np.linspace(to_mel(settings.low), to_mel(settings.high), settings.mels + 2)
    corner = LINEAR * 3 / 200
    points = np.where(mels < corner, mels * 200 / 3, LINEAR * np.exp(STEP * (mels - corner)))
    bins = np.linspace(0, settings.sample_rate / 2, settings.window // 2 + 1)
    rising = (bins[:, None] - points[:-2]) / np.diff(points)[:-1]
    falling = (points[2:] - bins[:, None]) / np.diff(points)[1:]
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (points[2:] - points[:-2])
