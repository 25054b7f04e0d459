"""Training repeats exactly, keeps its best epoch, ends when it should, and its predictions fit the table."""

import copy
import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from sercore import schema
from sercore.datasets.batches import SpeechDataset
from sercore.features import packed
from sercore.losses import Objective, objective
from sercore.models.cnn14 import Cnn14, Output
from sercore.settings import TrainingSettings
from sercore.training.loop import TrainLoop, estimate_statistics, fit, pick_device, predict, predictions_table

CLASSES = ("angry", "happy", "sad")
QUICK = TrainingSettings(epochs=3, batch=8, learning_rate=0.05)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")


def made_up(utterances=24, seed=0, ratings=False, loud=True, worded=True):
    """Utterances of 32 to 70 frames; class k is louder in the k-th third of the bands, and its words are k."""
    chance = np.random.default_rng(seed)
    codes = np.arange(utterances) % len(CLASSES)
    count = chance.integers(32, 70, utterances)
    logmels, words = [], []
    for code, frames in zip(codes, count, strict=True):
        logmel = chance.normal(-40, 8, (frames, 32))
        logmel[:, 10 * code : 10 * (code + 1)] += 12 if loud else 0
        logmels.append(logmel.astype("float16"))
        words.append(chance.normal(0, 0.3, 4) + (np.eye(4)[code] if worded else 0))
    ids = pd.Index([f"u{seed}-{number:03d}" for number in range(utterances)])
    frames = packed.Frames(np.concatenate(logmels), np.cumsum(count) - count, count, ids, tuple(ids), "made-up")
    each = np.arange(utterances)
    vectors = packed.Embeddings(np.array(words, "float32"), each, np.ones_like(each), ids, tuple(ids), "made-up")
    table = pd.DataFrame({"utterance": ids, "speaker": "s1", "gender": "female", "style": "podcast"})
    target = torch.tensor(np.stack([codes, -codes], 1) + 4.0, dtype=torch.float32) if ratings else torch.tensor(codes)
    return SpeechDataset(frames, table, target, vectors if worded else None)


def network(seed=0, stages=(), outputs=3):
    return Cnn14(outputs, stages, text_width=4, width=2, mels=32, generator=torch.Generator().manual_seed(seed))


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def train(settings=QUICK, seed=0, development=None, between=lambda: None, **options):
    """History (without its times) and final weights of a short training on text and sound."""
    data, model = made_up(), network(stages=(6,))
    goal = objective("categories", data.target, 3)
    history = []
    for epoch in fit(model, goal, data, development or made_up(12, seed=1), settings, seed=seed, **options):
        history.append(epoch[:5])
        between()
    return history, weights(model)


def test_the_same_seed_gives_the_same_model():
    history, state = train(crop_frames=40)
    again, repeated = train(crop_frames=40)
    other, different = train(crop_frames=40, seed=1)
    assert history == again
    assert same(state, repeated)
    assert history != other
    assert not same(state, different)


def first_loss(seed, dropout, batch):
    """Loss of the first epoch of one model, which does not learn."""
    data = made_up(worded=False)
    model = Cnn14(3, width=2, mels=32, dropout=dropout, generator=torch.Generator().manual_seed(0))
    settings = TrainingSettings(epochs=1, batch=batch, learning_rate=1e-12)
    return next(fit(model, objective("categories", data.target, 3), data, data, settings, seed=seed)).loss


def test_order_and_dropout_both_follow_the_seed():
    assert first_loss(0, 0.5, batch=24) == first_loss(0, 0.5, batch=24)
    assert abs(first_loss(0, 0.5, batch=24) - first_loss(1, 0.5, batch=24)) > 1e-3  # one batch: only dropout differs
    assert first_loss(0, 0.0, batch=24) == pytest.approx(first_loss(1, 0.0, batch=24), abs=1e-5)
    assert abs(first_loss(0, 0.0, batch=8) - first_loss(1, 0.0, batch=8)) > 1e-3  # batches of others


