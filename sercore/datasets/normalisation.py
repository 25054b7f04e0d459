"""Log-mels without the level or channel of their recording: their mean over time is brought to LEVEL.

A gain adds one number of dB to all of a recording, a microphone or room one to each band. Both are in the mean over
time of an utterance, of its speaker's recordings or of its corpus, so they go with it. A frame of digital silence,
FLOOR in every band, is what no gain changes: it stays, and is in no mean. A band that is at FLOOR in a frame of sound,
as those that no telephone passes, moves with the frame. Features are cached as they were recorded, and this is done to
batches.

Labels are not looked at, but means over a speaker or corpus are of all its recordings, those of test speakers as well.
"""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from torch import Tensor

from sercore.features.audio import FLOOR
from sercore.features.packed import Frames
from sercore.settings import NormalisationSettings

LEVEL = -40.0  # mean of normalised log-mels [dB]: about that of speech, which published weights expect


class Sums(NamedTuple):
    """What means over time are made of, one row an utterance."""

    total: np.ndarray  # (utterances, mels) float64 [dB], over the frames that are no digital silence
    values: np.ndarray  # (utterances, mels), how many these are


_SUMS: WeakKeyDictionary[Frames, Sums] = WeakKeyDictionary()  # a run makes many datasets of one array


def sums(frames: Frames) -> Sums:
    """Those of each utterance of `frames`, in their order; of an array that was summed before, the same again."""
    if frames not in _SUMS:
        shape = len(frames.start), frames.array.shape[1]
        held = Sums(np.zeros(shape), np.zeros(shape))
        for row in range(len(frames.start)):
            logmel = frames.rows(row)
            sounds = (logmel > FLOOR).any(1)
            held.total[row] = logmel[sounds].sum(0, dtype=np.float64)
            held.values[row] = sounds.sum()
        _SUMS[frames] = held
    return _SUMS[frames]


def moves(parts: Sums, group: np.ndarray, of: str) -> np.ndarray:
    """What brings the mean of each utterance's group to LEVEL: (utterances, mels) float32 [dB], to be added.

    `group` (utterances,) is what `groups` gives. The mean is that of all bands together where `of` is "level"; where
    there is nothing but silence, nothing is to be moved.
    """
    codes = pd.factorize(group)[0]
    total, count = (pd.DataFrame(part).groupby(codes).sum().to_numpy() for part in parts)
    if of == "level":
        total, count = (np.repeat(part.sum(1, keepdims=True), part.shape[1], axis=1) for part in (total, count))
    means = np.divide(total, count, out=np.full_like(total, LEVEL), where=count > 0)
    return (LEVEL - means).astype("float32")[codes]


def offsets(
    frames: Frames, everything: pd.DataFrame, utterances: pd.DataFrame, settings: NormalisationSettings
) -> np.ndarray:
    """The `moves` of `utterances`, each as `settings` normalise it.

    Means over a speaker or corpus are of all rows of `everything`, the corpus's utterances, that are in `frames`. An
    utterance whose speaker is not known is one of its own.
    """
    known = everything[everything["utterance"].isin(frames.utterances)]
    parts = Sums(*(part[frames.positions(known["utterance"])] for part in sums(frames)))
    moved_by = moves(parts, groups(known["speaker"], settings.over), settings.of)
    return moved_by[pd.Index(known["utterance"]).get_indexer(utterances["utterance"])]


def groups(speakers: pd.Series, over: str) -> np.ndarray:
    """Whose mean each utterance takes, from its speaker or None: a number that is the same within a group."""
    alone = np.arange(len(speakers))
    if over == "speaker":
        codes = pd.factorize(speakers)[0]
        return np.where(codes < 0, -1 - alone, codes)
    return alone if over == "utterance" else np.zeros_like(alone)


def moved(logmel: Tensor, offset: Tensor) -> Tensor:
    """`logmel` (..., frames, mels) with `offset` [dB] added, never below FLOOR; digital silence stays what it is."""
    silent = (logmel <= FLOOR).all(-1, keepdim=True)
    return (logmel + offset).clamp_(min=FLOOR).masked_fill_(silent, FLOOR)


def described(settings: NormalisationSettings) -> str:
    """The mean that is taken off, in words."""
    whose = {
        "utterance": "the utterance's frames",
        "speaker": "the frames of all recordings of its speaker",
        "corpus": "the frames of all recordings of its corpus",
    }[settings.over]
    return f"the mean of {whose}, {'of all bands together' if settings.of == 'level' else 'in each band'}"
