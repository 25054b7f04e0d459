"""How sure a model is of its classes, and what it gets wrong where it may say that it is not sure.

A temperature makes probabilities as high as answers are right; the calibration error says how far off they still are; a
curve of error against coverage says what is gained by not answering. And how far ratings are off. Of arrays, and of the
predictions of one run, without figures: whoever predicts a recording needs this too.
"""

import math
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from sercore import metrics
from sercore.schema import DIMENSIONS, EMOTION, PROBABILITY, are, first, probability_columns
from sercore.settings import Share

BINS = 15  # of equal width over the confidence, as in Guo et al. (2017)
TEMPERATURES = (0.05, 20.0)  # between which one is sought
CHANCE_DRAWS = 200  # of truths for which the probabilities are right
LEAST = float(np.finfo("float32").tiny)  # stands for a probability that was rounded to 0
FEWEST = 20  # development utterances that a temperature, and answers that a point of the curve, are taken from
POINTS = 50  # that are kept of a curve
HELD = 0.9  # share of the ratings that the half-widths are to hold
NOT_SURE = "not sure"  # in place of a class
CONTENT = ConfigDict(extra="forbid", allow_inf_nan=False)


class Point(NamedTuple):
    """What comes of answering from a confidence on, on development utterances."""

    threshold: float  # lowest confidence with which a class is named
    coverage: float  # share of the utterances for which one is
    error: float  # share of these that are wrong


@dataclass(frozen=True, kw_only=True, config=CONTENT)
class Confidence:
    """What the development predictions of a run say about how sure its answers are."""

    temperature: Annotated[float, Field(gt=0)] = 1.0  # to which probabilities are brought, see `tempered`
    note: str = ""  # why it is 1 although nothing was fitted, or what is odd about it
    utterances: Annotated[int, Field(ge=0)] = 0  # of development, on which all of this rests
    speakers: Annotated[int, Field(ge=0)] = 0  # that are known of these
    ece: Share = 0.0  # of development at the temperature, see `calibration_error`
    absent: tuple[str, ...] = ()  # classes that none of them is of
    curve: tuple[Point, ...] = ()  # from all that are answered to the fewest; the thresholds rise
    area: Share = 0.0  # under the curve, see `area`; 0 where there is none

    @property
    def calibrated(self) -> bool:
        """Whether the temperature was fitted."""
        return not self.note or self.temperature != 1

    def __str__(self) -> str:
        """What a confidence means, as commands, notebooks and cards print it."""
        meaning = "the probability of the answer" + ("" if self.calibrated else " as the network gives it")
        if self.calibrated:
            speakers = f" of {self.speakers} speakers" if self.speakers else ""
            meaning += (
                ". Of development utterances with such a confidence about that share was answered rightly, "
                f"{100 * self.ece:.0f} points off on average, as far as {self.utterances} utterances{speakers} can say"
            )
        how = f"temperature {self.temperature:.2f}" if self.calibrated else "not calibrated"
        unseen = f"; no development utterance is {', '.join(self.absent)}" if self.absent else ""
        return f"{meaning} ({how}{': ' * bool(self.note)}{self.note}{unseen})"

    def threshold(self, coverage: float | None = None, error: float | None = None) -> float:
        """The confidence from which on a class is to be named, by one of two wishes about development utterances.

        Args:
            coverage: At least this share of them is answered: the highest such threshold.
            error: At most this share of the answers is wrong: the lowest such threshold.

        Raises:
            ValueError: Both or neither; there is no curve; the error is never that low.
        """
        if (coverage is None) == (error is None):
            raise ValueError("expected either a coverage or an error")
        if not self.curve:
            raise ValueError(
                f"a threshold for a coverage or an error is read from development predictions, and {self.note}; name "
                "one by --reject-below"
            )
        if error is None:
            return [point for point in self.curve if coverage is not None and point.coverage >= coverage][-1].threshold
        for point in self.curve:
            if point.error <= error:
                return point.threshold
        best = min(self.curve, key=lambda point: (point.error, -point.coverage))
        raise ValueError(
            f"an error of {error:.1%} or less is not reached on development; the lowest is "
            f"{math.ceil(1000 * best.error) / 1000:.1%}, of the {best.coverage:.0%} of {self.utterances} utterances "
            f"with a confidence of {best.threshold:.3f} or more (of fewer than {FEWEST} answers none is taken): ask "
            "for no less, or name a threshold by --reject-below"
        )

    def at(self, threshold: float) -> Point | None:
        """The point of the curve nearest above `threshold`; None where hardly any utterance was so sure."""
        return next((point for point in self.curve if point.threshold >= threshold), None)


