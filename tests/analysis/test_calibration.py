"""Whether calibration is measured rightly: known temperatures and errors, parts that make up the CCC, pictures."""

import doctest
from functools import partial

import made_up
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sercore import registry, schema
from sercore.analysis import calibration, figures, results
from sercore.study import config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return config.load(made_up.write_study(tmp_path_factory.mktemp("study"), seeds=2, utterances=16))


def test_the_examples_run():
    failed, run = doctest.testmod(calibration)
    assert run >= 1
    assert not failed


class TestParts:
    def test_every_ccc_of_the_tables_is_r_times_c_b(self, multitask, dimensions):
        for result in (multitask, dimensions):
            table = calibration.parts(result.predictions)
            whole = table[table["pooling"] != "folds"]
            assert len(whole)
            assert (whole["r"] * whole["bias_correction"]).to_numpy() == pytest.approx(whole["ccc"].to_numpy())
            v, u = whole["ratio"], whole["shift"]
            assert (2 / (v + 1 / v + u**2)).to_numpy() == pytest.approx(whole["bias_correction"].to_numpy())

    def test_they_belong_to_the_scores_of_the_tables(self, dimensions):
        keys = [*results.SCORE_KEYS, "pooling"]
        expected = dimensions.scores.query("metric == 'ccc' and partition == 'test'").set_index(keys)["score"]
        found = calibration.parts(dimensions.predictions).set_index(keys)["ccc"]
        assert set(found.index) == set(expected.index)
        assert found.to_numpy() == pytest.approx(expected.reindex(found.index).to_numpy())

    def test_a_cell_is_the_mean_and_sd_over_seeds(self, multitask):
        table = calibration.parts_table(multitask, "parts")
        shifts = calibration.parts(multitask.predictions).query("model == 'bert' and target == 'valence'")["shift"]
        cell = table.frame.loc[("MSP-Podcast", "valence", "BERT", "here"), ("", "shift")]
        assert cell.replace("−", "-") == f"{shifts.mean():+.3f} ({shifts.std(ddof=0):.3f})"
        assert any("2 seeds" in note for note in table.notes)
        assert table.title.endswith("simulated speech")
        assert r"\begin{table}" in table.latex()

    def test_of_the_best_models_there_is_one_row_each_and_no_spread(self, multitask):
        table = calibration.parts_table(multitask, "parts", best=True)
        assert not table.numbers.duplicated(["model", "target"]).any()
        assert "(" not in table.frame.to_numpy().sum()
        assert any(note.startswith("Best on validation") for note in table.notes)


class TestTemperature:
    def test_it_is_one_a_run_fitted_on_development_alone(self, categories):
        table = calibration.temperatures(categories.predictions)
        runs = categories.predictions[results.MODEL_KEYS].drop_duplicates()
        assert len(table) == len(runs)
        test = categories.predictions["partition"] == "test"
        other = categories.predictions.assign(truth=categories.predictions["truth"].mask(test, "sad"))
        assert calibration.temperatures(other)["temperature"].tolist() == table["temperature"].tolist()

    def test_a_run_without_development_predictions_is_named(self, categories):
        table = categories.predictions
        table = table[(table["model"] != "bert") | (table["partition"] == "test")]
        with pytest.raises(ValueError, match="no development predictions of bert"):
            calibration.with_temperature(table)


class TestClasses:
    def test_accuracy_and_confidence_are_those_of_the_predictions(self, categories):
        table = calibration.class_calibration(categories.predictions)
        row = table.query("model == 'cnn14' and train_corpus == test_corpus == 'iemocap' and seed == 1").iloc[0]
        rows = categories.predictions.query(
            "model == 'cnn14' and train_corpus == test_corpus == 'iemocap' and seed == 1 and partition == 'test'"
        )
        assert row["accuracy"] == pytest.approx((rows["truth"].astype(str) == rows["prediction"].astype(str)).mean())
        assert row["confidence"] == pytest.approx(rows[schema.probability_columns(rows)].max(axis=1).mean())
        assert len(table) == 5 * 4 * 2  # models, pairs of corpora, seeds

    def test_the_table_has_a_row_a_model_and_pair_of_corpora(self, categories):
        table = calibration.calibration_table(categories)
        assert len(table.frame) == 5 * 4
        first = table.numbers.query("model == 'bert' and train_corpus == test_corpus == 'msp-podcast'")
        shown = table.frame.loc[("MSP-Podcast → MSP-Podcast", "BERT"), ("at T", "ECE")]
        assert shown == f"{100 * first['tempered_ece'].mean():.1f} ({100 * first['tempered_ece'].std(ddof=0):.1f})"
        assert not any("at an end" in note for note in table.notes)

    def test_a_temperature_at_an_end_of_its_range_is_told(self, categories):
        table = categories.predictions
        development = (table["partition"] == "development") & (table["model"] == "cnn14")
        right = table.assign(truth=table["truth"].mask(development, table["prediction"]))
        result = results.Results(categories.study, categories.section, right)
        assert any("4 of 20 lie at an end" in note for note in calibration.calibration_table(result).notes)


