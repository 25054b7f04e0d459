"""A folder of audio that no reader knows becomes a table, a trained model and a prediction."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import trees
import yaml

from sercore import corpora
from sercore.analysis import results, tables
from sercore.commands import cli
from sercore.corpora import audit
from sercore.corpora.table import tabulate
from sercore.study import config

RATE = 16_000
SPEAKERS = ("ann", "bob", "cem")
NOISE = {"anger": 0.1, "sadness": 0.001}  # share of full scale: what is to be learnt


def tone(path, noise: float, pitch: float = 200.0, seconds: float = 0.7) -> None:
    """A vibrating tone of so many Hz, in noise."""
    random = np.random.default_rng(int(pitch))
    time = np.arange(int(seconds * RATE)) / RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.3 * np.sin(2 * np.pi * pitch * time + np.sin(30 * time)) + random.normal(0, noise, len(time))
    soundfile.write(path, sound, RATE, subtype="PCM_16")


@pytest.fixture
def recordings(tmp_path):
    """Three speakers, two emotions, four recordings of each; one more whose name holds nothing."""
    random = np.random.default_rng(0)
    for speaker in SPEAKERS:
        for emotion, noise in NOISE.items():
            for take in range(6):
                file = tmp_path / "recordings" / f"{speaker}_{emotion}_{take}.wav"
                tone(file, noise, random.uniform(120, 400))
    tone(tmp_path / "recordings" / "noise.wav", 0.1)
    return tmp_path / "recordings"


@pytest.mark.long
def test_three_commands_from_a_folder_of_wavs_to_a_prediction(recordings, tmp_path, capsys):
    plan = tmp_path / "mine.yaml"
    pattern = ["--pattern", "{speaker}_{emotion}_*.wav"]
    assert cli.main(["table", str(recordings), *pattern, "--parameters", str(plan)]) == 0
    _make_quick(plan, tmp_path / "outputs")
    assert cli.main(["run", str(plan), "--workers", "1"]) == 0
    (run,) = config.load(plan).runs
    unheard = tmp_path / "unheard.wav"
    tone(unheard, NOISE["anger"])
    printed = capsys.readouterr().out
    assert "Recipe by_size, for 12 training utterances of 1 known speakers, chose network.dropout 0.2" in printed
    assert f"categories/{run.name}: CNN14 " in printed
    assert cli.main(["predict", str(run.folder), str(unheard)]) == 0
    assert "angry" in capsys.readouterr().out
    assert "the split was made here: by_speaker_0" in tables.table_1(results.read(plan, "categories")).markdown()
    predictions = pd.read_parquet(run.folder / run.result)
    assert set(predictions["fold"]) == {"by_speaker_0"}
    test = predictions[predictions["partition"] == "test"]
    assert (test["truth"] == test["prediction"]).mean() > 0.8


def _make_quick(plan, outputs) -> None:
    """What a user may change: where results go, one fold, a small network."""
    content = yaml.safe_load(plan.read_text()) | {"outputs": str(outputs)}
    (block,) = content["sections"]["categories"]["blocks"]
    block["fixed"] |= {"folds": ["by_speaker_0"], "features": {"mels": 32, "hop": 512}, "network": {"width": 4}}
    block["fixed"]["training"] |= {"epochs": 16, "batch": 4, "averaged_epochs": 2}
    plan.write_text(yaml.safe_dump(content))


def test_the_table_holds_what_the_names_hold(recordings, capsys):
    assert cli.main(["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav"]) == 0
    printed = capsys.readouterr().out
    assert "36 utterances" in printed
    assert "emotion    2: angry 18, sad 18" in printed
    assert "1 names do not fit, left out: noise.wav" in printed
    table = corpora.read("mine", recordings, reader="table").utterances.set_index("utterance")
    assert table.loc["bob_sadness_2", ["file", "speaker", "emotion"]].tolist() == ["bob_sadness_2.wav", "bob", "sad"]


def test_a_preview_writes_nothing_and_a_table_that_is_there_is_kept(recordings, capsys):
    command = ["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav"]
    assert cli.main([*command, "--preview"]) == 0
    assert not (recordings / "utterances.csv").exists()
    assert cli.main(command) == 0
    assert cli.main(command) == 2
    assert "utterances.csv is there already; --overwrite replaces it" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 0


def test_the_table_may_lie_elsewhere(recordings, tmp_path):
    output = tmp_path / "tables" / "mine.csv"
    command = ["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav", "--output", str(output)]
    assert cli.main(command) == 0
    assert len(corpora.read("mine", output, reader="table").utterances) == 36


def test_a_parameters_file_without_two_emotions_is_refused(recordings, tmp_path, capsys):
    plan = tmp_path / "mine.yaml"
    assert cli.main(["table", str(recordings), "--pattern", "{speaker}_*.wav", "--parameters", str(plan)]) == 2
    assert "0 emotions; expected at least two: name {emotion}" in capsys.readouterr().err


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_and_fixed_widths_become_columns(tmp_path):
    touch(tmp_path, "angry/03a01Wa.wav", "sad/03a01Wa.wav", "sad/14b02Ta.FLAC", ".hidden/x.wav", "notes.txt")
    rows = tabulate(tmp_path, "{emotion}/{speaker:2}{dialog:3}*.*").utterances
    assert rows["utterance"].tolist() == ["angry-03a01Wa", "sad-03a01Wa", "sad-14b02Ta"]
    assert rows["speaker"].tolist() == ["03", "03", "14"]
    assert rows["dialog"].tolist() == ["a01", "a01", "b02"]


def test_labels_are_given_their_names_and_other_words_are_understood(tmp_path):
    touch(tmp_path, "ann_W_f_dev.wav", "bob_L_M_train.wav", "cem_Joy_f_eval.wav")
    pattern = "{speaker}_{emotion}_{gender}_{partition}.wav"
    listing = tabulate(tmp_path, pattern, {"W": "angry", "L": None})
    rows = listing.utterances
    assert rows["emotion"].tolist()[::2] == ["angry", "happy"]
    assert listing.without_emotion == ("bob_L_M_train",)
    assert rows["gender"].tolist() == ["female", "male", "female"]
    assert rows["partition"].tolist() == ["development", "train", "test"]
    with pytest.raises(ValueError, match=r"2 labels of emotion are not known: 'L' \(1 times\), 'W' \(1 times\); known"):
        tabulate(tmp_path, pattern)


def test_text_beside_the_audio_is_the_transcript(tmp_path):
    touch(tmp_path, "ann_a.wav", "ann_b.wav")
    (tmp_path / "ann_a.txt").write_text(" Guten\n Tag \n", encoding="utf-8")
    listing = tabulate(tmp_path, "{speaker}_*.wav")
    assert listing.utterances["transcript"].tolist()[0] == "Guten Tag"
    assert listing.transcripts == 1


def test_a_text_file_of_another_editor_is_read_or_named(tmp_path):
    touch(tmp_path, "ann_a.wav", "bob_a.wav")
    (tmp_path / "ann_a.TXT").write_bytes("Guten Tag".encode("utf-8-sig"))
    assert tabulate(tmp_path, "{speaker}_*.wav").utterances["transcript"].tolist()[0] == "Guten Tag"
    (tmp_path / "bob_a.txt").write_bytes("Grüß Gott".encode("utf-16"))
    assert tabulate(tmp_path, "{speaker}_*.wav").utterances["transcript"].tolist()[1] == "Grüß Gott"
    (tmp_path / "bob_a.txt").write_bytes("Grüß Gott".encode("latin-1"))
    with pytest.raises(ValueError, match=r"bob_a\.txt: expected text in UTF-8, .* \(byte 0xfc in line 1 after 'Gr'\)"):
        tabulate(tmp_path, "{speaker}_*.wav")


def test_dialogs_that_are_numbered_in_every_partition_are_kept_apart(tmp_path):
    touch(tmp_path, "train/dia0_joy.wav", "dev/dia0_joy.wav", "dev/dia1_anger.wav")
    rows = tabulate(tmp_path, "{partition}/{dialog}_{emotion}.wav").utterances
    assert rows["dialog"].tolist() == ["development-dia0", "development-dia1", "train-dia0"]
    assert rows["utterance"].tolist() == ["dev-dia0_joy", "dev-dia1_anger", "train-dia0_joy"]


def test_names_of_files_that_say_unknown_name_nobody(tmp_path, capsys):
    touch(tmp_path, "unknown_joy.wav", "OAF_joy.wav", "OAF_anger.wav", "OAF_sad.wav", "OAF_neutral.wav", "OA_joy.wav")
    command = ["table", str(tmp_path), "--pattern", "{speaker}_{emotion}.wav", "--emotions", "W=angry"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "speaker    2: OAF 4, OA 1" in printed
    assert "speakers that may be one person: 'OA' (1), 'OAF' (4)" in printed
    assert "1 labels that were named, and no file has: W" in printed


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{speker}_*.wav", "unknown field 'speker'; did you mean 'speaker'"),
        ("{speaker}_{speaker}.wav", "field 'speaker' is there twice"),
        ("{speaker_*.wav", "a brace stands alone"),
        ("*.wav", "has no field; known: {speaker}"),
        ("{speaker}-{emotion}.wav", r"none of 1 audio files below .* fits .*the first are ann_angry\.wav"),
    ],
)
def test_the_error_for_a_wrong_pattern_says_what_is_wrong(tmp_path, pattern, message):
    touch(tmp_path, "ann_angry.wav")
    with pytest.raises(ValueError, match=message):
        tabulate(tmp_path, pattern)


def test_a_folder_without_audio_says_what_it_holds(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"no audio .*below .*; it holds notes\.txt"):
        tabulate(tmp_path, "{speaker}.wav")


def test_check_takes_the_reader_s_options(recordings, capsys):
    assert cli.main(["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav"]) == 0
    command = ["check", "mine", str(recordings), "--reader", "table", "--scale", "1", "7"]
    assert cli.main([*command, "--option", "emotions={angry: happy}"]) == 0
    printed = capsys.readouterr().out
    assert "happy                    18" in printed
    assert "split        leave one speaker out, 3 folds" in printed
    assert cli.main([*command, "--option", "emotions"]) == 2
    assert "--option 'emotions': expected name=value" in capsys.readouterr().err
    assert cli.main([*command, "--option", "emotions={angry: happy, angry: sad}"]) == 2
    assert "--option emotions: line 1: 'angry' is there twice" in capsys.readouterr().err


def write_table(folder, speakers, **columns) -> str:
    """A table of silent utterances in `folder`, one for each of `speakers`, and its further columns."""
    files = [f"{number}.wav" for number in range(len(speakers))]
    for file in files:
        trees.write(folder / file, trees.wav())
    table = pd.DataFrame({"file": files, "speaker": speakers, "emotion": "sad", **columns})
    table.rename_axis("utterance").reset_index().dropna(axis="columns", how="all").to_csv(
        folder / "utterances.csv", index=False
    )
    return str(folder)


@pytest.mark.parametrize(
    ("speakers", "columns", "lines"),
    [
        (list("abcdefghijklmnopqrstuvwxyz"), {}, ["split        by_speaker_0: train 16, development 5, test 5"]),
        (list("abcabcabc"), {}, ["split        leave one speaker out, 3 folds"]),
        (
            list("ababababab"),
            {"dialog": list("vvwwxxyyzz")},
            [
                "split        by_dialog_0: train 6, development 2, test 2",
                "WARNING: 2 speakers are known of 10 utterances",
            ],
        ),
        (
            list("ababababab"),
            {},
            ["split        by_utterance_0: train 6, development 2, test 2", "WARNING: 2 speakers are known"],
        ),
        (
            ["a"] * 5,
            {},
            ["split        by_utterance_0: train 3, development 1, test 1", "WARNING: 1 speakers are known"],
        ),
        (
            [None] * 5,
            {},
            ["split        by_utterance_0: train 3, development 1, test 1", "WARNING: 0 speakers are known"],
        ),
    ],
    ids=["many", "three", "two-with-dialogs", "two", "one", "unknown"],
)
def test_check_says_how_a_corpus_without_partitions_is_split(tmp_path, capsys, speakers, columns, lines):
    assert cli.main(["check", "table", write_table(tmp_path, speakers, **columns)]) == 0
    printed = capsys.readouterr().out.split("no published counts are known for this corpus\n\n")[1].splitlines()
    for start in lines:
        assert any(line.startswith(start) for line in printed)


def test_check_of_a_corpus_with_partitions_takes_them(tmp_path, capsys):
    root = write_table(tmp_path, list("abc"), partition=["train", "development", "test"])
    assert cli.main(["check", "table", root]) == 0
    printed = capsys.readouterr().out
    assert "partitions   train 1, development 1, test 1" in printed
    assert "split        official: train 1, development 1, test 1 (its own)" in printed
    assert "WARNING: fold official: train (speaker a, 1 utterance) is too small, at least 2 are needed" in printed


def test_check_of_partitions_that_share_a_speaker_says_that_a_run_refuses_them(tmp_path, capsys):
    root = write_table(tmp_path, list("abcabc"), partition=["train", "development", "test", "train", "train", "test"])
    assert cli.main(["check", "table", root]) == 0
    assert "WARNING: a run would refuse this: 1 speakers are in more than one partition, b" in capsys.readouterr().out


def test_check_of_two_utterances_says_that_they_cannot_be_split(tmp_path, capsys):
    assert cli.main(["check", "table", write_table(tmp_path, list("ab"))]) == 0
    assert "WARNING: a run would refuse this: 2 values of 'utterance' (0, 1); expected" in capsys.readouterr().out


def write_corpus(folder, rows, **columns) -> str:
    """A table of the (speaker, emotion) in `rows`, each with a second of noise."""
    random = np.random.default_rng(0)
    for number in range(len(rows)):
        soundfile.write(folder / f"{number}.wav", random.normal(0, 0.1, RATE), RATE)
    table = pd.DataFrame(rows, columns=["speaker", "emotion"]).rename_axis("utterance").reset_index()
    table = table.assign(file=[f"{number}.wav" for number in range(len(rows))], **columns)
    table.to_csv(folder / "utterances.csv", index=False)
    return str(folder)


CLASSES = ("angry", "happy", "sad")


def test_check_names_the_speaker_and_the_class_that_a_fold_lacks(tmp_path, capsys):
    rows = [(speaker, emotion) for speaker in "abcd" for emotion in CLASSES * 2 if (speaker, emotion) != ("d", "sad")]
    assert cli.main(["check", "mine", write_corpus(tmp_path, rows), "--reader", "table"]) == 0
    printed = capsys.readouterr().out
    assert "sound        22 of 22 audio files decoded\n" in printed
    assert "WARNING: fold c: development (speaker d, 4 utterances) has no sad" in printed
    assert "WARNING: fold d: test (speaker d) has no sad" in printed
    assert printed.count("WARNING") == 2


def test_check_names_a_speaker_with_one_utterance(tmp_path, capsys):
    rows = [(speaker, emotion) for speaker in "ab" for emotion in CLASSES * 2] + [("aa", "happy")]
    assert cli.main(["check", "table", write_corpus(tmp_path, rows)]) == 0
    printed = capsys.readouterr().out
    assert "WARNING: speakers with one utterance, 1: aa (happy); are their names misspelt?" in printed
    assert "WARNING: fold a: development (speaker aa, 1 utterance) is too small" in printed


def test_check_counts_what_ratings_a_fold_has(tmp_path, capsys):
    rows = [(speaker, None) for speaker in "abc" for _ in range(3)]
    ratings = [1, 2, 3, 4, 4, 4, 1, 2, 3]
    root = write_corpus(tmp_path, rows, arousal=ratings, valence=[1, 2, 3] * 3, dominance=[1, 2, 3] * 3)
    assert cli.main(["check", "table", root]) == 0
    printed = capsys.readouterr().out
    assert "WARNING: fold a: development (speaker b, 3 utterances) has one value of arousal alone" in printed
    assert printed.count("WARNING") == 1


def test_check_says_that_there_is_nothing_to_learn(tmp_path, capsys):
    assert cli.main(["check", "table", write_corpus(tmp_path, [(speaker, "sad") for speaker in "aabbcc"])]) == 0
    assert "WARNING: sad and no ratings: there is nothing to tell apart" in capsys.readouterr().out


def test_check_cuts_a_long_list(tmp_path, capsys):
    rows = [(f"s{speaker:02d}", emotion) for speaker in range(20) for emotion in ("sad", "happy")[: 1 + speaker % 2]]
    assert cli.main(["check", "table", write_corpus(tmp_path, rows)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("WARNING") == 20
    assert "more warnings" in printed


def spoil(root):
    """One file of each kind that decodes to nothing that can be used, or to nothing that can be heard."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype("float32")
    hole = noise.copy()
    hole[5] = np.nan
    contents = {
        "0.wav": hole,
        "1.wav": 32_767 * noise,
        "2.wav": 1.8 * noise / np.abs(noise).max(),
        "3.wav": np.zeros(RATE, "float32"),
        "4.wav": np.stack([noise, -noise], 1),
    }
    for name, samples in contents.items():
        soundfile.write(root / name, samples, RATE, subtype="FLOAT")


