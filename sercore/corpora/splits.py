"""Splits of a corpus into train, development and test, and speaker leakage between the three."""

import itertools
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import qmc

from sercore.corpora.cells import are_among, translated, voice
from sercore.corpora.transcripts import words
from sercore.schema import PARTITIONS, did_you_mean, first

OFFICIAL = "official"
PAIRED = re.compile(r".*\d[FM]")  # a speaker named after a session and a gender, as IEMOCAP's Ses01F
MADE_HERE = re.compile(r"by_(speaker|dialog|utterance)_(\d+)")  # names of by_group's splits: the column, the seed
MOST_FOLDS = 20  # speakers up to which every one is left out once; more would be as many trainings
SHARES = (0.6, 0.2, 0.2)  # of train, development and test in a split that is made here
ATTEMPTS = 300  # random orders of the speakers that a split is chosen from
DEALS = 100_000  # speakers dealt in all of them: many small groups come near the shares at once


@dataclass(frozen=True)
class Split:
    """Utterance ids of the three partitions, in the order of the utterance table."""

    name: str
    train: tuple[str, ...]
    development: tuple[str, ...]
    test: tuple[str, ...]


def official(utterances: pd.DataFrame, allow_speaker_leakage: bool = False) -> Split:
    """The corpus's own partitions; utterances of none are in none.

    Raises ValueError where a partition has no utterance, and where a speaker is in more than one of them, unless
    `allow_speaker_leakage`. Unknown speakers are not one speaker and do not count.
    """
    sizes = utterances["partition"].value_counts()
    empty = [partition for partition in PARTITIONS if partition not in sizes]
    if empty:
        raise ValueError(
            f"no utterance is in {' or '.join(empty)}: this corpus has no official split "
            "(or its part was filtered away); without the column partition (the reader's option columns: "
            "{partition: null}) it is split by speaker"
        )
    split = _split(OFFICIAL, utterances, utterances["partition"])
    leaking = speaker_leakage(split, utterances)
    if leaking and not allow_speaker_leakage:
        raise ValueError(
            f"{len(leaking)} speakers are in more than one partition, {first(leaking)}; scores on seen speakers are "
            "inflated: leave out the column partition (the reader's option columns: {partition: null}), and the "
            "corpus is split by speaker, or keep the partitions with allow_speaker_leakage: true"
        )
    return split


def with_development(utterances: pd.DataFrame) -> pd.DataFrame:
    """`utterances` as they are, or, where they have train and test alone, with a fifth of train as development.

    It shares no speaker with what is left of train, or no dialog or utterance where fewer than three speakers are
    known; a warning says so. The same utterances give the same partition, whatever a run's seed.
    """
    sizes = utterances["partition"].value_counts()
    if "development" in sizes or "train" not in sizes or "test" not in sizes:
        return utterances
    train = utterances[utterances["partition"] == "train"]
    groups = {"speaker": _voices(train), "dialog": train["dialog"]}
    column = next((name for name, group in groups.items() if group.nunique() >= len(PARTITIONS)), "utterance")
    chosen = by_group(train, column).development
    warnings.warn(
        f"the corpus has no development partition: {len(chosen)} of {len(train)} utterances of train, chosen by "
        f"{column}, choose the epoch and are not trained on",
        stacklevel=2,
    )
    taken = are_among(utterances["utterance"], chosen)
    return utterances.assign(partition=utterances["partition"].mask(taken, "development"))


def leave_one_speaker_out(utterances: pd.DataFrame) -> list[Split]:
    """One split a speaker, named after it: it is the test, the other speaker of its session the development partition.

    Sessions are read from the names: Ses01F and Ses01M share one. A speaker whose name has no such partner is paired
    with the next one in alphabetical order (the last with the first). Utterances of unknown speakers are in no
    partition: they could be the test speaker's; nor are those of speakers who have a name of one voice with it, as Ada
    has with ada (cells.voice). Raises ValueError for fewer than three speakers.
    """
    speakers = _speakers(utterances)
    voices = {speaker: voice(speaker) for speaker in speakers}
    splits = []
    for place, speaker in enumerate(speakers):
        mates = [mate for mate in speakers if mate != speaker and _session(mate) == _session(speaker)]
        others = [other for other in speakers[place:] + speakers[:place] if voices[other] != voices[speaker]]
        development = mates[0] if len(mates) == 1 and voices[mates[0]] != voices[speaker] else others[0]
        homes = {
            other: "development" if voices[other] == voices[development] else "train"
            for other in speakers
            if voices[other] != voices[speaker]
        }
        homes[speaker] = "test"
        splits.append(_split(speaker, utterances, translated(utterances["speaker"], homes.get)))
    return splits


