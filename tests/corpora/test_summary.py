"""The report of a corpus lists its counts and defects, on one screen."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sercore import schema
from sercore.corpora import Corpus, Finding
from sercore.corpora.summary import compare, describe

IDS = ["a", "b", "c", "d"]


def made_up(**columns) -> pd.DataFrame:
    table = pd.DataFrame({"utterance": IDS, "file": [f"{name}.wav" for name in IDS], **columns})
    return schema.check_utterances(table, "made up")


@pytest.fixture
def corpus():
    table = made_up(
        speaker=["1", "1", "2", None],
        gender=["female", "female", "male", None],
        dialog=["x", "x", "y", "z"],
        partition=["train", "train", "development", None],
        transcript=["yes", "yes", "", None],
        emotion=["happy", "excited", "fearful", None],
        arousal=[1.0, 2.0, 3.0, None],
        seconds=[1.0, 2.0, 3.0, 3594.0],
    )
    findings = (Finding("empty transcript", 1, ("c",), "kept: nothing was said"),)
    return Corpus("table", Path("/data/made-up"), (1, 5), table, findings, simulated=False)


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("turns", "4, 1.00 h; shortest 1.00 s, mean 900.00 s, longest 3594.00 s"),
        ("speakers", "2: 1 female (2 turns), 1 male (1 turns); 1 turns of unknown speakers"),
        ("partitions", "train 2, development 1; 1 turns in none"),
        ("transcripts", "2 with words (1 different), 1 empty, 1 missing"),
        ("classes", "angry 0, happy 2, neutral 0, sad 0: 2 of 4 turns"),
    ],
)
def test_counts_are_those_of_the_table(corpus, start, says):
    assert line(describe(corpus), start).split(maxsplit=1)[1] == says


def test_emotions_are_counted_by_partition(corpus):
    text = describe(corpus)
    assert line(text, "emotion").split() == ["emotion", "train", "development", "none", "all"]
    assert line(text, "fearful").split() == ["fearful", "0", "1", "0", "1"]
    assert line(text, "no agreement").split() == ["no", "agreement", "0", "0", "1", "1"]


def test_without_partitions_emotions_are_counted_by_style(corpus):
    table = corpus.utterances.assign(partition=None, style=["improvised", "scripted", "scripted", "scripted"])
    assert line(describe(replace(corpus, utterances=table)), "emotion").split() == [
        "emotion",
        "improvised",
        "scripted",
        "all",
    ]


def test_ratings_are_described_where_there_are_any(corpus):
    text = describe(corpus)
    assert line(text, "arousal").split() == ["arousal", "2.000", "1.000", "1.000", "3.000", "1"]
    assert "valence" not in text.split("defects")[0].split("rating, 1 to 5")[1]


def test_defects_are_listed_with_what_was_done(corpus):
    assert "      1  empty transcript: kept: nothing was said; c" in describe(corpus)
    assert "no defects met" in describe(replace(corpus, findings=()))


def test_synthesised_speech_is_called_simulated_and_compared_with_nothing(corpus):
    simulated = replace(corpus, name="iemocap", simulated=True)
    text = describe(simulated)
    assert compare(simulated) == []
    assert "SIMULATED" in text.splitlines()[1]
    assert "published counts do not apply: the speech is simulated" in text


def test_real_speech_of_an_unknown_corpus_has_no_published_counts(corpus):
    assert "no published counts are known for this corpus" in describe(corpus)


def test_a_corpus_that_differs_from_the_published_counts_says_so(corpus):
    text = describe(replace(corpus, name="iemocap"))
    assert "differs  turns: found 4, published 10,039" in text
    assert "more differ" in text


@pytest.mark.parametrize(
    ("train", "development", "test", "release"),
    [
        (38_179, 7_538, 12_902, "1.7"),
        (44_879, 7_800, 15_326, "1.8"),
        (55_283, 9_000, 16_000, "1.9"),
        (84_260, 31_961, 0, "of the Odyssey 2024 challenge"),
        (169_000, 34_399, 46_294, "2.0"),
    ],
)
def test_the_nearest_release_is_recognised_by_its_sizes(corpus, train, development, test, release):
    sizes = {"train": train, "development": development, "test": test}
    partitions = [name for name, size in sizes.items() for _ in range(size)]
    table = pd.DataFrame({"partition": partitions, "emotion": None})
    counts = compare(replace(corpus, name="msp-podcast", utterances=table))
    assert {count.release for count in counts} == {f"MSP-Podcast {release}, the nearest in size"}
    assert all(count.from_memory == (release == "1.7") for count in counts if count.what == "development")


def test_the_report_fits_a_screen(corpus):
    table = corpus.utterances
    many = pd.concat([table.assign(emotion=name) for name in schema.EMOTION_NAMES])
    findings = tuple(Finding(f"defect {n}", n, ("an-example-of-some-length",) * 5, "and " * 20) for n in range(12))
    lines = describe(replace(corpus, name="iemocap", utterances=many, findings=findings)).splitlines()
    assert len(lines) <= 55
    assert max(map(len, lines)) <= 118
