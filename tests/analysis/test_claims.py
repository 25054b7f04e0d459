"""Verdicts: how a comparison is judged, what the claims rest on, and that the paper's own numbers pass them."""

import math

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import schema
from sercore.analysis import claims, results, verdicts
from sercore.analysis.verdicts import (
    ABOVE,
    CLEARLY_ABOVE,
    FAILS,
    HOLDS,
    LEVEL,
    NOT_TESTABLY_ABOVE,
    OPEN,
    ZERO,
    Part,
    ScoreKey,
)
from sercore.registry import CORPORA, MODELS
from sercore.study import config

LEFT = ScoreKey("mfcnn14", "msp-podcast", "msp-podcast", "valence", "ccc")
RIGHT = LEFT._replace(model="cnn14")
NOT_HELD_BY_THE_PAPER = {
    "5.1": "48.9 (0.4) against 48.3 (0.6) is p = .14",
    "5.9": "equal means, but with a spread of 2 and 3.9 points nothing is shown to be level",
    "5.10": "35.6 (2.1) against 33.3 (1.8) is p = .14",
    "6.1.1": "MFCNN14 against SFCNN14 from IEMOCAP to MSP-Podcast, .219 (.005) against .212 (.004), is p = .06",
    "6.1.9": "nearly the same means, but not shown to be level",
    "6.1.12": "SFCNN14 from MSP-Podcast to IEMOCAP has no marker in the paper either",
    "6.1.13": "SFCNN14 is ahead on IEMOCAP's dominance, and not significantly behind on MSP-Podcast's arousal",
    "6.2.6": "one of the two markers that the printed numbers do not give",
    "A.1": "late fusion is printed without an sd",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=3, sections=("categories", "multitask"), utterances=40))


def judged(relation, left, right, metric="ccc"):
    cells = {LEFT._replace(metric=metric): left, RIGHT._replace(metric=metric): right}
    part = Part(LEFT._replace(metric=metric), relation, RIGHT._replace(metric=metric))
    return verdicts.judge(part, cells.get).verdict


class TestJudging:
    def test_a_significant_difference_in_the_claimed_direction_holds(self):
        assert judged(ABOVE, (0.6, 0.01, 5), (0.5, 0.01, 5)) == HOLDS

    def test_a_significant_difference_against_the_claim_does_not(self):
        assert judged(ABOVE, (0.5, 0.01, 5), (0.6, 0.01, 5)) == FAILS

    def test_a_difference_within_chance_is_open_whatever_its_sign(self):
        assert judged(ABOVE, (0.6, 0.2, 5), (0.5, 0.2, 5)) == OPEN
        assert judged(ABOVE, (0.5, 0.2, 5), (0.6, 0.2, 5)) == OPEN

    def test_what_is_shown_to_be_level_is_not_above(self):
        assert judged(ABOVE, (0.5005, 0.002, 5), (0.5, 0.002, 5)) == FAILS

    def test_level_holds_only_where_the_whole_interval_is_inside_the_margin(self):
        assert judged(LEVEL, (0.5005, 0.002, 5), (0.5, 0.002, 5)) == HOLDS
        assert judged(LEVEL, (0.5, 0.05, 5), (0.5, 0.05, 5)) == OPEN
        assert judged(LEVEL, (0.6, 0.01, 5), (0.5, 0.01, 5)) == FAILS

    def test_a_margin_is_in_the_unit_of_its_measure(self):
        assert judged(LEVEL, (50.5, 0.2, 5), (50.0, 0.2, 5), metric="uar") == HOLDS
        assert judged(LEVEL, (0.55, 0.01, 5), (0.5, 0.01, 5)) == FAILS

    def test_ahead_but_not_significantly_is_refuted_by_significance(self):
        assert judged(NOT_TESTABLY_ABOVE, (0.51, 0.05, 5), (0.5, 0.05, 5)) == HOLDS
        assert judged(NOT_TESTABLY_ABOVE, (0.49, 0.05, 5), (0.5, 0.05, 5)) == OPEN
        assert judged(NOT_TESTABLY_ABOVE, (0.6, 0.01, 5), (0.5, 0.01, 5)) == FAILS

    def test_clearly_above_asks_for_more_than_the_spread_of_both(self):
        # sd with ddof 1: .02 * sqrt(5 / 4) = .0224 each
        assert judged(CLEARLY_ABOVE, (0.55, 0.02, 5), (0.5, 0.02, 5)) == HOLDS
        assert judged(CLEARLY_ABOVE, (0.54, 0.02, 5), (0.5, 0.02, 5)) == OPEN
        assert judged(ABOVE, (0.54, 0.02, 5), (0.5, 0.02, 5)) == HOLDS

    def test_one_seed_or_none_cannot_tell(self):
        assert judged(ABOVE, (0.6, 0.0, 1), (0.5, 0.0, 1)) == OPEN
        assert judged(ABOVE, (0.6, 0.01, 5), None) == OPEN

    def test_against_zero_it_is_the_one_sample_test(self):
        values = np.array([0.1, 0.3, 0.2])
        measured = pd.DataFrame([LEFT._asdict()] * 3).assign(value=values)
        found = verdicts.judge(Part(LEFT, ABOVE, RIGHT._replace(model=ZERO)), verdicts.from_study(measured)).comparison
        # t = mean / (sd / sqrt(n)) = .2 / (.1 / sqrt(3)) with 2 degrees of freedom
        assert found.t == pytest.approx(0.2 / (0.1 / math.sqrt(3)))
        assert found.p == pytest.approx(0.0742, abs=1e-4)

    def test_a_claim_is_as_good_as_its_worst_part(self):
        assert verdicts.together([HOLDS, HOLDS]) == HOLDS
        assert verdicts.together([HOLDS, OPEN]) == OPEN
        assert verdicts.together([OPEN, FAILS, HOLDS]) == FAILS


