"""IEMOCAP is read as released, and none of its traps changes what is read."""

import shutil
import time

import numpy as np
import pandas as pd
import pytest
import trees
from trees import Turn, write

from sercore import corpora, schema
from sercore.corpora import splits
from sercore.corpora.summary import describe

LABELS = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
TRANSCRIPTS = "Session1/dialog/transcriptions/Ses01F_impro01.txt"
WAVS = "Session1/sentences/wav/Ses01F_impro01"


@pytest.fixture
def root(tmp_path):
    return trees.write_iemocap(tmp_path / "IEMOCAP_full_release")


def read(root, **options) -> corpora.Corpus:
    return corpora.read("iemocap", root, **options)


def rows(root, **options) -> pd.DataFrame:
    return read(root, **options).utterances.set_index("utterance")


def finding(corpus: corpora.Corpus, kind: str) -> corpora.Finding:
    found = {finding.kind: finding for finding in corpus.findings}
    assert kind in found, f"no finding '{kind}' among {list(found)}"
    return found[kind]


def append(path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_every_column_of_a_turn_is_read(root):
    corpus = read(root)
    row = corpus.utterances.set_index("utterance").loc["Ses01F_impro01_M001"]
    assert row.to_dict() == {
        "file": "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav",
        "speaker": "Ses01M",
        "gender": "male",
        "dialog": "Ses01F_impro01",
        "style": "improvised",
        "partition": pytest.approx(np.nan, nan_ok=True),
        "transcript": "Excuse me.",
        "emotion": "excited",
        "arousal": 3.0,
        "valence": 2.5,
        "dominance": 3.5,
        "seconds": 0.01,
    }
    assert (corpus.name, corpus.scale, corpus.simulated) == ("iemocap", (1, 5), False)
    assert (corpus.root / row.file).is_file()
    assert len(corpus.utterances) == 42
    assert corpus.findings == ()


@pytest.mark.parametrize(
    ("utterance", "speaker"),
    [("Ses01M_impro01_F000", "Ses01F"), ("Ses03M_impro05a_F000", "Ses03F"), ("Ses05M_script01_1b_F000", "Ses05F")],
)
def test_the_speaker_is_the_last_letter_of_the_name(tmp_path, utterance, speaker):
    table = rows(trees.write_iemocap(tmp_path, [Turn(utterance)]))
    assert table.at[utterance, "speaker"] == speaker
    assert table.at[utterance, "dialog"] == utterance[:-5]


def test_valence_comes_first_in_the_label_files(tmp_path):
    table = rows(trees.write_iemocap(tmp_path, [Turn("Ses01F_impro01_F000", ratings=(1.5, 2.5, 4.5))]))
    assert table.iloc[0][["valence", "arousal", "dominance"]].tolist() == [1.5, 2.5, 4.5]


def test_scripted_and_improvised_turns_are_distinguished(root):
    assert rows(root)["style"].value_counts().to_dict() == {"improvised": 21, "scripted": 21}


def test_excited_is_only_counted_as_happy_by_the_mapping(root):
    emotions = rows(root)["emotion"]
    assert set(emotions) == {"neutral", "excited"}
    assert set(schema.map_emotions(emotions, schema.FOUR_CLASSES)) == {"neutral", "happy"}


@pytest.mark.parametrize(
    ("code", "emotion"), [("ang", "angry"), ("oth", "other"), ("dis", "disgusted"), ("fru", "frustrated")]
)
def test_codes_become_names(tmp_path, code, emotion):
    assert rows(trees.write_iemocap(tmp_path, [Turn("Ses01F_impro01_F000", code)]))["emotion"].tolist() == [emotion]


def test_a_turn_without_majority_has_no_emotion_but_its_ratings(tmp_path):
    row = rows(trees.write_iemocap(tmp_path, [Turn("Ses01F_impro01_F000", "xxx")])).iloc[0]
    assert pd.isna(row["emotion"])
    assert row["arousal"] == 3.0


@pytest.mark.parametrize("given", [".", "IEMOCAP_full_release", "link"])
def test_the_root_may_be_the_release_its_parent_or_a_link(root, given):
    (root.parent / "link").symlink_to(root)
    if given == ".":
        (root.parent / "link").rename(root.parent / "IEMOCAP")  # two names of one folder are no ambiguity
    corpus = read(root.parent / given)
    assert corpus.root == root
    assert len(corpus.utterances) == 42


def test_two_releases_in_one_folder_are_refused(root):
    shutil.copytree(root, root.parent / "IEMOCAP")
    with pytest.raises(ValueError, match=r"IEMOCAP more than once.*give the one to read"):
        read(root.parent)


def test_a_doubled_session_folder_is_entered(root):
    (root / "Session1").rename(root / "inner")
    (root / "Session1").mkdir()
    (root / "inner").rename(root / "Session1" / "Session1")
    corpus = read(root)
    assert len(corpus.utterances) == 42
    assert finding(corpus, "doubled session folder").examples == ("Session1/Session1",)


def test_a_part_of_the_sessions_is_read_and_reported(root):
    for name in ("Session4", "Session5"):
        shutil.rmtree(root / name)
    corpus = read(root)
    assert corpus.utterances["speaker"].nunique() == 6
    assert finding(corpus, "absent session").examples == ("Session4", "Session5")


def test_hidden_files_of_another_system_are_ignored(root):
    binary = b"\x00\x05\x16\x07\xff\xfe[1.0 - 2.0]"
    for path in (LABELS, TRANSCRIPTS, f"{WAVS}/Ses01F_impro01_F000.wav"):
        file = root / path
        write(file.with_name(f"._{file.name}"), binary)
    corpus = read(root)
    assert len(corpus.utterances) == 42
    assert finding(corpus, "hidden file").count == 3


def test_single_raters_files_in_subfolders_are_not_read(root):
    line = trees.summary(Turn("Ses01F_impro01_F000", "ang", (5.0, 5.0, 5.0)))
    for kind in ("Attribute/Ses01F_impro01_e2_atr", "Categorical/Ses01F_impro01_e2_cat", "Self-evaluation/x_f1_atr"):
        write(root / f"Session1/dialog/EmoEvaluation/{kind}.txt", line)
    write(root / "IEMOCAP_EmoEvaluation.txt", line)
    row = rows(root).loc["Ses01F_impro01_F000"]
    assert (row["emotion"], row["valence"]) == ("neutral", 2.5)


def test_turns_that_were_never_labelled_are_ignored(root):
    append(root / TRANSCRIPTS, "Ses01F_impro01_FXX0 [012.34-013.45]: Mmhmm.\n")
    corpus = read(root)
    assert "Ses01F_impro01_FXX0" not in set(corpus.utterances["utterance"])
    assert finding(corpus, "transcribed turn that was never labelled (XX)").count == 1


def test_lines_that_name_no_turn_are_ignored(root):
    append(root / TRANSCRIPTS, "M: sorry\nF: [LAUGHTER]\n")
    corpus = read(root)
    assert finding(corpus, "line in a transcript that names no turn").count == 2
    assert set(corpus.utterances["transcript"]) == {"Excuse me."}


def test_files_that_an_editor_of_windows_has_saved_lose_no_turn(root):
    before = read(root)
    for path in (root / "Session1" / "dialog").rglob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("%")]
        path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    corpus = read(root)
    pd.testing.assert_frame_equal(corpus.utterances, before.utterances)
    assert corpus.findings == before.findings


