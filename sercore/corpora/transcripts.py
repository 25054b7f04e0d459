"""The transcripts that a run is told: as they are, other ones, corrupted at a given rate, shuffled, or none at all.

What happens to a word depends on the utterance's id and the word's place alone: it is the same for every model and
seed, on every machine, and whoever is told more errors is told all the fewer ones as well.

MSP-Podcast, releases 1.6 to 2.0, in the layout of each.

Word error rate: how far recognised words are from those that were said, over all, by speaker, by emotion.

What runs were told: kinds of transcripts, their word error rates, and what the models score with them.

The condition of a run is among its parameters, not in the predictions table: the runs of each condition are read as a
section of their own, with those of CNN14, which is told nothing, in all of them.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import jiwer
import pandas as pd

from sercore import files, settings
from sercore.corpora.corpus import Corpus
from sercore.schema import did_you_mean, first
from sercore.settings import EMPTY, OWN, TextSettings


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Utterance -> transcript of the CSV file `path`; an empty cell means that nothing was recognised.

    Raises FileNotFoundError, and ValueError where a column is absent or an utterance is there twice.
    """
    path = files.resolve(path)
    if not path.is_file():
        raise FileNotFoundError(f"no transcripts file {path}; expected a CSV with the columns utterance and transcript")
    try:
        cells = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    for column in ("utterance", "transcript"):
        if column not in cells:
            raise ValueError(f"{path}: no column '{column}'{did_you_mean(column, cells.columns)}")
    nameless = cells.index[cells["utterance"].str.strip() == ""]
    if len(nameless):
        raise ValueError(f"{path}: {len(nameless)} lines name no utterance, {first(nameless + 2)}; fill or drop them")
    twice = cells["utterance"][cells["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path}: {len(twice)} utterances have two transcripts, {first(twice)}; expected one row each")
    return dict(zip(cells["utterance"], cells["transcript"].map(_one_line), strict=True))


def _one_line(text: str) -> str:
    return " ".join(text.split())


COUNTS = ("words", "substitutions", "deletions", "insertions")
OVERALL = "all"
THIRDS = ("low", "middle", "high")  # of the recogniser's confidence


def words(text: str) -> list[str]:
    """The words of `text`, without case and punctuation, as error rates compare them."""
    return re.findall(r"[\w']+", text.lower())


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Words to be inserted, deleted or replaced to get from `hypothesis` to `reference`, per word of `reference`.

    Both are lists of texts, one an utterance; the errors of all are added up before they are divided, so it may exceed
    1. Case and punctuation do not count. NaN where the reference has no words.

    >>> word_error_rate(["he won the prize", "well"], ["He won a prize!", ""])
    0.4
    """
    return rate(count_errors(reference, hypothesis))


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> pd.DataFrame:
    """One row an utterance: the words of its reference, and the substitutions, deletions and insertions in it.

    The alignment is the one with the fewest errors. Raises ValueError where the two are not as long.
    """
    if len(reference) != len(hypothesis):
        raise ValueError(f"{len(reference)} references and {len(hypothesis)} hypotheses; expected as many of either")
    pairs = [(words(said), words(heard)) for said, heard in zip(reference, hypothesis, strict=True)]
    return pd.DataFrame([(len(said), *_edits(said, heard)) for said, heard in pairs], columns=list(COUNTS))


def rate(counts: pd.DataFrame) -> float:
    """The word error rate of all rows of a table of `count_errors` together; NaN where they have no words."""
    total = int(counts["words"].sum())
    return float(counts[list(COUNTS[1:])].to_numpy().sum() / total) if total else math.nan


def error_table(utterances: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Word error rates of the column `recognised` of `utterances` against their column `transcript`.

    One row for all of them, then one for each value of each column in `by`; `confidence` is cut into thirds. Columns:
    by, value, utterances, words, substitutions, deletions, insertions, wer, empty (share of utterances in which
    nothing was recognised). An utterance whose transcript is missing is left out; one whose recognised text is missing
    counts as empty. Raises ValueError where no utterance has a transcript.
    """
    known = utterances[utterances["transcript"].notna()].reset_index(drop=True)
    if known.empty:
        raise ValueError(
            f"none of {len(utterances)} utterances has a transcript that the recognised can be compared with"
        )
    recognised = known["recognised"].fillna("")
    counts = count_errors(known["transcript"].tolist(), recognised.tolist())
    counts = counts.assign(utterances=1, empty=[not words(text) for text in recognised])
    groups = [(OVERALL, "", counts)]
    for column in by:
        values = _thirds(known[column]) if column == "confidence" else known[column].fillna("unknown")
        groups += [(column, str(value), part) for value, part in counts.groupby(values, observed=True)]
    rows = [
        {
            "by": column,
            "value": value,
            "utterances": len(part),
            **part[list(COUNTS)].sum().to_dict(),
            "wer": rate(part),
            "empty": part["empty"].mean(),
        }
        for column, value, part in groups
    ]
    return pd.DataFrame(rows)


def _edits(said: list[str], heard: list[str]) -> tuple[int, int, int]:
    """Substitutions, deletions, insertions; jiwer is not asked about nothing, which its versions treat differently."""
    if not said or not heard:
        return 0, len(said), len(heard)
    found = jiwer.process_words(" ".join(said), " ".join(heard))
    return found.substitutions, found.deletions, found.insertions


def _thirds(confidence: pd.Series) -> pd.Series:
    """The third of the utterances, by confidence, that each belongs to; missing where the confidence is."""
    ranks = confidence.astype("float64").rank(method="first")
    return pd.qcut(ranks, 3, labels=list(THIRDS)) if confidence.notna().sum() >= 3 else ranks.map(lambda _: THIRDS[1])


REPLACED, DELETED = 0.6, 0.2
"""Shares of a corrupted word's fates; the rest has a word inserted behind it. Recognition errs about so."""


def apply_transcripts(corpus: Corpus, text: TextSettings) -> Corpus:
    """`corpus` with the transcripts that `text` asks for: taken from a source, then shuffled, then corrupted.

    The source is the corpus's own transcripts, one of its other_transcripts by name, or none at all. What a source
    does not have is missing, and a missing transcript is told as an empty one. Raises ValueError for a source that the
    corpus does not have or that has none of its utterances, and as `shuffle` does.
    """
    if (text.transcripts, text.corruption, text.shuffled) == (OWN, 0.0, False):
        return corpus
    told = _other_transcripts(corpus, text.transcripts)
    if text.shuffled:
        told = shuffle(told)
    if text.corruption:
        told = corrupt(told, text.corruption)
    ids = corpus.utterances["utterance"]
    return dataclasses.replace(corpus, utterances=corpus.utterances.assign(transcript=ids.map(told).astype("str")))


def _other_transcripts(corpus: Corpus, source: str) -> dict[str, str | None]:
    """Utterance -> transcript of the source, None where it is missing."""
    ids = list(corpus.utterances["utterance"])
    if source == EMPTY:
        return dict.fromkeys(ids, "")
    if source == OWN:
        given = corpus.utterances["transcript"]
        return {name: text if known else None for name, text, known in zip(ids, given, given.notna(), strict=True)}
    if source not in corpus.other_transcripts:
        known = [OWN, EMPTY, *corpus.other_transcripts]
        raise ValueError(
            f"corpus '{corpus.name}' has no transcripts '{source}'{did_you_mean(source, known)}; known: "
            f"{', '.join(known)}; others are files that its `other_transcripts` name in the parameters file"
        )
    path = corpus.other_transcripts[source]
    held = read_transcripts(path)
    if not held.keys() & set(ids):
        raise ValueError(
            f"{path} has transcripts of {first(sorted(held))}, and none of the {len(ids)} utterances of "
            f"'{corpus.name}', {first(ids)}; name the file that was made from this corpus"
        )
    return {name: held.get(name) for name in ids}


def corrupt(transcripts: Mapping[str, str | None], rate: float) -> dict[str, str | None]:
    """`transcripts` (utterance -> text) in which each word is wrong with the probability `rate`, 0 to 1.

    A wrong word is replaced by another one (share .6), deleted (.2) or followed by another one (.2), drawn from all
    words of `transcripts`, so that frequent ones come more often. The word error rate comes to about `rate`, a little
    less where an error mends another. A word that is wrong at one rate is wrong in the same way at all higher ones.
    A missing transcript stays missing. Raises ValueError for a rate that is none.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"corruption is {rate}; expected a share of the words, 0 to 1")
    vocabulary = sorted(word for text in transcripts.values() if text for word in words(text))
    return {name: text and _corrupted(name, text, rate, vocabulary) for name, text in transcripts.items()}


def _corrupted(utterance: str, text: str, rate: float, vocabulary: Sequence[str]) -> str:
    told = []
    for place, word in enumerate(text.split()):
        if _random(utterance, place, "wrong") >= rate:
            told.append(word)
            continue
        fate = _random(utterance, place, "fate")
        other = _other_word(word, vocabulary, _random(utterance, place, "word"))
        if fate < REPLACED:
            told.append(other)
        elif fate >= REPLACED + DELETED:
            told += [word, other]
    return " ".join(told)


def _other_word(word: str, vocabulary: Sequence[str], chance: float) -> str:
    """The word at `chance` of the sorted `vocabulary`, or the next that is not `word`; `word` where there is no other.

    >>> _other("Dog.", ["cat", "dog", "dog"], 0.5)
    'cat'
    """
    start = int(chance * len(vocabulary))
    same = words(word)
    for place in range(len(vocabulary)):
        other = vocabulary[(start + place) % len(vocabulary)]
        if [other] != same:
            return other
    return word


def shuffle(transcripts: Mapping[str, str | None]) -> dict[str, str | None]:
    """`transcripts` (utterance -> text) in which every utterance has the transcript of another one.

    In an order that only the ids decide, each takes its successor's. Raises ValueError for fewer than two utterances.
    """
    if len(transcripts) < 2:
        raise ValueError(f"{len(transcripts)} utterances cannot be told each other's transcripts; expected at least 2")
    order = sorted(transcripts, key=lambda utterance: (_random(utterance, 0, "order"), utterance))
    return {name: transcripts[after] for name, after in zip(order, [*order[1:], order[0]], strict=True)}


def _random(utterance: str, place: int, what: str) -> float:
    """A number in [0, 1), the same for the same arguments everywhere, as if drawn at random for each of them."""
    drawn = blake2b(f"{utterance}\n{place}\n{what}".encode(), digest_size=7).digest()
    return int.from_bytes(drawn, "big") / 256**7


GOLD = "gold"


class Condition(NamedTuple):
    """The transcripts that a model is told: see settings.TextSettings."""

    transcripts: str = OWN
    corruption: float = 0.0
    shuffled: bool = False

    @property
    def label(self) -> str:
        """What it is called in tables: `gold`, `gold, 25 % corrupted`, `gold, shuffled`, `empty`."""
        told = f", {100 * self.corruption:g} % corrupted" if self.corruption else ""
        return self.transcripts + ", shuffled" * self.shuffled + told

    @property
    def settings(self) -> TextSettings:
        """The settings of a run of this condition; those of the encoder are the default ones."""
        return settings.build(TextSettings, self._asdict())
