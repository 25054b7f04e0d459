"""A training that was interrupted goes on as if nothing had happened, or starts anew and says why."""

import dataclasses
import itertools
import json
import logging
import os
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sercore import files
from sercore.datasets.batches import SpeechDataset, TextDataset
from sercore.features.packed import Embeddings, Frames, Tokens
from sercore.losses import Objective, objective
from sercore.models.cnn14 import Cnn14
from sercore.models.text import TextModel
from sercore.settings import TrainingSettings
from sercore.training import resume
from sercore.training.loop import fit

TWENTIETH = resume.WRITING
SGD = TrainingSettings(epochs=4, batch=8, learning_rate=0.05)
ADAM = TrainingSettings(epochs=4, batch=8, learning_rate=1e-3, optimiser="adam", weight_decay=0.01)
TUNING = TrainingSettings(
    epochs=4,
    batch=8,
    learning_rate=1e-3,
    optimiser="adam",
    schedule="steps",
    warmup_steps=4,
    total_steps=10,
    precision="bfloat16",
)  # ends in the fourth epoch of three steps
BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 32,
}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")


def packed(kind, rows):
    """Features of utterances, `rows` of each."""
    count = np.array([len(part) for part in rows])
    ids = pd.Index([f"u{number:03d}" for number in range(len(rows))])
    return kind(np.concatenate(rows), np.cumsum(count) - count, count, ids, tuple(ids), "made-up")


def table(utterances):
    return pd.DataFrame(
        {
            "utterance": [f"u{number:03d}" for number in range(utterances)],
            "speaker": "s1",
            "gender": "female",
            "style": "podcast",
        }
    )


def speech(utterances=24, seed=0, text=True):
    chance = np.random.default_rng(seed)
    logmels = [chance.normal(-40, 8, (frames, 32)).astype("float16") for frames in chance.integers(32, 70, utterances)]
    words = [chance.normal(0, 1, (1, 4)).astype("float32") for _ in range(utterances)]
    target = torch.arange(utterances) % 3
    embeddings = packed(Embeddings, words) if text else None
    return SpeechDataset(packed(Frames, logmels), table(utterances), target, embeddings)


def texts(utterances=24, seed=0):
    chance = np.random.default_rng(seed)
    ids = [chance.integers(1, 50, length).astype("int32") for length in chance.integers(3, 12, utterances)]
    return TextDataset(packed(Tokens, ids), table(utterances), torch.arange(utterances) % 3)


def acoustic_model(stages=()):
    return Cnn14(3, stages, text_width=4, width=2, mels=32, generator=torch.Generator().manual_seed(0))


def text_model():
    torch.manual_seed(0)
    return TextModel("none", 3, torch.Generator().manual_seed(0), architecture=BERT)


CASES = {
    "cnn14": (acoustic_model, lambda seed: speech(seed=seed, text=False), SGD, None),
    "cnn14-fused": (
        acoustic_model,
        lambda seed: speech(seed=seed, text=False),
        dataclasses.replace(SGD, fused=True),
        40,
    ),
    "cnn14-crops": (acoustic_model, lambda seed: speech(seed=seed, text=False), SGD, 40),
    "mfcnn14-crops": (lambda: acoustic_model((1, 2, 3, 4, 5, 6)), lambda seed: speech(seed=seed), SGD, 40),
    "mfcnn14-estimated": (
        lambda: acoustic_model((1, 2, 3, 4, 5, 6)),
        lambda seed: speech(seed=seed),
        dataclasses.replace(SGD, batch_norm="estimated", schedule="cosine"),
        40,
    ),
    "cnn14-averaged": (
        acoustic_model,
        lambda seed: speech(seed=seed, text=False),
        dataclasses.replace(SGD, batch_norm="estimated", averaged_epochs=2),
        40,
    ),
    "cnn14-last-epoch": (
        acoustic_model,
        lambda seed: speech(seed=seed, text=False),
        dataclasses.replace(SGD, kept_epoch="last"),
        40,
    ),
    "mfcnn14-augmented": (
        lambda: acoustic_model((1, 2, 3, 4, 5, 6)),
        lambda seed: speech(seed=seed),
        dataclasses.replace(SGD, augmentation={"gain_decibels": 6.0, "rate": 0.1, "mixup": 0.4, "time_masks": 1}),
        40,
    ),
    "sfcnn14-adam": (lambda: acoustic_model((6,)), lambda seed: speech(seed=seed), ADAM, 40),
    "bert": (text_model, lambda seed: texts(seed=seed), TUNING, None),
}


def training(case, path=None, identity=None, settings=None):
    """A training, its model and its state in `path`."""
    build, data, usual, crop = CASES[case]
    state = resume.TrainingState(path, identity or {"case": case}) if path else None
    model, train = build(), data(0)
    goal = objective("categories", train.target, 3)
    return fit(model, goal, train, data(1), settings or usual, seed=0, crop_frames=crop, state=state), model, state


