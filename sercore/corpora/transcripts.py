"""Transcripts of a corpus: read from files, compared by their word error rate, and changed for experiments.

A transcript condition names a source (the corpus's own transcripts, others by name, or none) and what is done to it:
a share of the words made wrong, or all transcripts shuffled. What happens to a word depends only on the utterance's id
and the word's position: it is the same for every model, seed and machine, and the words that are wrong at one rate are
wrong in the same way at every higher one.
"""

import dataclasses
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import jiwer
import pandas as pd

from sercore import files, settings
from sercore.corpora import cells, wording
from sercore.corpora.corpus import Corpus, Finding
from sercore.schema import did_you_mean, first
from sercore.settings import EMPTY, OWN, TextSettings

GOLD = "gold"  # name of the reference transcripts in the embedded study
COUNTS = ("words", "substitutions", "deletions", "insertions")
OVERALL = "all"
THIRDS = ("low", "middle", "high")  # of the recogniser's confidence
APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\u00b4\u0060\uff07", "'"))
WORD = re.compile(r"[^ ']+(?:'[^ ']+)*")
SUFFIX = re.compile(r"\.\w{2,5}$")  # of a file's name
REPLACED, DELETED = 0.6, 0.2
"""Shares of the wrong words that are replaced and deleted, about as in recognition; the rest is followed by another."""


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Utterance -> transcript of the CSV file `path`; an empty cell means that nothing was recognised.

    Raises FileNotFoundError, and ValueError where a column is absent, a row has no utterance, or an utterance has two.
    """
    path = files.resolve(path)
    if not path.is_file():
        raise FileNotFoundError(f"no transcripts file {path}; expected a CSV with the columns utterance and transcript")
    rows = cells.read_csv(path)
    for column in ("utterance", "transcript"):
        if column not in rows:
            raise ValueError(f"{path}: no column '{column}'{did_you_mean(column, rows.columns)}")
    ids = rows["utterance"].map(cells.clean)
    nameless = rows.index[ids == ""]
    if len(nameless):
        raise ValueError(f"{path}: {len(nameless)} lines name no utterance, {first(nameless + 2)}; fill or drop them")
    twice = ids[ids.duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path}: {len(twice)} utterances have two transcripts, {first(twice)}; expected one row each")
    return dict(zip(ids, rows["transcript"].map(cells.clean), strict=True))


def read_for(path: str | Path, utterances: Iterable[str]) -> dict[str, str]:
    """`read_transcripts` of a file that is made for `utterances`. Raises ValueError also where it has none of them."""
    transcripts = read_transcripts(path)
    ids = list(utterances)
    if not transcripts.keys() & set(ids):
        raise ValueError(
            f"{path}: none of its {len(transcripts):,} utterances ({first(transcripts, 3) or 'it is empty'}) is one of "
            f"the corpus's {len(ids):,} ({first(ids, 3)}){_spelling(transcripts, ids)}; "
            "name the file that was made from this corpus, or write its ids as the corpus does"
        )
    return transcripts


def unmatched(
    path: str | Path, transcripts: Mapping[str, str], silent: Iterable[str], utterances: Iterable[str]
) -> list[Finding]:
    """The findings of ids that only one side has: `transcripts`, read from `path`, and the corpus's `utterances`.

    `silent` are the utterances that have no transcript of their own.
    """
    ids, name = set(utterances), Path(path).name
    lacking = [utterance for utterance in silent if utterance not in transcripts]
    idle = [utterance for utterance in transcripts if utterance not in ids]
    spelling = _spelling(idle, lacking)
    return [
        Finding.of(f"utterance that {name} lacks", lacking, f"kept, transcript missing{spelling}"),
        Finding.of(f"transcript in {name} of no utterance", idle, f"ignored{spelling}"),
    ]


def _spelling(ids: Iterable[str], others: Iterable[str]) -> str:
    """`; 'U1.WAV' is perhaps 'u1'` where ids of both sides differ in case, folder or suffix alone."""
    known = {_stem(other): other for other in others}
    near = [f"'{utterance}' is perhaps '{known[_stem(utterance)]}'" for utterance in ids if _stem(utterance) in known]
    return f"; {near[0]}" if near else ""


def _stem(utterance: str) -> str:
    return SUFFIX.sub("", utterance.replace("\\", "/").rpartition("/")[2]).casefold()


def words(text: str) -> list[str]:
    """The words of `text` as speech recognition compares them: in lower case, without punctuation and underscores.

    Typed and curly apostrophes are one, and belong to a word inside of it; so do composed and decomposed letters.

    >>> words("\u201cDon\u2019t!\u201d she said, 'well-known'.")
    ["don't", 'she', 'said', 'well', 'known']
    """
    text = unicodedata.normalize("NFKC", cells.clean(text).translate(APOSTROPHES)).casefold()
    return WORD.findall("".join(map(_of_word, text)))


@lru_cache(maxsize=4096)
def _of_word(character: str) -> str:
    """`character` where it may be in a word, else a space; vowel signs of Indic scripts are marks, no letters."""
    return character if character == "'" or unicodedata.category(character)[0] in "LMN" else " "


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Insertions, deletions and substitutions in `hypothesis`, per word of `reference`.

    Both are lists of texts, one for each utterance; the errors of all utterances are added up and divided by all words
    of the reference, so the rate may exceed 1. Case and punctuation do not count. NaN where the reference has no words.

    >>> word_error_rate(["he won the prize", "well"], ["He won a prize!", ""])
    0.4
    """
    return rate(count_errors(reference, hypothesis))


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> pd.DataFrame:
    """One row for each utterance, columns COUNTS: the words of its reference and the errors of its hypothesis.

    The alignment is the one with the fewest errors. Raises ValueError where the two lists differ in length.
    """
    if len(reference) != len(hypothesis):
        raise ValueError(f"{len(reference)} references and {len(hypothesis)} hypotheses; expected as many of either")
    rows = [_count(words(ours), words(theirs)) for ours, theirs in zip(reference, hypothesis, strict=True)]
    return pd.DataFrame(rows, columns=list(COUNTS))


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


