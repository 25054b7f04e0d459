"""Whether `training.kernels: fused` trains as PyTorch does, in float32: differences, as shares of the norm.

python -m tests.benchmarks.fused_check           on a GPU; elsewhere with TRITON_INTERPRET=1
"""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sercore.datasets.batches import SpeechDataset
from sercore.features.packed import Embeddings, Frames
from sercore.losses import objective
from sercore.models import fused
from sercore.models.cnn14 import Cnn14
from sercore.settings import MECHANISMS, TrainingSettings
from sercore.training.device import kernels, prepare
from sercore.training.loop import fit
from sercore.training.resume import TrainingState

ALLOWED = 1e-4
SHAPES = ((2, 8, 6, 8), (3, 4, 7, 5), (2, 128, 8, 2))  # odd ones leave frames and bands that no pool takes
FUSED, PLAIN = TrainingSettings(kernels="fused", layout="channels_last"), TrainingSettings(layout="channels_last")


def main(resuming: bool = True) -> dict[str, float]:
    """What was compared -> the largest difference; without `resuming`, of single steps alone."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = _Printed()
    with kernels(TrainingSettings()):
        for shape, pool, masked in itertools.product(SHAPES, (1, 2), (False, True)):
            ours, plain = _run(shape, pool, masked, device, True), _run(shape, pool, masked, device, False)
            found[f"{shape}, pool {pool}, {'mask and text' if masked else 'all'}"] = _apart(ours, plain)
        found["with dropout"] = _dropped(device)
        width = 64 if device == "cuda" else 2
        for mechanism, stages in (("no text", ()), *((name, (1, 2, 3, 4, 5, 6)) for name in MECHANISMS)):
            padded = bool(stages)
            told = mechanism if stages else "shift"
            ours, plain = (_step(settings, padded, stages, told, device, width) for settings in (FUSED, PLAIN))
            exact = _step(PLAIN, padded, stages, told, device, width, torch.float64)
            name = f"network, {mechanism}, {'padded' if padded else 'all'}, beyond twice PyTorch's error"
            found[name] = max(0.0, _apart(ours, exact) - 2 * _apart(plain, exact))
        found["evaluation"] = _evaluated(device)
    if resuming:
        found["interrupted and resumed"] = _resumed(device)
    return found


class _Printed(dict[str, float]):
    def __setitem__(self, name: str, value: float) -> None:
        print(f"{name}: {value:.1e}", flush=True)
        super().__setitem__(name, value)


def _apart(ours: list[Tensor], plain: list[Tensor]) -> float:
    """The largest difference; means that are 0 but for rounding, as those of the first maps, are taken as .1."""
    return max(
        float((a - b).double().norm() / b.double().norm().clamp(min=0.1)) for a, b in zip(ours, plain, strict=True)
    )


def _network(stages: tuple[int, ...], dropout: float = 0.0, width: int = 2, mechanism: str = "shift") -> Cnn14:
    chance = torch.Generator().manual_seed(0)
    size = {"text_width": 4, "width": width, "mels": 37, "dropout": dropout}
    return Cnn14(3, stages, **size, mechanism=mechanism, generator=chance)


def _step(
    settings: TrainingSettings,
    padded: bool,
    stages: tuple[int, ...],
    mechanism: str,
    device: str,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Answers of a network in training, all gradients, and its state afterwards."""
    chance = torch.Generator().manual_seed(1)
    network = prepare(_network(stages, width=width, mechanism=mechanism).to(device), settings).train().to(dtype)
    logmel = torch.randn(4, 71, 37, generator=chance).mul(8).sub(40).to(device, dtype)
    text = torch.randn(4, 4, generator=chance).to(device, dtype) if stages else None
    answers = network(logmel, torch.tensor([71, 33, 50, 64] if padded else [71] * 4), text).logits
    (answers * torch.randn(4, 3, generator=chance).to(answers)).sum().backward()
    gradients = [weight.grad for weight in network.parameters()]
    return [answers.detach(), *gradients, *network.state_dict().values()]


def _evaluated(device: str) -> float:
    """Difference between the answers of a plain model and of a fused one that took its state: they are the same."""
    plain, ours = (prepare(_network((1, 6)).to(device), settings).eval() for settings in (PLAIN, FUSED))
    with torch.no_grad():
        for weight in plain.parameters():
            weight.mul_(1.5)
        ours.load_state_dict(plain.state_dict())
        logmel, text = torch.full((2, 40, 37), -30.0, device=device), torch.ones(2, 4, device=device)
        one, other = (model(logmel, torch.tensor([40, 36]), text).logits for model in (plain, ours))
    return _apart([other], [one])


def _resumed(device: str) -> float:
    """Difference between the weights of a training and of one that was interrupted, with dropout: they are the same."""
    settings = TrainingSettings(epochs=2, batch=8, learning_rate=0.05, kernels="fused", precision="float32")
    states = []
    with tempfile.TemporaryDirectory() as folder:
        for sessions in (1, 2):
            for session in range(sessions):
                network = _network((6,), 0.2)
                state = TrainingState(Path(folder) / f"{sessions}.safetensors", {})
                data = _made_up()
                goal = objective("categories", data.target, 3)
                epochs = fit(network, goal, data, data, settings, seed=0, device=device, state=state)
                for number, _ in enumerate(epochs, 1):
                    if session < sessions - 1 and number == 1:
                        epochs.close()
                        break
            states.append(list(network.state_dict().values()))
    return _apart(*states)


def _made_up(utterances: int = 16) -> SpeechDataset:
    """Utterances of 33 to 60 frames, some of them padded in every batch."""
    chance = np.random.default_rng(0)
    count, each = chance.integers(33, 60, utterances), np.arange(utterances)
    ids = pd.Index([f"u{number:03d}" for number in range(utterances)])
    logmels = chance.normal(-40, 8, (count.sum(), 37)).astype("float16")
    frames = Frames(logmels, np.cumsum(count) - count, count, ids, tuple(ids), "made-up")
    words = chance.normal(0, 1, (utterances, 4)).astype("float32")
    vectors = Embeddings(words, each, np.ones_like(each), ids, tuple(ids), "made-up")
    return SpeechDataset(frames, pd.DataFrame({"utterance": ids}), torch.arange(utterances) % 3, vectors)


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
    raise SystemExit(max(main().values()) > ALLOWED)