def test_check_decodes_the_audio(tmp_path, capsys):
    root = write_corpus(tmp_path, [(speaker, emotion) for speaker in "abcd" for emotion in CLASSES])
    spoil(tmp_path)
    assert cli.main(["check", "table", root]) == 1
    printed = capsys.readouterr().out
    assert "ERROR: 0.wav: samples that are not finite, 1 of 16000" in printed
    assert "ERROR: 1.wav: samples of up to" in printed
    assert "WARNING: 1  float samples beyond 1, 2.wav (1.8): kept" in printed
    assert "WARNING: 1  silent audio, 3.wav" in printed
    assert "WARNING: 1  channels that cancel each other, 4.wav" in printed


def test_check_decodes_a_sample_and_every_odd_header_or_on_request_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit, "SAMPLE", 2)
    root = write_corpus(tmp_path, [(speaker, emotion) for speaker in "abcd" for emotion in CLASSES])
    soundfile.write(tmp_path / "5.wav", np.full(8_000, 0.1), 8_000)  # odd, and decodes
    broken = np.full(RATE, np.nan, dtype="float32")
    soundfile.write(tmp_path / "7.wav", broken, RATE, subtype="FLOAT")
    assert cli.main(["check", "table", root]) == 0
    assert "sound        3 of 12 audio files decoded; --all-audio decodes all of them" in capsys.readouterr().out
    assert cli.main(["check", "table", root, "--all-audio"]) == 1
    printed = capsys.readouterr().out
    assert "sound        12 of 12 audio files decoded\nERROR: 7.wav: samples that are not finite" in printed


