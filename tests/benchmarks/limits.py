"""What this machine can do at most: matrix products and copies, measured; and what a step needs, counted."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

SIDE = {"cpu": 4096, "cuda": 8192}  # of the matrices that are multiplied
COPIED = {"cpu": 256 << 20, "cuda": 1 << 30}  # bytes
REPEATS = 5
BLOCKS = 6


def measure(device: torch.device) -> dict[str, float]:
    """Floating-point operations a second of a matrix product in each precision, and bytes a second of a copy."""
    side, size = SIDE.get(device.type, 2048), COPIED.get(device.type, 64 << 20)
    measured = {}
    for name in ("float32", "bfloat16"):
        a = torch.randn(side, side, device=device).to(getattr(torch, name))
        measured[f"{name}_flop_per_second"] = 2 * side**3 / _median(lambda a=a: a @ a, device)
    source, target = torch.empty(2, size // 4, device=device).fill_(1)
    measured["copy_bytes_per_second"] = size / _median(lambda: target.copy_(source), device)
    return measured


def best(*measurements: dict[str, float]) -> dict[str, float]:
    """The highest of what was measured at several times: a limit is what the machine does while nothing disturbs it."""
    return {name: max(one[name] for one in measurements) for name in measurements[0]}


def _median(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of `work`, the median of a few times after one that warms up."""
    taken = []
    for _ in range(1 + REPEATS):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def wait(device: torch.device) -> None:
    """Wait until `device` has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolutions_flop(width: int, mels: int, frames: int) -> float:
    """Floating-point operations of CNN14's convolutions on one utterance, forward; a multiply-add is two."""
    total, inputs = 0, 1
    for block in range(BLOCKS):
        outputs, places = width * 2**block, (frames >> block) * (mels >> block)
        total += 2 * 9 * (inputs + outputs) * outputs * places
        inputs = outputs
    return float(total)


def maps_bytes(width: int, mels: int, frames: int, size: int, *, training: bool) -> float:
    """Bytes of feature maps that CNN14 reads and writes for one utterance, if nothing stays in a cache.

    As few passes as there can be, with numbers of `size` bytes. Forward: a convolution reads its input and writes its
    output, which is read for its statistics (in training), and for what follows, whose result is written. Backward: the
    output and the slope of the result are read for two sums and again for the output's slope, which is written, and
    read for both products; the input is read for the one and its slope written for the other.
    """
    total, inputs = 0, mels * frames
    for block in range(BLOCKS):
        maps = width * 2**block * (frames >> block) * (mels >> block)
        for result in (maps, maps // 4 if block < BLOCKS - 1 else maps):
            total += inputs + 2 * maps + result
            if training:
                total += maps + 2 * (maps + result) + 3 * maps + 2 * inputs
            inputs = result
    return float(total * size)


def encoder_flop(encoder: torch.nn.Module, tokens: int) -> float:
    """Floating-point operations of a BERT-type encoder's linear layers on one text, forward."""
    return 2.0 * tokens * sum(part.weight.numel() for part in encoder.modules() if isinstance(part, torch.nn.Linear))


def reset_peak(device: torch.device) -> None:
    """Let the peak of memory be counted from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """The most memory held since `reset_peak`: the GPU's, or this process's (without Linux: since its start)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        return int(status["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
