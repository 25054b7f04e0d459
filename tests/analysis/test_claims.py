"""Claims: that the paper's own numbers pass them, that they compare what exists, and how their tables show it."""

import made_up
import pytest

from sercore import schema
from sercore.analysis import claims, measures, preregistration, results, verdicts
from sercore.analysis.verdicts import CONSISTENT, FAILS, HOLDS, OPEN, ZERO
from sercore.registry import CORPORA, MODELS
from sercore.study import config

NOT_HELD_BY_THE_PAPER = {
    "5.1": "48.9 (0.4) against 48.3 (0.6) is p = .14",
    "5.9": "equal means, but with a spread of 2 and 3.9 points nothing is shown to be level",
    "5.10": "35.6 (2.1) against 33.3 (1.8) is p = .14",
    "5.20": "SFCNN14 from MSP-Podcast to IEMOCAP has no marker, and from IEMOCAP one that its numbers do not give",
    "5.24": "56.0 (1.3) against 54.2 (0.8)",
    "5.25": "from IEMOCAP to MSP-Podcast MFCNN14 loses 37.0, SFCNN14 30.8 points",
    "5.26": "MFCNN14 alone is highest in 1 of 4",
    "6.1.1": "MFCNN14 against SFCNN14 from IEMOCAP to MSP-Podcast, .219 (.005) against .212 (.004), is p = .06",
    "6.1.9": "nearly the same means, but not shown to be level",
    "6.1.12": "SFCNN14 from MSP-Podcast to IEMOCAP has no marker in the paper either",
    "6.1.13": "SFCNN14 is ahead on IEMOCAP's dominance, and not significantly behind on MSP-Podcast's arousal",
    "6.1.16": "across corpora MFCNN14 is better on arousal, .432 (.006) against .418 (.008), not so in-domain",
    "6.1.17": "on MSP-Podcast's arousal .627 (.010) against .620 (.025)",
    "6.2.6": "one of the two markers that the printed numbers do not give",
    "6.2.14": "CNN14's arousal, .660 (.012) against .664 (.036), and dominance",
    "A.1": "late fusion is printed without an sd",
}


REFUTED_BY_THE_PAPER = {"5.25", "5.26"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=3, sections=("categories", "multitask"), utterances=40))


class TestThePapersClaims:
    def test_the_papers_own_numbers_hold_but_for_named_exceptions(self):
        verdict_on = {}
        for claim in claims.PAPER:
            found = verdicts.judge(claim.parts, measures.from_paper(claims.PLACES[claim.place]))
            if any(finding.comparison for finding in found):
                verdict_on[claim.number] = verdicts.together([finding.verdict for finding in found])
        agreeing = {number for number, verdict in verdict_on.items() if verdict in (HOLDS, CONSISTENT)}
        assert set(verdict_on) - agreeing == set(NOT_HELD_BY_THE_PAPER)
        assert {number for number, verdict in verdict_on.items() if verdict == FAILS} == REFUTED_BY_THE_PAPER
        assert set(claims.NOTES) > REFUTED_BY_THE_PAPER, "what the paper's own numbers refute has a note"

    def test_claims_are_numbered_once_and_have_parts(self):
        numbers = [claim.number for claim in claims.PAPER]
        assert len(set(numbers)) == len(numbers)
        assert all(claim.parts for claim in (*claims.PAPER, *claims.GROUND_TRUTH))

    def test_claims_compare_what_exists(self):
        for claim in claims.PAPER:
            for part in claim.parts:
                for key in (part.left, part.right):
                    assert key.model in (*MODELS, ZERO)
                    assert key.target in (*schema.TARGETS, measures.OVER_VALENCE)
                    assert {key.train_corpus, key.test_corpus} <= {*CORPORA, measures.EVERY}

    def test_every_measure_of_a_claim_about_categories_is_measured(self, categories):
        measured = set(measures.measures(categories)["metric"])
        for claim in claims.PAPER:
            if claims.PLACES[claim.place] == categories.section:
                assert {part.left.metric for part in claim.parts} <= measured, claim.number

    def test_a_verdict_stands_with_the_numbers_behind_it(self, categories):
        table = claims.check(categories, "table_1")
        row = table.frame.loc["5.5"]
        assert row[("", "here")] == row[("", "in the paper's numbers")] == HOLDS
        assert "MSP-Podcast → MSP-Podcast: SFCNN14" in row[("", "behind it")]
        assert ", p < .001" in row[("", "behind it")]

    def test_a_table_says_what_the_study_could_have_seen_and_by_what_it_is_judged(self, categories):
        table = claims.check(categories, "table_1")
        of_claim = table.numbers[table.numbers["claim"] == "5.5"]["detectable"]
        text = f"{of_claim.min():.1f} to {of_claim.max():.1f}"
        assert table.frame.loc["5.5", ("", "could have seen")] == text
        notes = " ".join(table.notes)
        plan = preregistration.read()
        assert f"{plan.margins['uar']:g} of UAR (%)" in notes
        assert preregistration.FILE in notes
        assert "Planned were 5 seeds; here are 3." in notes

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
