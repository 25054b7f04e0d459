"""Speech in a recording of minutes or hours: found, and cut into segments that a model answers one by one.

A detector finds the speech. "silero" is a small network (Silero VAD 6, whose weights faster-whisper brings, MIT), which
tells speech from other sound; "energy" is the fallback where that is not installed: whatever is louder than the noise.

The sound is read twice, a minute at a time: to find the speech, and to cut it out. A segment may hold the turns of
several speakers: who of a dialog talks is not told apart here.
"""

import importlib.util
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sercore.features import audio
from sercore.settings import STRICT

SILERO, ENERGY = "silero", "energy"
RATE = 16_000  # of the sound that detectors are given [Hz]
FRAME = 512  # samples that have one level: 32 ms, as Silero VAD looks at them
WARM_UP = 2 * RATE  # samples of the minute before that Silero VAD hears again: it starts anew with each minute
PAUSE = 100  # shortest silence that it tells from speech [ms]: its own default
BLIP = 0.1  # speech that is shorter is none [s]
SILENT = 1e-7  # power that is added to all, so that digital silence has a level: -70 dB of full scale
FAINT = 0.01  # above that level, and still silence: rounding to 16 bits [dB]
QUIET, LOUD = 10, 99  # percentiles of the levels that are taken for the noise floor and for speech
CONTRAST = 6.0  # between them, without which there is no speech [dB]: noise alone has 1 or 2
LEEWAY = 0.1  # between places where speech may be cut, at least [s]
SMOOTH = 5  # frames whose mean level says how quiet a place is

Span = tuple[float, float]
"""Start and end [s]."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Segmentation:
    """How speech becomes segments."""

    longest: Annotated[float, Field(gt=0)] = 10.0  # segment [s]; longer speech is cut where it is quietest
    shortest: Annotated[float, Field(gt=0)] = 1.0  # [s]; shorter speech gets more of the sound around it
    padding: Annotated[float, Field(ge=0)] = 0.2  # on either side of speech [s]
    gap: Annotated[float, Field(ge=0)] = 0.3  # [s]; a pause up to it, or up to both paddings, parts no segments
    detector: Literal["silero", "energy"] | None = None  # None: silero where it is installed, else energy

    def __post_init__(self) -> None:
        if self.longest < 2 * self.shortest + LEEWAY:
            raise ValueError(
                f"segments of {self.shortest:g} to {self.longest:g} s; expected the longest to be more than twice the "
                "shortest, so that every length can be cut"
            )


class Listened(NamedTuple):
    """What is kept of a recording's sound."""

    seconds: float
    levels: np.ndarray  # (frames,) of FRAME samples each [dB of full scale]
    speech: list[Span]


def available(wanted: str | None) -> str:
    """The detector that `wanted` names; for None the best one that is installed, with a warning where it is ENERGY.

    Raises ModuleNotFoundError for one that is not installed.
    """
    installed = importlib.util.find_spec("faster_whisper") is not None
    if wanted == SILERO and not installed:
        raise ModuleNotFoundError(
            "the voice-activity detector silero comes with faster-whisper: pip install 'sercore[offline]', or take the "
            "detector energy"
        )
    if wanted is None and not installed:
        warnings.warn(
            "speech is found by an energy gate, which takes every sound above the noise for speech; a voice-activity "
            "detector comes with pip install 'sercore[offline]'",
            stacklevel=3,
        )
    return wanted or (SILERO if installed else ENERGY)


def find(path: Path, settings: Segmentation) -> list[Span]:
    """The segments of the recording `path` in their order; none overlaps another.

    Raises AudioError, naming the file, where it cannot be read, is shorter than a segment, or no speech is in it.
    """
    detector = available(settings.detector)
    heard = listen(audio.stream(path, RATE), detector)
    if heard.seconds < settings.shortest:
        raise audio.AudioError(f"{path}: {heard.seconds:.2f} s of sound, and a segment takes {settings.shortest:g} s")
    if heard.levels.max() < 10 * np.log10(SILENT) + FAINT:
        raise audio.AudioError(f"{path}: nothing but silence, {heard.seconds:.1f} s of it")
    found = segments(heard, settings)
    if not found:
        raise audio.AudioError(f"{path}: no speech found in its {heard.seconds:.1f} s (by {detector})")
    return found


