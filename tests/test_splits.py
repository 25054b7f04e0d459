"""No split lets a speaker be heard in training and in the test."""

import itertools

import numpy as np
import pandas as pd
import pytest

from sercore import schema, splits
from sercore.splits import Split


def table(speakers: list[str | None], **columns) -> pd.DataFrame:
    """Utterances u0, u1, ... of `speakers`."""
    ids = [f"u{number}" for number in range(len(speakers))]
    made = pd.DataFrame({"utterance": ids, "file": [f"{name}.wav" for name in ids], "speaker": speakers, **columns})
    return schema.check_utterances(made, "made up")


def partitioned(speakers: list[str | None]) -> pd.DataFrame:
    """Two utterances in each partition, and two in none."""
    return table(speakers, partition=["train", "train", "development", "development", "test", "test", None, None])


def speakers_of(split: Split, utterances: pd.DataFrame) -> dict[str, set[str]]:
    by_id = utterances.set_index("utterance")["speaker"]
    return {name: set(by_id[list(getattr(split, name))]) for name in schema.PARTITIONS}


def test_the_official_split_is_the_corpus_s_own():
    split = splits.official(partitioned(["1", "2", "3", "3", "4", "5", "6", "6"]))
    assert split == Split("official", ("u0", "u1"), ("u2", "u3"), ("u4", "u5"))


def test_a_speaker_in_two_partitions_is_an_error_that_names_them():
    with pytest.raises(
        ValueError, match=r"2 speakers are in more than one partition, 1, 3; .*allow_torn_speakers=True"
    ):
        splits.official(partitioned(["1", "3", "1", "2", "3", "5", "6", "6"]))


def test_torn_speakers_can_be_asked_for_by_name():
    torn = partitioned(["1", "3", "1", "2", "3", "5", "6", "6"])
    assert splits.official(torn, allow_torn_speakers=True).test == ("u4", "u5")


def test_unknown_speakers_are_not_one_speaker():
    unknown = partitioned(["1", None, None, "2", None, "5", None, None])
    assert splits.official(unknown).development == ("u2", "u3")
    assert splits.torn_speakers(splits.official(unknown), unknown) == []


def test_a_speaker_outside_all_partitions_is_not_torn():
    assert splits.official(partitioned(["1", "1", "2", "2", "3", "3", "1", "2"])).train == ("u0", "u1")


def test_a_corpus_without_partitions_has_no_official_split():
    with pytest.raises(ValueError, match=r"no utterance is in train or development or test: .*by_speaker\(\)"):
        splits.official(table(["1", "2"]))


def test_the_session_s_other_speaker_is_the_development_set():
    folds = splits.leave_one_speaker_out(table(["Ses01F", "Ses01M", "Ses02F", "Ses02M", "Ses01F"]))
    assert folds[0] == Split("Ses01F", ("u2", "u3"), ("u1",), ("u0", "u4"))
    assert [fold.name for fold in folds] == ["Ses01F", "Ses01M", "Ses02F", "Ses02M"]
    assert folds[3].development == ("u2",)


def test_speakers_without_a_session_are_followed_by_the_next():
    folds = splits.leave_one_speaker_out(table(["03", "08", "09"]))
    assert [(fold.test, fold.development, fold.train) for fold in folds] == [
        (("u0",), ("u1",), ("u2",)), (("u1",), ("u2",), ("u0",)), (("u2",), ("u0",), ("u1",)),
    ]  # fmt: skip


def test_utterances_of_unknown_speakers_are_in_no_fold():
    for fold in splits.leave_one_speaker_out(table(["03", "08", "09", None])):
        assert "u3" not in fold.train + fold.development + fold.test


@pytest.mark.parametrize("split", [splits.leave_one_speaker_out, splits.by_speaker])
def test_two_speakers_are_too_few(split):
    with pytest.raises(ValueError, match=r"2 known speakers \(a, b\); expected at least three"):
        split(table(["a", "b", None]))


@pytest.fixture
def many():
    """Twelve speakers of different talkativeness, whose utterances are a third each angry, sad and without emotion."""
    random = np.random.default_rng(0)
    speakers = [f"s{number:02d}" for number in range(12) for _ in range(20 + 5 * number)]
    emotions = random.choice(np.array(["angry", "sad", None], dtype=object), len(speakers))
    return table(speakers, emotion=emotions)


def test_a_split_by_speaker_is_whole_and_shares_no_speaker(many):
    split = splits.by_speaker(many, (0.6, 0.2, 0.2), seed=1)
    homes = speakers_of(split, many)
    assert all(homes[one].isdisjoint(homes[other]) for one, other in itertools.combinations(schema.PARTITIONS, 2))
    assert sorted(split.train + split.development + split.test) == sorted(many["utterance"])


def test_a_split_by_speaker_keeps_the_shares_and_the_emotions(many):
    split = splits.by_speaker(many, (0.6, 0.2, 0.2), seed=1)
    emotions = many.set_index("utterance")["emotion"]
    for ids, share in ((split.train, 0.6), (split.development, 0.2), (split.test, 0.2)):
        assert len(ids) / len(many) == pytest.approx(share, abs=0.03)
        assert (emotions[list(ids)] == "sad").mean() == pytest.approx((emotions == "sad").mean(), abs=0.06)


def test_a_split_by_speaker_depends_on_nothing_but_its_seed(many):
    np.random.seed(7)  # noqa: NPY002 -- the global generator must not matter
    one = splits.by_speaker(many, seed=3)
    assert one == splits.by_speaker(many, seed=3)
    assert one != splits.by_speaker(many, seed=4)


def test_shares_must_add_up(many):
    with pytest.raises(ValueError, match=r"shares are \(0\.6, 0\.6, 0\.2\)"):
        splits.by_speaker(many, (0.6, 0.6, 0.2))


def test_overlap_counts_what_partitions_share():
    utterances = table(
        ["1", "2", "3", None, "1", None],
        dialog=["x", "x", "y", "y", "y", None],
        transcript=["Oh, well.", "", "oh well", None, "Oh well!", ""],
        partition=["train", "train", "development", "development", "test", "test"],
    )
    split = splits.official(utterances, allow_torn_speakers=True)
    counts = splits.overlap(split, utterances).set_index(["partition", "seen_in"])
    assert counts.loc[("test", "train")].to_dict() == {
        "speakers": 1,
        "dialogs": 0,
        "transcripts": 1,
        "turns": 1,
        "share": 0.5,
    }
    assert counts.loc[("development", "train")].to_dict() == {
        "speakers": 0, "dialogs": 0, "transcripts": 1, "turns": 1, "share": 0.5,
    }  # fmt: skip
    assert counts.loc[("test", "development"), "dialogs"] == 1


def test_overlap_does_not_count_missing_values_as_shared():
    utterances = table([None] * 3, partition=["train", "development", "test"], transcript=["", "", ""])
    counts = splits.overlap(splits.official(utterances), utterances)
    assert counts[["speakers", "dialogs", "transcripts", "turns"]].to_numpy().sum() == 0