class TestReliability:
    def test_means_of_a_bin_are_those_of_its_utterances(self):
        generator = np.random.default_rng(0)
        table = pd.DataFrame(generator.uniform(1, 7, (200, 2)), columns=["expected", "observed"])
        bins, speakers = generator.integers(3, size=200) * 2, generator.integers(10, size=200).astype(str)
        found = calibration.reliability(table["expected"], table["observed"], bins, speakers, generator)
        means = table.groupby(bins).mean()
        assert found["bin"].tolist() == [0, 2, 4]
        assert found[["expected", "observed"]].to_numpy() == pytest.approx(means.to_numpy())
        assert found["utterances"].sum() == 200
        assert ((found["low"] < found["observed"]) & (found["observed"] < found["high"])).all()

    def test_speakers_who_agree_with_themselves_widen_the_interval(self):
        generator = np.random.default_rng(0)
        speakers = np.repeat(np.arange(20), 30)
        own = generator.standard_normal(20)[speakers]
        mixed = generator.permutation(own)
        widths = [
            np.ptp(calibration.reliability(own, values, np.zeros(600), speakers, generator)[["low", "high"]])
            for values in (own, mixed)
        ]
        assert widths[0] > 3 * widths[1]

    def test_few_speakers_get_no_interval(self):
        values, speakers = np.arange(8.0), ["a", "b"] * 4
        found = calibration.reliability(values, values, np.zeros(8), speakers, np.random.default_rng(0))
        assert found[["low", "high"]].isna().all(axis=None)

    def test_bins_of_ratings_hold_as_many_each_and_equal_predictions_share_one(self):
        values = pd.Series(np.random.default_rng(0).permutation(80) / 7)
        bins = calibration.rating_bins(values)
        assert bins.value_counts().tolist() == [10] * 8
        assert (bins[values.sort_values().index].diff().dropna() >= 0).all()
        assert calibration.rating_bins(pd.Series([3.0] * 5)).nunique() == 1


class TestPictures:
    def test_ratings_have_a_row_a_dimension_and_a_column_a_model_in_its_colour(self, multitask):
        figure = calibration.plot_rating_reliability(multitask, draws=20)
        assert [axis.get_title() for axis in figure.axes] == ["BERT", "CNN14", "LF", "SFCNN14", "MFCNN14"] * 3
        for axis, model in zip(figure.axes, ["bert", "cnn14", "lf", "sfcnn14", "mfcnn14"], strict=False):
            spec = registry.MODELS[model]
            thick = [line for line in axis.lines if line.get_linewidth() == 2.5]
            assert [to_hex(line.get_color()).upper() for line in thick] == [spec.colour]
            assert len([line for line in axis.lines if line.get_alpha() == 0.5]) == 2  # seeds

    def test_the_thick_line_is_the_mean_of_all_seeds(self, multitask):
        figure = calibration.plot_rating_reliability(multitask, draws=20)
        rows = multitask.predictions.query(
            "model == 'cnn14' and partition == 'test' and train_corpus == test_corpus and target == 'arousal'"
        )
        (line,) = [line for line in figure.axes[1].lines if line.get_linewidth() == 2.5]
        assert len(line.get_xdata()) == calibration.RATING_BINS
        assert line.get_ydata().mean() == pytest.approx(rows["truth"].mean())
        assert line.get_xdata().mean() == pytest.approx(rows["prediction"].mean())

    def test_a_model_that_was_not_trained_on_a_corpus_has_an_empty_panel(self, dimensions, categories):
        for plot, result in (
            (partial(calibration.plot_rating_reliability, draws=20), dimensions),
            (partial(calibration.plot_class_reliability, draws=20), categories),
            (calibration.plot_rejection, categories),
        ):
            table = result.predictions
            table = table[(table["model"] != "mfcnn14") | (table["train_corpus"] != "iemocap")]
            figure = plot(results.Results(result.study, result.section, table))
            assert not figure.axes[-1].axison
            assert figure.axes[-2].axison

    def test_the_diagram_of_classes_gives_the_error_before_and_after(self, categories):
        figure = calibration.plot_class_reliability(categories, draws=20)
        errors = calibration.class_calibration(categories.predictions)
        errors = errors.query("model == 'bert' and train_corpus == test_corpus == 'msp-podcast'")
        before, after = 100 * errors["ece"].mean(), 100 * errors["tempered_ece"].mean()
        assert figure.axes[0].get_title() == f"BERT\nECE {before:.1f} → {after:.1f} %"
        assert len(figure.axes) == 5 * 2

    def test_a_line_a_seed_shows_what_is_wrong_of_the_surest(self, categories):
        figure = calibration.plot_rejection(categories)
        axis = figure.axes[1]
        runs = calibration.with_temperature(categories.predictions)
        runs = runs[(runs["model"] == "cnn14") & (runs["train_corpus"] == "msp-podcast")]
        runs = runs[runs["test_corpus"] == "msp-podcast"]
        areas, seeds = [], [line for line in axis.lines if line.get_alpha() == 0.5]
        for line, (_, run) in zip(seeds, runs.groupby("seed"), strict=True):
            right = run.sort_values("tempered", ascending=False, kind="stable")["correct"].to_numpy()
            shares = 100 * (1 - right.cumsum() / np.arange(1, len(run) + 1))
            assert line.get_ydata()[-1] == pytest.approx(shares[-1])
            assert line.get_ydata()[50] == pytest.approx(shares[round(len(run) / 2) - 1])
            assert np.isnan(line.get_ydata()[0]), "no line from fewer answers than can say something"
            areas.append(shares.mean())
        assert axis.get_title() == f"CNN14\narea {np.mean(areas):.1f} %"
        assert axis.get_xlabel() == "answered (%)"

    def test_simulated_speech_is_marked(self, multitask, categories):
        for plot, result in (
            (partial(calibration.plot_rating_reliability, draws=20), multitask),
            (partial(calibration.plot_class_reliability, draws=20), categories),
            (calibration.plot_rejection, categories),
        ):
            figure = plot(result)
            assert figure.get_supxlabel() == "simulated speech"
            assert figures.picture(figure, dpi=20).startswith(b"\x89PNG")
