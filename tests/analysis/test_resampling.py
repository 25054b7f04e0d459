"""Scores from sums are the scores from the utterances, whatever is resampled."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sercore import metrics
from sercore.analysis import statistics
from sercore.registry import METRICS
from sercore.schema import CLASSES

FUNCTIONS = {
    **{
        name: lambda truth, prediction, score=METRICS[name].function: score(truth, prediction, CLASSES)
        for name in METRICS
        if METRICS[name].categorical
    },
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
    if METRICS[metric].categorical:
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

    interval = statistics.resample(score, [30], np.random.default_rng(0), draws=7000, level=0.9)
    assert chunks == [(1, 30), (3333, 30), (3333, 30), (334, 30)]
    assert interval.score == 1
    # a cluster is drawn Binomial(30, 1/30) times
    assert interval.error == pytest.approx(math.sqrt(29 / 30), abs=0.05)


def test_the_tails_are_those_of_the_percentile_interval_where_clusters_are_many():
    assert statistics.tails(0.95, [100_000]) == pytest.approx((0.025, 0.975), abs=1e-5)
    few = statistics.tails(0.95, [5])
    # sqrt(5 / 4) times the t quantile of 4 degrees of freedom, 2.776, is 3.104; a normal is above it in .00095
    assert few == pytest.approx((0.00095, 0.99905), abs=1e-5)


def test_the_tails_of_several_kinds_follow_the_kind_that_varies():
    assert statistics.tails(0.95, [5, 40, 7], [1.0, 0.0, 0.0]) == pytest.approx(statistics.tails(0.95, [5]))
    assert statistics.tails(0.95, [5, 5], [0.0, 0.0]) == statistics.tails(0.95, [5, 5], [1.0, 1.0])
    # two equal shares of 5: 8 degrees of freedom, as in the paper's test; sqrt(5 / 4) times 2.306 is 2.578
    assert statistics.tails(0.95, [5, 5], [2.0, 2.0])[0] == pytest.approx(0.00497, abs=1e-5)


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
            statistics.resample(lambda weights: weights[:, 0], [3], np.random.default_rng(0), draws, level)


def two_models(seeds=(3, 2), metric="ccc"):
    """Sums of two models on the same utterances, one better than the other, and the tables that they are from."""
    tables = [predictions(metric, seed=1, runs=runs, speakers=6) for runs in seeds]
    if metric != "uar":
        tables[1] = tables[1].assign(prediction=0.7 * tables[1]["truth"] + 0.3 * tables[1]["prediction"])
    return [statistics.sums(table, metric) for table in tables], tables


def test_seeds_are_the_means_of_their_folds_in_whatever_order_the_runs_are():
    table = predictions("ccc", runs=4)
    table = table.assign(fold=table["seed"].map({0: "b", 1: "a", 2: "a", 3: "b"}), seed=table["seed"] // 2)
    shuffled = table.sample(frac=1, random_state=0).astype({"fold": "category"})
    sums = statistics.sums(shuffled, "ccc", runs=("seed", "fold"))
    found = sums.by_seed(sums.of_runs(np.ones((1, len(sums.clusters)))))[0]
    runs = table.groupby(["seed", "fold"])
    each = pd.Series({name: FUNCTIONS["ccc"](run["truth"], run["prediction"]) for name, run in runs})
    assert found == pytest.approx(each.groupby(level=0).mean().to_numpy())
    assert list(sums.seeds) == [0, 1]


@pytest.mark.parametrize("metric", METRICS)
def test_the_answers_of_a_speaker_are_those_of_its_own_table(metric):
    table = predictions(metric)
    sums = statistics.sums(table, metric)
    cells = pd.DataFrame(sums.answers(), sums.clusters, sums.seeds)
    for (speaker, seed), own in table.groupby(["speaker", "seed"]):
        right = own["truth"] == own["prediction"]
        if not METRICS[metric].categorical:
            right = (own["truth"] - own["prediction"]) ** 2
        assert cells.loc[speaker, seed] == pytest.approx(right.mean())


def test_a_crossed_resample_is_the_mean_over_the_drawn_seeds_on_the_drawn_speakers():
    (a, b), tables = two_models(seeds=(3, 2))
    rng = np.random.default_rng(0)
    runs = [[dict(list(run.groupby("speaker"))) for _, run in table.groupby("seed")] for table in tables]
    differences = []
    for _ in range(300):
        speakers = rng.choice(list(runs[0][0]), 6)
        means = []
        for model in runs:
            drawn = [
                pd.concat([model[seed][name] for name in speakers])
                for seed in rng.integers(len(model), size=len(model))
            ]
            means.append(np.mean([FUNCTIONS["ccc"](run["truth"], run["prediction"]) for run in drawn]))
        differences.append(means[0] - means[1])
    found = statistics.crossed_difference(a, b, rng)
    assert found.error == pytest.approx(np.std(differences), rel=0.12)
    scores = [np.mean([FUNCTIONS["ccc"](r["truth"], r["prediction"]) for _, r in t.groupby("seed")]) for t in tables]
    assert found.score == pytest.approx(scores[0] - scores[1])


def test_seeds_that_do_not_differ_leave_the_interval_over_speakers():
    table = predictions("ccc", runs=1, speakers=12)
    better = table.assign(prediction=0.7 * table["truth"] + 0.3 * table["prediction"])
    a, b = (statistics.sums(pd.concat([of.assign(seed=seed) for seed in range(4)]), "ccc") for of in (better, table))
    both = statistics.crossed_difference(a, b, np.random.default_rng(0), draws=4000)
    speakers = statistics.difference_of_sums(a, b, np.random.default_rng(1), draws=4000)
    assert both[:2] == pytest.approx(speakers[:2], abs=0.02)
    assert both.high == pytest.approx(speakers.high, abs=0.02)
    assert both.error == pytest.approx(speakers.error, rel=0.05)


def test_pairs_of_one_training_move_together_and_lone_seeds_are_left_out():
    (a, _), _ = two_models(seeds=(4, 4))
    shifted = statistics.replace(a, values=a.values.copy())
    paired = statistics.crossed_difference(a, shifted, np.random.default_rng(0), draws=300, paired=True)
    assert paired[:4] == pytest.approx((0, 0, 0, 0), abs=1e-12)
    apart = statistics.crossed_difference(a, shifted, np.random.default_rng(0), draws=300)
    assert apart.error > 0
    (a, b), _ = two_models(seeds=(3, 2))
    fewer = statistics.crossed_difference(a, b, np.random.default_rng(0), draws=300, paired=True)
    scores = [of.of_runs(np.ones((1, 6)))[0, :2].mean() for of in (a, b)]
    assert fewer.score == pytest.approx(scores[0] - scores[1])


def test_one_seed_says_nothing_about_other_seeds():
    (a, b), _ = two_models(seeds=(3, 1))
    found = statistics.crossed_difference(a, b, np.random.default_rng(0), draws=50)
    assert found.score < 0
    assert all(math.isnan(value) for value in found[1:4])
    assert statistics.mixed_model(a, b).note == "too few speakers or seeds"


@pytest.mark.parametrize("metric", ["uar", "ccc"])
def test_the_swap_test_is_the_share_of_all_swaps_that_make_as_large_a_difference(metric):
    tables = [predictions(metric, seed=seed, speakers=5, utterances=12) for seed in (1, 2)]
    if metric == "uar":
        tables[1]["truth"] = tables[0]["truth"]
        tables[1]["prediction"] = np.where(
            np.random.default_rng(3).random(len(tables[0])) < 0.35, tables[0]["truth"], tables[1]["prediction"]
        )
    else:
        tables = [tables[0], tables[0].assign(prediction=lambda t: 0.9 * t["prediction"] + 0.1 * t["truth"] - 0.03)]
        odd = tables[1]["speaker"] == "s2"
        tables[1].loc[odd, "prediction"] += 1.2
    seen = []
    for number in range(2**5):
        swapped = tables[0]["speaker"].str[1:].astype(int).map(lambda n, number=number: bool(number >> n & 1))
        sides = [
            tables[0].assign(prediction=tables[first]["prediction"].where(~swapped, tables[1 - first]["prediction"]))
            for first in (0, 1)
        ]
        scores = [
            np.mean([FUNCTIONS[metric](run["truth"], run["prediction"]) for _, run in side.groupby("seed")])
            for side in sides
        ]
        seen.append(abs(scores[0] - scores[1]))
    expected = np.mean(np.array(seen) >= seen[0] - 1e-12)
    assert 2 / 32 <= expected < 1
    a, b = (statistics.sums(table, metric) for table in tables)
    assert statistics.swap_test(a, b, np.random.default_rng(0)) == pytest.approx(expected, abs=0.02)


def test_swapping_needs_the_same_utterances_and_runs_of_the_same_names():
    (a, b), _ = two_models()
    with pytest.raises(ValueError, match="the lowest truth is"):
        statistics.swap_test(a, statistics.replace(b, origin=0.0), np.random.default_rng(0))
    other = statistics.replace(b, runs=pd.MultiIndex.from_arrays([[7, 8]], names=["seed"]))
    assert math.isnan(statistics.swap_test(a, other, np.random.default_rng(0)))
    assert statistics.swap_test(a, a, np.random.default_rng(0), draws=99) == 1
    absent = statistics.sums(predictions("uar").assign(truth="sad"), "uar")
    assert math.isnan(statistics.swap_test(absent, absent, np.random.default_rng(0), draws=9))


def test_the_gap_of_two_groups_is_that_of_their_scores_whoever_is_in_both():
    table = predictions("mse", speakers=10, utterances=12)
    for group in (table["speaker"] < "s5", table["utterance"].str[-1] < "5"):
        a, b = (statistics.sums(table[part], "mse") for part in (group, ~group))
        found = statistics.gap_of_sums(a, b, np.random.default_rng(0))
        scores = [
            np.mean([FUNCTIONS["mse"](run["truth"], run["prediction"]) for _, run in table[part].groupby("seed")])
            for part in (group, ~group)
        ]
        assert found.score == pytest.approx(scores[0] - scores[1])
        assert found.low < found.score < found.high
        assert found.clusters == 10
    assert statistics.gap_of_sums(a, a, np.random.default_rng(0))[:4] == (0, 0, 0, 0)


def study_of_known_difference(rng, seeds, speakers, sd, difference=0.1, each=10):
    """Sums of hits of two models whose UARs differ by `difference` over all seeds and speakers that there could be.

    `sd`: of trainings, of speakers (in both models, and .7 of it in one), and of the two together.
    """
    of_speaker, made = rng.normal(0, sd[1], (speakers, 1)), []
    for better in (1, 0):
        chance = 0.6 + difference * better + of_speaker + rng.normal(0, 0.7 * sd[1], (speakers, 1))
        chance = chance + rng.normal(0, sd[0], seeds) + rng.normal(0, sd[2], (speakers, seeds))
        hits = rng.binomial(each, np.clip(chance, 0, 1)[:, :, None], (speakers, seeds, 2)).astype(float)
        values = np.concatenate([np.full(hits.shape, float(each)), hits, each + hits - hits[..., ::-1]], axis=2)
        runs = pd.MultiIndex.from_arrays([range(seeds)], names=["seed"])
        made.append(statistics.Sums("uar", pd.Index(range(speakers)), runs, values))
    return made


def coverage(interval, studies, seeds, speakers, sd):
    rng = np.random.default_rng(seeds * speakers)
    held = 0
    for _ in range(studies):
        found = interval(*study_of_known_difference(rng, seeds, speakers, sd), rng)
        held += found.low <= 0.1 <= found.high
    return held / studies


@pytest.mark.parametrize("sd", [(0.08, 0.05, 0.04), (0.02, 0.08, 0.02), (0.08, 0.01, 0.01)])
def test_intervals_over_both_hold_the_known_difference(sd):
    held = coverage(lambda a, b, rng: statistics.crossed_difference(a, b, rng, draws=400), 150, 5, 12, sd)
    assert held >= 0.91


def test_intervals_over_one_alone_do_not_hold_a_difference_of_both():
    def speakers(a, b, rng):
        return statistics.difference_of_sums(a, b, rng, draws=300)

    assert coverage(speakers, 100, 5, 12, (0.08, 0.05, 0.04)) < 0.8


@pytest.mark.long
@pytest.mark.parametrize("sd", [(0.08, 0.05, 0.04), (0.02, 0.08, 0.02), (0.08, 0.01, 0.01)])
@pytest.mark.parametrize(("seeds", "speakers"), [(3, 8), (5, 24), (10, 12)])
def test_intervals_over_both_and_mixed_models_hold_the_known_difference_as_often_as_promised(seeds, speakers, sd):
    crossed = coverage(lambda a, b, rng: statistics.crossed_difference(a, b, rng, draws=2000), 300, seeds, speakers, sd)
    assert crossed >= 0.92
    mixed = coverage(lambda a, b, _: statistics.mixed_model(a, b), 100, seeds, speakers, sd)
    assert mixed >= 0.88


def test_the_mixed_model_of_balanced_cells_is_the_difference_of_their_means_with_the_known_variance():
    rng = np.random.default_rng(2)
    a, b = study_of_known_difference(rng, 6, 10, (0.08, 0.08, 0.04), each=400)
    found = statistics.mixed_model(a, b)
    cells = [of.answers() for of in (a, b)]
    assert found.note == ""
    assert found.difference == pytest.approx(cells[0].mean() - cells[1].mean(), abs=1e-6)
    # two-way analysis of variance: speakers' own differences and trainings each add theirs, their residual is in both
    gap = cells[0].mean(axis=1) - cells[1].mean(axis=1)
    of_seeds = sum(of.mean(axis=0).var(ddof=1) for of in cells) / 6
    left = [of - of.mean(axis=0) - of.mean(axis=1)[:, None] + of.mean() for of in cells]
    residual = sum((part**2).sum() for part in left) / (2 * 5 * 9)
    variance = gap.var(ddof=1) / 10 + of_seeds - 2 * residual / 60
    reach = 2.262 * math.sqrt(variance)  # t of 9 degrees of freedom: 10 speakers
    assert found.high - found.difference == pytest.approx(reach, rel=0.02)
    assert statistics.mixed_model(b, a).low == pytest.approx(-found.high, rel=1e-3)


def test_a_training_that_both_share_does_not_count_against_their_difference():
    rng = np.random.default_rng(3)
    a, b = study_of_known_difference(rng, 6, 10, (0.0, 0.05, 0.01), each=400)
    good = rng.normal(0, 0.1, 6)
    a, b = (
        statistics.replace(of, values=np.concatenate([of.values[..., :2], of.values[..., 2:] + 400 * good[:, None]], 2))
        for of in (a, b)
    )
    apart, paired = statistics.mixed_model(a, b), statistics.mixed_model(a, b, paired=True)
    assert paired.high - paired.low < (apart.high - apart.low) / 2


def test_a_mixed_model_without_a_result_says_why(monkeypatch):
    (a, b), _ = two_models()
    nothing = statistics.replace(a, values=np.ones_like(a.values))
    assert statistics.mixed_model(nothing, nothing).note == "every cell is the same"
    gives_up = SimpleNamespace(converged=False, params={"ours": 0.1}, bse={"ours": 0.1})
    monkeypatch.setattr(statistics.MixedLM, "fit", lambda *_, **__: gives_up)
    failed = statistics.mixed_model(a, b)
    assert (failed.difference != 0, failed.note) == (True, "did not converge")
    assert math.isnan(failed.p)

    def singular(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(statistics.MixedLM, "fit", singular)
    assert statistics.mixed_model(a, b).note == "no fit: singular matrix"
