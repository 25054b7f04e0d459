"""What is known of how sure answers are: temperatures and errors of known probabilities, curves by hand, odd cases."""

import dataclasses
import doctest
import itertools

import numpy as np
import pandas as pd
import pytest

from sercore import settings
from sercore.analysis import confidence
from sercore.analysis.confidence import NOT_SURE, Confidence, Point


def probabilities(seed, utterances=4000, sharpness=1.5):
    """Probabilities of four classes, and truths that are drawn from them."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.standard_normal((utterances, 4))
    of_classes = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (generator.random(utterances)[:, None] > of_classes.cumsum(axis=1)).sum(axis=1)
    return of_classes, np.minimum(truth, 3)


def test_the_examples_run():
    failed, run = doctest.testmod(confidence)
    assert run >= 3
    assert not failed


def development(chances, truth, speakers=4):
    """The predictions of a run for development utterances: `chances` (utterances, classes), codes of the truth."""
    names = [f"class_{code}" for code in range(chances.shape[1])]
    table = pd.DataFrame(chances, columns=[f"p_{name}" for name in names])
    return table.assign(
        train_corpus="a",
        test_corpus="a",
        partition="development",
        utterance=[f"u{number}" for number in range(len(table))],
        speaker=[f"s{number % speakers}" for number in range(len(table))],
        target="emotion",
        truth=[names[code] for code in truth],
    )


class TestTemperature:
    @pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
    def test_the_one_that_the_probabilities_were_made_with_is_found(self, temperature):
        right, truth = probabilities(0)
        wrong = right**temperature
        found = confidence.fit_temperature(wrong / wrong.sum(axis=1, keepdims=True), truth)
        assert found == pytest.approx(temperature, rel=0.06)

    def test_no_other_one_makes_the_truth_more_likely(self):
        wrong, truth = probabilities(1, utterances=60)
        found = confidence.fit_temperature(wrong, truth)

        def likelihood(temperature):
            return np.log(confidence.tempered(wrong, temperature)[np.arange(60), truth]).sum()

        others = np.geomspace(*confidence.TEMPERATURES, 500)
        assert likelihood(found) >= max(likelihood(other) for other in others) - 1e-6

    def test_it_stays_in_its_range_where_every_prediction_is_right_or_no_better_than_chance(self):
        low, high = confidence.TEMPERATURES
        sure = np.array([[0.9, 0.1], [0.2, 0.8]])
        assert confidence.fit_temperature(sure, np.array([0, 1])) == pytest.approx(low, rel=0.01)
        assert confidence.fit_temperature(sure, np.array([1, 0])) == pytest.approx(high, rel=0.01)

    def test_it_changes_no_decision_and_a_zero_is_no_infinity(self):
        shares = np.array([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0]])
        for temperature in (0.1, 1.0, 7.0):
            new = confidence.tempered(shares, temperature)
            assert new.sum(axis=1) == pytest.approx([1, 1])
            assert (new.argmax(axis=1) == shares.argmax(axis=1)).all()
        assert confidence.tempered(shares, 1.0) == pytest.approx(shares)
        assert np.isfinite(confidence.fit_temperature(shares, np.array([0, 1])))


class TestCalibrationError:
    def test_it_is_the_weighted_gap_of_the_bins(self):
        generator = np.random.default_rng(0)
        sure = generator.uniform(0.25, 1, 500)
        correct = generator.random(500) < 0.6
        edges = np.linspace(0, 1, confidence.BINS + 1)
        expected = 0.0
        for low, high in itertools.pairwise(edges):
            inside = (sure > low) & (sure <= high)
            if inside.any():
                expected += inside.mean() * abs(correct[inside].mean() - sure[inside].mean())
        assert float(confidence.calibration_error(sure, correct)) == pytest.approx(expected)

    def test_a_bin_holds_its_upper_end(self):
        assert confidence.confidence_bins(np.array([0.0, 0.2, 0.21, 1.0]), bins=5).tolist() == [0, 0, 1, 4]

    def test_chance_is_what_right_probabilities_show_and_falls_with_the_utterances(self):
        shown = []
        for utterances in (100, 10_000):
            errors = []
            for seed in range(20):
                shares, truth = probabilities(seed, utterances)
                errors.append(confidence.calibration_error(shares.max(axis=1), shares.argmax(axis=1) == truth))
            chance = confidence.chance_error(shares.max(axis=1), np.random.default_rng(0))
            assert chance == pytest.approx(np.mean(errors), rel=0.25)
            shown.append(chance)
        assert shown[1] < shown[0] / 5


class TestRejection:
    def test_the_surest_are_answered_first_and_equally_sure_ones_together(self):
        sure, right = np.array([0.5, 0.9, 0.7, 0.7, 0.7]), np.array([False, True, True, False, True])
        curve = confidence.rejection_curve(sure, right)
        assert curve["threshold"].tolist() == [0.9, 0.7, 0.5]
        assert curve["answered"].tolist() == [1, 4, 5]
        assert curve["error"].tolist() == [0, 1 / 4, 2 / 5]
        # among equally sure ones the wrong one may come at any place: errors 0, 1/3, 2/3, 1 and 2 of 1 to 5 answers
        assert confidence.area(curve) == pytest.approx(np.mean([0, 1 / 6, 2 / 9, 1 / 4, 2 / 5]))
        order = np.random.default_rng(0).permutation(5)
        pd.testing.assert_frame_equal(confidence.rejection_curve(sure[order], right[order]), curve)

    def test_the_area_is_the_error_where_confidence_says_nothing_and_least_where_it_says_all(self):
        right = np.arange(100) >= 30
        assert confidence.area(confidence.rejection_curve(np.full(100, 0.4), right)) == pytest.approx(0.3)
        areas = [confidence.area(confidence.rejection_curve(sign * np.arange(100.0), right)) for sign in (1, -1)]
        best = np.mean(np.maximum(np.arange(1, 101) - 70, 0) / np.arange(1, 101))
        assert areas[0] == pytest.approx(best)
        assert areas[0] < 0.3 < areas[1]

    def test_a_wish_is_met_on_development_by_the_thresholds_that_are_kept(self):
        chances, truth = probabilities(0, utterances=400)
        known = confidence.of_run(development(chances, truth))
        sure = confidence.tempered(chances, known.temperature).max(axis=1)
        right = chances.argmax(axis=1) == truth
        assert known.curve[0] == Point(0.0, 1.0, pytest.approx(1 - right.mean()))
        assert len(known.curve) <= confidence.POINTS
        assert [point.threshold for point in known.curve] == sorted(point.threshold for point in known.curve)
        assert min(point.coverage for point in known.curve) * 400 >= confidence.FEWEST
        for wish in (1.0, 0.8, 0.33, 0.05, 0.001):
            threshold = known.threshold(coverage=wish)
            assert (sure >= threshold).mean() >= wish
            assert wish < 0.05 or (sure >= threshold).mean() < wish + 1 / confidence.POINTS
            assert known.at(threshold).coverage == (sure >= threshold).mean()
        assert known.threshold(error=1.0) == 0
        threshold = known.threshold(error=0.2)
        assert 0 < 1 - right[sure >= threshold].mean() <= 0.2
        assert known.at(1.1) is None
        assert known.area == confidence.area(confidence.rejection_curve(sure, right))

    def test_an_error_that_is_never_that_low_is_refused_with_the_lowest(self):
        generator = np.random.default_rng(0)
        chances = generator.dirichlet(np.ones(4), 60)
        known = confidence.of_run(development(chances, generator.integers(4, size=60)))
        with pytest.raises(ValueError, match=r"an error of 10\.0% or less is not reached on development") as refused:
            known.threshold(error=0.1)
        lowest = float(str(refused.value).partition("the lowest is ")[2].partition("%")[0]) / 100
        assert known.at(known.threshold(error=lowest)).error <= lowest, "what is offered is met"

    @pytest.mark.parametrize("wish", [{}, {"coverage": 0.5, "error": 0.5}])
    def test_one_wish_is_expected(self, wish):
        with pytest.raises(ValueError, match="expected either a coverage or an error"):
            Confidence().threshold(**wish)

    def test_answers_below_the_threshold_are_not_sure_and_errors_stay(self):
        answers = pd.DataFrame({"emotion": ["sad", "sad", None], "confidence": [0.5, 0.49, np.nan], "p_sad": 0.5})
        rejected = confidence.reject(answers, 0.5)
        assert rejected["emotion"].tolist()[:2] == ["sad", NOT_SURE]
        assert rejected["emotion"].isna().tolist() == [False, False, True]
        assert rejected["p_sad"].tolist() == [0.5] * 3


class TestOfARun:
    def test_it_says_what_a_confidence_means_and_on_how_much_that_rests(self):
        right, truth = probabilities(0, utterances=300)
        wrong = right**2 / (right**2).sum(axis=1, keepdims=True)
        known = confidence.of_run(development(wrong, truth))
        assert known.temperature == confidence.fit_temperature(wrong, truth) > 1
        errors = confidence.errors(development(wrong, truth), known.temperature, np.random.default_rng(0))
        assert str(known) == (
            "the probability of the answer. Of development utterances with such a confidence about that share was "
            f"answered rightly, {100 * errors['tempered_ece']:.0f} points off on average, as far as 300 utterances "
            f"of 4 speakers can say (temperature {known.temperature:.2f})"
        )
        assert errors["tempered_ece"] < errors["ece"] / 1.5
        assert settings.build(Confidence, dataclasses.asdict(known)) == known

    def test_only_development_of_its_own_corpus_counts(self):
        chances, truth = probabilities(0, utterances=60)
        own = development(chances, truth)
        known = confidence.of_run(own)
        others = [own.assign(truth="class_0", partition="test"), own.assign(truth="class_0", test_corpus="b")]
        assert confidence.of_run(pd.concat([own, *others])) == known

    def test_without_development_it_is_the_probability_as_it_is(self):
        chances, truth = probabilities(0, utterances=60)
        known = confidence.of_run(development(chances, truth).assign(partition="test"))
        assert (known.temperature, known.curve) == (1, ())
        assert str(known) == (
            "the probability of the answer as the network gives it (not calibrated: the run has no development "
            "predictions)"
        )
        with pytest.raises(ValueError, match="the run has no development predictions; name one by --reject-below"):
            known.threshold(coverage=0.8)

    def test_probabilities_that_are_not_finite_make_it_unknown(self):
        chances, truth = probabilities(0, utterances=60)
        chances[7, 2] = np.nan
        known = confidence.of_run(development(chances, truth))
        assert (known.temperature, known.curve) == (1, ())
        assert known.note == "1 of 60 development predictions is not finite, u7"

    @pytest.mark.parametrize("utterances", [1, confidence.FEWEST - 1])
    def test_of_few_utterances_no_temperature_is_taken_and_one_point(self, utterances):
        chances, truth = probabilities(0, utterances=utterances)
        known = confidence.of_run(development(chances, truth))
        error = float((chances.argmax(axis=1) != truth).mean())
        assert (known.temperature, known.utterances) == (1, utterances)
        assert known.curve == (Point(0.0, 1.0, pytest.approx(error)),)
        assert f"{utterances} development utterances, and a temperature takes 20 or more" in str(known)
        assert known.threshold(coverage=0.5) == 0
        twice = pd.concat([development(chances, truth).assign(fold=fold) for fold in range(20)])
        assert confidence.of_run(twice).temperature == 1, "of many folds they are no more utterances"

    def test_a_class_that_is_absent_from_development_is_named(self):
        chances, truth = probabilities(0, utterances=200)
        some = truth != 2
        known = confidence.of_run(development(chances[some], truth[some]))
        assert known.absent == ("class_2",)
        assert known.temperature == confidence.fit_temperature(chances[some], truth[some])
        assert str(known).endswith("; no development utterance is class_2)")

    def test_where_all_is_right_nothing_is_made_surer_and_where_nothing_is_told_all_is_less_sure(self):
        chances = np.tile([[0.6, 0.4], [0.3, 0.7]], (20, 1))
        right = confidence.of_run(development(chances, chances.argmax(axis=1)))
        assert (right.temperature, right.calibrated) == (1, False)
        assert "the best temperature is 0.05 or less, too few answers are wrong" in str(right)
        wrong = confidence.of_run(development(chances, chances.argmin(axis=1)))
        assert wrong.calibrated
        assert wrong.temperature == pytest.approx(confidence.TEMPERATURES[1], rel=0.01)
        assert "or more, since the probabilities tell next to nothing" in str(wrong)

    def test_of_equally_probable_classes_the_first_counts(self):
        chances = np.full((30, 2), 0.5)
        known = confidence.of_run(development(chances, np.array([1, 0, 0] * 10)))
        assert known.curve == (Point(0.0, 1.0, pytest.approx(1 / 3)),)
        assert known.area == pytest.approx(1 / 3)


class TestRatings:
    def ratings(self, distances, **columns):
        table = pd.DataFrame({"prediction": 3.0, "truth": 3 + np.asarray(distances), "target": "valence", **columns})
        return table.assign(train_corpus="a", test_corpus="a", partition="development")

    def test_the_half_width_holds_nine_of_ten_of_others_that_are_alike(self):
        generator = np.random.default_rng(0)
        held = []
        for _ in range(60):
            (width,) = confidence.half_widths(self.ratings(generator.standard_normal(39))).values()
            held.append((np.abs(generator.standard_normal(500)) <= width).mean())
        assert np.mean(held) == pytest.approx(0.9, abs=0.02)  # 36 of 40

    def test_it_is_the_next_to_last_distance_of_nineteen_and_of_eight_there_is_none(self):
        distances = np.arange(1, 20) * np.where(np.arange(19) % 2, 0.1, -0.1)
        assert confidence.half_widths(self.ratings(distances)) == {"valence": pytest.approx(1.8)}
        assert confidence.half_widths(self.ratings(distances[:8])) == {}
        assert confidence.half_widths(self.ratings(distances).assign(partition="test")) == {}
