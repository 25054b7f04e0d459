"""What each augmentation, and normalisation, adds to a training step of CNN14: plain and changed steps by turns.

    env -u OMP_NUM_THREADS python -m tests.benchmarks.augmentation             width 64, on a GPU where there is one: on
                                                                               2 cores 2 minutes a batch and turn
    env -u OMP_NUM_THREADS python -m tests.benchmarks.augmentation --width 8 --seconds 3

The frames are made up, as long as MSP-Podcast's; each turn trains on the same batches, in each way once, in an order
that rotates. Ratios are of the same turn, to the step without any; medians over the turns, lowest and highest beside.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from sercore import files, losses
from sercore.datasets.augmentation import augment
from sercore.datasets.batches import SpeechDataset
from sercore.datasets.sounds import Sounds
from sercore.features import packed
from sercore.models.cnn14 import Cnn14
from sercore.settings import AugmentationSettings, TrainingSettings
from sercore.training.device import memory_kept
from sercore.training.loop import TrainLoop, pick_device

from . import limits

CLASSES = 4
PLAIN, NORMALISED = "none", "normalisation"
WANTED = 1.05
MADE_UP = "made up"  # in place of folders
ALL = AugmentationSettings(
    time_masks=2,
    frequency_masks=2,
    gain_decibels=6.0,
    mel_shift=2.0,
    rate=0.1,
    mixup=0.4,
    noise=MADE_UP,
    rooms=MADE_UP,
)
NONE = AugmentationSettings()
NAMES = ("gain_decibels", "mel_shift", "rate", "mixup", "noise", "rooms")
WAYS: dict[str, AugmentationSettings | None] = {
    PLAIN: None,
    NORMALISED: None,
    "masks": replace(NONE, time_masks=ALL.time_masks, frequency_masks=ALL.frequency_masks),
    **{name: replace(NONE, **{name: getattr(ALL, name)}) for name in NAMES},
    "all": ALL,
}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write the numbers as JSON, and return them."""
    args = _parser().parse_args(arguments)
    device = pick_device()
    data = {name: _speech(args, name == NORMALISED) for name in (PLAIN, NORMALISED)}
    network = Cnn14(CLASSES, width=args.width, mels=args.mels, generator=torch.Generator().manual_seed(0))
    goal = losses.objective("categories", data[PLAIN].target, CLASSES)
    settings = TrainingSettings(batch=args.batch, learning_rate=1e-4, fused=True)
    course = TrainLoop(network, goal, data[PLAIN], data[PLAIN], settings, seed=0, device=device)
    data[NORMALISED].to(device)
    course.model.train()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    order = list(WAYS)
    with memory_kept(device):
        for turn in range(1 + args.turns):  # the first warms up
            for way in order:
                taken = _epoch(course, data[NORMALISED if way == NORMALISED else PLAIN], WAYS[way], args.batch)
                if turn:
                    seconds[way].append(taken)
            order = order[1:] + order[:1]
            print(f"turn {turn} of {args.turns}", flush=True)
    ratios = {
        way: [mine / plain for mine, plain in zip(taken, seconds[PLAIN], strict=True)]
        for way, taken in seconds.items()
        if way != PLAIN
    }
    steps = -(-args.utterances // args.batch)
    numbers = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "width": args.width,
        "batch": args.batch,
        "step_seconds": statistics.median(seconds[PLAIN]) / steps,
        "ratios": {
            way: {"median": statistics.median(all_of), "low": min(all_of), "high": max(all_of)}
            for way, all_of in ratios.items()
        },
    }
    files.write_json(files.resolve(args.output), numbers)
    print(_table(numbers, args.output))
    return numbers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.augmentation", description=__doc__)
    parser.add_argument("--width", type=int, default=64, help="of CNN14")
    parser.add_argument("--mels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--utterances", type=int, default=128, help="of one turn of one way")
    parser.add_argument("--seconds", type=float, default=5.8, help="of an utterance, on average")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", default="outputs/bench/augmentation.json")
    return parser


def _speech(args: argparse.Namespace, normalised: bool) -> SpeechDataset:
    """Noise of as many frames as utterances of MSP-Podcast have, log-normal about their mean."""
    chance = np.random.default_rng(0)
    mean = 100 * args.seconds
    count = np.clip(chance.lognormal(np.log(mean) - 0.1, 0.45, args.utterances), 32, 3 * mean).astype(int)
    array = chance.normal(-45, 12, (int(count.sum()), args.mels)).astype("float16")
    ids = pd.Index([f"u{number:05d}" for number in range(args.utterances)])
    frames = packed.Frames(array, np.cumsum(count) - count, count, ids, tuple(ids), "made-up")
    target = torch.arange(args.utterances) % CLASSES
    offsets = np.ones((args.utterances, args.mels), "float32") if normalised else None
    return SpeechDataset(frames, pd.DataFrame({"utterance": ids}), target, offsets=offsets, sounds=_sounds(args.mels))


def _sounds(mels: int) -> Sounds:
    """A minute of noise in ten recordings, and ten rooms of a second each."""
    chance, rows = np.random.default_rng(1), 600
    count = np.full(10, rows)
    array = chance.normal(-50, 3, (10 * rows, mels)).astype("float16")
    ids = pd.Index([f"n{number}" for number in range(10)])
    noise = packed.Frames(array, np.cumsum(count) - count, count, ids, tuple(ids), "made-up noise")
    power = torch.full((10,), 1e-5 * mels)
    decay = 10.0 ** -torch.linspace(0, 6, 100)
    return Sounds(torch.ones(mels), noise, power, (decay / decay.sum())[None, :, None].repeat(10, 1, mels))


def _epoch(course: TrainLoop, data: SpeechDataset, settings: AugmentationSettings | None, batch: int) -> float:
    """Seconds of the steps of an epoch, the same one each time."""
    chance = np.random.default_rng(0)
    limits.wait(course.device)
    start = time.perf_counter()
    for plain in data.batches(batch, torch.Generator().manual_seed(0)):
        course.train_step(plain if settings is None else augment(plain, settings, chance, data.sounds))
    limits.wait(course.device)
    return time.perf_counter() - start


def _table(numbers: dict[str, Any], output: str) -> str:
    lines = ["| changed by | times a plain step | lowest | highest |", "|---|---:|---:|---:|"]
    for way, row in numbers["ratios"].items():
        lines.append(f"| {way} | {row['median']:.3f} | {row['low']:.3f} | {row['high']:.3f} |")
    return "\n".join(
        [
            *lines,
            f"\nwidth {numbers['width']}, {numbers['batch']} utterances a step of "
            f"{1000 * numbers['step_seconds']:.0f} ms, {numbers['device']}, {numbers['threads']} threads, torch "
            f"{numbers['torch']}; wanted: each at most {WANTED}. Written to {output}",
        ]
    )


if __name__ == "__main__":
    main()