def test_a_colon_does_not_end_a_transcript(tmp_path):
    table = rows(
        trees.write_iemocap(tmp_path, [Turn("Ses01F_impro01_F000", transcript="Listen: [at]: two")]), tags="keep"
    )
    assert table["transcript"].tolist() == ["Listen: [at]: two"]


@pytest.mark.parametrize(
    ("tags", "transcripts"),
    [("strip", ["Oh no.", ""]), ("keep", ["Oh [LAUGHTER] no.", "[BREATHING]"])],
)
def test_bracketed_tags_are_stripped_or_kept(tmp_path, tags, transcripts):
    turns = [
        Turn("Ses01F_impro01_F000", transcript="Oh [LAUGHTER] no."),
        Turn("Ses01F_impro01_F001", transcript="[BREATHING]"),
    ]
    corpus = read(trees.write_iemocap(tmp_path, turns), tags=tags)
    assert corpus.utterances["transcript"].tolist() == transcripts
    assert finding(corpus, "transcript with bracketed tags").count == 2


def test_a_turn_of_nothing_but_a_tag_is_reported_as_empty(tmp_path):
    corpus = read(trees.write_iemocap(tmp_path, [Turn("Ses01F_impro01_F000", transcript="[GARBAGE]")]))
    assert finding(corpus, "empty transcript").examples == ("Ses01F_impro01_F000",)


