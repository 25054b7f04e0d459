"""Word error rates, against counts by hand."""

import math

import pandas as pd
import pytest

from sercore.corpora import transcripts


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        (["He won the prize.", "Well,"], ["he won the prize", "WELL!"], 0.0),
        (["he won the prize", "well"], ["he won a prize", ""], 2 / 5),  # one replaced, one deleted
        (["no"], ["oh no not now"], 3.0),  # three inserted, one word long
        (["a b c d"], ["b c d e"], 2 / 4),  # one deleted, one inserted
        (["it's", "fine"], ["its", "fine"], 1 / 2),
        (["I don\u2019t", "it\u0092s fine"], ["i don't", "it's fine"], 0.0),  # typed and straight apostrophes
        (["\u2018Yes,\u2019 he said.", "caf\u00e9"], ["yes he said", "cafe\u0301"], 0.0),  # quotes, decomposed letters
        (
            ["STRASSE", "\u0939\u093f\u0928\u094d\u0926\u0940 well-known"],
            ["stra\u00dfe", "\u0939\u093f\u0928\u094d\u0926\u0940 well known"],
            0.0,
        ),
        (["", "yes"], ["a word", "yes"], 2.0),  # two inserted where the reference is empty
    ],
)
def test_word_error_rate_counts_edits_per_word(reference, hypothesis, expected):
    assert transcripts.word_error_rate(reference, hypothesis) == pytest.approx(expected)


def test_vowel_signs_do_not_cut_a_word():
    assert transcripts.words("\u0939\u093f\u0928\u094d\u0926\u0940 don\u2019t snake_case") == [
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "don't",
        "snake",
        "case",
    ]


def test_word_error_rate_of_nothing_is_undefined():
    assert math.isnan(transcripts.word_error_rate(["", "..."], ["a", ""]))
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        transcripts.word_error_rate(["a", "b"], ["a"])


def test_each_kind_of_error_is_counted():
    counts = transcripts.count_errors(["he won the prize", "well", ""], ["he won a big prize", "", "hm"])
    assert counts.to_dict("list") == {
        "words": [4, 1, 0],
        "substitutions": [1, 0, 0],
        "deletions": [0, 1, 0],
        "insertions": [1, 0, 1],
    }


RECOGNISED = pd.DataFrame(
    {
        "transcript": ["good day", "good night now", "so bad", None, "oh no"],
        "recognised": ["good day", "good knight", None, "anything", "oh no"],
        "emotion": ["happy", "happy", "sad", "sad", None],
        "speaker": ["1", "2", "1", "1", "2"],
        "confidence": [0.9, 0.2, 0.1, 0.5, 0.8],
    }
)


def test_rates_are_given_for_all_and_for_each_group():
    table = transcripts.error_table(RECOGNISED, ["emotion", "speaker"]).set_index(["by", "value"])
    assert table.loc[("all", ""), ["utterances", "words"]].tolist() == [4, 9]  # one transcript is not known
    assert table["wer"].to_dict() == {
        ("all", ""): 4 / 9,  # night replaced, now deleted, two words not recognised at all
        ("emotion", "happy"): 2 / 5,
        ("emotion", "sad"): 1.0,
        ("emotion", "unknown"): 0.0,
        ("speaker", "1"): 2 / 4,
        ("speaker", "2"): 2 / 5,
    }
    assert table["empty"][("all", "")] == 1 / 4


def test_rates_are_given_for_each_level_of_confidence():
    table = transcripts.error_table(RECOGNISED, ["confidence"]).set_index("value")
    assert table.loc[["low", "middle", "high"], "wer"].tolist() == [4 / 5, 0.0, 0.0]


def test_utterances_without_any_transcript_are_refused():
    with pytest.raises(ValueError, match="none of 5 utterances has a transcript"):
        transcripts.error_table(RECOGNISED.assign(transcript=None))
