"""Tests and intervals: over seeds, as the paper tests, and over speakers, which the paper does not do.

The paper's test (section 6.1) says whether another training could have turned out the other way: its unit is the seed,
and the test utterances are taken as given. Intervals and tests over speakers say whether other people could have: their
unit is the speaker, and the trained models are taken as given. Scores over seeds are in whatever unit the caller has;
scores over speakers are those of `metrics`, where a UAR is in [0, 1]. Speakers are resampled without a pass over the
predictions: every metric follows from sums over utterances, so the sums of each speaker are kept, and a resample only
weights and adds them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from sercore import metrics
from sercore.registry import METRICS
from sercore.schema import CLASSES, first

ALPHA = 0.05
STAR, DAGGER = "*", "†"  # differs from CNN14; differs from fine-tuned BERT
REFERENCES = {"cnn14": STAR, "bert": DAGGER}
CHUNK = 100  # resamples at a time: bounds the memory, 10 MB where 13,000 utterances are their own clusters
ROUNDING = 1e-12  # a variance below this share of the mean square is rounding: the sample is constant
ONE_OF_EACH = ("model", "section", "train_corpus", "test_corpus", "partition", "target")  # what one score is of
Printed = tuple[float, float, int]  # mean, sd (ddof 0), n


class Comparison(NamedTuple):
    """A two-sided independent-samples t-test of scores a against scores b."""

    difference: float  # mean of a - mean of b
    low: float  # of the confidence interval of the difference, at 1 - ALPHA
    high: float
    t: float
    df: int
    p: float


def compare_seeds(scores_a: Sequence[float], scores_b: Sequence[float]) -> Comparison:
    """The paper's test (sections 5, 6.1): Student's two-sided t-test of one score a seed, variances pooled.

    Zero variance on both sides: equal means give t 0 and p 1, others an infinite t and p 0, with an interval of no
    width. Fewer than two scores on either side, or a score that is NaN: t, p and interval are NaN. Raises ValueError
    where a side is empty.

    >>> round(compare_seeds([1, 2, 3], [2, 3, 4]).p, 3)
    0.288
    """
    return compare_printed(_describe(scores_a), _describe(scores_b))


def compare_printed(a: Printed, b: Printed) -> Comparison:
    """`compare_seeds` from printed `(mean, sd, n)`; sd with ddof 0, as the paper's markers show its own to be.

    Raises ValueError for a negative sd and for an n below 1.
    """
    difference, pooled = _standard(a, b)
    df, error = a[2] + b[2] - 2, pooled * math.sqrt(1 / a[2] + 1 / b[2])
    t = _over(difference, error, none=0.0)
    reach = float(stats.t.isf(ALPHA / 2, df)) * error
    return Comparison(difference, difference - reach, difference + reach, t, df, float(2 * stats.t.sf(abs(t), df)))


def markers(scores: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> dict[str, str]:
    """Marks of each model but the references, from its scores over seeds: `*` differs from cnn14, `†` from bert.

    A reference that is not among the models, or has too few seeds, marks nothing. Raises as `compare_seeds` does.

    >>> markers({"cnn14": [0.50, 0.51], "bert": [0.60, 0.61], "mfcnn14": [0.605, 0.615]})
    {'mfcnn14': '*'}
    """
    known = {model: mark for model, mark in REFERENCES.items() if model in scores}
    tested = [model for model in scores if model not in REFERENCES]
    return {m: "".join(known[r] for r in known if compare_seeds(scores[m], scores[r]).p < alpha) for m in tested}


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values of one table, corrected by Holm's method; a NaN stays NaN and counts as no test.

    >>> holm([0.01, 0.04, float("nan")])
    array([0.02, 0.04,  nan])
    """
    p = np.asarray(p, dtype="float64")
    corrected, known = np.full(p.shape, np.nan), ~np.isnan(p)
    if known.any():
        corrected[known] = multipletests(p[known], method="holm")[1]
    return corrected


def cohens_d(scores_a: Sequence[float], scores_b: Sequence[float]) -> float:
    """Difference of the means over seeds in units of their pooled standard deviation (ddof 1).

    Without variance on both sides it is infinite where the means differ and 0 where they are equal; NaN with fewer
    than two seeds on either side, or where a score is.
    """
    return _over(*_standard(_describe(scores_a), _describe(scores_b)), none=0.0)


def hedges_g(scores_a: Sequence[float], scores_b: Sequence[float]) -> float:
    """`cohens_d` times 1 - 3 / (4 df - 1): without its bias upwards, a quarter with 3 seeds a model, a tenth with 5."""
    df = len(scores_a) + len(scores_b) - 2
    return cohens_d(scores_a, scores_b) * (1 - 3 / (4 * df - 1))


