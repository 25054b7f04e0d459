"""What a run on a corpus would meet: audio that does not decode or holds no speech, and folds that lack something."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sercore.corpora import sound
from sercore.corpora.cells import are_among
from sercore.corpora.corpus import Corpus, Finding
from sercore.corpora.headers import in_threads, read_headers
from sercore.corpora.splits import Split
from sercore.schema import DIMENSIONS, EMOTION, PARTITIONS, first

SAMPLE = 200  # files that are decoded where not all are
MEASURED = 20_000  # files whose headers are looked at for those of another format
SILENT = 1e-4  # peak of what counts as silence, full scale being 1: -80 dB
LEAST = 2  # utterances of a partition that can be trained on, or scored


class Sound(NamedTuple):
    """What was found in the audio of a corpus."""

    decoded: int  # files
    broken: tuple[str, ...]  # `file: problem` of those that cannot be used
    findings: tuple[Finding, ...]


def audit_sound(corpus: Corpus, everything: bool = False) -> Sound:
    """Decode the audio of `corpus`: `everything`, or SAMPLE files and all whose format is not the most frequent one."""
    names = corpus.utterances["file"].unique().tolist()
    chosen = names if everything else _sample(corpus.root, names)
    levels = in_threads(lambda name: _level(corpus.root / name), chosen)
    found = dict(zip(chosen, levels, strict=True))
    broken = tuple(f"{name}: {level}" for name, level in found.items() if isinstance(level, str))
    peaks = {name: level for name, level in found.items() if not isinstance(level, str)}
    silent = [name for name, (peak, _) in peaks.items() if peak < SILENT]
    cancelled = [name for name, (peak, mixed) in peaks.items() if mixed < SILENT <= peak]
    loud = [f"{name} ({peak:.3g})" for name, (peak, _) in peaks.items() if peak > sound.FULL_SCALE]
    findings = (
        Finding.of("silent audio", silent, "kept; nothing can be heard in it"),
        Finding.of("channels that cancel each other", cancelled, "kept; silent once they are mixed"),
        Finding.of("float samples beyond 1", loud, "kept; louder than full scale"),
    )
    return Sound(len(chosen), broken, tuple(finding for finding in findings if finding.count))


def _sample(root: Path, names: list[str]) -> list[str]:
    """SAMPLE of `names`, spread evenly, and all whose rate, channels or suffix are not those of most."""
    measured = _spread(names, MEASURED)
    headers = read_headers(root, measured)
    formats = [
        (rate, channels, Path(name).suffix.lower())
        for name, rate, channels in zip(measured, headers["sample_rate"], headers["channels"], strict=True)
    ]
    (usual, _), *_ = Counter(formats).most_common(1)
    odd = {name for name, form in zip(measured, formats, strict=True) if form != usual}
    taken = odd.union(_spread(names, SAMPLE))
    return [name for name in names if name in taken]


def _spread(names: list[str], most: int) -> list[str]:
    """At most `most` of `names`, spread evenly."""
    return [names[place] for place in np.linspace(0, len(names) - 1, min(most, len(names))).astype(int)]


def _level(path: Path) -> tuple[float, float] | str:
    """Peak of the sound of `path` and of its channels' mean; or what is wrong with it."""
    try:
        samples, _ = sound.decode(path)
    except sound.AudioError as error:
        return str(error).removeprefix(f"{path}: ").partition("; ")[0]
    return float(np.abs(samples).max()), float(np.abs(samples.mean(1)).max())


def shortfalls(split: Split, rows: pd.DataFrame, targets: Iterable[str], classes: Iterable[str] = ()) -> list[str]:
    """What a training on `split` would fail at: `fold x: development (speaker y, 6 utterances) has no sad`, ...

    Args:
        split: of `rows`
        rows: the utterances that have all targets; for categories `emotion` holds the class
        targets: what is learnt: emotion, or some of arousal, valence and dominance
        classes: of the emotion

    A class that the test set lacks is none of them: the fold has no score of its own, and all folds together have one.
    """
    problems = []
    for partition in PARTITIONS[:2]:
        part = rows.loc[are_among(rows["utterance"], getattr(split, partition)), ["speaker", *targets]]
        who = f"fold {split.name}: {partition} ({_speakers(part)}, {len(part):,} utterance{'s' * (len(part) != 1)})"
        if len(part) < LEAST:
            problems.append(f"{who} is too small, at least {LEAST} are needed")
            continue
        for target in targets:
            absent = _absent(part, classes) if target == EMOTION else []
            if absent:
                problems.append(f"{who} has no {first(absent)}")
            elif target in DIMENSIONS and partition == "development" and part[target].nunique() < LEAST:
                problems.append(f"{who} has one value of {target} alone")
    return problems


def unscored(split: Split, rows: pd.DataFrame, classes: Iterable[str]) -> list[str]:
    """The classes that the test set of `split` lacks, in words; the fold has no score of its own then."""
    part = rows.loc[are_among(rows["utterance"], split.test), ["speaker", EMOTION]]
    absent = _absent(part, classes)
    return [f"fold {split.name}: test ({_speakers(part)}) has no {first(absent)}"] if absent else []


def lone_speakers(rows: pd.DataFrame) -> list[str]:
    """The speakers with one utterance, each with its emotion: perhaps names that are misspelt."""
    counts = rows["speaker"].value_counts()
    lone = rows[rows["speaker"].isin(counts.index[counts == 1])]
    return [
        f"{speaker} ({'no emotion' if pd.isna(emotion) else emotion})"
        for speaker, emotion in zip(lone["speaker"], lone[EMOTION], strict=True)
    ]


def _absent(part: pd.DataFrame, classes: Iterable[str]) -> list[str]:
    there = set(part[EMOTION].unique())
    return [name for name in classes if name not in there]


def _speakers(part: pd.DataFrame) -> str:
    names = sorted(part["speaker"].dropna().unique())
    if len(names) == 1:
        return f"speaker {names[0]}"
    return f"{len(names)} speakers"