def test_names_that_are_no_utf_8_are_left_out_of_a_table_by_name(recordings, capsys):
    other = os.fsencode(recordings) + b"/m\xfcller_anger_1.wav"
    shutil.copy(recordings / "noise.wav", other)
    assert cli.main(["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav"]) == 0
    printed = capsys.readouterr().out
    assert "2 names do not fit, left out: m\\udcfcller_anger_1.wav (not in UTF-8: rename it), noise.wav" in printed
    assert len(pd.read_csv(recordings / "utterances.csv")) == 36


def test_one_file_is_and_several_are_not_there(tmp_path, capsys):
    root = write_corpus(tmp_path, [(speaker, "sad") for speaker in "abc"])
    (tmp_path / "1.wav").unlink()
    assert cli.main(["check", "table", root]) == 2
    assert "1 of 3 audio files is not there, 1.wav" in capsys.readouterr().err
    (tmp_path / "0.wav").unlink()
    assert cli.main(["check", "table", root]) == 2
    assert "2 of 3 audio files are not there" in capsys.readouterr().err


def test_the_advice_about_a_scale_is_one_for_the_command_line(tmp_path, capsys):
    root = write_corpus(tmp_path, [(speaker, "sad") for speaker in "abc"], arousal=[1, 6, 7])
    assert cli.main(["check", "table", root]) == 2
    assert "as --scale 1 7 (in a parameters file" in capsys.readouterr().err


