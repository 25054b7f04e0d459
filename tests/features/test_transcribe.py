"""Speech is recognised once, whatever happens meanwhile, by whichever engine."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import tiny_recognisers

from sercore import corpora
from sercore.commands import cli
from sercore.commands import transcripts as transcripts_command
from sercore.corpora import synthetic, transcripts
from sercore.corpora.synthetic import msp_podcast
from sercore.features import asr, audio, transcribe

UTTERANCES = 7


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The first few utterances of a miniature corpus; tests that change its audio work on a copy."""
    folder = tmp_path_factory.mktemp("corpus") / "msp-podcast"
    synthetic.speak("msp-podcast", folder, size=0.01)
    whole = corpora.read("msp-podcast", folder)
    return dataclasses.replace(whole, utterances=whole.utterances.head(UTTERANCES))


@pytest.fixture(scope="module")
def recogniser():
    return asr.Recogniser()


@pytest.fixture(scope="module")
def recognised(corpus, tmp_path_factory):
    return transcribe.transcribe(corpus, tmp_path_factory.mktemp("transcripts"), workers=1)


def waveform(corpus, row: int) -> np.ndarray:
    return soundfile.read(corpus.root / corpus.utterances["file"][row], dtype="float32")[0]


def test_most_words_are_recognised_with_engine_and_confidence(corpus, recognised):
    table = pd.read_csv(recognised)
    reference = {turn.utterance: turn.text for turn in msp_podcast.script(0, 0.01, None).turns}
    assert list(table.columns) == ["utterance", "transcript", "engine", "confidence"]
    assert table["utterance"].tolist() == corpus.utterances["utterance"].tolist()
    assert set(table["engine"]) == {"tiny.en"}
    assert table["confidence"].between(0.05, 1).all()
    assert (
        transcripts.word_error_rate([reference[name] for name in table["utterance"]], table["transcript"].tolist())
        < 0.6
    )


def test_the_reader_of_the_corpus_takes_the_transcripts(corpus, recognised):
    whole = corpora.read("msp-podcast", corpus.root, transcripts=recognised)
    by_utterance = whole.utterances.set_index("utterance")["transcript"]
    assert by_utterance.dropna().to_dict() == transcripts.read_transcripts(recognised)
    assert by_utterance.notna().sum() == UTTERANCES


def test_the_same_audio_is_not_transcribed_twice(corpus, recognised):
    written = recognised.stat().st_mtime_ns
    calls = []
    again = transcribe.transcribe(corpus, recognised.parent, progress=lambda *done: calls.append(done))
    assert (again, again.stat().st_mtime_ns, calls) == (recognised, written, [])


def test_the_number_of_workers_does_not_change_the_transcripts(corpus, recognised, tmp_path, monkeypatch):
    monkeypatch.setattr(transcribe, "CHUNK", 2)
    assert transcribe.transcribe(corpus, tmp_path, workers=2).read_text() == recognised.read_text()


def test_a_killed_run_goes_on_where_it_was(corpus, recognised, tmp_path, monkeypatch):
    monkeypatch.setattr(transcribe, "CHUNK", 2)

    def interrupt(done: int, total: int) -> None:
        assert (done, total) == (2, UTTERANCES)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcribe.transcribe(corpus, tmp_path, workers=1, progress=interrupt)
    kept = sorted(tmp_path.glob("*.parts/*.csv"))
    assert 1 <= len(kept) < 4
    assert not list(tmp_path.glob("*.csv"))
    calls = []
    path = transcribe.transcribe(corpus, tmp_path, workers=1, progress=lambda *done: calls.append(done))
    assert len(calls) == 4 - len(kept)
    assert calls[-1] == (UTTERANCES, UTTERANCES)
    assert path.read_text() == recognised.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_other_audio_or_another_beam_is_another_file(corpus, recognised, tmp_path):
    (tmp_path / "Audios").mkdir()
    for file in corpus.utterances["file"]:
        (tmp_path / file).write_bytes((corpus.root / file).read_bytes())
    copy = dataclasses.replace(corpus, root=tmp_path, utterances=corpus.utterances.head(1))
    names = [
        transcribe.transcribe(copy, tmp_path / "transcripts").name,
        transcribe.transcribe(copy, tmp_path / "transcripts", beam=2).name,
    ]
    soundfile.write(tmp_path / copy.utterances["file"][0], waveform(corpus, 1), 16_000)
    names.append(transcribe.transcribe(copy, tmp_path / "transcripts").name)
    assert len({*names, recognised.name}) == 4


