"""Training batches changed by chance: SpecAugment, gain, vocal tract, rate, mixup, noise, rooms.

Each is an index operation, or a sum, on the log-mels of a batch on the device where they lie. What is drawn, a few
numbers an utterance, comes from the generator that is passed, on the CPU: the same on every device. In this order:
rate, mel shift, room, noise, gain, mixup, masks. What is 0, or no folder, in the settings draws nothing and changes
nothing, to the last bit.

Frames are those that a dataset gives, so they are normalised already, and means over a speaker are of recordings as
they are: a gain adds to a normalised level what it adds to any, and noise is moved by what normalised the speech.
"""

import numpy as np
import torch
from torch import Tensor

from sercore.datasets.batches import Batch, SpeechDataset, resident
from sercore.datasets.normalisation import moved
from sercore.datasets.sounds import Sounds
from sercore.features.audio import FLOOR, LEAST_FRAMES, LEAST_POWER
from sercore.features.packed import Frames
from sercore.settings import AugmentationSettings

ABSENT = "training.augmentation names {}, and the dataset has none: read its source with the augmentation"


def augment(
    batch: Batch, settings: AugmentationSettings, chance: np.random.Generator, sounds: Sounds | None = None
) -> Batch:
    """`batch` of a SpeechDataset as `settings` change it, drawn from `chance`; the batch itself stays as it is.

    With a rate utterances become longer or shorter, crops as well. Raises ValueError for a batch of another dataset,
    and for settings of noise or rooms that are not among the dataset's `sounds`.
    """
    logmel, frames, text = batch.inputs if len(batch.inputs) == 3 else (None, None, None)
    if logmel is None or frames is None:
        raise ValueError(
            f"augmentation is of log-mels with their true frames and their text; found a batch of {len(batch.inputs)} "
            "inputs: train on a SpeechDataset, or leave out training.augmentation"
        )
    size = len(logmel)
    if settings.rate:
        logmel, frames = stretched(logmel, frames, chance.uniform(1 - settings.rate, 1 + settings.rate, size))
    if settings.mel_shift:
        logmel = shifted(logmel, chance.uniform(-settings.mel_shift, settings.mel_shift, size))
    if settings.rooms:
        logmel = _in_rooms(logmel, frames, settings, chance, None if sounds is None else sounds.rooms)
    if settings.noise:
        logmel = _in_noise(logmel, frames, settings, chance, sounds, batch.offsets)
    if settings.gain_decibels:
        logmel = amplified(logmel, chance.uniform(-settings.gain_decibels, settings.gain_decibels, size))
    if settings.mixup:
        order, share = torch.from_numpy(chance.permutation(size)), float(chance.beta(settings.mixup, settings.mixup))
        logmel, text = mixed(logmel, frames, text, order, share)
        batch = batch._replace(partner=batch.target[order.to(batch.target.device)], share=share)
    spans = [
        covered(length, share, size_of, chance.random((2, masks, size), np.float32))
        for masks, share, length, size_of in (
            (settings.time_masks, settings.time_mask, frames, logmel.shape[1]),
            (settings.frequency_masks, settings.frequency_mask, torch.tensor(logmel.shape[2]), logmel.shape[2]),
        )
    ]
    if settings.time_masks or settings.frequency_masks:
        time, bands = (span.to(logmel.device, non_blocking=True) for span in spans)
        logmel = hidden(logmel, frames, time[:, :, None] | bands[:, None, :])
    return batch._replace(inputs=(logmel, frames, text))


def _in_rooms(
    logmel: Tensor, frames: Tensor, settings: AugmentationSettings, chance: np.random.Generator, rooms: Tensor | None
) -> Tensor:
    """`logmel` with some of the utterances, each in one of `rooms`."""
    if rooms is None:
        raise ValueError(ABSENT.format("rooms"))
    size = len(logmel)
    chosen, which = chance.random(size) < settings.share, chance.integers(len(rooms), size=size)
    rows, decay = np.flatnonzero(chosen), rooms[torch.from_numpy(which[chosen])]
    there = _there(rows, logmel)
    changed = reverberant(logmel[there], frames[rows], decay.to(logmel.device, non_blocking=True))
    return logmel.index_copy(0, there, changed)


