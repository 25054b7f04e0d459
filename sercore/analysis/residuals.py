"""Errors against truth (section 6.2, figure 3, appendix A): do they grow away from the middle of the scale?

A residual is prediction - truth, in units of the corpus's scale: above 0 where the prediction is too high. Its slope on
the truth is the paper's "regression towards the mean": 0 for errors that do not depend on the truth, -1 for a model
that always predicts the same. A slope below 0 is no fault by itself: a well calibrated model, whose predictions are
right on average whatever their value, has the slope r^2 - 1, where r is its correlation with the truth.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.diagnostic import het_breuschpagan, het_white

from sercore.metrics import numbers
from sercore.schema import DIMENSIONS, RUN_KEYS, first

COLUMNS = (
    *RUN_KEYS,
    "partition",
    "utterance",
    "speaker",
    "gender",
    "style",
    "length",
    "target",
    "truth",
    "prediction",
    "simulated",
)
CURVE = ("section", "model", "train_corpus", "test_corpus", "seed", "partition", "target")
"""What one line is fitted to: folds are pooled."""


class Line(NamedTuple):
    """A least-squares line of residuals on truth; the band is that of the line, not of single utterances."""

    slope: float
    slope_low: float
    slope_high: float
    intercept: float  # residual at truth 0, in units of the scale
    explained: float  # share of the residuals' variance on the line (R^2)
    utterances: int
    band: pd.DataFrame  # truth (the grid), residual, lower, upper


class Heteroscedasticity(NamedTuple):
    """Whether the residuals' spread around their line depends on the truth: Lagrange multipliers and their p."""

    breusch_pagan: float
    breusch_pagan_p: float
    white: float
    white_p: float


def residual_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """The dimensions' rows of a predictions table, and `residual` = prediction - truth on the corpus's scale.

    Raises ValueError where no row is of a dimension, where a row is across corpora, whose scales differ, and for a
    truth or prediction that is not a finite number.
    """
    table = predictions.loc[predictions["target"].isin(DIMENSIONS), [c for c in COLUMNS if c in predictions]]
    if table.empty:
        targets = first(predictions["target"].unique()) or "no rows"
        raise ValueError(f"no predictions of {', '.join(DIMENSIONS)} (found: {targets}); residuals need numbers")
    across = table[table["train_corpus"].astype(object) != table["test_corpus"].astype(object)]
    if len(across):
        raise ValueError(
            f"{len(across)} predictions are across corpora, of {first(across['test_corpus'].unique())}, "
            "on the scale of another corpus than their truth; select train_corpus == test_corpus"
        )
    table = table.reset_index(drop=True)
    kinds = table.select_dtypes("category")
    table = table.assign(**{name: kinds[name].cat.remove_unused_categories() for name in kinds})
    values = {name: numbers(table[name], name) for name in ("truth", "prediction")}
    return table.assign(**values, residual=values["prediction"] - values["truth"])


def fit_line(
    truth: Sequence[float], residual: Sequence[float], grid: Sequence[float] | int = 50, level: float = 0.95
) -> Line:
    """Least-squares line of `residual` on `truth`, with its confidence band at the truths in `grid`.

    `grid` may be a number of points from the lowest to the highest truth. The band takes the errors as independent and
    of one spread; `heteroscedasticity` tests the second. With fewer than three utterances or a constant truth there is
    no line: every number is NaN. Raises ValueError for no utterances, different lengths and what is no finite number.

    >>> line = fit_line([1, 2, 3, 4], [0.6, 0.1, -0.5, -0.9], grid=[2.5])
    >>> round(line.slope, 3), line.band.round(3).loc[0, ["residual", "lower", "upper"]].tolist()
    (-0.51, [-0.175, -0.302, -0.048])
    """
    truth, residual = _pair(truth, residual)
    grid = np.linspace(truth.min(), truth.max(), grid) if isinstance(grid, int) else numbers(grid, "grid")
    if len(truth) < 3 or np.ptp(truth) == 0:
        band = pd.DataFrame({"truth": grid, "residual": math.nan, "lower": math.nan, "upper": math.nan})
        return Line(math.nan, math.nan, math.nan, math.nan, math.nan, len(truth), band)
    fitted = OLS(residual, _design(truth)).fit()
    lower, upper = fitted.conf_int(1 - level)[1]
    prediction = fitted.get_prediction(_design(grid))
    ends = prediction.conf_int(alpha=1 - level)
    band = pd.DataFrame(
        {"truth": grid, "residual": prediction.predicted_mean, "lower": ends[:, 0], "upper": ends[:, 1]}
    )
    explained = fitted.rsquared if np.ptp(residual) else math.nan
    intercept, slope = map(float, fitted.params)
    return Line(slope, float(lower), float(upper), intercept, float(explained), len(truth), band)


