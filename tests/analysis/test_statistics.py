"""The tests agree with scipy and statsmodels, are defined where there is little to test, and keep what they promise."""

import doctest
import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats import weightstats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from sercore import metrics
from sercore.analysis import statistics
from sercore.registry import METRICS, Metric
from sercore.schema import CLASSES


def scores(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0.6, 0.02, rng.integers(2, 8)), rng.normal(0.62, 0.03, rng.integers(2, 8))


def biased_ratings(rng, speakers, utterances, models=("cnn14",)):
    """Ratings whose errors share a bias a speaker; in the population the CCC is `TRUE_CCC`."""
    speaker = np.repeat(np.arange(speakers), utterances)
    truth = rng.normal(0, 1, speaker.size)
    tables = []
    for model in models:
        predicted = 0.7 * truth + rng.normal(0, 0.5, speakers)[speaker] + rng.normal(0, 0.4, speaker.size)
        tables.append(
            pd.DataFrame(
                {"model": model, "seed": 0, "speaker": speaker.astype(str), "truth": truth, "prediction": predicted}
            )
        )
    return pd.concat(tables, ignore_index=True).assign(
        utterance=np.tile([f"u{n}" for n in range(speaker.size)], len(models))
    )


TRUE_CCC = 2 * 0.7 / (1 + 0.7**2 + 0.5**2 + 0.4**2)


def test_the_examples_run():
    failed, run = doctest.testmod(statistics)
    assert run >= 5
    assert not failed


@pytest.mark.parametrize("seed", range(20))
def test_the_papers_test_agrees_with_scipy(seed):
    a, b = scores(seed)
    expected = stats.ttest_ind(a, b)
    ours = statistics.compare_seeds(a, b)
    interval = expected.confidence_interval(0.95)
    assert ours == pytest.approx(
        (a.mean() - b.mean(), *interval, expected.statistic, expected.df, expected.pvalue, expected._standard_error),
        abs=1e-9,
    )


@pytest.mark.parametrize("seed", range(20))
def test_printed_numbers_test_as_the_scores_behind_them(seed):
    a, b = scores(seed)
    printed = [(side.mean(), side.std(), len(side)) for side in (a, b)]  # numpy's std has ddof 0
    assert statistics.compare_printed(*printed) == pytest.approx(statistics.compare_seeds(a, b), abs=1e-9)
    by_scipy = stats.ttest_ind_from_stats(a.mean(), a.std(ddof=1), len(a), b.mean(), b.std(ddof=1), len(b))
    assert statistics.compare_printed(*printed).p == pytest.approx(by_scipy.pvalue, abs=1e-9)


def test_one_seed_cannot_be_tested():
    for a, b in (([0.5], [0.6]), ([0.5], [0.6, 0.61, 0.62])):
        found = statistics.compare_seeds(a, b)
        assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
        assert all(math.isnan(value) for value in (found.t, found.p, found.low, found.high))
        assert math.isnan(statistics.cohens_d(a, b))
        assert math.isnan(statistics.hedges_g(a, b))


def test_scores_that_never_vary_are_the_same_or_surely_different():
    same = statistics.compare_seeds([0.1] * 3, [0.1] * 7)
    assert (same.difference, same.t, same.p) == (0, 0, 1)
    other = statistics.compare_seeds([0.1] * 3, [0.3] * 7)
    assert (other.t, other.p) == (-math.inf, 0)
    assert other.low == other.high == pytest.approx(-0.2)
    assert statistics.cohens_d([0.1] * 3, [0.1] * 7) == 0
    assert statistics.cohens_d([0.1] * 3, [0.3] * 7) == -math.inf


def test_pairs_and_one_mean_agree_with_scipy():
    a, b = np.array([0.61, 0.70, 0.58, 0.66]), np.array([0.60, 0.66, 0.57, 0.61])
    found, expected = statistics.compare_pairs(a, b), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.t, found.p, found.df) == pytest.approx((expected.statistic, expected.pvalue, 3))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    zero = statistics.compare_with_zero((a.mean(), a.std(), len(a)))
    assert zero.p == pytest.approx(stats.ttest_1samp(a, 0).pvalue)
    assert math.isnan(statistics.compare_with_zero((0.5, 0.0, 1)).p)
    assert statistics.compare_pairs([1, 2], [0, 1]).p == 0, "the same difference in every pair"
    with pytest.raises(ValueError, match="2 scores against 3; expected pairs"):
        statistics.compare_pairs([1, 2], [1, 2, 3])


