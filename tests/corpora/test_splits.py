"""No split has a speaker both in training and in the test."""

import itertools

import numpy as np
import pandas as pd
import pytest

from sercore import schema
from sercore.corpora import splits
from sercore.corpora.splits import Split


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
        ValueError, match=r"2 speakers are in more than one partition, 1, 3; .*allow_speaker_leakage: true"
    ):
        splits.official(partitioned(["1", "3", "1", "2", "3", "5", "6", "6"]))


def test_speaker_leakage_can_be_allowed():
    leaking = partitioned(["1", "3", "1", "2", "3", "5", "6", "6"])
    assert splits.official(leaking, allow_speaker_leakage=True).test == ("u4", "u5")


def test_unknown_speakers_are_not_one_speaker():
    unknown = partitioned(["1", None, None, "2", None, "5", None, None])
    assert splits.official(unknown).development == ("u2", "u3")
    assert splits.speaker_leakage(splits.official(unknown), unknown) == []


def test_a_speaker_in_one_partition_and_in_none_is_no_leakage():
    assert splits.official(partitioned(["1", "1", "2", "2", "3", "3", "1", "2"])).train == ("u0", "u1")


def test_a_corpus_without_partitions_has_no_official_split():
    with pytest.raises(ValueError, match=r"no utterance is in train or development or test: .*\{partition: null\}"):
        splits.official(table(["1", "2"]))


def test_the_session_s_other_speaker_is_the_development_set():
    folds = splits.leave_one_speaker_out(table(["Ses01F", "Ses01M", "Ses02F", "Ses02M", "Ses01F"]))
    assert folds[0] == Split("Ses01F", ("u2", "u3"), ("u1",), ("u0", "u4"))
    assert [fold.name for fold in folds] == ["Ses01F", "Ses01M", "Ses02F", "Ses02M"]
    assert folds[3].development == ("u2",)


def test_speakers_without_a_session_are_followed_by_the_next():
    folds = splits.leave_one_speaker_out(table(["03", "08", "09"]))
    assert [(fold.test, fold.development, fold.train) for fold in folds] == [
        (("u0",), ("u1",), ("u2",)),
        (("u1",), ("u2",), ("u0",)),
        (("u2",), ("u0",), ("u1",)),
    ]


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


def test_few_speakers_are_left_out_one_at_a_time():
    few = table(["a", "b", "c", None])
    assert splits.default_splits(few) == splits.leave_one_speaker_out(few)


def test_many_speakers_are_split_once_without_a_shared_one():
    crowd = table([f"s{number:02d}" for number in range(splits.MOST_FOLDS + 1) for _ in range(3)])
    (split,) = splits.default_splits(crowd)
    assert split == splits.by_speaker(crowd, seed=0)
    assert splits.speaker_leakage(split, crowd) == []


@pytest.mark.parametrize("speakers", [[None] * 12, ["a", "b"] * 6])
def test_without_enough_speakers_dialogs_are_kept_apart_and_a_warning_says_so(speakers):
    utterances = table(speakers, dialog=list("uvwxyz") * 2)
    with pytest.warns(UserWarning, match=r"speakers are known of 12 utterances, so the corpus is split by dialog"):
        (split,) = splits.default_splits(utterances)
    assert split.name == "by_dialog_0"
    assert len(split.train + split.development + split.test) == 12
    assert splits.overlap(split, utterances)["dialogs"].eq(0).all()


def test_without_speakers_and_dialogs_utterances_are_split_by_their_emotion():
    utterances = table([None] * 400, emotion=["angry", "sad", "sad", None] * 100)
    with pytest.warns(UserWarning, match="split by utterance"):
        (split,) = splits.default_splits(utterances)
    emotions = utterances.set_index("utterance")["emotion"]
    assert len(split.test) == pytest.approx(80, abs=2)
    for ids in (split.train, split.development, split.test):
        assert (emotions[list(ids)] == "sad").mean() == pytest.approx(0.5, abs=0.05)


def test_an_utterance_without_a_dialog_is_a_group_of_its_own():
    utterances = table([None] * 6, dialog=["u", "u", "u", None, None, None])
    split = splits.by_group(utterances, "dialog")
    parts = (split.train, split.development, split.test)
    assert sorted(sum(parts, ())) == [f"u{number}" for number in range(6)]
    assert any({"u0", "u1", "u2"} <= set(part) for part in parts)


