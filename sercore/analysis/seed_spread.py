"""What makes one training differ from the next: CCC and its parts over seeds, with one setting changed at a time.

The change of a run is among its parameters, not in the predictions table, so the runs of each change are read as a
section of their own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from sercore.analysis import captions, results
from sercore.analysis.calibration import parts
from sercore.analysis.comparisons import interval, probability, signed
from sercore.analysis.figures import drawing
from sercore.analysis.results import Results
from sercore.analysis.statistics import ALPHA
from sercore.analysis.tables import Table, incomplete, number_text
from sercore.registry import MODELS
from sercore.schema import DIMENSIONS
from sercore.study import config

NONE = "none"  # the name of the runs with no change
MEAN = "mean of the three"
GROUP = ["target", "model", "change"]
PARTS = ["ccc", "r", "ratio", "shift"]
FEWEST_PAIRS = 3  # seeds that both have, for a correlation to say anything
AGAINST = ("difference", "low", "high", "sd_ratio", "p_sd")


@dataclass(frozen=True)
class Spread:
    """The runs of one section by change, and the scores of each on its corpus's own test utterances."""

    study: config.Study
    by_change: dict[str, Results]
    scores: pd.DataFrame  # one row a change, model, seed and target, MEAN among them: ccc, r, ratio, shift

    @property
    def any(self) -> Results:
        """The runs of one change, for what is the same in all of them, and what is missing of all."""
        first = next(iter(self.by_change.values()))
        return replace(first, missing=tuple(run for run in self.study.section(first.section) if not run.complete))


