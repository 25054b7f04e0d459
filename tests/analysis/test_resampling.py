"""Scores from sums are the scores from the utterances, whatever is resampled."""

import math

import numpy as np
import pandas as pd
import pytest

from sercore import metrics
from sercore.analysis import statistics
from sercore.registry import METRICS
from sercore.schema import CLASSES

FUNCTIONS = {
    "uar": lambda truth, prediction: metrics.unweighted_average_recall(truth, prediction, CLASSES),
    "ccc": metrics.concordance_correlation,
    "pcc": metrics.pearson_correlation,
    "mse": metrics.mean_squared_error,
}


def predictions(metric, seed=0, speakers=8, utterances=15, runs=2):
    """`runs` seeds of the same utterances, every speaker with an own bias."""
    rng = np.random.default_rng(seed)
    rows = speakers * utterances
    speaker = np.repeat(np.arange(speakers), utterances)
    who = {"speaker": [f"s{n}" for n in speaker], "utterance": [f"u{n}" for n in range(rows)]}
    tables = []
    if metric == "uar":
        truth = rng.choice(CLASSES, rows)
        for run in range(runs):
            prediction = np.where(rng.random(rows) < 0.5, truth, rng.choice(CLASSES, rows))
            tables.append(pd.DataFrame({**who, "seed": run, "truth": truth, "prediction": prediction}))
    else:
        truth = rng.uniform(1, 7, rows)
        for run in range(runs):
            prediction = 1 + 0.6 * truth + rng.normal(0, 0.5, speakers)[speaker] + rng.normal(0, 0.8, rows)
            tables.append(pd.DataFrame({**who, "seed": run, "truth": truth, "prediction": prediction}))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("metric", METRICS)
def test_a_resample_scores_as_the_table_that_repeats_its_speakers(metric):
    table = predictions(metric)
    sums = statistics.sums(table, metric)
    weights = np.random.default_rng(1).integers(0, 4, (20, len(sums.clusters)))
    for row, ours in zip(weights, sums.resampled(weights.astype(float)), strict=True):
        copies = [
            table[table["speaker"] == name]
            for name, times in zip(sums.clusters, row, strict=True)
            for _ in range(times)
        ]
        drawn = pd.concat(copies)
        expected = np.mean([FUNCTIONS[metric](run["truth"], run["prediction"]) for _, run in drawn.groupby("seed")])
        assert ours == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_single_speakers_score_as_their_own_table(metric):
    table = predictions(metric, utterances=40)
    sums = statistics.sums(table, metric, runs=())
    for name, score in zip(sums.clusters, sums.score_present(sums.values)[:, 0], strict=True):
        own = table[table["speaker"] == name]
        assert score == pytest.approx(FUNCTIONS[metric](own["truth"], own["prediction"]), abs=1e-9)


def test_a_speaker_without_a_class_is_scored_over_those_that_it_has():
    table = pd.DataFrame({"speaker": "a", "truth": ["sad", "sad", "happy"], "prediction": ["sad", "angry", "happy"]})
    sums = statistics.sums(table, "uar", runs=())
    assert math.isnan(sums.score(sums.values)[0, 0])
    assert sums.score_present(sums.values)[0, 0] == 0.75


def test_a_resample_of_one_rating_has_no_correlation():
    table = pd.DataFrame({"speaker": list("aabb"), "truth": [1, 3, 2.3, 2.3], "prediction": [1.1, 2, 1.7, 1.7]})
    sums = statistics.sums(table, "ccc", runs=())
    only_b = np.array([[0.0, 3.0]])
    assert sums.resampled(only_b)[0] == pytest.approx(0)  # both constant, at different values
    assert math.isnan(statistics.sums(table, "pcc", runs=()).resampled(only_b)[0])
    assert statistics.sums(table, "mse", runs=()).resampled(only_b)[0] == pytest.approx(0.36)


def test_unknown_speakers_are_clusters_of_their_own():
    table = predictions("ccc", speakers=4, utterances=5)
    table.loc[table["speaker"] == "s1", "speaker"] = None
    sums = statistics.sums(table, "ccc")
    assert len(sums.clusters) == 3 + 5
    assert "utterance u5" in sums.clusters


def test_a_missing_seed_is_a_run_of_its_own():
    table = predictions("ccc")
    expected = statistics.sums(table, "ccc").values
    gaps = table.assign(seed=table["seed"].astype(float).where(table["seed"] == 0))
    assert statistics.sums(gaps, "ccc").values == pytest.approx(expected)


def test_columns_of_categories_are_as_good_as_text():
    table = predictions("uar")
    table.loc[:20, "speaker"] = None
    kinds = table.astype(
        {"speaker": "category", "utterance": "category", "truth": "category", "prediction": "category"}
    )
    weights = np.random.default_rng(0).integers(0, 3, (5, len(statistics.sums(table, "uar").clusters))).astype(float)
    assert statistics.sums(kinds, "uar").resampled(weights) == pytest.approx(
        statistics.sums(table, "uar").resampled(weights)
    )


def test_memory_does_not_grow_with_the_draws():
    chunks = []

    def score(weights):
        chunks.append(weights.shape)
        assert (weights.sum(axis=1) == 30).all()
        return weights[:, 0]

    interval = statistics.resample(score, 30, np.random.default_rng(0), draws=250, level=0.9)
    assert chunks == [(1, 30), (100, 30), (100, 30), (50, 30)]
    assert interval.score == 1
    # a cluster is drawn Binomial(30, 1/30) times
    assert interval.error == pytest.approx(math.sqrt(29 / 30), abs=0.15)


def test_the_tails_are_those_of_the_percentile_interval_where_clusters_are_many():
    assert statistics.tails(0.95, 100_000) == pytest.approx((0.025, 0.975), abs=1e-5)
    few = statistics.tails(0.95, 5)
    # sqrt(5 / 4) times the t quantile of 4 degrees of freedom, 2.776, is 3.104; a normal is above it in .00095
    assert few == pytest.approx((0.00095, 0.99905), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        ({"target": ["arousal", "valence"] * 5}, {}, "2 values of 'target', arousal, valence; select one"),
        ({"model": ["bert", "cnn14"] * 5}, {}, "2 values of 'model'"),
        ({}, {"cluster": "dialog"}, "no column dialog"),
        ({}, {"runs": ("seed", "fold")}, "no column fold"),
        ({}, {"metric": "uaar"}, "unknown metric 'uaar'; did you mean 'uar'"),
        ({"truth": [1.0, math.nan] * 5}, {}, "in truth are not finite"),
    ],
)
def test_what_is_not_one_score_is_refused(change, options, complaint):
    table = predictions("ccc", speakers=5, utterances=2, runs=1).assign(**change)
    with pytest.raises(ValueError, match=complaint):
        statistics.sums(table, **{"metric": "ccc", **options})


def test_senseless_levels_and_draws_are_refused():
    for draws, level in ((1, 0.95), (100, 1.0)):
        with pytest.raises(ValueError, match="expected a level between 0 and 1 and at least 2 draws"):
            statistics.resample(lambda weights: weights[:, 0], 3, np.random.default_rng(0), draws, level)