class TestMeasures:
    def of(self, table, model="cnn14"):
        table = table.assign(
            section="categories",
            model=model,
            train_corpus="msp-podcast",
            test_corpus="msp-podcast",
            fold="official",
            seed=0,
            partition="test",
            target="emotion",
            utterance=[f"u{n}" for n in range(len(table))],
            simulated=False,
        )
        found = verdicts.measures(results.Results(None, "categories", table))
        return found.set_index("metric")["value"]

    def test_contrasts_are_choices_between_the_classes_concerned(self):
        table = pd.DataFrame(
            {
                "truth": ["happy", "happy", "angry", "sad", "neutral"],
                "prediction": ["neutral"] * 5,
                "p_angry": [0.1, 0.4, 0.3, 0.3, 0.0],
                "p_happy": [0.2, 0.1, 0.1, 0.1, 0.0],
                "p_neutral": [0.6, 0.4, 0.4, 0.5, 1.0],
                "p_sad": [0.1, 0.1, 0.2, 0.1, 0.0],
            }
        )
        values = self.of(table)
        assert values["valence contrast"] == 75  # happy 1/2, angry or sad 2/2
        assert values["arousal contrast"] == 50  # angry 1/1, sad 0/1

    def test_confusions_are_shares_of_the_row(self):
        truth = ["happy"] * 4 + ["neutral"] * 2 + ["angry", "sad"]
        predicted = ["happy", "angry", "angry", "sad", "sad", "neutral", "angry", "happy"]
        found = self.of(
            pd.DataFrame(
                {
                    "truth": truth,
                    "prediction": predicted,
                    **dict.fromkeys(("p_angry", "p_happy", "p_neutral", "p_sad"), 0.25),
                }
            )
        )
        assert found["happy as angry"] == 50
        assert found["happy as happy"] == 25
        assert found["tilt"] == (25 + 50) / 2 - (100 + 0) / 2
        assert found["lesser"] == 50
        assert found["others"] == 100  # sad as happy

    def test_a_drop_is_in_domain_minus_across(self, categories):
        measured = verdicts.measures(categories).set_index([*ScoreKey._fields, "seed"])["value"]
        inside = measured["mfcnn14", "msp-podcast", "msp-podcast", "emotion", "uar", 1]
        across = measured["mfcnn14", "msp-podcast", "iemocap", "emotion", "uar", 1]
        assert measured["mfcnn14", "msp-podcast", "iemocap", "emotion", "drop", 1] == pytest.approx(inside - across)

    def test_a_lead_is_of_bert_over_cnn14(self, categories):
        measured = verdicts.measures(categories).set_index([*ScoreKey._fields, "seed"])["value"]
        one, other = (measured[m, "iemocap", "iemocap", "emotion", "uar", 2] for m in ("bert", "cnn14"))
        assert measured["bert", "iemocap", "iemocap", "emotion", "lead", 2] == pytest.approx(one - other)

    def test_a_model_with_one_prediction_is_steepest(self):
        truth = np.linspace(1, 7, 61)
        table = pd.DataFrame({"truth": truth, "prediction": 4.0}).assign(
            section="multitask",
            model="bert",
            train_corpus="msp-podcast",
            test_corpus="msp-podcast",
            fold="official",
            seed=0,
            partition="test",
            target="arousal",
            utterance=[f"u{n}" for n in range(61)],
            speaker="1",
            simulated=False,
        )
        found = verdicts.measures(results.Results(None, "multitask", table)).set_index("metric")["value"]
        assert found["steepness"] == pytest.approx(1)
        assert found["low"] == pytest.approx(2, abs=0.02)  # truths from 1 to 3
        assert found["high"] == pytest.approx(found["low"])

    def test_one_value_a_model_corpus_target_measure_and_seed(self, categories, multitask):
        for found in (categories, multitask):
            assert not verdicts.measures(found).duplicated([*ScoreKey._fields, "seed"]).any()


