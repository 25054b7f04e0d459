"""The ground truth of the miniatures: how emotions change the voice and the words, and how simulated raters judge them.

A turn has an arousal, a valence and a dominance, each about 0 and mostly within -1 and 1. The voice shows arousal and
dominance, the words show valence; the raters perceive all three, with noise of their own. So words alone cannot
distinguish angry from sad, the voice alone cannot distinguish angry from happy, and both together can.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EMOTIONS: dict[str, tuple[float, float, float]] = {
    "angry": (1.0, -1.0, 0.7),
    "happy": (0.7, 1.0, 0.3),
    "excited": (1.3, 0.9, 0.6),
    "sad": (-1.0, -1.0, -0.7),
    "neutral": (-0.1, 0.0, 0.0),
    "frustrated": (0.1, -0.9, 0.4),
    "surprised": (0.9, 0.0, -0.3),
    "fearful": (0.5, -0.9, -0.9),
    "disgusted": (-0.1, -1.2, 0.6),
    "contemptuous": (-0.5, -0.7, 0.8),
    "other": (-1.1, 1.0, 0.1),
}
"""Emotion -> its typical (arousal, valence, dominance)."""

INTENTIONS: dict[tuple[float, float, float], float] = {
    EMOTIONS["angry"]: 0.20,
    (0.9, 1.0, 0.4): 0.20,
    EMOTIONS["sad"]: 0.20,
    EMOTIONS["neutral"]: 0.21,
    (-0.8, 0.7, 0.2): 0.10,  # content: with it, pleasant words are as calm as unpleasant ones
}
"""What talkers mean to show, (arousal, valence, dominance) -> share of the turns; the rest is anything."""

ANY_EMOTION = 1.2  # such turns are uniform between minus this and this, in each dimension
INTENTION_SPREAD = 0.26  # of a turn about what was meant, standard deviation in each dimension
AFFECT_SPREAD = 0.28  # of what the voice shows about what the turn has
WORDING_SPREAD = 0.15  # of the valence that words are chosen for about what the turn has
PERCEPTION_SPREAD = 0.42  # of a rater's impression, in each dimension
RARE = 0.2  # how much closer to a rare emotion than to a common one an impression must be, to be called that
COMMON = ("angry", "happy", "excited", "sad", "neutral")
NEUTRAL_LEVEL = -27.0  # of a voice's neutral speech, against a full-scale square wave [dB]


@dataclass(frozen=True)
class Intent:
    """What a turn has of the three dimensions."""

    arousal: float
    valence: float
    dominance: float


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A talker: a voice of the synthesiser and personal habits."""

    name: str
    gender: str
    voice: str  # espeak-ng's accent+variant
    pitch: float = 0.0  # added to the neutral pitch, espeak-ng's scale
    rate: float = 1.0  # multiplies the neutral rate
    expression: float = 1.0  # multiplies what the voice shows


@dataclass(frozen=True, kw_only=True)
class Prosody:
    """Settings of the synthesiser for an affect; units as in espeak.SynthesisRequest."""

    rate: float
    pitch: float
    range: float
    level: float
    tilt: float
    breath: float


def intend(random: np.random.Generator) -> Intent:
    """What the next turn has: one of INTENTIONS by its share, with its spread, or anything."""
    centres, shares = list(INTENTIONS), list(INTENTIONS.values())
    chosen = random.choice(len(centres) + 1, p=[*shares, 1 - sum(shares)])
    if chosen == len(centres):
        return Intent(*(float(x) for x in random.uniform(-ANY_EMOTION, ANY_EMOTION, 3)))
    return vary(Intent(*centres[chosen]), random)


def vary(intent: Intent, random: np.random.Generator) -> Intent:
    """`intent` as one performance of it comes out."""
    shown = np.array([intent.arousal, intent.valence, intent.dominance]) + random.normal(0, INTENTION_SPREAD, 3)
    return Intent(*(float(x) for x in shown))


def voice(intent: Intent, speaker: Speaker, random: np.random.Generator) -> Prosody:
    """How `speaker` sounds: the voice follows arousal and dominance, and not the valence."""
    a, d = speaker.expression * (np.array([intent.arousal, intent.dominance]) + random.normal(0, AFFECT_SPREAD, 2))
    return Prosody(
        rate=float(np.clip(155 * speaker.rate * 1.11**a, 120, 210)),
        pitch=float(np.clip(45 + speaker.pitch + 13 * a - 5 * d, 5, 95)),
        range=float(np.clip(50 + 14 * a, 5, 100)),
        level=float(np.clip(NEUTRAL_LEVEL + 4 * a + 2 * d, -36, -17)),
        tilt=float(np.clip(3 * a + 1 * d, -6, 6)),
        breath=float(np.clip(0.06 - 0.1 * a, 0, 0.25)),
    )


def rate(value: float, scale: tuple[int, int], raters: int, random: np.random.Generator) -> list[int]:
    """The whole-number ratings of `value` (about 0, mostly within -1 and 1) on `scale` by so many raters."""
    low, high = scale
    middle, reach = (low + high) / 2, 0.28 * (high - low)
    seen = value + random.normal(0, PERCEPTION_SPREAD, raters)
    return [int(rating) for rating in np.clip(np.round(middle + reach * seen), low, high)]


def name(intent: Intent, known: Sequence[str], raters: int, random: np.random.Generator) -> list[str]:
    """What so many raters call a turn: each the emotion out of `known` that is nearest to an impression of it."""
    centres = np.array([EMOTIONS[emotion] for emotion in known])
    reluctance = np.array([0.0 if emotion in COMMON else RARE for emotion in known])
    turn = np.array([intent.arousal, intent.valence, intent.dominance])
    seen = turn + random.normal(0, PERCEPTION_SPREAD, (raters, 3))
    distance = np.sqrt((((seen[:, None] - centres) ** 2) * [1, 1, 0.5]).sum(axis=2)) + reluctance
    return [known[nearest] for nearest in distance.argmin(axis=1)]


def agree(named: Sequence[str], merged: Mapping[str, str] | None = None) -> str | None:
    """The one name that more raters chose than any other, or None. `merged` names count as another one."""
    counts = Counter((merged or {}).get(emotion, emotion) for emotion in named).most_common(2)
    return None if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]
