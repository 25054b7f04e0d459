"""What is said of the gain is what the runs' numbers are, to the last digit."""

import pytest
import told_study

from sercore.analysis import transcript_quality
from sercore.corpora.transcripts import Condition


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return transcript_quality.read(told_study.write_study(tmp_path_factory.mktemp("study")))


def test_the_sentences_say_how_much_of_the_gain_is_what_was_said(told):
    said = [
        sentence for sentence in transcript_quality.sentences(told) if "MFCNN14" in sentence or "no words" in sentence
    ]
    assert said == [
        "30.0 of MFCNN14's gain of 40.0 points of UAR over CNN14 (75 %) is what was said: told other utterances' "
        "words, it is +10.0 from CNN14.",
        "With 'asr' (20 % of the words wrong) MFCNN14 gains +20.0, 50 % of that.",
        "With no words at all, in training as in the test, it is +0.0 from CNN14.",
        "Trained with 'gold' and told 'asr' in the test alone, MFCNN14 loses 25.0; as many words made wrong at random "
        f"cost it {40 * 0.2 / told.error_rates[Condition('gold', 0.5)]:.1f}.",
    ]


def test_no_gain_is_not_divided(told):
    gain = transcript_quality.gain_numbers(told).set_index(["model", "told"])["gain"]["mfcnn14"]
    assert transcript_quality._sentences("X", -gain, {}, told) == [
        "X gains nothing over CNN14 by what was said (−40.0 points of UAR)."
    ]
    worse = transcript_quality._sentences("X", gain - 20, {"asr": 0.2}, told)  # the floor lies below CNN14
    assert worse[0].startswith("All of X's gain of 20.0 points of UAR over CNN14 is what was said")
    assert "not known" in transcript_quality._sentences("X", gain[["gold"]], {}, told)[0]


def test_gains_are_shares_of_the_gain_with_what_was_said(told):
    numbers = transcript_quality.gain_numbers(told)
    of_model = numbers[numbers["model"] == "mfcnn14"].set_index("told")
    assert of_model["gain"].to_dict() == pytest.approx(
        {"gold": 40, "asr": 20, "gold, 50 % corrupted": 15, "gold, shuffled": 10, "empty": 0}
    )
    assert of_model["of_gold"]["asr"] == pytest.approx(0.5)
    assert of_model["p_gold"].drop("gold").eq(0).all()  # two seeds that agree
    assert "|  | empty | 50.0 | +0.0 | 0 % | 0.000 |" in transcript_quality.gains(told).markdown()


def test_the_table_of_scores_holds_every_pair_of_conditions(told):
    table = transcript_quality.table_of_scores(told)
    lines = table.markdown()
    assert "| nothing | nothing |  |" in lines
    assert "| gold | asr | 20 |  |  |  | 65.0 (0.0) |" in lines.replace("| | asr", "| gold | asr")
    assert table.numbers.groupby(["trained", "tested", "model"]).size().eq(1).all()
    assert "Simulated" in table.notes[-1]


def test_error_rates_are_given_for_every_class(told):
    table = transcript_quality.error_rates(told)
    assert table.frame.loc["asr"].tolist() == ["20.0"] * 5
    assert table.frame.index[0] == "gold"
    assert "Over 80 test utterances of 400 words" in table.notes[0]


def test_tables_can_be_written(told):
    for table in (
        transcript_quality.error_rates(told),
        transcript_quality.table_of_scores(told),
        transcript_quality.gains(told),
    ):
        assert [path.suffix for path in table.write(told.study)] == [".md", ".tex", ".html", ".csv"]