def heteroscedasticity(truth: Sequence[float], residual: Sequence[float]) -> Heteroscedasticity:
    """Breusch-Pagan (in Koenker's form) and White's test of the residuals around their least-squares line on `truth`.

    The first detects a spread that rises or falls with the truth, the second also one that does so towards both
    ends: "errors grow away from the middle" is White's. Both take utterances as independent. NaN with a constant truth,
    residuals that lie on the line, or fewer than three utterances; White's also with fewer than three different truths
    or four utterances. Residuals that are all as far from the line are even: 0 and p 1. Raises as `fit_line` does.
    """
    truth, residual = _pair(truth, residual)
    if len(truth) < 3 or np.ptp(truth) == 0:
        return Heteroscedasticity(*[math.nan] * 4)
    around = np.asarray(OLS(residual, _design(truth)).fit().resid)
    if np.abs(around).max() <= 1e-9 * max(np.abs(residual).max(), np.ptp(truth)):
        return Heteroscedasticity(*[math.nan] * 4)
    even = np.ptp(around**2) <= 1e-9 * np.max(around**2)
    breusch_pagan, breusch_pagan_p, white, white_p = 0.0, 1.0, 0.0, 1.0
    with np.errstate(divide="ignore", invalid="ignore"):  # in F statistics that are not used
        if not even:
            breusch_pagan, breusch_pagan_p, _, _ = het_breuschpagan(around, _design(truth))
        if len(truth) < 4 or len(np.unique(truth)) < 3:
            white, white_p = math.nan, math.nan
        elif not even:
            white, white_p, _, _ = het_white(around, _design(truth))
    return Heteroscedasticity(*map(float, (breusch_pagan, breusch_pagan_p, white, white_p)))


def fit_lines(residuals: pd.DataFrame, by: Sequence[str] = CURVE, level: float = 0.95) -> pd.DataFrame:
    """Line and tests of each combination of `by` in a table of `residual_table`, one row each.

    Columns: `by`, slope, slope_low, slope_high, intercept, explained, utterances, those of `Heteroscedasticity`, and
    ideal_slope = r^2 - 1, the slope of a well calibrated model with the same correlation.
    """
    rows = []
    for key, group in residuals.groupby(list(by), observed=True, sort=False):
        line = fit_line(group["truth"], group["residual"], grid=2, level=level)._asdict()
        line.pop("band")
        spread = heteroscedasticity(group["truth"], group["residual"])._asdict()
        varied = min(np.ptp(group["truth"]), np.ptp(group["prediction"])) > 0
        ideal = np.corrcoef(group["truth"], group["prediction"])[0, 1] ** 2 - 1 if varied else math.nan
        rows.append({**dict(zip(by, key, strict=True)), **line, **spread, "ideal_slope": ideal})
    return pd.DataFrame(rows)


def spread_by_bin(
    residuals: pd.DataFrame, edges: Sequence[float] | None = None, by: Sequence[str] = CURVE
) -> pd.DataFrame:
    """Errors per bin of the truth, in units of the scale, for each combination of `by` and every bin that is not empty.

    `edges`: rising borders of the bins [low, high), the last closed; where None, the whole numbers around the truths.
    Columns: `by`, low, high, and those of `spread_by`. Raises ValueError for a truth outside the edges.
    """
    truth = residuals["truth"]
    if edges is None:
        edges = np.arange(math.floor(truth.min()), max(math.ceil(truth.max()), math.floor(truth.min()) + 1) + 1)
    edges = np.asarray(edges, dtype="float64")
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"edges are {first(edges, 20)}; expected at least two, rising")
    outside = truth[(truth < edges[0]) | (truth > edges[-1])]
    if len(outside):
        raise ValueError(
            f"{len(outside)} truths are outside {edges[0]} to {edges[-1]}, {first(outside)}; widen the edges"
        )
    place = np.minimum(np.searchsorted(edges, truth, side="right") - 1, len(edges) - 2)
    binned = residuals.assign(low=edges[place], high=edges[place + 1])
    return spread_by(binned, ["low", "high"], by).sort_values([*by, "low"], kind="stable", ignore_index=True)


def spread_by(residuals: pd.DataFrame, columns: str | Sequence[str], by: Sequence[str] = CURVE) -> pd.DataFrame:
    """Errors per value of `columns` (speaker, gender, style), for each combination of `by`; a missing value has a row.

    Columns: `by`, `columns`, utterances, mean (the bias), sd (ddof 1; NaN for one utterance) and rmse of the residuals.
    """
    keys = [*by, *([columns] if isinstance(columns, str) else columns)]
    squared = residuals.assign(squared=residuals["residual"] ** 2)
    grouped = squared.groupby(keys, observed=True, sort=False, dropna=False)
    table = grouped["residual"].agg(utterances="size", mean="mean", sd="std")
    return table.assign(rmse=np.sqrt(grouped["squared"].mean())).reset_index()


def _design(truth: np.ndarray) -> np.ndarray:
    """Constant and truth, (utterances, 2)."""
    return np.column_stack([np.ones(len(truth)), truth])


def _pair(truth: Sequence[float], residual: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    truth, residual = numbers(truth, "truth"), numbers(residual, "residual")
    if len(truth) != len(residual):
        raise ValueError(
            f"truth has {len(truth)} values and residual {len(residual)}; expected one of each an utterance"
        )
    return truth, residual
