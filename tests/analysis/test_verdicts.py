"""Verdicts: how the comparisons of a claim are judged, by which test, and what they rest on."""

import math

import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sercore.analysis import results, verdicts
from sercore.analysis.verdicts import (
    ABOVE,
    CLEARLY_ABOVE,
    CONSISTENT,
    FAILS,
    HOLDS,
    LEVEL,
    NOT_TESTABLY_ABOVE,
    OPEN,
    ZERO,
    Part,
    ScoreKey,
)
from sercore.study import config

LEFT = ScoreKey("mfcnn14", "msp-podcast", "msp-podcast", "valence", "ccc")
RIGHT = LEFT._replace(model="cnn14")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=3, sections=("categories", "multitask"), utterances=40))


def judged(relation, left, right, metric="ccc"):
    cells = {LEFT._replace(metric=metric): left, RIGHT._replace(metric=metric): right}
    part = Part(LEFT._replace(metric=metric), relation, RIGHT._replace(metric=metric))
    return verdicts.judge([part], cells.get)[0].verdict


def measured(*rows):
    """A table of `measures`, of (key, values by seed) each."""
    return pd.concat(
        [
            pd.DataFrame([key._asdict()] * len(values)).assign(seed=range(len(values)), value=np.array(values, float))
            for key, values in rows
        ]
    )


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

    def test_level_is_decided_by_the_interval_at_90_percent(self):
        # se = .01 * sqrt(5 / 4) * sqrt(2 / 5) = .00707; t(8) is 1.860 at .95 and 2.306 at .975
        error = 0.01 * math.sqrt(5 / 4) * math.sqrt(2 / 5)
        wide, narrow = 0.01 / (1.86 * error), 0.01 / (2.306 * error)
        assert wide > narrow  # an sd between the two fits the margin at .90 and not at .95
        sd = 0.01 * (wide + narrow) / 2
        assert judged(LEVEL, (0.5, sd, 5), (0.5, sd, 5)) == HOLDS
        assert judged(LEVEL, (0.5, 1.01 * 0.01 * wide, 5), (0.5, 1.01 * 0.01 * wide, 5)) == OPEN

    def test_a_significant_difference_that_may_be_within_the_margin_leaves_level_open(self):
        # .012 with an error of .0045: p = .03, and the margin of .01 is inside the interval
        assert judged(LEVEL, (0.512, 0.0064, 5), (0.5, 0.0064, 5)) == OPEN
        assert judged(ABOVE, (0.512, 0.0064, 5), (0.5, 0.0064, 5)) == HOLDS

    def test_a_margin_is_in_the_unit_of_its_measure(self):
        assert judged(LEVEL, (50.5, 0.2, 5), (50.0, 0.2, 5), metric="uar") == HOLDS
        assert judged(LEVEL, (0.55, 0.01, 5), (0.5, 0.01, 5)) == FAILS

    def test_ahead_but_not_significantly_cannot_be_shown(self):
        assert judged(NOT_TESTABLY_ABOVE, (0.51, 0.05, 5), (0.5, 0.05, 5)) == CONSISTENT
        assert judged(NOT_TESTABLY_ABOVE, (0.6, 0.01, 5), (0.5, 0.01, 5)) == CONSISTENT
        assert judged(NOT_TESTABLY_ABOVE, (0.49, 0.05, 5), (0.5, 0.05, 5)) == OPEN
        assert judged(NOT_TESTABLY_ABOVE, (0.4, 0.01, 5), (0.5, 0.01, 5)) == FAILS

    def test_clearly_above_asks_for_more_than_the_spread_of_both(self):
        # sd with ddof 1: .02 * sqrt(5 / 4) = .0224 each
        assert judged(CLEARLY_ABOVE, (0.55, 0.02, 5), (0.5, 0.02, 5)) == HOLDS
        assert judged(CLEARLY_ABOVE, (0.54, 0.02, 5), (0.5, 0.02, 5)) == OPEN
        assert judged(ABOVE, (0.54, 0.02, 5), (0.5, 0.02, 5)) == HOLDS

    def test_one_seed_or_none_cannot_tell(self):
        assert judged(ABOVE, (0.6, 0.0, 1), (0.5, 0.0, 1)) == OPEN
        assert judged(ABOVE, (0.6, 0.01, 5), None) == OPEN

    def test_against_zero_it_is_the_one_sample_test(self):
        lookup = verdicts.from_study(measured((LEFT, [0.1, 0.3, 0.2])))
        (finding,) = verdicts.judge([Part(LEFT, ABOVE, RIGHT._replace(model=ZERO))], lookup)
        # t = mean / (sd / sqrt(n)) = .2 / (.1 / sqrt(3)) with 2 degrees of freedom
        assert finding.comparison.t == pytest.approx(0.2 / (0.1 / math.sqrt(3)))
        assert finding.comparison.p == pytest.approx(0.0742, abs=1e-4)

    def test_a_claim_is_as_good_as_its_worst_part(self):
        assert verdicts.together([HOLDS, HOLDS]) == HOLDS
        assert verdicts.together([HOLDS, CONSISTENT]) == CONSISTENT
        assert verdicts.together([CONSISTENT, OPEN]) == OPEN
        assert verdicts.together([OPEN, FAILS, HOLDS]) == FAILS

    def test_a_measure_without_a_margin_says_where_to_add_one(self):
        with pytest.raises(ValueError, match=r"preregistration.yaml has no margin of 'loudness': add a line"):
            judged(ABOVE, (0.6, 0.01, 5), (0.5, 0.01, 5), metric="loudness")