def test_training_neither_touches_nor_heeds_the_global_random_state():
    history, state = train()
    torch.manual_seed(5)
    expected = [torch.rand(1) for _ in range(3)]
    torch.manual_seed(5)
    drawn = []
    again, repeated = train(between=lambda: drawn.append(torch.rand(1)))
    assert drawn == expected
    assert (again, same(repeated, state)) == (history, True)


def test_evaluation_does_not_shift_training():
    history, _ = train()
    other, _ = train(development=made_up(9, seed=2))
    assert [epoch[1] for epoch in history] == [epoch[1] for epoch in other]  # losses


@pytest.mark.parametrize(("loud", "stages"), [(True, ()), (False, (6,)), (False, (1, 2, 3, 4, 5, 6))])
def test_what_is_in_the_data_is_learnt(loud, stages):
    data, development = (made_up(48, seed, loud=loud, worded=bool(stages)) for seed in (0, 1))
    model = network(stages=stages)
    settings = TrainingSettings(epochs=12, batch=8, learning_rate=0.02)
    history = list(fit(model, objective("categories", data.target, 3), data, development, settings, seed=0))
    assert history[-1].loss < 0.5 * history[0].loss
    assert max(epoch.development for epoch in history) > 0.85


@pytest.mark.parametrize(("name", "learning_rate"), [("mse", 0.003), ("ccc", 0.02)])
def test_dimensions_are_learnt(name, learning_rate):
    data, development = made_up(48, ratings=True), made_up(24, seed=1, ratings=True)
    settings = TrainingSettings(epochs=9, batch=8, learning_rate=learning_rate)
    goal = objective(name, data.target, 2)
    history = list(fit(network(stages=(1, 2, 3, 4, 5, 6), outputs=2), goal, data, development, settings, seed=0))
    assert history[-1].loss < 0.8 * history[0].loss
    assert max(epoch.development for epoch in history) > 0.35


def scripted(scores, loss=None):
    """An objective whose development scores are given, after the one of the check before training."""
    values = iter([0.0, *scores])
    real = torch.nn.functional.cross_entropy
    return Objective("scripted", loss or real, lambda truth, logits: next(values), 3)  # noqa: ARG005 -- a score takes both


def follow(scores, settings, loss=None, stop_after=None):
    """Epochs, the weights after each, and those that are left at the end."""
    data, model = made_up(worded=False), network()
    epochs, states = [], []
    training = fit(model, scripted(scores, loss), data, made_up(6, 1, worded=False), settings, seed=0)
    for epoch in training:
        epochs.append(epoch)
        states.append(weights(model))
        if epoch.epoch == stop_after:
            training.close()
    return epochs, states, weights(model), model


def test_the_best_epoch_is_kept_and_the_earlier_of_two():
    epochs, states, final, model = follow([0.5, 0.7, 0.6, 0.7], TrainingSettings(epochs=4, batch=8))
    assert [epoch.best for epoch in epochs] == [True, True, False, False]
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert same(final, states[1])
    assert not same(final, states[3])
    assert not model.training


def test_closing_the_iteration_keeps_the_best_so_far():
    epochs, states, final, _ = follow([0.7, 0.5, 0.9], TrainingSettings(epochs=3, batch=8), stop_after=2)
    assert len(epochs) == 2
    assert same(final, states[0])


def test_the_last_epoch_is_kept_where_the_settings_say_so():
    settings = TrainingSettings(epochs=3, batch=8, kept_epoch="last")
    epochs, states, final, _ = follow([0.7, 0.5, 0.6], settings)
    assert [epoch.best for epoch in epochs] == [True, True, True]
    assert same(final, states[2])


def test_training_stops_when_it_gets_worse_if_the_settings_say_so():
    scores = [0.5, 0.5, 0.4, 0.9]
    assert len(follow(scores, TrainingSettings(epochs=4, batch=8, stop_when_worse=True))[0]) == 3
    assert len(follow(scores, TrainingSettings(epochs=4, batch=8))[0]) == 4