def listen(sound: Iterable[Tensor], detector: str) -> Listened:
    """What `detector` finds in `sound`, which comes in parts (samples,) at 16 kHz; all but the last of whole frames."""
    levels: list[np.ndarray] = []
    speech: list[Span] = []
    samples, before = 0, np.empty(0, np.float32)
    for part in map(Tensor.numpy, sound):
        levels.append(_levels(part))
        if detector == SILERO:
            start = samples - len(before)
            spans = [(start + first, start + last) for first, last in _spoken(np.append(before, part))]
            speech += [(max(first, samples) / RATE, last / RATE) for first, last in spans if last > samples]
            before = part[-WARM_UP:]
        samples += len(part)
    level = np.concatenate(levels) if levels else np.empty(0)
    return Listened(samples / RATE, level, speech if detector == SILERO else loud(level))


def _spoken(waveform: np.ndarray) -> list[tuple[int, int]]:
    """First sample and end of what Silero VAD takes for speech in `waveform` (samples,)."""
    from faster_whisper import vad  # takes a second to import

    options = vad.VadOptions(min_silence_duration_ms=PAUSE, speech_pad_ms=0)
    return [(span["start"], span["end"]) for span in vad.get_speech_timestamps(waveform, options)]


def _levels(waveform: np.ndarray) -> np.ndarray:
    """Level of each frame of `waveform` (samples,) [dB]."""
    starts = np.arange(0, len(waveform), FRAME)
    power = np.add.reduceat(waveform.astype(np.float64) ** 2, starts) / np.diff(starts, append=len(waveform))
    return 10 * np.log10(power + SILENT)


def loud(levels: np.ndarray) -> list[Span]:
    """The energy gate: where `levels` (frames,) are above the noise floor by a third of what lies from it to speech.

    Both are percentiles of the recording's own levels. Nothing where they are less than CONTRAST apart, which is also
    the least that a frame must be above the floor.
    """
    floor, speech = np.percentile(levels, [QUIET, LOUD]) if len(levels) else (0.0, 0.0)
    if speech - floor < CONTRAST:
        return []
    above = levels > floor + max(CONTRAST, (speech - floor) / 3)
    edges = np.flatnonzero(np.diff(above, prepend=False, append=False)) * FRAME / RATE
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def segments(heard: Listened, settings: Segmentation) -> list[Span]:
    """The segments of what was `heard`, each from `shortest` to `longest` seconds, to the millisecond."""
    speech = [(start, end) for start, end in _joined(heard.speech, settings.gap) if end - start >= BLIP]
    wide = _joined((_widened(span, heard.seconds, settings) for span in speech), 0)
    cut = [piece for span in wide for piece in _cut(span, heard.levels, settings)]
    return [(round(start, 3), round(end, 3)) for start, end in cut]


def _joined(spans: Iterable[Span], gap: float) -> list[Span]:
    """`spans`, by their start, with those made one that are no more than `gap` apart [s]."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= gap:
            start, end = joined[-1][0], max(end, joined.pop()[1])
        joined.append((start, end))
    return joined


def _widened(span: Span, seconds: float, settings: Segmentation) -> Span:
    """`span` with its padding, or with more where it would be too short, within a recording of `seconds`."""
    start, end = span
    padding = max(settings.padding, (settings.shortest - (end - start)) / 2)
    start = max(0.0, min(start - padding, seconds - settings.shortest))
    return start, min(seconds, max(end + padding, start + settings.shortest))


def _cut(span: Span, levels: np.ndarray, settings: Segmentation) -> Iterator[Span]:
    """`span` in pieces of at most `longest` seconds, the later halves of which are searched for the quietest place."""
    start, end = span
    smooth = np.convolve(levels, np.full(SMOOTH, 1 / SMOOTH), "same")
    while end - start > settings.longest:
        window = start + settings.longest / 2, min(start + settings.longest, end - settings.shortest)
        low, high = (int(place * RATE / FRAME) for place in window)
        place = (low + 1 + int(smooth[low + 1 : max(high, low + 2)].argmin())) * FRAME / RATE
        yield start, place
        start = place
    yield start, end


def cut(sound: Iterable[Tensor], spans: Sequence[Span], sample_rate: int) -> Iterator[Tensor]:
    """The sound (samples,) of each of `spans`, which do not overlap, from `sound`, in parts at `sample_rate` [Hz]."""
    places = [(round(start * sample_rate), round(end * sample_rate)) for start, end in spans]
    held, begin, done = torch.empty(0), 0, 0  # `held` begins at the sample `begin`
    for part in sound:
        held = torch.cat([held, part])
        while done < len(places) and places[done][1] <= begin + len(held):
            first, last = places[done]
            yield held[first - begin : last - begin]
            done += 1
        if done == len(places):
            return
        keep = min(max(places[done][0] - begin, 0), len(held))
        held, begin = held[keep:], begin + keep
    if done < len(places):  # the end, rounded up
        yield held[places[done][0] - begin :]
