"""What makes one training differ from the next: CCC and its parts over seeds, with one setting changed at a time.

The change of a run is among its parameters, not in the predictions table, so the runs of each change are read as a
section of their own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from sercore.analysis import captions, results
from sercore.analysis.calibration import parts
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.figures import drawing
from sercore.analysis.results import Results
from sercore.analysis.statistics import ALPHA
from sercore.analysis.tables import Table, incomplete, number_text
from sercore.registry import MODELS
from sercore.study import config

NONE = "none"  # the name of the runs with no change
MEAN = "mean of the three"
GROUP = ["target", "model", "change"]


@dataclass(frozen=True)
class Spread:
    """The runs of one section by change, and the scores of each on its corpus's own test utterances."""

    study: config.Study
    by_change: dict[str, Results]
    scores: pd.DataFrame  # one row a change, model, seed and target, MEAN among them: ccc, r, ratio, shift

    @property
    def any(self) -> Results:
        """The runs of one change, for what is the same in all of them."""
        return next(iter(self.by_change.values()))


def read(study: config.Study | str, section: str = "multitask", incomplete: str = "refuse") -> Spread:
    """The runs of `section` by change, those with none first.

    Raises FileNotFoundError where runs are missing, as results.read does, and ValueError where no run says its change.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    members: dict[str, list[config.Run]] = {}
    for run in study.section(section):
        if run.complete or incomplete == "refuse":
            members.setdefault(str(run.parameters.get("change")), []).append(run)
    if NONE not in members:
        raise ValueError(f"no run of section '{section}' of {study.path} has the change '{NONE}', or none is complete")
    order = [NONE, *(change for change in members if change != NONE)]
    by_change = {change: results.read(study, section, incomplete, members[change]) for change in order}
    tables = [parts(part.predictions).assign(change=change) for change, part in by_change.items()]
    scores = pd.concat(tables, ignore_index=True).astype({"model": "object", "target": "object"})
    scores = scores[scores["model"].map(lambda model: MODELS[model].trained) & (scores["pooling"] != "folds")]
    keys = ["change", "model", "seed"]
    means = scores.groupby(keys, sort=False)[["ccc", "r", "ratio", "shift"]].mean().reset_index()
    return Spread(study, by_change, pd.concat([means.assign(target=MEAN), scores], ignore_index=True))


def compare(spread: Spread) -> pd.DataFrame:
    """One row a target, model and change.

    Returns:
        Columns: seeds; ccc, its sd (ddof 1) with the interval at .95 by chi-square, r, ratio, shift, means over seeds;
        and against the runs without a change, seed by seed: difference of the CCC with its t-interval, and sd_ratio
        with the p of Pitman and Morgan's test that both sds are equal, which takes the pairs into account.
    """
    rows = []
    for (target, model, change), group in spread.scores.groupby(GROUP, sort=False):
        values = group.set_index("seed")["ccc"].sort_index()
        baseline = spread.scores[
            (spread.scores["target"] == target) & (spread.scores["model"] == model) & (spread.scores["change"] == NONE)
        ].set_index("seed")["ccc"]
        pair = pd.concat([values, baseline], axis=1, join="inner").to_numpy()
        difference = pair[:, 0] - pair[:, 1]
        count, sd = len(values), values.std(ddof=1)
        low, high = (sd * np.sqrt((count - 1) / stats.chi2.ppf(q, count - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
        reach = stats.t.isf(ALPHA / 2, len(pair) - 1) * difference.std(ddof=1) / np.sqrt(len(pair))
        changed = change != NONE and len(pair) > 2
        rows.append(
            {
                **dict(zip(GROUP, (target, model, change), strict=True)),
                "seeds": count,
                **group[["ccc", "r", "ratio", "shift"]].mean(),
                "sd": sd,
                "sd_low": low,
                "sd_high": high,
                "difference": difference.mean() if changed else np.nan,
                "low": difference.mean() - reach if changed else np.nan,
                "high": difference.mean() + reach if changed else np.nan,
                "sd_ratio": sd / pair[:, 1].std(ddof=1) if changed else np.nan,
                "p_sd": _same_spread(pair) if changed else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _same_spread(pair: np.ndarray) -> float:
    """p of Pitman and Morgan's test: two paired samples have one variance where sum and difference do not correlate."""
    return float(stats.pearsonr(pair.sum(axis=1), pair[:, 0] - pair[:, 1]).pvalue)


def table(spread: Spread) -> Table:
    """`compare` as a table."""
    numbers = compare(spread)
    rows: list[tuple[Any, ...]] = [
        (
            row.target,
            MODELS.label(row.model),
            row.change,
            number_text(row.ccc, "ccc"),
            number_text(row.sd, "ccc"),
            f"{number_text(row.sd_low, 'ccc')} to {number_text(row.sd_high, 'ccc')}",
            number_text(row.r, "ccc"),
            number_text(row.ratio, "mse"),
            signed(row.shift, "mse"),
            signed(row.difference, "ccc") if row.change != NONE else "",
            interval(row.low, row.high, "ccc") if row.change != NONE else "",
            f"{row.sd_ratio:.2f}" if row.change != NONE else "",
            f"{row.p_sd:.3f}" if row.change != NONE else "",
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
    settings = spread.any.study.section(spread.any.section)[0].parameters["changes"]
    below = (
        "Not in the paper. Test utterances in-domain; mean and sd (ddof 1) over seeds. A change is against the runs "
        "without one, seed by seed: t-interval of the difference; p of Pitman and Morgan's test of equal sds.",
        *(f"{change}: {_in_words(settings[change])}" for change in spread.by_change),
        *captions.simulated(spread.any),
        *captions.missing(spread.any),
    )
    return Table("seed_spread", f"CCC over seeds by change{incomplete(spread.any)}", frame, numbers, below)


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
        for axis, model in zip(axes.flat, models, strict=True):
            for place, change in enumerate(changes):
                values = rows[(rows["model"] == model) & (rows["change"] == change)]["ccc"].to_numpy()
                spots = place + np.linspace(-0.2, 0.2, len(values))
                axis.plot(spots, np.sort(values), "o", markersize=4, alpha=0.7, color=MODELS[model].colour)
                axis.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color="black", linewidth=1.5)
            axis.set_xticks(range(len(changes)), changes, rotation=20, ha="right")
            axis.set_ylabel("CCC")
            axis.set_title(MODELS.label(model))
    return figure
