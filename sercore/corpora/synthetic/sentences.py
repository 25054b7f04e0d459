"""Sentences with a valence: our own, from a small grammar, or anybody's, from a CSV of rated text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora.cells import read_csv
from sercore.corpora.synthetic.emotions import Intent

LEXICON = Path(__file__).parent / "lexicon.json"
WORDS, LETTERS = (5, 8), 42  # of our sentences: fewest and most words, most letters; they take 1.2 to 3.5 s
RATED_WORDS, RATED_LETTERS = (4, 10), 55  # of a CSV's
LENGTH = f"{RATED_WORDS[0]} to {RATED_WORDS[1]} words and at most {RATED_LETTERS} letters"
LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of valence that the lexicon has
QUALITY = 0.3  # share of sentences about what something is like; the others are about what somebody did
EXCLAMATION, OPENER, TAIL = 0.4, 0.2, 0.3  # shares of sentences with each; never with both of the first two
TRIES = 200
PLURAL = ("we",)
COLUMNS = ("text", *schema.DIMENSIONS)
PARTITION = "partition"
TELLING_NOTHING = (
    "The keys are on the small table.",
    "The bus comes at a quarter past six.",
    "She put the box next to the door.",
    "He will bring the papers at noon.",
    "We take the second road on the left.",
    "The window looks out on the yard.",
    "I left the bag under the chair.",
    "They carried it up to the third floor.",
    "The shop is behind the old bridge.",
    "It is the blue one in the corner.",
)
"""Sentences that are said in every emotion, where a corpus is to have such."""


@dataclass(frozen=True)
class Sentence:
    """A text and the valence of its words."""

    text: str
    valence: float


@dataclass(frozen=True)
class RatedSentence(Sentence):
    """A sentence and its human ratings."""

    rated: Intent


@cache
def lexicon() -> dict:
    """The words: people, openers, ...; by level of valence, exclamations; by level and pool, qualities and events."""
    return json.loads(LEXICON.read_text(encoding="utf-8"))


class Grammar:
    """Draws sentences from the lexicon, none of them twice."""

    def __init__(self) -> None:
        self._drawn: set[str] = set()

    def draw(self, valence: float, pools: Sequence[str], random: np.random.Generator) -> Sentence:
        """A new sentence whose words are about as pleasant as `valence`, from one of the lexicon's `pools`.

        A pool that is given twice is drawn from twice as often. Raises RuntimeError where the pools are exhausted.
        """
        level = min(LEVELS, key=lambda known: abs(known - valence))
        for _ in range(TRIES):
            text = _compose(level, str(random.choice(list(pools))), random)
            if fits(text, WORDS, LETTERS) and text not in self._drawn:
                self._drawn.add(text)
                return Sentence(text, level)
        raise RuntimeError(
            f"no new sentence of valence {level} in {', '.join(pools)} after {len(self._drawn)} sentences"
        )


def fits(text: str, words: tuple[int, int], letters: int) -> bool:
    """Whether `text` has so many words (fewest, most) and at most so many letters, spaces and all."""
    return words[0] <= len(text.split()) <= words[1] and len(text) <= letters


def _compose(level: float, pool: str, random: np.random.Generator) -> str:
    words = lexicon()
    beginning, opener = random.random(), ""
    if beginning < EXCLAMATION:
        opener = f"{random.choice(words['exclamations'][str(level)])}, "
    elif beginning < EXCLAMATION + OPENER:
        opener = f"{random.choice(words['openers'])} "
    tail = f" {random.choice(words['tails'])}" if random.random() < TAIL else ""
    if random.random() < QUALITY:
        core = " ".join(str(random.choice(words[part])) for part in ("things", "links"))
        core = f"{core} {random.choice(words['qualities'][str(level)][pool])}"
        tail = ""
    else:
        who, did = str(random.choice(words["people"])), str(random.choice(words["events"][str(level)][pool]))
        if who in PLURAL and did.startswith("was "):
            did = f"were {did.removeprefix('was ')}"
        core = f"{who} {did}"
    text = f"{opener}{core}{tail}."
    return text[0].upper() + text[1:]


class Rated:
    """Draws rated sentences of a CSV, none of them twice."""

    def __init__(self, path: str | Path, random: np.random.Generator) -> None:
        """Raises ValueError as `read_sentences` does."""
        self._path = path
        self._left = {
            partition: random.permutation(np.array(texts, dtype=object)).tolist()
            for partition, texts in read_sentences(path).items()
        }

    def draw(self, partition: str | None) -> RatedSentence:
        """The next sentence of `partition`, of any where it is None; the file's ratings set its affect.

        Raises ValueError where none is left.
        """
        for name in self._fitting(partition):
            if self._left[name]:
                return self._left[name].pop()
        raise ValueError(f"{self._path} has too few sentences of {LENGTH} for {partition or 'the corpus'}")

    def left(self, partition: str | None) -> int:
        """How many sentences `draw` can still give."""
        return sum(len(self._left[name]) for name in self._fitting(partition))

    def _fitting(self, partition: str | None) -> list[str]:
        return [partition] if partition in self._left else list(self._left)


def read_sentences(path: str | Path) -> dict[str, list[RatedSentence]]:
    """Partition -> the sentences of a CSV with columns text, valence, arousal, dominance and, optionally, partition.

    Ratings may be on any scale: each dimension is standardised over the file. Sentences that are shorter or longer
    than RATED_WORDS and RATED_LETTERS say are left out. Without a partition column all sentences are under "train",
    and serve every partition. Raises ValueError for a column that is absent or unknown, a rating that is no number,
    an unknown partition, a dimension that never changes, and where no sentence is left.
    """
    path = Path(path)
    table = read_csv(path)
    absent = [column for column in COLUMNS if column not in table.columns]
    unknown = [column for column in table.columns if column not in (*COLUMNS, PARTITION)]
    if absent or unknown:
        raise ValueError(
            f"{path}: columns {', '.join(table.columns)}; expected {', '.join(COLUMNS)} and, optionally, {PARTITION}"
        )
    numbers = table[list(schema.DIMENSIONS)].apply(pd.to_numeric, errors="coerce")
    wrong = table.index[~np.isfinite(numbers).all(axis=1)]
    if len(wrong):
        raise ValueError(
            f"{path}: {len(wrong)} sentences have a rating that is no number, lines {schema.first(wrong + 2)}"
        )
    if PARTITION not in table.columns:
        table[PARTITION] = "train"
    strange = table.index[~table[PARTITION].isin(schema.PARTITIONS)]
    if len(strange):
        named = str(table.at[strange[0], PARTITION])
        raise ValueError(
            f"{path}: line {strange[0] + 2} is of partition '{named}'{schema.did_you_mean(named, schema.PARTITIONS)}"
        )
    spread = numbers.std(ddof=0)
    if (spread == 0).any():
        raise ValueError(f"{path}: every sentence has the same {spread.idxmin()}; expected ratings that differ")
    scores = 0.7 * (numbers - numbers.mean()) / spread
    by_partition: dict[str, list[RatedSentence]] = {}
    for text, partition, score in zip(table["text"], table[PARTITION], scores.itertuples(index=False), strict=True):
        text = " ".join(str(text).split())
        if fits(text, RATED_WORDS, RATED_LETTERS) and any(letter.isalpha() for letter in text):
            rated = Intent(arousal=score.arousal, valence=score.valence, dominance=score.dominance)
            by_partition.setdefault(partition, []).append(RatedSentence(text, rated.valence, rated))
    if not by_partition:
        raise ValueError(f"{path}: no sentence of {LENGTH} among {len(table)}")
    return by_partition
