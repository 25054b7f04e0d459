"""Published counts of the two releases, and how far a corpus that was read agrees with them.

IEMOCAP's are from public label lists. MSP-Podcast's are from the releases' own texts where nothing else is said;
those of which no public source was found are marked as from memory, and a difference there may be the memory's.
"""

from statistics import median
from typing import NamedTuple

from sercore.corpora.corpus import Corpus
from sercore.schema import DIMENSIONS, FOUR_CLASSES, map_emotions

IEMOCAP_EMOTIONS = {
    "angry": 1103, "disgusted": 2, "excited": 1041, "fearful": 40, "frustrated": 1849, "happy": 595, "neutral": 1708,
    "other": 3, "sad": 1084, "surprised": 107, "no agreement": 2507,
}  # fmt: skip
IEMOCAP_CLASSES = {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
IEMOCAP_SPEAKERS = {
    "Ses01F": 873, "Ses01M": 946, "Ses02F": 859, "Ses02M": 952, "Ses03F": 1048, "Ses03M": 1088, "Ses04F": 987,
    "Ses04M": 1116, "Ses05F": 1033, "Ses05M": 1137,
}  # fmt: skip
IEMOCAP_CLASSES_OF_SPEAKERS = {
    "Ses01F": 528, "Ses01M": 557, "Ses02F": 481, "Ses02M": 542, "Ses03F": 522, "Ses03M": 629, "Ses04F": 528,
    "Ses04M": 503, "Ses05F": 590, "Ses05M": 651,
}  # fmt: skip
IEMOCAP_STYLES = {"improvised": 4784, "scripted": 5255}
IEMOCAP_MEANS = {"arousal": 3.0897, "valence": 2.7781, "dominance": 3.1943}


class Release(NamedTuple):
    """Published sizes of one release of MSP-Podcast; None where none was published."""

    total: int | None
    train: int | None
    development: int | None
    test: int | None
    test2: int | None
    from_memory: frozenset[str]


EVERYTHING = frozenset(("total", "train", "development", "test", "test2"))
MSP_PODCAST = {
    "1.6": Release(50_362, 34_280, 5_958, 10_124, None, EVERYTHING),
    "1.7": Release(62_140, 38_179, 7_538, 12_902, 3_521, EVERYTHING),
    "1.8": Release(73_042, 44_879, 7_800, 15_326, 5_037, frozenset(("train", "test2"))),
    "1.9": Release(None, 55_283, None, None, None, frozenset()),
    "1.10": Release(104_267, 63_076, 10_999, 16_903, 13_289, frozenset()),
    "1.11": Release(149_307, 84_030, 19_815, 30_647, 14_815, frozenset()),
    "of the Odyssey 2024 challenge": Release(116_221, 84_260, 31_961, None, None, frozenset()),
    "1.12": Release(207_136, None, None, None, None, frozenset()),
    "2.0": Release(264_705, 169_190, 34_399, 46_294, 14_822, frozenset()),
}
"""Labelled turns: Test3, whose labels are not in the releases, is not counted, but perhaps in the total of 1.12."""
MSP_1_8_EMOTIONS = {
    "angry": 3218, "contemptuous": 3644, "disgusted": 2593, "fearful": 1544, "happy": 14285, "neutral": 26009,
    "other": 817, "sad": 2649, "surprised": 4084, "no agreement": 14199,
}  # fmt: skip


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


def _distance(found: dict[str, int], release: Release) -> float:
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
