"""Words that tell, tell nothing and mislead; and the embedded corpora that have them."""

import dataclasses

import pandas as pd
import pytest

from sercore import corpora, settings
from sercore.corpora import synthetic, transcripts, wording
from sercore.corpora.synthetic import emotions
from sercore.corpora.synthetic.sentences import TELLING_NOTHING
from sercore.settings import TextSettings

EMOTIONS = ("angry", "happy", "neutral", "sad")


def table(rows):
    columns = ["transcript", "emotion", "valence", "speaker"]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(utterance=[f"u{i}" for i in range(len(made))], partition=None)


def said(text, emotions, times=1):
    return [(text, emotion, float(EMOTIONS.index(emotion)), "ada") for emotion in emotions for _ in range(times)]


def test_a_sentence_that_is_said_in_every_emotion_tells_nothing():
    rows = table(
        [
            *said("It is on the table.", EMOTIONS, 3),
            *said("it is, on the TABLE", ["sad"], 1),
            *said("I hate this.", ["angry"], 12),
            *said("Well.", EMOTIONS, 1),
            (None, "sad", 1.0, "ada"),
        ]
    )
    words = wording.telling(rows)
    assert set(words[:13]) == {wording.NOTHING}
    assert set(words[13:29]) == {wording.TELL}, "of one emotion, or said too seldom"
    assert words.isna().sum() == 1


def test_without_emotions_the_ratings_of_valence_say_so():
    rows = table([*said("On the table.", EMOTIONS, 3), *said("I hate this.", ["angry"], 12)]).assign(emotion=None)
    words = wording.telling(rows)
    assert (set(words[:12]), set(words[12:])) == ({wording.NOTHING}, {wording.TELL})
    assert set(wording.telling(rows.assign(valence=3.0))) == {wording.TELL}, "nothing to tell"


@pytest.mark.parametrize("name", ["iemocap", "msp-podcast"])
def test_a_share_of_the_embedded_turns_has_words_that_tell_nothing(name):
    plain, mixed = (synthetic.LAYOUTS[name].script(0, 0.5, None, share).turns for share in (0.0, 0.3))
    common = [turn.text in TELLING_NOTHING for turn in mixed]
    assert 0.2 < sum(common) / len(common) < 0.4
    assert not any(turn.text in TELLING_NOTHING for turn in plain)
    assert {*EMOTIONS} <= {turn.named[0] for turn in mixed if turn.text in TELLING_NOTHING}
    if name == "msp-podcast":
        assert [turn.utterance for turn in plain] == [turn.utterance for turn in mixed]


@pytest.mark.parametrize("name", ["iemocap", "msp-podcast"])
def test_the_common_sentences_of_the_embedded_corpora_are_known_by_their_labels(name):
    turns = synthetic.LAYOUTS[name].script(0, 1.0, None, 0.3).turns
    rows = pd.DataFrame(
        {
            "transcript": [turn.text for turn in turns],
            "emotion": [emotions.agree(turn.named) for turn in turns],
            "valence": 0.0,
        }
    )
    found, true = wording.telling(rows) == wording.NOTHING, rows["transcript"].isin(TELLING_NOTHING)
    assert (found[true].mean(), found[~true].mean()) == (1.0, 0.0)


def test_the_share_is_a_setting_of_the_corpus(tmp_path):
    assert synthetic.speak("msp-podcast", tmp_path / "msp", size=0.1, common=0.5, processes=1)
    gold = synthetic.reference_transcripts(tmp_path / "msp")
    assert 0.3 < sum(text in TELLING_NOTHING for text in gold.values()) / len(gold) < 0.7
    assert not synthetic.speak("msp-podcast", tmp_path / "msp", size=0.1, common=0.5)
    with pytest.raises(FileExistsError, match="made with other settings"):
        synthetic.speak("msp-podcast", tmp_path / "msp", size=0.1)
    with pytest.raises(ValueError, match=r"common is 1\.5; expected a share"):
        synthetic.speak("msp-podcast", tmp_path / "other", common=1.5)


def rated(partition=None):
    rows = [(f"word {i}", "sad", float(i % 9), "ada" if i < 18 else "ben") for i in range(36)]
    return table(rows).assign(partition=partition)


def test_opposed_transcripts_are_of_the_other_end_of_valence():
    rows = rated()
    own = dict(zip(rows["utterance"], rows["transcript"], strict=True))
    opposed = transcripts.oppose(own, rows)
    assert len(opposed) == 24, "the middle third keeps its own"
    valence, speaker = rows.set_index("transcript")["valence"], rows.set_index("transcript")["speaker"]
    for utterance, text in opposed.items():
        assert abs(valence[text] - valence[own[utterance]]) > 2
        assert speaker[text] == speaker[own[utterance]]
        assert own[utterance] in opposed.values(), "pairs swap"
    assert opposed == transcripts.oppose(own, rows), "the same on any machine"
    with pytest.raises(ValueError, match="this corpus has none"):
        transcripts.oppose(own, rows.assign(valence=float("nan")))
    with pytest.raises(ValueError, match="with three rated utterances"):
        transcripts.oppose(own, rows.assign(speaker=None))


def test_common_sentences_and_missing_words_are_not_swapped():
    rows = rated(partition="test")
    rows.loc[:11, "transcript"], rows.loc[12, "transcript"] = "The same for all.", None
    rows["emotion"] = [EMOTIONS[i % 4] for i in range(36)]
    own = dict(zip(rows["utterance"], rows["transcript"], strict=True))
    opposed = transcripts.oppose(own, rows)
    assert opposed
    assert not opposed.keys() & set(rows["utterance"][:13])
    assert "The same for all." not in opposed.values()


def test_the_setting_swaps_the_transcripts_of_a_corpus(embedded):
    options = dict(embedded["iemocap"])
    corpus = corpora.read("iemocap", options.pop("root"), **options)
    swapped = transcripts.apply_transcripts(corpus, TextSettings(opposed=True))
    differs = swapped.utterances["transcript"] != corpus.utterances["transcript"]
    assert 0.4 < differs.mean() < 0.7
    assert sorted(swapped.utterances["transcript"]) == sorted(corpus.utterances["transcript"])
    condition = transcripts.Condition(opposed=True)
    assert condition.label == "own, opposed"
    assert dataclasses.replace(TextSettings(), opposed=True) == condition.settings
    with pytest.raises(ValueError, match="shuffled or opposed"):
        settings.build(TextSettings, {"shuffled": True, "opposed": True})
    with pytest.raises(ValueError, match="neither corrupted nor shuffled nor opposed"):
        settings.build(TextSettings, {"transcripts": "empty", "opposed": True})
