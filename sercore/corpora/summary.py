"""A summary of a corpus as plain text for one screen, and how it compares with the published counts of its release.

IEMOCAP's counts are from public label lists, MSP-Podcast's from the texts of its releases. Counts without a public
source are marked as from memory: where the corpus differs from one of these, the count itself may be wrong.
"""

import itertools
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

import pandas as pd

from sercore.corpora import votes
from sercore.corpora.corpus import Corpus, Finding
from sercore.registry import CORPORA, load
from sercore.schema import (
    DIMENSIONS,
    FOUR_CLASSES,
    GENDERS,
    GROUP,
    PARTITIONS,
    STYLES,
    first,
    group_columns,
    map_emotions,
)

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
    """A published count, and the same count in the corpus."""

    what: str
    counted: float
    published: float
    release: str  # whose count it is
    from_memory: bool = False  # no public source

    @property
    def agrees(self) -> bool:
        """Whether the two are equal, a mean to the fourth decimal."""
        return abs(self.counted - self.published) < 1e-4


WIDTH = 118  # characters of a line
DIFFERENCES = 6  # that are listed at most


def describe(corpus: Corpus) -> str:
    """The summary of `corpus`: turns, speakers, partitions, transcripts, emotions, ratings, raters, defects, counts.

    Lines are cut at WIDTH characters.
    """
    lines = [
        f"{CORPORA.label(corpus.name)} in {corpus.root}",
        *_summary(corpus),
        "",
        *_emotions(corpus.utterances),
        "",
        *_ratings(corpus),
        *votes.describe(corpus),
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
        speech = "SIMULATED: synthesised, with simulated ratings; results on it say nothing about people"
    genders = table.drop_duplicates("speaker").dropna(subset="speaker")["gender"].value_counts()
    turns = table["gender"].value_counts()
    by_gender = ", ".join(f"{genders.get(name, 0)} {name} ({turns.get(name, 0):,} turns)" for name in GENDERS)
    unknown = int(table["speaker"].isna().sum())
    partitions = table["partition"].value_counts()
    parts = ", ".join(f"{name} {partitions[name]:,}" for name in PARTITIONS if name in partitions) or "none"
    left = int(table["partition"].isna().sum())
    texts, classes = table["transcript"], class_counts(corpus)
    empty = int((texts == "").sum())
    four = ", ".join(f"{name} {count:,}" for name, count in classes.items())
    return [
        f"speech       {speech}",
        f"turns        {len(table):,}, {seconds.sum() / 3600:.2f} h; "
        f"shortest {seconds.min():.2f} s, mean {seconds.mean():.2f} s, longest {seconds.max():.2f} s",
        f"speakers     {table['speaker'].nunique():,}: {by_gender}; {unknown:,} turns of unknown speakers",
        f"partitions   {parts}" + (f"; {left:,} turns in none" if left and len(partitions) else ""),
        f"transcripts  {texts.notna().sum() - empty:,} with words ({texts[texts != ''].nunique():,} different), "
        f"{empty:,} empty, {texts.isna().sum():,} missing",
        f"classes      {four}: {sum(classes.values()):,} of {len(table):,} turns",
        *(_group(table[column]) for column in group_columns(table)),
    ]


def _group(values: pd.Series) -> str:
    """How many turns each of the `values` of a group has."""
    counts = values.value_counts()
    listed = first((f"{value} {count:,}" for value, count in counts.items()), 8)
    return f"{str(values.name).removeprefix(GROUP):<12} {listed}; {values.isna().sum():,} missing"


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


def describe_findings(findings: Iterable[Finding]) -> list[str]:
    """A line for each of `findings`, with as many of its examples as fit into WIDTH characters, at least one."""
    lines = []
    for finding in findings:
        line = f"{finding.count:>7,}  {finding.kind}: {finding.meaning}"
        shown = list(itertools.accumulate(finding.examples, "{}; {}".format, initial=line))
        lines.append(next((text for text in reversed(shown[2:]) if len(text) <= WIDTH), shown[min(1, len(shown) - 1)]))
    return lines


def _defects(findings: Iterable[Finding]) -> list[str]:
    lines = describe_findings(findings)
    return ["defects and oddities met, and what was done", *lines] if lines else ["no defects met"]


def _published(corpus: Corpus) -> list[str]:
    if corpus.simulated:
        return ["published counts do not apply: the speech is simulated"]
    counts = compare(corpus)
    if not counts:
        return ["no published counts are known for this corpus"]
    agree = [count for count in counts if count.agrees]
    lines = [f"published counts ({counts[0].release}): {len(agree)} of {len(counts)} agree"]
    if 0 < len(agree) <= DIFFERENCES:
        lines += [f"  agrees   {c.what} {c.counted:,.12g}{_source(c.from_memory)}" for c in agree]
    differ = [count for count in counts if not count.agrees]
    lines += [
        f"  differs  {c.what}: found {c.counted:,.12g}, published {c.published:,.12g}{_source(c.from_memory)}"
        for c in differ[:DIFFERENCES]
    ]
    if len(differ) > DIFFERENCES:
        lines.append(f"  and {len(differ) - DIFFERENCES} more differ")
    return lines


def _source(from_memory: bool) -> str:
    return " (from memory, no public source)" if from_memory else ""


def compare(corpus: Corpus) -> list[Count]:
    """The published counts of the release beside those of `corpus`; none for simulated speech and unknown corpora."""
    spec = CORPORA.get(corpus.name)
    if corpus.simulated or spec is None or not spec.published_counts:
        return []
    return load(spec.published_counts)(corpus)


def iemocap_counts(corpus: Corpus) -> list[Count]:
    """The published counts of IEMOCAP beside those of `corpus`."""
    table = corpus.utterances
    four = table[map_emotions(table["emotion"], FOUR_CLASSES).notna()]
    means = {name: round(table[name].mean(), 4) for name in DIMENSIONS}
    release = "IEMOCAP"
    return [
        Count("turns", len(table), sum(IEMOCAP_SPEAKERS.values()), release),
        *_each(IEMOCAP_EMOTIONS, emotion_counts(corpus), release),
        *_each(IEMOCAP_CLASSES, class_counts(corpus), release, "four classes: "),
        *_each(IEMOCAP_SPEAKERS, table["speaker"].value_counts().to_dict(), release),
        *_each(IEMOCAP_CLASSES_OF_SPEAKERS, four["speaker"].value_counts().to_dict(), release, "four classes: "),
        *_each(IEMOCAP_STYLES, table["style"].value_counts().to_dict(), release),
        *_each(IEMOCAP_MEANS, means, release, "mean "),
    ]


def msp_podcast_counts(corpus: Corpus) -> list[Count]:
    """The published counts of the release of MSP-Podcast that is nearest in size, beside those of `corpus`."""
    sizes = _sizes(corpus)
    nearest = min(MSP_PODCAST, key=lambda name: _distance(sizes, MSP_PODCAST[name]))
    published = MSP_PODCAST[nearest]
    release = f"MSP-Podcast {nearest}, the nearest in size"
    counts = [
        Count(what, size, getattr(published, what), release, what in published.from_memory)
        for what, size in sizes.items()
        if getattr(published, what) is not None
    ]
    if nearest == "1.8":
        counts += _each(MSP_1_8_EMOTIONS, emotion_counts(corpus), release)
    return counts


def emotion_counts(corpus: Corpus) -> dict[str, int]:
    """Emotion -> number of turns; "no agreement" counts those without one."""
    return corpus.utterances["emotion"].fillna("no agreement").value_counts().to_dict()


def class_counts(corpus: Corpus) -> dict[str, int]:
    """Class -> number of turns, for the four classes."""
    counts = map_emotions(corpus.utterances["emotion"], FOUR_CLASSES).value_counts()
    return {name: int(counts.get(name, 0)) for name in FOUR_CLASSES}


def _each(published: Mapping[str, float], counted: Mapping[str, float], release: str, prefix: str = "") -> list[Count]:
    return [Count(prefix + name, counted.get(name, 0), number, release) for name, number in published.items()]


def _distance(sizes: dict[str, int], release: PublishedCounts) -> float:
    """The median relative difference between `sizes` and the published counts, some of which are not published."""
    differences = [
        abs(size - published) / published
        for what, size in sizes.items()
        if (published := getattr(release, what)) is not None
    ]
    return median(differences)


def _sizes(corpus: Corpus) -> dict[str, int]:
    """Field of PublishedCounts -> the corpus's own count."""
    partitions = corpus.utterances["partition"].value_counts()
    test2 = sum(finding.count for finding in corpus.findings if finding.kind == "turn of Test2")
    sizes = {name: int(partitions.get(name, 0)) for name in PARTITIONS}
    return {"total": len(corpus.utterances), **sizes, "test2": test2}
