"""What a corpus on disk turned out to hold, as plain text that fits a screen.

Published counts of the two releases, and how far a corpus that was read agrees with them.

IEMOCAP's are from public label lists. MSP-Podcast's are from the releases' own texts where nothing else is said;
those of which no public source was found are marked as from memory, and a difference there may be the memory's.
"""

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

import pandas as pd

from sercore.corpora.corpus import Corpus, Finding
from sercore.schema import CORPUS_LABELS, DIMENSIONS, FOUR_CLASSES, GENDERS, PARTITIONS, STYLES, map_emotions

IEMOCAP_EMOTIONS = {
    "angry": 1103,
    "disgusted": 2,
    "excited": 1041,
    "fearful": 40,
    "frustrated": 1849,
    "happy": 595,
    "neutral": 1708,
    "other": 3,
    "sad": 1084,
    "surprised": 107,
    "no agreement": 2507,
}
IEMOCAP_CLASSES = {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
IEMOCAP_SPEAKERS = {
    "Ses01F": 873,
    "Ses01M": 946,
    "Ses02F": 859,
    "Ses02M": 952,
    "Ses03F": 1048,
    "Ses03M": 1088,
    "Ses04F": 987,
    "Ses04M": 1116,
    "Ses05F": 1033,
    "Ses05M": 1137,
}
IEMOCAP_CLASSES_OF_SPEAKERS = {
    "Ses01F": 528,
    "Ses01M": 557,
    "Ses02F": 481,
    "Ses02M": 542,
    "Ses03F": 522,
    "Ses03M": 629,
    "Ses04F": 528,
    "Ses04M": 503,
    "Ses05F": 590,
    "Ses05M": 651,
}
IEMOCAP_STYLES = {"improvised": 4784, "scripted": 5255}
IEMOCAP_MEANS = {"arousal": 3.0897, "valence": 2.7781, "dominance": 3.1943}


class PublishedCounts(NamedTuple):
    """Published sizes of one release of MSP-Podcast; None where none was published."""

    total: int | None
    train: int | None
    development: int | None
    test: int | None
    test2: int | None
    from_memory: frozenset[str]


EVERYTHING = frozenset(("total", "train", "development", "test", "test2"))
MSP_PODCAST = {
    "1.6": PublishedCounts(50_362, 34_280, 5_958, 10_124, None, EVERYTHING),
    "1.7": PublishedCounts(62_140, 38_179, 7_538, 12_902, 3_521, EVERYTHING),
    "1.8": PublishedCounts(73_042, 44_879, 7_800, 15_326, 5_037, frozenset(("train", "test2"))),
    "1.9": PublishedCounts(None, 55_283, None, None, None, frozenset()),
    "1.10": PublishedCounts(104_267, 63_076, 10_999, 16_903, 13_289, frozenset()),
    "1.11": PublishedCounts(149_307, 84_030, 19_815, 30_647, 14_815, frozenset()),
    "of the Odyssey 2024 challenge": PublishedCounts(116_221, 84_260, 31_961, None, None, frozenset()),
    "1.12": PublishedCounts(207_136, None, None, None, None, frozenset()),
    "2.0": PublishedCounts(264_705, 169_190, 34_399, 46_294, 14_822, frozenset()),
}
"""Labelled turns: Test3, whose labels are not in the releases, is not counted, but perhaps in the total of 1.12."""
MSP_1_8_EMOTIONS = {
    "angry": 3218,
    "contemptuous": 3644,
    "disgusted": 2593,
    "fearful": 1544,
    "happy": 14285,
    "neutral": 26009,
    "other": 817,
    "sad": 2649,
    "surprised": 4084,
    "no agreement": 14199,
}


class Count(NamedTuple):
    """One published number beside what was found."""

    what: str
    found: float
    published: float
    from_memory: bool

    @property
    def agrees(self) -> bool:
        """Whether the two are the same, a mean to the fourth digit."""
        return abs(self.found - self.published) < 1e-4


def compare(corpus: Corpus) -> tuple[str, list[Count]]:
    """The release whose published counts `corpus` is compared with, and each of them; no counts where none apply."""
    if corpus.simulated or corpus.name not in ("iemocap", "msp-podcast"):
        return "", []
    if corpus.name == "iemocap":
        return "IEMOCAP", _iemocap(corpus)
    found = _sizes(corpus)
    release = min(MSP_PODCAST, key=lambda name: _distance(found, MSP_PODCAST[name]))
    published = MSP_PODCAST[release]
    counts = [
        Count(what, size, getattr(published, what), what in published.from_memory)
        for what, size in found.items()
        if getattr(published, what) is not None
    ]
    if release == "1.8":
        counts += _each(MSP_1_8_EMOTIONS, emotion_counts(corpus), "")
    return f"MSP-Podcast {release}, the nearest in size", counts


def emotion_counts(corpus: Corpus) -> dict[str, int]:
    """How many turns have each emotion, and how many none that the raters agreed on."""
    return corpus.utterances["emotion"].fillna("no agreement").value_counts().to_dict()


def class_counts(corpus: Corpus) -> dict[str, int]:
    """How many turns have each of the four classes."""
    counts = map_emotions(corpus.utterances["emotion"], FOUR_CLASSES).value_counts()
    return {name: int(counts.get(name, 0)) for name in FOUR_CLASSES}


def _iemocap(corpus: Corpus) -> list[Count]:
    table = corpus.utterances
    four = table[map_emotions(table["emotion"], FOUR_CLASSES).notna()]
    means = {name: round(table[name].mean(), 4) for name in DIMENSIONS}
    return [
        Count("turns", len(table), sum(IEMOCAP_SPEAKERS.values()), False),
        *_each(IEMOCAP_EMOTIONS, emotion_counts(corpus), ""),
        *_each(IEMOCAP_CLASSES, class_counts(corpus), "four classes: "),
        *_each(IEMOCAP_SPEAKERS, table["speaker"].value_counts().to_dict(), ""),
        *_each(IEMOCAP_CLASSES_OF_SPEAKERS, four["speaker"].value_counts().to_dict(), "four classes: "),
        *_each(IEMOCAP_STYLES, table["style"].value_counts().to_dict(), ""),
        *_each(IEMOCAP_MEANS, means, "mean "),
    ]


def _each(published: dict[str, float], found: dict[str, float], prefix: str) -> list[Count]:
    return [Count(prefix + name, found.get(name, 0), number, False) for name, number in published.items()]


def _distance(found: dict[str, int], release: PublishedCounts) -> float:
    """How far the numbers found are from the published ones, as a share of these: the median, for one may be absent."""
    shares = [
        abs(size - published) / published
        for what, size in found.items()
        if (published := getattr(release, what)) is not None
    ]
    return median(shares)


def _sizes(corpus: Corpus) -> dict[str, int]:
    partitions = corpus.utterances["partition"].value_counts()
    test2 = sum(finding.count for finding in corpus.findings if finding.kind == "turn of Test2")
    sizes = {name: int(partitions.get(name, 0)) for name in ("train", "development", "test")}
    return {"total": len(corpus.utterances), **sizes, "test2": test2}


WIDTH = 118  # characters of a line
DIFFERENCES = 6  # most disagreeing counts that are listed


def describe(corpus: Corpus) -> str:
    """Turns, speakers, partitions, classes, durations, ratings, transcripts and defects of `corpus`, and which
    published counts agree; a line is at most WIDTH characters."""
    lines = [
        f"{CORPUS_LABELS.get(corpus.name, corpus.name)} in {corpus.root}",
        *_summary(corpus),
        "",
        *_emotions(corpus.utterances),
        "",
        *_ratings(corpus),
        "",
        *_defects(corpus.findings),
        "",
        *_published(corpus),
    ]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines)