def test_audio_longer_than_whispers_window_is_transcribed_to_the_end(corpus, recogniser):
    early, late = waveform(corpus, 0), waveform(corpus, 1)
    pause = np.zeros(30 * 16_000 - len(early), dtype=np.float32)
    both = recogniser.transcribe(np.concatenate([early, pause, late]))
    end = recogniser.transcribe(late).transcript
    assert both.transcript.endswith(end)
    assert len(transcripts.words(both.transcript)) > len(transcripts.words(end)) > 0


def test_silence_is_no_speech(recogniser):
    noise = np.random.default_rng(0).normal(0, 1e-4, 32_000)
    assert len(transcripts.words(recogniser.transcribe(noise.astype(np.float32)).transcript)) <= 1


def test_audio_that_cannot_be_read_is_named(corpus, tmp_path):
    first = corpus.utterances.head(1)
    (tmp_path / "broken.wav").write_bytes(b"RIFF no more")
    broken = dataclasses.replace(corpus, root=tmp_path, utterances=first.assign(file="broken.wav"))
    with pytest.raises(audio.AudioError, match=r"no utterance can be transcribed:\n.*broken\.wav: not an audio file"):
        transcribe.transcribe(broken, tmp_path / "transcripts")
    absent = dataclasses.replace(corpus, root=tmp_path, utterances=first.assign(file="absent.wav"))
    with pytest.raises(audio.AudioError, match=rf"{first['utterance'][0]}: .*absent\.wav: no such audio file"):
        transcribe.transcribe(absent, tmp_path / "transcripts")


def test_one_broken_file_does_not_lose_the_other_transcripts(corpus, tmp_path, capsys):
    two = corpus.utterances.head(2)
    shutil.copy(corpus.root / two["file"][0], tmp_path / "whole.wav")
    soundfile.write(tmp_path / "broken.wav", np.full(8_000, np.nan, "float32"), 16_000, subtype="FLOAT")
    spoilt = dataclasses.replace(corpus, root=tmp_path, utterances=two.assign(file=["whole.wav", "broken.wav"]))
    path = transcribe.transcribe(spoilt, tmp_path / "transcripts")
    assert list(transcripts.read_transcripts(path)) == [two["utterance"][0]]
    problems = transcribe.unusable(spoilt, path)
    assert list(problems) == [two["utterance"][1]]
    assert "broken.wav: samples that are not finite" in problems[two["utterance"][1]]
    soundfile.write(tmp_path / "broken.wav", np.full(8_000, 0.1, "float32"), 16_000, subtype="FLOAT")
    assert "remove the transcripts to try again" in transcribe.unusable(spoilt, path)[two["utterance"][1]]
    soundfile.write(tmp_path / "broken.wav", np.full(8_000, np.nan, "float32"), 16_000, subtype="FLOAT")
    spoilt.utterances[["utterance", "file", "speaker"]].to_csv(tmp_path / "utterances.csv", index=False)
    output = tmp_path / "out" / "all.csv"
    assert cli.main(["transcribe", "table", str(tmp_path), "--output", str(output)]) == 1
    printed = capsys.readouterr()
    assert "1 could not be used and is not in it" in printed.out
    assert f"{two['utterance'][1]}: " in printed.err
    table = str(tmp_path / "utterances.csv")
    assert cli.main(["transcribe", "table", table, "--output", table]) == 2
    assert "utterances.csv is what is to be read" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"beam": 0}, {"workers": 0}])
def test_less_than_one_beam_or_worker_is_refused(wrong, corpus, tmp_path):
    with pytest.raises(ValueError, match="expected both at least 1"):
        transcribe.transcribe(corpus, tmp_path, **wrong)


def test_an_embedded_corpus_has_reference_transcripts(corpus, tmp_path):
    reference = synthetic.reference_transcripts(corpus.root)
    assert reference == {turn.utterance: turn.text for turn in msp_podcast.script(0, 0.01, None).turns}
    path = tmp_path / "gold.csv"
    transcripts_command.write_reference("msp-podcast", corpus.root, path, None)
    assert transcripts.read_transcripts(path) == reference


