"""What both miniature corpora are made with: a turn, who draws its words, its request, and files that are not audio."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sercore.corpora.synthetic.emotions import WORDING_SPREAD, Intent, Prosody, Speaker, intend
from sercore.corpora.synthetic.espeak import SynthesisRequest
from sercore.corpora.synthetic.sentences import TELLING_NOTHING, Grammar, Rated

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(range(256)) * 4
"""A hidden file that macOS leaves beside others (`._name`), of which releases have some."""


@dataclass(kw_only=True)
class Turn:
    """One utterance of a corpus before it is synthesised."""

    utterance: str
    dialog: str
    speaker: Speaker
    text: str
    intent: Intent
    request: SynthesisRequest
    named: list[str] = field(default_factory=list)  # each rater's emotion
    ratings: dict[str, list[int]] = field(default_factory=dict)  # dimension -> each rater's number


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What a room, a microphone and a codec do to speech; units as in espeak.SynthesisRequest."""

    low_cut: float
    high_cut: float
    noise: float
    noise_colour: float
    gain: float = 0.0  # [dB]


class Author:
    """Draws the text of a turn and its intent: by the grammar, or by a CSV of rated sentences.

    A share of the turns has one of a few sentences that tell nothing, whatever is meant: there is only the voice to go
    by. They have random numbers of their own, so that the intents are those that there would be without.
    """

    def __init__(self, sentences: str | Path | None, random: np.random.Generator, common: float = 0.0) -> None:
        """`common` is that share, 0 to 1. Raises ValueError as sentences.read_sentences does."""
        self._random, self._common = random, common
        self._of_common = np.random.default_rng(0)
        self._grammar = Grammar()
        self._rated = None if sentences is None else Rated(sentences, random)

    def draw(self, pools: Sequence[str], partition: str | None) -> tuple[str, Intent]:
        """The next text and its intent; `pools` are the grammar's, `partition` is the CSV's."""
        if self._rated is not None:
            sentence = self._rated.draw(partition)
            return sentence.text, sentence.rated
        intent = intend(self._random)
        wanted = intent.valence + self._random.normal(0, WORDING_SPREAD)
        return self._grammar.draw(wanted, pools, self._random).text, intent

    def sentences(self, partition: str | None) -> float:
        """How many sentences `partition` has that are not drawn yet; the grammar's are as good as endless."""
        return math.inf if self._rated is None else self._rated.left(partition)

    def said(self, text: str) -> str:
        """What is said in place of `text`: itself, or a sentence that tells nothing."""
        if self._common and self._of_common.random() < self._common:
            return str(self._of_common.choice(TELLING_NOTHING))
        return text


def make_request(
    file: str, text: str, speaker: Speaker, prosody: Prosody, channel: Channel, seed: int, odd: bool = False
) -> SynthesisRequest:
    """The request to the synthesiser; `file` and `seed` give the utterance noise of its own."""
    return SynthesisRequest(
        file=file,
        text=text,
        voice=speaker.voice,
        rate=prosody.rate,
        pitch=prosody.pitch,
        range=prosody.range,
        level=prosody.level + channel.gain,
        tilt=prosody.tilt,
        breath=prosody.breath,
        low_cut=channel.low_cut,
        high_cut=channel.high_cut,
        noise=channel.noise,
        noise_colour=channel.noise_colour,
        seed=zlib.crc32(f"{seed} {file}".encode()),
        odd=odd,
    )


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write `lines` to `path`, each with a newline, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
