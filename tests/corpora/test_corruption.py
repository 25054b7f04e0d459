"""What runs are told: as rarely right as was asked for, and the same in every one of them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sercore.corpora import Corpus, transcripts
from sercore.corpora.corpus import located
from sercore.settings import TextSettings

WORDS = [f"word{number}" for number in range(60)]


@pytest.fixture(scope="module")
def said():
    random = np.random.default_rng(0)
    return {f"u{row:03d}": " ".join(random.choice(WORDS, size=8)) for row in range(300)}


@pytest.fixture
def corpus(said, tmp_path):
    """A corpus without transcripts of its own, but for one; `gold` is a file beside it, which lacks one."""
    gold = pd.DataFrame(said.items(), columns=["utterance", "transcript"])
    gold[gold["utterance"] != "u299"].to_csv(tmp_path / "gold.csv", index=False)
    table = pd.DataFrame({"utterance": list(said), "file": "a.wav", "speaker": "1", "transcript": None})
    table.loc[0, "transcript"] = "own words"
    held = Corpus(name="made-up", root=tmp_path, scale=(1, 5), utterances=table, findings=(), simulated=True)
    return dataclasses.replace(held, other_transcripts={"gold": tmp_path / "gold.csv"})


def told(corpus, **settings):
    return transcripts.apply_transcripts(corpus, TextSettings(**settings)).utterances.set_index("utterance")[
        "transcript"
    ]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_word_error_rate_is_what_was_asked_for(said, rate):
    wrong = transcripts.corrupt(said, rate)
    found = transcripts.word_error_rate(list(said.values()), list(wrong.values()))
    # 2400 words: a standard error of .01; at high rates an inserted and a deleted word in a row count once
    assert found == pytest.approx(rate, abs=0.03 + 0.05 * rate)


def test_no_errors_and_nothing_but_errors(said):
    assert transcripts.corrupt(said, 0.0) == said
    assert transcripts.word_error_rate(list(said.values()), list(transcripts.corrupt(said, 1.0).values())) > 0.85
    with pytest.raises(ValueError, match=r"corruption is 1\.5; expected a share"):
        transcripts.corrupt(said, 1.5)


def test_words_are_replaced_deleted_and_inserted_as_often_as_documented(said):
    errors = transcripts.count_errors(list(said.values()), list(transcripts.corrupt(said, 0.1).values())).sum()
    shares = errors[["substitutions", "deletions", "insertions"]] / errors["words"] / 0.1
    assert shares.tolist() == pytest.approx([0.6, 0.2, 0.2], abs=0.08)


def test_what_is_told_wrongly_comes_from_the_corpus_own_words(said):
    wrong = transcripts.corrupt(said, 0.5)
    assert {word for text in wrong.values() for word in text.split()} <= set(WORDS)


def test_what_happens_to_an_utterance_depends_on_nothing_but_itself_and_the_vocabulary(said):
    backwards = dict(reversed(said.items()))
    assert transcripts.corrupt(backwards, 0.4) == transcripts.corrupt(said, 0.4)
    assert transcripts.shuffle(backwards) == transcripts.shuffle(said)


def test_more_errors_hold_all_the_fewer_ones():
    words = {f"u{place}": word for place, word in enumerate(WORDS)}
    few, many = (transcripts.corrupt(words, rate) for rate in (0.2, 0.5))
    wrong = {name for name in words if few[name] != words[name]}
    assert 0 < len(wrong) < sum(many[name] != words[name] for name in words)
    assert all(many[name] == few[name] for name in wrong)


def test_a_word_is_never_replaced_by_itself():
    assert transcripts._other_word("Dog.", ["cat", "dog", "dog"], 0.9) == "cat"
    assert transcripts._other_word("dog", ["dog"], 0.5) == "dog"  # there is no other


def test_shuffling_gives_everybody_somebody_elses_words(said):
    shuffled = transcripts.shuffle(said)
    assert sorted(shuffled.values()) == sorted(said.values())
    assert not [name for name in said if shuffled[name] == said[name]]
    with pytest.raises(ValueError, match="1 utterances cannot swap their transcripts"):
        transcripts.shuffle({"a": "alone"})


def test_a_corpus_is_told_as_it_is_unless_something_is_asked_for(corpus):
    assert transcripts.apply_transcripts(corpus, TextSettings()) is corpus


def test_a_corpus_is_told_from_a_file_that_it_names(corpus, said):
    gold = told(corpus, transcripts="gold")
    assert gold["u000"] == said["u000"]
    assert gold.isna().to_dict() == {name: name == "u299" for name in said}  # missing in the file


def test_own_transcripts_may_be_missing_and_stay_so(corpus):
    wrong = told(corpus, corruption=0.9)
    assert wrong.notna().sum() == 1
    shuffled = told(corpus, shuffled=True)
    assert shuffled.notna().sum() == 1
    assert pd.isna(shuffled["u000"])


def test_shuffled_words_may_be_corrupted_as_well(corpus):
    shuffled, both = (
        told(corpus, transcripts="gold", shuffled=True),
        told(corpus, transcripts="gold", shuffled=True, corruption=0.2),
    )
    known = shuffled.notna()
    rate = transcripts.word_error_rate(shuffled[known].tolist(), both[known].tolist())
    assert 0.1 < rate < 0.3


def test_nothing_is_told(corpus):
    assert set(told(corpus, transcripts="empty")) == {""}
    with pytest.raises(ValueError, match="empty transcripts can be neither corrupted nor shuffled"):
        TextSettings(transcripts="empty", corruption=0.1)


def test_transcripts_that_are_not_there_are_named(corpus, tmp_path):
    with pytest.raises(ValueError, match="corpus 'made-up' has no transcripts 'glod'; did you mean 'gold'"):
        told(corpus, transcripts="glod")
    (tmp_path / "other.csv").write_text("utterance,transcript\nx1,something\n")
    other = dataclasses.replace(corpus, other_transcripts={"gold": tmp_path / "other.csv"})
    with pytest.raises(ValueError, match="has transcripts of x1, and none of the 300 utterances of 'made-up', u000"):
        told(other, transcripts="gold")


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_corruption_that_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a share of the words, 0 to 1"):
        TextSettings(corruption=wrong)


def test_other_transcripts_are_named_files():
    with pytest.raises(
        ValueError, match=r"expected other_transcripts as a mapping of names to files, found 'gold\.csv'"
    ):
        located({"root": "somewhere", "other_transcripts": "gold.csv"}, "corpus 'x'")
    found = located({"root": "somewhere", "other_transcripts": {"gold": "gold.csv"}}, "corpus 'x'")
    assert found["other_transcripts"]["gold"].endswith("/gold.csv")
    assert not found["other_transcripts"]["gold"].startswith("gold")
