"""Scores of resampled speakers, by one matrix product instead of a thousand passes over the predictions.

Every metric of `metrics` follows from sums over utterances: counts and hits of each class, or counts, sums, squares and
products of truth and prediction. So the sums of each speaker are kept, and a resample only weights and adds them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sercore import metrics
from sercore.schema import CLASSES, did_you_mean, first

CHUNK = 100  # resamples at a time: bounds the memory, 10 MB where 13,000 utterances are their own clusters
ROUNDING = 1e-12  # a variance below this share of the mean square is rounding: the sample is constant
ONE_OF_EACH = ("model", "section", "train_corpus", "test_corpus", "partition", "target")  # what one score is of
OF_MOMENTS = {"ccc": metrics.concordance_of, "pcc": metrics.pearson_of, "mse": metrics.squared_error_of}


class Interval(NamedTuple):
    """A score, or a difference of two, and how far other speakers might have moved it."""

    score: float
    low: float
    high: float
    error: float  # standard deviation over the resamples
    clusters: int
    undefined: int  # resamples that had no score, as where no speaker has a class; left out of low, high and error


@dataclass(frozen=True)
class Sums:
    """What `metric` needs of the utterances of each cluster and run."""

    metric: str
    clusters: pd.Index  # their names
    values: np.ndarray  # (clusters, runs, width); classes: counts and hits; numbers: count, sums, squares, product
    gap: float = 0.0  # first prediction - first truth: the sums of numbers are taken from these two

    def score(self, values: np.ndarray) -> np.ndarray:
        """The metric of added-up values (..., width) -> (...); NaN where it is not defined."""
        return self._recalls(values).mean(axis=-1) if self.metric == "uar" else self._of_moments(values)

    def score_present(self, values: np.ndarray) -> np.ndarray:
        """`score`, but a UAR is over the classes that occur: for a single speaker, who seldom has them all."""
        if self.metric != "uar":
            return self._of_moments(values)
        found = self._recalls(values)
        present = np.isfinite(found).sum(axis=-1)
        return np.divide(np.nansum(found, axis=-1), present, out=np.full(present.shape, np.nan), where=present > 0)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The metric, averaged over runs, where each cluster counts `weights` (draws, clusters) times -> (draws,)."""
        clusters, runs, width = self.values.shape
        return self.score((weights @ self.values.reshape(clusters, -1)).reshape(-1, runs, width)).mean(axis=1)

    def _recalls(self, values: np.ndarray) -> np.ndarray:
        counts, hits = np.split(values, 2, axis=-1)
        return np.divide(hits, counts, out=np.full(counts.shape, np.nan), where=counts > 0)

    def _of_moments(self, values: np.ndarray) -> np.ndarray:
        count = values[..., :1]
        means = np.divide(values[..., 1:], count, out=np.full(values[..., 1:].shape, np.nan), where=count > 0)
        truth, prediction, truth_square, prediction_square, product = np.moveaxis(means, -1, 0)
        variances = []
        for mean, square in ((truth, truth_square), (prediction, prediction_square)):
            variance = square - mean**2
            variances.append(np.where(variance > ROUNDING * square, variance, 0.0))
        gap = prediction - truth + self.gap
        return OF_MOMENTS[self.metric](metrics.Moments(count[..., 0], gap, *variances, product - truth * prediction))


def sums(predictions: pd.DataFrame, metric: str, cluster: str = "speaker", runs: Sequence[str] = ("seed",),
         labels: Sequence[str] = CLASSES) -> Sums:  # fmt: skip
    """The `Sums` of `predictions`, which are of one model, target, partition and pair of corpora.

    Clusters are the values of column `cluster`; an utterance that has none is a cluster of its own. Each combination of
    values of the columns `runs` is a run. Raises ValueError for another metric, for a column that is absent, where
    there is more than one model (target, ...), and as the metric itself does.
    """
    if metric not in metrics.METRICS:
        raise ValueError(f"unknown metric '{metric}'{did_you_mean(metric, metrics.METRICS)}")
    for column in ONE_OF_EACH:
        if column in predictions and predictions[column].nunique(dropna=False) > 1:
            found = predictions[column].unique()
            raise ValueError(f"predictions of {len(found)} values of '{column}', {first(found)}; select one of them")
    absent = [column for column in (cluster, *runs) if column not in predictions]
    if absent:
        raise ValueError(f"predictions have no column {first(absent)}; name the columns that they have, or runs=()")
    truth, prediction = predictions["truth"], predictions["prediction"]
    names = predictions[cluster].astype(object)
    if names.isna().any():
        names = names.where(names.notna(), "utterance " + predictions["utterance"].astype(str))
    clusters, known = pd.factorize(names)
    number = np.zeros(len(names), dtype="int64")
    if runs:
        number = predictions.groupby(list(runs), observed=True, sort=False, dropna=False).ngroup().to_numpy()
    if metric == "uar":
        size = len(labels)
        truth, prediction = (
            metrics.class_codes(truth, labels, "truth"),
            metrics.class_codes(prediction, labels, "prediction"),
        )
        shape = (len(known), number.max() + 1, size)
        place = (clusters * shape[1] + number) * size + truth
        counts = [np.bincount(place, hits, math.prod(shape)).reshape(shape) for hits in (None, truth == prediction)]
        return Sums(metric, known, np.concatenate(counts, axis=2, dtype="float64"))
    truth, prediction = metrics.numbers(truth, "truth"), metrics.numbers(prediction, "prediction")
    shape = (len(known), number.max() + 1)
    place = clusters * shape[1] + number
    t, p = truth - truth[0], prediction - prediction[0]
    columns = [np.bincount(place, of, math.prod(shape)).reshape(shape) for of in (None, t, p, t * t, p * p, t * p)]
    return Sums(metric, known, np.stack(columns, axis=-1).astype("float64"), float(prediction[0] - truth[0]))


def resample(score: Callable[[np.ndarray], np.ndarray], clusters: int, generator: np.random.Generator, draws: int,
             level: float) -> Interval:  # fmt: skip
    """`score` of weights (draws, clusters) -> (draws,): at equal weights, and its spread over resamples of clusters."""
    if not 0 < level < 1 or draws < 2:
        raise ValueError(f"level {level}, draws {draws}: expected a level between 0 and 1 and at least 2 draws")
    estimate = float(score(np.ones((1, clusters)))[0])
    found = [np.full(draws, np.nan)] if clusters < 2 else []
    for start in range(0, draws if clusters > 1 else 0, CHUNK):
        rows = min(CHUNK, draws - start)
        drawn = generator.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        found.append(score(weights.astype("float64")))
    scores = np.concatenate(found)
    scores = scores[np.isfinite(scores)]
    undefined = draws - len(scores)
    if len(scores) < 2:
        return Interval(estimate, math.nan, math.nan, math.nan, clusters, undefined)
    low, high = np.quantile(scores, tails(level, clusters))
    return Interval(estimate, float(low), float(high), float(scores.std(ddof=1)), clusters, undefined)


def tails(level: float, clusters: int) -> tuple[float, float]:
    """Quantiles of the resamples between which to expect `level` of the scores: expanded percentiles (Hesterberg 2015).

    Plain percentiles of n clusters are too narrow by sqrt((n - 1) / n), and by a normal in place of a t quantile.
    """
    reach = math.sqrt(clusters / (clusters - 1)) * stats.t.isf((1 - level) / 2, clusters - 1)
    tail = float(stats.norm.sf(reach))
    return tail, 1 - tail