def test_ratings_outside_the_scale_are_kept_and_reported(tmp_path):
    turns = [Turn("Ses03M_impro07_M003", ratings=(5.5, 3, 3)), Turn("Ses01M_script03_1_F026", ratings=(2, 3, 0.5))]
    corpus = read(trees.write_iemocap(tmp_path, turns))
    assert corpus.utterances["valence"].max() == 5.5
    assert corpus.utterances["dominance"].min() == 0.5
    assert finding(corpus, "rating outside the scale").examples == (
        "Ses03M_impro07_M003 (valence 5.5)",
        "Ses01M_script03_1_F026 (dominance 0.5)",
    )


def test_a_rater_who_left_out_dominance_is_reported(root):
    path = root / LABELS
    path.write_text(path.read_text().replace("dom  2;", "dom  ;", 1))
    assert finding(read(root), "rater who left out a rating").examples == ("Ses01F_impro01_F000",)


def test_windows_line_ends_and_latin_bytes_are_read(root):
    for name in (LABELS, TRANSCRIPTS):
        path = root / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b"mild", b"mild\xe9"))
    assert len(read(root).utterances) == 42


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ("[2.5, high, 3.5]", "line 3: the ratings .* are not numbers"),
        ("[2.5, 3.5]", "line 3: expected three ratings"),
        ("[2.5, inf, 3.5]", "line 3: expected three ratings"),
        ("2.5", "line 3: expected '.start"),
    ],
)
def test_a_rating_that_is_no_number_names_file_and_line(root, ratings, message):
    path = root / LABELS
    path.write_text(path.read_text().replace("[2.5000, 3.0000, 3.5000]", ratings, 1))
    with pytest.raises(ValueError, match=rf"Ses01F_impro01\.txt, {message}"):
        read(root)


def test_a_missing_rating_is_kept_as_missing(root):
    path = root / LABELS
    path.write_text(path.read_text().replace("[2.5000, 3.0000, 3.5000]", "[nan, 3.0, ]", 1))
    corpus = read(root)
    assert corpus.utterances.loc[0, ["valence", "dominance"]].isna().all()
    assert finding(corpus, "missing rating").count == 2


def test_an_unknown_emotion_names_file_line_and_the_nearest(root):
    path = root / LABELS
    path.write_text(path.read_text().replace("\tneu\t", "\tneut\t", 1))
    with pytest.raises(ValueError, match=r"Ses01F_impro01\.txt, line 3: unknown emotion 'neut'; did you mean 'neu'"):
        read(root)


def test_a_name_that_is_no_turn_is_refused(root):
    path = root / LABELS
    path.write_text(path.read_text().replace("Ses01F_impro01_F000", "Ses01F_impro01_X000", 1))
    with pytest.raises(ValueError, match=r"line 3: 'Ses01F_impro01_X000' is no turn"):
        read(root)


def test_a_label_file_without_a_turn_is_refused(root):
    write(root / LABELS, "")
    with pytest.raises(ValueError, match=r"Ses01F_impro01\.txt: no turn in it"):
        read(root)


def test_a_turn_that_is_labelled_twice_is_refused(root):
    shutil.copy(root / LABELS, root / "Session1/dialog/EmoEvaluation/copy.txt")
    with pytest.raises(ValueError, match="4 turns are labelled twice, Ses01F_impro01_F000"):
        read(root)