def read(study: config.Study | str, section: str = "multitask", incomplete: str = "refuse") -> Spread:
    """The runs of `section` by change, those with none first.

    Raises FileNotFoundError where runs are missing, as results.read does, and ValueError where no run says its change.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    by_change = results.by_change(study, section, incomplete)
    if NONE not in by_change:
        raise ValueError(f"no run of section '{section}' of {study.path} has the change '{NONE}', or none is complete")
    order = [NONE, *(change for change in by_change if change != NONE)]
    by_change = {change: by_change[change] for change in order}
    tables = [parts(part.predictions).assign(change=change) for change, part in by_change.items()]
    scores = pd.concat(tables, ignore_index=True).astype({"model": "object", "target": "object"})
    scores = scores[scores["model"].map(lambda model: MODELS[model].trained) & (scores["pooling"] != "folds")]
    keys = ["change", "model", "seed"]
    means = scores.groupby(keys, sort=False)[PARTS].mean().reset_index()
    everything = pd.concat([means.assign(target=MEAN), scores], ignore_index=True)
    place = {name: number for number, name in enumerate((MEAN, *DIMENSIONS, *MODELS, *order))}
    ordered = everything.sort_values(
        [*GROUP, "seed"], key=lambda names: names.map(lambda name: place.get(name, name)), ignore_index=True
    )
    return Spread(study, by_change, ordered)


def compare(spread: Spread) -> pd.DataFrame:
    """One row a target, model and change.

    Returns:
        Columns: seeds; ccc, its sd (ddof 1) with the interval at .95 by chi-square, r, ratio, shift, means over seeds;
        and against the runs without a change, seed by seed: difference of the CCC with its t-interval, and sd_ratio
        with the p of Pitman and Morgan's test that both sds are equal, which takes the pairs into account.
    """
    rows = []
    for key, group in spread.scores.groupby(GROUP, sort=False):
        target, model, change = key
        others = spread.scores[(spread.scores["target"] == target) & (spread.scores["model"] == model)]
        baseline = others[others["change"] == NONE].set_index("seed")["ccc"]
        pair = pd.concat([group.set_index("seed")["ccc"], baseline], axis=1, join="inner").to_numpy()
        count, sd = len(group), group["ccc"].std(ddof=1)
        low, high = (sd * np.sqrt((count - 1) / stats.chi2.ppf(q, count - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
        known = change != NONE and len(pair) >= FEWEST_PAIRS
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "seeds": count,
                **group[PARTS].mean(),
                **{"sd": sd, "sd_low": low, "sd_high": high},
                **dict(zip(AGAINST, _against(pair) if known else [np.nan] * len(AGAINST), strict=True)),
            }
        )
    return pd.DataFrame(rows)


def _against(pair: np.ndarray) -> tuple[float, ...]:
    """AGAINST of the CCCs with a change and without, (seeds, 2)."""
    difference = pair[:, 0] - pair[:, 1]
    reach = stats.t.isf(ALPHA / 2, len(pair) - 1) * difference.std(ddof=1) / np.sqrt(len(pair))
    mean, sd = difference.mean(), pair.std(axis=0, ddof=1)
    return mean, mean - reach, mean + reach, sd[0] / sd[1] if sd[1] else np.nan, _same_spread(pair)


def _same_spread(pair: np.ndarray) -> float:
    """p of Pitman and Morgan's test: two paired samples have one variance where sum and difference do not correlate.

    NaN where either is constant.
    """
    total, difference = pair.sum(axis=1), pair[:, 0] - pair[:, 1]
    if not np.ptp(total) or not np.ptp(difference):
        return np.nan
    return float(stats.pearsonr(total, difference).pvalue)


def table(spread: Spread) -> Table:
    """`compare` as a table."""
    numbers = compare(spread)
    rows: list[tuple[Any, ...]] = [
        (
            row.target,
            MODELS.label(row.model),
            row.change,
            number_text(row.ccc, "ccc"),
            *_spread_texts(row),
            number_text(row.r, "ccc"),
            number_text(row.ratio, "mse"),
            signed(row.shift, "mse"),
            *(_change_texts(row) if row.change != NONE else [""] * 4),
        )
        for row in numbers.itertuples()
    ]
    columns = [
        ("CCC", "mean"),
        ("CCC", "sd"),
        ("CCC", "95 % of the sd"),
        ("parts", "r"),
        ("parts", "ratio of sds"),
        ("parts", "shift"),
        ("against none", "CCC"),
        ("against none", "95 %"),
        ("against none", "sd, ratio"),
        ("against none", "p of it"),
    ]
    frame = pd.DataFrame(rows).set_index([0, 1, 2]).rename_axis(["of", "model", "change"])
    frame.columns = pd.MultiIndex.from_tuples(columns)
    runs = spread.study.section(spread.any.section)
    settings = {run.parameters["change"]: run.parameters["changes"][run.parameters["change"]] for run in runs}
    below = (
        "Not in the paper. Test utterances in-domain; mean and sd (ddof 1) over seeds. A change is against the runs "
        "without one, seed by seed: t-interval of the difference; p of Pitman and Morgan's test of equal sds.",
        *(f"{change}: {_in_words(settings[change])}" for change in spread.by_change),
        *captions.caveats(spread.any),
        *captions.missing(spread.any),
    )
    return Table("seed_spread", f"CCC over seeds by change{incomplete(spread.any)}", frame, numbers, below)


def _spread_texts(row: Any) -> tuple[str, str]:
    """The sd of a row of `compare` and its interval."""
    sd, low, high = (number_text(value, "ccc") for value in (row.sd, row.sd_low, row.sd_high))
    return (sd, f"{low} to {high}") if row.seeds > 1 else ("not known", "not known")


def _change_texts(row: Any) -> tuple[str, str, str, str]:
    """What a row of `compare` says of the runs without a change."""
    difference = "not known" if np.isnan(row.difference) else signed(row.difference, "ccc")
    ratio = "not known" if np.isnan(row.sd_ratio) else f"{row.sd_ratio:.2f}"
    return difference, interval(row.low, row.high, "ccc"), ratio, probability(row.p_sd)


def _in_words(change: dict[str, dict[str, Any]]) -> str:
    values = [f"{kind}.{name} = {value}" for kind, names in change.items() for name, value in names.items()]
    return ", ".join(values) or "the paper's way, as far as it is known"


def plot(spread: Spread) -> Figure:
    """The mean CCC of the three dimensions of every seed, a panel a model and a column a change; bars are means."""
    rows = spread.scores[spread.scores["target"] == MEAN]
    models = sorted(rows["model"].unique(), key=MODELS.position)
    changes = list(spread.by_change)
    with drawing(1, len(models), (8.0, 2.6), spread.any.simulated) as (figure, axes):
        figure.suptitle("Every seed's mean CCC, by change")
        low, high = rows["ccc"].min(), rows["ccc"].max()
        margin = 0.05 * (high - low) or 0.05
        for axis, model in zip(axes.flat, models, strict=True):
            axis.set_ylim(low - margin, high + margin)
            for place, change in enumerate(changes):
                values = rows[(rows["model"] == model) & (rows["change"] == change)]["ccc"].to_numpy()
                if not len(values):  # such as a start of PROJ, which CNN14 does not have
                    continue
                spots = place + np.linspace(-0.2, 0.2, len(values))
                axis.plot(spots, np.sort(values), "o", markersize=4, alpha=0.7, color=MODELS[model].colour)
                axis.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color="black", linewidth=1.5)
            last = axis is axes.flat[-1]
            axis.set_xticks(range(len(changes)), changes if last else [""] * len(changes), rotation=30, ha="right")
            axis.set_xlim(-0.6, len(changes) - 0.4)
            axis.set_ylabel("CCC")
            axis.set_title(MODELS.label(model))
    return figure
