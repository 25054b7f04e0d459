"""Waveform -> log-mel spectrogram (section 3)."""

import re
import warnings
from functools import lru_cache
from pathlib import Path

import soundfile
import torch
import torchaudio
from jaxtyping import Float
from torch import Tensor

from sercore.corpora.headers import STREAMED
from sercore.schema import first
from sercore.settings import FeatureSettings

PAPER = FeatureSettings()
LEAST_FRAMES = 32  # CNN14 halves time five times
LEAST_POWER = 1e-10
FLOOR = -100.0  # LEAST_POWER as a level: digital silence [dB]
CUT_OFF = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # libsndfile, of a file that ends early


class AudioError(ValueError):
    """Audio that is absent, cannot be read, or holds no sound."""


def read_audio(path: str | Path, sample_rate: int = PAPER.sample_rate) -> Float[Tensor, " samples"]:
    """The sound of the file `path` as float32 in [-1, 1]: channels averaged, resampled to `sample_rate` [Hz].

    Raises AudioError, naming the file, where it is absent, is no audio, is cut off, or has no or infinite samples.
    """
    path = Path(path)
    if not path.is_file():
        raise _audio_error(path, "no such audio file")
    try:
        with soundfile.SoundFile(path) as audio:
            rate, log = audio.samplerate, audio.extra_info
            samples = audio.read(dtype="float32", always_2d=True)  # (samples, channels)
    except soundfile.LibsndfileError as error:
        raise _audio_error(path, f"cannot be read as audio ({error.error_string.strip()})") from None
    cut = CUT_OFF.search(log)
    if cut and int(cut[2]) < int(cut[1]) < STREAMED:
        raise _audio_error(path, f"cut off, {cut[1]} bytes of sound are promised and {cut[2]} are there")
    if not len(samples):
        raise _audio_error(path, "no samples in it")
    waveform = torch.from_numpy(samples).mean(1)
    if wrong := len(waveform) - int(torch.isfinite(waveform).sum()):
        raise _audio_error(path, f"{wrong} of {len(waveform)} samples are not finite")
    return waveform if rate == sample_rate else _resampling(rate, sample_rate)(waveform)


def _audio_error(path: Path, problem: str) -> AudioError:
    return AudioError(f"{path}: {problem}; copy it from the release again, or drop the utterance")


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
