"""The corpus browser: filters narrow utterances, picture and list follow, and an utterance is played."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore import schema
from sercore.corpora import Corpus
from sercore.widgets import corpus, sound


@pytest.fixture
def corpora(tmp_path):
    rows = pd.DataFrame(
        {
            "utterance": ["a", "b", "c", "d"],
            "file": ["a.wav"] * 4,
            "speaker": ["x", "x", "y", None],
            "gender": ["female", "female", "male", None],
            "emotion": ["angry", "sad", None, "sad"],
            "transcript": ["the train", "The Train was late", "hello (there)", None],
            "arousal": [1.0, 2.0, 3.0, None],
            "valence": [1.0, 2.0, 3.0, 4.0],
            "dominance": [1.0, 2.0, 3.0, 4.0],
            "seconds": [1.0, 2.0, 3.0, 4.0],
        }
    )
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    table = schema.check_utterances(rows, "test")
    return [Corpus("iemocap", tmp_path, (1, 5), table, (), True)]


def ids(rows):
    return "".join(rows["utterance"])


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (corpus.Filters(), "abcd"),
        (corpus.Filters(values=(("speaker", "x"), ("emotion", "sad"))), "b"),
        (corpus.Filters(values=(("speaker", corpus.UNKNOWN),)), "d"),
        (corpus.Filters(ranges=(("arousal", 2.0, 5.0),)), "bc"),
        (corpus.Filters(words=" train "), "ab"),
        (corpus.Filters(words="(there)"), "c"),
    ],
)
def test_filters_leave_the_utterances_that_meet_them(corpora, filters, left):
    assert ids(filters.of(sound.gather(corpora))) == left


def test_a_filter_is_taken_away_again():
    filters = corpus.Filters().value("speaker", "x").within("seconds", 1.0, 2.0)
    assert filters.value("speaker", None).within("seconds", None, None) == corpus.Filters()


def test_corpora_without_an_utterance_that_is_left_are_not_drawn(corpora):
    rows = sound.gather(corpora)
    assert ids(corpus.narrowed(corpora, rows[rows["speaker"] == "y"])[0].utterances) == "c"
    assert corpus.narrowed(corpora, rows[:0]) == []


def test_the_list_and_the_picture_follow_the_filters(corpora):
    browser = corpus.browse(corpora, sound.audio_of(corpora), Path("nowhere"))
    drawn = browser.picture.value
    browser.lists["speaker"].value = "x"
    assert ids(browser.list.rows) == "ab"
    assert "speaker x: 2 utterances" in browser.list.heading.value
    assert browser.picture.value != drawn
    browser.words.value = "late"
    assert ids(browser.list.rows) == "b"
    browser.words.value = "nobody says this"
    assert "No utterance is left" in browser.picture.value


@pytest.mark.parametrize("kind", corpus.PICTURES)
def test_every_picture_can_be_drawn_of_unknown_speakers(corpora, kind):
    browser = corpus.browse(corpora, sound.audio_of(corpora), Path("nowhere"))
    browser.lists["speaker"].value = corpus.UNKNOWN
    browser.kind.value = kind
    assert f'alt="{kind} of 1 of IEMOCAP"' in browser.picture.value


def test_a_range_that_is_the_whole_keeps_what_was_never_rated(corpora):
    browser = corpus.browse(corpora, sound.audio_of(corpora), Path("nowhere"))
    browser.ranges["arousal"][0].value = 2.0
    assert ids(browser.chosen()) == "bc"
    browser.ranges["arousal"][0].value = 1.0
    assert ids(browser.chosen()) == "abcd"


def test_a_row_is_played(corpora):
    browser = corpus.browse(corpora, sound.audio_of(corpora), Path("nowhere"))
    browser.list.open_row(0)
    assert browser.list.player.sound[:4] == b"RIFF"