def seeds_needed(difference: float, sd: float, power: float = 0.8, alpha: float = ALPHA) -> float:
    """Seeds per model with which the paper's test would be significant in a share `power` of studies.

    Args:
        difference: of the means; best the smallest one that matters, since the result for the difference that was seen
            is no more certain than that difference.
        sd: spread of one model's scores over seeds (ddof 1), in the unit of the difference.
        power: share of the studies.
        alpha: level of the test.

    Returns:
        A whole number, at least 2; infinite for no difference, NaN where an argument is.

    >>> seeds_needed(1.0, sd=1.0)
    17.0
    """
    return _needed(difference, sd, power, alpha, TTestIndPower())


def speakers_needed(difference: float, sd: float, power: float = 0.8, alpha: float = ALPHA) -> float:
    """Test speakers with which a paired t-test would be significant; `sd` is that of their own differences (ddof 1).

    Otherwise as `seeds_needed`.
    """
    return _needed(difference, sd, power, alpha, TTestPower())


def sample_needed(difference: float, error: float, size: int, power: float = 0.8, alpha: float = ALPHA) -> float:
    """Speakers (or utterances) of the same kind with which `difference` would be significant.

    `error` is the standard error of the difference over `size` of them, as in `Interval.error`; it falls with the root:
    size ((z(1 - alpha / 2) + z(power)) error / difference)^2, at least 2. Infinite for no difference, NaN where
    either is.

    >>> sample_needed(difference=0.02, error=0.01, size=60)
    118.0
    """
    if math.isnan(difference) or math.isnan(error):
        return math.nan
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    return float(max(2, math.ceil(size * (z * error / difference) ** 2))) if difference else math.inf


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
    """Sums over the utterances of each cluster and run, from which `metric` follows."""

    metric: str
    clusters: pd.Index  # their names
    values: np.ndarray  # (clusters, runs, width); classes: counts and hits; numbers: count, sums, squares, product
    gap: float = 0.0  # first prediction - first truth: the sums of numbers are taken from these two

    def score(self, values: np.ndarray) -> np.ndarray:
        """The metric of added-up values (..., width) -> (...); NaN where it is not defined, as without a class."""
        scores = self.score_present(values)
        if METRICS[self.metric].of_counts is None:
            return scores
        counts, _ = np.split(values, 2, axis=-1)
        return np.where((counts > 0).all(axis=-1), scores, np.nan)

    def score_present(self, values: np.ndarray) -> np.ndarray:
        """`score`, but a UAR is over the classes that occur: for a single speaker, who seldom has them all."""
        spec = METRICS[self.metric]
        if spec.of_counts is not None:
            return spec.of_counts(*np.split(values, 2, axis=-1))
        if spec.of_moments is not None:
            return spec.of_moments(self._moments(values))
        raise _no_sums(self.metric)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The metric, averaged over runs, where each cluster counts `weights` (draws, clusters) times -> (draws,)."""
        clusters, runs, width = self.values.shape
        return self.score((weights @ self.values.reshape(clusters, -1)).reshape(-1, runs, width)).mean(axis=1)

    def _moments(self, values: np.ndarray) -> metrics.Moments:
        count = values[..., :1]
        means = np.divide(values[..., 1:], count, out=np.full(values[..., 1:].shape, np.nan), where=count > 0)
        truth, prediction, truth_square, prediction_square, product = np.moveaxis(means, -1, 0)
        variances = []
        for mean, square in ((truth, truth_square), (prediction, prediction_square)):
            variance = square - mean**2
            variances.append(np.where(variance > ROUNDING * square, variance, 0.0))
        gap = prediction - truth + self.gap
        return metrics.Moments(count[..., 0], gap, variances[0], variances[1], product - truth * prediction)


def bootstrap_interval(
    predictions: pd.DataFrame,
    metric: str,
    generator: np.random.Generator,
    cluster: str = "speaker",
    draws: int = 1000,
    level: float = 0.95,
    runs: Sequence[str] = ("seed",),
    labels: Sequence[str] = CLASSES,
) -> Interval:
    """Interval of one model's score (`uar` in [0, 1], `ccc`, `pcc`, `mse`) under resampling of its test speakers.

    Clusters are drawn with replacement; the interval spans the percentiles of the scores, taken further out where
    clusters are few (`tails`). In a simulation, where speakers differ by half the truth's spread, intervals at .95 held
    the true score in .90 to .92 of samples of 30 speakers, .83 to .92 of 10, .54 to .84 of 4: with few speakers they
    are too narrow. (Simulated once; no command here repeats it.)

    Args:
        predictions: of one model, target, partition and pair of corpora.
        metric: a name of `registry.METRICS` whose record has a form in sums.
        generator: draws the resamples.
        cluster: the column of clusters; an utterance that has none, as of an unknown speaker, is one of its own.
        draws: how many resamples.
        level: of the interval.
        runs: the columns of a run. Each run is scored on the same speakers, and the mean is the score, so the spread
            over seeds is not in the interval. `("seed", "fold")` where the model of each fold predicts the whole test
            corpus; without `fold`, the predictions of all folds are pooled.
        labels: the classes, for a metric of categories.

    Returns:
        With a single cluster, or where no resample has a score, low, high and error are NaN.

    Raises:
        ValueError: as `sums` and `resample` raise.
    """
    by_cluster = sums(predictions, metric, cluster, runs, labels)
    return resample(by_cluster.resampled, len(by_cluster.clusters), generator, draws, level)


def bootstrap_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str,
    generator: np.random.Generator,
    cluster: str = "speaker",
    draws: int = 1000,
    level: float = 0.95,
    runs: Sequence[str] = ("seed",),
    labels: Sequence[str] = CLASSES,
) -> Interval:
    """`bootstrap_interval` of the score of a - that of b, both on the same resamples of the same speakers.

    The two may have different seeds, or different numbers of them. Raises ValueError where their clusters differ.
    """
    a, b = (sums(table, metric, cluster, runs, labels) for table in (predictions_a, predictions_b))
    return difference_of_sums(a, b, generator, draws, level)


def difference_of_sums(
    a: Sums, b: Sums, generator: np.random.Generator, draws: int = 1000, level: float = 0.95
) -> Interval:
    """`bootstrap_difference` from the `sums` of both, for callers that compare one model with many."""
    alone = a.clusters.symmetric_difference(b.clusters)
    if len(alone):
        raise ValueError(f"{len(alone)} clusters are in only one of the two tables, {first(alone)}")
    places = a.clusters.get_indexer(b.clusters)
    return resample(
        lambda weights: a.resampled(weights) - b.resampled(weights[:, places]), len(a.clusters), generator, draws, level
    )


def sums(
    predictions: pd.DataFrame,
    metric: str,
    cluster: str = "speaker",
    runs: Sequence[str] = ("seed",),
    labels: Sequence[str] = CLASSES,
) -> Sums:
    """The `Sums` of `predictions`, which are of one model, target, partition and pair of corpora.

    Args:
        predictions: rows of a predictions table.
        metric: a name of `registry.METRICS` whose record has a form in sums.
        cluster: the column of clusters; an utterance that has none is a cluster of its own.
        runs: the columns whose combinations of values are the runs.
        labels: the classes, for a metric of categories.

    Raises:
        ValueError: the metric is unknown or has no form in sums, a column is absent, there is more than one model
            (target, ...), and as the metric itself raises.
    """
    spec = METRICS.find(metric)
    if not spec.resampled:
        raise _no_sums(metric)
    for column in ONE_OF_EACH:
        if column in predictions and predictions[column].nunique(dropna=False) > 1:
            values = predictions[column].unique()
            raise ValueError(f"predictions of {len(values)} values of '{column}', {first(values)}; select one of them")
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
    if spec.of_counts is not None:
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


def _no_sums(metric: str) -> ValueError:
    return ValueError(f"metric '{metric}' has neither of_moments nor of_counts, so it cannot be resampled")


def resample(
    score: Callable[[np.ndarray], np.ndarray], clusters: int, generator: np.random.Generator, draws: int, level: float
) -> Interval:
    """A score at equal weights of the clusters, and its spread over resamples of them.

    Args:
        score: weights (draws, clusters) -> scores (draws,).
        clusters: how many there are.
        generator: draws the resamples.
        draws: how many resamples.
        level: of the interval.

    Raises:
        ValueError: a level outside (0, 1), or fewer than 2 draws.
    """
    if not 0 < level < 1 or draws < 2:
        raise ValueError(f"level {level}, draws {draws}: expected a level between 0 and 1 and at least 2 draws")
    estimate = float(score(np.ones((1, clusters)))[0])
    parts = [np.full(draws, np.nan)] if clusters < 2 else []
    for start in range(0, draws if clusters > 1 else 0, CHUNK):
        rows = min(CHUNK, draws - start)
        drawn = generator.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        parts.append(score(weights.astype("float64")))
    scores = np.concatenate(parts)
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


class PairedComparison(NamedTuple):
    """Two models on the same speakers, one score a speaker and model."""

    difference: float  # mean over speakers of a - b
    sd: float  # of the speakers' differences (ddof 1)
    p_t: float  # paired t-test
    p_wilcoxon: float  # signed-rank test; with fewer than 6 speakers it cannot come below .05
    speakers: int
    left_out: int  # speakers for whom either model has no score


def speaker_scores(
    predictions: pd.DataFrame, metric: str, runs: Sequence[str] = ("seed",), labels: Sequence[str] = CLASSES
) -> pd.DataFrame:
    """Score of each model on each speaker, the mean over `runs`.

    A `uar` is over the classes that a speaker's truth has, since few speakers have them all. Utterances of unknown
    speakers are left out.

    Returns:
        Columns: model, speaker, score; NaN where the score is not defined in one of the runs.

    Raises:
        ValueError: as `sums` raises.
    """
    tables = []
    for model, group in predictions.groupby("model", observed=True, sort=False):
        by_speaker = sums(group[group["speaker"].notna()], metric, "speaker", runs, labels)
        scores = by_speaker.score_present(by_speaker.values).mean(axis=1)
        tables.append(pd.DataFrame({"model": model, "speaker": by_speaker.clusters, "score": scores}))
    return pd.concat(tables, ignore_index=True)


def compare_speakers(scores: pd.DataFrame, model_a: str, model_b: str) -> PairedComparison:
    """Paired t-test and Wilcoxon signed-rank test of two models over speakers, from a table of `speaker_scores`.

    Equal on every speaker: both p are 1; the same difference, not 0, on every speaker: p_t is 0. With fewer than two
    speakers sd and p are NaN. Raises ValueError where a speaker has two scores of a model, or a model has none.
    """
    wide = scores.pivot(index="speaker", columns="model", values="score")
    absent = [model for model in (model_a, model_b) if model not in wide]
    if absent:
        raise ValueError(f"no speaker scores of {first(absent)}; there are {first(wide.columns)}")
    differences = (wide[model_a] - wide[model_b]).to_numpy(dtype="float64")
    known = differences[~np.isnan(differences)]
    left_out = len(differences) - len(known)
    if len(known) < 2:
        mean = float(known.mean()) if len(known) else math.nan
        return PairedComparison(mean, math.nan, math.nan, math.nan, len(known), left_out)
    mean, sd = float(known.mean()), float(np.std(known - known[0], ddof=1))
    t = _over(mean, sd / math.sqrt(len(known)), none=0.0)
    p_wilcoxon = float(stats.wilcoxon(known).pvalue) if known.any() else 1.0
    return PairedComparison(mean, sd, float(2 * stats.t.sf(abs(t), len(known) - 1)), p_wilcoxon, len(known), left_out)


def _describe(scores: Sequence[float]) -> Printed:
    """Mean, sd (ddof 0; exactly 0 where all are equal) and number of `scores`."""
    scores = np.asarray(scores, dtype="float64")
    if not scores.size:
        raise ValueError("no scores; expected one a seed")
    return float(scores.mean()), float(np.std(scores - scores[0])), scores.size


def _standard(a: Printed, b: Printed) -> tuple[float, float]:
    """Difference of the means, and pooled standard deviation (ddof 1), NaN with fewer than two on either side."""
    for mean, sd, n in (a, b):
        if sd < 0 or n < 1:
            raise ValueError(f"mean {mean}, sd {sd}, n {n}: expected an sd of at least 0 over at least 1 seed")
    squares = a[2] * a[1] ** 2 + b[2] * b[1] ** 2
    # Means of equal scores may differ in the last digit.
    difference = 0.0 if math.isclose(a[0], b[0], rel_tol=1e-12) else a[0] - b[0]
    return difference, math.sqrt(squares / (a[2] + b[2] - 2)) if min(a[2], b[2]) > 1 else math.nan


def _over(difference: float, spread: float, none: float) -> float:
    """`difference` in units of `spread`; without spread infinite, or `none` where there is no difference either."""
    if math.isnan(difference) or math.isnan(spread) or spread:
        return difference / spread
    return math.copysign(math.inf, difference) if difference else none


def _needed(difference: float, sd: float, power: float, alpha: float, test: TTestIndPower | TTestPower) -> float:
    if sd < 0 or not 0 < power < 1:
        raise ValueError(f"sd {sd}, power {power}: expected an sd of at least 0 and a power between 0 and 1")
    if math.isnan(difference) or math.isnan(sd):
        return math.nan
    if not difference or not sd:
        return 2.0 if difference else math.inf
    effect = abs(difference) / sd

    def enough(size: float) -> bool:
        # On the right side alone: the wrong one adds next to nothing. NaN is how the library says 1 at large effects.
        return not test.power(effect, size, alpha / 2, alternative="larger") < power

    low, high = 1.0, 2.0
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