def test_training_ends_when_patience_does_and_keeps_its_best():
    scores = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9]
    epochs, states, final, _ = follow(scores, TrainingSettings(epochs=6, batch=8, patience=3))
    assert [epoch.best for epoch in epochs] == [True, True, False, False, False]  # three in a row, an equal one too
    assert same(final, states[1])
    epochs, states, final, _ = follow(scores, TrainingSettings(epochs=6, batch=8, patience=4))
    assert len(epochs) == 6
    assert same(final, states[5])


def test_training_ends_where_the_rate_reaches_zero():
    settings = TrainingSettings(epochs=9, batch=8, learning_rate=1.0, schedule="steps", total_steps=5, warmup_steps=1)
    epochs, *_ = follow([0.5, 0.6, 0.7], settings)  # three batches an epoch
    assert [epoch.learning_rate for epoch in epochs] == [0.75, 0.25]


def test_a_schedule_over_the_epochs_ends_with_them():
    settings = TrainingSettings(epochs=2, batch=8, learning_rate=1.0, schedule="epochs")
    assert [epoch.learning_rate for epoch in follow([0.5, 0.6], settings)[0]] == pytest.approx([4 / 6, 1 / 6])


def normalisations(model):
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
    }


def by_hand(model, batches):
    """Mean and variance of what each normalisation of `model` is given, each the mean of those of the batches."""
    model = copy.deepcopy(model).train()
    for part in model.modules():
        if hasattr(part, "dropout"):
            part.dropout = 0.0
    given = {name: [] for name in normalisations(model)}
    for name, part in normalisations(model).items():
        part.register_forward_pre_hook(lambda _, arguments, name=name: given[name].append(arguments[0].clone()))
    with torch.no_grad():
        for batch in batches:
            model(*batch.inputs)
    numbers = {name: [part.transpose(0, 1).flatten(1) for part in parts] for name, parts in given.items()}
    return {
        name: (sum(part.mean(1) for part in parts) / len(parts), sum(part.var(1) for part in parts) / len(parts))
        for name, parts in numbers.items()
    }


@pytest.mark.parametrize(("utterances", "stages"), [(24, ()), (20, (1, 6)), (9, ())])  # the last one: 8 and one alone
def test_estimated_statistics_are_those_of_whole_utterances_by_hand(utterances, stages):
    data, model, settings = made_up(utterances, worded=bool(stages)), network(stages=stages), QUICK
    before = weights(model)
    momentum = {name: 0.1 + 0.01 * place for place, name in enumerate(normalisations(model))}
    for name, part in normalisations(model).items():
        part.momentum = momentum[name]
    batches = [batch for batch in data.batches(settings.batch, None) if len(batch.rows) > 1]
    assert len(batches) == utterances // 8 + (utterances % 8 > 1)
    expected = by_hand(model, batches)
    state = torch.get_rng_state()
    estimate_statistics(model, data, torch.device("cpu"), settings)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(expected) == 13
    for name, part in normalisations(model).items():
        torch.testing.assert_close(part.running_mean, expected[name][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.running_var, expected[name][1], rtol=1e-4, atol=1e-5)
        assert part.momentum == momentum[name]
    assert not any(part.training for part in model.modules())
    kept = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in kept)
    if not stages:  # the first one sees true frames alone
        frames = [torch.cat([row[:count] for row, count in zip(*batch.inputs[:2], strict=True)]) for batch in batches]
        assert {len(batch.inputs[1].unique()) for batch in batches} != {1}, "there is padding"
        torch.testing.assert_close(model.bn0.running_mean, sum(part.mean(0) for part in frames) / len(frames))
        torch.testing.assert_close(model.bn0.running_var, sum(part.var(0) for part in frames) / len(frames))


