"""Augmentation is for training alone, follows the seed, and leaves a training without it as it was."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from test_loop import QUICK, made_up, network, same, weights

from sercore.datasets.augmentation import augment
from sercore.losses import inverse_frequency, objective
from sercore.settings import AugmentationSettings, TrainingSettings, build
from sercore.training import loop
from sercore.training.loop import TrainLoop, fit

ALL = {"time_masks": 1, "frequency_masks": 1, "gain_decibels": 6, "mel_shift": 1, "rate": 0.1, "mixup": 0.4}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")


def train(augmentation, seed=0, **options):
    """History (without its times) and final weights of a short training on text and sound."""
    data, model = made_up(), network(stages=(6,))
    settings = build(TrainingSettings, {"epochs": 1, "augmentation": augmentation, **options}, QUICK)
    history = fit(model, objective("categories", data.target, 3), data, made_up(12, seed=1), settings, seed=seed)
    return [epoch[:5] for epoch in history], weights(model)


def test_settings_that_change_nothing_train_as_none_do():
    history, state = train(None)
    again, repeated = train({})
    assert history == again
    assert same(state, repeated)


def test_augmented_training_follows_the_seed():
    history, state = train(ALL)
    again, repeated = train(ALL)
    assert history == again
    assert same(state, repeated)
    assert history != train(None)[0]
    assert history != train(ALL, seed=1)[0]


def test_only_training_batches_are_augmented_and_each_epoch_draws_anew(monkeypatch):
    seen = []

    def counted(batch, settings, chance, sounds):
        seen.append(chance.bit_generator.state["state"]["state"])
        return augment(batch, settings, chance, sounds)

    monkeypatch.setattr(loop, "augment", counted)
    train(ALL, epochs=2, batch_norm="estimated")
    assert len(seen) == len(set(seen)) == 2 * 3  # epochs, batches of 8 of 24; none of the statistics or the evaluation


@pytest.mark.parametrize("name", ["smoothed", "focal", "votes"])
def test_mixup_goes_with_every_objective_of_categories(name):
    data = made_up(worded=False)
    if name == "votes":
        data.target = F.one_hot(data.target, 3).float()
    goal = objective(name, data.target, 3)
    course = TrainLoop(network(), goal, data, made_up(12, seed=1, worded=False), QUICK, seed=0)
    (plain,) = data.batches(24, torch.Generator().manual_seed(0))
    batch = augment(plain, AugmentationSettings(mixup=2.0), np.random.default_rng(0))
    torch.manual_seed(0)
    logits = copy.deepcopy(course.model).train()(*batch.inputs).logits
    own, other = (goal.loss(logits, target) for target in (batch.target, batch.partner))
    assert own.item() != other.item()
    torch.manual_seed(0)
    course.model.train()
    assert course.train_step(batch).item() == pytest.approx((batch.share * own + (1 - batch.share) * other).item())


def test_mixup_weighs_the_losses_of_both_targets():
    data = made_up(worded=False)
    model = network()
    for module in model.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0
    course = TrainLoop(model, objective("categories", data.target, 3), data, data, QUICK, seed=0)
    (plain,) = data.batches(24, torch.Generator().manual_seed(0))
    batch = augment(plain, AugmentationSettings(mixup=2.0), np.random.default_rng(0))
    assert 0.1 < batch.share < 0.9
    logits = copy.deepcopy(model).train()(*batch.inputs).logits
    of_classes = inverse_frequency(data.target, 3)
    own, other = (F.cross_entropy(logits, target, of_classes) for target in (batch.target, batch.partner))
    model.train()
    assert course.train_step(batch).item() == pytest.approx((batch.share * own + (1 - batch.share) * other).item())
