"""Noise and rooms in which training utterances are heard: recordings of two folders, as the log-mels of a batch need
them.

A batch has the power of each mel band and no phase, so both are approximations in power, and no utterance is computed
twice:

- Noise adds its power to that of speech: the expectation, since the phase of noise does not depend on speech.
- A room spreads the power of each band over the frames that follow, by the energy of its response in the band: speech
  convolved with the response in the mel power domain (Sehr, Maas and Kellermann, IEEE TASLP 18 (7), 2010), without the
  interference of its reflections.

Waveforms could be exact, but each would be cached in as many variants as epochs are to differ in.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from sercore import files
from sercore.corpora import Corpus, sound
from sercore.features import audio, cache
from sercore.features.packed import Frames, Progress, digest
from sercore.schema import first
from sercore.settings import AugmentationSettings, FeatureSettings

LEAST_NOISE = 1.0  # of a recording of noise [s]
ROOM = 1.0  # of a response, from its direct sound on [s]; what comes later is left out
RISE = 0.25  # of a frame's hop that the direct sound may take to rise


@dataclass(frozen=True, eq=False)
class Sounds:
    """What augmentation adds to utterances; what is not in use is None."""

    widths: Float[Tensor, " mels"]  # that make a band's power density its power, but for a factor of all of them
    noise: Frames | None = None
    power: Float[Tensor, " recordings"] | None = None  # mean of each recording of noise, over its frames
    rooms: Float[Tensor, "rooms lags mels"] | None = None  # share of a frame's power that comes so many frames later
    folder: Path | None = None  # of the noise

    def keys(self) -> dict[str, str]:
        """What identifies them in the provenance of a run."""
        noise = {} if self.noise is None else {"noise": self.noise.key}
        return noise if self.rooms is None else noise | {"rooms": digest(self.rooms.numpy().tobytes(), 6)}


def read(
    wanted: AugmentationSettings, features: FeatureSettings, folder: Path, progress: Progress | None = None
) -> Sounds | None:
    """The noise and rooms of the settings `wanted`, noise from the cache below `folder`; None where there are none.

    Raises ValueError, naming folder and file, where a folder has no recordings, or one is no sound, is of a rate that
    lacks the features' highest bands, is silent, is too short for noise, or is no response of a room.
    """
    if wanted.noise is None and wanted.rooms is None:
        return None
    noise = place = power = rooms = None
    widths = audio.band_widths(features)
    if wanted.noise is not None:
        place, names = _recordings(wanted.noise, "noise", features)
        corpus = Corpus("noise", place, (0, 1), pd.DataFrame({"utterance": names, "file": names}), (), False)
        noise = cache.log_mels(corpus, features, folder, progress)
        power = torch.stack([_power(noise, row, widths) for row in range(len(noise.start))])
        _check_noise(noise, features, place)
    if wanted.rooms is not None:
        held, names = _recordings(wanted.rooms, "rooms", features)
        decays = [decay(audio.read_audio(held / name, features.sample_rate), features, held / name) for name in names]
        rooms = torch.nn.utils.rnn.pad_sequence(decays, batch_first=True)
    return Sounds(widths, noise, power, rooms, place)


def _recordings(given: str, what: str, features: FeatureSettings) -> tuple[Path, list[str]]:
    """The folder that is `given` as `what`, and the recordings in it, by their paths below it."""
    folder = files.resolve(given)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in sound.AUDIO)
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise ValueError(
            f"training.augmentation.{what}: no recording in {folder} or below it; expected a folder with files that "
            f"end in {first(sound.AUDIO, most=10)}"
        )
    for path in paths:
        try:
            rate = sound.read_header(path).sample_rate
        except ValueError as error:
            raise ValueError(f"training.augmentation.{what}: {path}: {error}") from None
        if rate < 2 * features.high:
            raise ValueError(
                f"training.augmentation.{what}: {path} has a rate of {rate} Hz, so nothing above {rate // 2} Hz, and "
                f"the features reach {features.high:g} Hz: expected recordings of at least {2 * features.high:g} Hz"
            )
    return folder, [str(path.relative_to(folder)) for path in paths]


def _power(noise: Frames, row: int, widths: Tensor) -> Tensor:
    return (torch.from_numpy(10 ** (noise.rows(row).astype("float32") / 10)) @ widths).mean()


def _check_noise(noise: Frames, features: FeatureSettings, folder: Path) -> None:
    """Raise ValueError for recordings that are too short, or silent."""
    least = math.ceil(LEAST_NOISE * features.sample_rate / features.hop)
    for row, name in enumerate(noise.utterances):
        if noise.count[row] < least:
            seconds = noise.count[row] * features.hop / features.sample_rate
            raise ValueError(
                f"training.augmentation.noise: {folder / name} is {seconds:.2f} s long; expected at least "
                f"{LEAST_NOISE:g} s, lest its repetition be what is learnt"
            )
        if noise.rows(row).max() <= audio.FLOOR:
            raise ValueError(f"training.augmentation.noise: {folder / name} is silent; leave it out")


def decay(response: Float[Tensor, " samples"], features: FeatureSettings, path: Path) -> Float[Tensor, "lags mels"]:
    """How the power of a frame is spread over the frames that follow in the room of `response`, in each band.

    That of a single impulse is 1 at once and 0 later. The sum over lags is 1 as the mean of all bands: a room colours
    speech, and leaves its level to `gain_decibels`. Raises ValueError, naming `path`, for silence, and for sound of
    which more than half comes after ROOM seconds.
    """
    start = max(0, int(response.abs().argmax()) - round(RISE * features.hop))
    lags = round(ROOM * features.sample_rate / features.hop)
    whole = response[start:].square().sum()
    taken = response[start : start + lags * features.hop]
    if whole <= 0 or taken.square().sum() < whole / 2:
        found = "silent" if whole <= 0 else f"no response of a room: most of it comes after {ROOM:g} s"
        raise ValueError(f"training.augmentation.rooms: {path} is {found}; leave it out")
    blocks = torch.nn.functional.pad(taken, (0, -len(taken) % features.hop)).unflatten(0, (-1, features.hop))
    filters = audio.filters(features)
    bands = torch.fft.rfft(blocks, features.window).abs().square() @ (filters / filters.sum(0))
    return bands / bands.sum(0).mean()


def refuse_speech(sounds: Sounds, spoken: Mapping[str, tuple[Path, Iterable[str]]]) -> list[str]:
    """What is to be said of noise that lies within a corpus, of `spoken`: name -> its root, digests of its recordings.

    Raises ValueError where a recording of noise is one of theirs, under whatever name: the speech of a test speaker
    must not be heard in training.
    """
    if sounds.noise is None or sounds.folder is None:
        return []
    names = dict(zip(sounds.noise.digests, sounds.noise.utterances, strict=True))
    doubts = []
    for corpus, (root, digests) in spoken.items():
        same = sorted(names[content] for content in names.keys() & set(digests))
        if same:
            raise ValueError(
                f"training.augmentation.noise: {len(same)} recordings of {sounds.folder} are of the corpus '{corpus}', "
                f"{first(same)}: what is tested on would be heard in training; take them out"
            )
        if sounds.folder.resolve().is_relative_to(root.resolve()):
            doubts.append(
                f"the noise in {sounds.folder} lies within the corpus '{corpus}': none of its utterances is among it, "
                "but look whether other speech of its speakers is"
            )
    return doubts
