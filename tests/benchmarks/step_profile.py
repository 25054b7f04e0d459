"""Where a training step's time goes, by operation: a table of torch's profiler, kept as text beside this file.

python -m tests.benchmarks.step_profile          writes tests/benchmarks/profile_cpu.txt, or profile_cuda.txt
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from sercore.models import checkpoint
from sercore.training import loop, optimisers
from sercore.training.device import autocast, memory_kept

from . import limits, loops, throughput

ROWS = 16
SIZES = ((8, 32, 275), (64, 64, 296))  # width, mels and frames: the demo's and the paper's
REMAINS = {
    "cpu": """
        Width 8: the first two blocks' feature maps are large and have few channels, so convolutions, batch
        normalisation and pooling wait for memory; fewer frames and bands help, fewer channels hardly do.
        Width 64: five sixths are arithmetic: convolutions of blocks 1 to 4 by the library (both convolution lines),
        those of 1024 x 1024 kernels and more as matrix products (mm). copy_ casts the weights to bfloat16 and lays out
        the neighbourhoods that the products take; bernoulli_ is dropout's. Fewer operations would need another network.
        """,
}


def main(arguments: Sequence[str] | None = None) -> str:
    """Profile a step of each size, write the tables and return them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.step_profile", description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--output", help="default: profile_<device>.txt beside this file")
    args = parser.parse_args(arguments)
    device = loop.pick_device()
    name = throughput.processor() if device.type == "cpu" else torch.cuda.get_device_name(device)
    parts = [
        f"One training step of MFCNN14, batch {args.batch}, bfloat16; {name}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}. Self time, by operation."
    ]
    parts += [_table(*size, args.batch, device) for size in SIZES]
    if device.type in REMAINS:
        parts.append("What remains, and why\n" + textwrap.dedent(REMAINS[device.type]).strip())
    report = "\n\n".join(parts) + "\n"
    place = Path(args.output) if args.output else Path(__file__).with_name(f"profile_{device.type}.txt")
    place.write_text(report, encoding="utf-8")
    print(report)
    return report


def _table(width: int, mels: int, frames: int, batch: int, device: torch.device) -> str:
    """A step's operations, the longest first, after two steps that warm up."""
    build = {
        "kind": "cnn14",
        "outputs": loops.OUTPUTS,
        "text_stages": range(1, 7),
        "text_width": 384,
        "width": width,
        "mels": mels,
    }
    model = checkpoint.build(build, torch.Generator().manual_seed(0)).to(device).train()
    settings = loops.schedule("mfcnn14", batch, 1, "bfloat16")
    optimiser = optimisers.optimiser(model.named_parameters(), settings)
    chance = torch.Generator().manual_seed(0)
    logmel = (torch.randn(batch, frames, mels, generator=chance) * 10 - 50).to(device)
    text = torch.randn(batch, 384, generator=chance).to(device)
    counts = torch.full((batch,), frames, device=device)
    target = torch.zeros(batch, dtype=torch.int64, device=device)

    def step() -> None:
        with autocast(device, "bfloat16"):
            logits = model(logmel, counts, text).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        limits.wait(device)

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with memory_kept(device):
        for _ in range(2):
            step()
        with profile(activities=activities) as profiled:
            step()
    kind = "cuda" if device.type == "cuda" else "cpu"
    return f"Width {width}, {mels} mels, {frames} frames\n" + _operations(profiled.key_averages(), kind)


def _operations(events: Sequence[object], kind: str) -> str:
    """The operations that took longest."""
    name = "self_device_time_total" if kind == "cuda" else "self_cpu_time_total"
    times = sorted(((getattr(event, name), event.count, event.key) for event in events), reverse=True)
    total = sum(taken for taken, _, _ in times)
    rows = [f"{'operation':44} {'calls':>6} {'ms':>9} {'share':>6}"]
    rows += [
        f"{key[:44]:44} {count:>6} {taken / 1e3:>9.1f} {taken / total:>6.1%}" for taken, count, key in times[:ROWS]
    ]
    rest = sum(taken for taken, _, _ in times[ROWS:])
    return "\n".join(
        [
            *rows,
            f"{'all others':44} {'':>6} {rest / 1e3:>9.1f} {rest / total:>6.1%}",
            f"{'a step':44} {'':>6} {total / 1e3:>9.1f}",
        ]
    )


if __name__ == "__main__":
    main()
