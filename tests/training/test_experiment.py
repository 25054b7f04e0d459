"""One run, from a corpus on disk to its predictions: what a notebook of sections 5 and 6 does."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import papermill
import pytest
import soundfile

from sercore import files, schema
from sercore.datasets.source import describe
from sercore.models import checkpoint
from sercore.settings import TrainingSettings
from sercore.study import config
from sercore.study.plan import run_parameters
from sercore.training import experiment, loop

SMALL = {
    "features": {"mels": 32, "hop": 512},
    "text": {"encoder": "all-minilm-l6-v2", "tokens": 16},
    "network": {"width": 2},
    "training": {"epochs": 2, "crop_seconds": 1.5},
}


@pytest.fixture
def define(embedded, tmp_path, tmp_path_factory):
    def _define(section="categories", **changes):
        parameters = {
            "model": "cnn14",
            "corpus": "msp-podcast",
            "seed": 0,
            "folds": [],
            "corpora": embedded,
            "folder": str(tmp_path / "run"),
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
            **SMALL,
            **changes,
        }
        return experiment.define(section, **parameters)

    return _define


def execute(run):
    return experiment.run(run, experiment.load(run))


def test_a_run_predicts_its_own_development_and_test_set_and_the_other_corpus(define):
    predictions = execute(define(model="mfcnn14"))
    parts = predictions.groupby(["test_corpus", "partition"]).size()
    assert set(parts.index) == {("msp-podcast", "development"), ("msp-podcast", "test"), ("iemocap", "test")}
    source = experiment.load(define(model="mfcnn14"))["iemocap"]
    assert parts["iemocap", "test"] == len(source.rows)  # the whole corpus: it has no official partitions
    assert predictions["simulated"].all()
    assert predictions[schema.probability_columns(predictions)].sum(axis=1).round(6).eq(1).all()


def test_a_run_may_be_tested_on_its_own_corpus_alone(define):
    run = define(cross_corpus=False)
    data = experiment.load(run)
    assert list(data) == ["msp-podcast"]
    assert set(experiment.run(run, data)["test_corpus"]) == {"msp-podcast"}


def test_the_predictions_are_written_last(define, tmp_path):
    run = define()
    data = experiment.load(run)
    with pytest.raises(ValueError, match="folds official have no predictions yet"):
        experiment.finish(run, data)
    assert not (tmp_path / "run" / files.PREDICTIONS).exists()
    execute(run)
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir() if path.is_file()}
    assert max(written, key=written.get) == files.PREDICTIONS


def test_a_run_in_noise_and_rooms_records_them_and_hears_no_speech_of_the_corpora_as_noise(define, embedded, tmp_path):
    own = shutil.copytree(embedded["iemocap"]["root"], tmp_path / "iemocap")  # tests share the other one
    noise, rooms = own / "noise", tmp_path / "rooms"
    chance = np.random.default_rng(0)
    for folder, content in ((noise, chance.normal(0, 0.1, 32_000)), (rooms, np.eye(1, 16_000, 100)[0])):
        folder.mkdir()
        soundfile.write(folder / "a.wav", content, 16_000)
    heard_in = {"noise": str(noise), "rooms": str(rooms), "snr": [0, 10]}
    run = define(
        training={**SMALL["training"], "epochs": 1, "augmentation": heard_in},
        corpora={**embedded, "iemocap": {"root": str(own)}},
    )
    with pytest.warns(UserWarning, match="lies within the corpus 'iemocap'"):
        experiment.run(run, experiment.load(run))
    recorded = files.read_json(run.folder / files.PROVENANCE)["corpora"]
    assert {"noise", "rooms"} <= recorded["msp-podcast"].keys()
    assert {"noise", "rooms"}.isdisjoint(recorded["iemocap"])
    shutil.copy(next(path for path in own.rglob("*.wav") if path.parent != noise), noise / "street.wav")
    with pytest.raises(ValueError, match=r"1 recordings of .*noise are of the corpus 'iemocap', street\.wav"):
        experiment.load(run)


def test_folds_that_cannot_be_trained_are_named_before_any_is():
    rows = [(speaker, emotion) for speaker in "abcd" for emotion in ("angry", "sad") * 2 if speaker + emotion != "dsad"]
    table = pd.DataFrame(rows, columns=["speaker", "emotion"]).rename_axis("utterance").reset_index()
    table = table.astype({"utterance": "str"}).assign(partition=None, dialog=None)
    goal = {"targets": ("emotion",), "classes": {"angry": (), "sad": ()}}
    run = SimpleNamespace(corpus="mine", folds=[], training=TrainingSettings(), **goal)
    problem = r"fold c: development \(speaker d, 2 utterances\) has no sad"
    with pytest.raises(ValueError, match=rf"corpus 'mine' cannot be trained on in 1 of 4 folds:\n  {problem}\n"):
        experiment.folds(run, {"mine": SimpleNamespace(rows=table)})
    run.folds = ["a", "b", "d"]
    assert [split.name for split in experiment.folds(run, {"mine": SimpleNamespace(rows=table)})] == ["a", "b", "d"]


def test_a_share_of_the_training_utterances_is_nested_over_shares_and_leaves_the_tests_alone():
    rows = [(speaker, emotion) for speaker in "abcdef" for emotion in ("angry", "sad", "sad") * 8]
    table = pd.DataFrame(rows, columns=["speaker", "emotion"]).rename_axis("utterance").reset_index()
    table = table.astype({"utterance": "str"}).assign(partition=None, dialog=None)
    goal = {"targets": ("emotion",), "classes": {"angry": (), "sad": ()}}
    run = SimpleNamespace(corpus="mine", folds=["a", "b"], seed=0, training=TrainingSettings(), **goal)
    by_share = {}
    for share in (1.0, 0.5, 0.25, 0.001):
        run.training = TrainingSettings(data_share=share)
        if share == 0.001:
            problem = r"fold a: train \(0 speakers, 0 utterances\) is too small, at least 2 are needed"
            with pytest.raises(ValueError, match=rf"{problem}(.|\n)*raise training\.data_share, which is 0\.001$"):
                experiment.folds(run, {"mine": SimpleNamespace(rows=table)})
        else:
            by_share[share] = experiment.folds(run, {"mine": SimpleNamespace(rows=table)})
    for whole, half, quarter in zip(*by_share.values(), strict=True):
        assert (len(half.train), len(quarter.train)) == (48, 24)
        assert set(quarter.train) < set(half.train) < set(whole.train)
        for few in (half, quarter):
            assert (few.name, few.development, few.test) == (whole.name, whole.development, whole.test)


def test_a_fold_that_is_complete_is_not_trained_again(define, monkeypatch):
    run = define(corpus="iemocap", folds=["Ses01F", "Ses02M"])
    data = experiment.load(run)
    first, second = experiment.folds(run, data)
    history = list(experiment.fit(run, data, first))
    predictions = pd.read_parquet(run.folder / "fold=Ses01F" / files.PREDICTIONS)
    monkeypatch.setattr(loop, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert [row["loss"] for row in experiment.fit(run, data, first)] == [row["loss"] for row in history]
    monkeypatch.undo()
    list(experiment.fit(run, data, second))
    everything = experiment.finish(run, data)
    assert everything[everything["fold"] == "Ses01F"].reset_index(drop=True).equals(predictions)
    assert set(everything["fold"]) == {"Ses01F", "Ses02M"}


def test_a_folder_that_is_read_only_in_mid_run_ends_it_and_a_cache_that_is_deleted_does_not(
    define, tmp_path, monkeypatch
):
    run = define(cache=str(tmp_path / "cache"))
    data = experiment.load(run)
    (split,) = experiment.folds(run, data)
    shutil.rmtree(run.cache)
    epochs = experiment.fit(run, data, split)
    next(epochs)

    def refuse(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(files, "atomic", refuse)
    with pytest.raises(OSError, match=r"Read-only file system: .*history\.csv"):
        next(epochs)
    monkeypatch.undo()
    assert set(experiment.run(run, data)["fold"]) == {"official"}
    folds = files.read_json(run.folder / files.PROVENANCE)["folds"]
    assert [session["from"] for session in folds["official"]["sessions"]] == [1, 2]


class TrainedError(Exception):
    """Raised in place of a training."""


@pytest.fixture
def one_fold(define, monkeypatch):
    """A run of two folds of which the first is complete: run, data, split. What trains again raises TrainedError."""
    run = define(corpus="iemocap", folds=["Ses01F", "Ses02M"], training={"epochs": 1, "crop_seconds": 1.5})
    data = experiment.load(run)
    split, _ = experiment.folds(run, data)
    list(experiment.fit(run, data, split))

    def refuse(*_, **__):
        raise TrainedError

    monkeypatch.setattr(loop, "fit", refuse)
    return run, data, split


def test_a_fold_of_other_data_is_trained_again_and_so_is_one_that_is_damaged(one_fold, caplog):
    run, data, split = one_fold
    fold = run.folder / "fold=Ses01F"
    whole = {path: path.read_bytes() for path in fold.iterdir()}
    assert len(list(experiment.fit(run, data, split))) == 1
    source = data["iemocap"]
    labels = source.corpus.utterances.assign(emotion=source.corpus.utterances["emotion"].shift(1))
    other = data | {
        "iemocap": dataclasses.replace(source, corpus=dataclasses.replace(source.corpus, utterances=labels))
    }
    with pytest.raises(TrainedError):
        list(experiment.fit(run, other, split))
    assert "is of another corpora.iemocap.fingerprint.table: the fold is trained again" in caplog.text
    assert not (fold / files.PREDICTIONS).exists()  # else a kill would leave those of the former data
    for name in (files.PREDICTIONS, files.CHECKPOINT, files.PROVENANCE, files.HISTORY):
        for path, content in whole.items():
            files.write_bytes(path, content)
        (fold / name).write_bytes(whole[fold / name][: len(whole[fold / name]) // 4])
        for _ in range(2):  # and again after a kill
            with pytest.raises(TrainedError):
                list(experiment.fit(run, data, split))
        assert f"{fold / name} is" in caplog.text
        shutil.rmtree(run.folder / files.DAMAGED, ignore_errors=True)


def test_a_fold_of_a_version_without_identities_is_kept(one_fold):
    run, data, split = one_fold
    path = run.folder / "fold=Ses01F" / files.PROVENANCE
    record = files.read_json(path)
    assert set(record.pop(experiment.IDENTITY)["split"]) == {"name", "train", "development", "test"}
    files.write_json(path, record)
    assert len(list(experiment.fit(run, data, split))) == 1


KILLED = """
import json, os, signal, sys
from pathlib import Path
from sercore import files
from sercore.training import experiment

