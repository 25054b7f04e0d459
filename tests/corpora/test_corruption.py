"""Transcript conditions: as many errors as requested, and the same ones in every run."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sercore.corpora import Corpus, transcripts
from sercore.corpora.corpus import located
from sercore.settings import TextSettings

WORDS = [f"word{number}" for number in range(60)]


@pytest.fixture(scope="module")
def reference():
    random = np.random.default_rng(0)
    return {f"u{row:03d}": " ".join(random.choice(WORDS, size=8)) for row in range(300)}


@pytest.fixture
def corpus(reference, tmp_path):
    """A corpus without transcripts of its own, but for one; `gold` is a file beside it, which lacks one."""
    gold = pd.DataFrame(reference.items(), columns=["utterance", "transcript"])
    gold[gold["utterance"] != "u299"].to_csv(tmp_path / "gold.csv", index=False)
    table = pd.DataFrame({"utterance": list(reference), "file": "a.wav", "speaker": "1", "transcript": None})
    table.loc[0, "transcript"] = "own words"
    held = Corpus(name="made-up", root=tmp_path, scale=(1, 5), utterances=table, findings=(), simulated=True)
    return dataclasses.replace(held, other_transcripts={"gold": tmp_path / "gold.csv"})


def transcripts_under(corpus, **settings):
    return transcripts.apply_transcripts(corpus, TextSettings(**settings)).utterances.set_index("utterance")[
        "transcript"
    ]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_word_error_rate_is_the_requested_one(reference, rate):
    wrong = transcripts.corrupt(reference, rate)
    measured = transcripts.word_error_rate(list(reference.values()), list(wrong.values()))
    # 2400 words: a standard error of .01; at high rates an inserted and a deleted word in a row count once
    assert measured == pytest.approx(rate, abs=0.03 + 0.05 * rate)


def test_no_errors_and_nothing_but_errors(reference):
    assert transcripts.corrupt(reference, 0.0) == reference
    assert (
        transcripts.word_error_rate(list(reference.values()), list(transcripts.corrupt(reference, 1.0).values())) > 0.85
    )
    with pytest.raises(ValueError, match=r"corruption is 1\.5; expected a share"):
        transcripts.corrupt(reference, 1.5)


def test_words_are_replaced_deleted_and_inserted_as_often_as_documented(reference):
    errors = transcripts.count_errors(
        list(reference.values()), list(transcripts.corrupt(reference, 0.1).values())
    ).sum()
    shares = errors[["substitutions", "deletions", "insertions"]] / errors["words"] / 0.1
    assert shares.tolist() == pytest.approx([0.6, 0.2, 0.2], abs=0.08)


def test_wrong_words_come_from_the_corpus_own_vocabulary(reference):
    wrong = transcripts.corrupt(reference, 0.5)
    assert {word for text in wrong.values() for word in text.split()} <= set(WORDS)


def test_an_utterances_errors_depend_on_itself_and_the_vocabulary_alone(reference):
    backwards = dict(reversed(reference.items()))
    assert transcripts.corrupt(backwards, 0.4) == transcripts.corrupt(reference, 0.4)
    assert transcripts.shuffle(backwards) == transcripts.shuffle(reference)


def test_more_errors_hold_all_the_fewer_ones():
    words = {f"u{place}": word for place, word in enumerate(WORDS)}
    few, many = (transcripts.corrupt(words, rate) for rate in (0.2, 0.5))
    wrong = {name for name in words if few[name] != words[name]}
    assert 0 < len(wrong) < sum(many[name] != words[name] for name in words)
    assert all(many[name] == few[name] for name in wrong)


def test_a_word_is_never_replaced_by_itself():
    assert transcripts._other_word("Dog.", ["cat", "dog", "dog"], 0.9) == "cat"
    assert transcripts._other_word("dog", ["dog"], 0.5) == "dog"  # there is no other


def test_shuffling_gives_everybody_somebody_elses_words(reference):
    shuffled = transcripts.shuffle(reference)
    assert sorted(shuffled.values()) == sorted(reference.values())
    assert not [name for name in reference if shuffled[name] == reference[name]]
    with pytest.raises(ValueError, match="1 utterances cannot swap their transcripts"):
        transcripts.shuffle({"a": "alone"})


def test_a_corpus_is_unchanged_under_the_default_settings(corpus):
    assert transcripts.apply_transcripts(corpus, TextSettings()) is corpus


@pytest.mark.filterwarnings("ignore:corpus 'made-up'. 1 times utterance that gold.csv lacks, u299")
def test_transcripts_come_from_a_file_that_the_corpus_names(corpus, reference):
    gold = transcripts_under(corpus, transcripts="gold")
    assert gold["u000"] == reference["u000"]
    assert gold.isna().to_dict() == {name: name == "u299" for name in reference}  # missing in the file


def test_own_transcripts_may_be_missing_and_stay_so(corpus):
    wrong = transcripts_under(corpus, corruption=0.9)
    assert wrong.notna().sum() == 1
    shuffled = transcripts_under(corpus, shuffled=True)
    assert shuffled.notna().sum() == 1
    assert pd.isna(shuffled["u000"])


@pytest.mark.filterwarnings("ignore:corpus 'made-up'. 1 times utterance that gold.csv lacks, u299")
def test_shuffled_words_may_be_corrupted_as_well(corpus):
    shuffled, both = (
        transcripts_under(corpus, transcripts="gold", shuffled=True),
        transcripts_under(corpus, transcripts="gold", shuffled=True, corruption=0.2),
    )
    known = shuffled.notna()
    rate = transcripts.word_error_rate(shuffled[known].tolist(), both[known].tolist())
    assert 0.1 < rate < 0.3


def test_empty_transcripts_are_a_condition(corpus):
    assert set(transcripts_under(corpus, transcripts="empty")) == {""}
    with pytest.raises(ValueError, match="empty transcripts can be neither corrupted nor shuffled"):
        TextSettings(transcripts="empty", corruption=0.1)


def test_transcripts_that_are_not_there_are_named(corpus, tmp_path):
    with pytest.raises(ValueError, match="corpus 'made-up' has no transcripts 'glod'; did you mean 'gold'"):
        transcripts_under(corpus, transcripts="glod")
    (tmp_path / "other.csv").write_text("utterance,transcript\nx1,something\n")
    other = dataclasses.replace(corpus, other_transcripts={"gold": tmp_path / "other.csv"})
    with pytest.raises(ValueError, match=r"none of its 1 utterances \(x1\) is one of the corpus's 300 \(u000, "):
        transcripts_under(other, transcripts="gold")


def test_transcripts_of_a_part_of_the_corpus_come_with_a_warning(corpus, tmp_path):
    (tmp_path / "gold.csv").write_text("utterance,transcript\nu000,something\nU001.WAV,more\n")
    with pytest.warns(UserWarning, match="made-up") as warned:
        transcripts_under(corpus, transcripts="gold")
    texts = [str(warning.message) for warning in warned]
    assert any("'made-up': 299 times utterance that gold.csv lacks, u001" in text for text in texts)
    assert any("'U001.WAV' is perhaps 'u001'" in text for text in texts)


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_corruption_that_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a share of the words, 0 to 1"):
        TextSettings(corruption=wrong)


def test_other_transcripts_are_named_files():
    with pytest.raises(
        ValueError, match=r"expected other_transcripts as a mapping of names to files, found 'gold\.csv'"
    ):
        located({"root": "somewhere", "other_transcripts": "gold.csv"}, "corpus 'x'")
    places = located({"root": "somewhere", "other_transcripts": {"gold": "gold.csv"}}, "corpus 'x'")
    assert places["other_transcripts"]["gold"].endswith("/gold.csv")
    assert not places["other_transcripts"]["gold"].startswith("gold")