class TestSeveralParts:
    def of(self, *differences):
        """Verdicts on `above`, each of a difference with sd .01 over 5 seeds, and Holm's p against them."""
        parts = [
            Part(LEFT._replace(target=f"t{n}"), ABOVE, RIGHT._replace(target=f"t{n}")) for n in range(len(differences))
        ]
        cells = {part.left: (0.5 + d, 0.01, 5) for part, d in zip(parts, differences, strict=True)}
        cells |= {part.right: (0.5, 0.01, 5) for part in parts}
        return verdicts.judge(parts, cells.get)

    def test_one_part_against_the_claim_counts_after_the_correction(self):
        (alone,) = self.of(-0.018)
        assert alone.verdict == FAILS
        assert alone.against == pytest.approx(0.034, abs=0.001)
        several = self.of(-0.018, 0.1)
        assert several[0].against == pytest.approx(2 * alone.against)
        assert [finding.verdict for finding in several] == [OPEN, HOLDS]

    def test_to_be_shown_a_part_needs_no_correction(self):
        assert [finding.verdict for finding in self.of(0.018, 0.018, 0.018)] == [HOLDS] * 3

    def test_a_part_that_is_missing_is_no_test(self):
        parts = [Part(LEFT, ABOVE, RIGHT), Part(LEFT, ABOVE, RIGHT._replace(model="bert"))]
        cells = {LEFT: (0.482, 0.01, 5), RIGHT: (0.5, 0.01, 5)}
        found = verdicts.judge(parts, cells.get)
        assert [finding.verdict for finding in found] == [FAILS, OPEN]
        assert math.isnan(found[1].against)


