"""The four measures agree with an independent package, and are defined where there is nothing to measure."""

import doctest
import math
import time

import audmetric
import numpy as np
import pandas as pd
import pytest

from sercore import metrics
from sercore.schema import CLASSES

MEASURES = [metrics.concordance_correlation, metrics.pearson_correlation, metrics.mean_squared_error]


def emotions(seed, utterances=200, labels=CLASSES):
    rng = np.random.default_rng(seed)
    truth = rng.choice(labels, utterances)
    return truth, np.where(rng.random(utterances) < 0.4, truth, rng.choice(labels, utterances))


def ratings(seed, utterances=200):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 7, utterances)
    return truth, 2 + 0.5 * truth + rng.normal(0, rng.uniform(0.1, 3), utterances)


def test_the_examples_run():
    failed, run = doctest.testmod(metrics)
    assert run > 8
    assert not failed


@pytest.mark.parametrize("seed", range(20))
def test_recall_and_confusion_agree_with_audmetric(seed):
    truth, prediction = emotions(seed)
    assert metrics.unweighted_average_recall(truth, prediction, CLASSES) == pytest.approx(
        audmetric.unweighted_average_recall(truth, prediction, CLASSES), abs=1e-9
    )
    recalls = audmetric.recall_per_class(truth, prediction, CLASSES)
    assert metrics.recalls(truth, prediction, CLASSES).to_dict() == pytest.approx(recalls, abs=1e-9)
    for normalise in (False, True):
        expected = np.array(audmetric.confusion_matrix(truth, prediction, CLASSES, normalize=normalise))
        ours = metrics.confusion(truth, prediction, CLASSES, normalise)
        assert ours.to_numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_correlations_and_error_agree_with_audmetric(seed):
    pair = ratings(seed, utterances=2 + seed * 13)
    assert metrics.concordance_correlation(*pair) == pytest.approx(audmetric.concordance_cc(*pair), abs=1e-9)
    assert metrics.pearson_correlation(*pair) == pytest.approx(audmetric.pearson_cc(*pair), abs=1e-9)
    assert metrics.mean_squared_error(*pair) == pytest.approx(audmetric.mean_squared_error(*pair), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_f1_scores_agree_with_independent_packages(seed):
    truth, prediction = emotions(seed)
    prediction = np.where(prediction == "sad", "angry", prediction)  # a class that is never predicted has F1 0
    macro, weighted = (score(truth, prediction, CLASSES) for score in (metrics.macro_f1, metrics.weighted_f1))
    expected = audmetric.unweighted_average_fscore(truth, prediction, CLASSES, zero_division=0.0)
    assert macro == pytest.approx(expected, abs=1e-9)
    of_classes = audmetric.fscore_per_class(truth, prediction, CLASSES, zero_division=0.0)
    assert of_classes["sad"] == 0
    assert weighted == pytest.approx(np.mean([of_classes[name] for name in truth]), abs=1e-9)


def test_f1_scores_of_a_sample_without_a_class_are_not_defined():
    for score in (metrics.macro_f1, metrics.weighted_f1):
        assert math.isnan(score(["sad", "sad"], ["sad", "happy"], ["happy", "sad"]))
        with pytest.raises(ValueError, match="in truth are no labels: bored"):
            score(["sad", "bored"], ["sad", "sad"], ["happy", "sad"])
    nothing = metrics.ClassSums(*np.zeros((3, 2)))
    for of_sums in (metrics.recall_of, metrics.macro_f1_of, metrics.weighted_f1_of):
        assert math.isnan(of_sums(nothing))


def test_only_a_missing_class_is_scored_otherwise_than_by_audmetric():
    pair = (["sad", "sad"], ["sad", "happy"])
    assert audmetric.unweighted_average_recall(*pair, ["happy", "sad"]) == 0.25  # counts the absent class as recall 0
    assert math.isnan(metrics.unweighted_average_recall(*pair, ["happy", "sad"]))
    for truth, prediction in (
        [[3], [3]],
        [[3], [4]],
        [[2, 2], [2, 2]],
        [[2, 2], [3, 3]],
        [[2, 2, 2], [1, 2, 3]],
        [[1, 2, 3], [2, 2, 2]],
    ):
        expected = audmetric.concordance_cc(truth, prediction)
        assert metrics.concordance_correlation(truth, prediction) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    for truth, prediction in ([[3], [3]], [[1, 2, 3], [2, 2, 2]]):
        assert math.isnan(audmetric.pearson_cc(truth, prediction))
        assert math.isnan(metrics.pearson_correlation(truth, prediction))


def test_concordance_by_hand():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 4/3 / (4/3 + 1)
    assert metrics.concordance_correlation([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)


def test_a_constant_is_recognised_despite_rounding():
    flat = [0.1] * 7  # their mean is not 0.1
    assert math.isnan(metrics.pearson_correlation(flat, [1, 2, 3, 4, 5, 6, 7]))
    assert math.isnan(metrics.pearson_correlation([1, 2, 3, 4, 5, 6, 7], flat))
    assert math.isnan(metrics.concordance_correlation(flat, flat))
    assert metrics.concordance_correlation(flat, [0.3] * 7) == 0


@pytest.mark.parametrize("seed", range(20))
def test_concordance_is_correlation_times_what_spread_and_shift_leave(seed):
    truth, prediction = ratings(seed, utterances=2 + seed * 13)
    parts = metrics.concordance_parts(truth, prediction)
    assert parts.r == pytest.approx(audmetric.pearson_cc(truth, prediction))
    assert parts.ratio == pytest.approx(prediction.std() / truth.std())
    assert parts.shift == pytest.approx((prediction.mean() - truth.mean()) / np.sqrt(truth.std() * prediction.std()))
    assert parts.bias_correction == pytest.approx(2 / (parts.ratio + 1 / parts.ratio + parts.shift**2))
    assert parts.r * parts.bias_correction == pytest.approx(audmetric.concordance_cc(truth, prediction))


def test_parts_of_a_constant_are_those_that_it_has():
    flat = metrics.concordance_parts([1, 2, 3], [2, 2, 2])
    assert (flat.ratio, flat.bias_correction) == (0, 0)
    assert math.isnan(flat.r)
    assert math.isnan(flat.shift)
    truth = metrics.concordance_parts([2, 2, 2], [1, 2, 3])
    assert truth.bias_correction == 0
    assert math.isnan(truth.ratio)
    assert all(map(math.isnan, metrics.concordance_parts([2, 2], [2, 2])))
    assert all(map(math.isnan, metrics.concordance_parts([1], [2])))


def test_concordance_cannot_exceed_correlation_and_has_its_sign():
    for seed in range(50):
        truth, prediction = ratings(seed, 30)
        concordance = metrics.concordance_correlation(truth, prediction)
        correlation = metrics.pearson_correlation(truth, prediction)
        assert abs(concordance) <= abs(correlation)
        assert np.sign(concordance) == np.sign(correlation)


def test_only_correlation_survives_another_scale():
    truth, prediction = ratings(0)
    rescaled = 1 + (prediction - 1) * 4 / 6  # 1-7 -> 1-5
    assert metrics.pearson_correlation(truth, rescaled) == pytest.approx(metrics.pearson_correlation(truth, prediction))
    assert metrics.concordance_correlation(truth, rescaled) != pytest.approx(
        metrics.concordance_correlation(truth, prediction), abs=0.01
    )


def test_a_large_offset_costs_no_digits():
    truth, prediction = ratings(3)
    moved = metrics.concordance_correlation(truth + 1e6, prediction + 1e6)
    assert moved == pytest.approx(metrics.concordance_correlation(truth, prediction), abs=1e-8)


def test_recall_does_not_change_when_a_class_is_repeated():
    truth, prediction = emotions(1)
    sad = truth == "sad"
    more = [np.concatenate([values, values[sad], values[sad]]) for values in (truth, prediction)]
    once = metrics.unweighted_average_recall(truth, prediction, CLASSES)
    assert metrics.unweighted_average_recall(*more, CLASSES) == pytest.approx(once)


def test_a_class_that_is_never_predicted_has_recall_0_and_one_that_never_occurs_has_none():
    recalls = metrics.recalls(["happy", "sad", "sad"], ["sad", "sad", "sad"], ["angry", "happy", "sad"])
    assert math.isnan(recalls["angry"])
    assert (recalls["happy"], recalls["sad"]) == (0, 1)


def test_confusion_has_truth_in_rows_in_the_order_of_the_labels():
    table = metrics.confusion(["sad", "sad", "happy"], ["sad", "happy", "happy"], ["sad", "happy", "angry"])
    assert (table.index.name, table.columns.name) == ("truth", "prediction")
    assert table.to_numpy().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    shares = metrics.confusion(["sad", "sad", "happy"], ["sad", "happy", "happy"], ["sad", "happy", "angry"], True)
    assert shares.loc["sad"].tolist() == [0.5, 0.5, 0]
    assert shares.loc["angry"].isna().all()


@pytest.mark.parametrize(
    "kind",
    [
        list,
        np.array,
        pd.Series,
        pd.Categorical,
        lambda v: pd.Series(v, dtype="category"),
        lambda v: np.array(v, dtype=object),
        lambda v: pd.Series(v, index=v),
    ],
)
def test_every_kind_of_column_gives_the_same(kind):
    truth, prediction = emotions(2)
    expected = metrics.unweighted_average_recall(truth, prediction, CLASSES)
    assert metrics.unweighted_average_recall(kind(list(truth)), kind(list(prediction)), CLASSES) == expected


def test_a_score_is_a_plain_number():
    assert type(metrics.unweighted_average_recall(["sad"], ["sad"], ["sad"])) is float
    assert all(type(measure([1, 2, 4], [1, 3, 4])) is float for measure in MEASURES)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("truth", "complaint"),
    [
        ([1, 2], "truth has 2 values and prediction 3"),
        ([], "truth is empty"),
        ([1, math.nan, 3], "1 of 3 in truth are not finite numbers, nan at 1"),
        ([1, 2, math.inf], "inf at 2"),
        ([1, "x", 3], "x at 1"),
        ([1, None, 3], "None at 1"),
        (pd.Series([1, pd.NA, 3], dtype="Int64"), "at 1"),
        ([[1], [2], [3]], "one number an utterance"),
    ],
)
def test_invalid_numbers_are_refused(measure, truth, complaint):
    with pytest.raises(ValueError, match=complaint):
        measure(truth, [1, 2, 3])
    if "values" not in complaint:
        with pytest.raises(ValueError, match=complaint.replace("truth", "prediction")):
            measure([1, 2, 3], truth)


@pytest.mark.parametrize("measure", [metrics.unweighted_average_recall, metrics.confusion, metrics.recalls])
@pytest.mark.parametrize(
    ("truth", "labels", "complaint"),
    [
        (["sad"], ["sad", "happy"], "truth has 1 values and prediction 2"),
        ([], ["sad"], "truth is empty"),
        (["sad", "sda"], ["sad", "happy"], "1 of 2 in truth are no labels: sda; did you mean 'sad'"),
        (["sad", None], ["sad", "happy"], "in truth are no labels: None"),
        (pd.Series(["sad", None], dtype="category"), ["sad", "happy"], "in truth are no labels: nan"),
        (["sad", "sad"], ["happy", "happy"], "each once"),
        (["sad", "sad"], [], "labels are empty"),
        (["sad", "sad"], ["sad", "angry"], "1 of 2 in prediction are no labels: happy"),
    ],
)
def test_invalid_classes_are_refused(measure, truth, labels, complaint):
    with pytest.raises(ValueError, match=complaint):
        measure(truth, ["happy", "sad"], labels)


def test_a_test_set_of_13000_utterances_takes_milliseconds():
    truth, prediction = (pd.Series(values) for values in emotions(0, 13_000))
    took = []
    for _ in range(5):
        start = time.perf_counter()
        metrics.confusion(truth, prediction, CLASSES)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05