def test_error_rates_do_not_overwrite_what_they_are_of(tmp_path, capsys):
    root = write_corpus(tmp_path, [(speaker, "sad") for speaker in "abc"], transcript=["a", "b", "c"])
    path = write_recognised(tmp_path / "recognised.csv")
    assert cli.main(["wer", "table", root, "--recognised", path, "--by", "speaker", "--output", path]) == 2
    assert "recognised.csv is what is to be read; name another file" in capsys.readouterr().err


def test_check_takes_other_transcripts(tmp_path, capsys):
    root = write_table(tmp_path, list("abc"))
    (tmp_path / "texts.csv").write_text("utterance,transcript\n0,Yes.\n1,\n")
    assert cli.main(["check", "table", root, "--transcripts", str(tmp_path / "texts.csv")]) == 0
    assert "transcripts  1 with words (1 different), 1 empty, 1 missing" in capsys.readouterr().out


@pytest.mark.parametrize(("texts", "models"), [(False, ["cnn14"]), (True, ["cnn14", "mfcnn14"])])
def test_a_parameters_file_names_the_models_that_the_table_serves(recordings, tmp_path, capsys, texts, models):
    if texts:
        for file in recordings.glob("*.wav"):
            file.with_suffix(".txt").write_text("Good day.")
    parameters = tmp_path / "mine.yaml"
    command = ["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav", "--parameters", str(parameters)]
    assert cli.main(command) == 0
    assert f"`sercore run {parameters}` trains" in capsys.readouterr().out
    (block,) = yaml.safe_load(parameters.read_text())["sections"]["categories"]["blocks"]
    assert set(block["grid"]["model"]) == set(models)
    assert block["fixed"]["training"] == {"recipe": "by_size"}
    (recordings / "utterances.csv").unlink()
    assert cli.main(command) == 2
    assert "mine.yaml is there already; --overwrite replaces it" in capsys.readouterr().err