@pytest.mark.parametrize("margin", [0.01, 0.03, 0.1])
def test_equivalence_agrees_with_statsmodels(margin):
    a, b = scores(1)
    test = statistics.compare_seeds(a, b)
    expected = weightstats.ttost_ind(a, b, -margin, margin)[0]
    assert statistics.equivalence(test.difference, test.error, test.df, margin) == pytest.approx(expected)
    size = min(len(a), len(b))
    pairs = statistics.compare_pairs(a[:size], b[:size])
    expected = weightstats.ttost_paired(a[:size], b[:size], -margin, margin)[0]
    assert statistics.equivalence(pairs.difference, pairs.error, pairs.df, margin) == pytest.approx(expected)


def test_beyond_a_margin_of_zero_is_the_test_itself():
    a, b = scores(2)
    test = statistics.compare_seeds(a, b)
    assert statistics.beyond(test.difference, test.error, test.df, 0.0) == pytest.approx(test.p)
    wide = 2 * abs(test.difference)
    assert statistics.beyond(test.difference, test.error, test.df, wide) == 1
    # 3 errors above the margin
    assert statistics.beyond(4.0, 1.0, 8, 1.0) == pytest.approx(2 * stats.t.sf(3, 8))


def test_without_a_spread_a_difference_is_inside_the_margin_or_beyond_it():
    inside, border, outside = 0.5, 1.0, 2.0
    assert [float(statistics.equivalence(d, 0.0, 4, 1.0)) for d in (inside, border, outside)] == [0, 0, 1]
    assert [float(statistics.beyond(d, 0.0, 4, 1.0)) for d in (inside, border, outside)] == [1, 1, 0]
    assert np.isnan(statistics.equivalence(np.nan, np.nan, 4, 1.0))


@pytest.mark.parametrize("size", [2, 3, 5, 10])
def test_the_detectable_difference_has_the_power(size):
    independent = statistics.detectable(math.sqrt(2 / size), 2 * size - 2)
    paired = statistics.detectable(math.sqrt(1 / size), size - 1)
    for effect, test in ((independent, TTestIndPower()), (paired, TTestPower())):
        assert test.power(effect, size, 0.025, alternative="larger") == pytest.approx(0.8, abs=1e-4)
    assert math.isnan(statistics.detectable(math.nan, 0))


def test_a_score_that_is_missing_makes_the_answer_missing():
    for a in ([0.5, math.nan, 0.6], [math.nan] * 2):
        found = statistics.compare_seeds(a, [0.5, 0.6])
        assert math.isnan(found.p)
        assert math.isnan(statistics.hedges_g(a, [0.5, 0.6]))
        assert statistics.markers({"cnn14": [0.5, 0.6], "sfcnn14": a}) == {"sfcnn14": ""}


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="no scores; expected one a seed"):
        statistics.compare_seeds([], [1, 2])
    with pytest.raises(ValueError, match=r"sd -0\.1, n 5: expected an sd of at least 0"):
        statistics.compare_printed((1.0, -0.1, 5), (1.0, 0.1, 5))
    with pytest.raises(ValueError, match="over at least 1 seed"):
        statistics.compare_printed((1.0, 0.1, 0), (1.0, 0.1, 5))
    with pytest.raises(ValueError, match="a power between 0 and 1"):
        statistics.seeds_needed(1.0, 1.0, power=1.0)


def test_markers_name_the_reference_that_a_model_differs_from():
    seeds = np.array([-0.01, 0.0, 0.01])
    table = {
        "bert": 0.5 + seeds,
        "cnn14": 0.4 + seeds,
        "lf": 0.5 + seeds,
        "sfcnn14": 0.6 + seeds,
        "mfcnn14": 0.4 + seeds,
    }
    assert statistics.markers(table) == {"lf": "*", "sfcnn14": "*†", "mfcnn14": "†"}
    del table["bert"]
    assert statistics.markers(table) == {"lf": "*", "sfcnn14": "*", "mfcnn14": ""}


@pytest.mark.parametrize("seed", range(5))
def test_holm_agrees_with_statsmodels_and_skips_what_was_not_tested(seed):
    p = np.random.default_rng(seed).uniform(0, 0.1, 12)
    expected = multipletests(p, method="holm")[1]
    assert statistics.holm(p) == pytest.approx(expected, abs=1e-9)
    gaps = np.insert(p, [0, 5, 12], math.nan)
    corrected = statistics.holm(gaps)
    assert corrected[~np.isnan(gaps)] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(corrected[np.isnan(gaps)]).all()
    assert np.isnan(statistics.holm([math.nan])).all()


