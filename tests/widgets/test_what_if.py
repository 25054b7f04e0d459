"""What a model would have answered to other words or another level, of the networks of finished runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from small_runs import calibrated, tiny_encoder, train

from sercore import corpora, files
from sercore.inference.predictor import load
from sercore.settings import NormalisationSettings
from sercore.study import config
from sercore.widgets import sound, what_if
from sercore.widgets.utterances import UtteranceList
from sercore.widgets.what_if import Question, WhatIf

OTHER = "the keys are on the table"


@pytest.fixture(scope="module")
def trained(embedded, tmp_path_factory):
    """A study of MFCNN14 and SFCNN14 in categories, of BERT too, and of MFCNN14 in ratings; the encoder is tiny."""
    home = tmp_path_factory.mktemp("what-if")
    text = {"encoder": tiny_encoder(home / "bert"), "tokens": 16}
    runs = []
    for section, model in (
        ("categories", "bert"),
        ("categories", "cnn14"),
        ("categories", "sfcnn14"),
        ("categories", "mfcnn14"),
        ("multitask", "mfcnn14"),
    ):
        folder = train(home / model, embedded, section, model=model, text={} if model == "cnn14" else text)
        runs.append(
            config.Run(
                study="small",
                section=section,
                name=f"model={model}",
                notebook=Path("n.ipynb"),
                parameters={"model": model, "corpus": "msp-podcast", "seed": 0},
                folder=folder,
            )
        )
    return config.Study(
        name="small", path=Path("s.yaml"), corpora=embedded, outputs=home, runs=tuple(runs), analysis=()
    )


@pytest.fixture(scope="module")
def corpus(embedded):
    options = dict(embedded["msp-podcast"])
    return corpora.read("msp-podcast", options.pop("root"), **options)


@pytest.fixture(scope="module")
def row(corpus):
    """An utterance of the test partition, as a browser has it when it is open."""
    rows = corpus.utterances
    return rows[rows["partition"].str.startswith("test")].iloc[0].copy()


def run_of(study, section, model):
    return next(run for run in study.runs if run.section == section and run.parameters["model"] == model)


def question(row, section="categories", models=("bert", "cnn14", "sfcnn14", "mfcnn14", "lf"), **changes):
    given = {
        "section": section,
        "corpus": "msp-podcast",
        "target": "emotion" if section == "categories" else "arousal",
        "fold": "official",
        "seeds": dict.fromkeys(models, 0),
        "utterance": pd.concat([row, pd.Series({"corpus": "msp-podcast"})]),
    }
    return Question(**given | changes)


@pytest.fixture(scope="module")
def fusion(trained):
    return load(run_of(trained, "categories", "mfcnn14").folder / "fold=official")


def listed_of(corpus, folder):
    return UtteranceList(sound.gather([corpus]), sound.audio_of([corpus]), folder, "x")


@pytest.fixture
def panel(trained, corpus, tmp_path):
    return WhatIf(trained, listed_of(corpus, tmp_path))


class TestAnswers:
    def test_to_what_was_said_it_is_the_runs_own(self, trained, fusion, corpus, row):
        answer = what_if.ask(fusion, corpus.root / row["file"], row["transcript"], row["transcript"])
        table = files.read_table(run_of(trained, "categories", "mfcnn14").folder / files.PREDICTIONS)
        own = table[(table["utterance"] == row["utterance"]) & (table["test_corpus"] == "msp-podcast")]
        expected = calibrated(own, fusion.trained.confidence).iloc[0]
        np.testing.assert_allclose(answer.original, expected, atol=1e-4)
        pd.testing.assert_series_equal(answer.changed, answer.original, check_names=False)
        assert answer.stages.empty

    def test_to_other_words_it_is_the_models_and_at_all_stages_the_same(self, fusion, corpus, row):
        path = corpus.root / row["file"]
        answer = what_if.ask(fusion, path, row["transcript"], OTHER)
        direct = fusion(path, texts=OTHER).iloc[0]
        assert answer.changed.to_dict() == {name: direct[f"p_{name}"] for name in fusion.trained.names}
        assert np.abs(answer.changed - answer.original).max() > 1e-6
        assert answer.stages.index.tolist() == [1, 2, 3, 4, 5, 6, 7]
        np.testing.assert_allclose(answer.stages.loc[7], answer.changed, atol=1e-5)
        apart = (answer.stages.loc[1:6] - answer.original).abs().max(axis=1)
        assert (apart > 0).all(), "each stage moves the answer"
        assert answer.stages.loc[1:6].round(9).drop_duplicates().shape[0] == 6, "each by its own"

    def test_at_another_level_it_is_that_of_the_quieter_sound(self, fusion, corpus, row, tmp_path):
        path = corpus.root / row["file"]
        samples, rate = soundfile.read(path, dtype="float32")
        soundfile.write(tmp_path / "quieter.wav", samples / 10, rate, subtype="FLOAT")
        quieter = fusion(tmp_path / "quieter.wav", texts=row["transcript"]).iloc[0]
        answer = what_if.ask(fusion, path, row["transcript"], row["transcript"], -20.0)
        np.testing.assert_allclose(answer.changed, [quieter[f"p_{n}"] for n in fusion.trained.names], atol=1e-5)
        assert np.abs(answer.changed - answer.original).max() > 1e-6

    def test_of_one_stage_there_is_no_table_of_stages(self, trained, corpus, row):
        single = load(run_of(trained, "categories", "sfcnn14").folder)
        assert what_if.ask(single, corpus.root / row["file"], row["transcript"], OTHER).stages.empty

    def test_of_ratings_they_are_ratings(self, trained, corpus, row):
        predictor = load(run_of(trained, "multitask", "mfcnn14").folder)
        path = corpus.root / row["file"]
        answer = what_if.ask(predictor, path, row["transcript"], OTHER)
        assert list(answer.original.index) == ["arousal", "valence", "dominance"]
        assert answer.changed.to_dict() == predictor(path, texts=OTHER).iloc[0][list(answer.changed.index)].to_dict()
        np.testing.assert_allclose(answer.stages.loc[7], answer.changed, atol=1e-4)
        assert "predicted" not in what_if.draw(answer, 0.0), "no class is the likeliest"

    def test_what_depends_on_other_recordings_is_refused(self, fusion, corpus, row):
        network = replace(fusion.trained.network, normalisation=NormalisationSettings(over="speaker"))
        fusion = load(fusion.trained.networks["official"].parent)
        fusion.trained = replace(fusion.trained, network=network)
        with pytest.raises(ValueError, match="normalised over all recordings of a speaker"):
            what_if.ask(fusion, corpus.root / row["file"], "", OTHER)

    def test_a_model_without_a_conditioned_stage_reads_nothing(self, fusion, corpus, row):
        fusion = load(fusion.trained.networks["official"].parent)
        fusion.trained = replace(fusion.trained, network=replace(fusion.trained.network, stages=()))
        with pytest.raises(ValueError, match="reads no words"):
            what_if.ask(fusion, corpus.root / row["file"], "", OTHER)

    def test_a_sound_that_cannot_be_used_is_named(self, fusion, tmp_path):
        (tmp_path / "text.wav").write_text("no sound")
        with pytest.raises(ValueError, match="audio"):
            what_if.ask(fusion, tmp_path / "text.wav", "", OTHER)


class TestPanel:
    def test_it_shows_nothing_until_an_utterance_is_open(self, panel, row):
        assert panel.layout.display == "none"
        panel.ask()
        assert panel.answer.value == ""
        panel.show(question(row))
        assert panel.layout.display is None
        assert panel.words.value == row["transcript"]
        panel.show(None)
        assert panel.layout.display == "none"

    def test_only_models_that_read_can_be_asked(self, panel, row):
        panel.show(question(row))
        assert [name for _, name in panel.model.options] == ["bert", "sfcnn14", "mfcnn14"]
        panel.show(question(row, models=("cnn14", "lf")))
        assert "None of these models reads words" in panel.answer.value
        assert panel.fields.layout.display == "none"
        panel.ask()
        assert "<table" not in panel.answer.value

    def test_words_and_level_move_the_answer_once_a_model_was_asked(self, panel, row):
        panel.show(question(row))
        panel.words.value = OTHER
        assert panel.answer.value == "", "nothing is loaded before it is asked for"
        panel.button.click()
        first = panel.answer.value
        assert first.count("<table") == 2
        assert "stage 6" in first
        assert not panel.button.disabled
        panel.level.value = -12.0
        assert panel.answer.value != first
        assert "-12 dB" in panel.answer.value
        panel.level.value = 40.0
        assert "+40 dB would be above full scale" in panel.answer.value
        panel.level.value = 0.0
        assert panel.answer.value == first
        panel.model.value = "bert"
        assert panel.level.disabled
        assert panel.answer.value.count("<table") == 1

    def test_words_of_another_utterance_are_taken(self, panel, corpus, row):
        others = corpus.utterances["utterance"].tolist()
        panel.listed.rows = corpus.utterances
        panel.show(question(row))
        assert list(panel.other.options) == others[: what_if.OFFERED]
        other = corpus.utterances.iloc[-1]
        panel.other.value = other["utterance"]
        assert panel.words.value == other["transcript"]
        panel.other.value = "nobody's"
        assert "no utterance nobody" in panel.answer.value
        assert panel.words.value == other["transcript"]

    def test_no_words_are_words(self, panel, row):
        silent = row.copy()
        silent["transcript"] = None
        panel.show(question(silent))
        assert panel.words.value == ""
        panel.ask()
        assert "<table" in panel.answer.value

    def test_without_sound_or_weights_or_a_run_it_says_so(self, trained, corpus, row, tmp_path):
        known = listed_of(corpus, tmp_path)
        lost = WhatIf(trained, UtteranceList(sound.gather([corpus]), lambda *_: tmp_path / "gone.wav", tmp_path, "x"))
        lost.show(question(row))
        lost.ask()
        assert "no audio file" in lost.answer.value
        assert "gone.wav" in lost.answer.value
        run = run_of(trained, "categories", "mfcnn14")
        shutil.copytree(run.folder, tmp_path / "run")
        (tmp_path / "run" / "fold=official" / files.CHECKPOINT).unlink()
        without = WhatIf(replace(trained, runs=(replace(run, folder=tmp_path / "run"),)), known)
        without.show(question(row))
        without.ask()
        assert "has lost its networks" in without.answer.value
        assert not without.button.disabled
        without.show(question(row, seeds={"mfcnn14": 7}))
        without.ask()
        assert "0 complete runs of section categories have model mfcnn14, corpus msp-podcast, seed 7" in (
            without.answer.value
        )

    def test_of_models_of_one_dimension_each_the_targets_own_is_asked(self, trained, row):
        run = run_of(trained, "categories", "mfcnn14")
        single = [
            replace(run, section="dimensions", parameters={**run.parameters, "target": t})
            for t in ("arousal", "valence")
        ]
        study = replace(trained, runs=(single[0], replace(single[1], folder=run.folder.parent / "other")))
        asked = question(row, section="dimensions", target="arousal")
        assert what_if.folder(study, asked, "mfcnn14") == run.folder / "fold=official"
