"""A trained model on new recordings: the run's own answers, any format and length, and errors in words."""

import base64
import datetime
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import papermill
import pytest
import soundfile
import torch
import torchaudio
from small_runs import FEATURES, calibrated, tiny_encoder

from sercore import corpora, files
from sercore.analysis import figures, interventions
from sercore.commands import cli, models
from sercore.features import asr, hub
from sercore.features.asr import Transcription
from sercore.inference import artifact, stages
from sercore.inference.predictor import find, load, windows
from sercore.inference.segments import Segmentation
from sercore.study import config
from sercore.widgets.microphone import Recorder

RATE = 16_000
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "predict.ipynb"
SHORTEST = 31 * FEATURES["hop"]  # samples of 32 frames


@pytest.fixture(scope="module")
def speech(embedded):
    """An utterance of the corpus, (samples,) at 16 kHz."""
    corpus = corpora.read("iemocap", embedded["iemocap"]["root"])
    return soundfile.read(corpus.root / corpus.utterances["file"].iloc[0], dtype="float32")[0]


@pytest.fixture(scope="module")
def dimensions(acoustic):
    return load(acoustic)


def write(path, waveform, rate=RATE):
    soundfile.write(path, waveform, rate)
    return path


def ratings(table):
    return table[["arousal", "valence", "dominance"]].to_numpy("float64")


