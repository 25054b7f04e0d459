"""The paper's four metrics (section 4.2) of two columns of a predictions table: UAR, CCC, PCC and MSE; and confusions.

The F1 scores of recent challenges stand beside them.

Arguments are any sequences of the same length, one value an utterance: lists, arrays, columns. A score that the data do
not define is NaN. Every metric raises ValueError for an empty input, for different lengths and for missing values; each
says what else it refuses. What tables and figures ask about a metric stands in `registry.METRICS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from sercore.schema import did_you_mean, first

Values: TypeAlias = Sequence[Any] | np.ndarray | pd.Series


def unweighted_average_recall(truth: Values, prediction: Values, labels: Sequence[Any]) -> float:
    """Mean recall over `labels`, each class counting the same however rare it is; in [0, 1], chance is 1 / classes.

        UAR = 1/K * sum over k of (utterances of class k that are predicted as k) / (utterances of class k)

    A label that never occurs in `truth` has no recall, so the score is NaN: a fold that lacks a class must be
    noticed, not averaged away. A label that is never predicted has recall 0. Raises ValueError for a value of
    `truth` or `prediction` that is not in `labels`, for a label that is there twice, and for no labels.

    >>> unweighted_average_recall(["sad", "sad", "happy"], ["sad"] * 3, ["happy", "sad"])
    0.5
    >>> unweighted_average_recall(["sad", "sad"], ["sad", "sad"], ["happy", "sad"])
    nan
    """
    return float(recalls(truth, prediction, labels).mean(skipna=False))


def recalls(truth: Values, prediction: Values, labels: Sequence[Any]) -> pd.Series:
    """Recall of each of `labels`, in [0, 1]; NaN for a label that never occurs in `truth`. Raises as the UAR does.

    >>> recalls(["sad", "sad", "happy"], ["sad"] * 3, ["happy", "sad"]).to_dict()
    {'happy': 0.0, 'sad': 1.0}
    """
    shares = confusion(truth, prediction, labels, normalise=True)
    return pd.Series(np.diag(shares), index=shares.index, name="recall")


def macro_f1(truth: Values, prediction: Values, labels: Sequence[Any]) -> float:
    """Mean F1 over `labels`, in [0, 1]: unlike the UAR, it also falls with what is wrongly predicted as a rare class.

        F1_k = 2 hits_k / (utterances of class k + utterances that are predicted as k),   macro-F1 = 1/K * sum of F1_k

    F1_k is the harmonic mean of precision and recall of class k. A label that is never predicted has F1 0. A label that
    never occurs in `truth` makes the score NaN, as it does the UAR, and it raises as the UAR does.

    >>> round(macro_f1(["sad", "sad", "happy"], ["sad", "happy", "happy"], ["happy", "sad"]), 4)
    0.6667
    """
    return float(_complete(class_sums(truth, prediction, labels), macro_f1_of))


def weighted_f1(truth: Values, prediction: Values, labels: Sequence[Any]) -> float:
    """Mean F1 over the utterances' own classes, in [0, 1]: a class counts as often as it occurs in `truth`.

        weighted F1 = sum over k of (utterances of class k) F1_k / utterances,   F1_k as in `macro_f1`

    NaN, and raises, as `macro_f1`.

    >>> round(weighted_f1(["sad", "sad", "sad", "happy"], ["sad", "sad", "happy", "happy"], ["happy", "sad"]), 4)
    0.7667
    """
    return float(_complete(class_sums(truth, prediction, labels), weighted_f1_of))


def confusion(truth: Values, prediction: Values, labels: Sequence[Any], normalise: bool = False) -> pd.DataFrame:
    """How often each class (row) was predicted as each class (column), both in the order of `labels`.

    Counts, or with `normalise` the share of the row, which sums to 1; a label that never occurs in `truth` then has
    a row of NaN. Raises ValueError for a value of `truth` or `prediction` that is not in `labels`, for a label that is
    there twice, and for no labels.

    >>> confusion(["sad", "sad", "happy"], ["sad"] * 3, ["happy", "sad"]).loc["happy"].to_dict()
    {'happy': 0, 'sad': 1}
    """
    pairs = class_codes(truth, labels, "truth"), class_codes(prediction, labels, "prediction")
    _check_lengths(*pairs)
    size = len(labels)
    counts = np.bincount(pairs[0] * size + pairs[1], minlength=size**2).reshape(size, size)
    if normalise:
        total = counts.sum(axis=1, keepdims=True)
        counts = np.divide(counts, total, out=np.full((size, size), np.nan), where=total > 0)
    return pd.DataFrame(counts, index=pd.Index(labels, name="truth"), columns=pd.Index(labels, name="prediction"))


def concordance_correlation(truth: Values, prediction: Values) -> float:
    """Concordance correlation coefficient, in [-1, 1]: 1 where every prediction is right, not merely on a line.

        CCC = 2 cov(truth, prediction) / (var(truth) + var(prediction) + (mean(truth) - mean(prediction))^2)

    with population moments (Lin 1989). Where only one of the two is constant, and where both are at different values,
    it is 0. Where both are constant at the same value it is NaN, and so it is for fewer than two utterances.
    Raises ValueError for a value that is not a finite number.

    >>> round(concordance_correlation([1, 2, 3], [2, 3, 4]), 4)
    0.5714
    >>> concordance_correlation([2, 2, 2], [1, 2, 3])
    0.0
    >>> concordance_correlation([2, 2], [2, 2])
    nan
    """
    return float(concordance_of(_moments(truth, prediction)))


def concordance_parts(truth: Values, prediction: Values) -> "ConcordanceParts":
    """What the concordance correlation coefficient is made of: correlation, spread and shift (Lin 1989).

        CCC = r * C_b,   C_b = 2 / (v + 1 / v + u^2)
        v = sd(prediction) / sd(truth),   u = (mean(prediction) - mean(truth)) / sqrt(sd(prediction) sd(truth))

    with population moments. C_b, in [0, 1], is 1 where the predictions have the truth's spread (v 1) and mean (u 0).
    A constant prediction has v 0 and a constant truth none; where either is constant, r and u are NaN, and C_b is 0, or
    NaN where the CCC is. Raises ValueError for a value that is not a finite number.

    >>> tuple(round(part, 4) for part in concordance_parts([1, 2, 3], [3, 5, 7]))
    (1.0, 2.0, 2.5981, 0.2162)
    >>> concordance_parts([1, 2, 3], [2, 2, 2])
    ConcordanceParts(r=nan, ratio=0.0, shift=nan, bias_correction=0.0)
    """
    return ConcordanceParts(*map(float, concordance_parts_of(_moments(truth, prediction))))


def pearson_correlation(truth: Values, prediction: Values) -> float:
    """Pearson's correlation coefficient, in [-1, 1]; unlike the CCC it does not change with the scale of either.

        PCC = cov(truth, prediction) / sqrt(var(truth) var(prediction))

    NaN where either is constant, and for fewer than two utterances. Raises ValueError for a value that is not a
    finite number.

    >>> pearson_correlation([1, 2, 3], [20, 30, 40])
    1.0
    >>> pearson_correlation([1, 2, 3], [2, 2, 2])
    nan
    """
    return float(pearson_of(_moments(truth, prediction)))


def mean_squared_error(truth: Values, prediction: Values) -> float:
    """Mean of (prediction - truth)^2, at least 0, in squared units of the scale; defined for a single utterance too.

    Raises ValueError for a value that is not a finite number.

    >>> mean_squared_error([1, 2], [1, 4])
    2.0
    """
    truth, prediction = numbers(truth, "truth"), numbers(prediction, "prediction")
    _check_lengths(truth, prediction)
    return float(np.mean((prediction - truth) ** 2))


class Moments(NamedTuple):
    """Population moments of truth and prediction; numbers, or arrays of them that hold one sample each."""

    count: Any
    gap: Any  # mean of the prediction - mean of the truth
    truth: Any  # variance
    prediction: Any  # variance
    together: Any  # covariance


class ConcordanceParts(NamedTuple):
    """Parts of a CCC, which is `r * bias_correction`; numbers, or arrays of them that hold one sample each."""

    r: Any  # Pearson's correlation
    ratio: Any  # of the spreads: sd(prediction) / sd(truth), v
    shift: Any  # difference of the means in units of the spreads' geometric mean, u
    bias_correction: Any  # C_b


def concordance_of(moments: Moments) -> np.ndarray:
    """`concordance_correlation` of samples that have these moments."""
    size = np.asarray(moments.truth + moments.prediction + moments.gap**2)
    known = (np.asarray(moments.count) > 1) & (size > 0)
    return np.divide(2 * moments.together, size, out=np.full(size.shape, np.nan), where=known)


def concordance_parts_of(moments: Moments) -> ConcordanceParts:
    """`concordance_parts` of samples that have these moments."""
    truth, prediction = np.sqrt(np.asarray(moments.truth)), np.sqrt(np.asarray(moments.prediction))
    several = np.asarray(moments.count) > 1

    def _over(value: np.ndarray, size: np.ndarray) -> np.ndarray:
        return np.divide(value, size, out=np.full(size.shape, np.nan), where=several & (size > 0))

    both = np.asarray(truth * prediction)
    distance = np.asarray(moments.truth + moments.prediction + moments.gap**2)
    shift = _over(np.asarray(moments.gap), np.sqrt(both))
    return ConcordanceParts(pearson_of(moments), _over(prediction, truth), shift, _over(2 * both, distance))


def pearson_of(moments: Moments) -> np.ndarray:
    """`pearson_correlation` of samples that have these moments."""
    size = np.sqrt(np.asarray(moments.truth)) * np.sqrt(np.asarray(moments.prediction))
    known = (np.asarray(moments.count) > 1) & (size > 0)
    return np.clip(np.divide(moments.together, size, out=np.full(size.shape, np.nan), where=known), -1, 1)


def squared_error_of(moments: Moments) -> np.ndarray:
    """`mean_squared_error` of samples that have these moments."""
    error = np.asarray(moments.truth + moments.prediction - 2 * moments.together + moments.gap**2)
    return np.where(np.asarray(moments.count) > 0, np.maximum(error, 0), np.nan)


class ClassSums(NamedTuple):
    """Sums over utterances for each class, all (..., classes); one sample each."""

    truth: np.ndarray  # utterances of the class
    hits: np.ndarray  # utterances of the class that are predicted as it
    predicted: np.ndarray  # utterances that are predicted as the class


def class_sums(truth: Values, prediction: Values, labels: Sequence[Any]) -> ClassSums:
    """The `ClassSums` of one sample, in the order of `labels`. Raises as `confusion` does."""
    counts = confusion(truth, prediction, labels).to_numpy()
    return ClassSums(counts.sum(axis=1), np.diag(counts), counts.sum(axis=0))


def recall_of(sums: ClassSums) -> np.ndarray:
    """Mean recall over the classes that occur, one score a sample (...), in [0, 1]; NaN where none occurs."""
    return _mean_of_occurring(_divided(sums.hits, sums.truth), sums)


def macro_f1_of(sums: ClassSums) -> np.ndarray:
    """Mean F1 over the classes that occur in the truth, one score a sample (...), in [0, 1]; NaN where none occurs."""
    return _mean_of_occurring(_f1_of(sums), sums)


def weighted_f1_of(sums: ClassSums) -> np.ndarray:
    """Mean F1 with the weights of the truth, one score a sample (...), in [0, 1]; NaN where no class occurs."""
    total = np.asarray(sums.truth).sum(axis=-1)
    return _divided((_f1_of(sums) * sums.truth).sum(axis=-1), total, none=np.nan)


def _f1_of(sums: ClassSums) -> np.ndarray:
    return _divided(2 * np.asarray(sums.hits), np.asarray(sums.truth) + sums.predicted)


def _mean_of_occurring(scores: np.ndarray, sums: ClassSums) -> np.ndarray:
    occurring = np.asarray(sums.truth) > 0
    return _divided(np.where(occurring, scores, 0).sum(axis=-1), occurring.sum(axis=-1), none=np.nan)


def _complete(sums: ClassSums, score: Callable[[ClassSums], np.ndarray]) -> np.ndarray:
    """The `score` of one sample; NaN where a class does not occur in the truth."""
    return score(sums) if (sums.truth > 0).all() else np.array(np.nan)


def _divided(values: np.ndarray, sizes: np.ndarray, none: float = 0.0) -> np.ndarray:
    """`values` / `sizes`, and `none` where there is nothing to divide by."""
    values, sizes = np.asarray(values), np.asarray(sizes)
    return np.divide(values, sizes, out=np.full(sizes.shape, none), where=sizes > 0)


def class_codes(values: Values, labels: Sequence[Any], name: str) -> np.ndarray:
    """The place in `labels` of each of `values`, (utterances,) int64. `name` is what errors call the values.

    Raises ValueError for no values, a value that is missing or not in `labels`, a label that is there twice, no labels.
    """
    labels = pd.Index(labels, dtype=object)
    if not len(labels) or labels.has_duplicates:
        raise ValueError(f"labels are {first(labels, 20) or 'empty'}; expected at least one, each once")
    if not len(values):
        raise ValueError(f"{name} is empty; expected at least one utterance")
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        kinds = pd.Categorical(values)
        # One place more, for the code -1 of a missing value.
        codes = np.append(labels.get_indexer(kinds.categories.astype(object)), -1)[kinds.codes]
    else:
        codes = labels.get_indexer(pd.Index(np.asarray(values, dtype=object)))
    wrong = np.flatnonzero(codes < 0)
    if len(wrong):
        values = np.asarray(values, dtype=object)
        unknown = list(dict.fromkeys(map(str, values[wrong])))
        near = did_you_mean(unknown[0], map(str, labels))
        raise ValueError(f"{len(wrong)} of {len(values)} in {name} are no labels: {first(unknown)}{near}")
    return codes.astype("int64")


def numbers(values: Values, name: str) -> np.ndarray:
    """`values` as (utterances,) float64. `name` is what errors call them.

    Raises ValueError for no values, for more than one a row, and for one that is missing or not a finite number.
    """
    try:
        array = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        array = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(
            dtype="float64", na_value=np.nan
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; expected one number an utterance: score each dimension apart"
        )
    if not len(array):
        raise ValueError(f"{name} is empty; expected at least one utterance")
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        found = (
            first(f"{values[place]} at {place}" for place in wrong)
            if isinstance(values, list)
            else f"at {first(wrong)}"
        )
        raise ValueError(
            f"{len(wrong)} of {len(array)} in {name} are not finite numbers, {found}; drop these utterances"
        )
    return array


def _moments(truth: Values, prediction: Values) -> Moments:
    truth, prediction = numbers(truth, "truth"), numbers(prediction, "prediction")
    _check_lengths(truth, prediction)
    # Around the first value, so that what is constant has a variance of exactly 0.
    truth_apart, prediction_apart = truth - truth[0], prediction - prediction[0]
    gap = prediction_apart.mean() - truth_apart.mean() + (prediction[0] - truth[0])
    truth_apart, prediction_apart = truth_apart - truth_apart.mean(), prediction_apart - prediction_apart.mean()
    mean = np.mean([truth_apart**2, prediction_apart**2, truth_apart * prediction_apart], axis=1)
    return Moments(len(truth), gap, *mean)


def _check_lengths(truth: np.ndarray, prediction: np.ndarray) -> None:
    if len(truth) != len(prediction):
        raise ValueError(
            f"truth has {len(truth)} values and prediction {len(prediction)}; expected one of each an utterance"
        )