def test_statistics_may_be_estimated_from_a_part_of_the_utterances_of_all_durations():
    data, model = made_up(80), network(stages=(6,))
    batches = list(data.batches(QUICK.batch, None))
    estimate_statistics(model, data, torch.device("cpu"), QUICK, 20)  # every fourth of ten batches of eight
    expected = by_hand(network(stages=(6,)), batches[2::4])
    torch.testing.assert_close(model.bn0.running_mean, expected["bn0"][0])
    for few in (made_up(1), made_up(9)):  # no more than there are
        estimate_statistics(model, few, torch.device("cpu"), QUICK, 2)


def test_the_best_epoch_is_found_with_statistics_of_a_part_and_kept_with_those_of_all():
    settings = dataclasses.replace(QUICK, batch_norm="estimated", batch_norm_utterances=16)
    data, model = made_up(80), network(stages=(6,))
    loop = TrainLoop(model, objective("categories", data.target, 3), data, made_up(12, seed=1), settings, seed=0)
    loop.run_epoch()
    loop.load_best()
    plans = data.plan(settings.batch, None)
    for kept, seen in ((loop.best, plans[2::5]), (model.state_dict(), plans)):
        torch.testing.assert_close(kept["bn0.running_mean"], by_hand(model, list(data.read(seen)))["bn0"][0])
    assert not torch.equal(loop.best["bn0.running_mean"], model.bn0.running_mean)


class Plain(torch.nn.Module):
    """A model without batch normalisation, which cannot be asked."""

    def __init__(self):
        super().__init__()
        self.output = torch.nn.Linear(3, 3)


def test_a_model_without_batch_normalisation_has_no_statistics_to_estimate():
    model = Plain().train()
    before = weights(model)
    estimate_statistics(model, made_up(), torch.device("cpu"), QUICK)
    assert same(before, weights(model))
    assert model.training


@pytest.mark.parametrize("crop_frames", [None, 40])
def test_estimating_statistics_changes_what_is_evaluated_and_not_how_it_is_trained(crop_frames):
    (running, kept), (estimated, other) = (
        train(dataclasses.replace(QUICK, batch_norm=way), crop_frames=crop_frames) for way in ("running", "estimated")
    )
    assert [epoch[1] for epoch in running] == [epoch[1] for epoch in estimated]  # losses, to the last bit
    assert not torch.equal(kept["bn0.running_var"], other["bn0.running_var"])
    data, model = made_up(), network(stages=(6,))
    loop = TrainLoop(
        model,
        objective("categories", data.target, 3),
        data,
        made_up(12, seed=1),
        dataclasses.replace(QUICK, batch_norm="estimated"),
        seed=0,
    )
    epoch = loop.run_epoch()
    statistics = by_hand(model, data.batches(QUICK.batch, None))
    torch.testing.assert_close(loop.best["bn0.running_mean"], statistics["bn0"][0])  # the model that is kept has them
    logits = predict(model, made_up(12, seed=1))
    assert epoch.development == loop.objective.score(loop.truth, logits)


def test_averaged_weights_are_evaluated_and_kept_and_training_does_not_depend_on_them():
    plain, averaged = (
        dataclasses.replace(QUICK, epochs=3, batch_norm="estimated", averaged_epochs=count) for count in (1, 2)
    )
    loops = []
    for settings in (plain, averaged):
        data = made_up()
        goal = objective("categories", data.target, 3)
        loops.append(TrainLoop(network(stages=(6,)), goal, data, made_up(12, seed=1), settings, seed=0))
    after, kept = [], []
    for _ in range(3):
        losses = [loop.run_epoch().loss for loop in loops]
        assert losses[0] == losses[1]
        after.append({name: value.detach().clone() for name, value in loops[0].model.named_parameters()})
        kept.append(loops[1].best)
    assert all(torch.equal(value, after[-1][name]) for name, value in loops[1].model.named_parameters())
    number = next(n for n in reversed(range(3)) if loops[1].epochs[n].best)
    means = {
        name: torch.stack([part[name] for part in after[max(0, number - 1) : number + 1]]).mean(0) for name in after[0]
    }
    torch.testing.assert_close({name: kept[number][name] for name in means}, means)


