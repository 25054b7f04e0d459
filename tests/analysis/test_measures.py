"""What claims compare beyond scores, and what follows from the paper's tables without being printed."""

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import metrics, schema
from sercore.analysis import claims, measures, published, results
from sercore.analysis.measures import EVERY, MAJORITY, OVER_VALENCE, SINGLE_TASK_CCC
from sercore.analysis.verdicts import HOLDS, OPEN, ZERO, ScoreKey, judge, together
from sercore.study import config

MSP, IEMOCAP = "msp-podcast", "iemocap"
KEYS = [*ScoreKey._fields, "seed"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, sections=("dimensions", "multitask"), utterances=30))


@pytest.fixture(scope="module")
def measured(dimensions, multitask):
    """Section -> every measure, by its keys."""
    return {
        found.section: measures.measures(found).set_index(KEYS)["value"].sort_index()
        for found in (dimensions, multitask)
    }


@pytest.fixture(scope="module")
def covariance():
    """The paper's, by model and target."""
    return published.covariances().set_index(["model", "target"])


def by_target(covariance, target):
    """The models in the order of their covariances in print: two decimals."""
    return covariance["covariance"].xs(target, level="target").round(2).sort_values(kind="stable").to_dict()


def of_errors(prediction, truth):
    """The measures of one model's errors, on MSP-Podcast's scale."""
    table = pd.DataFrame({"truth": truth, "prediction": prediction}).assign(
        section="multitask",
        model="cnn14",
        train_corpus=MSP,
        test_corpus=MSP,
        fold="official",
        seed=0,
        partition="test",
        target="arousal",
        utterance=[f"u{n}" for n in range(len(truth))],
        speaker="1",
        simulated=False,
    )
    return measures.measures(results.Results(None, "multitask", table)).set_index("metric")["value"]


class TestCovariances:
    def test_a_covariance_follows_from_ccc_and_mse(self):
        rng = np.random.default_rng(0)
        truth = rng.normal(4, 1, 500)
        prediction = 0.3 * truth + rng.normal(1, 0.5, 500)
        ccc, mse = metrics.concordance_correlation(truth, prediction), np.mean((prediction - truth) ** 2)
        assert ccc * mse / (2 * (1 - ccc)) == pytest.approx(np.cov(truth, prediction, ddof=0)[0, 1])

    def test_table_4s_late_fusion_is_the_mean_of_the_bert_and_the_cnn14_of_the_same_table(self, covariance):
        for target in schema.DIMENSIONS:
            halves = covariance.loc[[("bert", target), ("cnn14", target)]].mean(numeric_only=True)
            late = covariance.loc["lf", target]
            assert late["covariance_low"] <= halves["covariance_high"], target
            assert halves["covariance_low"] <= late["covariance_high"], target
            assert late["covariance"] == pytest.approx(halves["covariance"], abs=0.0012)

    def test_no_other_two_models_would_give_it(self, covariance):
        models = ["bert", "cnn14", "sfcnn14", "mfcnn14"]
        fits = [
            {one, other}
            for place, one in enumerate(models)
            for other in models[place + 1 :]
            if all(
                abs(covariance["covariance"][[(one, t), (other, t)]].mean() - covariance["covariance"]["lf", t]) < 0.003
                for t in schema.DIMENSIONS
            )
        ]
        assert fits == [{"bert", "cnn14"}]

    def test_the_order_of_figure_3(self, covariance):
        assert by_target(covariance, "arousal") == {
            "bert": 0.20,
            "lf": 0.40,
            "mfcnn14": 0.52,
            "cnn14": 0.59,
            "sfcnn14": 0.78,
        }
        assert list(by_target(covariance, "arousal")) == ["bert", "lf", "mfcnn14", "cnn14", "sfcnn14"]
        valence = by_target(covariance, "valence")
        assert valence == {"cnn14": 0.27, "lf": 0.35, "bert": 0.44, "mfcnn14": 0.44, "sfcnn14": 0.46}
        assert list(valence)[:2] == ["cnn14", "lf"]

    def test_on_valence_three_slopes_are_level_where_the_variance_of_the_truth_is_above_036(self, covariance):
        three = covariance["covariance"][[(model, "valence") for model in ("bert", "sfcnn14", "mfcnn14")]]
        assert np.ptp(three) / 0.05 == pytest.approx(0.356, abs=0.005)