def test_two_wavs_of_one_turn_are_refused(root):
    shutil.copy(root / WAVS / "Ses01F_impro01_F000.wav", root / "Session1/sentences/wav/Ses01F_impro01_F000.wav")
    with pytest.raises(ValueError, match="two wavs of one name"):
        read(root)


def test_a_second_transcript_of_a_turn_is_refused(root):
    append(root / TRANSCRIPTS, "Ses01F_impro01_F000 [006.2901-008.2357]: Something else.\n")
    with pytest.raises(ValueError, match="a second, other transcript of Ses01F_impro01_F000"):
        read(root)


def test_without_the_transcripts_the_rest_is_read(root):
    shutil.rmtree(root / "Session1/dialog/transcriptions")
    corpus = read(root)
    assert corpus.utterances["transcript"].isna().sum() == 8
    assert finding(corpus, "turn without transcript").count == 8


def test_too_many_turns_without_wav_are_an_error_that_says_what_to_do(root):
    (root / WAVS / "Ses01F_impro01_F000.wav").unlink()
    with pytest.raises(
        ValueError, match=r"1 of 42 labelled turns have no wav, Ses01F_impro01_F000; .* raise tolerance"
    ):
        read(root)


def test_within_the_tolerance_turns_without_wav_are_dropped_and_reported(root):
    (root / WAVS / "Ses01F_impro01_F000.wav").unlink()
    corpus = read(root, tolerance=0.05)
    assert len(corpus.utterances) == 41
    assert finding(corpus, "labelled turn without wav").examples == ("Ses01F_impro01_F000",)


def test_labels_without_any_of_their_wavs_are_an_error_whatever_the_tolerance(root):
    for path in root.rglob("*.wav"):
        path.unlink()
    with pytest.raises(ValueError, match="42 of 42 labelled turns have no wav"):
        read(root, tolerance=1.0)


def test_wavs_that_no_label_names_are_reported(root):
    write(root / WAVS / "Ses01F_impro01_F099.wav", trees.wav())
    corpus = read(root)
    assert len(corpus.utterances) == 42
    assert finding(corpus, "wav without label").examples == ("Ses01F_impro01_F099",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (trees.wav()[:100], "cut off: the header promises 320 bytes of sound, 56 are there"),
        (trees.wav(samples=0), "no samples in it"),
        (trees.wav()[:30], "cut off: the file ends before its sound begins"),
        (b"\x00" * 500, "not an audio file that can be read"),
    ],
    ids=["empty", "cut off", "no samples", "cut header", "no audio"],
)
def test_a_wav_that_cannot_be_read_is_named_with_the_reason(root, content, reason):
    write(root / WAVS / "Ses01F_impro01_M001.wav", content)
    with pytest.raises(ValueError, match=rf"1 of 42 audio files .*\n.*Ses01F_impro01_M001\.wav: {reason}"):
        read(root)


def test_a_wav_of_another_shape_is_kept_and_reported(root):
    write(root / WAVS / "Ses01F_impro01_M001.wav", trees.wav(samples=4410, rate=44_100, channels=2))
    corpus = read(root)
    assert corpus.utterances.set_index("utterance").at["Ses01F_impro01_M001", "seconds"] == pytest.approx(0.1)
    assert (
        "Ses01F_impro01_M001.wav (44100 Hz, 2 channels)" in finding(corpus, "audio that is not 16 kHz mono").examples[0]
    )


def test_chunks_before_the_sound_do_not_hide_it(root):
    plain = trees.wav(samples=1600)
    listed = b"LIST" + (1001).to_bytes(4, "little") + bytes(1002)  # an odd size is followed by one more byte
    write(root / WAVS / "Ses01F_impro01_M001.wav", plain[:36] + listed + plain[36:])
    assert rows(root).at["Ses01F_impro01_M001", "seconds"] == pytest.approx(0.1)


def test_a_root_that_does_not_exist_says_how_far_it_goes(root):
    with pytest.raises(FileNotFoundError, match=r"(?s)elsewhere/IEMOCAP does not exist.*holds IEMOCAP_full_release/"):
        read(root.parent / "elsewhere" / "IEMOCAP")