def default_splits(utterances: pd.DataFrame) -> list[Split]:
    """The splits of a corpus that has none of its own, by how many speakers are known in it.

    Three to MOST_FOLDS: every one is left out once (`leave_one_speaker_out`). More: one split whose partitions share
    no speaker (`by_speaker`). Fewer: one split by dialog where there are at least three, else by utterance, and a
    warning, because it then tests on speakers that may be in training. The same utterances give the same
    splits: their seed is 0, whatever a run's.
    """
    speakers = _voices(utterances).nunique()
    if speakers > MOST_FOLDS:
        return [by_speaker(utterances)]
    if speakers >= len(PARTITIONS):
        return leave_one_speaker_out(utterances)
    column = "dialog" if utterances["dialog"].nunique() >= len(PARTITIONS) else "utterance"
    warnings.warn(
        f"{speakers} speakers are known of {len(utterances)} utterances, so the corpus is split by {column}: the "
        "speakers of its test may be in training too; name the speakers to test on others",
        stacklevel=2,
    )
    return [by_group(utterances, column)]


def by_name(utterances: pd.DataFrame, names: Iterable[str], corpus: str) -> list[Split]:
    """The splits called `names`: a speaker to leave out, or by_speaker_0, by_dialog_0, by_utterance_0 (the seed last).

    Those of speakers come first, in the order of `leave_one_speaker_out`. Raises ValueError, naming `corpus`, for a
    name that is neither.
    """
    names = list(dict.fromkeys(names))
    made = {name: MADE_HERE.fullmatch(name) for name in names}
    left_out = {name for name in names if not made[name]}
    by_left_out = {split.name: split for split in leave_one_speaker_out(utterances)} if left_out else {}
    for name in left_out:
        if name not in by_left_out:
            raise ValueError(f"corpus '{corpus}' has no fold '{name}'{did_you_mean(name, by_left_out)}")
    splits = [split for name, split in by_left_out.items() if name in left_out]
    return splits + [by_group(utterances, match[1], seed=int(match[2])) for match in made.values() if match]


def by_speaker(utterances: pd.DataFrame, shares: tuple[float, float, float] = SHARES, seed: int = 0) -> Split:
    """A split whose partitions share no speaker, for a corpus that has none of its own.

    Utterances of unknown speakers are in no partition. Otherwise as `by_group`; raises ValueError also for fewer than
    three speakers.
    """
    return by_group(utterances, "speaker", shares, seed)


