"""MSP-Podcast is read in the layout of every release from 1.6 on, and none of its traps is stepped into."""

import json
import shutil
import time
from dataclasses import replace

import pandas as pd
import pytest
import trees
from trees import MINI_MSP, Row, write

from sercore import corpora
from sercore.corpora.summary import describe

CONSENSUS = "Labels/labels_consensus.csv"
TEST3 = "MSP-PODCAST_test3_0001"


@pytest.fixture
def root(tmp_path):
    return trees.write_msp(tmp_path / "MSP-PODCAST-Publish-1.10")


def read(root, **options) -> corpora.Corpus:
    return corpora.read("msp-podcast", root, **options)


def rows(root, **options) -> pd.DataFrame:
    return read(root, **options).utterances.set_index("utterance")


def kinds(corpus: corpora.Corpus) -> dict[str, corpora.Finding]:
    return {finding.kind: finding for finding in corpus.findings}


def one(tmp_path, row: Row = MINI_MSP[0], **values) -> pd.Series:
    """The only turn of a corpus whose label row has `values`."""
    return read(trees.write_msp(tmp_path, [replace(row, **values)])).utterances.iloc[0]


def test_every_column_of_a_turn_is_read(root):
    write(root / "Transcripts" / "MSP-PODCAST_0001_0008.txt", "well, then\n")
    corpus = read(root)
    row = corpus.utterances.set_index("utterance").loc["MSP-PODCAST_0001_0008"]
    assert row.to_dict() == {
        "file": "Audios/MSP-PODCAST_0001_0008.wav",
        "speaker": "30",
        "gender": "male",
        "dialog": "MSP-PODCAST_0001",
        "style": "podcast",
        "partition": "train",
        "transcript": "well, then",
        "emotion": "neutral",
        "arousal": 2.2,
        "valence": 4.0,
        "dominance": 2.6,
        "seconds": 0.01,
    }
    assert (corpus.name, corpus.scale, corpus.simulated) == ("msp-podcast", (1, 7), False)
    assert (corpus.root / row["file"]).is_file()


def test_a_name_of_three_parts_belongs_to_its_podcast(root):
    row = rows(root).loc["MSP-PODCAST_0001_0009_0001"]
    assert (row["dialog"], row["file"]) == ("MSP-PODCAST_0001", "Audios/MSP-PODCAST_0001_0009_0001.wav")


@pytest.mark.parametrize(
    ("labels", "audio"),
    [
        ("label/labels_concensus.csv", "Audio"),
        ("Labels/labels_concensus.csv", "Audios"),
        ("labels/labels_concensus.csv", "Audio/sub"),
        ("Labels/labels_consensus.csv", "Audios"),
        ("Labels/Labels/labels_consensus.csv", "Audios/Audios"),
        ("LABELS/Labels_Consensus.CSV", "AUDIOS"),
    ],
)
def test_every_release_s_folders_and_spellings_are_found(tmp_path, labels, audio):
    corpus = read(trees.write_msp(tmp_path, labels=labels, audio=audio))
    assert len(corpus.utterances) == 5
    assert set(corpus.utterances["file"].str.rpartition("/")[0]) == {audio}


def test_the_root_may_be_the_folder_above_the_release(root):
    assert read(root.parent).root == root


def test_folders_that_are_links_are_followed(root):
    (root / "Audios").rename(root.parent / "sound")
    (root / "Audios").symlink_to(root.parent / "sound")
    (root / "Audio").symlink_to(root.parent / "sound")  # two names of the same wavs are no ambiguity
    assert len(read(root).utterances) == 5


def test_two_releases_are_never_mixed(root):
    trees.write_msp(root.parent / "MSP-PODCAST-Publish-1.8")
    with pytest.raises(ValueError, match=r"holds 2 releases, .*Publish-1\.10, .*Publish-1\.8; they must not be mixed"):
        read(root.parent)


@pytest.mark.parametrize("name", ["MSP-PODCAST-Publish-1.5", "MSP-PODCAST-v1.0", "msp-podcast-1.3"])
def test_releases_before_1_6_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"releases 1\.0 to 1\.5 .* use release 1\.6 or later"):
        read(trees.write_msp(tmp_path / name))


@pytest.mark.parametrize("name", ["MSP-PODCAST-Publish-1.6", "MSP-PODCAST-Publish-1.12", "MSP-PODCAST-2.0"])
def test_later_releases_are_not_refused(tmp_path, name):
    assert len(read(trees.write_msp(tmp_path / name)).utterances) == 5