@pytest.mark.parametrize("seed", range(10))
def test_effect_sizes_agree_with_statsmodels(seed):
    a, b = scores(seed)
    expected, _ = effectsize_smd(a.mean(), a.std(ddof=1), len(a), b.mean(), b.std(ddof=1), len(b))
    assert statistics.hedges_g(a, b) == pytest.approx(expected, abs=1e-9)
    t, size = stats.ttest_ind(a, b).statistic, len(a) * len(b) / (len(a) + len(b))
    assert statistics.cohens_d(a, b) == pytest.approx(t / math.sqrt(size), abs=1e-9)


@pytest.mark.parametrize("effect", [0.01, 0.1, 0.3, 0.8, 1.5, 3.0, 7.0])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_seeds_and_speakers_needed_are_the_fewest_that_have_the_power(effect, power):
    for function, test in ((statistics.seeds_needed, TTestIndPower()), (statistics.speakers_needed, TTestPower())):
        needed = function(effect * 0.02, sd=0.02, power=power)
        assert needed == int(needed)
        assert test.power(effect, needed, 0.025, alternative="larger") >= power
        assert needed == 2 or test.power(effect, needed - 1, 0.025, alternative="larger") < power
        assert function(-effect, sd=1.0, power=power) == needed


def test_the_largest_and_the_smallest_effects_have_an_answer():
    for function in (statistics.seeds_needed, statistics.speakers_needed):
        assert [function(effect, 1.0) for effect in (100, 1e3, 1e6)] == [2, 2, 2]
    # 2 ((1.960 + 0.842) / effect)^2
    assert statistics.seeds_needed(1e-6, 1.0) == pytest.approx(2 * 7.849e12, rel=1e-3)


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.8, 1.5])
def test_the_seeds_needed_agree_with_statsmodels(effect):
    expected = TTestIndPower().solve_power(effect, power=0.8, alpha=0.05)
    assert statistics.seeds_needed(effect, 1.0) == math.ceil(expected)
    assert statistics.speakers_needed(effect, 1.0) == math.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05))


