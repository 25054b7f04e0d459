"""The sound of an utterance, read when it is asked for: as WAV for a browser to play, and as a log-mel picture."""

import base64
import io
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.image import imsave
from scipy.signal import resample_poly

from sercore.corpora import Corpus
from sercore.settings import FeatureSettings

AudioSource = Callable[[str, str], Path]
"""(corpus, utterance) -> its audio file."""
PAPER = FeatureSettings()
LEAST_POWER = 1e-10
REACH = 70.0  # shown below the loudest point of a picture [dB]
TICKS = (250, 500, 1000, 2000, 4000, 8000)  # [Hz]
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)  # between ticks
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
    """The log-mel spectrogram as SVG: time in s, frequency in Hz on the mel scale, level in dB.

    Made without a plotting library, whose quarter of a second would be heard between a click and its sound.
    """
    levels = log_mel(samples, rate, settings).T  # (mels, frames)
    seconds, loudest = len(samples) / rate, float(levels.max())
    left, top, width, height, scale = 66, 10, 480, 200, 560  # [pixels]
    low, high = to_mel(settings.low), to_mel(settings.high)
    parts = [
        _image((levels - loudest) / REACH + 1, left, top, width, height),
        _image(np.linspace(0, 1, 64)[:, None], scale, top, 14, height),
    ]
    for tick in (tick for tick in TICKS if settings.low <= tick <= settings.high):
        y = top + height * (1 - (to_mel(tick) - low) / (high - low))
        parts.append(_text(left - 6, y + 4, f"{tick:,}", "end") + _line(left - 4, y, left, y))
    step = next((step for step in SECONDS if seconds / step <= 8), SECONDS[-1])
    for tick in np.arange(0, seconds + step / 100, step):
        x = left + width * tick / seconds
        parts.append(_text(x, top + height + 18, f"{tick:g}", "middle") + _line(x, top + height, x, top + height + 4))
    for tick in np.arange(20 * np.ceil((loudest - REACH) / 20), loudest, 20):
        y = top + height * (loudest - tick) / REACH
        parts.append(_text(scale + 20, y + 4, f"{tick:.0f}".replace("-", "−"), "start"))
    parts.append(_text(left + width / 2, top + height + 38, "time (s)", "middle"))
    parts += [_upright(14, top + height / 2, "frequency (Hz)"), _upright(626, top + height / 2, "level (dB)")]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="256" viewBox="0 0 640 256" '
        f'font-family="sans-serif" font-size="13">{"".join(parts)}</svg>'
    ).encode()


def _image(shares: Float[np.ndarray, "rows columns"], x: int, y: int, width: int, height: int) -> str:
    """`shares` (0 to 1, the first row at the bottom) in magma."""
    content = io.BytesIO()
    imsave(content, colormaps["magma"](np.clip(shares[::-1], 0, 1), bytes=True), format="png")
    encoded = base64.b64encode(content.getvalue()).decode()
    return (
        f'<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{encoded}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _upright(x: float, y: float, text: str) -> str:
    return f'<text transform="translate({x},{y}) rotate(-90)" text-anchor="middle">{text}</text>'


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#444"/>'


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
