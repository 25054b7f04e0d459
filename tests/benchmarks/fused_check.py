"""Whether the kernels of `fused` compute what PyTorch does; prints the largest differences, as shares of the norm.

python -m tests.benchmarks.fused_check           on a GPU; elsewhere with TRITON_INTERPRET=1
"""

import itertools
from typing import Any

import torch
from torch import nn

from . import fused

SHAPES = ((2, 8, 6, 8), (3, 4, 7, 5), (2, 128, 8, 2))  # odd ones leave frames and bands that no pool takes


def main() -> float:
    """The largest of all differences."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    worst = 0.0
    for shape, pool, masked in itertools.product(SHAPES, (1, 2), (False, True)):
        ours, plain = _run(shape, pool, masked, device, True), _run(shape, pool, masked, device, False)
        apart = max(float((a - b).norm() / b.norm()) for a, b in zip(ours, plain, strict=True))
        print(f"{shape}, pool {pool}, {'masked' if masked else 'all'}: {apart:.1e}")
        worst = max(worst, apart)
    dropped = _dropped(device)
    print(f"with dropout: {dropped:.1e}")
    return max(worst, dropped)


def _dropped(device: str) -> float:
    """Difference between the gradients by the kernels and those of the same sum with what was dropped as a constant."""
    y = torch.randn(2, 16, 8, 8, device=device).contiguous(memory_format=torch.channels_last)
    text, norm = torch.randn(2, 16, device=device), nn.BatchNorm2d(16).to(device)
    leaves = y.requires_grad_(), text.requires_grad_(), norm.weight, norm.bias
    x = fused.norm_relu_pool(y, norm, 2, None, text, 0.25)
    plain = nn.functional.avg_pool2d(torch.relu(norm(y)), 2) + text[:, :, None, None]
    kept = (x != 0).float() / 0.75
    if not 0.6 < float((x != 0).float().mean()) < 0.9:
        return float("inf")
    slope = torch.randn_like(x)
    ours, others = torch.autograd.grad(x, leaves, slope), torch.autograd.grad(plain * kept, leaves, slope)
    pairs = [(x, plain * kept), *zip(ours, others, strict=True)]
    return max(float(((a - b).norm() / b.norm()).detach()) for a, b in pairs)


def _run(shape: tuple[int, ...], pool: int, masked: bool, device: str, ours: bool) -> list[Any]:
    """Result, gradients and running statistics."""
    chance = torch.Generator().manual_seed(0)
    batch, channels, frames, _ = shape
    y = (3 * torch.randn(shape, generator=chance) + 1).to(device).contiguous(memory_format=torch.channels_last)
    norm = nn.BatchNorm2d(channels).to(device)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(channels, generator=chance))
        norm.bias.copy_(torch.randn(channels, generator=chance))
    y.requires_grad_()
    text = torch.randn(batch, channels, generator=chance).to(device).requires_grad_() if masked else None
    lengths = torch.arange(batch) + frames // pool - batch + 1
    speech = (torch.arange(frames // pool) < lengths[:, None]).to(device, torch.float32) if masked else None
    if ours:
        x = fused.norm_relu_pool(y, norm, pool, speech, text)
    else:
        x = torch.relu(norm(y))
        x = nn.functional.avg_pool2d(x, pool) if pool > 1 else x
        x = x if speech is None else (x + text[:, :, None, None]) * speech[:, None, :, None]
    x.backward(torch.randn(x.shape, generator=chance).to(device))
    shares = [] if text is None else [text.grad]
    return [*shares, x.detach(), y.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]


if __name__ == "__main__":
    raise SystemExit(main() > 1e-4)