class TestMeasures:
    def test_a_drop_of_a_dimension_subtracts_a_pcc_from_a_pcc(self, dimensions, measured):
        rows = dimensions.predictions.query("model == 'sfcnn14' and seed == 1 and target == 'valence'")
        rows = rows[(rows["partition"] == "test") & (rows["train_corpus"] == MSP)]
        inside, across = (
            metrics.pearson_correlation(part["truth"], part["prediction"])
            for part in (rows[rows["test_corpus"] == MSP], rows[rows["test_corpus"] == IEMOCAP])
        )
        values = measured["dimensions"]
        assert values["sfcnn14", MSP, IEMOCAP, "valence", "drop", 1] == pytest.approx(inside - across)

    def test_arousal_over_valence_is_of_the_same_model_and_seed(self, measured):
        values = measured["dimensions"]
        one, other = (values["cnn14", MSP, IEMOCAP, target, "pcc", 0] for target in ("arousal", "valence"))
        assert values["cnn14", MSP, IEMOCAP, OVER_VALENCE, "pcc", 0] == pytest.approx(one - other)

    def test_the_single_task_score_is_that_of_the_other_section(self, dimensions, measured):
        (expected,) = dimensions.scores.query(
            "model == 'mfcnn14' and seed == 1 and target == 'arousal' and train_corpus == 'msp-podcast' "
            "and test_corpus == 'msp-podcast' and partition == 'test' and metric == 'ccc'"
        )["score"]
        assert measured["multitask"]["mfcnn14", MSP, MSP, "arousal", SINGLE_TASK_CCC, 1] == pytest.approx(expected)

    def test_without_the_other_section_there_is_no_single_task_score(self, tmp_path):
        study = config.load(made_up.write_study(tmp_path, seeds=1, sections=("multitask",), utterances=8))
        found = measures.measures(results.read(study, "multitask"))
        assert SINGLE_TASK_CCC not in set(found["metric"])

    def test_the_majority_counts_cells_in_which_a_model_alone_is_highest(self):
        places = [(MSP, MSP, t, "ccc") for t in schema.DIMENSIONS]
        rows = [
            (*place, model, value)
            for place, values in zip(places, ((0.6, 0.5), (0.5, 0.5), (0.7, 0.6)), strict=True)
            for model, value in zip(("mfcnn14", "cnn14"), values, strict=True)
        ]
        table = pd.DataFrame(rows, columns=[*measures.CELL, "model", "value"])
        assert measures._highest(table) == pytest.approx({"mfcnn14": 200 / 3 - 50, "cnn14": -50})

    def test_the_made_up_multistage_model_has_the_majority_and_late_fusion_does_not_count(self, measured):
        values = measured["multitask"].xs(MAJORITY, level="metric")
        assert values["mfcnn14", EVERY, EVERY, "emotion"].tolist() == [50, 50]
        assert "lf" not in values.index.get_level_values("model")

    def test_late_fusions_slope_is_the_mean_of_its_halves(self, measured):
        values = measured["multitask"].xs("steepness", level="metric")
        for target in schema.DIMENSIONS:
            bert, cnn, late = (values[model, MSP, MSP, target] for model in ("bert", "cnn14", "lf"))
            np.testing.assert_allclose(late, (bert + cnn) / 2)

    def test_errors_grow_away_from_the_middle_whether_a_model_falls_short_or_overshoots(self):
        truth = np.linspace(1, 7, 61)
        assert of_errors(4 + 0.5 * (truth - 4), truth)["growth"] == pytest.approx(0.5)
        assert of_errors(4 + 1.5 * (truth - 4), truth)["growth"] == pytest.approx(0.5)
        assert of_errors(truth + 1, truth)["growth"] == pytest.approx(0, abs=1e-9)

    def test_the_spread_compares_both_ends_with_the_middle(self):
        truth = np.linspace(1, 7, 120)
        sign = np.resize([1.0, -1.0], 120)
        outer = (truth <= 3) | (truth >= 5)
        assert of_errors(truth + sign * np.where(outer, 2, 1), truth)["spread"] == pytest.approx(np.log(2), abs=1e-2)
        assert of_errors(truth + sign, truth)["spread"] == pytest.approx(0, abs=1e-2)

    def test_a_model_without_error_and_one_truth_have_no_spread(self):
        truth = np.linspace(1, 7, 30)
        assert np.isnan(of_errors(truth, truth)["spread"])
        assert np.isnan(of_errors(truth, np.full(30, 4.0))["spread"])

    def test_one_value_a_model_corpus_target_measure_and_seed(self, measured):
        for values in measured.values():
            assert not values.index.duplicated().any()

    def test_every_measure_of_a_claim_is_measured(self, measured):
        for claim in claims.PAPER:
            values = measured.get(claims.PLACES[claim.place])
            for part in claim.parts if values is not None else ():
                for key in (part.left, part.right):
                    assert key.model == ZERO or tuple(key) in values.index.droplevel("seed"), (claim.number, key)


