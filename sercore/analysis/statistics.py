"""Tests and intervals: over seeds, as the paper tests, over speakers, and over both, which the paper does not do.

The paper's test (section 6.1) says whether another training could have turned out the other way: its unit is the seed,
and the test utterances are taken as given. Intervals and tests over speakers say whether other people could have: their
unit is the speaker, and the trained models are taken as given. `crossed_difference` and `mixed_model` let both vary:
other trainings, judged by other people. Scores over seeds are in whatever unit the caller has;
scores over speakers are those of `metrics`, where a UAR is in [0, 1]. Speakers are resampled without a pass over the
predictions: every metric follows from sums over utterances, so the sums of each speaker are kept, and a resample only
weights and adds them.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.power import TTestIndPower, TTestPower

from sercore import metrics
from sercore.registry import METRICS
from sercore.schema import CLASSES, first

ALPHA = 0.05
STAR, DAGGER = "*", "†"  # differs from CNN14; differs from fine-tuned BERT
REFERENCES = {"cnn14": STAR, "bert": DAGGER}
CHUNK = 100  # resamples at a time, at least: bounds the memory, 10 MB where 13,000 utterances are their own clusters
WEIGHTS = 100_000  # of resamples at a time, where clusters are fewer: more of them at once take less time
ROUNDING = 1e-12  # a variance below this share of the mean square is rounding: the sample is constant
ONE_OF_EACH = ("model", "section", "train_corpus", "test_corpus", "partition", "target")  # what one score is of
Printed = tuple[float, float, int]  # mean, sd (ddof 0), n


class Comparison(NamedTuple):
    """A two-sided t-test of scores a against scores b, independent samples or pairs."""

    difference: float  # mean of a - mean of b
    low: float  # of the confidence interval of the difference, at 1 - ALPHA
    high: float
    t: float
    df: int
    p: float
    error: float  # standard error of the difference


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
    return _student(difference, pooled * math.sqrt(1 / a[2] + 1 / b[2]), a[2] + b[2] - 2)


def compare_with_zero(a: Printed) -> Comparison:
    """The one-sample t-test of a mean against zero, from `(mean, sd, n)` with ddof 0; edge cases as `compare_seeds`."""
    mean, sd, n = a
    return _student(mean, sd / math.sqrt(n - 1) if n > 1 else math.nan, n - 1)


def compare_pairs(scores_a: Sequence[float], scores_b: Sequence[float]) -> Comparison:
    """The paired t-test of two scores of the same trained models, one of each a seed and in the same order.

    Edge cases as `compare_seeds`. Raises ValueError where the numbers of scores differ.

    >>> round(compare_pairs([1, 2, 3], [2, 3, 5]).p, 3)
    0.057
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(f"{len(scores_a)} scores against {len(scores_b)}; expected pairs, one a seed")
    return compare_with_zero(_describe(np.asarray(scores_a, "float64") - np.asarray(scores_b, "float64")))


def equivalence(difference: float, error: float, df: int, margin: float) -> float:
    """p of two one-sided t-tests that a difference lies within +-`margin` (TOST, Schuirmann 1987); takes arrays too.

    Below alpha exactly where the whole interval at 1 - 2 alpha is inside the margin.
    """
    return stats.t.sf(_ratio(margin - np.abs(difference), error), df)


def beyond(difference: Any, error: Any, df: int, margin: float) -> Any:
    """p of the two-sided t-test that a difference lies outside +-`margin`; takes arrays too.

    With a margin of 0 it is the t-test itself.
    """
    return np.minimum(2 * stats.t.sf(-_ratio(margin - np.abs(difference), error), df), 1.0)


def detectable(error: float, df: int, power: float = 0.8, alpha: float = ALPHA) -> float:
    """The smallest difference that a two-sided t-test finds in a share `power` of studies of this size and spread.

    From the standard error and its degrees of freedom alone, and not from the difference that was seen: the power for
    that one would say no more than its p (Hoenig and Heisey 2001). NaN where the test is.

    >>> round(detectable(error=1.0, df=8), 2)
    3.2
    """
    return float(error * special.nctdtrinc(df, 1 - power, stats.t.isf(alpha / 2, df))) if df > 0 else math.nan