def test_the_error_for_a_wrong_root_says_what_was_tried_and_what_is_there(tmp_path):
    write(tmp_path / "music" / "song.txt", "la")
    (tmp_path / "IEMOCAP").mkdir()
    with pytest.raises(FileNotFoundError) as refusal:
        read(tmp_path)
    message = str(refusal.value)
    assert f"tried {tmp_path}, {tmp_path / 'IEMOCAP'}" in message
    assert "holds IEMOCAP/, music/" in message
    assert "Session1 to Session5" in message
    assert len(message.splitlines()) <= 5


def test_one_session_as_root_is_refused_with_what_to_give_instead(root):
    with pytest.raises(FileNotFoundError, match="one of the sessions: give the folder above"):
        read(root / "Session1")


def test_a_missing_label_folder_is_named(root):
    shutil.rmtree(root / "Session2/dialog/EmoEvaluation")
    with pytest.raises(
        FileNotFoundError, match=r"no label folder .*Session2/dialog/EmoEvaluation; .* holds transcriptions/"
    ):
        read(root)


def test_an_empty_label_folder_is_named(root):
    for path in (root / "Session2/dialog/EmoEvaluation").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no label file in .*Session2/dialog/EmoEvaluation"):
        read(root)


def test_a_missing_audio_folder_is_named(root):
    shutil.rmtree(root / "Session2/sentences")
    with pytest.raises(FileNotFoundError, match=r"no audio folder .*Session2/sentences/wav"):
        read(root)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("iemcap", {}, "unknown corpus 'iemcap'; did you mean 'iemocap'"),
        ("iemocap", {"tag": "keep"}, "no option 'tag'; did you mean 'tags'"),
        ("iemocap", {"tags": "stripp"}, "tags is 'stripp'; did you mean 'strip'"),
        ("iemocap", {"tolerance": 5}, "tolerance is 5; expected a share"),
    ],
)
def test_the_error_for_a_misspelt_name_or_option_names_the_nearest(root, name, options, message):
    with pytest.raises(ValueError, match=message):
        corpora.read(name, root, **options)


def test_a_corpus_with_the_file_simulated_txt_is_simulated(root):
    write(root / corpora.SIMULATED, "synthesised")
    assert read(root.parent).simulated


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A corpus of 10,039 turns with the release's counts of speakers, sessions, styles and classes; seconds to read."""
    folder = tmp_path_factory.mktemp("iemocap")
    trees.write_iemocap(folder / "release", trees.full_iemocap(), trees.link_sources(folder / "sources"))
    start = time.perf_counter()
    corpus = read(folder / "release")
    return corpus, time.perf_counter() - start


def test_10039_turns_are_read_in_15_seconds(full):
    corpus, seconds = full
    assert len(corpus.utterances) == 10_039
    assert seconds < 15


def test_the_counts_of_the_full_size_are_the_published_ones(full):
    text = describe(full[0])
    assert "published counts (IEMOCAP): 38 of 41 agree" in text  # all but the three means, which the tree does not have
    assert "angry 1,103, happy 1,636, neutral 1,708, sad 1,084: 5,531 of 10,039 turns" in text


def test_in_the_full_size_only_the_seven_known_ratings_are_outside_the_scale(full):
    assert {f.kind: f.count for f in full[0].findings} == {"rating outside the scale": 7}


def test_leaving_one_speaker_out_gives_the_published_folds(full):
    table = full[0].utterances
    four = table[schema.map_emotions(table["emotion"], schema.FOUR_CLASSES).notna()]
    folds = splits.leave_one_speaker_out(four)
    assert {fold.name: (len(fold.test), len(fold.development), len(fold.train)) for fold in folds} == {
        "Ses01F": (528, 557, 4446),
        "Ses01M": (557, 528, 4446),
        "Ses02F": (481, 542, 4508),
        "Ses02M": (542, 481, 4508),
        "Ses03F": (522, 629, 4380),
        "Ses03M": (629, 522, 4380),
        "Ses04F": (528, 503, 4500),
        "Ses04M": (503, 528, 4500),
        "Ses05F": (590, 651, 4290),
        "Ses05M": (651, 590, 4290),
    }