def own_answers(run, name, embedded, fold=None):
    """The corpus, and the run's own predictions of its test set."""
    options = dict(embedded[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    table = pd.read_parquet(run / files.PREDICTIONS)
    table = table[(table["partition"] == "test") & (table["test_corpus"] == name)]
    return corpus, table if fold is None else table[table["fold"] == fold]


def test_a_recording_of_the_corpus_gets_the_runs_own_answer(fusion, embedded):
    corpus, own = own_answers(fusion, "msp-podcast", embedded)
    rows = corpus.utterances.set_index("utterance").loc[own["utterance"]]
    predictor = load(fusion)
    answers = predictor([corpus.root / file for file in rows["file"]], rows["transcript"].tolist())
    expected = calibrated(own, predictor.trained.confidence)
    for name in ("p_angry", "p_happy", "p_neutral", "p_sad"):
        np.testing.assert_allclose(answers[name], expected[name], atol=1e-4)
    np.testing.assert_allclose(answers["confidence"], expected.max(axis=1), atol=1e-4)
    assert answers["emotion"].tolist() == own["prediction"].tolist()
    assert answers["trained_on"].unique() == ["msp-podcast (simulated speech)"]


def test_a_fold_is_one_network_and_the_run_is_the_mean_of_all(acoustic, embedded, dimensions):
    corpus, own = own_answers(acoustic, "iemocap", embedded, "Ses01F")
    utterance = own["utterance"].iloc[0]
    path = corpus.root / corpus.utterances.set_index("utterance").loc[utterance, "file"]
    one, other = (ratings(load(acoustic / f"fold={fold}")(path))[0] for fold in ("Ses01F", "Ses02M"))
    answer = own[own["utterance"] == utterance].set_index("target")["prediction"]
    np.testing.assert_allclose(one, answer[["arousal", "valence", "dominance"]], atol=1e-4)
    np.testing.assert_allclose(ratings(dimensions(path))[0], (one + other) / 2, atol=1e-5)
    assert not np.allclose(one, other, atol=1e-3)


def test_dimensions_name_the_corpus_scale(dimensions, speech, tmp_path):
    answers = dimensions(write(tmp_path / "a.wav", speech))
    assert answers["scale"].tolist() == ["1 to 5"]


def resampled(waveform, rate):
    return torchaudio.functional.resample(torch.from_numpy(waveform), RATE, rate).numpy()


@pytest.mark.parametrize(
    ("name", "change", "rate", "tolerance"),
    [
        ("a.flac", lambda x: x, RATE, 0.01),
        ("a.mp3", lambda x: x, RATE, 0.1),
        ("a.ogg", lambda x: x, RATE, 0.1),
        ("stereo.wav", lambda x: np.stack([x, x], axis=1), RATE, 0.01),
        ("48k.wav", lambda x: resampled(x, 48_000), 48_000, 0.1),
        ("8k.wav", lambda x: resampled(x, 8_000), 8_000, 1.0),  # half of the bands are silent
    ],
)
def test_any_format_channels_and_rate_are_taken(dimensions, speech, tmp_path, name, change, rate, tolerance):
    plain = dimensions(write(tmp_path / "plain.wav", speech))
    answers = dimensions(write(tmp_path / name, change(speech), rate))
    assert answers["error"].isna().all()
    assert answers["end"].iloc[0] == pytest.approx(len(speech) / RATE, abs=0.1)
    np.testing.assert_allclose(ratings(answers), ratings(plain), atol=tolerance)


def test_a_tenth_of_a_second_is_followed_by_silence(dimensions, speech, tmp_path):
    short = speech[8000:9600]
    silence = np.zeros(SHORTEST - len(short), dtype="float32")
    answers = dimensions(
        [write(tmp_path / "short.wav", short), write(tmp_path / "long.wav", np.append(short, silence))]
    )
    np.testing.assert_allclose(ratings(answers)[0], ratings(answers)[1], atol=1e-5)
    assert answers["end"].tolist() == pytest.approx([0.1, SHORTEST / RATE])


@pytest.fixture(scope="module")
def long(speech, tmp_path_factory):
    """Ten minutes that grow louder."""
    samples = 600 * RATE
    waveform = np.resize(speech, samples) * np.linspace(0.1, 1, samples, dtype="float32")
    return write(tmp_path_factory.mktemp("long") / "long.wav", waveform)


@pytest.fixture(scope="module")
def over_time(dimensions, long):
    return dimensions(long, windows=10)


def test_ten_minutes_are_predicted_in_windows_that_overlap_by_half(over_time, dimensions, long, tmp_path):
    assert over_time["start"].tolist() == [*range(0, 595, 5)]
    assert (over_time["end"] - over_time["start"] == 10).all()
    waveform, _ = soundfile.read(long, dtype="float32")
    alone = dimensions(write(tmp_path / "part.wav", waveform[300 * RATE : 310 * RATE]))
    np.testing.assert_allclose(ratings(over_time)[60], ratings(alone)[0], atol=1e-4)
    assert over_time["arousal"].std() > 0


def test_the_answer_for_ten_minutes_is_the_mean_of_its_windows(over_time, dimensions, long):
    answers = dimensions(long)
    assert (answers["windows"].tolist(), answers["end"].tolist()) == ([119], [600.0])
    np.testing.assert_allclose(ratings(answers)[0], ratings(over_time).mean(0), atol=1e-4)


def test_the_plot_has_a_point_in_the_middle_of_each_window(over_time):
    figure = figures.plot_over_time(over_time)
    (axis,) = figure.axes
    assert axis.get_xlabel() == "seconds"
    assert axis.get_xlim() == (0, 600)
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines) == ["arousal", "valence", "dominance"]
    assert lines["valence"].get_xdata().tolist() == [*range(5, 600, 5)]
    np.testing.assert_allclose(lines["valence"].get_ydata(), over_time["valence"])
    assert "simulated" in figure.get_supxlabel()
    real = figures.plot_over_time(over_time.assign(trained_on="msp-podcast"))
    assert real.get_supxlabel() == "trained on msp-podcast"
    colours = [drawn._supxlabel.get_color() for drawn in (figure, real)]
    assert colours == [figures.MARK["color"], "black"], "marked like every other figure, where it is simulated"
    with pytest.raises(ValueError, match="0 recordings to draw; expected 1 to 6"):
        figures.plot_over_time(over_time.assign(error="broken"))


def test_the_last_window_ends_where_the_recording_does():
    assert windows(17, 10) == [(0, 10), (5, 15), (7, 17)]
    assert windows(20, 10) == [(0, 10), (5, 15), (10, 20)]
    assert windows(7, 10) == [(0, 7)]


@pytest.fixture(scope="module")
def paused(speech):
    """Two utterances with pauses of noise, for answers to segments."""
    quiet = [np.zeros(round(seconds * RATE), dtype="float32") for seconds in (1.5, 2, 1)]
    waveform = np.concatenate([quiet[0], speech, quiet[1], speech, quiet[2]])
    noise = np.random.default_rng(0).standard_normal(len(waveform)) * 0.02 * speech.std()
    return (waveform + noise).astype("float32")


def test_each_segment_gets_the_answer_that_its_sound_alone_gets(dimensions, paused, tmp_path):
    table = dimensions(write(tmp_path / "a.flac", paused), segments=3.0)
    assert len(table) >= 2
    assert (table["end"] - table["start"]).max() <= 3
    assert table["detector"].unique() == ["silero"]
    start, end = (round(table[name].iloc[1] * RATE) for name in ("start", "end"))
    alone = dimensions(write(tmp_path / "b.flac", paused[start:end]))
    np.testing.assert_allclose(ratings(table)[1], ratings(alone)[0], atol=1e-3)
    with pytest.raises(ValueError, match="in windows or in segments: leave one away"):
        dimensions(tmp_path / "a.flac", segments=3.0, windows=2.0)
    with pytest.raises(ValueError, match=r"segments of 1\.024 to 2\.12 s"):  # 32 frames
        dimensions(tmp_path / "a.flac", segments=2.12)


def test_what_has_no_speech_is_a_row_with_its_error(dimensions, paused, tmp_path):
    broken = np.where(np.arange(len(paused)) == 9000, np.nan, paused).astype("float32")
    sounds = {"silent": np.zeros(3 * RATE), "short": paused[-RATE // 2 :], "broken": broken, "good": paused}
    for name, waveform in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", waveform, RATE, subtype="FLOAT")
    paths = [tmp_path / f"{name}.wav" for name in (*sounds, "lost")]
    table = dimensions(paths, segments=Segmentation(detector="energy"))
    assert table[table["error"].notna()]["error"].tolist() == [
        "nothing but silence, 3.0 s of it",
        "0.50 s of sound, and a segment takes 1.024 s",
        f"samples that are not finite, 1 of {len(paused)}",
        "no such audio file",
    ]
    assert table[table["error"].isna()]["file"].unique() == [str(tmp_path / "good.wav")]


def test_each_segment_is_transcribed_by_itself(fusion, paused, tmp_path):
    table = load(fusion)(write(tmp_path / "a.wav", paused), segments=6.0, recogniser=Counting())
    lengths = ((table["end"] - table["start"]) * RATE).round().astype(int)
    assert table["text"].tolist() == [f"{length} samples" for length in lengths]


def test_the_command_writes_and_draws_segments(acoustic, paused, tmp_path, capsys):
    path = write(tmp_path / "a.flac", paused)
    out, picture = tmp_path / "out.csv", tmp_path / "out.png"
    command = ["predict", str(acoustic), str(path), "--segments", "10", "--output", str(out), "--plot", str(picture)]
    assert cli.main(command) == 0
    table = pd.read_csv(out)
    assert table.columns[:3].tolist() == ["file", "start", "end"]
    printed = capsys.readouterr().out
    length = (table["end"] - table["start"]).sum()
    assert f"{len(table)} segments with speech, {length:.1f} s, by silero" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["predict", str(acoustic), str(path), "--detector", "energy"]) == 2
    assert "give --segments SECONDS too" in capsys.readouterr().err
    assert cli.main(["predict", str(acoustic), str(path), "--segments", "1.5"]) == 2
    assert "expected the longest to be more than twice the shortest" in capsys.readouterr().err


def test_the_command_says_where_no_text_is_known(dimensions, capsys):
    rows = {"file": ["a.wav"] * 2, "start": [0, 3], "end": [2, 5], "windows": [1, 1], "text": [None, "It is late."]}
    about = {"emotion": ["sad"] * 2, "trained_on": ["mine"] * 2, "error": [None] * 2, "detector": ["energy"] * 2}
    table = pd.DataFrame(rows | about)
    models._print_predictions(table, dimensions.trained)
    printed = capsys.readouterr().out
    assert "2 segments with speech, 4.0 s, by energy" in printed
    assert "text that is not known counts as the mean one of training" in printed
    models._print_predictions(table[1:], dimensions.trained)
    assert "the mean one" not in capsys.readouterr().out


def test_each_unreadable_recording_has_an_error_and_the_rest_is_predicted(
    acoustic, dimensions, speech, tmp_path, capsys
):
    folder = tmp_path / "mine"
    (folder / "below").mkdir(parents=True)
    (folder / "b.wav").write_text("no audio")
    (folder / "c.mp3").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "d.wav").write_bytes(b"")
    soundfile.write(folder / "e.wav", np.full(2000, np.nan, dtype="float32"), RATE, subtype="FLOAT")
    write(folder / "a.wav", speech)
    write(folder / "below" / "f.flac", speech)
    (folder / "notes.txt").write_text("no recording")
    (folder / "._a.wav").write_text("what a file system keeps")
    (tmp_path / "g.raw").write_bytes(bytes(2000))
    answers = dimensions([folder, tmp_path / "absent.wav", tmp_path / "g.raw"]).set_index("file")["error"]
    errors = {path.removeprefix(f"{tmp_path}/"): error for path, error in answers.items()}
    assert [name for name, error in errors.items() if pd.isna(error)] == ["mine/a.wav", "mine/below/f.flac"]
    assert list(errors) == [
        "mine/a.wav",
        "mine/b.wav",
        "mine/below/f.flac",
        "mine/c.mp3",
        "mine/d.wav",
        "mine/e.wav",
        "absent.wav",
        "g.raw",
    ]
    assert errors["absent.wav"] == "no such audio file"
    assert errors["mine/e.wav"] == "samples that are not finite, 2000 of 2000"
    assert errors["g.raw"].startswith("headerless")
    assert cli.main(["predict", str(acoustic), str(folder), "--output", str(tmp_path / "out.csv")]) == 1
    printed = capsys.readouterr()
    assert "SIMULATED SPEECH" in printed.out
    assert "files/s" in printed.out
    assert "x real time; 4 could not be used" in printed.out
    assert "b.wav: not an audio file that can be read" in printed.err
    assert pd.read_csv(tmp_path / "out.csv")["error"].notna().sum() == 4


def test_a_model_with_text_needs_it_and_takes_the_empty_one(fusion, speech, tmp_path):
    predictor, path = load(fusion), write(tmp_path / "a.wav", speech)
    with pytest.raises(ValueError, match=r"1 of 1 recordings have no text, .*--text.*--transcribe"):
        predictor(path)
    late, empty = predictor(path, "The train was late."), predictor(path, "")
    assert (late["text"].tolist(), empty["text"].tolist()) == (["The train was late."], [""])
    assert late["p_sad"].tolist() != empty["p_sad"].tolist()
    with pytest.raises(ValueError, match="2 texts for 1 recordings"):
        predictor(path, ["one", "two"])


def test_an_answer_that_is_not_sure_keeps_its_probabilities(fusion, speech, tmp_path, capsys):
    paths = [write(tmp_path / f"{number}.wav", np.roll(speech, 4000 * number)) for number in range(4)]
    predictor = load(fusion)
    plain = predictor(paths, "It was late.")
    threshold = plain["confidence"].median()
    rejected = predictor(paths, "It was late.", reject_below=threshold)
    unsure = (plain["confidence"] < threshold).tolist()
    assert sorted(unsure) == [False, False, True, True]
    assert (rejected["emotion"] == "not sure").tolist() == unsure
    pd.testing.assert_frame_equal(rejected.drop(columns="emotion"), plain.drop(columns="emotion"))
    command = ["predict", str(fusion), *map(str, paths), "--text", "It was late."]
    output = tmp_path / "out.csv"
    assert cli.main([*command, "--reject-below", "1", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "4 of 4 not sure: a confidence below 1.000; fewer than 20 development utterances reach it" in printed
    assert f"confidence: {predictor.trained.confidence}" in printed
    assert pd.read_csv(output)["emotion"].tolist() == ["not sure"] * 4
    known = predictor.trained.confidence
    assert cli.main([*command, "--coverage", "0.5"]) == 0
    point = known.at(known.threshold(coverage=0.5))
    assert (
        f"not sure: a confidence below {point.threshold:.3f}; from there on about {point.coverage:.0%} of the "
        f"development utterances are answered, {point.error:.1%} of these wrongly" in capsys.readouterr().out
    )
    assert cli.main([*command, "--error", "0"]) == 2
    assert "an error of 0.0% or less is not reached on development; the lowest is" in capsys.readouterr().err


def test_ratings_have_no_confidence_but_how_far_off_they_are_is_printed(acoustic, dimensions, speech, tmp_path, capsys):
    path = write(tmp_path / "a.wav", speech)
    with pytest.raises(ValueError, match="gives ratings, which have no confidence; leave out --reject-below"):
        dimensions(path, reject_below=0.5)
    assert cli.main(["predict", str(acoustic), str(path), "--error", "0.1"]) == 2
    assert "gives ratings, which have no confidence" in capsys.readouterr().err
    assert "confidence" not in dimensions(path)
    assert cli.main(["predict", str(acoustic), str(path)]) == 0
    width = dimensions.trained.half_widths["arousal"]
    assert f"90% of development ratings were no farther off than {width:.2f} (arousal), " in capsys.readouterr().out


@pytest.mark.parametrize("below", [80, -0.1, float("nan")])
def test_a_confidence_that_is_no_probability_is_refused(fusion, below):
    with pytest.raises(ValueError, match="expected a probability, from 0 to 1"):
        load(fusion)("a.wav", "", reject_below=below)


def test_an_answer_that_is_not_finite_is_never_a_class(fusion, speech, tmp_path):
    predictor, path = load(fusion), write(tmp_path / "a.wav", speech)
    predictor.networks[0].get_parameter("output.bias").data[1] = np.nan
    with pytest.raises(FloatingPointError, match="1 of 1 answers are not finite"):
        predictor(path, "It was late.", reject_below=0.5)


def test_a_model_without_text_takes_none(dimensions, speech, tmp_path):
    with pytest.raises(ValueError, match="cnn14 takes no text; leave out --text"):
        dimensions(write(tmp_path / "a.wav", speech), "The train was late.")


class Counting:
    """A recogniser that transcribes the length of the sound."""

    def transcribe(self, waveform):
        return Transcription(f"{len(waveform)} samples", 1.0)


def test_each_window_is_transcribed_by_itself_and_given_text_stays(fusion, speech, tmp_path):
    predictor = load(fusion)
    paths = [write(tmp_path / "a.wav", np.resize(speech, 4 * RATE)), write(tmp_path / "b.wav", speech)]
    answers = predictor(paths, [None, "It was late."], windows=2, recogniser=Counting())
    assert answers["text"].tolist()[:3] == ["32000 samples"] * 3
    assert set(answers["text"].tolist()[3:]) == {"It was late."}


def test_a_table_of_recordings_is_read_as_every_table(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("file,transcript\n a.wav ,None\nb.wav, \n")
    assert find([table]) == [(tmp_path / "a.wav", "None", None), (tmp_path / "b.wav", None, None)]
    table.write_text("file,speaker\na.wav, Ada\u00a0 L \nb.wav,\n")
    assert find([table]) == [(tmp_path / "a.wav", None, "Ada L"), (tmp_path / "b.wav", None, None)]
    table.write_text("file,transcript\na.wav,it is late,\n")
    with pytest.raises(ValueError, match=r"mine\.csv, line 2: 3 cells, but 2 columns"):
        find([table])


def test_a_table_brings_files_and_texts(fusion, speech, tmp_path):
    write(tmp_path / "a.wav", speech)
    write(tmp_path / "b.wav", speech)
    table = tmp_path / "mine.csv"
    table.write_text('file,transcript,speaker\na.wav,"It was late.",1\nb.wav,,2\n')
    predictor = load(fusion)
    with pytest.raises(ValueError, match=r"1 of 2 recordings have no text, .*b\.wav"):
        predictor(table)
    assert predictor(table, "")["text"].tolist() == ["It was late.", ""]
    table.write_text("path\na.wav\n")
    with pytest.raises(ValueError, match=r"expected a column .file..*found columns path"):
        predictor(table)


def test_the_command_recognises_speech(fusion, speech, tmp_path, capsys):
    path = write(tmp_path / "a.wav", speech)
    picture = tmp_path / "a.png"
    assert cli.main(["predict", str(fusion), str(path), "--transcribe", "--windows", "2", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "p_angry" in capsys.readouterr().out
    assert cli.main(["predict", str(fusion), str(path), "--text", "", "--plot", str(picture)]) == 2
    assert "give --windows SECONDS or --segments SECONDS too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--output", "answers.txt"], "answers.txt: expected a name that ends in .csv, .parquet"),
        (["--windows", "2", "--plot", "answers.txt"], "answers.txt: expected a name that ends in .png, .pdf, .svg"),
    ],
)
def test_the_command_refuses_a_file_of_another_kind(options, complaint, capsys):
    assert cli.main(["predict", "run", "a.wav", *options]) == 2
    assert complaint in capsys.readouterr().err


def test_the_command_takes_an_engine_and_an_encoder(fusion, encoder, speech, tmp_path, capsys, monkeypatch):
    engines = []
    monkeypatch.setattr(asr, "Recogniser", lambda engine, workers: engines.append((engine, workers)) or Counting())
    path = write(tmp_path / "a.wav", speech)
    options = ["--transcribe", "--engine", "small.en", "--encoder", encoder, "--output", str(tmp_path / "out.parquet")]
    assert cli.main(["predict", str(fusion), str(path), *options]) == 0
    assert engines == [("small.en", torch.get_num_threads())]
    assert pd.read_parquet(tmp_path / "out.parquet")["text"].tolist() == [f"{len(speech)} samples"]
    assert f"{tmp_path / 'out.parquet'}: 1 rows" in capsys.readouterr().out


def test_the_command_prints_the_first_rows_of_many_and_says_how_many_more(acoustic, speech, tmp_path, capsys):
    path = write(tmp_path / "a.wav", np.resize(speech, 24 * RATE))
    assert cli.main(["predict", str(acoustic), str(path), "--windows", "1.1"]) == 0
    printed = capsys.readouterr().out
    assert f"... {len(windows(24 * RATE, round(1.1 * RATE))) - 40} more rows; --output writes all of them" in printed
    assert "ratings from 1 to 5; trained on iemocap (simulated speech)" in printed


def test_the_command_fails_where_no_recording_can_be_used(acoustic, tmp_path, capsys):
    assert cli.main(["predict", str(acoustic), str(tmp_path / "absent.wav")]) == 1
    printed = capsys.readouterr()
    assert "0 recordings, 0.0 s of sound" in printed.out
    assert "1 could not be used" in printed.out
    assert "trained on" not in printed.out
    assert "no such audio file" in printed.err


def test_what_a_notebook_shows_and_passes_depends_on_the_model(fusion, dimensions, monkeypatch):
    predictor = load(fusion)
    assert repr(predictor) == "mfcnn14, trained on SIMULATED speech, msp-podcast: angry, happy, neutral, sad"
    assert predictor.text_options("It was late.", transcribe=False) == {"texts": "It was late."}
    monkeypatch.setattr(asr, "Recogniser", lambda engine, workers: (engine, workers))
    threads = torch.get_num_threads()
    assert predictor.text_options("", transcribe=True) == {"recogniser": (hub.ENGINE, threads)}
    assert dimensions.text_options("It was late.", transcribe=True) == {}


def test_windows_that_hold_fewer_than_32_frames_are_refused(dimensions, speech, tmp_path):
    with pytest.raises(ValueError, match=r"windows of 0.5 s; expected a number of seconds, at least 1.0\d+"):
        dimensions(write(tmp_path / "a.wav", speech), windows=0.5)
    with pytest.raises(ValueError, match="no recordings; name at least one"):
        dimensions([])


@pytest.mark.parametrize("seconds", ["inf", "nan", "-1"])
def test_windows_are_a_number_of_seconds(acoustic, dimensions, speech, tmp_path, capsys, seconds):
    write(tmp_path / "a.wav", speech)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["predict", str(acoustic), str(tmp_path / "a.wav"), f"--windows={seconds}"])
    assert f"--windows: expected more than 0, 86,400 or less, not {seconds}" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"expected a number of seconds, at least 1\.024"):
        dimensions(tmp_path / "a.wav", windows=float(seconds))