def test_names_of_an_early_release_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"1 of 1 names such as 'MSP-PODCAST_old-7\.wav' are not those"):
        read(trees.write_msp(tmp_path, [Row("MSP-PODCAST_old-7")]))


@pytest.mark.parametrize(
    ("split", "partition"),
    [
        ("Train", "train"),
        ("Validation", "development"),
        ("Development", "development"),
        ("Test", "test"),
        ("Test1", "test"),
    ],
)
def test_partitions_of_all_releases_have_one_name(tmp_path, split, partition):
    assert one(tmp_path, split=split)["partition"] == partition


@pytest.mark.parametrize("split", ["Test2", "Test3"])
def test_other_test_sets_are_kept_in_no_partition(tmp_path, split):
    corpus = read(trees.write_msp(tmp_path, [Row("MSP-PODCAST_0001_0008", split=split)]))
    assert corpus.utterances["partition"].isna().all()
    assert kinds(corpus)[f"turn of {split}"].count == 1


@pytest.mark.parametrize(
    ("code", "emotion"),
    [("C", "contemptuous"), ("D", "disgusted"), ("O", "other"), ("U", "surprised"), ("N", "neutral")],
)
def test_codes_become_names(tmp_path, code, emotion):
    assert one(tmp_path, emotion=code)["emotion"] == emotion


def test_a_turn_without_agreement_has_no_emotion_but_its_ratings(tmp_path):
    row = one(tmp_path, emotion="X")
    assert pd.isna(row["emotion"])
    assert row["arousal"] == 2.2


def test_columns_are_taken_by_name_not_by_place(root):
    path = root / CONSENSUS
    columns = ["EmoVal", "Split_Set", "EmoDom", "EmoAct", "SpkrID", "Gender", "EmoClass", "FileName"]
    pd.read_csv(path)[columns].to_csv(path, index=False)
    row = rows(root).loc["MSP-PODCAST_0001_0008"]
    assert (row["arousal"], row["valence"], row["dominance"], row["speaker"]) == (2.2, 4.0, 2.6, "30")


def test_an_unknown_speaker_is_missing_and_reported(tmp_path):
    corpus = read(trees.write_msp(tmp_path, [replace(MINI_MSP[0], speaker="Unknown", gender="Unknown"), MINI_MSP[1]]))
    assert corpus.utterances["speaker"].isna().tolist() == [True, False]
    assert corpus.utterances["gender"].isna().tolist() == [True, False]
    assert kinds(corpus)["unknown speaker"].examples == ("MSP-PODCAST_0001_0008",)


def test_a_speaker_of_two_genders_is_reported(tmp_path):
    corpus = read(trees.write_msp(tmp_path, [MINI_MSP[0], replace(MINI_MSP[2], speaker="30", gender="Female")]))
    assert kinds(corpus)["speaker of two genders"].examples == ("30",)


def test_an_empty_rating_is_missing_and_reported(tmp_path):
    corpus = read(trees.write_msp(tmp_path, [replace(MINI_MSP[0], act="", dom="NaN"), MINI_MSP[1]]))
    assert corpus.utterances.loc[0, ["arousal", "dominance"]].isna().all()
    assert corpus.utterances.loc[0, "valence"] == 4.0
    assert kinds(corpus)["missing rating"].examples == (
        "MSP-PODCAST_0001_0008 (arousal)",
        "MSP-PODCAST_0001_0008 (dominance)",
    )


def test_ratings_outside_the_scale_are_kept_and_reported(tmp_path):
    corpus = read(trees.write_msp(tmp_path, [replace(MINI_MSP[0], val="7.5")]))
    assert corpus.utterances["valence"].tolist() == [7.5]
    assert kinds(corpus)["rating outside the scale"].count == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": "high"}, "EmoVal of MSP-PODCAST_0001_0009_0001 is 'high'; expected a number"),
        ({"val": "inf"}, "EmoVal of MSP-PODCAST_0001_0009_0001 is 'inf'"),
        ({"emotion": "Z"}, "EmoClass of MSP-PODCAST_0001_0009_0001 is 'Z'; known: a, s, h"),
        ({"split": "Trian"}, "Split_Set of .* is 'Trian'; did you mean 'train'"),
        ({"gender": "femal"}, "Gender of .* is 'femal'; did you mean 'female'"),
    ],
)
def test_a_wrong_cell_names_file_line_and_turn(tmp_path, values, message):
    trees.write_msp(tmp_path, [MINI_MSP[0], replace(MINI_MSP[1], **values)])
    with pytest.raises(ValueError, match=rf"labels_consensus\.csv, line 3: {message}"):
        read(tmp_path)


