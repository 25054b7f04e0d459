"""Does what the text gains or costs at a set of stages shrink or grow with more training data?

The gap of a set of stages is its score less that without any stage, at the same share of the training utterances
(training.data_share), seed and test speakers. The runs on all of the data may be those of another study.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sercore.analysis import captions, statistics, where
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.figures import drawing
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.tables import Table
from sercore.analysis.where import DRAWS, SEED, STAGES, Stages, Where
from sercore.registry import METRICS
from sercore.study import config

FAMILIES: dict[str, list[Stages]] = {
    "one stage": [(stage,) for stage in STAGES],
    "the first stages": [STAGES[:k] for k in range(2, 7)],
    "the last stages": [STAGES[k:] for k in range(5)],
}
"""Panel of the figure -> its sets of stages, each a line."""
ASIDE = 1.05  # factor between the places of two sets at one size, so that their intervals stand apart
OPEN, ONE_SEED = "open", "not known"
Sizes = dict[float, Where]
"""Share of the training utterances -> the runs that were trained on it, the smallest share first."""


def read(studies: Sequence[str], section: str, incomplete: str = "refuse") -> Sizes:
    """The runs of `section` by the share of the training data that they had, with the sets that every share has.

    Args:
        studies: Parameters files, each with shares of its own.
        section: Name of a section of each.
        incomplete: As results.read takes it.

    Raises:
        FileNotFoundError: Runs are missing, as results.read raises it.
        ValueError: There are runs of one share alone, a share is in two of the studies, the shares have no set of
            stages in common or not the one without any, or runs differ in more than stages and share.
    """
    found: dict[float, Where] = {}
    for path in studies:
        study = config.load(path)
        for share in sorted({kind.data_share for _, kind, _ in where.kinds(study, section, incomplete)}):
            if share in found:
                raise ValueError(f"{study.path} has runs on {share:.0%} of the data, and {found[share].study.path} too")
            found[share] = where.read(study, section, incomplete, data_share=share)
    if len(found) < 2:
        raise ValueError(
            f"{', '.join(map(str, studies))}: section '{section}' has runs on {', '.join(map(_percent, found))} of the "
            "data alone; name a study on other shares of it (training: {data_share: 0.5})"
        )
    shared = [stages for stages in next(iter(found.values())).runs if all(stages in of.runs for of in found.values())]
    if () not in shared or len(shared) < 2:
        raise ValueError(f"{', '.join(map(str, studies))}: all shares need runs without any stage, and a set of stages")
    every = [run for of in found.values() for stages in shared for run in of.runs[stages]]
    where.refuse_mixtures(every, f"section '{section}'", apart=("network.stages", "training.data_share"))
    return {
        share: replace(
            of,
            by_stages={stages: of.by_stages[stages] for stages in shared},
            runs={stages: of.runs[stages] for stages in shared},
        )
        for share, of in sorted(found.items())
    }


def gaps(sizes: Sizes, corpus: str, target: str, metric: str, draws: int = DRAWS) -> pd.DataFrame:
    """How far each set of stages is above or below no stage at all, on the test utterances of `corpus`, in-domain.

    Returns:
        One row a set and share: stages, share, gap, low, high; and one a set with the share NaN: the gap on most data
        less that on least. Intervals are of .95, over seeds and speakers; a seed is drawn for all runs that have it, so
        that they are paired; NaN with one seed or one speaker. In the metric's printed unit.
    """
    sums = {share: where.sums(of, corpus, target, metric) for share, of in sizes.items()}
    anyone = next(iter(sums.values()))[()]
    seeds = anyone.seeds
    for by_stages in sums.values():
        seeds = seeds.intersection(by_stages[()].seeds)
    if not len(seeds):
        raise ValueError("no seed has been run on every share of the data")
    for by_stages in sums.values():
        for stages, of in by_stages.items():
            by_stages[stages] = of.at(anyone.clusters, of.runs[of.runs.get_level_values("seed").isin(seeds)])
    least, most = min(sums), max(sums)
    scale, rows = METRICS[metric].scale, []
    for stages in [stages for stages in next(iter(sums.values())) if stages]:
        for share in (*sums, np.nan):
            signs = {most: 1.0, least: -1.0} if np.isnan(share) else {share: 1.0}
            found = statistics.resample(
                partial(_gap, [(sums[of][stages], sums[of][()], sign) for of, sign in signs.items()]),
                [len(anyone.clusters), len(seeds)],
                np.random.default_rng(SEED),
                draws,
                1 - statistics.ALPHA,
            )
            gap, low, high = (scale * value for value in found[:3])
            rows.append({"stages": stages, "share": share, "gap": gap, "low": low, "high": high})
    return pd.DataFrame(rows)


def _gap(
    parts: Sequence[tuple[statistics.Sums, statistics.Sums, float]], speakers: np.ndarray, seeds: np.ndarray
) -> np.ndarray:
    """The sum of sign x (score with text less score without) over `parts`, where speakers and seeds count so often."""
    return np.sum([sign * (of.crossed(speakers, seeds) - none.crossed(speakers, seeds)) for of, none, sign in parts], 0)


def reading(of: pd.DataFrame) -> str:
    """What the rows of one set of `gaps` say in words: its gain or loss grows, shrinks or turns with more data."""
    change = of[of["share"].isna()].iloc[0]
    if np.isnan(change["low"]):
        return ONE_SEED
    if change["low"] <= 0 <= change["high"]:
        return OPEN
    gaps = of.dropna(subset="share").sort_values("share")["gap"]
    least, most = ("gain" if gap > 0 else "loss" for gap in (gaps.iloc[0], gaps.iloc[-1]))
    if least != most:
        return f"{least} turns into {most}"
    return f"{most} {'grows' if (change['gap'] > 0) == (most == 'gain') else 'shrinks'}"


def table(sizes: Sizes, corpus: str, target: str, metric: str, draws: int = DRAWS) -> Table:
    """The gap of each set of stages at each share of the training data, and whether it grows with more."""
    numbers = gaps(sizes, corpus, target, metric, draws)
    rows = {}
    for stages, part in numbers.groupby("stages", sort=False):
        texts = [f"{signed(row.gap, metric)} ({interval(row.low, row.high, metric)})" for row in part.itertuples()]
        rows[", ".join(map(str, stages))] = [*texts, reading(part)]
    columns = [("trained on", _percent(share)) for share in sizes] + [("", "change"), ("", "with more data")]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(columns))
    below = (
        f"Not in the paper. {METRICS[metric].label} of {target} with text at these stages less that with text at none, "
        f"on {corpus}, in-domain; the change is from {_percent(min(sizes))} of the training utterances to "
        f"{_percent(max(sizes))}. Intervals of .95 over seeds and speakers, each for itself.",
        "A loss that shrinks with more data is one of too little training: at the same number of epochs more data are "
        "more updates too. A loss that grows is overfitting to the words.",
        *captions.simulated(next(iter(sizes.values())).any),
    )
    return Table(
        f"data_size_{target}_{metric}",
        f"What text changes, by the size of the training data: {METRICS[metric].label} of {target}, {corpus}",
        frame.rename_axis("stages"),
        numbers.assign(target=target, metric=metric),
        below,
    )


@or_nothing
def plot(sizes: Sizes, corpus: str, asked: Sequence[tuple[str, str]], draws: int = DRAWS) -> Figure:
    """A row of panels for each (target, metric) of `asked`: the gap of each set of stages over the size of the data.

    Drawn are the sets of FAMILIES, a panel each family.
    """
    runs = next(iter(sizes.values()))
    families = {name: sets for name, sets in FAMILIES.items() if any(stages in runs.runs for stages in sets)}
    if not families:
        raise NothingToShow("there are no runs with one stage, nor with the first or the last ones")
    shares = np.array(list(sizes))
    with drawing(len(families), len(asked), (5.4, 4.6), runs.any.simulated) as (figure, axes):
        figure.suptitle(f"What text changes, by the size of the training data, {corpus}")
        for (target, metric), row in zip(asked, axes, strict=True):
            found = dict(list(gaps(sizes, corpus, target, metric, draws).dropna(subset="share").groupby("stages")))
            for (family, sets), axis in zip(families.items(), row, strict=True):
                there = [stages for stages in sets if stages in found]
                for place, stages in enumerate(there):
                    part, aside = found[stages], ASIDE ** (place - (len(there) - 1) / 2)
                    reach = np.array([part["gap"] - part["low"], part["high"] - part["gap"]])
                    name = str(stages[0]) if len(stages) == 1 else f"{stages[0]} to {stages[-1]}"
                    shade = mpl.colormaps["viridis"](0.9 * sets.index(stages) / (len(sets) - 1))
                    axis.errorbar(shares * aside, part["gap"], reach, color=shade, marker="o", capsize=3, label=name)
                axis.axhline(0, color="black", linewidth=1)
                axis.set_xscale("log", base=2)
                axis.set_xticks(shares, [_percent(share) for share in shares])
                axis.set_xlabel("of the training data")
                axis.set_title(f"{target}, {family}")
            low, high = min(axis.get_ylim()[0] for axis in row), max(axis.get_ylim()[1] for axis in row)
            for axis in row:
                axis.set_ylim(low, high)
            row[0].set_ylabel(f"{METRICS[metric].label} less that without text")
        for axis in axes[-1]:  # a column has the same lines in every row
            axis.legend(title="text at the stages", ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return figure


def _percent(share: float) -> str:
    return f"{share:.0%}"