def run(*case, stop_after=None, **options):
    """Rows of a training without its times, and the weights that are left."""
    epochs, model, _ = training(*case, **options)
    rows = list(itertools.islice(epochs, stop_after))
    epochs.close()
    return [row[:5] for row in rows], {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one[0] == other[0] and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """States are written after every epoch, however long that takes."""
    monkeypatch.setattr(resume, "WRITING", float("inf"))


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_training_ends_in_the_same_weights(case, tmp_path):
    undisturbed = run(case)
    for epochs in (1, 2, 3, 4):  # each session trains one epoch more; one of four ends before it is evaluated
        resumed = run(case, tmp_path / "state", stop_after=epochs)
        assert resumed[0] == undisturbed[0][:epochs]
    assert same(run(case, tmp_path / "state"), undisturbed)


def test_a_resumed_training_does_not_repeat_saved_epochs(tmp_path):
    run("cnn14", tmp_path / "state", stop_after=3)
    epochs, _, state = training("cnn14", tmp_path / "state")
    start = time.perf_counter()
    first = [next(epochs) for _ in range(3)]
    assert time.perf_counter() - start < min(row.seconds for row in first)
    assert [row.epoch for row in first] == [1, 2, 3]
    assert [session["from"] for session in state.sessions] == [1, 4]


def scripted(scores):
    """An objective whose development scores are given, after the one of the check before training."""
    values = iter([0.0, *scores])
    return Objective("scripted", torch.nn.functional.cross_entropy, lambda truth, logits: next(values), 3)  # noqa: ARG005 -- a score takes both


def test_a_training_that_stopped_early_stays_stopped_and_keeps_its_best(tmp_path):
    stopping = dataclasses.replace(SGD, stop_when_worse=True)
    data = speech(text=False)

    def train(scores, model):
        state = resume.TrainingState(tmp_path / "state", {})
        return list(fit(model, scripted(scores), data, data, stopping, seed=0, state=state))

    stopped, again = acoustic_model(), acoustic_model()
    rows = train([0.4, 0.5, 0.3], stopped)
    assert len(rows) == 3
    assert train([], again) == rows  # no score is computed: nothing is trained
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in stopped.state_dict().items())


def test_patience_counts_on_after_an_interruption(tmp_path):
    patient, data = dataclasses.replace(SGD, epochs=6, patience=2), speech(text=False)

    def train(scores, path, stop_after=None):
        model = acoustic_model()
        state = resume.TrainingState(path, {})
        epochs = fit(model, scripted(scores), data, data, patient, seed=0, state=state)
        rows = list(itertools.islice(epochs, stop_after))
        epochs.close()
        return [row[:5] for row in rows], {name: value.clone() for name, value in model.state_dict().items()}

    scores = [0.4, 0.5, 0.3, 0.5]  # the second stays the best
    undisturbed = train(scores, tmp_path / "a")
    assert len(undisturbed[0]) == 4
    assert same(train(scores, tmp_path / "b", stop_after=3), (undisturbed[0][:3], undisturbed[1]))
    assert same(train(scores[3:], tmp_path / "b"), undisturbed)
    assert same(train([], tmp_path / "b"), undisturbed)  # it stays over: no score is computed


def test_the_best_epoch_survives_an_interruption_in_a_worse_one(tmp_path):
    data = speech(text=False)
    model, final = acoustic_model(), acoustic_model()
    epochs = fit(
        model, scripted([0.9, 0.1]), data, data, SGD, seed=0, state=resume.TrainingState(tmp_path / "state", {})
    )
    next(epochs)
    best = {name: value.clone() for name, value in model.state_dict().items()}
    next(epochs)
    epochs.close()
    rows = list(
        fit(final, scripted([0.2, 0.3]), data, data, SGD, seed=0, state=resume.TrainingState(tmp_path / "state", {}))
    )
    assert [row.best for row in rows] == [True, False, False, False]
    assert all(torch.equal(value, final.state_dict()[name]) for name, value in best.items())


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def write_something_else(path):
    path.write_text("not a state")


def write_another_model(path):
    save_file({"a": torch.zeros(2)}, path)


def age(path):
    rewrite(path, lambda about: about.update(format=0))