def test_labels_are_named_on_the_command_line(recordings, capsys):
    command = ["table", str(recordings), "--pattern", "{speaker}_{emotion}_*.wav", "--preview", "--emotions"]
    assert cli.main([*command, "anger=happy", "sadness="]) == 0
    printed = capsys.readouterr().out
    assert "emotion    1: happy 18" in printed
    assert "18 no emotion: ann_sadness_0" in printed
    assert cli.main([*command, "anger"]) == 2
    assert "--emotions 'anger': expected name=value" in capsys.readouterr().err


def write_recognised(path, confidence=True) -> str:
    table = pd.DataFrame({"utterance": ["0", "1", "2"], "transcript": ["good day", "", "yes"]})
    (table.assign(confidence=[0.9, 0.1, 0.5]) if confidence else table).to_csv(path, index=False)
    return str(path)


def rates(command) -> pd.DataFrame:
    assert cli.main(command) == 0
    table = pd.read_csv(command[command.index("--output") + 1], keep_default_na=False)
    return table.set_index(["by", "value"])["wer"]


def test_error_rates_against_the_corpus_s_own_transcripts(tmp_path, capsys):
    root = write_table(tmp_path, list("abc"), transcript=["Good day!", "Well.", "No."])
    recognised = write_recognised(tmp_path / "asr.csv")
    command = ["wer", "table", root, "--recognised", recognised, "--output", str(tmp_path / "wer.csv"), "--by"]
    table = rates([*command, "speaker", "confidence"])
    assert table["all", ""] == 0.5  # of 4 words one is missing and one is another
    assert table["speaker"].tolist() == [0, 1, 1]
    assert table["confidence"].to_dict() == {"low": 1, "middle": 1, "high": 0}
    assert "against the corpus's own transcripts" in capsys.readouterr().out


def test_error_rates_against_a_file_of_reference_transcripts(tmp_path, capsys):
    root = write_table(tmp_path, list("abc"))
    recognised = write_recognised(tmp_path / "asr.csv", confidence=False)
    command = ["wer", "table", root, "--heard", recognised]
    assert cli.main(command) == 2
    assert "has no transcripts of its own; name a CSV of them with --reference" in capsys.readouterr().err
    (tmp_path / "reference.csv").write_text("utterance,transcript\n0,Good day.\n1,Well.\n2,Yes.\n")
    command += ["--reference", str(tmp_path / "reference.csv")]
    assert rates([*command, "--output", str(tmp_path / "wer.csv")])["all", ""] == 0.25
    capsys.readouterr()
    (tmp_path / "reference.csv").write_text("utterance,transcript\n0,Good day.\n1,Well.\n2.wav,Yes.\n")
    assert rates([*command, "--output", str(tmp_path / "wer.csv")])["all", ""] == pytest.approx(1 / 3)
    assert "1 utterance that reference.csv lacks: 2" in capsys.readouterr().out
    assert cli.main([*command, "--by", "confidence"]) == 2
    assert "has no column confidence; leave it out of --by" in capsys.readouterr().err