def test_an_empty_class_is_missing_and_reported(tmp_path):
    corpus = read(trees.write_msp(tmp_path, [replace(MINI_MSP[0], emotion="")]))
    assert corpus.utterances["emotion"].isna().all()
    assert kinds(corpus)["missing emotion"].count == 1


def test_a_turn_that_is_labelled_twice_is_refused(root):
    trees.write_consensus(root / CONSENSUS, [*MINI_MSP, replace(MINI_MSP[0], emotion="A")])
    with pytest.raises(ValueError, match=r"labels_consensus\.csv: 1 turns are labelled twice, MSP-PODCAST_0001_0008"):
        read(root)


def test_an_absent_column_is_named(root):
    path = root / CONSENSUS
    pd.read_csv(path).drop(columns="EmoVal").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"labels_consensus\.csv: no column EmoVal; found FileName, EmoClass"):
        read(root)


def test_a_file_that_is_no_csv_is_refused(root):
    write(root / CONSENSUS, b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"labels_consensus\.csv: expected text in UTF-16, found another encoding"):
        read(root)


def test_two_different_label_files_are_refused(root):
    trees.write_consensus(root / "Labels" / "labels_concensus.csv", MINI_MSP[:3])
    with pytest.raises(ValueError, match=r"2 label files that differ, .*; give the folder of one release"):
        read(root)


def test_the_same_label_file_twice_is_read_once_and_reported(root):
    shutil.copy(root / CONSENSUS, root / "Labels" / "labels_concensus.csv")
    corpus = read(root)
    assert len(corpus.utterances) == 5
    assert kinds(corpus)["label file that is there twice"].count == 1


@pytest.mark.parametrize("folder", ["Previous_releases_information/v1.7/Labels", "previous_releases_info/v1.7/Labels"])
def test_nothing_is_taken_from_previous_releases(root, folder):
    trees.write_consensus(root / folder / "labels_concensus.csv", [replace(MINI_MSP[0], emotion="A", split="Test1")])
    write(root / "files_removed_from_prev_versions" / "v1.7_removed_files" / "MSP-PODCAST_0009_0009.wav", trees.wav())
    corpus = read(root)
    assert corpus.utterances.set_index("utterance").at["MSP-PODCAST_0001_0008", "emotion"] == "neutral"
    assert kinds(corpus)["folder of previous releases"].count == 2


def test_hidden_files_of_another_system_are_ignored(root):
    write(root / "Labels" / "._labels_consensus.csv", b"\x00\x05\x16\x07")
    write(root / "Audios" / "._MSP-PODCAST_0001_0008.wav", b"\x00\x05\x16\x07")
    corpus = read(root)
    assert len(corpus.utterances) == 5
    assert kinds(corpus)["hidden file"].count == 2


def test_resampled_copies_beside_the_audio_folder_are_ignored(root):
    shutil.copytree(root / "Audios", root / "Audios_8k")
    corpus = read(root)
    assert set(corpus.utterances["file"].str.rpartition("/")[0]) == {"Audios"}
    assert kinds(corpus)["wav outside the audio folder"].count == 5


def test_two_wavs_of_one_name_are_refused(root):
    shutil.copytree(root / "Audios", root / "Audios" / "sub")
    with pytest.raises(ValueError, match=r"two wavs of one name, Audios/MSP-PODCAST_0001_0008\.wav and Audios/sub"):
        read(root)


def test_too_many_rows_without_wav_are_an_error_that_says_what_to_do(root):
    (root / "Audios" / "MSP-PODCAST_0001_0008.wav").unlink()
    with pytest.raises(
        ValueError, match=r"(?s)1 rows have no wav \(5 rows .*, 4 wavs\), MSP-PODCAST_0001_0008;.*raise tolerance"
    ):
        read(root)


def test_within_the_tolerance_rows_without_wav_are_dropped_and_reported(root):
    (root / "Audios" / "MSP-PODCAST_0001_0008.wav").unlink()
    corpus = read(root, tolerance=0.2)
    assert len(corpus.utterances) == 4
    assert kinds(corpus)["row without wav"].examples == ("MSP-PODCAST_0001_0008",)


def test_too_many_wavs_without_row_are_an_error(root):
    write(root / "Audios" / "MSP-PODCAST_0009_0009.wav", trees.wav())
    with pytest.raises(ValueError, match=r"(?s)1 wavs have no row .*MSP-PODCAST_0009_0009\.wav;.*the same release"):
        read(root)