class TestPairs:
    INSIDE = ScoreKey("mfcnn14", "iemocap", "iemocap", "valence", "pcc")
    ACROSS = INSIDE._replace(test_corpus="msp-podcast")
    HIGH, LOW = (0.60, 0.71, 0.82, 0.79), (0.52, 0.65, 0.70, 0.71)

    def test_two_scores_of_the_same_models_are_tested_seed_by_seed(self):
        lookup = verdicts.from_study(measured((self.INSIDE, self.HIGH), (self.ACROSS, self.LOW)))
        (finding,) = verdicts.judge([Part(self.INSIDE, ABOVE, self.ACROSS)], lookup)
        assert finding.paired
        assert finding.comparison.p == pytest.approx(stats.ttest_rel(self.HIGH, self.LOW).pvalue)
        assert finding.verdict == HOLDS
        assert stats.ttest_ind(self.HIGH, self.LOW).pvalue > 0.05, "independent samples would not tell"
        assert verdicts.in_words([Part(self.INSIDE, ABOVE, self.ACROSS)], [finding]).endswith("paired")

    def test_the_order_of_the_seeds_does_not_matter(self):
        table = measured((self.INSIDE, self.HIGH), (self.ACROSS, self.LOW))
        part = [Part(self.INSIDE, ABOVE, self.ACROSS)]
        shuffled = table.sample(frac=1, random_state=1)
        (one,), (other,) = (verdicts.judge(part, verdicts.from_study(rows)) for rows in (table, shuffled))
        assert one.comparison == pytest.approx(other.comparison)

    def test_seeds_that_one_side_lacks_are_in_no_pair(self):
        table = measured((self.INSIDE, self.HIGH), (self.ACROSS, self.LOW[:3]))
        (finding,) = verdicts.judge([Part(self.INSIDE, ABOVE, self.ACROSS)], verdicts.from_study(table))
        assert finding.comparison.p == pytest.approx(stats.ttest_rel(self.HIGH[:3], self.LOW[:3]).pvalue)

    def test_models_trained_apart_are_independent(self):
        apart = (
            (self.INSIDE, self.INSIDE._replace(model="cnn14"), False),  # models
            (self.INSIDE, self.ACROSS._replace(train_corpus="msp-podcast"), False),  # training corpora
            (self.INSIDE, self.INSIDE._replace(target="arousal"), True),  # one model for each dimension
            (self.INSIDE, self.INSIDE._replace(metric="single-task ccc"), False),
        )
        for left, right, single_task in apart:
            lookup = verdicts.from_study(measured((left, self.HIGH), (right, self.LOW)), single_task)
            (finding,) = verdicts.judge([Part(left, ABOVE, right)], lookup)
            assert not finding.paired
            assert finding.comparison.p == pytest.approx(stats.ttest_ind(self.HIGH, self.LOW).pvalue)

    def test_one_model_of_all_dimensions_is_paired_across_them(self):
        assert verdicts.trained(self.INSIDE) == verdicts.trained(self.INSIDE._replace(target="arousal"))

    def test_late_fusion_is_paired_with_its_halves_and_with_no_other(self):
        late = verdicts.trained(LEFT._replace(model="lf"))
        assert all(late & verdicts.trained(LEFT._replace(model=half)) for half in ("bert", "cnn14"))
        assert not any(late & verdicts.trained(LEFT._replace(model=other)) for other in ("sfcnn14", "mfcnn14"))

    def test_a_lead_is_of_both_models(self):
        lead = verdicts.trained(LEFT._replace(model="bert", metric="lead"))
        assert lead == verdicts.trained(LEFT._replace(model="lf"))


class TestTheSmallestDifference:
    def test_it_depends_on_the_spread_and_not_on_the_difference_that_was_seen(self):
        part = [Part(LEFT, ABOVE, RIGHT)]
        texts = [
            verdicts.smallest(part, verdicts.judge(part, {LEFT: (0.5 + seen, 0.02, 5), RIGHT: (0.5, 0.02, 5)}.get))
            for seen in (0.0, 0.01, 0.2)
        ]
        # error = .02 sqrt(5/4) sqrt(2/5) = .01414; 3.2009 of these at 8 degrees of freedom
        assert texts == ["0.045"] * 3

    def test_of_several_comparisons_it_is_a_range_in_each_unit(self):
        slope = LEFT._replace(metric="steepness")
        parts = [
            Part(LEFT, ABOVE, RIGHT),
            Part(LEFT, ABOVE, RIGHT._replace(model="bert")),
            Part(slope, ABOVE, slope._replace(model="cnn14")),
        ]
        cells = {LEFT: (0.5, 0.02, 5), RIGHT: (0.5, 0.02, 5), RIGHT._replace(model="bert"): (0.4, 0.06, 5)}
        cells |= {slope: (0.1, 0.04, 5), slope._replace(model="cnn14"): (0.5, 0.04, 5)}
        assert verdicts.smallest(parts, verdicts.judge(parts, cells.get)) == "0.045 to 0.101, 0.091"

    def test_without_a_test_it_is_not_known(self):
        part = [Part(LEFT, ABOVE, RIGHT)]
        assert verdicts.smallest(part, verdicts.judge(part, {}.get)) == "not known"


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