def _summary(corpus: Corpus) -> list[str]:
    table, seconds = corpus.utterances, corpus.utterances["seconds"]
    speech = "real"
    if corpus.simulated:
        speech = "SIMULATED: synthesised, with planted ratings; results on it say nothing about people"
    genders = table.drop_duplicates("speaker").dropna(subset="speaker")["gender"].value_counts()
    turns = table["gender"].value_counts()
    by_gender = ", ".join(f"{genders.get(name, 0)} {name} ({turns.get(name, 0):,} turns)" for name in GENDERS)
    unknown = int(table["speaker"].isna().sum())
    partitions = table["partition"].value_counts()
    parts = ", ".join(f"{name} {partitions[name]:,}" for name in PARTITIONS if name in partitions) or "none"
    left = int(table["partition"].isna().sum())
    told, classes = table["transcript"], class_counts(corpus)
    empty = int((told == "").sum())
    four = ", ".join(f"{name} {count:,}" for name, count in classes.items())
    return [
        f"speech       {speech}",
        f"turns        {len(table):,}, {seconds.sum() / 3600:.2f} h; "
        f"shortest {seconds.min():.2f} s, mean {seconds.mean():.2f} s, longest {seconds.max():.2f} s",
        f"speakers     {table['speaker'].nunique():,}: {by_gender}; {unknown:,} turns of unknown speakers",
        f"partitions   {parts}" + (f"; {left:,} turns in none" if left and len(partitions) else ""),
        f"transcripts  {told.notna().sum() - empty:,} with words ({told[told != ''].nunique():,} different), "
        f"{empty:,} empty, {told.isna().sum():,} missing",
        f"classes      {four}: {sum(classes.values()):,} of {len(table):,} turns",
    ]