def rewrite(path, change):
    """Change what the state records of itself, and its checksum with it."""
    with safe_open(path, "pt") as content:
        about = json.loads(content.metadata()[resume.ABOUT])
    change(about)
    tensors = load_file(path)
    with files.sealed(path) as temporary:
        save_file(tensors, temporary, metadata={resume.ABOUT: json.dumps(about), files.CHECKSUM: files.SEAL})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "its content does not have the checksum that was written with it"),
        (empty, "it is empty"),
        (write_something_else, "Error"),
        (flip_a_bit, "its content does not have the checksum that was written with it"),
        (write_another_model, "it has no checksum"),
        (age, "it is of another format"),
    ],
)
def test_a_state_of_no_use_is_logged_and_the_training_starts_anew(damage, reason, tmp_path, caplog):
    path = tmp_path / "state"
    undisturbed = run("cnn14", path, stop_after=2)
    damage(path)
    again = run("cnn14", path, stop_after=2)
    assert same(again, undisturbed)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{path} is not used, the fold starts anew" in record.getMessage()
    assert reason in record.getMessage()


def test_a_state_of_other_settings_is_not_used_and_the_setting_is_named(tmp_path, caplog):
    path, settings = tmp_path / "state", {"training": {"epochs": 4, "learning_rate": 0.05}, "seed": 0}
    run("cnn14", path, settings, stop_after=2)
    _, _, state = training("cnn14", path, {**settings, "training": {"epochs": 4, "learning_rate": 0.1}})
    model = acoustic_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert state.load(model, torch.optim.SGD(model.parameters(), 0.1), torch.Generator()) is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "another training.learning_rate" in caplog.text


def test_a_state_of_another_network_is_not_used(tmp_path, caplog):
    run("cnn14", tmp_path / "state", {"same": 1}, stop_after=1)
    assert same(run("mfcnn14-crops", tmp_path / "state", {"same": 1}), run("mfcnn14-crops"))
    assert "its weights are not those of the network" in caplog.text


def test_a_change_of_threads_is_logged(tmp_path, caplog):
    run("cnn14", tmp_path / "state", stop_after=1)
    rewrite(tmp_path / "state", lambda about: about["sessions"][0].update(threads=64))
    run("cnn14", tmp_path / "state")
    assert "begun on cpu with 64 threads and goes on on cpu with" in caplog.text


def clock(monkeypatch, *times):
    """Let states look at a clock that shows `times`."""
    values = iter(times)
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: next(values)))


def test_no_more_than_a_twentieth_of_the_time_goes_into_saving(monkeypatch, tmp_path):
    monkeypatch.setattr(resume, "WRITING", TWENTIETH)
    clock(monkeypatch, 0, 2, 30, 41)  # the first write takes 2 s and is done at 2: the next waits until 42 is over
    state, model = resume.TrainingState(tmp_path / "state", {}), acoustic_model()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    sizes = []
    for epochs in (1, 2, 3):
        progress = resume.Progress(epochs, [{"best": True}] * epochs, None)
        state.save(model, optimiser, torch.Generator(), progress)
        with safe_open(tmp_path / "state", "pt") as content:
            sizes.append(len(json.loads(content.metadata()[resume.ABOUT])["epochs"]))
    assert sizes == [1, 1, 1]
    assert state.seconds == {"saving": 2}
    clock(monkeypatch, 43, 44)
    state.save(model, optimiser, torch.Generator(), resume.Progress(4, [{"best": True}] * 4, None))
    assert state.seconds == {"saving": 3}


def test_a_full_disk_costs_the_state_and_not_the_training(monkeypatch, tmp_path, caplog):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume, "save_file", refuse)
    assert same(run("cnn14", tmp_path / "state"), run("cnn14"))
    assert "could not be written, the training goes on without it: [Errno 28] No space left" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_state_leaves_no_file(tmp_path):
    (tmp_path / f".state.{os.getpid()}-0.part").write_bytes(b"of a killed writer")
    epochs, _, state = training("cnn14", tmp_path / "state")
    next(epochs)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    state.delete()
    assert list(tmp_path.iterdir()) == []


def test_the_state_is_smaller_when_the_last_epoch_is_the_best_and_when_all_is_done(tmp_path):
    data = speech(text=False)
    state = resume.TrainingState(tmp_path / "state", {})
    epochs = fit(acoustic_model(), scripted([0.5, 0.4, 0.6, 0.3]), data, data, SGD, seed=0, state=state)
    best, worse, again, over = [(tmp_path / "state").stat().st_size for _ in epochs]
    assert over < best < worse
    assert again == pytest.approx(best, rel=0.01)


def test_every_batch_is_a_heartbeat():
    heartbeats = []
    build, data, settings, _ = CASES["cnn14"]
    model, train = build(), data(0)
    epochs = fit(model, objective("categories", train.target, 3), train, data(1), settings, seed=0)
    with resume.with_heartbeat(model, lambda: heartbeats.append(1)):
        next(epochs)
    assert len(heartbeats) == 3 + 1  # three of training, one of evaluation
    next(epochs)
    assert len(heartbeats) == 3 + 1
