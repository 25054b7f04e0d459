"""Waveform -> log-mel spectrogram (section 3)."""

import math
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.signal
import torch
import torchaudio
from jaxtyping import Float
from torch import Tensor

from sercore.corpora.sound import AudioError, decode, parts
from sercore.schema import first
from sercore.settings import FeatureSettings

__all__ = ["AudioError", "band_widths", "filters", "log_mel", "narrowband", "read_audio", "resample", "stream"]

PAPER = FeatureSettings()
LEAST_FRAMES = 32  # CNN14 halves time five times
LEAST_POWER = 1e-10
FLOOR = -100.0  # LEAST_POWER as a level: digital silence [dB]
NARROWBAND = 4_000  # what recordings at 8 kHz reach up to, a little above a telephone's 3,400 [Hz]
STREAMED = 60  # of a recording that is read in parts, in each [s]
OVERLAP = 1  # of their neighbours' sound that parts are resampled with [s]: more than any kernel reaches
LARGEST_KERNEL = 1_000_000  # values of a resampling kernel: 4 MB; 11,025 -> 16,000 Hz has 282,240


def read_audio(path: str | Path, sample_rate: int = PAPER.sample_rate) -> Float[Tensor, " samples"]:
    """The sound of the file `path` as float32 in [-1, 1]: channels averaged, resampled to `sample_rate` [Hz].

    Raises AudioError, naming the file, as corpora.sound.decode does.
    """
    samples, rate = decode(path)
    waveform = torch.from_numpy(samples).mean(1)
    return waveform if rate == sample_rate else resample(waveform, rate, sample_rate)


def stream(path: str | Path, sample_rate: int = PAPER.sample_rate) -> Iterator[Float[Tensor, " samples"]]:
    """What `read_audio` returns, in parts of STREAMED seconds, the last one shorter: for recordings of any length.

    Raises AudioError as corpora.sound.parts does.
    """
    held, before = torch.empty(0), 0  # sound at the file's own rate, and how much of it only precedes the next part
    for samples, rate in parts(path):
        held = torch.cat([held, torch.from_numpy(samples).mean(1)])
        size, margin = STREAMED * rate, OVERLAP * rate
        while len(held) >= before + size + margin:
            yield _part(held[: before + size + margin], before, size, rate, sample_rate)
            held, before = held[before + size - margin :], margin
    if len(held) > before:
        yield _part(held, before, len(held) - before, rate, sample_rate)


def _part(held: Tensor, before: int, size: int, rate: int, sample_rate: int) -> Tensor:
    """`size` samples of `held` after whole seconds `before`, at `sample_rate` instead of `rate` [Hz]."""
    resampled = held if rate == sample_rate else resample(held, rate, sample_rate)
    start, end = (math.ceil(place * sample_rate / rate) for place in (before, before + size))
    return resampled[start:end].clone()


def resample(waveform: Float[Tensor, " samples"], rate: int, sample_rate: int) -> Float[Tensor, " resampled"]:
    """`waveform` at `sample_rate` instead of `rate` [Hz], ceil(samples * sample_rate / rate) of them.

    torchaudio's kernel has as many values as the two rates, without their common divisors, multiplied: it serves the
    rates that recorders have. A rate such as 44,099 Hz would take gigabytes; there it is scipy's polyphase filter,
    which is as exact in the rate and has ten zero crossings on either side instead of six.
    """
    divisor = math.gcd(rate, sample_rate)
    up, down = sample_rate // divisor, rate // divisor
    if up * down <= LARGEST_KERNEL:
        return _resampling(rate, sample_rate)(waveform)
    return torch.from_numpy(scipy.signal.resample_poly(waveform.numpy(), up, down, window=_low_pass(max(up, down))))


@lru_cache(4)
def _low_pass(rate: int) -> np.ndarray:
    """The filter (values,) that scipy.signal.resample_poly would design anew in each call."""
    return scipy.signal.firwin(20 * rate + 1, 1 / rate, window=("kaiser", 5.0)).astype("float32")


@lru_cache
def _resampling(rate: int, sample_rate: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, sample_rate)


def log_mel(waveform: Float[Tensor, " samples"], settings: FeatureSettings = PAPER) -> Float[Tensor, "frames mels"]:
    """Log-mel spectrogram of `waveform` in dB, float32: 10 log10 max(mel power, 1e-10), so never below -100 dB.

    Frame t is centred on sample t * hop, the ends being mirrored, so there are samples // hop + 1 of them. A waveform
    too short for 32 frames is followed by digital silence until it has 32: the network halves time five times.

    Raises ValueError for what is not a waveform of one channel, and for bands too narrow for the window to resolve.
    """
    if waveform.ndim != 1 or not len(waveform) or not waveform.is_floating_point():
        raise ValueError(
            f"expected a waveform (samples,) of floats, found {tuple(waveform.shape)} of {waveform.dtype}; "
            "average the channels first, as read_audio does"
        )
    least = max((LEAST_FRAMES - 1) * settings.hop, settings.window // 2 + 1)  # the latter: something to mirror
    if len(waveform) < least:
        waveform = torch.nn.functional.pad(waveform, (0, least - len(waveform)))
    power = _mel_spectrogram(settings)(waveform.float())  # (mels, frames)
    return power.T.clamp(min=LEAST_POWER).log10().mul(10.0).contiguous()


def filters(settings: FeatureSettings = PAPER) -> Float[Tensor, "frequencies mels"]:
    """What the power of each frequency of a frame adds to each mel band of `log_mel`."""
    return _mel_spectrogram(settings).mel_scale.fb


def band_widths(settings: FeatureSettings = PAPER) -> Float[Tensor, " mels"]:
    """How wide each band is: Slaney's bands have the mean power of their frequencies, and times this its sum."""
    triangles = torchaudio.functional.melscale_fbanks(
        settings.window // 2 + 1,
        settings.low,
        settings.high,
        settings.mels,
        settings.sample_rate,
        norm=None,
        mel_scale="slaney",
    )
    return triangles.sum(0) / filters(settings).sum(0)


def narrowband(settings: FeatureSettings = PAPER) -> int:
    """How many of the bands have their peak below NARROWBAND: 50 of the paper's 64. Where none has, all count."""
    peaks = filters(settings).argmax(0) * settings.sample_rate / settings.window
    return int((peaks < NARROWBAND).sum()) or settings.mels


@lru_cache
def _mel_spectrogram(settings: FeatureSettings) -> torchaudio.transforms.MelSpectrogram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty bands, which are an error below
        transform = torchaudio.transforms.MelSpectrogram(
            settings.sample_rate,
            n_fft=settings.window,
            hop_length=settings.hop,
            f_min=settings.low,
            f_max=settings.high,
            n_mels=settings.mels,
            pad_mode="reflect",
            norm="slaney",
            mel_scale="slaney",
        )  # of power, periodic Hann window, centred: torchaudio's defaults
    empty = (transform.mel_scale.fb.sum(0) == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"{len(empty)} of {settings.mels} mel bands hold no frequency of a window of {settings.window} samples, "
            f"bands {first(empty)}; use fewer mels or a longer window"
        )
    return transform