def _in_noise(
    logmel: Tensor,
    frames: Tensor,
    settings: AugmentationSettings,
    chance: np.random.Generator,
    sounds: Sounds | None,
    offsets: Tensor | None,
) -> Tensor:
    """`logmel` with some of the utterances, which `offsets` (batch, mels) normalised, each in a piece of noise."""
    if sounds is None or sounds.noise is None or sounds.power is None:
        raise ValueError(ABSENT.format("noise"))
    size, (low, high) = len(logmel), settings.snr
    chosen, which = chance.random(size) < settings.share, chance.integers(len(sounds.power), size=size)
    begin, snr = chance.random(size), chance.uniform(low, high, size)
    rows, which = np.flatnonzero(chosen), which[chosen]
    there, weights = _there(rows, logmel), sounds.widths.to(logmel.device)
    noise = pieces(sounds.noise, which, begin[chosen], logmel)
    if offsets is not None:
        noise, weights = moved(noise, offsets[there][:, None]), weights * 10 ** (-offsets[there] / 10)
    apart = 10 * sounds.power[torch.from_numpy(which)].log10() + torch.from_numpy(snr[chosen]).float()
    return logmel.index_copy(0, there, noisy(logmel[there], frames[rows], noise, apart, weights))


def _there(numbers: np.ndarray, logmel: Tensor) -> Tensor:
    """`numbers` on the device of `logmel`."""
    return torch.from_numpy(numbers).to(logmel.device, non_blocking=True)


def pieces(noise: Frames, which: np.ndarray, begin: np.ndarray, logmel: Tensor) -> Tensor:
    """Noise as long as `logmel` (batch, frames, mels) and where it is, (pieces, frames, mels) dB.

    It is of the recordings `which` (pieces,) of `noise`, each from a share `begin` (pieces,) of it on; one that ends
    sooner is repeated.
    """
    count = noise.count[which][:, None]
    steps = np.arange(logmel.shape[1]) + (begin[:, None] * count).astype(np.int64)
    index = noise.start[which][:, None] + steps % count
    held = resident(noise, logmel.device)
    return (_there(noise.array[index], logmel) if held is None else held[_there(index, logmel)]).float()


def noisy(logmel: Tensor, frames: Tensor, noise: Tensor, apart: Tensor, weights: Tensor) -> Tensor:
    """`logmel` (batch, frames, mels) with the power of `noise`, of that shape, added over the true frames.

    The noise is raised by the level of the utterance less `apart` (batch,) [dB]: the level of its recording, and the
    ratio of speech to noise that is wanted. The level of an utterance is of its mean power, the sum of the bands by
    their `weights` (mels,) or (batch, mels).
    """
    speech, count = 10 ** (logmel / 10), frames.to(logmel.device, non_blocking=True)
    behind = (torch.arange(logmel.shape[1], device=logmel.device) >= count[:, None])[:, :, None]
    power = (speech.masked_fill(behind, 0).sum(1) * weights).sum(1) / count
    gain = 10 * power.log10() - apart.to(logmel.device, non_blocking=True)
    total = speech + 10 ** ((noise + gain[:, None, None]) / 10)
    return (10 * total.clamp(min=LEAST_POWER).log10()).masked_fill(behind, FLOOR)


def reverberant(logmel: Tensor, frames: Tensor, decay: Tensor) -> Tensor:
    """`logmel` (batch, frames, mels) with the power of each band spread over later frames.

    `decay` (batch, lags, mels) is the share of a frame's power that comes so many frames later. What would sound after
    the last true frame is cut off, as in a recording that ends there.
    """
    steps, power = logmel.shape[1], 10 ** (logmel / 10)
    spread = torch.zeros_like(power)
    for lag in range(min(steps, decay.shape[1])):
        spread[:, lag:].addcmul_(power[:, : steps - lag], decay[:, lag, None])
    behind = torch.arange(steps, device=logmel.device) >= frames.to(logmel.device, non_blocking=True)[:, None]
    return (10 * spread.clamp(min=LEAST_POWER).log10()).masked_fill(behind[:, :, None], FLOOR)