def started(settings, ratings=True):
    """The model of a training that has not begun, and its data."""
    data = made_up(ratings=ratings, worded=False)
    model = network(outputs=2 if ratings else 3)
    goal = objective("ccc" if ratings else "categories", data.target, 2 if ratings else 3)
    TrainLoop(model, goal, data, made_up(6, 1, ratings=ratings, worded=False), settings, seed=0)
    return model, data


def test_the_output_bias_may_start_at_the_mean_rating():
    mean = dataclasses.replace(QUICK, output_bias="mean")
    model, data = started(mean)
    torch.testing.assert_close(model.output.bias.detach(), data.target.mean(0))
    assert model.output.bias.requires_grad
    plain, _ = started(QUICK)
    assert not plain.output.bias.any()
    names = plain.state_dict().keys() - {"output.bias"}
    assert all(torch.equal(model.state_dict()[name], plain.state_dict()[name]) for name in names)
    goal = objective("mse", data.target, 2)
    first = [
        next(fit(part, goal, data, data, dataclasses.replace(way, epochs=1, learning_rate=1e-6), seed=0)).loss
        for part, way in ((network(outputs=2), QUICK), (network(outputs=2), mean))
    ]
    assert first[1] < 0.3 * first[0]


def test_the_output_bias_of_classes_starts_at_zero_whatever_the_setting():
    assert train(dataclasses.replace(QUICK, output_bias="mean"))[0] == train()[0]
    assert not started(dataclasses.replace(QUICK, output_bias="mean"), ratings=False)[0].output.bias.any()


def test_batches_are_of_mixed_length_where_the_settings_say_so(monkeypatch):
    data, seen = made_up(40, worded=False), {}
    for sort in (True, False):
        plans = []
        plan = data.plan
        monkeypatch.setattr(data, "plan", lambda *given: plans.append(plan(*given)) or plans[-1])  # noqa: B023 -- used at once
        settings = dataclasses.replace(QUICK, epochs=1, sorted_batches=sort)
        next(
            fit(network(), objective("categories", data.target, 3), data, made_up(6, 1, worded=False), settings, seed=0)
        )
        monkeypatch.undo()
        seen[sort] = plans[-1]
        assert sorted(np.concatenate([batch.rows for batch in seen[sort]])) == list(range(40))
    spread = {sort: np.mean([np.ptp(batch.count) for batch in batches]) for sort, batches in seen.items()}
    assert spread[False] > 2 * spread[True]


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_best():
    steps = itertools.count(1)

    def loss(logits, truth):
        value = torch.nn.functional.cross_entropy(logits, truth)
        return value * (torch.nan if next(steps) == 5 else 1.0)

    data, model = made_up(worded=False), network()
    training = fit(
        model, scripted([0.5], loss), data, made_up(6, 1, worded=False), TrainingSettings(epochs=4, batch=8), seed=0
    )
    next(training)
    state = weights(model)
    with pytest.raises(FloatingPointError, match=r"loss is nan at epoch 2, step 2, .* lower learning_rate"):
        next(training)
    assert same(state, weights(model))


def test_a_development_set_without_a_score_is_refused_before_training():
    data = made_up()
    training = fit(network(stages=(6,)), objective("categories", data.target, 3), data, made_up(2, 1), QUICK, seed=0)
    with pytest.raises(ValueError, match="2 utterances has no score for 'categories': it lacks a class"):
        next(training)


def test_bfloat16_trains_and_leaves_the_weights_in_float32():
    settings = TrainingSettings(epochs=1, batch=8, learning_rate=1e-4)
    history, state = train(dataclasses.replace(settings, precision="bfloat16"))
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert history[0][1] == pytest.approx(train(settings)[0][0][1], rel=0.02)
    assert history != train(settings)[0]


def test_predictions_come_in_the_order_of_the_dataset_and_without_chance():
    data, model = made_up(20), network(stages=(6,))
    state = torch.get_rng_state()
    logits = predict(model, data, batch=8)
    assert torch.equal(torch.get_rng_state(), state)
    assert logits.shape == (20, 3)
    for i in (0, 7, 19):
        alone = next(
            iter(SpeechDataset(data._packed, data.utterances[i : i + 1], data.target[i : i + 1]).batches(1, None))
        )
        with torch.inference_mode():
            answer = model(*alone.inputs[:2], data.embeddings[i : i + 1]).logits[0]
        np.testing.assert_allclose(logits[i], answer, atol=1e-5)