def by_group(
    utterances: pd.DataFrame, column: str, shares: tuple[float, float, float] = SHARES, seed: int = 0
) -> Split:
    """A split whose partitions share no value of `column`: speaker, dialog or utterance.

    `shares` are those of train, development and test in the utterances. Of many random orders of the groups the one
    is taken that comes nearest to the shares in every emotion. An utterance without a dialog is a group of its own.
    Raises ValueError for shares that do not add up to 1 and for fewer than three groups.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares are {shares}; expected those of train, development and test, above 0 and 1 together")
    group = utterances[column]
    if column == "speaker":
        _speakers(utterances)
        group = _voices(utterances)
        names = sorted(group.dropna().unique())
    else:
        group = group.where(group.notna(), "utterance " + utterances["utterance"])
        names = sorted(group.unique())
        if len(names) < 3:
            raise ValueError(f"{len(names)} values of '{column}' ({first(names)}); expected at least three to split by")
    counts = pd.crosstab(group, utterances["emotion"].fillna("none")).loc[names].to_numpy()
    wanted = np.outer(shares, counts.sum(0))  # (partitions, emotions)
    random = np.random.default_rng(seed)
    best, least = np.zeros(len(names), dtype=int), np.inf
    for _ in range(min(ATTEMPTS, max(10, DEALS // len(names)))):
        homes = _deal(counts.sum(1), random.permutation(len(names)), shares)
        given = np.stack([counts[homes == partition].sum(0) for partition in range(3)])
        distance = np.abs(given - wanted).sum()
        if distance < least:
            best, least = homes, distance
    partitions = {name: PARTITIONS[home] for name, home in zip(names, best, strict=True)}
    return _split(f"by_{column}_{seed}", utterances, translated(group, partitions.get))


def _deal(sizes: np.ndarray, order: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    """Partition of each group: the first three go to one each, every other to the one that lacks most."""
    homes = np.empty(len(sizes), dtype=int)
    full = np.zeros(3)
    for turn, speaker in enumerate(order):
        home = turn if turn < 3 else int(np.argmax(np.asarray(shares) * sizes.sum() - full))
        homes[speaker] = home
        full[home] += sizes[speaker]
    return homes


def thinned(split: Split, utterances: pd.DataFrame, share: float, seed: int) -> Split:
    """`split` with a `share`, in (0, 1], of its training utterances; development and test stay as they are.

    Every class, and within it every speaker, keeps as nearly that share as whole utterances allow, so that less data
    is neither fewer people nor another mixture of emotions. The same seed draws a smaller share out of a larger one:
    what is in a quarter is in the half. The utterances stand in line by class and speaker, in random order within
    these, and are taken in the order of van der Corput's sequence, whose first places, however many, are spread evenly.
    """
    random = np.random.default_rng(seed)
    rows = utterances[are_among(utterances["utterance"], split.train)].sort_values("utterance", kind="stable")
    keys = rows[["emotion", "speaker"]].astype("object").fillna("")
    line = rows["utterance"].to_numpy()[np.lexsort([random.random(len(rows)), keys["speaker"], keys["emotion"]])]
    halton = qmc.Halton(1, scramble=False).fast_forward(int(random.integers(1, len(line) + 1)))
    taken = set(line[np.argsort(halton.random(len(line))[:, 0])[: round(share * len(line))]])
    return replace(split, train=tuple(name for name in split.train if name in taken))


def speaker_leakage(split: Split, utterances: pd.DataFrame) -> list[str]:
    """The speakers with utterances in more than one partition of `split`; unknown speakers are not one speaker.

    Speakers of one voice (cells.voice) are one speaker: ada in train and Ada in test are both named.
    """
    homes = _homes(split, utterances)
    voices = _voices(homes)
    counts = homes["home"].groupby(voices).nunique()  # leaves out missing speakers
    return sorted(homes["speaker"][voices.isin(counts.index[counts > 1])].unique())


def overlap(split: Split, utterances: pd.DataFrame) -> pd.DataFrame:
    """Speakers, dialogs and transcripts that two partitions of `split` share, one row for each pair.

    Columns: `partition`, and `seen_in`, one before it in the order of PARTITIONS; the number of `speakers`, `dialogs`
    and `transcripts` (the same words, whatever case and punctuation) in both; the number of `turns` of `partition`
    whose transcript is in both, and their `share` of it. What is missing or empty is not shared. Under
    leave-one-speaker-out, test and development share their dialogs by design: two people talk with each other.
    """
    homes = _homes(split, utterances)
    homes["words"] = homes["transcript"].map(lambda text: " ".join(words(text)), na_action="ignore")
    homes["words"] = homes["words"].where(homes["words"] != "")
    rows = []
    for before, partition in itertools.combinations(PARTITIONS, 2):
        ours, theirs = homes[homes["home"] == partition], homes[homes["home"] == before]
        shared = ours["words"].isin(theirs["words"].dropna())
        row: dict[str, str | int] = {"partition": partition, "seen_in": before}
        for column, name in (("speaker", "speakers"), ("dialog", "dialogs"), ("words", "transcripts")):
            row[name] = len(set(ours[column].dropna()) & set(theirs[column].dropna()))
        rows.append({**row, "turns": int(shared.sum()), "share": shared.mean() if len(shared) else 0.0})
    return pd.DataFrame(rows)


def _homes(split: Split, utterances: pd.DataFrame) -> pd.DataFrame:
    """The rows of `utterances` that are in `split`, with the column `home`: their partition."""
    home = {utterance: partition for partition in PARTITIONS for utterance in getattr(split, partition)}
    table = utterances.assign(home=utterances["utterance"].map(home))
    return table[table["home"].notna()].copy()


def _split(name: str, utterances: pd.DataFrame, homes: pd.Series) -> Split:
    train, development, test = (
        tuple(utterances["utterance"][homes == partition].to_numpy()) for partition in PARTITIONS
    )
    return Split(name=name, train=train, development=development, test=test)


def _speakers(utterances: pd.DataFrame) -> list[str]:
    speakers = sorted(utterances["speaker"].dropna().unique())
    known = len({voice(speaker) for speaker in speakers})
    if known < 3:
        raise ValueError(
            f"{known} known speakers ({first(speakers)}); expected at least three, one each to train on, to "
            "choose the epoch with and to test on"
        )
    return speakers


def _voices(utterances: pd.DataFrame) -> pd.Series:
    """Of each utterance the first, in alphabetical order, of the speakers of its voice; missing where it has none."""
    speakers = utterances["speaker"]
    first_of: dict[str, str] = {}
    names = {speaker: first_of.setdefault(voice(speaker), speaker) for speaker in sorted(speakers.dropna().unique())}
    return translated(speakers, names.__getitem__)


def _session(speaker: str) -> str:
    """The part of a name that both speakers of a session share; the whole name where it names no session."""
    return speaker[:-1] if PAIRED.fullmatch(speaker) else speaker