def _student(difference: float, error: float, df: int) -> Comparison:
    t = _over(difference, error, none=0.0)
    reach = float(stats.t.isf(ALPHA / 2, df)) * error
    p = float(2 * stats.t.sf(abs(t), df))
    return Comparison(difference, difference - reach, difference + reach, t, df, p, error)


def _ratio(gap: float, error: float) -> float:
    """`gap` in units of `error`; without error infinite, also without a gap: what is on the border is inside."""
    gap, error = np.broadcast_arrays(np.asarray(gap, "float64"), np.asarray(error, "float64"))
    return np.divide(gap, error, out=np.where(np.isnan(error), np.nan, np.copysign(np.inf, gap)), where=error > 0)


def mean_interval(scores: Sequence[float], level: float = 1 - ALPHA) -> tuple[float, float]:
    """The t-interval of the mean of one score a seed; NaN with fewer than two.

    >>> [round(end, 2) for end in mean_interval([1, 2, 3])]
    [-0.48, 4.48]
    """
    if len(scores) < 2:
        return math.nan, math.nan
    reach = float(stats.t.isf((1 - level) / 2, len(scores) - 1)) * float(stats.sem(scores))
    return float(np.mean(scores)) - reach, float(np.mean(scores)) + reach


def markers(scores: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> dict[str, str]:
    """Marks of each model but the references, from its scores over seeds: `*` differs from cnn14, `†` from bert.

    A reference that is not among the models, or has too few seeds, marks nothing. Raises as `compare_seeds` does.

    >>> markers({"cnn14": [0.50, 0.51], "bert": [0.60, 0.61], "mfcnn14": [0.605, 0.615]})
    {'mfcnn14': '*'}
    """
    known = {model: mark for model, mark in REFERENCES.items() if model in scores}
    tested = [model for model in scores if model not in REFERENCES]
    return {m: "".join(known[r] for r in known if compare_seeds(scores[m], scores[r]).p < alpha) for m in tested}


def holm(p: Any) -> np.ndarray:
    """p-values of one table (..., tests), corrected by Holm's method; a NaN stays NaN and counts as no test.

    >>> holm([0.01, 0.04, float("nan")])
    array([0.02, 0.04,  nan])
    """
    p = np.asarray(p, dtype="float64")
    order = np.argsort(p, axis=-1)  # NaN last
    left = (~np.isnan(p)).sum(axis=-1, keepdims=True) - np.arange(p.shape[-1])
    corrected = np.minimum(np.maximum.accumulate(np.take_along_axis(p, order, axis=-1) * left, axis=-1), 1.0)
    return np.take_along_axis(corrected, np.argsort(order, axis=-1), axis=-1)


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
    runs: pd.MultiIndex  # their names: the values of the columns that tell runs apart
    values: np.ndarray  # (clusters, runs, width); classes: ClassSums; numbers: count, sums, squares, product
    origin: float = 0.0  # the lowest truth: the sums of numbers are of truth and prediction less this

    def score(self, values: np.ndarray) -> np.ndarray:
        """The metric of added-up values (..., width) -> (...); NaN where it is not defined, as without a class."""
        scores = self.score_present(values)
        if METRICS[self.metric].of_counts is None:
            return scores
        return np.where((_class_sums(values).truth > 0).all(axis=-1), scores, np.nan)

    def score_present(self, values: np.ndarray) -> np.ndarray:
        """`score`, but a UAR is over the classes that occur: for a single speaker, who seldom has them all."""
        spec = METRICS[self.metric]
        if spec.of_counts is not None:
            return spec.of_counts(_class_sums(values))
        if spec.of_moments is not None:
            return spec.of_moments(self._moments(values))
        raise _no_sums(self.metric)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The metric, averaged over runs, where each cluster counts `weights` (draws, clusters) times -> (draws,)."""
        return self.of_runs(weights).mean(axis=1)

    def of_runs(self, weights: np.ndarray) -> np.ndarray:
        """The metric of each run where each cluster counts `weights` (draws, clusters) times -> (draws, runs)."""
        return self.score(self.added(weights))

    def added(self, weights: np.ndarray) -> np.ndarray:
        """The values, each cluster `weights` (draws, clusters) times, added up -> (draws, runs, width)."""
        clusters, runs, width = self.values.shape
        return (weights @ self.values.reshape(clusters, -1)).reshape(-1, runs, width)

    @property
    def seeds(self) -> pd.Index:
        """The seeds of the runs, each once; runs that have none are seeds themselves."""
        return self._seed_of_runs.unique().sort_values()

    def by_seed(self, scores: np.ndarray) -> np.ndarray:
        """The mean over the runs of each seed, as over its folds, of `scores` (draws, runs) -> (draws, seeds)."""
        codes = self.seeds.get_indexer(self._seed_of_runs)
        share = np.eye(len(self.seeds))[codes]
        return scores @ (share / share.sum(axis=0))

    def crossed(self, speakers: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """The mean score over seeds where clusters count `speakers` (draws, clusters) times and seeds `seeds` times."""
        return (self.by_seed(self.of_runs(speakers)) * seeds).sum(axis=1) / seeds.sum(axis=1)

    def at(self, clusters: pd.Index | None = None, runs: pd.MultiIndex | None = None) -> "Sums":
        """These clusters and runs alone, in this order; a cluster that is not there has no utterances."""
        values = self.values
        if clusters is not None:
            places = self.clusters.get_indexer(clusters)
            values = np.where((places >= 0)[:, None, None], values[places], 0.0)
        if runs is not None:
            values = values[:, self.runs.get_indexer(runs)]
        kept = (self.clusters if clusters is None else clusters, self.runs if runs is None else runs)
        return replace(self, clusters=kept[0], runs=kept[1], values=values)

    def answers(self) -> np.ndarray:
        """Share of right answers, or mean squared error, of each cluster and seed -> (clusters, seeds)."""
        if METRICS[self.metric].of_counts is None:
            count, _, _, truths, predictions, products = np.moveaxis(self.values, -1, 0)
            total = truths + predictions - 2 * products
        else:
            count, total = (part.sum(axis=-1) for part in _class_sums(self.values)[:2])
        return self.by_seed(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))

    @property
    def _seed_of_runs(self) -> pd.Index:
        return self.runs.get_level_values("seed") if "seed" in self.runs.names else pd.RangeIndex(len(self.runs))

    def _moments(self, values: np.ndarray) -> metrics.Moments:
        count = values[..., :1]
        means = np.divide(values[..., 1:], count, out=np.full(values[..., 1:].shape, np.nan), where=count > 0)
        truth, prediction, truth_square, prediction_square, product = np.moveaxis(means, -1, 0)
        variances = []
        for mean, square in ((truth, truth_square), (prediction, prediction_square)):
            variance = square - mean**2
            variances.append(np.where(variance > ROUNDING * square, variance, 0.0))
        gap = prediction - truth
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
    return resample(by_cluster.resampled, [len(by_cluster.clusters)], generator, draws, level)


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
    b = _on_the_same(a, b)
    return resample(
        lambda weights: a.resampled(weights) - b.resampled(weights), [len(a.clusters)], generator, draws, level
    )


def gap_of_sums(a: Sums, b: Sums, generator: np.random.Generator, draws: int = 1000, level: float = 0.95) -> Interval:
    """Score of one group of utterances - that of another, under resampling of the speakers of both.

    A speaker who is in both groups, as of two styles, is drawn for both; one who is in one, as of two genders, adds
    nothing to the other.
    """
    everyone = a.clusters.union(b.clusters)
    a, b = a.at(everyone), b.at(everyone)
    return resample(
        lambda weights: a.resampled(weights) - b.resampled(weights), [len(everyone)], generator, draws, level
    )


def crossed_difference(
    a: Sums,
    b: Sums,
    generator: np.random.Generator,
    draws: int = 10_000,
    level: float = 0.95,
    paired: bool = False,
) -> Interval:
    """Difference of two models' mean scores where the seeds of each and the speakers of both are resampled.

    Each draw takes seeds of a, seeds of b and speakers, all with replacement, and a speaker counts as often for every
    seed (the pigeonhole bootstrap of Owen 2007, which errs on the wide side where speaker and seed interact). In a
    simulation whose true difference is known, intervals at .95 held it in .96 to 1.00 of studies of 3 to 10 seeds and
    8 to 24 speakers.

    Args:
        a: sums of one model over clusters and runs.
        b: those of the other, on the same clusters.
        generator: draws the resamples.
        draws: how many resamples.
        level: of the interval.
        paired: a seed of both is one training, as of late fusion and its halves: it is drawn for both, and seeds that
            only one of them has are left out.

    Returns:
        With a single speaker or a single seed, low, high and error are NaN.

    Raises:
        ValueError: the two have different clusters.
    """
    b = _on_the_same(a, b)
    if paired:
        both = a.seeds.intersection(b.seeds)
        a, b = (of.at(runs=of.runs[of.runs.get_level_values("seed").isin(both)]) for of in (a, b))

    def score(speakers: np.ndarray, *seeds: np.ndarray) -> np.ndarray:
        return a.crossed(speakers, seeds[0]) - b.crossed(speakers, seeds[-1])

    sizes = [len(a.clusters), len(a.seeds)] + ([] if paired else [len(b.seeds)])
    return resample(score, sizes, generator, draws, level)


def crossed_interval(a: Sums, generator: np.random.Generator, draws: int = 10_000, level: float = 0.95) -> Interval:
    """A model's mean score over seeds where its seeds and the speakers are resampled, as in `crossed_difference`."""
    return resample(a.crossed, [len(a.clusters), len(a.seeds)], generator, draws, level)


def swap_test(a: Sums, b: Sums, generator: np.random.Generator, draws: int = 10_000) -> float:
    """p-value: how often swapping two models' predictions of some speakers makes as large a difference as was seen.

    The score is that of all utterances, as in the tables, not a mean of speakers' own scores. In each draw a coin
    decides for every speaker whether the two models' predictions of it, of every run, change places. Runs are paired
    by their names; one that only one model has is left out. No difference between the models, for any speaker, is what
    is tested; the trained models are taken as given.

    Returns:
        (1 + draws with a difference as large) / (1 + draws); NaN where the difference is, or no run is in both.

    Raises:
        ValueError: the two have different clusters, or are of different utterances.
    """
    if a.origin != b.origin:
        raise ValueError(f"the lowest truth is {a.origin} of one model and {b.origin} of the other; expected the same")
    both = a.runs.intersection(b.runs, sort=False)
    if both.empty:
        return math.nan
    b = _on_the_same(a, b).at(runs=both)
    a = a.at(runs=both)
    together = replace(a, values=a.values + b.values).added(np.ones((1, len(a.clusters))))

    def difference(swapped: np.ndarray) -> np.ndarray:
        ours = a.added(1 - swapped) + b.added(swapped)
        return (a.score(ours) - a.score(together - ours)).mean(axis=1)

    found = abs(float(difference(np.zeros((1, len(a.clusters))))[0]))
    if math.isnan(found):
        return math.nan
    as_large = 0
    for rows in _chunks(draws, len(a.clusters)):
        swapped = generator.integers(2, size=(rows, len(a.clusters))).astype("float64")
        as_large += int((np.abs(difference(swapped)) >= found - ROUNDING).sum())
    return (1 + as_large) / (1 + draws)


class Mixed(NamedTuple):
    """Difference of two models by a mixed model."""

    difference: float  # of a - b; share of right answers in [0, 1], or squared error in units of the scale
    low: float
    high: float
    p: float
    note: str  # what did not go well; empty: nothing


def mixed_model(a: Sums, b: Sums, paired: bool = False, level: float = 1 - ALPHA) -> Mixed:
    """Difference of right answers (categories) or squared error (ratings) of two models, speaker and seed crossed.

    The answers of one speaker to one seed's model are one cell, its mean: speakers count the same, however much they
    say, and a share of right answers is no UAR. A cell is the model's mean + effects of the speaker, of the speaker
    with this model, and of the training (normal, independent), + a residual, fitted by REML. With cells of utterances
    that are the same for every seed, what an utterance adds is in the effects of its speaker.

    Limits: the effects are taken as normal and their variances as those of both models; cells weigh the same; the
    library's normal quantile would be too narrow with few seeds, so t has the degrees of freedom of whatever is fewer,
    speakers - 1 or seeds of both - 2 (paired: seeds - 1), which is ours.

    Args:
        a: sums of one model over clusters and runs.
        b: those of the other, on the same clusters.
        paired: a seed of both is one training, as of late fusion and its halves: it has an effect on both.
        level: of the interval.

    Returns:
        NaN, with a note, with fewer than two speakers or seeds of either, where nothing varies, or the fit fails.

    Raises:
        ValueError: the two have different clusters.
    """
    b = _on_the_same(a, b)
    parts = []
    for place, of in enumerate((b, a)):
        cells = pd.DataFrame(of.answers(), pd.RangeIndex(len(of.clusters)), of.seeds)
        cells = cells.melt(ignore_index=False, var_name="seed", value_name="answer").reset_index(names="speaker")
        parts.append(cells.assign(ours=place))
    cells = pd.concat(parts, ignore_index=True).dropna()
    cells = cells.assign(
        training=cells.groupby(["ours", "seed"]).ngroup(), own=cells.groupby(["ours", "speaker"]).ngroup()
    )
    speakers, seeds = cells["speaker"].nunique(), cells.groupby("ours")["seed"].nunique()
    df = min(speakers - 1, (seeds.min() - 1) if paired else seeds.sum() - 2)
    if speakers < 2 or seeds.min() < 2 or len(seeds) < 2:
        return Mixed(math.nan, math.nan, math.nan, math.nan, "too few speakers or seeds")
    if not cells["answer"].std() > ROUNDING:
        return Mixed(math.nan, math.nan, math.nan, math.nan, "every cell is the same")
    effects = ["speaker", "own", "training", *(["seed"] if paired else [])]
    scale = cells["answer"].std()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        model = MixedLM.from_formula(
            "answer ~ ours",
            groups=np.ones(len(cells)),
            re_formula="0",
            vc_formula={name: f"0 + C({name})" for name in effects},
            data=cells.assign(answer=cells["answer"] / scale),
        )
        try:
            fitted = model.fit(
                method="powell"
            )  # without derivatives: others fail where a variance is 0, as it often is
        except np.linalg.LinAlgError:  # of the library, at times, near a variance of 0
            return Mixed(math.nan, math.nan, math.nan, math.nan, "no fit: singular matrix")
    estimate, error = scale * fitted.params["ours"], scale * fitted.bse["ours"]
    if not fitted.converged or not np.isfinite(error):
        return Mixed(float(estimate), math.nan, math.nan, math.nan, "did not converge")
    reach = float(stats.t.isf((1 - level) / 2, df)) * error
    p = float(2 * stats.t.sf(abs(_over(estimate, error, none=0.0)), df))
    return Mixed(float(estimate), float(estimate - reach), float(estimate + reach), p, "")


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
    clusters, known = pd.factorize(cluster_names(predictions, cluster))
    number = np.zeros(len(clusters), dtype="int64")
    names_of_runs = pd.MultiIndex.from_arrays([[0]], names=["run"])
    if runs:
        number = predictions.groupby(list(runs), observed=True, sort=False, dropna=False).ngroup().to_numpy()
        names_of_runs = pd.MultiIndex.from_frame(predictions[list(runs)].drop_duplicates())
    if spec.of_counts is not None:
        size = len(labels)
        truth, prediction = (
            metrics.class_codes(truth, labels, "truth"),
            metrics.class_codes(prediction, labels, "prediction"),
        )
        shape = (len(known), number.max() + 1, size)
        row = (clusters * shape[1] + number) * size
        columns = ((truth, None), (truth, truth == prediction), (prediction, None))  # as in metrics.ClassSums
        counts = [np.bincount(row + codes, hits, math.prod(shape)).reshape(shape) for codes, hits in columns]
        return Sums(metric, known, names_of_runs, np.concatenate(counts, axis=2, dtype="float64"))
    truth, prediction = metrics.numbers(truth, "truth"), metrics.numbers(prediction, "prediction")
    shape = (len(known), number.max() + 1)
    place = clusters * shape[1] + number
    origin = float(truth.min())
    t, p = truth - origin, prediction - origin
    columns = [np.bincount(place, of, math.prod(shape)).reshape(shape) for of in (None, t, p, t * t, p * p, t * p)]
    return Sums(metric, known, names_of_runs, np.stack(columns, axis=-1).astype("float64"), origin)


def _class_sums(values: np.ndarray) -> metrics.ClassSums:
    """The parts of `values` (..., 3 classes) of a metric of categories."""
    return metrics.ClassSums(*np.split(values, len(metrics.ClassSums._fields), axis=-1))


def _on_the_same(a: Sums, b: Sums) -> Sums:
    """`b` with its clusters in the order of those of `a`. Raises ValueError where they are others."""
    alone = a.clusters.symmetric_difference(b.clusters)
    if len(alone):
        raise ValueError(f"{len(alone)} clusters are in only one of the two tables, {first(alone)}")
    return b.at(a.clusters)


def cluster_names(predictions: pd.DataFrame, cluster: str = "speaker") -> pd.Series:
    """The cluster of each row; an utterance that has none, as of an unknown speaker, is one of its own."""
    names = predictions[cluster].astype(object)
    return (
        names.where(names.notna(), "utterance " + predictions["utterance"].astype(str)) if names.isna().any() else names
    )


def _no_sums(metric: str) -> ValueError:
    return ValueError(f"metric '{metric}' has neither of_moments nor of_counts, so it cannot be resampled")


def resample(
    score: Callable[..., np.ndarray],
    sizes: Sequence[int],
    generator: np.random.Generator,
    draws: int,
    level: float,
) -> Interval:
    """A score at equal weights, and its spread over resamples of its units, which may be of several kinds.

    Args:
        score: weights (draws, size), one array for each of `sizes` -> scores (draws,).
        sizes: how many units of each kind there are, as of speakers and of seeds; each kind is drawn on its own.
        generator: draws the resamples.
        draws: how many resamples.
        level: of the interval.

    Raises:
        ValueError: a level outside (0, 1), or fewer than 2 draws.
    """
    if not 0 < level < 1 or draws < 2:
        raise ValueError(f"level {level}, draws {draws}: expected a level between 0 and 1 and at least 2 draws")
    equal = [np.ones((1, size)) for size in sizes]
    estimate = float(score(*equal)[0])
    few = min(sizes) < 2
    parts = [np.full(draws, np.nan)] if few else []
    for rows in _chunks(0 if few else draws, max(sizes)):
        weights = []
        for size in sizes:
            drawn = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
            weights.append(np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype("float64"))
        parts.append(score(*weights))
    scores = np.concatenate(parts)
    scores = scores[np.isfinite(scores)]
    undefined = draws - len(scores)
    if len(scores) < 2:
        return Interval(estimate, math.nan, math.nan, math.nan, sizes[0], undefined)
    variances = [1.0]
    if len(sizes) > 1:  # leave one out
        variances = []
        for kind, size in enumerate(sizes):
            weights = [np.ones((size, other)) for other in sizes]
            weights[kind] = 1 - np.eye(size)
            without = score(*weights)
            variances.append((size - 1) * float(np.nanvar(without)) if np.isfinite(without).any() else 0.0)
    low, high = np.quantile(scores, tails(level, sizes, variances))
    return Interval(estimate, float(low), float(high), float(scores.std(ddof=1)), sizes[0], undefined)


def tails(level: float, sizes: Sequence[int], variances: Sequence[float] = (1.0,)) -> tuple[float, float]:
    """Quantiles of the resamples between which to expect `level` of the scores: expanded percentiles (Hesterberg 2015).

    Plain percentiles of n units are too narrow by sqrt((n - 1) / n), and by a normal in place of a t quantile. Of units
    of several kinds, each with its share of the variance, both follow from the shares: the degrees of freedom are
    those of Satterthwaite (1946).
    """
    size, part = np.asarray(sizes, dtype="float64"), np.asarray(variances, dtype="float64")
    part = part / part.sum() if part.sum() else np.full(len(size), 1 / len(size))
    df = 1 / (part**2 / (size - 1)).sum()
    reach = math.sqrt(1 / (part * (size - 1) / size).sum()) * stats.t.isf((1 - level) / 2, df)
    tail = float(stats.norm.sf(reach))
    return tail, 1 - tail


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
    known = predictions[predictions["speaker"].notna()]
    if known.empty:
        return pd.DataFrame(columns=["model", "speaker", "score"])
    for model, group in known.groupby("model", observed=True, sort=False):
        by_speaker = sums(group, metric, "speaker", runs, labels)
        scores = by_speaker.score_present(by_speaker.values).mean(axis=1)
        tables.append(pd.DataFrame({"model": model, "speaker": by_speaker.clusters, "score": scores}))
    return pd.concat(tables, ignore_index=True)


def _chunks(draws: int, units: int) -> list[int]:
    """Numbers of draws that together are `draws`, each to be held in memory at once."""
    chunk = max(CHUNK, WEIGHTS // units)
    return [min(chunk, draws - start) for start in range(0, draws, chunk)]


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