def test_the_seeds_needed_reach_the_requested_power():
    rng = np.random.default_rng(0)
    needed = int(statistics.seeds_needed(0.03, sd=0.02))
    a, b = rng.normal(0.60, 0.02, (4000, needed)), rng.normal(0.63, 0.02, (4000, needed))
    assert np.mean(stats.ttest_ind(a, b, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.06)


def test_the_sample_that_is_needed_at_the_limits():
    for function in (statistics.seeds_needed, statistics.speakers_needed):
        assert function(0.0, 0.1) == math.inf
        assert function(0.0, 0.0) == math.inf
        assert function(0.1, 0.0) == 2
        assert math.isnan(function(math.nan, 0.1))
        assert math.isnan(function(0.1, math.nan))
    assert statistics.sample_needed(0.0, 0.01, 60) == math.inf
    assert statistics.sample_needed(0.5, 0.01, 60) == 2
    assert math.isnan(statistics.sample_needed(math.nan, 0.01, 60))
    # half the difference takes four times the speakers
    ratio = statistics.sample_needed(0.001, 0.01, 60) / statistics.sample_needed(0.002, 0.01, 60)
    assert ratio == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("metric", ["ccc", "pcc", "mse"])
def test_the_interval_is_around_the_metric_of_all_utterances(metric):
    table = biased_ratings(np.random.default_rng(0), 20, 15)
    function = {
        "ccc": metrics.concordance_correlation,
        "pcc": metrics.pearson_correlation,
        "mse": metrics.mean_squared_error,
    }
    found = statistics.bootstrap_interval(table, metric, np.random.default_rng(1), draws=300)
    assert found.score == pytest.approx(function[metric](table["truth"], table["prediction"]), abs=1e-9)
    assert found.low < found.score < found.high
    assert (found.clusters, found.undefined) == (20, 0)
    assert found == statistics.bootstrap_interval(table, metric, np.random.default_rng(1), draws=300)
    assert found != statistics.bootstrap_interval(table, metric, np.random.default_rng(2), draws=300)


def test_intervals_over_speakers_hold_the_truth_as_often_as_promised_and_those_over_utterances_do_not():
    rng = np.random.default_rng(5)
    held = {"speaker": 0, "utterance": 0}
    for _ in range(150):
        table = biased_ratings(rng, 30, 12)
        for cluster in held:
            found = statistics.bootstrap_interval(table, "ccc", rng, cluster=cluster, draws=200)
            held[cluster] += found.low <= TRUE_CCC <= found.high
    assert held["speaker"] / 150 >= 0.88
    assert held["utterance"] / 150 <= 0.85


def test_a_higher_level_gives_a_wider_interval():
    table = biased_ratings(np.random.default_rng(0), 20, 15)
    widths = []
    for level in (0.5, 0.8, 0.95):
        found = statistics.bootstrap_interval(table, "ccc", np.random.default_rng(0), level=level)
        widths.append(found.high - found.low)
    assert widths == sorted(widths)


def test_one_speaker_gives_no_interval_and_resamples_without_a_class_are_counted():
    alone = statistics.bootstrap_interval(
        biased_ratings(np.random.default_rng(0), 1, 15), "ccc", np.random.default_rng(0)
    )
    assert not math.isnan(alone.score)
    assert all(math.isnan(value) for value in (alone.low, alone.high, alone.error))
    table = pd.DataFrame({"speaker": list("aabbcc"), "seed": 0, "truth": ["sad", "happy"] * 2 + ["sad", "angry"]})
    table["prediction"] = ["sad", "happy", "happy", "happy", "angry", "angry"]
    found = statistics.bootstrap_interval(table, "uar", np.random.default_rng(0), labels=["sad", "happy", "angry"])
    # c, the only one who is angry, is in a resample with 1 - (2/3)^3; c alone, who is never happy, with 1/27
    assert found.undefined == pytest.approx(1000 * (8 / 27 + 1 / 27), abs=60)
    assert found.low <= found.score <= found.high


def test_a_thousand_resamples_of_the_papers_test_set_take_no_time():
    rng = np.random.default_rng(0)
    rows = 12_902 * 5
    table = pd.DataFrame(
        {
            "seed": np.repeat(range(5), 12_902),
            "speaker": rng.integers(0, 60, rows).astype(str),
            "truth": rng.choice(CLASSES, rows),
            "prediction": rng.choice(CLASSES, rows),
        }
    )
    start = time.perf_counter()
    statistics.bootstrap_interval(table, "uar", rng)
    assert time.perf_counter() - start < 2


def test_a_difference_is_taken_on_the_same_speakers():
    table = biased_ratings(np.random.default_rng(0), 25, 12)
    shuffled = table.sample(frac=1, random_state=0)
    same = statistics.bootstrap_difference(table, shuffled, "ccc", np.random.default_rng(0))
    assert same[:4] == pytest.approx((0, 0, 0, 0), abs=1e-9)
    # speakers matter more than models here, so that pairing them pays
    better = table.assign(prediction=table["prediction"] + 0.1 * (table["truth"] - table["prediction"]))
    found = statistics.bootstrap_difference(better, shuffled, "ccc", np.random.default_rng(0))
    expected = [metrics.concordance_correlation(side["truth"], side["prediction"]) for side in (better, table)]
    assert found.score == pytest.approx(expected[0] - expected[1], abs=1e-9)
    assert found.error < statistics.bootstrap_interval(table, "ccc", np.random.default_rng(0)).error / 2
    assert found.low > 0


def test_a_difference_of_other_speakers_is_refused():
    table = biased_ratings(np.random.default_rng(0), 5, 12)
    with pytest.raises(ValueError, match=r"1 clusters are in only one of the two tables, 4"):
        statistics.bootstrap_difference(table, table[table["speaker"] != "4"], "ccc", np.random.default_rng(0))


def test_a_speakers_score_is_the_mean_over_seeds_and_unknown_speakers_have_none():
    rng = np.random.default_rng(0)
    table = pd.concat([biased_ratings(rng, 3, 12).assign(seed=seed) for seed in range(2)])
    table.loc[table["speaker"] == "2", "speaker"] = None
    found = statistics.speaker_scores(table, "mse").set_index("speaker")["score"]
    assert sorted(found.index) == ["0", "1"]
    own = table[table["speaker"] == "1"]
    each = [metrics.mean_squared_error(run["truth"], run["prediction"]) for _, run in own.groupby("seed")]
    assert found["1"] == pytest.approx(np.mean(each), abs=1e-9)


def test_a_metric_without_a_form_in_sums_cannot_be_resampled():
    METRICS.add(Metric(name="worst", label="worst", axis="worst", function=max))
    try:
        with pytest.raises(ValueError, match="'worst' has neither of_moments nor of_counts"):
            statistics.sums(pd.DataFrame(), "worst")
        with pytest.raises(ValueError, match="'worst' has neither of_moments nor of_counts"):
            runs = pd.MultiIndex.from_tuples([(0,)], names=["seed"])
            statistics.Sums("worst", pd.Index(["anna"]), runs, np.ones((1, 1, 6))).score(np.ones(6))
    finally:
        METRICS.remove("worst")