class TestThePapersClaims:
    def test_the_papers_own_numbers_hold_but_for_named_exceptions(self):
        left_open = {}
        for claim in claims.PAPER:
            printed = verdicts.from_paper(claims.PLACES[claim.place])
            found = [verdicts.judge(part, printed) for part in claim.parts]
            if any(finding.comparison for finding in found):
                left_open[claim.number] = verdicts.together([finding.verdict for finding in found])
        assert {number for number, verdict in left_open.items() if verdict != HOLDS} == set(NOT_HELD_BY_THE_PAPER)
        assert FAILS not in left_open.values()

    def test_claims_are_numbered_once_and_have_parts(self):
        numbers = [claim.number for claim in claims.PAPER]
        assert len(set(numbers)) == len(numbers)
        assert all(claim.parts for claim in (*claims.PAPER, *claims.GROUND_TRUTH))

    def test_claims_compare_what_exists(self):
        for claim in claims.PAPER:
            for part in claim.parts:
                for key in (part.left, part.right):
                    assert key.model in (*MODELS, ZERO)
                    assert key.target in schema.TARGETS
                    assert {key.train_corpus, key.test_corpus} <= set(CORPORA)

    def test_every_measure_of_a_claim_is_measured(self, categories, multitask):
        for found in (categories, multitask):
            measured = set(verdicts.measures(found)["metric"])
            for claim in claims.PAPER:
                if claims.PLACES[claim.place] == found.section:
                    assert {part.left.metric for part in claim.parts} <= measured, claim.number

    def test_a_verdict_stands_with_the_numbers_behind_it(self, categories):
        table = claims.check(categories, "table_1")
        row = table.frame.loc["5.5"]
        assert row[("", "here")] == row[("", "in the paper's numbers")] == HOLDS
        assert "MSP-Podcast → MSP-Podcast: SFCNN14" in row[("", "behind it")]
        assert ", p < .001" in row[("", "behind it")]

    def test_each_claim_belongs_to_one_table_or_figure(self, categories):
        shown = [set(claims.check(categories, place).frame.index) for place in ("table_1", "figure_2")]
        assert not shown[0] & shown[1]
        assert "5.13" in shown[1]

    def test_claims_of_another_section_are_refused(self, multitask):
        with pytest.raises(ValueError, match="no claims of table_1 about section 'multitask'; it has those of table_3"):
            claims.check(multitask, "table_1")

    def test_missing_models_are_named(self, categories):
        without = categories.predictions[~categories.predictions["model"].isin(["bert", "lf"])]
        table = claims.check(results.Results(categories.study, "categories", without), "table_1")
        assert table.frame.loc["5.1", ("", "here")] == OPEN
        assert "no BERT here" in table.frame.loc["5.1", ("", "behind it")]


class TestGroundTruth:
    def test_its_effects_hold(self, categories, multitask):
        for found in (categories, multitask):
            table = claims.ground_truth(found)
            assert set(table.frame[("", "here")]) == {HOLDS}, table.markdown()

    def test_its_effects_do_not_hold_where_the_models_are_exchanged(self, categories, multitask):
        swap = {"bert": "cnn14", "cnn14": "bert"}
        for found in (categories, multitask):
            named = found.predictions["model"].astype(object).replace(swap)
            swapped = results.Results(found.study, found.section, found.predictions.assign(model=named))
            verdict = claims.ground_truth(swapped).frame[("", "here")]
            effects = ["text", "audio"] if found is categories else ["arousal", "valence", "dominance"]
            assert set(verdict[effects]) == {FAILS}

    def test_one_seed_cannot_tell(self, multitask):
        alone = multitask.predictions[multitask.predictions["seed"] == 0]
        table = claims.ground_truth(results.Results(multitask.study, "multitask", alone))
        assert set(table.frame[("", "here")]) == {OPEN}
        assert "one seed and no test" in table.frame.loc["valence", ("", "behind it")]