def stretched(logmel: Tensor, frames: Tensor, factors: np.ndarray) -> tuple[Tensor, Tensor]:
    """Each utterance of `logmel` (batch, frames, mels) `factors` (batch,) times as fast, and its true frames.

    Between two frames the levels are interpolated. Of one that would have fewer than 32 frames, which a network needs,
    the last is repeated. The batch is as long as the longest is then, rounded up as a dataset does it.
    """
    device = logmel.device
    count = (frames / torch.from_numpy(factors)).round().long().clamp(min=LEAST_FRAMES)
    padded = -(-int(count.max()) // SpeechDataset.multiple) * SpeechDataset.multiple
    steps = torch.arange(padded)
    place = (steps * torch.from_numpy(factors)[:, None]).minimum(frames[:, None] - 1)  # (batch, padded) in old frames
    first, part = place.long(), place.frac().float()
    last = (first + 1).minimum(frames[:, None] - 1)
    first, last, part, behind = (
        each.to(device, non_blocking=True) for each in (first, last, part, steps >= count[:, None])
    )
    rows = torch.arange(len(logmel), device=device)[:, None]
    between = torch.lerp(logmel[rows, first], logmel[rows, last], part[:, :, None])
    return between.masked_fill_(behind[:, :, None], FLOOR), count


def shifted(logmel: Tensor, bands: np.ndarray) -> Tensor:
    """`logmel` (batch, frames, mels) with the spectrum of each utterance moved up by `bands` (batch,).

    Above 1 kHz a mel band is a ratio of frequencies, so it moves as formants do with the length of a vocal tract.
    Between two bands the levels are interpolated; those that have none to come from take the outermost.
    """
    mels = logmel.shape[2]
    place = (torch.arange(mels) - torch.from_numpy(bands)[:, None]).clamp(0, mels - 1)  # (batch, mels) in old bands
    first, part = place.long(), place.frac().float()
    last = (first + 1).clamp(max=mels - 1)
    low, high = (
        logmel.gather(2, each[:, None].to(logmel.device, non_blocking=True).expand_as(logmel)) for each in (first, last)
    )
    return torch.lerp(low, high, part[:, None].to(logmel.device, non_blocking=True))


def amplified(logmel: Tensor, decibels: np.ndarray) -> Tensor:
    """`logmel` (batch, frames, mels) with each utterance louder by `decibels` (batch,); silence stays silence."""
    gain = torch.from_numpy(decibels).float().to(logmel.device, non_blocking=True)
    return moved(logmel, gain[:, None, None])


def mixed(
    logmel: Tensor, frames: Tensor, text: Tensor | None, order: Tensor, share: float
) -> tuple[Tensor, Tensor | None]:
    """`share` of each utterance and the rest of the one that `order` (batch,) names: log-mels, and text embeddings.

    Levels are added in dB. The other one begins where this one does, and is repeated where it is shorter.
    """
    steps = torch.arange(logmel.shape[1]) % frames[order][:, None]  # (batch, frames)
    order, steps = (each.to(logmel.device, non_blocking=True) for each in (order, steps))
    logmel = torch.lerp(logmel[order[:, None], steps], logmel, share)
    return logmel, None if text is None else torch.lerp(text[order], text, share)


def covered(length: Tensor, widest: float, size: int, chance: np.ndarray) -> Tensor:
    """Which of `size` places SpecAugment hides in each utterance: (batch, size), true if any of its spans has it.

    `chance` (2, spans, batch), numbers from 0 to 1, is where the spans come from: of `length` places, the true ones, a
    span has up to the share `widest`, and it begins anywhere where it fits: those of torchaudio.functional's
    mask_along_axis_iid, which itself draws from the global generator, and in padding as well.
    """
    wide, begin = torch.from_numpy(chance)
    wide = wide * (widest * length)  # (spans, batch)
    begin = (begin * (length - wide)).long()
    end, steps = begin + wide.long(), torch.arange(size)
    return ((steps >= begin[..., None]) & (steps < end[..., None])).any(0)


def hidden(logmel: Tensor, frames: Tensor, hide: Tensor) -> Tensor:
    """`logmel` (batch, frames, mels) with the utterance's mean level, over its true frames, wherever `hide` is true."""
    count = frames.to(logmel.device, non_blocking=True)
    behind = torch.arange(logmel.shape[1], device=logmel.device) >= count[:, None]
    mean = logmel.masked_fill(behind[:, :, None], 0).sum((1, 2)) / (count * logmel.shape[2])
    return torch.where(hide, mean[:, None, None], logmel)