def _count(reference: list[str], hypothesis: list[str]) -> tuple[int, int, int, int]:
    """COUNTS of one utterance; empty lists do not reach jiwer, whose versions treat them differently."""
    if not reference or not hypothesis:
        return len(reference), 0, len(reference), len(hypothesis)
    edits = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return len(reference), edits.substitutions, edits.deletions, edits.insertions


def _thirds(confidence: pd.Series) -> pd.Series:
    """Third of the utterances, by confidence, of each; missing where the confidence is."""
    ranks = confidence.astype("float64").rank(method="first")
    return pd.qcut(ranks, 3, labels=list(THIRDS)) if confidence.notna().sum() >= 3 else ranks.map(lambda _: THIRDS[1])


class Condition(NamedTuple):
    """A transcript condition: the source of the transcripts and what is done to them, as in settings.TextSettings."""

    transcripts: str = OWN
    corruption: float = 0.0
    shuffled: bool = False
    opposed: bool = False

    @property
    def label(self) -> str:
        """What it is called in tables: `gold`, `gold, 25 % corrupted`, `gold, shuffled`, `own, opposed`, `empty`."""
        corrupted = f", {100 * self.corruption:g} % corrupted" if self.corruption else ""
        return self.transcripts + ", shuffled" * self.shuffled + ", opposed" * self.opposed + corrupted

    @property
    def settings(self) -> TextSettings:
        """The settings of a run of this condition; those of the encoder are the default ones."""
        return settings.build(TextSettings, self._asdict())


def apply_transcripts(corpus: Corpus, text: TextSettings) -> Corpus:
    """`corpus` with the transcripts of the settings `text`: those of the source, shuffled or opposed, then corrupted.

    The source is OWN (the corpus's transcripts), one of its other_transcripts by name, or EMPTY. An utterance that the
    source lacks has a missing transcript, which models take as empty. Raises ValueError for a source that the corpus
    does not have or that has none of its utterances, and as `shuffle` and `oppose` do.
    """
    if Condition(text.transcripts, text.corruption, text.shuffled, text.opposed) == Condition():
        return corpus
    transcripts = _of_source(corpus, text.transcripts)
    if text.opposed:
        transcripts = {**transcripts, **oppose(transcripts, corpus.utterances)}
    if text.shuffled:
        transcripts = shuffle(transcripts)
    if text.corruption:
        transcripts = corrupt(transcripts, text.corruption)
    ids = corpus.utterances["utterance"]
    return dataclasses.replace(
        corpus, utterances=corpus.utterances.assign(transcript=ids.map(transcripts).astype("str"))
    )