class Broken(torch.nn.Module):
    def forward(self, logmel, frames, text):  # noqa: ARG002 -- what every model takes
        answer = torch.zeros(len(frames), 3)
        answer[frames == frames.max()] = torch.nan
        return Output(answer, answer)


def test_an_answer_that_is_not_finite_names_its_utterance():
    data = made_up(4)
    longest = data.utterances["utterance"][int(np.argmax(data._count))]
    with pytest.raises(FloatingPointError, match=f"1 of 4 answers are not finite, of {longest}"):
        predict(Broken(), data)


KEYS = {
    "section": "categories",
    "model": "cnn14",
    "train_corpus": "iemocap",
    "test_corpus": "iemocap",
    "fold": "Ses01F",
    "seed": 0,
    "partition": "test",
    "simulated": True,
}


def test_predictions_of_categories_fill_the_table():
    data = made_up(3)
    table = predictions_table(np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [1e-9, 1e-9, 1]]), data, KEYS, CLASSES)
    assert list(table.columns) == [*schema.PREDICTION_COLUMNS, "p_angry", "p_happy", "p_sad"]
    assert list(table["truth"]) == ["angry", "happy", "sad"]
    assert list(table["prediction"]) == ["angry", "sad", "sad"]
    assert set(table["target"]) == {"emotion"}
    np.testing.assert_allclose(table.loc[0, ["p_angry", "p_happy", "p_sad"]].astype(float), [0.5, 0.3, 0.2], atol=1e-6)
    np.testing.assert_allclose(table[["p_angry", "p_happy", "p_sad"]].sum(axis=1), 1, atol=1e-12)


def test_own_groups_of_a_corpus_are_carried_into_its_predictions():
    data = made_up(3)
    data.utterances = data.utterances.assign(group_age=["20", "30", None])
    table = predictions_table(np.zeros((3, 3)), data, KEYS, CLASSES)
    assert list(table.columns) == [*schema.PREDICTION_COLUMNS, "group_age", "p_angry", "p_happy", "p_sad"]
    assert table["group_age"].tolist()[:2] == ["20", "30"]


def test_predictions_of_dimensions_fill_the_table():
    data = made_up(3, ratings=True)
    logits = np.array([[3.5, 4.0], [5.0, 3.0], [6.0, 2.5]], dtype=np.float32)
    table = predictions_table(logits, data, {**KEYS, "section": "multitask"}, ("arousal", "valence"))
    assert list(table.columns) == list(schema.PREDICTION_COLUMNS)
    wide = table.pivot(index="utterance", columns="target", values=["truth", "prediction"])
    np.testing.assert_array_equal(wide["prediction"][["arousal", "valence"]].to_numpy(float), logits)
    np.testing.assert_array_equal(wide["truth"][["arousal", "valence"]].to_numpy(float), data.target.numpy())


def test_a_table_whose_parts_do_not_fit_is_refused():
    data = made_up(3)
    with pytest.raises(ValueError, match=r"logits are \(3, 2\); expected 3 utterances and 3"):
        predictions_table(np.zeros((3, 2)), data, KEYS, CLASSES)
    with pytest.raises(ValueError, match="simulated"):
        predictions_table(np.zeros((3, 3)), data, {k: v for k, v in KEYS.items() if k != "simulated"}, CLASSES)


def test_the_environment_names_a_device(monkeypatch):
    assert pick_device() == torch.device("cpu")
    monkeypatch.setenv("SERCORE_DEVICE", "abacus")
    with pytest.raises(ValueError, match="no device 'abacus' here"):
        pick_device()
    monkeypatch.delenv("SERCORE_DEVICE")
    assert pick_device().type == (
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
