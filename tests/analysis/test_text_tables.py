"""The sentences and tables about the gain hold the runs' numbers, to the last digit."""

import pytest
import transcript_study

from sercore.analysis import transcript_quality
from sercore.corpora.transcripts import Condition


@pytest.fixture(scope="module")
def by_condition(tmp_path_factory):
    return transcript_quality.read(transcript_study.write_study(tmp_path_factory.mktemp("study")))


def test_the_sentences_give_the_share_of_the_gain_that_needs_the_right_words(by_condition):
    sentences = transcript_quality.sentences(by_condition)
    about = [sentence for sentence in sentences if "MFCNN14" in sentence or "empty" in sentence]
    assert about == [
        "30.0 of MFCNN14's gain of 40.0 points of UAR over CNN14 (75 %) needs the right words: with other utterances' "
        "transcripts its gain is +10.0.",
        "With 'asr' (20 % of the words wrong) MFCNN14 gains +20.0, 50 % of its gain with 'gold'.",
        "With empty transcripts in training and test its gain is +0.0.",
        "Trained with 'gold' and tested with 'asr', MFCNN14 loses 25.0; with as many random word errors it loses "
        f"{40 * 0.2 / by_condition.error_rates[Condition('gold', 0.5)]:.1f}.",
    ]


def test_without_a_gain_there_are_no_shares_of_it(by_condition):
    gain = transcript_quality.gain_numbers(by_condition).set_index(["model", "condition"])["gain"]["mfcnn14"]
    assert transcript_quality._sentences("X", -gain, {}, by_condition) == [
        "X gains nothing over CNN14 with 'gold' (−40.0 points of UAR)."
    ]
    worse = transcript_quality._sentences("X", gain - 20, {"asr": 0.2}, by_condition)  # the floor lies below CNN14
    assert worse[0].startswith("All of X's gain of 20.0 points of UAR over CNN14 needs the right words")
    assert "not known" in transcript_quality._sentences("X", gain[["gold"]], {}, by_condition)[0]


def test_gains_are_shares_of_the_gain_with_the_reference(by_condition):
    numbers = transcript_quality.gain_numbers(by_condition)
    of_model = numbers[numbers["model"] == "mfcnn14"].set_index("condition")
    assert of_model["gain"].to_dict() == pytest.approx(
        {"gold": 40, "asr": 20, "gold, 50 % corrupted": 15, "gold, shuffled": 10, "empty": 0}
    )
    assert of_model["of_gold"]["asr"] == pytest.approx(0.5)
    assert of_model["p_gold"].drop("gold").eq(0).all()  # two seeds that agree
    assert "|  | empty | 50.0 | +0.0 | 0 % | 0.000 |" in transcript_quality.gains(by_condition).markdown()


def test_the_table_of_scores_holds_every_pair_of_conditions(by_condition):
    table = transcript_quality.table_of_scores(by_condition)
    lines = table.markdown()
    assert "| no text | no text |  |" in lines
    assert "| gold | asr | 20 |  |  |  | 65.0 (0.0) |" in lines.replace("| | asr", "| gold | asr")
    assert table.numbers.groupby(["trained", "tested", "model"]).size().eq(1).all()
    assert "Simulated" in table.notes[-1]


def test_error_rates_are_given_for_every_class(by_condition):
    table = transcript_quality.error_rates(by_condition)
    assert table.frame.loc["asr"].tolist() == ["20.0"] * 5
    assert table.frame.index[0] == "gold"
    assert "Over 80 test utterances of 400 words" in table.notes[0]


def test_tables_can_be_written(by_condition):
    for table in (
        transcript_quality.error_rates(by_condition),
        transcript_quality.table_of_scores(by_condition),
        transcript_quality.gains(by_condition),
    ):
        assert [path.suffix for path in table.write(by_condition.study)] == [".md", ".tex", ".html", ".csv"]