def test_reference_transcripts_alone_need_no_recognition(tmp_path, capsys):
    command = ["speak", "msp-podcast", "--folder", str(tmp_path), "--size", "0.01", "--no-recognition"]
    assert cli.main(command) == 0
    assert "msp-podcast: reference transcripts" in capsys.readouterr().out
    reference = synthetic.reference_transcripts(tmp_path / "msp-podcast")
    assert transcripts.read_transcripts(tmp_path / "transcripts" / "msp-podcast-gold.csv") == reference
    assert not (tmp_path / "transcripts" / "msp-podcast.csv").exists()


@pytest.mark.long
def test_transcripts_of_a_corpus_synthesised_elsewhere_are_there_too(tmp_path, capsys):
    command = ["speak", "--folder", str(tmp_path), "--size", "0.01"]
    assert cli.main(command) == 0
    assert "iemocap: synthesised in" in capsys.readouterr().out
    assert cli.main(["speak", "iemocap", *command[1:]]) == 0
    assert "iemocap: there already" in capsys.readouterr().out
    reference = synthetic.reference_transcripts(tmp_path / "msp-podcast")
    assert transcripts.read_transcripts(tmp_path / "transcripts" / "msp-podcast-gold.csv") == reference
    assert transcripts.read_transcripts(tmp_path / "transcripts" / "msp-podcast.csv").keys() <= reference.keys()
    assert "outputs" not in capsys.readouterr().out


def test_other_corpora_and_other_sentences_have_no_reference_transcripts(corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"SIMULATED\.txt; expected a corpus that `sercore speak` made"):
        synthetic.reference_transcripts(tmp_path)
    sentences = tmp_path / "rated.csv"
    sentences.write_text("text,valence,arousal,dominance\nGood day.,1,1,1\n")
    with pytest.raises(ValueError, match=r"was made from other sentences than .*rated\.csv"):
        synthetic.reference_transcripts(corpus.root, sentences)


@pytest.mark.long
def test_an_engine_of_transformers_gives_the_same_in_several_processes_as_in_one(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(transcribe, "CHUNK", 4)
    engine = str(tiny_recognisers.write_wav2vec2(tmp_path / "tiny"))
    alone = transcribe.transcribe(corpus, tmp_path / "alone", engine, workers=1)
    together = transcribe.transcribe(corpus, tmp_path / "together", engine, workers=2)
    assert together.name == alone.name
    assert together.read_text() == alone.read_text()
    table = pd.read_csv(alone)
    assert set(table["engine"]) == {"tiny"}
    assert table["confidence"].between(0, 1).all()


def test_the_commands_transcribe_a_corpus_and_print_error_rates(corpus, tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "parameters").mkdir()
    monkeypatch.chdir(tmp_path)  # a project without outputs
    engine = str(tiny_recognisers.write_wav2vec2(tmp_path / "tiny"))
    root = str(corpus.root)
    assert cli.main(["transcribe", "msp-podcast", root, "--model", engine, "--workers", "1", "--output", "t.csv"]) == 0
    assert cli.main(["wer", "msp-podcast", root, "--heard", "t.csv", "--by", "gender", "--output", "w.csv"]) == 0
    printed = capsys.readouterr().out
    assert "against the sentences that the corpus was synthesised from" in printed
    rates = pd.read_csv(tmp_path / "w.csv")
    assert rates["by"].tolist()[:2] == ["all", "gender"]
    assert rates["wer"][0] > 0.9  # random weights
    assert rates["words"][0] == rates[rates["by"] == "gender"]["words"].sum()
    assert cli.main(["transcribe", "msp-podcast", root, "--model", engine, "--workers", "1"]) == 0
    (output,) = (tmp_path / "outputs" / "transcripts").glob("msp-podcast-*tiny.csv")
    assert output.read_bytes() == (tmp_path / "t.csv").read_bytes()
    assert cli.main(["wer", "msp-podcast", root]) == 2
    assert "make it with `sercore transcribe msp-podcast" in capsys.readouterr().err