def of_run(predictions: pd.DataFrame) -> Confidence:
    """What the development predictions of one run of classes, or of one of its folds, say about its confidence.

    - No development predictions, or one whose probabilities are not finite: nothing is known, the temperature is 1.
    - Fewer than FEWEST utterances: the temperature is 1; the curve is one point, of all of them.
    - A temperature at the upper end of TEMPERATURES is taken: the probabilities tell next to nothing. One at the lower
      end would make every answer certain because too few are wrong; 1 is taken.
    - A class that no utterance is of does not matter to the temperature; it is named.
    - Utterances of equal confidence are answered together or not at all; of equally probable classes the first counts.
    """
    rows = _development(predictions)
    if rows.empty:
        return Confidence(note="the run has no development predictions")
    columns = probability_columns(rows)
    probabilities = rows[columns].to_numpy("float64")
    broken = ~np.isfinite(probabilities).all(axis=1)
    if broken.any():
        return Confidence(
            note=f"{broken.sum()} of {len(rows)} development predictions {are(int(broken.sum()))} not finite, "
            f"{first(rows['utterance'][broken])}"
        )
    truth = _codes(rows)
    utterances = rows["utterance"].nunique()
    temperature, note = 1.0, f"{utterances} development utterances, and a temperature takes {FEWEST} or more"
    if utterances >= FEWEST:
        temperature, note = fit_temperature(probabilities, truth), ""
        if at_end(temperature) < 0:
            temperature, note = 1.0, f"the best temperature is {TEMPERATURES[0]:g} or less, too few answers are wrong"
        elif at_end(temperature) > 0:
            note = "or more, since the probabilities tell next to nothing"
    sure, correct = tempered(probabilities, temperature).max(axis=1), _correct(rows)
    curve = rejection_curve(sure, correct)
    return Confidence(
        temperature=temperature,
        note=note,
        utterances=utterances,
        speakers=rows["speaker"].nunique(),
        ece=float(calibration_error(sure, correct)),
        absent=tuple(name.removeprefix(PROBABILITY) for code, name in enumerate(columns) if code not in truth),
        curve=_kept(curve),
        area=area(curve),
    )