class Last(files.Heartbeat):
    '''As its parent, and kills the process after the second batch of the second epoch.'''
    batches = 0
    def __call__(self):
        super().__call__()
        self.batches += (Path(parameters["folder"]) / "fold=official" / files.HISTORY).exists()
        if self.batches == 2:
            os.kill(os.getpid(), signal.SIGKILL)

parameters = json.loads(sys.argv[1])
files.Heartbeat = Last
run = experiment.define("categories", **parameters)
data = experiment.load(run)
for split in experiment.folds(run, data):
    list(experiment.fit(run, data, split))
"""


@pytest.mark.parametrize("model", ["mfcnn14", pytest.param("bert", marks=pytest.mark.long)])
def test_a_process_killed_in_mid_epoch_changes_no_number(define, model, tmp_path):
    training = {"epochs": 3, "crop_seconds": 1.5, "augmentation": {"mel_shift": 1.0, "rate": 0.1, "frequency_masks": 1}}
    if model == "bert":
        training = {"epochs": 3, "batch": 16, "warmup_steps": 5, "precision": "bfloat16", "stop_when_worse": False}
    undisturbed, run = (define(model=model, training=training, folder=str(tmp_path / name)) for name in ("a", "b"))
    execute(undisturbed)
    parameters = {
        **files.read_yaml(run.folder / files.PARAMETERS),
        "corpora": run.corpora,
        "folder": str(run.folder),
        "cache": str(run.cache),
    }
    done = subprocess.run([sys.executable, "-c", KILLED, json.dumps(parameters)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    fold = run.folder / "fold=official"
    assert sorted(path.name for path in fold.iterdir()) == [files.HISTORY, files.STATE]
    assert len(pd.read_csv(fold / files.HISTORY)) == 1
    execute(run)
    assert (run.folder / files.PREDICTIONS).read_bytes() == (undisturbed.folder / files.PREDICTIONS).read_bytes()
    assert (fold / files.CHECKPOINT).read_bytes() == (
        undisturbed.folder / "fold=official" / files.CHECKPOINT
    ).read_bytes()
    columns = ["fold", "epoch", "loss", "development", "best", "learning_rate"]
    histories = [pd.read_csv(one.folder / files.HISTORY)[columns] for one in (undisturbed, run)]
    assert histories[0].equals(histories[1])
    assert not (fold / files.STATE).exists()
    provenance = files.read_json(run.folder / files.PROVENANCE)
    assert [session["from"] for session in provenance["folds"]["official"]["sessions"]] == [1, 2]
    assert len(provenance["sessions"]) == 2
    assert provenance["seconds"]["training"] == pytest.approx(pd.read_csv(fold / files.HISTORY)["seconds"].sum())


def test_the_history_is_written_after_each_epoch_and_has_each_epoch_once(define):
    run = define()
    data = experiment.load(run)
    (split,) = experiment.folds(run, data)
    history = run.folder / "fold=official" / files.HISTORY
    epochs = experiment.fit(run, data, split)
    next(epochs)
    assert list(pd.read_csv(history)["epoch"]) == [1]
    epochs.close()  # as an interruption of the notebook does
    assert [row["epoch"] for row in experiment.fit(run, data, split)] == [1, 2]
    assert list(pd.read_csv(history)["epoch"]) == [1, 2]


def test_a_training_of_other_settings_does_not_go_on_from_the_state_of_these(define, caplog):
    run = define()
    data = experiment.load(run)
    (split,) = experiment.folds(run, data)
    epochs = experiment.fit(run, data, split)
    next(epochs)
    epochs.close()
    other = define(training={**SMALL["training"], "learning_rate": 0.003})
    assert next(experiment.fit(other, data, split))["learning_rate"] == 0.003
    assert "it is of another parameters.training.learning_rate, settings.training.learning_rate" in caplog.text


def test_provenance_is_enough_to_repeat_a_run(define):
    run = define(model="mfcnn14")
    execute(run)
    provenance = files.read_json(run.folder / files.PROVENANCE)
    assert provenance["parameters"] == files.read_yaml(run.folder / files.PARAMETERS)
    assert provenance["settings"]["training"]["batch"] == 32  # which is a default
    assert {"commit", "dirty", "source", "python", "versions"} <= provenance.keys()
    assert set(provenance["corpora"]["iemocap"]["fingerprint"]) == {"table", "transcripts", "audio"}
    (session,) = provenance["sessions"]
    assert {"device", "processor", "threads"} <= session.keys()
    stages = provenance["folds"]["official"]["seconds"]
    assert {"loading", "training", "evaluation", "saving"} == stages.keys() == provenance["seconds"].keys()
    assert provenance["seconds"]["training"] == stages["training"]
    predicted = files.read_table(run.folder / files.PREDICTIONS).query("test_corpus == train_corpus")["partition"]
    sizes = provenance["folds"]["official"]["utterances"]
    assert {name: sizes[name] for name in ("development", "test")} == predicted.value_counts().to_dict()
    (split,) = experiment.folds(run, experiment.load(run))
    assert sizes["training"] == len(split.train)
    assert provenance["seconds"]["loading"] == pytest.approx(stages["loading"] + session["seconds"]["loading"])
    assert socket.gethostname() not in json.dumps(provenance)


def test_loading_a_complete_run_leaves_its_provenance(define):
    run = define()
    execute(run)
    before = (run.folder / files.PROVENANCE).read_bytes()
    experiment.load(run)
    assert (run.folder / files.PROVENANCE).read_bytes() == before


def test_loading_training_and_evaluating_are_heartbeats(define, tmp_path):
    run = define(model="cnn14", cache=str(tmp_path / "cache"))
    heartbeat = run.folder / files.HEARTBEAT
    data = experiment.load(run)
    assert heartbeat.exists()
    (split,) = experiment.folds(run, data)
    heartbeat.unlink()
    epochs = experiment.fit(run, data, split)
    next(epochs)
    assert heartbeat.exists()


def test_a_heartbeat_is_written_at_most_every_two_seconds_and_survives_a_lost_disk(monkeypatch, tmp_path):
    now = [100.0]
    monkeypatch.setattr(files, "time", SimpleNamespace(monotonic=lambda: now[0]))
    heartbeat, path = files.Heartbeat(tmp_path / "run"), tmp_path / "run" / files.HEARTBEAT
    heartbeat()
    os.utime(path, (0, 0))
    now[0] = 101.9
    heartbeat()
    assert path.stat().st_mtime == 0
    now[0] = 102.0
    heartbeat()
    assert path.stat().st_mtime > 0
    (tmp_path / "not a folder").touch()
    files.Heartbeat(tmp_path / "not a folder")()


def test_the_speaker_that_is_left_out_is_the_only_one_tested(define):
    run = define(corpus="iemocap", folds=["Ses03M"])
    predictions = execute(run)
    home = predictions[predictions["test_corpus"] == "iemocap"]
    assert set(home.loc[home["partition"] == "test", "speaker"]) == {"Ses03M"}
    assert set(home.loc[home["partition"] == "development", "speaker"]) == {"Ses03F"}


def test_the_same_seed_gives_the_same_predictions(define, tmp_path):
    probabilities = ["p_angry", "p_sad"]
    once = execute(define(folder=str(tmp_path / "a")))[probabilities]
    again = execute(define(folder=str(tmp_path / "b")))[probabilities]
    other = execute(define(folder=str(tmp_path / "c"), seed=1))[probabilities]
    assert once.equals(again)
    assert not once.equals(other)


def test_three_dimensions_are_learned_at_once(define):
    predictions = execute(define("multitask"))
    assert set(predictions["target"]) == set(schema.DIMENSIONS)
    assert predictions["prediction"].dtype == predictions["truth"].dtype


def test_one_dimension_is_learned_alone(define):
    predictions = execute(define("dimensions", target="valence"))
    assert set(predictions["target"]) == {"valence"}


def test_the_best_model_is_saved_and_predicts_the_same(define):
    run = define()
    predictions = execute(run)
    model, _ = checkpoint.load(run.folder / "fold=official" / files.CHECKPOINT)
    data = experiment.load(run)
    (split,) = experiment.folds(run, data)
    again = experiment.evaluate(run, data, split, model)
    assert again["p_angry"].to_numpy() == pytest.approx(predictions["p_angry"].to_numpy(), abs=1e-6)


def test_a_folder_of_another_run_is_not_written_over(define):
    execute(define(seed=0))
    with pytest.raises(ValueError, match="holds results with another seed; name another folder"):
        define(seed=1)


def test_a_folder_without_results_may_be_given_other_parameters(define, tmp_path):
    define(seed=0)
    define(seed=1)
    assert files.read_yaml(tmp_path / "run" / files.PARAMETERS)["seed"] == 1


def test_speakers_in_two_partitions_are_an_error_unless_allowed(define):
    run = define()
    data = experiment.load(run)
    rows = data["msp-podcast"].rows
    rows.loc[rows["partition"] == "test", "speaker"] = (
        rows.loc[rows["partition"] == "train", "speaker"].dropna().iloc[0]
    )
    with pytest.raises(ValueError, match="partition"):
        experiment.folds(run, data)
    (split,) = experiment.folds(define(allow_speaker_leakage=True), data)
    assert split.name == "official"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "mfcn14"}, "unknown model 'mfcn14'; did you mean 'mfcnn14'"),
        ({"corpus": "iemocp"}, "no corpus 'iemocp' among the corpora; did you mean 'iemocap'"),
        ({"training": {"epoch": 3}}, "TrainingSettings has no 'epoch'; did you mean 'epochs'"),
        ({"folds": "ada"}, r"folds: expected a list, found 'ada' \(text\); write \[ada\]"),
        ({"classes": {"angry": ["angri"], "sad": ["sad"]}}, "unknown emotion 'angri'; did you mean 'angry'"),
    ],
)
def test_a_misspelt_parameter_is_an_error_with_the_nearest_name(define, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        experiment.load(define(**changes))


CHANGES = {
    "none": {},
    "all": {
        "text": {"standardised": True},
        "network": {"projection": "zero"},
        "training": {"epochs": 1, "batch_norm": "estimated", "output_bias": "mean"},
    },
    "misspelt": {"training": {"epoch": 1}},
    "elsewhere": {"features": {"hop": 320}},
}


def test_a_change_is_settings_in_place_of_others(define, tmp_path):
    usual = define(change="none", changes=CHANGES)
    assert usual == define()
    run = define(model="mfcnn14", change="all", changes=CHANGES)
    assert run.text == dataclasses.replace(usual.text, standardised=True)
    assert run.network == dataclasses.replace(usual.network, projection="zero")
    changed = {"epochs": 1, "batch_norm": "estimated", "output_bias": "mean"}
    assert run.training == dataclasses.replace(usual.training, **changed)
    recorded = files.read_yaml(tmp_path / "run" / files.PARAMETERS)
    assert (recorded["change"], recorded["changes"], recorded["network"]) == ("all", CHANGES, SMALL["network"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("al", "no change 'al' among the changes; did you mean 'all'"),
        ("misspelt", "TrainingSettings has no 'epoch'; did you mean 'epochs'"),
        ("elsewhere", "change 'elsewhere' is of features; expected text, network or training"),
    ],
)
def test_a_change_that_is_none_is_an_error(define, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        define(change=change, changes=CHANGES)
    with pytest.raises(ValueError, match="no change 'all' among the changes"):
        define(change="all")


def test_by_hand_a_change_has_a_folder_of_its_own(define, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "BY_HAND", str(tmp_path / "by-hand"))
    folders = {define(change=change, changes=CHANGES, folder=None).folder.name for change in ("none", "all")}
    assert folders == {f"model=cnn14,change={change},corpus=msp-podcast,seed=0" for change in ("none", "all")}


def test_a_changed_run_is_trained_as_the_change_says(define):
    run = define("multitask", model="mfcnn14", change="all", changes=CHANGES)
    data = experiment.load(run)
    experiment.run(run, data)
    model, arguments = checkpoint.load(run.folder / "fold=official" / files.CHECKPOINT)
    assert arguments["projection"] == "zero"
    (split,) = experiment.folds(run, data)
    embeddings = data["msp-podcast"].embeddings
    trained = embeddings.array[embeddings.positions(list(split.train))]
    assert model.text_mean.numpy() == pytest.approx(trained.mean(axis=0), abs=1e-5)
    deviation = trained.std(axis=0)
    assert (deviation < 1e-6).sum() == 3, "numbers of this encoder that never change"
    assert model.text_deviation.numpy() == pytest.approx(np.where(deviation < 1e-6, 1, deviation), rel=1e-3)
    assert files.read_json(run.folder / files.PROVENANCE)["settings"]["training"]["output_bias"] == "mean"
    assert abs(model.output.bias.mean().item() - 4) < 1


@pytest.mark.long
def test_the_notebook_of_changes_records_the_parameters_of_the_batch(embedded, tmp_path, tmp_path_factory):
    study = config.load("parameters/seed_spread.yaml")
    assert len(study.runs) == 330
    name = "change=estimated-bias,model=cnn14,corpus=msp-podcast,seed=0"
    (run,) = [run for run in study.runs if run.name == name]
    small = {**SMALL, "training": {"epochs": 1, "crop_seconds": 1.5}}
    places = {
        "corpora": {"msp-podcast": embedded["msp-podcast"]},
        "folder": str(tmp_path / "run"),
        "cache": str(tmp_path_factory.getbasetemp() / "cache"),
    }
    papermill.execute_notebook(
        str(run.notebook), str(tmp_path / "out.ipynb"), {**run.parameters, **small, **places}, progress_bar=False
    )
    assert files.read_yaml(tmp_path / "run" / files.PARAMETERS) == {**run_parameters(run), **small}
    recorded = files.read_json(tmp_path / "run" / files.PROVENANCE)["settings"]["training"]
    assert (recorded["batch_norm"], recorded["output_bias"], recorded["epochs"]) == ("estimated", "mean", 1)
    assert set(pd.read_parquet(tmp_path / "run" / files.PREDICTIONS)["target"]) == set(schema.DIMENSIONS)


def test_a_fold_that_the_corpus_does_not_have_is_an_error(define):
    run = define(corpus="iemocap", folds=["Ses1F"])
    with pytest.raises(ValueError, match="has no fold 'Ses1F'; did you mean 'Ses01F'"):
        experiment.folds(run, experiment.load(run))


def test_folds_of_speakers_are_refused_where_the_corpus_has_partitions():
    rows = pd.DataFrame({"speaker": ["ada", "ben"], "partition": ["train", "test"]})
    run = SimpleNamespace(corpus="mine", folds=("ada", "Ses01F"), allow_speaker_leakage=False)
    with pytest.raises(ValueError, match="corpus 'mine' has partitions of its own, so its folds ada would not be used"):
        experiment.folds(run, {"mine": SimpleNamespace(rows=rows)})


def test_unconfirmed_settings_are_marked(define):
    table = experiment.describe(define())
    assert "from memory" in table.loc["training.learning_rate", "the paper's text"]
    assert "text.encoder" not in table.index  # cnn14 takes no text


def test_the_data_of_a_run_is_described(define):
    table = describe(experiment.load(define()))
    assert table["simulated"].all()
    assert (table[["angry", "happy", "neutral", "sad"]].sum(axis=1) == table["with a target"]).all()


def test_without_places_a_run_is_on_the_embedded_corpora(define, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "BY_HAND", str(tmp_path / "by-hand"))
    runs = [define(corpora=nothing, folder=nothing, cache=nothing) for nothing in (None, "")]
    assert runs[0] == runs[1]
    assert set(runs[0].corpora) == {"iemocap", "msp-podcast"}
    assert runs[0].folder.is_relative_to(tmp_path / "by-hand")


def test_every_epoch_of_a_run_is_shown(define):
    run, epochs = define(), []
    experiment.run(run, experiment.load(run), epochs.append)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]


def test_a_folds_folder_lies_in_the_runs_and_is_its_own(tmp_path):
    split = SimpleNamespace(name="x/../../../evil")
    run = SimpleNamespace(folder=tmp_path, folds=(split.name,), corpus="mine")
    assert experiment.fold_folder(run, {}, split) == tmp_path / "fold=x%2F..%2F..%2F..%2Fevil"
    run = SimpleNamespace(folder=tmp_path, folds=(), corpus="mine")
    data = {"mine": SimpleNamespace(rows=pd.DataFrame({"speaker": ["A", "a", "b", None]}))}
    names = [experiment.fold_folder(run, data, SimpleNamespace(name=name)).name.lower() for name in ("A", "a", "b")]
    assert len(set(names)) == 3
    assert names[2] == "fold=b"
