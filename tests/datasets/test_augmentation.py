"""Augmentation changes frames as its settings say, not at all where they are 0, and the same for the same seed."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import torchaudio

from sercore.datasets.augmentation import (
    amplified,
    augment,
    covered,
    hidden,
    mixed,
    pieces,
    reverberant,
    shifted,
    stretched,
)
from sercore.datasets.batches import Batch
from sercore.datasets.sounds import Sounds
from sercore.features.audio import FLOOR
from sercore.features.packed import Frames
from sercore.settings import AugmentationSettings

FOLDERS = {"noise": "noise", "rooms": "rooms"}  # already read into SOUNDS
EACH = {
    "time_masks": 2,
    "frequency_masks": 2,
    "gain_decibels": 6.0,
    "mel_shift": 2.0,
    "rate": 0.1,
    "mixup": 0.4,
    "noise": "noise",
    "rooms": "rooms",
}
ALL = AugmentationSettings(**EACH, share=1.0)


def made_up_noise(counts=(70, 30), mels=32):
    chance = np.random.default_rng(5)
    array = chance.normal(-50, 3, (sum(counts), mels)).astype("float16")
    count = np.array(counts)
    return Frames(array, np.cumsum(count) - count, count, pd.Index(["a", "b"]), ("1", "2"), "noise-1")


NOISE = made_up_noise()
SOUNDS = Sounds(
    widths=torch.ones(32),
    noise=NOISE,
    power=torch.tensor([(10 ** (NOISE.rows(row).astype("float32") / 10)).sum(1).mean() for row in (0, 1)]),
    rooms=torch.tensor([[1.0, 0.5, 0.1], [0.3, 0.3, 0.2]])[:, :, None].repeat(1, 1, 32),
)


def batch(counts=(64, 40, 50), mels=32, seed=0, text=True):
    """Log-mels of so many frames, padded to the longest; silence is behind them."""
    chance = torch.Generator().manual_seed(seed)
    frames = torch.tensor(counts)
    logmel = -40 + 8 * torch.randn(len(counts), max(counts), mels, generator=chance)
    logmel[torch.arange(max(counts)) >= frames[:, None]] = FLOOR
    words = torch.randn(len(counts), 4, generator=chance) if text else None
    return Batch((logmel, frames, words), torch.arange(len(counts)), torch.arange(len(counts)))


def drawn(settings, given=None, seed=0):
    return augment(given or batch(), settings, np.random.default_rng(seed), SOUNDS)


def equal(one, other):
    parts = [(one.target, other.target), (one.rows, other.rows), *zip(one.inputs, other.inputs, strict=True)]
    same = [(a is None and b is None) or torch.equal(a, b) for a, b in parts]
    return all(same) and one.share == other.share and (one.partner is None) == (other.partner is None)


def test_what_is_zero_changes_nothing_and_draws_nothing():
    chance = np.random.default_rng(0)
    assert equal(augment(batch(), AugmentationSettings(), chance), batch())
    assert chance.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", EACH)
def test_each_setting_changes_a_copy_and_the_same_for_the_same_seed(name):
    settings = AugmentationSettings(**{name: EACH[name]}, share=1.0)
    given = batch()
    one = drawn(settings, given)
    assert not equal(one, batch())
    assert equal(given, batch())  # what a dataset may keep is not written to
    assert equal(one, drawn(settings))
    assert not equal(one, drawn(settings, seed=1))


def test_together_they_give_a_batch_that_a_network_takes():
    made = drawn(ALL)
    logmel, frames, text = made.inputs
    assert (logmel.dtype, frames.dtype) == (torch.float32, torch.int64)
    assert torch.isfinite(logmel).all()
    assert logmel.shape[1] % 8 == 0
    assert frames.max() <= logmel.shape[1] < frames.max() + 8
    assert (text.shape, made.partner.shape) == ((3, 4), (3,))
    assert equal(drawn(ALL, batch(text=False)), drawn(ALL)._replace(inputs=(logmel, frames, None)))


def test_the_global_random_state_neither_matters_nor_moves():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = drawn(ALL)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert equal(one, drawn(ALL))


def test_a_batch_that_is_not_of_log_mels_is_refused():
    tokens = Batch((torch.zeros(2, 5, dtype=torch.int64), None), torch.zeros(2), torch.arange(2))
    with pytest.raises(ValueError, match="of log-mels with their true frames"):
        drawn(ALL, tokens)


def test_a_gain_moves_the_mean_level_by_its_decibels_and_leaves_silence():
    logmel, frames, _ = batch().inputs
    louder = amplified(logmel, np.array([6.0, -12.0, 0.0]))
    for row, (count, gain) in enumerate(zip(frames, (6, -12, 0), strict=True)):
        moved = louder[row, :count].mean() - logmel[row, :count].mean()
        assert moved == pytest.approx(gain, abs=1e-4)
    assert torch.equal(louder[2], logmel[2])
    assert (louder[1, 40:] == FLOOR).all()
    faint = torch.full((1, 4, 3), -95.0)
    assert (amplified(faint, np.array([-12.0])) == FLOOR).all()  # no level is below that of silence


def test_gains_are_uniform_within_their_limits():
    given = batch((32,) * 200, mels=4)
    changes = (drawn(AugmentationSettings(gain_decibels=6.0), given).inputs[0] - given.inputs[0]).mean((1, 2))
    assert changes.abs().max() <= 6
    assert changes.mean() == pytest.approx(0, abs=0.8)
    assert changes.std() == pytest.approx(12 / 12**0.5, rel=0.1)  # of a uniform distribution


def test_a_mel_shift_moves_the_spectrum_by_whole_and_half_bands():
    bands = torch.arange(8.0).expand(3, 5, 8)
    moved = shifted(bands, np.array([1.0, -0.5, 0.0]))
    assert moved[0, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert moved[1, 2].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7]
    assert torch.equal(moved[2], bands[2])


def test_a_rate_makes_utterances_shorter_and_longer():
    frames = torch.tensor([80, 80, 40, 33])
    logmel = torch.arange(80.0)[:, None].repeat(4, 1, 2)
    logmel[torch.arange(80) >= frames[:, None]] = FLOOR
    made, count = stretched(logmel, frames, np.array([1.25, 0.8, 1.0, 1.5]))
    assert count.tolist() == [64, 100, 40, 32]
    assert made.shape == (4, 104, 2)
    assert torch.allclose(made[0, :64, 0], 1.25 * torch.arange(64))
    assert torch.allclose(made[1, :100, 1], (0.8 * torch.arange(100)).clamp(max=79))
    assert torch.equal(made[2, :40], logmel[2, :40])
    assert made[3, 31, 0] == 32  # the last frame again
    for row, frames_left in enumerate(count):
        assert (made[row, frames_left:] == FLOOR).all()


def test_mixup_is_a_share_of_two_utterances_their_texts_and_targets():
    given = batch()
    logmel, frames, text = given.inputs
    order = torch.tensor([1, 2, 0])
    made, words = mixed(logmel, frames, text, order, 0.75)
    assert torch.allclose(made[0, 39], 0.75 * logmel[0, 39] + 0.25 * logmel[1, 39])
    assert torch.allclose(made[0, 41], 0.75 * logmel[0, 41] + 0.25 * logmel[1, 1])  # of 40 frames, from its begin
    assert torch.allclose(words[2], 0.75 * text[2] + 0.25 * text[0])
    whole, own = mixed(logmel, frames, None, order, 1.0)
    assert torch.equal(whole, logmel)
    assert own is None
    drawn_batch = drawn(AugmentationSettings(mixup=0.4))
    assert sorted(drawn_batch.partner.tolist()) == [0, 1, 2]
    assert 0 <= drawn_batch.share <= 1


def test_shares_of_mixup_follow_the_beta_distribution():
    chance, settings = np.random.default_rng(0), AugmentationSettings(mixup=0.5)
    shares = [augment(batch((32, 32), mels=4), settings, chance).share for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / 8, abs=0.03)  # 1 / (4 (2 alpha + 1))


def test_masks_are_those_of_torchaudio():
    shape = (6, 40, 32)
    torch.manual_seed(0)
    theirs = torchaudio.functional.mask_along_axis_iid(torch.ones(shape).mT, 10, 0.0, axis=2).mT
    torch.manual_seed(0)
    numbers = np.stack([torch.rand(6).numpy(), torch.rand(6).numpy()])[:, None]
    ours = covered(torch.full((6,), 40), 10 / 40, 40, numbers)
    assert torch.equal(ours, theirs[:, :, 0] == 0)
    assert 0 < ours.float().mean() < 0.25


def test_masks_lie_within_the_true_frames_and_hide_half_of_the_widest_on_average():
    chance = np.random.default_rng(0)
    frames = torch.tensor([40, 80]).repeat(400)
    spans = covered(frames, 0.2, 80, chance.random((2, 1, 800), np.float32))
    assert not spans[::2, 40:].any()
    shares = spans.sum(1) / frames
    assert shares.max() <= 0.2
    assert shares.mean() == pytest.approx(0.1 - 0.5 / 53, abs=0.01)  # half a frame is cut off
    places = spans[1::2].float().mean(0)
    assert places[10:70].min() > 0.4 * places[10:70].max()  # anywhere
    several = covered(frames, 0.2, 80, chance.random((2, 3, 800), np.float32))
    assert 0.2 < (several.sum(1) / frames).mean() < 0.3


def test_what_is_hidden_has_the_mean_level_of_the_true_frames():
    logmel, frames, _ = batch().inputs
    hide = torch.zeros(logmel.shape, dtype=torch.bool)
    hide[1, 5:10], hide[1, :, 3] = True, True
    made = hidden(logmel, frames, hide)
    assert torch.allclose(made[hide], logmel[1, :40].mean())
    assert torch.equal(made[~hide], logmel[~hide])


def test_bands_and_frames_are_hidden_by_settings_of_their_own():
    given = batch((40,) * 8)
    changed = drawn(AugmentationSettings(time_masks=1, time_mask=0.5), given).inputs[0] != given.inputs[0]
    assert (changed.all(2) == changed.any(2)).all()  # whole frames
    assert 0 < changed.float().mean() < 0.5
    changed = drawn(AugmentationSettings(frequency_masks=1, frequency_mask=0.5), given).inputs[0] != given.inputs[0]
    assert (changed.all(1) == changed.any(1)).all()  # whole bands
    assert 0 < changed.float().mean() < 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_batch():
    here, there = batch(), batch()
    logmel, frames, text = there.inputs
    there = there._replace(inputs=(logmel.cuda(), frames, text.cuda()), target=there.target.cuda())
    one, other = (drawn(ALL, given) for given in (here, there))
    assert torch.allclose(one.inputs[0], other.inputs[0].cpu(), atol=1e-4)
    assert torch.equal(one.inputs[1], other.inputs[1])
    assert torch.equal(one.partner, other.partner.cpu())


def test_every_setting_is_tried_here():
    limits = {"time_mask", "frequency_mask", "snr", "share"}
    assert {field.name for field in dataclasses.fields(AugmentationSettings)} - limits == EACH.keys()


def test_noise_is_added_at_the_ratio_and_with_the_spectrum_of_its_recording():
    given = batch()
    logmel, frames, _ = given.inputs
    made = drawn(AugmentationSettings(noise="noise", snr=(6, 6), share=1), given).inputs[0]
    for row, count in enumerate(frames):
        speech, total = (10 ** (part[row, :count].double() / 10) for part in (logmel, made))
        noise = (total - speech).sum(1)
        assert noise.min() > 0
        assert 10 * (speech.sum(1).mean() / noise.mean()).log10() == pytest.approx(6, abs=0.4)  # a piece of a recording
        assert (made[row, count:] == FLOOR).all()


def test_noise_is_moved_by_what_normalised_the_speech():
    given = batch()
    offsets = torch.linspace(-8, 12, 32).repeat(3, 1)
    moved_by = given._replace(inputs=(given.inputs[0] + offsets[:, None], *given.inputs[1:]), offsets=offsets)
    plain, moved = (drawn(AugmentationSettings(noise="noise", share=1), one).inputs[0] for one in (given, moved_by))
    assert torch.allclose(moved[0] - offsets[0], plain[0], atol=1e-3)


def test_pieces_of_noise_go_on_at_the_beginning_of_their_recording():
    noise = made_up_noise()
    made = pieces(noise, np.array([1, 0]), np.array([0.5, 0.9]), torch.zeros(2, 40, 32))
    one, other = (torch.from_numpy(noise.rows(row).astype("float32")) for row in (1, 0))
    assert torch.equal(made[0], one[(15 + torch.arange(40)) % 30])
    assert torch.equal(made[1, 7:], other[:33])


def test_a_room_spreads_power_over_later_frames():
    logmel = torch.full((2, 12, 4), FLOOR)
    logmel[:, 2], logmel[1, 8] = -20.0, -30.0
    decay = torch.tensor([[1.0, 0.0, 0.25], [0.5, 0.5, 0.0]])[:, :, None].repeat(1, 1, 4)
    made = reverberant(logmel, torch.tensor([12, 9]), decay)
    assert made[0, :6, 0].tolist() == pytest.approx([-100, -100, -20, -99.03, -26.02, -99.03], abs=0.01)
    assert made[1, 2:4, 1].tolist() == pytest.approx([-23.01, -23.01], abs=0.01)
    assert made[1, 8:, 3].tolist() == pytest.approx([-33.01, -100, -100, -100], abs=0.01)  # cut off at 9 frames


def test_noise_and_rooms_come_to_the_share_of_utterances_that_is_set():
    given = batch((32,) * 300)
    for setting in FOLDERS:
        changed = drawn(AugmentationSettings(**{setting: setting}, share=0.3), given).inputs[0] != given.inputs[0]
        assert changed.any(2).any(1).float().mean() == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("setting", FOLDERS)
def test_noise_and_rooms_that_were_not_read_are_refused(setting):
    with pytest.raises(ValueError, match=f"names {setting}, and the dataset has none"):
        augment(batch(), AugmentationSettings(**{setting: "folder"}), np.random.default_rng(0))
