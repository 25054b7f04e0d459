"""Lines through errors: what they must be for known models, and that the tests of spread detect a known one."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sercore.analysis import residuals

MODELS = ("bert", "cnn14")


def predictions(seed=0, utterances=400):
    """Two models and seeds, arousal and valence on a scale of 1 to 7, and the rows of emotions that a study has too."""
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.normal(4, 1.2, (utterances, 2)), 1, 7)
    who = {
        "utterance": [f"u{n}" for n in range(utterances)],
        "speaker": [f"s{n % 10}" for n in range(utterances)],
        "gender": [["female", "male"][n % 2] for n in range(utterances)],
    }
    tables = []
    for model, slope in zip(MODELS, (0.3, 0.8), strict=True):
        for run in range(2):
            for place, target in enumerate(("arousal", "valence")):
                predicted = 4 + slope * (truth[:, place] - 4) + rng.normal(0, 0.5, utterances)
                run_keys = {"model": model, "seed": run, "target": target}
                tables.append(pd.DataFrame({**who, **run_keys, "truth": truth[:, place], "prediction": predicted}))
    tables.append(
        pd.DataFrame({**who, "model": "cnn14", "seed": 0, "target": "emotion", "truth": "sad", "prediction": "happy"})
    )
    keys = {
        "section": "multitask",
        "train_corpus": "msp-podcast",
        "test_corpus": "msp-podcast",
        "fold": "official",
        "partition": "test",
        "style": "podcast",
        "simulated": True,
    }
    return pd.concat(tables, ignore_index=True).assign(**keys)


def test_the_examples_run():
    failed, run = doctest.testmod(residuals)
    assert run
    assert not failed


def test_a_residual_is_prediction_minus_truth():
    table = residuals.residual_table(predictions())
    assert len(table) == 2 * 2 * 2 * 400
    assert set(table["target"]) == {"arousal", "valence"}
    assert (table["residual"] == table["prediction"] - table["truth"]).all()
    assert table["residual"].dtype == "float64"


def test_folds_and_columns_of_categories_do_no_harm():
    table = predictions()
    kinds = table.astype(dict.fromkeys(["model", "target", "speaker", "train_corpus", "test_corpus"], "category"))
    numbers = ["slope", "white_p", "ideal_slope"]
    expected = residuals.fit_lines(residuals.residual_table(table))[numbers]
    assert residuals.fit_lines(residuals.residual_table(kinds))[numbers].to_numpy() == pytest.approx(
        expected.to_numpy()
    )


def test_tables_without_residuals_are_refused():
    table = predictions()
    with pytest.raises(ValueError, match=r"no predictions of arousal, valence, dominance \(found: emotion\)"):
        residuals.residual_table(table[table["target"] == "emotion"])
    with pytest.raises(ValueError, match=r"\(found: no rows\)"):
        residuals.residual_table(table.iloc[:0])
    with pytest.raises(
        ValueError, match="3200 predictions are across corpora, of iemocap, on the scale of another corpus"
    ):
        residuals.residual_table(table.assign(test_corpus="iemocap"))
    table.loc[5, "truth"] = None
    with pytest.raises(ValueError, match="1 of 3200 in truth are not finite numbers"):
        residuals.residual_table(table)


@pytest.mark.parametrize("seed", range(10))
def test_the_line_and_its_band_agree_with_the_textbook(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 7, 30 + 10 * seed)
    residual = 1 - 0.4 * truth + rng.normal(0, 1, truth.size)
    line = residuals.fit_line(truth, residual, grid=[1, 4, 9], level=0.9)
    expected = stats.linregress(truth, residual)
    assert (line.slope, line.intercept) == pytest.approx((expected.slope, expected.intercept), abs=1e-9)
    assert line.explained == pytest.approx(expected.rvalue**2, abs=1e-9)
    t = stats.t.isf(0.05, truth.size - 2)
    assert line.slope_high - line.slope == pytest.approx(t * expected.stderr, abs=1e-9)
    assert line.slope - line.slope_low == pytest.approx(t * expected.stderr, abs=1e-9)
    around = residual - expected.intercept - expected.slope * truth
    spread = math.sqrt((around**2).sum() / (truth.size - 2))
    grid = line.band["truth"]
    error = spread * np.sqrt(1 / truth.size + (grid - truth.mean()) ** 2 / ((truth - truth.mean()) ** 2).sum())
    fitted = expected.intercept + expected.slope * grid
    assert line.band["residual"].to_numpy() == pytest.approx(fitted.to_numpy(), abs=1e-9)
    assert line.band["lower"].to_numpy() == pytest.approx((fitted - t * error).to_numpy(), abs=1e-9)
    assert line.band["upper"].to_numpy() == pytest.approx((fitted + t * error).to_numpy(), abs=1e-9)


def test_a_number_of_points_spans_the_truths():
    line = residuals.fit_line([1, 2, 5], [0.1, 0.5, -0.2], grid=5)
    assert line.band["truth"].tolist() == [1, 2, 3, 4, 5]


def test_known_models_have_known_slopes():
    rng = np.random.default_rng(0)
    truth = rng.normal(4, 1, 20_000)
    mumbles = np.full(truth.size, 4.0) - truth  # always says 4
    biased = np.full(truth.size, 0.7)  # always .7 too much
    assert residuals.fit_line(truth, mumbles).slope == pytest.approx(-1)
    assert residuals.fit_line(truth, biased).slope == pytest.approx(0)
    assert residuals.fit_line(truth, biased).intercept == pytest.approx(0.7)
    # right on average wherever it says x: truth = prediction + noise
    prediction = rng.normal(4, 0.8, truth.size)
    calibrated = prediction + rng.normal(0, 0.6, truth.size)
    r = np.corrcoef(calibrated, prediction)[0, 1]
    assert residuals.fit_line(calibrated, prediction - calibrated).slope == pytest.approx(r**2 - 1, abs=0.02)


def test_the_ideal_slope_is_that_of_the_same_correlation():
    found = residuals.fit_lines(residuals.residual_table(predictions(utterances=4000)))
    assert len(found) == 2 * 2 * 2
    means = found.groupby("model")[["slope", "ideal_slope"]].mean()
    assert means.loc["bert", "slope"] == pytest.approx(0.3 - 1, abs=0.03)
    assert means.loc["cnn14", "slope"] == pytest.approx(0.8 - 1, abs=0.03)
    # arousal's variance is 1.2^2 but for the clipping: r^2 = (slope sd)^2 / ((slope sd)^2 + .5^2)
    assert means.loc["bert", "ideal_slope"] == pytest.approx(0.36**2 / (0.36**2 + 0.25) - 1, abs=0.04)
    assert ((found["slope_low"] < found["slope"]) & (found["slope"] < found["slope_high"])).all()


def test_lines_without_enough_to_fit_are_nan():
    for truth, residual in (([1, 2], [0, 1]), ([3, 3, 3, 3], [0, 1, 2, 3])):
        line = residuals.fit_line(truth, residual, grid=[1, 2])
        assert all(math.isnan(value) for value in line[:5])
        assert line.utterances == len(truth)
        assert line.band["truth"].tolist() == [1, 2]
        assert line.band[["residual", "lower", "upper"]].isna().all(axis=None)
        assert all(math.isnan(value) for value in residuals.heteroscedasticity(truth, residual))


def test_what_cannot_be_fitted_is_refused():
    for function in (residuals.fit_line, residuals.heteroscedasticity):
        with pytest.raises(ValueError, match="truth has 2 values and residual 3"):
            function([1, 2], [1, 2, 3])
        with pytest.raises(ValueError, match="residual is empty"):
            function([1, 2], [])
        with pytest.raises(ValueError, match="in residual are not finite"):
            function([1, 2], [1, math.nan])


@pytest.mark.parametrize("seed", range(5))
def test_the_tests_of_spread_agree_with_their_definition(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 7, 200)
    residual = -0.3 * truth + rng.normal(0, 0.3 + 0.1 * truth)
    line = stats.linregress(truth, residual)
    squares = (residual - line.intercept - line.slope * truth) ** 2
    found = residuals.heteroscedasticity(truth, residual)
    # n R^2 of the squared residuals on the truth, and on the truth and its square
    expected = 200 * stats.linregress(truth, squares).rvalue ** 2
    assert found.breusch_pagan == pytest.approx(expected, abs=1e-9)
    assert found.breusch_pagan_p == pytest.approx(stats.chi2.sf(expected, 1), abs=1e-9)
    fitted = np.polynomial.Polynomial.fit(truth, squares, 2)(truth)
    expected = 200 * (1 - ((squares - fitted) ** 2).sum() / ((squares - squares.mean()) ** 2).sum())
    assert found.white == pytest.approx(expected, abs=1e-9)
    assert found.white_p == pytest.approx(stats.chi2.sf(expected, 2), abs=1e-9)


def test_errors_that_grow_towards_both_ends_are_detected_by_white_and_not_by_breusch_and_pagan():
    truth = np.random.default_rng(0).uniform(-3, 3, 3000)
    sign = np.resize([-1, 1], truth.size)
    both = residuals.heteroscedasticity(truth, sign * (0.5 + np.abs(truth)))
    assert both.white_p < 1e-6
    assert both.breusch_pagan_p > 0.01
    upwards = residuals.heteroscedasticity(truth, sign * (4 + truth))
    assert upwards.breusch_pagan_p < 1e-6


def test_even_errors_are_called_uneven_as_often_as_alpha_says():
    rng = np.random.default_rng(0)
    found = [residuals.heteroscedasticity(rng.normal(0, 1, 150), rng.normal(0, 1, 150)) for _ in range(400)]
    assert np.mean([one.breusch_pagan_p < 0.05 for one in found]) == pytest.approx(0.05, abs=0.035)
    assert np.mean([one.white_p < 0.05 for one in found]) == pytest.approx(0.05, abs=0.035)


def test_errors_without_spread_or_of_one_size_need_no_test():
    truth = np.linspace(1, 7, 20)
    for residual in (np.full(20, 0.7), 0.3 - 0.1 * truth, np.zeros(20)):
        assert all(math.isnan(value) for value in residuals.heteroscedasticity(truth, residual))
    even = residuals.heteroscedasticity([1, 1, 2, 2, 3, 3], [1, -1] * 3)
    assert even == (0, 1, 0, 1)
    two = residuals.heteroscedasticity([1, 1, 2, 2, 2], [0.1, -0.1, 0.5, -0.7, 0.1])
    assert math.isnan(two.white_p)
    assert not math.isnan(two.breusch_pagan_p)


def test_bins_hold_every_utterance_once_and_their_borders_are_whole_scores():
    table = residuals.residual_table(predictions())
    found = residuals.spread_by_bin(table)
    assert found.groupby(list(residuals.CURVE))["utterances"].sum().eq(400).all()
    assert (found["high"] - found["low"] == 1).all()
    assert found["low"].min() == 1
    assert found["high"].max() == 7
    one = found[
        (found["model"] == "bert") & (found["seed"] == 1) & (found["target"] == "valence") & (found["low"] == 3)
    ].iloc[0]
    rows = table[(table["model"] == "bert") & (table["seed"] == 1) & (table["target"] == "valence")]
    rows = rows.loc[(rows["truth"] >= 3) & (rows["truth"] < 4), "residual"]
    assert one["utterances"] == len(rows)
    assert (one["mean"], one["sd"]) == pytest.approx((rows.mean(), rows.std()))
    assert one["rmse"] == pytest.approx(math.sqrt((rows**2).mean()))


def test_the_last_bin_is_closed_and_what_is_outside_is_refused():
    table = (
        residuals.residual_table(predictions()).query("model == 'bert' and seed == 0 and target == 'arousal'").iloc[:4]
    )
    table = table.assign(truth=[1.0, 2.0, 3.0, 3.0])
    assert residuals.spread_by_bin(table, [1, 2, 3])["utterances"].tolist() == [1, 3]
    assert residuals.spread_by_bin(table.assign(truth=2.0))["low"].tolist() == [2]
    with pytest.raises(ValueError, match=r"1 truths are outside 2\.0 to 3\.0, 1\.0; widen the edges"):
        residuals.spread_by_bin(table, [2, 3])
    with pytest.raises(ValueError, match=r"edges are 3\.0, 2\.0; expected at least two, rising"):
        residuals.spread_by_bin(table, [3, 2])


def test_spread_per_speaker_and_gender_keeps_those_who_are_unknown():
    table = residuals.residual_table(predictions())
    table.loc[table["speaker"] == "s3", ["speaker", "gender"]] = None
    by_speaker = residuals.spread_by(table, "speaker")
    assert by_speaker.groupby(list(residuals.CURVE))["utterances"].sum().eq(400).all()
    assert by_speaker["speaker"].isna().sum() == 2 * 2 * 2
    by_both = residuals.spread_by(table, ["gender"], by=["model"])
    assert by_both[["model", "utterances"]].values.tolist() == [
        ["bert", 800],
        ["bert", 640],
        ["bert", 160],
        ["cnn14", 800],
        ["cnn14", 640],
        ["cnn14", 160],
    ]
    single = residuals.spread_by(table.iloc[:1], "speaker").iloc[0]
    assert math.isnan(single["sd"])
    assert single["rmse"] == pytest.approx(abs(single["mean"]))