def curve_of(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The `rejection_curve` of `predictions` of classes, whose probabilities are brought to `temperature`."""
    probabilities = predictions[probability_columns(predictions)].to_numpy("float64")
    return rejection_curve(tempered(probabilities, temperature).max(axis=1), _correct(predictions))


def errors(predictions: pd.DataFrame, temperature: float, generator: np.random.Generator) -> dict[str, float]:
    """Shares, of `predictions` of classes.

    accuracy; ece, of the probabilities as they are, and tempered_ece, at `temperature`; chance: `chance_error` at it.
    """
    probabilities, correct = predictions[probability_columns(predictions)].to_numpy("float64"), _correct(predictions)
    sure = tempered(probabilities, temperature).max(axis=1)
    return {
        "accuracy": float(correct.mean()),
        "ece": float(calibration_error(probabilities.max(axis=1), correct)),
        "tempered_ece": float(calibration_error(sure, correct)),
        "chance": chance_error(sure, generator),
    }


def half_widths(predictions: pd.DataFrame) -> dict[str, float]:
    """How far from a rating the truth is at most, HELD of the time, on development utterances, by dimension.

    The half-width of a split conformal interval (Lei et al. 2018, equation 3): the ceil((n + 1) HELD)-th smallest of
    the n distances. It holds for new utterances as far as these are like those of development. Dimensions of fewer
    than 9 utterances have none.
    """
    rows, found = _development(predictions), {}
    for target in [name for name in DIMENSIONS if (rows["target"] == name).any()]:
        of_target = rows[rows["target"] == target]
        distances = (of_target["truth"].astype("float64") - of_target["prediction"].astype("float64")).abs()
        rank = math.ceil((len(distances) + 1) * HELD)
        if rank <= len(distances):
            found[target] = float(distances.sort_values().iloc[rank - 1])
    return found


def reject(answers: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """`answers` of a predictor with NOT_SURE as the emotion where the confidence is below `threshold`."""
    return answers.assign(**{EMOTION: answers[EMOTION].mask(answers["confidence"] < threshold, NOT_SURE)})


def rejection_curve(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Error against coverage (El-Yaniv & Wiener 2010): what is wrong of the answers from each confidence on.

    Args:
        confidence: probability of the class that was predicted (utterances,).
        correct: whether it was the true one (utterances,).

    Returns:
        One row a distinct confidence, the surest first. Columns: threshold, answered (utterances with that confidence
        or more), coverage (their share), wrong (how many of them), error (share of these).

    >>> rejection_curve(np.array([0.9, 0.6, 0.6]), np.array([True, False, True]))["error"].round(2).tolist()
    [0.0, 0.33]
    """
    thresholds, place = np.unique(-np.asarray(confidence, dtype="float64"), return_inverse=True)
    answered = np.bincount(place).cumsum()
    wrong = np.bincount(place, ~np.asarray(correct, dtype=bool)).cumsum()
    shares = {"coverage": answered / len(place), "wrong": wrong, "error": wrong / answered}
    return pd.DataFrame({"threshold": -thresholds, "answered": answered, **shares})


def error_at(curve: pd.DataFrame, answered: np.ndarray) -> np.ndarray:
    """Share that is wrong of the `answered` surest utterances of a `rejection_curve`; of equally sure ones on average.

    >>> error_at(rejection_curve(np.array([0.9, 0.6, 0.6]), np.array([True, False, True])), np.array([1, 2, 3]))
    array([0.        , 0.25      , 0.33333333])
    """
    return np.interp(answered, [0, *curve["answered"]], [0, *curve["wrong"]]) / answered


def area(curve: pd.DataFrame) -> float:
    """The area under a `rejection_curve`, in [0, 1]: the mean error over all coverages (Geifman et al. 2019).

    Of a confidence that says nothing it is the error of all answers; where all that is right is surer than all that is
    wrong it is at its least.
    """
    return float(error_at(curve, np.arange(1, curve["answered"].iloc[-1] + 1)).mean())


def at_end(temperature: float) -> int:
    """-1 for a `temperature` at the lower end of TEMPERATURES, 1 at the upper one, 0 between."""
    low, high = np.isclose(temperature, TEMPERATURES, rtol=0.01)
    return int(high) - int(low)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Expected calibration error (ECE, Guo et al. 2017), in [0, 1]: 0 where in every bin as many are right as it says.

        ECE = sum over bins of (share of the utterances) * |accuracy - mean confidence|

    Args:
        confidence: probability of the class that was predicted (utterances,), in bins of equal width, (0, 1/15] first.
        correct: whether it was the true one (..., utterances).
        bins: how many.

    >>> float(calibration_error(np.array([0.9, 0.9, 0.55, 0.55]), np.array([True, True, True, False])).round(3))
    0.075
    """
    in_bin = confidence_bins(confidence, bins)[:, None] == np.arange(bins)
    return np.abs((np.asarray(correct, dtype="float64") - confidence) @ in_bin).sum(axis=-1) / len(confidence)


def chance_error(confidence: np.ndarray, generator: np.random.Generator, draws: int = CHANCE_DRAWS) -> float:
    """The ECE that probabilities which are right show on average, because a bin holds few utterances.

    Each prediction is right with the probability that it gives, `draws` times over (Vaicenavicius et al. 2019).
    """
    correct = generator.random((draws, len(confidence))) < confidence
    return float(calibration_error(confidence, correct).mean())


def confidence_bins(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of each probability, (utterances,) int64, of those of equal width; a bin holds its upper end."""
    return np.clip(np.ceil(np.asarray(confidence) * bins).astype("int64") - 1, 0, bins - 1)


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T of the greatest likelihood (Guo et al. 2017), between the two of TEMPERATURES.

    Above 1: the probabilities are too sure, below 1 not sure enough; the predicted class stays the same.

    Args:
        probabilities: (utterances, classes).
        truth: codes into the classes (utterances,).
    """
    logs = _logs(probabilities)
    of_truth = logs[np.arange(len(logs)), truth]

    def _loss(exponent: float) -> float:
        scale = np.exp(-exponent)
        return float(np.mean(logsumexp(scale * logs, axis=1) - scale * of_truth))

    return float(np.exp(minimize_scalar(_loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """`probabilities` (utterances, classes) to the power of 1 / temperature, in sum 1 again."""
    return softmax(_logs(probabilities) / temperature, axis=1)


def _development(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of development utterances of the training corpus."""
    own = predictions["train_corpus"].astype(object) == predictions["test_corpus"].astype(object)
    return predictions[own & (predictions["partition"] == "development")]


def _codes(predictions: pd.DataFrame) -> np.ndarray:
    """The true class of each prediction, as the place of its probability's column."""
    labels = [column.removeprefix(PROBABILITY) for column in probability_columns(predictions)]
    return metrics.class_codes(predictions["truth"], labels, "truth")


def _correct(predictions: pd.DataFrame) -> np.ndarray:
    """Whether the most probable class, of equal ones the first, is the true one."""
    probabilities = predictions[probability_columns(predictions)].to_numpy("float64")
    return probabilities.argmax(axis=1) == _codes(predictions)


def _kept(curve: pd.DataFrame) -> tuple[Point, ...]:
    """At most POINTS of `curve`, evenly over the coverage, none of fewer than FEWEST answers but that of all.

    All utterances are answered from a confidence of 0 on, also those that are less sure than any of development.
    """
    wanted = np.arange(1, POINTS + 1) / POINTS
    places = np.unique(np.searchsorted(curve["coverage"], wanted - 1e-9))
    kept = curve.iloc[places[::-1]]
    kept = kept[(kept["answered"] >= FEWEST) | (kept["coverage"] == 1)]
    points = [Point(*map(float, row)) for row in kept[["threshold", "coverage", "error"]].to_numpy()]
    return (points[0]._replace(threshold=0.0), *points[1:])


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, LEAST))