def _of_source(corpus: Corpus, source: str) -> dict[str, str | None]:
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
    transcripts = read_for(path, ids)
    for finding in unmatched(path, transcripts, ids, ids):
        if finding.count:
            warnings.warn(
                f"corpus '{corpus.name}': {finding.count:,} times {finding.kind}, {first(finding.examples)}; "
                f"{finding.meaning}",
                stacklevel=3,
            )
    return {name: transcripts.get(name) for name in ids}


def corrupt(transcripts: Mapping[str, str | None], rate: float) -> dict[str, str | None]:
    """`transcripts` (utterance -> text) in which each word is wrong with the probability `rate`, 0 to 1.

    A wrong word is replaced by another one (share .6), deleted (.2) or followed by another one (.2), drawn from all
    words of `transcripts`, so that frequent ones come more often. The word error rate comes to about `rate`, a little
    less where an error mends another. A word that is wrong at one rate is wrong in the same way at all higher ones.
    A missing transcript stays missing. Raises ValueError for a rate outside 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"corruption is {rate}; expected a share of the words, 0 to 1")
    vocabulary = sorted(word for text in transcripts.values() if text for word in words(text))
    return {name: text and _corrupted(name, text, rate, vocabulary) for name, text in transcripts.items()}


def _corrupted(utterance: str, text: str, rate: float, vocabulary: Sequence[str]) -> str:
    result = []
    for place, word in enumerate(text.split()):
        if _random(utterance, place, "wrong") >= rate:
            result.append(word)
            continue
        fate = _random(utterance, place, "fate")
        other = _other_word(word, vocabulary, _random(utterance, place, "word"))
        if fate < REPLACED:
            result.append(other)
        elif fate >= REPLACED + DELETED:
            result += [word, other]
    return " ".join(result)


def _other_word(word: str, vocabulary: Sequence[str], chance: float) -> str:
    """The word at `chance` of the sorted `vocabulary`, or the next that is not `word`; `word` where there is no other.

    >>> _other_word("Dog.", ["cat", "dog", "dog"], 0.5)
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

    Each utterance takes the transcript of the next one, in an order that depends only on the ids.
    Raises ValueError for fewer than two utterances.
    """
    if len(transcripts) < 2:
        raise ValueError(f"{len(transcripts)} utterances cannot swap their transcripts; expected at least 2")
    order = sorted(transcripts, key=lambda utterance: (_random(utterance, 0, "order"), utterance))
    return {name: transcripts[after] for name, after in zip(order, [*order[1:], order[0]], strict=True)}


def oppose(transcripts: Mapping[str, str | None], utterances: pd.DataFrame) -> dict[str, str | None]:
    """The transcripts (utterance -> text) of those that get one of the opposite valence: words that mislead.

    Where the corpus has partitions, within each, else among the utterances of each speaker: the third with the lowest
    valence swaps its transcripts with the third with the highest, pairs at random but the same on any machine. Only
    utterances with a rating and with words take part, and those whose words tell nothing do not. Raises ValueError for
    a corpus without ratings of valence, and where nobody has three such utterances.
    """
    if utterances["valence"].isna().all():
        raise ValueError("opposed transcripts need ratings of valence, and this corpus has none")
    text = utterances["utterance"].map(transcripts)
    spoken = text.map(lambda words_: isinstance(words_, str) and bool(words(words_)))
    tell = wording.telling(utterances.assign(transcript=text.where(spoken))) == wording.TELL
    rows = utterances[tell & spoken & utterances["valence"].notna()]
    group = rows["partition"] if rows["partition"].notna().any() else rows["speaker"]
    opposed: dict[str, str | None] = {}
    for _, part in rows.groupby(group):
        ids = part.sort_values(["valence", "utterance"])["utterance"].tolist()
        third = len(ids) // 3
        low, high = (
            sorted(side, key=lambda utterance: _random(utterance, 0, "order")) for side in (ids[:third], ids[-third:])
        )
        for one, other in zip(low, high, strict=True) if third else ():
            opposed[one], opposed[other] = transcripts[other], transcripts[one]
    if not opposed:
        raise ValueError("no opposed transcripts: expected a partition, or a speaker, with three rated utterances")
    return opposed


def _random(utterance: str, place: int, what: str) -> float:
    """A pseudo-random number in [0, 1), the same for the same arguments on any machine."""
    drawn = blake2b(f"{utterance}\n{place}\n{what}".encode(), digest_size=7).digest()
    return int.from_bytes(drawn, "big") / 256**7