def test_two_dialogs_are_too_few():
    with pytest.raises(ValueError, match=r"2 values of 'dialog' \(u, v\); expected at least three"):
        splits.by_group(table([None] * 4, dialog=["u", "v"] * 2), "dialog")


def test_a_corpus_without_a_development_set_is_given_one_of_speakers_of_its_own(many):
    where = many["speaker"].map(lambda name: "test" if name in ("s00", "s01") else "train")
    with pytest.warns(
        UserWarning, match=r"no development partition: \d+ of \d+ utterances of train, chosen by speaker"
    ):
        split = splits.official(splits.with_development(many.assign(partition=where)))
    homes = speakers_of(split, many)
    assert homes["test"] == {"s00", "s01"}
    assert homes["development"]
    assert homes["development"].isdisjoint(homes["train"] | homes["test"])
    assert len(split.development) / (len(split.train) + len(split.development)) == pytest.approx(0.2, abs=0.05)


def test_partitions_that_are_whole_are_left_as_they_are(many):
    for partitions in (["train", "development", "test"], ["train", "development"]):
        utterances = many.assign(partition=np.resize(partitions, len(many)))
        assert splits.with_development(utterances) is utterances


def test_folds_are_chosen_by_name(many):
    chosen = splits.by_name(many, ["by_speaker_3", "s07", "by_utterance_1", "s02"], "mine")
    assert [split.name for split in chosen] == ["s02", "s07", "by_speaker_3", "by_utterance_1"]
    assert chosen[2] == splits.by_speaker(many, seed=3)
    with pytest.raises(ValueError, match="corpus 'mine' has no fold 's7'; did you mean 's07'"):
        splits.by_name(many, ["s7"], "mine")


def test_overlap_counts_what_partitions_share():
    utterances = table(
        ["1", "2", "3", None, "1", None],
        dialog=["x", "x", "y", "y", "y", None],
        transcript=["Oh, well.", "", "oh well", None, "Oh well!", ""],
        partition=["train", "train", "development", "development", "test", "test"],
    )
    split = splits.official(utterances, allow_speaker_leakage=True)
    counts = splits.overlap(split, utterances).set_index(["partition", "seen_in"])
    assert counts.loc[("test", "train")].to_dict() == {
        "speakers": 1,
        "dialogs": 0,
        "transcripts": 1,
        "turns": 1,
        "share": 0.5,
    }
    assert counts.loc[("development", "train")].to_dict() == {
        "speakers": 0,
        "dialogs": 0,
        "transcripts": 1,
        "turns": 1,
        "share": 0.5,
    }
    assert counts.loc[("test", "development"), "dialogs"] == 1


def test_overlap_does_not_count_missing_values_as_shared():
    utterances = table([None] * 3, partition=["train", "development", "test"], transcript=["", "", ""])
    counts = splits.overlap(splits.official(utterances), utterances)
    assert counts[["speakers", "dialogs", "transcripts", "turns"]].to_numpy().sum() == 0


def test_a_share_keeps_every_class_and_speaker_as_nearly_as_whole_utterances_allow():
    speakers = [f"s{number % 7}" for number in range(1, 701)]
    emotions = ["sad" if number % 10 == 0 else "angry" for number in range(700)]
    rows = table(speakers, emotion=emotions, partition=["train"] * 600 + ["development"] * 50 + ["test"] * 50)
    split = splits.official(rows, allow_speaker_leakage=True)
    inside = rows[rows["utterance"].isin(split.train)]
    drawn = {}
    for seed in range(3):
        for share in (0.5, 0.25, 0.1):
            some = rows[rows["utterance"].isin(splits.thinned(split, rows, share, seed).train)]
            assert len(some) == round(share * 600)
            for keys, most in ((["emotion"], 2), (["emotion", "speaker"], 3)):
                wanted = share * inside.groupby(keys).size()
                assert (some.groupby(keys).size().reindex(wanted.index, fill_value=0) - wanted).abs().max() <= most
            drawn[seed, share] = frozenset(some["utterance"])
    assert len(set(drawn.values())) == len(drawn), "another seed draws others"
    assert splits.thinned(split, rows.sample(frac=1, random_state=0), 0.25, 2) == splits.thinned(split, rows, 0.25, 2)