def test_within_the_tolerance_wavs_without_row_are_reported(root):
    write(root / "Audios" / "MSP-PODCAST_0009_0009.wav", trees.wav())
    assert kinds(read(root, tolerance=0.2))["wav without row"].examples == ("Audios/MSP-PODCAST_0009_0009.wav",)


def test_wavs_of_test3_need_no_row(root):
    for number in range(3):
        write(root / "Audios" / f"MSP-PODCAST_test3_000{number}.wav", trees.wav())
    corpus = read(root)
    assert len(corpus.utterances) == 5
    assert kinds(corpus)["wav of Test3 without row"].count == 3


def test_a_row_of_test3_belongs_to_no_podcast(tmp_path):
    row = one(tmp_path, Row(TEST3, split="Test3"))
    assert pd.isna(row["dialog"])


def test_labels_without_any_of_their_wavs_are_an_error_whatever_the_tolerance(tmp_path):
    trees.write_msp(tmp_path)
    shutil.rmtree(tmp_path / "Audios")
    write(tmp_path / "Audios" / "MSP-PODCAST_0100_0001.wav", trees.wav())
    with pytest.raises(ValueError, match="5 rows have no wav"):
        read(tmp_path, tolerance=1.0)


def test_a_stereo_wav_at_another_rate_is_kept_and_reported(root):
    write(root / "Audios" / "MSP-PODCAST_0003_0001.wav", trees.wav(samples=44_100, rate=44_100, channels=2))
    corpus = read(root)
    assert corpus.utterances.set_index("utterance").at["MSP-PODCAST_0003_0001", "seconds"] == 1.0
    assert kinds(corpus)["audio that is not 16 kHz mono"].examples == (
        "Audios/MSP-PODCAST_0003_0001.wav (44100 Hz, 2 channels)",
    )


def test_a_wav_that_cannot_be_read_is_named(root):
    write(root / "Audios" / "MSP-PODCAST_0003_0001.wav", b"")
    with pytest.raises(ValueError, match=r"(?s)1 of 5 audio files .*MSP-PODCAST_0003_0001\.wav: the file is empty"):
        read(root)


LABELS_TXT = """\
MSP-PODCAST_0001_0008.wav; N; A:2.200000; V:4.000000; D:2.600000;
WORKER00000001; Other-confused; Concerned,Confused; A:3.000000; V:3.000000; D:4.000000;
WORKER00000018; Neutral; Neutral; A:1.000000; V:4.000000; D:2.000000;

MSP-PODCAST_0003_0001.wav; X; A:4.000000; V:; D:3.500000;
WORKER00000001; Other (so: so); ; A:; V:; D:;
"""
PARTITIONS_TXT = """\
The Test set 1; has more speakers
Train; MSP-PODCAST_0001_0008.wav

Test1; MSP-PODCAST_0003_0001.wav
"""
SPEAKERS_TXT = """\
Speaker_30; Male
MSP-PODCAST_0001_0008.wav;30
MSP-PODCAST_0003_0001.wav;Unknown
"""


@pytest.mark.parametrize("partitions", ["Partitions.txt", "partition.txt"])
def test_without_the_csv_the_text_files_give_the_same(tmp_path, partitions):
    trees.write_msp(tmp_path, [MINI_MSP[0], MINI_MSP[3]], labels="")
    write(tmp_path / "Labels" / "labels.txt", LABELS_TXT)
    write(tmp_path / partitions, PARTITIONS_TXT)
    write(tmp_path / "Speaker_ids.txt", SPEAKERS_TXT)
    table = rows(tmp_path)
    first = table.loc[
        "MSP-PODCAST_0001_0008", ["emotion", "arousal", "valence", "dominance", "speaker", "gender", "partition"]
    ]
    assert first.tolist() == ["neutral", 2.2, 4.0, 2.6, "30", "male", "train"]
    second = table.loc["MSP-PODCAST_0003_0001"]
    assert second[["valence", "speaker", "gender", "emotion"]].isna().all()
    assert second["partition"] == "test"


def test_without_partitions_turns_are_kept_and_reported(tmp_path):
    trees.write_msp(tmp_path, [MINI_MSP[0], MINI_MSP[3]], labels="")
    write(tmp_path / "Labels" / "labels.txt", LABELS_TXT)
    corpus = read(tmp_path)
    assert corpus.utterances["partition"].isna().all()
    assert kinds(corpus)["turn without partition"].count == 2


