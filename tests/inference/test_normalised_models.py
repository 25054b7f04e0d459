"""A model whose log-mels are normalised over speakers, from its training to its card: nothing of that is forgotten."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import soundfile
from huggingface_hub import ModelCard
from small_runs import calibrated, train

from sercore import corpora, files
from sercore.commands import cli
from sercore.inference import artifact, card, export
from sercore.inference.predictor import Predictor, load
from sercore.settings import NormalisationSettings

LEFT_OUT = "Ses01F"


@pytest.fixture(scope="module")
def run(embedded, tmp_path_factory):
    """CNN14 with every one of its test speaker's recordings behind each answer, trained with gains."""
    return train(
        tmp_path_factory.mktemp("normalised"),
        embedded,
        "categories",
        corpus="iemocap",
        corpora={"iemocap": embedded["iemocap"]},
        folds=[LEFT_OUT],
        network={"width": 2, "normalisation": {"over": "speaker"}, "regression": 0.5},
        training={
            "epochs": 2,
            "batch": 8,
            "learning_rate": 0.05,
            "crop_seconds": 1.5,
            "augmentation": {"gain_decibels": 6},
        },
    )


@pytest.fixture(scope="module")
def speech(embedded):
    """The corpus."""
    return corpora.read("iemocap", embedded["iemocap"]["root"])


def normalised(run, **settings):
    """The model of `run` with a normalisation of other settings; None: without any."""
    trained = artifact.read(run)
    other = NormalisationSettings(**settings) if settings else None
    return Predictor(dataclasses.replace(trained, network=dataclasses.replace(trained.network, normalisation=other)))


def answers(table):
    return table[[column for column in table if column.startswith("p_")]].to_numpy("float64")


def first_files(speech, number=3):
    """Recordings of the speaker that was left out."""
    return [speech.root / name for name in speech.utterances.query("speaker == @LEFT_OUT")["file"][:number]]


def test_all_recordings_of_a_speaker_together_get_the_runs_own_answers(run, speech, tmp_path):
    own = pd.read_parquet(run / files.PREDICTIONS).query("partition == 'test'").set_index("utterance")
    rows = speech.utterances.query("speaker in [@LEFT_OUT, 'Ses02F']")
    rows = rows[(rows["speaker"] == LEFT_OUT) | (rows["speaker"].shift(-2) != rows["speaker"])]  # some of another's
    assert rows["speaker"].nunique() == 2
    table = rows[["file", "speaker"]].assign(file=[str(speech.root / name) for name in rows["file"]])
    table.to_csv(tmp_path / "recordings.csv", index=False)
    made, alone = (
        predictor(tmp_path / "recordings.csv").set_index(pd.Index(rows["utterance"])).loc[own.index]
        for predictor in (load(run), normalised(run, over="utterance"))
    )
    expected = calibrated(own, load(run).trained.confidence)
    assert np.allclose(answers(made), expected, atol=1e-5)
    assert not np.allclose(answers(alone), expected, atol=1e-4)


def test_one_without_a_speaker_is_normalised_by_itself_and_that_is_said(run, speech):
    recordings = first_files(speech)
    with pytest.warns(
        UserWarning, match=r"3 of 3 recordings have no speaker, .*: each of these is normalised by itself"
    ):
        made = load(run)(recordings)
    assert np.allclose(answers(made), answers(normalised(run, over="utterance")(recordings)), atol=1e-6)
    with pytest.warns(UserWarning, match="1 of 3 recordings have no speaker"):
        two = load(run)(recordings, speakers=["x", None, "x"])
    assert np.allclose(answers(two)[1], answers(made)[1], atol=1e-6)
    assert not np.allclose(answers(two)[0], answers(made)[0], atol=1e-6)
    with pytest.raises(ValueError, match="2 speakers for 3 recordings; expected one for each, or one for all"):
        load(run)(recordings, speakers=["x", "y"])


def test_speakers_are_refused_where_they_have_no_influence(run, speech):
    for predictor in (normalised(run), normalised(run, over="utterance"), normalised(run, over="corpus")):
        with pytest.raises(ValueError, match=r"not normalised over speakers; leave out --speaker"):
            predictor(first_files(speech), speakers="x")


@pytest.mark.parametrize("settings", [{"over": "utterance"}, {"over": "corpus", "of": "level"}])
def test_a_gain_of_all_recordings_does_not_change_the_answers(run, speech, tmp_path, settings):
    recordings, quieter = first_files(speech), []
    for path in recordings:
        waveform, rate = soundfile.read(path)
        quieter.append(tmp_path / path.name)
        soundfile.write(quieter[-1], 0.5 * waveform, rate, subtype="FLOAT")
    changed, usual = (
        np.abs(answers(predictor(recordings)) - answers(predictor(quieter))).max()
        for predictor in (normalised(run, **settings), normalised(run))
    )
    assert changed < 0.1 * usual  # what is left is the rounding of the cache


def test_windows_of_a_recording_share_the_mean_of_its_speaker_or_have_their_own(run, speech):
    recordings = first_files(speech, 1)
    shared = load(run)(recordings, speakers="x", windows=1.1)
    alone = normalised(run, over="utterance")(recordings, windows=1.1)
    assert len(shared) == len(alone) > 1
    assert not np.allclose(answers(shared), answers(alone), atol=1e-6)


def test_the_command_names_the_speaker(run, speech, capsys):
    path = str(first_files(speech)[0])
    assert cli.main(["predict", str(run), path, "--speaker", "x"]) == 0
    assert "1 recording" in capsys.readouterr().out


def test_settings_card_and_inputs_say_how_it_is_normalised_and_augmented(run, tmp_path):
    folder = export.export(run, tmp_path / "exported")
    content = files.read_json(folder / "settings.json")
    assert content["network"]["regression"] == 0.5
    assert content["network"]["normalisation"] == {"over": "speaker", "of": "channel"}
    assert content["made"]["settings"]["training"]["augmentation"]["gain_decibels"] == 6
    trained = artifact.read(folder)
    assert trained.normalisation == NormalisationSettings(over="speaker")
    text = ModelCard.load(folder / "README.md").text
    assert "**Normalised**: the mean of the frames of all recordings of its speaker, in each band is brought to" in text
    assert "with who talks: `predict(files, speakers=[...])`" in text
    assert "Unlabelled test recordings are used: log-mels are normalised over all recordings of each speaker" in text
    assert "augmented (gain_decibels 6.0); " in text
    assert (
        "**Regression**: the logits (of ratings the ratings) are averaged with those of a linear regression on each mel"
        in text
    )
    assert export._normalised(trained) == (
        ", normalised before: the mean of the frames of all recordings of its speaker, in each band brought to -40 dB, "
        "frames of digital silence (-100 dB in all bands) left as they are"
    )
    plain = dataclasses.replace(trained, network=dataclasses.replace(trained.network, normalisation=None))
    assert export._normalised(plain) == ""
    assert card._augmented({"augmentation": None}) == card._augmented({}) == ""