class TestThePaper:
    def test_steepness_has_the_order_of_the_covariances(self):
        lookup = measures.from_paper("multitask")
        steep = {
            model: lookup(ScoreKey(model, MSP, MSP, "dominance", "steepness"))[0]
            for model in ("bert", "cnn14", "lf", "sfcnn14", "mfcnn14")
        }
        assert sorted(steep, key=steep.get) == ["sfcnn14", "cnn14", "mfcnn14", "lf", "bert"]

    def test_whether_a_slope_is_zero_is_not_known(self):
        for number in ("6.2.17", "6.2.18", "6.2.19"):
            (claim,) = (claim for claim in claims.PAPER if claim.number == number)
            found = judge(claim.parts, measures.from_paper("multitask"))
            assert all(finding.comparison is None for finding in found)
            assert together([finding.verdict for finding in found]) == OPEN

    @pytest.mark.parametrize("number", ["6.2.8", "6.2.9", "6.2.10", "6.2.11"])
    def test_the_claims_about_figure_3s_order_hold_by_table_4(self, number):
        (claim,) = (claim for claim in claims.PAPER if claim.number == number)
        found = judge(claim.parts, measures.from_paper("multitask"))
        assert {finding.verdict for finding in found} == {HOLDS}

    def test_a_score_that_is_single_task_or_over_valence_comes_from_table_2(self):
        single = measures.from_paper("multitask")(ScoreKey("cnn14", MSP, MSP, "arousal", SINGLE_TASK_CCC))
        assert single == (0.664, 0.036, 5)
        over = measures.from_paper("dimensions")(ScoreKey("cnn14", MSP, IEMOCAP, OVER_VALENCE, "pcc"))
        assert over == pytest.approx((0.593 - 0.323, np.hypot(0.009, 0.018), 5))

    @pytest.mark.parametrize(("section", "cells"), [("categories", 1 / 4), ("dimensions", 7 / 12), ("multitask", 1)])
    def test_the_majority_is_what_its_note_says(self, section, cells):
        key = ScoreKey("mfcnn14", EVERY, EVERY, "emotion", MAJORITY)
        assert measures.from_paper(section)(key) == pytest.approx((100 * cells - 50, 0, 5))

    def test_table_4s_bert_is_none_of_the_five_of_table_3(self):
        """Of n values none is further from the mean than sd sqrt(n - 1) (Samuelson 1968), half a digit aside."""
        one, five = (
            published.results(number).query("metric == 'ccc'").set_index(["model", "target"]) for number in (4, 3)
        )
        apart = (one["mean"] - five["mean"]).abs().dropna()
        reach = 2 * (five["sd"] + 0.0005) + 0.001
        assert apart[apart > reach.reindex(apart.index)].index.tolist() == [("bert", "valence")]

    def test_what_has_no_sd_is_marked_and_notes_stand_below(self, multitask):
        table = claims.check(multitask, "figure_3")
        told = table.frame[("", "in the paper's numbers")]
        assert told["6.2.8"] == f"{HOLDS} (derived)"
        assert told["6.2.12"] == claims.NOT_PRINTED
        assert any(note.startswith("6.2.10: ") and "identity" in note for note in table.notes)
        assert claims.MARKS["derived"] in table.notes
        of_table_4 = claims.check(multitask, "table_4")
        assert of_table_4.frame[("", "in the paper's numbers")]["A.2"] == f"{HOLDS} (order)"
        assert '<div class="verdict holds">holds (order)</div>' in of_table_4.html()

    def test_every_note_is_of_a_claim(self):
        assert set(claims.NOTES) <= {claim.number for claim in claims.PAPER}