def test_the_json_gives_the_same_as_the_csv(root):
    expected = read(root).utterances
    cells = pd.read_csv(root / CONSENSUS, dtype="str").set_index("FileName")
    cells[["EmoAct", "EmoVal", "EmoDom"]] = cells[["EmoAct", "EmoVal", "EmoDom"]].astype(float)
    write(root / "Labels" / "labels_consensus.json", json.dumps(cells.to_dict("index")))
    (root / CONSENSUS).unlink()
    pd.testing.assert_frame_equal(read(root).utterances, expected)


def test_missing_labels_say_what_was_expected_and_what_is_there(root):
    shutil.rmtree(root / "Labels")
    with pytest.raises(
        FileNotFoundError, match=r"(?s)no labels of MSP-Podcast .*labels_consensus\.csv .*it holds Audios/"
    ):
        read(root)


def test_missing_audio_says_what_was_expected_and_what_is_there(root):
    shutil.rmtree(root / "Audios")
    with pytest.raises(FileNotFoundError, match=r"(?s)no MSP-PODCAST_\*\.wav .*it holds Labels/"):
        read(root)


def test_the_error_for_a_wrong_root_lists_what_it_holds(tmp_path):
    write(tmp_path / "music" / "song.txt", "la")
    with pytest.raises(FileNotFoundError, match=r"(?s)expected a release as unpacked.*it holds music/"):
        read(tmp_path)


def test_turns_without_transcript_are_reported(root):
    write(root / "Transcripts" / "MSP-PODCAST_0001_0008.txt", "")
    corpus = read(root)
    assert kinds(corpus)["turn without transcript"].count == 4
    assert kinds(corpus)["empty transcript"].examples == ("MSP-PODCAST_0001_0008",)


def test_a_transcripts_file_fills_what_the_release_lacks(root):
    write(root / "Transcripts" / "MSP-PODCAST_0001_0008.txt", "by a human")
    lines = [
        "utterance,engine,transcript",
        "MSP-PODCAST_0001_0008,tiny,by a machine",
        "MSP-PODCAST_0002_0001,tiny,null",
        "MSP-PODCAST_0003_0001,tiny,",
        "MSP-PODCAST_7777_0001,tiny,who",
    ]
    path = write(root.parent / "asr.csv", "\n".join(lines))
    corpus = read(root, transcripts=path)
    transcripts = corpus.utterances.set_index("utterance")["transcript"]
    assert transcripts["MSP-PODCAST_0001_0008"] == "by a human"
    assert transcripts["MSP-PODCAST_0002_0001"] == "null"  # a word, not a missing value
    assert transcripts["MSP-PODCAST_0003_0001"] == ""  # nothing was recognised
    assert pd.isna(transcripts["MSP-PODCAST_0004_0001"])
    assert kinds(corpus)["transcript by speech recognition"].count == 2
    assert kinds(corpus)["transcript of a turn that is not read"].examples == ("MSP-PODCAST_7777_0001",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("utterance,transcrpt\na,b\n", "no column 'transcript'; did you mean 'transcrpt'"),
        ("utterance,transcript\na,b\n,c\n", "1 lines name no utterance, 3"),
        ("utterance,transcript\na,b\na,c\n", "1 utterances have two transcripts, a"),
    ],
)
def test_a_transcripts_file_that_does_not_fit_is_refused(root, content, message):
    with pytest.raises(ValueError, match=message):
        read(root, transcripts=write(root.parent / "asr.csv", content))


def test_a_transcripts_file_that_is_not_there_is_named(root):
    with pytest.raises(FileNotFoundError, match=r"no transcripts file .*nowhere\.csv"):
        read(root, transcripts=root / "nowhere.csv")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A corpus of release 1.7's size, a transcript for each of its 62,140 turns; seconds to read."""
    folder = tmp_path_factory.mktemp("msp")
    release = trees.write_full_msp(folder / "MSP-PODCAST-Publish-1.7", trees.link_sources(folder / "sources"))
    start = time.perf_counter()
    corpus = read(release)
    seconds = time.perf_counter() - start
    yield corpus, seconds
    shutil.rmtree(folder)


@pytest.mark.long
def test_62140_turns_are_read_in_60_seconds(full):
    corpus, seconds = full
    assert len(corpus.utterances) == 62_140
    assert corpus.utterances["transcript"].notna().all()
    assert seconds < 60


@pytest.mark.long
def test_the_sizes_of_the_full_size_are_those_of_release_1_7(full):
    text = describe(full[0])
    assert "published counts (MSP-Podcast 1.7, the nearest in size): 5 of 5 agree" in text
    assert "from memory" in text