def _emotions(table: pd.DataFrame) -> list[str]:
    """Counts of every emotion, by partition where the corpus has them, else by style where it is known."""
    column, known = ("partition", PARTITIONS) if table["partition"].notna().any() else ("style", STYLES)
    counts = pd.crosstab(table["emotion"].fillna("no agreement"), table[column].fillna("none"))
    columns = [name for name in (*known, "none") if name in counts]
    names = sorted(counts.index, key=lambda name: (name == "no agreement", name))
    if columns == ["none"]:
        columns = []
    return [
        f"{'emotion':<14}" + "".join(f"{name:>13}" for name in columns) + f"{'all':>13}",
        *(
            f"{name:<14}" + "".join(f"{counts.at[name, c]:>13,}" for c in columns) + f"{counts.loc[name].sum():>13,}"
            for name in names
        ),
    ]


def _ratings(corpus: Corpus) -> list[str]:
    low, high = corpus.scale
    lines = [f"{f'rating, {low:g} to {high:g}':<14}{'mean':>10}{'sd':>10}{'lowest':>10}{'highest':>10}{'missing':>10}"]
    for name in DIMENSIONS:
        rating = corpus.utterances[name]
        if rating.notna().any():
            numbers = (rating.mean(), rating.std(), rating.min(), rating.max())
            lines.append(f"{name:<14}" + "".join(f"{n:>10.3f}" for n in numbers) + f"{rating.isna().sum():>10,}")
    return lines if len(lines) > 1 else ["no ratings of arousal, valence and dominance"]


def _defects(findings: Iterable[Finding]) -> list[str]:
    lines = [f"{f.count:>7,}  " + "; ".join([f"{f.kind}: {f.meaning}", *f.examples[:1]]) for f in findings]
    return ["defects and oddities met, and what was done", *lines] if lines else ["no defects met"]


def _published(corpus: Corpus) -> list[str]:
    if corpus.simulated:
        return ["published counts do not apply: the speech is simulated"]
    release, counts = compare(corpus)
    if not counts:
        return ["no published counts are known for this corpus"]
    agree = [count for count in counts if count.agrees]
    lines = [f"published counts ({release}): {len(agree)} of {len(counts)} agree"]
    if 0 < len(agree) <= DIFFERENCES:
        lines += [f"  agrees   {c.what} {c.found:,.12g}{_source(c.from_memory)}" for c in agree]
    differ = [count for count in counts if not count.agrees]
    lines += [
        f"  differs  {c.what}: found {c.found:,.12g}, published {c.published:,.12g}{_source(c.from_memory)}"
        for c in differ[:DIFFERENCES]
    ]
    if len(differ) > DIFFERENCES:
        lines.append(f"  and {len(differ) - DIFFERENCES} more differ")
    return lines


def _source(from_memory: bool) -> str:
    return " (from memory, no public source)" if from_memory else ""