def test_a_table_that_is_read_is_not_overwritten(acoustic, speech, tmp_path, capsys):
    write(tmp_path / "a.wav", speech)
    (tmp_path / "t.csv").write_text("file\na.wav\n")
    assert cli.main(["predict", str(acoustic), str(tmp_path / "t.csv"), "--output", str(tmp_path / "t.csv")]) == 2
    assert "t.csv is what is to be read; name another file" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_name_that_is_no_utf_8_is_predicted_and_written(acoustic, speech, tmp_path, capsys, suffix):
    write(tmp_path / "a.wav", speech)
    (tmp_path / "mine").mkdir()
    shutil.copy(tmp_path / "a.wav", os.fsencode(tmp_path / "mine") + b"/m\xfcller.wav")
    output = tmp_path / f"out.{suffix}"
    assert cli.main(["predict", str(acoustic), str(tmp_path / "mine"), "--output", str(output)]) == 0
    written = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    assert written["file"].tolist() == [f"{tmp_path}/mine/m\\udcfcller.wav"]
    assert "m\\udcfcller.wav" in capsys.readouterr().out


def test_a_folder_without_a_model_is_refused_with_what_to_give_instead(acoustic, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; expected a run's folder"):
        artifact.read(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"is no run, but holds 1, multitask/run; name one"):
        artifact.read(acoustic.parents[1])
    with pytest.raises(FileNotFoundError, match="has lost its networks, fold=Ses09F"):
        (acoustic / "fold=Ses09F").mkdir()
        artifact.read(acoustic / "fold=Ses09F")
    shutil.copy(acoustic / files.PARAMETERS, tmp_path)
    with pytest.raises(FileNotFoundError, match="is not complete"):
        artifact.read(tmp_path)
    (tmp_path / files.RESIDUALS).touch()
    with pytest.raises(ValueError, match="residuals of other runs"):
        artifact.read(tmp_path)


def test_an_encoder_of_another_width_is_refused(fusion, tmp_path):
    with pytest.raises(hub.EncoderError, match=r"takes embeddings of 8 numbers, the text encoder .* gives 12"):
        load(fusion, encoder=tiny_encoder(tmp_path / "wider", 12))


def test_the_number_of_torchs_threads_is_restored(dimensions, speech, tmp_path):
    threads = torch.get_num_threads()
    dimensions(write(tmp_path / "a.wav", speech))
    assert torch.get_num_threads() == threads


def test_the_notebooks_buttons_bring_files_and_recordings(dimensions, speech, tmp_path):
    recorder = Recorder(dimensions, uses_text=False)
    content = write(tmp_path / "a.flac", speech).read_bytes()
    upload = {"type": "audio/flac", "size": len(content), "last_modified": datetime.datetime.now(datetime.UTC)}
    recorder.upload.value = (
        {"name": "mine.flac", "content": memoryview(content), **upload},
        {"name": "bad.wav", "content": memoryview(b"no audio"), **upload},
    )
    uploaded = recorder.answers.set_index("file")
    assert uploaded["error"].isna().tolist() == [True, False]
    sent = write(tmp_path / "a.wav", speech).read_bytes()
    recorder.sent.value = base64.b64encode(sent).decode()
    assert recorder.answers["file"].tolist() == ["recording.wav"]
    np.testing.assert_allclose(ratings(recorder.answers)[0], ratings(uploaded.iloc[:1])[0], atol=1e-3)
    assert recorder.sent.value == ""


def test_the_notebook_draws_a_recording_over_time(dimensions, speech, tmp_path):
    drawn = []
    recorder = Recorder(dimensions, uses_text=False, windows=1.1, draw=drawn.append)
    content = write(tmp_path / "a.wav", speech).read_bytes()
    recorder.sent.value = base64.b64encode(content).decode()
    (table,) = drawn
    assert len(table) == len(windows(len(speech), round(1.1 * RATE))) > 1


def test_in_the_notebook_an_empty_field_of_text_is_the_empty_text_or_is_transcribed(fusion, speech, tmp_path):
    predictor, sounds = load(fusion), {"a.wav": write(tmp_path / "a.wav", speech).read_bytes()}
    assert Recorder(predictor, uses_text=True).predict(sounds)["text"].tolist() == [""]
    recorder = Recorder(predictor, uses_text=True, recogniser=Counting())
    assert recorder.predict(sounds)["text"].tolist() == [f"{len(speech)} samples"]
    recorder.text.value = "It was late."
    assert recorder.predict(sounds)["text"].tolist() == ["It was late."]


def test_the_notebooks_slider_changes_what_is_not_sure_without_another_prediction(fusion, speech, tmp_path):
    predictor, calls = load(fusion), []

    def predict(paths, **options):
        calls.append(len(paths))
        return predictor(paths, **options)

    recorder = Recorder(predict, uses_text=True, reject_below=0.0)
    assert recorder.threshold.layout.display == ""
    recorder.threshold.value = 0.5  # before anything was asked
    recorder.threshold.value = 0.0
    recorder.sent.value = base64.b64encode(write(tmp_path / "a.wav", speech).read_bytes()).decode()
    (emotion,) = recorder.answers["emotion"]
    assert emotion in predictor.trained.names
    recorder.threshold.value = 1.0
    assert recorder.answers["emotion"].tolist() == ["not sure"]
    recorder.threshold.value = 0.0
    assert recorder.answers["emotion"].tolist() == [emotion]
    assert calls == [1]
    assert Recorder(predict, uses_text=True).threshold.layout.display == "none"


@pytest.mark.long
@pytest.mark.parametrize("model", ["fusion", "acoustic"])
def test_the_notebook_predicts_the_recordings_of_its_parameters(model, speech, tmp_path, request):
    path = write(tmp_path / "a.wav", speech)
    parameters = {"run": str(request.getfixturevalue(model)), "recordings": [str(path)], "windows": 1.1}
    parameters |= {"reject_below": 1.0} if model == "fusion" else {}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", parameters, progress_bar=False, kernel_name="python3")
    answers = load(parameters["run"])(path, "" if model == "fusion" else None)
    column = "p_sad" if model == "fusion" else "valence"
    text = (tmp_path / "out.ipynb").read_text()
    assert str(round(answers[column].iloc[0], 6)) in text
    assert ("<td>not sure</td>" in text) == (model == "fusion")


@pytest.fixture(scope="module")
def own(fusion, embedded):
    """Interventions on the fusion model for its own test utterances."""
    return stages.of_run(fusion, embedded, fusion.parents[1] / "cache")


def test_a_finished_run_and_its_folds_are_told_something_else(own, fusion, embedded, tmp_path, capsys, monkeypatch):
    pd.testing.assert_frame_equal(pd.read_parquet(fusion / files.STAGES), own)
    assert sorted(own["stage"].unique()) == list(range(8))
    before = own_answers(fusion, "msp-podcast", embedded)[1]
    np.testing.assert_allclose(own[own["stage"] == 0]["p_sad"], before["p_sad"], rtol=1e-5)
    (fusion / files.STAGES).unlink()
    study = SimpleNamespace(corpora=embedded, outputs=fusion.parents[1])
    monkeypatch.setattr(config, "load", lambda path: study if path == "mine.yaml" else None)
    out = tmp_path / "out.parquet"
    assert cli.main(["stages", str(fusion / "fold=official"), "--study", "mine.yaml", "--output", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "UAR" in printed
    assert f"{len(before)} of its test utterances" in printed
    assert "moved" not in printed
    pd.testing.assert_frame_equal(pd.read_parquet(out), interventions.effects(own))
    assert not (fusion / files.STAGES).exists(), "one fold is not the run"


def test_a_run_is_not_asked_about_another_corpus(fusion, acoustic, embedded, tmp_path):
    with pytest.raises(ValueError, match=r"no text conditions a stage of this cnn14, .*: sfcnn14, mfcnn14"):
        stages.of_run(acoustic, embedded, tmp_path)
    with pytest.raises(ValueError, match="was trained on 'msp-podcast'; the study's corpora are iemocap"):
        stages.of_run(fusion, {"iemocap": embedded["iemocap"]}, tmp_path)
    run = shutil.copytree(fusion, tmp_path / "run")
    provenance = files.read_json(run / files.PROVENANCE)
    provenance["corpora"]["msp-podcast"]["fingerprint"]["table"] = "another"
    files.write_record(run / files.PROVENANCE, provenance)
    with pytest.raises(ValueError, match=r"is not what .* was trained on: name the study that made it"):
        stages.of_run(run, embedded, tmp_path)


def test_recordings_of_the_corpus_are_told_the_same_as_its_test_utterances(own, fusion, embedded):
    corpus, _ = own_answers(fusion, "msp-podcast", embedded)
    rows = corpus.utterances.set_index("utterance").loc[own["utterance"].unique()[:6]]
    table, errors = load(fusion).intervene([corpus.root / file for file in rows["file"]], rows["transcript"].tolist())
    assert not errors
    assert len(table) == 6 * own[["stage", "told"]].drop_duplicates().shape[0]
    for told in ("own text", "mean text", "2 x the text"):
        expected = own[(own["told"] == told) & own["utterance"].isin(rows.index)]
        np.testing.assert_allclose(table[table["told"] == told]["p_sad"], expected["p_sad"], atol=1e-4)
    moved = interventions.effects(table)
    assert (moved["value"] > 0).tolist() == (moved["stage"] > 0).tolist()
    assert moved[moved["stage"].between(1, 6)]["explained"].between(0, 1).all()


def test_the_command_prints_writes_and_draws_what_stages_take_from_the_text(fusion, speech, tmp_path, capsys):
    write(tmp_path / "a.wav", speech)
    write(tmp_path / "long.wav", np.resize(speech, 61 * RATE))
    table, out, picture = (tmp_path / name for name in ("mine.csv", "out.csv", "out.png"))
    table.write_text("file,transcript\na.wav,It was late.\nlong.wav,I am so happy.\nlost.wav,No.\n")
    command = ["stages", str(fusion), str(table), "--output", str(out), "--plot", str(picture)]
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    assert "lost.wav: no such audio file" in printed.err
    assert re.search(r"another's text +\d+\.\d", printed.out)
    assert "13 recordings, each stage told something else\nmoved: how far" in printed.out, "windows count each"
    assert "SIMULATED" in printed.out
    assert set(pd.read_csv(out)["measure"]) == {"moved"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["stages", str(fusion), str(tmp_path / "lost.wav"), "--text", ""]) == 1
    printed = capsys.readouterr()
    assert (printed.out, "lost.wav: no such" in printed.err) == ("", True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "name either recordings, or by --study"),
        (["a.wav", "--study", "demo.yaml"], "name either recordings, or by --study"),
        (
            ["--study", "demo.yaml", "--text", ""],
            "with --study, transcripts, speakers and the encoder are those of the run",
        ),
        (["a.wav", "--plot", "a.txt"], "expected a name that ends in .png"),
        (["a.wav"], "1 of 1 recordings have no text"),
        (
            ["a.wav", "--text", "It was late."],
            "one transcript for all of 1 recordings; expected at least two",
        ),
    ],
)
def test_the_command_refuses_what_tells_no_stage_anything_else(
    fusion, speech, options, complaint, tmp_path, monkeypatch, capsys
):
    write(tmp_path / "a.wav", speech)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["stages", str(fusion), *options]) == 2
    assert complaint in capsys.readouterr().err


def test_a_model_without_stages_is_not_told_anything(acoustic, speech, tmp_path, capsys):
    assert cli.main(["stages", str(acoustic), str(write(tmp_path / "a.wav", speech))]) == 2
    assert "no text conditions a stage of this cnn14" in capsys.readouterr().err
